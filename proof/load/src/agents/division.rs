//! What each agent makes: threads that are numbered through, so that visitors and rates are divided as among the threads of
//! one generator, and every so many rows of a file, so that no row is taken twice. Nothing is rounded away. Pure.

use serde::{Deserialize, Serialize};

/// One agent's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The number of its first thread.
    pub first: u32,
    /// Its threads.
    pub threads: u32,
    /// The threads of all.
    pub of: u32,
    /// Its place among the agents, and how many there are.
    pub place: (usize, usize),
}

impl Part {
    /// Whether the visitor of this number is one of its threads'.
    pub fn has(&self, visitor: u64) -> bool {
        let thread = visitor % u64::from(self.of.max(1));
        thread >= u64::from(self.first) && thread - u64::from(self.first) < u64::from(self.threads)
    }
}

/// Divides among agents with so many threads each.
pub fn parts(threads: &[u32]) -> Vec<Part> {
    let of = threads.iter().sum();
    let mut first = 0;
    let part = |(place, &threads): (usize, &u32)| {
        let part = Part { first, threads, of, place: (place, 0) };
        first += threads;
        part
    };
    let mut all: Vec<Part> = threads.iter().enumerate().map(part).collect();
    let count = all.len();
    all.iter_mut().for_each(|part| part.place.1 = count);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_visitor_and_every_row_is_one_agents(
            threads in proptest::collection::vec(1_u32..9, 1..6), visitors in 0_u32..500, rows in 0_usize..200
        ) {
            let parts = parts(&threads);
            let owner = |visitor: u32| {
                let thread = visitor % parts[0].of;
                parts.iter().filter(|part| (part.first..part.first + part.threads).contains(&thread)).count()
            };
            prop_assert!((0..visitors).all(|visitor| owner(visitor) == 1));
            let mut taken: Vec<usize> = parts
                .iter()
                .flat_map(|part| (part.place.0..rows).step_by(part.place.1))
                .collect();
            taken.sort_unstable();
            prop_assert_eq!(taken, (0..rows).collect::<Vec<_>>());
        }
    }
}
