//! What was purged, as far as something on disk can still be of it. Nothing on disk is looked for or touched by a purge:
//! each object carries the number of the last purge before its fetch began, and who reads it compares. Pure and
//! bounded: when there are too many orders, the oldest half becomes "everything stored before". Knows no file and no
//! time.

use std::collections::HashMap;

/// Orders in one half; two halves are kept.
pub(crate) const HALF_MAX: usize = 50_000;
/// Prefixes in one half: each read of the disk compares with all of them.
pub(crate) const HALF_PREFIXES_MAX: usize = 1_000;
/// Longest prefix; what begins like a longer one is purged with it.
pub(crate) const PREFIX_BYTES_MAX: usize = 1_024;

/// What a purge is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// All variants of a key, by its hash.
    Key(u64),
    /// All keys that begin so.
    Prefix(Box<[u8]>),
    /// All that carry a tag.
    Tag(u64),
    /// All of a site.
    Site(u64),
    /// All.
    All,
}

/// One purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Objects whose number is below are meant.
    pub sequence: u64,
    /// They stay, and are stale.
    pub soft: bool,
    pub what: What,
}

/// What an object is known by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub sequence: u64,
    pub key_hash: u64,
    pub key: &'a [u8],
    pub tags: &'a [u64],
    pub site: u64,
}

/// What purges left of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No purge meant it.
    Kept,
    /// A soft one did: it may be served only as what is stale may be.
    Stale,
    /// It must not be served.
    Gone,
}

/// All purges that may still matter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Purges {
    /// The number of the last purge.
    counter: u64,
    /// Everything with a number below was purged.
    floor: u64,
    older: Half,
    newer: Half,
}

#[derive(Clone, Debug, Default)]
struct Half {
    orders: usize,
    /// Number of its last order.
    last: u64,
    keys: HashMap<u64, Marks>,
    tags: HashMap<u64, Marks>,
    sites: HashMap<u64, Marks>,
    prefixes: Vec<(Box<[u8]>, Marks)>,
    all: Marks,
}

/// The last hard and the last soft purge of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks {
    hard: u64,
    soft: u64,
}

