//! The isolation harness catches caches that mix people up, and has nothing to say against those that do not.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tentpole_testkit::{
    Answer, Ask, Isolation, Origin, Person, Purge, Report, Response, Seen, Site, Visitor,
};

/// How a small caching proxy errs.
#[derive(Clone, Copy)]
struct Proxy {
    stores: fn(&Seen, &Answer) -> bool,
    key: fn(&Seen) -> String,
}

impl Proxy {
    /// Runs it in front of `site`. It also purges everything on `POST /api/purge`.
    async fn start(self, site: SocketAddr) -> Origin {
        let origin = Origin::start().await;
        let cache = Arc::new(Mutex::new(HashMap::<String, Answer>::new()));
        let emptied = cache.clone();
        origin.on("/api/purge").respond_with(move |_| {
            emptied.lock().expect("not poisoned").clear();
            Response::status(204)
        });
        origin.otherwise(move |seen| {
            let key = (self.key)(seen);
            if seen.method == "GET"
                && let Some(hit) = cache.lock().expect("not poisoned").get(&key)
            {
                return passed_on(hit).header("Cache-Status", "small; hit");
            }
            let answer = fetch(site, seen);
            if seen.method == "GET" && (self.stores)(seen, &answer) {
                cache.lock().expect("not poisoned").insert(key, answer.clone());
            }
            passed_on(&answer).header("Cache-Status", "small; fwd=miss")
        });
        origin
    }

    /// What the harness finds on the pages whose target contains `part`.
    async fn judged(self, users: usize, anonymous: usize, part: &str) -> Report {
        let site = Site::start().await;
        let proxy = self.start(site.origin().address()).await;
        let mut isolation =
            Isolation::at_site(proxy.address(), "shop.example", users, anonymous).await.expect("logins work");
        isolation.targets.retain(|target| target.contains(part));
        isolation.requests = if part.is_empty() { 1_000 } else { 300 };
        isolation.purge = Purge::Admin(proxy.address());
        isolation.run().await.expect("fit to run")
    }
}

/// Asks the site the same. On a thread of its own, since the proxy answers within a runtime.
fn fetch(site: SocketAddr, seen: &Seen) -> Answer {
    let mut ask = Ask::new(&seen.method, &seen.target);
    for (name, value) in seen.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
    {
        ask = ask.header(name, value);
    }
    if seen.method == "POST" {
        ask = ask.body(&seen.body);
    }
    let fetch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { Visitor::connect(site).await.ask(&ask).await })
    };
    std::thread::spawn(fetch).join().expect("the site answers")
}

fn passed_on(answer: &Answer) -> Response {
    let mut response = Response::status(answer.status).body(&answer.body);
    for (name, value) in &answer.headers {
        if !["content-length", "transfer-encoding"].contains(&name.to_lowercase().as_str()) {
            response = response.header(name, value);
        }
    }
    response
}

fn is_public(_: &Seen, answer: &Answer) -> bool {
    let control = answer.header("cache-control").unwrap_or_default();
    let varies = answer.header("vary") == Some("Cookie");
    let passes = ["private", "no-store", "no-cache"].iter().any(|word| control.contains(word));
    let answers = answer.status != 304 && answer.header("set-cookie").is_none();
    answers && control.contains("max-age") && !passes && !varies
}

fn with_variants(seen: &Seen) -> String {
    format!("{} {:?} {:?}", seen.target, seen.header("accept-language"), seen.header("accept-encoding"))
}

#[tokio::test]
async fn a_cache_that_keeps_to_the_rules_is_clean() {
    let stores = |seen: &Seen, answer: &Answer| {
        let public = answer.header("cache-control").is_some_and(|control| control.contains("public"));
        is_public(seen, answer) && (seen.header("authorization").is_none() || public)
    };
    let report = Proxy { stores, key: with_variants }.judged(3, 3, "").await;
    assert!(report.is_clean(), "{report}");
    assert!(report.hits > 50 && report.purges > 10 && report.left_early > 5, "{report}");
    assert!(report.own_markers > 100, "{report}");
}

