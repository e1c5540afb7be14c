//! A population of resolvers before real edges: a name server that answers with one address at a time and one that answers
//! with all make loads as different as a simulation says, and the report shows it second by second.

mod common;

use common::plan;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tentpole_load::climb::{Shape, Stage};
use tentpole_load::hosts::Hosts;
use tentpole_load::journey::Journeys;
use tentpole_load::result::{FailureCause, Model, Spread};
use tentpole_load::url::Url;
use tentpole_load::{Plan, Run};
use tentpole_resolvers::simulate::{Answers, simulate};
use tentpole_resolvers::{Mix, Policy, Population, Resolvers, Settings, simulate as computed};
use tentpole_testkit::NameServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const NAME: &str = "shop.test";
const EDGES: [&str; 4] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];
/// Sessions a second, and for how many seconds: no TTL of whole seconds is a multiple of their distance, so that no session
/// begins in the moment in which an answer ends.
const RATE: f64 = 299.0;
const SECONDS: u64 = 3;
/// How late the latest hundredth of all sessions may begin, in µs: those of this time are a hundredth of a second's.
const PUNCTUAL_US: u64 = 10_000;

/// Four edges on one port of four addresses.
async fn edges() -> u16 {
    for _ in 0..32 {
        let first = TcpListener::bind((EDGES[0], 0)).await.expect("a port");
        let port = first.local_addr().expect("bound").port();
        let mut all = vec![first];
        for address in &EDGES[1..] {
            all.extend(TcpListener::bind((*address, port)).await.ok());
        }
        if all.len() == EDGES.len() {
            for edge in all {
                tokio::spawn(async move {
                    while let Ok((stream, _)) = edge.accept().await {
                        tokio::spawn(answer(stream));
                    }
                });
            }
            return port;
        }
    }
    panic!("no port is free on all of {EDGES:?}");
}

async fn answer(mut stream: TcpStream) {
    let mut bytes = [0; 4_096];
    let mut read = Vec::new();
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        read.extend_from_slice(&bytes[..count]);
        if read.ends_with(b"\r\n\r\n") {
            read.clear();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    }
}

fn population(settings: Settings) -> Population {
    Population::new(settings, 1)
}

fn plan_for(server: SocketAddr, port: u16, settings: Settings) -> Plan {
    let mut plan = plan(&format!("http://127.0.0.1:{port}/"));
    plan.url = Url::parse(&format!("http://{NAME}:{port}/")).expect("a URL");
    plan.hosts = Hosts::at(&plan.url, &[], &[IpAddr::from([127, 0, 0, 1])]);
    plan.journeys = Journeys::one_page("/");
    plan.model = Model::Open;
    let time = Duration::from_secs(SECONDS);
    plan.shape = Shape::Stages(vec![Stage { load: RATE, time, ..Stage::default() }]);
    plan.resolvers = Some(Arc::new(Resolvers::new(population(settings), vec![server], true)));
    plan
}

async fn run(plan: Plan) -> (Run, Spread) {
    let mut run = common::run(plan).await;
    let spread = run.spread.take().expect("there is a population");
    (run, spread)
}

/// A run whose sessions began when they were due, and what it saw. Which answer a resolver has follows from the time, so a generator that
/// was held up saw others: it must have said that it was late, and then it is asked again. `None` where that goes on.
async fn punctual(plan: impl Fn() -> Plan) -> Option<(Run, Spread)> {
    for _ in 0..5 {
        let (run, spread) = run(plan()).await;
        if run.steps[0].lag_p99_us <= PUNCTUAL_US {
            return Some((run, spread));
        }
        assert!(!run.trusted, "{:?}", run.distrust);
    }
    eprintln!("NOT JUDGED: the generator was held up, and said so");
    None
}

/// The same without a socket.
fn truth(answers: Answers, ttl_s: u32, settings: Settings) -> Spread {
    let addresses = EDGES.iter().map(|text| text.parse().expect("an address")).collect();
    let mut server = computed::NameServer { addresses, ttl_s, answers, asked: 0 };
    let every = Duration::from_secs_f64(1.0 / RATE);
    let sessions = (0..(RATE as u64 * SECONDS) as u32).map(|n| every.mul_f64(0.5 + f64::from(n)));
    simulate(&population(settings), &mut server, sessions)
}

