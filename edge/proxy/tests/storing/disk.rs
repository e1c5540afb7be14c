//! The cache's part on disk in the way of a request: what a restart leaves, what a purge does not, what is larger than
//! memory. Each edge here is a new one over the same directory.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{self, Running, edge, endpoint};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_model::{Caching, DiskSettings, PurgeOrder, PurgeWhat, Snapshot};
use tentpole_runtime::ledger::Account;

const MIB: u64 = 1 << 20;

fn on_disk(directory: &Path) -> impl FnOnce(&mut Snapshot) {
    let directory = directory.to_path_buf();
    move |snapshot| {
        snapshot.disk = Some(DiskSettings { directory, bytes_max: 64 * MIB, object_bytes_max: 16 * MIB });
    }
}

/// An edge over the directory that has looked through what is there.
fn start(endpoint: SocketAddr, directory: &Path) -> Running {
    start_with(endpoint, directory, |_| {})
}

fn start_with(endpoint: SocketAddr, directory: &Path, change: impl FnOnce(&mut Snapshot)) -> Running {
    let running = edge(endpoint, |snapshot| {
        on_disk(directory)(snapshot);
        change(snapshot);
    });
    let disk = running.disk.clone().unwrap();
    until("it is looked through", || disk.is_scanned());
    running
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

fn page(body: &str, fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Every answer says how many were given before it.
fn counting(fields: &'static str) -> (SocketAddr, common::Asked) {
    let count = AtomicUsize::new(0);
    endpoint(move |_| page(&format!("page {}", count.fetch_add(1, Ordering::Relaxed)), fields))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn cache_status(answer: &str) -> &str {
    answer.lines().find_map(|line| line.strip_prefix("Cache-Status: ")).unwrap_or_default()
}

fn is_from_disk(answer: &str) -> bool {
    cache_status(answer).starts_with("tentpole; hit; detail=disk")
}

#[test]
fn a_restart_keeps_what_was_stored() {
    let directory = tempfile::tempdir().unwrap();
    let (address, asked) = counting("Cache-Control: max-age=600\r\nETag: \"1\"\r\nX-App: yes\r\n");
    assert_eq!(body(&start(address, directory.path()).get("/", "")), "page 0");
    let edge = start(address, directory.path());
    let answer = edge.get("/", "");
    assert!(is_from_disk(&answer) && body(&answer) == "page 0", "{answer}");
    assert!(
        answer.contains("X-App: yes") && answer.contains("ETag: \"1\"") && answer.contains("\r\nAge: "),
        "{answer}"
    );
    let again = edge.get("/", "");
    assert!(cache_status(&again).starts_with("tentpole; hit; ttl="), "it is in memory again: {again}");
    assert!(edge.get("/", "If-None-Match: \"1\"\r\n").starts_with("HTTP/1.1 304"));
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(body(&edge.get("/other", "")), "page 1");
}

#[test]
fn a_purge_that_has_answered_holds_after_a_restart() {
    let url = |path: &str| format!("http://shop.example{path}");
    let tags = |site: Option<&str>| PurgeWhat::Tags { site: site.map(Into::into), tags: vec!["none".into()] };
    for (what, gone) in [
        (PurgeWhat::Url(url("/a")), true),
        (PurgeWhat::Url(url("/ab")), false),
        (PurgeWhat::Prefix(url("/a")), true),
        (PurgeWhat::Prefix(url("/b")), false),
        (PurgeWhat::Site("all".into()), true),
        (tags(None), false),
        (tags(Some("all")), false),
        (PurgeWhat::All, true),
    ] {
        for purged_before_restart in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let (address, asked) = counting("Cache-Control: max-age=600\r\n");
            let order = PurgeOrder::hard(what.clone());
            let running = start(address, directory.path());
            running.get("/a", "");
            if purged_before_restart {
                running.purger.purge(&order).unwrap();
            }
            drop(running);
            let running = start(address, directory.path());
            if !purged_before_restart {
                // Memory knows nothing of it, the disk does.
                running.purger.purge(&order).unwrap();
            }
            let answer = running.get("/a", "");
            assert_eq!(is_from_disk(&answer), !gone, "{what:?}: {answer}");
            assert_eq!(asked.lock().unwrap().len(), 1 + usize::from(gone), "{what:?}");
        }
    }
}

#[test]
fn a_soft_purge_makes_stale_what_lies_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (address, asked) = counting("Cache-Control: max-age=600\r\nETag: \"1\"\r\n");
    start(address, directory.path()).get("/", "");
    let running = start(address, directory.path());
    running.purger.purge(&PurgeOrder { what: PurgeWhat::All, soft: true }).unwrap();
    let answer = running.get("/", "");
    assert_eq!(body(&answer), "page 0", "served while it is fetched anew: {answer}");
    until("it is fetched anew", || asked.lock().unwrap().len() == 2);
    assert!(asked.lock().unwrap()[1].contains("If-None-Match: \"1\""));
}

#[test]
fn what_is_stale_on_disk_is_asked_about() {
    let directory = tempfile::tempdir().unwrap();
    let (address, asked) = endpoint(|head| match head.contains("If-None-Match: \"1\"") {
        true => "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=600\r\nETag: \"1\"\r\n\r\n".into(),
        false => page("page", "Cache-Control: max-age=70\r\nAge: 40\r\nETag: \"1\"\r\n"),
    });
    let running = start(address, directory.path());
    // Half a minute is left, and it is older than he takes.
    running.get("/", "");
    drop(running);
    let running = start(address, directory.path());
    let answer = running.get("/", "Cache-Control: max-age=30\r\n");
    assert_eq!(
        cache_status(&answer).split("; ttl").next().unwrap(),
        "tentpole; fwd=request; fwd-status=304",
        "{answer}"
    );
    assert_eq!(body(&answer), "page");
    drop(running);
    // What the 304 said is on disk too.
    let answer = start(address, directory.path()).get("/", "");
    assert!(is_from_disk(&answer) && answer.contains("max-age=600"), "{answer}");
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn an_endpoint_that_fails_after_a_restart_is_stood_in_for() {
    let directory = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    // Not a second before its end: what takes longer than that on its way is stale when it comes, and is not stored.
    let (address, _) = endpoint(move |_| match failing.load(Ordering::Relaxed) {
        true => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nsorry".into(),
        false => page("page", "Cache-Control: max-age=14, stale-if-error=600\r\nAge: 11\r\n"),
    });
    start(address, directory.path()).get("/", "");
    fails.store(true, Ordering::Relaxed);
    let running = start(address, directory.path());
    until("it is stale", || {
        let answer = running.get("/", "Cache-Control: max-age=5\r\n");
        assert!(answer.starts_with("HTTP/1.1 200") && body(&answer) == "page", "{answer}");
        cache_status(&answer).contains("stale_if_error")
    });
}

#[test]
fn each_variant_is_found_by_the_request_that_selects_it() {
    let directory = tempfile::tempdir().unwrap();
    let (address, asked) = endpoint(|head| {
        let language = head.lines().find_map(|line| line.strip_prefix("Accept-Language: ")).unwrap_or("none");
        page(&format!("page in {language}"), "Cache-Control: max-age=600\r\nVary: Accept-Language\r\n")
    });
    let languages = ["", "Accept-Language: de\r\n", "Accept-Language: en\r\n"];
    let bodies = |running: &Running| languages.map(|language| body(&running.get("/", language)).to_owned());
    let before = bodies(&start(address, directory.path()));
    assert_eq!(before, ["page in none", "page in de", "page in en"]);
    let running = start(address, directory.path());
    assert_eq!(bodies(&running), before);
    assert_eq!(asked.lock().unwrap().len(), 3);
    assert_eq!(body(&running.get("/", "Accept-Language: fr\r\n")), "page in fr");
}

#[test]
fn what_was_stored_by_other_rules_is_not_served_by_stricter_ones() {
    let rules = |keyed: &[&str], despite_set_cookie| Caching {
        cookies_keyed: keyed.iter().map(|&name| name.to_owned()).collect(),
        despite_set_cookie,
        ..Caching::default()
    };
    let by = |caching: &Caching| {
        let caching = caching.clone();
        move |snapshot: &mut Snapshot| snapshot.cachings = vec![caching]
    };
    // A page of a group that nobody had said there was; one that set a cookie.
    for (before, after, is_kept) in [
        (rules(&[], false), rules(&["group"], false), false),
        (rules(&[], true), rules(&[], false), false),
        (rules(&[], true), rules(&[], true), true),
        (
            rules(&["group"], false),
            Caching { negative: Duration::from_secs(9), ..rules(&["group"], false) },
            true,
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let fields = match before.despite_set_cookie {
            true => "Cache-Control: max-age=600\r\nSet-Cookie: sid=1\r\n",
            false => "Cache-Control: max-age=600\r\n",
        };
        let (address, asked) = counting(fields);
        start_with(address, directory.path(), by(&before)).get("/", "Cookie: group=vip\r\n");
        let edge = start_with(address, directory.path(), by(&after));
        let fields = if after.cookies_keyed.is_empty() || !is_kept { "" } else { "Cookie: group=vip\r\n" };
        let answer = edge.get("/", fields);
        assert_eq!(is_from_disk(&answer), is_kept, "{answer}");
        assert_eq!(asked.lock().unwrap().len(), if is_kept { 1 } else { 2 });
    }
}

#[test]
fn what_is_not_for_all_or_not_for_long_is_not_kept() {
    for fields in [
        "Cache-Control: private, max-age=600\r\n",
        "Cache-Control: no-store\r\n",
        "Cache-Control: max-age=600\r\nSet-Cookie: a=b\r\n",
        "Cache-Control: max-age=5\r\n",
        "Cache-Control: no-cache\r\nETag: \"1\"\r\n",
        // A guess.
        "Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT\r\n",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (address, _) = counting(fields);
        assert_eq!(body(&start(address, directory.path()).get("/", "")), "page 0");
        let answer = start(address, directory.path()).get("/", "");
        assert_eq!(body(&answer), "page 1", "{fields}");
    }
}

#[test]
fn what_lies_on_disk_goes_when_something_newer_is_known() {
    for newer in [
        "Cache-Control: private\r\n",
        "Cache-Control: max-age=3\r\n",
        "Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT\r\n",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let count = AtomicUsize::new(0);
        let (address, _) = endpoint(move |_| match count.fetch_add(1, Ordering::Relaxed) {
            0 => page("old", "Cache-Control: max-age=600, stale-if-error=600\r\n"),
            1 => page("newer", newer),
            _ => page("newest", "Cache-Control: no-store\r\n"),
        });
        start(address, directory.path()).get("/", "");
        let running = start(address, directory.path());
        assert_eq!(body(&running.get("/", "Cache-Control: no-cache\r\n")), "newer");
        drop(running);
        let answer = start(address, directory.path()).get("/", "");
        assert_eq!(body(&answer), "newest", "{newer}: {answer}");
    }
}

#[test]
fn a_change_makes_what_lies_on_disk_void() {
    let directory = tempfile::tempdir().unwrap();
    let (address, _) = counting("Cache-Control: max-age=600\r\n");
    start(address, directory.path()).get("/", "");
    let post = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(body(&start(address, directory.path()).ask(post)), "page 1");
    assert_eq!(body(&start(address, directory.path()).get("/", "")), "page 2");
}

#[test]
fn what_memory_has_no_room_for_is_served_from_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (address, asked) = endpoint(|head| {
        let path = head.split(' ').nth(1).unwrap();
        page(&path.repeat(50_000 / path.len()), "Cache-Control: max-age=600\r\n")
    });
    let running = start_with(address, directory.path(), |snapshot| snapshot.cache.memory_bytes_max = MIB);
    let paths: Vec<String> = (100..200).map(|number| format!("/{number}")).collect();
    for path in &paths {
        running.get(path, "");
    }
    let disk = running.disk.clone().unwrap();
    until("all is written", || disk.stats().writes == 100);
    let answers: Vec<String> = paths.iter().map(|path| running.get(path, "")).collect();
    for (path, answer) in paths.iter().zip(&answers) {
        assert!(body(answer).len() == 50_000 && body(answer).starts_with(&path.repeat(3)), "{path}");
    }
    assert!(answers.iter().filter(|answer| is_from_disk(answer)).count() > 70);
    assert_eq!(asked.lock().unwrap().len(), 100, "no endpoint was asked twice");
}

/// Text in which every place is another.
fn text(length: usize) -> String {
    let mut text = String::with_capacity(length + 8);
    let mut number = 0;
    while text.len() < length {
        text.push_str(&format!("{number:07};"));
        number += 1;
    }
    text.truncate(length);
    text
}

fn small_memory(snapshot: &mut Snapshot) {
    snapshot.cache.memory_bytes_max = 4 * MIB;
    snapshot.cache.object_bytes_max = 256 << 10;
}

/// Waits until the object that was just fetched can be found on disk.
fn written(running: &Running) {
    let disk = running.disk.clone().unwrap();
    until("it is written", || disk.stats().writes == 1);
}

fn large(running: &Running, whole: &str) {
    let answer = running.get("/", "");
    assert!(is_from_disk(&answer) && body(&answer) == whole, "{}", &answer[..300]);
    let part = running.get("/", "Range: bytes=262000-786500\r\n");
    assert!(part.starts_with("HTTP/1.1 206") && body(&part) == &whole[262_000..=786_500], "{}", &part[..300]);
    assert!(part.contains(&format!("Content-Range: bytes 262000-786500/{}", whole.len())));
    let last = running.get("/", "Range: bytes=-5\r\n");
    assert_eq!(body(&last), &whole[whole.len() - 5..]);
    assert!(running.get("/", "If-None-Match: \"large\"\r\n").starts_with("HTTP/1.1 304"));
    let head = running.ask("HEAD / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    assert!(
        head.contains(&format!("Content-Length: {}\r\n", whole.len())) && body(&head).is_empty(),
        "{head}"
    );
}

#[test]
fn an_object_larger_than_memory_goes_through_and_comes_from_disk() {
    let directory = tempfile::tempdir().unwrap();
    let whole = text(3_000_001);
    let says = whole.clone();
    let (address, asked) =
        endpoint(move |_| page(&says, "Cache-Control: max-age=600\r\nETag: \"large\"\r\n"));
    let running = start_with(address, directory.path(), small_memory);
    assert_eq!(body(&running.get("/", "")), whole);
    written(&running);
    large(&running, &whole);
    assert_eq!(asked.lock().unwrap().len(), 1, "one fetch, however often it is asked for");
    drop(running);
    let running = start_with(address, directory.path(), small_memory);
    large(&running, &whole);
    assert_eq!(asked.lock().unwrap().len(), 1);
    running.purger.purge(&PurgeOrder::hard(PurgeWhat::Url("http://shop.example/".into()))).unwrap();
    assert!(!is_from_disk(&running.get("/", "")));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn a_length_that_nobody_announced_may_turn_out_to_be_too_large_for_memory() {
    let directory = tempfile::tempdir().unwrap();
    let whole = text(2_000_000);
    let says = whole.clone();
    let (address, _) = endpoint(move |_| {
        let mut answer = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"large\"\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        for chunk in says.as_bytes().chunks(9_999) {
            answer.push_str(&format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()));
        }
        answer + "0\r\n\r\n"
    });
    let running = start_with(address, directory.path(), small_memory);
    assert!(running.get("/", "").ends_with("0\r\n\r\n"));
    written(&running);
    large(&running, &whole);
}

#[test]
fn many_readers_of_a_large_object_need_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let whole = text(8 * MIB as usize);
    let says = whole.clone();
    let (address, _) = endpoint(move |_| page(&says, "Cache-Control: max-age=600\r\n"));
    let running = start_with(address, directory.path(), small_memory);
    until("it is on disk", || is_from_disk(&running.get("/", "")));
    let (highest, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                highest.fetch_max(running.ledger.held(Account::Disk) as usize, Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        let readers: Vec<_> =
            (0..10).map(|_| scope.spawn(|| assert!(body(&running.get("/", "")) == whole))).collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        over.store(true, Ordering::Relaxed);
    });
    let highest = highest.load(Ordering::Relaxed) as u64;
    assert!(highest > 0 && highest < 10 * 700 * 1024, "{highest} bytes for ten readers");
    until("what was read is given back", || running.ledger.held(Account::Disk) < MIB);
}

