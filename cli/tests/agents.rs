//! Several generators as one, by real processes: what a killed one leaves behind, and who is refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod servers;

use servers::{Secure, room_for};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tentpole_load::Run;
use tentpole_load::found::Ended;
use tentpole_load::result::Objective;
use tentpole_testkit::{NameServer, Origin, Response};

/// A process that makes load; killed when dropped.
struct Agent {
    child: Child,
    address: String,
}

impl Agent {
    fn start(folder: &Path) -> Self {
        Self::with(folder, &["--threads", "1"])
    }

    fn with(folder: &Path, typed: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tentpole"))
            .args(["load", "agent", "--listen", "127.0.0.1:0", "--key", "file:secret"])
            .args(typed)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        let address = said.strip_prefix("Agent at ").unwrap().split(';').next().unwrap().to_owned();
        assert!(said.contains("may load this machine only"), "{said}");
        Self { child, address }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::write(folder.path().join("other"), "another secret of sixteen and more\n").unwrap();
    folder
}

fn command(folder: &Path, typed: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.arg("load").args(typed).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env("XDG_STATE_HOME", folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn report(folder: &Path) -> Run {
    tentpole_report::read(&std::fs::read_to_string(folder.join("report.json")).unwrap()).unwrap()
}

fn said(output: &Output) -> String {
    format!("{} {}", text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn two_agents_make_one_report() {
    let (folder, origin) = (folder(), Origin::start().await);
    origin.on("/").respond(Response::ok("0123456789"));
    let agents = [Agent::start(folder.path()), Agent::start(folder.path())];
    let list = format!("{},{}", agents[0].address, agents[1].address);
    std::fs::write(
        folder.path().join("crew.toml"),
        "[[journey]]\nvisitors = 7\ntimes = 9\n[[journey.step]]\npath = \"/\"\nthink = \"0\"\n",
    )
    .unwrap();
    let url = origin.url();
    let typed = [&url, "--profile", "crew.toml", "--plain", "--agents", &list, "--agents-key", "file:secret"];
    let output = command(folder.path(), &typed).output().unwrap();
    let said = said(&output);
    assert!(said.contains("Made by 2 agents with 2 threads, whose clocks are known to"), "{said}");
    let run = report(folder.path());
    assert_eq!((run.steps[0].requests, run.steps[0].failed, run.steps[0].bytes), (63, 0, 630), "{said}");
    assert_eq!(run.agents.len(), 2);
    // One more asked whether anybody is there.
    assert_eq!(origin.requests().len(), 64);
}

/// Ports as the system gives them out, of one address.
fn ports() -> u32 {
    let said = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let bounds: Vec<u32> = said.split_whitespace().map(|bound| bound.parse().unwrap()).collect();
    bounds[1] - bounds[0] + 1
}

#[tokio::test]
async fn each_agent_counts_its_ports_before_anything_is_sent() {
    let (folder, origin) = (folder(), Origin::start().await);
    origin.on("/").respond(Response::ok(""));
    let agents = [Agent::start(folder.path()), Agent::with(folder.path(), &["--threads", "3"])];
    let list = format!("{},{}", agents[0].address, agents[1].address);
    // A quarter of them is the first agent's, and has room; three quarters are the second's.
    let (all, url) = (2 * ports(), origin.url());
    let typed = |visitors: &str, more: &[&str]| {
        let others = [&url, "--plain", "--agents", &list, "--agents-key", "file:secret"];
        command(folder.path(), &[&others[..], &["--visitors", visitors], more].concat())
    };
    let refused = said(&typed(&all.to_string(), &["--time", "5s"]).output().unwrap());
    let wanted = format!(
        "agent {} refuses: from 1 address this machine can have {} connections to",
        agents[1].address,
        ports()
    );
    assert!(refused.contains(&wanted) && refused.contains("--from 127.0.0.2"), "{refused}");
    assert!(
        refused.contains(&format!("and {} visitors may need one each", (3 * all).div_ceil(4))),
        "{refused}"
    );
    assert_eq!(origin.requests().len(), 1, "only whether anybody is there");
    // A climb may break before: it is only said.
    let mut child = typed(&format!("1..{all}"), &[]).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let wanted = format!("agent {}: from 1 address", agents[1].address);
    let heard: Vec<String> = lines.take(1).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(heard.concat().contains(&wanted), "{heard:?}");
}

#[tokio::test]
async fn an_agent_that_is_killed_is_named_first_and_the_rest_is_kept() {
    let (folder, origin) = (folder(), Origin::start().await);
    origin.on("/").respond(Response::ok(""));
    let (mut dies, stays) = (Agent::start(folder.path()), Agent::start(folder.path()));
    let list = format!("{},{}", dies.address, stays.address);
    let url = origin.url();
    let typed = [
        &url,
        "--visitors",
        "4",
        "--time",
        "60s",
        "--ramp",
        "0s",
        "--think",
        "10ms",
        "--plain",
        "--agents",
        &list,
        "--agents-key",
        "file:secret",
    ];
    let child = command(folder.path(), &typed).spawn().unwrap();
    // So many that both have told of a second at least.
    while origin.requests().len() < 400 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    dies.child.kill().unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lost = format!("Lost agent {} after", dies.address);
    assert!(said.contains(&lost) && said.contains("where it breaks cannot be said"), "{said}");
    let run = report(folder.path());
    assert!(run.breaking_point.is_none() && !run.trusted && run.interrupted, "{said}");
    assert!(run.took_s < 40.0, "it ends then: {}", run.took_s);
    assert!(run.steps[0].requests > 100 && run.steps[0].response_time.is_some(), "{:?}", run.steps[0]);
    assert!(!run.steps[0].held && run.highest_held.is_none(), "half of the load is not the load: {said}");
    assert!(!said.contains('✓') && said.contains("not judged"), "{said}");
    let named: Vec<bool> = run.agents.iter().map(|agent| agent.lost_because.is_some()).collect();
    assert_eq!(named, [true, false], "{:?}", run.agents);
    // The one that stayed is free for the next run.
    let typed = [
        &url,
        "--visitors",
        "1",
        "--time",
        "300ms",
        "--ramp",
        "0s",
        "--plain",
        "--agents",
        &stays.address,
        "--agents-key",
        "file:secret",
    ];
    let output = command(folder.path(), &typed).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", self::said(&output));
}

#[tokio::test]
async fn who_has_another_key_gets_nothing_and_what_does_not_go_together_is_said() {
    let (folder, origin) = (folder(), Origin::start().await);
    origin.on("/").respond(Response::ok(""));
    let agent = Agent::start(folder.path());
    let (url, there) = (origin.url(), agent.address.clone());
    for (code, typed, says) in [
        (3, vec!["--agents-key", "file:other"], "Both sides need the same --key"),
        (2, vec!["--agents-key", "file:gone"], "--agents-key"),
        (2, vec![], "--agents-key"),
        (2, vec!["--agents-key", "file:secret", "--from", "127.0.0.1"], "tentpole load agent --from"),
        (2, vec!["--agents-key", "file:secret", "--threads", "2"], "tentpole load agent --threads"),
        (2, vec!["--agents-key", "file:secret", "--cpu", "0"], "tentpole load agent --cpu"),
        (3, vec!["--agents-key", "file:secret", "--key", "file:other"], "tentpole load agent --load-key"),
    ] {
        let typed: Vec<&str> = [&url, "--agents", &there].into_iter().chain(typed).collect();
        let output = command(folder.path(), &typed).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{typed:?}: {}", said(&output));
        assert!(said(&output).contains(says), "{typed:?}: {}", said(&output));
    }
    std::fs::write(folder.path().join("short"), "short").unwrap();
    for (typed, says) in [
        (["--cpu", "1023"], "--cpu: this machine has no such core"),
        (["--ca", "gone.pem"], "gone.pem"),
        (["--load-key", "file:gone"], "--load-key"),
        (["--from", "192.0.2.1"], "192.0.2.1 is no address of this machine"),
    ] {
        let typed = [&["agent", "--key", "file:secret"][..], &typed].concat();
        let wrong = command(folder.path(), &typed).output().unwrap();
        assert_eq!(wrong.status.code(), Some(2), "{typed:?}");
        assert!(said(&wrong).contains(says), "{typed:?}: {}", said(&wrong));
    }
    let short = command(folder.path(), &["agent", "--key", "file:short"]).output().unwrap();
    assert_eq!(short.status.code(), Some(2));
    assert!(said(&short).contains("openssl rand -hex 32"), "{}", said(&short));
}

const SEARCH: [&str; 14] = [
    "--find",
    "--find-time",
    "6s",
    "--visitors",
    "5..200",
    "--think",
    "20ms",
    "--ramp",
    "50ms",
    "--p50",
    "20s",
    "--p99",
    "25s",
    "--plain",
];

#[test]
fn a_search_is_made_by_agents_trial_by_trial() {
    let folder = folder();
    let url = room_for(24);
    let agents = [Agent::start(folder.path()), Agent::start(folder.path())];
    let list = format!("{},{}", agents[0].address, agents[1].address);
    let by = [&url, "--agents", &list, "--agents-key", "file:secret"];
    let output = command(folder.path(), &[&by[..], &SEARCH].concat()).output().unwrap();
    let (said, run) = (said(&output), report(folder.path()));
    let found = run.found.clone().unwrap();
    assert_eq!(found.trials as usize, run.steps.len(), "{said}");
    assert!(said.contains("Made by 2 agents with 2 threads"), "{said}");
    assert!(run.agents.len() == 2 && run.agents.iter().all(|agent| agent.lost_at_s.is_none()), "{said}");
    if found.ended == Ended::Distrusted {
        // A machine that is held up: the agents were late, and say so.
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(!run.trusted && found.breaks.is_none() && run.breaking_point.is_none(), "{said}");
        return;
    }
    assert_eq!(output.status.code(), Some(99), "{said}");
    // As with one generator (`find.rs`): trials are short, and a machine may be held up.
    assert!(found.holds.is_none_or(|holds| holds < 48.0), "{found:?}");
    assert!(found.breaks.is_none_or(|breaks| breaks > 12.0), "{found:?}");
    assert!(found.seems_to_break.is_some_and(|breaks| breaks <= 60.0), "{found:?}");
    assert_eq!(found.first, Some(Objective::Errors), "{found:?}");
}

#[test]
fn an_agent_that_is_lost_ends_a_search_without_an_answer() {
    let folder = folder();
    let url = room_for(24);
    let (mut dies, stays) = (Agent::start(folder.path()), Agent::start(folder.path()));
    let list = format!("{},{}", dies.address, stays.address);
    let by = [&url, "--agents", &list, "--agents-key", "file:secret"];
    let mut child = command(folder.path(), &[&by[..], &SEARCH].concat()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let third = lines.find(|line| line.contains("trial 3:"));
    assert!(third.is_some());
    dies.child.kill().unwrap();
    let rest: Vec<String> = lines.collect();
    let (said, code) = (rest.join("\n"), child.wait().unwrap().code());
    assert_eq!(code, Some(1), "{said}");
    // What comes of it follows an empty line, which may be the first one.
    let at = rest.iter().position(String::is_empty).unwrap();
    let result = text(rest[at..].join("\n").as_bytes());
    let first = format!("Do not trust these figures. Agent {} was lost after", dies.address);
    assert!(result.starts_with(&first), "{said}");
    assert!(result.contains("where it breaks cannot be said"), "{said}");
    let run = report(folder.path());
    let found = run.found.clone().unwrap();
    assert!(
        found.ended == Ended::Distrusted && found.breaks.is_none() && found.estimate.is_none(),
        "{found:?}"
    );
    assert!(run.breaking_point.is_none() && !run.trusted, "{said}");
    let lost: Vec<Option<f64>> = run.agents.iter().map(|agent| agent.lost_at_s).collect();
    assert!(lost[0].is_some_and(|at| at >= run.steps[1].began_s) && lost[1].is_none(), "{:?}", run.agents);
}

#[tokio::test]
async fn each_request_of_all_agents_is_written_down_once() {
    let (folder, origin) = (folder(), Origin::start().await);
    origin.on("/").respond(Response::ok("0123456789"));
    let agents = [Agent::start(folder.path()), Agent::start(folder.path())];
    let list = format!("{},{}", agents[0].address, agents[1].address);
    let journey = "[[journey]]\nvisitors = 8\ntimes = 250\n[[journey.step]]\npath = \"/\"\nthink = \"0\"\n";
    std::fs::write(folder.path().join("crew.toml"), journey).unwrap();
    let url = origin.url();
    let by = ["--agents", &list, "--agents-key", "file:secret", "--out-jtl", "all.jtl", "--plain"];
    let output =
        command(folder.path(), &[&[&url, "--profile", "crew.toml"][..], &by].concat()).output().unwrap();
    let said = said(&output);
    let run = report(folder.path());
    assert_eq!(run.steps[0].requests, 2_000, "{said}");
    let jtl = std::fs::read_to_string(folder.path().join("all.jtl")).unwrap();
    let (names, lines) = jtl.split_once('\n').unwrap();
    let column = |wanted: &str| names.split(',').position(|name| name == wanted).unwrap();
    let (at, took) = (column("timeStamp"), column("elapsed"));
    let of = |line: &str, place: usize| line.split(',').nth(place).unwrap().parse::<u64>().unwrap();
    assert_eq!(lines.lines().count(), 2_000, "{said}");
    // By the coordinator's clock, whose run it is.
    let (from, to) = (run.started_unix_ms, run.started_unix_ms + (run.took_s * 1e3) as u64 + 1);
    for line in lines.lines() {
        assert!(of(line, at) >= from && of(line, at) + of(line, took) <= to, "{line}: {from} to {to}");
    }
}

#[test]
fn what_belongs_to_an_agent_is_said_there_and_every_request_is_signed() {
    let folder = folder();
    std::fs::write(folder.path().join("agreed"), "agreed with the edge").unwrap();
    let site = Secure::start(folder.path());
    let url = format!("https://localhost:{}/", site.port);
    let whole = ["--load-key", "file:agreed", "--ca", "ca.pem", "--cpu", "0", "--from"];
    let [one, two] =
        ["127.0.0.3", "127.0.0.4"].map(|from| Agent::with(folder.path(), &[&whole[..], &[from]].concat()));
    let list = format!("{},{}", one.address, two.address);
    std::fs::write(
        folder.path().join("crew.toml"),
        "[[journey]]\nvisitors = 4\ntimes = 3\n[[journey.step]]\npath = \"/\"\nthink = \"0\"\n",
    )
    .unwrap();
    let run = |list: &str, key: &str| {
        let typed = [
            &url,
            "--profile",
            "crew.toml",
            "--plain",
            "--ca",
            "ca.pem",
            "--key",
            key,
            "--agents",
            list,
            "--agents-key",
            "file:secret",
        ];
        command(folder.path(), &typed).output().unwrap()
    };
    let output = run(&list, "file:agreed");
    let said = self::said(&output);
    let made = report(folder.path());
    assert_eq!((made.steps[0].requests, made.steps[0].failed), (12, 0), "{said}");
    let seen = site.seen();
    let of = |from: &str| seen.iter().filter(|asked| asked.from.to_string() == from).count();
    // The first question is the coordinator's own.
    assert_eq!((of("127.0.0.3"), of("127.0.0.4"), of("127.0.0.1")), (6, 6, 1), "{seen:?}");
    assert!(seen.iter().all(|asked| asked.head.contains("; sig=")), "{seen:?}");
    let own: Vec<_> =
        made.agents.iter().map(|agent| (agent.sources.join(" "), agent.pinned.clone())).collect();
    assert_eq!(own, [("127.0.0.3".to_owned(), vec![0]), ("127.0.0.4".to_owned(), vec![0])]);

    // One that has not what it needs, or something else, makes nothing.
    let count = site.seen().len();
    for (typed, key, says) in [
        (vec!["--ca", "ca.pem"], "file:agreed", "tentpole load agent --load-key"),
        (vec!["--load-key", "file:agreed"], "file:agreed", "tentpole load agent --ca FILE"),
        (whole[..6].to_vec(), "file:other", "its --load-key is another than the coordinator's --key"),
    ] {
        let agent = Agent::with(folder.path(), &typed);
        let output = run(&agent.address, key);
        assert_eq!(output.status.code(), Some(3), "{typed:?}: {}", self::said(&output));
        assert!(self::said(&output).contains(says), "{typed:?}: {}", self::said(&output));
        assert!(
            site.seen()
                .iter()
                .all(|asked| asked.from.to_string() != "127.0.0.3" || asked.head.contains("sig="))
        );
    }
    assert_eq!(site.seen().len(), count + 3, "the first question of each, and nothing else");
}

#[tokio::test]
async fn a_population_of_resolvers_is_divided_and_each_resolver_asks_once() {
    let (folder, server, origin) = (folder(), NameServer::start(), Origin::start().await);
    origin.on("/").respond(Response::ok(""));
    server.leads("shop.test", 60, &["127.0.0.1"]);
    let agents = [Agent::start(folder.path()), Agent::start(folder.path())];
    let list = format!("{},{}", agents[0].address, agents[1].address);
    let port = origin.url().rsplit(':').next().unwrap().to_owned();
    let (url, at) = (format!("http://shop.test:{port}/"), server.address().to_string());
    let load = [
        &url,
        "--rate",
        "200",
        "--time",
        "2s",
        "--ramp",
        "0s",
        "--plain",
        "--name-server",
        &at,
        "--resolvers",
        "8",
    ];
    let by = ["--resolver-sizes", "even", "--agents", &list, "--agents-key", "file:secret"];
    let output = command(folder.path(), &[&load[..], &by].concat()).output().unwrap();
    let said = said(&output);
    let run = report(folder.path());
    let spread = run.spread.clone().unwrap_or_else(|| panic!("{said}"));
    // Four are one agent's and four the other's, so that none is known twice.
    assert_eq!((spread.resolvers, spread.questions, spread.look_ups_failed), (8, 8, 0), "{said}");
    assert!(
        said.contains("shop.test by 8 resolvers: all new sessions went to one address, 127.0.0.1."),
        "{said}"
    );
    // Whatever arrived while the last answers were waited for is there too, and nothing twice.
    let (sessions, requests) = (spread.edges[0].sessions, spread.edges[0].requests);
    assert!(requests >= run.steps[0].requests && sessions >= requests, "{spread:?}");
    assert!(requests <= origin.requests().len() as u64, "{spread:?}");
    let by_second: u64 = spread.seconds.iter().map(|second| second.sessions[0]).sum();
    assert_eq!(by_second, sessions, "each second adds up");

    // Whom an agent's name server may be is its own to say.
    let elsewhere =
        [&url, "--name-server", &at, "--name-server", "192.0.2.1", "--rate", "1", "--time", "100ms"];
    let by = ["--agents", &list, "--agents-key", "file:secret"];
    let output = command(folder.path(), &[&elsewhere[..], &by].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", self::said(&output));
    assert!(self::said(&output).contains("may not ask the name server 192.0.2.1"), "{}", self::said(&output));
}

#[tokio::test]
async fn a_log_is_played_by_agents_each_request_once_and_at_its_time() {
    const ROWS: usize = 2_400;
    let (folder, origin) = (folder(), Origin::start().await);
    origin.on("/*").respond(Response::ok("here"));
    let agents = [Agent::start(folder.path()), Agent::start(folder.path())];
    let list = format!("{},{}", agents[0].address, agents[1].address);
    // In four seconds.
    let line = |n: usize| {
        let (address, second) = (n % 97, n / (ROWS / 4));
        format!(
            "192.0.2.{address} - - [10/Oct/2025:11:55:{second:02} +0000] \"GET /{n} HTTP/1.1\" 200 5 \"-\" \"Ann\"\n"
        )
    };
    std::fs::write(folder.path().join("access.log"), (0..ROWS).map(line).collect::<String>()).unwrap();
    let url = origin.url();
    let typed = [&url, "--replay", "access.log", "--plain", "--p50", "off", "--p99", "off"];
    let by = ["--in-flight", "100000", "--agents", &list, "--agents-key", "file:secret"];
    let output = command(folder.path(), &[&typed[..], &by].concat()).output().unwrap();
    let said = said(&output);
    let run = report(folder.path());
    let asked = origin.requests().into_iter().skip(1).map(|seen| seen.target);
    let asked: std::collections::BTreeSet<String> = asked.collect();
    assert_eq!(
        (run.steps[0].requests, asked.len()),
        (ROWS as u64, ROWS),
        "{said} {:?}",
        run.steps[0].failures
    );
    assert!(run.steps[0].took_s >= 3.9, "nothing sooner: {}", run.steps[0].took_s);
    assert!(run.agents.iter().all(|agent| agent.lost_because.is_none()), "{said}");
}
