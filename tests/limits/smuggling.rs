//! Requests that two readers could understand differently: 400, the connection is closed, and the endpoint has seen
//! nothing. (All shapes that are known: `wire/http1/tests/smuggling.rs`; here the worst ones against the program.)

use tentpole_testkit::{Origin, Response, Tentpole, Up};
use tentpole_tests::pool;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

async fn up() -> (Origin, Tentpole) {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("hello").header("Cache-Control", "max-age=60"));
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    (origin, tentpole)
}

#[tokio::test]
async fn a_head_that_is_ambiguous_is_refused_and_nothing_after_it_is_a_request() {
    let (origin, tentpole) = up().await;
    let post = |lines: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n{body}");
    let shapes = [
        ("CL.TE", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n")),
        ("TE.TE", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n", "0\r\n\r\n")),
        ("xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        ("chunked is not last", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")),
        ("vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")),
        ("space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")),
        ("folded", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")),
        ("hidden behind a bare CR", post("A: b\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("hidden behind a bare LF", post("A: b\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("NUL", post("A: b\0c\r\n", "")),
        ("two lengths", post("Content-Length: 0\r\nContent-Length: 36\r\n", "")),
        ("a list of lengths", post("Content-Length: 0, 0\r\n", "")),
        ("plus", post("Content-Length: +0\r\n", "")),
        ("overflow", post("Content-Length: 18446744073709551616\r\n", "")),
        ("HTTP/1.0 with chunks", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned()),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned()),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("user in the host", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n".to_owned()),
        ("space in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n".to_owned()),
        ("HTTP/0.9", "GET /\r\n".to_owned()),
    ];
    for (name, bytes) in shapes {
        let mut visitor = tentpole.visitor().await;
        visitor.send(format!("{bytes}{SMUGGLED}")).await;
        let answer = visitor.answer("POST").await;
        assert_eq!((answer.status, answer.closed), (400, true), "{name}: {answer:?}");
        assert_eq!(visitor.left_over(), b"", "{name}");
        assert_eq!(origin.request_count(), 0, "{name}: {:?}", origin.requests());
    }
    assert_eq!(origin.malformed(), Vec::<String>::new());
    tentpole.ends().await;
}

#[tokio::test]
async fn chunks_that_are_ambiguous_end_the_request_before_it_is_whole() {
    let (origin, tentpole) = up().await;
    let shapes = [
        ("0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("overflow", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("bare LF after the size", "5\nhello\r\n0\r\n\r\n"),
        ("LF in an extension", "2;\nxx\r\n45\r\n0\r\n\r\n"),
        ("CR LF in a quoted extension", "2;a=\"\r\n\"\r\nxx\r\n0\r\n\r\n"),
        ("more content than announced", "5\r\nhelloXX\r\n0\r\n\r\n"),
        ("space after the size", "5 \r\nhello\r\n0\r\n\r\n"),
        ("bare LF at the end", "0\r\n\n"),
        ("a trailer without a colon", "0\r\nGET / HTTP/1.1\r\n\r\n"),
    ];
    for (number, (name, chunks)) in shapes.iter().enumerate() {
        let mut visitor = tentpole.visitor().await;
        let head = format!("POST /{number} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        visitor.send(format!("{head}{chunks}{SMUGGLED}")).await;
        let answer = visitor.answer("POST").await;
        assert_eq!((answer.status, answer.closed), (400, true), "{name}: {answer:?}");
        origin.until_connections_open(0).await;
        let seen = origin.requests();
        assert!(
            seen.iter().all(|request| !request.complete && request.target != "/smuggled"),
            "{name}: {seen:?}"
        );
    }
    assert_eq!(origin.malformed(), Vec::<String>::new(), "the endpoint got broken chunks");
    tentpole.ends().await;
}

/// What looks like a request inside a body is a body, and what comes after it is a request.
#[tokio::test]
async fn requests_in_a_row_are_told_apart_by_their_bodies() {
    let (origin, tentpole) = up().await;
    let mut visitor = tentpole.visitor().await;
    let length = SMUGGLED.len();
    let known = format!("POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}");
    let chunked = format!(
        "POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"
    );
    visitor.send(format!("{known}{chunked}GET /3 HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    for method in ["POST", "POST", "GET"] {
        visitor.answer(method).await.expect(200);
    }
    let targets: Vec<_> = origin.requests().into_iter().map(|seen| (seen.target, seen.body.len())).collect();
    assert_eq!(targets, [("/1".to_owned(), length), ("/2".to_owned(), length), ("/3".to_owned(), 0)]);
    tentpole.ends().await;
}
