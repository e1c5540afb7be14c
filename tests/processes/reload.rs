//! Another configuration while visitors are served: a hundred times under load, by each of its four ways, with files that
//! are not right, and with a part killed in between.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tentpole_testkit::process::{children, signal};
use tentpole_testkit::{Answer, Ask, Gate, Origin, Response, Step, Tentpole, Up};
use tentpole_tests::crowd::{Crowd, Manner};
use tentpole_tests::{endpoint, until, until_health, until_within};

/// Reloads under load.
const RELOADS: usize = 100;
/// Visitors at once.
const VISITORS: usize = 12;

/// Writes the file as editors do: another one takes its place.
fn write(tentpole: &Tentpole, text: &str) {
    let new = tentpole.dir().join("tentpole.toml.new");
    fs::write(&new, text).expect("the directory is writable");
    fs::rename(new, tentpole.dir().join("tentpole.toml")).expect("it is one file system");
}

async fn reload(tentpole: &Tentpole) -> Answer {
    tentpole.admin_visitor().await.ask(&Ask::post("/api/reload", "")).await
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no JSON: {}", answer.text()))
}

async fn status(tentpole: &Tentpole) -> Value {
    json(&tentpole.admin_visitor().await.get("/api/status").await.expect(200))
}

async fn version(tentpole: &Tentpole) -> u64 {
    status(tentpole).await["configuration"]["version"].as_u64().expect("a version")
}

/// Memory of a process that is not shared, in bytes.
fn bytes_held(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).expect("it runs");
    let pages: Vec<u64> = statm.split(' ').map(|pages| pages.trim().parse().expect("a number")).collect();
    (pages[1] - pages[2]) * 4_096
}

async fn origin(name: &'static str) -> Origin {
    let origin = Origin::start().await;
    origin.forgets_requests();
    origin.otherwise(move |_| Response::ok(name).header("Cache-Control", "no-store"));
    origin.on("/cached/*").respond(Response::ok(name).header("Cache-Control", "max-age=1"));
    origin.on("/ws").upgrades();
    origin
}

