//! A limit that follows what the endpoint carries, before a real application with workers: that it moves, end to end,
//! and is shown. How well it is found is simulated in `decide/limit`, where no neighbour is busy.

use std::time::Duration;

use serde_json::Value;
use tentpole_testkit::{Tentpole, Up};
use tentpole_tests::crowd::{Crowd, Manner};
use tentpole_tests::workers::Workers;
use tentpole_tests::{until, until_within};

/// Workers, and how long a page takes: 160 a second.
const WORKERS: usize = 16;
const TAKES: Duration = Duration::from_millis(100);
/// Visitors who ask without a pause.
const VISITORS: usize = 40;
/// Half a minute where nobody disturbs; on a busy machine what comes back says little, and it takes long until it is sure.
const GROWS_WITHIN: Duration = Duration::from_secs(240);

/// The limit that the admin API shows, with its reason.
async fn limit(tentpole: &Tentpole) -> (u64, String) {
    let status = tentpole.admin_visitor().await.get("/api/status").await.expect(200);
    let status: Value = serde_json::from_slice(&status.body).expect("the status is JSON");
    let endpoint = &status["pools"][0]["endpoints"][0];
    (endpoint["limit"].as_u64().unwrap_or(0), endpoint["limit_why"].as_str().unwrap_or("").to_owned())
}

#[tokio::test]
async fn an_adaptive_limit_grows_where_more_at_once_brings_more_answers() {
    let app = Workers::start(WORKERS, TAKES).await;
    // Who waits is not sent away: all of them come in the end.
    let config = format!(
        "threads = 1\n[pool.app]\nendpoints = [\"{}\"]\nlimit = {{ start = 2 }}\nqueue = {{ wait = \"60s\" }}\n",
        app.url()
    );
    let tentpole = Up::config(&config).start().await;
    assert_eq!(limit(&tentpole).await, (2, "start".to_owned()));
    let mut crowd = Crowd::start(tentpole.address(), 0, &Manner::asking("/"));
    for visitor in 0..VISITORS {
        // A page of his own: nobody waits for what another asked.
        crowd.join(tentpole.address(), 1, &Manner::asking(&format!("/page/{visitor}")));
    }
    until("pages", async || crowd.good() > 10).await;
    // It begins where it was told to, and may have grown since on a busy machine.
    let (most, now) = (app.inside_most(), limit(&tentpole).await.0);
    assert!(most <= 3 || most as u64 <= now + 1, "{most} at once, and the limit is {now}");
    until_within(GROWS_WITHIN, "a limit of 4", async || limit(&tentpole).await.0 >= 4).await;
    let (now, why) = limit(&tentpole).await;
    println!("from 2 to {now} ({why}), {} at once", app.inside_most());
    assert_eq!(why, "carries_more");
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.expect(200);
    assert!(metrics.text().contains("tentpole_endpoint_limit{pool=\"app\""), "the metrics say it too");
    assert_eq!(crowd.ends().await.failed, 0);
    tentpole.ends().await;
}
