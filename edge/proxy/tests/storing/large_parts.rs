//! Parts of what is too large for memory: kept as they were asked for, bound to one version of the whole.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Asked, Running, edge, endpoint};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tentpole_model::{PurgeOrder, PurgeWhat};

const TOTAL: usize = 20_000;
const HELD_MAX: u64 = 10_000;

fn content(version: usize, range: Range<usize>) -> String {
    range.map(|at| char::from(b'a' + ((at / 7 + at * 3 + version) % 26) as u8)).collect()
}

fn whole(version: usize, fields: &str) -> String {
    let body = content(version, 0..TOTAL);
    format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{fields}Content-Length: {TOTAL}\r\n\r\n{body}")
}

fn part(version: usize, range: Range<usize>, fields: &str) -> String {
    let (first, last, length) = (range.start, range.end - 1, range.len());
    format!(
        "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\n{fields}\
         Content-Range: bytes {first}-{last}/{TOTAL}\r\nContent-Length: {length}\r\n\r\n{}",
        content(version, range)
    )
}

/// The range that a request asks an endpoint for, if it is one.
fn wanted(head: &str) -> Option<Range<usize>> {
    let line = head.lines().find_map(|line| line.strip_prefix("Range: bytes="))?;
    let read = |number: &str| number.parse::<usize>().ok();
    Some(match line.split_once('-')? {
        ("", last) => TOTAL - read(last)?..TOTAL,
        (first, "") => read(first)?..TOTAL,
        (first, last) => read(first)?..(read(last)? + 1).min(TOTAL),
    })
}

fn answer(head: &str, version: usize, fields: &str) -> String {
    wanted(head).map_or_else(|| whole(version, fields), |range| part(version, range, fields))
}