fn websocket() -> Ask {
    let upgrade = Ask::get("/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
    upgrade.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// One of several configurations, each with other pools, routes, endpoints and rules of caching.
fn variant(number: usize, one: &Origin, two: &Origin) -> String {
    let (one, two) = (one.url(), two.url());
    let route = |path: &str, pool: &str, more: &str| {
        format!("[[site.all.route]]\npath = \"{path}\"\npool = \"{pool}\"\n{more}\n")
    };
    let pools = match number % 4 {
        0 => format!("[pool.app]\nendpoints = [\"{one}\"]\n"),
        1 => {
            format!("[pool.app]\nendpoints = [\"{two}\", \"{one}\"]\n[pool.extra]\nendpoints = [\"{two}\"]\n")
        }
        2 => format!("[pool.aaa]\nendpoints = [\"{two}\"]\n[pool.app]\nendpoints = [\"{one}\", \"{two}\"]\n"),
        _ => format!("[pool.app]\nendpoints = [{{ url = \"{one}\", weight = {} }}]\n", 1 + number % 7),
    };
    let routes = match number % 4 {
        0 => route("/*", "app", ""),
        1 => route("/cached/*", "extra", "cache = { cookies_keyed = [\"group\"] }") + &route("/*", "app", ""),
        2 => {
            route("/new/*", "aaa", "cache = \"off\"")
                + &route("/*", "app", "cache = { query = { drop = [\"utm\"] } }")
        }
        _ => route("/cached/*", "app", "cache = { languages = [\"en\", \"de\"] }") + &route("/*", "app", ""),
    };
    format!("threads = 2\nlimits.connections = {}\n{pools}[site.all]\n{routes}", 1_000 + number)
}

#[tokio::test]
async fn a_hundred_reloads_under_load_fail_no_request_and_close_no_websocket() {
    let (one, two) = (origin("one").await, origin("two").await);
    let gate = Gate::new();
    let piece = [b'x'; 1_000];
    let steps = (0..RELOADS).flat_map(|_| [Step::wait(&gate), Step::send(piece)]);
    let steps = steps.chain([Step::wait(&gate)]);
    one.on("/stream").respond(Response::ok("").header("Cache-Control", "no-store").chunked(steps));
    let tentpole = Up::config(&variant(0, &one, &two)).start().await;
    let mut socket = tentpole.visitor().await;
    socket.ask(&websocket()).await.expect(101);
    let mut reader = tentpole.visitor().await;
    let mut stream = reader.begin(&Ask::get("/stream")).await;
    let crowd = {
        let mut crowd = Crowd::start(tentpole.address(), VISITORS, &Manner::asking("/"));
        crowd.join(tentpole.address(), 4, &Manner::asking("/cached/a?utm=1"));
        crowd
    };
    let held = |part: &str| bytes_held(tentpole.part(part).expect("it runs"));
    let mut memory = Vec::new();
    for number in 1..=RELOADS {
        write(&tentpole, &variant(number, &one, &two));
        let answer = reload(&tentpole).await;
        assert_eq!(answer.status, 200, "{number}: {}", answer.text());
        assert_eq!(json(&answer)["version"], number as u64 + 1, "{}", answer.text());
        let before = crowd.good();
        until("visitors to be served by it", async || crowd.good() > before + 50).await;
        socket.send(format!("{number:04}")).await;
        assert_eq!(socket.bytes(4).await, format!("{number:04}").as_bytes());
        gate.release_one();
        stream.until(number * piece.len()).await;
        if number == RELOADS / 4 || number == RELOADS {
            memory.push((held("edge"), held("control")));
        }
    }
    gate.release();
    assert_eq!(stream.rest().await.body.len(), RELOADS * piece.len());
    let met = crowd.ends().await;
    eprintln!("{RELOADS} reloads: {met:?}; memory of edge and control after a quarter and all: {memory:?}");
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    assert!(met.good > 5_000, "{met:?}");
    drop((socket, reader));
    // What an old Snapshot holds goes with its last request: a leak of one a reload would be more than this.
    let [(edge, control), (edge_later, control_later)] = memory[..] else { panic!("{memory:?}") };
    assert!(edge_later < edge + (8 << 20), "{memory:?}");
    assert!(control_later < control + (4 << 20), "{memory:?}");
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.text();
    for line in ["tentpole_reloads_total{result=\"in_force\"} 100", "tentpole_snapshot_version 101"] {
        assert!(metrics.lines().any(|known| known == line), "{line}\n{metrics}");
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn a_file_that_is_not_right_changes_nothing_and_says_why_by_each_way() {
    let origin = origin("one").await;
    let good = format!("threads = 1\n[pool.app]\nendpoints = [\"{}\"]\n", origin.url());
    let mut tentpole = Up::config(&good).argument("--watch").start().await;
    let crowd = Crowd::start(tentpole.address(), 4, &Manner::asking("/"));
    let bad = |setting: &str| good.replace("[pool.app]", &format!("[pool.app]\n{setting} = 1\n"));
    let keeps = async |tentpole: &Tentpole| {
        assert_eq!(version(tentpole).await, 1);
        assert_eq!(tentpole.visitor().await.get("/").await.expect(200).text(), "one");
    };

    // By file watch: by rename, as editors write.
    write(&tentpole, &bad("by_watch"));
    tentpole.says("no setting `by_watch`").await;
    keeps(&tentpole).await;
    // By signal.
    write(&tentpole, &bad("by_signal"));
    tentpole.signal(Signal::HUP);
    tentpole.says("no setting `by_signal`").await;
    keeps(&tentpole).await;
    // By the API.
    write(&tentpole, &bad("by_api"));
    let answer = reload(&tentpole).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let said = json(&answer);
    assert!(said["report"].as_str().is_some_and(|report| report.contains("no setting `by_api`")), "{said}");
    assert!(said["error"].as_str().is_some_and(|error| error.contains("nothing has changed")), "{said}");
    keeps(&tentpole).await;
    // By command: what `tentpole check` says.
    write(&tentpole, &bad("by_command"));
    let run = |arguments: &[&str]| {
        let program = tentpole_testkit::binary("tentpole");
        std::process::Command::new(program)
            .args(arguments)
            .current_dir(tentpole.dir())
            .output()
            .expect("it runs")
    };
    let (admin, file) = (tentpole.admin().to_string(), tentpole.dir().join("tentpole.toml"));
    let reloaded = run(&["reload", "--admin", &admin]);
    let checked = run(&["check", &file.display().to_string()]);
    let (reload_said, check_said) =
        (String::from_utf8_lossy(&reloaded.stderr), String::from_utf8_lossy(&checked.stderr));
    assert_eq!((reloaded.status.code(), checked.status.code()), (Some(2), Some(2)), "{reload_said}");
    assert!(reload_said.starts_with(&*check_said) && check_said.contains("`by_command`"), "{reload_said}");
    keeps(&tentpole).await;
    // What needs a new start says so, and by which setting.
    write(&tentpole, &good.replace("threads = 1", "threads = 2\ncache.memory = \"1GiB\""));
    let answer = json(&reload(&tentpole).await);
    let error = answer["error"].as_str().unwrap_or_default().to_owned();
    // What, where, and how to go on.
    assert!(error.contains("threads (") && error.contains("tentpole.toml:1) and cache.memory ("), "{error}");
    assert!(error.contains("tentpole.toml:2) cannot change while Tentpole runs"), "{error}");
    assert!(error.contains("Put back what stood there, or end Tentpole and start it again"), "{error}");
    keeps(&tentpole).await;
    // All of the others too, one by one, and with each the rest of the file is left aside.
    for (setting, name) in [
        ("[log]\naccess = \"combined\"", "[log]"),
        ("[tls]\nlisten = \"127.0.0.1:0\"", "[tls] listen"),
        ("[cache]\nobject = \"1MiB\"", "cache.object"),
        ("[cache]\nwaiters = 7", "cache.waiters"),
        ("[cache.disk]\ndirectory = \"cache\"\nsize = \"1GiB\"", "[cache.disk]"),
    ] {
        let elsewhere = good
            .replace(&origin.url(), "http://127.0.0.1:1")
            .replace("[pool.app]", "[pool.app]\nfailures_max = 9");
        write(&tentpole, &format!("{elsewhere}{setting}\n"));
        let answer = reload(&tentpole).await;
        let error = json(&answer)["error"].as_str().unwrap_or_default().to_owned();
        let named = error.contains(&format!("{name} (")) && error.contains("cannot change while");
        assert!(answer.status == 422 && named, "{setting}: {}", answer.text());
        keeps(&tentpole).await;
    }
    // And once it is right again, the watch takes it by itself.
    write(&tentpole, &format!("{good}failures_max = 7\n"));
    tentpole.says("in force on all threads (version 2)").await;
    assert_eq!(version(&tentpole).await, 2);
    let events = tentpole.admin_visitor().await.get("/api/events").await.text();
    assert!(events.contains("\"kind\":\"reload\"") && events.contains("change of the file"), "{events}");

    let met = crowd.ends().await;
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    tentpole.ends().await;
}

#[tokio::test]
async fn an_endpoint_that_is_removed_under_load_gets_nothing_more_and_a_drained_one_stays_drained() {
    let (one, two, three) = (origin("one").await, origin("two").await, origin("three").await);
    let config = |endpoints: &[&Origin]| tentpole_tests::pool(endpoints, "");
    let tentpole = Up::config(&config(&[&one, &two, &three])).start().await;
    tentpole_tests::turn(&tentpole, &three, "drain").await.expect(200);
    let crowd = Crowd::start(tentpole.address(), VISITORS, &Manner::asking("/"));
    until("both to serve", async || one.request_count() > 100 && two.request_count() > 100).await;

    // In another order, so that places mean something else.
    write(&tentpole, &config(&[&three, &two]));
    reload(&tentpole).await.expect(200);
    one.until_connections_open(0).await;
    let (of_one, of_two) = (one.request_count(), two.request_count());
    until("the other one to serve", async || two.request_count() > of_two + 500).await;
    assert_eq!(one.request_count(), of_one, "it gets nothing any more");
    assert_eq!(three.request_count(), 0, "who was drained stays drained");

    write(&tentpole, &config(&[&one, &two, &three]));
    reload(&tentpole).await.expect(200);
    until("it to be back", async || one.request_count() > of_one + 100).await;
    assert_eq!(three.request_count(), 0);
    let met = crowd.ends().await;
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    tentpole.ends().await;
}

#[tokio::test]
async fn what_health_knew_of_an_endpoint_is_known_after_a_reload() {
    let (one, two) = (origin("one").await, origin("two").await);
    let config = |more: &str| tentpole_tests::pool(&[&one, &two], &format!("failures_max = 1\n{more}"));
    let tentpole = Up::config(&config("")).start().await;
    let mut visitor = tentpole.visitor().await;
    two.stops().await;
    for _ in 0..20 {
        visitor.get("/").await.expect(200);
    }
    until_health(&tentpole, &two, "down").await;
    let failures = endpoint(&tentpole, &two).await.failures;
    for number in 0..3 {
        write(&tentpole, &config(&format!("queue = {{ length = {} }}", 10 + number)));
        reload(&tentpole).await.expect(200);
        for _ in 0..20 {
            visitor.get("/").await.expect(200);
        }
        let now = endpoint(&tentpole, &two).await;
        assert_eq!((now.health.as_str(), now.failures), ("down", failures));
    }
    two.starts_again().await;
    until_health(&tentpole, &two, "up").await;
    tentpole.ends().await;
}

#[tokio::test]
async fn a_fleet_grows_shrinks_and_goes_by_reloads_and_fails_nobody() {
    let program = tentpole_testkit::binary("tentpole-testkit");
    let fleet = |min: u32, max: u32| {
        format!(
            "[pool.app]\n[pool.app.fleet]\nrun = \"{} origin --listen 127.0.0.1:{{port}}\"\nmin = {min}\n\
             max = {max}\nslow_start = \"0s\"\nready = \"/count\"\n",
            program.display()
        )
    };
    let tentpole = Up::config(&fleet(2, 2)).start().await;
    let instances = async || {
        let all = json(&tentpole.admin_visitor().await.get("/api/fleets").await.expect(200));
        let all = all["fleets"][0]["instances"].as_array().cloned().unwrap_or_default();
        let mut pids: Vec<_> = all
            .iter()
            .filter(|one| one["phase"] == "serving")
            .filter_map(|one| one["pid"].as_u64())
            .collect();
        pids.sort_unstable();
        pids
    };
    until("two to serve", async || instances().await.len() == 2).await;
    let first_two = instances().await;
    let crowd = Crowd::start(tentpole.address(), VISITORS, &Manner::asking("/nocache/1000"));
    write(&tentpole, &fleet(3, 3));
    reload(&tentpole).await.expect(200);
    until_within(Duration::from_secs(30), "a third one", async || instances().await.len() == 3).await;
    let three = instances().await;
    assert!(first_two.iter().all(|pid| three.contains(pid)), "{first_two:?} {three:?}");

    // Slots 2 and 3 are no more: what is in flight there finishes first.
    write(&tentpole, &fleet(1, 1));
    reload(&tentpole).await.expect(200);
    let runs = |pids: &[u64]| pids.iter().filter(|&&pid| tentpole_testkit::process::runs(pid as u32)).count();
    until_within(Duration::from_secs(30), "two to end", async || runs(&three) == 1).await;
    assert_eq!(instances().await.len(), 1);

    // Another pool takes the fleet's place: its last instance ends too.
    let origin = origin("one").await;
    origin.on("/nocache/1000").respond(Response::ok("of no fleet").header("Cache-Control", "no-store"));
    write(&tentpole, &format!("[pool.fixed]\nendpoints = [\"{}\"]\n", origin.url()));
    reload(&tentpole).await.expect(200);
    until_within(Duration::from_secs(30), "the last one to end", async || runs(&three) == 0).await;
    until("nobody to be left of it", async || children(tentpole.pid()).len() == 2).await;
    let before = crowd.good();
    until("the fixed one to serve", async || crowd.good() > before + 200).await;
    let met = crowd.ends().await;
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_part_that_is_killed_in_between_leaves_the_old_or_the_new_everywhere() {
    let (one, two) = (origin("one").await, origin("two").await);
    let config = |number: usize| {
        let origin = if number.is_multiple_of(2) { &one } else { &two };
        tentpole_tests::pool(&[origin], &format!("queue = {{ length = {} }}", 10 + number))
    };
    let tentpole = Up::config(&config(0)).start().await;
    let until_api = async || {
        until("the admin API to answer", async || {
            tentpole.admin_visitor().await.get("/healthz").await.status == 200
        })
        .await;
    };
    for number in 1..=12_usize {
        write(&tentpole, &config(number));
        // Control three times, the edge every fourth time, at another moment each time.
        let part = if number % 4 == 0 { "edge" } else { "control" };
        let pid = tentpole.part(part).expect("it runs");
        let mut asking = tentpole.admin_visitor().await;
        let asked = tokio::spawn(async move { asking.try_ask(&Ask::post("/api/reload", "")).await });
        tokio::time::sleep(Duration::from_millis(number as u64 * 3)).await;
        signal(pid, Signal::KILL);
        until("another one", async || tentpole.part(part).is_some_and(|new| new != pid)).await;
        let _ = asked.await;
        until_api().await;
        // Whatever came of it: asked again, it is the new one, in control and in the edge.
        until("the new one to be in force", async || reload(&tentpole).await.status == 200).await;
        let expected = if number.is_multiple_of(2) { "one" } else { "two" };
        let shown = status(&tentpole).await;
        let authority = if number.is_multiple_of(2) { one.address() } else { two.address() }.to_string();
        assert_eq!(shown["pools"][0]["endpoints"][0]["authority"], authority.as_str(), "{shown}");
        for _ in 0..5 {
            let answer = tentpole.visitor().await.get("/").await.expect(200);
            assert_eq!(answer.text(), expected, "{number}");
        }
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn addresses_come_and_go_without_a_restart() {
    let origin = origin("one").await;
    // An address that no other test binds.
    let [.., high, low] = std::process::id().to_be_bytes();
    let other = std::net::SocketAddr::from(([127, 99, high, low.max(1)], 18_080));
    let config = |more: &str| {
        format!(
            "listen = [\"127.0.0.1:0\"{more}]\nthreads = 2\n[pool.app]\nendpoints = [\"{}\"]\n",
            origin.url()
        )
    };
    let tentpole = Up::config(&config("")).as_the_file_says().start().await;
    let crowd = Crowd::start(tentpole.address(), 4, &Manner::asking("/"));
    write(&tentpole, &config(&format!(", \"{other}\"")));
    reload(&tentpole).await.expect(200);
    let mut kept = tentpole_testkit::Visitor::connect(other).await;
    kept.get("/").await.expect(200);

    // One that cannot be bound changes nothing.
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("it is bound");
    write(&tentpole, &config(&format!(", \"{taken}\"")));
    let answer = reload(&tentpole).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains(&taken.to_string()), "{}", answer.text());
    kept.get("/").await.expect(200);

    write(&tentpole, &config(""));
    reload(&tentpole).await.expect(200);
    until("nobody to listen there", async || tentpole_testkit::Visitor::try_connect(other).await.is_err())
        .await;
    kept.get("/").await.expect(200);
    // A new edge listens where the configuration says.
    let edge = tentpole.edge_pid();
    write(&tentpole, &config(&format!(", \"{other}\"")));
    reload(&tentpole).await.expect(200);
    let met = crowd.ends().await;
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    signal(edge, Signal::KILL);
    until("another edge", async || tentpole.part("edge").is_some_and(|pid| pid != edge)).await;
    tentpole_testkit::Visitor::connect(other).await.get("/").await.expect(200);
    tentpole.ends().await;
}
