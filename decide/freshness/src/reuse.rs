//! May what is stored answer this request now (RFC 9111 section 4)? Weighs age against lifetime and what the
//! request asks for. Never serves what must be revalidated, whatever the visitor would accept.

use crate::RequestFacts;

/// What has to be remembered of a stored response to decide about its use. From [`crate::may_store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredFacts {
    /// Seconds that it is fresh, counted from its generation.
    pub lifetime: u32,
    /// Its age on arrival, in seconds.
    pub initial_age: u32,
    /// When it arrived, in unix seconds.
    pub response_time: u64,
    /// It is used only after revalidation.
    pub no_cache: bool,
    /// Once stale, it is used only after revalidation (`must-revalidate`, `proxy-revalidate`, `s-maxage`).
    pub must_revalidate: bool,
    /// The lifetime is a guess.
    pub heuristic: bool,
    /// It says nothing about caching: that it may be shared was learned. Then `heuristic` holds too, and the caller uses
    /// it only for requests that say nothing at all about who asks, which is more than is known here.
    pub learned: bool,
    /// It has `ETag` or `Last-Modified` to ask with.
    pub validator: bool,
    /// Seconds after its lifetime in which it may be served while it is revalidated (RFC 5861 section 3).
    pub stale_while_revalidate: u32,
    /// Seconds after its lifetime in which it may be served in place of an error (RFC 5861 section 4).
    pub stale_if_error: u32,
}

/// What to do with what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Serve it.
    Fresh,
    /// Serve it: it is stale, but the request accepts that (`max-stale`).
    StaleAccepted,
    /// Ask an endpoint whether it still holds; without a validator, for a new one.
    Revalidate,
    /// Leave it alone and forward the request as though nothing were stored: its lifetime is a guess, and the
    /// request says who the visitor is.
    Pass,
    /// `only-if-cached`, and nothing stored may be used: 504 (section 5.2.1.7).
    OnlyIfCached,
}

impl StoredFacts {
    /// Its age in seconds (section 4.2.3). Never less than it was on arrival, even if the clock was set back.
    #[inline]
    pub fn age(&self, now: u64) -> u64 {
        u64::from(self.initial_age).saturating_add(now.saturating_sub(self.response_time))
    }

    /// Whether it may answer this request. The method and the stored key are the caller's to match.
    #[inline]
    pub fn may_use(&self, request: &RequestFacts, now: u64) -> Use {
        let wanted = &request.cache_control;
        let answer = if self.heuristic && request.is_personal() {
            Use::Pass
        } else if self.no_cache || wanted.no_cache {
            Use::Revalidate
        } else {
            self.by_age(request, now)
        };
        let served = matches!(answer, Use::Fresh | Use::StaleAccepted);
        if wanted.only_if_cached && !served { Use::OnlyIfCached } else { answer }
    }

    #[inline]
    fn by_age(&self, request: &RequestFacts, now: u64) -> Use {
        let wanted = &request.cache_control;
        let (age, lifetime) = (self.age(now), u64::from(self.lifetime));
        let young_enough = wanted.max_age.is_none_or(|max_age| age <= u64::from(max_age));
        if !young_enough {
            return Use::Revalidate;
        }
        if age < lifetime {
            let lasts = wanted.min_fresh.is_none_or(|min_fresh| lifetime - age >= u64::from(min_fresh));
            return if lasts { Use::Fresh } else { Use::Revalidate };
        }
        let accepted = wanted
            .max_stale
            .is_some_and(|max_stale| max_stale == u32::MAX || age - lifetime <= u64::from(max_stale));
        // A lifetime of zero is an application's way to say "ask me every time".
        if accepted && wanted.min_fresh.is_none() && !self.must_revalidate && self.lifetime > 0 {
            Use::StaleAccepted
        } else {
            Use::Revalidate
        }
    }

    /// Whether it may be served stale while somebody asks the endpoint (RFC 5861 section 3). For a request that
    /// got [`Use::Revalidate`].
    pub fn serves_while_revalidating(&self, request: &RequestFacts, now: u64) -> bool {
        request.cache_control.max_age.is_none()
            && request.cache_control.min_fresh.is_none()
            && self.serves_stale(request, now, self.stale_while_revalidate)
    }

    /// Whether it may be served stale because endpoints fail (RFC 5861 section 4). For a request that got
    /// [`Use::Revalidate`] or [`Use::StaleAccepted`].
    pub fn serves_on_error(&self, request: &RequestFacts, now: u64) -> bool {
        let seconds = self.stale_if_error.max(request.cache_control.stale_if_error.unwrap_or(0));
        self.serves_stale(request, now, seconds)
    }

    fn serves_stale(&self, request: &RequestFacts, now: u64, seconds: u32) -> bool {
        let forbidden = self.no_cache || self.must_revalidate || request.cache_control.no_cache;
        let passed = self.heuristic && request.is_personal();
        let staleness = self.age(now).saturating_sub(u64::from(self.lifetime));
        !forbidden && !passed && seconds > 0 && staleness <= u64::from(seconds)
    }
}
