//! `[visitors] bots`: programs that say what they are, and browsers beside them. What each is answered, what is counted, and what the
//! log says of it, at a running edge.

use serde_json::Value;
use tentpole_testkit::{Answer, Ask, Origin, Response, Tentpole, Up};
use tentpole_tests::{pool, until};

/// Programs that say so, or say nothing.
const BOTS: [&str; 6] = [
    "curl/8.14.1",
    "python-requests/2.32.3",
    "Go-http-client/2.0",
    "Mozilla/5.0 (compatible; SomeBot/7.0; +http://bot.example/about)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/141.0.0.0 Safari/537.36",
    "",
];
/// Browsers, and those that bring visitors.
const WELCOME: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "WhatsApp/2.23.20.0",
];
/// Requests of one address that pass at once.
const BURST: usize = 20;

async fn shop() -> Origin {
    let shop = Origin::start().await;
    shop.otherwise(|_| Response::ok("the page").header("Cache-Control", "max-age=60"));
    shop
}

async fn behind(shop: &Origin, lines: &str) -> Tentpole {
    Up::config(&pool(&[shop], lines)).argument("--log").argument("json").start().await
}

async fn asks(tentpole: &Tentpole, agent: &str) -> Answer {
    tentpole.visitor().await.ask(&Ask::get("/").header("User-Agent", agent)).await
}

/// What the log says of requests so far: the program, why it was refused, by which filter.
fn logged(tentpole: &Tentpole) -> Vec<(String, String, String)> {
    let line = |line: &str| -> (String, String, String) {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
        (text("user_agent"), text("refused"), text("filter"))
    };
    // The last line may not be whole yet.
    let said = tentpole.said();
    said.lines().filter(|line| line.starts_with('{') && line.ends_with('}')).map(line).collect()
}

/// Waits until the log has as many lines, and counts those that say this.
async fn count(tentpole: &Tentpole, lines: usize, refused: &str, filter: &str) -> usize {
    until("the log", async || logged(tentpole).len() >= lines).await;
    let all = logged(tentpole);
    assert_eq!(all.len(), lines, "{all:?}");
    all.iter().filter(|(_, why, by)| why == refused && by == filter).count()
}

/// A counter in `/metrics`.
async fn counter(tentpole: &Tentpole, name: &str) -> u64 {
    let page = tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().expect("it is a number")
}

#[tokio::test]
async fn bots_get_a_403_and_browsers_the_page_and_the_log_says_by_what() {
    let shop = shop().await;
    let monitor = "[filter.monitor]\naction = \"allow\"\nuser_agents = [\"curl/8.0 (our monitor)\"]\n";
    let tentpole = behind(&shop, &format!("[visitors]\nbots = \"deny\"\n{monitor}")).await;
    // Before and after the page is stored.
    for _ in 0..2 {
        for agent in BOTS {
            let answer = asks(&tentpole, agent).await.expect(403);
            assert!(
                !answer.text().contains("the page") && !answer.text().contains("bots"),
                "{}",
                answer.text()
            );
            assert_eq!(answer.header("cache-status"), Some("tentpole; detail=denied"), "{agent}");
        }
        for agent in WELCOME {
            assert_eq!(asks(&tentpole, agent).await.expect(200).text(), "the page", "{agent}");
        }
    }
    // A program without the field at all is as one that leaves it empty; whom a filter before lets through is no bot.
    tentpole.visitor().await.ask(&Ask::get("/")).await.expect(403);
    asks(&tentpole, "curl/8.0 (our monitor)").await.expect(200);

    let (bots, welcome) = (2 * BOTS.len() + 1, 2 * WELCOME.len() + 1);
    assert_eq!(count(&tentpole, bots + welcome, "denied", "visitors.bots").await, bots);
    assert_eq!(count(&tentpole, bots + welcome, "-", "-").await, welcome);
    let all = logged(&tentpole);
    for agent in BOTS.iter().filter(|agent| !agent.is_empty()) {
        assert_eq!(all.iter().filter(|(of, why, _)| of == agent && why == "denied").count(), 2, "{agent}");
    }
    let by_bots = "tentpole_filter_requests_total{filter=\"visitors.bots\",result=\"refused\"}";
    until("the counters", async || counter(&tentpole, by_bots).await == bots as u64).await;
    assert_eq!(counter(&tentpole, "tentpole_refused_total{reason=\"denied\"}").await, bots as u64);
    assert_eq!(shop.request_count(), 1, "one page for all");

    let status = tentpole.admin_visitor().await.get("/api/status").await.expect(200);
    let status: Value = serde_json::from_slice(&status.body).expect("the status is JSON");
    let top = &status["screen"]["top"][0];
    assert_eq!((&top["address"], &top["filter"]), (&"127.0.0.1".into(), &"visitors.bots".into()), "{top}");
    tentpole.ends().await;
}

#[tokio::test]
async fn bots_that_ask_too_often_wait_and_browsers_of_their_address_do_not() {
    let shop = shop().await;
    let tentpole = behind(&shop, "[visitors]\nbots = \"limit\"\n").await;
    let mut passed = 0;
    let refused = loop {
        // Two programs behind one address are one.
        let answer = asks(&tentpole, BOTS[passed % 2]).await;
        if answer.status != 200 {
            break answer.expect(429);
        }
        passed += 1;
        // One more in a second is within the rate, however slow the machine is.
        assert!(passed < 20 * BURST, "nobody was refused");
    };
    assert!(passed >= BURST, "{passed} passed");
    let wait: u64 =
        refused.header("retry-after").and_then(|text| text.parse().ok()).expect("it is said when");
    assert!((1..=2).contains(&wait), "one a second: {wait}");
    for agent in WELCOME {
        asks(&tentpole, agent).await.expect(200);
    }
    let lines = passed + 1 + WELCOME.len();
    assert_eq!(count(&tentpole, lines, "rate_limited", "visitors.bots").await, 1);
    assert_eq!(counter(&tentpole, "tentpole_refused_total{reason=\"rate_limited\"}").await, 1);
    // It passes again when it was told.
    until("its turn", async || asks(&tentpole, BOTS[0]).await.status == 200).await;
    tentpole.ends().await;
}

#[tokio::test]
async fn as_it_comes_bots_are_visitors_like_all_others() {
    let shop = shop().await;
    let tentpole = behind(&shop, "").await;
    for _ in 0..BURST {
        for agent in BOTS {
            asks(&tentpole, agent).await.expect(200);
        }
    }
    assert_eq!(count(&tentpole, BURST * BOTS.len(), "-", "-").await, BURST * BOTS.len());
    tentpole.ends().await;
}
