//! S1.2 and S1.3: visitors rise, through the balancer and straight at the application in turns. Through it pages take ever longer
//! and then everything fails, at once; straight at it they only take longer. The story's times divided by ten: the balancer waits
//! 1 s for an answer. docs/rehearsal-balancer.md tells it with figures.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tentpole_testkit::binary;
use tentpole_tests::stock::Stock;
use tentpole_tests::workers::Workers;

/// Together 80 pages a second: the last of many visitors waits for a page of each of the others.
const WORKERS: usize = 4;
const PAGE: Duration = Duration::from_millis(50);
/// So many that one waits longer for his page than the balancer does.
const MANY: u32 = 160;

/// HAProxy before the only server, whose checks are as impatient as it is, and wait in the same line.
async fn haproxy(to: &Workers) -> Stock {
    let sections = format!(
        "defaults\nmode http\ntimeout connect 1s\ntimeout client 30s\ntimeout server 1s\ntimeout check 1s\n\
         frontend all\nbind {{listen}}\ndefault_backend app\n\
         backend app\noption httpchk GET /health\nserver only {} check inter 200ms fall 2 rise 2\n",
        to.address()
    );
    Stock::haproxy(&sections).await
}

fn report(folder: &Path, name: &str) -> Value {
    let data = std::fs::read(folder.join(name).join("report.json"));
    serde_json::from_slice(&data.unwrap_or_else(|error| panic!("{name}: {error}"))).unwrap()
}

/// The step with many visitors.
fn many(run: &Value) -> &Value {
    run["steps"].as_array().unwrap().last().unwrap()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// What the page draws for a run's median, a value a load.
fn drawn(page: &str, name: &str) -> Vec<Value> {
    let (_, rest) = page.split_once("id=\"charts\">").unwrap();
    let charts: Value = serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
    let series = charts["load-time"]["series"].as_array().unwrap();
    let found = series.iter().find(|one| one["name"] == format!("{name}, median"));
    found.unwrap_or_else(|| panic!("{series:?}"))["values"].as_array().unwrap().clone()
}

#[tokio::test]
async fn s1_2_s1_3_visitors_rise_the_balancer_breaks_and_the_application_is_only_slow() {
    let application = Workers::start(WORKERS, PAGE).await;
    let balancer = haproxy(&application).await;
    let folder = tempfile::tempdir().unwrap();
    let stages = format!(
        "stages = [{{ visitors = 8, time = \"1s\", ramp = \"200ms\" }}, {{ visitors = {MANY}, time = \"4s\", ramp = \"200ms\" }}]"
    );
    std::fs::write(folder.path().join("rising.toml"), stages).unwrap();
    let mut command = Command::new(binary("tentpole"));
    command.args(["load", &balancer.url(), "--compare", &format!("direct=http://{}", application.address())]);
    command.args(["--profile", "rising.toml", "--think", "50ms", "--p50", "off", "--p99", "off", "--plain"]);
    command.args(["--threads", "1"]).current_dir(folder.path()).env("HOME", folder.path());
    command.env("XDG_STATE_HOME", folder.path()).stdin(std::process::Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
    // The first place is called after its host.
    let balanced = balancer.address().ip().to_string();
    let (through, direct) = (report(folder.path(), &balanced), report(folder.path(), "direct"));

    // Straight at it: nobody fails, and everybody waits longer than the balancer would.
    let straight = many(&direct);
    assert!(count(&straight["requests"]) > 0 && count(&straight["failed"]) == 0, "{said}\n{straight:#}");
    assert!(straight["response_time"]["p50"].as_f64().unwrap() > 1_000.0, "{straight:#}");

    // Through the balancer: cut off, then without a server.
    let (broken, statuses) = (many(&through), &many(&through)["statuses"]);
    assert_eq!(broken["load"], f64::from(MANY));
    assert!(count(&statuses["504"]) > 0 && count(&statuses["503"]) > 0, "{said}\n{broken:#}");
    assert!(count(&broken["failed"]) * 2 > count(&broken["requests"]), "{said}\n{broken:#}");
    assert_eq!(ended.status.code(), Some(99), "{said}");

    // What failed is no load time: not in the figures, and not in the curve, which ends before.
    for step in through["steps"].as_array().unwrap() {
        let (all, failed) = (count(&step["requests"]), count(&step["failed"]));
        assert_eq!(count(&step["response_time"]["count"]), all - failed, "{step:#}");
    }
    let page = std::fs::read_to_string(folder.path().join("compared.html")).unwrap();
    assert_eq!(drawn(&page, &balanced).last(), Some(&Value::Null));
    assert!(drawn(&page, "direct").last().is_some_and(|median| median.as_f64().unwrap() > 1_000.0));
}
