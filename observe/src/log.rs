//! Lines of the access log, as JSON or in Apache's combined format, from a request's record. Whatever bytes a visitor
//! sends, a line stays one line and valid: texts are escaped here and were cut before. Never runs on a data thread.

use crate::metrics::AnsweredBy;
use crate::record::{Record, Texts};
use jiff::Timestamp;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, PoisonError, RwLock};
use tentpole_model::{
    AccessLog, Assembly, Attempt, CacheOutcome, End, Failure, Outcome, Refused, Route, RouteId, Site, SiteId,
    Snapshot, Why,
};
use tentpole_runtime::Cells;

/// Snapshots whose names are kept: a request may be recorded long after the Snapshot that it began with was replaced.
const SNAPSHOTS_KEPT: usize = 16;

/// What the numbers in a record are called. Clones are the same names.
#[derive(Clone, Debug)]
pub struct Names {
    /// The newest last.
    of: Arc<RwLock<VecDeque<Arc<NamesOf>>>>,
    cells: Arc<Cells>,
}

/// What numbers mean in one Snapshot.
#[derive(Debug)]
struct NamesOf {
    /// Its version, as far as a byte holds it.
    version: u8,
    snapshot: Arc<Snapshot>,
    /// For each route, in the order of the Snapshot: its site and its place in it.
    routes: Vec<(usize, usize)>,
}

impl Names {
    /// The names of one Snapshot and of the process's endpoints.
    pub fn new(version: u64, snapshot: Arc<Snapshot>, cells: Arc<Cells>) -> Self {
        let names = Self { of: Arc::default(), cells };
        names.add(version, snapshot);
        names
    }

    /// The names of a further Snapshot. Those of the oldest are forgotten when there are many.
    pub fn add(&self, version: u64, snapshot: Arc<Snapshot>) {
        let routes = snapshot.sites.iter().enumerate();
        let routes =
            routes.flat_map(|(site, s)| (0..s.routes.len()).map(move |route| (site, route))).collect();
        let mut of = self.of.write().unwrap_or_else(PoisonError::into_inner);
        if of.len() == SNAPSHOTS_KEPT {
            of.pop_front();
        }
        of.push_back(Arc::new(NamesOf { version: version as u8, snapshot, routes }));
    }

    /// The names that a record's numbers mean; none when its Snapshot was forgotten.
    fn of(&self, why: &Why) -> Option<Arc<NamesOf>> {
        let of = self.of.read().unwrap_or_else(PoisonError::into_inner);
        of.iter().rev().find(|names| names.version == why.snapshot).cloned()
    }

    /// Calls `with` with the authority of the endpoint in this slot, `?` when there is none.
    fn endpoint<R>(&self, slot: u32, with: impl FnOnce(&str) -> R) -> R {
        match self.cells.by_slot(slot) {
            Some(cell) => with(&cell.authority),
            None => with("?"),
        }
    }
}

impl NamesOf {
    fn site(&self, site: SiteId) -> Option<&Site> {
        self.snapshot.sites.get(site.0 as usize)
    }

    fn route(&self, route: RouteId) -> Option<&Route> {
        let &(site, route) = self.routes.get(route.0 as usize)?;
        Some(&self.snapshot.sites[site].routes[route])
    }

    fn filter(&self, filter: u8) -> Option<&str> {
        Some(self.snapshot.filters.get(usize::from(filter))?.name.as_str())
    }

    /// The name of the pool that serves this route.
    fn pool(&self, route: RouteId) -> Option<&str> {
        let pool = self.route(route)?.pool;
        Some(self.snapshot.pools.get(pool.0 as usize)?.name.as_str())
    }
}

/// Appends one line in the wanted form, with its line end. Appends nothing when the log is off.
pub fn write_line(out: &mut Vec<u8>, form: AccessLog, record: &Record<'_>, names: &Names) {
    match form {
        AccessLog::Off => return,
        AccessLog::Json => write_json(out, record, names),
        AccessLog::Combined => write_combined(out, record, names),
    }
    out.push(b'\n');
}

