//! What visitors get of what is stored and stale: while it is fetched anew, and when it cannot be (RFC 5861).

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{self, edge, endpoint};
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tentpole_model::Health;
use tentpole_runtime::clock::{self, Instant};

/// A door at which the endpoint stops until it is opened.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |open| !*open).unwrap());
    }
}

fn page(body: &str, fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Stale on arrival, by 40 s, and allowed to be served so.
fn old(says: &str) -> String {
    page("old", &format!("Cache-Control: max-age=60, {says}\r\nAge: 100\r\nETag: \"old\"\r\n"))
}

fn status(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nsorry")
}

/// Answers the first request with `first`, and all after it with what `later` makes of their number, from 1.
fn first_then(
    first: String,
    later: impl Fn(usize) -> String + Send + Sync + 'static,
) -> impl Fn(&str) -> String + Send + Sync + 'static {
    let count = AtomicUsize::new(0);
    move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => first.clone(),
        number => later(number),
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited for {what}");
}

#[track_caller]
fn says(answer: &str, body: &str, cache_status: &str) {
    assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    let said = answer.lines().find_map(|line| line.strip_prefix("Cache-Status: tentpole; ")).unwrap();
    let (said, left) = split_ttl(said);
    let (wanted, at_first) = split_ttl(cache_status);
    assert_eq!(said, wanted, "{answer}");
    // Some seconds may have passed since.
    assert_eq!(left.is_some(), at_first.is_some(), "{answer}");
    assert!(left <= at_first && left.map(|left| left + 15) >= at_first, "{answer}");
}

/// What is said, and the seconds that are left.
fn split_ttl(said: &str) -> (&str, Option<i64>) {
    let (rest, left) = said.split_once("ttl=").unwrap_or((said, ""));
    (rest, left.parse().ok())
}

