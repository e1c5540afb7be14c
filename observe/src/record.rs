//! One request's record as bytes: what a data thread pushes into its ring and the drain thread reads. Fixed places,
//! little endian, written and read by the same build: this is no file format. Texts are cut, never refused.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tentpole_model::{
    ATTEMPTS_MAX, Assembly, AssemblyFault, Attempt, Bypass, CacheOutcome, Cause, Detour, End, Failure,
    Method, NotAgain, Outcome, Phase, Priority, Refused, Retry, RouteId, Side, SiteId, Tls, TlsFault,
    TlsVersion, Version, Why,
};

/// Bytes of the fixed part, before the attempts.
const BASE: usize = 88;
/// Bytes of one attempt.
const ATTEMPT: usize = 32;
/// Bytes of the lengths of the texts.
const LENGTHS: usize = 2 * TEXTS;
const TEXTS: usize = 6;
/// Bytes of each text that are kept: method, host, target, user agent, referer, mark.
pub const TEXT_BYTES_MAX: [usize; TEXTS] = [32, 256, 2_048, 512, 1_024, 160];
/// Bytes of one record at most.
pub const RECORD_BYTES_MAX: usize =
    BASE + ATTEMPTS_MAX * ATTEMPT + LENGTHS + 32 + 256 + 2_048 + 512 + 1_024 + 160;

/// What a visitor wrote, for people to read. Any bytes; empty where there was nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Texts<'a> {
    /// The method as written.
    pub method: &'a [u8],
    /// The host that was asked for.
    pub host: &'a [u8],
    /// The target as written: path and query.
    pub target: &'a [u8],
    /// The User-Agent field.
    pub user_agent: &'a [u8],
    /// The Referer field.
    pub referer: &'a [u8],
    /// What the mark of a load test says, without its proof; empty for visitors.
    pub mark: &'a [u8],
}

/// A request's record as read from a ring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'a> {
    /// What happened.
    pub why: Why,
    /// What the visitor wrote, when it was recorded.
    pub texts: Option<Texts<'a>>,
}

/// A record laid out for the ring, without its texts.
pub(crate) struct Encoded {
    bytes: [u8; BASE + ATTEMPTS_MAX * ATTEMPT + LENGTHS],
    length: usize,
}

mod flag {
    pub const REUSED: u8 = 1;
    pub const V6: u8 = 2;
    pub const SITE: u8 = 4;
    pub const ROUTE: u8 = 8;
    pub const TEXTS: u8 = 16;
    pub const TLS: u8 = 32;
    pub const TLS13: u8 = 64;
    pub const RESUMED: u8 = 128;
}

impl Encoded {
    /// The parts to push: this and the texts behind it.
    pub(crate) fn parts<'a>(&'a self, texts: Option<&Texts<'a>>) -> [&'a [u8]; 1 + TEXTS] {
        let texts = texts.map_or([b"".as_slice(); TEXTS], cut);
        [&self.bytes[..self.length], texts[0], texts[1], texts[2], texts[3], texts[4], texts[5]]
    }
}

