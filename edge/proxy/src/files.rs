//! A pool's files in the place of an endpoint: what is there is answered here, as an endpoint would answer it, and goes
//! the way of every response. What is not there is the endpoints' to answer, or a 404 where the pool has none. Never
//! says whether what a visitor may not have is there.

use crate::choose::micros;
use crate::exchange::{Exchange, NoResponse};
use crate::fetch::{Attempts, Outgoing};
use crate::hashed::{path, values};
use crate::head::parsed;
use crate::source::Source;
use crate::thread::{Thread, View};
use bytes::Bytes;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tentpole_files::{Body, Found, Name, Opened, Rules, Seat, find};
use tentpole_freshness::{Ranged, byte_range, not_modified, parse_date, range_applies};
use tentpole_http1 as http1;
use tentpole_message::ResponseHead;
use tentpole_model::{Attempt, Cause, Failure, Files, Method, Outcome, Phase, Refused};
use tentpole_runtime::deadline::{Deadline, Expired};
use tentpole_runtime::{Cell, Cells, clock};
use tentpole_upstream::ResponseBody;

/// For whom a file is fresh for a second: this cache, which looks at the file again then. No staler, whatever a route says.
const FRESH: &[u8] = b"max-age=1+0;tentpole";
/// What browsers are told of what never changes: a year (RFC 8246).
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// A pool's files.
#[derive(Debug)]
pub struct PoolFiles {
    rules: Arc<Rules>,
    /// Where they are counted: like an endpoint of the pool.
    cell: Arc<Cell>,
}

impl PoolFiles {
    /// Prepares.
    pub fn new(files: &Files, cells: &Cells, pool: &str) -> Self {
        Self { rules: Arc::new(Rules::new(files)), cell: cells.of(pool, Files::CALLED) }
    }

    /// What of them may be shown.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether a file may be the answer; `alone` where there are no endpoints.
    ///
    /// # Errors
    /// When nobody else could answer.
    pub fn are_asked(method: Method, upgrades: bool, alone: bool) -> Result<bool, Refused> {
        match method {
            Method::Get | Method::Head if alone || !upgrades => Ok(true),
            _ if alone => Err(Refused::ReadOnly),
            _ => Ok(false),
        }
    }
}

/// Answers from the pool's files; `None` when an endpoint shall answer.
pub async fn answer(
    thread: &Thread,
    files: &PoolFiles,
    view: &View,
    outgoing: &Outgoing<'_>,
    response: &mut ResponseHead,
    attempts: &mut Attempts,
    deadline: &Deadline,
) -> Result<Option<Box<Exchange>>, NoResponse> {
    let pool = &view.prepared.snapshot.pools[usize::from(outgoing.pool.0)];
    let alone = pool.endpoints.is_empty();
    if !PoolFiles::are_asked(outgoing.method, outgoing.upgrades, alone).map_err(NoResponse::Refused)? {
        return Ok(None);
    }
    let asked = Asked::of(outgoing);
    let began = clock::coarse();
    let (found, seat) = look(thread, files, &asked, pool.timeouts.first_byte, deadline).await?;
    let answer = match found {
        Found::File(opened, first) => asked.file(&files.rules, &opened).with(opened, first),
        Found::Folder => asked.redirect(),
        Found::Script(_) | Found::Nothing if alone => asked.nothing(),
        Found::Script(_) | Found::Nothing => return Ok(None),
        // The application may well answer without them.
        Found::Failed(_) if !alone => return Ok(None),
        Found::Failed(kind) => {
            let failure = Failure::internal(Phase::Choose, Cause::Io(kind));
            note(files, attempts, Outcome::Failed(failure), 0);
            return Err(NoResponse::Failed(failure));
        }
    };
    *response = parsed(answer.lines);
    note(files, attempts, Outcome::Status(response.status), micros(began, clock::renew()));
    let body = ResponseBody::of_ours(response, outgoing.method).map_err(NoResponse::Failed)?;
    let ledger = &thread.shared.ledger;
    let source = match answer.content {
        Content::File(opened, range, first) if outgoing.method == Method::Get => {
            let readers = &thread.shared.files;
            Body::of(readers, seat, opened, range, first, ledger)
        }
        Content::Words(words) if outgoing.method == Method::Get => Body::words(words, ledger),
        _ => Body::words(Bytes::new(), ledger),
    };
    Ok(Some(Box::new(Exchange {
        source: Source::File(Box::new(source)),
        endpoint: (outgoing.pool, 0),
        body,
        content: None,
        permit: None,
        keeps_alive: true,
        sending: None,
        timeouts: pool.timeouts,
    })))
}

