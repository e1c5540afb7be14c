//! Parts that die: replaced at once, with the same sockets, and introduced anew.

use crate::kept::{Kept, answer, is_alive, keeper, number_between, send, wait_for};
use rustix::process::Signal;
use std::net::TcpStream;
use std::time::Duration;
use tentpole_runtime::clock;

/// What follows at once, on a machine where others are busy; on an idle one it takes less than a tenth of a second.
const AT_ONCE: Duration = Duration::from_secs(10);

/// The process of the next edge.
fn edge_after(kept: &Kept, old: u32) -> u32 {
    kept.line(|line| number_between(line, "edge ", " started").filter(|&pid| pid != old))
}

fn control_after(kept: &Kept, old: u32) -> u32 {
    kept.line(|line| number_between(line, "control ", " started").filter(|&pid| pid != old))
}

#[test]
fn whoever_connects_while_the_edge_is_replaced_is_served_by_the_next_one() {
    let kept = Kept::start(&[]);
    assert_eq!([kept.edge_at(0), kept.edge_at(1)], [kept.edge; 2]);
    // Stopped first, so that it is certain who accepts.
    send(kept.edge, Signal::STOP);
    wait_for(
        || "the edge to stand still".into(),
        || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", kept.edge)).unwrap();
            stat.contains(") T ").then_some(())
        },
    );
    let connect = |thread: usize| TcpStream::connect(kept.addresses[thread]).unwrap();
    let mut waiting: Vec<(TcpStream, usize)> = (0..20).map(|at| (connect(at % 2), at % 2)).collect();
    let killed = clock::now();
    send(kept.edge, Signal::KILL);
    waiting.extend((0..20).map(|at| (connect(at % 2), at % 2)));
    let edges: Vec<u32> = waiting.into_iter().map(|(stream, thread)| answer(stream, thread)).collect();
    let took = clock::now().since(killed);
    println!("an edge was killed, and all 40 visitors were answered by the next one within {took:?}");
    assert!(took < AT_ONCE, "{took:?}");
    assert!(edges.iter().all(|&edge| edge == edges[0] && edge != kept.edge), "{edges:?}");
    kept.says("event PartRestarted { part: \"edge\", how: \"signal 9 (SIGKILL)\", times: 1 }");
    kept.says("told {\"Restarted\":{\"part\":\"edge\",\"how\":\"signal 9 (SIGKILL)\"}}");
    kept.says(&format!("control {} linked to edge {}", kept.control, edges[0]));
}

#[test]
fn a_new_control_process_comes_at_once_and_meets_the_same_edge() {
    let kept = Kept::start(&[]);
    let killed = clock::now();
    send(kept.control, Signal::KILL);
    let next = control_after(&kept, kept.control);
    kept.says(&format!("control {next} linked to edge {}", kept.edge));
    let took = clock::now().since(killed);
    println!("a control process was killed, and the next one was linked after {took:?}");
    assert!(took < AT_ONCE, "{took:?}");
    kept.says(&format!(
        "control {next} told {{\"Restarted\":{{\"part\":\"control\",\"how\":\"signal 9 (SIGKILL)\""
    ));
    assert_eq!(kept.edge_at(0), kept.edge);
}

#[test]
fn instances_stay_while_control_processes_change() {
    let kept = Kept::start(&[]);
    let running = kept.starts(1, "exec sleep 1000");
    kept.launches(2, &["sh", "-c", "exit 3"]);
    assert_eq!(kept.exited(2), "exit status 3");
    kept.launches(3, &["true"]);
    kept.exited(3);
    kept.control_says(&serde_json::json!({ "Mark": { "id": 1, "mark": "serving since noon" } }));
    kept.control_says(&serde_json::json!({ "Forget": 3 }));
    // So that the keeper is known to have heard all that: it answers in order.
    kept.launches(1, &["true"]);
    kept.says("started twice");
    send(kept.control, Signal::KILL);
    let next = control_after(&kept, kept.control);
    let records = kept.line(|line| Some(line.split_once(&format!("control {next} started "))?.1.to_owned()));
    let records: serde_json::Value = serde_json::from_str(&records).unwrap();
    assert_eq!(records.as_array().unwrap().len(), 2, "{records}");
    assert_eq!(records[0]["pid"], running);
    assert_eq!(records[0]["mark"], "serving since noon");
    assert_eq!(records[0]["ended"], serde_json::Value::Null);
    assert_eq!(records[1]["ended"], "exit status 3");
    assert!(is_alive(running));
}

