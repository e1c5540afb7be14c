//! S4.6: a peak that nobody announced, ten times what the shop can serve, and nobody has prepared it. Most want a landing page,
//! crawlers go on crawling, and some are in a checkout. Stock nginx lets all of them in: the shop works on, in order, for people
//! who have left and asked again, checkouts fail with the rest, and when the peak is over it goes on for a while. Tentpole, with
//! nothing said but how many requests at once the shop takes, serves checkouts first, sends away at once whom it could not reach
//! in time, and the shop goes on as fast as it can; told nothing at all, it does the same a few seconds into the peak. The
//! story's five minutes are 12 s here; `S4_6_SECONDS` makes them more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tentpole_testkit::{Ask, Up, Visitor};
use tentpole_tests::stock::Stock;
use tentpole_tests::workers::Workers;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

const WORKERS: usize = 4;
const PAGE_TIME: Duration = Duration::from_millis(200);
/// What that makes in a second.
const CAPACITY: u64 = 20;
/// How long people wait for a page.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often they ask once more at once, when nothing comes.
const TRIES_MAX: u32 = 3;
/// Who is told to come later than this does not.
const RETURNS_WITHIN: u64 = 15;
/// Of a peak that shows anything.
const STOOD_STILL_MOST: f64 = 0.05;
const CRAWLER: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// What became of those who came during the peak, and of those who came after it.
#[derive(Debug, Default)]
struct Told {
    checkouts: AtomicU64,
    checkouts_served: AtomicU64,
    others: AtomicU64,
    others_served: AtomicU64,
}

/// Somebody comes, and behaves as people with browsers do, and clients.
async fn comes(address: SocketAddr, ask: Ask) -> bool {
    for _ in 0..TRIES_MAX {
        let answer = timeout(PATIENCE, async {
            let mut visitor = Visitor::try_connect(address).await.ok()?;
            visitor.try_ask(&ask).await.ok()
        });
        match answer.await {
            Ok(Some(answer)) if answer.status == 200 => return true,
            Ok(Some(answer)) => match answer.header("retry-after").and_then(|told| told.parse().ok()) {
                Some(told) if told <= RETURNS_WITHIN => sleep(Duration::from_secs(told)).await,
                Some(_) => return false,
                None => sleep(Duration::from_secs(1)).await,
            },
            // Nothing, or a broken connection: once more.
            _ => sleep(Duration::from_millis(50)).await,
        }
    }
    false
}