/// An edge that cannot hold the whole, before an endpoint that may.
fn before(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (Running, Asked) {
    let (address, asked) = endpoint(answer);
    (edge(address, |snapshot| snapshot.cache.object_bytes_max = HELD_MAX), asked)
}

/// As [`before`], and it is known already that the whole is too large.
fn known(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (Running, Asked) {
    let (edge, asked) = before(answer);
    edge.get("/film", "");
    asked.lock().unwrap().clear();
    (edge, asked)
}

fn ranged(edge: &Running, range: &str) -> String {
    edge.get("/film", &format!("Range: bytes={range}\r\n"))
}

#[track_caller]
fn is_part(answer: &str, version: usize, range: Range<usize>) {
    let (first, last) = (range.start, range.end - 1);
    let said = format!("\r\nContent-Range: bytes {first}-{last}/{TOTAL}\r\n");
    assert!(answer.starts_with("HTTP/1.1 206 ") && answer.contains(&said), "{answer}");
    assert_eq!(answer.matches("Content-Range").count(), 1, "{answer}");
    assert!(answer.contains(&format!("\r\nContent-Length: {}\r\n", range.len())), "{answer}");
    assert!(answer.split_once("\r\n\r\n").unwrap().1 == content(version, range), "another content");
}

fn is_hit(answer: &str) -> bool {
    answer.contains("Cache-Status: tentpole; hit")
}

#[test]
fn a_part_is_kept_once_it_is_known_that_the_whole_cannot_be() {
    let (edge, asked) = before(|head| answer(head, 0, "ETag: \"1\"\r\n"));
    is_part(&ranged(&edge, "100-299"), 0, 100..300);
    assert_eq!(asked.lock().unwrap().len(), 2, "first the whole was asked for");
    let stored = ranged(&edge, "100-299");
    is_part(&stored, 0, 100..300);
    assert!(stored.contains("fwd=uri-miss; stored"), "{stored}");
    let hit = ranged(&edge, "100-299");
    is_part(&hit, 0, 100..300);
    assert!(is_hit(&hit) && hit.contains("\r\nAge: "), "{hit}");
    assert_eq!(asked.lock().unwrap().len(), 3);
    let other = ranged(&edge, "100-300");
    is_part(&other, 0, 100..301);
    assert!(!is_hit(&other), "another part");
}

#[test]
fn who_asks_for_the_whole_never_gets_a_part() {
    let (edge, asked) = known(|head| answer(head, 0, "ETag: \"1\"\r\n"));
    ranged(&edge, "100-299");
    assert!(is_hit(&ranged(&edge, "100-299")));
    for fields in ["", "Range: bytes=0-1,5-6\r\n", "Range: lines=1-2\r\n"] {
        let got = edge.get("/film", fields);
        assert!(!is_hit(&got), "{got}");
    }
    let heads = asked.lock().unwrap();
    assert_eq!(heads.len(), 4, "{heads:?}");
    assert!(wanted(&heads[1]).is_none(), "{heads:?}");
}

#[test]
fn open_and_suffix_ranges_are_the_part_that_they_come_to() {
    let (edge, asked) = known(|head| answer(head, 0, "ETag: \"1\"\r\n"));
    for (at, range) in ["19000-", "-1000", "19000-99999", "19000-19999"].into_iter().enumerate() {
        let got = ranged(&edge, range);
        is_part(&got, 0, 19_000..20_000);
        assert_eq!(is_hit(&got), at > 0, "{range}");
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
    is_part(&ranged(&edge, "0-"), 0, 0..TOTAL);
    is_part(&ranged(&edge, "0-"), 0, 0..TOTAL);
    let heads = asked.lock().unwrap();
    assert!(
        heads.len() == 3 && heads[2].contains("Range: bytes=0-\r\n"),
        "larger than may be held: {heads:?}"
    );
}

#[test]
fn a_changed_whole_makes_all_its_parts_unknown() {
    let version = Arc::<AtomicUsize>::default();
    let now = version.clone();
    let (edge, _) = known(move |head| {
        let now = now.load(Ordering::Relaxed);
        answer(head, now, &format!("ETag: \"{now}\"\r\n"))
    });
    ranged(&edge, "0-99");
    assert!(is_hit(&ranged(&edge, "0-99")));
    version.store(1, Ordering::Relaxed);
    is_part(&ranged(&edge, "100-199"), 1, 100..200);
    let first = ranged(&edge, "0-99");
    is_part(&first, 1, 0..100);
    assert!(!is_hit(&first), "{first}");
    version.store(0, Ordering::Relaxed);
    // The version from before is back: what was forgotten stays so.
    is_part(&ranged(&edge, "200-299"), 0, 200..300);
    let first = ranged(&edge, "0-99");
    is_part(&first, 0, 0..100);
    assert!(!is_hit(&first), "{first}");
    assert!(is_hit(&ranged(&edge, "0-99")), "the new version's parts are kept");
}

#[test]
fn without_a_strong_tag_a_lifetime_and_one_answer_for_all_no_part_is_kept() {
    for fields in ["", "ETag: W/\"1\"\r\n", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"] {
        let (edge, asked) = known(move |head| answer(head, 0, fields));
        (0..3).for_each(|_| is_part(&ranged(&edge, "0-99"), 0, 0..100));
        assert_eq!(asked.lock().unwrap().len(), 3, "{fields}");
    }
    for fields in
        ["Vary: User-Agent\r\n", "Cache-Control: private\r\n", "Set-Cookie: a=b\r\n", "Expires: 0\r\n"]
    {
        let (edge, asked) = known(move |head| {
            let told = wanted(head).map_or("", |_| fields);
            let answer = answer(head, 0, &format!("ETag: \"1\"\r\n{told}"));
            if told.starts_with("Expires") {
                answer.replace("Cache-Control: max-age=60\r\n", "")
            } else {
                answer
            }
        });
        (0..3).for_each(|_| is_part(&ranged(&edge, "0-99"), 0, 0..100));
        assert!(asked.lock().unwrap().len() >= 3, "{fields}");
    }
}

#[test]
fn a_purge_makes_parts_unknown_whatever_it_names() {
    let (edge, _) = known(|head| answer(head, 0, "ETag: \"1\"\r\nCache-Tag: film\r\n"));
    let url = || PurgeWhat::Url("http://shop.example/film".into());
    let prefix = PurgeWhat::Prefix("http://shop.example/fi".into());
    let orders = [
        PurgeOrder::hard(url()),
        PurgeOrder { soft: true, ..PurgeOrder::hard(url()) },
        PurgeOrder::hard(prefix),
        PurgeOrder::hard(PurgeWhat::Tags { site: None, tags: vec!["film".into()] }),
        PurgeOrder::hard(PurgeWhat::All),
    ];
    for order in orders {
        ranged(&edge, "0-99");
        ranged(&edge, "0-99");
        assert!(is_hit(&ranged(&edge, "0-99")), "{order:?}");
        edge.purger.purge(&order).unwrap();
        // Known to be too large again: what was kept before does not come back with that.
        edge.get("/film", "");
        let got = ranged(&edge, "0-99");
        assert!(!is_hit(&got), "{order:?}: {got}");
    }
}

#[test]
fn of_any_number_who_want_the_same_part_at_once_one_asks() {
    let (edge, asked) = known(|head| {
        if wanted(head).is_some() {
            // Time for all to come.
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        answer(head, 0, "ETag: \"1\"\r\n")
    });
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| is_part(&ranged(&edge, "50-4999"), 0, 50..5_000));
        }
        for _ in 0..3 {
            scope.spawn(|| is_part(&ranged(&edge, "7-9000"), 0, 7..9_001));
        }
    });
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn if_range_takes_a_part_of_its_own_version_only() {
    let (edge, asked) = known(|head| match head.contains("If-Range: \"0\"") {
        true => whole(0, "ETag: \"1\"\r\n"),
        false => answer(head, 0, "ETag: \"1\"\r\n"),
    });
    ranged(&edge, "0-99");
    let same = edge.get("/film", "Range: bytes=0-99\r\nIf-Range: \"1\"\r\n");
    is_part(&same, 0, 0..100);
    assert!(is_hit(&same));
    let other = edge.get("/film", "Range: bytes=0-99\r\nIf-Range: \"0\"\r\n");
    assert!(other.starts_with("HTTP/1.1 200 ") && other.ends_with(&content(0, 0..TOTAL)));
    edge.get("/film", "Range: bytes=0-99\r\nIf-None-Match: \"1\"\r\n");
    let heads = asked.lock().unwrap();
    assert!(heads[1].contains("If-Range: \"0\"") && heads[2].contains("If-None-Match"), "{heads:?}");
    assert_eq!(heads.len(), 3);
}

#[test]
fn what_is_not_the_part_that_was_asked_for_is_not_kept() {
    let ok = || part(0, 0..100, "ETag: \"1\"\r\n");
    let lies: [(&str, String); 7] = [
        ("another total", ok().replace("/20000", "/20001")),
        ("another range", ok().replace("bytes 0-99/", "bytes 1-100/")),
        ("outside", ok().replace("bytes 0-99/20000", "bytes 0-99/50")),
        ("more bytes than it brings", ok().replace("bytes 0-99/", "bytes 0-199/")),
        ("two of them", ok().replace("Content-Range", "Content-Range: bytes 5-9/20000\r\nContent-Range")),
        ("none", ok().replace("Content-Range", "X-Range")),
        ("a whole", whole(0, "ETag: \"1\"\r\n")),
    ];
    for (what, lie) in lies {
        let (edge, asked) = known(move |head| match wanted(head) {
            Some(_) => lie.clone(),
            None => whole(0, "ETag: \"1\"\r\n"),
        });
        for _ in 0..3 {
            assert!(!is_hit(&ranged(&edge, "0-99")), "{what}");
        }
        assert!(asked.lock().unwrap().len() >= 3, "{what}");
    }
}

#[test]
fn a_part_goes_to_the_endpoint_without_what_its_key_does_not_hold() {
    let (edge, asked) = known(|head| answer(head, 0, "ETag: \"1\"\r\n"));
    let fields = "Range: bytes=-100\r\nIf-Range: \"1\"\r\nX-HTTP-Method-Override: DELETE\r\n";
    is_part(&edge.get("/film", fields), 0, 19_900..20_000);
    let heads = asked.lock().unwrap();
    assert!(heads.len() == 1 && heads[0].contains("Range: bytes=19900-19999\r\n"), "{heads:?}");
    assert!(!heads[0].contains("If-Range") && !heads[0].contains("Override"), "{heads:?}");
}
