//! Sitemaps, logs and servers that mean ill: warming stays with the host that it was told, follows nothing, and ends with
//! bounded memory and in bounded time.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_warm::{Listed, Outcome, Plan, Stopped, Url, from_sitemap, read_sitemap, warm};

/// More than anything here takes, on a machine where others are busy.
const LONG: Duration = Duration::from_secs(60);

type Asked = Arc<Mutex<Vec<String>>>;

/// A server that answers each request's head by a function; a connection is closed after each answer.
fn server(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, answer) = (Asked::default(), Arc::new(answer));
    let heard = asked.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (mut connection, heard, answer) = (connection.unwrap(), heard.clone(), answer.clone());
            std::thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") {
                    if connection.read(&mut byte).unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                let head = String::from_utf8(head).unwrap();
                heard.lock().unwrap().push(head.clone());
                answer(&head, &mut connection);
            });
        }
    });
    (address, asked)
}

fn respond(connection: &mut TcpStream, fields: &str, body: &[u8]) {
    let head =
        format!("HTTP/1.1 200 OK\r\n{fields}Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body));
}

/// Writes as long as anybody reads; returns how much that was.
fn endless(connection: &mut TcpStream, piece: &[u8]) -> usize {
    let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    let mut sent = 0;
    while connection.write_all(piece).is_ok() {
        sent += piece.len();
    }
    sent
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    runtime.unwrap().block_on(work)
}

fn fetched(at: SocketAddr) -> Result<Listed, String> {
    let url = Url::parse("http://shop.example/sitemap.xml").unwrap();
    run(read_sitemap(at, &url, &[], LONG)).map_err(|error| error.to_string())
}

fn warmed(at: SocketAddr, targets: &[&str], time_max: Duration) -> Outcome {
    let base = Url::parse("http://shop.example").unwrap();
    let urls = targets.iter().map(|target| base.with_target(target).unwrap()).collect();
    let plan =
        Plan { urls, at, per_second: 10_000.0, at_once: 2, time_max, always: vec![], variants: vec![vec![]] };
    run(warm(&plan, |_| {}, std::future::pending()))
}

fn set(locs: &[&str]) -> String {
    let each: String = locs.iter().map(|loc| format!("<url><loc>{loc}</loc></url>")).collect();
    format!("<urlset>{each}</urlset>")
}

fn index(locs: &[&str]) -> String {
    let each: String = locs.iter().map(|loc| format!("<sitemap><loc>{loc}</loc></sitemap>")).collect();
    format!("<sitemapindex>{each}</sitemapindex>")
}

#[test]
fn a_sitemap_names_only_its_own_host() {
    let (at, asked) = server(|head, connection| {
        let text = match head.contains("/sitemap.xml ") {
            true => index(&[
                "http://evil.example/s.xml",
                "http://shop.example@evil.example/s.xml",
                "//evil.example/s.xml",
                "http://shop.example.evil.example/s.xml",
                "http://shop.example:81/s.xml",
                "file:///etc/passwd",
                "http://shop.example/own.xml",
            ]),
            false => set(&[
                "http://evil.example/",
                "http://shop.example/own&#13;&#10;Host: evil.example",
                "http://shop.example/p/1",
                "http://shop.example#@evil.example/",
            ]),
        };
        respond(connection, "", text.as_bytes());
    });
    let listed = fetched(at).unwrap();
    let urls: Vec<String> = listed.urls.iter().map(Url::to_string).collect();
    assert_eq!(urls, ["http://shop.example/p/1", "http://shop.example/"]);
    assert!(listed.skipped >= 7, "{listed:?}");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.iter().all(|head| head.to_lowercase().contains("host: shop.example\r\n")), "{asked:?}");
}

#[test]
fn an_index_that_leads_in_circles_ends() {
    let (at, asked) = server(|_, connection| {
        let text = index(&["http://shop.example/sitemap.xml", "http://shop.example/other.xml"]);
        respond(connection, "", text.as_bytes());
    });
    assert!(fetched(at).unwrap().urls.is_empty());
    assert_eq!(asked.lock().unwrap().len(), 2);
    // One that leads to another, and so on, for ever.
    let (at, asked) = server(|head, connection| {
        let number: u32 = head.split(['=', ' ']).nth(2).and_then(|number| number.parse().ok()).unwrap_or(0);
        respond(connection, "", index(&[&format!("http://shop.example/?n={}", number + 1)]).as_bytes());
    });
    assert!(fetched(at).unwrap_err().contains("more than 1000"));
    assert_eq!(asked.lock().unwrap().len(), 1_000);
}

