//! Nobody gets what is somebody else's: 50 people who are logged in and 20 who are not, at a site that behaves like
//! real ones, through the edge, with coalescing, visitors who leave and purges going on; and the same with everything
//! that learned caching does, every kind of purge, weights that change, and configurations that change: sites, rules of
//! sharing, what is learned, and the places of endpoints (S1.5).

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use std::path::PathBuf;
use std::time::Duration;
use tentpole_testkit::{Ask, Isolation, Purge, Report, Site, Up, Visitor};

/// Requests of the whole run; the harness rounds them down to full rounds, and 100,000 are wanted.
const REQUESTS: u64 = 101_000;
/// The same for the long run.
const REQUESTS_LONG: u64 = 1_001_000;
/// Time between two reloads.
const RELOAD_EVERY: Duration = Duration::from_millis(1_500);

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
async fn nor_with_learning_purges_reloads_and_changes_of_weights_going_on() {
    let (report, reloads) = learning(REQUESTS).await;
    println!("{reloads} reloads");
    assert!(reloads > 5, "hardly any reload: {reloads}");
    could_have_found_something(&report);
    assert!(report.learned > 100, "hardly anything was learned, so little was shown: {report:#?}");
}

/// A million requests, some minutes. See docs/learning.md for how to run it.
#[tokio::test]
#[ignore = "takes minutes: run it by name"]
async fn a_million_requests_with_learning_purges_reloads_and_changes_of_weights() {
    let (report, reloads) = learning(REQUESTS_LONG).await;
    println!("{reloads} reloads; {report:#?}");
    could_have_found_something(&report);
    // Each reload that changes rules of sharing has pages learned anew.
    assert!(report.learned > 3_000 && report.requests >= 1_000_000, "{report:#?}");
}

/// The report, and how many reloads there were.
async fn learning(requests: u64) -> (Report, u64) {
    let site = Site::start().await;
    // Two names of the same endpoint, so that one serves while the other is drained.
    let port = site.origin().address().port();
    let to = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{port}"));
    let tentpole = Up::config(&configuration(0, &to)).start().await;
    let host = tentpole.address().to_string();
    let run = Isolation::at_site(tentpole.address(), &host, 50, 20).await.unwrap();
    let endpoints = to.each_ref().map(|authority| format!("app/endpoints/{authority}")).to_vec();
    let purge = Purge::Thorough { admin: tentpole.admin(), endpoints };
    let run = Isolation { requests, purge, own_addresses: true, ..run };
    let (file, admin) = (tentpole.dir().join("tentpole.toml"), tentpole.admin());
    let (done, over) = tokio::sync::oneshot::channel();
    let reloading = tokio::spawn(reload(file, admin, to, over));
    let report = run.run().await.unwrap();
    drop(done);
    let reloads = reloading.await.unwrap();
    tentpole.ends().await;
    (report, reloads)
}

/// One of several configurations of the same site, whose rules are all right for it: other cookies, parameters and classes
/// of visitors count, less is learned, the endpoints and pools stand at other places, the site has another name.
fn configuration(number: u64, to: &[String; 2]) -> String {
    let [one, two] = to.each_ref().map(|to| format!("http://{to}"));
    let caching = match number % 4 {
        0 => "",
        1 => "cookies_keyed = [\"group\"]",
        2 => "query = { sort = true }\ndevices = true",
        _ => "cookies_keyed = [\"tier\"]\nstale_if_error = \"10s\"",
    };
    let learn = if number % 6 == 5 { "advise" } else { "apply" };
    let pools = match number % 3 {
        0 => format!("[pool.app]\nendpoints = [\"{one}\", \"{two}\"]"),
        1 => {
            format!("[pool.another]\nendpoints = [\"{two}\"]\n[pool.app]\nendpoints = [\"{two}\", \"{one}\"]")
        }
        _ => format!("[pool.app]\nendpoints = [\"{two}\", \"{one}\"]\nfailures_max = 4"),
    };
    let route = |path: &str| format!("[[site.all-{}.route]]\npath = \"{path}\"\npool = \"app\"", number % 2);
    let more = if number % 5 == 1 { route("/none/*") } else { String::new() };
    let site = format!("[site.all-{}]\n{more}\n{}", number % 2, route("/*"));
    format!("[cache]\nlearn = \"{learn}\"\n{caching}\n{pools}\n{site}\n")
}

/// Reloads again and again until it is over; says how often.
async fn reload(
    file: PathBuf,
    admin: std::net::SocketAddr,
    to: [String; 2],
    mut over: tokio::sync::oneshot::Receiver<()>,
) -> u64 {
    for number in 1.. {
        tokio::select! {
            _ = &mut over => return number - 1,
            () = tokio::time::sleep(RELOAD_EVERY) => {}
        }
        std::fs::write(&file, configuration(number, &to)).unwrap();
        let answer = Visitor::connect(admin).await.ask(&Ask::post("/api/reload", "")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    0
}

/// Nothing was found, by a run that could have found something: people saw their own markers, the cache and the purges
/// were at work.
fn could_have_found_something(report: &Report) {
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.own_markers > 10_000, "{report:#?}");
    assert!(report.hits > 10_000, "{report:#?}");
    assert!(report.purges > 0, "{report:#?}");
}
