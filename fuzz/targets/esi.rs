//! Pages: never a panic, the same however they are cut, and what is left of the text lies in the page, in order.

#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use tentpole_esi::{ADDRESS_BYTES_MAX, EsiError, INCLUDES_MAX, Parser, Piece, Plan, parse};

fn parse_cut(page: &[u8], cuts: &[usize]) -> Result<Plan, EsiError> {
    let mut parser = Parser::new();
    let mut from = 0;
    for &cut in cuts.iter().chain([&page.len()]) {
        let to = cut.min(page.len());
        parser.feed(&page[from..to])?;
        from = to;
    }
    parser.finish()
}

/// Checks the pieces; returns where the last of their text ends, and the includes in them.
fn checked(pieces: &[Piece], from: u64, length: u64) -> (u64, usize) {
    pieces.iter().fold((from, 0), |(from, includes), piece| match piece {
        Piece::Text(range) => {
            assert!(from <= range.start && range.start < range.end && range.end <= length);
            (range.end, includes)
        }
        Piece::Include(include) => {
            for address in [Some(&include.src), include.alt.as_ref()].into_iter().flatten() {
                assert!(address.len() <= ADDRESS_BYTES_MAX);
                assert!(address.bytes().all(|byte| byte > b' ' && byte != 0x7f));
            }
            (from, includes + 1)
        }
        Piece::Try { attempt, except } => {
            // In the page, either may come first.
            let (attempt, except) = (checked(attempt, from, length), checked(except, from, length));
            (attempt.0.max(except.0), includes + attempt.1 + except.1)
        }
    })
}

fuzz_target!(|input: &[u8]| {
    let (cuts, page) = common::cut(input);
    let plan = parse(page);
    assert_eq!(parse_cut(page, &cuts), plan);
    if let Ok(plan) = plan {
        let (end, includes) = checked(plan.pieces(), 0, page.len() as u64);
        assert!(end <= page.len() as u64 && includes <= plan.includes() && plan.includes() <= INCLUDES_MAX);
        if plan.is_plain() && !page.is_empty() {
            assert_eq!(plan.pieces(), [Piece::Text(0..page.len() as u64)]);
        }
    }
});