/// That over the whole run, and in each second, each edge has what it must have, within 2 points.
fn is_true(seen: &Spread, wanted: &Spread) {
    let apart = |seen: &[u64], wanted: &[u64]| {
        let share = |all: &[u64], place: usize| all[place] as f64 / all.iter().sum::<u64>().max(1) as f64;
        (0..wanted.len()).map(|place| (share(seen, place) - share(wanted, place)).abs()).fold(0.0, f64::max)
    };
    // What arrives while the last answers are waited for is not in the schedule.
    let total = |spread: &Spread| -> Vec<u64> {
        let of =
            |place| spread.seconds.iter().take(SECONDS as usize).map(move |second| second.sessions[place]);
        (0..spread.edges.len()).map(|place| of(place).sum()).collect()
    };
    assert_eq!(seen.edges.len(), wanted.edges.len(), "{seen:#?}");
    assert!(apart(&total(seen), &total(wanted)) < 0.02, "{seen:#?}\ninstead of\n{wanted:#?}");
    for (seen, wanted) in seen.seconds.iter().zip(&wanted.seconds) {
        assert!(apart(&seen.sessions, &wanted.sessions) < 0.02, "{seen:?} instead of {wanted:?}");
    }
}

fn few_large() -> Settings {
    Settings { resolvers: 30, ..Settings::default() }
}

#[tokio::test]
async fn one_address_in_turn_and_all_in_one_answer_load_edges_as_computed() {
    let (server, port) = (NameServer::start(), edges().await);
    server.leads_in_turn(NAME, 1, &EDGES);
    let Some((one, in_turn)) = punctual(|| plan_for(server.address(), port, few_large())).await else {
        return;
    };
    is_true(&in_turn, &truth(Answers::InTurn, 1, few_large()));
    server.leads(NAME, 1, &EDGES);
    let shuffled = Settings { policies: Mix::all(Policy::Random), ..few_large() };
    let Some((other, all)) = punctual(|| plan_for(server.address(), port, shuffled.clone())).await else {
        return;
    };
    is_true(&all, &truth(Answers::All, 1, shuffled));

    let busiest = |spread: &Spread| spread.busiest().expect("enough sessions").0;
    assert!(busiest(&in_turn) > 0.4, "the fault shows: {}", busiest(&in_turn));
    assert!(busiest(&all) < 0.33, "and is gone: {}", busiest(&all));
    for (run, spread) in [(one, in_turn), (other, all)] {
        assert_eq!(run.steps[0].failed, 0, "{:?}", run.steps[0].failures);
        let requests: u64 = spread.edges.iter().map(|edge| edge.requests).sum();
        let sessions: u64 = spread.edges.iter().map(|edge| edge.sessions).sum();
        assert!(requests >= run.steps[0].requests, "those after the step's end are counted too");
        // But for those that were under way at the end, which are more on a busy machine.
        let apart = sessions.abs_diff(requests);
        assert!(apart <= sessions / 20, "a journey is one request here: {sessions}, {requests}");
        assert_eq!(spread.ttl_s, Some(1));
    }
}

#[tokio::test]
async fn one_answer_for_all_in_its_own_order_goes_to_its_first_address_where_nobody_shuffles() {
    let (server, port) = (NameServer::start(), edges().await);
    server.leads(NAME, 60, &EDGES);
    let mixed = Settings { policies: Mix::parse("first:0.5,random:0.5").expect("a mix"), ..few_large() };
    let asked = std::cell::Cell::new(0);
    let plan = || {
        asked.set(asked.get() + 30);
        plan_for(server.address(), port, mixed.clone())
    };
    let Some((_, spread)) = punctual(plan).await else { return };
    is_true(&spread, &truth(Answers::All, 60, mixed.clone()));
    assert!(spread.shares()[0] > 0.55, "{:?}", spread.shares());
    assert_eq!(server.questions(), asked.get());
}

#[tokio::test]
async fn who_finds_his_first_address_dead_goes_to_the_next_one() {
    let (server, port) = (NameServer::start(), edges().await);
    server.leads(NAME, 60, &["127.0.0.9", EDGES[1]]);
    let first = Settings { policies: Mix::all(Policy::First), ..few_large() };
    let mut plan = plan_for(server.address(), port, first);
    plan.shape = common::constant(100.0, 500);
    let (run, spread) = run(plan).await;
    assert_eq!(run.steps[0].failed, 0, "{:?}", run.steps[0].failures);
    let requests: Vec<_> = spread
        .edges
        .iter()
        .map(|edge| (edge.address.as_str(), edge.requests))
        .filter(|both| both.1 > 0)
        .collect();
    assert!(
        matches!(requests.as_slice(), [(at, count)] if *at == EDGES[1] && *count >= run.steps[0].requests),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_name_that_is_lost_while_it_is_loaded_is_a_failure_of_its_own() {
    let (server, port) = (NameServer::start(), edges().await);
    let mut plan = plan_for(server.address(), port, few_large());
    plan.shape = common::constant(100.0, 500);
    let (run, spread) = run(plan).await;
    let step = &run.steps[0];
    assert_eq!(step.failures.get(&FailureCause::Unresolved), Some(&step.requests), "{:?}", step.failures);
    assert!(spread.edges.is_empty() && spread.look_ups_failed >= step.requests, "{spread:#?}");
    assert!(spread.trouble.is_some_and(|why| why.contains("no such name")));
}
