//! Sticky sessions over what changes: the edge is killed, the configuration is read again, an endpoint is gone. A visitor who
//! came back to his endpoint before comes back to it after, as long as it is there.

use crate::named;
use rustix::process::Signal;
use tentpole_testkit::process::signal;
use tentpole_testkit::{Ask, Origin, Tentpole, Up};
use tentpole_tests::{pool, until};

const STICKY: &str = "sticky = { cookie = \"backend\" }";

/// Who answers a visitor with this cookie, and what he is told.
async fn asks(tentpole: &Tentpole, cookie: Option<&str>) -> (String, Option<String>) {
    let ask = Ask::get("/");
    let ask = match cookie {
        Some(cookie) => ask.cookie(cookie),
        None => ask,
    };
    let answer = tentpole.visitor().await.ask(&ask).await.expect(200);
    let told = answer.header("set-cookie").map(|line| line.split(';').next().unwrap_or_default().to_owned());
    (answer.text(), told)
}

async fn reload(tentpole: &Tentpole, endpoints: &[&Origin]) {
    std::fs::write(tentpole.dir().join("tentpole.toml"), pool(endpoints, STICKY)).expect("the file is ours");
    tentpole.admin_visitor().await.ask(&Ask::post("/api/reload", "")).await.expect(200);
}

#[tokio::test]
async fn a_cookie_outlives_the_edge_and_a_reload_and_ends_with_its_endpoint() {
    let (a, b, c) = (named("a").await, named("b").await, named("c").await);
    let tentpole = Up::config(&pool(&[&a, &b], STICKY)).start().await;
    let (first, told) = asks(&tentpole, None).await;
    let cookie = told.expect("a new visitor is told a cookie");

    let before = tentpole.edge_pid();
    signal(before, Signal::KILL);
    until("another edge", async || tentpole.part("edge").is_some_and(|pid| pid != before)).await;
    for _ in 0..10 {
        assert_eq!(asks(&tentpole, Some(&cookie)).await, (first.clone(), None), "after the edge was killed");
    }

    let (mine, other) = if first == "a" { (&a, &b) } else { (&b, &a) };
    reload(&tentpole, &[&c, other, mine]).await;
    for _ in 0..10 {
        assert_eq!(
            asks(&tentpole, Some(&cookie)).await,
            (first.clone(), None),
            "in another place of the list"
        );
    }

    reload(&tentpole, &[&c, other]).await;
    let (second, told) = asks(&tentpole, Some(&cookie)).await;
    assert!(second != first && told.is_some(), "he goes on elsewhere, without an error");
    assert_eq!(asks(&tentpole, told.as_deref()).await, (second, None));
    tentpole.ends().await;
}
