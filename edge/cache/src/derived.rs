//! Other forms of a stored response, made of it later: compressed once for each coding, not once a request. They
//! belong to their object, count with it, and go with it. Compresses nothing.

use crate::Object;
use crate::body::Body;
use crate::span::Span;
use bytes::Bytes;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use tentpole_message::StoredHead;
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;

/// A content coding that forms are made in (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
    /// `gzip` (RFC 1952).
    Gzip,
}

impl Coding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// As `Content-Encoding` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Bits of what is not worth it, above those of what is claimed.
const DECLINED_SHIFT: u8 = 4;
const DECLINED: u8 = 0xf0;
/// All codings are claimed, and not worth it.
const NONE_WORTH_IT: u8 = 0x77;

/// A stored response in one content coding. Freshness, key, `Vary` and tags are its object's.
#[derive(Debug)]
pub struct Derived {
    lines: Box<[u8]>,
    etag: Span,
    body: Arc<Body>,
}

/// What a form costs beside its lines and content.
const DERIVED_OVERHEAD: u64 = (size_of::<Derived>() + size_of::<Body>()) as u64 + 64;

impl Derived {
    pub(crate) fn new(body: Arc<Body>, head: &StoredHead, etag: Option<&[u8]>) -> Self {
        let lines: Box<[u8]> = (*head.lines).into();
        let etag = Span::find(&lines, 0, etag).unwrap_or(Span::NONE);
        let derived = Self { lines, etag, body };
        derived.body.ledger().charge(Account::Cache, derived.own_cost());
        derived
    }

    /// Status line and fields, with `Content-Encoding` and an entity tag of its own, without the empty line.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Its entity tag.
    pub fn etag(&self) -> Option<&[u8]> {
        self.etag.of(&self.lines)
    }

    /// The content, in order; no chunk is empty.
    pub fn chunks(&self) -> &[Bytes] {
        self.body.chunks()
    }

    /// Bytes of content.
    pub fn body_bytes(&self) -> u64 {
        self.body.bytes()
    }

    fn own_cost(&self) -> u64 {
        DERIVED_OVERHEAD + self.lines.len() as u64
    }

    pub(crate) fn cost(&self) -> u64 {
        self.own_cost() + self.body.cost()
    }
}

impl Drop for Derived {
    fn drop(&mut self) {
        self.body.ledger().release(Account::Cache, self.own_cost());
    }
}

/// An object's other forms; empty for most.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    /// A bit for each coding that somebody makes, has made, or found not to be worth it; the last also in the upper
    /// half.
    claimed: AtomicU8,
    made: OnceLock<Box<[OnceLock<Arc<Derived>>; Coding::ALL.len()]>>,
}

impl Forms {
    #[inline]
    pub(crate) fn get(&self, coding: Coding) -> Option<&Arc<Derived>> {
        self.made.get()?[coding as usize].get()
    }

    /// Whether there is one, or may be one.
    #[inline]
    pub(crate) fn are_possible(&self) -> bool {
        self.claimed.load(Ordering::Relaxed) != NONE_WORTH_IT
    }

    #[inline]
    pub(crate) fn is_claimed(&self, coding: Coding) -> bool {
        self.claimed.load(Ordering::Relaxed) & coding.bit() != 0
    }

    fn all(&self) -> impl Iterator<Item = (Coding, &Arc<Derived>)> {
        Coding::ALL.into_iter().filter_map(|coding| Some((coding, self.get(coding)?)))
    }

    /// Whether it was put in. Only under the lock of the shard that holds the object: its cost changes with it.
    pub(crate) fn put(&self, coding: Coding, derived: &Arc<Derived>) -> bool {
        let made = self.made.get_or_init(Box::default);
        made[coding as usize].set(derived.clone()).is_ok()
    }

    pub(crate) fn own_cost(&self) -> u64 {
        self.all().map(|(_, derived)| derived.own_cost()).sum()
    }

    pub(crate) fn shared_cost(&self) -> u64 {
        self.all().map(|(_, derived)| derived.body.cost()).sum()
    }

    pub(crate) fn cost(&self) -> u64 {
        self.own_cost() + self.shared_cost()
    }

    /// The same contents under new heads; a form without one may be made anew. What was not worth it stays so.
    pub(crate) fn renewed(&self, new_head: &NewHead<'_>) -> Self {
        let forms = Self::default();
        let declined = self.claimed.load(Ordering::Relaxed) & DECLINED;
        let mut claimed = declined | declined >> DECLINED_SHIFT;
        for (coding, derived) in self.all() {
            if let Some((head, etag)) = new_head(coding, derived) {
                let renewed = Derived::new(derived.body.clone(), &head, etag.as_deref());
                forms.put(coding, &Arc::new(renewed));
                claimed |= coding.bit();
            }
        }
        forms.claimed.store(claimed, Ordering::Relaxed);
        forms
    }
}

/// Makes the head of a form, with its entity tag, when a 304 has renewed that of its object; `None` drops the form.
pub type NewHead<'a> = dyn Fn(Coding, &Derived) -> Option<(StoredHead, Option<Bytes>)> + 'a;

/// The task to make one form of an object, given to one. Dropped before, another gets it.
#[derive(Debug)]
pub struct Claim {
    object: Arc<Object>,
    coding: Coding,
    settled: bool,
}

impl Object {
    /// The task to make the form in this coding, unless somebody has it, had it, or found that it is not worth it.
    /// Costs a load where there is nothing to do.
    #[inline]
    pub fn claim(self: &Arc<Self>, coding: Coding) -> Option<Claim> {
        if self.place().is_some() {
            return None;
        }
        let (claimed, bit) = (&self.forms.claimed, coding.bit());
        if claimed.load(Ordering::Relaxed) & bit != 0 {
            return None;
        }
        if let Some(Ok(plan)) = self.plan()
            && !plan.is_plain()
        {
            // Nobody gets it as it is.
            return None;
        }
        let before = claimed.fetch_or(bit, Ordering::Relaxed);
        (before & bit == 0).then(|| Claim { object: self.clone(), coding, settled: false })
    }
}

impl Claim {
    /// What the form is to be made of.
    pub fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// In which coding.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// It is not worth it: nobody is asked again until the object changes.
    pub fn decline(mut self) {
        self.settled = true;
        self.object.forms.claimed.fetch_or(self.coding.bit() << DECLINED_SHIFT, Ordering::Relaxed);
    }

    /// No form of the object is worth it, in any coding, until it changes: for what is not text.
    pub fn decline_all(mut self) {
        self.settled = true;
        self.object.forms.claimed.fetch_or(NONE_WORTH_IT, Ordering::Relaxed);
    }

    pub(crate) fn settle(
        mut self,
        ledger: &Arc<Ledger>,
        made: Made<'_>,
    ) -> (Arc<Object>, Coding, Arc<Derived>) {
        self.settled = true;
        let body = Arc::new(Body::new(ledger, made.chunks, false));
        let derived = Arc::new(Derived::new(body, &made.head, made.etag));
        (self.object.clone(), self.coding, derived)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.settled {
            self.object.forms.claimed.fetch_and(!self.coding.bit(), Ordering::Relaxed);
        }
    }
}

/// A form that was made.
#[derive(Debug)]
pub struct Made<'a> {
    /// Status line and fields of the object, with `Content-Encoding` and another entity tag.
    pub head: StoredHead,
    /// That entity tag, as the head has it; another counts as none.
    pub etag: Option<&'a [u8]>,
    /// The content, in pieces none of which is empty or lies in a much larger buffer.
    pub chunks: Vec<Bytes>,
}