/// Lays a record out.
#[inline]
pub(crate) fn encode(why: &Why, texts: Option<&Texts<'_>>) -> Encoded {
    let mut out = [0; BASE + ATTEMPTS_MAX * ATTEMPT + LENGTHS];
    let attempts = why.attempts.iter().take_while(|attempt| attempt.is_some()).count();
    put(&mut out, 0, why.arrived_unix_us.to_le_bytes());
    put(&mut out, 8, why.took_us.to_le_bytes());
    put(&mut out, 12, why.head_us.to_le_bytes());
    put(&mut out, 16, why.bytes_in.to_le_bytes());
    put(&mut out, 24, why.bytes_out.to_le_bytes());
    let mut flags = if why.connection_reused { flag::REUSED } else { 0 };
    match why.peer {
        IpAddr::V4(address) => put(&mut out, 32, address.octets()),
        IpAddr::V6(address) => {
            flags |= flag::V6;
            put(&mut out, 32, address.octets());
        }
    }
    put(&mut out, 48, why.peer_port.to_le_bytes());
    put(&mut out, 50, why.status.to_le_bytes());
    if let Some(SiteId(site)) = why.site {
        flags |= flag::SITE;
        put(&mut out, 52, site.to_le_bytes());
    }
    if let Some(RouteId(route)) = why.route {
        flags |= flag::ROUTE;
        put(&mut out, 54, route.to_le_bytes());
    }
    if texts.is_some() {
        flags |= flag::TEXTS;
    }
    if let Some(Tls { version, resumed }) = why.tls {
        flags |= flag::TLS;
        flags |= if version == TlsVersion::V13 { flag::TLS13 } else { 0 };
        flags |= if resumed { flag::RESUMED } else { 0 };
    }
    let (cache, bypass) = match why.cache {
        CacheOutcome::Bypass(bypass) => (crate::metrics::cache_slot(why.cache), bypass as u8),
        other => (crate::metrics::cache_slot(other), 0),
    };
    put(
        &mut out,
        58,
        [why.method as u8, why.version as u8, flags, why.thread, cache as u8, bypass, attempts as u8],
    );
    // Place 65 to 79: how it ended.
    match why.end {
        End::Open => out[65] = 0,
        End::Complete => out[65] = 1,
        End::Tunnelled => out[65] = 2,
        End::Refused(refused) => put(&mut out, 65, [3, refused as u8]),
        End::Failed(failure) => {
            out[65] = 4;
            put(&mut out, 66, encode_failure(&failure));
        }
    }
    put(&mut out, 80, why.assembly.fragments.to_le_bytes());
    put(&mut out, 82, why.assembly.failed.to_le_bytes());
    out[84] = why.assembly.fault.map_or(0, |fault| fault as u8 + 1);
    out[85] = why.snapshot;
    out[86] = u8::from(why.learned)
        | why.priority.map_or(0, |priority| priority as u8 + 1) << 1
        | u8::from(why.load) << 7;
    // 255 is none: there are fewer filters (`FILTERS_MAX`).
    out[87] = why.filter.unwrap_or(u8::MAX);
    let mut at = BASE;
    for attempt in why.attempts.iter().map_while(Option::as_ref) {
        put(&mut out, at, encode_attempt(attempt));
        at += ATTEMPT;
    }
    if let Some(texts) = texts {
        for text in cut(texts) {
            put(&mut out, at, (text.len() as u16).to_le_bytes());
            at += 2;
        }
    }
    Encoded { bytes: out, length: at }
}

