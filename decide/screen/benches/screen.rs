//! What a check of a rate costs with four million keys, and what filters cost a request that they let through.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tentpole_model::{Filter, FilterAction, FilterWhen, LimitBy, Network, Puzzle, RateLimit};
use tentpole_screen::{Buckets, Facts, Judge, Lines, Rate, Rules};

const KEYS: u64 = 4_000_000;

fn main() {
    divan::main();
}

fn mixed(number: u64) -> u64 {
    // splitmix64
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Each check another of four million keys.
#[divan::bench]
fn take_one_of_four_million(bencher: divan::Bencher<'_, '_>) {
    let (buckets, rate) = (Buckets::new(KEYS as usize), Rate::new(100, Duration::from_secs(1), 100));
    (0..KEYS).for_each(|key| {
        let _ = buckets.take(mixed(key), rate, 1);
    });
    let mut round = 0u64;
    bencher.bench_local(|| {
        round += 1;
        buckets.take(mixed(mixed(round) % KEYS), rate, round * 100)
    });
}

/// Each check a key that nobody has seen, in a table that is full.
#[divan::bench]
fn take_from_a_flood_of_new_keys(bencher: divan::Bencher<'_, '_>) {
    let (buckets, rate) = (Buckets::new(KEYS as usize), Rate::new(100, Duration::from_secs(1), 100));
    (0..KEYS).for_each(|key| {
        let _ = buckets.take(mixed(key), rate, 1);
    });
    let mut round = KEYS;
    bencher.bench_local(|| {
        round += 1;
        buckets.take(mixed(round), rate, round * 100)
    });
}

struct Header;

impl Lines for Header {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        const AGENT: &[u8] =
            b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0";
        name.eq_ignore_ascii_case("user-agent") && test(AGENT)
    }
}

struct Bench(Buckets, std::cell::Cell<u64>);

impl Judge for Bench {
    fn take(&self, key: u64, rate: Rate) -> Result<(), Duration> {
        self.1.set(self.1.get() + 1_000_000_000);
        self.0.take(key, rate, self.1.get())
    }

    fn has_solved(&self, _: Puzzle) -> bool {
        true
    }
}

/// A deny list of a thousand networks, words of bots, and a rate by address.
#[divan::bench]
fn screen_by_a_thousand_networks_words_and_a_rate(bencher: divan::Bencher<'_, '_>) {
    let networks = (0..1_000u32).map(|n| Network { address: IpAddr::V4(Ipv4Addr::from(n << 20)), bits: 24 });
    let filter = |name: &str, when, action| Filter { name: name.into(), report: false, when, action };
    let words = ["curl/", "wget/", "python", "scrapy", "httpclient", "headless", "go-http", "libwww"];
    let rules = Rules::new(
        &[
            filter(
                "denied",
                FilterWhen { from: networks.collect(), ..FilterWhen::default() },
                FilterAction::Deny,
            ),
            filter(
                "bots",
                FilterWhen { user_agents: words.map(str::to_owned).to_vec(), ..FilterWhen::default() },
                FilterAction::Deny,
            ),
            filter(
                "rate",
                FilterWhen::default(),
                FilterAction::Limit(RateLimit {
                    requests: 100,
                    per: Duration::from_secs(1),
                    burst: 100,
                    by: vec![LimitBy::Address],
                    ipv6_bits: 64,
                }),
            ),
        ],
        &[],
        (1, 2),
    );
    let bench = Bench(Buckets::new(1 << 16), std::cell::Cell::new(0));
    let facts = Facts {
        address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        method: b"GET",
        host: b"shop.example",
        path: b"/p/shoe",
        route: None,
        fields: &Header,
    };
    bencher.bench_local(|| rules.screen(divan::black_box(&facts), &bench, |_| {}));
}
