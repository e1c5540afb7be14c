//! Who asks whom: resolvers with their sizes and habits, and the visitors behind them. Pure: the same seed and number lead
//! to the same choice.

use crate::policy::{Mix, Policy};
use crate::sizes::Sizes;
use std::net::IpAddr;
use tentpole_runtime::Random;

/// Resolvers at most.
pub const RESOLVERS_MAX: u32 = 100_000;

/// What a population is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How many resolvers; at least 1.
    pub resolvers: u32,
    /// How many visitors each has.
    pub sizes: Sizes,
    /// In which order they hand on addresses.
    pub policies: Mix,
    /// Which address of those visitors take.
    pub clients: Mix,
}

impl Default for Settings {
    fn default() -> Self {
        let (policies, clients) = (Mix::of_resolvers(), Mix::all(Policy::First));
        Self { resolvers: 500, sizes: Sizes::default(), policies, clients }
    }
}

/// A population.
#[derive(Clone, Debug)]
pub struct Population {
    settings: Settings,
    seed: u64,
    /// Of the resolvers up to each, largest first; the last is 1.
    up_to: Vec<f64>,
    policies: Vec<Policy>,
    /// Of the line on which all visitors stand, behind one resolver after the other, from where to where ours do.
    ours: (f64, f64),
}

impl Population {
    /// Deals sizes and habits.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let count = settings.resolvers.clamp(1, RESOLVERS_MAX) as usize;
        let shares = settings.sizes.shares(count);
        let policies = settings.policies.deal(&shares);
        let mut so_far = 0.0;
        let up_to = shares
            .iter()
            .map(|share| {
                so_far += share;
                so_far
            })
            .collect();
        Self { settings, seed, up_to, policies, ours: (0.0, 1.0) }
    }

    /// The same where only the visitors from one place to another of the line come, as shares of all: what one of several
    /// generators has. So each resolver has its share of all together, and is at one of them; those at a border are at both.
    #[must_use]
    pub fn between(self, from: f64, to: f64) -> Self {
        let ours = (from.clamp(0.0, 1.0), to.clamp(from.clamp(0.0, 1.0), 1.0));
        Self { ours, ..self }
    }

    /// What it is drawn from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How it was told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many resolvers.
    pub fn count(&self) -> usize {
        self.up_to.len()
    }

    /// Of all visitors, those behind this resolver.
    pub fn share_of(&self, resolver: usize) -> f64 {
        self.up_to[resolver] - resolver.checked_sub(1).map_or(0.0, |before| self.up_to[before])
    }

    /// Behind which one the visitor of this number is.
    pub fn resolver_of(&self, who: u64) -> usize {
        let (from, to) = self.ours;
        let place = from + (to - from) * unit(&mut self.random(0, who));
        self.up_to.partition_point(|up_to| *up_to <= place).min(self.up_to.len() - 1)
    }

    /// The addresses of an answer in the order in which this visitor tries them. `turn` counts what the resolver was asked.
    pub fn order(&self, resolver: usize, turn: u64, who: u64, answer: &[IpAddr]) -> Vec<IpAddr> {
        let mut all = answer.to_vec();
        let mut random = self.random(1 + resolver as u64, turn);
        self.policies[resolver].order(&mut all, turn, &mut random);
        let mut random = self.random(u64::MAX, who);
        let client = self.settings.clients.at(unit(&mut random));
        // Who asks has asked nobody before: he has no turn.
        client.order(&mut all, 0, &mut random);
        all
    }

    fn random(&self, stream: u64, number: u64) -> Random {
        let seed = Random::from_seed(self.seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93)).next_u64();
        Random::from_seed(Random::from_seed(seed ^ number.wrapping_mul(0xA076_1D64_78BD_642F)).next_u64())
    }
}

/// A number from 0 to below 1.
pub(crate) fn unit(random: &mut Random) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_resolver_has_the_visitors_that_its_size_says() {
        let population = Population::new(Settings { resolvers: 50, ..Settings::default() }, 7);
        let mut counts = [0_u32; 50];
        (0..200_000).for_each(|who| counts[population.resolver_of(who)] += 1);
        for (resolver, count) in counts.iter().enumerate() {
            let (seen, wanted) = (f64::from(*count) / 200_000.0, population.share_of(resolver));
            assert!((seen - wanted).abs() < 0.005, "{resolver}: {seen} of {wanted}");
        }
        assert!(population.share_of(0) > 0.2, "few have most of them");
    }

    #[test]
    fn three_who_share_a_population_have_together_what_one_has() {
        let settings = Settings { resolvers: 50, ..Settings::default() };
        let mut places = [[0_u32; 50]; 3];
        for (part, counts) in places.iter_mut().enumerate() {
            // One has two threads of four.
            let (from, to) = [(0.0, 0.5), (0.5, 0.75), (0.75, 1.0)][part];
            let population = Population::new(settings.clone(), 7).between(from, to);
            let visitors = (200_000.0 * (to - from)) as u64;
            (0..visitors).for_each(|n| counts[population.resolver_of(n * 3 + part as u64)] += 1);
        }
        let population = Population::new(settings, 7);
        for resolver in 0..50 {
            let seen = f64::from(places.iter().map(|counts| counts[resolver]).sum::<u32>()) / 200_000.0;
            let wanted = population.share_of(resolver);
            assert!((seen - wanted).abs() < 0.005, "{resolver}: {seen} of {wanted}");
        }
        let at_several =
            (0..50).filter(|n| places.iter().filter(|counts| counts[*n] > 0).count() > 1).count();
        assert!(at_several <= 2, "{at_several} resolvers are at several");
    }

    proptest! {
        #[test]
        fn every_visitor_has_a_resolver_and_loses_no_address(seed: u64, who: u64, turn: u64, resolvers in 1_u32..300) {
            let clients = Mix::parse("first,random,sorted").expect("a mix");
            let population = Population::new(Settings { resolvers, clients, ..Settings::default() }, seed);
            let resolver = population.resolver_of(who);
            prop_assert!(resolver < population.count());
            let all: Vec<IpAddr> = (1..=5).map(|last| IpAddr::from([127, 0, 0, last])).collect();
            let mut given = population.order(resolver, turn, who, &all);
            prop_assert_eq!(&given, &population.order(resolver, turn, who, &all));
            given.sort_unstable();
            prop_assert_eq!(given, all);
        }
    }
}
