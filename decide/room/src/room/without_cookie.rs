//! Those whose browser keeps no ticket: they keep a place, and nobody waits for them.

use super::{Chance, Phase, Room, Verdict, Waiting};
use crate::line::Place;
use crate::ticket::{Kind, Ticket};

/// One whose turn has come and who cannot come in asks again after this time, in milliseconds.
const REFRESH_BLOCKED_MS: u64 = 10_000;

impl Room {
    /// What a visitor is told whose page shows this ticket and whose browser keeps none: his place, for as long as the page asks.
    /// He does not come in, for the next page would not know him, and nobody is kept waiting for him.
    pub fn ask_without_cookie(&mut self, shown: Ticket, now_ms: u64, chance: &Chance<'_>) -> Verdict {
        let now_ms = now_ms.max(self.now_ms);
        let phase = self.renew(now_ms, chance.secret);
        let shown = Some(shown).filter(|ticket| ticket.round == self.round);
        let early = shown.filter(|ticket| ticket.kind == Kind::Early);
        match (phase, early) {
            (Phase::Off, _) => return Verdict::Inside(None),
            (Phase::Over, _) => return Verdict::Over,
            (Phase::Early, Some(ticket)) => return self.early(ticket, now_ms),
            (Phase::Early, None) => return self.arrives_early(now_ms, chance),
            _ => {}
        }
        let drawn = early.and_then(|ticket| {
            let number = self.drawn(ticket.number, chance.secret)?;
            Some(Ticket { kind: Kind::Waiting, number, ..ticket })
        });
        let Some(ticket) = drawn.or(shown.filter(|ticket| ticket.kind == Kind::Waiting)) else {
            return self.lines_up(now_ms, chance);
        };
        if ticket.number > self.line.issued {
            self.line.give_all(ticket.number);
        }
        match self.line.place(ticket.number) {
            Place::Waiting(_) => {
                let told = self.waits(ticket, now_ms);
                self.line.away(ticket.number);
                match told {
                    // He is not counted among those who are there.
                    Verdict::Waits(waiting) => {
                        Verdict::Waits(Waiting { waiting: waiting.waiting.max(waiting.place), ..waiting })
                    }
                    other => other,
                }
            }
            Place::Called => {
                self.line.away(ticket.number);
                let waiting = self.line.present().max(1);
                let refresh_ms = REFRESH_BLOCKED_MS;
                Verdict::Waits(Waiting { ticket, phase, place: 1, waiting, estimate_s: None, refresh_ms })
            }
            Place::Entered | Place::Lost => self.lines_up(now_ms, chance),
        }
    }
}
