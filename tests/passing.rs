//! What passes through the edge, in both directions: heads, framing, bodies, interim responses.

use tentpole_testkit::{Ask, Continue, Gate, Origin, Response, Step, Up, Visitor};

#[tokio::test]
async fn a_request_reaches_the_endpoint_with_what_it_needs_and_no_more() {
    let origin = Origin::start().await;
    origin.on("/a").respond(Response::ok("hello").header("Connection", "X-Hop").header("X-Hop", "1"));
    let tentpole = Up::to(&origin.url()).start().await;
    let mut visitor = tentpole.visitor().await.host("shop.example");
    let ask = Ask::get("/a?b=c")
        .header("Cookie", "a=b")
        .header("X-Forwarded-For", "203.0.113.7")
        .header("Forwarded", "for=203.0.113.7")
        .header("Connection", "X-Mine, keep-alive")
        .header("X-Mine", "1")
        .header("Keep-Alive", "timeout=5")
        .header("TE", "trailers");
    let answer = visitor.ask(&ask).await.expect(200);
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.header("X-Hop"), None);
    assert!(answer.header("Date").is_some());

    let seen = &origin.requests()[0];
    assert_eq!(seen.target, "/a?b=c");
    assert_eq!(seen.header("Host"), Some("shop.example"));
    assert_eq!(seen.header("Cookie"), Some("a=b"));
    assert_eq!(seen.header("Via"), Some("1.1 tentpole"));
    // What a visitor says about himself is replaced by what is known of him.
    assert_eq!(seen.header("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(seen.header("X-Forwarded-Host"), Some("shop.example"));
    assert_eq!(seen.header("X-Forwarded-Proto"), Some("http"));
    for gone in ["Forwarded", "X-Mine", "Keep-Alive", "TE", "Connection"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_their_order() {
    let origin = Origin::start().await;
    origin.on("/1").respond(Response::ok("one"));
    origin.on("/2").respond(Response::ok("two").chunked([Step::send("tw"), Step::send("o")]));
    origin.on("/3").respond(Response::ok("three"));
    let tentpole = Up::to(&origin.url()).start().await;
    let mut visitor = tentpole.visitor().await;
    let requests = ["/1", "/2", "/3"].map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    visitor.send(requests.concat()).await;
    assert_eq!(visitor.answer("GET").await.text(), "one");
    assert_eq!(visitor.answer("GET").await.text(), "two");
    assert_eq!(visitor.answer("GET").await.text(), "three");
}

#[tokio::test]
async fn a_body_of_any_framing_reaches_the_endpoint_whole() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("thanks"));
    let tentpole = Up::to(&origin.url()).start().await;
    let mut visitor = tentpole.visitor().await;
    let large: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    visitor.ask(&Ask::post("/", &large)).await.expect(200);
    visitor.ask(&Ask::new("PUT", "/").chunked([&b"one "[..], b"two ", &large])).await.expect(200);
    visitor.ask(&Ask::post("/", "")).await.expect(200);

    let seen = origin.requests();
    assert!(seen[0].body == large, "a body with a length");
    assert!(seen[1].body[..8] == *b"one two " && seen[1].body[8..] == large, "a chunked body");
    assert_eq!(seen[1].header("Transfer-Encoding"), Some("chunked"));
    assert!(seen[2].body.is_empty());
    assert_eq!(seen.iter().filter(|request| request.method == "POST").count(), 2);
}

#[tokio::test]
async fn a_response_of_any_framing_reaches_the_visitor_whole() {
    let origin = Origin::start().await;
    let large = vec![b'x'; 2_000_000];
    origin.on("/length").respond(Response::ok(&large));
    origin
        .on("/chunked")
        .respond(Response::ok("").chunked([Step::send(&large), Step::send("end")]).trailer("X-Sum", "7"));
    origin.on("/close").respond(Response::ok("").until_close([Step::send(&large)]));
    origin.on("/empty").respond(Response::status(204));
    let tentpole = Up::to(&origin.url()).start().await;
    let mut visitor = tentpole.visitor().await;
    assert_eq!(visitor.get("/length").await.expect(200).body.len(), 2_000_000);
    let chunked = visitor.get("/chunked").await.expect(200);
    assert_eq!(chunked.body.len(), 2_000_003);
    assert_eq!(chunked.header("Transfer-Encoding"), Some("chunked"));
    // The endpoint could only say "until I close"; this visitor's connection goes on all the same.
    assert_eq!(visitor.get("/close").await.expect(200).body.len(), 2_000_000);
    visitor.get("/empty").await.expect(204);
}

#[tokio::test]
async fn a_visitor_of_http_1_0_is_answered_in_his_own_way() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("").chunked([Step::send("hello"), Step::send(" there")]));
    origin.on("/length").respond(Response::ok("hello"));
    let tentpole = Up::to(&origin.url()).start().await;
    let mut visitor = tentpole.visitor().await;
    visitor.send("GET / HTTP/1.0\r\n\r\n").await;
    let answer = visitor.answer("GET").await;
    assert_eq!((answer.text().as_str(), answer.header("Transfer-Encoding")), ("hello there", None));
    assert!(answer.closed);

    let mut visitor = tentpole.visitor().await;
    visitor.send("GET /length HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    let answer = visitor.answer("GET").await;
    assert_eq!(answer.header("Connection"), Some("keep-alive"));
    visitor.get("/length").await.expect(200);
}

