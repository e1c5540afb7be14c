//! `tentpole load --find` on live servers whose breaking point is known by construction: does the truth lie inside the interval? The
//! servers sleep, so that the answer hardly depends on this machine. Two short searches are part of every run; the table of
//! docs/breaking-point.md is the ignored test's.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tentpole_testkit::known::truth::breaks_at;
use tentpole_testkit::known::{Crowd, Goal, Limit};
use tentpole_testkit::php::Fpm;
use tentpole_testkit::{Known, process};
use tentpole_tests::stock::Stock;

const VISITORS: Crowd = Crowd::Visitors { think_s: 1.0 };
const FAILURES: Goal = Goal::Failures(0.01);
const MEDIAN: Goal = Goal::MedianMs(500.0);
/// Journeys of two pages, a tenth of a second between them.
const JOURNEYS: Crowd = Crowd::Journeys { pages: 2, think_s: 0.1 };

/// A server with its limit, and who asks.
struct Case {
    name: &'static str,
    limit: Limit,
    crowd: Crowd,
    goal: Goal,
    built: Built,
}

/// What the limit is made of.
#[derive(Clone, Copy)]
enum Built {
    /// The testkit's own server.
    Known,
    /// HAProxy's `maxconn` and `timeout queue`, before a server without a limit.
    Haproxy,
    /// Processes of php-fpm behind nginx.
    PhpFpm,
}

