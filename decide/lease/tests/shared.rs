//! Fifteen edges before one application that takes 300 requests at once, simulated by the millisecond under what S5.4 and S5.5
//! tell of: all visitors on one edge at a time, four times as many on some as on others, edges that are lost. What may never
//! be is looked at in each millisecond. Figures are printed; `--nocapture` shows them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use std::time::Duration;
use tentpole_lease::{Broker, Holder};
use tentpole_model::{LeaseGranted, LeaseWanted};

const EDGES: usize = 15;
const TOTAL: u32 = 300;
/// How long a request takes.
const TAKES_MS: u64 = 50;
/// Requests that wait at an edge at most; one more is refused.
const QUEUE_MAX: u32 = 100;
const VALID: Duration = Duration::from_millis(1_000);
const EVERY: Duration = Duration::from_millis(100);

/// Pseudo-random numbers (splitmix64, Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// The way between edges and broker.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// One way, at least and at most, in milliseconds: what is sent later may come first.
    takes_ms: (u64, u64),
    /// Messages lost, in a thousand.
    lost: u64,
}

#[derive(Clone, Copy)]
enum Sent {
    Up(u64, LeaseWanted),
    Down(u64, LeaseGranted),
}

struct Edge {
    id: u64,
    holder: Holder,
    /// When each request in flight ends.
    ends_ms: Vec<u64>,
    waiting: u32,
    refused_before: u32,
    is_lost: bool,
    heard: u64,
    /// Since when requests wait, and its share then.
    short_since: Option<(u64, u32)>,
    /// Since when it refuses, while there is room.
    refuses_since: Option<u64>,
}

/// What came of a run.
#[derive(Debug, Default)]
struct Told {
    came: u64,
    refused: u64,
    /// The most in flight at once, over all edges.
    most: u32,
    /// The longest that requests waited at an edge without its getting more, while the broker had room for any of these, in
    /// milliseconds.
    short_ms: u64,
    /// The longest from the first request that an edge refused to the last, while the broker had room all the time, in milliseconds.
    refuses_ms: u64,
}

impl Told {
    /// No edge refuses, or lets wait, for longer than one round trip of its lease while the broker has room: the next question is
    /// sent a quarter of `EVERY` after the last at the latest, and is 10 ms under way with its answer.
    fn no_edge_refuses_for_long(&self) {
        const ROUND_TRIP_MS: u64 = 25 + 10 + 1;
        assert!(self.refuses_ms <= ROUND_TRIP_MS && self.short_ms <= ROUND_TRIP_MS, "{self:?}");
    }
}

struct World {
    random: Random,
    way: Way,
    broker: Broker,
    edges: Vec<Edge>,
    /// Arrival, order, message.
    messages: Vec<(u64, Sent)>,
    told: Told,
    ids: u64,
    /// How fast each edge's clock runs, in parts of a thousand, and by how much it is off.
    clocks: Vec<(u64, u64)>,
}

impl World {
    fn new(way: Way, seed: u64) -> Self {
        let mut random = Random(seed);
        let clocks = (0..EDGES).map(|_| (996 + random.below(9), random.below(1_000_000))).collect();
        let edges = (0..EDGES as u64).map(Edge::new).collect();
        let broker = Broker::first(TOTAL, VALID);
        Self {
            random,
            way,
            broker,
            edges,
            messages: Vec::new(),
            told: Told::default(),
            ids: EDGES as u64,
            clocks,
        }
    }

    /// What the edge's own clock says.
    fn clock(&self, at: usize, ms: u64) -> Duration {
        let (pace, off) = self.clocks[at];
        Duration::from_micros(ms * pace + off * 1_000)
    }

    fn send(&mut self, ms: u64, message: Sent) {
        if self.random.below(1_000) < self.way.lost {
            return;
        }
        let (least, most) = self.way.takes_ms;
        let at = ms + least + self.random.below(most - least + 1);
        self.messages.push((at, message));
    }

