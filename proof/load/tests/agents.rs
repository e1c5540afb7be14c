//! Agents before a real origin: two make together what one generator makes alone, a row is nobody's twice, and who has no key,
//! another version or no leave gets nothing.

mod common;

use common::{constant, plan, run, walking};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tentpole_load::agents::{Key, Settings, connect, prepare, serve};
use tentpole_load::climb::Shape;
use tentpole_load::crew;
use tentpole_load::result::{Distrust, Model};
use tentpole_load::{Plan, Run, Stop, run_with};
use tentpole_testkit::{Origin, Response};

const SECRET: &str = "a secret of these tests";

fn key(secret: &str) -> Key {
    Key::new(secret).expect("long enough")
}

/// An agent with so many threads; where it is. It stays until the tests are over.
fn agent(threads: u32, version: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let version = version.to_owned();
    let settings = Settings {
        key: key(SECRET),
        allow: Vec::new(),
        threads,
        cores: 2,
        version,
        sign: None,
        authority: None,
        sources: Vec::new(),
        cpus: Vec::new(),
    };
    std::thread::spawn(move || serve(&listener, &settings, Arc::new(|_: &str| {})));
    address
}

async fn run_by(addresses: Vec<String>, mut plan: Plan) -> Run {
    let running = move || {
        let mut agents = connect(&addresses, &key(SECRET), &plan.version).expect("agents");
        prepare(&mut agents, &mut plan).expect("they take it");
        run_with(plan, agents, &Stop::default(), &mut |_| {}).expect("a run")
    };
    tokio::task::spawn_blocking(running).await.expect("it does not panic")
}

const CREW: &str = "[[journey]]\nvisitors = 5\ntimes = 8\n[[journey.step]]\nname = \"home\"\npath = \"/\"\nthink = \"0\"\n\
    choose = { color = [\"red\", \"blue\", \"green\"] }\n[[journey.step]]\nname = \"color\"\npath = \"/c/{color}\"\nthink = \"0\"\n";

fn crews(url: &str) -> Plan {
    let mut plan = walking(url, CREW);
    plan.shape = Shape::Crews { visitors: 5, time_max: crew::TIME_MAX };
    plan
}

/// How often each page was asked for.
fn pages(origin: &Origin) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for seen in origin.requests() {
        *all.entry(seen.target).or_insert(0) += 1;
    }
    all
}

#[tokio::test]
async fn two_agents_make_the_same_requests_as_one_generator_with_as_many_threads() {
    let (one, two) = (Origin::start().await, Origin::start().await);
    [&one, &two].into_iter().for_each(|origin| {
        origin.on("/").respond(Response::ok("home"));
        origin.on("/c/*").respond(Response::ok("color"));
    });
    let mut alone = crews(&one.url());
    alone.threads = 3;
    let alone = run(alone).await;
    let merged = run_by(vec![agent(1, "test"), agent(2, "test")], crews(&two.url())).await;
    assert_eq!(pages(&one), pages(&two), "the same visitors make the same choices");
    let counts = |run: &Run| {
        let step = &run.steps[0];
        let times = step.response_time.expect("all went well").count;
        (step.requests, step.failed, step.bytes, step.statuses.clone(), times, run.machine.threads)
    };
    assert_eq!(counts(&alone), counts(&merged));
    assert_eq!(merged.steps[0].requests, 80);
    // On a busy machine both may say that they were late; nobody was lost.
    let is_lost = |why: &Distrust| matches!(why, Distrust::AgentLost { .. });
    assert!(!merged.distrust.iter().any(is_lost), "{:?}", merged.distrust);
    assert_eq!(merged.seconds.iter().map(|second| second.requests).sum::<u64>(), 80, "{:?}", merged.seconds);
    assert_eq!(merged.agents.iter().map(|agent| agent.threads).collect::<Vec<_>>(), [1, 2]);
    assert!(merged.agents.iter().all(|agent| agent.round_trip_us > 0 && agent.lost_because.is_none()));
}

