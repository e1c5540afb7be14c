//! Instances: started, heard, and ended with everything that they started.

use crate::kept::{Kept, is_alive, send};
use crate::{HIDES, hidden};
use rustix::process::Signal;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use tentpole_runtime::clock;
use tentpole_runtime::processes::Process;

#[test]
fn what_an_instance_says_has_its_name_in_front() {
    let kept = Kept::start(&[]);
    let script = "echo port $PORT, $COLOUR; echo to both >&2; printf 'without an end'; read line || echo nothing to read";
    kept.launches(7, &["sh", "-c", script]);
    assert_eq!(kept.exited(7), "exit status 0");
    // Said before its end was told.
    let said = kept.said();
    for line in ["shop-7 | port 20007, green", "shop-7 | to both", "shop-7 | without an endnothing to read"] {
        assert!(said.lines().any(|said| said == line), "{line}\n{said}");
    }
}

#[test]
fn an_application_that_cannot_start_says_why() {
    let kept = Kept::start(&[]);
    let file = kept.dir.path().join("not-executable");
    std::fs::write(&file, "text").unwrap();
    let nothing = kept.dir.path().join("nothing");
    kept.launches(1, &["gunicorn-that-nobody-has", "shop:app"]);
    kept.launches(2, &[file.to_str().unwrap()]);
    kept.launches(3, &[nothing.to_str().unwrap()]);
    kept.launches_in(4, &["true"], Some(&nothing));
    assert_eq!(kept.exited(1), "cannot start gunicorn-that-nobody-has: not found in PATH");
    assert_eq!(kept.exited(2), format!("cannot start {}: it is not executable (chmod +x)", file.display()));
    assert!(kept.exited(3).contains("there is no such file"), "{}", kept.exited(3));
    assert_eq!(kept.exited(4), format!("cannot start true: there is no directory {}", nothing.display()));
    assert!(!kept.said().contains("\"Started\""), "{}", kept.said());
    kept.says("event InstanceEnded { name: \"shop-1\", how: \"cannot start gunicorn");
}

#[test]
fn an_instance_gets_the_limit_on_open_files_that_it_shall_have() {
    let kept = Kept::start(&[("PLAYER_OPEN_FILES", "345")]);
    kept.launches(1, &["sh", "-c", "echo $(ulimit -Sn) of $(ulimit -Hn)"]);
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let most = most.map_or("unlimited".into(), |most| most.to_string());
    kept.says(&format!("shop-1 | 345 of {most}"));
}

#[test]
fn an_instance_runs_where_it_is_told_to() {
    let kept = Kept::start(&[]);
    std::fs::write(kept.dir.path().join("run.sh"), "#!/bin/sh\necho here\n").unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(kept.dir.path().join("run.sh"), mode).unwrap();
    kept.launches_in(1, &["./run.sh"], Some(kept.dir.path()));
    assert_eq!(kept.exited(1), "exit status 0");
    kept.says("shop-1 | here");
}

#[test]
fn a_word_from_control_ends_an_instance_by_sigterm_or_with_all_its_processes() {
    let kept = Kept::start(&[]);
    kept.starts(1, "trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done");
    kept.says("shop-1 | ready");
    kept.control_says(&json!({ "Terminate": 1 }));
    assert_eq!(kept.exited(1), "exit status 5");

    kept.starts(2, &format!("trap '' TERM; {HIDES}; sleep 1000 & wait"));
    let hidden = hidden(&kept);
    let asked = clock::now();
    kept.control_says(&json!({ "Kill": 2 }));
    assert_eq!(kept.exited(2), "signal 9 (SIGKILL)");
    println!("an instance was killed with all its processes within {:?}", clock::now().since(asked));
    assert!(!is_alive(hidden));
    assert!(!kept.said().contains("InstanceEnded"), "both were asked for: {}", kept.said());
}

#[test]
fn an_application_that_ends_takes_what_it_started_with_it() {
    let kept = Kept::start(&[]);
    kept.launches(1, &["sh", "-c", &format!("{HIDES}; sleep 1000 & sleep 0.2; exit 0")]);
    let hidden = hidden(&kept);
    let how = kept.exited(1);
    assert_eq!(
        how,
        "exit status 0; 2 processes that it left behind were ended: it must stay in the foreground"
    );
    assert!(!is_alive(hidden));
    kept.says("event InstanceEnded { name: \"shop-1\"");
}

#[test]
fn a_killed_shim_leaves_nobody_behind_and_the_others_alone() {
    let kept = Kept::start(&[]);
    let application = kept.starts(1, &format!("trap '' TERM; {HIDES}; while :; do sleep 1; done"));
    let other = kept.starts(2, "exec sleep 1000");
    let hidden = hidden(&kept);
    let killed = clock::now();
    send(Process::read(application).unwrap().parent, Signal::KILL);
    assert_eq!(kept.exited(1), "the process that watched over it ended: signal 9 (SIGKILL)");
    println!(
        "a shim was killed, and its application and its hidden process were gone after {:?}",
        clock::now().since(killed)
    );
    assert!(!is_alive(application) && !is_alive(hidden));
    assert!([other, kept.edge, kept.control].into_iter().all(is_alive));
}

#[test]
fn a_program_that_runs_away_by_forking_is_caught() {
    let kept = Kept::start(&[]);
    // Each generation lives for a moment, in a session of its own, and starts the next one before it ends.
    let script = kept.dir.path().join("runs-away");
    std::fs::write(&script, "#!/bin/sh\necho generation $1.\nsetsid \"$0\" $(($1 + 1)) &\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    kept.starts(1, &format!("{} 1; exec sleep 1000", script.display()));
    kept.says("generation 20.");
    kept.control_says(&json!({ "Kill": 1 }));
    assert_eq!(kept.exited(1), "signal 9 (SIGKILL)");
    let mut known = [kept.pid(), kept.edge, kept.control];
    known.sort_unstable();
    // The shim's own end comes right after its last word.
    crate::kept::wait_for(
        || format!("the others to end: {:?}", kept.left()),
        || {
            let mut left = kept.left();
            left.sort_unstable();
            (left == known).then_some(())
        },
    );
}

#[test]
fn every_line_arrives_while_somebody_reads() {
    let kept = Kept::start(&[]);
    kept.launches(1, &["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"]);
    assert_eq!(kept.exited(1), "exit status 0");
    let said = kept.said();
    let numbers = said.lines().filter_map(|line| line.strip_prefix("shop-1 | line ")?.parse::<u32>().ok());
    assert!(numbers.eq(0..20_000), "{} lines", said.lines().count());
}

#[test]
fn an_instance_is_not_held_up_for_ever_when_nobody_reads() {
    let kept = Kept::start(&[]);
    let done = kept.dir.path().join("done");
    let script = format!("seq 100000; touch {}; exec sleep 1000", done.display());
    let nobody_reads = kept.nobody_reads();
    kept.launches(1, &["sh", "-c", &script]);
    crate::kept::wait_for(|| "the application to go on".into(), || done.exists().then_some(()));
    drop(nobody_reads);
    kept.says("shop-1 | 1");
    kept.control_says(&json!({ "Kill": 1 }));
    kept.says("lines left out)");
}

#[test]
fn an_instance_is_not_started_twice() {
    let kept = Kept::start(&[]);
    let first = kept.starts(1, "exec sleep 1000");
    kept.launches(1, &["true"]);
    kept.says("instance 1 was to be started twice");
    assert!(is_alive(first));
}
