//! The same at a real name server: dnsmasq, as Debian packages it.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tentpole_testkit::process::signal;
use tentpole_testkit::{Origin, Up};
use tentpole_tests::crowd::{Crowd, Manner};
use tentpole_tests::until;
use tokio::net::TcpStream;

use crate::{addresses, applications, are_up};

/// Ports that are tried.
const PORTS_MAX: usize = 10;

/// A running dnsmasq that reads its names from a file of hosts. Killed when dropped.
struct Dnsmasq {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Dnsmasq {
    /// Starts it on a port that was free a moment ago, and on another one when it is taken by then.
    async fn start(name: &str, origins: &[&Origin]) -> Self {
        for _ in 0..PORTS_MAX {
            let mut dnsmasq = Self::spawn(name, origins);
            if dnsmasq.listens().await {
                return dnsmasq;
            }
        }
        panic!("dnsmasq found no free port in {PORTS_MAX} attempts, or cannot start");
    }

    /// Waits until it takes connections, as it does beside datagrams; false when it has ended before.
    async fn listens(&mut self) -> bool {
        let mut ended = false;
        until("dnsmasq to listen or to end", async || {
            ended = self.child.try_wait().unwrap().is_some();
            ended || TcpStream::connect(self.address).await.is_ok()
        })
        .await;
        // Another's port would answer too.
        !ended && self.child.try_wait().unwrap().is_none()
    }

    fn spawn(name: &str, origins: &[&Origin]) -> Self {
        let directory = TempDir::new().unwrap();
        let hosts = directory.path().join("hosts");
        std::fs::write(&hosts, lines(name, origins)).unwrap();
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("/usr/sbin/dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-poll"])
            .args([
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--local-ttl=1",
                "--pid-file",
                "--user=root",
            ])
            .arg(format!("--port={}", address.port()))
            .arg(format!("--addn-hosts={}", hosts.display()))
            .stderr(Stdio::inherit())
            .spawn()
            .expect("dnsmasq starts; it is in Debian's package dnsmasq-base");
        Self { child, address, directory }
    }

    /// The name leads to these from now on.
    fn leads(&self, name: &str, origins: &[&Origin]) {
        std::fs::write(self.directory.path().join("hosts"), lines(name, origins)).unwrap();
        // It reads its files again.
        signal(self.child.id(), Signal::HUP);
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(name: &str, origins: &[&Origin]) -> String {
    addresses(origins).iter().map(|address| format!("{address} {name}\n")).collect()
}

#[tokio::test]
async fn dnsmasq_is_understood_and_its_changes_are_taken_without_a_failed_request() {
    let all = applications(4, 3);
    let [a, b, c] = &all[..] else { panic!() };
    let dnsmasq = Dnsmasq::start("app.internal", &[a, b]).await;
    let config = format!(
        "threads = 1\n[names]\nservers = [\"{}\"]\n[pool.app]\nendpoints = [\"http://app.internal:{}\"]\n",
        dnsmasq.address,
        a.address().port()
    );
    let tentpole = Up::config(&config).start().await;
    until("both addresses", async || are_up(&tentpole, &[a, b]).await).await;
    let crowd = Crowd::start(
        tentpole.address(),
        4,
        &Manner { pause: Duration::from_millis(5), ..Manner::asking("/") },
    );
    until("both to get requests", async || a.request_count() > 20 && b.request_count() > 20).await;
    dnsmasq.leads("app.internal", &[b, c]);
    until("the change to be taken", async || are_up(&tentpole, &[b, c]).await).await;
    until("the new one to get requests", async || c.request_count() > 20).await;
    let met = crowd.ends().await;
    assert_eq!(met.failed, 0, "{:?}", met.stories);
    drop(dnsmasq);
    tentpole.ends().await;
}