#[test]
fn a_sitemap_without_end_is_read_to_its_bound_and_no_further() {
    let sent = Arc::new(Mutex::new(0));
    let counts = sent.clone();
    let (at, _) = server(move |_, connection| {
        *counts.lock().unwrap() = usize::MAX;
        let bytes = endless(connection, &[b' '; 65_536]);
        *counts.lock().unwrap() = bytes;
    });
    let error = fetched(at).unwrap_err();
    assert!(error.contains("longer than 50 MiB"), "{error}");
    for _ in 0..1_000 {
        let sent = *sent.lock().unwrap();
        if sent != usize::MAX {
            // And what lay in the buffers between the two.
            assert!(sent < 80 << 20, "{sent}");
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it is still being read");
}

#[test]
fn bombs_of_xml_are_no_sitemaps() {
    let laughs = "<!DOCTYPE lolz [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]><urlset><url><loc>http://shop.example/&b;</loc></url></urlset>";
    let outside = "<!DOCTYPE x [<!ENTITY file SYSTEM \"file:///etc/passwd\">]><urlset><url><loc>http://shop.example/&file;</loc></url></urlset>";
    for text in [laughs, outside] {
        assert!(from_sitemap(text.as_bytes()).is_err(), "{text}");
    }
    let deep = format!("<urlset>{}", "<a>".repeat(10_000_000));
    let error = from_sitemap(deep.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("nested too deeply"), "{error}");
}

#[test]
fn an_address_without_end_is_left_out_and_not_repeated_to_the_terminal() {
    let long = format!("http://shop.example/{}", "a".repeat(40 << 20));
    let (pages, _) = from_sitemap(set(&[&long, "http://shop.example/b"]).as_bytes()).unwrap();
    assert_eq!((pages.urls.len(), pages.skipped), (1, 1));
    assert!(pages.first_skipped.unwrap().len() < 300);
    let noise = format!("<{}", "\u{1b}]0;x\u{7}".repeat(10_000));
    let error = from_sitemap(noise.as_bytes()).unwrap_err().to_string();
    assert!(error.len() < 300, "{}", error.len());
}

#[test]
fn a_redirect_is_counted_and_never_followed() {
    let (at, asked) = server(|_, connection| {
        let _ = connection.write_all(
            b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        );
    });
    let outcome = warmed(at, &["/a", "/b"], LONG);
    assert_eq!((outcome.progress.redirects, asked.lock().unwrap().len()), (2, 2));
    assert!(fetched(at).unwrap_err().contains("redirects"));
}

#[test]
fn a_page_without_end_takes_its_time_and_no_longer() {
    let (at, _) = server(|_, connection| {
        endless(connection, &[b'x'; 65_536]);
    });
    let outcome = warmed(at, &["/a", "/b"], Duration::from_secs(1));
    assert_eq!(outcome.progress.failed, 2, "{outcome:?}");
    assert!(outcome.took < LONG, "{:?}", outcome.took);
}

#[test]
fn an_application_that_asks_for_less_is_left_in_peace() {
    let (at, asked) = server(|_, connection| {
        let _ = connection
            .write_all(b"HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    let targets: Vec<String> = (0..200).map(|number| format!("/{number}")).collect();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let outcome = warmed(at, &targets, LONG);
    assert_eq!(outcome.stopped, Some(Stopped::Struggles));
    assert!(asked.lock().unwrap().len() <= 22);
}

#[test]
fn reasons_that_a_server_makes_up_stay_few_and_short() {
    let (at, _) = server(|head, connection| {
        let name = head.split(' ').nth(1).unwrap();
        let fields = format!("Cache-Status: tentpole; detail={name}{}\r\n", "x".repeat(5_000));
        respond(connection, &fields, b"page");
    });
    let targets: Vec<String> = (0..300).map(|number| format!("/{number}")).collect();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let reasons = warmed(at, &targets, LONG).progress.not_stored;
    assert!(reasons.len() <= 101 && reasons.keys().all(|why| why.len() < 200), "{}", reasons.len());
    assert_eq!(reasons.values().sum::<usize>(), 300);
}
