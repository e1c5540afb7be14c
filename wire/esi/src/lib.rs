//! ESI language specification 1.0: finds in a page the places where other responses belong. Pure: takes bytes, gives
//! pieces; fetches nothing, and puts nothing together.
