//! `tentpole explain` beside a running Tentpole with the same file: what it says is what the edge does.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use tentpole_testkit::{Origin, Response, Seen, Tentpole, Up};

const FILE: &str = r#"
[visitors]
trusted = ["127.0.0.1"]

[cache]
query = { drop = ["utm_*"], sort = true }

[pool.app]
endpoints = ["ORIGIN"]

[site.shop]
hosts = ["shop.example"]
pool = "app"
canonical = "redirect"

[[site.shop.route]]
path = "/cart/*"
cache = "off"
body = "1KiB"
url = "30B"
header = "1KiB"

[[site.shop.route]]
path = "/p/*"
cache = { cookies_keyed = ["group"], languages = ["en", "de"] }

[site.safe]
hosts = "safe.example"
pool = "app"
https_only = true

[filter.scrapers]
action = "deny"
user_agents = ["scraper"]

[filter.trial]
action = "deny"
report = true
paths = ["/s2"]

[filter.ours]
action = "allow"
from = ["203.0.113.0/24"]

[filter.tools]
action = "deny"
paths = ["/a19"]

[filter.rush]
action = "challenge"
paths = ["/a20"]

[filter.few]
action = "limit"
paths = ["/a21"]
requests = 1
per = "1h"

[site.narrow]
hosts = "narrow.example"

[[site.narrow.route]]
path = "/only"
pool = "app"

[room.sale]
site = "shop"
paths = ["/sale/*"]
active = 1
"#;

/// A request, and what the application answers to it.
struct Case {
    request: &'static str,
    fields: &'static [&'static str],
    answer: &'static [&'static str],
}

const fn case(
    request: &'static str,
    fields: &'static [&'static str],
    answer: &'static [&'static str],
) -> Case {
    Case { request, fields, answer }
}

const MINUTE: &[&str] = &["Cache-Control: max-age=60"];
/// Larger than the route of `/cart/*` takes.
const LARGE: &str = "X-Large: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890123456789";
const SAFE: &str = "X-Forwarded-Proto: https";

const CASES: &[Case] = &[
    case("GET http://shop.example/a1?utm_source=x&b=2&a=1", &[], MINUTE),
    case("GET http://shop.example/a2", &["Cookie: session=7; _ga=1"], MINUTE),
    case(
        "GET http://shop.example/a3",
        &["Cookie: session=7"],
        &["Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT"],
    ),
    case("GET http://shop.example/a4", &[], &["Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT"]),
    case("GET http://shop.example/a5", &[], &["Cache-Control: max-age=60", "Set-Cookie: session=8"]),
    case("GET http://shop.example/a6", &[], &["Cache-Control: private, max-age=60"]),
    case("GET http://shop.example/a7", &[], &[]),
    case("GET http://shop.example/a8", &["Authorization: Basic eDp5"], MINUTE),
    case(
        "GET http://shop.example/a9",
        &["Authorization: Basic eDp5"],
        &["Cache-Control: public, max-age=60"],
    ),
    case("GET http://shop.example/a10", &["Cache-Control: no-store"], MINUTE),
    case("GET http://shop.example/a11", &["X-Forwarded-For: 203.0.113.7", "X-Real-IP: 1.2.3.4"], MINUTE),
    case("GET http://shop.example/a12", &["X-HTTP-Method-Override: DELETE"], MINUTE),
    case("GET http://shop.example/a13", &["Cache-Control: only-if-cached"], MINUTE),
    case("HEAD http://shop.example/a14", &[], MINUTE),
    case("POST http://shop.example/a15", &["Content-Length: 0"], MINUTE),
    case("GET http://shop.example/a/../a16", &[], MINUTE),
    case("GET http://shop.example/%zz", &[], MINUTE),
    case(
        "GET http://shop.example/p/1",
        &["Cookie: group=vip; x=1", "Accept-Language: fr, DE-at"],
        &["Cache-Control: max-age=60", "Vary: Accept-Language"],
    ),
    case(
        "GET http://shop.example/p/2",
        &["Cookie: group=vip"],
        &["Cache-Control: max-age=60", "Set-Cookie: group=plain"],
    ),
    case("GET http://shop.example/p/3", &["Cookie: group=vip; GROUP=x\"y"], MINUTE),
    case("GET http://shop.example/cart/1", &["X-Forwarded-Proto: https"], MINUTE),
    case("POST http://shop.example/cart/2", &["Content-Length: 2000"], MINUTE),
    case("TRACE http://shop.example/a17", &[], MINUTE),
    case("GET http://shop.example/a18", &["User-Agent: scraper/1"], MINUTE),
    case("GET http://shop.example/a19", &[], MINUTE),
    case("GET http://shop.example/a19", &["X-Forwarded-For: 203.0.113.7"], MINUTE),
    case("GET http://shop.example/a20", &["Accept: text/html"], MINUTE),
    // It speaks as though nobody had come before, and nobody has.
    case("GET http://shop.example/a21", &[], MINUTE),
    case("GET http://shop.example/cart/3?0123456789012345678901", &[], MINUTE),
    case("GET http://shop.example/cart/3?012345678901234567890", &[], MINUTE),
    case("GET http://shop.example/cart/4", &[LARGE], MINUTE),
    case("GET http://safe.example/s1", &[], MINUTE),
    case("GET http://safe.example/s2", &[SAFE], MINUTE),
    case("GET http://narrow.example/only", &[], &["Cache-Control: max-age=0"]),
    case("GET http://narrow.example/other", &[], MINUTE),
    case("GET http://nobody.example/", &[], MINUTE),
];

