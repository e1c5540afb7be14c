//! Connections of one address: counted from the beginning, refused only once that is switched on; never those of a content
//! network that is trusted, nor of an address that is said to be many visitors'.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use tentpole_testkit::{Ask, Origin, Response, Tentpole, Up, Visitor};
use tentpole_tests::pool;

/// All of 127.0.0.0/8 is this machine.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const CONTENT_NETWORK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 9, 0, 1));
const CARRIER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 100, 0, 4));
/// Connections that each of them opens; two are allowed.
const OPENED: usize = 6;

fn config(origin: &Origin, more: &str) -> String {
    let limits = format!("[limits]\nconnections_per_address = 2\n{more}");
    let visitors = "[visitors]\ntrusted = [\"127.9.0.0/24\"]\nshared = [\"127.100.0.0/16\"]\n";
    pool(&[origin], &format!("{visitors}{limits}"))
}

/// Opens this many connections at once, asks over each, and says how many got a page and how many were turned away.
async fn opens(tentpole: &Tentpole, from: IpAddr) -> (usize, usize) {
    let (mut open, mut statuses) = (Vec::new(), Vec::new());
    for _ in 0..OPENED {
        let mut visitor =
            Visitor::try_connect_from(Some(from), tentpole.address()).await.expect("a connection of its own");
        let ask = Ask::get("/").header("X-Forwarded-For", "203.0.113.7");
        statuses.push(visitor.ask(&ask).await.status);
        open.push(visitor);
    }
    let count = |status| statuses.iter().filter(|&&it| it == status).count();
    (count(200), count(429))
}

async fn reported(tentpole: &Tentpole) -> u64 {
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
    let line = metrics.lines().find(|line| line.starts_with("tentpole_connections_reported_total "));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn too_many_connections_of_one_address_are_reported_until_it_is_switched_on_and_content_networks_spared()
 {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("hello").header("Cache-Control", "no-store"));
    let tentpole = Up::config(&config(&origin, "")).start().await;
    // As it comes: all are served, and those of the stranger are counted.
    for (from, counted) in [(CONTENT_NETWORK, 0), (CARRIER, 0), (STRANGER, OPENED as u64 - 2)] {
        let before = reported(&tentpole).await;
        assert_eq!(opens(&tentpole, from).await, (OPENED, 0), "{from}");
        assert_eq!(reported(&tentpole).await - before, counted, "{from}");
    }
    // Switched on: the stranger's are refused, from another address, for what ended a moment ago may still count.
    fs::write(tentpole.dir().join("tentpole.toml"), config(&origin, "refuse_per_address = true\n")).unwrap();
    tentpole.admin_visitor().await.ask(&Ask::post("/api/reload", "")).await.expect(200);
    for (from, served) in
        [(CONTENT_NETWORK, OPENED), (CARRIER, OPENED), (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5)), 2)]
    {
        assert_eq!(opens(&tentpole, from).await, (served, OPENED - served), "{from}");
    }
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.text();
    let refused = format!("tentpole_refused_total{{reason=\"connections_of_address\"}} {}", OPENED - 2);
    assert!(metrics.contains(&refused), "{metrics}");
    tentpole.ends().await;
}
