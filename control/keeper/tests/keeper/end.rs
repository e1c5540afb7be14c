//! The end: in order when it is asked for, at once when it is asked for twice, and complete even when nobody is left to
//! see to it.

use crate::kept::{Kept, is_alive, send};
use crate::{HIDES, hidden};
use rustix::process::Signal;
use std::net::TcpStream;
use std::time::Duration;
use tentpole_runtime::clock;
use tentpole_runtime::processes::Process;

const SAYS_WHEN_IT_ENDS: &str = "trap 'echo asked to end; exit 0' TERM; while :; do sleep 0.02; done";

#[test]
fn an_interrupt_ends_the_edge_then_the_control_process_then_the_instances() {
    let mut kept = Kept::start(&[]);
    kept.starts(1, SAYS_WHEN_IT_ENDS);
    kept.starts(2, SAYS_WHEN_IT_ENDS);
    kept.signal(Signal::INT);
    assert!(kept.ended().success(), "{}", kept.said());
    let places: Vec<usize> = [
        "edge",
        "shall end",
        &format!("edge {} ends", kept.edge),
        &format!("control {} ends", kept.control),
        "shop-1 | asked to end",
        "end Ended { cut: Some(0) }",
    ]
    .map(|text| kept.place(text))
    .into();
    assert!(places.is_sorted(), "{}", kept.said());
    kept.says("event Ending { connections: Some(0) }");
    kept.says("shop-2 | asked to end");
    assert!(!kept.said().contains("InstanceEnded"), "they were asked to: {}", kept.said());
    assert_eq!(kept.left(), [0; 0]);
    assert_eq!(kept.state_directories(), [""; 0]);
}

#[test]
fn nobody_waits_in_the_backlog_of_one_that_ended() {
    let mut kept = Kept::start(&[("PLAYER_EDGE", "busy"), ("PLAYER_DRAIN_MS", "3600000")]);
    kept.signal(Signal::TERM);
    kept.says("event Ending { connections: Some(2) }");
    send(kept.edge, Signal::KILL);
    assert!(kept.ended().success());
    kept.says("end Ended { cut: None }");
    assert!(TcpStream::connect(kept.addresses[0]).is_err());
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    let mut kept = Kept::start(&[("PLAYER_EDGE", "busy"), ("PLAYER_DRAIN_MS", "3600000")]);
    kept.starts(1, &format!("trap '' TERM; {HIDES}; while :; do sleep 1; done"));
    hidden(&kept);
    kept.signal(Signal::INT);
    kept.says("event Ending { connections: Some(2) }");
    let asked = clock::now();
    kept.signal(Signal::TERM);
    assert!(kept.ended().success());
    println!("the second signal ended everything within {:?}", clock::now().since(asked));
    kept.says("end AtOnce { connections: Some(1) }");
    assert_eq!(kept.left(), [0; 0]);
    assert_eq!(kept.state_directories(), [""; 0]);
}

#[test]
fn an_edge_that_hangs_is_killed_soon_after_the_drain_time() {
    let mut kept = Kept::start(&[("PLAYER_EDGE", "hangs"), ("PLAYER_DRAIN_MS", "100")]);
    let asked = clock::now();
    kept.signal(Signal::INT);
    assert!(kept.ended().success());
    let took = clock::now().since(asked);
    assert!(took >= Duration::from_millis(2_100), "{took:?}");
    kept.says("event Ending { connections: None }");
    kept.says("end Ended { cut: None }");
}

#[test]
fn a_control_process_that_stands_still_does_not_hold_up_the_end() {
    let mut kept = Kept::start(&[]);
    send(kept.control, Signal::STOP);
    kept.signal(Signal::INT);
    assert!(kept.ended().success());
    assert_eq!(kept.left(), [0; 0]);
}

#[test]
fn an_instance_that_ignores_sigterm_is_killed_after_the_stop_time() {
    let mut kept = Kept::start(&[("PLAYER_STOP_MS", "300")]);
    kept.starts(1, "trap '' TERM; echo deaf; while :; do sleep 0.1; done");
    kept.says("shop-1 | deaf");
    let asked = clock::now();
    kept.signal(Signal::INT);
    assert!(kept.ended().success());
    let took = clock::now().since(asked);
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert_eq!(kept.left(), [0; 0]);
}

#[test]
fn a_killed_keeper_leaves_nobody_behind() {
    let mut kept = Kept::start(&[]);
    let application = kept.starts(1, &format!("trap '' TERM HUP INT; {HIDES}; while :; do sleep 1; done"));
    let plain = kept.starts(2, "exec sleep 1000");
    let hidden = hidden(&kept);
    let shim = Process::read(application).unwrap().parent;
    assert_eq!(Process::read(shim).unwrap().parent, kept.pid());
    // Whoever hid has come to the shim.
    assert_eq!(Process::read(hidden).unwrap().parent, shim);
    assert!([kept.edge, kept.control, shim, application, plain, hidden].into_iter().all(is_alive));
    let killed = clock::now();
    kept.signal(Signal::KILL);
    let took = kept.none_left(killed);
    println!("a keeper with two instances was killed, and nobody was left after {took:?}");
    kept.ended();
    // The next one cleans up.
    assert_eq!(kept.state_directories().len(), 1);
    let home = kept.dir.path().to_str().unwrap();
    let next = crate::kept::keeper(&[("XDG_RUNTIME_DIR", home), ("PLAYER_EDGE", "fails")]).output().unwrap();
    assert_eq!(next.status.code(), Some(1));
    assert_eq!(kept.state_directories(), [""; 0]);
}

#[test]
fn keeper_and_shims_killed_together_take_the_applications_with_them() {
    let mut kept = Kept::start(&[]);
    let application = kept.starts(1, "exec sleep 1000");
    let shim = Process::read(application).unwrap().parent;
    // So that neither can see to anything.
    kept.signal(Signal::STOP);
    send(shim, Signal::STOP);
    kept.signal(Signal::KILL);
    send(shim, Signal::KILL);
    kept.none_left(clock::now());
    kept.ended();
}

#[test]
fn a_shim_that_was_stopped_when_the_keeper_was_killed_still_ends_everyone() {
    let mut kept = Kept::start(&[]);
    let application = kept.starts(1, &format!("{HIDES}; while :; do sleep 1; done"));
    let hidden = hidden(&kept);
    let shim = Process::read(application).unwrap().parent;
    assert_eq!(Process::read(hidden).unwrap().parent, shim);
    send(shim, Signal::STOP);
    kept.signal(Signal::KILL);
    kept.none_left(clock::now());
    kept.ended();
}

#[test]
fn a_signal_that_ends_a_shim_ends_everyone_below_it_first() {
    // The kernel sends SIGHUP to a stopped process whose group has lost the last one that could continue it.
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        let kept = Kept::start(&[]);
        let application =
            kept.starts(1, &format!("trap '' TERM HUP INT; {HIDES}; while :; do sleep 1; done"));
        let hidden = hidden(&kept);
        let shim = Process::read(application).unwrap().parent;
        // Nobody else sees to it.
        kept.signal(Signal::STOP);
        send(shim, signal);
        let what = || format!("{signal:?} to end {:?}", [application, hidden]);
        crate::kept::wait_for(what, || [application, hidden].iter().all(|&pid| !is_alive(pid)).then_some(()));
        kept.signal(Signal::CONT);
    }
}