fn explain(dir: &Path, case: &Case) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.current_dir(dir).args(["explain", case.request, "--json", "--status", "200"]);
    for field in case.fields.iter().chain(&["Connection: close"]) {
        command.args(["--header", field]);
    }
    case.answer.iter().for_each(|field| _ = command.args(["--answer", field]));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same request over a connection of its own; the head of what comes back.
fn send(to: SocketAddr, case: &Case) -> String {
    let (method, address) = case.request.split_once(' ').unwrap();
    let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let fields: String = case.fields.iter().map(|field| format!("{field}\r\n")).collect();
    let head = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).split("\r\n\r\n").next().unwrap().to_owned()
}

fn step<'a>(told: &'a Value, step: &str) -> Option<&'a Value> {
    told["steps"].as_array().unwrap().iter().find(|known| known["step"] == step)
}

/// The word in brackets at the end of a reason: that of the access log.
fn word(step: &Value) -> &str {
    let because = step["because"].as_str().unwrap();
    because.rsplit_once('(').map_or("", |(_, word)| word.trim_end_matches(')'))
}

/// Compares; says what differs.
fn compare(case: &Case, told: &Value, head: &str, asked: &[Seen]) -> Result<(), String> {
    let status = head.split(' ').nth(1).unwrap_or_default();
    let field = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
            .unwrap_or_default()
    };
    let cache_status = field("Cache-Status");
    if let Some(end) = step(told, "end") {
        let decision = end["decision"].as_str().unwrap();
        let same_end = decision.starts_with(status)
            && match decision.split_once("by the edge: ") {
                Some((_, word)) => cache_status == format!("tentpole; detail={word}"),
                None if decision.contains("https") => field("Location").starts_with("https://"),
                None => decision == format!("308 to {}", field("Location")),
            };
        return (same_end && asked.is_empty()).then_some(()).ok_or_else(|| format!("it was: {head}"));
    }
    let cache = step(told, "cache").unwrap();
    if step(told, "endpoint").is_none() {
        let said = cache["more"].to_string().contains("504 (only_if_cached)");
        let same =
            said && status == "504" && cache_status == "tentpole; detail=only_if_cached" && asked.is_empty();
        return same.then_some(()).ok_or_else(|| format!("it was: {head}"));
    }
    let answer = step(told, "answer").unwrap();
    let is_stored = answer["decision"].as_str().unwrap().starts_with("may be stored");
    let as_said = match is_stored {
        true => cache_status.ends_with("; stored"),
        false => cache_status.ends_with(&format!("; detail={}", word(answer))),
    };
    if status != "200" || !as_said {
        return Err(format!("it was: {status}, {cache_status}"));
    }
    let [seen] = asked else { return Err(format!("the endpoint saw {} requests", asked.len())) };
    let forwarded = step(told, "told").unwrap();
    let line = format!("{} {} HTTP/1.1", seen.method, seen.target);
    if forwarded["decision"] != line {
        return Err(format!("the endpoint was asked {line}"));
    }
    let has = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        let mut same = seen.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        same.any(|(_, known)| known == value.trim())
    };
    let (mut added, mut kept) = (0, 0);
    for line in forwarded["more"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()) {
        let (sign, field) = line.split_at(2);
        added += usize::from(sign == "+ ");
        kept += usize::from(sign == "- ");
        if has(field) != (sign == "+ ") {
            return Err(format!("{line}: the endpoint saw {:?}", seen.headers));
        }
    }
    // Host, and what the visitor sent; nothing else came or went.
    let all = case.fields.len() + 2 + added - kept;
    (seen.headers.len() == all)
        .then_some(())
        .ok_or_else(|| format!("{all} fields, but it saw {:?}", seen.headers))
}

async fn started(origin: &Origin) -> Tentpole {
    let up = Up::config(&FILE.replace("ORIGIN", &origin.url()));
    up.binary(Path::new(env!("CARGO_BIN_EXE_tentpole"))).start().await
}

