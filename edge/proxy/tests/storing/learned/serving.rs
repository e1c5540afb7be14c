//! What is learned, what it is told, and how it ends.

use super::crowd::{Crowd, Switch, page, with};
use tentpole_model::{Front, Network};
use tentpole_proxy::LearningLimits;

#[test]
fn a_page_that_is_the_same_for_all_is_served_from_the_cache_and_says_so() {
    let crowd = Crowd::before(|_| page("news"));
    let got = crowd.until_hit("/news");
    assert!(got.head.contains("detail=learned") && got.body == "news", "{}", got.head);
    let row = crowd.row("shop.example/*");
    assert_eq!((&row["state"], &row["ruled"]), (&"applied".into(), &1.into()), "{row:#}");
}

#[test]
fn what_is_stored_was_asked_for_without_a_word_about_who_asks() {
    let crowd = Crowd::before(|_| page("news"));
    let tracked = |visitor: u8| format!("Referer: http://from/{visitor}\r\nSec-CH-UA: \"{visitor}\"\r\n");
    let learned = crowd.eventually(|round| {
        let visitor = 1 + (round % 6) as u8;
        crowd.ask(visitor, "/news", &tracked(visitor));
        crowd.hits() > 10
    });
    assert!(learned, "{:#}", crowd.advice());
    let asked = crowd.asked();
    let stripped: Vec<_> = asked.iter().filter(|head| !head.contains("Referer")).collect();
    assert!(!stripped.is_empty());
    for head in stripped {
        for word in ["127.1.0", "Cookie", "Sec-", "Forwarded-For", "Accept-Language", "Firefox", "from/"] {
            assert!(!head.contains(word), "{head}");
        }
    }
}

#[test]
fn a_change_of_the_page_reaches_all_soon_and_one_endpoint_request_is_not_made_many() {
    let version = Switch::default();
    let crowd = Crowd::before({
        let version = version.clone();
        move |_| page(format!("version {}", version.get()))
    });
    crowd.until_hit("/");
    version.set(1);
    // The stored page is served until a probe sees the new one, or it is stale.
    let served_old = (0..200).take_while(|_| crowd.ask(2, "/", "").body == "version 0").count();
    assert!(served_old <= 110, "one of the first 99 goes to see, not {served_old}");
    // The learner has a thread of its own: what it throws away may be served for a moment yet.
    crowd.until_hit_says("/", "version 1");
    assert_eq!(crowd.ask(3, "/", "").body, "version 1");
}

#[test]
fn pages_that_speak_for_themselves_are_left_alone() {
    let crowd = Crowd::before(|seen| match seen.path() {
        "/private" => with("Cache-Control: private\r\n", "p"),
        "/old" => with("Expires: Thu, 19 Nov 1981 08:52:00 GMT\r\nPragma: no-cache\r\n", "o"),
        "/star" => with("Vary: *\r\n", "s"),
        "/here" => page("here"),
        _ => with("Surrogate-Control: no-store\r\n", "n"),
    });
    for path in ["/private", "/old", "/star", "/surrogate"] {
        assert_eq!(crowd.rounds(40, path, |_| String::new()), 0, "{path}");
    }
    crowd.until_hit("/here");
}

#[test]
fn the_tenth_page_of_a_kind_needs_less_than_the_first() {
    let crowd = Crowd::before(|seen| page(seen.path()));
    for number in 0..6 {
        crowd.until_hit(&format!("/post/{number}"));
    }
    crowd.ask(1, "/post/new", "");
    crowd.until_in_force(7);
    // Not for the one who was seen already: one is no evidence.
    assert!(!crowd.ask(1, "/post/new", "").hit && !crowd.ask(1, "/post/new", "").hit);
    let before = crowd.asked().len();
    assert!(!crowd.ask(2, "/post/new", "").hit);
    let third = crowd.ask(3, "/post/new", "");
    // One of the first 99 goes to see, drawn by lot: it may be the first.
    let went = third.head.contains("detail=probe");
    assert!(third.hit || went, "after one request of another visitor: {}", third.head);
    assert_eq!(
        crowd.asked().len(),
        before + 1 + usize::from(went),
        "that said nothing about who asks: {:?}",
        crowd.asked().last()
    );
}

#[test]
fn a_page_that_turns_into_an_error_page_is_no_longer_served_and_an_overload_withdraws_nothing() {
    let status = Switch::default();
    let crowd = Crowd::before({
        let status = status.clone();
        move |_| match status.get() {
            0 => page("news"),
            1 => "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy".to_owned(),
            _ => "HTTP/1.1 403 Gone\r\nContent-Length: 4\r\n\r\ngone".to_owned(),
        }
    });
    crowd.until_hit("/news");
    status.set(1);
    crowd.rounds(120, "/news", |_| String::new());
    assert_eq!(crowd.row("shop.example/*")["ruled"], 1, "{:#}", crowd.advice());
    status.set(2);
    // One of the first 99 goes to see. The learner hears of it on its own thread.
    crowd.rounds(120, "/news", |_| String::new());
    let withdrawn = crowd.eventually(|_| crowd.row("shop.example/*")["ruled"] == 0);
    assert!(withdrawn, "{:#}", crowd.advice());
    assert_eq!(crowd.ask(1, "/news", "").body, "gone");
}

