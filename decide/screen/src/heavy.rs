//! Who was refused most, in memory that does not grow: the space-saving sketch (Metwally, Agrawal and El Abbadi, "Efficient
//! Computation of Frequent and Top-k Elements in Data Streams", 2005), one for each minute. Reads no clock.

use std::net::IpAddr;

/// Clients that are counted at once. Whoever has more than a 64th of all refusals is among them.
const CLIENTS_MAX: usize = 64;

/// The refusals of this minute and of the one before it.
#[derive(Clone, Debug, Default)]
pub struct Heavy {
    minute: u64,
    now: Vec<Refusals>,
    before: Vec<Refusals>,
}

/// How often a client was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// The client.
    pub address: IpAddr,
    /// The filter that refused it last.
    pub filter: u16,
    /// How often, at most.
    pub count: u64,
    /// By how much that may be too many: what the client had whose place it took.
    pub error: u64,
}

impl Heavy {
    /// A refusal in this minute, counted from any beginning.
    pub fn count(&mut self, address: IpAddr, filter: u16, minute: u64) {
        self.turn(minute);
        if let Some(known) = self.now.iter_mut().find(|known| known.address == address) {
            known.count += 1;
            known.filter = filter;
            return;
        }
        if self.now.len() < CLIENTS_MAX {
            self.now.push(Refusals { address, filter, count: 1, error: 0 });
        } else if let Some(least) = self.now.iter_mut().min_by_key(|known| known.count) {
            *least = Refusals { address, filter, count: least.count + 1, error: least.count };
        }
    }

    /// Those of the last whole minute, or of this one while there are none; the most often refused first.
    pub fn top(&mut self, minute: u64) -> Vec<Refusals> {
        self.turn(minute);
        let mut all = if self.before.is_empty() { self.now.clone() } else { self.before.clone() };
        all.sort_by(|a, b| b.count.cmp(&a.count).then(a.address.cmp(&b.address)));
        all
    }

    fn turn(&mut self, minute: u64) {
        if minute == self.minute {
            return;
        }
        std::mem::swap(&mut self.now, &mut self.before);
        if minute != self.minute + 1 {
            self.before.clear();
        }
        self.now.clear();
        self.minute = minute;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[test]
    fn the_loudest_are_found_among_many() {
        let mut heavy = Heavy::default();
        for round in 0..10_000u32 {
            heavy.count(address(1_000 + round), 0, 1);
            if round % 2 == 0 {
                heavy.count(address(1), 3, 1);
            }
            if round % 4 == 0 {
                heavy.count(address(2), 4, 1);
            }
        }
        let top = heavy.top(1);
        assert_eq!((top.len(), top[0].address, top[1].address), (CLIENTS_MAX, address(1), address(2)));
        assert!((5_000..=5_000 + top[0].error).contains(&top[0].count) && top[0].filter == 3, "{:?}", top[0]);
    }

    #[test]
    fn a_minute_is_shown_until_the_next_one_is_whole() {
        let mut heavy = Heavy::default();
        heavy.count(address(1), 0, 5);
        assert_eq!(heavy.top(5).len(), 1);
        heavy.count(address(2), 0, 6);
        assert_eq!(heavy.top(6)[0].address, address(1));
        assert_eq!(heavy.top(7)[0].address, address(2));
        assert!(heavy.top(99).is_empty());
    }
}
