//! What observing one request costs a data thread: the counters, and the record pushed into the ring.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tentpole_model::{
    AccessLog, Attempt, CacheOutcome, End, LogSettings, Method, Outcome, RouteId, SiteId, Snapshot, Why,
};
use tentpole_observe::{Names, Observed, Record, Texts, log};
use tentpole_runtime::{Cells, ring};

fn main() {
    divan::main();
}

fn why(proxied: bool) -> Why {
    let mut why = Why {
        arrived_unix_us: 1_795_770_000_000_001,
        took_us: 4_200,
        head_us: 4_000,
        bytes_out: 512,
        peer: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        peer_port: 50_000,
        status: 200,
        method: Method::Get,
        site: Some(SiteId(0)),
        route: Some(RouteId(0)),
        cache: if proxied { CacheOutcome::Stored } else { CacheOutcome::Hit },
        end: End::Complete,
        ..Why::new()
    };
    if proxied {
        why.attempted(Attempt {
            endpoint: 1,
            connection_reused: true,
            queued_us: 0,
            connect_us: 0,
            first_byte_us: 3_000,
            hedged: false,
            not_again: None,
            detour: None,
            outcome: Outcome::Status(200),
        });
    }
    why
}

const TEXTS: Texts<'static> = Texts {
    method: b"GET",
    host: b"shop.example",
    target: b"/p/a-product-with-a-name?colour=blue&size=42",
    user_agent: b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    referer: b"https://shop.example/c/shoes",
    mark: b"",
};

/// The counters alone: a hit, then a proxied request.
#[divan::bench(args = [false, true])]
fn count(bencher: divan::Bencher, proxied: bool) {
    let observed = Observed::new(&LogSettings::default());
    let (metrics, _recorder) = observed.register();
    let why = why(proxied);
    bencher.bench_local(|| metrics.record(divan::black_box(&why)));
}

/// The record with its texts into a ring that has room: what the access log costs a data thread.
#[divan::bench(args = [false, true])]
fn record_for_the_log(bencher: divan::Bencher, proxied: bool) {
    let why = why(proxied);
    let observed = Observed::new(&LogSettings { access: AccessLog::Json, file: None });
    let rounds = std::cell::Cell::new(0u32);
    let slot = std::cell::RefCell::new(observed.register().1);
    bencher.bench_local(|| {
        // A fresh ring before this one is full, so that what is measured is pushing, not dropping.
        if rounds.get() == 10_000 {
            rounds.set(0);
            let observed = Observed::new(&LogSettings { access: AccessLog::Json, file: None });
            *slot.borrow_mut() = observed.register().1;
        }
        rounds.set(rounds.get() + 1);
        slot.borrow_mut().record(divan::black_box(&why), Some(divan::black_box(&TEXTS)));
    });
}

/// Without a log, once the recent list has its share: what every further request costs.
#[divan::bench]
fn record_without_a_log(bencher: divan::Bencher) {
    let observed = Observed::new(&LogSettings::default());
    let (_metrics, mut recorder) = observed.register();
    let why = why(false);
    bencher.bench_local(|| {
        let why = divan::black_box(&why);
        let texts = recorder.wants_texts(why).then_some(TEXTS);
        recorder.record(why, texts.as_ref());
    });
}

/// What one line costs the drain thread: its capacity is the inverse.
#[divan::bench(args = [AccessLog::Json, AccessLog::Combined])]
fn write_a_line(bencher: divan::Bencher, form: &AccessLog) {
    let (snapshot, cells) = (snapshot(), Cells::new());
    cells.of("app", "10.0.0.1:80");
    cells.of("app", "10.0.0.2:80");
    let names = Names::new(0, Arc::new(snapshot), cells);
    let record = Record { why: why(true), texts: Some(TEXTS) };
    let mut out = Vec::with_capacity(4_096);
    bencher.bench_local(|| {
        out.clear();
        log::write_line(&mut out, *form, divan::black_box(&record), &names);
    });
}

/// Sites and routes are looked up by number; here there are none, and the names are `?`.
fn snapshot() -> Snapshot {
    Snapshot { ..Snapshot::default() }
}

/// The ring alone, 250 bytes pushed and drained.
#[divan::bench]
fn push_and_drain(bencher: divan::Bencher) {
    let (mut producer, mut consumer) = ring::ring(1 << 20, 4_096);
    let (head, text) = ([7u8; 112], [b'x'; 138]);
    bencher.bench_local(|| {
        producer.push(divan::black_box(&[&head, &text]));
        consumer.drain(|record| {
            divan::black_box(record);
        });
    });
}
