//! The waiting room, seen from outside: visitors with cookies before an application that must not be asked by more than it
//! carries.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use crate::common::{self, Asked, Running};
use serde_json::Value;
use std::net::SocketAddr;
use tentpole_model::{
    Dials, Endpoint, Health, Member, Membership, PoolMembers, Room, RoomOrder, RoomWish, RouteCache, Secret,
    SecretField, Snapshot, Staff,
};
use tentpole_runtime::clock;

/// A browser, or an application: it keeps its cookies.
#[derive(Clone, Default)]
struct Browser {
    cookies: Vec<(String, String)>,
}

struct Answer {
    head: String,
    body: String,
}

impl Browser {
    fn sends(&mut self, edge: &Running, line: &str, fields: &str) -> Answer {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookie =
            if cookies.is_empty() { String::new() } else { format!("Cookie: {}\r\n", cookies.join("; ")) };
        let text = edge.ask(&format!(
            "{line} HTTP/1.1\r\nHost: shop.example\r\n{cookie}{fields}Connection: close\r\n\r\n"
        ));
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole answer");
        for line in head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")) {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        Answer { head: head.to_owned(), body: body.to_owned() }
    }

    fn gets(&mut self, edge: &Running, path: &str) -> Answer {
        self.sends(edge, &format!("GET {path}"), "Accept: text/html\r\n")
    }

    /// Asks how it stands.
    fn polls(&mut self, edge: &Running, path: &str) -> Value {
        let answer = self.sends(edge, &format!("GET {path}"), "Tentpole-Room: poll\r\n");
        assert_eq!(answer.status(), 200, "{}", answer.head);
        serde_json::from_str(&answer.body).unwrap()
    }
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

fn application() -> (SocketAddr, Asked) {
    common::endpoint(|head: &str| {
        let cache = if head.contains("/cached") { "public, max-age=600" } else { "no-store" };
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: {cache}\r\nContent-Length: 4\r\n\r\nshop"
        )
    })
}

fn room() -> Room {
    Room { name: "sale".into(), active_max: Some(2), entries_per_minute: Some(60), ..Room::default() }
}

fn behind(room: Room) -> (Running, Asked) {
    let (endpoint, asked) = application();
    (common::edge(endpoint, |snapshot: &mut Snapshot| snapshot.rooms = vec![room]), asked)
}

fn order(edge: &Running, wish: RoomWish) -> Value {
    let order = RoomOrder { room: "sale".into(), wish };
    let text = (edge.rooms)(Some(&order)).expect("the room");
    serde_json::from_str::<Value>(&text).unwrap()["rooms"][0].clone()
}

/// Two are inside: nobody else comes in.
fn full(edge: &Running) {
    for _ in 0..2 {
        assert_eq!(Browser::default().gets(edge, "/").status(), 200);
    }
}

