//! Known shapes of request smuggling, each with the one right reaction, whatever way its bytes arrive.

mod drive;

use drive::{Bad, End, Pieces, Response, assert_same_however_cut, requests, responses};
use tentpole_http1::{Limits, parse_request, upgrade, write_fields};
use tentpole_message::RequestHead;
use tentpole_model::{Method, Refused};

/// Reads `bytes` in every way and says what was understood: `METHOD host path "body"` for each request, then how it
/// ended, as the label of a refusal, `clean`, `early` or `close`.
fn understood(bytes: &[u8]) -> String {
    let limits = Limits::default();
    let (messages, end) = assert_same_however_cut(bytes, |pieces| requests(pieces, &limits));
    let mut text = String::new();
    for message in messages {
        let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let host = message.host.as_deref().map_or("-".into(), shown);
        let path = shown(&message.path_and_query);
        text += &format!("{} {host} {path} \"{}\", ", shown(&message.method), shown(&message.body));
    }
    text + match end {
        End::Clean => "clean",
        End::Early => "early",
        End::Close => "close",
        End::Refused(refused) => refused.label(),
    }
}

#[track_caller]
fn check(table: &[(&str, &[u8], &str)]) {
    for (name, bytes, reaction) in table {
        assert_eq!(understood(bytes), *reaction, "{name}: {:?}", bytes.escape_ascii().to_string());
    }
}

/// A POST with these field lines, and what follows its head.
macro_rules! post {
    ($lines:literal, $rest:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: h\r\n", $lines, "\r\n", $rest).as_bytes()
    };
}

/// A chunked POST with this body.
macro_rules! chunks {
    ($body:expr) => {
        concat!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", $body).as_bytes()
    };
}

#[test]
fn what_is_plain_is_understood() {
    check(&[
        (
            "two in a row",
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET h / \"\", GET h /b \"\", clean",
        ),
        (
            "content-length",
            post!("Content-Length: 5\r\n", "helloGET /b HTTP/1.1\r\nHost: h\r\n\r\n"),
            "POST h / \"hello\", GET h /b \"\", clean",
        ),
        (
            "chunked",
            chunks!(
                "5\r\nhello\r\n1;a=\"b\"\r\n!\r\n0\r\nDigest: x\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"
            ),
            "POST h / \"hello!\", GET h /b \"\", clean",
        ),
        (
            "chunked in another case",
            post!("Transfer-Encoding: ChUnKeD\r\n", "1\r\na\r\n0\r\n\r\n"),
            "POST h / \"a\", clean",
        ),
        ("close", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /b", "GET h / \"\", close"),
        ("HTTP/1.0 without host", b"GET / HTTP/1.0\r\n\r\nGET /b", "GET - / \"\", close"),
        (
            "HTTP/1.0 that stays",
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
            "GET - / \"\", GET - /b \"\", close",
        ),
        (
            "names with underscores",
            b"GET / HTTP/1.1\r\nHost: h\r\nContent_Length: 5\r\n\r\n",
            "GET h / \"\", clean",
        ),
        ("a body on GET", b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na", "GET h / \"a\", clean"),
        ("other methods", b"Purge! / HTTP/1.1\r\nHost: h\r\n\r\n", "Purge! h / \"\", clean"),
        ("a head that stops", b"GET / HTTP/1.1\r\nHost: h\r\n", "early"),
        ("a body that stops", post!("Content-Length: 5\r\n", "hell"), "body_timeout"),
    ]);
}

