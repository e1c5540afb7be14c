//! An object store that speaks S3's protocol in the place of an application: the request that is sent to it, signed, and
//! what is made of its answers. A visitor may have an object, whole or in part, and nothing else: no query of his, no
//! credential and no other method reaches the store. Never shows a secret.

use crate::content::Content;
use crate::exchange::{Exchange, NoResponse};
use crate::head::parsed;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tentpole_http1 as http1;
use tentpole_message::{Name, ResponseHead};
use tentpole_model::{
    Addressing, Cause, Endpoint, Failure, Method, ObjectStore, Phase, Refused, Scheme, Secret,
};
use tentpole_runtime::{clock, notice, secret};
use tentpole_sigv4::{EMPTY, Key, Signed, basic_time, write_path};

/// Bytes of an error that are looked through for its code.
const LOOKED_AT_MAX: usize = 2 << 10;
/// Bytes of a code that are said.
const CODE_BYTES_MAX: usize = 64;
/// How often a store's refusals are said, in seconds.
const SAID_EVERY: u64 = 60;

/// A store, with what opens it.
pub struct Store {
    said: ObjectStore,
    /// `None` when a secret is not there: then nothing is asked for.
    credentials: Option<Credentials>,
    refusals: Arc<Refusals>,
}

struct Credentials {
    id: String,
    secret: String,
    session: Option<String>,
}

/// Tells of refusals, now and then.
struct Refusals {
    pool: String,
    /// In seconds since 1970.
    last: AtomicU64,
}

impl Store {
    /// Reads the secrets; says which are not there.
    pub fn read(said: &ObjectStore, pool: &str) -> Self {
        let credentials = credentials(said)
            .map_err(|why| notice(format_args!("the object store of pool {pool} cannot be asked: {why}")))
            .ok();
        let refusals = Arc::new(Refusals { pool: pool.to_owned(), last: AtomicU64::new(0) });
        Self { said: said.clone(), credentials, refusals }
    }

    /// The head that goes to the store, signed for now, made of the one that an application would be sent: of this the
    /// path counts, and those fields that select a part or say what the visitor has. `own` are further lines.
    ///
    /// # Errors
    /// When there are no credentials, or the path names no object.
    pub fn write_head(
        &self,
        head: &[u8],
        method: Method,
        endpoint: &Endpoint,
        own: &[u8],
        unix_seconds: u64,
    ) -> Result<Vec<u8>, NoResponse> {
        let method = match method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            _ => return Err(NoResponse::Refused(Refused::Method)),
        };
        let Some(Credentials { id, secret, session }) = &self.credentials else {
            return Err(NoResponse::Failed(Failure::internal(Phase::Choose, Cause::NoEndpoint)));
        };
        let path = self.path(target(head)).ok_or(NoResponse::Refused(Refused::Target))?;
        let host = self.host(endpoint);
        let time = basic_time(unix_seconds);
        let mut fields =
            vec![("host", host.as_str()), ("x-amz-content-sha256", EMPTY), ("x-amz-date", time.as_str())];
        fields.extend(session.as_deref().map(|session| ("x-amz-security-token", session)));
        let signed = Signed {
            method,
            path: &path,
            fields: &fields,
            content: EMPTY,
            time: &time,
            region: &self.said.region,
            service: "s3",
        };
        let authorization = signed.authorization(&Key { id, secret });
        let mut out = Vec::with_capacity(head.len() + 512);
        http1::write_request_line(&mut out, method.as_bytes(), path.as_bytes());
        http1::write_field(&mut out, b"Host", host.as_bytes());
        head.split_inclusive(|&byte| byte == b'\n')
            .filter(|line| passes(line))
            .for_each(|line| out.extend(line));
        for (name, value) in &fields[1..] {
            http1::write_field(&mut out, name.as_bytes(), value.as_bytes());
        }
        http1::write_field(&mut out, b"Authorization", authorization.as_bytes());
        out.extend_from_slice(own);
        out.extend_from_slice(b"\r\n");
        Ok(out)
    }

    /// The path that is asked for, encoded; `None` for one that a store might take for another bucket's.
    fn path(&self, target: &[u8]) -> Option<String> {
        let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
        let mut out = match self.said.addressing {
            Addressing::Path => format!("/{}", self.said.bucket),
            Addressing::Host => String::new(),
        };
        write_path(&mut out, path);
        if out.split('/').any(|segment| matches!(segment, "." | "..")) || !path.starts_with(b"/") {
            return None;
        }
        if out.ends_with('/') {
            write_path(&mut out, self.said.index.as_bytes());
        }
        Some(out)
    }

    fn host(&self, endpoint: &Endpoint) -> String {
        let authority = endpoint.name();
        let usual = match endpoint.scheme {
            Scheme::Https => ":443",
            _ => ":80",
        };
        let authority = authority.strip_suffix(usual).unwrap_or(&authority);
        match self.said.addressing {
            Addressing::Path => authority.to_owned(),
            Addressing::Host => format!("{}.{authority}", self.said.bucket),
        }
    }

    /// Takes out of an answer what is between the store and us, and puts words of ours in the place of its errors.
    pub fn understand(&self, response: &mut ResponseHead, exchange: &mut Exchange) {
        let store = response.status;
        let (status, words) = match store {
            200 | 206 | 304 => (store, None),
            404 => (404, Some("there is nothing at this address.")),
            403 => (403, Some("what is at this address is not for visitors.")),
            412 => (412, Some("what is at this address has changed.")),
            416 => (416, Some("what is at this address has no such part.")),
            500 | 503 | 504 => (store, Some("no answer was to be had. Please try again in 4 s.")),
            // What it thinks of our request is nothing to visitors.
            _ => (502, Some("the answer was not one that can be passed on.")),
        };
        let mut lines = Vec::with_capacity(response.fields.bytes().len());
        http1::write_status_line(&mut lines, status, b"");
        http1::write_fields(&mut lines, &response.fields, |field| {
            let of_store = is_of_store(field.name);
            match words {
                None => of_store,
                Some(_) => !matches!(field.id, Name::Date | Name::ContentRange),
            }
        });
        let Some(words) = words else {
            // With its length, which the answer to a HEAD says.
            if let Some(length) = response.fields.get(Name::ContentLength) {
                http1::write_field(&mut lines, b"Content-Length", length);
            }
            *response = parsed(lines);
            return;
        };
        let words = format!("{status}: {words}\n");
        let length = words.len() as u64;
        http1::write_field(&mut lines, b"Content-Type", b"text/plain; charset=utf-8");
        http1::write_framing(&mut lines, http1::Framing::Length(length));
        *response = parsed(lines);
        let told = !matches!(store, 404 | 412 | 416);
        let trouble = Trouble { told: told.then(|| self.refusals.clone()), status: store, seen: Vec::new() };
        exchange.make(Content::replaced(trouble, words), Some(length));
    }
}

