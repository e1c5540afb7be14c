//! All that is known under one key: its variants, and the fills on their way to become some. Takes no locks.

use crate::fill::Fill;
use crate::places::Places;
use crate::vary::Sign;
use crate::{Object, Presented};
use std::sync::Arc;

/// Variants of one key; the oldest gives way.
const VARIANTS_MAX: usize = 32;
/// So many beside the newest are compared one by one: that costs less than a request's sign.
const COMPARED_MAX: usize = 3;

/// 32 bytes: there is one for each key. The key itself is read from what is there.
#[derive(Debug)]
pub(crate) struct Entry {
    hash: u64,
    newest: Option<Arc<Object>>,
    /// What most keys do not have.
    more: Option<Box<More>>,
    /// Of the newest.
    place: u32,
}

#[derive(Debug, Default)]
struct More {
    /// The newest last.
    older: Vec<Older>,
    /// Fills that newcomers may join.
    fills: Vec<Arc<Fill>>,
}

/// A variant beside the newest. Found by its sign, so that a request looks into no other: each would be three places in
/// memory, far from one another.
#[derive(Debug)]
struct Older {
    stored: Stored,
    sign: Sign,
}

impl Older {
    fn of(stored: Stored) -> Self {
        let sign = stored.object.vary().sign();
        Self { stored, sign }
    }
}

/// A variant, and its place in the shard.
#[derive(Debug)]
pub(crate) struct Stored {
    object: Arc<Object>,
    pub place: u32,
}

impl Stored {
    pub(crate) fn is(&self, object: &Arc<Object>) -> bool {
        Arc::ptr_eq(&self.object, object)
    }
}

impl Entry {
    pub(crate) fn of_object(object: Arc<Object>, place: u32) -> Self {
        Self { hash: object.hash(), newest: Some(object), more: None, place }
    }

    pub(crate) fn of_fill(fill: Arc<Fill>) -> Self {
        let hash = fill.hash;
        let more = More { older: Vec::new(), fills: vec![fill] };
        Self { hash, newest: None, more: Some(Box::new(more)), place: 0 }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        match &self.newest {
            Some(object) => object.key(),
            None => self.fills().first().map_or(b"", |fill| &fill.key),
        }
    }

    /// The newest variant that a request selects (RFC 9111 section 4.1: the most recent of several).
    #[inline]
    pub(crate) fn select(&self, request: &Presented<'_>) -> Option<&Arc<Object>> {
        let newest = self.newest.as_ref()?;
        if newest.vary().matches(*request) {
            return Some(newest);
        }
        select_older(self.older(), request)
    }

    /// The newest variant, whatever selects it.
    pub(crate) fn newest(&self) -> Option<&Arc<Object>> {
        self.newest.as_ref()
    }

    /// Fills that newcomers may join.
    pub(crate) fn fills(&self) -> &[Arc<Fill>] {
        self.more.as_ref().map_or(&[], |more| &more.fills)
    }

    /// The places of all variants.
    pub(crate) fn places(&self) -> impl Iterator<Item = u32> {
        let newest = self.newest.as_ref().map(|_| self.place);
        newest.into_iter().chain(self.older().iter().map(|older| older.stored.place))
    }

    /// The place of an object, if it is one of the variants.
    pub(crate) fn place_of(&self, object: &Arc<Object>) -> Option<u32> {
        if self.newest.as_ref().is_some_and(|newest| Arc::ptr_eq(newest, object)) {
            return Some(self.place);
        }
        let mut older = self.older().iter().map(|older| &older.stored);
        older.find(|stored| Arc::ptr_eq(&stored.object, object)).map(|stored| stored.place)
    }

    /// Whether the object at a place is one of the variants.
    pub(crate) fn holds(&self, place: u32) -> bool {
        self.places().any(|other| other == place)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.newest.is_none() && self.fills().is_empty()
    }

    pub(crate) fn attach(&mut self, fill: Arc<Fill>) {
        self.more.get_or_insert_default().fills.push(fill);
    }

    /// Whether it was there.
    pub(crate) fn detach(&mut self, fill: &Arc<Fill>) -> bool {
        let Some(more) = &mut self.more else { return false };
        let at = more.fills.iter().position(|other| Arc::ptr_eq(other, fill));
        let detached = at.map(|at| more.fills.swap_remove(at)).is_some();
        self.tidy();
        detached
    }

