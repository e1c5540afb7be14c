//! The fast origin answers its paths correctly, however requests arrive. It runs on a thread that ends with the test.

use std::net::SocketAddr;
use std::time::Duration;

use tentpole_testkit::fast::FastOrigin;
use tentpole_testkit::{Answer, Ask, End, Visitor};
use tokio::time::Instant;

fn start(threads: usize) -> SocketAddr {
    let origin = FastOrigin::bind(SocketAddr::from(([127, 0, 0, 1], 0)), threads).expect("a free port");
    let address = origin.address();
    std::thread::spawn(move || origin.run());
    address
}

#[tokio::test]
async fn bodies_have_the_length_that_was_asked_for_and_the_same_letters() {
    let mut visitor = Visitor::connect(start(1)).await;
    let long = visitor.get("/bytes/1000003").await.expect(200);
    assert_eq!((long.body.len(), long.header("cache-control")), (1_000_003, Some("max-age=3600")));
    assert!(long.text().starts_with("abcdefghijklmnopqrstuvwxyz0123456789\nabc"));
    for target in ["/bytes/1000", "/nocache/1000", "/chunked/1000", "/bytes/1000"] {
        assert_eq!(visitor.get(target).await.expect(200).body, long.body[..1000], "{target}");
    }
    assert_eq!(visitor.get("/chunked/1000003").await.body, long.body);
    assert_eq!(visitor.get("/nocache/1").await.header("cache-control"), Some("no-store"));
    assert_eq!(visitor.get("/bytes/0").await.body, b"");
}

#[tokio::test]
async fn a_page_has_its_length_and_a_late_answer_comes_late_and_may_be_stored() {
    let mut visitor = Visitor::connect(start(1)).await;
    let page = visitor.get("/text/20000").await.expect(200);
    assert_eq!((page.body.len(), page.header("content-type")), (20_000, Some("text/html")));
    assert_eq!(visitor.get("/text/20000").await.expect(200).body, page.body);
    visitor.get("/text/65537").await.expect(404);
    let began = Instant::now();
    let late = visitor.get("/late/30?key=1").await.expect(200);
    assert!(began.elapsed() >= Duration::from_millis(30));
    assert_eq!((late.body.len(), late.header("cache-control")), (1_024, Some("max-age=3600")));
}

#[tokio::test]
async fn statuses_heads_and_unknown_paths_are_answered() {
    let mut visitor = Visitor::connect(start(1)).await;
    for status in [200, 204, 304, 404, 503] {
        visitor.get(&format!("/status/{status}")).await.expect(status);
    }
    let head = visitor.ask(&Ask::head("/bytes/5000000")).await.expect(200);
    assert_eq!((head.header("content-length"), head.body.len()), (Some("5000000"), 0));
    visitor.get("/status/100").await.expect(404);
    visitor.get("/elsewhere").await.expect(404);
    assert!(visitor.get("/status/200").await.header("date").is_some_and(|date| date.ends_with(" GMT")));
}

#[tokio::test]
async fn an_echo_has_the_head_and_the_body_as_they_came() {
    let mut visitor = Visitor::connect(start(1)).await.host("x");
    let whole = visitor.ask(&Ask::post("/echo?a=1", "body").header("X-Note", "1")).await;
    assert_eq!(
        whole.text(),
        "POST /echo?a=1 HTTP/1.1\r\nHost: x\r\nX-Note: 1\r\nContent-Length: 4\r\n\r\nbody"
    );
    let chunked = visitor.ask(&Ask::post("/echo", "").chunked(["bo", "dy"])).await;
    assert!(chunked.text().ends_with("\r\n\r\nbody"));
    let large = vec![b'z'; 3_000_000];
    let echoed = visitor.ask(&Ask::post("/echo", &large)).await;
    assert!(echoed.body.ends_with(&large) && echoed.body.len() < large.len() + 200);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mut visitor = Visitor::connect(start(1)).await;
    let targets = ["/bytes/3", "/slow/20", "/bytes/300000", "/slow/1", "/bytes/2"];
    let all: Vec<u8> = targets.iter().flat_map(|target| Ask::get(target).bytes("x")).collect();
    let (first, second) = all.split_at(all.len() - 7);
    visitor.send(first).await;
    let mut lengths = Vec::new();
    for _ in 0..4 {
        lengths.push(visitor.answer("GET").await.body.len());
    }
    visitor.send(second).await;
    lengths.push(visitor.answer("GET").await.body.len());
    assert_eq!(lengths, [3, 5, 300_000, 5, 2]);
}

#[tokio::test]
async fn it_closes_when_asked_to_and_counts_what_it_served() {
    let address = start(2);
    let closing = Ask::get("/bytes/2").header("Connection", "close");
    for _ in 0..5 {
        assert!(Visitor::connect(address).await.ask(&closing).await.closed);
    }
    let mut old = Visitor::connect(address).await;
    old.send("GET /bytes/2 HTTP/1.0\r\n\r\n").await;
    assert!(matches!(old.answer("GET").await, Answer { closed: true, status: 200, .. }));
    let mut bad = Visitor::connect(address).await;
    bad.send("NONSENSE\r\n\r\n").await;
    assert_ne!(bad.try_end().await.ok(), None::<End>);
    assert_eq!(Visitor::connect(address).await.get("/count").await.text(), "6\n");
}
