//! The disk cache from outside: real files in temporary directories, threads and processes of its own.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

mod common;
mod crash;
mod faults;
mod handing_over;
mod keeping;
mod purging;
