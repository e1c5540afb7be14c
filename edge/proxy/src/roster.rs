//! Which endpoints of a pool get traffic, in which tier, and what part of the requests each tier gets: worked out once
//! when membership or weights change, so that choosing looks at nobody who is away. Chooses nothing.

use crate::prepare::PreparedPool;
use crate::thread::open_addresses;
use tentpole_balance::tiers::{self, TIERS_MAX, Tier};
use tentpole_model::{ATTEMPTS_MAX, Member, Pool};

/// The endpoints of a pool that get traffic, as of one View.
pub(crate) struct Roster {
    /// By tier, lowest first.
    open: Box<[u16]>,
    /// Those tiers of which some are open.
    tiers: Vec<OpenTier>,
}

struct OpenTier {
    /// Where it ends in `open`; it begins where the one before ends.
    end: usize,
    /// Its part of the requests; 0 while the tiers before carry all of them.
    share: u32,
}

impl Roster {
    pub(crate) fn new(pool: &Pool, prepared: &PreparedPool, members: &[Member], weights: &[u32]) -> Self {
        let is_open = |index: usize| !open_addresses(members, weights, index).is_empty();
        // A slot where nothing stands is nobody that could be missed: of a fleet, or of a name with fewer addresses.
        let is_there = |index: usize| members.get(index).is_some_and(|member| !member.addresses.is_empty());
        let mut open = Vec::new();
        let (mut found, mut ends) = (Vec::new(), Vec::new());
        // What the name of a service says (SRV) comes on top of what the file says.
        let tier =
            |index: u16| tier_of(pool, index) + members.get(usize::from(index)).map_or(0, |it| it.tier);
        let mut by_tier = prepared.by_tier.clone();
        by_tier.sort_by_key(|&index| tier(index));
        for of_tier in by_tier.chunk_by(|&one, &other| tier(one) == tier(other)) {
            let weight = |is: &dyn Fn(usize) -> bool| {
                let indices = of_tier.iter().map(|&index| usize::from(index)).filter(|&index| is(index));
                indices.map(|index| u64::from(pool.endpoints[index].weight)).sum::<u64>()
            };
            found.push(Tier { open: weight(&is_open), all: weight(&is_there) });
            open.extend(of_tier.iter().filter(|&&index| is_open(usize::from(index))));
            ends.push(open.len());
        }
        let shares = tiers::shares(&found, pool.overprovisioning_percent);
        let tiers = ends.into_iter().zip(shares).zip(found).filter(|(_, tier)| tier.open > 0);
        let tiers = tiers.map(|((end, share), _)| OpenTier { end, share }).collect();
        Self { open: open.into(), tiers }
    }

    /// All of them.
    pub(crate) fn open(&self) -> impl Iterator<Item = usize> {
        self.open.iter().map(|&index| usize::from(index))
    }

    /// The one that gets traffic, where no other does.
    pub(crate) fn only(&self) -> Option<usize> {
        let [only] = *self.open else { return None };
        Some(usize::from(only))
    }

    /// Whether the endpoint gets traffic.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.open().any(|open| open == index)
    }

    /// The tiers in the order in which a request asks them: first the one that it is drawn for, then the others that get a
    /// part of the requests; and whether it may ask the tier only when nobody is left in those before.
    pub(crate) fn in_order(&self, random: u64) -> impl Iterator<Item = (&[u16], bool)> {
        let drawn = match self.tiers.as_slice() {
            [] | [_] => 0,
            tiers => {
                let mut shares = [0; TIERS_MAX];
                shares.iter_mut().zip(tiers).for_each(|(share, tier)| *share = tier.share);
                tiers::draw(&shares, random).unwrap_or(0)
            }
        };
        let others = (0..self.tiers.len()).filter(move |&at| at != drawn);
        let order = (drawn..self.tiers.len()).take(1).chain(others);
        order.map(|at| (self.tier(at), self.tiers[at].share == 0))
    }

    fn tier(&self, at: usize) -> &[u16] {
        let start = at.checked_sub(1).map_or(0, |before| self.tiers[before].end);
        &self.open[start..self.tiers[at].end]
    }
}

fn tier_of(pool: &Pool, index: u16) -> u32 {
    pool.endpoints[usize::from(index)].tier
}

/// The endpoints that a request was sent to in vain: exact, however many a pool has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    endpoints: [u16; ATTEMPTS_MAX],
    count: u8,
}

impl Tried {
    /// Whether it was sent nowhere yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One more. Beyond [`ATTEMPTS_MAX`], which no request reaches, the last is forgotten.
    pub(crate) fn add(&mut self, index: usize) {
        let at = usize::from(self.count).min(ATTEMPTS_MAX - 1);
        self.endpoints[at] = u16::try_from(index).unwrap_or(u16::MAX);
        self.count = at as u8 + 1;
    }

    /// These and one more.
    pub(crate) fn and(mut self, index: usize) -> Self {
        self.add(index);
        self
    }

    pub(crate) fn has(&self, index: usize) -> bool {
        self.endpoints[..usize::from(self.count)].iter().any(|&tried| usize::from(tried) == index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_tried_is_told_apart_in_a_pool_of_any_size() {
        let mut tried = Tried::default();
        assert!(!tried.has(0));
        tried.add(64);
        assert!(tried.has(64) && !tried.has(0) && !tried.has(128));
        tried.add(0);
        tried.add(999);
        assert!(tried.has(64) && tried.has(0) && tried.has(999));
    }
}
