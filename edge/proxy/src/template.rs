//! Which responses are pages to be put together (ESI), how an endpoint is asked so that they can be read, and what the
//! head of such a page says. Puts nothing together: that is `assemble.rs`.

use crate::exchange::{Exchange, NoResponse, Upload};
use crate::fetch::{Attempts, Outgoing, fetch, fetch_once};
use crate::local;
use crate::thread::{Thread, View};
use bytes::Bytes;
use std::io::Write;
use std::rc::Rc;
use tentpole_cache::Object;
use tentpole_esi::{EsiError, Fault, Parser, Plan};
use tentpole_freshness::CacheControl;
use tentpole_http1 as http1;
use tentpole_message::{Fields, Name, ResponseHead};
use tentpole_model::{AssemblyFault, CachingId, Cause, Esi, Failure, Method, Phase, Retry};
use tentpole_runtime::clock;
use tentpole_runtime::deadline::Deadline;

/// Largest page that is put together, in bytes of its template.
pub const PAGE_BYTES_MAX: u64 = 4 << 20;

/// Whether the response is a page to be put together, as far as its head tells.
pub fn is_page(esi: Esi, response: &ResponseHead) -> bool {
    // 206: a part of a page is none.
    !matches!(response.status, 100..=199 | 204 | 205 | 206 | 304) && is_of_page(esi, &response.fields)
}

/// Whether the response is a part of one: not to be sent, for nobody wants a part of what the page is made of.
fn is_part_of_page(esi: Esi, response: &ResponseHead) -> bool {
    // What several ranges come in has a type of its own.
    let several = || esi == Esi::Always && media_type(&response.fields).starts_with(b"multipart/byteranges");
    response.status == 206 && (is_of_page(esi, &response.fields) || several())
}

fn is_of_page(esi: Esi, fields: &Fields) -> bool {
    match esi {
        Esi::Off => false,
        Esi::Asked => asks(fields),
        Esi::Always => asks(fields) || is_text(fields),
    }
}

