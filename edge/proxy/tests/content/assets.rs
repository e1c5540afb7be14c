//! Links of pages that lead to an asset host: what is stored and what passes, and what becomes of tags, parts and lengths.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use crate::common::{self, Running, edge, endpoint};
use std::net::SocketAddr;
use tentpole_model::{Assets, Caching, DiskSettings, Snapshot};

const HTML: &str = "<img src=/static/a.png><a href=/static/b.pdf>/static/</a><img src=/other.png>";
const REWRITTEN: &str = "<img src=https://assets.example/static/a.png><a href=https://assets.example/static/b.pdf>\
    /static/</a><img src=/other.png>";

fn assets(host: &str) -> Option<Assets> {
    Some(Assets { host: host.into(), paths: vec!["/static/*".into()] })
}

fn rewrites(snapshot: &mut Snapshot) {
    snapshot.cachings[0].assets = assets("https://assets.example");
}

fn answer(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let head = head.split("\r\n\r\n").next().unwrap();
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The content of a response, without its chunks' frames; a length that is said is right.
fn body(response: &str) -> String {
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    if field(head, "Transfer-Encoding").is_none() {
        if let Some(length) = field(head, "Content-Length") {
            assert_eq!(length, body.len().to_string(), "{head}");
        }
        return body.into();
    }
    let (mut rest, mut whole) = (body, String::new());
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            assert_eq!(after, "\r\n");
            return whole;
        }
        whole.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap();
    }
}

/// A page for a minute.
fn stored_page(edge: impl FnOnce(SocketAddr) -> Running) -> (Running, common::Asked) {
    let fields = "Cache-Control: max-age=60\r\nContent-Type: text/html; charset=utf-8\r\nETag: \"abc\"\r\n\
        Content-MD5: x\r\nLast-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n";
    let (address, asked) = endpoint(move |_| answer("200 OK", fields, HTML));
    (edge(address), asked)
}

#[test]
fn a_page_is_rewritten_once_and_stored_so() {
    let (edge, asked) = stored_page(|address| edge(address, rewrites));
    for _ in 0..3 {
        let response = edge.get("/", "Accept-Encoding: gzip, br\r\n");
        if field(&response, "Content-Encoding").is_none() {
            assert_eq!(body(&response), REWRITTEN);
        }
        for lost in ["Content-MD5", "Last-Modified"] {
            assert_eq!(field(&response, lost), None, "{response}");
        }
    }
    let hit = edge.get("/", "");
    assert!(hit.contains("Cache-Status: tentpole; hit"), "{hit}");
    assert_eq!(field(&hit, "Content-Length").unwrap(), REWRITTEN.len().to_string());
    assert_eq!(body(&hit), REWRITTEN);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(field(&asked[0], "Accept-Encoding"), Some("identity"));
}

