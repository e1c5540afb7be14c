//! RFC 9111 for a shared cache: may this response be stored, may what is stored be used, does the visitor's copy
//! still hold, which part was asked for? Pure functions of facts and of the time that the caller names. Holds no
//! response, reads no clock, knows nothing of how messages are kept: it takes byte slices.
//!
//! All times are unix seconds. Where real applications are careless, this is stricter than the RFC, and says so:
//! a guessed lifetime is never given to a response that may be personal, and a response that sets a cookie is
//! never shared.
//!
//! Not here: stored HEAD responses, stored and combined partial responses (RFC 9111 section 3.4),
//! field-qualified `private="…"` and `no-cache="…"` (taken as unqualified, which section 5.2.2 allows).

mod cache_control;
mod condition;
mod date;
mod facts;
mod range;
mod reuse;
mod store;
mod structured;
mod targeted;

pub use cache_control::CacheControl;
pub use condition::{not_modified, range_applies};
pub use date::parse_date;
pub use facts::{Age, Expires, RequestFacts, ResponseFacts};
pub use range::{ContentRange, Ranged, byte_range, content_range};
pub use reuse::{StoredFacts, Trouble, Use};
pub use store::{
    ERROR_LIFETIME_MAX, HEURISTIC_LIFETIME_MAX, STALE_IF_UNREACHABLE, heuristically_cacheable, invalidates,
    may_store,
};
pub use targeted::{Control, SURROGATE};

/// Without the optional white space around it (RFC 9110 section 5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Bytes of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A number of digits only, saturating; anything else is none.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |number, &byte| {
        byte.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
    })
}
