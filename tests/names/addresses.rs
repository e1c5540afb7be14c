//! Each address of a name is an endpoint of its own: all get traffic, and come and go without a failed request.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use tentpole_testkit::process::signal;
use tentpole_testkit::{Ask, Fault, NameServer};
use tentpole_tests::crowd::{Crowd, Manner};
use tentpole_tests::until;

use crate::{applications, are_up, configuration, endpoints, leads, status, up};

fn url(applications: &[tentpole_testkit::Origin]) -> String {
    format!("\"http://app.internal:{}\"", applications[0].address().port())
}

#[tokio::test]
async fn addresses_come_and_go_under_load_without_a_failed_request() {
    let server = NameServer::start();
    let all = applications(0, 3);
    let [a, b, c] = &all[..] else { panic!() };
    leads(&server, "app.internal", &[a, b]);
    let tentpole = up(&server, &url(&all), "").await;
    assert!(are_up(&tentpole, &[a, b]).await, "{:?}", endpoints(&tentpole).await);
    let crowd = Crowd::start(
        tentpole.address(),
        8,
        &Manner { pause: Duration::from_millis(5), ..Manner::asking("/") },
    );
    until("both addresses to get requests", async || a.request_count() > 20 && b.request_count() > 20).await;
    assert_eq!(c.request_count(), 0);
    // One more comes, then one goes, in one answer.
    leads(&server, "app.internal", &[c, b, a]);
    until("the third to get requests", async || c.request_count() > 20).await;
    leads(&server, "app.internal", &[c, b]);
    until("the first to be gone", async || are_up(&tentpole, &[b, c]).await).await;
    // Those who were on their way to it have come back when each visitor has been served many times.
    let good = crowd.good();
    until("the last ones to come back", async || crowd.good() > good + 200).await;
    let (left_with, good) = (a.request_count(), crowd.good());
    until("more requests", async || crowd.good() > good + 200).await;
    assert_eq!(a.request_count(), left_with, "who left is asked no more");
    // All at once are others.
    leads(&server, "app.internal", &[a]);
    until("all to go to the first", async || are_up(&tentpole, &[a]).await).await;
    let good = crowd.good();
    until("more requests", async || crowd.good() > good + 200).await;
    let met = crowd.ends().await;
    assert_eq!(met.failed, 0, "{:?}", met.stories);
    tentpole.ends().await;
}

#[tokio::test]
async fn one_of_a_names_addresses_that_dies_is_left_out_and_the_others_carry_on() {
    let server = NameServer::start();
    let all = applications(1, 2);
    let [a, b] = &all[..] else { panic!() };
    leads(&server, "app.internal", &[a, b]);
    let tentpole = up(&server, &url(&all), "").await;
    let crowd = Crowd::start(
        tentpole.address(),
        4,
        &Manner { pause: Duration::from_millis(5), ..Manner::asking("/") },
    );
    until("both addresses to get requests", async || a.request_count() > 20 && b.request_count() > 20).await;
    b.stops().await;
    let down = (b.address().to_string(), "down".to_owned());
    until("the dead one to be left out", async || endpoints(&tentpole).await.contains(&down)).await;
    b.starts_again().await;
    until("it to be back", async || are_up(&tentpole, &[a, b]).await).await;
    let met = crowd.ends().await;
    assert_eq!(met.failed, 0, "{:?}", met.stories);
    tentpole.ends().await;
}

#[tokio::test]
async fn a_dead_name_server_costs_no_request_and_is_told_also_after_a_reload_and_a_restart_of_control() {
    let server = NameServer::start();
    let all = applications(2, 2);
    let [a, b] = &all[..] else { panic!() };
    leads(&server, "app.internal", &[a, b]);
    let mut tentpole = up(&server, &url(&all), "").await;
    let crowd = Crowd::start(
        tentpole.address(),
        4,
        &Manner { pause: Duration::from_millis(5), ..Manner::asking("/") },
    );
    server.misbehaves(Fault::Fails);
    tentpole.says("the last good answer").await;
    let name = status(&tentpole).await["names"]["names"][0].clone();
    assert!(name["trouble"].as_str().unwrap().contains("SERVFAIL") || name["trouble"].is_string(), "{name}");
    assert!(are_up(&tentpole, &[a, b]).await);
    // Another configuration with the same name, while nobody can say where it leads.
    let next = configuration(&server, &url(&all), "failures_max = 5");
    std::fs::write(tentpole.dir().join("tentpole.toml"), next).unwrap();
    tentpole.admin_visitor().await.ask(&Ask::new("POST", "/api/reload").body("")).await.expect(200);
    assert!(are_up(&tentpole, &[a, b]).await, "{:?}", endpoints(&tentpole).await);
    // And a control process that knows nothing but what the edge has in force.
    let control = tentpole.control_pid();
    signal(control, Signal::KILL);
    until("another control process", async || tentpole.part("control").is_some_and(|pid| pid != control))
        .await;
    until("the same addresses", async || {
        let visitor = tentpole_testkit::Visitor::try_connect(tentpole.admin()).await;
        visitor.is_ok() && are_up(&tentpole, &[a, b]).await
    })
    .await;
    let (before_a, before_b) = (a.request_count(), b.request_count());
    until("both to get requests", async || {
        a.request_count() > before_a + 20 && b.request_count() > before_b + 20
    })
    .await;
    let met = crowd.ends().await;
    assert_eq!(met.failed, 0, "{:?}", met.stories);
    tentpole.ends().await;
}

#[tokio::test]
async fn localhost_is_one_endpoint_whichever_family_it_listens_at() {
    let server = NameServer::start();
    let origin = crate::application(SocketAddr::from(([127, 0, 0, 1], 0)));
    let url = format!("\"http://localhost:{}\"", origin.address().port());
    let tentpole = up(&server, &url, "").await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..4 {
        visitor.get("/").await.expect(200);
    }
    let [(_, health)] = &endpoints(&tentpole).await[..] else { panic!("{:?}", endpoints(&tentpole).await) };
    assert_eq!(health, "up");
    assert_eq!(server.questions(), 0);
    tentpole.ends().await;
}
