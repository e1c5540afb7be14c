//! Tentpole is taken out again: what stands in front sends visitors straight to the application, and Tentpole ends when it
//! has answered what it had.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::Signal;
use tentpole_testkit::{Ask, Gate, Origin, Response, Step, Up};
use tentpole_tests::crowd::{Crowd, Manner};
use tentpole_tests::stock::Stock;
use tentpole_tests::{pool, until};

/// What a person types at HAProxy's socket.
fn tell(socket: &std::path::Path, command: &str) {
    let mut stream = UnixStream::connect(socket).expect("HAProxy has its socket there");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("it is a socket");
    writeln!(stream, "{command}").expect("it reads");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("it answers");
    assert!(said.trim().is_empty(), "{command}: {said}");
}

#[tokio::test]
async fn the_balancer_in_front_goes_past_tentpole_and_no_request_fails() {
    let origin = Origin::start().await;
    origin.forgets_requests();
    origin.otherwise(|_| Response::ok("the whole answer").header("Cache-Control", "no-store"));
    let gate = Gate::new();
    let steps = [Step::send("begun, "), Step::wait(&gate), Step::send("and finished")];
    origin.on("/long").respond(Response::ok("").header("Cache-Control", "no-store").chunked(steps));
    let mut tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let place = tempfile::tempdir().expect("a temporary directory");
    let socket = place.path().join("haproxy.sock");
    let haproxy = Stock::haproxy(&format!(
        "stats socket {} level admin\ndefaults\nmode http\ntimeout connect 5s\ntimeout client 30s\ntimeout server 30s\n\
         frontend visitors\nbind {{listen}}\ndefault_backend shop\n\
         backend shop\nserver tentpole {}\nserver direct {} disabled\n",
        socket.display(),
        tentpole.address(),
        origin.address()
    ))
    .await;
    let crowd = Crowd::start(haproxy.address(), 12, &Manner::asking("/"));
    until("visitors to be served through Tentpole", async || crowd.good() > 200).await;
    let mut reader = haproxy.visitor().await;
    let mut long = reader.begin(&Ask::get("/long")).await;
    long.until("begun, ".len()).await;

    // The way past it opens first; then nobody new is sent to it.
    tell(&socket, "set server shop/direct state ready");
    tell(&socket, "set server shop/tentpole state drain");
    tentpole.signal(Signal::TERM);
    tentpole.says("ending").await;
    let before = crowd.good();
    until("visitors to be served without it", async || crowd.good() > before + 200).await;
    gate.release();
    assert_eq!(long.rest().await.text(), "begun, and finished");
    assert!(tentpole.until_ended().await.success());
    let before = crowd.good();
    until("visitors to be served when it is gone", async || crowd.good() > before + 200).await;
    let met = crowd.ends().await;
    eprintln!("stepped out: {met:?}");
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
}
