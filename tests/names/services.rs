//! The name of a service (SRV, RFC 2782): ports, weights as shares, priorities as tiers.

use std::net::SocketAddr;

use tentpole_testkit::{NameServer, Origin, Record};
use tentpole_tests::until;

use crate::{application, endpoints, up};

const NAME: &str = "_http._tcp.shop.internal";

fn target(priority: u16, weight: u16, at: &Origin) -> Record {
    Record::Service(priority, weight, at.address().port(), "host.internal".to_owned())
}

#[tokio::test]
async fn a_services_targets_share_by_weight_and_the_next_priority_takes_over() {
    let server = NameServer::start();
    let one = || application(SocketAddr::from(([127, 0, 0, 1], 0)));
    let (a, b, c) = (one(), one(), one());
    server.leads("host.internal", 60, &["127.0.0.1"]);
    server.tell(NAME, 1, &[target(20, 5, &c), target(10, 60, &a), target(10, 20, &b)]);
    let tentpole = up(&server, &format!("\"srv://{NAME}\""), "balance = \"round_robin\"").await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..80 {
        visitor.get("/").await.expect(200);
    }
    assert_eq!((a.request_count(), b.request_count(), c.request_count()), (60, 20, 0));
    // Both of the first priority die: the second one takes over.
    a.stops().await;
    b.stops().await;
    until("the next priority to answer", async || tentpole.visitor().await.get("/").await.status == 200)
        .await;
    assert!(c.request_count() > 0);
    a.starts_again().await;
    b.starts_again().await;
    let is_up = |at: &Origin| (at.address().to_string(), "up".to_owned());
    let back = [is_up(&a), is_up(&b)];
    until("both to be back", async || {
        let now = endpoints(&tentpole).await;
        back.iter().all(|it| now.contains(it))
    })
    .await;
    // What control says is in force at the edge a moment later.
    until("ten in a row to be theirs again", async || {
        let before = (a.request_count() + b.request_count(), c.request_count());
        for _ in 0..10 {
            visitor.get("/").await.expect(200);
        }
        let now = (a.request_count() + b.request_count(), c.request_count());
        now == (before.0 + 10, before.1)
    })
    .await;
    // The name says otherwise, without a restart.
    server.tell(NAME, 1, &[target(1, 0, &c)]);
    let only = vec![(c.address().to_string(), "up".to_owned())];
    until("all to go to the third", async || endpoints(&tentpole).await == only).await;
    let before = c.request_count();
    until("the third to get one", async || {
        visitor.get("/").await.expect(200);
        c.request_count() > before
    })
    .await;
    let before = c.request_count();
    for _ in 0..10 {
        visitor.get("/").await.expect(200);
    }
    assert_eq!(c.request_count(), before + 10);
    tentpole.ends().await;
}