/// Appends one JSON object without a line end. Times are in microseconds. What is absent did not happen.
pub fn write_json(out: &mut Vec<u8>, record: &Record<'_>, names: &Names) {
    let Record { why, texts } = record;
    let texts = texts.unwrap_or_default();
    add(out, format_args!("{{\"time\":\"{:.6}\",\"peer\":\"{}\"", arrived(why), why.peer));
    add(out, format_args!(",\"peer_port\":{},\"method\":", why.peer_port));
    write_json_text(out, method(why, &texts));
    json_member(out, "host", texts.host);
    json_member(out, "target", texts.target);
    add(out, format_args!(",\"version\":\"{}\",\"status\":{}", why.version.label(), why.status));
    add(out, format_args!(",\"bytes_in\":{},\"bytes_out\":{}", why.bytes_in, why.bytes_out));
    add(out, format_args!(",\"took_us\":{},\"head_us\":{}", why.took_us, why.head_us));
    add(out, format_args!(",\"connection_reused\":{},\"thread\":{}", why.connection_reused, why.thread));
    if let Some(tls) = why.tls {
        add(out, format_args!(",\"tls\":\"{}\",\"tls_resumed\":{}", tls.version.label(), tls.resumed));
    }
    let of = names.of(why);
    let of = of.as_deref();
    if let Some(site) = why.site.and_then(|site| of?.site(site)) {
        json_member(out, "site", site.name.as_bytes());
    }
    if let Some(id) = why.route {
        let path = of.and_then(|of| Some(of.route(id)?.path.as_bytes()));
        json_member(out, "route", path.unwrap_or(b"?"));
        json_member(out, "pool", of.and_then(|of| of.pool(id)).unwrap_or("?").as_bytes());
    }
    add(out, format_args!(",\"answered_by\":\"{}\"", AnsweredBy::of(why).label()));
    add(out, format_args!(",\"cache\":\"{}\"", why.cache.label()));
    if let CacheOutcome::Bypass(bypass) = why.cache {
        add(out, format_args!(",\"bypass\":\"{}\"", bypass.label()));
    }
    if let Some(priority) = why.priority {
        add(out, format_args!(",\"priority\":\"{}\"", priority.label()));
    }
    if why.learned {
        out.extend_from_slice(b",\"learned\":true");
    }
    if why.load {
        out.extend_from_slice(b",\"load\":true");
        for (key, member) in [("run=", "load_run"), ("account=", "load_account")] {
            let mut parts = texts.mark.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            if let Some(value) = parts.find_map(|part| part.strip_prefix(key.as_bytes())) {
                json_member(out, member, value);
            }
        }
    }
    let Assembly { fragments, failed, fault } = why.assembly;
    if fragments > 0 {
        add(out, format_args!(",\"fragments\":{fragments},\"fragments_failed\":{failed}"));
    }
    if let Some(fault) = fault {
        add(out, format_args!(",\"assembly\":\"{}\"", fault.label()));
    }
    add(out, format_args!(",\"end\":\"{}\"", end_label(why.end)));
    match why.end {
        End::Refused(refused) => add(out, format_args!(",\"refused\":\"{}\"", refused.label())),
        End::Failed(failure) => {
            out.extend_from_slice(b",\"failure\":");
            json_failure(out, &failure);
        }
        End::Open | End::Complete | End::Tunnelled => {}
    }
    if let Some(filter) = why.filter {
        let name = of.and_then(|of| of.filter(filter)).unwrap_or("?");
        json_member(out, if is_by_filter(why.end) { "filter" } else { "filter_reports" }, name.as_bytes());
    }
    out.extend_from_slice(b",\"attempts\":[");
    for (nth, attempt) in why.attempts.iter().flatten().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        json_attempt(out, attempt, names);
    }
    out.push(b']');
    json_member(out, "user_agent", texts.user_agent);
    json_member(out, "referer", texts.referer);
    out.push(b'}');
}

fn json_attempt(out: &mut Vec<u8>, attempt: &Attempt, names: &Names) {
    out.extend_from_slice(b"{\"endpoint\":");
    names.endpoint(attempt.endpoint, |authority| write_json_text(out, authority.as_bytes()));
    add(out, format_args!(",\"connection_reused\":{}", attempt.connection_reused));
    add(out, format_args!(",\"queued_us\":{},\"connect_us\":{}", attempt.queued_us, attempt.connect_us));
    add(out, format_args!(",\"first_byte_us\":{}", attempt.first_byte_us));
    match attempt.outcome {
        Outcome::Status(status) => add(out, format_args!(",\"status\":{status}")),
        Outcome::Failed(failure) => {
            out.extend_from_slice(b",\"failure\":");
            json_failure(out, &failure);
        }
        Outcome::GivenUp => out.extend_from_slice(b",\"given_up\":true"),
    }
    if attempt.hedged {
        out.extend_from_slice(b",\"hedged\":true");
    }
    if let Some(reason) = attempt.not_again {
        add(out, format_args!(",\"not_again\":\"{}\"", reason.label()));
    }
    if let Some(reason) = attempt.detour {
        add(out, format_args!(",\"detour\":\"{}\"", reason.label()));
    }
    out.push(b'}');
}

fn json_failure(out: &mut Vec<u8>, failure: &Failure) {
    let Failure { side, phase, retry, bytes_sent, source } = failure;
    add(out, format_args!("{{\"side\":\"{}\",\"phase\":\"{}\"", side.label(), phase.label()));
    add(out, format_args!(",\"cause\":\"{}\",\"retry\":\"{}\"", source.label(), retry.label()));
    add(out, format_args!(",\"bytes_sent\":{bytes_sent}}}"));
}

fn json_member(out: &mut Vec<u8>, name: &str, text: &[u8]) {
    add(out, format_args!(",\"{name}\":"));
    write_json_text(out, text);
}