#[test]
fn both_at_once_are_replaced_and_meet() {
    let kept = Kept::start(&[]);
    send(kept.edge, Signal::KILL);
    send(kept.control, Signal::KILL);
    let (edge, control) = (edge_after(&kept, kept.edge), control_after(&kept, kept.control));
    kept.says(&format!("control {control} linked to edge {edge}"));
}

#[test]
fn an_edge_that_dies_again_and_again_is_started_more_slowly() {
    'until_not_held_up: loop {
        let began = clock::now();
        let kept = Kept::start(&[]);
        let (mut edge, mut born) = (kept.edge, began);
        let mut seen = vec![edge];
        let next = |seen: &[u32]| {
            kept.line(|line| number_between(line, "edge ", " started").filter(|pid| !seen.contains(pid)))
        };
        for death in 1..=4 {
            let killed = clock::now();
            send(edge, Signal::KILL);
            edge = next(&seen);
            seen.push(edge);
            // Who may have lived for two seconds, because the machine held up this test, does not die again and again.
            if killed.since(born) >= Duration::from_secs(2) {
                continue 'until_not_held_up;
            }
            born = killed;
            if death == 4 {
                assert!(clock::now().since(killed) >= Duration::from_millis(400));
                return;
            }
        }
    }
}

#[test]
fn a_first_edge_that_cannot_start_ends_everything_with_its_reason() {
    let mut kept = Kept::begin(&[("PLAYER_EDGE", "fails")]);
    assert_eq!(kept.ended().code(), Some(1));
    kept.says("end Failed(\"the roof leaks\")");
    assert_eq!(kept.left(), [0; 0]);
    assert_eq!(kept.state_directories(), [""; 0]);
}

#[test]
fn an_edge_that_always_dies_before_it_opens_ends_everything() {
    let mut kept = Kept::begin(&[("PLAYER_EDGE", "dies")]);
    assert_eq!(kept.ended().code(), Some(1));
    kept.says(
        "end Failed(\"the edge process ended 5 times before it was ready, at last with: exit status 1\")",
    );
    assert_eq!(kept.left(), [0; 0]);
}

#[test]
fn a_second_keeper_on_the_same_state_directory_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let state = state.path().to_str().unwrap();
    let mut kept = Kept::start(&[("PLAYER_STATE", state)]);
    kept.says(&format!("edge {} started in {state} with pool shop", kept.edge));
    let second = keeper(&[("PLAYER_STATE", state)]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stdout).unwrap();
    let expected = format!("another Tentpole (process {}) uses the state directory {state}", kept.pid());
    assert!(said.contains(&expected), "{said}");
    kept.signal(Signal::TERM);
    assert!(kept.ended().success());
    // It stays where a person named it.
    assert!(std::path::Path::new(state).join("snapshot.json").exists());
}

#[test]
fn parts_start_again_although_somebody_removed_the_state_directory() {
    let outer = tempfile::tempdir().unwrap();
    let state = outer.path().join("state");
    let kept = Kept::start(&[("PLAYER_STATE", state.to_str().unwrap())]);
    std::fs::remove_dir_all(&state).unwrap();
    send(kept.edge, Signal::KILL);
    let next = edge_after(&kept, kept.edge);
    kept.says(&format!("edge {next} started in {} with pool shop", state.display()));
    // And it still belongs to this keeper.
    let second = keeper(&[("PLAYER_STATE", state.to_str().unwrap())]).output().unwrap();
    assert!(String::from_utf8(second.stdout).unwrap().contains("another Tentpole"));
}
