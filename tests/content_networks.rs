//! A content network in front hears of every purge, whoever asked for it: an application over HTTP, a script over the
//! admin API. Its API is a stub.

use rustix::process::Signal;
use serde_json::Value;
use tentpole_runtime::clock;
use tentpole_testkit::process::signal;
use tentpole_testkit::{Ask, Origin, Response, Tentpole, Up};
use tentpole_tests::until;

async fn before(origin: &Origin, api: &Origin) -> Tentpole {
    let text = format!(
        "[purge]\nfrom = \"127.0.0.1\"\n[pool.app]\nendpoints = [\"{}\"]\n\
         [content_network.front]\nkind = \"fastly\"\nservice = \"SVC\"\napi = \"{}\"\n",
        origin.url(),
        api.url()
    );
    Up::config(&text).variable("FASTLY_API_TOKEN", "t0ken").start().await
}

async fn status(tentpole: &Tentpole) -> Value {
    let answer = tentpole.admin_visitor().await.get("/api/status").await.expect(200);
    let status: Value = serde_json::from_slice(&answer.body).expect("JSON");
    status["content_networks"][0].clone()
}

#[tokio::test]
async fn purges_by_applications_and_by_the_api_are_passed_on() {
    let (origin, api) = (Origin::start().await, Origin::start().await);
    origin
        .on("/")
        .respond(Response::ok("page").header("Cache-Control", "max-age=60").header("Surrogate-Key", "a b"));
    api.otherwise(|_| Response::ok("{\"status\":\"ok\"}"));
    let tentpole = before(&origin, &api).await;
    let page = tentpole.visitor().await.get("/").await.expect(200);
    assert_eq!(page.header("Surrogate-Key"), Some("a b"), "the content network needs them");

    let ask = Ask::new("PURGE", "/").header("Surrogate-Key", "a").header("Fastly-Soft-Purge", "1");
    let purged = tentpole.visitor().await.ask(&ask).await.expect(200);
    assert!(purged.text().starts_with("{\"objects\":1,"), "{}", purged.text());
    api.until_requests(1).await;
    let told = &api.requests()[0];
    assert_eq!((told.path(), told.header("Surrogate-Key")), ("/service/SVC/purge", Some("a")));
    assert_eq!((told.header("Fastly-Soft-Purge"), told.header("Fastly-Key")), (Some("1"), Some("t0ken")));

    let everything = Ask::post("/api/purge", "{\"all\":true}");
    tentpole.admin_visitor().await.ask(&everything).await.expect(200);
    api.until_requests(2).await;
    assert_eq!(api.requests()[1].path(), "/service/SVC/purge_all");
    until("two purges passed on", async || status(&tentpole).await["passed_on"] == 2).await;
    assert_eq!(status(&tentpole).await["name"], "front");
}

#[tokio::test]
async fn what_a_content_network_refuses_is_shown_and_changes_nothing_here() {
    let (origin, api) = (Origin::start().await, Origin::start().await);
    origin.on("/").respond(Response::ok("page").header("Cache-Control", "max-age=60"));
    api.otherwise(|_| Response::status(401));
    let tentpole = before(&origin, &api).await;
    tentpole.visitor().await.get("/").await.expect(200);
    let purged = tentpole.visitor().await.ask(&Ask::new("PURGE", "/")).await.expect(200);
    assert!(purged.text().starts_with("{\"objects\":1,"), "{}", purged.text());
    until("one that failed", async || status(&tentpole).await["failed"] == 1).await;
    let shown = status(&tentpole).await["trouble"]["text"].to_string();
    assert!(shown.starts_with("\"fastly answers 401: "), "{shown}");
    let events = tentpole.admin_visitor().await.get("/api/events").await.expect(200).text();
    assert!(
        events.contains("\"kind\":\"content_network\",\"text\":\"front (fastly) was not told of a purge"),
        "{events}"
    );
}

