//! What a request costs here beyond one whose route says nothing: its cookies always, its query by the rules, the rest
//! only where what is stored varies by it.

use std::hint::black_box;
use tentpole_key::{Codings, Device, KeyRules, lookup};
use tentpole_model::{Caching, QueryRules};

fn main() {
    divan::main();
}

const COOKIES: &[u8] = b"_ga=GA1.1.1234567890.1700000000; _gid=GA1.1.987654321; _gat_UA=1; _fbp=fb.1.1700000000.123; \
    OptanonConsent=isGpcEnabled=0&datestamp=Fri; _hjSessionUser_1=eyJpZCI6; session=0123456789abcdef; theme=dark";

fn rules() -> KeyRules {
    let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    KeyRules::new(&Caching {
        query: QueryRules { keep: None, drop: own(&["utm_*", "gclid", "fbclid"]), sort: true },
        languages: own(&["en", "de", "fr"]),
        ..Caching::default()
    })
}

#[divan::bench]
fn eight_cookies(bencher: divan::Bencher<'_, '_>) {
    let (rules, mut told, mut key) = (rules(), Vec::new(), Vec::new());
    bencher.bench_local(|| {
        told.clear();
        rules.cookies.sort(std::iter::once(black_box(COOKIES)), &mut told, &mut key)
    });
}

#[divan::bench]
fn a_query_of_four(bencher: divan::Bencher<'_, '_>) {
    let (rules, mut out) = (rules(), Vec::new());
    bencher.bench_local(|| {
        out.clear();
        rules.query.write(black_box(b"?size=42&utm_source=mail&color=red&page=2"), &mut out);
    });
}

#[divan::bench]
fn a_language() -> usize {
    let available = ["en", "de", "fr"].map(str::to_owned);
    let line = black_box(&b"de-AT,de;q=0.9,en-US;q=0.8,en;q=0.7"[..]);
    lookup(&available, std::iter::once(line)).map_or(0, str::len)
}

#[divan::bench]
fn codings() -> &'static str {
    Codings::accepted(std::iter::once(black_box(&b"gzip, deflate, br, zstd"[..]))).written()
}

#[divan::bench]
fn a_device() -> Device {
    Device::of(black_box(
        b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36",
    ))
}
