//! What those are told who are sent away.

use super::Busy;
use std::time::Duration;
use tentpole_testkit::{Ask, Origin, Response, Up};
use tentpole_tests::pool_of;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_browser_gets_a_kind_page_a_program_json_and_both_hear_when() {
    let busy = Busy::starts("length = 1, wait = \"60s\"", "").await;
    let _waits = busy.waits(&Ask::post("/waits", "x"), 1).await;
    let accepts = async |accept: &str| {
        let ask = Ask::get("/page").header("Accept", accept);
        busy.tentpole.visitor().await.ask(&ask).await.expect(503)
    };
    let page = accepts("text/html,application/xhtml+xml,*/*;q=0.8").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let seconds = page.header("retry-after").unwrap();
    assert!(page.text().contains(&format!("in {seconds} s")), "{}", page.text());
    let json = accepts("application/json").await;
    let said: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(said["retry_after"].to_string(), json.header("retry-after").unwrap());
    assert_eq!(said["reason"], "queue_full");
    assert!(accepts("*/*").await.text().starts_with("503: "));
    busy.held.release();
    busy.tentpole.ends().await;
}

/// Four at a time, each takes 100 ms: 40 in a second. Who comes when 100 wait would wait for 2.5 s.
#[tokio::test]
async fn who_could_not_be_served_in_time_is_told_at_once_and_not_after_he_has_waited() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("here").header("Cache-Control", "no-store"));
    origin.delays(Duration::from_millis(100));
    let queue = "queue = { length = 1000, wait = \"2s\" }";
    let tentpole = Up::config(&pool_of(&[&origin], "requests_max = 4", queue)).start().await;
    let mut asks = JoinSet::new();
    let address = tentpole.address();
    // 200 a second for 4 s, five times what it can.
    for number in 0..80 {
        for each in 0..10 {
            asks.spawn(async move {
                let began = tokio::time::Instant::now();
                let mut visitor = tentpole_testkit::Visitor::connect(address).await;
                let answer = visitor.get(&format!("/{number}/{each}")).await;
                (number, answer, began.elapsed())
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (mut served, mut late, mut told, mut longest) = (0, 0, 0, Duration::ZERO);
    while let Some(asked) = asks.join_next().await {
        let (number, answer, took) = asked.unwrap();
        match answer.header("cache-status").filter(|_| answer.status == 503) {
            None => served += usize::from(answer.status == 200),
            Some("tentpole; detail=queue_too_long") => {
                told += 1;
                longest = longest.max(took);
                let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                assert!((1..=120).contains(&seconds), "{number}: {seconds}");
            }
            Some(_) => late += 1,
        }
    }
    println!("served {served}, told at once {told}, waited in vain {late}, longest until told {longest:?}");
    assert!(served >= 100 && told >= 300, "served {served}, told {told}");
    assert!(late * 10 <= told, "{late} waited in vain, {told} were told");
    tentpole.ends().await;
}
