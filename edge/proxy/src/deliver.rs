//! Sends a response to the visitor: a stored object, a fill while it arrives, or an exchange's own body. Head and
//! first bytes go out in one write. Framing is written anew for this visitor; nothing is decided here about what
//! he may get.

use crate::answer::{self, Manner};
use crate::exchange::{Exchange, NoResponse, Upload};
use crate::learn::Watch;
use crate::obtain::Forwarded;
use crate::slices::{FEW, MANY, write_parts};
use crate::status;
use crate::tags::is_for_caches;
use bytes::Bytes;
use std::future::poll_fn;
use std::io::{IoSlice, Write};
use std::ops::Range;
use std::task::Poll;
use tentpole_cache::{Derived, FillReader, Object};
use tentpole_freshness::{self as freshness, Ranged};
use tentpole_http1::{self as http1, Framing, Piece};
use tentpole_listener::Visitor;
use tentpole_message::{BodyStream, Chunk, Name, RequestHead, ResponseHead, StoredHead};
use tentpole_model::{CacheOutcome, Cause, Failure, Method, Phase, Retry, Version};
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::Expired;

/// What was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The status.
    pub status: u16,
    /// Bytes handed to the kernel, head included.
    pub bytes: u64,
    /// Whether the connection can go on.
    pub keep_alive: bool,
    /// When the head was handed to the kernel.
    pub head_at: Instant,
}

/// What is the same for every way of delivering.
#[derive(Clone, Copy, Debug)]
pub struct Reply {
    /// Version and connection.
    pub manner: Manner,
    /// What `Cache-Status` says.
    pub cache: CacheOutcome,
    /// Why an endpoint was asked, if one was.
    pub forwarded: Option<Forwarded>,
    /// What it answered.
    pub forward_status: Option<u16>,
    /// What is sent was learned to be shared.
    pub learned: bool,
    /// Now, in seconds since 1970.
    pub now: u64,
    /// Tags and other fields for caches stay in what is sent.
    pub sends_tags: bool,
}

/// Sends a stored object, in another form where there is one for this visitor, or as much of it as his conditions ask
/// for, with field lines of his own.
pub async fn object(
    visitor: &mut Visitor,
    out: &mut Vec<u8>,
    object: &Object,
    form: Option<&Derived>,
    own_lines: &[u8],
    request: &RequestHead,
    reply: Reply,
) -> Result<Sent, Failure> {
    let (status, range) = object_head(out, object, form, own_lines, request, reply);
    let content = Content::of(object, form);
    let stored: &[u8] = if status == object.status() { content.lines } else { b"" };
    let bytes = write_parts::<MANY>(visitor, [stored, out.as_slice()], slices(content.chunks, range)).await?;
    Ok(Sent { status, bytes, keep_alive: reply.manner.keep_alive, head_at: clock::coarse() })
}

/// Writes what comes behind the stored lines of an object's head, or of its form's, or the whole head where the status
/// is another than the stored one. Returns the status, and what of the content is wanted.
pub fn object_head(
    out: &mut Vec<u8>,
    object: &Object,
    form: Option<&Derived>,
    own_lines: &[u8],
    request: &RequestHead,
    reply: Reply,
) -> (u16, Range<u64>) {
    let content = Content::of(object, form);
    let asked = Asked::of(object, content, request, reply.now);
    out.clear();
    let (status, range) = match asked {
        Asked::Whole => {
            // RFC 9110 section 8.6: a 204 states no length.
            if object.status() != 204 {
                write_length(out, content.bytes);
            }
            (object.status(), 0..content.bytes)
        }
        Asked::NotModified => {
            not_modified_lines(out, content.lines);
            (304, 0..0)
        }
        Asked::Part(range) => {
            part_lines(out, content.lines, &range, content.bytes);
            (206, range)
        }
        Asked::Unsatisfiable => {
            unsatisfiable_lines(out, content.bytes);
            (416, 0..0)
        }
    };
    out.extend_from_slice(own_lines);
    let facts = object.facts();
    let age = facts.age(reply.now);
    status::write_age(out, age);
    let reply = Reply { learned: facts.learned, ..reply };
    status::write(out, &reply, Some(i64::from(facts.lifetime) - age as i64));
    answer::connection(out, reply.manner);
    out.extend_from_slice(b"\r\n");
    (status, if reply.manner.head_only { 0..0 } else { range })
}

/// What of a stored object is sent.
#[derive(Clone, Copy)]
struct Content<'a> {
    lines: &'a [u8],
    etag: Option<&'a [u8]>,
    chunks: &'a [Bytes],
    bytes: u64,
}