/// What a tag of one site is known by.
pub(crate) fn tag_of_site(tag: u64, site: u64) -> u64 {
    // Any mixture that keeps different pairs apart: two that share it cost a purge that takes too much.
    (tag ^ site.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ site
}

impl Purges {
    /// None yet, after purges of which nothing more is known than their number.
    pub(crate) fn after(counter: u64, floor: u64) -> Self {
        Self { counter, floor, ..Self::default() }
    }

    /// The number that an object gets whose fetch begins now.
    pub(crate) fn sequence(&self) -> u64 {
        self.counter
    }

    /// Everything with a number below was purged.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// Orders that are kept.
    pub(crate) fn len(&self) -> usize {
        self.older.orders + self.newer.orders
    }

    /// Purges; returns what has to be written down.
    pub(crate) fn purge(&mut self, what: What, soft: bool) -> Order {
        let what = match what {
            What::Prefix(mut prefix) if prefix.len() > PREFIX_BYTES_MAX => {
                prefix = prefix[..PREFIX_BYTES_MAX].into();
                What::Prefix(prefix)
            }
            what => what,
        };
        let order = Order { sequence: self.counter + 1, soft, what };
        self.apply(&order);
        order
    }

    /// Does what an order says that was written down before.
    pub(crate) fn apply(&mut self, order: &Order) {
        self.counter = self.counter.max(order.sequence);
        if matches!(order.what, What::All) && !order.soft {
            self.collapse(order.sequence);
            return;
        }
        self.newer.apply(order);
        if self.newer.is_full() {
            let newer = std::mem::take(&mut self.newer);
            let older = std::mem::replace(&mut self.older, newer);
            self.floor = self.floor.max(older.last);
        }
    }

    /// Everything stored before is purged, or there is nothing from before: what was ordered before needs no memory.
    pub(crate) fn collapse(&mut self, sequence: u64) {
        let floor = sequence.min(self.counter);
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        for half in [&mut self.older, &mut self.newer] {
            half.forget_before(floor);
        }
    }

    /// What they left of an object.
    pub(crate) fn standing(&self, named: &Named<'_>) -> Standing {
        let mut marks = Marks { hard: self.floor, soft: 0 };
        for half in [&self.older, &self.newer] {
            half.mark(named, &mut marks);
        }
        match named.sequence {
            sequence if sequence < marks.hard => Standing::Gone,
            sequence if sequence < marks.soft => Standing::Stale,
            _ => Standing::Kept,
        }
    }

    /// Orders that say the same as all that are kept, oldest first.
    pub(crate) fn orders(&self) -> Vec<Order> {
        let mut orders: Vec<Order> = [&self.older, &self.newer].into_iter().flat_map(Half::orders).collect();
        orders.sort_by_key(|order| order.sequence);
        orders
    }
}

impl Half {
    fn is_full(&self) -> bool {
        self.orders >= HALF_MAX || self.prefixes.len() >= HALF_PREFIXES_MAX
    }

    fn apply(&mut self, order: &Order) {
        self.last = self.last.max(order.sequence);
        let marks = match &order.what {
            What::Key(hash) => self.keys.entry(*hash).or_default(),
            What::Tag(tag) => self.tags.entry(*tag).or_default(),
            What::Site(site) => self.sites.entry(*site).or_default(),
            What::All => &mut self.all,
            What::Prefix(prefix) => {
                let at = self.prefixes.iter().position(|(known, _)| known == prefix);
                let at = at.unwrap_or_else(|| {
                    self.prefixes.push((prefix.clone(), Marks::default()));
                    self.prefixes.len() - 1
                });
                &mut self.prefixes[at].1
            }
        };
        let mark = if order.soft { &mut marks.soft } else { &mut marks.hard };
        // The same order again replaces the one before.
        self.orders += usize::from(*mark == 0);
        *mark = (*mark).max(order.sequence);
    }

    /// Forgets orders up to a number.
    fn forget_before(&mut self, floor: u64) {
        if self.last <= floor {
            *self = Self::default();
            return;
        }
        let mut orders = 0;
        let mut matters = |marks: &mut Marks| {
            for mark in [&mut marks.hard, &mut marks.soft] {
                if *mark <= floor {
                    *mark = 0;
                }
                orders += usize::from(*mark > 0);
            }
            *marks != Marks::default()
        };
        self.keys.retain(|_, marks| matters(marks));
        self.tags.retain(|_, marks| matters(marks));
        self.sites.retain(|_, marks| matters(marks));
        self.prefixes.retain_mut(|(_, marks)| matters(marks));
        matters(&mut self.all);
        self.orders = orders;
    }

    fn mark(&self, named: &Named<'_>, marks: &mut Marks) {
        if self.last <= named.sequence {
            return;
        }
        // A tag is looked for by itself and as one of its site: a purge may name either.
        let both = |&tag: &u64| [tag, tag_of_site(tag, named.site)];
        let tags = named.tags.iter().flat_map(both).filter_map(|tag| self.tags.get(&tag));
        let prefixes = self.prefixes.iter().filter(|(prefix, _)| named.key.starts_with(prefix));
        let found = tags.chain(prefixes.map(|(_, marks)| marks));
        let found = found.chain(self.keys.get(&named.key_hash)).chain(self.sites.get(&named.site));
        for mark in found.chain([&self.all]) {
            marks.hard = marks.hard.max(mark.hard);
            marks.soft = marks.soft.max(mark.soft);
        }
    }

    fn orders(&self) -> Vec<Order> {
        let mut orders = Vec::with_capacity(self.orders);
        let mut push = |what: What, marks: &Marks| {
            for (sequence, soft) in [(marks.hard, false), (marks.soft, true)] {
                if sequence > 0 {
                    orders.push(Order { sequence, soft, what: what.clone() });
                }
            }
        };
        self.keys.iter().for_each(|(&hash, marks)| push(What::Key(hash), marks));
        self.tags.iter().for_each(|(&tag, marks)| push(What::Tag(tag), marks));
        self.sites.iter().for_each(|(&site, marks)| push(What::Site(site), marks));
        self.prefixes.iter().for_each(|(prefix, marks)| push(What::Prefix(prefix.clone()), marks));
        push(What::All, &self.all);
        orders
    }
}