/// Whether the body is compressed: then it cannot be read.
pub fn is_encoded(fields: &Fields) -> bool {
    let mut codings = fields.all(Name::ContentEncoding).flat_map(tentpole_message::tokens);
    codings.any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

/// Whether `Surrogate-Control` says `content="ESI/1.0"`.
fn asks(fields: &Fields) -> bool {
    fields.all(Name::SurrogateControl).any(|value| {
        // Of its directives only `content` has a value with blanks; none has a comma in one.
        value.split(|&byte| byte == b',').any(|directive| {
            let directive = directive.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
            let Some((b"content", value)) = directive.split_at_checked(7) else { return false };
            let Some(value) = value.trim_ascii_start().strip_prefix(b"=") else { return false };
            let mut languages = value.split(|&byte| matches!(byte, b'"' | b' ' | b'\t'));
            languages.any(|language| language.starts_with(b"ESI/1."))
        })
    })
}

/// Whether it is a page by its type.
fn is_text(fields: &Fields) -> bool {
    match media_type(fields).as_slice() {
        b"text/html" | b"text/xml" | b"application/xml" => true,
        other => other.ends_with(b"+xml") && !other.starts_with(b"image/"),
    }
}

/// Without parameters, in lower case.
fn media_type(fields: &Fields) -> Vec<u8> {
    let value = fields.get(Name::ContentType).unwrap_or_default();
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    value[..end].trim_ascii().to_ascii_lowercase()
}

/// [`fetch`], written out so that it needs no memory of its own; when what comes is a page that is compressed, or a part of one, once more for the whole page as it is. From
/// then on all pages of routes with compressed ones are asked for as they are. Links that lead to an asset host are
/// rewritten from here on.
#[allow(clippy::too_many_arguments, reason = "those of fetch")]
pub async fn fetch_readable(
    thread: &Thread,
    view: Rc<View>,
    caching: CachingId,
    outgoing: &Outgoing<'_>,
    upload: Option<Upload<'_>>,
    response: &mut ResponseHead,
    attempts: &mut Attempts,
    deadline: &Deadline,
) -> Result<Box<Exchange>, NoResponse> {
    let mut exchange =
        fetch_once(thread, view.clone(), outgoing, upload, response, attempts, deadline).await?;
    if exchange.redirects_locally() {
        let view = view.clone();
        // In memory of its own: few scripts do that.
        let followed = local::follow(thread, view, outgoing, exchange, response, attempts, deadline);
        exchange = Box::pin(followed).await?;
    }
    let prepared = &view.prepared;
    let (esi, assets) = (prepared.caching(caching).esi, prepared.assets(caching));
    let again = match assets {
        Some(assets) => assets.ask_for_whole(outgoing.method, outgoing.head, response),
        None => {
            let is_part = is_part_of_page(esi, response);
            let is_coded = is_page(esi, response)
                && is_encoded(&response.fields)
                && !prepared.asks_for_identity(caching);
            if is_coded && outgoing.method == Method::Get {
                prepared.ask_for_identity(caching);
            }
            (outgoing.method == Method::Get && (is_part || is_coded))
                .then(|| as_whole_identity(outgoing.head))
        }
    };
    if let Some(head) = again {
        drop(exchange);
        let again = Outgoing { head: &head, ..*outgoing };
        let view = thread.newer(&view);
        // As seldom.
        let fetched = fetch(thread, view, &again, None, response, attempts, deadline);
        exchange = Box::pin(fetched).await?;
        if is_part_of_page(esi, response) {
            // Nobody asked for a part this time.
            let nonsense = Failure::upstream(Phase::ReadHead, Retry::Never, Cause::Malformed);
            return Err(NoResponse::Failed(nonsense));
        }
    }
    if let Some(assets) = assets {
        assets.begin(outgoing.head, response, &mut exchange);
    }
    Ok(exchange)
}

/// A head of our own writing, asking for the whole content, not coded.
fn as_whole_identity(head: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len() + 32);
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        match line {
            b"\r\n" => out.extend_from_slice(b"Accept-Encoding: identity\r\n\r\n"),
            line if matches!(name_of(line), Name::AcceptEncoding | Name::Range | Name::IfRange) => {}
            line => out.extend_from_slice(line),
        }
    }
    out
}

/// How long a page that was put together may be kept by who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Not at all: the page said so itself.
    Never,
    /// Not without asking: a piece of it is somebody's own, or may be.
    Asking,
    /// All pieces are for everybody, and the first of them lasts so many seconds, never 0.
    Seconds(u64),
}

impl Kept {
    /// By what an uncacheable page says itself.
    pub fn of_own(response: &ResponseHead) -> Self {
        let said = CacheControl::parse(response.fields.all(Name::CacheControl));
        if said.no_store { Self::Never } else { Self::Asking }
    }

    /// By the shortest of what stored pieces say.
    pub fn of_stored(seconds: u64) -> Self {
        if seconds == 0 { Self::Asking } else { Self::Seconds(seconds) }
    }
}

/// For how long a browser may keep what is stored, in seconds from `now`. Other than a cache that can be purged, it is
/// told by `max-age` alone.
pub fn browser_seconds(object: &Object, now: u64) -> u64 {
    let lines = lines(object.lines());
    let said = CacheControl::parse(lines.filter(|line| name_of(line) == Name::CacheControl).map(value_of));
    if said.no_cache || said.no_store || said.private {
        return 0;
    }
    let seconds = said.max_age.unwrap_or(0).min(object.facts().lifetime);
    u64::from(seconds).saturating_sub(object.facts().age(now))
}

