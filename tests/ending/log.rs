//! The access log: every request once, valid whatever a visitor sends, with the reasons; a file may be moved away.

use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tentpole_testkit::{Ask, Origin, Response, Step, Tentpole, Up};
use tentpole_tests::{pool, until};

async fn origin() -> Origin {
    let origin = Origin::start().await;
    origin.on("/store").respond(Response::ok("stored").header("Cache-Control", "max-age=60"));
    origin.on("/cookie").respond(Response::ok("mine").header("Set-Cookie", "a=1"));
    origin.on("/hangs").raw([Step::Hang]);
    origin.otherwise(|_| Response::ok("hello").header("Cache-Control", "no-store"));
    origin
}

/// Asks for everything that the tests below look for, and ends the program.
async fn eight_requests(tentpole: &mut Tentpole) {
    let odd = "a \"quoted\" \\ \u{e4} agent\t.";
    let mut visitor = tentpole.visitor().await;
    visitor.get("/store").await.expect(200);
    visitor.get("/store").await.expect(200);
    visitor.get("/cookie").await.expect(200);
    visitor
        .ask(&Ask::get("/odd?a=\"b\"\\").header("User-Agent", odd).header("Referer", "http://r/"))
        .await
        .expect(200);
    visitor.ask(&Ask::post("/post", "12345")).await.expect(200);
    visitor.get("/hangs").await.expect(504);
    tentpole.visitor().await.ask(&Ask::new("TRACE", "/")).await.expect(405);
    let mut bad = tentpole.visitor().await;
    bad.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    bad.answer("GET").await.expect(400);
    drop((visitor, bad));
    tentpole.signal(Signal::INT);
    tentpole.until_ended().await;
}

const LINES: &str = "timeouts = { first_byte = \"2s\" }";

#[tokio::test]
async fn each_request_is_one_line_of_json_with_its_reasons() {
    let origin = origin().await;
    let up = Up::config(&pool(&[&origin], LINES)).argument("--log").argument("json");
    let mut tentpole = up.start().await;
    eight_requests(&mut tentpole).await;
    let lines =
        |said: &str| said.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect::<Vec<_>>();
    until("eight lines", async || lines(&tentpole.said()).len() >= 8).await;
    let said = tentpole.said();
    let lines: Vec<Value> = lines(&said)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert_eq!(lines.len(), 8, "{said}");
    let text = |line: usize, name: &str| lines[line][name].as_str().unwrap_or("-").to_owned();
    let expected = [
        ("GET", "/store", 200, "stored", "-"),
        ("GET", "/store", 200, "hit", "-"),
        ("GET", "/cookie", 200, "bypass", "set_cookie"),
        ("GET", "/odd?a=\"b\"\\", 200, "bypass", "no_store"),
        ("POST", "/post", 200, "bypass", "method"),
        ("GET", "/hangs", 504, "none", "-"),
        // Refused before it was understood: the log does not guess.
        ("OTHER", "", 405, "none", "-"),
    ];
    for (at, (method, target, status, cache, bypass)) in expected.into_iter().enumerate() {
        assert_eq!(
            (text(at, "method").as_str(), text(at, "target").as_str()),
            (method, target),
            "{}",
            lines[at]
        );
        assert_eq!(lines[at]["status"], status, "{}", lines[at]);
        assert_eq!(
            (text(at, "cache").as_str(), text(at, "bypass").as_str()),
            (cache, bypass),
            "{}",
            lines[at]
        );
        assert_eq!(text(at, "peer"), "127.0.0.1");
    }
    let authority = origin.address().to_string();
    for (at, attempts) in [(0, 1), (1, 0), (2, 1), (4, 1), (5, 1), (6, 0)] {
        assert_eq!(lines[at]["attempts"].as_array().unwrap().len(), attempts, "{}", lines[at]);
    }
    assert_eq!(lines[0]["attempts"][0]["endpoint"], authority.as_str());
    assert_eq!(lines[4]["bytes_in"], 5);
    assert_eq!((text(3, "referer").as_str(), text(3, "pool").as_str()), ("http://r/", "app"));
    assert_eq!(text(3, "user_agent"), "a \"quoted\" \\ \u{e4} agent\t.");
    assert_eq!(lines[5]["failure"]["phase"], "first_byte", "{}", lines[5]);
    assert_eq!(lines[5]["failure"]["cause"], "timed_out", "{}", lines[5]);
    assert_eq!((text(6, "end").as_str(), text(6, "refused").as_str()), ("refused", "method"));
    assert_eq!((lines[7]["status"].as_u64(), text(7, "refused").as_str()), (Some(400), "host"));
}

