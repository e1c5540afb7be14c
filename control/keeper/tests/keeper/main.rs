//! The keeper on real processes: parts that die and are replaced, instances that outlive their control process, and the
//! end, after which nobody is left, however it came.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod end;
mod instances;
mod kept;
mod restarts;

use kept::{Kept, number_between};

/// Hides a process as well as a program can: forked twice, in a session of its own. Says its id.
const HIDES: &str = "(setsid sh -c 'echo hidden $$.; exec sleep 1000' &)";

/// The hidden process of a script with [`HIDES`].
fn hidden(kept: &Kept) -> u32 {
    kept.line(|line| number_between(line, "| hidden ", "."))
}
