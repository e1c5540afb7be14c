//! The waiting room as a whole: a shop that carries 300 visitors meets 10,000, an operator turns the doors by command, a shared
//! cache in front that stores whatever it may, and a kill in the middle. Real processes, real connections.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_runtime::clock;
use tentpole_testkit::{Answer, Ask, Origin, Response, Tentpole, Up, Visitor};
use tentpole_tests::stock::Stock;
use tentpole_tests::{pool, until};

/// Visitors of the evening.
const VISITORS: usize = 10_000;
/// Connections that carry them: a test has no 10,000 sockets to spare.
const CONNECTIONS: usize = 50;

/// A shop that knows its visitors by the field that each sends.
async fn shop() -> (Origin, Arc<Mutex<HashSet<String>>>) {
    let (shop, inside) = (Origin::start().await, Arc::new(Mutex::new(HashSet::new())));
    let seen = inside.clone();
    shop.otherwise(move |request| {
        seen.lock().unwrap().insert(request.header("x-visitor").unwrap_or_default().to_owned());
        Response::ok("the shop").header("Cache-Control", "no-store")
    });
    (shop, inside)
}

async fn behind(shop: &Origin, room: &str) -> Tentpole {
    Up::config(&format!("{}[room.sale]\n{room}\n", pool(&[shop], ""))).start().await
}

/// A visitor's browser.
#[derive(Clone, Default)]
struct Browser {
    name: String,
    cookies: HashMap<String, String>,
    place: u64,
    /// The last answer ended its connection: he is to come again later.
    is_closed: bool,
}

impl Browser {
    fn new(name: usize) -> Self {
        Self { name: name.to_string(), ..Self::default() }
    }

