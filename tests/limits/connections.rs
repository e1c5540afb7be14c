//! Too many connections, and connections on which too little happens.

use std::time::Duration;
use tentpole_testkit::gate::PATIENCE;
use tentpole_testkit::{Ask, End, Origin, Response, Up, Visitor};
use tentpole_tests::{pool, until};

async fn origin() -> Origin {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("hello").header("Cache-Control", "no-store"));
    origin
}

#[tokio::test]
async fn one_connection_too_many_gets_a_503_and_a_place_given_back_serves_again() {
    let origin = origin().await;
    let config = pool(&[&origin], "[limits]\nconnections = 3");
    let tentpole = Up::config(&config).start().await;
    let mut inside = Vec::new();
    for _ in 0..3 {
        let mut visitor = tentpole.visitor().await;
        visitor.get("/").await.expect(200);
        inside.push(visitor);
    }
    // Said at once, whether he asks or not.
    for asks in [false, true] {
        let mut one_more = tentpole.visitor().await;
        if asks {
            one_more.send(Ask::get("/too-many").bytes("h")).await;
        }
        let answer = one_more.answer("GET").await.expect(503);
        assert_eq!(answer.header("retry-after"), Some("4"));
        assert!(answer.text().contains("too many visitors"), "{}", answer.text());
        assert!(answer.closed);
    }
    for visitor in &mut inside {
        visitor.get("/").await.expect(200);
    }
    inside.pop();
    until("the place that was given back", async || {
        let mut visitor = tentpole.visitor().await;
        visitor.try_ask(&Ask::get("/")).await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    assert!(origin.requests_for("/too-many").is_empty());
    tentpole.ends().await;
}

#[tokio::test]
async fn a_head_that_trickles_is_given_up_with_a_408() {
    let origin = origin().await;
    let config = pool(&[&origin], "[limits]\nhead_time = \"2s\"");
    let tentpole = Up::config(&config).start().await;
    let mut visitor = tentpole.visitor().await;
    visitor.get("/before").await.expect(200);
    visitor.send("GET /slow HTTP/1.1\r\nHost: h\r\nX: ").await;
    // A byte now and then does not buy more time.
    let answer = loop {
        let mut waits = visitor.patience(Duration::from_millis(50));
        let answer = waits.try_answer("GET").await;
        visitor = waits.patience(PATIENCE);
        match answer {
            Ok(answer) => break answer,
            Err(trouble) => assert!(trouble.to_string().starts_with("waited"), "{trouble}"),
        }
        visitor.try_send("x").await.ok();
    };
    assert_eq!((answer.status, answer.closed), (408, true), "{answer:?}");
    assert!(answer.text().contains("took too long"), "{}", answer.text());
    assert_eq!(origin.request_count(), 1);
    drop(visitor);
    tentpole.ends().await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_closed_without_a_word() {
    let origin = origin().await;
    let config = pool(&[&origin], "[limits]\nhead_time = \"2s\"\nidle_time = \"8s\"");
    let tentpole = Up::config(&config).start().await;
    let mut never_asks = tentpole.visitor().await;
    let mut asks_once = tentpole.visitor().await;
    asks_once.get("/").await.expect(200);
    assert_eq!(never_asks.end().await, End::Closed);
    // The other one has more time, as it has shown that it is a visitor.
    assert!(asks_once.is_open());
    asks_once.get("/").await.expect(200);
    assert_eq!(asks_once.end().await, End::Closed);
    tentpole.ends().await;
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_given_up_and_never_looks_whole_to_the_endpoint() {
    let origin = origin().await;
    let lines = "timeouts = { stall = \"300ms\" }\n[limits]\nstall_time = \"300ms\"";
    let tentpole = Up::config(&pool(&[&origin], lines)).start().await;
    let heads = ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"];
    for (number, rest) in heads.iter().enumerate() {
        let mut visitor = Visitor::connect(tentpole.address()).await;
        visitor.send(format!("POST /{number} HTTP/1.1\r\nHost: h\r\n{rest}")).await;
        let answer = visitor.answer("POST").await.expect(408);
        assert!(answer.closed);
        origin.until_connections_open(0).await;
        let seen = origin.requests_for(&format!("/{number}"));
        assert!(seen.iter().all(|request| !request.complete), "{seen:?}");
    }
    tentpole.ends().await;
}