impl<'a> Content<'a> {
    fn of(object: &'a Object, form: Option<&'a Derived>) -> Self {
        match form {
            Some(form) => Self {
                lines: form.lines(),
                etag: form.etag(),
                chunks: form.chunks(),
                bytes: form.body_bytes(),
            },
            None => Self {
                lines: object.lines(),
                etag: object.etag(),
                chunks: object.chunks(),
                bytes: object.body_bytes(),
            },
        }
    }
}

/// Sends a fill's object while it arrives, with field lines of the visitor's own.
pub async fn reader(
    visitor: &mut Visitor,
    out: &mut Vec<u8>,
    mut reader: FillReader,
    own_lines: &[u8],
    request: &RequestHead,
    reply: Reply,
) -> Result<Sent, Failure> {
    if reader.head().status == 200
        && holds(
            request,
            &reader.head().lines,
            reader.etag().map(|tag| &**tag),
            reader.last_modified().map(|date| &**date),
            reply.now,
        )
    {
        // What the visitor has is what arrives: he need not wait for it.
        return not_modified(visitor, out, reader.head(), reply).await;
    }
    let asked = match reader.length().filter(|_| reader.head().status == 200) {
        Some(length) => {
            let (etag, modified) =
                (reader.etag().map(|tag| &**tag), reader.last_modified().map(|date| &**date));
            Asked::part_of(length, etag, modified, request, reply.now)
        }
        // Of a length that nobody knows yet no part can be named: he gets the whole (RFC 9110 section 14.2).
        None => Asked::Whole,
    };
    let mut framing = to_visitor(reader.length().map_or(Framing::Chunked, Framing::Length), reply.manner);
    let facts = *reader.facts();
    let (mut status, mut lines) = (reader.head().status, reader.head().lines.clone());
    let mut wanted = 0..u64::MAX;
    out.clear();
    match (asked, reader.length()) {
        (Asked::Part(range), Some(whole)) => {
            part_lines(out, &reader.head().lines, &range, whole);
            (status, lines) = (206, Bytes::new());
            framing = Framing::Length(range.end - range.start);
            wanted = range;
        }
        (Asked::Unsatisfiable, Some(whole)) => {
            unsatisfiable_lines(out, whole);
            (status, lines) = (416, Bytes::new());
            framing = Framing::Length(0);
            wanted = 0..0;
        }
        _ if status != 204 => http1::write_framing(out, framing),
        _ => {}
    }
    if reply.manner.head_only {
        wanted = 0..0;
    }
    let manner = keeping(reply.manner, framing);
    out.extend_from_slice(own_lines);
    // Whoever leads gets the endpoint's own answer: there is no age to add to what that says (RFC 9111 section 5.1).
    let age = facts.age(reply.now);
    if age > 0 && reply.cache == CacheOutcome::Joined {
        status::write_age(out, age);
    }
    let reply = Reply { learned: facts.learned, ..reply };
    status::write(out, &reply, None);
    answer::connection(out, manner);
    out.extend_from_slice(b"\r\n");
    let mut bytes = 0;
    let mut head: [&[u8]; 2] = [&lines, out];
    let mut head_at = None;
    let mut at = 0;
    loop {
        if at >= wanted.end {
            // He has all that he wants: who reads on are the others.
            bytes += write_parts::<FEW>(visitor, head, std::iter::empty()).await?;
            let head_at = head_at.unwrap_or_else(clock::coarse);
            return Ok(Sent { status, bytes, keep_alive: manner.keep_alive, head_at });
        }
        // Without waiting first: what is already there goes out with the head.
        let at_hand = poll_fn(|context| match reader.poll_chunk(context) {
            Poll::Pending if bytes == 0 => Poll::Ready(None),
            Poll::Pending => {
                let gone = Failure::visitor(Phase::Deliver, Cause::Closed);
                visitor.poll_gone(context).map(|()| Some(Err(gone)))
            }
            Poll::Ready(chunk) => Poll::Ready(Some(chunk)),
        });
        let mut frame = [0; 20];
        match at_hand.await {
            None => bytes += write_parts::<FEW>(visitor, head, std::iter::empty()).await?,
            Some(Ok(Chunk::Data(data))) => {
                let data = within(data, &mut at, &wanted);
                if data.is_empty() {
                    continue;
                }
                let (start, end) = frame_of(framing, data.len(), &mut frame);
                let parts = [start, &data, end];
                bytes += write_parts::<FEW>(visitor, head, parts.into_iter()).await?;
            }
            Some(Ok(Chunk::End)) => {
                let last: &[u8] = if framing == Framing::Chunked { b"0\r\n\r\n" } else { b"" };
                bytes += write_parts::<FEW>(visitor, head, std::iter::once(last)).await?;
                let head_at = head_at.unwrap_or_else(clock::coarse);
                return Ok(Sent { status, bytes, keep_alive: manner.keep_alive, head_at });
            }
            Some(Err(failure)) => return Err(Failure { bytes_sent: bytes, ..failure }),
        }
        head_at = head_at.or_else(|| Some(clock::coarse()));
        head = [b"", b""];
    }
}

