//! Nobody gets what is somebody else's: 50 people who are logged in and 20 who are not, at a site that behaves like
//! real ones, through the edge, with coalescing, visitors who leave and purges going on.

use tentpole_testkit::{Isolation, Purge, Site, Up};

/// Requests of the whole run; the harness rounds them down to full rounds, and 100,000 are wanted.
const REQUESTS: u64 = 101_000;

#[tokio::test]
async fn no_visitor_ever_gets_another_visitors_page() {
    let site = Site::start().await;
    let tentpole = Up::to(&site.origin().url()).start().await;
    let host = tentpole.address().to_string();
    let run = Isolation::at_site(tentpole.address(), &host, 50, 20).await.unwrap();
    let run = Isolation { requests: REQUESTS, purge: Purge::Admin(tentpole.admin()), ..run };
    let report = run.run().await.unwrap();

    assert!(report.is_clean(), "{report:#?}");
    // The run could have found something: people saw their own markers, the cache and the purges were at work.
    assert!(report.own_markers > 10_000, "{report:#?}");
    assert!(report.hits > 10_000, "{report:#?}");
    assert!(report.purges > 0, "{report:#?}");
    tentpole.ends().await;
}
