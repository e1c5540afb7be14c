//! What scripts complain of, and what is wrong with their answers, said on the terminal: bounded in lines and bytes,
//! whatever they write, and without control bytes. Tells no visitor.

use std::cell::Cell;
use tentpole_fastcgi::Fault;
use tentpole_runtime::{clock, notice};

/// Lines that one thread says in a second; the rest is counted.
const LINES_MAX: u32 = 8;
/// Bytes of a line that are said.
const LINE_BYTES_MAX: usize = 400;

thread_local! {
    static SAID: Cell<Said> = const { Cell::new(Said { second: 0, lines: 0, left_out: 0 }) };
}

/// What was said in the present second, and left out since the last one that said so.
#[derive(Clone, Copy)]
struct Said {
    second: u64,
    lines: u32,
    left_out: u64,
}

/// Says these lines of error output; so many bytes of it were not kept.
pub(crate) fn tell<'a>(lines: impl Iterator<Item = &'a [u8]>, bytes_lost: u64) {
    for line in lines {
        let cut = &line[..line.len().min(LINE_BYTES_MAX)];
        say(format_args!("script: {}", cut.escape_ascii()));
    }
    if bytes_lost > 0 {
        say(format_args!("script: {bytes_lost} bytes more of error output"));
    }
}

/// Says what is wrong with an answer.
pub(crate) fn tell_fault(fault: Fault) {
    say(format_args!("an answer by FastCGI was refused ({}): {fault}", fault.label()));
}

fn say(words: std::fmt::Arguments<'_>) {
    let now = clock::coarse().unix_seconds();
    let (said, left_out) = admitted(SAID.get(), now);
    SAID.set(said);
    if let Some(left_out) = left_out {
        if left_out > 0 {
            notice(format_args!("script: {left_out} lines of error output were left out"));
        }
        notice(words);
    }
}

/// Whether one more line may be said now, and how many were left out before it.
fn admitted(said: Said, now: u64) -> (Said, Option<u64>) {
    if said.second != now {
        return (Said { second: now, lines: 1, left_out: 0 }, Some(said.left_out));
    }
    if said.lines < LINES_MAX {
        return (Said { lines: said.lines + 1, ..said }, Some(0));
    }
    (Said { left_out: said.left_out + 1, ..said }, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_said() {
        let mut said = Said { second: 0, lines: 0, left_out: 0 };
        let mut heard = 0;
        for _ in 0..1_000 {
            let (next, left_out) = admitted(said, 7);
            said = next;
            heard += u32::from(left_out.is_some());
        }
        assert_eq!(heard, LINES_MAX);
        assert_eq!(admitted(said, 8).1, Some(1_000 - u64::from(LINES_MAX)), "the next second says how many");
    }
}
