//! `No-Vary-Search`: a response that says what of the query matters answers other queries of its path
//! (draft-ietf-httpbis-no-vary-search).

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Asked, Running, edge, endpoint};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use tentpole_model::{PurgeOrder, PurgeWhat};

/// An edge before an endpoint that answers with its request line, and with what it says of the query of a target.
fn edge_that(says: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> (Running, Asked) {
    let (address, asked) = endpoint(move |head| {
        let line = head.lines().next().unwrap();
        let target = line.split(' ').nth(1).unwrap();
        let field = says(target).map_or(String::new(), |said| format!("No-Vary-Search: {said}\r\n"));
        page(&field, line)
    });
    (edge(address, |_| {}), asked)
}

fn page(field: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{field}Content-Length: {length}\r\n\r\n{body}")
}

fn asked_for(asked: &Asked) -> Vec<String> {
    asked.lock().unwrap().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect()
}

fn is_hit(answer: &str) -> bool {
    answer.contains("Cache-Status: tentpole; hit")
}

/// Lets the edge learn what responses of a path say, and stores what answers `target` by it.
fn stored(edge: &Running, target: &str) {
    edge.get(target, "");
    edge.get(target, "");
    assert!(is_hit(&edge.get(target, "")), "{target}");
}

fn purge(edge: &Running, path: &str) -> u64 {
    let what = PurgeWhat::Url(format!("http://shop.example{path}"));
    edge.purger.purge(&PurgeOrder::hard(what)).unwrap().objects
}

#[test]
fn parameters_that_do_not_matter_are_answered_alike() {
    let (edge, asked) = edge_that(|_| Some("params=(\"utm_source\" \"fb%63lid\")"));
    stored(&edge, "/p?id=1&utm_source=mail");
    for target in ["/p?id=1", "/p?utm_source=x&id=1", "/p?id=1&fbclid=2&utm%5Fsource=3"] {
        assert!(is_hit(&edge.get(target, "")), "{target}");
    }
    for target in ["/p?id=2", "/p?id=1&utm_medium=x", "/p", "/other?id=1"] {
        assert!(!is_hit(&edge.get(target, "")), "{target}");
    }
    let heads = asked.lock().unwrap();
    assert!(
        heads[1].starts_with("GET /p?id=1&utm_source=mail "),
        "the endpoint sees the query: {}",
        heads[1]
    );
}

#[test]
fn the_order_need_not_matter_and_neither_need_all_but_some() {
    let says = |target: &str| match target.starts_with("/order") {
        true => Some("key-order"),
        false => Some("params, except=(\"id\")"),
    };
    let (edge, _) = edge_that(says);
    stored(&edge, "/order?b=1&a=2&b=3");
    assert!(is_hit(&edge.get("/order?a=2&b=1&b=3", "")));
    assert!(!is_hit(&edge.get("/order?a=2&b=3&b=1", "")));
    stored(&edge, "/p?id=1&x=2");
    assert!(is_hit(&edge.get("/p?y&id=1", "")));
    assert!(!is_hit(&edge.get("/p?id=2", "")));
}

#[test]
fn what_cannot_be_understood_changes_nothing() {
    let (edge, _) = edge_that(|_| Some("params=(\"utm_source\""));
    edge.get("/p?utm_source=1", "");
    edge.get("/p?utm_source=1", "");
    assert!(!is_hit(&edge.get("/p?utm_source=2", "")));
}

#[test]
fn a_purge_of_any_query_that_it_answers_empties_it_and_what_was_stored_before_it_was_said() {
    let (edge, _) = edge_that(|_| Some("params=(\"utm_source\")"));
    stored(&edge, "/p?id=1&utm_source=mail");
    assert_eq!(purge(&edge, "/p?utm_source=another&id=1"), 1);
    assert!(!is_hit(&edge.get("/p?id=1", "")));
    // The first response was stored under all of its query, and this is its URL.
    assert_eq!(purge(&edge, "/p?id=1&utm_source=mail"), 2);
    edge.get("/p?id=1", "");
    let change = "DELETE /p?utm_source=x&id=1 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    edge.ask(change);
    assert!(!is_hit(&edge.get("/p?id=1", "")));
}

#[test]
fn what_was_stored_by_a_rule_is_not_found_when_the_rule_has_come_back() {
    let said = Arc::new(Mutex::new(Some("params")));
    let saying = said.clone();
    let (edge, _) = edge_that(move |_| *saying.lock().unwrap());
    stored(&edge, "/p?a=1");
    *said.lock().unwrap() = None;
    // A miss is needed to learn of it: this one asks for the endpoint.
    edge.get("/p?a=1", "Cache-Control: no-cache\r\n");
    assert!(!is_hit(&edge.get("/p?a=2", "")));
    // While all of the query mattered, nobody could have purged what the old rule stored.
    *said.lock().unwrap() = Some("params");
    edge.get("/p?a=3", "");
    assert!(!is_hit(&edge.get("/p?a=4", "")));
}

#[test]
fn those_who_waited_for_a_response_whose_query_matters_after_all_get_their_own() {
    // All but one say that nothing matters; that one is slow.
    let (go, wait) = mpsc::sync_channel::<()>(1);
    let wait = Mutex::new(wait);
    let (address, asked) = endpoint(move |head| {
        let line = head.lines().next().unwrap();
        if line.contains("slow") {
            wait.lock().unwrap().recv().unwrap();
        }
        let matters = line.contains("slow") || line.contains("mine");
        page(if matters { "" } else { "No-Vary-Search: params\r\n" }, line)
    });
    let edge = Arc::new(edge(address, |_| {}));
    edge.get("/p?first", "");
    let slow = {
        let edge = edge.clone();
        std::thread::spawn(move || edge.get("/p?slow", ""))
    };
    while asked.lock().unwrap().len() < 2 {
        std::thread::yield_now();
    }
    let mut mine = TcpStream::connect(edge.address).unwrap();
    mine.write_all(b"GET /p?mine HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").unwrap();
    // The edge has one thread: when this one is answered, the one before it was looked up, and joined what is on its way.
    edge.get("/other", "");
    assert_eq!(asked_for(&asked), ["/p?first", "/p?slow", "/other"]);
    go.send(()).unwrap();
    let (slow, mut answer) = (slow.join().unwrap(), String::new());
    mine.read_to_string(&mut answer).unwrap();
    let mine = answer;
    assert!(slow.contains("detail=query_matters") && slow.ends_with("GET /p?slow HTTP/1.1"), "{slow}");
    assert!(mine.ends_with("GET /p?mine HTTP/1.1"), "{mine}");
    assert!(edge.get("/p?other", "").ends_with("GET /p?other HTTP/1.1"));
}
