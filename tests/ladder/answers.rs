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

/// Four at a time, each takes 200 ms: 20 in a second. Who comes when 100 wait would wait for 5 s, and is let in for 4 at most:
/// for a fifth of the time that a place in the queue may take.
#[tokio::test]
async fn who_could_not_be_served_in_time_is_told_at_once_and_not_after_he_has_waited() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("here").header("Cache-Control", "no-store"));
    origin.delays(Duration::from_millis(200));
    let queue = "queue = { length = 1000, wait = \"20s\" }";
    let tentpole = Up::config(&pool_of(&[&origin], "requests_max = 4", queue)).start().await;
    let address = tentpole.address();
    let asks = |count: u32| {
        let mut asks = JoinSet::new();
        for number in 0..count {
            asks.spawn(async move {
                let mut visitor = tentpole_testkit::Visitor::connect(address).await;
                let answer = visitor.get(&format!("/{number}")).await;
                (answer, tokio::time::Instant::now())
            });
        }
        asks.join_all()
    };
    // From these it learns how fast its application is.
    asks(20).await;
    let (mut served, mut told) = (Vec::new(), Vec::new());
    for (answer, at) in asks(400).await {
        if answer.status == 200 {
            served.push(at);
            continue;
        }
        // Nobody has waited in vain: that would be `queue_timeout`.
        assert_eq!(answer.header("cache-status"), Some("tentpole; detail=queue_too_long"));
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=300).contains(&seconds), "{seconds}");
        told.push(at);
    }
    println!("served {}, told at once {}", served.len(), told.len());
    assert!(served.len() >= 20 && told.len() >= 50, "served {}, told {}", served.len(), told.len());
    // Those who wait are served later than the last one hears that it is of no use.
    assert!(told.iter().max() < served.iter().max());
    tentpole.ends().await;
}