/// Sends a response that is for this visitor alone, at the pace of the slower side.
pub async fn exchange(
    visitor: &mut Visitor,
    out: &mut Vec<u8>,
    response: &ResponseHead,
    exchange: &mut Exchange,
    body: &mut tentpole_listener::RequestBody,
    watch: &mut Option<Box<Watch>>,
    reply: Reply,
) -> Result<Sent, Failure> {
    let framing = to_visitor(exchange.body.framing, reply.manner);
    // A visitor whose body was not read to its end cannot send another request.
    let manner = keeping(reply.manner, framing);
    let manner = Manner { keep_alive: manner.keep_alive && exchange.sending.is_none(), ..manner };
    out.clear();
    own_head(out, response, framing, Reply { manner, ..reply });
    let status = response.status;
    let kind = response.fields.get(Name::ContentType);
    visitor.listens = body.is_done() && kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"));
    let mut bytes = 0;
    let mut head: [&[u8]; 2] = [out, b""];
    let mut head_at = None;
    while !exchange.is_done() {
        let piece = next_piece(visitor, exchange, body, bytes == 0).await;
        let piece = piece.map_err(|failure| Failure { bytes_sent: bytes, ..failure })?;
        let mut frame = [0; 20];
        match piece {
            None => bytes += write_parts::<FEW>(visitor, head, std::iter::empty()).await?,
            Some(Piece::Data { skip, len }) => {
                let (start, end) = frame_of(framing, len, &mut frame);
                let content = &exchange.bytes()[skip..skip + len];
                if let Some(watch) = watch {
                    watch.take(content);
                }
                let parts = [start, content, end];
                bytes += write_parts::<FEW>(visitor, head, parts.into_iter()).await?;
                exchange.consume(skip + len);
            }
            Some(Piece::End) => break,
        }
        head_at = head_at.or_else(|| Some(clock::coarse()));
        head = [b"", b""];
    }
    let mut last = Vec::new();
    if framing == Framing::Chunked {
        http1::write_last_chunk(&mut last, exchange.trailers());
    } else if let Some(trailers) = exchange.trailers() {
        visitor.set_trailers(trailers);
    }
    if !(last.is_empty() && head[0].is_empty()) {
        bytes += write_parts::<FEW>(visitor, head, std::iter::once(last.as_slice())).await?;
    }
    visitor.listens = false;
    // The rest of the visitor's body may have gone out meanwhile.
    let keep_alive = manner.keep_alive && exchange.sending.is_none();
    Ok(Sent { status, bytes, keep_alive, head_at: head_at.unwrap_or_else(clock::coarse) })
}

/// Says that the connection, or the stream, is now something else; returns the bytes sent.
pub async fn switching(
    visitor: &mut Visitor,
    out: &mut Vec<u8>,
    response: &ResponseHead,
    protocol: &[u8],
    status: &mut u16,
) -> Result<u64, Failure> {
    out.clear();
    // In HTTP/2 there is no 101, and the handshake was ours (RFC 8441 section 5).
    let is_stream = visitor.version() == Version::Http2;
    *status = if is_stream { 200 } else { 101 };
    http1::write_status_line(out, *status, if is_stream { b"" } else { response.reason() });
    let is_handshake = |name: &[u8]| name.eq_ignore_ascii_case(b"sec-websocket-accept");
    http1::write_fields(out, &response.fields, |field| is_stream && is_handshake(field.name));
    out.extend_from_slice(b"Connection: Upgrade\r\n");
    http1::write_field(out, b"Upgrade", protocol);
    out.extend_from_slice(b"\r\n");
    visitor.write(&mut [IoSlice::new(out)]).await
}

