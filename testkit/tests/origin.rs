//! The scripted origin does what it is told, and the visitor sees what happened.

use std::time::Duration;

use tentpole_testkit::{Ask, Continue, End, Gate, Origin, Response, Step, Trouble, Visitor};

async fn visitor(origin: &Origin) -> Visitor {
    Visitor::connect(origin.address()).await
}

#[tokio::test]
async fn an_answer_is_given_and_the_request_remembered() {
    let origin = Origin::start().await;
    origin.on("/a").respond(Response::ok("hello").header("Cache-Control", "max-age=60"));
    let mut visitor = visitor(&origin).await.host("shop.example");
    let answer = visitor.ask(&Ask::post("/a?b=1", "body").header("X-Note", "1")).await.expect(200);
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.header("cache-control"), Some("max-age=60"));
    assert!(!answer.closed && visitor.is_open());
    let [seen] = &origin.requests()[..] else { panic!("one request") };
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/a?b=1"));
    assert_eq!((seen.header("host"), seen.query("b")), (Some("shop.example"), Some("1")));
    assert_eq!((seen.text().as_str(), seen.connection, seen.complete), ("body", 1, true));
    assert_eq!(visitor.get("/other").await.status, 404);
    assert_eq!((origin.connections(), origin.request_count()), (1, 2));
}

#[tokio::test]
async fn it_fails_as_often_as_told() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("fine"));
    origin.fails_next(1);
    origin.resets_next(1);
    origin.answers_next(1, Response::status(503));
    let closed = visitor(&origin).await.try_ask(&Ask::get("/")).await;
    assert!(matches!(closed, Err(Trouble::Closed { .. })), "{closed:?}");
    let reset = visitor(&origin).await.try_ask(&Ask::get("/")).await;
    assert!(matches!(reset, Err(Trouble::Broken { .. })), "{reset:?}");
    let mut visitor = visitor(&origin).await;
    visitor.get("/").await.expect(503);
    visitor.get("/").await.expect(200);
    assert_eq!(origin.request_count(), 4);
}

#[tokio::test]
async fn a_held_request_has_been_seen_and_waits() {
    let origin = Origin::start().await;
    origin.on("/*").respond(Response::ok("now"));
    let hold = origin.holds("/a");
    let mut held = visitor(&origin).await;
    held.send(Ask::get("/a").bytes("x")).await;
    hold.until_waiting(1).await;
    visitor(&origin).await.get("/b").await.expect(200);
    assert_eq!(origin.requests_for("/a").len(), 1);
    assert!(held.is_open());
    drop(hold);
    held.answer("GET").await.expect(200);
}

#[tokio::test]
async fn it_notices_that_a_waiting_visitor_leaves() {
    let origin = Origin::start().await;
    let hold = origin.holds("/a");
    let mut leaving = visitor(&origin).await;
    leaving.send(Ask::get("/a").bytes("x")).await;
    hold.until_waiting(1).await;
    drop(leaving);
    origin.until_connections_open(0).await;
    assert_eq!(hold.waiting(), 0);
}

#[tokio::test]
async fn bodies_come_whole_chunked_or_until_close() {
    let origin = Origin::start().await;
    let pieces = [Step::send("hel"), Step::send("lo")];
    origin.on("/chunked").respond(Response::status(200).chunked(pieces.clone()).trailer("Digest", "x"));
    origin.on("/close").respond(Response::status(200).until_close(pieces));
    let mut visitor = visitor(&origin).await;
    let chunked = visitor.get("/chunked").await;
    assert_eq!((chunked.text().as_str(), chunked.trailers.len()), ("hello", 1));
    let head = visitor.ask(&Ask::head("/chunked")).await;
    assert_eq!((head.body.len(), head.header("transfer-encoding")), (0, Some("chunked")));
    let close = visitor.get("/close").await;
    assert_eq!((close.text().as_str(), close.closed), ("hello", true));
}

#[tokio::test]
async fn a_body_can_be_watched_while_it_arrives() {
    let origin = Origin::start().await;
    let gate = Gate::new();
    let steps = [Step::send("first"), Step::wait(&gate), Step::send("second")];
    origin.on("/").respond(Response::status(200).chunked(steps));
    let mut visitor = visitor(&origin).await;
    let mut reading = visitor.begin(&Ask::get("/")).await;
    assert_eq!(reading.until(5).await, b"first");
    gate.release();
    assert_eq!(reading.rest().await.text(), "firstsecond");
}

#[tokio::test]
async fn lies_about_lengths_are_told_and_seen() {
    let origin = Origin::start().await;
    origin.on("/short").respond(Response::status(200).claiming(9, [Step::send("four"), Step::Close]));
    origin.on("/broken").respond(Response::status(200).claiming(9, [Step::send("four"), Step::Reset]));
    origin
        .on("/raw")
        .raw([Step::send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nmore than two"), Step::Close]);
    origin.on("/junk").raw([Step::send("SSH-2.0-hello\r\n\r\n")]);
    let short = visitor(&origin).await.try_ask(&Ask::get("/short")).await;
    assert!(matches!(short, Err(Trouble::Closed { .. })), "{short:?}");
    let broken = visitor(&origin).await.try_ask(&Ask::get("/broken")).await;
    assert!(matches!(broken, Err(Trouble::Broken { .. })), "{broken:?}");
    let mut long = visitor(&origin).await;
    assert_eq!(long.get("/raw").await.text(), "mo");
    assert!(matches!(long.try_end().await, Err(Trouble::NotClosed(_))));
    let junk = visitor(&origin).await.try_ask(&Ask::get("/junk")).await;
    assert!(matches!(junk, Err(Trouble::Malformed { .. })), "{junk:?}");
}

#[tokio::test]
async fn idle_and_used_up_connections_are_closed_without_a_word() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok(""));
    origin.closes_after(2);
    let mut used_up = visitor(&origin).await;
    used_up.get("/").await.expect(200);
    assert!(!used_up.get("/").await.closed);
    assert_eq!(used_up.end().await, End::Closed);
    // Longer than this visitor may need to ask.
    origin.closes_after_idle(Duration::from_secs(2));
    let mut idle = visitor(&origin).await;
    idle.get("/").await.expect(200);
    assert_eq!(idle.end().await, End::Closed);
    let announced = Response::ok("bye").closes();
    origin.on("/").respond(announced);
    assert!(visitor(&origin).await.get("/").await.closed);
}

