//! How load was spread over the addresses of a name, second by second: counted while a run goes, and as a value of its
//! result. Pure. A session is one journey that was led to an address; its requests are counted there too.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Addresses that are told apart; what is led elsewhere counts at the last.
pub const EDGES_MAX: usize = 64;
/// Entries over time at most.
const SECONDS_MAX: usize = 7_200;
/// Sessions of a second below which its shares say little.
const SESSIONS_MIN: u64 = 20;

/// How a name's load was spread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spread {
    /// The name that was asked for.
    pub name: String,
    /// Who was asked.
    pub name_servers: Vec<String>,
    /// How many resolvers.
    pub resolvers: u32,
    /// Their sizes, as they were typed.
    pub sizes: String,
    /// In which order they hand on addresses.
    pub policies: String,
    /// Which of those visitors take.
    pub clients: String,
    /// Of all visitors, those behind the largest resolver.
    pub largest_share: f64,
    /// The last TTL that was told, in seconds.
    pub ttl_s: Option<u32>,
    /// Addresses of the last answer.
    pub answer_addresses: u32,
    /// Questions that name servers were asked.
    pub questions: u64,
    /// Look-ups that brought no address.
    pub look_ups_failed: u64,
    /// The last reason.
    pub trouble: Option<String>,
    /// Where the name led, by address.
    pub edges: Vec<Edge>,
    /// Each second of the run (or as many as the run's entries stand for), by the moment at which a request was due.
    pub seconds: Vec<SpreadSecond>,
}

/// One address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The address.
    pub address: String,
    /// Journeys that were led there.
    pub sessions: u64,
    /// Requests.
    pub requests: u64,
    /// The failed ones.
    pub failed: u64,
}

/// One second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpreadSecond {
    /// When it ended, in seconds since the run's start.
    pub at_s: f64,
    /// Journeys that were led to each address, in the order of [`Spread::edges`].
    pub sessions: Vec<u64>,
    /// Requests to each.
    pub requests: Vec<u64>,
}

impl Spread {
    /// Of all sessions, those at each address; nothing when there was none.
    pub fn shares(&self) -> Vec<f64> {
        let all: u64 = self.edges.iter().map(|edge| edge.sessions).sum();
        if all == 0 {
            return Vec::new();
        }
        self.edges.iter().map(|edge| edge.sessions as f64 / all as f64).collect()
    }

    /// What the busiest address had of each second's sessions: on average, and at most. `None` without a second in which
    /// enough began.
    pub fn busiest(&self) -> Option<(f64, f64)> {
        let judged = self.seconds.iter().filter_map(SpreadSecond::busiest);
        let (sum, most, count) = judged.fold((0.0, 0.0_f64, 0.0), |(sum, most, count), share| {
            (sum + share, most.max(share), count + 1.0)
        });
        (count > 0.0).then(|| (sum / count, most))
    }

    /// In a sentence, without an end: `one of 4 addresses had 61 % of the new sessions in a second on average (even: 25 %),
    /// 92 % at most`.
    pub fn words(&self, percent: impl Fn(f64) -> String) -> Option<String> {
        let (mean, most) = self.busiest()?;
        let count = self.edges.len();
        let even = percent(1.0 / count as f64);
        if count == 1 {
            return Some(format!("all new sessions went to one address, {}", self.edges[0].address));
        }
        Some(format!(
            "each second, the busiest of {count} addresses had {} of the new sessions on average (evenly spread: \
             {even}), {} at most",
            percent(mean),
            percent(most)
        ))
    }
}

impl SpreadSecond {
    /// The share of the address with the most sessions; `None` when there were few.
    pub fn busiest(&self) -> Option<f64> {
        let all: u64 = self.sessions.iter().sum();
        let most = self.sessions.iter().max()?;
        (all >= SESSIONS_MIN).then(|| *most as f64 / all as f64)
    }
}

/// What one of several generators has counted since it last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Of each: journeys, requests, the failed ones.
    pub totals: Vec<[u64; 3]>,
    /// Entries of time in which there was something: of each address, journeys and requests.
    pub seconds: Vec<(usize, Vec<[u64; 2]>)>,
    /// The last TTL that was told, in seconds.
    pub ttl_s: Option<u32>,
    /// Addresses of the last answer.
    pub answer_addresses: u32,
    /// Questions that name servers were asked.
    pub questions: u64,
    /// Look-ups that brought no address.
    pub failed: u64,
    /// The first reason.
    pub trouble: Option<String>,
}

/// The counts of a run that goes on.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    addresses: Vec<IpAddr>,
    totals: Vec<[u64; 3]>,
    seconds: Vec<Vec<[u64; 2]>>,
}

impl Counts {
    /// The number of an address.
    pub fn place(&mut self, address: IpAddr) -> usize {
        if let Some(place) = self.addresses.iter().position(|other| *other == address) {
            return place;
        }
        if self.addresses.len() < EDGES_MAX {
            self.addresses.push(address);
            self.totals.push([0; 3]);
        }
        self.addresses.len() - 1
    }

    /// A journey was led there in this entry of time.
    pub fn session(&mut self, place: usize, entry: usize) {
        self.totals[place][0] += 1;
        self.at(place, entry)[0] += 1;
    }

    /// A request ended that was due in this entry of time.
    pub fn request(&mut self, place: usize, entry: usize, failed: bool) {
        self.totals[place][1] += 1;
        self.totals[place][2] += u64::from(failed);
        self.at(place, entry)[1] += 1;
    }

