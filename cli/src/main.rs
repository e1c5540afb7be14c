//! The `tentpole` command.
fn main() {}
