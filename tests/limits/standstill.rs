//! Who stops reading stops the other side, whatever the size: memory stays bounded, and after `stall_time` both
//! connections end.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tentpole_testkit::gate::PATIENCE;
use tentpole_testkit::{Ask, Origin, Step, Tentpole, Trouble, Up};
use tentpole_tests::{endpoint, pool, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const GIB: u64 = 1 << 30;
/// What may have left the sender while nobody reads: the kernel's buffers on two connections and our own.
const UNDER_WAY_MAX: u64 = 64 << 20;
/// What the program may hold, in bytes.
pub(super) const MEMORY_MAX: u64 = 200 << 20;

/// An origin that answers every request with 1 GiB, and counts what it could send.
struct Pour {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
    open: Arc<AtomicU64>,
}

impl Pour {
    async fn start(fields: &'static str, chunked: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let pour = Self {
            address: listener.local_addr().expect("it is bound"),
            sent: Arc::default(),
            open: Arc::default(),
        };
        let (sent, open) = (pour.sent.clone(), pour.open.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                open.fetch_add(1, Ordering::SeqCst);
                let (sent, open) = (sent.clone(), open.clone());
                tokio::spawn(async move {
                    pour_out(stream, fields, chunked, &sent).await.ok();
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        pour
    }
}

async fn pour_out(
    mut stream: TcpStream,
    fields: &str,
    chunked: bool,
    sent: &AtomicU64,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let piece = vec![b'x'; 64 << 10];
    let (framing, start, end) = match chunked {
        true => ("Transfer-Encoding: chunked".to_owned(), "10000\r\n", "\r\n"),
        false => (format!("Content-Length: {GIB}"), "", ""),
    };
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{fields}{framing}\r\n\r\n").as_bytes()).await?;
    for _ in 0..GIB / piece.len() as u64 {
        stream.write_all(start.as_bytes()).await?;
        stream.write_all(&piece).await?;
        stream.write_all(end.as_bytes()).await?;
        sent.fetch_add(piece.len() as u64, Ordering::SeqCst);
    }
    Ok(())
}

/// What the edge's process holds in memory, in bytes.
pub(super) fn resident(tentpole: &Tentpole) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", tentpole.edge_pid())).expect("Linux says it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
}

async fn a_visitor_stops_reading(fields: &'static str, chunked: bool) {
    let pour = Pour::start(fields, chunked).await;
    let config = format!(
        "threads = 1\n[pool.app]\nendpoints = [\"http://{}\"]\n[limits]\nstall_time = \"3s\"\n",
        pour.address
    );
    let tentpole = Up::config(&config).start().await;
    let mut visitor = tentpole.visitor().await;
    let mut reading = visitor.begin(&Ask::get("/")).await;
    assert_eq!(reading.so_far().status, 200);
    reading.until(100_000).await;
    let mut resident_max = 0;
    until("the endpoint's connection to end", async || {
        resident_max = resident_max.max(resident(&tentpole));
        pour.open.load(Ordering::SeqCst) == 0
    })
    .await;
    let sent = pour.sent.load(Ordering::SeqCst);
    assert!(sent < UNDER_WAY_MAX, "{sent} bytes were sent while nobody read");
    assert!(resident_max < MEMORY_MAX, "{resident_max} bytes of memory");
    // He may read what is on its way, but it never looks whole.
    match reading.try_rest().await {
        Err(Trouble::Closed { .. } | Trouble::Broken { .. }) => {}
        other => panic!("{other:?}"),
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn a_visitor_who_stops_reading_stops_the_endpoint() {
    a_visitor_stops_reading("Cache-Control: no-store\r\n", false).await;
}

#[tokio::test]
async fn a_visitor_who_stops_reading_what_is_too_large_to_store_stops_the_endpoint() {
    a_visitor_stops_reading("Cache-Control: max-age=60\r\n", false).await;
}

#[tokio::test]
async fn a_visitor_who_stops_reading_what_has_no_known_length_stops_the_endpoint() {
    a_visitor_stops_reading("Cache-Control: max-age=60\r\n", true).await;
}

#[tokio::test]
async fn an_endpoint_that_stops_reading_stops_the_visitor() {
    let origin = Origin::start().await;
    origin.on("/upload").before_body().raw([Step::Hang]);
    let lines = "timeouts = { stall = \"6s\" }\n[limits]\nstall_time = \"6s\"\n\
                 [site.all]\n[[site.all.route]]\npath = \"/*\"\nbody = \"2GiB\"";
    let tentpole = Up::config(&pool(&[&origin], lines)).start().await;
    // Far less than those, and longer than the machine holds up who still takes something.
    let mut visitor = tentpole.visitor().await.patience(Duration::from_millis(1_500));
    visitor.send(format!("PUT /upload HTTP/1.1\r\nHost: h\r\nContent-Length: {GIB}\r\n\r\n")).await;
    let piece = vec![b'x'; 1 << 20];
    let mut sent = 0;
    let stopped = loop {
        match visitor.try_send(&piece).await {
            Ok(()) => sent += piece.len() as u64,
            Err(trouble) => break trouble,
        }
        assert!(sent < UNDER_WAY_MAX, "{sent} bytes were taken while nobody read");
    };
    assert!(matches!(stopped, Trouble::Silence { .. }), "{stopped}");
    let held = resident(&tentpole);
    assert!(held < MEMORY_MAX, "{held} bytes of memory");
    let mut visitor = visitor.patience(PATIENCE);
    let answer = visitor.try_reading("PUT").await.expect("an answer").so_far().clone();
    assert_eq!(answer.status, 504, "{answer:?}");
    // The origin reads nothing, so it cannot know; the edge does.
    until("the connection to end", async || endpoint(&tentpole, &origin).await.open == 0).await;
    drop(visitor);
    tentpole.ends().await;
}
