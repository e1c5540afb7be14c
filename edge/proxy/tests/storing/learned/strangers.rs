//! Somebody with many addresses who chooses every field: he may neither foul a page, nor keep a wrong one in place, nor
//! drive out what was learned.

use super::crowd::{Crowd, Switch, page};
use tentpole_proxy::LearningLimits;

/// Everything that an application may believe or repeat, with a value that it repeats.
const FIELDS: &[&str] = &[
    "User-Agent: evil",
    "Accept: text/html, evil/evil",
    "Accept-Language: en, evil",
    "Accept-Encoding: gzip, evil",
    "Accept-Charset: evil",
    "Referer: https://evil.example/",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-For: evil",
    "X-Forwarded-Proto: evil",
    "X-Original-URL: /evil",
    "X-Rewrite-URL: /evil",
    "X-HTTP-Method-Override: EVIL",
    "X-Requested-With: evil",
    "Cookie: _ga=evil",
    "Cookie: evil=1",
    "Authorization: Basic evil",
    "Sec-CH-UA: \"evil\"",
    "Sec-Fetch-Site: evil",
    "Viewport-Width: evil",
    "Save-Data: evil",
    "Via: 1.1 evil",
    "traceparent: evil",
    "X-Request-Id: evil",
    "CF-Connecting-IP: evil",
    "CloudFront-Viewer-Country: evil",
    "Cache-Control: evil",
    "Pragma: evil",
    "If-None-Match: \"evil\"",
    "If-Range: \"evil\"",
    "TE: evil",
    "Priority: evil",
    "X-Accel-Expires: evil",
    "Connection: evil\r\nEvil: evil",
];

#[test]
fn whatever_a_stranger_says_of_himself_no_other_gets_to_see() {
    let crowd = Crowd::before(|seen| match seen.head.contains("evil") || seen.head.contains("EVIL") {
        true => page("fouled"),
        false => page("clean"),
    });
    for (number, field) in FIELDS.iter().enumerate() {
        let path = format!("/page-{number}");
        let of_his = |visitor: u8| crowd.ask_as(visitor, &path, &format!("{field}\r\n"));
        // First as the only one, so that all that is known of the page is his; then among the others.
        (0..30u8).for_each(|round| drop(of_his(100 + round % 10)));
        for round in 0..60u8 {
            let got = crowd.ask(1 + round % 9, &path, "");
            assert_eq!(got.body, "clean", "{field}: {}", got.head);
            if round % 3 == 0 {
                of_his(100 + round % 10);
            }
        }
    }
    // The test can fail: the application does repeat it, and pages are shared.
    assert_eq!(crowd.ask_as(100, "/sees", "X-Whatever: evil\r\n").body, "fouled");
    crowd.until_hit("/untouched");
}

#[test]
fn who_has_logged_in_by_http_is_served_past_what_was_learned() {
    let crowd = Crowd::before(|seen| match seen.field("Authorization") {
        Some(login) => page(format!("for-{}", login.trim_start_matches("Basic "))),
        None => page("log in here"),
    });
    let login = |visitor: u8| match visitor.is_multiple_of(2) {
        true => format!("Authorization: Basic u{visitor}\r\n"),
        false => String::new(),
    };
    crowd.until_hit("/");
    for round in 0..200u32 {
        let visitor = 1 + (round % 9) as u8;
        let got = crowd.ask(visitor, "/", &login(visitor));
        let wanted = if visitor.is_multiple_of(2) { format!("for-u{visitor}") } else { "log in here".into() };
        assert_eq!(got.body, wanted, "{}", got.head);
    }
}

#[test]
fn pages_of_two_endpoints_that_differ_are_not_shared() {
    let later = Switch::default();
    let crowd = Crowd::before({
        let later = later.clone();
        // The second endpoint was deployed anew, or is part of an experiment.
        move |seen| page(if later.get() > 0 && seen.number % 2 == 0 { "the new page" } else { "the page" })
    });
    crowd.until_hit("/");
    later.set(1);
    let withdrawn = (0..400).any(|round| {
        crowd.ask(1 + (round % 9) as u8, "/", "");
        round % 20 == 19 && crowd.row("shop.example/")["state"] == "withdrawn"
    });
    assert!(withdrawn, "{:#}", crowd.advice());
    assert_eq!(crowd.rounds(40, "/", |_| String::new()), 0);
}

