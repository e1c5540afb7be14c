//! Everybody wants the same thing that is not there: one request at the endpoint, whatever else happens.

use std::time::Duration;
use tentpole_testkit::{Ask, Gate, Origin, Response, Step, Up, Visitor};
use tentpole_tests::{pool, until};

/// Visitors at once. Each costs this process a descriptor and the edge another.
const CROWD: usize = 10_000;
/// For opening that many connections and serving them on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn ten_thousand_at_once_are_one_request_and_all_read_while_it_arrives() {
    let origin = Origin::start().await;
    let gate = Gate::new();
    let steps = [Step::send("begin "), Step::wait(&gate), Step::send("end")];
    origin.on("/").respond(Response::ok("").header("Cache-Control", "max-age=60").chunked(steps));
    let head = origin.holds("/");
    // Nobody is given up while the others come.
    let limits = format!(
        "timeouts = {{ first_byte = \"300s\", stall = \"300s\" }}\n[limits]\nconnections = {}\n[cache]\nwait = \"120s\"",
        CROWD + 100
    );
    let tentpole = Up::config(&pool(&[&origin], &limits)).start().await;

    let mut visitors = Vec::with_capacity(CROWD);
    for _ in 0..CROWD {
        let mut visitor = tentpole.visitor().await.patience(PATIENCE);
        visitor.send(Ask::get("/").bytes("h")).await;
        visitors.push(visitor);
    }
    until("the one request", async || origin.request_count() == 1).await;
    drop(head);
    for visitor in &mut visitors {
        reads_the_beginning(visitor).await;
    }
    // The one who came first leaves; nobody else notices.
    drop(visitors.remove(0));
    gate.release();
    for visitor in &mut visitors {
        assert_eq!(visitor.bytes(13).await, b"3\r\nend\r\n0\r\n\r\n");
    }
    assert_eq!(origin.request_count(), 1);
    let mut later = tentpole.visitor().await.host("h");
    assert!(later.get("/").await.expect(200).is_hit());
}

async fn reads_the_beginning(visitor: &mut Visitor) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"begin \r\n") {
        seen.extend(visitor.bytes(1).await);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_shared_lets_all_who_wait_go_at_once_and_the_next_not_wait() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("mine").header("Cache-Control", "private"));
    let head = origin.holds("/");
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let mut visitors = Vec::new();
    for _ in 0..50 {
        let mut visitor = tentpole.visitor().await;
        visitor.send(Ask::get("/").bytes("h")).await;
        visitors.push(visitor);
    }
    until("the one request", async || origin.request_count() == 1).await;
    // Each of them would be held in turn if they went one after the other: released is one.
    head.release_one();
    let mut leader = visitors.remove(0);
    assert_eq!(leader.answer("GET").await.expect(200).text(), "mine");
    until("all others at the endpoint at once", async || origin.request_count() == 50).await;
    drop(head);
    for visitor in &mut visitors {
        visitor.answer("GET").await.expect(200);
    }
    let answer = leader.ask(&Ask::get("/").header("Host", "h")).await.expect(200);
    assert!(answer.header("Cache-Status").is_some_and(|said| said.contains("hit_for_miss")), "{answer:?}");
}

#[tokio::test]
async fn how_many_wait_and_for_how_long_is_bounded() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("page").header("Cache-Control", "max-age=60"));
    let head = origin.holds("/");
    let limits = "[cache]\nwaiters = 1\nwait = \"3s\"";
    let tentpole = Up::config(&pool(&[&origin], limits)).start().await;
    let mut visitors = [tentpole.visitor().await, tentpole.visitor().await, tentpole.visitor().await];
    for (number, visitor) in visitors.iter_mut().enumerate() {
        visitor.send(Ask::get("/").bytes("h")).await;
        if number != 1 {
            let requests = number as u64 / 2 + 1;
            until("the request", async || origin.request_count() >= requests).await;
        }
    }
    until("him who waited long enough", async || origin.request_count() == 3).await;
    drop(head);
    let mut said = Vec::new();
    for visitor in &mut visitors {
        said.push(
            visitor.answer("GET").await.expect(200).header("Cache-Status").unwrap_or_default().to_owned(),
        );
    }
    assert_eq!(said[0], "tentpole; fwd=uri-miss; stored");
    said.sort();
    assert_eq!(said[0], "tentpole; fwd=bypass; detail=too_many_waiters");
    assert_eq!(said[1], "tentpole; fwd=bypass; detail=waited_too_long");
}

#[tokio::test]
async fn who_wants_a_part_gets_it_as_soon_as_it_is_there() {
    let origin = Origin::start().await;
    let gate = Gate::new();
    let steps = [Step::send("01234"), Step::wait(&gate), Step::send("56789")];
    origin.on("/").respond(Response::ok("").header("Cache-Control", "max-age=60").claiming(10, steps));
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let (mut early, mut late) = (tentpole.visitor().await, tentpole.visitor().await);
    let part = early.ask(&Ask::get("/").header("Range", "bytes=1-3")).await.expect(206);
    assert_eq!((part.text(), part.header("Content-Range")), ("123".to_owned(), Some("bytes 1-3/10")));
    // His connection goes on, while the rest is still to come; so does the fetch, which nobody reads now.
    let ask = Ask::get("/").header("Range", "bytes=6-7").bytes(&tentpole.address().to_string());
    late.send(&ask).await;
    early.send(&ask).await;
    gate.release();
    for visitor in [&mut early, &mut late] {
        assert_eq!(visitor.answer("GET").await.expect(206).text(), "67");
    }
    assert_eq!(origin.request_count(), 1);
    assert!(late.get("/").await.expect(200).is_hit());
}
