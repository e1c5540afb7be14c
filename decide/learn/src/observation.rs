//! What the edge tells of one answer: hashes with a key of the process, and times. No content, no address.

/// One answer of an endpoint that says nothing about caching, or that contradicts that it may be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When the request went to the endpoint, on a clock that only goes forward.
    pub sent_ms: u64,
    /// When the whole answer had arrived.
    pub done_ms: u64,
    /// Hash of `key`.
    pub url: u64,
    /// The cache's key: host, a zero byte, path and query.
    pub key: Box<[u8]>,
    /// The route, so that pages of two routes are never of one shape.
    pub route: u32,
    /// Whether rules are applied there, not only told.
    pub apply: bool,
    /// The visitor's address, hashed; of IPv6 the first 64 bits.
    pub visitor: u64,
    /// What the request said about who asks.
    pub who: Who,
    /// What the request said about what he likes: of a stripped one, what was left of it.
    pub traits: Traits,
    /// The request was the edge's own, that says nothing about a visitor but what [`crate::Rule::vary`] names.
    pub stripped: bool,
    /// The answer.
    pub answer: Answer,
    /// Microseconds to the first byte: what the endpoint worked for it.
    pub took_us: u32,
    /// Requests that this one stands for, itself included: those before it were not looked at, or were served from
    /// the cache.
    pub weight: u32,
    /// Of these, the ones that were served from the cache.
    pub served: u32,
}

/// What a request said about who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Nothing: no `Authorization`, no cookie but ignored ones, no field that is not sent by every browser.
    Nobody,
    /// Cookies with these names and nothing else.
    Cookies(Vec<Box<str>>),
    /// More than cookies.
    Somebody,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A response that says nothing about caching.
    Page {
        /// Hash of status, of the fields that would be stored, and of the body.
        hash: u64,
        /// Its content coding: a gzip page and a plain one are compared each with its own.
        coding: u8,
        /// It could be stored if it is shared: a page, that there is none, or where it is for good; not too long.
        storable: bool,
        /// It is a 200. That a page is missing says nothing about its siblings.
        found: bool,
        /// Fields that its `Vary` names.
        needs: Dims,
    },
    /// It sets these cookies: never shared.
    SetsCookies(Vec<Box<str>>),
    /// It says itself how it may be cached: nothing to learn.
    Speaks,
    /// Its `Vary` names `*`, or something that every browser sends and that no rule can keep.
    Varies,
    /// Nothing to compare (an error of the moment, too long, not looked at): counts for the time that it took.
    Unseen,
}

/// One thing that a request says about what its visitor likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trait {
    /// Hash of the field's value; 0 when there is none.
    pub exact: u32,
    /// What sort of value it is, where two spellings of the same do not count as two: [`crate::language_class`],
    /// [`crate::agent_class`].
    pub class: u16,
}

/// `Accept-Language`, `User-Agent` and `Accept`, in the order of [`Dims`]' bits.
pub type Traits = [Trait; 3];

/// A set of the fields that [`Traits`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dims(u8);

impl Dims {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// `Accept-Language`.
    pub const LANGUAGE: Self = Self(1);
    /// `User-Agent`.
    pub const AGENT: Self = Self(2);
    /// `Accept`.
    pub const ACCEPT: Self = Self(4);
    /// All of them.
    pub const ALL: Self = Self(7);
    /// Each alone, in the order of [`Traits`].
    pub const EACH: [Self; 3] = [Self::LANGUAGE, Self::AGENT, Self::ACCEPT];

    /// As a number.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From that number; what it has beyond is left out.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Whether it is empty.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are in it.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those of `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The fields' names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let names = ["Accept-Language", "User-Agent", "Accept"];
        Self::EACH.into_iter().zip(names).filter(move |(dim, _)| self.has(*dim)).map(|(_, name)| name)
    }
}