/// Writes the head of a page that was put together, up to its framing: what describes the template alone is left out,
/// and no copy of the page can be asked about.
pub fn write_head<'a>(
    out: &mut Vec<u8>,
    template: &[u8],
    pieces: impl Iterator<Item = &'a Object>,
    kept: Kept,
) {
    let mut template = template.split_inclusive(|&byte| byte == b'\n');
    out.extend_from_slice(template.next().unwrap_or_default());
    template.filter(|line| !describes_template(line)).for_each(|line| out.extend_from_slice(line));
    http1::write_field(out, b"Date", &clock::date_value());
    match kept {
        Kept::Never => out.extend_from_slice(b"Cache-Control: no-store\r\n"),
        Kept::Asking => out.extend_from_slice(b"Cache-Control: private, no-cache\r\n"),
        Kept::Seconds(seconds) => {
            // Writing into a Vec cannot fail.
            let _ = write!(out, "Cache-Control: max-age={seconds}\r\n");
            // What selects a piece selects the page.
            for piece in pieces {
                let vary = lines(piece.lines()).filter(|line| name_of(line) == Name::Vary);
                for line in vary {
                    let known = lines(out).any(|known| known.eq_ignore_ascii_case(line));
                    if !known {
                        out.extend_from_slice(line);
                    }
                }
            }
        }
    }
}

/// Fields that are true of the template and not of the page.
fn describes_template(line: &[u8]) -> bool {
    use Name::{AcceptRanges, Age, CacheControl, CdnCacheControl, ContentLength, Date, Etag, Expires};
    use Name::{LastModified, Pragma, SurrogateControl};
    match name_of(line) {
        AcceptRanges | Age | ContentLength | Date | Etag | LastModified => true,
        CacheControl | CdnCacheControl | Expires | Pragma | SurrogateControl => true,
        Name::Other => {
            let name = &line[..line.iter().position(|&byte| byte == b':').unwrap_or(0)];
            [
                &b"content-md5"[..],
                b"digest",
                b"content-digest",
                b"repr-digest",
                b"x-accel-expires",
                b"edge-control",
            ]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
                || is_for_one_cache(name)
        }
        _ => false,
    }
}

/// Whether a field speaks to the caches of one network (RFC 9213 section 2): `Cloudflare-CDN-Cache-Control` and its like.
/// What it allows is the template, and not a page with somebody's own in it.
fn is_for_one_cache(name: &[u8]) -> bool {
    const END: &[u8] = b"-cache-control";
    name.len().checked_sub(END.len()).is_some_and(|at| name[at..].eq_ignore_ascii_case(END))
}

/// Field lines, without the status line.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split_inclusive(|&byte| byte == b'\n').skip(1)
}

fn name_of(line: &[u8]) -> Name {
    Name::from_bytes(&line[..line.iter().position(|&byte| byte == b':').unwrap_or(0)])
}

fn value_of(line: &[u8]) -> &[u8] {
    line[line.iter().position(|&byte| byte == b':').map_or(line.len(), |at| at + 1)..].trim_ascii()
}