#[tokio::test]
async fn what_it_says_is_what_the_edge_does() {
    let origin = Origin::start().await;
    let tentpole = started(&origin).await;
    let (to, dir) = (tentpole.address(), tentpole.dir().to_owned());
    let mut wrong = Vec::new();
    for case in CASES {
        let answer = case.answer.iter().fold(Response::ok("page"), |answer, field| {
            let (name, value) = field.split_once(": ").unwrap();
            answer.header(name, value)
        });
        origin.otherwise(move |_| answer.clone());
        let before = origin.requests().len();
        let dir = dir.clone();
        let both = move || (explain(&dir, case), send(to, case));
        let (told, head) = tokio::task::spawn_blocking(both).await.unwrap();
        if let Err(why) = compare(case, &told, &head, &origin.requests()[before..]) {
            wrong.push(format!("{} {:?}\n  {why}\n  told {told:#}", case.request, case.fields));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    tentpole.ends().await;
}

fn run(dir: &Path, typed: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tentpole")).arg("explain").args(typed).current_dir(dir).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn it_says_each_decision_with_the_setting_and_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tentpole.toml"), FILE.replace("ORIGIN", "http://10.0.0.5:3000"))
        .unwrap();
    let mut all = String::new();
    for typed in [
        &["GET /p/1?utm_source=x&a=1", "--header", "Cookie: group=vip; id=7; _ga=1", "--from", "203.0.113.7"]
            [..],
        &[
            "POST /cart/1",
            "--header",
            "Content-Length: 12",
            "--https",
            "--answer",
            "Cache-Control: max-age=60",
        ],
        &["GET http://safe.example/", "--from", "203.0.113.7"],
        &["/x", "--site", "narrow"],
        &["GET /a19", "--header", "User-Agent: curl/8"],
        &["GET /a20", "--from", "198.51.100.7"],
        &["POST /SALE/a21", "--from", "198.51.100.7"],
    ] {
        let output = run(folder.path(), typed);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        all += &format!("$ tentpole explain {}\n{}\n", typed.join(" "), text(&output));
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("explain", all);
    });
}

#[test]
fn a_program_that_says_what_it_is_meets_the_setting_for_bots() {
    let folder = tempfile::tempdir().unwrap();
    let file = "[visitors]\nbots = \"deny\"\n[pool.app]\nendpoints = [\"http://10.0.0.5:3000\"]\n[site.shop]\npool = \"app\"\n";
    std::fs::write(folder.path().join("tentpole.toml"), file).unwrap();
    for (agent, is_refused) in
        [("User-Agent: curl/8", true), ("User-Agent: Mozilla/5.0 Firefox/130.0", false)]
    {
        let output = run(folder.path(), &["GET /", "--from", "203.0.113.7", "--header", agent]);
        let said = text(&output);
        assert_eq!(said.contains("403 by the edge: denied"), is_refused, "{said}");
        assert!(said.contains("visitors.bots"), "{said}");
    }
}

#[test]
fn what_cannot_be_understood_is_said() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tentpole.toml"), FILE.replace("ORIGIN", "http://10.0.0.5:3000"))
        .unwrap();
    for (typed, said) in [
        (&["GET cart"][..], "it begins with `/`"),
        (&["GET /a b"], "write method and path"),
        (&["ftp://shop.example/"], "it takes http:// or https://"),
        (&["GET /", "--header", "Cookie"], "a name, a colon and a value"),
        (&["GET /", "--from", "shop.example"], "--from"),
        (&["GET /", "--config", "nothing.toml"], "nothing.toml"),
    ] {
        let output = run(folder.path(), typed);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && err.contains(said), "{typed:?}: {err}");
    }
}

#[tokio::test]
async fn a_running_tentpole_adds_how_its_endpoints_are() {
    let origin = Origin::start().await;
    let tentpole = started(&origin).await;
    let (dir, admin) = (tentpole.dir().to_owned(), tentpole.admin().to_string());
    let asks = move || run(&dir, &["GET /a", "--site", "shop", "--running", "--admin", &admin]);
    let output = tokio::task::spawn_blocking(asks).await.unwrap();
    let said = text(&output);
    assert!(said.contains(&format!("pool app at {}, configuration 1", tentpole.admin())), "{said}");
    assert!(said.contains(": up; weight 1, ") && said.contains("queue: 0 wait"), "{said}");
    assert!(!said.contains("room"), "{said}");
    // One is inside, and the next one would wait.
    let inside = tentpole_testkit::Ask::get("/sale/").without_host().header("Host", "shop.example");
    tentpole.visitor().await.ask(&inside).await.expect(404);
    let (dir, admin) = (tentpole.dir().to_owned(), tentpole.admin().to_string());
    let asks = move || run(&dir, &["GET /SALE/a", "--site", "shop", "--running", "--admin", &admin]);
    let said = text(&tokio::task::spawn_blocking(asks).await.unwrap());
    assert!(said.contains("stands before sale"), "{said}");
    assert!(said.contains("room sale: doors open, inside 1 of 1, waiting 0"), "{said}");
    tentpole.ends().await;
}
