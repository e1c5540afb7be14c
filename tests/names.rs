//! Endpoints that have names, before a name server that counts what it is asked, changes its mind, and dies. One file below
//! `names/` for each side of it.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

#[path = "names/addresses.rs"]
mod addresses;
#[path = "names/questions.rs"]
mod questions;
#[path = "names/real.rs"]
mod real;
#[path = "names/services.rs"]
mod services;

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use tentpole_testkit::{NameServer, Origin, Response, Tentpole, Up};

/// Applications at addresses of loopback that only this test binds, all on one port, as the addresses of one name are.
fn applications(test: u8, count: u8) -> Vec<Origin> {
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = |at: u8| IpAddr::from([127, 100 + 10 * test + at, high, low.max(1)]);
    let first = application(SocketAddr::new(ip(0), 0));
    let port = first.address().port();
    let further = (1..count).map(|at| application(SocketAddr::new(ip(at), port)));
    let mut all: Vec<Origin> = further.collect();
    all.insert(0, first);
    all
}

fn application(address: SocketAddr) -> Origin {
    let origin = Origin::listen(address).expect("nobody else binds this address");
    origin.otherwise(|_| Response::ok("page").header("Cache-Control", "no-store"));
    origin
}

/// The addresses of these, as a name server says them.
fn addresses(origins: &[&Origin]) -> Vec<String> {
    origins.iter().map(|origin| origin.address().ip().to_string()).collect()
}

/// The name leads to these from now on, for a second at a time.
fn leads(server: &NameServer, name: &str, origins: &[&Origin]) {
    let addresses = addresses(origins);
    server.leads(name, 1, &addresses.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Asks this name server; one pool of this endpoint, and further lines of it.
fn configuration(server: &NameServer, endpoint: &str, lines: &str) -> String {
    format!(
        "threads = 1\n[names]\nservers = [\"{}\"]\n[pool.app]\nendpoints = [{endpoint}]\n{lines}\n",
        server.address()
    )
}

async fn up(server: &NameServer, endpoint: &str, lines: &str) -> Tentpole {
    Up::config(&configuration(server, endpoint, lines)).start().await
}

async fn status(tentpole: &Tentpole) -> Value {
    let answer = tentpole.admin_visitor().await.get("/api/status").await.expect(200);
    serde_json::from_slice(&answer.body).unwrap()
}

/// Where the endpoints are that the status shows, and how they are.
async fn endpoints(tentpole: &Tentpole) -> Vec<(String, String)> {
    let status = status(tentpole).await;
    let all = status["pools"][0]["endpoints"].as_array().unwrap();
    let shown = |it: &Value| {
        let address = it["addresses"][0].as_str().unwrap_or("nowhere");
        (address.to_owned(), it["health"].as_str().unwrap().to_owned())
    };
    all.iter().map(shown).collect()
}

/// The endpoints are at these addresses and up, in whatever order.
async fn are_up(tentpole: &Tentpole, origins: &[&Origin]) -> bool {
    let mut wanted: Vec<_> =
        origins.iter().map(|origin| (origin.address().to_string(), "up".to_owned())).collect();
    let mut now = endpoints(tentpole).await;
    wanted.sort();
    now.sort();
    now == wanted
}
