//! Those who are called and have not come in yet. Some of them have gone: it is learned how many, so that as many more are
//! called. Who has not shown himself for some seconds may still come, but nothing is kept for him.

use std::collections::BTreeMap;

/// How long a called number may come in without being asked to line up again by a later call, in milliseconds.
const CALL_MS: u64 = 15_000;
/// Who is there asks within this time, in milliseconds.
const SHOWS_MS: u64 = 6_000;
/// Over how many of those who were called it is learned how many of them are there.
const LEARNED_OVER: f64 = 50.0;
/// At least this part of them counts as there.
const SHARE_MIN: f64 = 0.05;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    /// Called, and not heard of since.
    Called,
    /// There since.
    There,
    /// Not heard of for some seconds.
    Gone,
}

#[derive(Debug)]
pub(super) struct Coming {
    /// By number: until when he is expected, in milliseconds, and what is known of him.
    numbers: BTreeMap<u64, (u64, Is)>,
    called: usize,
    there: usize,
    /// The part of those who are called that shows itself.
    share: f64,
}

impl Default for Coming {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), called: 0, there: 0, share: 1.0 }
    }
}

impl Coming {
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// How many will really come, as it is known now.
    pub(super) fn expected(&self) -> f64 {
        self.there as f64 + self.called as f64 * self.share
    }

    pub(super) fn call(&mut self, number: u64, now_ms: u64) {
        self.set(number, now_ms + CALL_MS, Is::Called);
    }

    /// One who was called is there.
    pub(super) fn shows(&mut self, number: u64, now_ms: u64) {
        if self.set(number, now_ms + CALL_MS, Is::There) != Some(Is::There) {
            self.share += (1.0 - self.share) / LEARNED_OVER;
        }
    }

    /// He came in, or cannot.
    pub(super) fn remove(&mut self, number: u64) {
        if let Some((_, is)) = self.numbers.remove(&number) {
            *self.count(is) -= usize::from(is != Is::Gone);
        }
    }

    /// Those who were called before this number, and are there.
    pub(super) fn there_before(&self, number: u64) -> usize {
        self.numbers.range(..number).filter(|(_, (_, is))| *is == Is::There).count()
    }

    /// As time passes.
    pub(super) fn renew(&mut self, now_ms: u64) {
        let gone = self.numbers.iter().filter(|(_, (until, is))| match is {
            Is::Called => now_ms + CALL_MS >= until + SHOWS_MS,
            Is::There | Is::Gone => now_ms >= *until,
        });
        for (number, (until, is)) in Vec::from_iter(gone.map(|(number, at)| (*number, *at))) {
            if is == Is::Called {
                self.share = (self.share * (1.0 - 1.0 / LEARNED_OVER)).max(SHARE_MIN);
                self.set(number, until, Is::Gone);
            }
            if now_ms >= until {
                self.remove(number);
            }
        }
    }

    /// What was known of him before.
    fn set(&mut self, number: u64, until_ms: u64, is: Is) -> Option<Is> {
        let before = self.numbers.insert(number, (until_ms, is)).map(|(_, before)| before);
        if let Some(before) = before {
            *self.count(before) -= usize::from(before != Is::Gone);
        }
        *self.count(is) += usize::from(is != Is::Gone);
        before
    }

    fn count(&mut self, is: Is) -> &mut usize {
        match is {
            Is::There => &mut self.there,
            Is::Called | Is::Gone => &mut self.called,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_gone_is_expected_no_more_and_counts_for_those_who_are_called_next() {
        let mut coming = Coming::default();
        (1..=100).for_each(|number| coming.call(number, 0));
        assert_eq!((coming.expected(), coming.len()), (100.0, 100));
        (1..=50).for_each(|number| coming.shows(number, 1_000));
        coming.renew(SHOWS_MS);
        // Of those who were called fifty showed themselves, and lately nobody did.
        assert_eq!((coming.expected(), coming.len()), (50.0, 100));
        (101..=200).for_each(|number| coming.call(number, SHOWS_MS));
        assert!((75.0..100.0).contains(&coming.expected()), "{}", coming.expected());
        // Whoever comes after all is one who is there.
        coming.shows(60, SHOWS_MS);
        assert_eq!(coming.there_before(1_000), 51);
        coming.renew(CALL_MS + SHOWS_MS);
        assert_eq!((coming.expected(), coming.len()), (0.0, 0));
        assert!(coming.is_empty());
    }

    #[test]
    fn those_who_are_there_are_believed_again_after_a_while() {
        let mut coming = Coming::default();
        (1..=1_000).for_each(|number| coming.call(number, 0));
        coming.renew(CALL_MS);
        coming.call(1_001, CALL_MS);
        assert!((coming.expected() - SHARE_MIN).abs() < 1e-9, "{}", coming.expected());
        (2_000..2_200).for_each(|number| {
            coming.call(number, CALL_MS);
            coming.shows(number, CALL_MS);
            coming.remove(number);
        });
        assert!(coming.expected() > 0.95, "{}", coming.expected());
    }

    #[test]
    fn nobody_stands_in_the_way_of_others_who_is_not_there() {
        let mut coming = Coming::default();
        (1..=10).for_each(|number| coming.call(number, 0));
        assert_eq!(coming.there_before(10), 0);
        coming.shows(3, 100);
        assert_eq!((coming.there_before(10), coming.there_before(3)), (1, 0));
        coming.remove(3);
        assert_eq!(coming.there_before(10), 0);
    }
}