/// Writes the whole head of a response that is not stored.
pub fn own_head(out: &mut Vec<u8>, response: &ResponseHead, framing: Framing, reply: Reply) {
    http1::write_status_line(out, response.status, response.reason());
    // It was for us.
    http1::write_fields(out, &response.fields, |field| !reply.sends_tags && is_for_caches(&field));
    if !response.fields.has(Name::Date) {
        http1::write_field(out, b"Date", &clock::date_value());
    }
    match response.fields.get(Name::ContentLength) {
        // HEAD and 304: the length of what is not sent (RFC 9110 section 8.6).
        Some(length) if framing == Framing::None && response.status != 204 => {
            http1::write_field(out, b"Content-Length", length);
        }
        _ => http1::write_framing(out, framing),
    }
    status::write(out, &reply, None);
    answer::connection(out, reply.manner);
    out.extend_from_slice(b"\r\n");
}

/// The next piece of an exchange's body; `None` when there is none yet and the head should not wait for it.
/// Meanwhile what is left of the visitor's own body goes to the endpoint.
pub async fn next_piece(
    visitor: &mut Visitor,
    exchange: &mut Exchange,
    body: &mut tentpole_listener::RequestBody,
    first: bool,
) -> Result<Option<Piece>, Failure> {
    let mut waited = false;
    poll_fn(|context| {
        if visitor.poll_gone(context).is_ready() {
            return Poll::Ready(Err(Failure::visitor(Phase::Deliver, Cause::Closed)));
        }
        let Exchange { source, sending, .. } = &mut *exchange;
        if let (Some(rest), Some(connection)) = (sending.as_mut(), source.connection()) {
            match rest.poll(context, connection, &mut Upload { visitor, body, interim: false }) {
                Poll::Ready(Ok(())) => *sending = None,
                // The endpoint does not want the rest: what it answers still counts.
                Poll::Ready(Err(NoResponse::Failed(f))) if f.phase == Phase::SendBody => {}
                Poll::Ready(Err(NoResponse::Failed(failure))) => return Poll::Ready(Err(failure)),
                Poll::Ready(Err(NoResponse::Refused(_))) => {
                    return Poll::Ready(Err(Failure::visitor(Phase::SendBody, Cause::Malformed)));
                }
                Poll::Pending => {}
            }
        }
        match exchange.poll_piece(context) {
            Poll::Ready(piece) => Poll::Ready(piece.map(Some)),
            Poll::Pending if first => Poll::Ready(Ok(None)),
            Poll::Pending => {
                if !waited {
                    waited = true;
                    visitor.deadline.set_in(exchange.timeouts.stall);
                }
                let late = Failure::upstream(Phase::ReadBody, Retry::Never, Cause::TimedOut);
                visitor.deadline.poll_expired(context).map(|Expired| Err(late))
            }
        }
    })
    .await
}

/// What the visitor asked of a stored object.
enum Asked {
    Whole,
    NotModified,
    Part(Range<u64>),
    Unsatisfiable,
}

impl Asked {
    fn of(object: &Object, content: Content<'_>, request: &RequestHead, now: u64) -> Self {
        if object.status() != 200 {
            return Self::Whole;
        }
        let (etag, last_modified) = (content.etag, object.last_modified());
        if holds(request, content.lines, etag, last_modified, now) {
            return Self::NotModified;
        }
        Self::part_of(content.bytes, etag, last_modified, request, now)
    }

    /// Which part of a representation of `length` bytes.
    fn part_of(
        length: u64,
        etag: Option<&[u8]>,
        last_modified: Option<&[u8]>,
        request: &RequestHead,
        now: u64,
    ) -> Self {
        let fields = &request.fields;
        let Some(range) = fields.get(Name::Range).filter(|_| request.method == Method::Get) else {
            return Self::Whole;
        };
        let applies = fields
            .get(Name::IfRange)
            .is_none_or(|wanted| freshness::range_applies(wanted, etag, last_modified, None, now));
        match freshness::byte_range(range, length) {
            Ranged::Part { start, end_exclusive } if applies => Self::Part(start..end_exclusive),
            Ranged::Unsatisfiable if applies => Self::Unsatisfiable,
            _ => Self::Whole,
        }
    }
}

/// Whether the visitor's own copy still holds.
fn holds(
    request: &RequestHead,
    lines: &[u8],
    etag: Option<&[u8]>,
    last_modified: Option<&[u8]>,
    now: u64,
) -> bool {
    let fields = &request.fields;
    if !fields.has(Name::IfNoneMatch) && !fields.has(Name::IfModifiedSince) {
        return false;
    }
    let since = fields.get(Name::IfModifiedSince);
    // RFC 9111 section 4.3.2: it cannot have been modified later than it was sent.
    let modified = last_modified.or_else(|| stored_date(lines));
    freshness::not_modified(fields.all(Name::IfNoneMatch), since, etag, modified, now)
}