#[test]
fn a_disk_that_lies_or_is_gone_costs_hits_and_no_visitor() {
    let directory = tempfile::tempdir().unwrap();
    let says = text(1_000_000);
    let (address, asked) = endpoint(move |head| match head.starts_with("GET /large") {
        true => page(&says, "Cache-Control: max-age=600\r\n"),
        false => page("small", "Cache-Control: max-age=600\r\n"),
    });
    let running = start_with(address, directory.path(), small_memory);
    running.get("/large", "");
    running.get("/small", "");
    drop(running);
    // Every record's content is damaged, their heads are not.
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("segment-") {
            let mut bytes = std::fs::read(&path).unwrap();
            let text = bytes.windows(8).position(|window| window == b"0000000;").unwrap();
            bytes[text + 1] ^= 1;
            let small = bytes.windows(5).rposition(|window| window == b"small").unwrap();
            bytes[small] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let running = start_with(address, directory.path(), small_memory);
    assert_eq!(body(&running.get("/small", "")), "small");
    assert_eq!(body(&running.get("/large", "")), text(1_000_000));
    assert_eq!(asked.lock().unwrap().len(), 4);
    assert!(running.disk.as_ref().unwrap().stats().damaged >= 2);
    std::fs::remove_dir_all(directory.path()).unwrap();
    for path in ["/small", "/large", "/small?2", "/large?2"] {
        assert!(running.get(path, "").starts_with("HTTP/1.1 200"), "{path}");
    }
}

#[test]
fn all_who_want_what_lies_on_disk_get_it_and_no_endpoint_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let (address, asked) = counting("Cache-Control: max-age=600\r\n");
    start(address, directory.path()).get("/", "");
    let running = start(address, directory.path());
    let answers = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| answers.lock().unwrap().push(running.get("/", "")));
        }
    });
    let answers = answers.into_inner().unwrap();
    assert!(answers.iter().all(|answer| body(answer) == "page 0"));
    assert!(answers.iter().any(|answer| is_from_disk(answer)));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_page_that_is_put_together_is_so_after_a_restart_too() {
    let directory = tempfile::tempdir().unwrap();
    let (address, asked) = endpoint(|head| match head.starts_with("GET /basket") {
        true => page("your basket", "Cache-Control: private\r\n"),
        false => page(
            "<html><esi:include src=\"/basket\"/></html>",
            "Content-Type: text/html\r\nCache-Control: max-age=600\r\nSurrogate-Control: content=\"ESI/1.0\"\r\n",
        ),
    });
    for _ in 0..2 {
        let answer = start(address, directory.path()).get("/", "");
        assert!(answer.contains("your basket") && !answer.contains("esi:include"), "{answer}");
    }
    assert_eq!(asked.lock().unwrap().iter().filter(|head| head.starts_with("GET / ")).count(), 1);
}