#[test]
fn what_is_stale_is_served_at_once_while_one_request_fetches_it_anew() {
    let door = Door::default();
    let closed = door.clone();
    let new = move |_| {
        closed.pass();
        page("new", "Cache-Control: max-age=60\r\n")
    };
    let (address, asked) = endpoint(first_then(old("stale-while-revalidate=600"), new));
    let edge = edge(address, |_| {});
    says(&edge.get("/", ""), "old", "fwd=uri-miss; stored");
    for _ in 0..5 {
        says(&edge.get("/", ""), "old", "hit; ttl=-40");
    }
    until("the one that fetches anew", || asked.lock().unwrap().len() == 2);
    assert!(asked.lock().unwrap()[1].contains("If-None-Match: \"old\""));
    door.open();
    until("what is new", || edge.get("/", "").ends_with("new"));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn who_must_have_what_is_fresh_waits_for_it() {
    let (address, _) = endpoint(first_then(old("stale-while-revalidate=600"), |_| {
        page("new", "Cache-Control: max-age=60\r\n")
    }));
    let edge = edge(address, |_| {});
    edge.get("/", "");
    says(&edge.get("/", "Cache-Control: max-age=5\r\n"), "new", "fwd=stale; fwd-status=200; stored");
}

#[test]
fn visitors_whose_answer_is_their_own_fetch_nothing_anew_for_all() {
    let (address, asked) = endpoint(|head| match head.contains("Cookie: session") {
        true => page("mine", "Set-Cookie: session=1\r\n"),
        false => old("stale-while-revalidate=600"),
    });
    let edge = edge(address, |_| {});
    edge.get("/", "");
    for _ in 0..5 {
        says(&edge.get("/", "Cookie: session=1\r\n"), "old", "hit; ttl=-40");
        // The first of them is the one who finds out.
        until("the endpoint's answer", || asked.lock().unwrap().len() == 2);
    }
    says(&edge.get("/", ""), "old", "hit; ttl=-40");
    until("the one who may fetch it anew", || asked.lock().unwrap().len() == 3);
    assert!(!asked.lock().unwrap()[2].contains("Cookie"));
}

#[test]
fn what_the_endpoint_withdraws_is_not_served_any_more() {
    let (address, asked) =
        endpoint(first_then(old("stale-while-revalidate=600, stale-if-error=600"), |_| {
            page("mine", "Cache-Control: no-store\r\n")
        }));
    let edge = edge(address, |_| {});
    edge.get("/", "");
    says(&edge.get("/", ""), "old", "hit; ttl=-40");
    until("the one that fetches anew", || asked.lock().unwrap().len() == 2);
    until("it to be withdrawn", || edge.get("/", "").ends_with("mine"));
}

#[test]
fn an_endpoint_that_says_it_cannot_is_covered_by_what_is_stale() {
    for error in ["500 Oh", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"] {
        loop {
            let (address, asked) = endpoint(first_then(old("stale-if-error=600"), move |_| status(error)));
            let edge = edge(address, |_| {});
            edge.get("/", "");
            let covered = format!("fwd=stale; fwd-status={}; detail=stale_if_error; ttl=-40", &error[..3]);
            let began = clock::now();
            says(&edge.get("/", ""), "old", &covered);
            // For a second nobody else waits for the same.
            let soon = edge.get("/", "");
            if clock::now().since(began) >= Duration::from_secs(1) {
                // The machine was held up for so long: that second is over, and another one is looked at.
                continue;
            }
            says(&soon, "old", "hit; detail=stale_if_error; ttl=-40");
            assert_eq!(asked.lock().unwrap().len(), 2);
            // The error's connection served on.
            says(&edge.get("/", "Cache-Control: no-cache\r\n"), "sorry", "fwd=stale; detail=status");
            break;
        }
    }
}

#[test]
fn an_endpoint_that_fails_is_covered_and_so_is_one_that_is_not_there() {
    let (address, _) = endpoint(first_then(old("stale-if-error=600"), |_| "rubbish\r\n\r\n".into()));
    let edge = edge(address, |_| {});
    edge.get("/", "");
    says(&edge.get("/", ""), "old", "fwd=stale; detail=stale_if_error; ttl=-40");
    assert!(edge.get("/", "Range: bytes=1-\r\n").ends_with("\r\n\r\nld"));

    let (address, _) = endpoint(first_then(old("stale-if-error=600"), |_| unreachable!("nobody is there")));
    let edge = common::edge(address, |_| {});
    edge.get("/", "");
    let mut membership = (*edge.membership.get()).clone();
    membership.pools[0].members[0].health = Health::Down(tentpole_model::DownReason::Probe);
    edge.membership.publish(membership);
    says(&edge.get("/", ""), "old", "fwd=stale; detail=stale_if_error; ttl=-40");
    let head = edge.ask("HEAD / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    says(&head, "", "fwd=stale; detail=stale_if_error; ttl=-40");
}

#[test]
fn a_full_queue_is_covered() {
    let door = Door::default();
    let closed = door.clone();
    let count = AtomicUsize::new(0);
    let (address, asked) = endpoint(move |head| {
        if head.starts_with("GET /busy") {
            closed.pass();
        }
        match count.fetch_add(1, Ordering::Relaxed) {
            0 => old("stale-if-error=600"),
            _ => page("new", "Cache-Control: no-store\r\n"),
        }
    });
    let edge = Arc::new(edge(address, |snapshot| {
        snapshot.pools[0].endpoints[0].requests_max = Some(1);
        snapshot.pools[0].queue.length_max = 0;
    }));
    edge.get("/", "");
    let other = edge.clone();
    let busy = std::thread::spawn(move || other.get("/busy", ""));
    until("the one request that the endpoint takes", || asked.lock().unwrap().len() == 2);
    says(&edge.get("/", ""), "old", "fwd=stale; detail=stale_if_error; ttl=-40");
    assert!(edge.get("/else", "").starts_with("HTTP/1.1 503 "));
    door.open();
    assert!(busy.join().unwrap().ends_with("new"));
}

#[test]
fn what_must_be_revalidated_covers_no_error() {
    for forbids in ["must-revalidate", "proxy-revalidate", "no-cache"] {
        let first = old(&format!("stale-if-error=600, stale-while-revalidate=600, {forbids}"));
        let (address, _) = endpoint(first_then(first, |_| status("503 Service Unavailable")));
        let edge = edge(address, |_| {});
        edge.get("/", "");
        says(&edge.get("/", ""), "sorry", "fwd=stale; detail=status");
    }
}

#[test]
fn silence_is_covered_for_a_while_where_nothing_is_said_of_it_and_an_error_is_not() {
    let (address, _) = endpoint(first_then(old("public"), |_| "rubbish\r\n\r\n".into()));
    let running = edge(address, |_| {});
    running.get("/", "");
    says(&running.get("/", ""), "old", "fwd=stale; detail=stale_if_error; ttl=-40");
    for forbids in ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache", "stale-if-error=0"] {
        let (address, _) = endpoint(first_then(old(forbids), |_| "rubbish\r\n\r\n".into()));
        let running = edge(address, |_| {});
        running.get("/", "");
        let failed = running.get("/", "");
        assert!(failed.starts_with("HTTP/1.1 502 "), "{forbids}: {failed}");
    }
}

#[test]
fn s_maxage_forbids_stale_use_unless_the_application_asks_for_both() {
    let (address, _) =
        endpoint(first_then(old("s-maxage=60, stale-if-error=600"), |_| status("503 Service Unavailable")));
    let running = edge(address, |_| {});
    running.get("/", "");
    says(&running.get("/", ""), "old", "fwd=stale; fwd-status=503; detail=stale_if_error; ttl=-40");
    let (address, _) = endpoint(first_then(old("s-maxage=60"), |_| status("503 Service Unavailable")));
    let running = edge(address, |_| {});
    running.get("/", "");
    says(&running.get("/", "Cache-Control: stale-if-error=600\r\n"), "sorry", "fwd=stale; detail=status");
}

#[test]
fn a_visitor_may_ask_for_it_and_a_route_may_allow_it() {
    let (address, _) = endpoint(first_then(old("public"), |_| status("503 Service Unavailable")));
    let running = edge(address, |_| {});
    running.get("/", "");
    says(&running.get("/", ""), "sorry", "fwd=stale; detail=status");
    let wished = running.get("/", "Cache-Control: stale-if-error=600\r\n");
    assert!(wished.ends_with("old"), "{wished}");

    let (address, _) = endpoint(first_then(old("public"), |_| status("503 Service Unavailable")));
    let by_route = edge(address, |snapshot| snapshot.cachings[0].stale_if_error = Duration::from_secs(600));
    by_route.get("/", "");
    assert!(by_route.get("/", "").ends_with("old"));

    let (address, _) = endpoint(first_then(old("stale-if-error=0"), |_| status("503 Service Unavailable")));
    let overruled = edge(address, |snapshot| snapshot.cachings[0].stale_if_error = Duration::from_secs(600));
    overruled.get("/", "");
    assert!(overruled.get("/", "").ends_with("sorry"), "the response's own word counts");
}

#[test]
fn all_who_wait_for_an_endpoint_that_fails_are_covered() {
    let door = Door::default();
    let closed = door.clone();
    let (address, asked) = endpoint(first_then(old("stale-if-error=600"), move |_| {
        closed.pass();
        status("503 Service Unavailable")
    }));
    let edge = edge(address, |_| {});
    edge.get("/", "");
    let ask = |_| {
        let mut visitor = TcpStream::connect(edge.address).unwrap();
        visitor.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        visitor.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").unwrap();
        visitor
    };
    let waiting: Vec<_> = (0..8).map(ask).collect();
    until("the request that all wait for", || asked.lock().unwrap().len() == 2);
    // The edge has one thread: when this one is answered, all before it wait for what is on its way.
    let refused = edge.ask("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    door.open();
    for mut visitor in waiting {
        assert!(std::io::read_to_string(&mut visitor).unwrap().ends_with("old"));
    }
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn what_surrogate_control_said_holds_after_a_304_that_does_not_repeat_it() {
    let (address, asked) = endpoint(|head| match head.contains("If-None-Match") {
        true => "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nCache-Control: no-store\r\n\r\n".into(),
        false => {
            page("page", "Surrogate-Control: max-age=60+30\r\nCache-Control: no-store\r\nETag: \"1\"\r\n")
        }
    });
    let edge = edge(address, |_| {});
    says(&edge.get("/", ""), "page", "fwd=uri-miss; stored");
    for _ in 0..2 {
        let again = edge.get("/", "Cache-Control: no-cache\r\n");
        says(&again, "page", "fwd=request; fwd-status=304; ttl=60");
        assert!(!again.contains("Surrogate-Control"), "{again}");
    }
    says(&edge.get("/", ""), "page", "hit; ttl=60");
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn cache_status_says_why_an_endpoint_was_asked() {
    let (address, _) = endpoint(|head| {
        let fields = "Cache-Control: max-age=60\r\nVary: Accept-Language\r\nETag: \"1\"\r\n";
        match head.contains("If-None-Match") {
            true => format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"),
            false => page("page", fields),
        }
    });
    let edge = edge(address, |_| {});
    says(&edge.get("/", "Accept-Language: de\r\n"), "page", "fwd=uri-miss; stored");
    says(&edge.get("/", "Accept-Language: en\r\n"), "page", "fwd=vary-miss; stored");
    let asked_first = edge.get("/", "Accept-Language: en\r\nCache-Control: no-cache\r\n");
    says(&asked_first, "page", "fwd=request; fwd-status=304; ttl=60");
}

#[test]
fn a_first_answer_has_no_age_but_the_endpoints_and_a_slow_one_takes_none_of_its_lifetime() {
    const WORKS: Duration = Duration::from_millis(2_100);
    let (address, _) = endpoint(|head| {
        std::thread::sleep(WORKS);
        let age = if head.contains("/aged") { "Age: 7\r\n" } else { "" };
        page("page", &format!("Cache-Control: max-age=60\r\n{age}"))
    });
    let edge = edge(address, |_| {});
    let first = edge.get("/", "");
    assert!(!first.contains("\r\nAge:"), "{first}");
    // Ages are differences of whole seconds: one more than has passed is said where a second begins in between.
    let age_is = |path: &str, least: u64, most: u64, since: Instant| {
        let answer = edge.get(path, "");
        let most = most + clock::now().since(since).as_secs() + 1;
        let age = answer.split("\r\nAge: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let age: u64 = age.unwrap().parse().unwrap();
        assert!((least..=most).contains(&age), "{least} to {most} were due: {answer}");
    };
    age_is("/", 0, 0, clock::now());
    let asked = clock::now();
    assert!(edge.get("/aged", "").contains("\r\nAge: 7\r\n"), "what the endpoint says stays");
    // The time on the way counts where an age is said: it may all lie before that was said (RFC 9111 section 4.2.3).
    age_is("/aged", 7 + WORKS.as_secs(), 7, asked);
}
