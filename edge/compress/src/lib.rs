//! Compresses stored text, once for each object and coding, on threads that give way to everything else. Bounded in
//! what waits and in what it holds.
