//! A waiting-room evening: 10,000 people come at once to a shop that carries 300, with browsers that reload when nothing comes,
//! leave, and return. Each wants four pages, one after the other. Stock nginx lets all of them in, the shop works in order on
//! what nobody waits for any more, and nobody gets through. Behind a waiting room that says what the shop carries, those inside
//! have a shop that works, and the others a place that only gets better, until it is their turn. The evening is 30 s here, and a
//! visitor has gone after 10 s.

use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tentpole_testkit::{Answer, Ask, Up, Visitor};
use tentpole_tests::stock::Stock;
use tentpole_tests::workers::Workers;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

const VISITORS: u64 = 10_000;
/// Pages that the shop makes in a second: 100, which is what 300 read who look at each for 3 s.
const WORKERS: usize = 8;
const PAGE_TIME: Duration = Duration::from_millis(80);
const LOOKS: Duration = Duration::from_secs(3);
const PAGES: u64 = 4;
/// How long people wait for a page before they reload.
const PATIENCE: Duration = Duration::from_secs(4);
const EVENING: Duration = Duration::from_secs(30);
/// Behind the room it goes on until so many have got all that they wanted, this much longer at most: the machine may have other
/// work.
const VISITS: u64 = 60;
const LONGER: Duration = Duration::from_secs(90);
/// One of ten closes the page once while he waits, and comes again after this time, on another connection.
const AWAY: Duration = Duration::from_secs(6);
/// Those who come and ask at the same time: a test has no 10,000 sockets to spare. It helps the shop: others do not even reload.
const SOCKETS: usize = 900;

/// What became of them.
#[derive(Debug, Default)]
struct Told {
    /// Pages of the shop that somebody read.
    pages: AtomicU64,
    /// Who got all pages that he wanted.
    visits: AtomicU64,
    /// Nothing, or an error, instead of an answer.
    failed: AtomicU64,
    /// The same for those who had got a page before.
    failed_inside: AtomicU64,
    /// Who was told his place.
    placed: AtomicU64,
    /// Who was told a worse place than before.
    worse: AtomicU64,
    /// Who left the line for a while, and was back.
    returned: AtomicU64,
}

/// Somebody's browser.
struct Browser {
    address: SocketAddr,
    sockets: Arc<Semaphore>,
    ticket: Option<String>,
    place: u64,
    /// He is inside: what he asks for does not queue for a socket behind those who come.
    has_come: bool,
}

impl Browser {
    async fn asks(&mut self, ask: Ask) -> Option<Answer> {
        let _socket = match self.has_come {
            true => None,
            false => Some(self.sockets.acquire().await.unwrap()),
        };
        let ask = match &self.ticket {
            Some(ticket) => ask.cookie(ticket),
            None => ask,
        };
        let answer = timeout(PATIENCE, async {
            let mut visitor = Visitor::try_connect(self.address).await.ok()?;
            visitor.try_ask(&ask).await.ok()
        });
        let answer = answer.await.ok().flatten()?;
        if let Some(line) = answer.all("set-cookie").into_iter().find(|line| line.contains("tentpole_room_"))
        {
            self.ticket = line.split(';').next().map(str::to_owned);
        }
        Some(answer)
    }

    /// Comes, looks at pages one after the other, and behaves as people do when one does not come.
    async fn visits(&mut self, number: u64, told: &Told) {
        let mut seen = 0;
        while seen < PAGES {
            let page = self.asks(Ask::get("/").header("Accept", "text/html")).await;
            match page {
                Some(page) if page.status == 200 => {
                    seen += 1;
                    self.has_come = true;
                    told.pages.fetch_add(1, Relaxed);
                    sleep(LOOKS).await;
                }
                Some(page) if page.header("tentpole-room") == Some("waiting") => {
                    self.waits(number, told).await
                }
                _ => {
                    told.failed.fetch_add(1, Relaxed);
                    told.failed_inside.fetch_add(u64::from(seen > 0), Relaxed);
                    // Most reload at once; some look in again later.
                    let pause = if number.is_multiple_of(10) { 5_000 } else { 200 + number % 800 };
                    sleep(Duration::from_millis(pause)).await;
                }
            }
        }
        told.visits.fetch_add(1, Relaxed);
    }