/// Appends a JSON string (RFC 8259 section 7) for any bytes: what is not UTF-8 becomes U+FFFD, control characters
/// and the line separators that some readers break at are escaped.
pub fn write_json_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        let mut plain = chunk.valid();
        while let Some(at) =
            plain.find(|c: char| matches!(c, '"' | '\\' | '\u{2028}' | '\u{2029}') || c.is_control())
        {
            let (before, from) = plain.split_at(at);
            out.extend_from_slice(before.as_bytes());
            let mut rest = from.chars();
            match rest.next() {
                Some('"') => out.extend_from_slice(b"\\\""),
                Some('\\') => out.extend_from_slice(b"\\\\"),
                Some(other) => add(out, format_args!("\\u{:04x}", u32::from(other))),
                None => {}
            }
            plain = rest.as_str();
        }
        out.extend_from_slice(plain.as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

/// Appends one line of Apache's combined format, with `cache=`, `why=`, `upstream=` and `took=` behind it, without a
/// line end.
pub fn write_combined(out: &mut Vec<u8>, record: &Record<'_>, names: &Names) {
    let Record { why, texts } = record;
    let texts = texts.unwrap_or_default();
    add(out, format_args!("{} - - [{}] \"", why.peer, arrived(why).strftime("%d/%b/%Y:%H:%M:%S +0000")));
    write_escaped(out, method(why, &texts));
    out.push(b' ');
    write_escaped(out, or_dash(texts.target));
    add(out, format_args!(" HTTP/{}\" {} {} \"", why.version.label(), why.status, why.bytes_out));
    write_escaped(out, or_dash(texts.referer));
    out.extend_from_slice(b"\" \"");
    write_escaped(out, or_dash(texts.user_agent));
    add(out, format_args!("\" cache={} why=", why.cache.label()));
    combined_reasons(out, why);
    out.extend_from_slice(b" upstream=");
    if why.attempts[0].is_none() {
        out.push(b'-');
    }
    for (nth, attempt) in why.attempts.iter().flatten().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        names.endpoint(attempt.endpoint, |authority| write_escaped(out, authority.as_bytes()));
        match attempt.outcome {
            Outcome::Status(status) => add(out, format_args!("/{status}")),
            Outcome::Failed(failure) => {
                add(out, format_args!("/{}/{}", failure.phase.label(), failure.source.label()));
            }
            Outcome::GivenUp => out.extend_from_slice(b"/given_up"),
        }
    }
    add(out, format_args!(" took={}us", why.took_us));
    if let Some(filter) = why.filter {
        let of = names.of(why);
        let name = of.as_deref().and_then(|of| of.filter(filter)).unwrap_or("?");
        add(out, format_args!(" {}=", if is_by_filter(why.end) { "filter" } else { "filter_reports" }));
        write_escaped(out, name.as_bytes());
    }
}

/// Whether a filter refused it: otherwise the one that is named only reports.
fn is_by_filter(end: End) -> bool {
    matches!(end, End::Refused(Refused::Denied | Refused::RateLimited | Refused::Challenged))
}

/// The bypass, then the refusal or the failure, with a comma between; a dash when there is neither.
fn combined_reasons(out: &mut Vec<u8>, why: &Why) {
    let bypass = if let CacheOutcome::Bypass(bypass) = why.cache { Some(bypass.label()) } else { None };
    out.extend_from_slice(bypass.unwrap_or_default().as_bytes());
    let comma = if bypass.is_some() { "," } else { "" };
    match why.end {
        End::Refused(refused) => add(out, format_args!("{comma}{}", refused.label())),
        End::Failed(Failure { side, phase, source, .. }) => {
            add(out, format_args!("{comma}{}/{}/{}", side.label(), phase.label(), source.label()));
        }
        End::Open | End::Complete | End::Tunnelled if bypass.is_none() => out.push(b'-'),
        End::Open | End::Complete | End::Tunnelled => {}
    }
}

/// Appends text as Apache does: quotes and backslashes behind a backslash, whatever is not printable ASCII as `\xhh`.
/// A space stays a space: every text in the line stands between quotes or holds none.
fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => add(out, format_args!("\\x{byte:02x}")),
        }
    }
}

fn or_dash(text: &[u8]) -> &[u8] {
    if text.is_empty() { b"-" } else { text }
}

fn method<'a>(why: &Why, texts: &Texts<'a>) -> &'a [u8] {
    if texts.method.is_empty() { why.method.label().as_bytes() } else { texts.method }
}

fn end_label(end: End) -> &'static str {
    match end {
        End::Open => "open",
        End::Complete => "complete",
        End::Refused(_) => "refused",
        End::Failed(_) => "failed",
        End::Tunnelled => "tunnelled",
    }
}

/// The time of arrival; 1970 for numbers that no calendar has.
fn arrived(why: &Why) -> Timestamp {
    let us = i64::try_from(why.arrived_unix_us).unwrap_or_default();
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn add(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