    fn at(&mut self, place: usize, entry: usize) -> &mut [u64; 2] {
        let entry = entry.min(SECONDS_MAX - 1);
        if self.seconds.len() <= entry {
            self.seconds.resize(entry + 1, Vec::new());
        }
        let second = &mut self.seconds[entry];
        if second.len() <= place {
            second.resize(place + 1, [0; 2]);
        }
        &mut second[place]
    }

    /// What was counted since the last time, for somebody else to add.
    pub fn take(&mut self) -> Counted {
        let Self { addresses, totals, seconds } = std::mem::take(self);
        let seconds = seconds.into_iter().enumerate().filter(|(_, second)| !second.is_empty()).collect();
        Counted { addresses, totals, seconds, ..Counted::default() }
    }

    /// Adds what was counted elsewhere, where the first entry of time is this one here.
    pub fn add(&mut self, other: &Counted, first: usize) {
        let Counted { addresses, totals, seconds, .. } = other;
        let places: Vec<usize> = addresses.iter().map(|address| self.place(*address)).collect();
        for (place, total) in places.iter().zip(totals) {
            self.totals[*place].iter_mut().zip(total).for_each(|(ours, theirs)| *ours += theirs);
        }
        for (entry, second) in seconds {
            for (place, both) in places.iter().zip(second) {
                let cell = self.at(*place, first.saturating_add(*entry));
                cell.iter_mut().zip(both).for_each(|(ours, theirs)| *ours += theirs);
            }
        }
    }

    /// Puts the counts into a result, addresses in order; `width` is how many seconds an entry stands for.
    pub fn fill(&self, into: &mut Spread, width: u32) {
        let mut order: Vec<usize> = (0..self.addresses.len()).collect();
        order.sort_by_key(|place| self.addresses[*place]);
        into.edges = order
            .iter()
            .map(|&place| {
                let [sessions, requests, failed] = self.totals[place];
                Edge { address: self.addresses[place].to_string(), sessions, requests, failed }
            })
            .collect();
        let second = |(number, second): (usize, &Vec<[u64; 2]>)| {
            let of = |which: usize| {
                order.iter().map(|place| second.get(*place).map_or(0, |both| both[which])).collect()
            };
            let at_s = (number as u64 + 1) as f64 * f64::from(width.max(1));
            SpreadSecond { at_s, sessions: of(0), requests: of(1) }
        };
        into.seconds = self.seconds.iter().enumerate().map(second).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_shares_by_address_and_second() {
        let mut counts = Counts::default();
        let places = [9, 3].map(|last| counts.place(IpAddr::from([127, 0, 0, last])));
        for n in 0..100 {
            counts.session(places[usize::from(n % 4 == 0)], n / 50);
        }
        counts.request(places[0], 2, true);
        let mut spread = Spread::default();
        counts.fill(&mut spread, 1);
        assert_eq!(spread.edges.iter().map(|edge| edge.sessions).collect::<Vec<_>>(), [25, 75]);
        assert_eq!((spread.edges[0].address.as_str(), spread.edges[1].failed), ("127.0.0.3", 1));
        assert_eq!(
            spread.seconds.iter().map(|second| second.sessions.clone()).collect::<Vec<_>>(),
            [[13, 37], [12, 38], [0, 0]]
        );
        let (mean, most) = spread.busiest().expect("enough");
        assert!((mean - 0.75).abs() < 0.01 && (most - 0.76).abs() < 0.01, "{mean} {most}");
        assert_eq!(spread.shares(), [0.25, 0.75]);
        assert!(
            spread.words(|share| format!("{:.0} %", share * 100.0)).expect("words").contains("busiest of 2")
        );
    }

    #[test]
    fn what_two_have_counted_adds_up_by_address_and_second() {
        let (mut one, mut other, mut all) = (Counts::default(), Counts::default(), Counts::default());
        for n in 0..300_usize {
            let (address, entry) = (IpAddr::from([127, 0, 0, (n % 5) as u8]), n / 40);
            for counts in [if n % 3 == 0 { &mut one } else { &mut other }, &mut all] {
                let place = counts.place(address);
                counts.session(place, entry);
                counts.request(place, entry, n % 7 == 0);
            }
        }
        let mut merged = Counts::default();
        merged.add(&other.take(), 0);
        merged.add(&one.take(), 0);
        assert_eq!(one.take(), Counted::default(), "nothing is told twice");
        let spread = |counts: &Counts| {
            let mut spread = Spread::default();
            counts.fill(&mut spread, 1);
            spread
        };
        assert_eq!(spread(&merged), spread(&all));
        let mut later = Counts::default();
        later.add(&all.take(), 3);
        assert_eq!(
            spread(&later).seconds[3],
            SpreadSecond { at_s: 4.0, ..spread(&merged).seconds[0].clone() }
        );
        // Less than a count for each address, and an entry beyond the end, change nothing else.
        let odd = Counted {
            addresses: vec![IpAddr::from([127, 0, 0, 1])],
            seconds: vec![(usize::MAX, vec![[1; 2]; 9])],
            ..Counted::default()
        };
        later.add(&odd, usize::MAX);
        assert_eq!(later.seconds.len(), SECONDS_MAX);
    }

    #[test]
    fn more_addresses_than_are_told_apart_count_at_the_last_and_time_has_an_end() {
        let mut counts = Counts::default();
        for n in 0..=255 {
            let place = counts.place(IpAddr::from([127, 0, 0, n]));
            counts.session(place, usize::MAX);
        }
        assert_eq!((counts.addresses.len(), counts.seconds.len()), (EDGES_MAX, SECONDS_MAX));
        assert_eq!(counts.totals[EDGES_MAX - 1][0], 256 - EDGES_MAX as u64 + 1);
    }
}
