//! Pages, and what becomes of their links.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use std::sync::Arc;
use tentpole_rewrite::{Rules, TAG_BYTES_MAX, URL_BYTES_MAX, rewrite};

fn rules() -> Arc<Rules> {
    Arc::new(Rules::new("https://a.example", &["/s/*".into()]))
}

fn rewritten(page: &str) -> String {
    String::from_utf8(rewrite(&rules(), b"shop.example", page.as_bytes())).unwrap()
}

/// `@` stands for what is put before a link.
#[track_caller]
fn check(page: &str) {
    assert_eq!(rewritten(&page.replace('@', "")), page.replace('@', "https://a.example"));
}

#[test]
fn links_of_elements_lead_to_the_asset_host() {
    check("<!doctype html><link rel=stylesheet href='@/s/a.css'><script src=@/s/a.js></script>");
    check("<IMG SRC=\"@/s/a.png\" srcset=\"@/s/1.png 1x, @/s/2.png 2x\" alt=\"/s/x\">");
    check("<video poster=@/s/p.jpg><source src='@/s/v.mp4'></video><a href=\"@/s/big.jpg\">x</a>");
    check("<p style=\"color:red;background:url(@/s/b.png)\">/s/text</p>");
    check("<link rel=preload imagesrcset='@/s/1 1x'><svg><image xlink:href='@/s/i.png'/></svg>");
    check("<noscript><img src=@/s/a.png></noscript><img src='/other/a.png'><img src='s/a.png'>");
}

#[test]
fn absolute_links_to_the_pages_own_host_do_too() {
    let page = "<img src=http://shop.example/s/a><img src=//shop.example/s/a><img src=//other.example/s/a>";
    let expect =
        "<img src=https://a.example/s/a><img src=https://a.example/s/a><img src=//other.example/s/a>";
    assert_eq!(rewritten(page), expect);
}

#[test]
fn styles_are_rewritten_where_they_stand() {
    check(
        "<style>a{b:url(@/s/1)}@media x{c:url('@/s/2')}</style><i>url(/s/3)</i>"
            .replace("@media", "media")
            .as_str(),
    );
    check("<style>a:url(/s/1</style><img src=@/s/2>");
    check("<STYLE media=all>url(\"data:,<b>\") url(@/s/1)</sTyLe ><img src=@/s/2>");
}

#[test]
fn what_is_text_is_no_tag() {
    for element in ["script", "title", "textarea", "xmp", "iframe", "noembed", "noframes"] {
        check(&format!("<{element}><img src=/s/a></{element}><img src=@/s/a>"));
        check(&format!("<{element}></{element}x <img src=/s/a></{element}\n><img src=@/s/a>"));
    }
    check("<plaintext><img src=/s/a>");
    check(
        "<!-- <img src=/s/a> -- > --><img src=@/s/a><!--><img src=@/s/a><!---><img src=@/s/a><!--x--!><img src=@/s/a>",
    );
    check("<!DOCTYPE x <img src=/s/a><img src=@/s/a><?php <img src=/s/a><img src=@/s/a>");
    check("a < b <1 <<img src=@/s/a></img src=/s/a><img src=@/s/a>");
    check("<b title='<img src=/s/a>'><b title=\"<img src='/s/a'>\"><b title=it's><img src=@/s/a>");
}

#[test]
fn what_would_mean_something_else_elsewhere_stays() {
    check(
        "<iframe src=/s/a.html></iframe><frame src=/s/a.html><svg><use href=/s/a.svg#b xlink:href=/s/a.svg#b></svg>",
    );
    check("<script integrity=sha384-x src=/s/a.js></script>");
    check("<script integrity=sha384-x crossorigin src=@/s/a.js></script>");
    check("<form action=/s/a></form><object data=/s/a></object><img data-src=/s/a>");
}

#[test]
fn a_base_elsewhere_takes_the_links_with_it() {
    check("<img src=@/s/1><base href='https://other.example/'><img src=/s/1>");
    check("<base href='/s/app/'><img src=@/s/1>");
    check("<base target=x><base href='/a'><base href='//other.example'><img src=@/s/1>");
}

#[test]
fn pieces_of_pages_that_are_put_together_are_rewritten() {
    check("<esi:include src=\"/s/part\"/><img src=@/s/a><!--esi <img src=@/s/b>--><!--es <img src=/s/c>-->");
}

#[test]
fn what_is_beyond_a_limit_stays_and_what_follows_does_not() {
    let long = "x".repeat(TAG_BYTES_MAX);
    check(&format!("<img src=/s/a alt='{long}'><img src=@/s/b>"));
    check(&format!("<script src=/s/a data-x='{long}'><img src=/s/a></script><img src=@/s/b>"));
    let long = "x".repeat(URL_BYTES_MAX);
    check(&format!("<style>url(/s/{long}) url(@/s/a)</style><img src=@/s/b>"));
}

#[test]
fn a_page_that_breaks_off_stays_as_it_came() {
    for page in
        ["<", "<!", "<!-", "<!--", "<img", "<img src=/s/a", "<img src='/s/a>", "<style>url(/s/a", "</", "<?"]
    {
        check(page);
    }
}
