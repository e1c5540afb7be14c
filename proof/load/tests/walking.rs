//! Virtual users over real connections: cookies, redirects, links taken from pages, checks, connections that the other
//! side closes, failures by cause.

mod common;

use common::{constant, plan, run, step, walking};
use std::time::Duration;
use tentpole_load::climb::{Shape, Stage};
use tentpole_load::result::FailureCause::{self, *};
use tentpole_load::result::{Model, StepResult};
use tentpole_testkit::{Origin, Response, Seen, Step};

/// That every request failed for this one reason, and that none of them has a load time.
fn all_failed(step: &StepResult, cause: FailureCause) {
    assert!(step.requests > 0, "{step:#?}");
    assert_eq!(step.failures.get(&cause), Some(&step.requests), "{step:#?}");
    assert_eq!((step.failed, step.response_time, step.service_time), (step.requests, None, None));
    assert!(!step.held && step.broke.is_some());
}

#[tokio::test]
async fn a_page_is_loaded_over_one_kept_connection() {
    let origin = Origin::start().await;
    origin.on("/p?q=1").respond(Response::ok("0123456789"));
    let step = step(plan(&format!("{}/p?q=1", origin.url()))).await;
    assert!(step.requests > 10 && step.failed == 0 && step.held, "{step:#?}");
    assert_eq!((step.bytes, step.statuses[&200]), (step.requests * 10, step.requests));
    assert_eq!((step.journey_steps.len(), step.journey_steps[0].count), (1, step.requests));
    assert_eq!(origin.connections(), 1);
    let times = step.response_time.expect("it succeeded");
    assert!(times.min <= times.p50 && times.p50 <= times.p99 && times.p99 <= times.max && times.min > 0.0);
    assert_eq!(times.count, step.requests);
    let seen = &origin.requests()[0];
    assert_eq!(seen.header("host"), origin.url().strip_prefix("http://"));
    assert_eq!(seen.header("accept-encoding"), None, "no compression is asked for");
}

#[tokio::test]
async fn each_visitor_has_a_connection_of_his_own() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok(""));
    let mut plan = plan(&origin.url());
    (plan.shape, plan.threads, plan.think) = (constant(20.0, 2_000), 2, Duration::from_millis(50));
    let step = step(plan).await;
    assert_eq!((step.failed, origin.connections()), (0, 20));
}

const SHOPPING: &str = r#"
[[journey]]
name = "shop"
[[journey.step]]
path = "/"
extract = [{ name = "slug", between = ["href=\"/p/", "\""], pick = "random" }]
[[journey.step]]
path = "/p/{slug}?from=home"
extract = [
    { name = "id", between = ["value=\"", "\""] },
    { name = "token", from = "header", header = "X-Token" },
]
check = [{ status = 200 }, { contains = "in stock" }, { header = "content-type", contains = "html" }]
[[journey.step]]
name = "add"
path = "/cart"
form = { id = "{id}", note = "a & b" }
headers = { X-Token = "{token}" }
[[journey.step]]
path = "/cart"
check = [{ contains = "1 thing" }]
"#;

fn shop(origin: &Origin) {
    let html = |body: String| Response::ok(body).header("Content-Type", "text/html");
    origin.on("/").respond(
        html("<a href=\"/p/red shoe\">..<a href=\"/p/blue\">".into())
            .header("Set-Cookie", "sid=1; Path=/; HttpOnly"),
    );
    origin.on("/p/*").respond(html("<input value=\"7&amp;7\"> in stock".into()).header("X-Token", "secret"));
    origin
        .on_method("POST", "/cart")
        .respond(Response::redirect("/cart").header("Set-Cookie", "cart=1; Path=/cart"));
    origin.on_method("GET", "/cart").respond(html("1 thing".into()));
}

