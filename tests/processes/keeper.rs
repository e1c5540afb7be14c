//! The end of the keeper is the end of everything that it started, however it comes.

use rustix::process::Signal;
use tentpole_testkit::Up;
use tentpole_testkit::process::{runs, signal};
use tentpole_tests::until;

/// An application with a child, and a grandchild that has left the family: a session of its own, its parent dead.
const FAMILY: &str = "python3 -c \"
import os, subprocess, sys, http.server
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[2], 'w').write(str(os.getpid()))
        while True: __import__('time').sleep(60)
    os._exit(0)
subprocess.Popen(['sleep', '600'])
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')
\" {port} daemon.pid";

#[tokio::test]
async fn a_killed_keeper_leaves_no_process_behind() {
    let mut tentpole = Up::run(FAMILY).start().await;
    tentpole.visitor().await.get("/").await.expect(200);
    let file = tentpole.dir().join("daemon.pid");
    until("the daemon to say who it is", async || {
        std::fs::read_to_string(&file).is_ok_and(|pid| !pid.is_empty())
    })
    .await;
    let daemon: u32 = std::fs::read_to_string(&file).expect("it is there").parse().expect("a pid");
    let mut all = tentpole.descendants();
    assert!(all.contains(&daemon), "the daemon is still ours: {all:?} without {daemon}");
    // edge, control, shim, application, its child, the daemon.
    assert!(all.len() >= 6, "{all:?}");
    tentpole.signal(Signal::KILL);
    tentpole.until_ended().await;
    until("everybody to be gone", async || {
        all.retain(|&pid| runs(pid));
        all.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_killed_shim_takes_its_application_along_and_another_instance_is_started() {
    let tentpole = Up::run(FAMILY).start().await;
    tentpole.visitor().await.get("/").await.expect(200);
    let shim = tentpole.part("instance").expect("there is an instance");
    let mut family = tentpole_testkit::process::children(shim);
    for at in 0..family.len() {
        family.extend(tentpole_testkit::process::children(family[at]));
    }
    assert!(family.len() >= 2, "{family:?}");
    signal(shim, Signal::KILL);
    until("the family to be gone", async || family.iter().all(|&pid| !runs(pid))).await;
    until("another instance to serve", async || tentpole.visitor().await.get("/").await.status == 200).await;
    tentpole.ends().await;
}
