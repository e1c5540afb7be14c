//! What the edge says in each response of what its cache did (RFC 9211). Formats; decides nothing.

use crate::deliver::Reply;
use crate::obtain::Forwarded;
use tentpole_http1 as http1;
use tentpole_model::{Bypass, CacheOutcome};

/// Writes `Cache-Status` (RFC 9211).
pub fn write(out: &mut Vec<u8>, reply: &Reply, ttl: Option<i64>) {
    out.extend_from_slice(b"Cache-Status: tentpole");
    let forwarded = match reply.forwarded {
        None => "; fwd=miss",
        Some(Forwarded::UriMiss) => "; fwd=uri-miss",
        Some(Forwarded::VaryMiss) => "; fwd=vary-miss",
        Some(Forwarded::Stale) => "; fwd=stale",
        Some(Forwarded::Request) => "; fwd=request",
    };
    let mut say = |words: &str| out.extend_from_slice(words.as_bytes());
    match reply.cache {
        CacheOutcome::NotAsked => {}
        CacheOutcome::Hit | CacheOutcome::HitPartial | CacheOutcome::Stale => say("; hit"),
        CacheOutcome::HitDisk => say("; hit; detail=disk"),
        CacheOutcome::StaleIfError if reply.forwarded.is_none() => say("; hit; detail=stale_if_error"),
        CacheOutcome::StaleIfError => {
            say(forwarded);
            forward_status(out, reply);
            out.extend_from_slice(b"; detail=stale_if_error");
        }
        CacheOutcome::Revalidated => {
            say(forwarded);
            say("; fwd-status=304");
        }
        CacheOutcome::Stored => {
            say(forwarded);
            if matches!(reply.forwarded, Some(Forwarded::Stale | Forwarded::Request)) {
                forward_status(out, reply);
            }
            out.extend_from_slice(b"; stored");
        }
        CacheOutcome::Joined => {
            say(forwarded);
            say("; collapsed");
        }
        CacheOutcome::Bypass(bypass) => {
            say(match bypass {
                Bypass::Method => "; fwd=method",
                Bypass::RequestNoStore | Bypass::SaysWho => "; fwd=request",
                Bypass::SwitchedOff | Bypass::Upgrade | Bypass::HitForMiss => "; fwd=bypass",
                Bypass::TooManyWaiters | Bypass::WaitedTooLong | Bypass::Probe | Bypass::Reload => {
                    "; fwd=bypass"
                }
                _ => forwarded,
            });
            say("; detail=");
            say(bypass.label());
        }
    }
    if reply.learned && !matches!(reply.cache, CacheOutcome::Bypass(_)) {
        out.extend_from_slice(b"; detail=learned");
    }
    if let Some(ttl) = ttl {
        out.extend_from_slice(if ttl < 0 { &b"; ttl=-"[..] } else { b"; ttl=" });
        http1::write_decimal(out, ttl.unsigned_abs());
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes `Age` (RFC 9111 section 5.1), in seconds.
pub fn write_age(out: &mut Vec<u8>, age: u64) {
    out.extend_from_slice(b"Age: ");
    http1::write_decimal(out, age);
    out.extend_from_slice(b"\r\n");
}

/// The status that an endpoint answered with, where that is not the one that the visitor gets anyway.
fn forward_status(out: &mut Vec<u8>, reply: &Reply) {
    if let Some(status) = reply.forward_status {
        out.extend_from_slice(b"; fwd-status=");
        http1::write_decimal(out, u64::from(status));
    }
}
