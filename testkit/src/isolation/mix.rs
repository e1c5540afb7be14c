//! What is asked when: a pure function of the seed, the step and who asks. All walkers agree on the hot steps, in
//! which everyone asks for the same target at the same moment.

use tentpole_runtime::random::Random;

use super::{Isolation, Person};
use crate::visitor::Ask;

/// How one request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Get,
    Head,
    /// With the entity tag that this walker has seen for the target.
    Conditional,
    Post,
    /// Leaves without waiting for the answer.
    Leave,
}

/// One request to be made.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub(super) target: String,
    pub(super) manner: Manner,
    pub(super) language: &'static str,
    pub(super) takes_gzip: bool,
}

/// The target that everyone asks for in this step; `None` when each asks for its own.
pub(super) fn hot_target(isolation: &Isolation, step: u64) -> Option<&str> {
    let mut random = random(isolation.seed, step, u64::MAX);
    random.next_u64().is_multiple_of(2).then(|| pick(&isolation.targets, &mut random).as_str())
}

/// Is the hot target of this step purged?
pub(super) fn purges(isolation: &Isolation, step: u64) -> bool {
    random(isolation.seed, step, u64::MAX - 1).next_u64().is_multiple_of(3)
}

/// What this walker asks for in this step.
pub(super) fn errand(isolation: &Isolation, step: u64, walker: u64) -> Errand {
    let mut random = random(isolation.seed, step, walker);
    let own = pick(&isolation.targets, &mut random);
    let target = hot_target(isolation, step).unwrap_or(own).to_owned();
    let manner = match random.next_u64() % 100 {
        0..4 => Manner::Leave,
        4..12 => Manner::Head,
        12..20 => Manner::Conditional,
        20..22 if isolation.is_site => Manner::Post,
        _ => Manner::Get,
    };
    let language = *pick(&["de", "fr", "en"], &mut random);
    // The site's gzip leaves markers readable; another application's would hide them.
    let takes_gzip = isolation.is_site && random.next_u64().is_multiple_of(2);
    Errand { target, manner, language, takes_gzip }
}

/// The request for an errand, as this person sends it.
pub(super) fn ask(errand: &Errand, person: &Person, tag: Option<&str>) -> Ask {
    let ask = match errand.manner {
        Manner::Head => Ask::head(&errand.target),
        Manner::Post => Ask::post(&errand.target, "note=1"),
        Manner::Get | Manner::Conditional | Manner::Leave => Ask::get(&errand.target),
    };
    let ask = ask.header("Accept-Language", errand.language);
    let ask = if errand.takes_gzip { ask.header("Accept-Encoding", "gzip") } else { ask };
    let ask = match (tag, errand.manner) {
        (Some(tag), Manner::Conditional) => ask.header("If-None-Match", tag),
        _ => ask,
    };
    match &person.authorization {
        Some(authorization) if errand.target.starts_with("/api") => {
            ask.header("Authorization", authorization)
        }
        _ => ask.cookie(&person.cookie),
    }
}

fn pick<'a, T>(all: &'a [T], random: &mut Random) -> &'a T {
    let at = usize::try_from(random.next_u64() % all.len() as u64).unwrap_or(0);
    &all[at]
}

fn random(seed: u64, step: u64, who: u64) -> Random {
    // Mixed through the generator itself, so that neighbouring steps and walkers do not resemble one another.
    let mixed = Random::from_seed(seed).next_u64() ^ Random::from_seed(step).next_u64().rotate_left(21);
    Random::from_seed(mixed ^ Random::from_seed(who).next_u64().rotate_left(42))
}