/// Looks at the disk, on a thread that may wait for it.
async fn look(
    thread: &Thread,
    files: &PoolFiles,
    asked: &Asked<'_>,
    time: std::time::Duration,
    deadline: &Deadline,
) -> Result<(Found, Seat), NoResponse> {
    let readers = &thread.shared.files;
    let seat = readers.seat().ok_or(NoResponse::Refused(Refused::QueueFull))?;
    let Some(name) = Name::read(asked.path) else { return Ok((Found::Nothing, seat)) };
    let rules = files.rules.clone();
    let ahead = if asked.takes_all() { Body::PIECE_BYTES } else { 0 };
    let mut found = readers.ask(&seat, move || find(&rules, &name, ahead));
    deadline.set_in(time);
    let failed = |source| NoResponse::Failed(Failure::internal(Phase::FirstByte, source));
    match deadline.guard(|context| Pin::new(&mut found).poll(context)).await {
        Ok(Ok(found)) => Ok((found, seat)),
        Ok(Err(_)) => Err(failed(Cause::Closed)),
        Err(Expired) => Err(failed(Cause::TimedOut)),
    }
}

fn note(files: &PoolFiles, attempts: &mut Attempts, outcome: Outcome, took_us: u32) {
    files.cell.requests.fetch_add(1, Relaxed);
    match outcome {
        Outcome::Status(status) => files.cell.succeeded(status),
        Outcome::Failed(_) => _ = files.cell.failed(),
        Outcome::GivenUp => {}
    }
    if let Some(free) = attempts.iter_mut().find(|attempt| attempt.is_none()) {
        *free = Some(Attempt { first_byte_us: took_us, outcome, ..Attempt::new(files.cell.slot, 0) });
    }
}

/// What is asked for, read from the head that an endpoint would get.
struct Asked<'a> {
    head: &'a [u8],
    method: Method,
    path: &'a [u8],
}

/// What is answered: a head without its last line, and the content.
struct Answer {
    lines: Vec<u8>,
    content: Content,
}

enum Content {
    /// Of a file, which is not named yet.
    Part(Range<u64>),
    File(Arc<Opened>, Range<u64>, Option<Bytes>),
    Words(Bytes),
}

impl<'a> Asked<'a> {
    fn of(outgoing: &Outgoing<'a>) -> Self {
        let path = path(outgoing.head).unwrap_or_default();
        Self { head: outgoing.head, method: outgoing.method, path }
    }

    fn all(&self, name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
        values(self.head, name).map(<[u8]>::trim_ascii)
    }