/// Whether what is stored under this head is compressed.
pub fn is_stored_encoded(head: &[u8]) -> bool {
    let mut codings = lines(head).filter(|line| name_of(line) == Name::ContentEncoding).map(value_of);
    codings.any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

/// What a stored response is put together of; `None` when it is not.
#[inline]
pub fn stored_plan(object: &Object) -> Result<Option<&Plan>, AssemblyFault> {
    match object.plan() {
        None => Ok(None),
        Some(_) if object.body_bytes() > PAGE_BYTES_MAX => Err(AssemblyFault::PageTooLarge),
        Some(Ok(plan)) => Ok(Some(plan).filter(|plan| !plan.is_plain())),
        Some(Err(error)) => Err(fault_of(error)),
    }
}

/// What a page that lies in pieces is put together of; `None` when it is its own text.
pub fn plan_of(chunks: &[Bytes]) -> Result<Option<Plan>, AssemblyFault> {
    let mut parser = Parser::new();
    let fed = chunks.iter().try_for_each(|chunk| parser.feed(chunk));
    let plan = fed.and_then(|()| parser.finish()).map_err(|error| fault_of(&error))?;
    Ok(Some(plan).filter(|plan| !plan.is_plain()))
}

/// The word for what is wrong with a page.
fn fault_of(error: &EsiError) -> AssemblyFault {
    match error.fault {
        Fault::TooManyIncludes => AssemblyFault::TooManyIncludes,
        Fault::TooDeep => AssemblyFault::TooDeep,
        Fault::AddressTooLong => AssemblyFault::AddressTooLong,
        Fault::TagTooLong => AssemblyFault::TagTooLong,
        Fault::TooManyPieces => AssemblyFault::TooManyPieces,
        Fault::Unclosed => AssemblyFault::Unclosed,
        Fault::Crossed => AssemblyFault::Crossed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
        let mut response = ResponseHead::new();
        fields.iter().for_each(|(name, value)| response.fields.push(name.as_bytes(), value.as_bytes()));
        response.status = status;
        response
    }

    #[test]
    fn a_page_is_put_together_where_it_asks() {
        for (value, expect) in [
            ("content=\"ESI/1.0\"", true),
            ("max-age=60, content=\"ESI/1.0\"", true),
            ("content=\"ESI-INV/1.0 ESI/1.0\", max-age=60", true),
            ("content=\"ESI/1.0\";tentpole", true),
            ("content=ESI/1.0", true),
            ("max-age=60", false),
            ("content=\"ESI-INV/1.0\"", false),
            ("contents=\"ESI/1.0\"", false),
            ("", false),
        ] {
            assert_eq!(
                is_page(Esi::Asked, &response(200, &[("surrogate-control", value)])),
                expect,
                "{value}"
            );
            assert!(!is_page(Esi::Off, &response(200, &[("surrogate-control", value)])));
        }
    }

    #[test]
    fn told_to_always_we_take_every_page_of_text_for_one() {
        for (value, expect) in [
            ("text/html; charset=utf-8", true),
            ("TEXT/HTML", true),
            ("application/rss+xml", true),
            ("image/svg+xml", false),
            ("text/css", false),
            ("application/json", false),
        ] {
            let response = response(200, &[("Content-Type", value)]);
            assert_eq!(is_page(Esi::Always, &response), expect, "{value}");
            assert!(!is_page(Esi::Asked, &response));
        }
        for status in [204, 206, 304] {
            assert!(!is_page(Esi::Always, &response(status, &[("Content-Type", "text/html")])), "{status}");
        }
        assert!(is_page(Esi::Always, &response(404, &[("Content-Type", "text/html")])));
    }

    #[test]
    fn a_request_is_written_again_for_content_as_it_is() {
        let head =
            b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nRange: bytes=0-1\r\nIf-Range: \"t\"\r\n\
            Cookie: b\r\n\r\n";
        let expect = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: b\r\nAccept-Encoding: identity\r\n\r\n";
        assert_eq!(as_whole_identity(head), expect);
    }

    #[test]
    fn the_head_of_a_page_says_nothing_of_its_template_alone() {
        clock::renew();
        let template = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"1\"\r\nX-Magento: 1\r\n\
            Cloudflare-CDN-Cache-Control: max-age=60\r\nX-Accel-Expires: 60\r\nEdge-Control: max-age=60\r\n\
            Last-Modified: x\r\nSurrogate-Control: content=\"ESI/1.0\"\r\nCache-Control: max-age=60\r\n\
            Content-Digest: x\r\nDate: x\r\n";
        let mut out = Vec::new();
        write_head(&mut out, template, std::iter::empty(), Kept::Asking);
        let head = String::from_utf8(out).unwrap();
        let (begin, date) = head.split_once("Date: ").unwrap();
        assert_eq!(begin, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Magento: 1\r\n");
        assert!(date.ends_with("GMT\r\nCache-Control: private, no-cache\r\n"), "{date}");
    }
}
