//! How many copies of requests a pool's endpoints may be sent: a share of the requests, with a minimum a second. Copies
//! that nobody limits turn a slow moment into an outage, for each makes the endpoints slower. The shape is that of
//! Finagle's `RetryBudget`; Envoy's `retry_budget` counts what is under way instead.
//!
//! Each request pays a part of a copy in, each copy takes a whole one out. What is not used fades within ten seconds or so:
//! a quiet night saves nothing up for the morning.

/// What a pool allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Copies, in percent of the requests.
    pub percent: u32,
    /// Copies a second in any case: at a few requests a second a share of them is less than one.
    pub min_per_s: u32,
}

/// What is left of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// In thousandths of a copy.
    left: u32,
    /// When that was, in tenths of a second, from 1; 0 was never.
    tick: u32,
}

/// One copy.
const WHOLE: u32 = 1_000;
/// Milliseconds in a tick.
const TICK_MS: u64 = 100;
/// A hundredth fades with each tick, so at an even pace what is left comes to what ten seconds bring.
const FADES: u32 = 100;
/// After so many ticks next to nothing is left of what was there: 0.99 to this power is below 1 %.
const TICKS_MAX: u32 = 500;

impl Budget {
    /// From one number, as [`Budget::bits`] gave it.
    pub fn from_bits(bits: u64) -> Self {
        Self { left: bits as u32, tick: (bits >> 32) as u32 }
    }

    /// As one number, so that threads can exchange it as a whole. 0 is a budget that nothing was asked of yet.
    pub fn bits(self) -> u64 {
        u64::from(self.tick) << 32 | u64::from(self.left)
    }

    /// After a request.
    pub fn earned(self, allowance: Allowance, now_ms: u64) -> Self {
        let now = self.at(allowance, now_ms);
        Self { left: now.left.saturating_add(allowance.percent.saturating_mul(WHOLE / 100)), ..now }
    }

    /// After a copy; `None` when none is left.
    pub fn spent(self, allowance: Allowance, now_ms: u64) -> Option<Self> {
        let now = self.at(allowance, now_ms);
        Some(Self { left: now.left.checked_sub(WHOLE)?, ..now })
    }

    /// Whole copies that are left.
    pub fn copies(self) -> u32 {
        self.left / WHOLE
    }

    fn at(self, allowance: Allowance, now_ms: u64) -> Self {
        let tick = u32::try_from(now_ms / TICK_MS).unwrap_or(u32::MAX - 1).saturating_add(1);
        let a_tick = allowance.min_per_s.saturating_mul(WHOLE / 10);
        if self.tick == 0 {
            return Self { left: a_tick.saturating_mul(FADES), tick };
        }
        // Another thread's clock may be a moment ahead.
        let passed = tick.saturating_sub(self.tick).min(TICKS_MAX);
        let fade = |left: u32, _| (left - left.div_ceil(FADES)).saturating_add(a_tick);
        Self { left: (0..passed).fold(self.left, fade), tick: tick.max(self.tick) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USUAL: Allowance = Allowance { percent: 20, min_per_s: 3 };

    /// Copies let through in `seconds` at this pace, when every request asks for one.
    fn copies(allowance: Allowance, per_s: u64, from_s: u64, seconds: u64, budget: &mut Budget) -> u64 {
        let mut copies = 0;
        for nth in 0..per_s * seconds {
            let now_ms = from_s * 1_000 + nth * 1_000 / per_s;
            *budget = budget.earned(allowance, now_ms);
            if let Some(after) = budget.spent(allowance, now_ms) {
                *budget = after;
                copies += 1;
            }
        }
        copies
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_copies() {
        let mut budget = Budget::default();
        copies(USUAL, 1_000, 0, 10, &mut budget);
        let then = copies(USUAL, 1_000, 10, 60, &mut budget);
        assert!((12_000..=12_200).contains(&then), "{then} of 60,000, and 3 a second");
    }

    #[test]
    fn a_small_site_has_its_minimum() {
        let mut budget = Budget::default();
        assert_eq!(copies(USUAL, 1, 0, 60, &mut budget), 60, "each of them may be sent again");
    }

    #[test]
    fn a_quiet_time_saves_nothing_up() {
        let mut budget = Budget::default();
        for nth in 0..100_000 {
            budget = budget.earned(USUAL, nth);
        }
        assert!(
            (1_900..=2_100).contains(&budget.copies()),
            "what ten seconds bring, not a hundred: {budget:?}"
        );
        budget = budget.earned(USUAL, 100_000 + 60_000);
        assert!((29..=45).contains(&budget.copies()), "{budget:?}");
    }

    #[test]
    fn without_an_allowance_there_is_none() {
        let none = Allowance { percent: 0, min_per_s: 0 };
        assert_eq!(copies(none, 100, 0, 10, &mut Budget::default()), 0);
    }

    proptest! {
        #[test]
        fn never_more_than_is_allowed(
            percent in 0u32..=100, min_per_s in 0u32..=100, per_s in 1u64..=500, seconds in 1u64..=20,
        ) {
            let allowance = Allowance { percent, min_per_s };
            let got = copies(allowance, per_s, 0, seconds, &mut Budget::default());
            let share = per_s * seconds * u64::from(percent) / 100;
            // The minimum of ten seconds is there at the start.
            prop_assert!(got <= share + u64::from(min_per_s) * (seconds + 11), "{got}");
        }

        #[test]
        fn one_number_is_the_whole(left: u32, tick: u32) {
            let budget = Budget { left, tick };
            prop_assert_eq!(Budget::from_bits(budget.bits()), budget);
        }

        #[test]
        fn no_time_is_too_late(bits: u64, now_ms: u64) {
            Budget::from_bits(bits).earned(USUAL, now_ms).spent(USUAL, now_ms);
        }
    }
}