#[test]
fn content_length_and_transfer_encoding_together_are_refused() {
    check(&[
        (
            "CL.TE",
            post!("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"),
            "transfer_encoding",
        ),
        (
            "TE.CL",
            post!("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\nGPOST / HTTP/1.1\r\n"),
            "transfer_encoding",
        ),
        (
            "equal in effect",
            post!("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            "transfer_encoding",
        ),
        ("identity", post!("Content-Length: 1\r\nTransfer-Encoding: identity\r\n", "a"), "transfer_encoding"),
        (
            "in HTTP/1.0",
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "transfer_encoding",
        ),
        (
            "CL.0: the body is not a request",
            post!("Content-Length: 26\r\n", "GET /x HTTP/1.1\r\nFoo: \r\n\r\n"),
            "POST h / \"GET /x HTTP/1.1\\r\\nFoo: \\r\\n\\r\\n\", clean",
        ),
        (
            "0.CL: an expectation that is none",
            post!("Expect: y 100-continue\r\nContent-Length: 1\r\n", "a"),
            "expect",
        ),
    ]);
}

#[test]
fn transfer_encodings_that_somebody_might_overlook_are_refused() {
    check(&[
        ("xchunked", post!("Transfer-Encoding: xchunked\r\n", ""), "transfer_encoding"),
        ("list with identity", post!("Transfer-Encoding: chunked, identity\r\n", ""), "transfer_encoding"),
        ("identity first", post!("Transfer-Encoding: identity, chunked\r\n", ""), "transfer_encoding"),
        ("compressed", post!("Transfer-Encoding: gzip, chunked\r\n", ""), "transfer_encoding"),
        ("chunked twice", post!("Transfer-Encoding: chunked, chunked\r\n", ""), "transfer_encoding"),
        ("empty member", post!("Transfer-Encoding: ,chunked\r\n", ""), "transfer_encoding"),
        (
            "two fields",
            post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""),
            "transfer_encoding",
        ),
        (
            "two fields that differ",
            post!("Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n", ""),
            "transfer_encoding",
        ),
        ("empty", post!("Transfer-Encoding:\r\n", ""), "transfer_encoding"),
        ("quoted", post!("Transfer-Encoding: \"chunked\"\r\n", ""), "transfer_encoding"),
        ("parameter", post!("Transfer-Encoding: chunked;q=0\r\n", ""), "transfer_encoding"),
        ("vertical tab", post!("Transfer-Encoding: \x0bchunked\r\n", ""), "malformed"),
        ("form feed", post!("Transfer-Encoding: chunked\x0c\r\n", ""), "malformed"),
        ("no-break space", post!("Transfer-Encoding: \u{a0}chunked\r\n", ""), "transfer_encoding"),
        ("NUL", post!("Transfer-Encoding: chunked\0\r\n", ""), "malformed"),
        ("space before the colon", post!("Transfer-Encoding : chunked\r\n", ""), "malformed"),
        ("tab before the colon", post!("Transfer-Encoding\t: chunked\r\n", ""), "malformed"),
        ("leading space", post!(" Transfer-Encoding: chunked\r\n", ""), "malformed"),
        ("folded name and value", post!("Transfer-Encoding:\r\n chunked\r\n", ""), "malformed"),
        ("folded in the value", post!("Transfer-Encoding: chunked\r\n\tx\r\n", ""), "malformed"),
        ("hidden behind a bare CR", post!("Foo: bar\rTransfer-Encoding: chunked\r\n", ""), "malformed"),
        ("hidden behind a bare LF", post!("Foo: bar\nTransfer-Encoding: chunked\r\n", ""), "malformed"),
        // White space around a value is no part of it, and everybody agrees (RFC 9112 section 5.1).
        (
            "tab before the value",
            post!("Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n"),
            "POST h / \"\", clean",
        ),
        (
            "space after the value",
            post!("Transfer-Encoding: chunked \r\n", "0\r\n\r\n"),
            "POST h / \"\", clean",
        ),
        // Other names are other fields.
        ("dash for underscore", post!("Transfer_Encoding: chunked\r\n", ""), "POST h / \"\", clean"),
    ]);
}

