//! Who is left out because of failures or probes, who comes back, and that the last one stays (S1.4).

use super::named;
use tentpole_testkit::{Origin, Response, Step, Up, Visitor};
use tentpole_tests::{endpoint, pool, until, until_health};

/// Asks `count` times; all must be answered with 200.
async fn served(visitor: &mut Visitor, count: usize) {
    for _ in 0..count {
        visitor.get("/").await.expect(200);
    }
}

#[tokio::test]
async fn an_endpoint_that_keeps_failing_is_left_out_and_comes_back() {
    let (sick, well) = (named("sick").await, named("well").await);
    let lines = "balance = \"round_robin\"\nfailures_max = 2";
    let tentpole = Up::config(&pool(&[&sick, &well], lines)).start().await;
    // Not before it has its own ports: the one that becomes free could be among them.
    sick.stops().await;
    let mut visitor = tentpole.visitor().await;
    served(&mut visitor, 8).await;
    let out = until_health(&tentpole, &sick, "down").await;
    assert_eq!(out.reason.as_deref(), Some("failures"));
    served(&mut visitor, 20).await;
    assert_eq!(endpoint(&tentpole, &sick).await.requests, out.requests, "it was still asked");
    assert_eq!(endpoint(&tentpole, &well).await.health, "up");

    sick.starts_again().await;
    until_health(&tentpole, &sick, "up").await;
    served(&mut visitor, 4).await;
    assert_eq!(sick.request_count(), 2);
    tentpole.ends().await;
}

#[tokio::test]
async fn errors_that_an_endpoint_answers_do_not_put_it_out() {
    let (sick, well) = (named("sick").await, named("well").await);
    sick.otherwise(|_| Response::status(500));
    let lines = "balance = \"round_robin\"\nfailures_max = 1";
    let tentpole = Up::config(&pool(&[&sick, &well], lines)).start().await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..10 {
        let two = [visitor.get("/").await.status, visitor.get("/").await.status];
        assert!(two == [200, 500] || two == [500, 200], "{two:?}");
    }
    assert_eq!(endpoint(&tentpole, &sick).await.health, "up");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_probe_that_fails_puts_an_endpoint_out_and_one_that_passes_brings_it_back() {
    let (sick, well) = (named("sick").await, named("well").await);
    let lines = "balance = \"round_robin\"\n\
                 health = { path = \"/health\", interval = \"30ms\", timeout = \"10s\", healthy_after = 2, \
                 unhealthy_after = 2 }";
    sick.on("/health").respond(Response::status(500));
    let tentpole = Up::config(&pool(&[&sick, &well], lines)).start().await;
    let mut visitor = tentpole.visitor().await;
    let out = until_health(&tentpole, &sick, "down").await;
    assert_eq!(out.reason.as_deref(), Some("probe"));
    for _ in 0..10 {
        assert_eq!(visitor.get("/").await.expect(200).text(), "well");
    }
    sick.on("/health").respond(Response::status(204));
    until_health(&tentpole, &sick, "up").await;
    let two = [visitor.get("/").await.text(), visitor.get("/").await.text()];
    assert!(two.contains(&"sick".to_owned()), "{two:?}");
    let probe = sick.requests_for("/health").pop().expect("it was probed");
    assert_eq!(probe.header("user-agent"), Some("tentpole-probe"));
    tentpole.ends().await;
}

/// S1.4: the probe gives up before the only application answers, as the balancer of that site did after 10 s.
#[tokio::test]
async fn a_slow_last_endpoint_keeps_answering_whatever_its_probes_say() {
    let only = named("only").await;
    only.on("/health").raw([Step::Hang]);
    let lines =
        "health = { path = \"/health\", interval = \"30ms\", timeout = \"30ms\", unhealthy_after = 1 }";
    let tentpole = Up::config(&pool(&[&only], lines)).start().await;
    let now = until_health(&tentpole, &only, "last_one").await;
    assert_eq!(now.reason.as_deref(), Some("probe"));
    served(&mut tentpole.visitor().await, 10).await;
    tentpole.ends().await;
}

/// S1.4: requests that are cut off must not take the others with them.
#[tokio::test]
async fn requests_that_hang_until_their_time_is_over_do_not_put_the_last_endpoint_out() {
    let only = named("only").await;
    only.on("/slow").raw([Step::Hang]);
    let lines = "failures_max = 1\ntimeouts = { first_byte = \"2s\" }";
    let tentpole = Up::config(&pool(&[&only], lines)).start().await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..3 {
        visitor.get("/slow").await.expect(504);
    }
    until_health(&tentpole, &only, "last_one").await;
    served(&mut visitor, 10).await;
    until_health(&tentpole, &only, "up").await;
    assert_eq!(only.requests_for("/slow").len(), 3);
    tentpole.ends().await;
}

#[tokio::test]
async fn the_last_endpoint_that_was_gone_serves_as_soon_as_it_is_back() {
    let (a, b) = (named("a").await, named("b").await);
    a.stops().await;
    b.stops().await;
    let tentpole = Up::config(&pool(&[&a, &b], "failures_max = 1")).start().await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..4 {
        visitor.get("/").await.expect(502);
    }
    until_health(&tentpole, &a, "last_one").await;
    until_health(&tentpole, &b, "last_one").await;
    b.starts_again().await;
    // Without waiting for any probe: whichever is asked first, the other one is there for it.
    served(&mut visitor, 10).await;
    tentpole.ends().await;
}

#[tokio::test]
async fn all_endpoints_stay_when_all_probes_fail() {
    let (a, b) = (named("a").await, named("b").await);
    for origin in [&a, &b] {
        origin.on("/health").respond(Response::status(404));
    }
    let lines = "balance = \"round_robin\"\n\
                 health = { path = \"/health\", interval = \"30ms\", unhealthy_after = 1 }";
    let tentpole = Up::config(&pool(&[&a, &b], lines)).start().await;
    until_health(&tentpole, &a, "last_one").await;
    until_health(&tentpole, &b, "last_one").await;
    let mut visitor = tentpole.visitor().await;
    served(&mut visitor, 10).await;
    let pages = |origin: &Origin| origin.requests_for("/").len();
    assert_eq!((pages(&a), pages(&b)), (5, 5));
    tentpole.ends().await;
}

#[tokio::test]
async fn the_flag_asks_each_endpoint_for_a_path() {
    let origin = named("x").await;
    let tentpole = Up::to(&origin.url()).argument("--health").argument("/are-you-well").start().await;
    let asked = async || !origin.requests_for("/are-you-well").is_empty();
    until("a probe", asked).await;
    tentpole.ends().await;
}
