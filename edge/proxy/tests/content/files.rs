//! Files beneath a pool's root: what visitors get of them, with and without an application behind.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Asked, Running, edge, endpoint};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tentpole_model::{Files, PurgeOrder, PurgeWhat, Snapshot};
use tentpole_runtime::clock;
use tentpole_runtime::ledger::Account;

/// A directory with these files, all of them an hour old.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("public")).unwrap();
    for (name, content) in files {
        put(directory.path(), name, content);
    }
    directory
}

/// Puts a file in its place at once, as those who deploy do.
fn put(directory: &Path, name: &str, content: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let new = directory.join("new");
    fs::write(&new, content).unwrap();
    settled(&new);
    fs::rename(new, path).unwrap();
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(clock::unix_seconds())
}

/// Waits until it holds.
fn eventually(mut holds: impl FnMut() -> bool) {
    let began = clock::now();
    while !holds() {
        assert!(clock::now().since(began) < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn settled(path: &Path) {
    let hour_ago = now() - Duration::from_secs(3_600);
    fs::File::options().write(true).open(path).unwrap().set_modified(hour_ago).unwrap();
}

/// An edge whose only pool has only files.
fn site(directory: &Path, change: impl FnOnce(&mut Snapshot)) -> Running {
    let files = Files::at(directory.join("public"));
    let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
    edge(nobody, |snapshot| {
        snapshot.pools[0].endpoints.clear();
        snapshot.pools[0].files = Some(files);
        change(snapshot);
    })
}

/// An edge before an application whose files it serves.
fn application(directory: &Path) -> (Running, Asked) {
    let (address, asked) = endpoint(|_| "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp".into());
    let files = Files::at(directory.join("public"));
    (edge(address, |snapshot| snapshot.pools[0].files = Some(files)), asked)
}

fn field<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    response.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn status(response: &str) -> &str {
    response.get(9..12).unwrap_or(response)
}

fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[test]
fn a_file_is_an_ordinary_response() {
    let directory = directory(&[("public/a b/style.css", "body{}"), ("public/empty.txt", "")]);
    let edge = site(directory.path(), |_| {});
    let first = edge.get("/a%20b/style.css", "");
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n") && body(&first) == "body{}", "{first}");
    assert_eq!(field(&first, "Content-Type"), Some("text/css; charset=utf-8"));
    assert_eq!(field(&first, "X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(field(&first, "Content-Length"), Some("6"));
    assert!(field(&first, "Last-Modified").unwrap().ends_with(" GMT"));
    assert!(field(&first, "Cache-Status").unwrap().contains("fwd=uri-miss"), "{first}");
    assert!(!first.contains("Surrogate") && field(&first, "Cache-Control").is_none(), "{first}");
    let etag = field(&first, "ETag").unwrap();
    assert!(etag.starts_with('"'), "{etag}");

    let same = edge.get("/a%20b/style.css", &format!("If-None-Match: {etag}\r\n"));
    assert!(status(&same) == "304" && body(&same).is_empty(), "{same}");
    let part = edge.get("/a%20b/style.css", &format!("Range: bytes=1-3\r\nIf-Range: {etag}\r\n"));
    assert!(status(&part) == "206" && body(&part) == "ody", "{part}");
    assert_eq!(field(&part, "Content-Range"), Some("bytes 1-3/6"));
    let other = edge.get("/a%20b/style.css", "Range: bytes=1-3\r\nIf-Range: \"other\"\r\n");
    assert!(status(&other) == "200" && body(&other) == "body{}", "{other}");
    let beyond = edge.get("/a%20b/style.css", "Range: bytes=6-\r\n");
    assert_eq!((status(&beyond), field(&beyond, "Content-Range")), ("416", Some("bytes */6")));
    let head = edge.ask("HEAD /a%20b/style.css HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    assert!(status(&head) == "200" && body(&head).is_empty(), "{head}");
    assert_eq!((field(&head, "Content-Length"), field(&head, "ETag")), (Some("6"), Some(etag)));
    let empty = edge.get("/empty.txt", "");
    assert!(status(&empty) == "200" && field(&empty, "Content-Length") == Some("0"), "{empty}");
}

#[test]
fn without_a_cache_conditions_and_ranges_are_answered_from_the_file() {
    let directory = directory(&[("public/a.txt", "0123456789")]);
    let edge = site(directory.path(), |snapshot| {
        snapshot.sites[0].routes[0].cache = tentpole_model::RouteCache::Off;
    });
    let whole = edge.get("/a.txt", "");
    let (etag, modified) = (field(&whole, "ETag").unwrap(), field(&whole, "Last-Modified").unwrap());
    assert_eq!(body(&whole), "0123456789");
    for (fields, expected, content) in [
        (format!("If-None-Match: \"x\", {etag}\r\n"), "304", ""),
        (format!("If-Modified-Since: {modified}\r\n"), "304", ""),
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {modified}\r\n"), "200", "0123456789"),
        ("Range: bytes=-3\r\n".to_owned(), "206", "789"),
        ("Range: bytes=8-20\r\n".to_owned(), "206", "89"),
        ("Range: bytes=0-1,4-5\r\n".to_owned(), "200", "0123456789"),
        (format!("Range: bytes=2-2\r\nIf-Range: {modified}\r\n"), "206", "2"),
        (format!("Range: bytes=2-2\r\nIf-Match: {etag}\r\n"), "206", "2"),
    ] {
        let response = edge.get("/a.txt", &fields);
        assert_eq!((status(&response), body(&response)), (expected, content), "{fields}{response}");
    }
    assert_eq!(status(&edge.get("/a.txt", "If-Match: \"x\"\r\n")), "412");
    assert_eq!(status(&edge.get("/a.txt", "If-Unmodified-Since: Thu, 01 Jan 2015 00:00:00 GMT\r\n")), "412");
    assert_eq!(status(&edge.get("/a.txt", "Range: bytes=10-\r\n")), "416");
}

#[test]
fn a_folder_is_its_index_at_its_address_with_a_slash() {
    let directory = directory(&[
        ("public/index.html", "home"),
        ("public/docs/index.html", "docs"),
        ("public/pictures/a.png", "png"),
    ]);
    let edge = site(directory.path(), |_| {});
    assert_eq!(body(&edge.get("/", "")), "home");
    assert_eq!(body(&edge.get("/?a=b", "")), "home");
    assert_eq!(body(&edge.get("/docs/", "")), "docs");
    let moved = edge.get("/docs?a=b", "");
    assert_eq!((status(&moved), field(&moved, "Location")), ("301", Some("/docs/?a=b")));
    // Nobody learns what is in a folder, or that it is one.
    for path in ["/pictures", "/pictures/", "/nothing", "/nothing/", "/pictures/a.png/", "/pictures/a.png/x"]
    {
        assert_eq!(status(&edge.get(path, "")), "404", "{path}");
    }
}

#[test]
fn what_was_changed_or_removed_is_seen_within_a_second() {
    let directory = directory(&[("public/a.css", "old")]);
    let edge = site(directory.path(), |_| {});
    assert_eq!(body(&edge.get("/a.css", "")), "old");
    let hit = edge.get("/a.css", "");
    assert_eq!(body(&hit), "old");
    // What the cache says of itself: it looks again after a second at the latest.
    let status_field = field(&hit, "Cache-Status").unwrap();
    let fresh = ["hit; ttl=1", "hit; ttl=0", "fwd=stale"].iter().any(|said| status_field.contains(said));
    assert!(fresh, "{status_field}");
    put(directory.path(), "public/a.css", "new");
    eventually(|| body(&edge.get("/a.css", "")) == "new");
    fs::remove_file(directory.path().join("public/a.css")).unwrap();
    eventually(|| status(&edge.get("/a.css", "")) == "404");
    // One that stays is confirmed, and not read again.
    put(directory.path(), "public/b.css", "same");
    edge.get("/b.css", "");
    eventually(|| {
        let response = edge.get("/b.css", "");
        assert_eq!(body(&response), "same");
        field(&response, "Cache-Status").unwrap().contains("fwd-status=304")
    });
}

#[test]
fn a_purge_is_in_force_at_once() {
    let directory = directory(&[("public/a.css", "old")]);
    // So that only the purge can bring the new one.
    let edge = site(directory.path(), |_| {});
    assert_eq!(body(&edge.get("/a.css", "")), "old");
    put(directory.path(), "public/a.css", "new");
    let purged =
        edge.purger.purge(&PurgeOrder::hard(PurgeWhat::Url("http://shop.example/a.css".into()))).unwrap();
    assert_eq!(purged.objects, 1);
    assert_eq!(body(&edge.get("/a.css", "")), "new");
}

#[test]
fn a_file_that_was_just_written_is_known_by_a_tag_that_does_not_last() {
    let directory = directory(&[]);
    let edge = site(directory.path(), |snapshot| {
        snapshot.sites[0].routes[0].cache = tentpole_model::RouteCache::Off;
    });
    let path = directory.path().join("public/a.txt");
    fs::write(&path, "new").unwrap();
    // As though it were written in this very moment, however long this test takes.
    let ahead = now() + Duration::from_secs(3_600);
    fs::File::options().write(true).open(&path).unwrap().set_modified(ahead).unwrap();
    let young = edge.get("/a.txt", "");
    let etag = field(&young, "ETag").unwrap();
    assert!(etag.starts_with("W/\""), "{young}");
    assert_eq!(status(&edge.get("/a.txt", &format!("Range: bytes=0-0\r\nIf-Range: {etag}\r\n"))), "200");
    settled(&path);
    assert_eq!(status(&edge.get("/a.txt", &format!("If-None-Match: {etag}\r\n"))), "200");
    assert!(field(&edge.get("/a.txt", ""), "ETag").unwrap().starts_with('"'));
}

#[test]
fn browsers_are_told_what_the_owner_says() {
    let directory = directory(&[("public/assets/app.3f9a.js", "js"), ("public/a.png", "png")]);
    let edge = site(directory.path(), |snapshot| {
        let files = snapshot.pools[0].files.as_mut().unwrap();
        files.max_age_s = Some(600);
        files.immutable = vec!["/assets/*".into()];
    });
    assert_eq!(field(&edge.get("/a.png", ""), "Cache-Control"), Some("public, max-age=600"));
    let hashed = edge.get("/assets/app.3f9a.js", "");
    assert_eq!(field(&hashed, "Cache-Control"), Some("public, max-age=31536000, immutable"));
}

#[test]
fn there_is_nothing_to_change_where_there_are_only_files() {
    let directory = directory(&[("public/a.txt", "a")]);
    let edge = site(directory.path(), |_| {});
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"] {
        let response = edge.ask(&format!(
            "{method} /a.txt HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        ));
        assert_eq!((status(&response), field(&response, "Allow")), ("405", Some("GET, HEAD")), "{response}");
    }
    assert_eq!(fs::read(directory.path().join("public/a.txt")).unwrap(), b"a");
}

#[test]
fn what_is_no_file_is_the_applications_to_answer() {
    let directory = directory(&[
        ("public/a.css", "file"),
        ("public/page.php", "<?php secret();"),
        ("public/pictures/a.png", "png"),
        ("public/shop/index.html", "index"),
    ]);
    let (edge, asked) = application(directory.path());
    assert_eq!(body(&edge.get("/a.css", "")), "file");
    assert_eq!(body(&edge.get("/shop/", "")), "index");
    assert!(asked.lock().unwrap().is_empty());
    // A script is never shown, and a folder of pictures may be a page of the application.
    for path in ["/", "/a", "/page.php", "/page.php~", "/pictures", "/pictures/", "/.env", "/a.css/x"] {
        assert_eq!(body(&edge.get(path, "")), "app", "{path}");
    }
    let posted = edge.ask(
        "POST /a.css HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
    );
    assert_eq!(body(&posted), "app");
    assert_eq!(asked.lock().unwrap().len(), 9);
}

#[test]
fn an_application_answers_even_while_its_files_are_gone() {
    let directory = directory(&[("public/a.css", "file")]);
    let (edge, _) = application(directory.path());
    fs::remove_dir_all(directory.path().join("public")).unwrap();
    assert_eq!(body(&edge.get("/a.css", "")), "app");
    let alone = site(directory.path(), |_| {});
    let response = alone.get("/a.css", "");
    assert_eq!(status(&response), "503", "{response}");
}

/// A visitor who reads a little of a large file, and then waits.
struct Slow {
    connection: TcpStream,
    came: Vec<u8>,
    head_bytes: usize,
}

fn slow(edge: &Running, path: &str) -> Slow {
    let mut connection = TcpStream::connect(edge.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut came = vec![0; 4_096];
    connection.read_exact(&mut came).unwrap();
    let head_bytes = came.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    Slow { connection, came, head_bytes }
}

impl Slow {
    fn rest(mut self) -> Vec<u8> {
        // A reset is a break too.
        let _ = self.connection.read_to_end(&mut self.came);
        self.came.split_off(self.head_bytes)
    }
}

const LARGE: usize = 32 << 20;

fn large(directory: &Path, byte: u8) {
    let new = directory.join("large");
    fs::write(&new, vec![byte; LARGE]).unwrap();
    settled(&new);
    fs::rename(new, directory.join("public/large.bin")).unwrap();
}

fn too_large(snapshot: &mut Snapshot) {
    snapshot.cache.object_bytes_max = 1 << 20;
}

#[test]
fn what_takes_the_name_of_a_file_changes_nothing_for_who_reads_it() {
    let directory = directory(&[]);
    large(directory.path(), b'a');
    let edge = site(directory.path(), too_large);
    let visitor = slow(&edge, "/large.bin");
    large(directory.path(), b'b');
    let content = visitor.rest();
    assert_eq!(content.len(), LARGE);
    assert!(content.iter().all(|&byte| byte == b'a'));
    let next = slow(&edge, "/large.bin").rest();
    assert!(next.len() == LARGE && next.iter().all(|&byte| byte == b'b'));
}

#[test]
fn a_file_that_is_written_into_or_cut_breaks_off_and_is_never_mixed() {
    let directory = directory(&[]);
    let path = directory.path().join("public/large.bin");
    let edge = site(directory.path(), too_large);
    let write_into: fn(&Path) = |path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![b'b'; LARGE], 0).unwrap();
    };
    let cut: fn(&Path) = |path| fs::File::options().write(true).open(path).unwrap().set_len(1 << 20).unwrap();
    for change in [write_into, cut] {
        large(directory.path(), b'a');
        let visitor = slow(&edge, "/large.bin");
        change(&path);
        let content = visitor.rest();
        assert!(content.len() < LARGE, "it must look broken");
        assert!(content.iter().all(|&byte| byte == b'a'));
    }
}

#[test]
fn parts_of_what_is_too_large_are_read_from_their_place() {
    let directory = directory(&[]);
    let path = directory.path().join("public/film.mp4");
    let file = fs::File::create(&path).unwrap();
    // Mostly a hole: it takes no room on the disk.
    file.set_len(8 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"the end", (8 << 30) - 7).unwrap();
    settled(&path);
    let edge = site(directory.path(), too_large);
    for _ in 0..2 {
        let part = edge.get("/film.mp4", "Range: bytes=-7\r\n");
        assert!(status(&part) == "206" && body(&part) == "the end", "{part}");
        assert_eq!(field(&part, "Content-Range"), Some("bytes 8589934585-8589934591/8589934592"));
    }
    assert!(edge.ledger.total() < 64 << 20, "{}", edge.ledger.total());
}

#[test]
fn many_slow_readers_hold_little_memory_and_nobody_up() {
    let directory = directory(&[("public/a.css", "body{}")]);
    let path = directory.path().join("public/large.bin");
    fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    settled(&path);
    let edge = site(directory.path(), |snapshot| {
        too_large(snapshot);
        snapshot.visitors.connections_max = 2_000;
    });
    let visitors: Vec<Slow> = (0..300).map(|_| slow(&edge, "/large.bin")).collect();
    assert_eq!(body(&edge.get("/a.css", "")), "body{}");
    // Each has a piece at hand at most; what is read ahead is not counted before it is taken.
    let held = edge.held(Account::Disk);
    assert!(held <= 300 * (128 << 10), "{held}");
    drop(visitors);
    eventually(|| edge.held(Account::Disk) == 0);
}

#[test]
fn what_may_not_be_read_is_as_though_it_were_not_there() {
    let directory = directory(&[("public/a.txt", "a"), ("public/closed/a.txt", "a")]);
    let public = directory.path().join("public");
    let edge = site(directory.path(), |_| {});
    fs::set_permissions(public.join("a.txt"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(public.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let nothing = edge.get("/nothing.txt", "");
    let without_date = |response: &str| {
        let lines = response.lines().filter(|line| !line.starts_with("Date:") && !line.starts_with("Age:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // Root may read whatever it likes.
    if fs::read(public.join("a.txt")).is_err() {
        for path in ["/a.txt", "/closed/a.txt", "/closed/nothing.txt"] {
            assert_eq!(without_date(&edge.get(path, "")), without_date(&nothing), "{path}");
        }
    }
    for path in ["/.git/config", "/index.php", "/../a", "/closed"] {
        let response = edge.get(path, "");
        assert!(matches!(status(&response), "404" | "400"), "{path} {response}");
    }
    fs::set_permissions(public.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
}
