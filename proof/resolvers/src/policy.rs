//! In which order the addresses of an answer are handed on: resolvers have habits, and so have those who ask them. Pure.

use crate::population::unit;
use std::fmt;
use std::net::IpAddr;
use tentpole_runtime::Random;

/// A habit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// As the name server wrote them.
    First,
    /// Anew at random for each who asks.
    Random,
    /// For each who asks, one further (what name servers call cyclic).
    Rotate,
    /// By number, the lowest first, whatever the name server wrote (what follows rule 9 of RFC 3484 does much the same).
    Sorted,
}

/// Habits and how many have each.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix(Vec<(Policy, f64)>);

impl Policy {
    /// Puts an answer in order. `turn` counts the answers that were given so far.
    pub fn order(self, addresses: &mut [IpAddr], turn: u64, random: &mut Random) {
        match self {
            Self::First => {}
            Self::Rotate if addresses.is_empty() => {}
            Self::Rotate => addresses.rotate_left((turn % addresses.len() as u64) as usize),
            Self::Sorted => addresses.sort_unstable(),
            Self::Random => {
                // Fisher and Yates, as Durstenfeld has it (CACM 7:7, 1964).
                for last in (1..addresses.len()).rev() {
                    let other = (unit(random) * (last + 1) as f64) as usize;
                    addresses.swap(last, other.min(last));
                }
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Random => "random",
            Self::Rotate => "rotate",
            Self::Sorted => "sorted",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::First, Self::Random, Self::Rotate, Self::Sorted]
            .into_iter()
            .find(|policy| policy.name() == text)
    }
}

impl Mix {
    /// All alike.
    pub fn all(policy: Policy) -> Self {
        Self(vec![(policy, 1.0)])
    }

    /// What resolvers do where nobody says otherwise: most turn or shuffle (BIND and Unbound do by default), some hand on
    /// what they got. An assumption, not a census.
    pub fn of_resolvers() -> Self {
        Self(vec![(Policy::First, 0.2), (Policy::Random, 0.4), (Policy::Rotate, 0.4)])
    }

    /// Reads `first:0.2,random:0.8`, or one word. Shares are relative to one another.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let says = || {
            format!(
                "\"{text}\" is no mix of policies; write first, random, rotate or sorted, or first:0.2,random:0.8"
            )
        };
        let mut mix: Vec<(Policy, f64)> = Vec::new();
        for part in text.split(',') {
            let (name, share) = part.trim().split_once(':').unwrap_or((part.trim(), "1"));
            let policy = Policy::parse(name).ok_or_else(says)?;
            let share =
                share.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1e6).ok_or_else(says)?;
            if mix.iter().any(|(other, _)| *other == policy) {
                return Err(format!("\"{text}\" names {name} twice"));
            }
            mix.push((policy, share));
        }
        let all: f64 = mix.iter().map(|(_, share)| share).sum();
        mix.iter_mut().for_each(|(_, share)| *share /= all);
        Ok(Self(mix))
    }

    /// As [`Mix::parse`] reads it, to the last digit.
    pub fn exact(&self) -> String {
        let parts: Vec<String> =
            self.0.iter().map(|(policy, share)| format!("{}:{share}", policy.name())).collect();
        parts.join(",")
    }

    /// Whether somebody has this habit.
    pub fn has(&self, policy: Policy) -> bool {
        self.0.iter().any(|(other, _)| *other == policy)
    }

    /// Gives each of these sizes a habit, so that of the visitors (not of the resolvers) each habit has its share as
    /// nearly as can be: the largest choose first, each the habit that is furthest behind.
    pub fn deal(&self, sizes: &[f64]) -> Vec<Policy> {
        let mut left: Vec<(Policy, f64)> = self.0.clone();
        let mut dealt = Vec::with_capacity(sizes.len());
        for size in sizes {
            let furthest = left.iter_mut().max_by(|one, other| one.1.total_cmp(&other.1));
            let Some((policy, behind)) = furthest else { break };
            *behind -= size;
            dealt.push(*policy);
        }
        dealt
    }

    /// The habit at this place between 0 and 1.
    pub fn at(&self, place: f64) -> Policy {
        let mut so_far = 0.0;
        for (policy, share) in &self.0 {
            so_far += share;
            if place < so_far {
                return *policy;
            }
        }
        self.0.last().map_or(Policy::First, |(policy, _)| *policy)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(policy, _)] = self.0.as_slice() {
            return f.write_str(policy.name());
        }
        for (number, (policy, share)) in self.0.iter().enumerate() {
            let share = (share * 1e4).round() / 1e4;
            write!(f, "{}{}:{share}", if number > 0 { "," } else { "" }, policy.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(policy: Policy, turn: u64) -> Vec<u8> {
        let mut all: Vec<IpAddr> = [3, 1, 2].map(|last| IpAddr::from([127, 0, 0, last])).to_vec();
        policy.order(&mut all, turn, &mut Random::from_seed(turn));
        all.iter().map(|ip| if let IpAddr::V4(ip) = ip { ip.octets()[3] } else { 0 }).collect()
    }

    #[test]
    fn each_habit_has_its_order() {
        assert_eq!(ordered(Policy::First, 1), [3, 1, 2]);
        assert_eq!([ordered(Policy::Rotate, 0), ordered(Policy::Rotate, 4)], [[3, 1, 2], [1, 2, 3]]);
        assert_eq!(ordered(Policy::Sorted, 1), [1, 2, 3]);
        let mut counts = [0; 4];
        (0..9_000).for_each(|turn| counts[usize::from(ordered(Policy::Random, turn)[0])] += 1);
        assert!(counts[1..].iter().all(|count| (2_850..3_150).contains(count)), "{counts:?}");
        Policy::Rotate.order(&mut [], 1, &mut Random::from_seed(1));
    }

    #[test]
    fn a_mix_is_of_visitors_and_not_of_resolvers() {
        let mix = Mix::parse("first:1,random:3").expect("a mix");
        assert_eq!(mix.to_string(), "first:0.25,random:0.75");
        let sizes = crate::Sizes::Zipf(1.1).shares(200);
        let dealt = mix.deal(&sizes);
        let first: f64 = dealt
            .iter()
            .zip(&sizes)
            .filter(|(policy, _)| **policy == Policy::First)
            .map(|(_, size)| size)
            .sum();
        assert!((first - 0.25).abs() < 0.005, "{first}");
    }

    #[test]
    fn what_is_no_mix_is_said() {
        for wrong in ["", "last", "first:0", "first:x", "first,,random", "first:-1"] {
            assert!(Mix::parse(wrong).unwrap_err().contains("first, random, rotate or sorted"), "{wrong}");
        }
        assert!(Mix::parse("first:1,first:2").unwrap_err().contains("twice"));
        assert_eq!(Mix::parse("sorted").expect("one word").to_string(), "sorted");
    }
}
