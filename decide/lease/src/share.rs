//! Fair shares of what is there.

/// What each gets of `total`, by what each wants: nobody more than that, and whoever gets less than he wants no less than
/// any other (max-min fairness, Bertsekas and Gallager, Data Networks, section 6.5.2). What cannot be divided goes to the first.
pub fn fair_shares(total: u32, wants: &[u32]) -> Vec<u32> {
    let mut shares = vec![0; wants.len()];
    let mut order: Vec<usize> = (0..wants.len()).collect();
    order.sort_by_key(|&at| wants[at]);
    let mut left = total;
    for (done, &at) in order.iter().enumerate() {
        let others = (wants.len() - done) as u32;
        // Rounded up only where somebody must get the odd one.
        let part = left.div_ceil(others).min(left);
        shares[at] = wants[at].min(part);
        left -= shares[at];
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_wants_little_gets_it_and_the_others_share_the_rest() {
        assert_eq!(fair_shares(100, &[100, 0, 0]), [100, 0, 0]);
        assert_eq!(fair_shares(90, &[10, 100, 100]), [10, 40, 40]);
        assert_eq!(fair_shares(10, &[]), Vec::<u32>::new());
        assert_eq!(fair_shares(1, &[5, 5, 5]).iter().sum::<u32>(), 1);
    }

    proptest! {
        #[test]
        fn no_more_than_there_is_none_idle_while_one_wants_and_nobody_envies(
            total in 0u32..500,
            wants in proptest::collection::vec(0u32..100, 0..20),
        ) {
            let shares = fair_shares(total, &wants);
            let given: u32 = shares.iter().sum();
            prop_assert_eq!(given, total.min(wants.iter().sum()));
            for (at, &share) in shares.iter().enumerate() {
                prop_assert!(share <= wants[at]);
                // Whoever gets less than he wants gets as much as the greatest, but for the odd one.
                prop_assert!(share == wants[at] || shares.iter().all(|&other| other <= share + 1));
            }
        }
    }
}
