//! How many instances.
