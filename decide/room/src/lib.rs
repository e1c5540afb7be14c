//! The waiting room's arithmetic: who comes in, who waits and at which place, who holds a seat. Pure: whoever calls brings
//! the time, chance and what the ticket says. Knows nothing of cookies, signatures, pages, requests, files or threads.

mod limits;
mod line;
mod lottery;
mod pace;
mod path;
mod room;
mod seats;
mod ticket;

pub use limits::{Limits, Told, limits};
pub use lottery::{permuted, unpermuted};
pub use path::Paths;
pub use room::{Chance, Hand, Kept, Phase, Room, Rules, Sample, Status, Verdict, Waiting};
pub use ticket::{BYTES as TICKET_BYTES, Kind, Ticket};
