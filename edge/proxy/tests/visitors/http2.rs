//! Requests over HTTP/2: the same answers as over HTTP/1.1, many at once, and an end in good order.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{edge, endpoint, read_head};
use crate::frames::{self, ask, connected, get, send};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tentpole_idle::Limit;

fn page(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\npage")
}

/// An endpoint whose one connection the test reads and writes itself.
fn by_hand(talk: impl FnOnce(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || talk(listener.accept().unwrap().0));
    address
}

#[test]
fn a_page_is_fetched_once_and_then_served_from_the_cache() {
    let (address, asked) = endpoint(|_| page("Cache-Control: max-age=60\r\nX-One: 1\r\n"));
    let edge = edge(address, |_| {});
    connected(edge.address, |mut client| async move {
        let first = ask(&mut client, get("/a")).await.unwrap();
        assert_eq!((first.status, first.text().as_str(), first.field("x-one")), (200, "page", "1"));
        assert!(first.field("cache-status").contains("fwd=uri-miss"), "{first:?}");
        let second = ask(&mut client, get("/a")).await.unwrap();
        assert_eq!((second.status, second.text().as_str()), (200, "page"));
        assert!(second.field("cache-status").contains("; hit"), "{second:?}");
        assert_eq!(second.field("content-length"), "4");
        assert!(
            !second.fields.contains_key("connection") && !second.fields.contains_key("transfer-encoding")
        );
    });
    // What one visitor fetched over HTTP/2 another has over HTTP/1.1.
    assert!(edge.get("/a", "").contains("; hit"));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn an_endpoint_is_asked_as_by_http_1() {
    let (address, asked) = endpoint(|_| page("Cache-Control: no-store\r\n"));
    let edge = edge(address, |_| {});
    connected(edge.address, |mut client| async move {
        let request = Request::builder().uri("http://shop.example/a?b=c").header("cookie", "a=1");
        let request = request.header("cookie", "b=2").header("te", "trailers").header("x-one", "1");
        ask(&mut client, request.body(()).unwrap()).await.unwrap();
    });
    let asked = asked.lock().unwrap();
    assert!(asked[0].starts_with("GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\n"), "{}", asked[0]);
    assert!(asked[0].contains("\r\ncookie: a=1; b=2\r\n") && asked[0].contains("\r\nx-one: 1\r\n"));
    assert!(!asked[0].contains("\r\nte:") && !asked[0].contains("ransfer-"), "{}", asked[0]);
}

#[test]
fn head_no_content_and_not_modified_end_with_their_fields() {
    let (address, _) = endpoint(|head| match head.split(' ').nth(1).unwrap() {
        "/none" => "HTTP/1.1 204 No Content\r\n\r\n".into(),
        _ => page("Cache-Control: max-age=60\r\nETag: \"1\"\r\n"),
    });
    let edge = edge(address, |_| {});
    connected(edge.address, |mut client| async move {
        assert_eq!(ask(&mut client, get("/none")).await.unwrap().status, 204);
        for _ in 0..2 {
            let head = Request::builder().method(Method::HEAD).uri("http://shop.example/a").body(()).unwrap();
            let head = ask(&mut client, head).await.unwrap();
            assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, "4", 0));
            ask(&mut client, get("/a")).await.unwrap();
        }
        let fresh = Request::builder().uri("http://shop.example/a").header("if-none-match", "\"1\"");
        let fresh = ask(&mut client, fresh.body(()).unwrap()).await.unwrap();
        assert_eq!((fresh.status, fresh.body.len(), fresh.field("etag")), (304, 0, "\"1\""));
        let part = Request::builder().uri("http://shop.example/a").header("range", "bytes=1-2");
        let part = ask(&mut client, part.body(()).unwrap()).await.unwrap();
        assert_eq!((part.status, part.text().as_str()), (206, "ag"));
    });
}

