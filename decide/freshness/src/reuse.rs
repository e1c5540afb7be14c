//! May what is stored answer this request now (RFC 9111 section 4)? Weighs age against lifetime and what the
//! request asks for. Never serves what must be revalidated, whatever the visitor would accept.

use crate::RequestFacts;

/// What has to be remembered of a stored response to decide about its use. From [`crate::may_store`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredFacts {
    /// Seconds that it is fresh, counted from its generation.
    pub lifetime: u32,
    /// Its age on arrival, in seconds.
    pub initial_age: u32,
    /// When it arrived, in unix seconds.
    pub response_time: u64,
    /// It is used only after revalidation.
    pub no_cache: bool,
    /// Once stale, it is used only after revalidation (`must-revalidate`, `proxy-revalidate`, `s-maxage`), except for the
    /// seconds below: they are zero where the application does not allow it itself.
    pub must_revalidate: bool,
    /// While it is fresh it does not change, so a reloading browser needs no revalidation (RFC 8246).
    pub immutable: bool,
    /// The lifetime is a guess.
    pub heuristic: bool,
    /// It says nothing about caching: that it may be shared was learned. Then `heuristic` holds too, and the caller uses
    /// it only for requests that say nothing at all about who asks, which is more than is known here.
    pub learned: bool,
    /// Its lifetime is that of `Surrogate-Control`, which is not in the stored head.
    pub surrogate: bool,
    /// It has `ETag` or `Last-Modified` to ask with.
    pub validator: bool,
    /// Seconds after its lifetime in which it may be served while it is revalidated (RFC 5861 section 3).
    pub stale_while_revalidate: u32,
    /// Seconds after its lifetime in which it may be served in place of an error (RFC 5861 section 4).
    pub stale_if_error: u32,
    /// Seconds after its lifetime in which it may be served while there is no answer at all. Never less than
    /// `stale_if_error`.
    pub stale_if_unreachable: u32,
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

/// What is wrong with endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// One answered 500, 502, 503 or 504 (RFC 5861 section 4).
    Error,
    /// None answered: we are disconnected (RFC 9111 section 4.2.4).
    Silence,
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
        // RFC 8246 section 2.2: a reload asks for max-age=0, and what cannot have changed need not be asked for.
        let immutable = self.immutable && age < lifetime;
        let young_enough = wanted.max_age.is_none_or(|max_age| age <= u64::from(max_age));
        if !young_enough && !immutable {
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

    /// Whether it may be served stale because of this trouble. For a request that got [`Use::Revalidate`] or
    /// [`Use::StaleAccepted`].
    pub fn serves_on_error(&self, trouble: Trouble, request: &RequestFacts, now: u64) -> bool {
        let allowed = match trouble {
            Trouble::Error => self.stale_if_error,
            Trouble::Silence => self.stale_if_unreachable,
        };
        self.serves_stale(request, now, allowed.max(self.accepted_on_error(request)))
    }

    /// Seconds of staleness that the visitor accepts in place of an error, where the application does not forbid it.
    fn accepted_on_error(&self, request: &RequestFacts) -> u32 {
        request.cache_control.stale_if_error.filter(|_| !self.must_revalidate).unwrap_or(0)
    }

    fn serves_stale(&self, request: &RequestFacts, now: u64, seconds: u32) -> bool {
        let forbidden = self.no_cache || request.cache_control.no_cache;
        let passed = self.heuristic && request.is_personal();
        let staleness = self.age(now).saturating_sub(u64::from(self.lifetime));
        !forbidden && !passed && seconds > 0 && staleness <= u64::from(seconds)
    }
}
