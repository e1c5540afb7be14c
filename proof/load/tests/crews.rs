//! Journeys with visitors of their own: so many requests, neither more nor fewer; blocks, data files, failures.

mod common;

use common::{run, walking};
use std::collections::BTreeMap;
use tentpole_load::Plan;
use tentpole_load::climb::Shape;
use tentpole_testkit::{Origin, Response};

fn crews(url: &str, journeys: &str) -> Plan {
    let mut plan = walking(url, journeys);
    let (visitors, time_max) = plan.journeys.crews().expect("crews");
    (plan.shape, plan.threads) = (Shape::Crews { visitors, time_max }, 2);
    plan
}

fn counts(origin: &Origin) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for seen in origin.requests() {
        *counts.entry(seen.target.clone()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn each_visitor_walks_his_journey_so_many_times_and_the_run_ends_when_all_have_left() {
    let origin = Origin::start().await;
    for path in ["/login", "/a", "/b", "/c", "/other"] {
        origin.on(path).respond(Response::ok("here"));
    }
    let journeys = r#"
[[journey]]
name = "buy"
visitors = 3
times = 10
ramp = "200ms"
[[journey.step]]
first = 1
[[journey.step.step]]
path = "/login"
[[journey.step]]
path = "/a"
[[journey.step]]
repeat = 4
[[journey.step.step]]
path = "/b"
[[journey.step]]
share = 0.3
[[journey.step.step]]
path = "/c"

[[journey]]
name = "look"
visitors = 2
times = 5
delay = "100ms"
[[journey.step]]
path = "/other"
"#;
    let run = run(crews(&origin.url(), journeys)).await;
    let expected = [("/a", 30), ("/b", 120), ("/c", 9), ("/login", 3), ("/other", 10)];
    assert_eq!(counts(&origin), expected.map(|(path, count)| (path.to_owned(), count)).into());
    assert_eq!(
        (run.steps.len(), run.steps[0].requests, run.steps[0].failed),
        (1, 172, 0),
        "{:#?}",
        run.steps
    );
    assert!(run.steps[0].held && run.took_s < 30.0 && !run.interrupted);
}

#[tokio::test]
async fn a_visitor_goes_on_after_a_failure_where_the_file_says_so() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("here"));
    origin.on("/late").respond(Response::ok("here"));
    let both = |failures: &str| {
        format!(
            "[[journey]]\nvisitors = 1\ntimes = 4\n{failures}set = {{ id = \"none\" }}\n\
             [[journey.step]]\npath = \"/\"\n\
             extract = [{{ name = \"id\", between = [\"<\", \">\"] }}]\n[[journey.step]]\npath = \"/late?{{id}}\"\n"
        )
    };
    let begins_again = run(crews(&origin.url(), &both(""))).await;
    assert_eq!(counts(&origin), [("/".to_owned(), 4)].into());
    let goes_on = run(crews(&origin.url(), &both("failures = \"go on\"\n"))).await;
    assert_eq!(counts(&origin), [("/".to_owned(), 8), ("/late?none".to_owned(), 4)].into());
    assert_eq!((begins_again.steps[0].failed, goes_on.steps[0].failed), (4, 4));
}

#[tokio::test]
async fn rows_of_a_file_are_shared_and_whoever_finds_none_leaves() {
    let origin = Origin::start().await;
    origin.on("/u").respond(Response::ok("here"));
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("users.csv"), "user,town\nann,Ulm\nbob,Bonn\ncid,Köln\n")
        .expect("a file");
    let text = "[[journey]]\nvisitors = 2\ntimes = 10\n\
                [[journey.data]]\nfile = \"users.csv\"\nend = \"leave\"\n\
                [[journey.step]]\npath = \"/u?{user}-{town}\"\n";
    let name = folder.path().join("j.toml").display().to_string();
    let journeys = tentpole_load::read::read(&name, text).unwrap_or_else(|wrong| panic!("{wrong}"));
    let mut plan = common::plan(&origin.url());
    plan.journeys = journeys.journeys.expect("journeys");
    let (visitors, time_max) = plan.journeys.crews().expect("crews");
    plan.shape = Shape::Crews { visitors, time_max };
    let run = run(plan).await;
    let expected = ["/u?ann-Ulm", "/u?bob-Bonn", "/u?cid-K%C3%B6ln"];
    assert_eq!(counts(&origin), expected.map(|target| (target.to_owned(), 1)).into());
    assert_eq!((run.steps[0].requests, run.steps[0].failed), (3, 0));
}