#[test]
fn a_large_body_of_unknown_length_arrives_whole_from_endpoint_and_cache() {
    let chunk = "x".repeat(10_000);
    let body = format!("2710\r\n{chunk}\r\n").repeat(100) + "0\r\n\r\n";
    let whole =
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let (address, _) = endpoint(move |_| whole.clone());
    let edge = edge(address, |_| {});
    connected(edge.address, |mut client| async move {
        for hit in [false, true] {
            let answer = ask(&mut client, get("/large")).await.unwrap();
            assert_eq!(answer.body.len(), 1_000_000);
            assert_eq!(answer.field("cache-status").contains("; hit"), hit, "{:?}", answer.fields);
        }
    });
}

#[test]
fn bodies_go_to_the_endpoint_as_announced_or_in_chunks_with_their_trailers() {
    let (heard, bodies) = sync_channel(10);
    let address = by_hand(move |mut connection| {
        for end in ["hello", "0\r\nx-checksum: 7\r\n\r\n"] {
            let mut seen = Vec::new();
            let mut bytes = [0; 1024];
            while !seen.ends_with(end.as_bytes()) {
                let count = connection.read(&mut bytes).unwrap();
                assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
                seen.extend_from_slice(&bytes[..count]);
            }
            heard.send(String::from_utf8(seen).unwrap()).unwrap();
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    let edge = edge(address, |_| {});
    // Both go on one connection, however long the machine takes between them.
    let known = Limit::default().survived(Duration::from_secs(600));
    edge.cells.of("app", &address.to_string()).idle.store(known.bits(), SeqCst);
    connected(edge.address, |mut client| async move {
        let post = || Request::builder().method(Method::POST).uri("http://shop.example/a");
        let known = post().header("content-length", "5").body(()).unwrap();
        assert_eq!(send(&mut client, known, &[b"he", b"", b"llo"], None).await.unwrap().text(), "ok");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "7".parse().unwrap());
        let unknown = post().body(()).unwrap();
        let answer = send(&mut client, unknown, &[b"he", b"llo"], Some(trailers)).await.unwrap();
        assert_eq!(answer.text(), "ok");
    });
    let known: String = bodies.recv().unwrap();
    assert!(known.contains("\r\nContent-Length: 5\r\n") && known.ends_with("\r\n\r\nhello"), "{known}");
    let unknown: String = bodies.recv().unwrap();
    assert!(unknown.contains("\r\nTransfer-Encoding: chunked\r\n"), "{unknown}");
    assert!(unknown.contains("\r\n2\r\nhe\r\n") && unknown.contains("3\r\nllo\r\n"), "{unknown}");
}

#[test]
fn an_upload_larger_than_every_window_arrives_whole() {
    const BYTES: usize = 8 << 20;
    let (heard, counted) = sync_channel(1);
    let address = by_hand(move |mut connection| {
        let head = read_head(&mut connection).unwrap();
        assert!(head.contains("Content-Length: 8388608\r\n"), "{head}");
        let mut body = vec![0; BYTES];
        connection.read_exact(&mut body).unwrap();
        heard.send(body.iter().enumerate().all(|(at, &byte)| byte == (at / 65_536) as u8)).unwrap();
        connection.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let edge = edge(address, |snapshot| snapshot.sites[0].routes[0].body_bytes_max = 16 << 20);
    connected(edge.address, |mut client| async move {
        let request = Request::builder().method(Method::PUT).uri("http://shop.example/a");
        let request = request.header("content-length", BYTES.to_string()).body(()).unwrap();
        let pieces: Vec<Vec<u8>> = (0..BYTES / 65_536).map(|number| vec![number as u8; 65_536]).collect();
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
        assert_eq!(send(&mut client, request, &pieces, None).await.unwrap().status, 201);
    });
    assert!(counted.recv().unwrap());
}

#[test]
fn trailers_of_a_response_come_behind_its_body() {
    let (address, _) = endpoint(|_| {
        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\n0\r\n\
         Grpc-Status: 0\r\nX-After: b\r\n\r\n"
            .into()
    });
    let edge = edge(address, |_| {});
    connected(edge.address, |mut client| async move {
        let answer = ask(&mut client, get("/a")).await.unwrap();
        assert_eq!(answer.text(), "page");
        let trailers = answer.trailers.unwrap();
        assert!(trailers["grpc-status"] == "0" && trailers["x-after"] == "b", "{trailers:?}");
    });
}

#[test]
fn a_response_that_breaks_off_is_reset_and_others_go_on() {
    let (address, _) = endpoint(|head| match head.contains("/broken") {
        true => {
            "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npage\r\nzz"
                .into()
        }
        false => page("Cache-Control: no-store\r\n"),
    });
    let edge = edge(address, |_| {});
    connected(edge.address, |mut client| async move {
        let error = ask(&mut client, get("/broken")).await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{error}");
        assert_eq!(ask(&mut client, get("/whole")).await.unwrap().text(), "page");
    });
}

#[test]
fn what_the_edge_says_itself_is_said_over_http_2_too() {
    let (address, asked) = endpoint(|_| page(""));
    let edge = edge(address, |snapshot| snapshot.sites[0].routes[0].body_bytes_max = 10);
    connected(edge.address, |mut client| async move {
        let moved = ask(&mut client, get("/a/../b")).await.unwrap();
        assert_eq!((moved.status, moved.field("location")), (308, "/b"));
        let large = Request::builder()
            .method(Method::POST)
            .uri("http://shop.example/")
            .header("content-length", "11");
        let large = send(&mut client, large.body(()).unwrap(), &[b"hello world"], None).await.unwrap();
        assert_eq!((large.status, large.field("connection")), (413, ""));
        let late = Request::builder().method(Method::POST).uri("http://shop.example/").body(()).unwrap();
        assert_eq!(send(&mut client, late, &[b"hello", b" world"], None).await.unwrap().status, 413);
        let expects = Request::builder().uri("http://shop.example/").header("expect", "a miracle");
        assert_eq!(ask(&mut client, expects.body(()).unwrap()).await.unwrap().status, 417);
    });
    assert!(asked.lock().unwrap().iter().all(|head| !head.contains("/b")));
}

#[test]
fn an_interim_response_comes_before_the_final_one() {
    let address = by_hand(|mut connection| {
        let head = read_head(&mut connection).unwrap();
        assert!(head.contains("xpect: 100-continue\r\n"), "{head}");
        connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        connection.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").unwrap();
        let mut body = [0; 5];
        connection.read_exact(&mut body).unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let edge = edge(address, |_| {});
    connected(edge.address, |client| async move {
        let request = Request::builder().method(Method::POST).uri("http://shop.example/a");
        let request =
            request.header("content-length", "5").header("expect", "100-continue").body(()).unwrap();
        let mut ready = client.ready().await.unwrap();
        let (mut response, mut sending) = ready.send_request(request, false).unwrap();
        let mut interim = Vec::new();
        while interim.len() < 2 {
            let next = std::future::poll_fn(|context| response.poll_informational(context)).await;
            interim.push(next.unwrap().unwrap());
        }
        assert_eq!((interim[0].status().as_u16(), interim[1].status().as_u16()), (100, 103));
        assert_eq!(interim[1].headers()["link"], "</a.css>");
        sending.send_data(Bytes::from_static(b"hello"), true).unwrap();
        assert_eq!(frames::read(response).await.unwrap().text(), "ok");
    });
}

/// An endpoint that answers each request once a word for it comes.
fn slow_endpoint() -> (SocketAddr, Receiver<String>, SyncSender<()>) {
    let (heard, heads) = sync_channel(200);
    let (go, gone_ahead) = sync_channel(200);
    let gone_ahead = std::sync::Mutex::new(gone_ahead);
    let (address, _) = endpoint(move |head| {
        heard.send(head.to_string()).unwrap();
        gone_ahead.lock().unwrap().recv().unwrap();
        page("Cache-Control: no-store\r\n")
    });
    (address, heads, go)
}

#[test]
fn a_slow_response_holds_up_no_other_on_its_connection() {
    let (address, _) = endpoint(|_| page("Cache-Control: max-age=60\r\n"));
    let (slow, heads, go) = slow_endpoint();
    let edge = edge(address, |snapshot| {
        let endpoint =
            tentpole_model::Endpoint { host: slow.ip().to_string(), port: slow.port(), ..Default::default() };
        let pool =
            tentpole_model::Pool { name: "slow".into(), endpoints: vec![endpoint], ..Default::default() };
        snapshot.pools.push(pool);
        let slow = tentpole_model::Route {
            path: "/slow".into(),
            pool: tentpole_model::PoolId(1),
            ..snapshot.sites[0].routes[0].clone()
        };
        snapshot.sites[0].routes.push(slow);
    });
    let members = |address| tentpole_model::PoolMembers {
        members: vec![tentpole_model::Member {
            addresses: vec![address],
            health: tentpole_model::Health::Up,
            tier: 0,
        }],
    };
    edge.membership.publish(tentpole_model::Membership { pools: vec![members(address), members(slow)] });
    connected(edge.address, |mut client| async move {
        let mut waiting = client.clone().ready().await.unwrap();
        let (response, _) = waiting.send_request(get("/slow"), true).unwrap();
        for _ in 0..20 {
            assert_eq!(ask(&mut client, get("/quick")).await.unwrap().text(), "page");
        }
        assert!(heads.recv().unwrap().starts_with("GET /slow "));
        go.send(()).unwrap();
        assert_eq!(frames::read(response).await.unwrap().text(), "page");
    });
}

#[test]
fn when_the_edge_ends_requests_under_way_finish_and_new_ones_go_elsewhere() {
    let (address, heads, go) = slow_endpoint();
    let edge = edge(address, |_| {});
    let mut edge = Some(edge);
    let edge_address = edge.as_ref().unwrap().address;
    connected(edge_address, |client| async move {
        let mut ready = client.clone().ready().await.unwrap();
        let (response, _) = ready.send_request(get("/a"), true).unwrap();
        let head = tokio::task::spawn_blocking(move || heads.recv().unwrap()).await.unwrap();
        assert!(head.starts_with("GET /a "));
        let ending = edge.take().unwrap();
        let ended = tokio::task::spawn_blocking(move || drop(ending));
        // The goodbye comes while the response is under way.
        let mut refused = false;
        while !refused {
            tokio::time::sleep(Duration::from_millis(5)).await;
            refused = match client.clone().ready().await {
                Ok(_) => false,
                Err(error) => error.is_go_away(),
            };
        }
        go.send(()).unwrap();
        assert_eq!(frames::read(response).await.unwrap().text(), "page");
        ended.await.unwrap();
    });
}

#[test]
fn a_connection_of_one_who_waits_long_before_a_room_does_not_stay() {
    let (address, _) = endpoint(|_| page(""));
    let edge = edge(address, |snapshot| {
        let opens = Some(4_000_000_000);
        snapshot.rooms =
            vec![tentpole_model::Room { name: "sale".into(), opens_unix_s: opens, ..Default::default() }];
    });
    let edge_address = edge.address;
    connected(edge_address, |client| async move {
        let mut ready = client.clone().ready().await.unwrap();
        let (response, _) = ready.send_request(get("/a"), true).unwrap();
        assert_eq!(frames::read(response).await.unwrap().status, 503);
        // Idle connections stay for 75 s otherwise, and the test would end.
        while client.clone().ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let waits = edge.ask("GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert!(waits.starts_with("HTTP/1.1 503 ") && waits.contains("\r\nConnection: close\r\n"), "{waits}");
}

#[test]
fn http_2_without_tls_can_be_switched_off() {
    let (address, asked) = endpoint(|_| page(""));
    let edge = edge(address, |snapshot| snapshot.visitors.http2_without_tls = false);
    assert!(edge.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").starts_with("HTTP/1.1 505 "));
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn behind_a_request_of_http_1_there_is_no_http_2() {
    let (address, asked) = endpoint(|_| page("Cache-Control: max-age=60\r\n"));
    let edge = edge(address, |_| {});
    let answer = edge.ask("GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("HTTP/1.1 505 "), "{answer}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}