/// Reads a record back. `None` for bytes that the recorder did not write: a mistake of ours, counted by the caller.
pub fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let base: &[u8; BASE] = bytes.first_chunk()?;
    let flags = base[60];
    let mut why = Why {
        arrived_unix_us: u64::from_le_bytes(get(base, 0)?),
        took_us: u32::from_le_bytes(get(base, 8)?),
        head_us: u32::from_le_bytes(get(base, 12)?),
        bytes_in: u64::from_le_bytes(get(base, 16)?),
        bytes_out: u64::from_le_bytes(get(base, 24)?),
        peer: match flags & flag::V6 {
            0 => IpAddr::V4(Ipv4Addr::from(get::<4>(base, 32)?)),
            _ => IpAddr::V6(Ipv6Addr::from(get::<16>(base, 32)?)),
        },
        peer_port: u16::from_le_bytes(get(base, 48)?),
        status: u16::from_le_bytes(get(base, 50)?),
        method: *Method::ALL.get(base[58] as usize)?,
        version: *Version::ALL.get(base[59] as usize)?,
        connection_reused: flags & flag::REUSED != 0,
        learned: base[86] & 1 != 0,
        load: base[86] & 0x80 != 0,
        priority: (base[86] >> 1 & 0x3f)
            .checked_sub(1)
            .and_then(|rank| Priority::ALL.get(usize::from(rank)).copied()),
        filter: (base[87] != u8::MAX).then_some(base[87]),
        tls: (flags & flag::TLS != 0).then_some(Tls {
            version: if flags & flag::TLS13 != 0 { TlsVersion::V13 } else { TlsVersion::V12 },
            resumed: flags & flag::RESUMED != 0,
        }),
        thread: base[61],
        site: (flags & flag::SITE != 0).then_some(SiteId(u16::from_le_bytes(get(base, 52)?))),
        route: (flags & flag::ROUTE != 0).then_some(RouteId(u32::from_le_bytes(get(base, 54)?))),
        snapshot: base[85],
        cache: match *crate::metrics::CACHE_OUTCOMES.get(base[62] as usize)? {
            CacheOutcome::Bypass(_) => CacheOutcome::Bypass(*Bypass::ALL.get(base[63] as usize)?),
            other => other,
        },
        end: match base[65] {
            0 => End::Open,
            1 => End::Complete,
            2 => End::Tunnelled,
            3 => End::Refused(*Refused::ALL.get(base[66] as usize)?),
            4 => End::Failed(decode_failure(&base[66..])?),
            _ => return None,
        },
        assembly: Assembly {
            fragments: u16::from_le_bytes(get(base, 80)?),
            failed: u16::from_le_bytes(get(base, 82)?),
            fault: match base[84] {
                0 => None,
                fault => Some(*AssemblyFault::ALL.get(usize::from(fault) - 1)?),
            },
        },
        attempts: [None; ATTEMPTS_MAX],
    };
    let mut rest = &bytes[BASE..];
    for slot in why.attempts.iter_mut().take(base[64] as usize) {
        let (attempt, behind) = rest.split_first_chunk::<ATTEMPT>()?;
        *slot = Some(decode_attempt(attempt)?);
        rest = behind;
    }
    let texts = if flags & flag::TEXTS == 0 { None } else { Some(decode_texts(rest)?) };
    Some(Record { why, texts })
}

/// 13 bytes: side, phase, retry, cause, kind of the system's error, bytes sent.
fn encode_failure(failure: &Failure) -> [u8; 13] {
    let (cause, kind) = match failure.source {
        Cause::TimedOut => (0, 0),
        Cause::Closed => (1, 0),
        Cause::Malformed => (2, 0),
        Cause::TooLarge => (3, 0),
        Cause::NoEndpoint => (4, 0),
        Cause::QueueFull => (5, 0),
        Cause::FillAborted => (6, 0),
        Cause::NoLocalPort => (9, 0),
        Cause::TooSlow => (10, 0),
        Cause::Silent => (11, 0),
        Cause::Tls(fault) => (8, TlsFault::ALL.iter().position(|&known| known == fault).unwrap_or(0)),
        Cause::Io(kind) => (7, KINDS.iter().position(|&known| known == kind).unwrap_or(0)),
    };
    let mut out = [0; 13];
    put(&mut out, 0, [failure.side as u8, failure.phase as u8, failure.retry as u8, cause, kind as u8]);
    put(&mut out, 5, failure.bytes_sent.to_le_bytes());
    out
}

fn decode_failure(bytes: &[u8]) -> Option<Failure> {
    let [side, phase, retry, cause, kind] = get(bytes, 0)?;
    let source = match cause {
        0 => Cause::TimedOut,
        1 => Cause::Closed,
        2 => Cause::Malformed,
        3 => Cause::TooLarge,
        4 => Cause::NoEndpoint,
        5 => Cause::QueueFull,
        6 => Cause::FillAborted,
        7 => Cause::Io(*KINDS.get(kind as usize)?),
        9 => Cause::NoLocalPort,
        10 => Cause::TooSlow,
        11 => Cause::Silent,
        8 => Cause::Tls(*TlsFault::ALL.get(kind as usize)?),
        _ => return None,
    };
    Some(Failure {
        side: *Side::ALL.get(side as usize)?,
        phase: *Phase::ALL.get(phase as usize)?,
        retry: *Retry::ALL.get(retry as usize)?,
        bytes_sent: u64::from_le_bytes(get(bytes, 5)?),
        source,
    })
}