#[tokio::test]
async fn what_a_change_makes_stale_by_route_is_passed_on_once_a_second_at_most() {
    let (origin, api) = (Origin::start().await, Origin::start().await);
    origin.otherwise(|_| Response::ok("page").header("Cache-Control", "max-age=60"));
    api.otherwise(|_| Response::ok("{\"success\":true}"));
    let text = format!(
        "[pool.app]\nendpoints = [\"{}\"]\n[site.shop.cache]\npurges = [\"/front\", \"/list/*\"]\n\
         [content_network.front]\nkind = \"cloudflare\"\nzone = \"Z\"\napi = \"{}\"\n",
        origin.url(),
        api.url()
    );
    let tentpole = Up::config(&text).variable("CLOUDFLARE_API_TOKEN", "t0ken").start().await;
    let host = tentpole.visitor().await.get("/front").await.expect(200);
    assert_eq!(host.text(), "page");
    let mut visitor = tentpole.visitor().await;
    let began = clock::now();
    for _ in 0..50 {
        visitor.ask(&Ask::post("/vote", "x")).await.expect(200);
    }
    // However many: told at once, and once more for each second that they took.
    let seconds = clock::now().since(began).as_secs() as usize + 1;
    until("what was purged is shown", async || {
        let status = tentpole.admin_visitor().await.get("/api/status").await.expect(200).text();
        let purges = &serde_json::from_str::<Value>(&status).unwrap()["cache"]["purges"];
        let what = purges[0]["what"].as_str().unwrap_or_default();
        let is_said = what.contains("/front ") && what.ends_with("/list/*");
        let all = purges.as_array().map_or(0, Vec::len);
        purges[0]["by"] == "route" && is_said && (1..=seconds + 1).contains(&all)
    })
    .await;
    let told = async |wanted: &str| {
        until("it is told", async || api.requests().iter().any(|call| call.text().contains(wanted))).await;
    };
    told("/front\"").await;
    told("/list\"").await;
    // Those that were not told at once are told once more.
    until("the last ones are told", async || {
        api.requests().iter().filter(|call| call.text().contains("/list\"")).count() >= 2
    })
    .await;
    until("all are passed on", async || status(&tentpole).await["waiting"] == 0).await;
    let calls = api.requests().len();
    assert!(calls <= 12 * seconds, "50 changes in {seconds} s were told in {calls} calls");
    assert_eq!(status(&tentpole).await["failed"], 0);
}

#[tokio::test]
async fn a_purge_that_a_dying_control_process_was_told_of_is_told_to_the_next() {
    let (origin, api) = (Origin::start().await, Origin::start().await);
    origin
        .on("/")
        .respond(Response::ok("page").header("Cache-Control", "max-age=60").header("Surrogate-Key", "a"));
    api.otherwise(|_| Response::ok("{\"status\":\"ok\"}"));
    let tentpole = before(&origin, &api).await;
    tentpole.visitor().await.get("/").await.expect(200);
    let control = tentpole.control_pid();
    // What the edge says to it lies in the socket, and is lost with it.
    signal(control, Signal::STOP);
    let ask = Ask::new("PURGE", "/").header("Surrogate-Key", "a");
    tentpole.visitor().await.ask(&ask).await.expect(200);
    // Whatever the edge has said until it answers another request and reports once more.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(api.requests().len(), 0);
    signal(control, Signal::KILL);
    api.until_requests(1).await;
    assert_eq!(api.requests()[0].header("Surrogate-Key"), Some("a"));
    // Once: the next control process is told nothing that this one has.
    until("it to be passed on", async || status(&tentpole).await["passed_on"] == 1).await;
    signal(tentpole.control_pid(), Signal::KILL);
    until("a purge after that", async || {
        tentpole.visitor().await.ask(&ask).await.expect(200);
        api.requests().len() > 1
    })
    .await;
    tentpole.ends().await;
}
