//! Pages whose links are rewritten: never a panic, the same however they are cut, and what was rewritten once stays.

#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use tentpole_rewrite::{Rewriter, Rules, rewrite};

const HOST: &[u8] = b"h";

fuzz_target!(|input: &[u8]| {
    let (cuts, page) = common::cut(input);
    let rules = Arc::new(Rules::new("//a", &["/s/*".to_owned(), "/x".to_owned()]));
    let whole = rewrite(&rules, HOST, page);
    let mut rewriter = Rewriter::new(rules.clone(), HOST);
    let (mut out, mut from) = (Vec::new(), 0);
    for &cut in cuts.iter().chain([&page.len()]) {
        let to = cut.min(page.len());
        rewriter.feed(&page[from..to], &mut out);
        from = to;
    }
    rewriter.finish(&mut out);
    assert_eq!(out, whole);
    assert_eq!(rewrite(&rules, HOST, &whole), whole);
    // No link is shorter than the three bytes of `/s/` or grows by more than the host.
    assert!(whole.len() <= page.len() * 2);
    let none = Arc::new(Rules::new("//a", &[]));
    assert_eq!(rewrite(&none, HOST, page), page);
});
