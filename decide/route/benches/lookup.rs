//! What a look-up costs: 10,000 routes or sites should cost what 10 do, and a path that an attacker writes no more
//! than its length. `cargo bench -p tentpole-route`

#[path = "../tests/common/mod.rs"]
mod common;

use common::{site, snapshot};
use divan::{Bencher, black_box};
use tentpole_model::SiteId;
use tentpole_route::{Table, canonical_path};

fn main() {
    divan::main();
}

fn routes(count: usize) -> Table {
    let patterns = (0..count).map(|n| match n % 4 {
        0 => format!("/exact/page-{n}"),
        1 => format!("/products-{n}/{{slug}}"),
        2 => format!("/images-{n}/*"),
        _ => format!("/{{market}}/shop-{n}/{{slug}} swallow"),
    });
    let mut patterns: Vec<String> = patterns.collect();
    patterns.push("/*".to_owned());
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    Table::compile(&snapshot(vec![site("shop", &[], &patterns)])).expect("these sites compile")
}

fn sites(count: usize) -> Table {
    let sites = (0..count).map(|n| match n % 2 {
        0 => site("exact", &[&format!("shop-{n}.example")], &["/*"]),
        _ => site("wildcard", &[&format!("*.shop-{n}.example")], &["/*"]),
    });
    Table::compile(&snapshot(sites.collect())).expect("these sites compile")
}

const COUNTS: [usize; 3] = [10, 100, 10_000];

#[divan::bench(args = COUNTS)]
fn route_exact(bencher: Bencher, count: usize) {
    let table = routes(count);
    bencher.bench(|| table.route(SiteId(0), black_box(b"/exact/page-8")));
}

#[divan::bench(args = COUNTS)]
fn route_parameter(bencher: Bencher, count: usize) {
    let table = routes(count);
    bencher.bench(|| table.route(SiteId(0), black_box(b"/products-5/red-running-shoe")));
}

#[divan::bench(args = COUNTS)]
fn route_prefix(bencher: Bencher, count: usize) {
    let table = routes(count);
    bencher.bench(|| table.route(SiteId(0), black_box(b"/images-6/2026/09/red-running-shoe-480.webp")));
}

#[divan::bench(args = COUNTS)]
fn route_swallowed(bencher: Bencher, count: usize) {
    let table = routes(count);
    bencher.bench(|| table.route(SiteId(0), black_box(b"/de/shop-7/red-running-shoe/and/more")));
}

#[divan::bench(args = COUNTS)]
fn route_nothing_but_the_star(bencher: Bencher, count: usize) {
    let table = routes(count);
    bencher.bench(|| table.route(SiteId(0), black_box(b"/nothing/here/matches")));
}

/// A path of 32 KiB of one segment, and one of 16,384 segments.
#[divan::bench(args = ["one long segment", "many segments"])]
fn route_attack_long(bencher: Bencher, kind: &str) {
    let table = routes(100);
    let path =
        if kind == "many segments" { "/x".repeat(16 << 10) } else { format!("/{}", "x".repeat(32 << 10)) };
    bencher.bench(|| table.route(SiteId(0), black_box(path.as_bytes())));
}

/// The most tangled table that compiles: every literal could also be a parameter, seven deep.
#[divan::bench]
fn route_attack_tangled(bencher: Bencher) {
    let patterns: Vec<String> = (0..128)
        .map(|bits: usize| {
            (0..7).map(|at| if bits >> at & 1 == 1 { format!("/{{p{at}}}") } else { "/a".into() }).collect()
        })
        .collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let table = Table::compile(&snapshot(vec![site("shop", &[], &patterns)])).expect("these sites compile");
    bencher.bench(|| table.route(SiteId(0), black_box(b"/a/a/a/a/a/a/a/x")));
}

#[divan::bench(args = COUNTS)]
fn site_exact(bencher: Bencher, count: usize) {
    let table = sites(count);
    bencher.bench(|| table.site(black_box(b"shop-8.example:8080")));
}

#[divan::bench(args = COUNTS)]
fn site_wildcard(bencher: Bencher, count: usize) {
    let table = sites(count);
    bencher.bench(|| table.site(black_box(b"de.shop-7.example:8080")));
}

#[divan::bench(args = COUNTS)]
fn site_attack_dots(bencher: Bencher, count: usize) {
    let table = sites(count);
    let host = "a.".repeat(127) + "a";
    bencher.bench(|| table.site(black_box(host.as_bytes())));
}

#[divan::bench(args = [
    "/",
    "/products/red-running-shoe",
    "/stra%C3%9Fe/gr%C3%BCn",
    "/a//b/../c/%7euser",
])]
fn canonical(bencher: Bencher, path: &str) {
    let mut out = Vec::with_capacity(256);
    bencher.bench_local(|| canonical_path(black_box(path.as_bytes()), true, &mut out));
}

/// 32 KiB of what is slowest to read.
#[divan::bench(args = ["../", "%7e", "//", "a/"])]
fn canonical_attack(bencher: Bencher, piece: &str) {
    let half = (16 << 10) / piece.len();
    let path = format!("/{}{}", "a/".repeat(half * piece.len() / 2), piece.repeat(half));
    let mut out = Vec::with_capacity(256);
    bencher.bench_local(|| canonical_path(black_box(path.as_bytes()), true, &mut out));
}