#[tokio::test]
async fn no_cache_at_all_is_clean() {
    let site = Site::start().await;
    let mut isolation =
        Isolation::at_site(site.origin().address(), "shop.example", 3, 3).await.expect("logins work");
    isolation.requests = 1_500;
    let report = isolation.run().await.expect("fit to run");
    assert!(report.is_clean() && report.hits == 0, "{report}");
}

#[tokio::test]
async fn a_cache_that_looks_at_the_path_only_is_caught() {
    let report = Proxy { stores: |_, _| true, key: |seen| seen.path().to_owned() }.judged(3, 3, "").await;
    assert!(report.foreign > 10 && !report.leaks.is_empty(), "{report}");
    assert!(report.own_markers > 0 && !report.is_clean(), "{report}");
    let leak = &report.leaks[0];
    assert!(
        leak.marker.starts_with("marker-u") && !leak.marker.contains(&format!("-{}-", leak.asked_by)),
        "{leak:?}"
    );
}

#[tokio::test]
async fn a_cache_that_stores_beside_set_cookie_is_caught() {
    let stores = |_: &Seen, answer: &Answer| {
        answer.header("cache-control") == Some("max-age=60") && answer.header("set-cookie").is_some()
    };
    let report = Proxy { stores, key: with_variants }.judged(3, 0, "/basket/").await;
    assert!(report.foreign > 0, "{report}");
    assert!(report.leaks.iter().all(|leak| leak.asked.contains("/basket/")), "{report}");
}

#[tokio::test]
async fn a_cache_that_shares_forms_among_anonymous_visitors_is_caught() {
    let stores = |seen: &Seen, _: &Answer| seen.header("cookie").is_none();
    let report = Proxy { stores, key: |seen| seen.target.clone() }.judged(1, 3, "/form/").await;
    assert!(report.repeated_tokens > 0, "{report}");
}

#[tokio::test]
async fn a_cache_that_ignores_vary_is_caught() {
    let report =
        Proxy { stores: is_public, key: |seen| seen.target.clone() }.judged(1, 2, "/language/").await;
    assert!(report.wrong > 0, "{report}");
    assert!(report.details.iter().any(|detail| detail.contains("language")), "{report}");
}

#[tokio::test]
async fn a_cache_that_ignores_authorization_is_caught() {
    let report = Proxy { stores: is_public, key: with_variants }.judged(3, 1, "/api").await;
    assert!(report.foreign > 0, "{report}");
    assert!(report.leaks.iter().all(|leak| leak.asked.contains("/api-mine/")), "{report}");
}

#[tokio::test]
async fn given_sessions_and_targets_are_enough() {
    let origin = Origin::start().await;
    origin.otherwise(|seen| Response::ok(format!("profile of {}", seen.cookie("user").unwrap_or("nobody"))));
    origin.on("/broken").respond(Response::ok("profile of Anna_42"));
    let sessions = r#"[{"name": "anna", "marker": "Anna_42x", "cookie": "user=Anna_42x; theme=dark"},
                       {"name": "bert", "marker": "Bert_77y", "cookie": "user=Bert_77y"},
                       {"name": "guest"}]"#;
    let people: Vec<Person> = serde_json::from_str(sessions).unwrap();
    let run = async |targets: &[&str]| {
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        let mut isolation = Isolation::at(origin.address(), "blog.example", people.clone(), targets);
        isolation.requests = 120;
        isolation.run().await.expect("fit to run")
    };
    let clean = run(&["/profile"]).await;
    assert!(clean.is_clean() && clean.own_markers > 20, "{clean}");
    origin.on("/profile").respond(Response::ok("profile of Anna_42x"));
    let mixed_up = run(&["/profile"]).await;
    assert!(mixed_up.foreign > 20 && mixed_up.leaks.iter().all(|leak| leak.asked_by != "anna"), "{mixed_up}");
}

#[tokio::test]
async fn a_run_that_could_see_nothing_is_not_clean() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("closed today"));
    let person = |name: &str, marker: &str| Person {
        name: name.to_owned(),
        marker: Some(marker.to_owned()),
        cookie: String::new(),
        authorization: None,
    };
    let people = vec![person("anna", "marker-anna-1")];
    let mut isolation = Isolation::at(origin.address(), "x", people, vec!["/".to_owned()]);
    isolation.requests = 20;
    let report = isolation.clone().run().await.expect("fit to run");
    assert!(report.faults() == 0 && !report.is_clean(), "{report}");
    isolation.people.push(person("annabel", "marker-anna-12"));
    assert!(isolation.run().await.is_err(), "a marker within another one proves nothing");
}

