//! Signals: requests in flight finish, idle connections do not wait, a second signal does not wait either.

use rustix::process::Signal;
use tentpole_testkit::{Ask, End, Gate, Origin, Response, Step, Up, Visitor};
use tentpole_tests::{pool, until};

async fn origin() -> Origin {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("the whole answer").header("Cache-Control", "no-store"));
    origin
}

async fn requests_in_flight_finish_after(signal: Signal) {
    let origin = origin().await;
    let (held, half) = (origin.holds("/slow"), Gate::new());
    let halves = [Step::send("first half, "), Step::wait(&half), Step::send("second half")];
    origin.on("/halves").respond(Response::ok("").header("Cache-Control", "no-store").chunked(halves));
    let mut tentpole = Up::config(&pool(&[&origin], "").replace("threads = 1", "threads = 2")).start().await;
    let (mut idle, mut slow, mut posts) =
        (tentpole.visitor().await, tentpole.visitor().await, tentpole.visitor().await);
    let mut reads = tentpole.visitor().await;
    idle.get("/").await.expect(200);
    slow.send(Ask::get("/slow").bytes("h")).await;
    posts.send(Ask::post("/slow", "x").bytes("h")).await;
    held.until_waiting(2).await;
    let mut reading = reads.begin(&Ask::get("/halves")).await;
    reading.until(12).await;

    tentpole.signal(signal);
    tentpole.says("open connections: 4").await;
    assert_eq!(idle.end().await, End::Closed);
    until("new connections to be refused", async || Visitor::try_connect(tentpole.address()).await.is_err())
        .await;
    assert!(slow.is_open() && posts.is_open(), "a request in flight was cut off");

    held.release();
    for (visitor, method) in [(&mut slow, "GET"), (&mut posts, "POST")] {
        let answer = visitor.answer(method).await.expect(200);
        assert_eq!(answer.text(), "the whole answer");
        assert_eq!((answer.header("connection"), answer.closed), (Some("close"), true), "{method}");
    }
    half.release();
    assert_eq!(reading.rest().await.text(), "first half, second half");
    assert_eq!(reads.end().await, End::Closed);
    let status = tentpole.until_ended().await;
    assert_eq!(status.code(), Some(0), "{status}: {}", tentpole.said());
}

#[tokio::test]
async fn an_interrupt_lets_requests_in_flight_finish() {
    requests_in_flight_finish_after(Signal::INT).await;
}

#[tokio::test]
async fn a_termination_lets_requests_in_flight_finish() {
    requests_in_flight_finish_after(Signal::TERM).await;
}

#[tokio::test]
async fn a_second_signal_does_not_wait() {
    for second in [Signal::INT, Signal::TERM] {
        let origin = origin().await;
        let held = origin.holds("/slow");
        // Longer than any test is waited for.
        let mut tentpole = Up::config(&pool(&[&origin], "[limits]\ndrain_time = \"1h\"")).start().await;
        let mut slow = tentpole.visitor().await;
        slow.send(Ask::get("/slow").bytes("h")).await;
        held.until_waiting(1).await;
        tentpole.signal(Signal::INT);
        tentpole.says("open connections: 1").await;
        tentpole.signal(second);
        tentpole.says("ended at once; connections still open: 1").await;
        let status = tentpole.until_ended().await;
        assert_eq!(status.code(), Some(0), "{status}");
        assert!(slow.try_answer("GET").await.is_err());
    }
}

#[tokio::test]
async fn requests_that_do_not_finish_are_waited_for_no_longer_than_drain_time() {
    let origin = origin().await;
    let held = origin.holds("/slow");
    let mut tentpole = Up::config(&pool(&[&origin], "[limits]\ndrain_time = \"300ms\"")).start().await;
    let mut slow = tentpole.visitor().await;
    slow.send(Ask::get("/slow").bytes("h")).await;
    held.until_waiting(1).await;
    tentpole.signal(Signal::INT);
    let status = tentpole.until_ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(slow.try_answer("GET").await.is_err());
}