#[tokio::test]
async fn the_combined_form_is_apaches_with_cache_and_reason_behind() {
    let origin = origin().await;
    let up = Up::config(&pool(&[&origin], LINES)).argument("--log").argument("combined");
    let mut tentpole = up.start().await;
    eight_requests(&mut tentpole).await;
    let lines = |said: &str| said.lines().filter(|line| line.starts_with("127.0.0.1 - - [")).count();
    until("eight lines", async || lines(&tentpole.said()) >= 8).await;
    let said = tentpole.said();
    assert_eq!(lines(&said), 8, "{said}");
    let authority = origin.address();
    for part in [
        "] \"GET /store HTTP/1.1\" 200 ",
        " \"-\" \"-\" cache=stored why=- upstream=",
        " cache=hit why=- upstream=- took=",
        &format!(" cache=bypass why=set_cookie upstream={authority}/200 took="),
        " \"http://r/\" \"a \\\"quoted\\\" ",
        "] \"OTHER - HTTP/1.1\" 405 ",
        " cache=none why=method upstream=- took=",
        &format!("/first_byte/timed_out upstream={authority}/first_byte/timed_out took="),
    ] {
        assert!(said.contains(part), "no {part:?} in:\n{said}");
    }
}

#[tokio::test]
async fn a_log_that_was_moved_away_goes_on_in_a_new_file_and_loses_nothing() {
    let origin = origin().await;
    let config = pool(&[&origin], "[log]\naccess = \"json\"\nfile = \"access.log\"");
    let mut tentpole = Up::config(&config).start().await;
    let (now, before) = (tentpole.dir().join("access.log"), tentpole.dir().join("access.log.1"));
    let count = |path: &Path| fs::read_to_string(path).unwrap_or_default().lines().count();
    let mut visitor = tentpole.visitor().await;
    visitor.get("/1").await.expect(200);
    until("the first line", async || count(&now) == 1).await;
    fs::rename(&now, &before).unwrap();
    let mut asked = 1;
    // One now and then, until one is in the new file.
    until("a line in the new file", async || {
        visitor.get("/again").await.expect(200);
        asked += 1;
        count(&now) > 0
    })
    .await;
    drop(visitor);
    tentpole.signal(Signal::INT);
    tentpole.until_ended().await;
    let all = [before, now].map(|path| fs::read_to_string(path).unwrap());
    assert!(all[0].contains("\"target\":\"/1\"") && !all[1].contains("\"target\":\"/1\""));
    assert_eq!(all.iter().map(|text| text.lines().count()).sum::<usize>(), asked, "{all:?}");
    for line in all.iter().flat_map(|text| text.lines()) {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

/// What `/metrics` says of this counter.
async fn counted(tentpole: &Tentpole, name: &str) -> u64 {
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    value.unwrap_or_else(|| panic!("no {name} in {metrics}")) as u64
}

#[tokio::test]
async fn a_log_on_a_full_disk_costs_lines_and_no_request() {
    let origin = origin().await;
    let config = pool(&[&origin], "[log]\naccess = \"json\"\nfile = \"/dev/full\"");
    let tentpole = Up::config(&config).start().await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..20 {
        visitor.get("/").await.expect(200);
    }
    drop(visitor);
    let dropped = || counted(&tentpole, "tentpole_log_lines_dropped_total ");
    until("all lines to be counted as lost", async || dropped().await >= 20).await;
    let said = tentpole.said();
    assert!(said.contains("access log /dev/full: ") && said.contains("requests go on"), "{said}");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_and_no_request() {
    let origin = origin().await;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("access.log");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Open both ways, so that the program can open it; nothing is ever read.
    let _reader = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let config = pool(&[&origin], &format!("[log]\naccess = \"json\"\nfile = {pipe:?}"));
    let tentpole = Up::config(&config).start().await;
    let mut visitor = tentpole.visitor().await;
    let long = "x".repeat(8_000);
    let mut asked = 0;
    // Far more than pipe, writer and rings hold together.
    while counted(&tentpole, "tentpole_log_lines_dropped_total ").await == 0 {
        for _ in 0..200 {
            visitor.get(&format!("/{long}")).await.expect(200);
        }
        asked += 200;
        assert!(asked < 20_000, "no line was dropped");
    }
    visitor.get("/after").await.expect(200);
    drop(visitor);
    // Nor does it hold up the end.
    tentpole.ends().await;
}
