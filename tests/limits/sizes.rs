//! Heads, addresses and bodies that are too large: refused with the right status, and what follows is no request.

use tentpole_testkit::{Ask, Origin, Response, Tentpole, Up};
use tentpole_tests::pool;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

async fn up() -> (Origin, Tentpole) {
    let origin = Origin::start().await;
    origin.otherwise(|seen| Response::ok(seen.body.len().to_string()));
    let lines = "[limits]\nhead_bytes = \"32KiB\"\nfields = 20\n\
                 [site.all]\n[[site.all.route]]\npath = \"/*\"\nbody = \"1KiB\"";
    let tentpole = Up::config(&pool(&[&origin], lines)).start().await;
    (origin, tentpole)
}

#[tokio::test]
async fn a_head_or_an_address_that_is_too_large_is_refused() {
    let (origin, tentpole) = up().await;
    let many_fields: String = (0..21).map(|number| format!("X-{number}: y\r\n")).collect();
    let shapes = [
        (431, format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(40 * 1024))),
        (431, format!("GET / HTTP/1.1\r\nHost: h\r\n{many_fields}\r\n")),
        // Without an end: refused as soon as it is too large.
        (431, format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(40 * 1024))),
        (414, format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(17 * 1024))),
    ];
    for (status, bytes) in shapes {
        let mut visitor = tentpole.visitor().await;
        visitor.send(format!("{bytes}{SMUGGLED}")).await;
        let answer = visitor.answer("GET").await.expect(status);
        assert!(answer.closed, "{answer:?}");
    }
    assert_eq!(origin.request_count(), 0);
    // What just fits is served.
    let fits = Ask::get(&format!("/{}", "x".repeat(15 * 1024))).header("X", "x".repeat(15 * 1024));
    tentpole.visitor().await.ask(&fits).await.expect(200);
    tentpole.ends().await;
}

#[tokio::test]
async fn a_body_known_to_be_too_large_is_refused_before_it_is_sent() {
    let (origin, tentpole) = up().await;
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut visitor = tentpole.visitor().await;
        visitor.send(format!("POST / HTTP/1.1\r\nHost: h\r\n{expect}Content-Length: 1025\r\n\r\n")).await;
        let answer = visitor.try_reading("POST").await.expect("an answer").rest().await.expect(413);
        assert!(answer.interim.is_empty() && answer.closed, "{answer:?}");
    }
    // A whole one that is sent all the same is not read as requests.
    let mut visitor = tentpole.visitor().await;
    visitor.send(Ask::post("/", SMUGGLED.repeat(100)).bytes("h")).await;
    assert!(visitor.answer("POST").await.expect(413).closed);
    drop(visitor);
    assert_eq!(origin.request_count(), 0);
    let fits = tentpole.visitor().await.ask(&Ask::post("/", "x".repeat(1024))).await.expect(200);
    assert_eq!(fits.text(), "1024");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_body_that_turns_out_to_be_too_large_is_cut_off() {
    let (origin, tentpole) = up().await;
    let mut visitor = tentpole.visitor().await;
    visitor.send(Ask::new("POST", "/large").chunked(vec![SMUGGLED; 100]).bytes("h")).await;
    visitor.try_send(SMUGGLED).await.ok();
    assert!(visitor.answer("POST").await.expect(413).closed);
    drop(visitor);
    origin.until_connections_open(0).await;
    let seen = origin.requests();
    assert!(seen.iter().all(|request| request.target == "/large" && !request.complete), "{seen:?}");
    assert_eq!(origin.malformed(), Vec::<String>::new());
    let fits = Ask::new("POST", "/").chunked(["x".repeat(512), "y".repeat(512)]);
    assert_eq!(tentpole.visitor().await.ask(&fits).await.expect(200).text(), "1024");
    tentpole.ends().await;
}
