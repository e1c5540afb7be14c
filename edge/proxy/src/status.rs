//! What the edge says in each response of what its cache did (RFC 9211). Formats; decides nothing.

use crate::deliver::Reply;
use crate::obtain::Forwarded;
use std::io::Write;
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
    // Writing into a Vec cannot fail.
    let _ = match reply.cache {
        CacheOutcome::NotAsked => Ok(()),
        CacheOutcome::Hit | CacheOutcome::HitPartial | CacheOutcome::Stale => write!(out, "; hit"),
        CacheOutcome::HitDisk => write!(out, "; hit; detail=disk"),
        CacheOutcome::StaleIfError if reply.forwarded.is_none() => {
            write!(out, "; hit; detail=stale_if_error")
        }
        CacheOutcome::StaleIfError => {
            out.extend_from_slice(forwarded.as_bytes());
            forward_status(out, reply);
            write!(out, "; detail=stale_if_error")
        }
        CacheOutcome::Revalidated => write!(out, "{forwarded}; fwd-status=304"),
        CacheOutcome::Stored => {
            out.extend_from_slice(forwarded.as_bytes());
            if matches!(reply.forwarded, Some(Forwarded::Stale | Forwarded::Request)) {
                forward_status(out, reply);
            }
            write!(out, "; stored")
        }
        CacheOutcome::Joined => write!(out, "{forwarded}; collapsed"),
        CacheOutcome::Bypass(bypass) => {
            let forwarded = match bypass {
                Bypass::Method => "; fwd=method",
                Bypass::RequestNoStore | Bypass::SaysWho => "; fwd=request",
                Bypass::SwitchedOff | Bypass::Upgrade | Bypass::HitForMiss => "; fwd=bypass",
                Bypass::TooManyWaiters | Bypass::WaitedTooLong | Bypass::Probe | Bypass::Reload => {
                    "; fwd=bypass"
                }
                _ => forwarded,
            };
            write!(out, "{forwarded}; detail={}", bypass.label())
        }
    };
    if reply.learned && !matches!(reply.cache, CacheOutcome::Bypass(_)) {
        out.extend_from_slice(b"; detail=learned");
    }
    if let Some(ttl) = ttl {
        let _ = write!(out, "; ttl={ttl}");
    }
    out.extend_from_slice(b"\r\n");
}

/// The status that an endpoint answered with, where that is not the one that the visitor gets anyway.
fn forward_status(out: &mut Vec<u8>, reply: &Reply) {
    if let Some(status) = reply.forward_status {
        let _ = write!(out, "; fwd-status={status}");
    }
}