#[tokio::test]
async fn a_journey_carries_links_fields_cookies_and_forms_along() {
    let origin = Origin::start().await;
    shop(&origin);
    let step = step(walking(&origin.url(), SHOPPING)).await;
    assert_eq!(step.failures, Default::default(), "{step:#?}");
    assert_eq!(
        step.statuses[&302], step.journey_steps[2].count,
        "the redirect counts as a status, not as a page"
    );
    let seen = origin.requests();
    let first = |method: &str, path: &str| -> &Seen {
        seen.iter().find(|seen| seen.method == method && seen.path() == path).expect(path)
    };
    assert_eq!(first("GET", "/").cookie("sid"), None);
    assert!(seen.iter().any(|seen| seen.target == "/p/red%20shoe?from=home"));
    assert!(seen.iter().any(|seen| seen.target == "/p/blue?from=home"));
    let post = first("POST", "/cart");
    assert_eq!(post.text(), "id=7%267&note=a%20%26%20b");
    assert_eq!((post.header("x-token"), post.cookie("sid")), (Some("secret"), Some("1")));
    assert_eq!(post.header("content-type"), Some("application/x-www-form-urlencoded"));
    let cart = first("GET", "/cart");
    assert_eq!((cart.cookie("cart"), cart.header("content-type")), (Some("1"), None));
    let home = seen.iter().filter(|seen| seen.path() == "/").nth(1).expect("a second journey");
    assert_eq!(home.cookie("sid"), None, "the next journey is another visitor's");
}

#[tokio::test]
async fn the_same_seed_walks_the_same_way_and_another_one_does_not() {
    let walked = async |seed| {
        let origin = Origin::start().await;
        shop(&origin);
        let mut plan = walking(&origin.url(), SHOPPING);
        (plan.seed, plan.shape) = (seed, constant(1.0, 4_000));
        step(plan).await;
        let all: Vec<String> = origin.requests().into_iter().map(|seen| seen.target).collect();
        assert!(all.len() > 80, "{}", all.len());
        all[..80].to_vec()
    };
    let first = walked(1).await;
    assert_eq!(first, walked(1).await);
    assert_ne!(first, walked(2).await);
}

#[tokio::test]
async fn a_journey_visits_its_hosts_at_the_urls_address() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok(""));
    let journey =
        "[[journey]]\nhost = [\"shop.localhost\", \"laden.localhost\"]\n[[journey.step]]\npath = \"/\"\n";
    let step = step(walking(&origin.url(), journey)).await;
    assert_eq!(step.failed, 0);
    let port = origin.address().port();
    for name in ["shop", "laden"] {
        let host = format!("{name}.localhost:{port}");
        assert!(origin.requests().iter().any(|seen| seen.header("host") == Some(&host)), "{host}");
    }
}

#[tokio::test]
async fn failures_are_counted_by_their_cause_and_have_no_load_time() {
    let origin = Origin::start().await;
    origin.on("/500").respond(Response::status(500));
    origin.on("/404").respond(Response::status(404));
    origin.on("/close").raw([Step::Close]);
    origin.on("/reset").raw([Step::Reset]);
    origin.on("/short").respond(Response::ok("").claiming(10, [Step::send("abc"), Step::Close]));
    origin.on("/noise").raw([Step::send("what?\r\n\r\n"), Step::Close]);
    origin.on("/hang").raw([Step::Hang]);
    origin.on("/away").respond(Response::redirect("http://elsewhere.example/"));
    origin.on("/round").respond(Response::redirect("/round"));
    for (path, cause) in [
        ("/500", Status5xx),
        ("/404", Status4xx),
        ("/close", ClosedEarly),
        ("/reset", Reset),
        ("/short", ClosedEarly),
        ("/noise", Malformed),
        ("/hang", TimedOut),
        ("/away", Redirect),
        ("/round", Redirect),
    ] {
        let mut plan = plan(&format!("{}{path}", origin.url()));
        // Only who is to be cut off has so little time.
        plan.timeout = Duration::from_millis(if cause == TimedOut { 250 } else { 20_000 });
        plan.think = Duration::from_millis(20);
        let step = step(plan).await;
        println!("{path}: {:?}", step.failures);
        all_failed(&step, cause);
    }
    let url = origin.url();
    origin.stops().await;
    all_failed(&step(plan(&url)).await, Refused);
}

