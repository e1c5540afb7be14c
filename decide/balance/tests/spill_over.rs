//! Zones in a simulation: an edge in each zone that sees only what it sends itself, endpoints with so many workers and a queue
//! of their own behind them, requests at random moments. What matters is what visitors feel: how many requests found all
//! workers of their endpoint busy.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tentpole_balance::{Candidate, ZoneLoad, least_requests, stays_near};

/// An endpoint: its zone, how many requests it serves at once, how long each takes.
#[derive(Clone, Copy)]
struct Server {
    zone: usize,
    workers: usize,
    takes_us: u64,
    /// What it is sent at most at once by one edge.
    requests_max: Option<u32>,
    is_up: bool,
}

fn server(zone: usize) -> Server {
    Server { zone, workers: 8, takes_us: 20_000, requests_max: None, is_up: true }
}

struct World {
    servers: Vec<Server>,
    /// By edge, then by server: requests that the edge waits for.
    in_flight: Vec<Vec<u32>>,
    /// When each worker of a server is free.
    free: Vec<BinaryHeap<Reverse<u64>>>,
    answers: BinaryHeap<Reverse<(u64, usize, usize)>>,
    now_us: u64,
    random: u64,
    /// Whether edges prefer their own zone.
    near: bool,
}

#[derive(Debug, Default)]
struct Told {
    requests: u64,
    /// Served in the zone of the edge that they came to.
    stayed: u64,
    /// By server.
    served: Vec<u64>,
    /// Came to a server whose workers were all busy.
    queued: u64,
    /// All servers were at their limit.
    refused: u64,
    /// Queued, or refused, although a server of another zone had a free worker at that moment.
    needlessly: u64,
}

impl Told {
    fn part(&self, of: u64) -> f64 {
        of as f64 / self.requests as f64
    }
}