/// An error of a store, whose text is not for visitors.
pub struct Trouble {
    told: Option<Arc<Refusals>>,
    status: u16,
    seen: Vec<u8>,
}

impl Trouble {
    /// Takes a piece of its text.
    pub fn feed(&mut self, piece: &[u8]) {
        let room = LOOKED_AT_MAX - self.seen.len();
        self.seen.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// Says once in a while what the store refuses, by its code alone: the rest may speak of keys.
    pub fn tell(&self) {
        let Some(refusals) = &self.told else { return };
        let now = clock::coarse().unix_seconds();
        let last = refusals.last.load(Relaxed);
        let is_due = now >= last + SAID_EVERY;
        if is_due && refusals.last.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
            let Self { status, seen, .. } = self;
            let code = code(seen).map(|code| format!(" ({code})")).unwrap_or_default();
            notice(format_args!("the object store of pool {} answers {status}{code}", refusals.pool));
        }
    }
}

/// What stands between `<Code>` and `</Code>`.
fn code(text: &[u8]) -> Option<&str> {
    let text = text.split_at_checked(find(text, b"<Code>")? + 6)?.1;
    let code = std::str::from_utf8(&text[..find(text, b"</Code>")?]).ok()?;
    let is_code = code.len() <= CODE_BYTES_MAX && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_code.then_some(code)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn credentials(said: &ObjectStore) -> Result<Credentials, String> {
    // A token that is not there is none: only temporary keys have one.
    let session = match &said.session {
        Some(Secret::Variable(name)) if std::env::var_os(name).is_none() => None,
        Some(session) => Some(secret::read_for_field(session)?),
        None => None,
    };
    Ok(Credentials {
        id: secret::read_for_field(&said.key_id)?,
        secret: secret::read_for_field(&said.key)?,
        session,
    })
}

/// The target in a head of our own writing.
fn target(head: &[u8]) -> &[u8] {
    head.split(|&byte| byte == b' ').nth(1).unwrap_or_default()
}

/// Whether a line of the head goes along: what selects a part or says what the visitor has, and `Origin`, by which a store
/// says who may use a font.
fn passes(line: &[u8]) -> bool {
    let name = &line[..line.iter().position(|&byte| byte == b':').unwrap_or(0)];
    matches!(
        Name::from_bytes(name),
        Name::Range
            | Name::IfRange
            | Name::IfMatch
            | Name::IfNoneMatch
            | Name::IfModifiedSince
            | Name::IfUnmodifiedSince
    ) || name.eq_ignore_ascii_case(b"origin")
        || line == b"Connection: close\r\n"
}

/// Fields that are between a store and its owner.
fn is_of_store(name: &[u8]) -> bool {
    let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    begins(b"x-amz-") || name.eq_ignore_ascii_case(b"server") || name.eq_ignore_ascii_case(b"set-cookie")
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("bucket", &self.said.bucket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(addressing: Addressing) -> Store {
        let secret = || Secret::Variable("TENTPOLE_NO_SUCH_SECRET".into());
        let said = ObjectStore {
            bucket: "shop".into(),
            region: "eu-central-1".into(),
            key_id: secret(),
            key: secret(),
            session: None,
            addressing,
            index: "index.html".into(),
        };
        let credentials =
            Some(Credentials { id: "ID".into(), secret: "s3cret".into(), session: Some("TOKEN".into()) });
        Store {
            said,
            credentials,
            refusals: Arc::new(Refusals { pool: "a".into(), last: AtomicU64::new(0) }),
        }
    }

    fn endpoint() -> Endpoint {
        Endpoint { host: "s3.example".into(), port: 80, ..Endpoint::default() }
    }

    const HEAD: &[u8] = b"GET /k%c3%a4se/a+b.png?acl&versionId=1 HTTP/1.1\r\nHost: shop.example\r\n\
        Authorization: Basic x\r\nCookie: session=me\r\nRange: bytes=0-9\r\nOrigin: http://shop.example\r\n\
        X-Amz-Acl: public\r\nX-Forwarded-For: 10.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n";

    #[test]
    fn nothing_of_the_visitor_goes_to_the_store_but_what_selects() {
        let head =
            store(Addressing::Path).write_head(HEAD, Method::Get, &endpoint(), b"X-Own: 1\r\n", 0).unwrap();
        let head = String::from_utf8(head).unwrap();
        let (before, after) = head.split_once("Authorization: ").unwrap();
        assert_eq!(
            before,
            format!(
                "GET /shop/k%C3%A4se/a%2Bb.png HTTP/1.1\r\nHost: s3.example\r\nRange: bytes=0-9\r\n\
                 Origin: http://shop.example\r\nx-amz-content-sha256: {EMPTY}\r\nx-amz-date: 19700101T000000Z\r\n\
                 x-amz-security-token: TOKEN\r\n"
            )
        );
        assert!(
            after.starts_with(
                "AWS4-HMAC-SHA256 Credential=ID/19700101/eu-central-1/s3/aws4_request, \
                 SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature="
            ),
            "{after}"
        );
        assert!(after.ends_with("\r\nX-Own: 1\r\n\r\n") && !head.contains("s3cret"), "{after}");
    }

    #[test]
    fn a_bucket_is_named_in_the_path_or_in_the_host() {
        let named = |addressing, target: &str| {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            let written = store(addressing).write_head(head.as_bytes(), Method::Head, &endpoint(), b"", 0);
            written.ok().map(|head| {
                let head = String::from_utf8(head).unwrap();
                head.lines().take(2).collect::<Vec<_>>().join(" ")
            })
        };
        let path = |target| named(Addressing::Path, target);
        let expect = |text: &str| Some(text.to_owned());
        assert_eq!(path("/a"), expect("HEAD /shop/a HTTP/1.1 Host: s3.example"));
        assert_eq!(named(Addressing::Host, "/a"), expect("HEAD /a HTTP/1.1 Host: shop.s3.example"));
        // A bucket by itself is a list of what is in it.
        assert_eq!(path("/"), expect("HEAD /shop/index.html HTTP/1.1 Host: s3.example"));
        assert_eq!(path("/?list-type=2"), expect("HEAD /shop/index.html HTTP/1.1 Host: s3.example"));
        assert_eq!(path("/docs/"), expect("HEAD /shop/docs/index.html HTTP/1.1 Host: s3.example"));
        for target in ["/../other/a", "/%2e%2E/other/a", "/a/..%2f..%2fother", "/./a", "*", ""] {
            assert_eq!(path(target), None, "{target}");
        }
    }

    #[test]
    fn only_get_and_head_are_for_visitors() {
        for method in [Method::Post, Method::Put, Method::Delete, Method::Options, Method::Other] {
            let written = store(Addressing::Path).write_head(HEAD, method, &endpoint(), b"", 0);
            assert_eq!(written, Err(NoResponse::Refused(Refused::Method)), "{method:?}");
        }
        let closed = Store { credentials: None, ..store(Addressing::Path) };
        assert!(matches!(
            closed.write_head(HEAD, Method::Get, &endpoint(), b"", 0),
            Err(NoResponse::Failed(_))
        ));
    }

    #[test]
    fn of_an_error_its_code_is_said_and_nothing_else() {
        assert_eq!(code(b"<Error><Code>AccessDenied</Code><Message>x"), Some("AccessDenied"));
        assert_eq!(code(b"<Code>a b</Code>"), None);
        assert_eq!(code(b"<Code>unended"), None);
        assert_eq!(code(b""), None);
        assert!(!format!("{:?}", store(Addressing::Path)).contains("s3cret"));
    }
}
