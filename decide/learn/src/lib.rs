//! Finds out, from what different visitors got for the same URL, what may be shared although it says nothing about
//! caching. Holds hashes, never content; reads no clock.
