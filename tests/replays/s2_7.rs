//! S2.7: an inner service asks two others by their names, with a new connection for each request and several questions to the
//! name server for each connection. First as in the story, straight: nothing on the way remembers a name. Then with stock
//! nginx between them, with a variable in `proxy_pass` as one writes it so that names are looked up again at all: it
//! asks once a second, but connects for each request still. Then with Tentpole.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::Value;
use tentpole_runtime::clock;
use tentpole_testkit::{Ask, NameServer, Origin, Response, Up, Visitor};
use tentpole_tests::stock::Stock;

/// Pages that are put together; each asks both services once.
const PAGES: u64 = 400;

/// What a container's resolv.conf often says: these are tried before the name as it is.
const SEARCH: [&str; 3] = ["shop.svc.cluster.internal", "svc.cluster.internal", "cluster.internal"];

/// Two services and who says where they are.
struct Inner {
    names: NameServer,
    prices: Origin,
    stocks: Origin,
}

/// What a run cost.
struct Cost {
    requests: u64,
    connections: u64,
    questions: usize,
    took: Duration,
}

impl Inner {
    async fn new() -> Self {
        let service = async |answer: &'static str| {
            let origin = Origin::start().await;
            origin.otherwise(move |_| Response::ok(answer).header("Cache-Control", "no-store"));
            origin
        };
        let names = NameServer::start();
        names.leads("prices.internal", 0, &["127.0.0.1"]);
        names.leads("stocks.internal", 0, &["127.0.0.1"]);
        Self { names, prices: service("12.50").await, stocks: service("3 left").await }
    }

    fn ports(&self) -> (u16, u16) {
        (self.prices.address().port(), self.stocks.address().port())
    }

    /// The aggregator puts pages together, on one kept connection to each service by way of the balancer.
    async fn pages(&self, balancer: SocketAddr) -> Cost {
        let before = (self.served(), self.connections(), self.names.questions());
        let began = clock::now();
        let mut prices = Visitor::connect(balancer).await.host("prices.internal");
        let mut stocks = Visitor::connect(balancer).await.host("stocks.internal");
        for page in 0..PAGES {
            let ask = Ask::get(&format!("/product/{page}"));
            let (price, stock) = tokio::join!(prices.ask(&ask), stocks.ask(&ask));
            assert_eq!(
                (price.expect(200).text(), stock.expect(200).text()),
                ("12.50".into(), "3 left".into())
            );
        }
        self.cost_since(before, began)
    }

    /// The aggregator asks each service itself: it looks up the name, connects, asks and closes, as most programs do.
    async fn pages_straight(&self) -> Cost {
        let before = (self.served(), self.connections(), self.names.questions());
        let began = clock::now();
        for page in 0..PAGES {
            for (name, port) in [("prices.internal", self.ports().0), ("stocks.internal", self.ports().1)] {
                look_up(self.names.address(), name);
                let mut service = Visitor::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.host(name);
                service.get(&format!("/product/{page}")).await.expect(200);
            }
        }
        self.cost_since(before, began)
    }

    fn cost_since(&self, before: (u64, u64, usize), began: clock::Instant) -> Cost {
        Cost {
            requests: self.served() - before.0,
            connections: self.connections() - before.1,
            questions: self.names.questions() - before.2,
            took: clock::now().since(began),
        }
    }

    fn served(&self) -> u64 {
        self.prices.request_count() + self.stocks.request_count()
    }

    fn connections(&self) -> u64 {
        self.prices.connections() + self.stocks.connections()
    }
}

/// As the system's resolver does it for a program that remembers nothing: each search domain, for IPv4 and IPv6.
fn look_up(server: SocketAddr, name: &str) {
    let names = SEARCH.map(|domain| format!("{name}.{domain}")).into_iter().chain([name.to_owned()]);
    for name in names {
        for kind in [1, 28] {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for label in name.split('.') {
                question.push(label.len() as u8);
                question.extend(label.as_bytes());
            }
            question.extend([0, 0, kind, 0, 1]);
            socket.send_to(&question, server).unwrap();
            let _length = socket.recv(&mut [0; 512]).unwrap();
        }
    }
}

#[tokio::test]
async fn s2_7_straight_each_request_costs_a_connection_and_questions_and_behind_tentpole_hardly_any_does() {
    let inner = Inner::new().await;
    let cost = inner.pages_straight().await;
    assert_eq!((cost.requests, cost.connections), (2 * PAGES, 2 * PAGES));
    assert_eq!(cost.questions as u64, 8 * cost.requests, "8 questions for each request");

    let (prices, stocks) = inner.ports();
    let http = format!(
        "resolver {};\nmap $host $service {{ prices.internal prices.internal:{prices}; \
         stocks.internal stocks.internal:{stocks}; }}\n\
         server {{ listen {{listen}}; keepalive_requests 100000; location / {{ proxy_pass http://$service; }} }}",
        inner.names.address()
    );
    let stock = Stock::nginx(&http).await;
    let cost = inner.pages(stock.address()).await;
    assert_eq!(cost.requests, 2 * PAGES);
    assert_eq!(cost.connections, cost.requests, "a connection for each request");
    drop(stock);

    let config = format!(
        "threads = 1\n[names]\nservers = [\"{}\"]\n\
         [pool.prices]\nendpoints = [\"http://prices.internal:{prices}\"]\n\
         [pool.stocks]\nendpoints = [\"http://stocks.internal:{stocks}\"]\n\
         [site.prices]\nhosts = [\"prices.internal\"]\npool = \"prices\"\n\
         [site.stocks]\nhosts = [\"stocks.internal\"]\npool = \"stocks\"\n",
        inner.names.address()
    );
    let tentpole = Up::config(&config).start().await;
    let cost = inner.pages(tentpole.address()).await;
    assert_eq!(cost.requests, 2 * PAGES);
    let reused = 1.0 - cost.connections as f64 / cost.requests as f64;
    assert!(reused > 0.95, "{} connections for {} requests", cost.connections, cost.requests);
    // Each of the two names once a second, which is the least that `ttl_min` is.
    let most = 2.0 * (cost.took.as_secs_f64() + 1.0);
    assert!(cost.questions as f64 <= most, "{} questions in {:?}", cost.questions, cost.took);
    // And it can be seen.
    let status = tentpole.admin_visitor().await.get("/api/status").await.expect(200);
    let status: Value = serde_json::from_slice(&status.body).unwrap();
    let lookups = status["names"]["last_minute"].as_u64().unwrap();
    assert!((2..2 * PAGES).contains(&lookups), "{lookups} look-ups in the last minute");
    tentpole.ends().await;
}
