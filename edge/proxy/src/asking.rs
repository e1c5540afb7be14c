//! What an endpoint is told of a request, and by what `Vary` compares it: a value that knows no connection and waits for
//! nothing. What the cache key does not hold an endpoint is not told, where its answer may be stored.

use crate::asked::Asked;
use crate::forward::{self, Forward, Purpose};
use crate::obtain::goes_past;
use crate::place::Place;
use crate::purge::host_of;
use crate::thread::View;
use std::net::IpAddr;
use tentpole_cache::Presented;
use tentpole_http1 as http1;
use tentpole_message::{Fields, Name, RequestHead};
use tentpole_model::{Bypass, Esi, Learn, Method};

/// A request whose place is known. The fields are those of [`Inquiry`](crate::obtain::Inquiry).
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    pub view: &'a View,
    pub request: &'a RequestHead,
    pub target: &'a [u8],
    pub shared_target: &'a [u8],
    pub cookies: Option<&'a [u8]>,
    pub key: &'a [u8],
    pub asked: &'a Asked,
    pub place: &'a Place,
    pub peer: IpAddr,
    pub via: &'a [u8],
}

impl<'a> Asking<'a> {
    /// The endpoint that the visitor comes back to, by his cookie. Where what it answers is stored for others, it is an
    /// answer to what all of them ask: it is told no more than any other endpoint would be.
    pub fn stuck(&self) -> Option<u64> {
        let sticky = self.view.prepared.pools[usize::from(self.place.pool.0)].sticky.as_ref()?;
        sticky.stuck(self.request.fields.all(Name::Cookie), self.asked.now).map(|stuck| stuck.endpoint)
    }

    /// The request as `Vary` compares it.
    #[inline]
    pub fn presented(&self) -> Presented<'a> {
        let rules = self.view.prepared.key_rules(self.place.caching);
        Presented::new(&self.request.fields, rules, self.cookies)
    }

    /// Whether a visitor who goes past the cache asks for what the key holds, and not for all of his query: what he is
    /// answered may show what can be shared, and is compared with what others are.
    pub fn asks_as_keyed(&self, bypass: Bypass) -> bool {
        let learns = self.view.prepared.caching(self.place.caching).learn != Learn::Off;
        let unknown = !self.asked.facts.cookie && !self.asked.facts.authorization;
        let compared = matches!(bypass, Bypass::Probe | Bypass::HitForMiss | Bypass::NoLifetime);
        self.target == self.shared_target || (compared && learns && unknown)
    }

    /// Writes the head that goes to the endpoint for this visitor alone: for what the key holds, or for all of his query
    /// ([`Asking::asks_as_keyed`]).
    pub fn write_own_forward(&self, out: &mut Vec<u8>, as_keyed: bool) {
        let target = if as_keyed { self.shared_target } else { self.target };
        self.write_forward(out, Purpose::Visitor, target);
    }

    /// Writes the head that goes to the endpoint, and returns what it is told of the fields. It is asked for `target` if its
    /// answer is not to be stored.
    pub fn write_forward(&self, out: &mut Vec<u8>, purpose: Purpose<'_>, target: &[u8]) -> Option<Fields> {
        out.clear();
        // What a HEAD is answered may change what is stored.
        let updates = self.asked.method == Method::Head && goes_past(self.asked, self.place).is_none();
        let shared = purpose != Purpose::Visitor || updates;
        let told = shared.then(|| self.presented().told());
        let method: &[u8] = if purpose == Purpose::Visitor { self.request.method_bytes() } else { b"GET" };
        let prepared = &self.view.prepared;
        let how = Forward {
            method,
            // What the key does not hold, an endpoint is not told, where its answer may be stored.
            target: if shared { self.shared_target } else { target },
            shared,
            fields: told.as_ref().unwrap_or(&self.request.fields),
            device: self.presented().device(),
            host: host_of(self.key),
            framing: self.asked.framing,
            peer: self.peer,
            via: self.via,
            https: self.asked.https,
            send: &prepared.pools[usize::from(self.place.pool.0)].send,
            require: &prepared.require,
            ranks: &prepared.ranks,
            address_field: prepared.snapshot.front.address_field.as_deref(),
            purpose,
            assembles: prepared.caching(self.place.caching).esi != Esi::Off,
            identity: prepared.asks_for_identity(self.place.caching),
            own_cookies: &prepared.own_cookies,
            upgrade: http1::upgrade(self.request).filter(|_| self.asked.upgrades),
        };
        forward::write_head(out, self.request, &how);
        told
    }
}