#[test]
fn below_its_limit_a_room_gives_a_ticket_and_nothing_else() {
    let (edge, asked) = behind(room());
    let mut browser = Browser::default();
    let first = browser.gets(&edge, "/");
    assert_eq!((first.status(), &first.body[..]), (200, "shop"));
    assert!(first.field("Set-Cookie").is_some_and(|cookie| cookie.starts_with("tentpole_room_sale=")));
    // Once: his next page comes without one.
    let second = browser.gets(&edge, "/");
    assert_eq!((second.status(), second.field("Set-Cookie")), (200, None));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn above_its_limit_visitors_wait_and_the_application_is_not_asked() {
    let (edge, asked) = behind(room());
    full(&edge);
    let mut browser = Browser::default();
    let page = browser.gets(&edge, "/cart?item=7");
    assert_eq!(page.status(), 503);
    assert!(
        page.body.contains("You are in line") && page.body.contains("<dd id=\"room-place\">1</dd>"),
        "{}",
        page.body
    );
    assert!(page.field("Retry-After").is_some_and(|seconds| seconds.parse::<u64>().unwrap() > 0));
    for (name, value) in [
        ("Cache-Control", "no-store, private, max-age=0"),
        ("Vary", "*"),
        ("X-Accel-Expires", "0"),
        ("Surrogate-Control", "no-store"),
        ("Content-Type", "text/html; charset=utf-8"),
        ("Tentpole-Room", "waiting"),
    ] {
        assert_eq!(page.field(name), Some(value), "{}", page.head);
    }
    // He keeps his place, who comes later stands behind him.
    assert_eq!(browser.polls(&edge, "/cart")["place"], 1);
    assert_eq!(Browser::default().polls(&edge, "/")["place"], 2);
    assert_eq!(browser.polls(&edge, "/")["place"], 1);
    // A POST waits as well, and a picture takes no place.
    let post = browser.sends(&edge, "POST /checkout", "Content-Length: 0\r\n");
    assert_eq!(post.status(), 503);
    let picture = Browser::default().sends(&edge, "GET /a.png", "Sec-Fetch-Dest: image\r\n");
    assert_eq!((picture.status(), picture.field("Set-Cookie")), (503, None));
    assert_eq!(Browser::default().polls(&edge, "/")["place"], 3);
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn an_application_reads_json_and_gets_what_it_asked_for_once_it_is_inside() {
    let (edge, _asked) = behind(room());
    full(&edge);
    let mut application = Browser::default();
    let waits = application.sends(&edge, "GET /api/cart", "Accept: application/json\r\n");
    assert_eq!((waits.status(), waits.field("Content-Type")), (503, Some("application/json")));
    let told: Value = serde_json::from_str(&waits.body).unwrap();
    assert_eq!(
        (&told["state"], &told["place"], &told["room"]),
        (&"waiting".into(), &1.into(), &"sale".into())
    );
    assert!(told["refresh_seconds"].as_f64().is_some_and(|seconds| seconds >= 1.0));
    let now = order(&edge, RoomWish::LetIn(1));
    assert_eq!((&now["doors"], &now["active_max"]), (&"open".into(), &2.into()));
    let inside = application.sends(&edge, "GET /api/cart", "Accept: application/json\r\n");
    assert_eq!((inside.status(), &inside.body[..]), (200, "shop"));
}

#[test]
fn whose_turn_it_is_comes_in_and_others_do_not() {
    let (edge, asked) = behind(room());
    full(&edge);
    let (mut first, mut second) = (Browser::default(), Browser::default());
    assert_eq!(first.polls(&edge, "/")["place"], 1);
    assert_eq!(second.polls(&edge, "/")["place"], 2);
    order(&edge, RoomWish::Limit { active_max: Some(3), entries_per_minute: None });
    assert_eq!(first.polls(&edge, "/")["state"], "inside");
    assert_eq!(second.polls(&edge, "/")["state"], "waiting");
    assert_eq!(first.gets(&edge, "/").status(), 200);
    // Nobody writes a ticket for himself, and one place lets one in.
    let mut forger = second.clone();
    let mut forged = forger.cookies[0].1.clone().into_bytes();
    forged[41] ^= 1;
    forger.cookies[0].1 = String::from_utf8(forged).unwrap();
    assert_eq!(forger.polls(&edge, "/")["state"], "waiting");
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn there_is_no_way_around_a_room_by_writing_a_path_differently() {
    let (edge, asked) = behind(Room { paths: vec!["/checkout/*".into()], ..room() });
    for _ in 0..2 {
        assert_eq!(Browser::default().gets(&edge, "/checkout").status(), 200);
    }
    for path in [
        "/checkout",
        "/checkout/pay",
        "/%63heckout/pay",
        "//checkout/pay",
        "/a/../checkout",
        "/CHECKOUT/pay",
        "/checkout;x=1/pay",
        "/checkout%2fpay",
        "/checkout?x=/",
        "/checkout%5cpay",
        "/checkout/%2e/pay",
    ] {
        // A path that is not canonical is sent to the one that is, which waits.
        let status = Browser::default().gets(&edge, path).status();
        assert!(status == 503 || status == 308, "{path}: {status}");
        let posted = Browser::default().sends(&edge, &format!("POST {path}"), "Content-Length: 0\r\n");
        assert_eq!(posted.status(), 503, "{path}");
    }
    assert_eq!(asked.lock().unwrap().len(), 2);
    assert_eq!(Browser::default().gets(&edge, "/product").status(), 200);
}

#[test]
fn what_is_cached_is_for_those_inside_and_a_ticket_is_in_no_cache() {
    let (edge, asked) = behind(room());
    let mut first = Browser::default();
    let (stored, hit) = (first.gets(&edge, "/cached"), Browser::default().gets(&edge, "/cached"));
    for answer in [&stored, &hit] {
        assert_eq!(answer.status(), 200);
        assert!(answer.head.contains("\r\nCache-Control: private, no-store"), "{}", answer.head);
        assert!(answer.field("Set-Cookie").is_some());
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
    let again = first.gets(&edge, "/cached");
    assert!(again.field("Set-Cookie").is_none() && !again.head.contains("no-store"), "{}", again.head);
    assert_eq!(Browser::default().gets(&edge, "/cached").status(), 503);
    assert!(!asked.lock().unwrap()[0].contains("tentpole_room"));
}

#[test]
fn with_half_of_the_endpoints_half_as_many_come_in() {
    let (endpoint, _asked) = application();
    let edge = common::edge(endpoint, |snapshot| {
        let at = |port| Endpoint { host: endpoint.ip().to_string(), port, ..Endpoint::default() };
        snapshot.pools[0].endpoints = vec![at(endpoint.port()), at(9)];
        snapshot.rooms =
            vec![Room { name: "sale".into(), visitors_per_endpoint: Some(100), ..Room::default() }];
    });
    let member = |health| Member { addresses: vec![endpoint], health, tier: 0 };
    let tell = |members| edge.membership.publish(Membership { pools: vec![PoolMembers { members }] });
    edge.dials.publish(Dials { weights: vec![vec![1, 1]] });
    tell(vec![member(Health::Up), member(Health::Up)]);
    let limits = || {
        let rooms: Value = serde_json::from_str(&(edge.rooms)(None).unwrap()).unwrap();
        let room = &rooms["rooms"][0];
        (room["active_max"].as_u64(), room["entries_per_minute"].as_u64())
    };
    assert_eq!(limits(), (Some(200), Some(200)));
    tell(vec![member(Health::Up), member(Health::Down(tentpole_model::DownReason::Probe))]);
    assert_eq!(limits(), (Some(100), Some(100)));
}

#[test]
fn staff_do_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("staff");
    std::fs::write(&secret, "correct horse battery staple").unwrap();
    let (endpoint, _asked) = application();
    let edge = common::edge(endpoint, |snapshot| {
        let field = SecretField { name: "X-Staff".into(), value: Secret::File(secret) };
        snapshot.staff = Staff { from: Vec::new(), field: Some(field), load_key: None };
        snapshot.rooms = vec![room()];
    });
    full(&edge);
    let staff =
        |secret: &str| Browser::default().sends(&edge, "GET /", &format!("X-Staff: {secret}\r\n")).status();
    assert_eq!(staff("correct horse battery staple"), 200);
    assert_eq!(staff("correct horse battery stable"), 503);
}

#[test]
fn an_operator_turns_a_room_by_hand() {
    let (edge, _asked) = behind(room());
    assert_eq!(order(&edge, RoomWish::Close)["doors"], "closed");
    let mut browser = Browser::default();
    assert_eq!(browser.polls(&edge, "/")["state"], "closed");
    assert_eq!(order(&edge, RoomWish::Auto)["doors"], "open");
    assert_eq!(browser.polls(&edge, "/")["state"], "inside");
    order(&edge, RoomWish::Close);
    assert_eq!(browser.gets(&edge, "/").status(), 200);
    order(&edge, RoomWish::Off);
    let passes = Browser::default().gets(&edge, "/");
    assert_eq!((passes.status(), passes.field("Set-Cookie")), (200, None));
    assert!((edge.rooms)(Some(&RoomOrder { room: "sail".into(), wish: RoomWish::Open })).is_none());
}

#[test]
fn a_restart_loses_nobodys_place() {
    let state = tempfile::tempdir().unwrap();
    let (endpoint, _asked) = application();
    let start = || common::kept_edge(endpoint, state.path().into(), |snapshot| snapshot.rooms = vec![room()]);
    let edge = start();
    let mut inside = Browser::default();
    inside.gets(&edge, "/");
    full_but_one(&edge);
    let mut waiting: Vec<Browser> = (0..5).map(|_| Browser::default()).collect();
    for (at, browser) in waiting.iter_mut().enumerate() {
        assert_eq!(browser.polls(&edge, "/")["place"], at + 1);
    }
    drop(edge);
    let edge = start();
    for (at, browser) in waiting.iter_mut().enumerate() {
        assert_eq!(browser.polls(&edge, "/")["place"], at + 1);
    }
    assert_eq!(Browser::default().polls(&edge, "/")["place"], 6);
    assert_eq!(inside.gets(&edge, "/").status(), 200);
}

#[test]
fn whose_browser_keeps_no_cookie_keeps_his_place_while_his_page_asks_and_is_told() {
    let (edge, asked) = behind(room());
    full(&edge);
    let (mut blocked, mut behind_him) = (Browser::default(), Browser::default());
    let page = blocked.gets(&edge, "/cart");
    let (_, script) = page.body.split_once("ticket = \"").expect("the page carries its ticket");
    let mut ticket = script.split('"').next().unwrap().to_owned();
    assert_eq!(behind_him.polls(&edge, "/")["place"], 2);
    let asks = |told: &mut Browser, ticket: &mut String| {
        let fields = format!("Tentpole-Room: page\r\nTentpole-Ticket: {ticket}\r\n");
        let answer = told.sends(&edge, "GET /cart", &fields);
        assert_eq!(answer.status(), 200, "{}", answer.head);
        let room: Value = serde_json::from_str(&answer.body).unwrap();
        if let Some(next) = room["ticket"].as_str() {
            *ticket = next.to_owned();
        }
        room
    };
    for _ in 0..3 {
        let told = asks(&mut Browser::default(), &mut ticket);
        assert_eq!((&told["place"], &told["cookies"]), (&1.into(), &false.into()));
        assert!(told["text"]["message"].as_str().unwrap().contains("keeps no cookies"), "{told}");
    }
    // A ticket of his own making is none, and in a field it opens nothing but the page's question.
    let forged = asks(&mut Browser::default(), &mut "00".repeat(45));
    assert_eq!(forged["place"], 3);
    let fields = format!("Tentpole-Ticket: {ticket}\r\n");
    assert_eq!(Browser::default().sends(&edge, "GET /cart", &fields).status(), 503);
    // His turn: who cannot come in keeps nobody waiting, and comes in once he allows cookies.
    order(&edge, RoomWish::Limit { active_max: Some(4), entries_per_minute: None });
    assert_eq!(asks(&mut Browser::default(), &mut ticket)["state"], "waiting");
    assert_eq!(behind_him.polls(&edge, "/")["state"], "inside");
    let mut allows = Browser::default();
    assert_eq!(asks(&mut allows, &mut ticket)["cookies"], false);
    assert_eq!(asks(&mut allows, &mut ticket)["state"], "inside");
    assert_eq!(allows.gets(&edge, "/cart").status(), 200);
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn of_two_edges_one_lets_in_and_the_next_one_counts_on_from_there() {
    let state = tempfile::tempdir().unwrap();
    let (endpoint, _asked) = application();
    let room = || Room { active_max: None, entries_per_minute: Some(60), ..room() };
    let start = || common::kept_edge(endpoint, state.path().into(), |snapshot| snapshot.rooms = vec![room()]);
    let began = clock::now();
    let before = start();
    // Ten at once are a minute's sixth; then one waits.
    let comes = |edge: &Running| Browser::default().gets(edge, "/").status();
    assert_eq!((0..10).map(|_| comes(&before)).collect::<Vec<_>>(), [200; 10]);
    let next = start();
    std::thread::scope(|scope| {
        // While the one before lets in, nobody comes in here, and nobody is sent away: he is held for a moment.
        let held = scope.spawn(|| comes(&next));
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(!held.is_finished());
        drop(before);
        let _ = held.join().unwrap();
    });
    // What the one before has let in counts: no second ten.
    let more = (0..10).filter(|_| comes(&next) == 200).count();
    let seconds = clock::now().since(began).as_secs() as usize;
    assert!(more <= 2 + seconds, "{more} more in {seconds} s, at one a second");
}

fn full_but_one(edge: &Running) {
    assert_eq!(Browser::default().gets(edge, "/").status(), 200);
}

#[test]
fn before_the_doors_open_nobody_has_a_place() {
    let far = 4_000_000_000;
    let (edge, asked) = behind(Room { opens_unix_s: Some(far), language: Some("de".into()), ..room() });
    let mut early = Browser::default();
    let page = early.gets(&edge, "/");
    assert!(
        page.body.contains("entscheidet unter allen") && page.body.contains("lang=\"de\""),
        "{}",
        page.body
    );
    let told = early.polls(&edge, "/");
    assert_eq!(
        (&told["state"], &told["place"], &told["opens"]),
        (&"early".into(), &Value::Null, &far.into())
    );
    assert!(asked.lock().unwrap().is_empty());
    order(&edge, RoomWish::Open);
    assert_eq!(early.polls(&edge, "/")["state"], "inside");
}

/// Seconds since 1970, so many from now on.
fn in_seconds(seconds: u64) -> u64 {
    clock::now().unix_us() / 1_000_000 + seconds
}

/// Asks until it is so: the clock of the edge goes on meanwhile.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = clock::now();
    while !is_so() {
        assert!(clock::now().since(began).as_secs() < 60, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn doors_open_by_the_clock_and_all_who_were_early_come_before_who_was_not() {
    // A machine that is held up gets more time, until all of them are early.
    let (edge, asked, mut early) = [4, 8, 16, 32]
        .into_iter()
        .find_map(|seconds| {
            let opens_unix_s = Some(in_seconds(seconds));
            let (edge, asked) = behind(Room { opens_unix_s, active_max: Some(6), ..room() });
            let mut early = Vec::from_iter((0..6).map(|_| Browser::default()));
            let all_are = early.iter_mut().all(|browser| browser.polls(&edge, "/")["state"] == "early");
            all_are.then_some((edge, asked, early))
        })
        .expect("nobody was early");
    assert_eq!(order(&edge, RoomWish::Auto)["active"], 0);
    until("the doors open", || order(&edge, RoomWish::Auto)["doors"] == "open");
    let mut late = Browser::default();
    assert_eq!(late.polls(&edge, "/")["state"], "waiting");
    until("all who were early come in", || {
        let told = Vec::from_iter(early.iter_mut().map(|browser| browser.polls(&edge, "/")));
        told.iter().all(|told| told["state"] == "inside")
    });
    // Six seats are all there are.
    assert_eq!((late.polls(&edge, "/")["place"].as_u64(), asked.lock().unwrap().len()), (Some(1), 0));
}

#[test]
fn doors_close_by_the_clock_and_those_inside_stay() {
    let (edge, mut inside) = [4, 8, 16, 32]
        .into_iter()
        .find_map(|seconds| {
            let (edge, _) = behind(Room { closes_unix_s: Some(in_seconds(seconds)), ..room() });
            let mut inside = Browser::default();
            (inside.gets(&edge, "/").status() == 200).then_some((edge, inside))
        })
        .expect("nobody came in before it was over");
    until("it is over", || order(&edge, RoomWish::Auto)["doors"] == "over");
    let page = Browser::default().gets(&edge, "/");
    assert!(page.status() == 503 && page.body.contains("This is over"), "{}", page.body);
    assert_eq!((page.field("Tentpole-Room"), page.field("Set-Cookie")), (Some("over"), None));
    assert_eq!(inside.gets(&edge, "/").status(), 200, "who is inside stays");
}

#[test]
fn a_page_of_ones_own_says_the_same_in_the_markets_language() {
    let template = "<!doctype html><html lang=\"{{language}}\"><title>{{title}}</title>\
                    <link rel=\"stylesheet\" href=\"/brand.css\"><h1>{{title}}</h1>{{status}}{{script}}";
    let (edge, _asked) =
        behind(Room { template: Some(template.into()), title: Some("Sale & more".into()), ..room() });
    full(&edge);
    let page =
        Browser::default().sends(&edge, "GET /de/korb", "Accept: text/html\r\nAccept-Language: sv\r\n");
    assert_eq!((page.status(), page.field("Cache-Control")), (503, Some("no-store, private, max-age=0")));
    for part in [
        "<html lang=\"de\"><title>Sale &amp; more</title>",
        "href=\"/brand.css\"><h1>Sale &amp; more</h1><p id=\"room-message\" role=\"status\"",
        "<dt>Ihr Platz</dt><dd id=\"room-place\">1</dd>",
        "\"Tentpole-Room\": \"page\"",
    ] {
        assert!(page.body.contains(part), "{part} is not in {}", page.body);
    }
    assert!(!page.body.contains("{{"), "{}", page.body);
}

#[test]
fn a_route_without_a_room_knows_nothing_of_it() {
    let (endpoint, _asked) = application();
    let edge = common::edge(endpoint, |snapshot| {
        snapshot.sites[0].routes[0].cache = RouteCache::Off;
        snapshot.rooms = vec![Room { paths: vec!["/checkout/*".into()], ..room() }];
    });
    for _ in 0..5 {
        let answer = Browser::default().gets(&edge, "/product");
        assert_eq!((answer.status(), answer.field("Set-Cookie")), (200, None));
    }
}
