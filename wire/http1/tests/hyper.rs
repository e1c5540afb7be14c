//! The same bytes through hyper and through us: whatever both accept must mean the same to both. Where we are
//! stricter stands in a table with its reason, and the table is tested too.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod drive;

use drive::{End, Pairs, Pieces};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use tentpole_http1::Limits;
use tentpole_model::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a request or a response says, in the words of both.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    /// Method, authority of an absolute target, path and query; or the status.
    start: String,
    minor_version: u8,
    /// Names in lower case, sorted as far as their order says nothing.
    fields: Pairs,
    body: Vec<u8>,
}

/// hyper's map groups fields of one name; among different names it keeps no order.
fn sorted(mut fields: Pairs) -> Pairs {
    fields.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

fn hyper_fields(fields: &hyper::HeaderMap) -> Pairs {
    sorted(fields.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect())
}

fn hyper_minor(version: hyper::Version) -> u8 {
    u8::from(version == hyper::Version::HTTP_11)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

/// All requests that hyper's server understood to their end.
fn hyper_requests(bytes: &[u8]) -> Vec<Message> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let (mut visitor, server) = tokio::io::duplex(1 << 20);
        visitor.write_all(bytes).await.unwrap();
        visitor.shutdown().await.unwrap();
        let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
            let seen = Rc::clone(&seen);
            async move {
                let (parts, body) = request.into_parts();
                if let Ok(body) = body.collect().await {
                    let authority = parts.uri.authority().map_or("-", |authority| authority.as_str());
                    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
                    seen.borrow_mut().push(Message {
                        start: format!("{} {authority} {path}", parts.method),
                        minor_version: hyper_minor(parts.version),
                        fields: hyper_fields(&parts.headers),
                        body: body.to_bytes().to_vec(),
                    });
                }
                Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::new())))
            }
        });
        // An error ends the connection; what was seen before counts.
        let _ = hyper::server::conn::http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(server), service)
            .await;
    });
    seen.take()
}

/// All requests that we understood, and how it ended.
fn our_requests(bytes: &[u8]) -> (Vec<Message>, String) {
    let (requests, end) = drive::requests(Pieces::new(bytes, &[]), &Limits::default());
    let messages = requests.into_iter().map(|request| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let is_absolute = !request.target.starts_with(b"/") && request.target != b"*";
        let authority = if is_absolute { request.host.as_deref().map(text) } else { None };
        Message {
            start: format!(
                "{} {} {}",
                text(&request.method),
                authority.as_deref().unwrap_or("-"),
                text(&request.path_and_query)
            ),
            minor_version: request.minor_version,
            fields: sorted(request.fields),
            body: request.body,
        }
    });
    (messages.collect(), label(end, |refused| refused.label()))
}

/// The response that hyper's client understood to its end.
fn hyper_response(bytes: &[u8]) -> Option<Message> {
    run(async {
        let (mut endpoint, client) = tokio::io::duplex(1 << 20);
        let (mut sender, connection) =
            hyper::client::conn::http1::Builder::new().handshake(TokioIo::new(client)).await.unwrap();
        let connection = tokio::task::spawn_local(connection);
        let request = hyper::Request::get("/").header("host", "h").body(Full::new(Bytes::new())).unwrap();
        let answer = async {
            // A response that is there before its request would be refused.
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                assert_ne!(endpoint.read_buf(&mut asked).await.unwrap(), 0);
            }
            endpoint.write_all(bytes).await.unwrap();
            endpoint.shutdown().await.unwrap();
        };
        let (response, ()) = tokio::join!(sender.send_request(request), answer);
        let response = response.ok()?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.ok();
        connection.abort();
        Some(Message {
            start: parts.status.as_str().into(),
            minor_version: hyper_minor(parts.version),
            fields: hyper_fields(&parts.headers),
            body: body?.to_bytes().to_vec(),
        })
    })
}

/// The first response that we understood and that is not an interim one, and how it ended.
fn our_response(bytes: &[u8]) -> (Option<Message>, String) {
    let (responses, end) = drive::responses(Pieces::new(bytes, &[]), &Limits::default(), Method::Get);
    let response = responses.into_iter().find(|response| response.status >= 200).map(|response| Message {
        start: response.status.to_string(),
        minor_version: response.minor_version,
        fields: sorted(response.fields),
        body: response.body,
    });
    let label = label(end, |bad| match bad {
        drive::Bad::Head(malformed) => malformed.label(),
        drive::Bad::Body(error) => error.label(),
    });
    (response, label)
}

fn label<E>(end: End<E>, refused: impl Fn(E) -> &'static str) -> String {
    match end {
        End::Clean => "clean".into(),
        End::Early => "early".into(),
        End::Close => "close".into(),
        End::Refused(reason) => refused(reason).into(),
    }
}

const REQUESTS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /a?b=c&d HTTP/1.1\r\nHost: h:80\r\nAccept: a\r\naccept: b\r\nX-Empty:\r\n\r\n",
    b"HEAD /a/../b//c%20d HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    b"GET http://o.example:81/x?y HTTP/1.1\r\nHost: o.example:81\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: h\r\nA: \t b \t\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX: y\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: h\r\nX: \xff\r\nContent-Length: 2\r\n\r\nhi",
];

