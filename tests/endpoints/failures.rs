//! Endpoints that refuse, close, break off or say nothing: what is sent again unseen, what is never sent twice, and
//! what the visitor is told when nobody answers.

use super::{every_kind, named};
use std::net::SocketAddr;
use std::time::Duration;
use tentpole_testkit::{Ask, Origin, Response, Step, Up, Visitor};
use tentpole_tests::{endpoint, pool, until};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Nobody is ejected, so that each request meets the broken endpoint again.
const STAYS: &str = "balance = \"round_robin\"\nfailures_max = 1000\n";

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_not_noticed_by_anybody() {
    let (gone, well) = (named("gone").await, named("well").await);
    gone.stops().await;
    let tentpole = Up::config(&pool(&[&gone, &well], STAYS)).start().await;
    let mut visitor = tentpole.visitor().await;
    for number in 0..4 {
        for ask in every_kind(&format!("/{number}")) {
            visitor.ask(&ask).await.expect(200);
        }
    }
    let seen = well.requests();
    assert_eq!(seen.len(), 24);
    assert!(seen.iter().all(|request| request.complete));
    assert_eq!(seen.iter().filter(|request| request.method == "PUT").count(), 4);
    assert!(seen.iter().filter(|request| request.method == "PUT").all(|request| request.body == b"onetwo"));
    assert!(endpoint(&tentpole, &gone).await.failures >= 5, "it was not even tried");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced_unseen() {
    let origin = named("x").await;
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let mut visitor = tentpole.visitor().await;
    let asks = every_kind("/");
    for (nth, ask) in asks.iter().enumerate() {
        visitor.ask(&Ask::post("/before", "")).await.expect(200);
        origin.stops().await;
        origin.starts_again().await;
        visitor.ask(ask).await.expect(200);
        assert_eq!(origin.request_count(), 2 * (nth as u64 + 1), "{ask:?} was sent once");
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn a_safe_request_on_a_kept_connection_that_dies_is_sent_again() {
    let origin = named("x").await;
    for fails in [Origin::fails_next, Origin::resets_next] {
        for ask in [Ask::get("/"), Ask::head("/"), Ask::get("/").header("Range", "bytes=0-")] {
            // A new one each time: from one that died it has learned not to use a connection that stood for some milliseconds.
            let tentpole = Up::config(&pool(&[&origin], "")).start().await;
            let mut visitor = tentpole.visitor().await;
            // It is known that the page is not stored: nobody asks for the whole of it first.
            visitor.get("/").await.expect(200);
            visitor.ask(&Ask::post("/before", "")).await.expect(200);
            let before = origin.request_count();
            fails(&origin, 1);
            visitor.ask(&ask).await.expect(200);
            assert_eq!(origin.request_count(), before + 2, "{ask:?}: once in vain, once again");
            tentpole.ends().await;
        }
    }
}

#[tokio::test]
async fn a_safe_request_whose_endpoint_dies_before_it_answers_goes_elsewhere() {
    let (dies, well) = (named("dies").await, named("well").await);
    let tentpole = Up::config(&pool(&[&dies, &well], STAYS)).start().await;
    let mut visitor = tentpole.visitor().await;
    for end in [Step::Close, Step::Reset] {
        dies.on("/*").raw([end]);
        for number in 0..6 {
            let target = format!("/{number}");
            assert_eq!(visitor.get(&target).await.expect(200).text(), "well");
            visitor.ask(&Ask::head(&target)).await.expect(200);
        }
    }
    assert!(dies.request_count() >= 6, "it was asked only {} times", dies.request_count());
    tentpole.ends().await;
}

#[tokio::test]
async fn a_request_with_an_effect_is_never_sent_twice() {
    let (a, b) = (named("a").await, named("b").await);
    for origin in [&a, &b] {
        origin.on("/dies").raw([Step::Close]);
        origin.on("/breaks").raw([Step::Reset]);
    }
    let tentpole = Up::config(&pool(&[&a, &b], STAYS)).start().await;
    let mut visitor = tentpole.visitor().await;
    for target in ["/dies", "/breaks"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            // On new connections and on kept ones.
            for warm in [false, true] {
                for _ in 0..2 * usize::from(warm) {
                    visitor.get("/").await.expect(200);
                }
                let before = a.request_count() + b.request_count();
                let answer = visitor.ask(&Ask::new(method, target).body("x")).await.expect(502);
                assert_eq!(answer.header("retry-after"), None, "nobody should be told to send it again");
                assert_eq!(a.request_count() + b.request_count(), before + 1, "{method} {target}");
            }
        }
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn when_all_refuse_connections_the_visitor_gets_a_502() {
    let (a, b) = (named("a").await, named("b").await);
    a.stops().await;
    b.stops().await;
    let tentpole = Up::config(&pool(&[&a, &b], STAYS)).start().await;
    // A visitor whose body was not wanted is told that his connection ends; the others keep theirs.
    tentpole.visitor().await.ask(&Ask::post("/", "x")).await.expect(502);
    let mut visitor = tentpole.visitor().await;
    for ask in [Ask::get("/"), Ask::head("/"), Ask::new("DELETE", "/")] {
        let answer = visitor.ask(&ask).await.expect(502);
        let words =
            if ask.bytes("h").starts_with(b"HEAD") { "" } else { "502: the application did not answer" };
        assert!(answer.text().starts_with(words), "{}", answer.text());
        assert_eq!(answer.header("cache-status"), Some("tentpole; detail=connect/refused"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    // And it goes on as soon as one is there, on the same connection.
    a.starts_again().await;
    visitor.get("/").await.expect(200);
    tentpole.ends().await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_costs_a_504_and_no_second_try() {
    let (a, b) = (named("a").await, named("b").await);
    for origin in [&a, &b] {
        origin.on("/*").raw([Step::Hang]);
    }
    let lines = format!("{STAYS}timeouts = {{ first_byte = \"200ms\" }}");
    let tentpole = Up::config(&pool(&[&a, &b], &lines)).start().await;
    let mut visitor = tentpole.visitor().await;
    let answer = visitor.get("/").await.expect(504);
    assert!(answer.text().contains("takes too long to answer"), "{}", answer.text());
    visitor.ask(&Ask::post("/", "x")).await.expect(504);
    until("both to be seen", async || a.request_count() + b.request_count() >= 2).await;
    // The connections are gone: their answers might still come.
    a.until_connections_open(0).await;
    b.until_connections_open(0).await;
    assert_eq!(a.request_count() + b.request_count(), 2);
    tentpole.ends().await;
}

/// A listener whose queue is full: the kernel drops every further attempt to connect.
async fn unreachable() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let listener = socket.listen(1).expect("it is bound");
    let address = listener.local_addr().expect("it is bound");
    let mut waiting = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        waiting.push(connected.expect("somebody listens"));
        assert!(waiting.len() < 16, "the listener's queue never fills");
    }
    (listener, waiting)
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_costs_the_connect_time_and_then_another_is_asked() {
    let (listener, _waiting) = unreachable().await;
    let well = named("well").await;
    let far = format!("http://{}", listener.local_addr().unwrap());
    let config = |endpoints: &str| {
        format!(
            "threads = 1\n[pool.app]\nendpoints = [{endpoints}]\n{STAYS}timeouts = {{ connect = \"1s\" }}"
        )
    };
    let tentpole = Up::config(&config(&format!("\"{far}\", \"{}\"", well.url()))).start().await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..2 {
        for ask in [Ask::get("/"), Ask::post("/", "x")] {
            visitor.ask(&ask).await.expect(200);
        }
    }
    assert_eq!(well.request_count(), 4);
    tentpole.ends().await;

    let alone = Up::config(&config(&format!("\"{far}\""))).start().await;
    let answer = alone.visitor().await.get("/").await.expect(504);
    assert!(answer.text().contains("takes too long"), "{}", answer.text());
    alone.ends().await;
}

#[tokio::test]
async fn an_endpoint_that_breaks_off_its_response_never_makes_a_whole_one() {
    let origin = Origin::start().await;
    let cut = |end: Step| Response::ok("").claiming(10, [Step::send("12345"), end]);
    origin.on("/short").respond(cut(Step::Close));
    origin.on("/reset").respond(cut(Step::Reset));
    origin.on("/chunk").respond(Response::ok("").chunked([Step::send("12345"), Step::Close]));
    origin.on("/silent").respond(cut(Step::Hang));
    let lines = format!("{STAYS}timeouts = {{ stall = \"200ms\" }}");
    let tentpole = Up::config(&pool(&[&origin], &lines)).start().await;
    for target in ["/short", "/reset", "/chunk", "/silent"] {
        // Storable or not, alone or through a fill.
        for range in [None, Some("bytes=0-")] {
            let mut visitor = tentpole.visitor().await;
            let mut ask = Ask::get(target);
            if let Some(range) = range {
                ask = ask.header("Range", range);
            }
            let broken = visitor.try_ask(&ask).await;
            match broken {
                Err(trouble) => assert!(!trouble.to_string().contains("waited"), "{target}: {trouble}"),
                Ok(answer) => panic!("{target} looks whole: {answer:?}"),
            }
        }
    }
    assert_eq!(origin.request_count(), 8, "nothing was sent again after its answer had begun");
    Visitor::connect(tentpole.address()).await.get("/nothing").await.expect(404);
    tentpole.ends().await;
}