/// Keeps what serves alive.
enum Serves {
    Known(Known),
    Haproxy(Stock, #[allow(dead_code, reason = "it serves as long as it lives")] Known),
    PhpFpm(Stock, #[allow(dead_code, reason = "likewise")] Fpm),
}

impl Serves {
    fn url(&self) -> String {
        match self {
            Self::Known(known) => known.url(),
            Self::Haproxy(stock, _) | Self::PhpFpm(stock, _) => format!("{}/work.php", stock.url()),
        }
    }
}

fn cases() -> Vec<Case> {
    let ms = Duration::from_millis;
    let queue = |work| Limit::Workers { workers: 20, work, patience: None };
    let impatient = Limit::Workers { workers: 20, work: ms(200), patience: Some(ms(300)) };
    let case = |name, limit, crowd, goal, built| Case { name, limit, crowd, goal, built };
    vec![
        case(
            "20 requests at once, others get 503",
            Limit::Places { places: 20, work: ms(200) },
            VISITORS,
            FAILURES,
            Built::Known,
        ),
        case("20 workers and a queue", queue(ms(200)), VISITORS, MEDIAN, Built::Known),
        case(
            "100 requests a second, others get 429",
            Limit::Tokens { per_s: 100.0, at_once: 20.0 },
            JOURNEYS,
            FAILURES,
            Built::Known,
        ),
        case("HAProxy: maxconn 20, timeout queue 300 ms", impatient, VISITORS, FAILURES, Built::Haproxy),
        case("nginx and php-fpm with 20 processes", queue(ms(200)), VISITORS, MEDIAN, Built::PhpFpm),
    ]
}

async fn serve(case: &Case) -> Serves {
    match case.built {
        Built::Known => Serves::Known(Known::start(case.limit).unwrap()),
        Built::Haproxy => {
            let Limit::Workers { workers, work, patience: Some(patience) } = case.limit else { panic!() };
            let behind = Known::start(Limit::Places { places: usize::MAX, work }).unwrap();
            let sections = format!(
                "defaults\nmode http\ntimeout connect 5s\ntimeout client 30s\ntimeout server 30s\n\
                 timeout queue {}ms\nfrontend all\nbind {{listen}}\ndefault_backend app\n\
                 backend app\nserver a {} maxconn {workers}\n",
                patience.as_millis(),
                behind.address()
            );
            Serves::Haproxy(Stock::haproxy(&sections).await, behind)
        }
        Built::PhpFpm => {
            let Limit::Workers { workers, work, .. } = case.limit else { panic!() };
            let fpm = Fpm::start(workers as u32, "");
            fpm.write("work.php", &format!("<?php usleep({}); echo 'yes';", work.as_micros()));
            let http = format!(
                "server {{ listen {{listen}}; keepalive_requests 100000; location / {{ fastcgi_pass unix:{}; \
                 fastcgi_param REQUEST_METHOD $request_method; fastcgi_param SCRIPT_FILENAME \
                 {}/work.php; }} }}",
                fpm.socket().display(),
                fpm.root().display()
            );
            Serves::PhpFpm(Stock::nginx(&http).await, fpm)
        }
    }
}

/// What one search said.
struct Found {
    /// 0 and infinity where it did not say.
    holds: f64,
    breaks: f64,
    first: String,
    /// Whether the generator did what was asked of it.
    judged: bool,
    value: Value,
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Searches in this folder. Its own objectives hold: the case's alone can break.
async fn find(folder: &Path, case: &Case, url: &str, time: &str, from: u32, seed: u64) -> (Found, String) {
    let mut command = Command::new(process::binary("tentpole"));
    command.args(["load", url, "--find", "--find-time", time, "--seed", &seed.to_string(), "--plain"]);
    match case.crowd {
        Crowd::Visitors { think_s } => {
            command.args(["--visitors", &format!("{from}..2000"), "--think", &format!("{think_s}s")]);
        }
        Crowd::Journeys { pages, think_s } => {
            let step = format!("[[journey.step]]\npath = \"/\"\nthink = \"{}ms\"\n", think_s * 1_000.0);
            let text = format!("[[journey]]\nname = \"some pages\"\n{}", step.repeat(pages));
            std::fs::write(folder.join("journey.toml"), text).unwrap();
            command.args(["--rate", &format!("{from}..2000"), "--journey", "journey.toml"]);
        }
    }
    match case.goal {
        Goal::MedianMs(under) => {
            command.args(["--p50", &format!("{under}ms"), "--p99", "off", "--errors", "off"])
        }
        Goal::Failures(share) => {
            command.args(["--errors", &format!("{}%", share * 100.0), "--p50", "off", "--p99", "off"])
        }
    };
    command.current_dir(folder).stdin(Stdio::null()).env("HOME", folder).env("XDG_STATE_HOME", folder);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = said(&output);
    let report = std::fs::read(folder.join("report.json")).unwrap_or_else(|error| panic!("{error}: {text}"));
    let report: Value = serde_json::from_slice(&report).unwrap();
    let value = report["found"].clone();
    let found = Found {
        holds: value["holds"].as_f64().unwrap_or(0.0),
        breaks: value["breaks"].as_f64().unwrap_or(f64::INFINITY),
        first: value["first"].as_str().unwrap_or_default().to_owned(),
        judged: report["trusted"] == true,
        value,
    };
    (found, text)
}

/// A search too short to be narrow: what it says must fit the truth.
async fn a_short_search_is_not_wrong(name: &str, from: u32, first: &str) {
    let all = cases();
    let case = all.iter().find(|case| case.name == name).unwrap();
    let truth = breaks_at(case.limit, case.crowd, case.goal, 400.0);
    let (serves, folder) = (serve(case).await, tempfile::tempdir().unwrap());
    let (found, text) = find(folder.path(), case, &serves.url(), "12s", from, 1).await;
    if !found.judged {
        // Held up: it must say so, and name no place. What held before it was held up has held.
        assert!(found.breaks.is_infinite(), "{text}");
        assert!(text.contains("Do not trust these figures."), "{text}");
        return;
    }
    // Nineteen of twenty hold the truth; all of them come near it.
    assert!(found.holds < truth.1 * 1.25 && found.breaks > truth.0 * 0.8, "truth {truth:?}: {text}");
    assert_eq!(found.first, first, "{text}");
    let leaning = |key: &str| found.value[key].as_f64().unwrap_or_else(|| panic!("{key}: {text}"));
    assert!(leaning("seems_to_hold") < truth.1 * 1.6, "truth {truth:?}: {text}");
    assert!(leaning("seems_to_break") > truth.0 * 0.6, "truth {truth:?}: {text}");
}

#[tokio::test]
async fn a_queue_is_found_by_its_median() {
    a_short_search_is_not_wrong("20 workers and a queue", 40, "p50").await;
}

#[tokio::test]
async fn a_limit_by_rate_is_found_by_what_it_refuses() {
    a_short_search_is_not_wrong("100 requests a second, others get 429", 10, "errors").await;
}

/// The table of docs/breaking-point.md: `SEARCHES`, `SEEDS_FROM`, `FIND_TIME` and `KNOWN_CASE` (a part of a name) choose.
#[tokio::test]
#[ignore = "minutes for each search, on a machine that does little else"]
async fn the_truth_lies_inside_the_interval() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (searches, from) = (number("SEARCHES").unwrap_or(6), number("SEEDS_FROM").unwrap_or(1));
    let time = std::env::var("FIND_TIME").unwrap_or_else(|_| "1m".to_owned());
    let wanted = std::env::var("KNOWN_CASE").unwrap_or_default();
    let (mut all, mut inside) = (0, 0);
    for case in cases().iter().filter(|case| case.name.contains(&wanted)) {
        let (low, high) = breaks_at(case.limit, case.crowd, case.goal, 400.0);
        println!("{}: breaks at {high:.1}", case.name);
        let serves = serve(case).await;
        for seed in from..from + searches {
            let folder = tempfile::tempdir().unwrap();
            let (found, text) = find(folder.path(), case, &serves.url(), &time, 10, seed).await;
            let headline: Vec<&str> = text.split_once("\n\n").map_or("", |(_, said)| said).lines().collect();
            let is_inside = found.holds <= high && low <= found.breaks;
            if found.judged {
                all += 1;
                inside += usize::from(is_inside);
            }
            let verdict = match (found.judged, is_inside) {
                (false, _) => "NOT JUDGED",
                (true, true) => "inside",
                (true, false) => "MISSED",
            };
            println!("    seed {seed}: {verdict}: {}", headline.join(" "));
            if std::env::var_os("SHOWN").is_some() {
                println!("{text}");
            }
        }
    }
    println!("inside {inside} of {all}");
    // 95 of 100, less what chance takes from so few.
    let wanted = 0.95 * all as f64 - 2.0 * (0.95 * 0.05 * all as f64).sqrt();
    assert!(inside as f64 >= wanted, "inside {inside} of {all}, wanted {wanted:.0}");
}
