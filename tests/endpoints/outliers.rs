//! Who does worse than the others of its pool is left out for a while, with the reason in words; what all have in
//! common takes nobody out; and who comes back gets its share little by little.

use super::named;
use std::time::Duration;
use tentpole_testkit::{Origin, Response, Tentpole, Up};
use tentpole_tests::{EndpointNow, endpoint, pool, until, until_health};

const SOON: &str = "balance = \"round_robin\"\noutliers = { requests_min = 10, interval = \"2s\" }";

/// Asks without a pause until the endpoint's health is this.
async fn asked_until(tentpole: &Tentpole, origin: &Origin, health: &str) -> EndpointNow {
    let address = tentpole.address();
    let asking = tokio::spawn(async move {
        let mut visitor = tentpole_testkit::Visitor::connect(address).await;
        loop {
            visitor.get("/").await;
        }
    });
    let now = until_health(tentpole, origin, health).await;
    asking.abort();
    now
}

#[tokio::test]
async fn who_answers_with_errors_while_the_others_do_not_is_left_out_and_comes_back() {
    let (sick, well) = (named("sick").await, named("well").await);
    sick.otherwise(|_| Response::status(500));
    let tentpole = Up::config(&pool(&[&sick, &well], SOON)).start().await;
    let out = asked_until(&tentpole, &sick, "down").await;
    assert_eq!(out.reason.as_deref(), Some("errors"));
    let because = out.because.unwrap_or_default();
    assert!(because.ends_with("% of its requests failed, of the others' 0%"), "{because}");
    // Its time is over after a second, and it takes connections: it is asked again, and goes for longer.
    until_health(&tentpole, &sick, "up").await;
    asked_until(&tentpole, &sick, "down").await;
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
    let counted = "tentpole_endpoint_ejections_total{pool=\"app\",reason=\"errors\"} 2\n";
    assert!(metrics.contains(counted), "{metrics}");
    sick.otherwise(|_| Response::ok("well again").header("Cache-Control", "no-store"));
    until_health(&tentpole, &sick, "up").await;
    tentpole.ends().await;
}

#[tokio::test]
async fn errors_that_all_have_take_nobody_out() {
    let (a, b) = (named("a").await, named("b").await);
    a.otherwise(|_| Response::status(500));
    b.otherwise(|_| Response::status(503));
    let tentpole = Up::config(&pool(&[&a, &b], SOON)).start().await;
    let mut visitor = tentpole.visitor().await;
    let enough = async || {
        visitor.get("/").await;
        a.request_count() + b.request_count() > 300
    };
    until("300 requests", enough).await;
    for origin in [&a, &b] {
        assert_eq!(endpoint(&tentpole, origin).await.health, "up");
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn who_is_far_slower_than_the_others_is_left_out_with_both_figures() {
    let (slow, well) = (named("slow").await, named("well").await);
    slow.delays(Duration::from_millis(400));
    let lines = "balance = \"round_robin\"\noutliers = { requests_min = 5, interval = \"20s\" }";
    let tentpole = Up::config(&pool(&[&slow, &well], lines)).start().await;
    let out = asked_until(&tentpole, &slow, "down").await;
    assert_eq!(out.reason.as_deref(), Some("slow"));
    let because = out.because.unwrap_or_default();
    assert!(because.starts_with("slow: p50 ") && because.contains(" ms, others "), "{because}");
    assert_eq!(endpoint(&tentpole, &well).await.health, "up");
    tentpole.ends().await;
}

#[tokio::test]
async fn errors_in_a_row_take_an_endpoint_out_where_that_is_wished() {
    let (sick, well) = (named("sick").await, named("well").await);
    sick.otherwise(|_| Response::status(500));
    let lines = "balance = \"round_robin\"\noutliers = { errors_max = 4 }";
    let tentpole = Up::config(&pool(&[&sick, &well], lines)).start().await;
    let out = asked_until(&tentpole, &sick, "down").await;
    let because = out.because.unwrap_or_default();
    assert!(because.ends_with(" responses in a row with a 5xx"), "{because}");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_probe_looks_at_status_and_content_and_says_what_it_missed() {
    let (sick, well) = (named("sick").await, named("well").await);
    well.on("/health").respond(Response::status(401).body("db: ok"));
    sick.on("/health").respond(Response::status(401).body("db: gone"));
    let lines = "health = { path = \"/health\", interval = \"30ms\", timeout = \"10s\", status = 401, body = \"db: ok\", \
                 host = \"shop.example\", fields = { X-Deep = \"1\" } }";
    let tentpole = Up::config(&pool(&[&sick, &well], lines)).start().await;
    let out = until_health(&tentpole, &sick, "down").await;
    let because = out.because.unwrap_or_default();
    assert!(because.ends_with("bad probes in a row, the last one: body lacks \"db: ok\""), "{because}");
    assert_eq!(endpoint(&tentpole, &well).await.health, "up");
    let probe = well.requests_for("/health").pop().expect("it was probed");
    assert_eq!((probe.header("host"), probe.header("x-deep")), (Some("shop.example"), Some("1")));
    tentpole.ends().await;
}

#[tokio::test]
async fn an_endpoint_that_comes_back_gets_its_share_little_by_little() {
    let (back, well) = (named("back").await, named("well").await);
    back.on("/health").respond(Response::status(500));
    let lines =
        "slow_start = \"5s\"\nhealth = { path = \"/health\", interval = \"30ms\", timeout = \"10s\" }";
    let tentpole = Up::config(&pool(&[&back, &well], lines)).start().await;
    until_health(&tentpole, &back, "down").await;
    back.on("/health").respond(Response::status(200));
    let mut weights = Vec::new();
    let full = async || {
        let now = endpoint(&tentpole, &back).await;
        if now.health == "up" && weights.last() != Some(&now.weight) {
            weights.push(now.weight);
        }
        weights.len() > 1 && now.weight == 100
    };
    until("its full weight", full).await;
    let grew = weights.iter().skip_while(|&&weight| weight == 100).collect::<Vec<_>>();
    assert!(grew.len() > 2 && grew.is_sorted(), "{weights:?}");
    assert_eq!(endpoint(&tentpole, &well).await.weight, 100);
    tentpole.ends().await;
}