#[test]
fn requests_that_prove_nothing_are_not_sent_to_see() {
    let version = Switch::default();
    let crowd = Crowd::before({
        let version = version.clone();
        move |_| page(format!("version {}", version.get()))
    });
    crowd.until_hit("/");
    version.set(1);
    let asked = crowd.asked().len();
    for _ in 0..60 {
        let head = crowd.raw("HEAD / HTTP/1.1", "");
        let part = crowd.raw("GET / HTTP/1.1", "Range: bytes=0-3\r\n");
        assert!(head.contains("tentpole; hit") && part.ends_with("vers"), "{head}{part}");
    }
    assert_eq!(crowd.asked().len(), asked, "a probe that nobody can compare is lost to those who could");
    let served_old = (0..200).take_while(|_| crowd.ask(2, "/", "").body == "version 0").count();
    assert!(served_old <= 100, "{served_old}");
}

#[test]
fn many_other_pages_do_not_drive_out_what_was_learned() {
    let limits = LearningLimits { span_ms: 30, pages_max: 40, shapes_max: 8, ..LearningLimits::default() };
    let crowd = Crowd::behind(limits, |_| {}, |seen| page(seen.path()));
    crowd.until_hit("/news");
    for number in 0..150u8 {
        crowd.ask(number, &format!("/made-up-{number}/{number}"), "");
    }
    crowd.purge();
    assert!(!crowd.ask(1, "/news", "").hit);
    // One of these may be the one that goes to see, drawn by lot.
    assert!((0..3).any(|_| crowd.ask(2, "/news", "").hit), "its rule holds");
    assert!(crowd.advice()["pages"].as_u64() <= Some(40));
    crowd.until_hit("/new-part/page");
}

#[test]
fn a_page_that_outgrows_what_may_be_held_reaches_every_visitor_whole() {
    let size = Switch::default();
    size.set(1_000);
    let crowd = Crowd::before({
        let size = size.clone();
        // Without a length: that it is too long is only known when it has come.
        move |_| {
            let body = "x".repeat(size.get() as usize);
            let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}")
        }
    });
    for (number, bytes) in [(1 << 20) + 1, 3 << 20, 20 << 20].into_iter().enumerate() {
        size.set(1_000);
        let path = format!("/page-{number}");
        crowd.until_hit(&path);
        size.set(bytes);
        crowd.purge();
        for visitor in 1..4 {
            let got = crowd.ask(visitor, &path, "");
            assert!(got.head.starts_with("HTTP/1.1 200 OK"), "{bytes}: {}", got.head);
            let content: u64 = got.body.bytes().filter(|&byte| byte == b'x').count() as u64;
            assert_eq!(content, bytes, "{}", got.head);
        }
    }
}

/// Many applications fall over, or lock robots out, when a field is missing that every browser sends.
#[test]
fn an_application_that_cannot_bear_a_request_without_a_browser_fails_no_visitor() {
    for refusal in [
        "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops",
        "HTTP/1.1 429 Robot\r\nContent-Length: 5\r\n\r\nrobot",
        "HTTP/1.1 503 Robot\r\nContent-Length: 5\r\n\r\nrobot",
        "HTTP/1.1 403 Robot\r\nContent-Length: 5\r\n\r\nrobot",
        "no response at all\r\n\r\n",
    ] {
        let crowd = Crowd::before(|seen| match seen.field("Accept-Language") {
            Some(_) => page("news"),
            None => refusal.to_owned(),
        });
        // The test can fail: there was a rule, and it was tried.
        let is_tried = || crowd.asked().iter().any(|head| !head.contains("Accept-Language"));
        let was_tried = crowd.eventually(|round| {
            let got = crowd.ask(1 + (round % 9) as u8, "/news", "");
            assert_eq!(got.body, "news", "{refusal}: {}", got.head);
            round >= 150 && is_tried()
        });
        assert!(was_tried, "{refusal}: {:#}", crowd.advice());
    }
}