const RESPONSES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\na: c\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;b=\"c\"\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\nuntil it closes",
    b"HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nX: \xff\r\n\r\n",
];

/// Requests that hyper understands and we refuse, with our reason.
const STRICTER: &[(&[u8], &str, &str)] = &[
    (b"GET / HTTP/1.1\nHost: h\n\n", "malformed", "a bare LF is no line end to everybody"),
    (b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "malformed", "more than one empty line is not robustness but padding"),
    (b"GET / HTTP/1.1\r\n\r\n", "host", "nobody knows which site is meant"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "host", "two parties choose different ones"),
    (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "host", "user information has no place there (RFC 9110 section 4.2.4)"),
    (b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", "target", "a fragment is never sent; hyper drops it"),
    (b"GET /\xe2\x82\xac HTTP/1.1\r\nHost: h\r\n\r\n", "target", "it must be escaped (RFC 3986 section 2)"),
    (b"GET http://h?x HTTP/1.1\r\nHost: h\r\n\r\n", "target", "nobody sends a query without a path; hyper adds it"),
    (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", "target", "only OPTIONS asks about the server (RFC 9112 section 3.2.4)"),
    (b"GET h:80 HTTP/1.1\r\nHost: h\r\n\r\n", "target", "that form is CONNECT's"),
    (b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", "method", "we are nobody's forward proxy"),
    (b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", "method", "it shows scripts what they must not see"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "content_length", "the next party may merge or sum them"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer_encoding", "CL.TE: refused, not corrected"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer_encoding", "nobody sends it but to confuse"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer_encoding", "one of two may be overlooked"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\n\r\n", "chunk", "a size is digits"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;\r\nhi\r\n0\r\n\r\n", "chunk", "an extension has a name"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b c\r\nhi\r\n0\r\n\r\n", "chunk", "an extension is a token or is quoted"),
    (b"GET / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", "expect", "what is not understood must not be promised (RFC 9110 section 10.1.1)"),
];

/// Responses that hyper understands and we refuse, with our reason.
const STRICTER_RESPONSES: &[(&[u8], &str, &str)] = &[
    (
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "version",
        "what comes before a response belongs to another",
    ),
    (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "head", "a bare LF is no line end to everybody"),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "content_length",
        "the visitor may sum them",
    ),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer_encoding",
        "TE.CL: refused, not corrected",
    ),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "transfer_encoding",
        "we do not decode it",
    ),
];

#[test]
fn what_both_understand_means_the_same_to_both() {
    for bytes in REQUESTS {
        assert!(!our_requests(bytes).0.is_empty() && !hyper_requests(bytes).is_empty());
        compare_requests(bytes);
    }
    for bytes in RESPONSES {
        assert!(hyper_response(bytes).is_some());
        assert_eq!(our_response(bytes).0, hyper_response(bytes), "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn where_we_are_stricter_it_is_on_purpose() {
    for (bytes, reason, why) in STRICTER {
        let shown = bytes.escape_ascii().to_string();
        assert_eq!(our_requests(bytes), (vec![], reason.to_string()), "{shown:?}: {why}");
        assert_eq!(hyper_requests(bytes).len(), 1, "hyper takes it: {shown:?}");
    }
    for (bytes, reason, why) in STRICTER_RESPONSES {
        let shown = bytes.escape_ascii().to_string();
        assert_eq!(our_response(bytes), (None, reason.to_string()), "{shown:?}: {why}");
        assert!(hyper_response(bytes).is_some(), "hyper takes it: {shown:?}");
    }
}

fn compare_requests(bytes: &[u8]) {
    let (ours, end) = our_requests(bytes);
    let theirs = hyper_requests(bytes);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "{:?}", bytes.escape_ascii().to_string());
    }
    // One that they saw and we did not must have been refused, not overlooked.
    if theirs.len() > ours.len() {
        assert!(!["clean", "early"].contains(&end.as_str()), "{end}: {:?}", bytes.escape_ascii().to_string());
    }
}

/// Some of a corpus one after the other, with a few bytes replaced, removed or inserted.
fn mutated(corpus: &'static [&'static [u8]], messages: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        prop::sample::select(b"\r\n \t:;,=\"0159afGHPT/.*#@-+\0\x0b\x7f\xff".to_vec()),
        any::<u8>()
    ];
    let change = (0_u8..3, any::<prop::sample::Index>(), byte);
    (vec(prop::sample::select(corpus), 1..=messages), vec(change, 0..4)).prop_map(|(parts, changes)| {
        let mut bytes = parts.concat();
        for (kind, at, byte) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_requests_never_mean_two_things(bytes in mutated(REQUESTS, 3)) {
        compare_requests(&bytes);
    }

    #[test]
    fn damaged_responses_never_mean_two_things(bytes in mutated(RESPONSES, 1)) {
        if let (Some(ours), Some(theirs)) = (our_response(&bytes).0, hyper_response(&bytes)) {
            prop_assert_eq!(ours, theirs);
        }
    }
}