    fn first(&self, name: &'static [u8]) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Whether a file is sent from its beginning, whatever it is.
    fn takes_all(&self) -> bool {
        let conditions: [&[u8]; 5] =
            [b"range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"];
        self.method == Method::Get && conditions.into_iter().all(|name| self.first(name).is_none())
    }

    /// RFC 9110 section 13.2.2, in its order.
    fn file(&self, rules: &Rules, opened: &Opened) -> Answer {
        let now = clock::unix_seconds();
        let (etag, modified) = (opened.etag.as_bytes(), clock::http_date(opened.modified));
        // A date cannot tell what may have changed twice within its second.
        let modified_surely = (!opened.is_settling).then_some(&modified[..]);
        let mut lines = Vec::with_capacity(512);
        if self.has_changed(opened, now) {
            return self.words(412, "what is at this address has changed.");
        }
        let since = self.first(b"if-modified-since");
        if not_modified(self.all(b"if-none-match"), since, Some(etag), modified_surely, now) {
            http1::write_status_line(&mut lines, 304, b"");
            self.write_validators(&mut lines, rules, opened, &modified);
            return Answer { lines, content: Content::Part(0..0) };
        }
        let whole = opened.bytes;
        let applies = self.first(b"if-range").is_none_or(|wanted| {
            let date = clock::http_date(now);
            range_applies(wanted, Some(etag), modified_surely, Some(&date), now)
        });
        let range = self.first(b"range").filter(|_| self.method == Method::Get && applies);
        let (status, range) = match range.map(|range| byte_range(range, whole)) {
            None | Some(Ranged::Whole) => (200, 0..whole),
            Some(Ranged::Part { start, end_exclusive }) => (206, start..end_exclusive),
            Some(Ranged::Unsatisfiable) => {
                let mut answer = self.words(416, "what is at this address has no such part.");
                http1::write_field(
                    &mut answer.lines,
                    b"Content-Range",
                    format!("bytes */{whole}").as_bytes(),
                );
                return answer;
            }
        };
        http1::write_status_line(&mut lines, status, b"");
        http1::write_field(&mut lines, b"Content-Type", opened.media_type.as_bytes());
        lines.extend_from_slice(b"X-Content-Type-Options: nosniff\r\nAccept-Ranges: bytes\r\n");
        if status == 206 {
            let said = format!("bytes {}-{}/{whole}", range.start, range.end - 1);
            http1::write_field(&mut lines, b"Content-Range", said.as_bytes());
        }
        http1::write_framing(&mut lines, http1::Framing::Length(range.end - range.start));
        self.write_validators(&mut lines, rules, opened, &modified);
        Answer { lines, content: Content::Part(range) }
    }

    /// `If-Match`, or else `If-Unmodified-Since`, asks for another state of the file.
    fn has_changed(&self, opened: &Opened, now: u64) -> bool {
        if self.first(b"if-match").is_some() {
            let mut tags = self.all(b"if-match").flat_map(|list| list.split(|&byte| byte == b','));
            // Compared strongly: a weak tag is none (RFC 9110 section 13.1.1).
            let is_it = |tag: &[u8]| {
                let tag = tag.trim_ascii();
                tag == b"*" || tag == opened.etag.as_bytes() && !opened.is_settling
            };
            return !tags.any(is_it);
        }
        let until = self.first(b"if-unmodified-since").and_then(|date| parse_date(date, now));
        until.is_some_and(|until| opened.modified > until || opened.is_settling)
    }

    fn write_validators(&self, lines: &mut Vec<u8>, rules: &Rules, opened: &Opened, modified: &[u8]) {
        http1::write_field(lines, b"ETag", opened.etag.as_bytes());
        http1::write_field(lines, b"Last-Modified", modified);
        match rules.max_age_s {
            _ if rules.is_immutable(self.path) => {
                http1::write_field(lines, b"Cache-Control", IMMUTABLE.as_bytes())
            }
            Some(seconds) => {
                http1::write_field(lines, b"Cache-Control", format!("public, max-age={seconds}").as_bytes());
            }
            None => {}
        }
        http1::write_field(lines, b"Surrogate-Control", FRESH);
    }

    /// Sends who asks for a folder to its address with a slash: links in its index are relative to that.
    fn redirect(&self) -> Answer {
        let query = self.head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
        let query = query.get(self.path.len()..).unwrap_or_default();
        let location = [self.path, b"/", query].concat();
        let mut answer = self.words(301, "this page lives at its address with a slash at the end.");
        http1::write_field(&mut answer.lines, b"Location", &location);
        answer
    }

    fn nothing(&self) -> Answer {
        self.words(404, "there is nothing at this address.")
    }

    fn words(&self, status: u16, words: &str) -> Answer {
        let mut lines = Vec::with_capacity(256);
        let words = format!("{status}: {words}\n");
        http1::write_status_line(&mut lines, status, b"");
        lines.extend_from_slice(
            b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n",
        );
        http1::write_framing(&mut lines, http1::Framing::Length(words.len() as u64));
        http1::write_field(&mut lines, b"Surrogate-Control", FRESH);
        Answer { lines, content: Content::Words(words.into()) }
    }
}

impl Answer {
    /// Names the file that the content is of; `first` was read of it already.
    fn with(self, opened: Arc<Opened>, first: Option<std::io::Result<Bytes>>) -> Self {
        let content = match self.content {
            // What could not be read is read once more, and fails where it is sent.
            Content::Part(range) => Content::File(opened, range, first.and_then(Result::ok)),
            other => other,
        };
        Self { lines: self.lines, content }
    }
}