#[tokio::test]
async fn a_stopped_origin_refuses_and_comes_back_at_the_same_port() {
    let origin = Origin::start().await;
    let mut open = visitor(&origin).await;
    open.get("/").await.expect(404);
    origin.stops().await;
    open.end().await;
    assert!(matches!(Visitor::try_connect(origin.address()).await, Err(Trouble::Connect(..))));
    origin.starts_again().await;
    visitor(&origin).await.get("/").await.expect(404);
}

#[tokio::test]
async fn expectations_are_met_ignored_or_refused() {
    let origin = Origin::start().await;
    origin.otherwise(|seen| Response::ok(seen.text()));
    origin.on("/ignores").on_expect(Continue::Ignores);
    origin.on("/refuses").on_expect(Continue::Refuses(Response::status(413)));
    let expecting = |target| {
        let ask = Ask::post(target, "body").header("Expect", "100-continue");
        let bytes = ask.bytes("x");
        let (head, body) = bytes.split_at(bytes.len() - 4);
        (head.to_vec(), body.to_vec())
    };
    let mut visitor = visitor(&origin).await;
    let (head, body) = expecting("/sends");
    visitor.send(head).await;
    assert_eq!(visitor.bytes(25).await, b"HTTP/1.1 100 Continue\r\n\r\n");
    visitor.send(body).await;
    assert_eq!(visitor.answer("POST").await.text(), "body");
    let (head, body) = expecting("/ignores");
    visitor.send([head, body].concat()).await;
    let ignored = visitor.answer("POST").await;
    assert_eq!((ignored.text().as_str(), ignored.interim.len()), ("body", 0));
    visitor.send(expecting("/refuses").0).await;
    assert!(visitor.answer("POST").await.expect(413).closed);
    assert!(!origin.requests_for("/refuses")[0].complete);
}

#[tokio::test]
async fn interim_answers_come_before_the_final_one() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("final").preceded_by(103, &[("Link", "</a.css>; rel=preload")]));
    let answer = visitor(&origin).await.get("/").await;
    assert_eq!((answer.status, answer.interim.len()), (200, 1));
    assert_eq!(answer.interim[0].header("link"), Some("</a.css>; rel=preload"));
}

#[tokio::test]
async fn an_answer_can_come_before_the_body_is_read() {
    let origin = Origin::start().await;
    origin.on("/early").respond(Response::ok("early")).before_body();
    let mut visitor = visitor(&origin).await;
    visitor.send("POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n").await;
    visitor.answer("POST").await.expect(200);
    visitor.send("late").await;
    origin.until_requests(1).await;
    assert_eq!(origin.requests()[0].text(), "late");
}

#[tokio::test]
async fn an_upgraded_connection_echoes() {
    let origin = Origin::start().await;
    origin.on("/ws").upgrades();
    let mut visitor = visitor(&origin).await;
    let ask = Ask::get("/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let answer = visitor.ask(&ask).await.expect(101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    visitor.send("ping").await;
    assert_eq!(visitor.bytes(4).await, b"ping");
    visitor.finishes().await;
    assert_eq!(visitor.end().await, End::Closed);
}

#[tokio::test]
async fn pipelined_and_chunked_requests_are_read() {
    let origin = Origin::start().await;
    origin.otherwise(|seen| Response::ok(seen.text()));
    let mut visitor = visitor(&origin).await;
    let first = Ask::post("/1", "").chunked(["ab", "cd"]).bytes("x");
    visitor.send([first, Ask::get("/2").bytes("x")].concat()).await;
    assert_eq!(visitor.answer("POST").await.text(), "abcd");
    assert_eq!(visitor.answer("GET").await.text(), "");
    assert_eq!(visitor.left_over(), b"");
}

#[tokio::test]
async fn what_is_no_request_is_noted() {
    let origin = Origin::start().await;
    let mut visitor = visitor(&origin).await;
    visitor.send("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    visitor.answer("GET").await.expect(400);
    assert!(origin.malformed()[0].contains("Content-Length beside Transfer-Encoding"));
}

#[tokio::test]
async fn a_visitor_names_what_it_waited_for_in_vain() {
    let origin = Origin::start().await;
    let _hold = origin.holds("/");
    let mut visitor = visitor(&origin).await.patience(Duration::from_millis(20));
    let silence = visitor.try_ask(&Ask::get("/")).await.expect_err("held");
    assert_eq!(silence.to_string(), "waited 20ms for the head of an answer to GET; so far came \"\"");
}
