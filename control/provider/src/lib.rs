//! Where instances are made.