#[tokio::test]
async fn an_application_that_is_too_busy_is_told_apart_from_one_that_is_clean() {
    let origin = Origin::start().await;
    origin.otherwise(|seen| Response::ok(format!("profile of {}", seen.cookie("user").unwrap_or("nobody"))));
    origin.on("/busy").respond(Response::status(503).header("Retry-After", "4").body("of Bert_77y"));
    let sessions =
        r#"[{"name": "anna", "marker": "Anna_42x", "cookie": "user=Anna_42x"}, {"name": "guest"}]"#;
    let people: Vec<Person> = serde_json::from_str(sessions).unwrap();
    // One that is busy, beside so many that are not.
    let run = async |others: usize, sessions: &[Person]| {
        let targets = (0..others).map(|number| format!("/{number}")).chain(["/busy".to_owned()]).collect();
        let mut isolation = Isolation::at(origin.address(), "blog.example", sessions.to_vec(), targets);
        isolation.requests = 400;
        isolation.at_once = Some(1);
        isolation.run().await.expect("fit to run")
    };
    let few = run(50, &people).await;
    assert!(few.is_clean() && few.refused > 0 && few.errors == 0, "{few}");
    let half = run(1, &people).await;
    assert!(half.faults() == 0 && half.own_markers > 0 && !half.is_clean(), "{half}");
    // They are searched all the same.
    let bert = Person { marker: Some("Bert_77y".to_owned()), ..people[1].clone() };
    let leaks = run(1, &[people[0].clone(), bert]).await;
    assert!(leaks.foreign > 0, "{leaks}");
}

#[tokio::test]
async fn no_more_are_under_way_than_is_said() {
    for (at_once, expected) in [(Some(1), 1), (Some(3), 3), (None, 4)] {
        let origin = Origin::start().await;
        let hold = origin.holds("/page");
        let people = (0..4).map(Person::anonymous).collect();
        let mut isolation = Isolation::at(origin.address(), "x", people, vec!["/page".to_owned()]);
        (isolation.connections_each, isolation.requests, isolation.at_once) = (1, 4, at_once);
        let look = async {
            origin.until_requests(expected).await;
            // Whoever else wanted to ask has had the time for it.
            let mut visitor = Visitor::connect(origin.address()).await;
            for _ in 0..20 {
                visitor.get("/other").await;
            }
            assert_eq!(origin.requests_for("/page").len() as u64, expected);
            hold.release();
        };
        let (report, ()) = tokio::join!(isolation.run(), look);
        assert_eq!(report.expect("fit to run").requests, 4);
    }
}

#[tokio::test]
async fn purging_can_be_left_to_a_function() {
    let origin = Origin::start().await;
    let people = (0..2).map(Person::anonymous).collect();
    let mut isolation = Isolation::at(origin.address(), "blog.example", people, vec!["/a".to_owned()]);
    isolation.requests = 200;
    let purged = Arc::new(Mutex::new(Vec::new()));
    let list = purged.clone();
    isolation.purge =
        Purge::Call(Arc::new(move |url| list.lock().expect("not poisoned").push(url.to_owned())));
    let report = isolation.run().await.expect("fit to run");
    let purged = purged.lock().expect("not poisoned");
    assert!(report.purges > 0 && purged.len() as u64 == report.purges, "{report}");
    assert!(purged.iter().all(|url| url == "http://blog.example/a"));
}

#[tokio::test]
async fn an_edge_that_is_gone_ends_the_run_with_errors() {
    let origin = Origin::start().await;
    let people = (0..4).map(Person::anonymous).collect();
    let isolation = Isolation::at(origin.address(), "x", people, vec!["/".to_owned()]);
    origin.stops().await;
    let report = isolation.run().await.expect("fit to run");
    assert!(report.errors >= 200 && report.requests < 1_000, "{report}");
}