    /// Stands in the line, as the page's script does.
    async fn waits(&mut self, number: u64, told: &Told) {
        let (mut refresh, mut was_away) = (Duration::from_secs(3), !number.is_multiple_of(10));
        loop {
            let leaves = !was_away && self.place > 0;
            if leaves {
                (was_away, refresh) = (true, AWAY);
            }
            sleep(refresh).await;
            let ask = Ask::get("/").header("Tentpole-Room", "poll");
            let Some(answer) = self.asks(ask).await.filter(|answer| answer.status == 200) else {
                told.failed.fetch_add(1, Relaxed);
                continue;
            };
            let room: Value = serde_json::from_slice(&answer.body).unwrap();
            if room["state"] == "inside" {
                self.has_come = true;
                return;
            }
            told.returned.fetch_add(u64::from(leaves), Relaxed);
            let place = room["place"].as_u64().unwrap();
            told.placed.fetch_add(u64::from(self.place == 0), Relaxed);
            told.worse.fetch_add(u64::from(self.place > 0 && place > self.place), Relaxed);
            self.place = place;
            refresh = Duration::from_secs_f64(room["refresh_seconds"].as_f64().unwrap());
        }
    }
}

/// All come at once. It goes on for this much longer at most, until enough have got all that they wanted.
async fn evening(address: SocketAddr, longer: Duration) -> Told {
    let (told, sockets) = (Arc::new(Told::default()), Arc::new(Semaphore::new(SOCKETS)));
    let (mut crowd, end) = (JoinSet::new(), Instant::now() + EVENING);
    for number in 0..VISITORS {
        let told = told.clone();
        let mut browser =
            Browser { address, sockets: sockets.clone(), ticket: None, place: 0, has_come: false };
        crowd.spawn(async move { browser.visits(number, &told).await });
    }
    sleep_until(end).await;
    while Instant::now() < end + longer && told.visits.load(Relaxed) < VISITS {
        sleep(Duration::from_millis(100)).await;
    }
    crowd.shutdown().await;
    Arc::try_unwrap(told).unwrap()
}

#[tokio::test]
#[ignore = "10,000 browsers take a machine that has no other work: `./check --soak`"]
async fn s3_1_an_evening_behind_nginx_serves_nobody_and_behind_a_waiting_room_those_inside_have_a_shop() {
    let shop = Workers::start(WORKERS, PAGE_TIME).await;
    let stock = Stock::nginx(&format!(
        "server {{ listen {{listen}}; location / {{ proxy_pass http://{}; }} }}",
        shop.address()
    ))
    .await;
    let nginx = evening(stock.address(), Duration::ZERO).await;
    println!("nginx: {nginx:?}, left in the shop: {}", shop.in_hand());
    drop((stock, shop));

    let shop = Workers::start(WORKERS, PAGE_TIME).await;
    let config = format!(
        "[pool.app]\nendpoints = [\"http://{}\"]\n[room.sale]\nactive = 300\nentries_per_minute = 600\nsession = \"10s\"\n",
        shop.address()
    );
    let tentpole = Up::config(&config).start().await;
    let ours = evening(tentpole.address(), LONGER).await;
    let rooms = tentpole.admin_visitor().await.get("/api/rooms").await.text();
    println!(
        "Tentpole: {ours:?}, left in the shop: {}; {}",
        shop.in_hand(),
        rooms.split("\"history\"").next().unwrap()
    );

    let read = |told: &Told| (told.visits.load(Relaxed), told.pages.load(Relaxed));
    let ((visits, _), (ours_visits, ours_pages)) = (read(&nginx), read(&ours));
    assert!(visits < 30, "{nginx:?}");
    assert!(nginx.failed.load(Relaxed) > 2_000, "{nginx:?}");
    assert!(ours_visits >= VISITS, "{ours:?}");
    assert!(ours.failed_inside.load(Relaxed) * 50 <= ours_pages, "{ours:?}");
    let (worse, returned) = (ours.worse.load(Relaxed), ours.returned.load(Relaxed));
    assert!(worse == 0 && returned > 0, "{ours:?}");
    assert!(shop.inside_most() <= 300, "{ours:?}");
    tentpole.ends().await;
}