    /// One millisecond; `came` says how many requests come to an edge.
    fn step(&mut self, ms: u64, came: impl Fn(usize, &mut Random) -> u32) {
        let now = Duration::from_millis(ms);
        let (due, later) = self.messages.iter().partition(|(at, _)| *at <= ms);
        self.messages = later;
        let due: Vec<(u64, Sent)> = due;
        for (_, message) in due {
            match message {
                Sent::Up(edge, wanted) => {
                    if let Some(granted) = self.broker.asked(edge, wanted, now) {
                        self.send(ms, Sent::Down(edge, granted));
                    }
                }
                Sent::Down(edge, granted) => {
                    if let Some(edge) = self.edges.iter_mut().find(|it| it.id == edge && !it.is_lost) {
                        edge.holder.granted(granted);
                        edge.heard = ms;
                    }
                }
            }
        }
        let free = TOTAL.saturating_sub(self.broker.promised(now));
        for at in 0..EDGES {
            let clock = self.clock(at, ms);
            let came = came(at, &mut self.random);
            let edge = &mut self.edges[at];
            if edge.is_lost {
                continue;
            }
            self.told.came += u64::from(came);
            edge.ends_ms.retain(|&end| end > ms);
            edge.waiting += came;
            let share = edge.holder.share(clock);
            while edge.waiting > 0 && (edge.ends_ms.len() as u32) < share {
                edge.waiting -= 1;
                edge.ends_ms.push(ms + TAKES_MS);
            }
            let refused = edge.waiting.saturating_sub(QUEUE_MAX);
            edge.waiting -= refused;
            edge.refused_before += refused;
            self.told.refused += u64::from(refused);
            edge.short_since = match edge.short_since {
                _ if edge.waiting == 0 || free == 0 => None,
                Some((since, before)) if share <= before => Some((since, before)),
                _ => Some((ms, share)),
            };
            let short_ms = edge.short_since.map_or(0, |(since, _)| ms - since);
            self.told.short_ms = self.told.short_ms.max(short_ms);
            if free == 0 || (refused == 0 && edge.waiting < QUEUE_MAX) {
                edge.refuses_since = None;
            } else if refused > 0 {
                let since = *edge.refuses_since.get_or_insert(ms);
                self.told.refuses_ms = self.told.refuses_ms.max(ms - since + 1);
            }
            let in_flight = edge.ends_ms.len() as u32;
            if let Some(wanted) = edge.holder.ask(clock, in_flight, edge.waiting + edge.refused_before) {
                edge.refused_before = 0;
                let id = edge.id;
                self.send(ms, Sent::Up(id, wanted));
            }
        }
        self.check(ms);
    }

    fn check(&mut self, ms: u64) {
        let rights = |(at, edge): (usize, &Edge)| {
            let in_flight = edge.ends_ms.len() as u32;
            let share = edge.holder.share(self.clock(at, ms));
            // Whoever was cut off when his lease ended lets nothing more through; what he has in flight ends.
            if ms - edge.heard > VALID.as_millis() as u64 { share } else { share.max(in_flight) }
        };
        let alive = self.edges.iter().enumerate().filter(|(_, edge)| !edge.is_lost);
        let rights: u32 = alive.map(rights).sum();
        assert!(rights <= TOTAL, "{rights} may be in flight at {ms} ms");
        let in_flight = self.edges.iter().map(|edge| edge.ends_ms.len() as u32).sum();
        self.told.most = self.told.most.max(in_flight);
    }

    /// An edge dies with all that it has in flight.
    fn lose(&mut self, at: usize) {
        self.edges[at].is_lost = true;
        self.edges[at].ends_ms.clear();
        self.edges[at].waiting = 0;
    }

    /// Another one takes its place.
    fn start(&mut self, at: usize, ms: u64) {
        self.edges[at] = Edge { heard: ms, ..Edge::new(self.ids) };
        self.ids += 1;
    }
}

