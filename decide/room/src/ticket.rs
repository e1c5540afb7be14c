//! What a ticket says, as bytes. Who signs them is not known here.

/// Bytes of a ticket.
pub const BYTES: usize = 29;

/// What a visitor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// What it is good for.
    pub kind: Kind,
    /// The event that it belongs to; a ticket of another one counts for nothing.
    pub round: u32,
    /// Who it is, by chance.
    pub visitor: u64,
    /// The place in the line, or among those who were early; 0 for one who never had to wait.
    pub number: u64,
    /// Another one in each copy that is handed out to one who is inside.
    pub nonce: u32,
    /// When it was written, in seconds since 1970.
    pub issued_s: u32,
}

/// What a ticket is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// He came before the doors opened: his number is drawn then.
    Early,
    /// He waits.
    Waiting,
    /// He is inside.
    Inside,
}

impl Ticket {
    /// Its bytes.
    pub fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[0] = match self.kind {
            Kind::Early => 1,
            Kind::Waiting => 2,
            Kind::Inside => 3,
        };
        bytes[1..5].copy_from_slice(&self.round.to_be_bytes());
        bytes[5..13].copy_from_slice(&self.visitor.to_be_bytes());
        bytes[13..21].copy_from_slice(&self.number.to_be_bytes());
        bytes[21..25].copy_from_slice(&self.nonce.to_be_bytes());
        bytes[25..29].copy_from_slice(&self.issued_s.to_be_bytes());
        bytes
    }

    /// What the bytes say; `None` when they say nothing.
    pub fn from_bytes(bytes: &[u8; BYTES]) -> Option<Self> {
        let kind = match bytes[0] {
            1 => Kind::Early,
            2 => Kind::Waiting,
            3 => Kind::Inside,
            _ => return None,
        };
        let number = |from: usize, to: usize| bytes[from..to].iter().fold(0, |n, &b| n << 8 | u64::from(b));
        Some(Self {
            kind,
            round: number(1, 5) as u32,
            visitor: number(5, 13),
            number: number(13, 21),
            nonce: number(21, 25) as u32,
            issued_s: number(25, 29) as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_says_what_it_said() {
        for kind in [Kind::Early, Kind::Waiting, Kind::Inside] {
            let ticket = Ticket {
                kind,
                round: 7,
                visitor: u64::MAX - 3,
                number: 1 << 40,
                nonce: 0xdead_beef,
                issued_s: 1_800_000_000,
            };
            assert_eq!(Ticket::from_bytes(&ticket.bytes()), Some(ticket));
        }
        assert_eq!(Ticket::from_bytes(&[0; BYTES]), None);
    }
}
