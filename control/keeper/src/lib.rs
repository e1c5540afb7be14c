//! Owns child processes.
