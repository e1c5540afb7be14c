//! What each level of each coding saves and costs on the files that are named, so that the levels in `coding.rs` can be
//! checked on other pages:
//!
//!     cargo bench -p tentpole-compress -- $PWD/page.html $PWD/script.js

#![allow(clippy::unwrap_used, reason = "a benchmark")]

use std::io::Write;
use tentpole_runtime::clock;

/// Rounds of each; the shortest time counts.
const ROUNDS: usize = 5;

fn main() {
    let files: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if files.is_empty() {
        println!("name files to compress: cargo bench -p tentpole-compress -- $PWD/page.html");
    }
    for file in files {
        let page = std::fs::read(&file).unwrap();
        println!("{file}: {} bytes", page.len());
        for quality in [3, 4, 5, 6, 7, 9] {
            measure(&format!("br {quality}"), &page, |page| brotli_of(page, quality));
        }
        for level in [3, 6, 9, 12, 15, 19] {
            measure(&format!("zstd {level}"), &page, |page| zstd_of(page, level));
        }
        for level in [4, 6, 9] {
            measure(&format!("gzip {level}"), &page, |page| gzip_of(page, level));
        }
    }
}

fn measure(name: &str, page: &[u8], code: impl Fn(&[u8]) -> Vec<u8>) {
    let mut best = f64::MAX;
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        let begun = clock::now();
        bytes = code(page).len();
        best = best.min(clock::now().since(begun).as_secs_f64());
    }
    let left = 100.0 * bytes as f64 / page.len() as f64;
    println!("  {name:8} {bytes:9} bytes  {left:5.2} %  {:8.2} ms", best * 1e3);
}

fn brotli_of(page: &[u8], quality: i32) -> Vec<u8> {
    let lgwin = page.len().next_power_of_two().ilog2().clamp(16, 22) as i32;
    let params =
        brotli::enc::BrotliEncoderParams { quality, lgwin, size_hint: page.len(), ..Default::default() };
    let mut encoder = brotli::CompressorWriter::with_params(Vec::new(), 16 * 1024, &params);
    encoder.write_all(page).unwrap();
    encoder.into_inner()
}

fn zstd_of(page: &[u8], level: i32) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level).unwrap();
    encoder.set_pledged_src_size(Some(page.len() as u64)).unwrap();
    encoder.write_all(page).unwrap();
    encoder.finish().unwrap()
}

fn gzip_of(page: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(page).unwrap();
    encoder.finish().unwrap()
}