    async fn asks(&mut self, over: &mut Visitor, path: &str, fields: &[(&str, &str)]) -> Answer {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut ask = Ask::get(path).header("X-Visitor", &self.name);
        for (name, value) in fields {
            ask = ask.header(name, value);
        }
        if !cookies.is_empty() {
            ask = ask.cookie(&cookies.join("; "));
        }
        let answer = over.ask(&ask).await;
        self.is_closed = answer.header("connection") == Some("close");
        for line in answer.all("set-cookie") {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    async fn page(&mut self, over: &mut Visitor) -> Answer {
        self.asks(over, "/", &[("Accept", "text/html")]).await
    }

    /// How it stands: the place, or 0 inside. Asserts that a place never gets worse.
    async fn stands(&mut self, over: &mut Visitor) -> u64 {
        let answer = self.asks(over, "/", &[("Tentpole-Room", "poll")]).await.expect(200);
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        let place = match told["state"].as_str() {
            Some("inside") => 0,
            Some("waiting" | "closed") => told["place"].as_u64().unwrap(),
            other => panic!("{other:?}: {told}"),
        };
        assert!(self.place == 0 || place <= self.place, "{}: {place} after {}", self.name, self.place);
        self.place = place;
        place
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

async fn rooms(tentpole: &Tentpole) -> Value {
    let answer = tentpole.admin_visitor().await.get("/api/rooms").await.expect(200);
    serde_json::from_slice::<Value>(&answer.body).unwrap()["rooms"][0].clone()
}

async fn turn(tentpole: &Tentpole, wish: &str) -> Value {
    let ask = Ask::post("/api/rooms/sale", wish).header("Content-Type", "application/json");
    let answer = tentpole.admin_visitor().await.ask(&ask).await.expect(200);
    serde_json::from_slice::<Value>(&answer.body).unwrap()["rooms"][0].clone()
}

/// All of them ask how they stand, over a few connections.
async fn all_ask(tentpole: &Tentpole, crowd: Vec<Browser>) -> Vec<Browser> {
    let mut left = crowd;
    let mut tasks = Vec::new();
    let size = left.len().div_ceil(CONNECTIONS);
    while !left.is_empty() {
        let rest = left.split_off(size.min(left.len()));
        let (mut part, address) = (std::mem::replace(&mut left, rest), tentpole.address());
        tasks.push(tokio::spawn(async move {
            let connects = async || Visitor::connect(address).await.patience(Duration::from_secs(120));
            let mut over = connects().await;
            for browser in &mut part {
                browser.stands(&mut over).await;
                if browser.is_closed {
                    over = connects().await;
                }
            }
            part
        }));
    }
    let mut asked = Vec::new();
    for task in tasks {
        asked.extend(task.await.unwrap());
    }
    asked
}

#[tokio::test]
async fn ten_thousand_come_to_a_shop_that_carries_three_hundred() {
    let (shop, inside) = shop().await;
    let tentpole = behind(&shop, "active = 300\nentries_per_minute = 600").await;
    let begun = clock::now();
    let mut crowd = all_ask(&tentpole, (0..VISITORS).map(Browser::new).collect()).await;
    // Each has a place of his own, in the order of arrival but for those who came at the same moment.
    let waiting = |crowd: &[Browser]| crowd.iter().filter(|browser| browser.place > 0).count();
    let here = rooms(&tentpole).await;
    let entered = here["entered"].as_u64().unwrap();
    assert_eq!(waiting(&crowd) as u64 + entered, VISITORS as u64);
    let before: HashMap<String, u64> = crowd.iter().map(|b| (b.name.clone(), b.place)).collect();
    // They reload; some look away; one has written his ticket down for a friend.
    crowd = all_ask(&tentpole, crowd).await;
    for browser in crowd.iter().filter(|browser| browser.place > 0) {
        assert!(browser.place <= before[&browser.name]);
    }
    // Nobody was served by the shop who is not inside, and never more than it carries.
    let minutes = clock::now().since(begun).as_secs() / 60 + 1;
    let here = rooms(&tentpole).await;
    let (active, entered) = (here["active"].as_u64().unwrap(), here["entered"].as_u64().unwrap());
    assert!(active <= 300 && entered <= 606 * minutes, "{here}");
    // Polls are answered by the room.
    assert_eq!(inside.lock().unwrap().len(), 0);
    let mut over = tentpole.visitor().await;
    let first = crowd.iter_mut().find(|browser| browser.place == 0).unwrap();
    assert_eq!(first.page(&mut over).await.text(), "the shop");
    let last = crowd.iter_mut().max_by_key(|browser| browser.place).unwrap();
    let page = last.page(&mut over).await.expect(503);
    let page = page.text();
    let shown = page
        .split_once("<dd id=\"room-place\">")
        .and_then(|(_, rest)| rest.split_once("</dd>"))
        .expect(&page)
        .0;
    // Those before him may have come in since he asked.
    let place: u64 = shown.replace(',', "").parse().expect(&page);
    assert!((last.place.saturating_sub(300)..=last.place).contains(&place), "{shown}, before {}", last.place);
    if place >= 1_000 {
        assert_eq!(shown, format!("{},{:03}", place / 1_000, place % 1_000));
    }
    println!("10,000 asked twice in {:?}; {here}", clock::now().since(begun));
    tentpole.ends().await;
}

#[tokio::test]
async fn a_killed_edge_loses_nobodys_place_and_lets_nobody_in_twice() {
    let (shop, _) = shop().await;
    let tentpole = behind(&shop, "active = 20\nentries_per_minute = 1000").await;
    let mut crowd = all_ask(&tentpole, (0..200).map(Browser::new).collect()).await;
    let places: Vec<u64> = crowd.iter().map(|browser| browser.place).collect();
    // What was given is on disk within half a second, and the machine may hold up the one who writes.
    let kept = || async { rooms(&tentpole).await["active"] == 20 };
    until("20 to be inside", kept).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let edge = tentpole.part("edge").unwrap();
    signal(edge, Signal::KILL);
    until("another edge to take its place", async || tentpole.part("edge").is_some_and(|pid| pid != edge))
        .await;
    crowd = all_ask(&tentpole, crowd).await;
    for (browser, before) in crowd.iter().zip(places) {
        assert!(browser.place <= before, "{}: {} after {before}", browser.name, browser.place);
    }
    let here = rooms(&tentpole).await;
    assert_eq!(here["active"], 20, "{here}");
    tentpole.ends().await;
}

/// What happens to the edge while visitors come in.
enum Event {
    Upgrade,
    Kill,
}

/// Visitors come in, 20 in a second, until the shop is full; meanwhile this happens to the edge, twice. Returns how many were
/// told that they are inside, out of 300 for whom there is room.
async fn come_in_during(event: Event) -> usize {
    let (shop, _) = shop().await;
    let tentpole = behind(&shop, "active = 300\nentries_per_minute = 1200").await;
    let is_inside = |crowd: &[Browser]| crowd.iter().filter(|browser| browser.place == 0).count();
    let mut crowd = all_ask(&tentpole, (0..500).map(Browser::new).collect()).await;
    assert!((1..300).contains(&is_inside(&crowd)), "{} at once", is_inside(&crowd));
    // Who came in unwritten is ahead again of those who wait, until he has not been seen for a minute.
    let worse = match event {
        Event::Upgrade => 0,
        Event::Kill => 150,
    };
    let (mut events, mut last) = (0, clock::now());
    let (mut most, mut grew) = (0, clock::now());
    loop {
        if is_inside(&crowd) > most {
            (most, grew) = (is_inside(&crowd), clock::now());
        }
        // All seats are taken; after a kill those of whom nobody knows are kept for a minute, and nobody waits here for that.
        let is_over = match event {
            Event::Upgrade => most >= 300 || clock::now().since(last) > Duration::from_secs(60),
            Event::Kill => clock::now().since(grew) > Duration::from_secs(3),
        };
        if events == 2 && is_over {
            break;
        }
        if events < 2 && is_inside(&crowd) > 205 + 15 * events {
            events += 1;
            last = clock::now();
            let edge = tentpole.part("edge").unwrap();
            match event {
                Event::Kill => signal(edge, Signal::KILL),
                Event::Upgrade => {
                    let (address, wish) = (tentpole.admin(), Ask::post("/api/upgrade", "{}"));
                    let wish = wish.header("Content-Type", "application/json");
                    // Beside those who come in.
                    let upgrade = tokio::spawn(async move {
                        let mut operator = Visitor::connect(address).await.patience(Duration::from_secs(60));
                        operator.ask(&wish).await.expect(200);
                    });
                    while !upgrade.is_finished() {
                        crowd = keep_asking(&tentpole, crowd, worse).await;
                    }
                    upgrade.await.unwrap();
                }
            }
        }
        crowd = keep_asking(&tentpole, crowd, worse).await;
    }
    // And a while longer, for whoever might come in too.
    let end = clock::now().after(Duration::from_secs(2));
    while clock::now() < end {
        crowd = keep_asking(&tentpole, crowd, worse).await;
    }
    println!("{} are inside of 300", is_inside(&crowd));
    tentpole.ends().await;
    is_inside(&crowd)
}

/// Those who wait ask how they stand, and are told a place that is so much worse at most; what breaks on the way is asked again by
/// the next call.
async fn keep_asking(tentpole: &Tentpole, mut crowd: Vec<Browser>, worse: u64) -> Vec<Browser> {
    let mut over = None;
    for browser in crowd.iter_mut().filter(|browser| browser.place > 0) {
        let mut visitor = match over.take() {
            Some(visitor) => visitor,
            None => match Visitor::try_connect(tentpole.address()).await {
                Ok(visitor) => visitor,
                Err(_) => continue,
            },
        };
        let cookie = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).next();
        let ask = Ask::get("/").header("Tentpole-Room", "poll").cookie(&cookie.unwrap());
        let Ok(answer) = visitor.try_ask(&ask).await else { continue };
        for line in answer.all("set-cookie") {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            browser.cookies.insert(name.to_owned(), value.to_owned());
        }
        let told: Value = serde_json::from_slice(&answer.body).unwrap();
        match told["place"].as_u64() {
            _ if told["state"] == "inside" => browser.place = 0,
            Some(place) => {
                assert!(place <= browser.place + worse, "{place} after {}", browser.place);
                browser.place = place;
            }
            // The edge before leaves.
            None => {}
        }
        if answer.header("connection") != Some("close") {
            over = Some(visitor);
        }
    }
    crowd
}

#[tokio::test]
async fn during_upgrades_no_more_come_in_than_may() {
    let inside = come_in_during(Event::Upgrade).await;
    assert_eq!(inside, 300);
}

#[tokio::test]
async fn an_edge_that_is_killed_while_visitors_come_in_forgets_hardly_anyone() {
    let inside = come_in_during(Event::Kill).await;
    // At most one in a hundred too many, however busy the machine is.
    assert!((220..=303).contains(&inside), "{inside}");
}

#[tokio::test]
async fn who_leaves_the_line_and_returns_is_where_he_was_and_comes_in_at_once_when_his_turn_has_passed() {
    let (shop, served) = shop().await;
    let tentpole = behind(&shop, "active = 1\nentries_per_minute = 6000").await;
    let mut over = tentpole.visitor().await;
    let mut crowd: Vec<Browser> = (0..6).map(Browser::new).collect();
    for (at, browser) in crowd.iter_mut().enumerate() {
        assert_eq!(browser.stands(&mut over).await, at as u64);
    }
    let [_, second, third, fourth, fifth, sixth] = &mut crowd[..] else { panic!("six") };
    // The second closes his browser; it is his turn, and nobody comes. The third, who is there, does not wait for him.
    turn(&tentpole, "{\"let_in\":1}").await;
    assert_eq!(third.page(&mut over).await.status, 200);
    // He is back, over another connection: nobody has his place, nor is he further back than those who stayed.
    let mut again = tentpole.visitor().await;
    let page = second.page(&mut again).await.expect(503);
    assert!(page.text().contains("<dd id=\"room-place\">1</dd>"), "{}", page.text());
    assert_eq!(fourth.stands(&mut over).await, 1);
    assert_eq!(sixth.stands(&mut over).await, 3);
    turn(&tentpole, "{\"let_in\":1}").await;
    // His turn has passed: he does not line up again, he comes in at once.
    assert_eq!(second.page(&mut again).await.status, 200);
    assert_eq!(fourth.stands(&mut over).await, 1);
    assert!(served.lock().unwrap().contains("1"));
    // A copy of his place is worth nothing any more, and whoever comes without one stands at the end.
    let mut stranger = Browser::new(9);
    assert!(stranger.stands(&mut over).await > sixth.stands(&mut over).await);
    turn(&tentpole, "{\"let_in\":2}").await;
    // The fifth leaves, too, and finds the seat that was his when he returns.
    assert_eq!(fourth.stands(&mut over).await, 0);
    assert_eq!(sixth.stands(&mut over).await, 0);
    turn(&tentpole, "{\"let_in\":1}").await;
    assert_eq!(stranger.stands(&mut over).await, 0);
    assert_eq!(fifth.stands(&mut again).await, 1);
    turn(&tentpole, "{\"let_in\":1}").await;
    assert_eq!(fifth.stands(&mut again).await, 0);
    tentpole.ends().await;
}

#[tokio::test]
async fn a_room_that_cannot_be_written_down_says_so_and_lets_visitors_in() {
    let (shop, _) = shop().await;
    let config = format!("{}[room.sale]\nactive = 2\nentries_per_minute = 6000\n", pool(&[&shop], ""));
    let tentpole = Up::config(&config).argument("--state").argument("state").start().await;
    let (mut over, mut crowd) = (tentpole.visitor().await, Vec::from_iter((0..3).map(Browser::new)));
    assert_eq!(crowd[0].stands(&mut over).await, 0);
    assert_eq!(rooms(&tentpole).await["kept"], "written");
    // What is to become its file cannot: a directory stands there.
    let file = tentpole.dir().join("state/room-sale.json");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir_all(file.join("in the way")).unwrap();
    assert_eq!(turn(&tentpole, "{\"active\":3}").await["kept"], "fails");
    let told = rooms(&tentpole).await;
    assert!(told["kept_error"].as_str().unwrap().contains("directory"), "{told}");
    assert_eq!(crowd[1].stands(&mut over).await, 0);
    std::fs::remove_dir_all(&file).unwrap();
    until("it to be written again", async || rooms(&tentpole).await["kept"] == "written").await;
    assert_eq!(crowd[2].stands(&mut over).await, 0);
    tentpole.ends().await;
}

#[tokio::test]
async fn losing_half_of_the_instances_halves_the_entries_within_seconds() {
    let ((one, _), (other, _)) = (shop().await, shop().await);
    let config = format!(
        "{}health = {{ path = \"/\", interval = \"200ms\", timeout = \"10s\" }}\n[room.sale]\nvisitors_per_endpoint = 600\n",
        pool(&[&one, &other], "")
    );
    let tentpole = Up::config(&config).start().await;
    let mut crowd = all_ask(&tentpole, (0..800).map(Browser::new).collect()).await;
    assert_eq!(rooms(&tentpole).await["entries_per_minute"], 1_200);
    let is_inside = |crowd: &[Browser]| crowd.iter().filter(|browser| browser.place == 0).count();
    let lost = clock::now();
    other.stops().await;
    until("half of the entries", async || rooms(&tentpole).await["entries_per_minute"] == 600).await;
    let noticed = clock::now().since(lost);
    // From there on: ten in a second.
    crowd = keep_asking(&tentpole, crowd, 0).await;
    let (before, from) = (is_inside(&crowd), clock::now());
    while clock::now().since(from) < Duration::from_secs(6) {
        crowd = keep_asking(&tentpole, crowd, 0).await;
    }
    let entered = is_inside(&crowd) - before;
    println!("noticed after {noticed:?}; then {entered} in {:?}", clock::now().since(from));
    let most = clock::now().since(from).as_secs_f64() * 10.0 + 22.0;
    assert!(noticed < Duration::from_secs(20) && (entered as f64) <= most, "{noticed:?} {entered} {most}");
    tentpole.ends().await;
}

#[tokio::test]
async fn of_two_who_share_a_ticket_one_stays_inside() {
    let (shop, _) = shop().await;
    // With a session of five minutes a first ticket is good for ten seconds, and for what was under way then twenty more. With
    // this one, half a second and one.
    let tentpole = behind(&shop, "active = 1\nsession = \"15s\"").await;
    let mut owner = Browser::new(1);
    assert_eq!(owner.page(&mut tentpole.visitor().await).await.status, 200);
    let mut friend = owner.clone();
    let inside =
        async |browser: &mut Browser| browser.page(&mut tentpole.visitor().await).await.status == 200;
    let begun = clock::now();
    loop {
        assert!(inside(&mut owner).await, "one of them stays");
        // The friend's browser does not get what the owner's was given.
        let shared = friend.clone();
        if !inside(&mut friend).await {
            break;
        }
        friend = shared;
        assert!(clock::now().since(begun) < Duration::from_secs(30), "both stay inside");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(inside(&mut owner).await);
    assert!(!inside(&mut friend).await, "a copied ticket serves one visitor");
    assert!(rooms(&tentpole).await["copied_tickets"].as_u64().unwrap() > 0);
    tentpole.ends().await;
}

#[tokio::test]
async fn an_operator_closes_opens_and_lets_in_by_the_api() {
    let (shop, _) = shop().await;
    let tentpole = behind(&shop, "active = 1").await;
    // Whose turn is minutes away comes back over another connection.
    let over = async || tentpole.visitor().await;
    let mut crowd: Vec<Browser> = (0..3).map(Browser::new).collect();
    assert_eq!(turn(&tentpole, "{\"doors\":\"close\"}").await["doors"], "closed");
    for (at, browser) in crowd.iter_mut().enumerate() {
        assert_eq!(browser.stands(&mut over().await).await, at as u64 + 1);
    }
    assert_eq!(turn(&tentpole, "{\"doors\":\"auto\"}").await["doors"], "open");
    assert_eq!(crowd[0].stands(&mut over().await).await, 0);
    assert_eq!(crowd[1].stands(&mut over().await).await, 1);
    turn(&tentpole, "{\"let_in\":1}").await;
    assert_eq!(crowd[1].stands(&mut over().await).await, 0);
    assert_eq!(turn(&tentpole, "{\"active\":5}").await["active_max"], 5);
    // Each answer to one who waits is counted by his rank: four of them.
    let told = "tentpole_ladder_requests_total{step=\"room\",priority=\"normal\"} 4\n";
    let metrics = async || tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
    until("those who waited to be counted", async || metrics().await.contains(told)).await;
    let wrong = Ask::post("/api/rooms/sale", "{\"doors\":\"ajar\"}");
    tentpole.admin_visitor().await.ask(&wrong).await.expect(400);
    tentpole.admin_visitor().await.ask(&Ask::post("/api/rooms/sail", "{\"let_in\":1}")).await.expect(404);
    tentpole.ends().await;
}

/// nginx as somebody sets it up who wants everything cached: it ignores what responses say of caching.
#[tokio::test]
async fn no_cache_in_front_gives_one_visitors_place_to_another() {
    let (shop, _) = shop().await;
    let tentpole = behind(&shop, "active = 1").await;
    let nginx = Stock::nginx(&format!(
        "proxy_cache_path cache keys_zone=all:1m;\nserver {{\nlisten {{listen}};\nlocation / {{\n\
         proxy_pass http://{};\nproxy_cache all;\nproxy_cache_valid any 10m;\n\
         proxy_ignore_headers Cache-Control Expires Set-Cookie;\nproxy_cache_use_stale error timeout updating;\n\
         proxy_set_header Host $host;\nadd_header X-Front $upstream_cache_status always;\n}} }}",
        tentpole.address()
    ))
    .await;
    let mut over = nginx.visitor().await;
    let mut first = Browser::new(0);
    // Past the cache in front: this is about the room's own answers.
    assert_eq!(first.page(&mut tentpole.visitor().await).await.status, 200);
    let mut crowd: Vec<Browser> = (1..4).map(Browser::new).collect();
    for (at, browser) in crowd.iter_mut().enumerate() {
        let page = browser.page(&mut over).await.expect(503);
        assert_eq!(page.header("x-front"), Some("MISS"), "{page:?}");
        assert!(page.text().contains(&format!("<dd id=\"room-place\">{}</dd>", at + 1)), "{}", page.text());
        assert_eq!(browser.stands(&mut over).await, at as u64 + 1);
    }
    turn(&tentpole, "{\"let_in\":1}").await;
    assert_eq!(crowd[0].stands(&mut over).await, 0);
    assert_eq!(crowd[1].stands(&mut over).await, 1);
    tentpole.ends().await;
}

#[tokio::test]
async fn who_was_let_in_and_cannot_be_served_just_now_keeps_his_seat() {
    let (shop, _) = shop().await;
    shop.on("/busy").respond(Response::status(200).header("Cache-Control", "no-store"));
    let held = shop.holds("/busy");
    let pool =
        format!("threads = 1\n[pool.app]\nendpoints = [{{ url = \"{}\", requests_max = 1 }}]\n", shop.url());
    let config = format!("{pool}queue = {{ length = 0 }}\n[room.sale]\npaths = [\"/sale\"]\nactive = 1\n");
    let tentpole = Up::config(&config).start().await;
    let occupied = tokio::spawn({
        let mut visitor = tentpole.visitor().await;
        async move { visitor.get("/busy").await.status }
    });
    until("the one place to be taken", async || shop.requests_for("/busy").len() == 1).await;
    let (mut over, mut browser, mut other) = (tentpole.visitor().await, Browser::new(1), Browser::new(2));
    // He comes in, and the shop has no place for his page: a ticket comes with the answer, and no cache keeps it.
    let answer = browser.asks(&mut over, "/sale", &[("Accept", "text/html")]).await.expect(503);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let ticket = browser.cookies.get("tentpole_room_sale").expect("his ticket came with it").clone();
    let told = |answer: Answer| serde_json::from_slice::<Value>(&answer.body).unwrap()["state"].clone();
    let poll = [("Tentpole-Room", "poll")];
    assert_eq!(told(browser.asks(&mut over, "/sale", &poll).await.expect(200)), "inside");
    assert_eq!(told(other.asks(&mut tentpole.visitor().await, "/sale", &poll).await.expect(200)), "waiting");
    held.release();
    assert_eq!(occupied.await.unwrap(), 200);
    // With that very ticket he is inside, whenever he comes.
    browser.cookies.insert("tentpole_room_sale".to_owned(), ticket);
    until("the place to be free", async || {
        browser.asks(&mut tentpole.visitor().await, "/sale", &[("Accept", "text/html")]).await.status == 200
    })
    .await;
    assert_eq!(rooms(&tentpole).await["copied_tickets"], 0);
    tentpole.ends().await;
}