impl Edge {
    fn new(id: u64) -> Self {
        Self {
            id,
            holder: Holder::new(EVERY),
            ends_ms: Vec::new(),
            waiting: 0,
            refused_before: 0,
            is_lost: false,
            heard: 0,
            short_since: None,
            refuses_since: None,
        }
    }
}

/// So many on average, spread by lot.
fn about(rate_per_s: u64, random: &mut Random) -> u32 {
    let (whole, rest) = (rate_per_s / 1_000, rate_per_s % 1_000);
    whole as u32 + u32::from(random.below(1_000) < rest)
}

const NEAR: Way = Way { takes_ms: (1, 5), lost: 0 };
/// What the application carries: 300 at once, 50 ms each.
const CARRIES: u64 = TOTAL as u64 * 1_000 / TAKES_MS;

/// The same with limits of total ÷ edges.
fn divided(seconds: u64, came: impl Fn(u64, usize, &mut Random) -> u32) -> (u64, u64) {
    let (mut random, mut all, mut refused) = (Random(3), 0, 0);
    let mut edges = vec![(Vec::<u64>::new(), 0u32); EDGES];
    for ms in 0..seconds * 1_000 {
        for (at, (ends, waiting)) in edges.iter_mut().enumerate() {
            let came = came(ms, at, &mut random);
            all += u64::from(came);
            ends.retain(|&end| end > ms);
            *waiting += came;
            while *waiting > 0 && ends.len() < TOTAL as usize / EDGES {
                *waiting -= 1;
                ends.push(ms + TAKES_MS);
            }
            let over = waiting.saturating_sub(QUEUE_MAX);
            *waiting -= over;
            refused += u64::from(over);
        }
    }
    (all, refused)
}

#[test]
fn s5_5_all_visitors_on_one_edge_at_a_time() {
    // The next edge each 5 seconds, at four fifths of what the application carries.
    let came = |ms: u64, at: usize, random: &mut Random| {
        if (ms / 5_000) as usize % EDGES == at { about(CARRIES * 4 / 5, random) } else { 0 }
    };
    let mut world = World::new(NEAR, 1);
    (0..75_000).for_each(|ms| world.step(ms, |at, random| came(ms, at, random)));
    let told = world.told;
    let (all, refused) = divided(75, came);
    println!("leased: {told:?}; total ÷ edges: {refused} of {all} refused");
    assert!(told.most <= TOTAL);
    assert!(refused * 10 > all * 8, "limits of total ÷ edges refuse most: {refused} of {all}");
    assert!(told.refused * 100 < told.came, "{told:?}");
    assert!(told.refuses_ms > 0, "nobody was refused at all: then this shows nothing of how long");
    told.no_edge_refuses_for_long();
}

#[test]
fn s5_4_four_times_as_many_on_some() {
    // Three edges have four times as many as the other twelve, at four fifths of what the application carries.
    let rate = |at: usize| CARRIES * 4 / 5 * if at < 3 { 4 } else { 1 } / 24;
    let came = |_: u64, at: usize, random: &mut Random| about(rate(at), random);
    let mut world = World::new(NEAR, 2);
    (0..30_000).for_each(|ms| world.step(ms, |at, random| came(ms, at, random)));
    let told = world.told;
    let (all, refused) = divided(30, came);
    println!("leased: {told:?}; total ÷ edges: {refused} of {all} refused");
    assert!(told.most <= TOTAL && told.refused * 1_000 < told.came, "{told:?}");
    told.no_edge_refuses_for_long();
    assert!(refused * 100 > all * 10, "{refused} of {all}");
}

