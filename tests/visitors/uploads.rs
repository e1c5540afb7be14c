//! A large upload goes through as fast as the endpoint takes it, and lies nowhere meanwhile.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tentpole_testkit::gate::PATIENCE;
use tentpole_tests::https::{self, Https, WAYS, Way};
use tentpole_tests::{until, until_within};

const MIB: u64 = 1 << 20;
const BYTES: u64 = 256 * MIB;
/// What may have left the sender while nobody reads: the kernel's buffers on two connections, and ours.
const UNDER_WAY_MAX: u64 = 64 * MIB;
/// What the edge may hold more than before, in memory: its buffers of one request, and what the allocator keeps.
const GROWN_MAX: u64 = 24 * MIB;
/// How long the whole may take, unoptimised, on a busy machine.
const UPLOAD_MAX: Duration = Duration::from_secs(120);

/// An endpoint that reads nothing but a request's head until it is told to, and then all of its content.
struct Endpoint {
    address: SocketAddr,
    began: Receiver<()>,
    go: SyncSender<()>,
    received: Arc<AtomicU64>,
}

impl Endpoint {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (begins, began) = sync_channel(1);
        let (go, may_go) = sync_channel(1);
        let received = Arc::<AtomicU64>::default();
        let counted = received.clone();
        std::thread::spawn(move || {
            let mut connection = loop {
                let (mut connection, _) = listener.accept().expect("a connection");
                // A probe asks for less.
                if let Some(content) = read_head(&mut connection) {
                    counted.fetch_add(content, Ordering::SeqCst);
                    break connection;
                }
            };
            begins.send(()).expect("somebody waits");
            may_go.recv().expect("somebody says go");
            let mut piece = vec![0; 64 * 1024];
            while counted.load(Ordering::SeqCst) < BYTES {
                let count = connection.read(&mut piece).expect("the content");
                assert_ne!(count, 0, "the content ended early");
                counted.fetch_add(count as u64, Ordering::SeqCst);
            }
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell").expect("it waits");
        });
        Self { address, began, go, received }
    }
}

/// Bytes of content that came with the head of an upload; `None` for another request, which is answered.
fn read_head(connection: &mut TcpStream) -> Option<u64> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    loop {
        if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            if head.starts_with(b"PUT /upload ") {
                return Some((head.len() - at - 4) as u64);
            }
            connection
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
                .ok()?;
            return None;
        }
        let count = connection.read(&mut piece).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&piece[..count]);
    }
}

/// What the edge's process holds in memory, in bytes.
fn resident(https: &Https) -> u64 {
    let path = format!("/proc/{}/status", https.tentpole.edge_pid());
    let status = fs::read_to_string(path).expect("Linux says it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
}

/// What the edge's own account says it holds in buffers, in bytes.
async fn accounted(https: &Https) -> u64 {
    let metrics = https.tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("tentpole_memory_held_bytes{") && line.contains("buffers"));
    line.and_then(|line| line.split(' ').next_back()?.parse().ok()).expect("buffers are counted")
}

/// Bytes that a process has read, from whatever.
fn read_by(child: &Child) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok()).unwrap_or(0)
}

async fn uploads(way: Way) {
    let endpoint = Endpoint::start();
    let https = Https::start(&format!(
        "threads = 1\n[limits]\nhttp2_without_tls = true\n{}[pool.app]\nendpoints = [\"http://{}\"]\n\
         [site.all]\n[[site.all.route]]\npath = \"/*\"\nbody = \"1GiB\"\ncache = \"off\"\n",
        https::LINES,
        endpoint.address
    ))
    .await;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("large");
    File::create(&file).and_then(|file| file.set_len(BYTES)).expect("room for a file of holes");
    let before = https.curl(way, "/").output().expect("curl runs; apt-get install curl");
    assert_eq!(String::from_utf8_lossy(&before.stdout), "ok", "{}", String::from_utf8_lossy(&before.stderr));
    let resident_before = resident(&https);

    let mut curl = https.curl(way, "/upload");
    curl.args(["--header", "Expect:", "--upload-file"]).arg(&file);
    let mut curl = curl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("curl runs");
    endpoint.began.recv_timeout(PATIENCE).expect("the endpoint is asked");
    // Nobody reads: what can leave leaves, and then it stands still.
    let mut last = 0;
    until("the upload to stand still", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        std::mem::replace(&mut last, read_by(&curl)) == last && last > MIB
    })
    .await;
    assert!(last < UNDER_WAY_MAX, "{last} bytes were taken while nobody read");
    let (held, counted) = (resident(&https).saturating_sub(resident_before), accounted(&https).await);
    assert!(held < GROWN_MAX, "{held} bytes more in memory while nobody reads");
    assert!(counted < 8 * MIB, "{counted} bytes of buffers");

    endpoint.go.send(()).expect("it waits");
    let mut most = held;
    until_within(UPLOAD_MAX, "the upload to end", async || {
        most = most.max(resident(&https).saturating_sub(resident_before));
        curl.try_wait().expect("it is ours").is_some()
    })
    .await;
    let output = curl.wait_with_output().expect("it has ended");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "well",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(endpoint.received.load(Ordering::SeqCst), BYTES);
    eprintln!("{way:?}: {last} bytes left the sender while nobody read; at most {most} bytes more in memory");
    assert!(most < GROWN_MAX, "{most} bytes more in memory");
    https.tentpole.ends().await;
}

#[tokio::test]
async fn a_large_upload_lies_nowhere_by_http_1() {
    uploads(WAYS[0]).await;
}

#[tokio::test]
async fn a_large_upload_lies_nowhere_by_http_2() {
    uploads(WAYS[1]).await;
}

#[tokio::test]
async fn a_large_upload_lies_nowhere_by_http_1_and_tls() {
    uploads(WAYS[2]).await;
}

#[tokio::test]
async fn a_large_upload_lies_nowhere_by_http_2_and_tls() {
    uploads(WAYS[3]).await;
}
