//! Connections that stop being HTTP: only what both sides agreed on, and only protocols that are known.

use super::named;
use tentpole_testkit::{Ask, End, Gate, Origin, Step, Up};
use tentpole_tests::pool;

fn websocket(target: &str) -> Ask {
    Ask::get(target)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

#[tokio::test]
async fn a_websocket_carries_bytes_both_ways_until_one_side_ends() {
    let origin = Origin::start().await;
    origin.on("/ws").upgrades();
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let mut visitor = tentpole.visitor().await;
    let answer = visitor.ask(&websocket("/ws")).await.expect(101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert!(answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")));
    assert_eq!((answer.header("content-length"), answer.header("transfer-encoding")), (None, None));
    // What looks like HTTP is bytes like any other now.
    let request = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    visitor.send(request).await;
    assert_eq!(visitor.bytes(request.len()).await, request);
    let many: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    for _ in 0..5 {
        visitor.send(&many[..50_000]).await;
        assert_eq!(visitor.bytes(50_000).await, &many[..50_000]);
    }
    // Half closed: what was sent before still comes back.
    visitor.send(&many).await;
    visitor.finishes().await;
    assert_eq!(visitor.bytes(many.len()).await, many);
    assert_eq!(visitor.end().await, End::Closed);
    origin.until_connections_open(0).await;
    assert_eq!(origin.request_count(), 1);
    let seen = origin.requests().remove(0);
    assert_eq!(seen.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    tentpole.ends().await;
}

#[tokio::test]
async fn what_the_endpoint_says_last_reaches_the_visitor_before_the_end() {
    let origin = Origin::start().await;
    let gate = Gate::new();
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\nfirst";
    origin.on("/ws").raw([Step::send(switch), Step::wait(&gate), Step::send("last"), Step::Close]);
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let mut visitor = tentpole.visitor().await;
    visitor.ask(&websocket("/ws")).await.expect(101);
    assert_eq!(visitor.bytes(5).await, b"first", "it came together with the head");
    gate.release();
    assert_eq!(visitor.bytes(4).await, b"last");
    assert_eq!(visitor.end().await, End::Closed);
    drop(visitor);
    origin.until_connections_open(0).await;
    tentpole.ends().await;
}

#[tokio::test]
async fn an_upgrade_that_the_endpoint_refuses_is_an_ordinary_exchange() {
    let origin = named("no sockets here").await;
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..2 {
        let answer = visitor.ask(&websocket("/ws")).await.expect(200);
        assert_eq!(answer.text(), "no sockets here");
    }
    visitor.get("/").await.expect(200);
    let seen = origin.requests();
    assert_eq!(seen[0].header("upgrade"), Some("websocket"));
    assert!(seen.iter().all(|request| request.connection == 1), "the connection stayed in use");
    tentpole.ends().await;
}

/// Behind a tunnel that speaks HTTP/2 a visitor would pass by every rule.
#[tokio::test]
async fn an_upgrade_to_http_2_is_not_forwarded() {
    let origin = named("one").await;
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let mut visitor = tentpole.visitor().await;
    for protocol in ["h2c", "websocket, h2c", "TLS/1.0", "unknown"] {
        let ask = Ask::get("/")
            .header("Connection", "Upgrade, HTTP2-Settings")
            .header("Upgrade", protocol)
            .header("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA");
        visitor.ask(&ask).await.expect(200);
        let seen = origin.requests().pop().expect("one");
        assert_eq!(seen.header("upgrade").filter(|value| value.contains("h2c")), None, "{protocol}");
        assert_eq!(seen.header("http2-settings"), None, "{protocol}");
        assert!(!seen.header("connection").unwrap_or_default().contains("HTTP2"), "{protocol}");
    }
    tentpole.ends().await;
}