/// The system's errors that a socket gives; all others become the first.
const KINDS: [ErrorKind; 19] = [
    ErrorKind::Other,
    ErrorKind::ConnectionRefused,
    ErrorKind::ConnectionReset,
    ErrorKind::ConnectionAborted,
    ErrorKind::NotConnected,
    ErrorKind::AddrInUse,
    ErrorKind::AddrNotAvailable,
    ErrorKind::BrokenPipe,
    ErrorKind::HostUnreachable,
    ErrorKind::NetworkUnreachable,
    ErrorKind::NetworkDown,
    ErrorKind::TimedOut,
    ErrorKind::UnexpectedEof,
    ErrorKind::PermissionDenied,
    ErrorKind::NotFound,
    ErrorKind::InvalidData,
    ErrorKind::InvalidInput,
    ErrorKind::OutOfMemory,
    ErrorKind::Interrupted,
];

fn encode_attempt(attempt: &Attempt) -> [u8; ATTEMPT] {
    let mut out = [0; ATTEMPT];
    put(&mut out, 0, attempt.endpoint.to_le_bytes());
    put(&mut out, 4, attempt.queued_us.to_le_bytes());
    put(&mut out, 8, attempt.connect_us.to_le_bytes());
    put(&mut out, 12, attempt.first_byte_us.to_le_bytes());
    out[16] = u8::from(attempt.connection_reused) | u8::from(attempt.hedged) << 1;
    out[31] = attempt.not_again.map_or(0, |reason| reason as u8 + 1)
        | attempt.detour.map_or(0, |reason| reason as u8 + 1) << 4;
    match attempt.outcome {
        Outcome::Status(status) => put(&mut out, 18, status.to_le_bytes()),
        Outcome::Failed(failure) => {
            out[17] = 1;
            put(&mut out, 18, encode_failure(&failure));
        }
        Outcome::GivenUp => out[17] = 2,
    }
    out
}

fn decode_attempt(bytes: &[u8; ATTEMPT]) -> Option<Attempt> {
    Some(Attempt {
        endpoint: u32::from_le_bytes(get(bytes, 0)?),
        queued_us: u32::from_le_bytes(get(bytes, 4)?),
        connect_us: u32::from_le_bytes(get(bytes, 8)?),
        first_byte_us: u32::from_le_bytes(get(bytes, 12)?),
        connection_reused: bytes[16] & 1 != 0,
        hedged: bytes[16] & 2 != 0,
        outcome: match bytes[17] {
            0 => Outcome::Status(u16::from_le_bytes(get(bytes, 18)?)),
            1 => Outcome::Failed(decode_failure(&bytes[18..])?),
            2 => Outcome::GivenUp,
            _ => return None,
        },
        not_again: match bytes[31] & 15 {
            0 => None,
            reason => Some(*NotAgain::ALL.get(usize::from(reason) - 1)?),
        },
        detour: match bytes[31] >> 4 {
            0 => None,
            reason => Some(*Detour::ALL.get(usize::from(reason) - 1)?),
        },
    })
}

/// The texts, each cut to its bound.
fn cut<'a>(texts: &Texts<'a>) -> [&'a [u8]; TEXTS] {
    let mut all = [texts.method, texts.host, texts.target, texts.user_agent, texts.referer, texts.mark];
    for (text, max) in all.iter_mut().zip(TEXT_BYTES_MAX) {
        *text = &text[..text.len().min(max)];
    }
    all
}

fn decode_texts(bytes: &[u8]) -> Option<Texts<'_>> {
    let (lengths, mut rest) = bytes.split_at_checked(LENGTHS)?;
    let mut texts = [b"".as_slice(); TEXTS];
    for (text, length) in texts.iter_mut().zip(lengths.as_chunks::<2>().0) {
        (*text, rest) = rest.split_at_checked(u16::from_le_bytes(*length) as usize)?;
    }
    let [method, host, target, user_agent, referer, mark] = texts;
    Some(Texts { method, host, target, user_agent, referer, mark })
}

#[inline]
fn put<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) {
    out[at..at + N].copy_from_slice(&bytes);
}

#[inline]
fn get<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
