//! Who comes first.

use super::Busy;
use tentpole_testkit::{Ask, Origin, Response, Up};
use tentpole_tests::{pool_of, until};

const CRAWLER: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

#[tokio::test]
async fn without_any_configuration_checkouts_come_before_landing_pages_and_crawlers_last() {
    let busy = Busy::starts("length = 10, wait = \"60s\"", "").await;
    let mut waiting = vec![
        busy.waits(&Ask::get("/crawled").header("User-Agent", CRAWLER), 1).await,
        busy.waits(&Ask::get("/landing"), 2).await,
        busy.waits(&Ask::get("/known").cookie("session=1"), 3).await,
        busy.waits(&Ask::get("/counted").cookie("_ga=1"), 4).await,
        busy.waits(&Ask::post("/bought", "x"), 5).await,
        busy.waits(&Ask::get("/checkout"), 6).await,
    ];
    busy.held.release();
    for visitor in &mut waiting {
        visitor.answer("GET").await.expect(200);
    }
    let order = busy.order();
    assert_eq!(order, ["/first", "/bought", "/checkout", "/known", "/landing", "/counted", "/crawled"]);
    // The metrics say the same by rank, and so does `tentpole status` for a second.
    let mut admin = busy.tentpole.admin_visitor().await;
    let mut all = async || admin.get("/metrics").await.expect(200).text();
    let count = |step: &str, rank: &str, count: u32| {
        format!("tentpole_ladder_requests_total{{step=\"{step}\",priority=\"{rank}\"}} {count}\n")
    };
    let wanted = [
        count("endpoint", "normal", 1),
        count("queue", "checkout", 2),
        count("queue", "returning", 1),
        count("queue", "normal", 2),
        count("queue", "crawler", 1),
        count("overload", "crawler", 0),
    ];
    until("each to be counted on his step", async || {
        let metrics = all().await;
        wanted.iter().all(|line| metrics.contains(line))
    })
    .await;
    let metrics = all().await;
    let waited = metrics.lines().filter(|line| line.starts_with("tentpole_ladder_wait_seconds_total"));
    // Six ranks and no more, whoever comes.
    assert_eq!(waited.clone().count(), 6);
    let zero = |line: &&str| line.ends_with(" 0");
    assert_eq!(waited.filter(zero).count(), 2, "only health probes and staff have not waited: {metrics}");
    busy.tentpole.ends().await;
}

#[tokio::test]
async fn who_was_in_a_checkout_comes_first_on_other_pages_too_and_the_application_is_not_asked_for_whom() {
    let busy = Busy::starts("length = 10, wait = \"60s\"", "").await;
    let mut buyer = busy.waits(&Ask::get("/cart"), 1).await;
    busy.held.release_one();
    busy.held.release_one();
    let cart = buyer.answer("GET").await.expect(200);
    let cookie = cart.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("tentpole_rank="), "{cookie}");
    let mut first = busy.waits(&Ask::get("/holds"), 0).await;
    busy.held.until_waiting(1).await;
    let mut landing = busy.waits(&Ask::get("/landing"), 1).await;
    let mut forger = busy.waits(&Ask::get("/forged").cookie("tentpole_rank=00112233"), 2).await;
    let mut buyer = busy.waits(&Ask::get("/size-table").cookie(&cookie), 3).await;
    busy.held.release();
    for visitor in [&mut first, &mut landing, &mut forger, &mut buyer] {
        visitor.answer("GET").await.expect(200);
    }
    assert_eq!(busy.order()[2..], ["/holds", "/size-table", "/landing", "/forged"]);
    busy.tentpole.ends().await;
}

#[tokio::test]
async fn the_cookie_of_a_rank_keeps_no_page_from_the_cache_and_shared_pages_never_set_it() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("for all").header("Cache-Control", "max-age=60"));
    let tentpole = Up::config(&pool_of(&[&origin], "requests_max = 1", "")).start().await;
    let first = tentpole.visitor().await.get("/cart").await.expect(200);
    assert_eq!(first.header("set-cookie"), None);
    let ask = Ask::get("/cart").cookie("tentpole_rank=0011");
    let second = tentpole.visitor().await.ask(&ask).await.expect(200);
    assert!(second.header("cache-status").unwrap().contains("hit"), "{second:?}");
    tentpole.ends().await;
}

#[tokio::test]
async fn staff_comes_before_all_visitors_by_a_secret_that_the_application_never_sees() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "s3cret-of-staff").unwrap();
    let rest = format!("[staff]\nsecret = \"file:{}\"", secret.path().display());
    let busy = Busy::starts("length = 10, wait = \"60s\"", &rest).await;
    let mut waiting = vec![
        busy.waits(&Ask::get("/checkout"), 1).await,
        busy.waits(&Ask::get("/wrong").header("X-Staff", "s3cret"), 2).await,
        busy.waits(&Ask::get("/staff").header("X-Staff", "s3cret-of-staff"), 3).await,
    ];
    busy.held.release();
    for visitor in &mut waiting {
        visitor.answer("GET").await.expect(200);
    }
    assert_eq!(busy.order(), ["/first", "/staff", "/checkout", "/wrong"]);
    assert!(busy.origin.requests().iter().all(|seen| seen.header("x-staff").is_none()));
    busy.tentpole.ends().await;
}

#[tokio::test]
async fn a_better_visitor_takes_a_place_in_a_full_queue_and_the_one_who_had_it_is_told() {
    let busy = Busy::starts("length = 1, wait = \"60s\"", "").await;
    let mut landing = busy.waits(&Ask::get("/landing"), 1).await;
    let mut buyer = busy.tentpole.visitor().await;
    buyer.send(Ask::get("/checkout").bytes("h")).await;
    let answer = landing.answer("GET").await.expect(503);
    assert_eq!(answer.header("cache-status"), Some("tentpole; detail=outranked"));
    busy.until_waiting(1).await;
    busy.held.release();
    buyer.answer("GET").await.expect(200);
    busy.tentpole.ends().await;
}

#[tokio::test]
async fn what_is_stored_and_stale_is_served_at_once_while_others_wait() {
    let origin = Origin::start().await;
    origin.on("/page").respond(Response::ok("old").header("Cache-Control", "max-age=1, stale-if-error=600"));
    let tentpole = Up::config(&pool_of(&[&origin], "requests_max = 1", "")).start().await;
    tentpole.visitor().await.get("/page").await.expect(200);
    let held = origin.holds("/slow/*");
    let (mut one, mut two) = (tentpole.visitor().await, tentpole.visitor().await);
    one.send(Ask::post("/slow/1", "x").bytes("h")).await;
    held.until_waiting(1).await;
    two.send(Ask::post("/slow/2", "x").bytes("h")).await;
    until("one to wait", async || super::queued(&tentpole).await == 1).await;
    until("the page to be stale, and served all the same", async || {
        let page = tentpole.visitor().await.get("/page").await.expect(200);
        assert_eq!(page.text(), "old");
        page.header("cache-status").unwrap().contains("stale")
    })
    .await;
    held.release();
    one.answer("POST").await;
    two.answer("POST").await;
    tentpole.ends().await;
}