#[test]
fn that_there_is_no_page_and_where_it_has_moved_are_learned_for_a_moment() {
    let published = Switch::default();
    let crowd = Crowd::before({
        let published = published.clone();
        move |seen| match seen.path() {
            "/soon" if published.get() > 0 => page("here it is"),
            "/old" => {
                "HTTP/1.1 301 Moved\r\nLocation: http://shop.example/new\r\nContent-Length: 0\r\n\r\n".into()
            }
            "/gone" => "HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone".into(),
            "/found" => "HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n".into(),
            _ => "HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nno!".into(),
        }
    });
    for path in ["/old", "/gone", "/soon"] {
        crowd.until_hit(path);
    }
    let old = crowd.ask(2, "/old", "");
    assert!(old.hit && old.head.starts_with("HTTP/1.1 301"), "{}", old.head);
    assert!(old.head.contains("Location: http://shop.example/new"), "{}", old.head);
    assert_eq!(crowd.rounds(60, "/found", |_| String::new()), 0, "what is for now is not shared");
    published.set(1);
    // One of the first 99 goes to see. The learner hears of it on its own thread; then nobody is told that there is nothing.
    let missing = (0..200).take_while(|_| crowd.ask(2, "/soon", "").body == "no!").count();
    assert!(missing <= 110, "{missing}");
    crowd.until_hit_says("/soon", "here it is");
    assert_eq!(crowd.ask(3, "/soon", "").body, "here it is");
    assert_eq!(crowd.ask(3, "/other", "").body, "no!");
}

#[test]
fn pages_that_are_missing_prove_nothing_for_others() {
    let crowd = Crowd::before(|_| "HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nno!".into());
    for number in 0..6 {
        crowd.until_hit(&format!("/post/{number}"));
    }
    // Else whoever looks for holes would fill the learner with what is not there.
    assert_eq!((1..=4).filter(|visitor| crowd.ask(*visitor, "/post/new", "").hit).count(), 0);
    assert_eq!(crowd.row("shop.example/post/*")["ruled"], 6, "{:#}", crowd.advice());
}

#[test]
fn a_query_that_is_left_out_by_configuration_contradicts_nothing() {
    let limits = LearningLimits { span_ms: 30, ..LearningLimits::default() };
    let crowd = Crowd::behind(
        limits,
        |snapshot| snapshot.cachings[0].query.drop = vec!["utm_*".into()],
        // As WordPress does: its links repeat the whole query.
        |seen| page(format!("<a href={}>", seen.path())),
    );
    crowd.until_hit("/news?utm_source=1");
    let hits = (0..400u32).filter(|round| {
        let got = crowd.ask(1 + (round % 9) as u8, &format!("/news?utm_source={round}"), "");
        got.hit
    });
    assert!(hits.count() > 350, "{:#}", crowd.advice());
    // Who goes to see asks for what was stored; who says who he is gets what he asked for.
    assert_eq!(crowd.ask(1, "/news?utm_source=1", "Cookie: a=b\r\n").body, "<a href=/news?utm_source=1>");
    assert_eq!(crowd.row("shop.example/*")["state"], "applied", "{:#}", crowd.advice());
}

#[test]
fn requests_that_say_who_asks_go_past_and_say_why() {
    let crowd = Crowd::before(|_| page("news"));
    crowd.until_hit("/news");
    for fields in ["Cookie: a=b\r\n", "Authorization: Basic eDp5\r\n", "X-User: me\r\n"] {
        let got = crowd.ask(2, "/news", fields);
        let why = got.head.contains("detail=says_who")
            || got.head.contains("detail=cookie_without_lifetime")
            || got.head.contains("detail=authorization");
        assert!(!got.hit && why, "{fields}: {}", got.head);
    }
    // One of these may be the one that goes to see, drawn by lot.
    assert!((0..3).any(|_| crowd.ask(2, "/news", "").hit));
}

#[test]
fn nothing_is_applied_where_it_is_only_to_be_told() {
    use tentpole_model::Learn;
    let (address, _asked) = crate::common::endpoint(|_| page("news"));
    let edge = crate::common::edge(address, |snapshot| snapshot.cachings[0].learn = Learn::Advise);
    for _ in 0..30 {
        assert!(!edge.get("/news", "").contains("tentpole; hit"));
    }
    let advice: serde_json::Value = serde_json::from_str(&(edge.advice)()).unwrap();
    assert_eq!(advice["rules"][0]["state"], "watching", "one visitor is no evidence: {advice:#}");
}

#[test]
fn behind_a_content_network_visitors_are_told_apart_by_what_it_says_of_them() {
    let limits = LearningLimits { span_ms: 30, ..LearningLimits::default() };
    let front = Front {
        trusted: vec![Network { address: "127.0.0.0".parse().unwrap(), bits: 8 }],
        address_field: Some("X-Visitor".into()),
        ..Front::default()
    };
    let crowd = Crowd::behind(
        limits,
        |snapshot| snapshot.front = front,
        |seen| page(format!("{} for all", seen.field("X-Forwarded-Proto").unwrap())),
    );
    let by = |visitor: u8, scheme: &str| {
        format!("X-Visitor: 10.0.0.{visitor}\r\nX-Forwarded-Proto: {scheme}\r\nCF-Ray: 7\r\n")
    };
    // One visitor, by whatever address of the network, is no evidence.
    for round in 0..60 {
        assert!(!crowd.ask(round % 9 + 1, "/", &by(1, "https")).hit);
    }
    for scheme in ["https", "http"] {
        let mut hits = 0;
        let shared = crowd.eventually(|round| {
            let visitor = (round % 9) as u8 + 1;
            let got = crowd.ask(visitor, "/", &by(visitor, scheme));
            assert_eq!(got.body, format!("{scheme} for all"));
            hits += u32::from(got.hit);
            hits > 20
        });
        assert!(shared, "{scheme}: {:#}", crowd.advice());
    }
}
