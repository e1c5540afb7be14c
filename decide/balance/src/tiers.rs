//! Which tier a request goes to: the first, as long as it can carry its load with what is left of it; what it cannot
//! carry goes to the next (Envoy's priority levels do the same). Knows no endpoints, only what is there of each tier.

/// Tiers that take part at once, at most: there are ten.
pub const TIERS_MAX: usize = 10;

/// What there is of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// The summed weights of its endpoints that take traffic.
    pub open: u64,
    /// The summed weights of all its endpoints.
    pub all: u64,
}

/// The whole of the requests, in the unit of [`shares`].
pub const WHOLE: u32 = 10_000;

/// What part of the requests each tier gets, in ten thousandths; lowest tier first.
///
/// A tier of which the part `h` is there can carry `h × overprovisioning_percent / 100` of the requests, at most all. Each
/// gets what it can carry of what those before it cannot. When all together cannot carry everything, each carries more in
/// proportion. All are zero when nothing is open; else they add up to [`WHOLE`].
///
/// `tiers` beyond [`TIERS_MAX`] get nothing. Allocates nothing.
pub fn shares(tiers: &[Tier], overprovisioning_percent: u32) -> [u32; TIERS_MAX] {
    let mut shares = [0; TIERS_MAX];
    let carries = |tier: &Tier| {
        let able = u128::from(tier.open) * u128::from(overprovisioning_percent.max(100)) * u128::from(WHOLE)
            / 100
            / u128::from(tier.all.max(1));
        // Whatever is open carries something.
        let least = u128::from(tier.open > 0);
        able.clamp(least, u128::from(WHOLE)) as u32
    };
    let mut left = WHOLE;
    for (share, tier) in shares.iter_mut().zip(tiers) {
        *share = carries(tier).min(left);
        left -= *share;
    }
    let carried = WHOLE - left;
    if carried == 0 || left == 0 {
        return shares;
    }
    let mut rest = WHOLE;
    for share in &mut shares {
        *share = (u64::from(*share) * u64::from(WHOLE) / u64::from(carried)) as u32;
        rest -= *share;
    }
    // What rounding has left belongs to the first that carries anything.
    if let Some(first) = shares.iter_mut().find(|share| **share > 0) {
        *first += rest;
    }
    shares
}

/// The tier that a request goes to, by its place in `shares`; `None` when all are zero. Each in proportion to its share.
pub fn draw(shares: &[u32], random: u64) -> Option<usize> {
    let whole: u64 = shares.iter().map(|&share| u64::from(share)).sum();
    let mut point = ((u128::from(random) * u128::from(whole)) >> 64) as u64;
    shares.iter().position(|&share| match point.checked_sub(u64::from(share)) {
        Some(beyond) => {
            point = beyond;
            false
        }
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Shares of tiers with so many endpoints open of so many.
    fn shares_of(tiers: &[(u64, u64)]) -> Vec<u32> {
        let tiers: Vec<Tier> = tiers.iter().map(|&(open, all)| Tier { open, all }).collect();
        shares(&tiers, 140)[..tiers.len()].to_vec()
    }

    #[test]
    fn a_whole_tier_carries_everything() {
        assert_eq!(shares_of(&[(4, 4), (2, 2)]), [10_000, 0]);
    }

    #[test]
    fn a_tier_carries_everything_until_it_has_lost_more_than_it_can_make_up_for() {
        assert_eq!(shares_of(&[(5, 7), (2, 2)]), [10_000, 0], "5 of 7, each at 140 %");
        assert_eq!(shares_of(&[(1, 2), (2, 2)]), [7_000, 3_000], "the one that is left at 140 %");
        assert_eq!(shares_of(&[(1, 4), (2, 2)]), [3_500, 6_500]);
    }

    #[test]
    fn who_is_all_away_gets_nothing() {
        assert_eq!(shares_of(&[(0, 4), (2, 2)]), [0, 10_000]);
        assert_eq!(shares_of(&[(0, 4), (0, 2), (1, 1)]), [0, 0, 10_000]);
        assert_eq!(shares_of(&[(0, 0), (1, 1)]), [0, 10_000], "a tier without anybody");
        assert_eq!(shares_of(&[(0, 4), (0, 2)]), [0, 0]);
    }

    #[test]
    fn what_is_left_everywhere_carries_all_of_it() {
        // 35 % and 35 %: each carries half of everything.
        assert_eq!(shares_of(&[(1, 4), (1, 4)]), [5_000, 5_000]);
    }

    #[test]
    fn the_next_tier_can_be_left_alone_until_the_first_is_gone() {
        let tiers = [Tier { open: 1, all: 100 }, Tier { open: 1, all: 1 }];
        assert_eq!(shares(&tiers, 100_000)[..2], [10_000, 0]);
    }

    #[test]
    fn each_is_drawn_as_often_as_its_share_says() {
        let mut drawn = [0u32; 3];
        for number in 0..10_000u64 {
            drawn[draw(&[7_000, 0, 3_000], crate::draw::mixed(number)).unwrap()] += 1;
        }
        assert_eq!(drawn[1], 0);
        assert!((6_800..7_200).contains(&drawn[0]), "{drawn:?}");
        assert_eq!(draw(&[0, 0], 7), None);
        assert_eq!(draw(&[1, 0, 0], u64::MAX), Some(0));
    }

    proptest! {
        #[test]
        fn all_requests_go_somewhere_and_only_to_who_is_there(
            tiers in prop::collection::vec((any::<u32>(), any::<u32>()), 0..TIERS_MAX + 2),
            percent in 0u32..200_000,
        ) {
            let tiers: Vec<Tier> = tiers
                .iter()
                .map(|&(open, more)| Tier { open: open.into(), all: u64::from(open) + u64::from(more) })
                .collect();
            let shares = shares(&tiers, percent);
            let open = tiers.iter().take(TIERS_MAX).any(|tier| tier.open > 0);
            prop_assert_eq!(shares.iter().sum::<u32>(), if open { WHOLE } else { 0 });
            for (share, tier) in shares.iter().zip(&tiers) {
                prop_assert!(*share == 0 || tier.open > 0);
            }
        }

        #[test]
        fn losing_more_of_the_first_tier_never_gives_it_more(all in 1u64..100, open in 0u64..100) {
            let open = open % all;
            let first = |open| shares(&[Tier { open, all }, Tier { open: 3, all: 3 }], 140)[0];
            prop_assert!(first(open) <= first(open + 1));
        }
    }
}