#[test]
fn s5_4_edges_are_lost_and_their_visitors_go_to_the_others() {
    // Visitors come to the first three that are there, at three fifths of what the application carries. Each 4 seconds one of
    // these dies, and another starts 2 seconds later.
    let mut world = World::new(NEAR, 7);
    let mut lost = 0;
    for ms in 0..60_000 {
        let there = |world: &World| Vec::from_iter((0..EDGES).filter(|&at| !world.edges[at].is_lost).take(3));
        if ms % 4_000 == 3_999 {
            let at = there(&world)[lost % 3];
            world.lose(at);
            lost += 1;
        }
        if ms % 4_000 == 1_999
            && let Some(at) = (0..EDGES).find(|&at| world.edges[at].is_lost)
        {
            world.start(at, ms);
        }
        let busy = there(&world);
        world.step(ms, |at, random| if busy.contains(&at) { about(CARRIES / 5, random) } else { 0 });
    }
    let told = world.told;
    println!("{lost} edges lost: {told:?}");
    assert!(lost == 15 && told.most <= TOTAL, "{told:?}");
    // What a dead one held is promised until its lease is over, and there is enough beside it.
    assert!(told.refused * 200 < told.came, "{told:?}");
    told.no_edge_refuses_for_long();
}

#[test]
fn what_a_lost_edge_held_is_free_when_its_lease_is_over() {
    let mut world = World::new(NEAR, 4);
    // One edge has all of it, and dies; all visitors come to the next one.
    let mut refused = 0;
    for ms in 0..8_000 {
        if ms == 3_000 {
            world.lose(0);
            refused = world.told.refused;
        }
        let busy = usize::from(ms >= 3_000);
        world.step(ms, |at, random| if at == busy { about(CARRIES * 4 / 5, random) } else { 0 });
        if ms == 4_100 {
            let share = world.edges[1].holder.share(world.clock(1, ms));
            assert!(share > TOTAL / 2, "{share} of {TOTAL} a lease after the other was lost");
        }
    }
    println!("refused after the loss: {} in a second of waiting for its lease", world.told.refused - refused);
}

#[test]
fn a_broker_that_starts_again_grants_nothing_while_leases_of_the_one_before_may_be_in_force() {
    let mut world = World::new(NEAR, 5);
    for ms in 0..8_000 {
        if ms == 3_000 {
            world.broker = Broker::new(TOTAL, VALID, Duration::from_millis(ms));
        }
        let busy = usize::from(ms >= 3_000);
        world.step(ms, |at, random| if at == busy { about(CARRIES * 4 / 5, random) } else { 0 });
    }
    let share = world.edges[1].holder.share(world.clock(1, 8_000));
    assert!(share > TOTAL / 2, "{share}");
}

#[test]
fn edges_that_want_more_than_there_is_get_equal_parts() {
    let mut world = World::new(NEAR, 6);
    let mut sums = [0; 3];
    for ms in 0..10_000 {
        world.step(ms, |at, random| if at < 3 { about(CARRIES, random) } else { 0 });
        if ms >= 5_000 {
            let clocks: Vec<_> = (0..3).map(|at| world.clock(at, ms)).collect();
            sums.iter_mut()
                .zip(&world.edges)
                .zip(clocks)
                .for_each(|((sum, edge), clock)| *sum += edge.holder.share(clock));
        }
    }
    let shares = sums.map(|sum| sum / 5_000);
    println!("{shares:?}");
    assert!(shares.iter().all(|&share| (85..=115).contains(&share)), "{shares:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_total_is_never_exceeded(
        seed in any::<u64>(),
        (least, wide) in (0u64..100, 0u64..400),
        lost in 0u64..500,
        phase in 200u64..2_000,
        broker_dies in 0u64..6_000,
    ) {
        let mut world = World::new(Way { takes_ms: (least, least + wide), lost }, seed);
        let mut other = Random(seed ^ 1);
        let mut busy = 0;
        for ms in 0..6_000 {
            if ms % phase == 0 {
                busy = other.below(EDGES as u64) as usize;
            }
            if ms % 700 == 699 {
                let at = other.below(EDGES as u64) as usize;
                if world.edges[at].is_lost { world.start(at, ms) } else { world.lose(at) }
            }
            if ms == broker_dies {
                world.broker = Broker::new(TOTAL, VALID, Duration::from_millis(ms));
            }
            // `step` asserts it in each millisecond.
            world.step(ms, |at, random| about(if at == busy { 2 * CARRIES } else { 500 }, random));
        }
    }
}
