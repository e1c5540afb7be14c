//! In which order a journey's steps are walked: one after the other, and blocks of them that are repeated, or walked by
//! some, or by each visitor once. Pure; sends nothing.

use crate::arrivals::unit;
use serde::{Deserialize, Serialize};
use tentpole_runtime::Random;

/// Blocks within blocks.
pub const DEPTH_MAX: usize = 8;
/// Steps that one journey may come to, all repetitions counted.
pub const WALKED_MAX: u64 = 100_000;

/// A part of a journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Part {
    /// The step at this place of [`crate::journey::Journey::steps`].
    Step(usize),
    /// Several.
    Block(Block),
}

/// Steps that are repeated or left out together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Its number, over all journeys.
    pub number: usize,
    /// How often it is walked, one time after the other.
    pub repeat: u32,
    /// When it is walked at all.
    pub when: When,
    /// What is in it.
    pub parts: Vec<Part>,
}

/// When a block is walked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum When {
    /// Each time.
    Always,
    /// By chance, as a share of the times.
    Chance(f64),
    /// In this share of the times that a visitor comes to it, as evenly as whole times allow: no chance in it.
    Share(f64),
    /// The first so many times that a visitor comes to it.
    First(u32),
}

/// What a visitor remembers of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    came: u32,
    walked: u32,
}

impl When {
    /// Whether it is walked this time; `met` remembers that it was asked.
    pub fn is_now(self, met: &mut Met, random: &mut Random) -> bool {
        let is_now = match self {
            Self::Always => true,
            Self::Chance(chance) => unit(random) < chance,
            // The nearest whole number of times to the share of those so far, this one included.
            Self::Share(share) => (f64::from(met.walked) + 0.5) / (f64::from(met.came) + 1.0) < share,
            Self::First(times) => met.walked < times,
        };
        met.came = met.came.saturating_add(1);
        met.walked = met.walked.saturating_add(u32::from(is_now));
        is_now
    }
}

/// One way through a journey.
#[derive(Debug)]
pub struct Walk<'j> {
    parts: &'j [Part],
    at: usize,
    /// Blocks that are walked, the innermost last. Empty, and without memory, while there is none.
    inside: Vec<Frame<'j>>,
}

#[derive(Debug)]
struct Frame<'j> {
    block: &'j Block,
    at: usize,
    left: u32,
}

impl<'j> Walk<'j> {
    /// From the beginning.
    pub fn new(parts: &'j [Part]) -> Self {
        Self { parts, at: 0, inside: Vec::new() }
    }

    /// The place of the step that comes next; `None` when it is over.
    pub fn next(&mut self, met: &mut Vec<Met>, random: &mut Random) -> Option<usize> {
        loop {
            let part = match self.inside.last_mut() {
                None => {
                    let part = self.parts.get(self.at)?;
                    self.at += 1;
                    part
                }
                Some(frame) => match frame.block.parts.get(frame.at) {
                    Some(part) => {
                        frame.at += 1;
                        part
                    }
                    None if frame.left > 1 => {
                        (frame.left, frame.at) = (frame.left - 1, 0);
                        continue;
                    }
                    None => {
                        self.inside.pop();
                        continue;
                    }
                },
            };
            let block = match part {
                Part::Step(place) => return Some(*place),
                Part::Block(block) => block,
            };
            if met.len() <= block.number {
                met.resize(block.number + 1, Met::default());
            }
            if block.repeat > 0 && block.when.is_now(&mut met[block.number], random) {
                self.inside.push(Frame { block, at: 0, left: block.repeat });
            }
        }
    }
}

/// Steps that a walk of these comes to at most.
pub fn walked_max(parts: &[Part]) -> u64 {
    let of = |part: &Part| match part {
        Part::Step(_) => 1,
        Part::Block(block) => walked_max(&block.parts).saturating_mul(u64::from(block.repeat)).max(1),
    };
    parts.iter().map(of).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: usize, repeat: u32, when: When, parts: Vec<Part>) -> Part {
        Part::Block(Block { number, repeat, when, parts })
    }

    fn walked(parts: &[Part], met: &mut Vec<Met>) -> Vec<usize> {
        let (mut walk, mut random) = (Walk::new(parts), Random::from_seed(1));
        std::iter::from_fn(|| walk.next(met, &mut random)).collect()
    }

    #[test]
    fn blocks_are_repeated_within_one_another() {
        let inner = block(1, 2, When::Always, vec![Part::Step(2)]);
        let parts = vec![Part::Step(0), block(0, 2, When::Always, vec![Part::Step(1), inner]), Part::Step(3)];
        assert_eq!(walked(&parts, &mut Vec::new()), [0, 1, 2, 2, 1, 2, 2, 3]);
        assert_eq!(walked_max(&parts), 8);
        assert_eq!(walked(&[], &mut Vec::new()), [] as [usize; 0]);
    }

    #[test]
    fn a_share_is_kept_without_chance_and_the_first_times_are_the_first() {
        let parts = vec![
            block(0, 1, When::Share(0.3), vec![Part::Step(0)]),
            block(1, 1, When::First(1), vec![Part::Step(1)]),
        ];
        let mut met = Vec::new();
        let all: Vec<Vec<usize>> = (0..10).map(|_| walked(&parts, &mut met)).collect();
        let times = |step| all.iter().filter(|walk| walk.contains(&step)).count();
        assert_eq!((times(0), times(1)), (3, 1));
        assert!(all[0].contains(&1));
    }
}
