//! What the cache gives to whom, end to end: hits, reasons, coalescing, validation, purge.

use serde_json::Value;
use tentpole_testkit::{Ask, Gate, Origin, Response, Step, Tentpole, Up, Visitor};

/// A Tentpole in front of the origin, and a visitor.
async fn before(origin: &Origin) -> (Tentpole, Visitor) {
    let tentpole = Up::to(&origin.url()).start().await;
    let visitor = tentpole.visitor().await;
    (tentpole, visitor)
}

fn cacheable(body: &str) -> Response {
    Response::ok(body).header("Cache-Control", "max-age=60")
}

async fn purge(tentpole: &Tentpole, path: &str) -> Value {
    let url = format!("{}{path}", tentpole.url());
    let body = serde_json::json!({ "url": url }).to_string();
    let ask = Ask::post("/api/purge", body).header("Content-Type", "application/json");
    let answer = tentpole.admin_visitor().await.ask(&ask).await.expect(200);
    serde_json::from_slice(&answer.body).expect("the API answers with JSON")
}

#[tokio::test]
async fn what_may_be_shared_is_fetched_once() {
    let origin = Origin::start().await;
    origin.on("/").respond(cacheable("page").header("ETag", "\"1\""));
    let (tentpole, mut visitor) = before(&origin).await;
    let first = visitor.get("/").await.expect(200);
    assert_eq!(first.header("Cache-Status"), Some("tentpole; fwd=uri-miss; stored"));
    let mut another = tentpole.visitor().await;
    let second = another.get("/").await.expect(200);
    assert!(second.is_hit() && second.header("Age").is_some(), "{second:?}");
    assert_eq!((second.text(), second.header("Date")), (first.text(), first.header("Date")));
    assert_eq!(origin.request_count(), 1);
}

#[tokio::test]
async fn what_is_somebodys_own_is_never_shared_and_says_why() {
    let origin = Origin::start().await;
    origin.on("/cookie").respond(cacheable("").header("Set-Cookie", "a=b"));
    origin.on("/private").respond(Response::ok("").header("Cache-Control", "private, max-age=60"));
    origin.on("/nostore").respond(Response::ok("").header("Cache-Control", "no-store"));
    origin.on("/silent").respond(Response::ok(""));
    origin.on("/star").respond(cacheable("").header("Vary", "*"));
    origin.on("/error").respond(Response::status(500));
    let (_tentpole, mut visitor) = before(&origin).await;
    for (path, reason) in [
        ("/cookie", "set_cookie"),
        ("/private", "private"),
        ("/nostore", "no_store"),
        ("/silent", "no_lifetime"),
        ("/star", "vary_star"),
        ("/error", "status"),
    ] {
        let answer = visitor.get(path).await;
        assert_eq!(
            answer.header("Cache-Status"),
            Some(&*format!("tentpole; fwd=uri-miss; detail={reason}")),
            "{path}"
        );
        assert!(!visitor.get(path).await.is_hit(), "{path}");
        assert_eq!(origin.requests_for(path).len(), 2, "{path}");
    }
    let login = Ask::get("/auth").header("Authorization", "Basic eDp5");
    origin.on("/auth").respond(cacheable("secret"));
    assert!(visitor.ask(&login).await.header("Cache-Status").unwrap().contains("detail=authorization"));
    origin.on("/auth").respond(Response::status(401));
    visitor.get("/auth").await.expect(401);
}

#[tokio::test]
async fn a_guessed_lifetime_is_only_for_visitors_without_a_cookie() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("page").header("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT"));
    let (_tentpole, mut visitor) = before(&origin).await;
    visitor.get("/").await.expect(200);
    assert!(visitor.get("/").await.is_hit());
    let known = visitor.ask(&Ask::get("/").cookie("session=1")).await;
    assert!(known.header("Cache-Status").unwrap().contains("cookie_without_lifetime"), "{known:?}");
    assert!(visitor.get("/").await.is_hit(), "those without one still share");
}

#[tokio::test]
async fn many_at_once_are_one_request_and_all_read_while_it_arrives() {
    let origin = Origin::start().await;
    let gate = Gate::new();
    let steps = [Step::send("begin "), Step::wait(&gate), Step::send("end")];
    origin.on("/").respond(Response::ok("").header("Cache-Control", "max-age=60").chunked(steps));
    let (tentpole, _visitor) = before(&origin).await;
    let mut visitors = Vec::new();
    for _ in 0..100 {
        let mut visitor = tentpole.visitor().await;
        visitor.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        visitors.push(visitor);
    }
    for visitor in &mut visitors {
        let mut seen = Vec::new();
        while !seen.ends_with(b"begin \r\n") {
            seen.extend(visitor.bytes(1).await);
        }
    }
    // The one who came first leaves; nobody else notices.
    drop(visitors.remove(0));
    gate.release();
    for visitor in &mut visitors {
        assert_eq!(visitor.bytes(13).await, b"3\r\nend\r\n0\r\n\r\n");
    }
    assert_eq!(origin.request_count(), 1);
}

#[tokio::test]
async fn what_varies_is_stored_for_each_kind_of_visitor() {
    let origin = Origin::start().await;
    origin.on("/").respond_with(|seen| {
        let language = seen.header("Accept-Language").unwrap_or("none").to_owned();
        cacheable(&language).header("Vary", "Accept-Language")
    });
    let (_tentpole, mut visitor) = before(&origin).await;
    for language in ["de", "fr", "de", "fr"] {
        let answer = visitor.ask(&Ask::get("/").header("Accept-Language", language)).await.expect(200);
        assert_eq!(answer.text(), language);
    }
    assert_eq!(origin.request_count(), 2);
}