impl World {
    fn new(servers: &[Server], edges: usize, near: bool) -> Self {
        let free = servers.iter().map(|server| (0..server.workers).map(|_| Reverse(0)).collect()).collect();
        let in_flight = vec![vec![0; servers.len()]; edges];
        let answers = BinaryHeap::new();
        Self { servers: servers.to_vec(), in_flight, free, answers, now_us: 0, random: 1, near }
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        let mixed = (self.random ^ (self.random >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ (mixed >> 29)
    }

    /// As the edge does it: who has room, then the zone, then power of two choices.
    fn choose(&mut self, edge: usize) -> Option<usize> {
        let (servers, flying, random) = (self.servers.clone(), self.in_flight[edge].clone(), self.random());
        let room = |at: &usize| servers[*at].requests_max.is_none_or(|max| flying[*at] < max);
        let mut list: Vec<usize> = (0..servers.len()).filter(|&at| servers[at].is_up).filter(room).collect();
        if self.near {
            let (mut near, mut others) = (ZoneLoad::default(), ZoneLoad::default());
            for &at in &list {
                let of = if servers[at].zone == edge { &mut near } else { &mut others };
                of.add(1, flying[at], servers[at].requests_max);
            }
            let stays = stays_near(&near, &others);
            list.retain(|&at| (servers[at].zone == edge) == stays);
        }
        let candidate = |at: usize| Candidate { usable: true, weight: 1, in_flight: flying[list[at]] };
        least_requests(list.len(), candidate, random).map(|at| list[at])
    }

    /// Requests at so many a second at each edge, for a time.
    fn run(&mut self, seconds: u64, per_second: u64) -> Told {
        let mut told = Told { served: vec![0; self.servers.len()], ..Told::default() };
        let edges = self.in_flight.len();
        let end = self.now_us + seconds * 1_000_000;
        while self.now_us < end {
            // Exponential gaps: visitors know nothing of one another.
            let uniform = ((self.random() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            self.now_us += (-uniform.ln() * 1_000_000.0 / (per_second * edges as u64) as f64) as u64;
            while let Some(&Reverse((at, edge, server))) = self.answers.peek()
                && at <= self.now_us
            {
                self.answers.pop();
                self.in_flight[edge][server] -= 1;
            }
            let edge = self.random() as usize % edges;
            told.requests += 1;
            let idle = |world: &Self, server: usize| {
                world.servers[server].is_up
                    && world.free[server].peek().is_some_and(|&Reverse(free)| free <= world.now_us)
            };
            let idle_elsewhere =
                (0..self.servers.len()).any(|at| self.servers[at].zone != edge && idle(self, at));
            let Some(chosen) = self.choose(edge) else {
                told.refused += 1;
                told.needlessly += u64::from(idle_elsewhere);
                continue;
            };
            if !idle(self, chosen) {
                told.queued += 1;
                told.needlessly += u64::from(idle_elsewhere && self.servers[chosen].zone == edge);
            }
            let Server { zone, takes_us, .. } = self.servers[chosen];
            told.stayed += u64::from(zone == edge);
            told.served[chosen] += 1;
            // Between half and one and a half of its usual time.
            let takes = takes_us / 2 + self.random() % takes_us;
            let Reverse(free) = self.free[chosen].pop().expect("a server has workers");
            let done = free.max(self.now_us) + takes;
            self.free[chosen].push(Reverse(done));
            self.answers.push(Reverse((done, edge, chosen)));
            self.in_flight[edge][chosen] += 1;
        }
        told
    }
}

/// What docs/zones.md tells of it.
fn show(what: &str, told: &Told) {
    let percent = |of| told.part(of) * 100.0;
    println!("{what}: {:.1} % stay, {:.1} % find no free worker", percent(told.stayed), percent(told.queued));
}

/// One endpoint here, three there: the zones of the story.
fn unequal() -> Vec<Server> {
    [0, 1, 1, 1].map(server).to_vec()
}

#[test]
fn with_little_to_do_nearly_everything_stays_near() {
    // 25 a second at each edge keep half of one of 8 workers busy.
    let told = World::new(&[0, 0, 1, 1].map(server), 2, true).run(400, 25);
    show("2 + 2, near", &told);
    assert!(told.part(told.stayed) > 0.99, "{told:?}");
    let crossing = World::new(&[0, 0, 1, 1].map(server), 2, false).run(400, 25);
    assert!((0.45..0.55).contains(&crossing.part(crossing.stayed)), "{crossing:?}");
}

#[test]
fn a_zone_that_is_too_small_for_its_edge_queues_no_more_than_without_zones() {
    // 400 a second are what one server of 8 workers can do; each edge gets 600, 75 % of all there is.
    let near = World::new(&unequal(), 2, true).run(100, 600);
    let cross = World::new(&unequal(), 2, false).run(100, 600);
    show("1 + 3, near", &near);
    show("1 + 3, cross", &cross);
    assert!(near.part(near.queued) < cross.part(cross.queued) + 0.02, "{near:?}\n{cross:?}");
    let most = near.served.iter().max().unwrap();
    let least = near.served.iter().min().unwrap();
    assert!(*most * 10 < *least * 13, "{near:?}");
    // And still: what there is to gain is gained by the edge whose zone is the larger one.
    assert!(near.part(near.stayed) > cross.part(cross.stayed) + 0.02, "{near:?}\n{cross:?}");
}

#[test]
fn equal_zones_with_much_to_do_stay_mostly_near_and_queue_no_more_than_without_zones() {
    let servers = [0, 0, 0, 1, 1, 1, 2, 2, 2].map(server);
    // 70 % of what there is.
    let near = World::new(&servers, 3, true).run(60, 840);
    let cross = World::new(&servers, 3, false).run(60, 840);
    assert!(near.part(near.stayed) > cross.part(cross.stayed) + 0.15, "{near:?}\n{cross:?}");
    assert!(near.part(near.queued) < cross.part(cross.queued) + 0.02, "{near:?}\n{cross:?}");
    // Whoever says what his endpoints can do keeps more near.
    let told = servers.map(|server| Server { requests_max: Some(8), ..server });
    let told = World::new(&told, 3, true).run(60, 840);
    assert!(told.part(told.stayed) > near.part(near.stayed) + 0.15, "{told:?}\n{near:?}");
    assert!(told.part(told.queued) < cross.part(cross.queued) + 0.02, "{told:?}\n{cross:?}");
    show("3 × 3, near", &near);
    show("3 × 3, near, with limits", &told);
    show("3 × 3, cross", &cross);
}

#[test]
fn a_zone_that_became_slow_keeps_what_it_can_carry() {
    let mut servers = [0, 0, 1, 1].map(server);
    for slow in &mut servers[..2] {
        slow.takes_us = 1_000_000;
    }
    // Two slow servers of 8 workers do 16 a second; the edge there gets 100.
    let told = World::new(&servers, 2, true).run(100, 100);
    assert!(told.part(told.queued) < 0.01, "{told:?}");
    assert!(told.part(told.served[0] + told.served[1]) < 0.05, "{told:?}");
}

#[test]
fn when_a_zone_dies_the_others_carry_it_at_once_and_when_it_is_back_so_is_its_share() {
    let mut world = World::new(&[0, 0, 1, 1].map(server), 2, true);
    world.run(20, 100);
    world.servers.iter_mut().filter(|server| server.zone == 0).for_each(|server| server.is_up = false);
    let without = world.run(20, 100);
    assert_eq!((without.refused, without.served[0] + without.served[1]), (0, 0), "{without:?}");
    assert!(without.part(without.queued) < 0.01, "{without:?}");
    world.servers.iter_mut().for_each(|server| server.is_up = true);
    let back = world.run(80, 25);
    assert!(back.part(back.stayed) > 0.99, "{back:?}");
}

#[test]
fn nobody_waits_or_is_refused_near_while_another_zone_has_room() {
    // Limits that are the workers': what the own zone cannot take is taken elsewhere, and all work is done.
    let limited = unequal().into_iter().map(|server| Server { requests_max: Some(8), ..server });
    let limited: Vec<Server> = limited.collect();
    // One edge, in the small zone, with 75 % of what all can do.
    let told = World::new(&limited, 1, true).run(100, 1_200);
    let cross = World::new(&limited, 1, false).run(100, 1_200);
    assert_eq!(told.needlessly, 0, "{told:?}");
    assert_eq!(told.queued, 0, "{told:?}");
    // All of them are full now and then, as often as without zones.
    assert!(told.part(told.refused) < cross.part(cross.refused) + 0.005, "{told:?}\n{cross:?}");
    assert_eq!(told.served.iter().sum::<u64>() + told.refused, told.requests);
}