#[tokio::test]
async fn a_failed_check_or_extraction_fails_its_step_and_the_journey_begins_again() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("nothing here"));
    for (text, cause) in [
        ("check = [{ contains = \"something\" }]", Check),
        ("check = [{ status = [301, 302] }]", Check),
        ("extract = [{ name = \"x\", between = [\"<\", \">\"] }]", Extract),
        ("extract = [{ name = \"x\", pattern = \"(some)thing\" }]", Extract),
        ("extract = [{ name = \"x\", json = \"$.x\" }]", Extract),
        ("check = [{ lacks_pattern = \"no.+here\" }]", Check),
        ("check = [{ json = \"$.x\" }]", Check),
    ] {
        let journey = format!(
            "[[journey]]\n[[journey.step]]\npath = \"/a\"\n{text}\n[[journey.step]]\npath = \"/never\"\n"
        );
        let step = step(walking(&origin.url(), &journey)).await;
        all_failed(&step, cause);
        assert_eq!((step.journey_steps[0].failed, step.journey_steps[1].count), (step.requests, 0));
    }
    assert!(origin.requests_for("/never").is_empty());
}

#[tokio::test]
async fn an_application_that_speaks_json_is_walked_by_paths_and_patterns() {
    let origin = Origin::start().await;
    let items = r#"{"items":[{"id":7,"stock":3},{"id":9,"stock":0}],"token":"a\u002fb"}"#;
    origin.on("/api/items").respond(Response::ok(items).header("Content-Type", "application/json"));
    origin.on("/api/items/*").respond_with(|seen| {
        Response::ok(format!("var item = {{ path: '{}', version: 'v12' }};", seen.path()))
    });
    origin.on_method("POST", "/api/cart").respond(Response::ok(r#"{"state":"added","count":1}"#));
    let journey = r#"
[[journey]]
[[journey.step]]
path = "/api/items"
extract = [{ name = "id", json = "$.items[*].id", pick = 2 }, { name = "token", json = "$.token" }]
check = [{ json = "$.items[0].stock", is = "3" }]
[[journey.step]]
path = "/api/items/{id}"
extract = [{ name = "version", pattern = 'path: .(.+)., version: .(v\d+)', group = 2 }]
check = [{ pattern = 'items/\d+' }, { lacks_pattern = "[Ee]rror" }]
[[journey.step]]
path = "/api/cart"
method = "POST"
effect = "none"
body = "{{\"token\":\"{token}\",\"version\":\"{version}\"}}"
check = [{ json = "$.state", is = "added" }]
"#;
    let step = step(walking(&origin.url(), journey)).await;
    assert_eq!(step.failures, Default::default(), "{step:#?}");
    assert!(step.journey_steps[2].count > 0 && !origin.requests_for("/api/items/9").is_empty());
    let posts = origin.requests_for("/api/cart");
    assert_eq!(posts[0].text(), r#"{"token":"a/b","version":"v12"}"#);
}

#[tokio::test]
async fn a_redirect_is_an_answer_where_its_status_is_checked() {
    let origin = Origin::start().await;
    origin.on("/old").respond(Response::redirect("/new"));
    let journey = "[[journey]]\n[[journey.step]]\npath = \"/old\"\ncheck = [{ status = 302 }]\n\
                   extract = [{ name = \"there\", from = \"header\", header = \"location\" }]\n";
    let step = step(walking(&origin.url(), journey)).await;
    assert_eq!((step.failed, origin.requests_for("/new").len()), (0, 0));
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced_and_is_no_failure() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("x"));
    origin.closes_after(3);
    let step = step(plan(&origin.url())).await;
    assert!(step.requests > 10, "{step:#?}");
    assert_eq!(step.failures, Default::default());
    let expected = step.requests / 3;
    assert!(step.reconnects.abs_diff(expected) <= 1, "{} of {expected}", step.reconnects);
}

#[tokio::test]
async fn a_closed_fresh_connection_is_a_failure_at_once() {
    let origin = Origin::start().await;
    origin.on("/").raw([Step::Close]);
    let step = step(plan(&origin.url())).await;
    all_failed(&step, ClosedEarly);
    assert_eq!(step.reconnects, 0);
}

#[tokio::test]
async fn the_open_model_arrives_as_often_as_ordered() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("x"));
    origin.forgets_requests();
    let mut plan = plan(&origin.url());
    (plan.model, plan.threads) = (Model::Open, 2);
    plan.shape = constant(400.0, 1_000);
    let step = step(plan).await;
    assert_eq!((step.requests, step.failed), (400, 0));
    // A busy machine makes some of them overlap; without reuse there would be 400.
    assert!(step.connects <= 200, "{} connections for 400 arrivals", step.connects);
}