/// `Date`, which every stored head has.
fn stored_date(lines: &[u8]) -> Option<&[u8]> {
    let line = stored_fields(lines).find(|line| name_of(line) == Name::Date)?;
    line.get(b"date:".len()..).map(<[u8]>::trim_ascii)
}

/// Answers 304 for an object that is only just arriving.
async fn not_modified(
    visitor: &mut Visitor,
    out: &mut Vec<u8>,
    head: &StoredHead,
    reply: Reply,
) -> Result<Sent, Failure> {
    out.clear();
    not_modified_lines(out, &head.lines);
    status::write(out, &reply, None);
    answer::connection(out, reply.manner);
    out.extend_from_slice(b"\r\n");
    let bytes = write_parts::<FEW>(visitor, [out, b""], std::iter::empty()).await?;
    Ok(Sent { status: 304, bytes, keep_alive: reply.manner.keep_alive, head_at: clock::coarse() })
}

/// The stored lines without their status line.
fn stored_fields(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines.split_inclusive(|&byte| byte == b'\n').skip(1)
}

fn name_of(line: &[u8]) -> Name {
    let end = line.iter().position(|&byte| byte == b':').unwrap_or(0);
    Name::from_bytes(&line[..end])
}

/// A 304 repeats only what a cache needs (RFC 9110 section 15.4.5).
fn not_modified_lines(out: &mut Vec<u8>, lines: &[u8]) {
    http1::write_status_line(out, 304, b"");
    for line in stored_fields(lines) {
        let repeated = matches!(
            name_of(line),
            Name::CacheControl | Name::ContentLocation | Name::Date | Name::Etag | Name::Expires | Name::Vary
        );
        if repeated {
            out.extend_from_slice(line);
        }
    }
}

/// What of a piece lies within the part that is wanted; moves on by the whole piece.
fn within(data: Bytes, at: &mut u64, wanted: &Range<u64>) -> Bytes {
    let (begin, end) = (*at, *at + data.len() as u64);
    *at = end;
    let from = wanted.start.clamp(begin, end) - begin;
    let to = wanted.end.clamp(begin, end) - begin;
    data.slice(from as usize..to as usize)
}

fn unsatisfiable_lines(out: &mut Vec<u8>, whole: u64) {
    http1::write_status_line(out, 416, b"");
    // Writing into a Vec cannot fail.
    let _ = write!(out, "Content-Range: bytes */{whole}\r\nContent-Length: 0\r\n");
}

fn part_lines(out: &mut Vec<u8>, lines: &[u8], range: &Range<u64>, whole: u64) {
    http1::write_status_line(out, 206, b"");
    stored_fields(lines).for_each(|line| out.extend_from_slice(line));
    let (start, last) = (range.start, range.end - 1);
    let _ = write!(out, "Content-Range: bytes {start}-{last}/{whole}\r\n");
    write_length(out, range.end - range.start);
}

fn write_length(out: &mut Vec<u8>, length: u64) {
    http1::write_framing(out, Framing::Length(length));
}

/// How a body goes to this visitor.
pub fn to_visitor(framing: Framing, manner: Manner) -> Framing {
    match framing {
        Framing::None | Framing::Length(_) => framing,
        _ if manner.head_only => Framing::None,
        _ if manner.version == Version::Http11 => Framing::Chunked,
        // In HTTP/2 a frame says the end.
        _ => Framing::UntilClose,
    }
}

/// A body that lasts until the connection closes leaves no connection to keep.
pub fn keeping(manner: Manner, framing: Framing) -> Manner {
    let ends_connection = framing == Framing::UntilClose && manner.version != Version::Http2;
    Manner { keep_alive: manner.keep_alive && !ends_connection, ..manner }
}

/// What stands around a piece of content.
pub fn frame_of(framing: Framing, len: usize, frame: &mut [u8; 20]) -> (&[u8], &'static [u8]) {
    if framing != Framing::Chunked {
        return (b"", b"");
    }
    let mut room = &mut frame[..];
    // 16 digits and a line end fit into 20 bytes.
    let _ = write!(room, "{len:X}\r\n");
    let used = 20 - room.len();
    (&frame[..used], http1::CHUNK_END)
}

/// The slices of `chunks` that cover `range`.
fn slices(chunks: &[bytes::Bytes], range: Range<u64>) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    chunks.iter().filter_map(move |chunk| {
        let (begin, end) = (at, at + chunk.len() as u64);
        at = end;
        let from = range.start.clamp(begin, end) - begin;
        let to = range.end.clamp(begin, end) - begin;
        (from < to).then(|| &chunk[from as usize..to as usize])
    })
}
