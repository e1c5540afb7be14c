//! What visitors and operators notice when one of Tentpole's processes dies or stands still: as little as can be.

use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;
use tentpole_testkit::{Origin, Response, Tentpole, Up};
use tentpole_tests::{endpoint, pool, turn, until, until_health};

/// An origin that answers everything with its name, which nobody may store.
async fn named(name: &'static str) -> Origin {
    let origin = Origin::start().await;
    origin.otherwise(move |_| Response::ok(name).header("Cache-Control", "no-store"));
    origin
}

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process has a positive id");
    kill_process(pid, signal).expect("it runs");
}

/// Kills a part and waits until another one has its place.
async fn replaced(tentpole: &Tentpole, part: &str) {
    let before = tentpole.part(part).expect("it runs");
    send(before, Signal::KILL);
    until("another one", async || tentpole.part(part).is_some_and(|pid| pid != before)).await;
}

/// Asks a few times; every one must be answered by this origin.
async fn all_by(tentpole: &Tentpole, name: &str) {
    for _ in 0..10 {
        let answer = tentpole.visitor().await.get("/").await;
        assert_eq!(answer.expect(200).text(), name);
    }
}

#[tokio::test]
async fn visitors_notice_nothing_of_a_control_process_that_dies_and_drains_stay() {
    let (first, second) = (named("first").await, named("second").await);
    let tentpole = Up::config(&pool(&[&first, &second], "")).start().await;
    turn(&tentpole, &first, "drain").await.expect(200);
    all_by(&tentpole, "second").await;
    let mut visitor = tentpole.visitor().await;

    let before = tentpole.control_pid();
    send(before, Signal::KILL);
    // Also between the two: nobody but the edge is needed.
    for _ in 0..200 {
        assert_eq!(visitor.get("/").await.expect(200).text(), "second");
    }
    until("another one", async || tentpole.part("control").is_some_and(|pid| pid != before)).await;
    until_health(&tentpole, &first, "up").await;
    all_by(&tentpole, "second").await;
    turn(&tentpole, &second, "drain").await.expect(409);
    turn(&tentpole, &first, "resume").await.expect(200);
    turn(&tentpole, &second, "drain").await.expect(200);
    all_by(&tentpole, "first").await;
    tentpole.ends().await;
}

#[tokio::test]
async fn an_edge_that_dies_is_replaced_on_the_same_address_with_the_same_weights() {
    let (first, second) = (named("first").await, named("second").await);
    let tentpole = Up::config(&pool(&[&first, &second], "")).start().await;
    turn(&tentpole, &first, "drain").await.expect(200);
    let requests = endpoint(&tentpole, &second).await.requests;
    replaced(&tentpole, "edge").await;
    all_by(&tentpole, "second").await;
    // Counted from nought, as it is new; control hears of it once they are linked.
    until("ten more to be counted", async || endpoint(&tentpole, &second).await.requests == requests + 10)
        .await;
    until("the restart to be counted", async || {
        let metrics = tentpole.admin_visitor().await.get("/metrics").await;
        metrics.expect(200).text().contains("tentpole_restarts_total{part=\"edge\"} 1")
    })
    .await;
    tentpole.ends().await;
}

#[tokio::test]
async fn both_may_die_at_once() {
    let (first, second) = (named("first").await, named("second").await);
    let tentpole = Up::config(&pool(&[&first, &second], "")).start().await;
    turn(&tentpole, &first, "drain").await.expect(200);
    let (edge, control) = (tentpole.edge_pid(), tentpole.control_pid());
    send(control, Signal::KILL);
    send(edge, Signal::KILL);
    until("other ones", async || {
        let others = |part, before| tentpole.part(part).is_some_and(|pid| pid != before);
        others("edge", edge) && others("control", control)
    })
    .await;
    all_by(&tentpole, "second").await;
    until_health(&tentpole, &first, "up").await;
    all_by(&tentpole, "second").await;
    tentpole.ends().await;
}

#[tokio::test]
async fn a_control_process_that_stands_still_holds_up_nobody_and_goes_on_where_it_was() {
    let origin = named("it").await;
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    all_by(&tentpole, "it").await;
    let control = tentpole.control_pid();
    send(control, Signal::STOP);
    let mut visitor = tentpole.visitor().await;
    let asking = async {
        for _ in 0..2_000 {
            assert_eq!(visitor.get("/").await.expect(200).text(), "it");
        }
    };
    tokio::time::timeout(Duration::from_secs(120), asking).await.expect("nobody waits for it");
    send(control, Signal::CONT);
    until("control to know of all", async || endpoint(&tentpole, &origin).await.requests == 2_010).await;
    assert_eq!(tentpole.control_pid(), control, "it was not replaced");
    tentpole.ends().await;
}