#[tokio::test]
async fn head_gets_the_head_of_a_get_without_its_body() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("hello").header("Cache-Control", "max-age=60"));
    let tentpole = Up::to(&origin.url()).start().await;
    let mut visitor = tentpole.visitor().await;
    let passed = visitor.ask(&Ask::head("/")).await.expect(200);
    assert_eq!((passed.header("Content-Length"), passed.body.len()), (Some("5"), 0));
    visitor.get("/").await.expect(200);
    let stored = visitor.ask(&Ask::head("/")).await.expect(200);
    assert_eq!((stored.header("Content-Length"), stored.body.len()), (Some("5"), 0));
    assert!(stored.is_hit());
}

#[tokio::test]
async fn a_visitor_who_waits_for_100_gets_it_from_the_endpoint() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("thanks")).on_expect(Continue::Sends);
    let tentpole = Up::to(&origin.url()).start().await;
    let mut visitor = tentpole.visitor().await;
    visitor.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(visitor.bytes(25).await, b"HTTP/1.1 100 Continue\r\n\r\n"[..25]);
    visitor.send("hello").await;
    assert_eq!(visitor.answer("POST").await.expect(200).text(), "thanks");
    assert_eq!(origin.requests()[0].body, b"hello");
}

#[tokio::test]
async fn early_hints_are_passed_on() {
    let origin = Origin::start().await;
    let hints = [("Link", "</a.css>; rel=preload")];
    origin.on("/").respond(Response::ok("page").header("Cache-Control", "no-store").preceded_by(103, &hints));
    let tentpole = Up::to(&origin.url()).start().await;
    let mut visitor = tentpole.visitor().await;
    // The first request leads a fill, which has no visitor to hint to; the page turns out not to be shared.
    visitor.get("/").await.expect(200);
    let answer = visitor.get("/").await.expect(200);
    assert_eq!(answer.interim.len(), 1, "{answer:?}");
}

#[tokio::test]
async fn an_endpoint_may_answer_before_it_has_the_whole_body() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::status(413).closes()).before_body();
    let tentpole = Up::to(&origin.url()).start().await;
    let mut visitor = tentpole.visitor().await;
    visitor.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nonly this").await;
    let answer = visitor.answer("POST").await.expect(413);
    assert_eq!(answer.header("Connection"), Some("close"));
}

#[tokio::test]
async fn a_response_streams_while_it_is_made() {
    let origin = Origin::start().await;
    let gate = Gate::new();
    let steps = [Step::send("first"), Step::wait(&gate), Step::send("second")];
    origin.on("/").respond(Response::ok("").header("Cache-Control", "no-store").chunked(steps));
    let tentpole = Up::to(&origin.url()).start().await;
    let mut visitor = tentpole.visitor().await;
    visitor.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"first\r\n") {
        seen.extend(visitor.bytes(1).await);
    }
    gate.release();
    while !seen.ends_with(b"0\r\n\r\n") {
        seen.extend(visitor.bytes(1).await);
    }
    assert!(seen.ends_with(b"6\r\nsecond\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn a_path_is_led_to_its_canonical_form_without_leaving_the_site() {
    let origin = Origin::start().await;
    origin.otherwise(|seen| Response::ok(seen.target.as_bytes()));
    let config = format!(
        "[pool.app]\nendpoints = [\"{}\"]\n[site.shop]\npool = \"app\"\ncanonical = \"redirect\"\n\
         [[site.shop.route]]\npath = \"/p/{{slug}}\"\npool = \"app\"\nswallow_segments = true\n",
        origin.url()
    );
    let tentpole = Up::config(&config).start().await;
    let mut visitor = tentpole.visitor().await;
    for (asked, canonical) in [
        ("/a/%7ejoe/../%62?x=%7e", "/a/b?x=%7e"),
        ("/p/shoe/and/more?x", "/p/shoe?x"),
        ("//evil.example/%61", "/evil.example/a"),
    ] {
        let answer = visitor.get(asked).await.expect(308);
        assert_eq!(answer.header("Location"), Some(canonical), "{asked}");
        assert_eq!(visitor.get(canonical).await.expect(200).text(), canonical);
    }
    // A method with a body is not sent around: it is served under the canonical path.
    assert_eq!(visitor.ask(&Ask::post("/%61", "x")).await.expect(200).text(), "/a");
    visitor.get("/%00").await.expect(400);
}

#[tokio::test]
async fn sites_are_told_apart_by_host_and_routes_by_path() {
    let (shop, api) = (Origin::start().await, Origin::start().await);
    shop.otherwise(|_| Response::ok("shop"));
    api.otherwise(|_| Response::ok("api"));
    let config = format!(
        "[pool.shop]\nendpoints = [\"{}\"]\n[pool.api]\nendpoints = [\"{}\"]\n\
         [site.shop]\nhosts = [\"shop.example\", \"*.shop.example\"]\npool = \"shop\"\n\
         [[site.shop.route]]\npath = \"/api/*\"\npool = \"api\"\n",
        shop.url(),
        api.url()
    );
    let tentpole = Up::config(&config).start().await;
    let ask = async |host: &str, target: &str| {
        let mut visitor = Visitor::connect(tentpole.address()).await.host(host);
        let answer = visitor.get(target).await;
        (answer.status, answer.text())
    };
    assert_eq!(ask("shop.example", "/").await, (200, "shop".into()));
    assert_eq!(ask("DE.Shop.Example:8080", "/apis").await, (200, "shop".into()));
    assert_eq!(ask("shop.example", "/api/v1").await, (200, "api".into()));
    assert_eq!(ask("other.example", "/").await.0, 421);
}
