//! Endpoints that say too much, or what is not HTTP: the visitor never gets another request's bytes.

use super::named;
use tentpole_testkit::{Ask, Gate, Origin, Step, Up};
use tentpole_tests::pool;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: no-store\r\n\r\nok";
const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

#[tokio::test]
async fn a_connection_with_unread_bytes_after_a_response_is_never_used_again() {
    let origin = named("fine").await;
    origin.on("/more").raw([Step::send(format!("{OK}{EVIL}"))]);
    origin.on("/byte").raw([Step::send(format!("{OK}\n"))]);
    // What a 204 or the answer to HEAD cannot have.
    origin.on("/no-content").raw([Step::send(format!("HTTP/1.1 204 No Content\r\n\r\n{EVIL}"))]);
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let mut visitor = tentpole.visitor().await;
    for (target, status, body) in [("/more", 200, "ok"), ("/byte", 200, "ok"), ("/no-content", 204, "")] {
        assert_eq!(visitor.get(target).await.expect(status).text(), body);
        assert_eq!(visitor.get("/fine").await.expect(200).text(), "fine", "after {target}");
        let seen = origin.requests();
        let [.., odd, next] = seen.as_slice() else { panic!("{seen:?}") };
        assert_ne!(odd.connection, next.connection, "{target}");
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn a_kept_connection_on_which_something_arrives_unasked_is_given_up() {
    let origin = named("fine").await;
    let later = Gate::new();
    origin.on("/late").raw([Step::send(OK), Step::wait(&later), Step::send(EVIL)]);
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let mut visitor = tentpole.visitor().await;
    assert_eq!(visitor.get("/late").await.expect(200).text(), "ok");
    later.release();
    origin.until_connections_open(0).await;
    assert_eq!(visitor.get("/fine").await.expect(200).text(), "fine");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_response_that_is_not_http_is_a_502_and_its_connection_is_given_up() {
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(200 * 1024));
    let shapes = [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2 200\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        large.as_str(),
    ];
    let origin = named("fine").await;
    let config = pool(&[&origin], "failures_max = 1000");
    let tentpole = Up::config(&config).start().await;
    let mut visitor = tentpole.visitor().await;
    for (number, shape) in shapes.iter().enumerate() {
        let target = format!("/{number}");
        origin.on(&target).raw([Step::send(shape), Step::send(EVIL)]);
        let answer = visitor.get(&target).await;
        assert_eq!(answer.status, 502, "{}: {answer:?}", shape.escape_default());
        assert_eq!(answer.header("retry-after"), None);
        assert_eq!(origin.requests_for(&target).len(), 1, "it was asked again after it had answered");
        assert_eq!(visitor.get("/fine").await.expect(200).text(), "fine");
        let seen = origin.requests();
        let [.., odd, next] = seen.as_slice() else { panic!("{seen:?}") };
        assert_ne!(odd.connection, next.connection, "{}", shape.escape_default());
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn a_body_that_turns_bad_never_makes_a_whole_response() {
    let origin = Origin::start().await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
    for (target, fields) in
        [("/storable", "Cache-Control: max-age=60\r\n"), ("/not", "Cache-Control: no-store\r\n")]
    {
        let bytes = format!("{head}{fields}\r\n5\r\nhello\r\nxyz\r\nevil\r\n0\r\n\r\n");
        origin.on(target).raw([Step::send(bytes)]);
    }
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    for target in ["/storable", "/not"] {
        for _ in 0..2 {
            let mut visitor = tentpole.visitor().await;
            match visitor.try_ask(&Ask::get(target)).await {
                // It turned bad before its head had left: the visitor can still be told.
                Ok(answer) => assert_eq!(answer.status, 502, "{target} looks whole: {answer:?}"),
                Err(trouble) => assert!(!trouble.to_string().contains("waited"), "{target}: {trouble}"),
            }
        }
        assert_eq!(origin.requests_for(target).len(), 2, "{target} was stored");
    }
    tentpole.ends().await;
}
