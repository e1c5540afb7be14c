//! The command as people type it: what it prints where, and how it exits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

/// Runs `tentpole` in a folder and waits for its end.
fn tentpole_in(folder: &Path, typed: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.args(typed).current_dir(folder).env_remove("NO_COLOR").env_remove("COLUMNS").output().unwrap()
}

fn tentpole(typed: &[&str]) -> Output {
    tentpole_in(Path::new("/"), typed)
}

/// Runs `tentpole` with this on its standard input.
fn tentpole_reads(typed: &[&str], text: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    let mut child = command
        .args(typed)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with a `tentpole.toml`.
fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tentpole.toml"), text).unwrap();
    folder
}

const APP: &str = "[pool.app]\nendpoints = [\"http://127.0.0.1:3000\"]\n";

#[test]
fn help_is_short_and_concrete() {
    let mut all = String::new();
    for typed in [
        &["--help"][..],
        &["up", "--help"],
        &["check", "--help"],
        &["explain", "--help"],
        &["load", "--help"],
        &["report", "--help"],
        &["cache", "--help"],
        &["cache", "purge", "--help"],
        &["cache", "warm", "--help"],
        &["status", "--help"],
    ] {
        let output = tentpole(typed);
        assert_eq!(output.status.code(), Some(0));
        assert!(out(&output).lines().all(|line| line.chars().count() <= 80), "{}", out(&output));
        all += &format!("$ tentpole {}\n{}\n", typed.join(" "), out(&output));
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("help", all);
    });
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(out(&tentpole(&["--version"])), format!("tentpole {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_a_command_the_help_is_shown() {
    let output = tentpole(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("tentpole up --to http://127.0.0.1:3000"), "{}", err(&output));
}

#[test]
fn check_says_that_a_good_file_is_fine_and_what_is_in_it() {
    let folder = folder(&format!(
        "{APP}[pool.media]\nendpoints = [\"http://a\", \"http://b\"]\n[site.shop]\nhosts = \"shop.example\"\npool = \"app\"\n\
         [[site.shop.route]]\npath = \"/media/*\"\npool = \"media\"\n[site.other]\npool = \"app\"\n"
    ));
    let output = tentpole_in(folder.path(), &["check"]);
    assert_eq!(out(&output), "tentpole.toml: fine: 2 sites, 3 routes, 2 pools with 3 endpoints\n");
    assert_eq!((err(&output).as_str(), output.status.code()), ("", Some(0)));
}

#[test]
fn check_exits_with_0_on_warnings_and_prints_them() {
    let folder = folder(&format!("{APP}limit = \"none\"\nqueue = {{ length = 5 }}\n"));
    let output = tentpole_in(folder.path(), &["check", "tentpole.toml"]);
    assert_eq!(out(&output), "tentpole.toml: fine: 1 site, 1 route, 1 pool with 1 endpoint, 1 warning\n");
    assert!(
        err(&output).starts_with("tentpole.toml:4:9: warning: nothing waits in this queue"),
        "{}",
        err(&output)
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn check_prints_all_errors_without_colours_into_a_pipe_and_exits_with_2() {
    let folder = folder("threads = 0\n[pool.app]\nendpoints = [\"127.0.0.1:3000\"]\n");
    let output = tentpole_in(folder.path(), &["check"]);
    assert_eq!((out(&output).as_str(), output.status.code()), ("", Some(2)));
    let err = err(&output);
    assert!(
        err.starts_with("tentpole.toml:1:11: threads is 0; it must be 1 to 256.\n 1 | threads = 0\n"),
        "{err}"
    );
    assert!(
        err.contains(
            "tentpole.toml:3:14: \"127.0.0.1:3000\" has no scheme; write \"http://127.0.0.1:3000\"."
        ),
        "{err}"
    );
    assert!(!err.contains('\u{1b}'), "{err:?}");
}

#[test]
fn check_reads_the_certificates_and_says_what_is_wrong_with_them() {
    let tls = "[tls]\nlisten = \"127.0.0.1:0\"\n";
    let one = "certificate = [{ chain = \"none.pem\", key = \"none.key\" }]\n";
    let folder = folder(&format!("{APP}{tls}{one}"));
    let output = tentpole_in(folder.path(), &["check", "tentpole.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("none.pem: it cannot be read: there is no such file"), "{}", err(&output));
    let output = tentpole_in(folder.path(), &["up", "tentpole.toml", "--admin", "off"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("none.pem: it cannot be read: there is no such file"), "{}", err(&output));

    let sites = "[site.shop]\nhosts = [\"shop.example\", \"shop.localhost\", \"127.0.0.1\"]\n";
    std::fs::write(folder.path().join("tentpole.toml"), format!("{APP}{tls}{sites}")).unwrap();
    let output = tentpole_in(folder.path(), &["check", "tentpole.toml"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(err(&output).contains("[site.shop]: no certificate names shop.example, so"), "{}", err(&output));
    assert!(out(&output).contains("1 warning"), "{}", out(&output));
}

#[test]
fn check_lays_time_outs_side_by_side_and_says_where_their_order_is_wrong() {
    let good = folder(APP);
    let output = tentpole_in(good.path(), &["check", "--timeouts"]);
    assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
    for row in [
        "visitors  idle_time   75 s  a connection",
        "pool app  first_byte  60 s  from the request's last byte",
    ] {
        assert!(out(&output).contains(row), "no {row:?} in:\n{}", out(&output));
    }
    let wrong = folder(&format!(
        "{APP}health = {{ path = \"/health\", interval = \"20s\", timeout = \"12s\" }}\ntimeouts.first_byte = \"9s\"\n"
    ));
    let output = tentpole_in(wrong.path(), &["check"]);
    assert_eq!(output.status.code(), Some(0));
    let words = "warning: time-outs of pool app: a probe may take 12 s (health.timeout), a visitor's request 9 s (first_byte)";
    assert!(err(&output).contains(words), "{}", err(&output));
    assert!(out(&output).contains("health.timeout"), "{}", out(&output));
    assert!(out(&output).ends_with("with 1 endpoint, 1 warning\n"), "{}", out(&output));
}

#[test]
fn check_of_a_file_that_is_not_there_says_so() {
    let output = tentpole(&["check", "/no/such.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).starts_with("/no/such.toml: this file cannot be read: No such file"),
        "{}",
        err(&output)
    );
}

#[test]
fn up_with_a_file_takes_no_number_of_instances() {
    let folder = folder("[pool.app]\nendpoints = [\"http://127.0.0.1:1\"]\n");
    let output = tentpole_in(folder.path(), &["up", "--max", "3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("in tentpole.toml, a fleet has its own `min` and `max`"),
        "{}",
        err(&output)
    );
}

#[test]
fn up_does_not_start_with_a_wrong_file() {
    let folder = folder("[pool.app]\nendpoints = []\n");
    let output = tentpole_in(folder.path(), &["up"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).starts_with("tentpole.toml:2:13: endpoints is empty"), "{}", err(&output));
}

#[test]
fn up_does_not_start_with_wrong_flags_and_names_each() {
    let output =
        tentpole(&["up", "--to", "htp://x", "--listen", "8080", "--admin", ":9900", "--threads", "0"]);
    assert_eq!(output.status.code(), Some(2));
    let err = err(&output);
    for start in ["--to htp://x: ", "--listen 8080: ", "--admin :9900: ", "--threads 0: "] {
        assert!(err.lines().any(|line| line.starts_with(start)), "{start}\n{err}");
    }
}

#[test]
fn up_does_not_start_instances_that_cannot_be_and_says_why() {
    let output = tentpole(&["up", "--run", "app 'x {port}", "--min", "5", "--max", "0", "--health", "up"]);
    assert_eq!(output.status.code(), Some(2));
    let err = err(&output);
    for start in ["--run app 'x {port}: run has a quote", "--max 0: max is 0"] {
        assert!(err.lines().any(|line| line.starts_with(start)), "{start}\n{err}");
    }
}

#[test]
fn a_file_and_endpoints_together_are_a_mistake() {
    for typed in [
        &["up", "a.toml", "--to", "http://127.0.0.1:3000"][..],
        &["up", "a.toml", "--run", "app {port}"],
        &["up", "a.toml", "--health", "/health"],
        &["up", "--run", "app {port}", "--to", "http://127.0.0.1:3000"],
        &["up", "--to", "http://127.0.0.1:3000", "--min", "2"],
        &["up", "--health", "/health"],
        &["up", "--to", "http://127.0.0.1:3000", "--cache", "maybe"],
        &["up", "--to", "http://127.0.0.1:3000", "--log", "xml"],
        &["cache", "purge"],
        &["cache", "purge", "--soft"],
        &["cache", "purge", "--all", "http://shop.example/"],
        &["cache", "purge", "--all", "--site", "shop"],
        &["cache", "purge", "--tag", "a", "--prefix", "http://shop.example/"],
        &["cache", "purge", "--site", "shop", "http://shop.example/"],
        &["cache", "purge", "shop.example"],
        &["cache", "purge", "--prefix", "/p/"],
        &["status", "--admin", "somewhere"],
    ] {
        let output = tentpole(typed);
        assert_eq!(output.status.code(), Some(2), "{typed:?}\n{}", err(&output));
        assert!(err(&output).starts_with("error: "), "{}", err(&output));
    }
}

/// Answers one connection after the other with these bytes, and hands back what was asked.
fn admin(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        let answer = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let asked = read_request(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
            asked
        };
        answers.into_iter().map(answer).collect()
    });
    (address, answering)
}

fn read_request(stream: &mut impl Read) -> String {
    let mut asked = Vec::new();
    loop {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).unwrap();
        asked.extend_from_slice(&piece[..length]);
        let text = String::from_utf8(asked.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if length.is_none_or(|length| body.len() == length.parse::<usize>().unwrap()) {
            return text;
        }
    }
}

fn json(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn purge_asks_for_each_url_and_says_what_was_removed() {
    let (address, asked) = admin(vec![
        json("200 OK", r#"{"objects":2,"fills":0}"#),
        json("200 OK", r#"{"objects":0,"fills":0}"#),
        json("200 OK", r#"{"objects":1,"fills":1}"#),
    ]);
    let output = tentpole(&[
        "cache",
        "purge",
        "http://shop/a?x=\"1\"",
        "http://shop/b",
        "http://shop/c",
        "--admin",
        &address,
    ]);
    let expected = "http://shop/a?x=\"1\": 2 stored responses removed\nhttp://shop/b: nothing was stored\n\
                    http://shop/c: 1 stored response removed, 1 under way will not be stored\n";
    assert_eq!(out(&output), expected, "{}", err(&output));
    assert_eq!(output.status.code(), Some(0));
    let asked = asked.join().unwrap();
    assert!(asked[0].starts_with("POST /api/purge HTTP/1.1\r\n"), "{}", asked[0]);
    assert!(asked[0].contains(&format!("\r\nHost: {address}\r\n")), "{}", asked[0]);
    assert!(asked[0].ends_with(r#"{"url":"http://shop/a?x=\"1\""}"#), "{}", asked[0]);
}

#[test]
fn purge_all_removes_everything() {
    let (address, asked) = admin(vec![json("200 OK", r#"{"objects":12,"fills":0}"#)]);
    let output = tentpole(&["cache", "purge", "--all", "--admin", &address]);
    assert_eq!(out(&output), "everything: 12 stored responses removed\n");
    assert!(asked.join().unwrap()[0].ends_with(r#"{"all":true}"#));
}

#[test]
fn purge_sends_prefixes_sites_and_soft_as_the_api_takes_them() {
    let gone = || json("200 OK", r#"{"objects":3,"fills":1}"#);
    for (typed, said, body) in [
        (
            &["--prefix", "http://shop/p/", "--soft"][..],
            "http://shop/p/*: 3 stored responses made stale, 1 under way will not be stored\n",
            r#"{"prefix":"http://shop/p/","soft":true}"#,
        ),
        (
            &["--site", "shop"],
            "everything of shop: 3 stored responses removed, 1 under way will not be stored\n",
            r#"{"site":"shop"}"#,
        ),
        (
            &["--tag", "cat_p", "--tag", "cms b", "--site", "shop"],
            "2 tags of shop: 3 stored responses removed, 1 under way will not be stored\n",
            r#"{"site":"shop","tags":["cat_p","cms b"]}"#,
        ),
    ] {
        let (address, asked) = admin(vec![gone()]);
        let output = tentpole(&[&["cache", "purge", "--admin", &address], typed].concat());
        assert_eq!(out(&output), said, "{}", err(&output));
        let asked = asked.join().unwrap();
        assert!(asked[0].ends_with(body), "{}", asked[0]);
    }
}

#[test]
fn many_tags_come_from_standard_input_and_go_in_several_requests() {
    let (address, asked) = admin(vec![json("200 OK", r#"{"objects":7,"fills":0}"#); 3]);
    let tags: String = (0..2_500).map(|number| format!("cat_p_{number}\n")).collect();
    let output = tentpole_reads(&["cache", "purge", "--tag", "-", "--admin", &address], &tags);
    let expected = "1000 tags: 7 stored responses removed\n1000 tags: 7 stored responses removed\n\
                    500 tags: 7 stored responses removed\n";
    assert_eq!(out(&output), expected, "{}", err(&output));
    let asked = asked.join().unwrap();
    assert!(asked[2].contains("\"cat_p_2000\",") && asked[2].ends_with("\"cat_p_2499\"]}"), "{}", asked[2]);
}

#[test]
fn an_empty_list_of_tags_purges_nothing_and_not_the_whole_site() {
    let output = tentpole_reads(&["cache", "purge", "--tag", "-", "--site", "shop"], "\n\n");
    assert_eq!(out(&output), "nothing to purge: the list is empty\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_url_that_the_api_refuses_does_not_keep_the_next_from_being_purged() {
    let (address, asked) = admin(vec![
        json(
            "422 Unprocessable Content",
            r#"{"error":"no site answers for this host","cure":"Mind the spelling."}"#,
        ),
        json("200 OK", r#"{"objects":1,"fills":0}"#),
    ]);
    let output = tentpole(&["cache", "purge", "http://shp/", "http://shop/", "--admin", &address]);
    assert_eq!(err(&output), "error: http://shp/: no site answers for this host. Mind the spelling.\n");
    assert_eq!(out(&output), "http://shop/: 1 stored response removed\n");
    assert_eq!(output.status.code(), Some(1));
    asked.join().unwrap();
}

#[test]
fn when_nobody_listens_the_error_asks_whether_tentpole_is_up() {
    // An address of this test's own, so that nobody else listens there.
    let address = "127.71.3.9:9900";
    for typed in [
        &["status", "--admin", address][..],
        &["cache", "purge", "http://a/", "http://b/", "--admin", address],
    ] {
        let output = tentpole(typed);
        assert_eq!(output.status.code(), Some(1));
        let expected = format!(
            "error: nobody listens at {address}. Is tentpole up? If its admin API is elsewhere, say where: --admin ADDR\n"
        );
        assert_eq!(err(&output), expected);
    }
}

const STATUS: &str = r#"{"version":"0.1.0","uptime_s":3725,"sites":[],"pools":[
  {"name":"app","endpoints":[
    {"authority":"127.0.0.1:3000","health":"up","reason":null,"weight":1,"in_flight":12,"open":20,"requests":123456,"failures":0,"errors_5xx":3},
    {"authority":"[::1]:3001","health":"down","reason":"no_address","weight":2,"in_flight":0,"open":0,"requests":7,"failures":7,"errors_5xx":0}]},
  {"name":"media","endpoints":[
    {"authority":"media.internal:80","health":"last_one","reason":"probe","weight":1,"in_flight":0,"open":1,"requests":5,"failures":3,"errors_5xx":0},
    {"authority":"10.0.0.1:80","health":"up","reason":null,"weight":0,"in_flight":0,"open":0,"requests":5,"failures":3}]}]}"#;

#[test]
fn status_is_a_table_of_pools_and_endpoints() {
    let (address, asked) = admin(vec![json("200 OK", STATUS)]);
    let output = tentpole(&["status", "--admin", &address]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(asked.join().unwrap()[0].starts_with("GET /api/status HTTP/1.1\r\n"));
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("status", out(&output));
    });
}

#[test]
fn status_says_what_part_of_the_requests_each_zone_has() {
    let endpoint = |name: &str, zone: &str, health: &str, requests: u32| {
        format!(
            "{{\"authority\":\"{name}\",\"zone\":{zone},\"health\":\"{health}\",\"weight\":1,\"requests\":{requests}}}"
        )
    };
    let endpoints = [
        endpoint("10.0.1.1:80", "\"a\"", "up", 610),
        endpoint("10.0.2.1:80", "\"b\"", "up", 390),
        endpoint("10.0.2.2:80", "\"b\"", "down", 0),
    ];
    let status = format!("{{\"pools\":[{{\"name\":\"app\",\"endpoints\":[{}]}}]}}", endpoints.join(","));
    let (address, _) = admin(vec![json("200 OK", &status)]);
    let shown = out(&tentpole(&["status", "--admin", &address]));
    assert!(shown.contains("10.0.2.1:80 (b)"), "{shown}");
    assert!(shown.contains("zone a: 1 of 1 up, 61% of the requests\n  zone b: 1 of 2 up, 39% of"), "{shown}");
}

#[test]
fn status_says_why_an_endpoint_is_out_and_which_time_outs_contradict_each_other() {
    let detail = r#""reason":"slow","detail":{"because":"slow: p50 840 ms, others 35 ms","since_unix_ms":1,"back_unix_ms":null}"#;
    let timeouts = r#","timeouts":[{"of":"pool app","text":"it closes first"}]}"#;
    let status = STATUS.replace(r#""reason":"probe""#, detail);
    let status = format!("{}{timeouts}", status.strip_suffix('}').unwrap());
    let (address, asked) = admin(vec![json("200 OK", &status)]);
    let output = tentpole(&["status", "--admin", &address]);
    let says = out(&output);
    assert!(says.contains("\n  media.internal:80 would be out, but stays, for "), "{says}");
    assert!(says.contains(": slow: p50 840 ms, others 35 ms\n"), "{says}");
    assert!(says.contains("\ntime-outs of pool app: it closes first\n"), "{says}");
    asked.join().unwrap();
}

#[test]
fn status_says_how_telling_content_networks_goes() {
    let networks = r#","content_networks":[{"name":"front","kind":"fastly","waiting":2,"passed_on":40,"failed":1,
        "trouble":{"at_unix_ms":1,"text":"fastly answers 401: no"}}]}"#;
    let status = format!("{}{networks}", STATUS.strip_suffix('}').unwrap());
    let (address, asked) = admin(vec![json("200 OK", &status)]);
    let output = tentpole(&["status", "--admin", &address]);
    let expected =
        "front (fastly): 40 purges passed on, 2 waiting, 1 failed\n  last trouble: fastly answers 401: no\n";
    assert!(out(&output).ends_with(expected), "{}{}", out(&output), err(&output));
    asked.join().unwrap();
}

#[cfg(not(feature = "content-networks"))]
#[test]
fn a_build_without_https_says_so_before_it_starts() {
    let folder = folder(&format!("{APP}[content_network.front]\nkind = \"fastly\"\nservice = \"S\"\n"));
    for typed in ["check", "up"] {
        let output = tentpole_in(folder.path(), &[typed]);
        assert_eq!(output.status.code(), Some(2), "{typed}");
        let expected = "error: [content_network.front] needs HTTPS, which this build does not speak; build it with \
                        --features content-networks\n";
        assert_eq!(err(&output), expected);
    }
}

#[test]
fn status_as_json_is_the_apis_own() {
    let (head, tail) = STATUS.split_at(100);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{head}\r\n{:X};x=y\r\n{tail}\r\n0\r\n\r\n",
        head.len(),
        tail.len()
    );
    let to_the_end = format!("HTTP/1.1 200 OK\r\n\r\n{STATUS}");
    let (address, asked) = admin(vec![chunked, to_the_end]);
    for _ in 0..2 {
        let output = tentpole(&["status", "--json", "--admin", &address]);
        assert_eq!(out(&output), format!("{STATUS}\n"), "{}", err(&output));
    }
    asked.join().unwrap();
}

#[test]
fn what_is_not_the_admin_api_is_called_so() {
    let answers = vec![
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<p>hello".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(20_000)),
        json("200 OK", "<p>hello"),
        json("404 Not Found", "<p>not found"),
    ];
    let count = answers.len();
    let (address, asked) = admin(answers);
    for at in 0..count {
        let output = tentpole(&["status", "--admin", &address]);
        let err = err(&output);
        assert_eq!(output.status.code(), Some(1), "{at}: {err}");
        assert!(
            err.starts_with(&format!("error: what answers at {address} is not Tentpole's admin API (")),
            "{at}: {err}"
        );
    }
    asked.join().unwrap();
}
