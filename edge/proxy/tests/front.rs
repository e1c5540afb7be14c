//! Behind a content network or a balancer: whose word counts for where a visitor comes from.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

mod common;

use common::{edge, endpoint};
use tentpole_model::{Front, Network, PurgeOrder, PurgeWhat, Snapshot};

const HELLO: &str = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\nhello";

fn network(address: &str) -> Network {
    Network { address: address.parse().unwrap(), bits: 32 }
}

/// Whoever connects from this address is believed.
fn trusts(address: &str) -> impl FnOnce(&mut Snapshot) {
    let front = Front { trusted: vec![network(address), network("10.0.0.2")], ..Front::default() };
    move |snapshot| snapshot.front = front
}

#[test]
fn an_endpoint_hears_of_the_visitor_what_a_trusted_proxy_says() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = edge(address, trusts("127.0.0.1"));
    edge.get(
        "/a",
        "X-Forwarded-For: 1.1.1.1, 203.0.113.9:4711\r\nX-Forwarded-For: 10.0.0.2\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n",
    );
    edge.get("/a", "");
    let heard = asked.lock().unwrap().clone();
    assert!(heard[0].contains("\r\nX-Forwarded-For: 203.0.113.9, 10.0.0.2, 127.0.0.1\r\n"), "{}", heard[0]);
    assert!(heard[0].contains("\r\nX-Forwarded-Proto: https\r\n"), "{}", heard[0]);
    assert!(heard[0].contains("\r\nX-Forwarded-Host: shop.example\r\n"), "{}", heard[0]);
    assert!(!heard[0].contains("1.1.1.1") && !heard[0].contains("evil"), "{}", heard[0]);
    // And nothing of it is left for the next.
    assert!(
        heard[1].contains("\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"),
        "{}",
        heard[1]
    );
}

#[test]
fn others_are_not_believed_whatever_they_say() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = edge(address, |snapshot| {
        trusts("192.0.2.1")(snapshot);
        snapshot.front.address_field = Some("X-Edge-Visitor".into());
    });
    edge.get(
        "/a",
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nx_edge-visitor: 203.0.113.9\r\n",
    );
    let heard = asked.lock().unwrap()[0].clone();
    assert!(heard.contains("\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"), "{heard}");
    assert!(!heard.contains("203.0.113.9"), "{heard}");
}

#[test]
fn what_was_asked_for_by_https_is_stored_by_itself_and_purged_with_the_rest() {
    // The most usual difference: a redirect to https, which would go round for ever.
    let (address, asked) = endpoint(|head| match head.contains("X-Forwarded-Proto: https") {
        true => "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\npage".into(),
        false => "HTTP/1.1 301 Moved\r\nLocation: https://shop.example/a\r\nCache-Control: max-age=60\r\n\
                  Content-Length: 0\r\n\r\n"
            .into(),
    });
    let edge = edge(address, trusts("127.0.0.1"));
    let https = "X-Forwarded-Proto: https\r\n";
    for _ in 0..2 {
        assert!(edge.get("/a", "").starts_with("HTTP/1.1 301"));
        assert!(edge.get("/a", https).ends_with("page"));
    }
    assert_eq!(asked.lock().unwrap().len(), 2);
    let purged =
        edge.purger.purge(&PurgeOrder::hard(PurgeWhat::Url("https://shop.example/a".into()))).unwrap();
    assert_eq!(purged.objects, 2);
    assert!(edge.get("/a", https).ends_with("page"));
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn a_visitor_has_not_the_right_of_the_proxy_to_purge() {
    let (address, _) = endpoint(|_| HELLO.into());
    let edge = edge(address, |snapshot| {
        trusts("127.0.0.1")(snapshot);
        snapshot.front.address_field = Some("CF-Connecting-IP".into());
        snapshot.purging.from = vec![network("127.0.0.1"), network("203.0.113.9")];
    });
    let purge = |fields: &str| {
        edge.ask(&format!("PURGE /a HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n"))
    };
    // Neither by the proxy's address nor by the one that it names.
    assert!(purge("CF-Connecting-IP: 203.0.113.9\r\n").starts_with("HTTP/1.1 403"));
    assert!(purge("CF-Connecting-IP: garbage\r\n").starts_with("HTTP/1.1 403"));
    assert!(purge("").starts_with("HTTP/1.1 200"), "itself it may");
}