    /// Stores an object, in the place of those that it supersedes; returns these.
    pub(crate) fn insert(
        &mut self,
        places: &mut Places,
        object: Arc<Object>,
        superseded: Option<&Arc<Object>>,
    ) -> Vec<Arc<Object>> {
        let gives_way = |stored: &Stored| {
            let other = &stored.object;
            // One that varied by nothing would answer for every variant.
            other.vary() == object.vary()
                || other.vary().is_empty()
                || superseded.is_some_and(|superseded| Arc::ptr_eq(superseded, other))
        };
        let (mut removed, mut reused) = (Vec::new(), None);
        while let Some(stored) = self.take(gives_way) {
            if let Some(second) = reused.replace(stored.place) {
                places.remove(second);
            }
            removed.push(stored.object);
        }
        if self.older().len() + 2 > VARIANTS_MAX
            && let Some(more) = &mut self.more
        {
            let oldest = more.older.remove(0).stored;
            places.remove(oldest.place);
            removed.push(oldest.object);
        }
        let place = match reused {
            Some(place) => {
                places.replace(place, object.clone());
                place
            }
            None => places.insert(object.clone()),
        };
        let second = self.newest.replace(object).map(|object| Stored { object, place: self.place });
        self.place = place;
        if let Some(second) = second {
            self.more.get_or_insert_default().older.push(Older::of(second));
        }
        removed
    }

    /// Puts an object into the place of another; false when that one is not there.
    pub(crate) fn replace(&mut self, places: &mut Places, old: &Arc<Object>, new: &Arc<Object>) -> bool {
        let Some(place) = self.place_of(old) else { return false };
        match self.newest.as_mut().filter(|newest| Arc::ptr_eq(newest, old)) {
            Some(newest) => *newest = new.clone(),
            None => {
                let mut older = self.more.iter_mut().flat_map(|more| &mut more.older);
                if let Some(older) = older.find(|older| older.stored.is(old)) {
                    *older = Older::of(Stored { object: new.clone(), place });
                }
            }
        }
        places.replace(place, new.clone());
        true
    }

    /// Takes one variant out.
    pub(crate) fn take(&mut self, which: impl Fn(&Stored) -> bool) -> Option<Stored> {
        if let Some(object) = self.newest.take() {
            let newest = Stored { object, place: self.place };
            if which(&newest) {
                if let Some(next) = self.more.as_mut().and_then(|more| more.older.pop()) {
                    (self.newest, self.place) = (Some(next.stored.object), next.stored.place);
                }
                self.tidy();
                return Some(newest);
            }
            self.newest = Some(newest.object);
        }
        let more = self.more.as_mut()?;
        let at = more.older.iter().position(|older| which(&older.stored))?;
        let taken = more.older.remove(at).stored;
        self.tidy();
        Some(taken)
    }

    fn older(&self) -> &[Older] {
        self.more.as_ref().map_or(&[], |more| &more.older)
    }

    /// Gives back what holds nothing any more.
    fn tidy(&mut self) {
        if self.more.as_ref().is_some_and(|more| more.older.is_empty() && more.fills.is_empty()) {
            self.more = None;
        }
    }
}

/// The newest that a request selects.
fn select_older<'a>(older: &'a [Older], request: &Presented<'_>) -> Option<&'a Arc<Object>> {
    let vary = |older: &'a Older| older.stored.object.vary();
    let mut newest_first = older.iter().rev();
    let selected = if older.len() <= COMPARED_MAX {
        newest_first.find(|older| vary(older).matches(*request))
    } else {
        let mut wanted: Option<Sign> = None;
        newest_first.find(|older| {
            // Variants of a key hardly ever vary by different names.
            let names = older.sign.names;
            let known = wanted.filter(|sign| sign.names == names);
            let sign = known.unwrap_or_else(|| Sign { names, values: vary(older).values_sign(request) });
            wanted = Some(sign);
            sign == older.sign && vary(older).matches(*request)
        })
    };
    selected.map(|older| &older.stored.object)
}