#[tokio::test]
async fn arrivals_that_find_the_generator_full_are_failures_and_the_run_is_not_trusted() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("x"));
    let held = origin.holds("/");
    let mut plan = plan(&origin.url());
    (plan.model, plan.in_flight_max) = (Model::Open, 5);
    plan.shape = constant(100.0, 1_000);
    plan.timeout = Duration::from_secs(30);
    let running = run(plan);
    let releasing = async {
        // Long after the last one has come.
        tokio::time::sleep(Duration::from_secs(4)).await;
        held.release();
    };
    let (run, ()) = tokio::join!(running, releasing);
    let step = &run.steps[0];
    assert_eq!((step.requests, step.failures.get(&GeneratorFull)), (100, Some(&95)), "{step:#?}");
    assert!(!run.trusted && !run.distrust.is_empty());
    assert!(step.broke.is_some() && run.breaking_point.is_none(), "whose fault that was, nobody knows");
}

#[tokio::test]
async fn when_a_run_is_over_no_page_load_can_be_told_any_more() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("x"));
    for (model, load) in [(Model::Closed, 3.0), (Model::Open, 100.0)] {
        let (samples, received, _) = tentpole_load::samples::queue();
        let mut plan = plan(&origin.url());
        (plan.model, plan.samples, plan.think) = (model, Some(samples), Duration::from_millis(20));
        plan.shape = constant(load, 300);
        let step = step(plan).await;
        assert!(received.try_iter().count() as u64 >= step.requests && step.requests > 0, "{model:?}");
        // Who collects them waits for this.
        assert_eq!(received.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected), "{model:?}");
    }
}

#[tokio::test]
async fn a_stages_crowd_comes_as_often_as_the_area_under_it_and_not_in_the_next_one() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("x"));
    origin.forgets_requests();
    let stages = "stages = [{ rate = 50, burst = 400, half_life = \"200ms\", ramp = \"100ms\", time = \"1s\" }, \
                  { rate = 50, time = \"500ms\" }, { rate = 0, burst = 100, half_life = \"100ms\", time = \"500ms\" }]";
    let (model, stages) =
        tentpole_load::read::read("p.toml", stages).expect("it is right").stages.expect("stages");
    let mut plan = plan(&origin.url());
    (plan.model, plan.threads, plan.shape) = (model, 2, Shape::Stages(stages));
    let run = run(plan).await;
    let seen: Vec<u64> = run.steps.iter().map(|step| step.requests).collect();
    // The integral of above·2^(−t/half-life) is above·half-life/ln 2·(1 − 2^(−T/half-life)): 111.8, and 14.0. Each of two threads has
    // its own row of arrivals, which may lie one to the one side or the other of an end.
    let [first, second, third] = seen[..] else { panic!("{seen:?}") };
    if !run.trusted {
        // The generator was held up, as it says itself: who was late came in the stage after his.
        assert!((first + second + third) <= 206, "{seen:?}");
        return;
    }
    assert!((160..=164).contains(&first), "50 and 111.8: {seen:?}");
    assert!((24..=26).contains(&second), "25 and none: {seen:?}");
    assert!((12..=16).contains(&third), "14.0 alone: {seen:?}");
}

