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
