//! The web page over the admin API.