#[tokio::test]
async fn nobody_is_new_in_a_trial() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("x"));
    let mut plan = plan(&origin.url());
    (plan.think, plan.threads) = (Duration::from_secs(2), 2);
    let (time, ramp) = (Duration::from_millis(500), Duration::from_millis(50));
    plan.shape = Shape::Trial(Stage { load: 400.0, time, ramp, burst: None });
    let step = step(plan).await;
    // 400 visitors who think for 2 s are 200 a second: in half a second 100, give and take three times the root of that. All 400 would
    // come where everybody was new, and none where everybody had just been.
    assert!((70..=130).contains(&step.requests), "{}", step.requests);
}

#[tokio::test]
async fn a_run_knows_its_seconds_its_steps_and_its_verdict() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("x"));
    let mut plan = plan(&origin.url());
    plan.think = Duration::from_millis(10);
    plan.shape = tentpole_load::climb::Shape::Climb {
        from: 2.0,
        to: 8.0,
        step_time: Duration::from_millis(800),
        ramp: Duration::from_millis(200),
        whole: true,
    };
    let run = run(plan).await;
    let loads: Vec<f64> = run.steps.iter().map(|step| step.load).collect();
    assert_eq!(loads, [2.0, 4.0, 8.0]);
    assert!(run.highest_held == Some(8.0) || !run.trusted, "{:?}", run.highest_held);
    assert_eq!((run.breaking_point, run.interrupted), (None, false));
    // Where the generator was held up, as it says itself then, there are more, and nothing may have come in one of them.
    assert!((3..=4).contains(&run.seconds.len()) || !run.trusted, "{}", run.seconds.len());
    assert_eq!(run.second_width, 1);
    let all_seen = run.seconds.iter().all(|second| second.requests > 0 && second.p50_ms.is_some());
    assert!(all_seen || !run.trusted, "{:?}", run.seconds);
    assert!(run.steps.iter().all(|step| step.generator_cpu_share < 1.0 && step.lag_p99_us > 0));
    let json = serde_json::to_string(&run).expect("it is JSON");
    let read: tentpole_load::Run = serde_json::from_str(&json).expect("it is read");
    // Our figures have up to six digits; the last bit of a number may change on its way through a text.
    assert_eq!(format!("{read:.9?}"), format!("{run:.9?}"));
}

#[tokio::test]
async fn each_request_says_that_it_is_load_and_of_which_run() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok(""));
    let mut plan = plan(&origin.url());
    plan.mark = tentpole_load::mark::Mark::new(&mut tentpole_runtime::Random::from_seed(3), Some("agreed"));
    let run_name = plan.mark.run.clone();
    let run = run(plan).await;
    assert_eq!(run.mark, run_name);
    for seen in origin.requests() {
        let mark = seen.header("tentpole-load").expect("every request has it");
        assert!(mark.starts_with(&format!("run={run_name}; at=")) && mark.contains("; sig="), "{mark}");
    }
}

#[tokio::test]
async fn steps_with_the_same_tag_are_judged_together_too() {
    let origin = Origin::start().await;
    origin.on("/*").respond(Response::ok(""));
    let journeys = "[[journey]]\n[[journey.step]]\npath = \"/a\"\ntags = [\"page\", \"first\"]\n\
                    [[journey.step]]\npath = \"/b\"\ntags = \"page\"\npause = \"exponential\"\n\
                    [[journey.step]]\npath = \"/c\"\n";
    let step = step(walking(&origin.url(), journeys)).await;
    let count = |name: &str| step.journey_steps.iter().find(|one| one.name == name).expect("a step").count;
    let names: Vec<_> = step.tags.iter().map(|tag| tag.name.as_str()).collect();
    assert_eq!(names, ["page", "first"]);
    assert_eq!((step.tags[0].count, step.tags[1].count), (count("/a") + count("/b"), count("/a")));
    assert!(step.tags[0].p99_ms.is_some() && count("/c") > 0);
}
