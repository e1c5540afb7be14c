//! How often a name server is asked: once a name and TTL, however many requests and pools there are (S2.7).

use std::time::Duration;

use tentpole_runtime::clock;
use tentpole_testkit::{NameServer, Up};
use tentpole_tests::crowd::{Crowd, Manner};
use tentpole_tests::until_within;

use crate::{applications, leads, status};

#[tokio::test]
async fn ten_thousand_requests_ask_for_a_name_once_a_ttl() {
    let server = NameServer::start();
    let all = applications(3, 1);
    leads(&server, "app.internal", &[&all[0]]);
    let began = clock::now();
    let port = all[0].address().port();
    // Three pools of the same name, and two sites.
    let pool = |name: &str| format!("[pool.{name}]\nendpoints = [\"http://app.internal:{port}\"]\n");
    let config = format!(
        "threads = 1\n[names]\nservers = [\"{}\"]\n{}{}{}[site.one]\nhosts = [\"one.example\"]\npool = \"a\"\n\
         [[site.one.route]]\npath = \"/b/*\"\npool = \"b\"\n[site.rest]\npool = \"c\"\n",
        server.address(),
        pool("a"),
        pool("b"),
        pool("c")
    );
    let tentpole = Up::config(&config).start().await;
    let mut crowd = Crowd::start(tentpole.address(), 8, &Manner::asking("/"));
    let one = Manner { host: Some("one.example".to_owned()), ..Manner::asking("/b/page") };
    crowd.join(tentpole.address(), 8, &one);
    until_within(Duration::from_secs(120), "10,000 requests", async || crowd.good() >= 10_000).await;
    let met = crowd.ends().await;
    assert_eq!(met.failed, 0, "{:?}", met.stories);
    let names = status(&tentpole).await["names"].clone();
    let questions = server.questions();
    let elapsed = clock::now().since(began).as_secs_f64();
    assert!(questions as f64 <= elapsed + 1.0, "{questions} questions in {elapsed} s with a TTL of 1 s");
    assert!(questions >= 1 && names["questions"].as_u64().unwrap() <= questions as u64, "{names}");
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
    let said =
        |line: &str| assert!(metrics.lines().any(|it| it.starts_with(line)), "no {line} in:\n{metrics}");
    said("tentpole_names_lookups_total{result=\"found\"} ");
    said("tentpole_names_questions_total ");
    said("tentpole_names_addresses{name=\"app.internal\"} 1");
    said("tentpole_names_trouble{name=\"app.internal\"} 0");
    tentpole.ends().await;
}
