//! A data thread that was held up, by the machine or by much to do, knows less than it thinks: what it reads now may have come
//! long ago, and what was open when it looked last may be closed. A request that may not be sent twice must not pay for that.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use std::future::poll_fn;
use std::io::{IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::sleep;
use std::time::Duration;
use tentpole_http1::Framing;
use tentpole_idle::{Limit, Need};
use tentpole_message::ResponseHead;
use tentpole_model::{Endpoint, Method};
use tentpole_runtime::deadline::{Deadline, SWEEP_EVERY};
use tentpole_runtime::{Cell, Cells, clock};
use tentpole_upstream::{Idle, Line, Opening, Request, Sources};

const MS: Duration = Duration::from_millis(1);
/// An endpoint's connections were seen to be kept for so long.
const KEPT: Duration = Duration::from_secs(3);
/// Longer than the half of that, which a connection may have stood.
const HELD_UP: Duration = Duration::from_millis(1_700);
const SOON: Duration = Duration::from_secs(1);

/// An endpoint that answers at once, and closes each connection so long after its answer.
fn endpoint(closes_after: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            std::thread::spawn(move || {
                if matches!(connection.read(&mut [0; 1024]), Ok(1..)) {
                    connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
                    sleep(closes_after);
                }
            });
        }
    });
    address
}

/// A thread as the edge has them, and an endpoint.
struct Thread {
    cell: Arc<Cell>,
    idle: Idle,
    address: SocketAddr,
}

fn on_a_thread(closes_after: Duration, kept: Duration, run: impl AsyncFnOnce(Thread)) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().on_thread_unpark(clock::wake).build().unwrap();
    runtime.block_on(async {
        tokio::spawn(async {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
            }
        });
        let cell = Cells::new().of("app", "a:1");
        cell.idle.store(Limit::default().survived(kept).bits(), SeqCst);
        let thread = Thread { cell, idle: Idle::default(), address: endpoint(closes_after) };
        run(thread).await;
    });
}

impl Thread {
    /// One exchange on a connection that is put aside then; between request and answer the thread does something else.
    async fn exchanges(&self, meanwhile: impl FnOnce()) {
        for _ in 0..3 {
            tokio::time::sleep(MS).await;
        }
        let (sources, deadline) = (Sources::default(), Deadline::new());
        let opening = Opening::reserve(&self.cell, None).unwrap();
        let (endpoint, addresses) = (Endpoint::default(), [self.address]);
        let to = (&endpoint, &addresses[..]);
        let dialed = Line::dial(opening, to, (&sources, None), Duration::from_secs(60), &deadline);
        let mut line = dialed.await.unwrap();
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        let request = Request { head, method: Method::Post, framing: Framing::None, runs: None };
        let begun = line.begin(&request).unwrap();
        let wrote = poll_fn(|context| line.poll_write(context, &[IoSlice::new(&begun)])).await.unwrap();
        assert_eq!(wrote, head.len());
        meanwhile();
        let mut response = ResponseHead::new();
        poll_fn(|context| line.poll_head(context, &mut response)).await.unwrap();
        assert_eq!(response.status, 204);
        line.answered(clock::coarse(), None);
        self.idle.put(Box::new(line), Duration::from_secs(60));
    }

    fn has(&self, need: Need) -> bool {
        self.idle.take(self.cell.slot, need).is_some()
    }
}

#[test]
fn a_thread_that_is_not_held_up_uses_what_it_has() {
    on_a_thread(Duration::from_secs(60), KEPT, async |thread: Thread| {
        loop {
            let began = clock::now();
            thread.exchanges(|| {}).await;
            let has = thread.has(Need::Fresh);
            // Where the machine itself held it up, it is tried once more.
            if clock::now().since(began) < SOON {
                assert!(has);
                return;
            }
        }
    });
}

#[test]
fn an_answer_that_lay_there_is_as_old_as_it_may_be() {
    on_a_thread(Duration::from_secs(60), KEPT, async |thread: Thread| {
        thread.exchanges(|| sleep(HELD_UP)).await;
        assert!(!thread.has(Need::Fresh), "the endpoint may have waited all the time");
    });
}

#[test]
fn a_connection_ages_in_a_turn_that_takes_long() {
    on_a_thread(Duration::from_secs(60), KEPT, async |thread: Thread| {
        thread.exchanges(|| {}).await;
        sleep(HELD_UP);
        assert!(!thread.has(Need::Fresh));
    });
}

#[test]
fn what_the_endpoint_has_closed_since_the_thread_looked_is_not_used() {
    on_a_thread(20 * MS, 10 * KEPT, async |thread: Thread| {
        thread.exchanges(|| {}).await;
        // Far longer than the machine may hold up the endpoint.
        sleep(3 * SOON);
        assert!(!thread.has(Need::Fresh));
    });
}

#[test]
fn nobody_says_that_a_connection_was_open_while_he_did_not_look() {
    on_a_thread(200 * MS, Duration::ZERO, async |thread: Thread| {
        thread.exchanges(|| {}).await;
        sleep(HELD_UP);
        thread.idle.sweep(clock::renew());
        let known = Limit::from_bits(thread.cell.idle.load(SeqCst));
        let below = known.usable_below(Need::Fresh).unwrap();
        assert!(below < SOON / 2, "{below:?} is half of what it says was kept");
    });
}
