//! Flags of `tentpole load` that would have no effect: whoever typed one believes that it was tried. Refused before anything is
//! sent; decides nothing else.

use crate::load::args::{Load, Range};

/// The first such flag, and with what it goes.
pub fn refused(typed: &Load) -> Result<(), String> {
    let load = typed.rate.or(typed.visitors);
    let is_climb = !matches!(load, Some(Range::Constant(_))) && typed.replay.is_none();
    let has_end = matches!(load, Some(Range::Climb(_, Some(_)) | Range::Constant(_)));
    // What a file says is read later: it may have stages of either kind.
    let (file, finds) = (typed.profile.is_some(), typed.finding.find);
    let open = typed.rate.is_some() || typed.replay.is_some() || file;
    let all = [
        (typed.speed.is_some(), "--speed", typed.replay.is_some(), "--replay"),
        (typed.all_methods, "--all-methods", typed.replay.is_some(), "--replay"),
        (typed.burst.is_some(), "--burst", typed.rate.is_some(), "--rate N"),
        (typed.half_life.is_some(), "--half-life", typed.burst.is_some(), "--burst"),
        (typed.arrivals.is_some(), "--arrivals", open && typed.replay.is_none(), "--rate"),
        (typed.in_flight.is_some(), "--in-flight", open, "--rate or --replay"),
        (typed.finding.find_time.is_some(), "--find-time", finds, "--find"),
        (typed.step_time.is_some(), "--step-time", is_climb && !finds, "a climb: --visitors FROM..TO"),
        (
            typed.visitors_max.is_some(),
            "--visitors-max",
            is_climb && !has_end,
            "a climb without an end: --visitors FROM..",
        ),
    ];
    match all.into_iter().find(|(is_typed, _, goes, _)| *is_typed && !goes) {
        Some((_, flag, _, with)) => Err(format!("{flag} has no effect here: it goes with {with}.")),
        None => Ok(()),
    }
}