#[test]
fn content_lengths_that_two_could_read_differently_are_refused() {
    check(&[
        ("twice, equal", post!("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), "content_length"),
        ("twice, different", post!("Content-Length: 5\r\ncontent-length: 6\r\n", "hello"), "content_length"),
        ("list", post!("Content-Length: 5,5\r\n", "hello"), "content_length"),
        ("list with space", post!("Content-Length: 5, 5\r\n", "hello"), "content_length"),
        ("plus", post!("Content-Length: +5\r\n", "hello"), "content_length"),
        ("minus", post!("Content-Length: -5\r\n", "hello"), "content_length"),
        ("hexadecimal", post!("Content-Length: 0x5\r\n", "hello"), "content_length"),
        ("space inside", post!("Content-Length: 5 5\r\n", "hello"), "content_length"),
        ("letters behind", post!("Content-Length: 5a\r\n", "hello"), "content_length"),
        ("fraction", post!("Content-Length: 5.0\r\n", "hello"), "content_length"),
        ("empty", post!("Content-Length:\r\n", "hello"), "content_length"),
        ("overflow", post!("Content-Length: 18446744073709551621\r\n", "hello"), "content_length"),
        (
            "overflow in signed numbers",
            post!("Content-Length: 9223372036854775808\r\n", "hello"),
            "content_length",
        ),
        ("space before the colon", post!("Content-Length : 5\r\n", "hello"), "malformed"),
        ("folded", post!("Content-Length:\r\n 5\r\n", "hello"), "malformed"),
    ]);
}

#[test]
fn chunks_that_two_could_read_differently_are_refused() {
    check(&[
        ("size overflow", chunks!("10000000000000005\r\nhello\r\n0\r\n\r\n"), "chunk"),
        ("size with zeros beyond 16 digits", chunks!("00000000000000005\r\nhello\r\n0\r\n\r\n"), "chunk"),
        ("space before the size", chunks!(" 5\r\nhello\r\n0\r\n\r\n"), "chunk"),
        ("space after the size", chunks!("5 \r\nhello\r\n0\r\n\r\n"), "chunk"),
        ("0x", chunks!("0x5\r\nhello\r\n0\r\n\r\n"), "chunk"),
        ("plus", chunks!("+5\r\nhello\r\n0\r\n\r\n"), "chunk"),
        ("underscore", chunks!("0_5\r\nhello\r\n0\r\n\r\n"), "chunk"),
        ("no size", chunks!("\r\nhello\r\n0\r\n\r\n"), "chunk"),
        ("bare LF after the size", chunks!("5\nhello\r\n0\r\n\r\n"), "chunk"),
        ("bare CR after the size", chunks!("5\rhello\r\n0\r\n\r\n"), "chunk"),
        ("CR CR LF after the size", chunks!("5\r\r\nhello\r\n0\r\n\r\n"), "chunk"),
        (
            "TERM.EXT: LF ends the line for some",
            chunks!("2;\nxx\r\n45\r\n0\r\n\r\nGET /two HTTP/1.1\r\nHost: h\r\n\r\n"),
            "chunk",
        ),
        (
            "EXT.TERM: the other way round",
            chunks!("0;\n\r\n\r\nGET /two HTTP/1.1\r\nHost: h\r\n\r\n"),
            "chunk",
        ),
        ("CR in an extension", chunks!("2;a\rb\r\nxx\r\n0\r\n\r\n"), "chunk"),
        ("LF in a quoted extension", chunks!("2;a=\"\n\"\r\nxx\r\n0\r\n\r\n"), "chunk"),
        ("CR LF in a quoted extension", chunks!("2;a=\"\r\n\"\r\nxx\r\n0\r\n\r\n"), "chunk"),
        ("empty extension", chunks!("2;\r\nxx\r\n0\r\n\r\n"), "chunk"),
        ("extension without semicolon", chunks!("2 a\r\nxx\r\n0\r\n\r\n"), "chunk"),
        ("no line end after the content", chunks!("5\r\nhello0\r\n\r\n"), "chunk"),
        ("bare LF after the content", chunks!("5\r\nhello\n0\r\n\r\n"), "chunk"),
        ("bare CR after the content", chunks!("5\r\nhello\r0\r\n\r\n"), "chunk"),
        ("SPILL: more content than announced", chunks!("5\r\nhelloXX\r\n0\r\n\r\n"), "chunk"),
        ("TERM.SPILL: two bytes that are no line end", chunks!("5\r\nhelloXX0\r\n\r\n"), "chunk"),
        // `00` is a last chunk too (RFC 9112 section 7.1), for everybody.
        (
            "last chunk with several zeros",
            chunks!("00000\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"),
            "POST h / \"\", GET h /b \"\", clean",
        ),
        ("zeros and a digit", chunks!("01\r\na\r\n0\r\n\r\n"), "POST h / \"a\", clean"),
        ("bare LF at the end", chunks!("0\r\n\n"), "chunk"),
        ("bare CR at the end", chunks!("0\r\n\rG"), "chunk"),
        ("a body that stops", chunks!("5\r\nhello\r\n"), "body_timeout"),
    ]);
}

#[test]
fn trailers_are_strict_and_never_change_the_message() {
    let read = |bytes: &[u8]| assert_same_however_cut(bytes, |pieces| requests(pieces, &Limits::default()));
    let (messages, end) = read(chunks!(
        "0\r\nTransfer-Encoding: chunked\r\nContent-Length: 50\r\nHost: evil\r\nX-Sum: 1\r\nConnection: close\r\n\
         Authorization: x\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"
    ));
    assert_eq!(end, End::Clean);
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].trailers, [(b"X-Sum".to_vec(), b"1".to_vec())]);
    assert_eq!(messages[0].host.as_deref(), Some(&b"h"[..]));

    let many = format!("0\r\n{}\r\n", "A: b\r\n".repeat(33));
    let large = format!("0\r\nA: {}\r\n\r\n", "b".repeat(8 * 1024));
    let chunked = |body: &str| [chunks!(""), body.as_bytes()].concat();
    for (body, refused) in [
        ("0\r\nA : b\r\n\r\n", Refused::Chunk),
        ("0\r\n A: b\r\n\r\n", Refused::Chunk),
        ("0\r\nA: b\r\n c\r\n\r\n", Refused::Chunk),
        ("0\r\nA: b\n\r\n", Refused::Chunk),
        ("0\r\nA: b\rc\r\n\r\n", Refused::Chunk),
        ("0\r\nA: \0\r\n\r\n", Refused::Chunk),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", Refused::Chunk),
        (&many, Refused::HeadTooLarge),
    ] {
        assert_eq!(read(&chunked(body)), (vec![], End::Refused(refused)), "{body:?}");
    }
    // Too long to cut at each place.
    let large = chunked(&large);
    for cuts in [&[][..], &[100], &[8_000, 8_001]] {
        let (_, end) = requests(Pieces::new(&large, cuts), &Limits::default());
        assert_eq!(end, End::Refused(Refused::HeadTooLarge));
    }
}

