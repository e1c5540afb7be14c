//! What changed about a name, in words for a person.

use std::net::SocketAddr;
use std::time::Duration;
use tentpole_model::{Asked, NameAnswers, Target};

/// Addresses that a sentence names.
const SHOWN_MAX: usize = 8;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Looking it up began to fail.
    Trouble { words: String, age: Option<Duration> },
    /// It works again.
    Well,
    /// A name, which may be another one than was looked up, leads elsewhere.
    LeadsTo { name: Asked, came: Vec<String>, left: Vec<String> },
}

impl Event {
    /// As one sentence about the name that was looked up.
    pub(crate) fn in_words(&self, asked: &Asked) -> String {
        match self {
            Self::Trouble { words, age: Some(age) } => {
                let age = Duration::from_secs(age.as_secs());
                format!("name {asked}: {words}; the last good answer, {age:?} old, stays in use")
            }
            Self::Trouble { words, age: None } => format!("name {asked}: {words}; it has no address yet"),
            Self::Well => format!("name {asked}: it is answered again"),
            Self::LeadsTo { name, came, left } => match (came.as_slice(), left.as_slice()) {
                (came, []) => format!("name {name}: leads to {} too", list(came)),
                ([], left) => format!("name {name}: leads to {} no longer", list(left)),
                (came, left) => {
                    format!("name {name}: leads to {} now, to {} no longer", list(came), list(left))
                }
            },
        }
    }
}

/// Names that had an answer before and lead elsewhere now.
pub(crate) fn changes(before: &NameAnswers, now: &NameAnswers) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, answer) in &now.names {
        let Some(was) = before.names.get(name).filter(|was| !was.targets.is_empty()) else { continue };
        let not_in = |these: &[Target], those: &[Target]| -> Vec<String> {
            let same = |one: &Target, other: &Target| (one.ip, one.port) == (other.ip, other.port);
            these.iter().filter(|one| !those.iter().any(|other| same(one, other))).map(target).collect()
        };
        let (came, left) = (not_in(&answer.targets, &was.targets), not_in(&was.targets, &answer.targets));
        if !came.is_empty() || !left.is_empty() {
            events.push(Event::LeadsTo { name: name.clone(), came, left });
        }
    }
    events
}

/// An address as it is shown.
pub(crate) fn target(target: &Target) -> String {
    match target.port {
        Some(port) => SocketAddr::new(target.ip, port).to_string(),
        None => target.ip.to_string(),
    }
}

fn list(addresses: &[String]) -> String {
    let shown = addresses[..addresses.len().min(SHOWN_MAX)].join(", ");
    match addresses.len().saturating_sub(SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
