//! S2.4: a trickle of errors that take a tenth of a second, of which the application's log knows nothing: the connection was
//! never made, or was about to be closed. Both causes of the story, each behind nginx set up like it and then behind
//! Tentpole as it comes. The application's keep-alive time is 1 s here, and nginx keeps connections for a minute, as it does
//! unless told otherwise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tentpole_runtime::clock;
use tentpole_testkit::{Ask, Origin, Response, Up, Visitor};
use tentpole_tests::pool;
use tentpole_tests::stock::Stock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Statuses and how long each answer took.
type Seen = Vec<(u16, Duration)>;

fn failed(seen: &Seen) -> usize {
    seen.iter().filter(|(status, _)| *status != 200).count()
}

// Cause one: the service behind accepts too few connections.

/// Connections that wait in the kernel until the application takes them.
const BACKLOG: u32 = 2;
/// Visitors who come at once.
const AT_ONCE: usize = 16;
/// How long the application is busy with other things when they come.
const BUSY: Duration = Duration::from_millis(400);

/// An application with a short backlog, which takes connections only while it is told to.
async fn short_backlog() -> (SocketAddr, watch::Sender<bool>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(BACKLOG).unwrap();
    let address = listener.local_addr().unwrap();
    let (takes, told) = watch::channel(true);
    tokio::spawn(accept(listener, told));
    (address, takes)
}

async fn accept(listener: TcpListener, mut told: watch::Receiver<bool>) {
    while told.wait_for(|&takes| takes).await.is_ok() {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                tokio::spawn(answer(stream));
            }
            _ = told.wait_for(|&takes| !takes) => {}
        }
    }
}

/// Answers each request on the connection: they have no bodies.
async fn answer(mut stream: TcpStream) {
    let mut seen = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut seen).await {
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            let response = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 4\r\n\r\npage";
            if stream.write_all(response).await.is_err() {
                return;
            }
        }
    }
}

/// Three times many visitors come while the application is busy for a moment.
async fn rushes(address: SocketAddr, takes: &watch::Sender<bool>) -> Seen {
    let mut seen = Seen::new();
    let mut rush = 0;
    while rush < 3 {
        let began = clock::now();
        takes.send_replace(false);
        let mut visits = JoinSet::new();
        for number in 0..AT_ONCE {
            visits.spawn(async move {
                let mut visitor = Visitor::connect(address).await;
                let began = clock::now();
                let answer = visitor.get(&format!("/{rush}/{number}")).await;
                (answer.status, clock::now().since(began))
            });
        }
        sleep(BUSY).await;
        takes.send_replace(true);
        let busy = clock::now().since(began);
        let answers = visits.join_all().await;
        // Where the machine held up the application for longer, it is another story.
        if busy < 2 * BUSY {
            seen.extend(answers);
            rush += 1;
        }
    }
    seen
}

#[tokio::test]
async fn s2_4_a_service_that_accepts_too_few_connections_fails_behind_nginx_and_not_behind_tentpole() {
    let (application, takes) = short_backlog().await;
    let http = format!(
        "server {{ listen {{listen}}; location / {{ proxy_pass http://{application}; proxy_connect_timeout 100ms; }} }}"
    );
    let stock = Stock::nginx(&http).await;
    let seen = rushes(stock.address(), &takes).await;
    let cut: Vec<_> = seen.iter().filter(|(status, _)| *status == 504).collect();
    assert!(!cut.is_empty(), "{seen:?}");
    assert!(
        cut.iter().any(|(_, took)| *took < BUSY),
        "they fail before the application could look: {seen:?}"
    );
    eprintln!("nginx: {} of {} failed", failed(&seen), seen.len());
    drop(stock);

    let config = format!("threads = 1\n[pool.app]\nendpoints = [\"http://{application}\"]\n");
    let tentpole = Up::config(&config).start().await;
    let seen = rushes(tentpole.address(), &takes).await;
    eprintln!("Tentpole: {} of {} failed", failed(&seen), seen.len());
    assert_eq!(failed(&seen), 0, "{seen:?}");
    tentpole.ends().await;
}

// Cause two: the service closes idle connections before the balancer does.

/// The application's keep-alive time.
const LIMIT: Duration = Duration::from_secs(1);
/// What is sent so long before it closes is lost, as if the news of it took this time.
const DEAF: Duration = Duration::from_millis(20);
/// How long the application works at an order: longer than the visitors of one round come apart, so that each of them is passed
/// on over a connection that stood idle since the round before.
const WORK: Duration = Duration::from_millis(150);
const VISITORS: usize = 20;
const ROUNDS: usize = 6;

/// In each round every visitor orders, about as long after the round before as the application keeps connections.
async fn orders(address: SocketAddr) -> Seen {
    let together = Arc::new(Barrier::new(VISITORS));
    let visit = |number: usize| {
        let together = together.clone();
        async move {
            let mut seen = Seen::new();
            let mut visitor = Visitor::connect(address).await;
            for round in 0..ROUNDS {
                let began = clock::now();
                let answer = visitor.try_ask(&Ask::post("/order", "a=1")).await;
                let status = answer.as_ref().map_or(0, |answer| answer.status);
                seen.push((status, clock::now().since(began)));
                if answer.is_err() {
                    visitor = Visitor::connect(address).await;
                }
                together.wait().await;
                // 0.95 to 1.03 s, spread evenly.
                let nth = (number * 7 + round) as u64;
                sleep(LIMIT - Duration::from_millis(50) + Duration::from_millis(nth * 37 % 80)).await;
            }
            seen
        }
    };
    let mut visits = JoinSet::new();
    (0..VISITORS).for_each(|number| _ = visits.spawn(visit(number)));
    visits.join_all().await.into_iter().flatten().collect()
}

#[tokio::test]
async fn s2_4_a_service_that_closes_idle_connections_loses_orders_behind_nginx_and_none_behind_tentpole() {
    let application = Origin::start().await;
    application.forgets_requests();
    application.otherwise(|_| Response::ok("taken").header("Cache-Control", "no-store"));
    application.closes_after_idle(LIMIT);
    application.is_deaf_before_closing(DEAF);
    application.delays(WORK);
    let http = format!(
        "upstream app {{ server {}; keepalive 64; }}\n\
         server {{ listen {{listen}}; location / {{ proxy_pass http://app; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; }} }}",
        application.address()
    );
    let stock = Stock::nginx(&http).await;
    let seen = orders(stock.address()).await;
    let lost: Vec<_> = seen.iter().filter(|(status, _)| *status == 502).collect();
    eprintln!("nginx: {} of {} failed", failed(&seen), seen.len());
    assert!(!lost.is_empty(), "{seen:?}");
    assert!(lost.len() < seen.len() / 2, "it is a trickle: {} of {}", lost.len(), seen.len());
    drop(stock);

    let tentpole = Up::config(&pool(&[&application], "")).start().await;
    let seen = orders(tentpole.address()).await;
    eprintln!("Tentpole: {} of {} failed", failed(&seen), seen.len());
    assert_eq!(failed(&seen), 0, "{seen:?}");
    tentpole.ends().await;
}