#[test]
fn extensions_of_all_chunks_together_are_bounded() {
    let mut bytes = chunks!("").to_vec();
    for _ in 0..100 {
        bytes.extend_from_slice(format!("1;a={}\r\nx\r\n", "b".repeat(100)).as_bytes());
    }
    let (messages, end) = requests(Pieces::new(&bytes, &[]), &Limits::default());
    assert_eq!((messages, end), (vec![], End::Refused(Refused::Chunk)));
}

#[test]
fn hosts_that_two_could_read_differently_are_refused() {
    check(&[
        ("none", b"GET / HTTP/1.1\r\n\r\n", "host"),
        ("two", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "host"),
        ("two, equal", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "host"),
        ("two in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "host"),
        ("empty", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "host"),
        ("user information", b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "host"),
        ("list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "host"),
        ("path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "host"),
        ("space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "host"),
        ("port that is none", b"GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n", "host"),
        ("space before the colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "malformed"),
        ("folded", b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "malformed"),
        ("leading space in the first line", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "malformed"),
        (
            "absolute target and another host",
            b"GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET a /x \"\", clean",
        ),
        ("absolute target and two hosts", b"GET http://a/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "host"),
        ("absolute target without host", b"GET http://a/x HTTP/1.1\r\n\r\n", "host"),
        ("absolute target with user", b"GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", "target"),
        ("address", b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET [::1]:80 / \"\", clean"),
    ]);
}

#[test]
fn request_lines_have_three_parts_and_a_known_version() {
    check(&[
        ("HTTP/0.9", b"GET /\r\n", "request_line"),
        ("HTTP/0.9 with a version", b"GET / HTTP/0.9\r\n\r\n", "version"),
        ("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", "version"),
        ("HTTP/2.0 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version"),
        ("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", "malformed"),
        ("lower case", b"GET / http/1.1\r\nHost: h\r\n\r\n", "request_line"),
        ("another protocol", b"GET / ICAP/1.0\r\nHost: h\r\n\r\n", "request_line"),
        ("two spaces", b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "request_line"),
        ("tab", b"GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", "request_line"),
        ("space in the target", b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "request_line"),
        ("space at the end", b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n", "malformed"),
        ("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n", "request_line"),
        ("bytes that are not ASCII", b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", "request_line"),
        ("fragment", b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", "target"),
        ("star", b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", "target"),
        ("star for OPTIONS", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS h * \"\", clean"),
        ("CONNECT", b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "method"),
        ("TRACE", b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", "method"),
        ("authority", b"GET h:443 HTTP/1.1\r\nHost: h\r\n\r\n", "target"),
        ("delimiter in the method", b"GE(T / HTTP/1.1\r\nHost: h\r\n\r\n", "request_line"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "request_line"),
    ]);
}

#[test]
fn lines_end_with_cr_lf_and_one_empty_line_may_come_first() {
    check(&[
        ("empty line first", b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET h / \"\", clean"),
        (
            "empty line between",
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET h / \"\", GET h /b \"\", clean",
        ),
        ("two empty lines", b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "malformed"),
        ("bare LF first", b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "malformed"),
        ("bare CR first", b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", "malformed"),
        ("bare LF after the request line", b"GET / HTTP/1.1\nHost: h\r\n\r\n", "malformed"),
        ("bare LF after a field", b"GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", "malformed"),
        ("bare LF at the end", b"GET / HTTP/1.1\r\nHost: h\r\n\nGET /b", "malformed"),
        ("only bare LF", b"GET / HTTP/1.1\nHost: h\n\n", "malformed"),
        ("bare CR in a value", b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", "malformed"),
        ("CR CR LF", b"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", "malformed"),
        ("LF CR", b"GET / HTTP/1.1\r\nHost: h\n\r\n\r", "malformed"),
        ("empty name", b"GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n", "malformed"),
        ("no colon", b"GET / HTTP/1.1\r\nHost: h\r\nfoo\r\n\r\n", "malformed"),
        ("control byte in a name", b"GET / HTTP/1.1\r\nHost: h\r\nA\x01: b\r\n\r\n", "malformed"),
        ("byte above ASCII in a name", b"GET / HTTP/1.1\r\nHost: h\r\n\xc3\xa4: b\r\n\r\n", "malformed"),
        ("DEL in a value", b"GET / HTTP/1.1\r\nHost: h\r\nA: \x7f\r\n\r\n", "malformed"),
    ]);
}

#[test]
fn an_upgrade_to_h2c_is_seen_but_never_forwarded() {
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                  HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nA: b\r\n\r\n";
    let mut head = RequestHead::new();
    parse_request(bytes, &Limits::default(), &mut head).unwrap();
    assert_eq!(upgrade(&head), Some(&b"h2c"[..]));
    let mut forwarded = Vec::new();
    write_fields(&mut forwarded, &head.fields, |_| false);
    assert_eq!(forwarded.escape_ascii().to_string(), "Host: h\\r\\nA: b\\r\\n");
}

#[test]
fn a_limit_is_the_same_however_the_bytes_arrive() {
    let limits = Limits { head_bytes_max: 120, target_bytes_max: 20, fields_max: 3 };
    let cases: [(String, Refused); 8] = [
        (format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(20)), Refused::TargetTooLong),
        (format!("GET /{}", "a".repeat(200)), Refused::TargetTooLong),
        (format!("GET /{}\0", "a".repeat(200)), Refused::TargetTooLong),
        (format!("{} / HTTP/1.1\r\n", "A".repeat(33)), Refused::RequestLine),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "b".repeat(100)), Refused::HeadTooLarge),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(3)), Refused::HeadTooLarge),
        (format!("GET / HTTP/1.1\r\nHost: h\n{}\r\n", "A: b\r\n".repeat(3)), Refused::Malformed),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{}A: b\n\r\n", "A: b\r\n".repeat(2)), Refused::Malformed),
    ];
    for (text, refused) in cases {
        let (messages, end) = assert_same_however_cut(text.as_bytes(), |pieces| requests(pieces, &limits));
        assert_eq!((messages, end), (vec![], End::Refused(refused)), "{text:?}");
    }
}

#[test]
fn responses_that_two_could_read_differently_are_refused() {
    use tentpole_http1::{ChunkError::*, Malformed::*};
    let cases: [(&[u8], Bad); 14] = [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Bad::Head(TransferEncoding),
        ),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Bad::Head(TransferEncoding)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", Bad::Head(TransferEncoding)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", Bad::Head(ContentLength)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\na", Bad::Head(ContentLength)),
        (b"HTTP/1.1 103 Hints\r\nContent-Length: 1\r\n\r\na", Bad::Head(ContentLength)),
        (b"HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\n", Bad::Head(TransferEncoding)),
        (b"HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\na", Bad::Head(Head)),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\na", Bad::Head(Head)),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", Bad::Head(Version)),
        (b"HTTP/1.1 99 OK\r\n\r\n", Bad::Head(StatusLine)),
        (b"HTTP/2 200 OK\r\n\r\n", Bad::Head(Version)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", Bad::Body(EarlyEnd)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", Bad::Body(LineEnd)),
    ];
    for (bytes, bad) in cases {
        let (messages, end) =
            assert_same_however_cut(bytes, |pieces| responses(pieces, &Limits::default(), Method::Get));
        assert_eq!((messages, end), (vec![], End::Refused(bad)), "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn responses_end_where_their_request_says() {
    let read = |bytes: &[u8], method| {
        let (messages, end) =
            assert_same_however_cut(bytes, |pieces| responses(pieces, &Limits::default(), method));
        let shown =
            |message: &Response| (message.status, String::from_utf8_lossy(&message.body).into_owned());
        (messages.iter().map(shown).collect::<Vec<_>>(), end)
    };
    let two = b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n";
    assert_eq!(
        read(two, Method::Get),
        (vec![(103, "".into()), (200, "hi".into()), (304, "".into())], End::Clean)
    );
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(head, Method::Head), (vec![(200, "".into()), (200, "".into())], End::Clean));
    let until_close = b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert_eq!(read(until_close, Method::Get), (vec![(200, "HTTP/1.1 200 OK\r\n".into())], End::Close));
    let switched = b"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\n\x81\x05";
    assert_eq!(read(switched, Method::Get), (vec![(101, "".into())], End::Close));
    let no_content = b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(read(no_content, Method::Get), (vec![(204, "".into())], End::Close));
}
