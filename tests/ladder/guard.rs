//! Where nobody has said how much the application takes: nothing is in force until visitors are harmed, and who waits patiently is
//! refused nothing. What it does in a peak is a story (`replays/s4_6.rs`), and simulated in `decide/limit`.

use serde_json::Value;
use std::time::Duration;
use tentpole_testkit::{Tentpole, Up, Visitor};
use tentpole_tests::workers::Workers;
use tokio::task::JoinSet;

/// The limit that the admin API shows.
async fn limit(tentpole: &Tentpole) -> Value {
    let status = tentpole.admin_visitor().await.get("/api/status").await.expect(200);
    let status: Value = serde_json::from_slice(&status.body).unwrap();
    status["pools"][0]["endpoints"][0]["limit"].clone()
}

#[tokio::test]
async fn where_nothing_is_set_who_waits_patiently_is_refused_nothing() {
    let workers = Workers::start(4, Duration::from_millis(50)).await;
    let config = format!("threads = 1\n[pool.app]\nendpoints = [\"{}\"]\n", workers.url());
    let tentpole = Up::config(&config).start().await;
    let mut early = tentpole.visitor().await;
    for number in 0..40 {
        early.get(&format!("/early/{number}")).await.expect(200);
    }
    assert_eq!(limit(&tentpole).await, Value::Null);
    // Six seconds of work at once, and as much again a second later.
    let (address, mut asks) = (tentpole.address(), JoinSet::new());
    for wave in 0..2 {
        for number in 0..500 {
            asks.spawn(async move {
                Visitor::connect(address).await.get(&format!("/{wave}/{number}")).await.status
            });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    while let Some(status) = asks.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    tentpole.ends().await;
}
