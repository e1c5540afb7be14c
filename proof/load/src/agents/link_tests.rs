//! The coordinator's end before an agent whose clock runs wrong.

use super::*;
use crate::agents::wire::{Hello, welcome};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};

/// What that clock shows: it runs a twentieth too fast.
fn shown(at: Instant) -> u64 {
    5_000_000 + at.as_micros() + at.as_micros() / 20
}

/// An agent with that clock, which makes no load; what it is told, with when.
fn agent(key: &Key) -> (String, Receiver<(Instant, ToAgent)>) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound").to_string();
    let (to, told) = sync_channel(1_024);
    let key = key.clone();
    std::thread::spawn(move || {
        let (stream, _) = socket.accept().expect("a connection");
        let own = Hello { version: "test".to_owned(), threads: 1, cores: 1 };
        let (mut teller, mut listener) = welcome(stream, &key, &own).expect("greeted").expect("this version");
        while let Ok(message) = listener.hear::<ToAgent>() {
            let now = clock::now();
            if let ToAgent::Ping(number) = message {
                let pong = ToCoordinator::Pong { number, at_us: shown(now) };
                teller.tell(&pong).expect("told");
                continue;
            }
            let is_end = matches!(message, ToAgent::End);
            if to.send((now, message)).is_err() || is_end {
                return;
            }
        }
    });
    (address, told)
}

#[test]
fn an_agent_whose_clock_runs_wrong_is_told_when_what_is_judged_ends_by_what_its_clock_shows() {
    let key = Key::new("0123456789abcdef").expect("long enough");
    let (address, told) = agent(&key);
    let agent = connect(&[address], &key, "test").expect("an agent").remove(0);
    let (shared, links) = (Arc::new(Shared::new(1)), Links::default());
    links.report().agents = vec![agent.result()];
    let began = clock::now();
    links.began.set((began, 1)).expect("once");
    let heard = Heard {
        place: 0,
        shared: shared.clone(),
        links: links.clone(),
        stop: Stop::default(),
        state: Arc::default(),
        offset_us: Arc::new(AtomicI64::new(agent.clock.offset_us())),
        clock: Mutex::new(agent.clock.clone()),
        taken: Arc::default(),
    };
    let none = Orders { begin: began, ramp: Duration::ZERO, from: 0.0, to: 0.0, burst: None, is_end: false };
    let (orders, received) = watch::channel(none);
    let performing = std::thread::spawn(move || agent.perform(heard, received, None));
    // An hour is judged.
    let to = began.after(Duration::from_secs(3_600));
    lock(&shared).open(Window { from: began, to }, Tally::new(1), true);
    orders.send_replace(Orders { to: 1.0, ..none });
    let mut first = None;
    // It is looked at every second, and moves by 50 ms in each.
    let (at, run_began_us, to_us) = loop {
        match told.recv_timeout(Duration::from_secs(120)).expect("it is told") {
            (at, ToAgent::Clock { run_began_us, to_us }) => break (at, run_began_us, to_us),
            (_, ToAgent::Step(ordered)) => first = Some(ordered),
            _ => {}
        }
    };
    let first = first.expect("the step came before");
    let moved = run_began_us as i64 - first.run_began_us as i64;
    // By no more than it has moved since the process began, and by all that is told alike.
    assert!(moved > 0 && (moved as u64) < at.as_micros() / 10, "{moved} us after {at:?}");
    let (_, first_to) = first.window_us.expect("it is judged");
    assert_eq!(to_us.map(|to| to as i64 - first_to as i64), Some(moved));
    orders.send_modify(|orders| orders.is_end = true);
    while !matches!(told.recv_timeout(Duration::from_secs(120)), Ok((_, ToAgent::End)) | Err(_)) {}
    drop(told);
    drop(orders);
    performing.join().expect("no panic").expect("it went well");
    assert!(links.report().agents[0].moved_us >= moved, "the report says it");
}

#[test]
fn what_an_agent_is_missed_for_ends_as_one_sentence() {
    let told = |says: &str| Missing { agent: "a:1".to_owned(), says: says.to_owned() }.to_string();
    assert_eq!(
        told("says nothing: perhaps it is no agent"),
        "agent a:1 says nothing: perhaps it is no agent."
    );
    assert_eq!(told("is not found. Look at its name."), "agent a:1 is not found. Look at its name.");
    assert_eq!(told("is it there?"), "agent a:1 is it there?");
}
