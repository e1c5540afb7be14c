//! How a site breaks, and what is said of it then: by hanging, by dying, by refusing what comes early.

mod common;

use common::{constant, plan, run, step};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_load::climb::{Shape, Stage};
use tentpole_load::result::{FailureCause, Model, Objective, Phase};
use tentpole_load::verdict::lowest_broken;
use tentpole_testkit::{Origin, Response};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What a server does while it has more connections than it can carry.
#[derive(Clone, Copy, PartialEq)]
enum Overload {
    /// Ends: every connection breaks, and nobody listens any more.
    Dies,
    /// Answers 503, and is well again when they are gone.
    Refuses,
}

/// A server that carries so many connections.
fn carries(connections_max: usize, overload: Overload) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let open = Arc::new(AtomicUsize::new(0));
    let all: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let here = open.fetch_add(1, SeqCst) + 1;
            if overload == Overload::Dies && here > connections_max {
                break;
            }
            all.lock().expect("no panic").push(stream.try_clone().expect("a descriptor"));
            let open = open.clone();
            std::thread::spawn(move || {
                while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                    let answer = match open.load(SeqCst) {
                        here if here > connections_max => b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno",
                        _ => OK,
                    };
                    if stream.write_all(answer).is_err() {
                        break;
                    }
                }
                open.fetch_sub(1, SeqCst);
            });
        }
        drop(listener);
        for stream in all.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    });
    url
}

fn climb(from: f64, to: f64) -> Shape {
    let (step_time, ramp) = (Duration::from_millis(1_000), Duration::from_millis(100));
    Shape::Climb { from, to, step_time, ramp, whole: true }
}

#[tokio::test]
async fn visitors_who_hang_since_the_ramp_are_judged_though_they_asked_before_it() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("never"));
    let hold = origin.holds("/");
    let mut plan = plan(&origin.url());
    let (time, ramp) = (Duration::from_millis(300), Duration::from_millis(200));
    plan.shape = Shape::Stages(vec![Stage { load: 3.0, time, ramp, burst: None }]);
    plan.timeout = Duration::from_millis(1_000);
    let run = run(plan).await;
    hold.release();
    let step = &run.steps[0];
    assert_eq!((step.requests, step.failed, step.failures[&FailureCause::TimedOut]), (3, 3, 3), "{step:#?}");
    assert_eq!(lowest_broken(&run.steps).map(|point| point.broke.objective), Some(Objective::Errors));
    let seen: u64 = run.seconds.iter().map(|second| second.failed).sum();
    assert_eq!(seen, 3, "the last time-outs come with the end of the run, and are drawn: {:#?}", run.seconds);
}

#[tokio::test]
async fn a_site_that_dies_breaks_where_it_died_and_not_at_what_is_tried_afterwards() {
    let mut plan = plan(&carries(12, Overload::Dies));
    (plan.shape, plan.think) = (climb(4.0, 100.0), Duration::from_millis(20));
    let run = run(plan).await;
    let loads: Vec<f64> = run.steps.iter().map(|step| step.load).collect();
    assert_eq!(loads, [4.0, 8.0, 16.0], "nobody is there to be asked more closely");
    let point = lowest_broken(&run.steps).expect("it died");
    assert_eq!((point.load, run.highest_held, run.stays_down), (16.0, Some(8.0), true));
    assert_eq!(point.broke.objective, Objective::Errors);
}

#[tokio::test]
async fn a_site_that_recovers_is_asked_more_closely() {
    let mut plan = plan(&carries(10, Overload::Refuses));
    (plan.shape, plan.think) = (climb(4.0, 100.0), Duration::from_millis(20));
    let run = run(plan).await;
    let loads: Vec<f64> = run.steps.iter().map(|step| step.load).collect();
    assert_eq!(loads, [4.0, 8.0, 16.0, 12.0, 10.0]);
    assert_eq!(run.steps[4].phase, Phase::Refine);
    assert_eq!(lowest_broken(&run.steps).map(|point| point.load), Some(12.0));
    assert_eq!((run.highest_held, run.stays_down), (Some(10.0), false));
}

/// Says 413 and closes without reading what comes after the head.
#[tokio::test]
async fn an_answer_before_the_request_was_sent_whole_is_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 512]);
            let _ =
                stream.write_all(b"HTTP/1.1 413 Too much\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.shutdown(std::net::Shutdown::Write);
            // Long enough that the answer is read before the reset comes.
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let body = "x".repeat(12_000_000);
    let journeys = format!("[[journey]]\n[[journey.step]]\npath = \"/\"\nbody = \"{body}\"\n");
    let mut plan = common::walking(&url, &journeys);
    (plan.shape, plan.think) = (constant(1.0, 400), Duration::from_millis(30));
    // So large a body takes its time to be written, on a busy machine most of all.
    plan.timeout = Duration::from_secs(60);
    let step = step(plan).await;
    assert!(step.requests > 0, "{step:#?}");
    assert_eq!(step.failures.get(&FailureCause::Status4xx), Some(&step.requests), "{:?}", step.failures);
}

#[tokio::test]
async fn when_no_address_answers_the_first_ones_failure_counts() {
    // Nobody at the first; the second, of a network for documentation, has no route or is not there in time.
    let nobody = tentpole_testkit::address::Nobody::new();
    let mut plan = plan(&format!("http://{}/", nobody.address()));
    let elsewhere: SocketAddr = "[2001:db8::1]:9".parse().expect("an address");
    plan.hosts.all[0].addresses.push(elsewhere);
    (plan.model, plan.shape) = (Model::Closed, constant(1.0, 200));
    plan.think = Duration::from_millis(20);
    plan.connect_timeout = Duration::from_secs(2);
    let step = step(plan).await;
    let cause = step.failures.keys().next().copied();
    assert!(matches!(cause, Some(FailureCause::Refused | FailureCause::ConnectTimedOut)), "{step:#?}");
}
