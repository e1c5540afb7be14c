//! Simulated crowds before an endpoint with the guard: people with patience, programs that wait as long as it takes, pages that
//! are long open. A queue by rank before it, as the edge has it: nobody is refused while the guard only holds. Seeded.

use super::{LOOK_EVERY, Random};
use std::collections::VecDeque;
use std::time::Duration;
use tentpole_limit::{CLASSES, Guard, GuardSeen};

const STEP: f64 = 0.002;
/// How often people ask at once when nothing comes.
const TRIES_MAX: u32 = 3;
/// Who would wait longer before the endpoint is refused, where refusing is allowed.
const WAIT_MAX: f64 = 2.0;

/// One kind of request.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Comes before the others.
    pub first: bool,
    /// Leaves after so many seconds.
    pub patience: f64,
    /// Asks again as soon as it is answered.
    pub again: bool,
    /// The endpoint needs this long for it.
    pub takes: f64,
    /// And keeps its place for so long after its first byte.
    pub streams: f64,
}

/// Somebody who does what people do.
pub const PERSON: Kind = Kind { first: false, patience: 4.0, again: false, takes: 0.2, streams: 0.0 };
/// Waits as long as it takes.
pub const PATIENT: Kind = Kind { patience: f64::INFINITY, ..PERSON };

/// An endpoint and who comes to it.
pub struct World<'a> {
    /// How many it works on at once; the others wait inside it, in order.
    pub workers: usize,
    /// Work takes this many times as long at this second.
    pub slower: &'a dyn Fn(f64) -> f64,
    /// Who comes in a second, at this one.
    pub comes: &'a dyn Fn(f64) -> Vec<(f64, Kind)>,
    /// Who is there from the beginning, how many.
    pub there: Vec<(usize, Kind)>,
    pub seconds: f64,
    pub seed: u64,
}

/// What came of it.
#[derive(Default)]
pub struct Came {
    /// Of those who come first, and of the others: how many came, were served, were refused.
    pub people: [(u32, u32, u32); 2],
    /// In each second: answers that somebody read.
    pub read: Vec<u32>,
    /// At each look: the limit.
    pub limits: Vec<Option<u32>>,
    /// At each look: that it only held.
    pub held: Vec<bool>,
    /// Requests that the endpoint had in hand, at each look.
    pub in_hand: Vec<usize>,
    /// The longest that anybody waited outside who was answered in the end.
    pub waited_most: f64,
}

#[derive(Clone, Copy)]
struct Asker {
    kind: Kind,
    came: f64,
    tried: u32,
    /// Of all of this person.
    first_came: f64,
    sent: f64,
}

impl Came {
    pub fn engaged(&self) -> bool {
        self.limits.iter().zip(&self.held).any(|(limit, held)| limit.is_some() && !held)
    }

    pub fn held_for(&self) -> f64 {
        self.held.iter().filter(|held| **held).count() as f64 * LOOK_EVERY
    }

    pub fn refused(&self) -> u32 {
        self.people[0].2 + self.people[1].2
    }

    /// Of those who come first.
    pub fn first_served(&self) -> f64 {
        f64::from(self.people[0].1) / f64::from(self.people[0].0.max(1))
    }

    pub fn rate(&self, from: usize, to: usize) -> f64 {
        self.read[from..to].iter().sum::<u32>() as f64 / (to - from) as f64
    }
}

fn class(seconds: f64) -> usize {
    let ms = seconds * 1_000.0;
    if ms < 1.0 { 0 } else { (1 + (ms.log2() * 2.0) as usize).min(CLASSES - 1) }
}

