//! What must come out: the sessions of each address in each second, for a population, a name server and a schedule, without
//! a socket. Pure. Tests hold real runs against it, and it against formulas.

use crate::cache::Cache;
use crate::population::Population;
use crate::spread::{Counts, Spread};
use std::net::IpAddr;
use std::time::Duration;
use tentpole_runtime::Instant;

/// How a name server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// With one address, for each question the next one.
    InTurn,
    /// With one address for everybody, after this time the next one.
    InTime(Duration),
    /// With all of them, always in this order.
    All,
    /// With all of them, for each question one further.
    AllTurned,
}

/// A name server that knows one name.
#[derive(Clone, Debug)]
pub struct NameServer {
    /// Where the name leads. Never empty.
    pub addresses: Vec<IpAddr>,
    /// How long an answer counts, in seconds.
    pub ttl_s: u32,
    /// How it answers.
    pub answers: Answers,
    /// Questions so far.
    pub asked: usize,
}

impl NameServer {
    fn answer(&mut self, at: Duration) -> Vec<IpAddr> {
        let count = self.addresses.len();
        let turn = self.asked % count;
        self.asked += 1;
        match self.answers {
            Answers::InTurn => vec![self.addresses[turn]],
            Answers::InTime(time) => {
                let turn = at.as_micros() / time.as_micros().max(1);
                vec![self.addresses[(turn % count as u128) as usize]]
            }
            Answers::All => self.addresses.clone(),
            Answers::AllTurned => {
                let mut all = self.addresses.clone();
                all.rotate_left(turn);
                all
            }
        }
    }
}

/// Lets sessions begin at these moments, in this order, the first being number 0; everybody reaches the address that he
/// tries first.
pub fn simulate(
    population: &Population,
    server: &mut NameServer,
    sessions: impl IntoIterator<Item = Duration>,
) -> Spread {
    let mut caches = vec![Cache::default(); population.count()];
    let mut counts = Counts::default();
    for (who, at) in (0_u64..).zip(sessions) {
        let now = Instant::from_micros(at.as_micros() as u64);
        let resolver = population.resolver_of(who);
        let cache = &mut caches[resolver];
        let told = match cache.tell(now) {
            Some((told, turn)) => told.ok().map(|told| population.order(resolver, turn, who, told)),
            None => {
                cache.keep(server.answer(at), server.ttl_s, now);
                cache.told().and_then(|(told, turn)| Some(population.order(resolver, turn, who, told.ok()?)))
            }
        };
        if let Some(first) = told.as_deref().and_then(<[IpAddr]>::first) {
            let place = counts.place(*first);
            counts.session(place, at.as_secs() as usize);
        }
    }
    let mut spread = Spread::default();
    counts.fill(&mut spread, 1);
    spread
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Mix, Policy};
    use crate::population::Settings;
    use crate::sizes::Sizes;

    fn edges(count: u8) -> Vec<IpAddr> {
        (1..=count).map(|last| IpAddr::from([127, 0, 0, last])).collect()
    }

    fn run(settings: Settings, answers: Answers, ttl_s: u32, seconds: u64) -> Spread {
        let mut server = NameServer { addresses: edges(4), ttl_s, answers, asked: 0 };
        let every = Duration::from_micros(500);
        let sessions = (0..seconds * 2_000).map(|n| every * n as u32);
        simulate(&Population::new(settings, 3), &mut server, sessions)
    }

    fn of(policies: Mix) -> Settings {
        Settings { policies, ..Settings::default() }
    }

    fn is_near(shares: &[f64], wanted: &[f64]) {
        let near =
            shares.len() == wanted.len() && shares.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.02);
        assert!(near, "{shares:?} instead of {wanted:?}");
    }

    #[test]
    fn with_all_addresses_in_the_answer_each_habit_has_its_formula() {
        for (habit, wanted) in [
            (Policy::Random, &[0.25; 4][..]),
            (Policy::Rotate, &[0.25; 4]),
            (Policy::First, &[1.0]),
            (Policy::Sorted, &[1.0]),
        ] {
            let spread = run(of(Mix::all(habit)), Answers::All, 60, 10);
            is_near(&spread.shares(), wanted);
            let (mean, _) = spread.busiest().expect("enough");
            assert!((mean - wanted[0]).abs() < 0.02, "{habit:?}: {mean}");
        }
        // A quarter each of what is turned or shuffled, and the first has the rest.
        is_near(&run(of(Mix::of_resolvers()), Answers::All, 60, 10).shares(), &[0.4, 0.2, 0.2, 0.2]);
    }

    #[test]
    fn one_address_at_a_time_for_everybody_is_all_load_at_one_edge_for_some_seconds() {
        let spread = run(Settings::default(), Answers::InTime(Duration::from_secs(5)), 1, 40);
        is_near(&spread.shares(), &[0.25; 4]);
        // Only while resolvers forget is it two: one second in five, and half of it.
        let (mean, most) = spread.busiest().expect("enough");
        assert!(mean > 0.9 && most > 0.999, "{mean} {most}");
    }

    #[test]
    fn one_address_in_turn_is_as_uneven_as_the_sizes_of_resolvers() {
        let zipf = run(Settings::default(), Answers::InTurn, 60, 50);
        let even = run(Settings { sizes: Sizes::Even, ..Settings::default() }, Answers::InTurn, 60, 50);
        let all = run(of(Mix::all(Policy::Random)), Answers::All, 60, 50);
        let busiest = |spread: &Spread| spread.busiest().expect("enough").0;
        // The largest resolver alone has 18 % and somebody has it for the whole minute.
        assert!(busiest(&zipf) > 0.3, "{}", busiest(&zipf));
        assert!(busiest(&even) < 0.28 && busiest(&all) < 0.28, "{} {}", busiest(&even), busiest(&all));
    }

    #[test]
    fn a_resolver_asks_once_a_ttl() {
        let mut server = NameServer { addresses: edges(4), ttl_s: 5, answers: Answers::InTurn, asked: 0 };
        let population = Population::new(Settings { resolvers: 1, ..Settings::default() }, 1);
        let spread = simulate(&population, &mut server, (0..1_000).map(|n| Duration::from_millis(20) * n));
        assert_eq!(server.asked, 4);
        assert_eq!(spread.shares(), [0.25; 4]);
        assert!(spread.seconds.iter().all(|second| second.busiest().is_none_or(|share| share > 0.999)));
    }
}
