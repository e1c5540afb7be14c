//! Visitors who leave.

use super::Busy;
use std::time::Duration;
use tentpole_testkit::{Ask, Response, Up, Visitor};
use tentpole_tests::workers::Workers;
use tentpole_tests::{until, until_within};
use tokio::task::JoinSet;

#[tokio::test]
async fn who_leaves_while_he_waits_is_gone_from_the_queue_at_once_and_nobody_works_for_him() {
    let busy = Busy::starts("length = 10, wait = \"60s\"", "").await;
    let leaves = busy.waits(&Ask::get("/leaves"), 1).await;
    let posts = busy.waits(&Ask::post("/leaves-too", "x"), 2).await;
    let mut stays = busy.waits(&Ask::get("/stays"), 3).await;
    drop(leaves);
    busy.until_waiting(2).await;
    drop(posts);
    busy.until_waiting(1).await;
    busy.held.release();
    stays.answer("GET").await.expect(200);
    assert_eq!(busy.order(), ["/first", "/stays"]);
    busy.tentpole.ends().await;
}

#[tokio::test]
async fn who_sends_his_next_request_while_he_waits_gets_both_answers() {
    let busy = Busy::starts("length = 10, wait = \"60s\"", "").await;
    let mut visitor = busy.waits(&Ask::post("/one", "x"), 1).await;
    visitor.send(Ask::get("/two").bytes("h")).await;
    busy.held.release();
    visitor.answer("POST").await.expect(200);
    visitor.answer("GET").await.expect(200);
    assert_eq!(busy.order(), ["/first", "/one", "/two"]);
    busy.tentpole.ends().await;
}

#[tokio::test]
async fn a_page_for_all_is_fetched_while_anybody_waits_for_it_and_not_when_all_have_left() {
    let busy = Busy::starts("length = 10, wait = \"60s\"", "").await;
    busy.origin.on("/shared/*").respond(Response::ok("all").header("Cache-Control", "max-age=60"));
    let leads = busy.waits(&Ask::get("/shared/wanted"), 1).await;
    let alone = busy.waits(&Ask::get("/shared/unwanted"), 2).await;
    let mut joins = busy.tentpole.visitor().await;
    joins.send(Ask::get("/shared/wanted").bytes("h")).await;
    drop(alone);
    busy.until_waiting(1).await;
    drop(leads);
    busy.held.release();
    assert_eq!(joins.answer("GET").await.expect(200).text(), "all");
    assert_eq!(busy.order(), ["/first", "/shared/wanted"]);
    busy.tentpole.ends().await;
}

fn before(workers: &Workers, limit: u32, lines: &str) -> String {
    let address = workers.address();
    format!(
        "threads = 1\n[pool.app]\nendpoints = [{{ url = \"http://{address}\", requests_max = {limit} }}]\n{lines}\n"
    )
}

/// An application that works on whatever its visitors do: four at a time, 100 ms each, the rest waits inside it. 200 ask in each of
/// five seconds, and leave after half a second. Without a limit that is 20 s of work for nobody.
#[tokio::test]
async fn after_an_overload_the_application_has_no_more_work_left_than_the_limit() {
    let workers = Workers::start(4, Duration::from_millis(100)).await;
    let tentpole = Up::config(&before(&workers, 6, "")).start().await;
    let (address, mut asks) = (tentpole.address(), JoinSet::new());
    for number in 0..100 {
        for each in 0..10 {
            asks.spawn(async move {
                let ask = async move {
                    Visitor::connect(address).await.get(&format!("/{number}/{each}")).await.status
                };
                tokio::time::timeout(Duration::from_millis(500), ask).await.unwrap_or(0)
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let left = workers.in_hand();
    let mut served = 0;
    while let Some(status) = asks.join_next().await {
        served += u32::from(status.unwrap() == 200);
    }
    println!("{served} served in 5 s, {left} requests in hand at its end");
    assert!(left <= 6, "{left} requests are left");
    until("the application to be idle", async || workers.in_hand() == 0).await;
    tentpole.ends().await;
}

#[tokio::test]
async fn after_a_time_out_the_place_is_free_when_the_application_is_done_and_not_before() {
    let workers = Workers::start(4, Duration::from_secs(10)).await;
    let lines = "timeouts = { first_byte = \"1s\" }\nqueue = { wait = \"1s\" }";
    let tentpole = Up::config(&before(&workers, 1, lines)).start().await;
    tentpole.visitor().await.get("/slow").await.expect(504);
    assert_eq!(workers.in_hand(), 1);
    let answer = tentpole.visitor().await.get("/next").await.expect(503);
    assert!(answer.header("cache-status").unwrap().contains("queue"), "{answer:?}");
    assert_eq!(workers.in_hand(), 1, "nothing more was sent to it");
    until_within(Duration::from_secs(30), "its place to be free", async || {
        tentpole.visitor().await.get("/again").await.status == 504
    })
    .await;
    assert!(workers.done() >= 1);
    tentpole.ends().await;
}
