//! What a request's head means, beyond its fields. Refuses what cannot be understood in one way only; knows no
//! route.

use crate::part::Part;
use tentpole_freshness::{CacheControl, RequestFacts};
use tentpole_http1::{self as http1, Framing};
use tentpole_message::{Name, RequestHead};
use tentpole_model::{Method, Refused};
use tentpole_runtime::clock;

/// What a request asks for.
#[derive(Clone, Copy)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// How its body is framed.
    pub framing: Framing,
    /// Whether it asks to change to a protocol that we tunnel.
    pub upgrades: bool,
    /// The part that is wanted of a response of which parts are kept.
    pub part: Option<Part>,
    /// What it says about caching.
    pub facts: RequestFacts,
    /// Its arrival, in seconds since 1970.
    pub now: u64,
    /// It was asked by https, of a proxy in front that is believed.
    pub https: bool,
}

/// Understands a head that was parsed, of a request whose body is framed so.
pub fn understand(head: &RequestHead, framing: Framing) -> Result<Asked, Refused> {
    http1::expects_continue(head)?;
    let fields = &head.fields;
    let facts = RequestFacts {
        method: head.method,
        authorization: fields.has(Name::Authorization),
        cookie: fields.has(Name::Cookie),
        range: fields.has(Name::Range),
        cache_control: cache_control(head),
    };
    // Behind a body there is no telling where it ends and the new protocol begins: then the offer is ignored.
    let upgrades = fields.has(Name::Upgrade)
        && matches!(framing, Framing::None | Framing::Length(0))
        && http1::upgrade(head).is_some_and(may_upgrade);
    let now = clock::coarse().unix_seconds();
    Ok(Asked { method: head.method, framing, upgrades, part: None, facts, now, https: false })
}

/// Behind `h2c` a visitor would speak past every rule of ours; what is not known is not forwarded.
fn may_upgrade(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"websocket")
}

fn cache_control(head: &RequestHead) -> CacheControl {
    let fields = &head.fields;
    if fields.has(Name::CacheControl) {
        return CacheControl::parse(fields.all(Name::CacheControl));
    }
    // RFC 9111 section 5.4: only where there is no Cache-Control.
    let no_cache = fields.has_token(Name::Pragma, b"no-cache");
    CacheControl { no_cache, ..CacheControl::default() }
}
