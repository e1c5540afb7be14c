//! What a new control process finds with an instance, and what it leaves: the phase, and whether another one is to take
//! its place.

use tentpole_model::InstancePhase;

/// Each phase: its word, and that of an instance whose place another one is to take.
const WORDS: [(InstancePhase, &str, &str); 5] = [
    (InstancePhase::Starting, "starting", "starting, old"),
    (InstancePhase::WarmingUp, "warming up", "warming up, old"),
    (InstancePhase::Serving, "serving", "serving, old"),
    (InstancePhase::Draining, "draining", "draining, old"),
    (InstancePhase::Stopping, "stopping", "stopping, old"),
];

pub(crate) fn of(phase: InstancePhase, old: bool) -> &'static str {
    let words = WORDS.iter().find(|(of, ..)| *of == phase);
    words.map_or("", |&(_, word, of_old)| if old { of_old } else { word })
}

/// The phase, and whether it is old; starting when nobody left a word.
pub(crate) fn read(word: &str) -> (InstancePhase, bool) {
    let known = WORDS.iter().find(|(_, new, old)| [new, old].contains(&&word));
    known.map_or((InstancePhase::Starting, false), |&(phase, _, old)| (phase, old == word))
}
