//! Local ports run out towards one endpoint: it is named, requests wait for a connection instead of failing, and a second source
//! address cures it. Runs in a network namespace of its own, with a few dozen ports in all.

use super::named;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;
use tentpole_testkit::{Ask, Origin, Up, Visitor};
use tentpole_tests::pool;
use tokio::net::TcpSocket;

/// Set in the namespace.
const INSIDE: &str = "TENTPOLE_TEST_INSIDE";
/// Some of them are listened on.
const PORTS: &str = "40000 40095";
const VISITORS: usize = 20;

/// Runs this test once more in a network namespace of its own; true inside it.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        let narrow = std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", PORTS);
        narrow.expect("the namespace is its own");
        return true;
    }
    let script = "ip link set lo up && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "sh", "-c", script, "sh"]);
    command.arg(std::env::current_exe().expect("a test is a program"));
    command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let status = command.status().expect("unshare is there (Debian's package `util-linux`)");
    assert!(status.success(), "it failed inside the namespace");
    false
}

/// Takes every port towards the address, as a program beside Tentpole would.
async fn uses_all_ports(to: SocketAddr) -> Vec<TcpStream> {
    let mut all = Vec::new();
    loop {
        let socket = TcpSocket::new_v4().expect("a socket");
        match socket.connect(to).await {
            Ok(stream) => {
                let stream = stream.into_std().expect("it is open");
                // Closed without a wait for its port.
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
                all.push(stream);
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::AddrNotAvailable, "{error}");
                return all;
            }
        }
        assert!(all.len() < 200, "the range is not in force");
    }
}

/// Whether the visitor with this number sends what may be sent twice.
type IsSafe = fn(usize) -> bool;

const EVERY_OTHER: IsSafe = |number| number % 2 == 0;

async fn all_ask(origin: &Origin, address: SocketAddr, count: usize, is_safe: IsSafe, at_once: usize) {
    let held = origin.holds("/n/*");
    let mut visitors = Vec::new();
    for number in 0..count {
        let mut visitor = Visitor::connect(address).await;
        let path = format!("/n/{number}");
        let ask = if is_safe(number) { Ask::get(&path) } else { Ask::post(&path, "x") };
        visitor.send(ask.bytes("h")).await;
        visitors.push(visitor);
    }
    held.until_waiting(at_once).await;
    held.release();
    for (number, visitor) in visitors.iter_mut().enumerate() {
        visitor.answer(if is_safe(number) { "GET" } else { "POST" }).await.expect(200);
    }
}

#[tokio::test]
async fn ports_that_run_out_are_named_and_requests_wait_for_a_connection() {
    if !is_inside("ports::ports_that_run_out_are_named_and_requests_wait_for_a_connection") {
        return;
    }
    let origin = named("x").await;
    let config = pool(&[&origin], "queue = { wait = \"60s\" }").replace("threads = 1", "threads = 2");
    let mut tentpole = Up::config(&config).start().await;
    let mut taken = uses_all_ports(origin.address()).await;
    taken.truncate(taken.len() - 5);
    all_ask(&origin, tentpole.address(), VISITORS, EVERY_OTHER, 5).await;
    tentpole.says("no ephemeral port left towards").await;
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
    let cause = "tentpole_attempt_failure_causes_total{cause=\"no_local_port\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(cause)).expect("it is counted");
    assert_ne!(count, "0");
    let now = tentpole_tests::endpoint(&tentpole, &origin).await;
    assert_eq!((now.health.as_str(), now.failures), ("up", 0), "it is not the endpoint's fault");
    tentpole.ends().await;
}

#[tokio::test]
async fn what_may_not_be_sent_twice_takes_the_ports_of_connections_that_stand_too_long() {
    if !is_inside("ports::what_may_not_be_sent_twice_takes_the_ports_of_connections_that_stand_too_long") {
        return;
    }
    let origin = named("x").await;
    let config = pool(&[&origin], "queue = { wait = \"60s\" }").replace("threads = 1", "threads = 2");
    let tentpole = Up::config(&config).start().await;
    let mut taken = uses_all_ports(origin.address()).await;
    taken.truncate(taken.len() - 5);
    all_ask(&origin, tentpole.address(), 5, |_| true, 5).await;
    // Now they stand for longer than such a request may find them; none is closed without its port being used.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..3 {
        all_ask(&origin, tentpole.address(), VISITORS, |_| false, 5).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let open = tentpole_tests::endpoint(&tentpole, &origin).await.open;
    assert_eq!(open, 5, "no port was lost");
    tentpole.ends().await;
}

#[tokio::test]
async fn who_waits_gets_a_port_that_another_program_gives_back() {
    if !is_inside("ports::who_waits_gets_a_port_that_another_program_gives_back") {
        return;
    }
    let origin = named("x").await;
    let config = pool(&[&origin], "queue = { wait = \"60s\" }");
    let mut tentpole = Up::config(&config).start().await;
    let taken = uses_all_ports(origin.address()).await;
    let mut visitor = tentpole.visitor().await;
    visitor.send(Ask::post("/n/1", "x").bytes("h")).await;
    tentpole.says("no ephemeral port left towards").await;
    // No connection is open that could become idle.
    drop(taken);
    visitor.answer("POST").await.expect(200);
    tentpole.ends().await;
}

#[tokio::test]
async fn a_second_source_address_has_ports_of_its_own() {
    if !is_inside("ports::a_second_source_address_has_ports_of_its_own") {
        return;
    }
    let origin = named("x").await;
    let sources = "source_addresses = [\"127.0.0.1\", \"127.0.0.2\"]";
    let tentpole = Up::config(&pool(&[&origin], sources)).start().await;
    let _taken = uses_all_ports(origin.address()).await;
    all_ask(&origin, tentpole.address(), VISITORS, EVERY_OTHER, VISITORS).await;
    let said = tentpole.said();
    assert!(!said.contains("no ephemeral port"), "{said}");
    // How many are in use where, in the metrics and in the status.
    let open = tentpole_tests::endpoint(&tentpole, &origin).await.open;
    assert_ne!(open, 0);
    let mut admin = tentpole.admin_visitor().await;
    let metrics = admin.get("/metrics").await.expect(200).text();
    let labels = format!("pool=\"app\",endpoint=\"{}\",source=\"127.0.0.2\"", origin.address());
    let line = format!("tentpole_endpoint_local_ports{{{labels}}} {open}\n");
    assert!(metrics.contains(&line), "no {line} in {metrics}");
    let status = admin.get("/api/status").await.expect(200).text();
    let words = format!("\"local_ports\":[{{\"source\":\"127.0.0.2\",\"in_use\":{open}}}]");
    assert!(status.contains(&words), "no {words} in {status}");
    tentpole.ends().await;
}
