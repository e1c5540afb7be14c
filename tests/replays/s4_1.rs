//! S4.1: sticky sessions and their two faults. Carts in the memory of the servers, visitors brought back by a cookie: when a
//! third server joins, those who are there stay where they are, and a hot spot stays; when a server leaves, the carts
//! in it are lost. So it is behind HAProxy, and behind Tentpole when it is told to, though nobody sees an error there. With
//! Tentpole as it comes and sessions in a store that all servers share, the third server takes its part at once and no cart is
//! lost.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tentpole_testkit::{Answer, Ask, Origin, Response, Tentpole, Up, Visitor};
use tentpole_tests::stock::Stock;
use tentpole_tests::{pool, until, until_health};

const VISITORS: usize = 30;
/// Pages that each asks for after the third server has joined.
const PAGES: usize = 4;

/// What is in each cart, by session.
type Store = Arc<Mutex<HashMap<String, u32>>>;

/// A server of the shop: `/add` puts something into the visitor's cart, and each page says how much is in it. Who has no
/// session here gets a new one, and with it an empty cart.
async fn server(store: Store) -> Origin {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let server = Origin::start().await;
    server.on("/health").respond(Response::ok("well"));
    server.otherwise(move |seen| {
        let cookies = seen.header("cookie").unwrap_or_default();
        let known = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session="));
        let mut carts = store.lock().unwrap();
        let known = known.filter(|known| carts.contains_key(*known)).map(str::to_owned);
        let session = known.clone().unwrap_or_else(|| NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
        let cart = carts.entry(session.clone()).or_default();
        *cart += u32::from(seen.path() == "/add");
        let answer = Response::ok(cart.to_string()).header("Cache-Control", "private");
        match known {
            Some(_) => answer,
            None => answer.header("Set-Cookie", format!("session={session}; Path=/")),
        }
    });
    server
}

/// Two servers and one that does not run yet; their carts in one store, or each with its own.
struct Shop {
    servers: [Origin; 3],
}

impl Shop {
    async fn opens(is_shared: bool) -> Self {
        let shared = Store::default();
        let store = || if is_shared { shared.clone() } else { Store::default() };
        let servers = [server(store()).await, server(store()).await, server(store()).await];
        servers[2].stops().await;
        Self { servers }
    }

    fn all(&self) -> Vec<&Origin> {
        self.servers.iter().collect()
    }

    /// Pages that each server was asked for so far.
    fn pages(&self) -> [u64; 3] {
        let pages = |server: &Origin| {
            server.requests().iter().filter(|seen| !seen.target.starts_with("/health")).count() as u64
        };
        [pages(&self.servers[0]), pages(&self.servers[1]), pages(&self.servers[2])]
    }
}

/// A visitor with a browser that keeps cookies.
#[derive(Default)]
struct Customer {
    cookies: HashMap<String, String>,
    failed: usize,
}

impl Customer {
    /// How much is in his cart now.
    async fn asks(&mut self, balancer: SocketAddr, method: &str, path: &str) -> Option<u32> {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut ask = Ask::new(method, path).body("");
        if !cookies.is_empty() {
            ask = ask.cookie(&cookies.join("; "));
        }
        let answer: Answer = Visitor::connect(balancer).await.ask(&ask).await;
        for line in answer.all("set-cookie") {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let cart = (answer.status == 200).then(|| answer.text().parse().unwrap());
        self.failed += usize::from(cart.is_none());
        cart
    }
}

/// What became of it.
#[derive(Debug)]
struct Told {
    /// Pages that each server got, of those who were there before the third joined.
    pages: [u64; 3],
    /// Visitors whose cart was empty after one server had left.
    lost: usize,
    /// Answers that were no page.
    failed: usize,
}

/// The same for all: carts are filled, a third server joins, one leaves. `joined` waits until the balancer has noticed.
async fn events(shop: &Shop, balancer: SocketAddr, joined: impl AsyncFnOnce()) -> Told {
    let mut customers: Vec<Customer> = (0..VISITORS).map(|_| Customer::default()).collect();
    for customer in &mut customers {
        for count in 1..=2 {
            assert_eq!(customer.asks(balancer, "POST", "/add").await, Some(count), "the cart fills");
        }
    }
    shop.servers[2].starts_again().await;
    joined().await;
    let before = shop.pages();
    for page in 0..PAGES {
        for customer in &mut customers {
            customer.asks(balancer, "GET", &format!("/page/{page}")).await;
        }
    }
    let after = shop.pages();
    let pages = [0, 1, 2].map(|at| after[at] - before[at]);
    shop.servers[0].stops().await;
    let mut lost = 0;
    for customer in &mut customers {
        lost += usize::from(customer.asks(balancer, "GET", "/cart").await != Some(2));
    }
    let failed = customers.iter().map(|customer| customer.failed).sum();
    Told { pages, lost, failed }
}

/// HAProxy as its manual shows sticky sessions.
async fn haproxy(shop: &Shop) -> Stock {
    let server = |(at, server): (usize, &Origin)| {
        format!("server s{at} {} cookie s{at} check inter 100ms fall 2 rise 1\n", server.address())
    };
    let servers: String = shop.servers.iter().enumerate().map(server).collect();
    let sections = format!(
        "defaults\nmode http\noption redispatch\nretries 2\ntimeout connect 5s\ntimeout client 30s\ntimeout server 30s\ntimeout check 5s\n\
         frontend all\nbind {{listen}}\ndefault_backend app\n\
         backend app\nbalance roundrobin\ncookie backend insert indirect nocache\noption httpchk GET /health\n{servers}"
    );
    Stock::haproxy(&sections).await
}

async fn tentpole(shop: &Shop, lines: &str) -> Tentpole {
    let health =
        "health = { path = \"/health\", interval = \"100ms\", healthy_after = 1, unhealthy_after = 1 }";
    let tentpole = Up::config(&pool(&shop.all(), &format!("{health}\n{lines}"))).start().await;
    until_health(&tentpole, &shop.servers[2], "down").await;
    tentpole
}

async fn behind_tentpole(shop: &Shop, lines: &str) -> Told {
    let tentpole = tentpole(shop, lines).await;
    let joined = async || _ = until_health(&tentpole, &shop.servers[2], "up").await;
    let told = events(shop, tentpole.address(), joined).await;
    tentpole.ends().await;
    told
}

#[tokio::test]
async fn s4_1_behind_haproxy_with_sticky_cookies_a_hot_spot_stays_and_carts_are_lost() {
    let shop = Shop::opens(false).await;
    let stock = haproxy(&shop).await;
    // Somebody new is sent to the third server as soon as HAProxy has noticed it.
    let joined = async || {
        let third = || async {
            Customer::default().asks(stock.address(), "GET", "/").await;
            shop.pages()[2] > 0
        };
        until("HAProxy to notice the third server", third).await;
    };
    let told = events(&shop, stock.address(), joined).await;
    println!("HAProxy, sticky: {told:?}");
    assert_eq!(told.pages[2], 0, "the third server helped: {told:?}");
    assert!(told.lost >= VISITORS / 4, "{told:?}");
}

#[tokio::test]
async fn s4_1_as_tentpole_comes_the_third_server_helps_at_once_and_no_cart_is_lost() {
    let shop = Shop::opens(true).await;
    let told = behind_tentpole(&shop, "").await;
    println!("Tentpole, shared store: {told:?}");
    assert!(told.pages.iter().all(|&pages| pages > (VISITORS * PAGES / 6) as u64), "{told:?}");
    assert_eq!((told.lost, told.failed), (0, 0), "{told:?}");
}

#[tokio::test]
async fn s4_1_tentpoles_sticky_sessions_have_the_same_two_faults_and_nobody_sees_an_error() {
    let shop = Shop::opens(false).await;
    let told = behind_tentpole(&shop, "sticky = { cookie = \"backend\" }").await;
    println!("Tentpole, sticky: {told:?}");
    assert_eq!(told.pages[2], 0, "{told:?}");
    assert!(told.lost > 0, "{told:?}");
    assert_eq!(told.failed, 0, "{told:?}");
}

#[tokio::test]
async fn s4_1_a_store_that_all_share_mends_both_behind_haproxy_too() {
    let shop = Shop::opens(true).await;
    let stock = haproxy(&shop).await;
    let told = events(&shop, stock.address(), async || {}).await;
    // The hot spot stays as long as visitors are sticky; the carts do not hang on it any more.
    assert_eq!((told.pages[2], told.lost), (0, 0), "{told:?}");
}