/// So many in a second for so long: two in five of what the shop can serve are in a checkout, a fifth of all the others crawl.
async fn crowd(
    address: SocketAddr,
    per_second: u64,
    time: Duration,
    told: &Arc<Told>,
    asks: &mut JoinSet<()>,
) {
    let (began, mut number) = (Instant::now(), 0);
    let checkouts = (CAPACITY * 2 / 5).min(per_second * 2 / 5);
    while began.elapsed() < time {
        let due = (began.elapsed().as_secs_f64() * per_second as f64) as u64;
        while number < due {
            number += 1;
            let is_checkout = number * checkouts / per_second != (number - 1) * checkouts / per_second;
            let ask = match is_checkout {
                true => Ask::post("/checkout/address", "street=1"),
                false if number % 5 == 0 => Ask::get(&format!("/p/{number}")).header("User-Agent", CRAWLER),
                false => Ask::get("/"),
            };
            let told = told.clone();
            asks.spawn(async move {
                let (came, served) = match is_checkout {
                    true => (&told.checkouts, &told.checkouts_served),
                    false => (&told.others, &told.others_served),
                };
                came.fetch_add(1, Relaxed);
                served.fetch_add(u64::from(comes(address, ask).await), Relaxed);
            });
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// What a run came to.
#[derive(Debug)]
struct Run {
    /// Pages in a second that the shop finished and somebody read, before the peak as fast as it can, and in its second half.
    before: f64,
    during: f64,
    /// Meanwhile, the share of its workers' time that they worked, and of their pages that somebody read.
    busy: f64,
    read: f64,
    /// Share of checkouts that went through.
    checkouts: f64,
    /// Requests that the shop had in hand when the peak ended.
    left: u64,
    /// After the end of the peak, until three who look in one after the other are served.
    recovers_in: Duration,
    /// The share of the peak for which crowd and shop stood still, as the machine had other work.
    stood_still: f64,
}

impl Run {
    /// The machine did not let the crowd come as it should, or the shop serve as it can.
    fn is_held_up(&self) -> bool {
        self.stood_still >= STOOD_STILL_MOST || self.before < 0.9 * CAPACITY as f64
    }
}

/// The same for both: as many as the shop can serve, the peak, and afterwards somebody who looks in.
async fn peak(shop: &Workers, address: SocketAddr) -> Run {
    let seconds = std::env::var("S4_6_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let time = Duration::from_secs(seconds);
    let read = Arc::new(AtomicU64::new(0));
    let mut busy = JoinSet::new();
    for _ in 0..WORKERS + 2 {
        let read = read.clone();
        busy.spawn(async move {
            let mut visitor = Visitor::connect(address).await;
            loop {
                read.fetch_add(u64::from(visitor.get("/").await.status == 200), Relaxed);
            }
        });
    }
    sleep(Duration::from_secs(1)).await;
    let (began, at) = (Instant::now(), read.load(Relaxed));
    sleep(Duration::from_secs(4)).await;
    let before = (read.load(Relaxed) - at) as f64 / began.elapsed().as_secs_f64();
    busy.shutdown().await;

    let (told, mut asks) = (Arc::new(Told::default()), JoinSet::new());
    let stood_us = Arc::new(AtomicU64::new(0));
    let stood = stood_us.clone();
    let watch = tokio::spawn(async move {
        loop {
            let began = Instant::now();
            sleep(Duration::from_millis(5)).await;
            let late = began.elapsed().saturating_sub(Duration::from_millis(50));
            stood.fetch_add(late.as_micros() as u64, Relaxed);
        }
    });
    let served = |told: &Told| told.checkouts_served.load(Relaxed) + told.others_served.load(Relaxed);
    crowd(address, 10 * CAPACITY, time / 2, &told, &mut asks).await;
    let (began, at, done, worked) = (Instant::now(), served(&told), shop.done(), shop.busy());
    crowd(address, 10 * CAPACITY, time / 2, &told, &mut asks).await;
    let (seconds, pages) = (began.elapsed().as_secs_f64(), (served(&told) - at) as f64);
    let during = pages / seconds;
    let busy = (shop.busy() - worked).as_secs_f64() / (seconds * WORKERS as f64);
    let read = pages / (shop.done() - done) as f64;
    let (left, ended) = (shop.in_hand(), Instant::now());
    watch.abort();
    let stood_still = Duration::from_micros(stood_us.load(Relaxed)).as_secs_f64() / time.as_secs_f64();
    let looks_in = async {
        let mut in_a_row = 0;
        while in_a_row < 3 {
            let asked = timeout(PATIENCE, async {
                Visitor::try_connect(address).await.ok()?.try_ask(&Ask::get("/")).await.ok()
            });
            let is_served = matches!(asked.await, Ok(Some(answer)) if answer.status == 200);
            in_a_row = if is_served { in_a_row + 1 } else { 0 };
            sleep(Duration::from_millis(100)).await;
        }
    };
    let recovered = timeout(Duration::from_secs(30), looks_in).await;
    let recovers_in = recovered.map_or(Duration::MAX, |()| ended.elapsed());
    while asks.join_next().await.is_some() {}
    let checkouts = told.checkouts_served.load(Relaxed) as f64 / told.checkouts.load(Relaxed) as f64;
    Run { before, during, busy, read, checkouts, left, recovers_in, stood_still }
}

#[tokio::test]
async fn s4_6_behind_nginx_checkouts_fail_with_the_rest_and_behind_tentpole_they_go_through() {
    let shop = Workers::start(WORKERS, PAGE_TIME).await;
    let stock = Stock::nginx(&format!(
        "server {{ listen {{listen}}; location / {{ proxy_pass http://{}; }} }}",
        shop.address()
    ))
    .await;
    let nginx = peak(&shop, stock.address()).await;
    println!("nginx: {nginx:?}");
    drop(stock);
    drop(shop);
    assert!(nginx.checkouts < 0.7, "{nginx:?}");
    assert!(nginx.during < nginx.before * 0.7, "{nginx:?}");
    assert!(nginx.is_held_up() || nginx.left > 4 * WORKERS as u64, "{nginx:?}");

    let shop = Workers::start(WORKERS, PAGE_TIME).await;
    let config = format!(
        "[pool.app]\nendpoints = [{{ url = \"http://{}\", requests_max = {} }}]\n",
        shop.address(),
        WORKERS + 2
    );
    let tentpole = Up::config(&config).start().await;
    let ours = peak(&shop, tentpole.address()).await;
    println!("Tentpole, told how many: {ours:?}");
    assert!(ours.left <= WORKERS as u64 + 2, "{ours:?}");
    if ours.is_held_up() {
        println!("NOT JUDGED: the machine held up those who came");
        assert!(ours.checkouts >= nginx.checkouts, "{ours:?} {nginx:?}");
        return tentpole.ends().await;
    }
    assert!(ours.checkouts >= 0.994, "{ours:?}");
    // In its workers' own time, and with room for a machine that has other work too: the goal is 0.95.
    assert!(ours.busy >= 0.85 && ours.read >= 0.85, "{ours:?}");
    assert!(ours.recovers_in < Duration::from_secs(15), "{ours:?}");
    tentpole.ends().await;
}

#[tokio::test]
async fn s4_6_with_nothing_set_at_all_checkouts_go_through() {
    let shop = Workers::start(WORKERS, PAGE_TIME).await;
    let config = format!("[pool.app]\nendpoints = [\"{}\"]\n", shop.url());
    let tentpole = Up::config(&config).start().await;
    let ours = peak(&shop, tentpole.address()).await;
    println!("Tentpole, told nothing: {ours:?}");
    assert!(ours.recovers_in < Duration::MAX, "{ours:?}");
    // Until it is in force a few seconds of work are in the shop. One that stands still meanwhile needs longer for them than
    // people wait, whatever is done after that.
    if !ours.is_held_up() {
        // Of a hundred, five may have given up before it was in force: the sooner the machine sees it, the fewer.
        assert!(ours.checkouts >= 0.95, "{ours:?}");
        assert!(ours.left <= 20 * WORKERS as u64, "{ours:?}");
        assert!(ours.recovers_in < Duration::from_secs(15), "{ours:?}");
    }
    tentpole.ends().await;
}
