//! Nobody gets what is somebody else's: 50 people who are logged in and 20 who are not, at a site that behaves like
//! real ones, through the edge, with coalescing, visitors who leave and purges going on; and the same with everything
//! that learned caching does, every kind of purge, and weights that change (S1.5).

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use tentpole_testkit::{Isolation, Purge, Report, Site, Up};

/// Requests of the whole run; the harness rounds them down to full rounds, and 100,000 are wanted.
const REQUESTS: u64 = 101_000;
/// The same for the long run.
const REQUESTS_LONG: u64 = 1_001_000;

#[tokio::test]
async fn no_visitor_ever_gets_another_visitors_page() {
    let site = Site::start().await;
    let tentpole = Up::to(&site.origin().url()).start().await;
    let host = tentpole.address().to_string();
    let run = Isolation::at_site(tentpole.address(), &host, 50, 20).await.unwrap();
    let run = Isolation { requests: REQUESTS, purge: Purge::Admin(tentpole.admin()), ..run };
    let report = run.run().await.unwrap();

    could_have_found_something(&report);
    tentpole.ends().await;
}

#[tokio::test]
async fn nor_with_learning_purges_and_changes_of_weights_going_on() {
    let report = learning(REQUESTS).await;
    could_have_found_something(&report);
    assert!(report.learned > 100, "hardly anything was learned, so little was shown: {report:#?}");
}

/// A million requests, some minutes. See docs/learning.md for how to run it.
#[tokio::test]
#[ignore = "takes minutes: run it by name"]
async fn a_million_requests_with_learning_purges_and_changes_of_weights() {
    let report = learning(REQUESTS_LONG).await;
    println!("{report:#?}");
    could_have_found_something(&report);
    assert!(report.learned > 10_000 && report.requests >= 1_000_000, "{report:#?}");
}

async fn learning(requests: u64) -> Report {
    let site = Site::start().await;
    // Two names of the same endpoint, so that one serves while the other is drained.
    let port = site.origin().address().port();
    let to = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{port}"));
    let tentpole = Up::to(&format!("http://{}", to[0]))
        .argument("--to")
        .argument(&format!("http://{}", to[1]))
        .argument("--learn")
        .argument("apply")
        .start()
        .await;
    let host = tentpole.address().to_string();
    let run = Isolation::at_site(tentpole.address(), &host, 50, 20).await.unwrap();
    let endpoints = to.map(|authority| format!("app/endpoints/{authority}")).to_vec();
    let purge = Purge::Thorough { admin: tentpole.admin(), endpoints };
    let run = Isolation { requests, purge, own_addresses: true, ..run };
    let report = run.run().await.unwrap();
    tentpole.ends().await;
    report
}

/// Nothing was found, by a run that could have found something: people saw their own markers, the cache and the purges
/// were at work.
fn could_have_found_something(report: &Report) {
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.own_markers > 10_000, "{report:#?}");
    assert!(report.hits > 10_000, "{report:#?}");
    assert!(report.purges > 0, "{report:#?}");
}