#[tokio::test]
async fn what_is_stale_is_asked_for_and_kept_when_it_still_holds() {
    let origin = Origin::start().await;
    let page =
        || Response::ok("page").header("ETag", "\"1\"").header("Cache-Control", "max-age=0, must-revalidate");
    origin.on("/").respond_with(move |seen| match seen.header("If-None-Match") {
        Some("\"1\"") => page().with_status(304).body(""),
        _ => page(),
    });
    let (_tentpole, mut visitor) = before(&origin).await;
    visitor.get("/").await.expect(200);
    let again = visitor.get("/").await.expect(200);
    assert_eq!(again.header("Cache-Status"), Some("tentpole; fwd=stale; fwd-status=304; ttl=0"));
    assert_eq!(again.text(), "page");
    assert_eq!(origin.requests()[1].header("If-None-Match"), Some("\"1\""));
}

#[tokio::test]
async fn a_visitor_with_a_copy_gets_304_and_one_who_wants_a_part_gets_that() {
    let origin = Origin::start().await;
    origin.on("/").respond(cacheable("0123456789").header("ETag", "\"1\""));
    let (_tentpole, mut visitor) = before(&origin).await;
    visitor.get("/").await.expect(200);
    let same = visitor.ask(&Ask::get("/").header("If-None-Match", "W/\"1\"")).await.expect(304);
    assert_eq!((same.header("ETag"), same.body.len()), (Some("\"1\""), 0));
    let part = visitor.ask(&Ask::get("/").header("Range", "bytes=2-4")).await.expect(206);
    assert_eq!((part.text().as_str(), part.header("Content-Range")), ("234", Some("bytes 2-4/10")));
    visitor.ask(&Ask::get("/").header("Range", "bytes=99-")).await.expect(416);
    assert_eq!(origin.request_count(), 1);
}

#[tokio::test]
async fn a_purge_that_has_answered_is_in_force() {
    let origin = Origin::start().await;
    origin.on("/a/*").respond_in_turn([cacheable("old"), cacheable("new")]);
    let (tentpole, mut visitor) = before(&origin).await;
    assert_eq!(visitor.get("/a/k%c3%a4se").await.text(), "old");
    // By another spelling of the same path.
    let purged = purge(&tentpole, "/a/k%C3%A4se").await;
    assert_eq!(purged["objects"], 1, "{purged}");
    for _ in 0..4 {
        assert_eq!(tentpole.visitor().await.get("/a/k%c3%a4se").await.text(), "new", "on every thread");
    }
}

#[tokio::test]
async fn what_arrives_while_it_is_purged_is_delivered_and_not_kept() {
    let origin = Origin::start().await;
    origin.on("/").respond_in_turn([cacheable("old"), cacheable("new")]);
    let hold = origin.holds("/");
    let (tentpole, mut visitor) = before(&origin).await;
    visitor.send("GET / HTTP/1.1\r\nHost: purge.example\r\n\r\n").await;
    origin.until_requests(1).await;
    let body = serde_json::json!({ "url": "http://purge.example/" }).to_string();
    let ask = Ask::post("/api/purge", body).header("Content-Type", "application/json");
    let answer = tentpole.admin_visitor().await.ask(&ask).await.expect(200);
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap()["fills"], 1);
    hold.release();
    assert_eq!(visitor.answer("GET").await.text(), "old");
    let mut later = tentpole.visitor().await.host("purge.example");
    assert_eq!(later.get("/").await.text(), "new");
}

#[tokio::test]
async fn a_change_drops_what_was_stored_for_its_url() {
    let origin = Origin::start().await;
    origin.on_method("GET", "/").respond_in_turn([cacheable("old"), cacheable("new")]);
    origin.on_method("POST", "/").respond(Response::status(204));
    let (_tentpole, mut visitor) = before(&origin).await;
    assert_eq!(visitor.get("/").await.text(), "old");
    visitor.ask(&Ask::post("/", "change")).await.expect(204);
    assert_eq!(visitor.get("/").await.text(), "new");
}

#[tokio::test]
async fn a_response_that_breaks_off_is_never_stored() {
    let origin = Origin::start().await;
    let broken = cacheable("").claiming(100, [Step::send("only this"), Step::Close]);
    origin.on("/").respond_in_turn([broken, cacheable("whole")]);
    let (tentpole, mut visitor) = before(&origin).await;
    // The visitor learns that it is not whole: it breaks off for him too, or he is told before it began.
    if let Ok(answer) = visitor.try_ask(&Ask::get("/")).await {
        assert_eq!(answer.status, 502, "{answer:?}");
    }
    assert_eq!(tentpole_tests::endpoint(&tentpole, &origin).await.failures, 1, "the endpoint's failure");
    assert_eq!(tentpole.visitor().await.get("/").await.expect(200).text(), "whole");
}

#[tokio::test]
async fn what_is_too_large_to_keep_streams_through() {
    let origin = Origin::start().await;
    let large = vec![b'x'; 300_000];
    origin.on("/").respond(cacheable("").body(&large));
    let config = format!("[cache]\nobject = \"100KiB\"\n[pool.app]\nendpoints = [\"{}\"]\n", origin.url());
    let tentpole = Up::config(&config).start().await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..2 {
        let answer = visitor.get("/").await.expect(200);
        assert_eq!((answer.body.len(), answer.is_hit()), (300_000, false));
    }
}