/// Lets it go for so long; without a guard when `guard` is `None`.
pub fn run(world: &World<'_>, mut guard: Option<&mut Guard>) -> Came {
    let mut random = Random(world.seed);
    let mut came = Came { read: vec![0; world.seconds as usize + 1], ..Came::default() };
    let mut seen = GuardSeen::default();
    let mut asks: Vec<(f64, Asker)> = Vec::new();
    let (mut outside, mut inside) = ([VecDeque::<Asker>::new(), VecDeque::new()], VecDeque::<Asker>::new());
    let (mut at_work, mut streams): (Vec<(f64, Asker)>, Vec<f64>) = Default::default();
    let (mut ended_lately, mut first_lately) = (VecDeque::<f64>::new(), VecDeque::<f64>::new());
    let person = |kind, now| Asker { kind, came: now, tried: 0, first_came: now, sent: now };
    for &(count, kind) in &world.there {
        asks.extend((0..count).map(|_| (random.unit() * 0.2, person(kind, 0.0))));
    }
    let (mut now, mut next_look) = (0.0, LOOK_EVERY);
    while now < world.seconds {
        now += STEP;
        for (rate, kind) in (world.comes)(now) {
            let mut expected = rate * STEP;
            while expected > 0.0 {
                if random.unit() < expected {
                    asks.push((now, person(kind, now)));
                    came.people[usize::from(!kind.first)].0 += u32::from(!kind.again);
                }
                expected -= 1.0;
            }
        }
        // Answers.
        let mut at = 0;
        while at < at_work.len() {
            if at_work[at].0 > now {
                at += 1;
                continue;
            }
            let (_, asker) = at_work.swap_remove(at);
            (seen.ended, seen.good) = (seen.ended + 1, seen.good + 1);
            seen.took[class(now - asker.sent)] += 1;
            ended_lately.push_back(now);
            if asker.kind.streams > 0.0 {
                streams.push(now + asker.kind.streams);
            }
            if now - asker.came > asker.kind.patience {
                seen.left += 1;
                continue;
            }
            came.read[now as usize] += 1;
            came.waited_most = came.waited_most.max(asker.sent - asker.came);
            came.people[usize::from(!asker.kind.first)].1 += u32::from(!asker.kind.again);
            if asker.kind.again {
                asks.push((now + 0.001 + asker.kind.streams, person(asker.kind, now)));
            }
        }
        streams.retain(|ends| *ends > now);
        for lately in [&mut ended_lately, &mut first_lately] {
            while lately.front().is_some_and(|at| *at < now - 1.0) {
                lately.pop_front();
            }
        }
        // Those inside who lose patience ask again; the endpoint knows nothing of it.
        let left_now = |asker: &Asker| {
            let waits = now - asker.came;
            waits > asker.kind.patience && waits <= asker.kind.patience + STEP
        };
        for asker in
            inside.iter().chain(at_work.iter().map(|(_, asker)| asker)).filter(|asker| left_now(asker))
        {
            if asker.tried + 1 < TRIES_MAX {
                asks.push((now + 0.05, Asker { tried: asker.tried + 1, ..*asker }));
            }
        }
        for line in &mut outside {
            line.retain(|asker| {
                let stays = now - asker.came <= asker.kind.patience;
                if !stays {
                    seen.left_queue += 1;
                    if asker.tried + 1 < TRIES_MAX {
                        asks.push((now + 0.05, Asker { tried: asker.tried + 1, ..*asker }));
                    }
                }
                stays
            });
        }
        // Who comes.
        let due: Vec<Asker> = asks.extract_if(.., |(at, _)| *at <= now).map(|(_, asker)| asker).collect();
        let may_refuse =
            guard.as_ref().is_some_and(|guard| guard.limit().is_some() && !guard.refuses_nobody());
        for asker in due {
            let asker = Asker { came: now, ..asker };
            let rank = usize::from(!asker.kind.first);
            let ahead = outside[..=rank].iter().map(VecDeque::len).sum::<usize>();
            let before_him = if rank == 0 { 0 } else { first_lately.len() };
            let pace = ended_lately.len().saturating_sub(before_him).max(1) as f64;
            let patience = if rank == 0 { 10.0 } else { WAIT_MAX };
            first_lately.extend((rank == 0).then_some(now));
            if may_refuse && ahead > 0 && ahead as f64 / pace > patience {
                came.people[rank].2 += 1;
            } else {
                outside[rank].push_back(asker);
            }
        }
        // Who is let in.
        let limit = guard.as_ref().and_then(|guard| guard.limit()).map_or(usize::MAX, |limit| limit as usize);
        let in_flight = |inside: &VecDeque<Asker>, at_work: &Vec<(f64, Asker)>| inside.len() + at_work.len();
        while in_flight(&inside, &at_work) + streams.len() < limit {
            let Some(asker) = outside[0].pop_front().or_else(|| outside[1].pop_front()) else { break };
            seen.sent += 1;
            inside.push_back(Asker { sent: now, ..asker });
        }
        while at_work.len() < world.workers {
            let Some(asker) = inside.pop_front() else { break };
            let spread = 0.8 + 0.4 * random.unit();
            at_work.push((now + asker.kind.takes * spread * (world.slower)(now), asker));
        }
        if now >= next_look {
            next_look += LOOK_EVERY;
            let in_hand = in_flight(&inside, &at_work);
            seen.in_flight = (in_hand + streams.len()) as u32;
            seen.waiting = (outside[0].len() + outside[1].len()) as u32;
            if let Some(guard) = &mut guard {
                guard.look(Duration::from_secs_f64(now), &seen);
                came.limits.push(guard.limit());
                came.held.push(guard.refuses_nobody());
            }
            came.in_hand.push(in_hand);
        }
    }
    came
}