#[tokio::test]
async fn a_rate_is_divided_without_a_rest_and_every_second_adds_up() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok(""));
    let mut plan = plan(&origin.url());
    (plan.model, plan.shape) = (Model::Open, constant(101.0, 2_000));
    let run = run_by(vec![agent(1, "test"), agent(1, "test")], plan).await;
    let step = &run.steps[0];
    assert!(step.requests.abs_diff(202) <= 2 && step.failed == 0, "{}: {:?}", step.requests, step.failures);
    let told: u64 = run.seconds.iter().map(|second| second.requests).sum();
    // Those that ended last, while the run was ended, are nobody's, as with threads.
    assert!(told >= step.requests && told as usize <= origin.requests().len(), "{:?}", run.seconds);
}

#[tokio::test]
async fn no_row_is_taken_twice_and_none_is_left() {
    let origin = Origin::start().await;
    origin.on("/*").respond(Response::ok(""));
    let folder = tempfile::tempdir().expect("a folder");
    let rows: String = (0..31).map(|n| format!("user{n}\n")).collect();
    std::fs::write(folder.path().join("users.csv"), format!("user\n{rows}")).expect("written");
    let file = folder.path().join("journey.toml");
    let text = "[[journey]]\nvisitors = 4\ntimes = 100\n[[journey.data]]\nfile = \"users.csv\"\nend = \"leave\"\n\
        [[journey.step]]\npath = \"/{user}\"\nthink = \"0\"\n";
    let read =
        tentpole_load::read::read(&file.display().to_string(), text).unwrap_or_else(|why| panic!("{why}"));
    let mut plan = plan(&origin.url());
    plan.journeys = read.journeys.expect("a journey");
    let (visitors, time_max) = plan.journeys.crews().expect("visitors of its own");
    plan.shape = Shape::Crews { visitors, time_max };
    run_by(vec![agent(1, "test"), agent(1, "test")], plan).await;
    let pages = pages(&origin);
    assert!(pages.len() == 31 && pages.values().all(|count| *count == 1), "{pages:?}");
}

#[test]
fn who_has_another_key_or_version_and_what_is_not_allowed_is_refused() {
    let there = agent(1, "test");
    let says = |address: &str, secret, version| {
        let asked = connect(&[address.to_owned()], &key(secret), version).map(|_| ());
        asked.expect_err("it is refused").to_string()
    };
    let wrong = says(&there, "another secret of these tests", "test");
    assert!(wrong.contains("same --key"), "{wrong}");
    let other = says(&agent(1, "0.0.1"), SECRET, "test");
    assert!(other.contains("is Tentpole 0.0.1, and this is test. Install the same"), "{other}");
    let nobody = tentpole_testkit::address::Nobody::new();
    let nobody = nobody.address().to_string();
    assert!(says(&nobody, SECRET, "test").contains("Start it there: tentpole load agent"), "{nobody}");

    let mut elsewhere = plan("http://127.0.0.1:1/");
    elsewhere.url = tentpole_load::url::Url::parse("http://192.0.2.1/").expect("a URL");
    let mut agents = connect(&[there], &key(SECRET), "test").expect("the right key");
    let refused = prepare(&mut agents, &mut elsewhere).expect_err("it is not this machine").to_string();
    assert!(refused.contains("may not load 192.0.2.1") && refused.contains("--allow 192.0.2.1"), "{refused}");
}

#[tokio::test]
async fn an_agent_performs_one_run_at_a_time_and_is_free_again_after_it() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok(""));
    let there = agent(1, "test");
    let mut first = plan(&origin.url());
    let held = tokio::task::spawn_blocking({
        let (there, mut second) = (there.clone(), first.clone());
        move || {
            let mut agents = connect(std::slice::from_ref(&there), &key(SECRET), "test").expect("an agent");
            prepare(&mut agents, &mut first).expect("it is free");
            let mut others = connect(&[there], &key(SECRET), "test").expect("it talks");
            prepare(&mut others, &mut second).expect_err("it is not free").to_string()
        }
    });
    assert!(held.await.expect("no panic").contains("performs another run"));
    // Its coordinator is gone without a word: it ends what it did.
    let mut tries = 0;
    loop {
        let (there, mut plan) = (there.clone(), plan(&origin.url()));
        plan.shape = constant(1.0, 100);
        let free = tokio::task::spawn_blocking(move || {
            let mut agents = connect(&[there], &key(SECRET), "test").expect("an agent");
            prepare(&mut agents, &mut plan).is_ok()
        });
        if free.await.expect("no panic") {
            break;
        }
        tries += 1;
        assert!(tries < 600, "it never became free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