#[test]
fn its_tag_says_by_which_rules_it_was_written() {
    let (edge, _asked) = stored_page(|address| edge(address, rewrites));
    let page = edge.get("/", "");
    let tag = field(&page, "ETag").unwrap().to_owned();
    assert!(tag.starts_with("\"abc-t") && tag.ends_with('"'), "{tag}");
    assert!(edge.get("/", &format!("If-None-Match: {tag}\r\n")).starts_with("HTTP/1.1 304"));
    assert!(edge.get("/", "If-None-Match: \"abc\"\r\n").starts_with("HTTP/1.1 200"), "as it was before");
    assert!(edge.get("/", "If-None-Match: \"abc-t00000000\"\r\n").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_part_of_what_is_stored_is_a_part_of_the_rewritten_page() {
    let (edge, _asked) = stored_page(|address| edge(address, rewrites));
    edge.get("/", "");
    let part = edge.get("/", "Range: bytes=9-30\r\n");
    assert!(part.starts_with("HTTP/1.1 206"), "{part}");
    assert_eq!(body(&part), REWRITTEN[9..=30]);
    assert_eq!(field(&part, "Content-Range"), Some(&*format!("bytes 9-30/{}", REWRITTEN.len())));
}

#[test]
fn a_page_for_one_visitor_is_rewritten_while_it_passes() {
    let fields = "Cache-Control: no-store\r\nContent-Type: TEXT/HTML\r\nRepr-Digest: sha-256=:x:\r\nAccept-Ranges: bytes\r\n";
    let (address, _asked) = endpoint(move |_| answer("200 OK", fields, HTML));
    let edge = edge(address, rewrites);
    let response = edge.get("/", "");
    assert_eq!(body(&response), REWRITTEN);
    assert_eq!(field(&response, "Transfer-Encoding"), Some("chunked"));
    for lost in ["Content-Length", "Repr-Digest", "Accept-Ranges"] {
        assert_eq!(field(&response, lost), None, "{response}");
    }
    let old = edge.ask("GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n");
    assert_eq!(body(&old), REWRITTEN);
    // A form that was sent is answered by a page too, and so is what is not found.
    let posted =
        edge.ask("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(body(&posted), REWRITTEN);
}

#[test]
fn links_to_the_pages_own_host_are_those_of_the_host_that_was_asked() {
    let page = "<img src=http://shop.example/static/a><img src=//blog.example/static/a>";
    let (address, _asked) = endpoint(move |_| {
        answer("404 Not Found", "Cache-Control: no-store\r\nContent-Type: text/html\r\n", page)
    });
    let edge = edge(address, rewrites);
    let expect = "<img src=https://assets.example/static/a><img src=//blog.example/static/a>";
    assert_eq!(body(&edge.get("/", "")), expect);
}

#[test]
fn what_is_no_readable_page_or_may_not_be_changed_stays() {
    for fields in [
        "Content-Type: text/css\r\n",
        "Content-Type: application/xhtml+xml\r\n",
        "",
        "Content-Type: text/html\r\nContent-Encoding: gzip\r\n",
        "Content-Type: text/html\r\nCache-Control: max-age=60, No-Transform\r\n",
    ] {
        let fields = format!("ETag: \"abc\"\r\nContent-MD5: x\r\n{fields}");
        let (address, _asked) = endpoint(move |_| answer("200 OK", &fields, HTML));
        let edge = edge(address, rewrites);
        let response = edge.get("/", "");
        assert_eq!(body(&response), HTML, "{response}");
        assert_eq!(field(&response, "ETag"), Some("\"abc\""));
        assert_eq!(field(&response, "Content-MD5"), Some("x"));
    }
}

#[test]
fn without_the_setting_nothing_changes() {
    let (edge, asked) = stored_page(|address| edge(address, |_| {}));
    let response = edge.get("/", "Accept-Encoding: gzip\r\n");
    assert_eq!((body(&response).as_str(), field(&response, "ETag")), (HTML, Some("\"abc\"")));
    assert_eq!(field(&asked.lock().unwrap()[0], "Accept-Encoding"), Some("gzip"));
}

#[test]
fn the_endpoint_is_asked_whether_its_own_page_still_holds() {
    let (address, asked) = endpoint(|head| match field(head, "If-None-Match") {
        Some("\"abc\"") => {
            "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: \"abc\"\r\n\r\n".into()
        }
        Some(other) => panic!("{other}"),
        None => answer(
            "200 OK",
            "Cache-Control: max-age=0\r\nContent-Type: text/html\r\nETag: \"abc\"\r\n\
             Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\n",
            HTML,
        ),
    });
    let edge = edge(address, rewrites);
    let first = edge.get("/", "");
    let second = edge.get("/", "");
    assert_eq!((body(&first).as_str(), body(&second).as_str()), (REWRITTEN, REWRITTEN));
    assert_eq!(field(&first, "ETag"), field(&second, "ETag"));
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert!(asked[1].contains("If-None-Match: \"abc\"\r\n"), "{}", asked[1]);
}

#[test]
fn a_part_of_a_page_that_is_not_stored_is_the_whole_and_a_part_of_a_film_is_a_part() {
    let (address, asked) = endpoint(|head| {
        let is_page = head.starts_with("GET /page");
        let kind = if is_page { "text/html" } else { "video/mp4" };
        let fields = format!("Cache-Control: no-store\r\nContent-Type: {kind}\r\nETag: \"abc\"\r\n");
        match field(head, "Range") {
            Some(_) => {
                answer("206 Partial Content", &format!("{fields}Content-Range: bytes 0-3/99\r\n"), "<img")
            }
            None => answer("200 OK", &fields, HTML),
        }
    });
    let edge = edge(address, rewrites);
    let page = edge.get("/page", "Range: bytes=0-3\r\nIf-Range: \"abc\"\r\n");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert_eq!((body(&page).as_str(), field(&page, "Content-Range")), (REWRITTEN, None));
    let film = edge.get("/film", "Range: bytes=0-3\r\n");
    assert!(film.starts_with("HTTP/1.1 206") && body(&film) == "<img", "{film}");
    let ranges = asked.lock().unwrap().iter().filter(|head| field(head, "Range").is_some()).count();
    assert_eq!(ranges, 2);
}

#[test]
fn head_says_what_get_would() {
    let (address, _asked) = endpoint(|head| {
        let fields = "Cache-Control: no-store\r\nContent-Type: text/html\r\nETag: \"abc\"\r\n";
        let content = if head.starts_with("HEAD") { "" } else { HTML };
        format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{content}", HTML.len())
    });
    let edge = edge(address, rewrites);
    let head = edge.ask("HEAD / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    assert_eq!(field(&head, "ETag"), field(&edge.get("/", ""), "ETag"));
    assert_eq!(field(&head, "Content-Length"), None, "{head}");
}

#[test]
fn pages_that_are_put_together_are_rewritten_with_their_fragments() {
    let (address, _asked) = endpoint(|head| match head.starts_with("GET /part") {
        true => answer(
            "200 OK",
            "Cache-Control: private\r\nContent-Type: text/html\r\n",
            "<img src=/static/basket.png>",
        ),
        false => answer(
            "200 OK",
            "Cache-Control: max-age=60\r\nContent-Type: text/html\r\nSurrogate-Control: content=\"ESI/1.0\"\r\n",
            "<img src=/static/a.png><esi:include src=\"/part\"/>",
        ),
    });
    let edge = edge(address, rewrites);
    for _ in 0..2 {
        let expect =
            "<img src=https://assets.example/static/a.png><img src=https://assets.example/static/basket.png>";
        assert_eq!(body(&edge.get("/", "")), expect);
    }
}

#[test]
fn what_was_stored_by_other_rules_is_not_served_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_path_buf();
    let fields = "Cache-Control: max-age=600\r\nContent-Type: text/html\r\n";
    let (address, asked) = endpoint(move |_| answer("200 OK", fields, HTML));
    let get = |assets: Option<Assets>| {
        let disk = DiskSettings { directory: path.clone(), bytes_max: 64 << 20, object_bytes_max: 16 << 20 };
        let edge = edge(address, move |snapshot| {
            snapshot.disk = Some(disk);
            snapshot.cachings = vec![Caching { assets, ..Caching::default() }];
        });
        let disk = edge.disk.clone().unwrap();
        for _ in 0..2_000 {
            if disk.is_scanned() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        body(&edge.get("/", ""))
    };
    assert_eq!(get(None), HTML);
    assert_eq!(get(assets("https://assets.example")), REWRITTEN);
    assert_eq!(get(assets("https://assets.example")), REWRITTEN);
    assert_eq!(asked.lock().unwrap().len(), 2, "the same rules find it on disk");
    assert_eq!(get(assets("https://new.example")), REWRITTEN.replace("assets.", "new."));
    assert_eq!(get(None), HTML);
}
