//! Who shares a pool's limit out. One for each pool; knows of an edge only what it said last and what it was promised.

use crate::PACE_PERCENT;
use crate::share::fair_shares;
use std::collections::BTreeMap;
use std::time::Duration;
use tentpole_model::{LeaseGranted, LeaseWanted};

/// Edges that one pool is shared between. One more gets nothing until another's lease is over.
const EDGES_MAX: usize = 256;
/// What an edge gets beyond what it has to do, as a share of that: so that one more visitor need not wait for an answer.
const AHEAD_PARTS: u32 = 4;
/// Beyond the total by this part of it, what edges want is clearly more than there is.
const SCARCE_PARTS: u32 = 4;
/// The part of what it holds that an edge gives back then with each answer, down to its fair share.
const BACK_PARTS: u32 = 8;

/// A pool's limit and what of it is promised.
#[derive(Clone, Debug)]
pub struct Broker {
    total: u32,
    valid: Duration,
    edges: BTreeMap<u64, Edge>,
    /// Nothing is granted before: an earlier broker's leases may be in force.
    opens: Duration,
}

/// An edge, until its lease is over.
#[derive(Clone, Copy, Debug)]
struct Edge {
    /// Its newest message.
    number: u64,
    /// What it has to do.
    busy: u32,
    /// What it said that it keeps until it has the answer, and what the answer said.
    keeps: u32,
    share: u32,
    ends: Duration,
}

impl Broker {
    /// Shares out `total` by leases that are valid for so long. `now` is the time at which it begins: it grants nothing for
    /// one lease, because a broker before it may have.
    pub fn new(total: u32, valid: Duration, now: Duration) -> Self {
        Self { opens: now + longer(valid), ..Self::first(total, valid) }
    }

    /// The first broker that this pool has ever had: it may grant at once.
    pub fn first(total: u32, valid: Duration) -> Self {
        Self { total, valid, edges: BTreeMap::new(), opens: Duration::ZERO }
    }

    /// Another total from now on. What is promised beyond it ends with its leases.
    pub fn set_total(&mut self, total: u32) {
        self.total = total;
    }

    /// What all edges together may be using now. Not above the total, but for what edges had in flight when they came or when
    /// the total was lowered.
    pub fn promised(&self, now: Duration) -> u32 {
        self.edges.values().filter(|edge| edge.ends > now).map(Edge::most).sum()
    }

    /// Answers a message that came at `now`; `None` when a newer one of this edge came before it, or too many edges ask.
    pub fn asked(&mut self, edge: u64, wanted: LeaseWanted, now: Duration) -> Option<LeaseGranted> {
        self.edges.retain(|_, edge| edge.ends > now);
        match self.edges.get(&edge) {
            Some(known) if wanted.number <= known.number => return None,
            None if self.edges.len() >= EDGES_MAX => return None,
            _ => {}
        }
        let (busy, number) = (wanted.in_flight.saturating_add(wanted.waiting), wanted.number);
        let busy = busy.min(self.total);
        let keeps = wanted.keeps.max(wanted.in_flight);
        let ends = now + longer(self.valid);
        self.edges.insert(edge, Edge { number, busy, keeps, share: 0, ends });
        let share = if now < self.opens { 0 } else { self.share_of(edge, keeps) };
        if let Some(known) = self.edges.get_mut(&edge) {
            known.share = share;
        }
        Some(LeaseGranted { number, share, valid: self.valid })
    }

    /// Its fair share, as far as the others have given theirs back.
    fn share_of(&self, edge: u64, held: u32) -> u32 {
        let busy: Vec<u32> = self.edges.values().map(|edge| edge.busy).collect();
        let at = self.edges.keys().position(|&known| known == edge).unwrap_or(0);
        // First what there is to do everywhere, then room for more.
        let shares = fair_shares(self.total, &busy);
        let left = self.total - shares.iter().sum::<u32>();
        let ahead: Vec<u32> = busy.iter().map(|busy| (busy / AHEAD_PARTS).max(1)).collect();
        let ahead = fair_shares(left, &ahead);
        let fair = shares.get(at).zip(ahead.get(at)).map_or(0, |(share, ahead)| share + ahead);
        let others = self.edges.iter().filter(|(known, _)| **known != edge).map(|(_, other)| other.most());
        let room = self.total.saturating_sub(others.sum());
        // What edges said is up to a question old, so what lies free is for whoever can use it now. Where there is clearly too
        // little, whoever has more than his fair share gives back a part of it each time.
        let is_scarce = busy.iter().sum::<u32>() > self.total.saturating_add(self.total / SCARCE_PARTS);
        let could_use = fair.max(busy.get(at).copied().unwrap_or(0));
        let gives_back = is_scarce && held > fair;
        let share = if gives_back { fair.max(held - held.div_ceil(BACK_PARTS)) } else { could_use };
        share.min(room)
    }
}

impl Edge {
    /// The most that it may be using.
    fn most(&self) -> u32 {
        self.keeps.max(self.share)
    }
}

/// As long, for a clock that runs slower than the broker's.
fn longer(valid: Duration) -> Duration {
    valid * (100 + PACE_PERCENT) / 100
}
