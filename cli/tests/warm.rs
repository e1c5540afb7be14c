//! `tentpole cache warm` against a running Tentpole: what it asks for, what is stored afterwards, what it says.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tentpole_runtime::clock;
use tentpole_testkit::{Origin, Response, Tentpole, Up};

/// Runs `tentpole cache warm` with this on its standard input, beside whatever the test serves meanwhile.
async fn warm(typed: &[&str], input: &str) -> Output {
    let typed: Vec<String> = typed.iter().map(|&word| word.to_owned()).collect();
    let input = input.to_owned();
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
        command.args(["cache", "warm"]).args(typed);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        match child.stdin.take().unwrap().write_all(input.as_bytes()) {
            // It has said what is wrong and ended without reading.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        }
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn page(body: &str) -> Response {
    Response::ok(body).header("Cache-Control", "max-age=60")
}

async fn before(origin: &Origin) -> Tentpole {
    Up::to(&origin.url()).start().await
}

#[tokio::test]
async fn what_a_sitemap_names_is_stored_before_the_first_visitor_comes() {
    let origin = Origin::start().await;
    let tentpole = before(&origin).await;
    let at = tentpole.address().to_string();
    let entry = |kind: &str, path: &str| format!("<{kind}><loc>http://{at}{path}</loc></{kind}>");
    let index = format!("<sitemapindex>{}</sitemapindex>", entry("sitemap", "/pages.xml"));
    let pages = ["/", "/p/a?x=1&amp;y=2", "/cart", "/old", "/gone"].map(|path| entry("url", path)).concat();
    let pages = format!("<urlset>{pages}<url><loc>http://foreign.example/</loc></url></urlset>");
    origin.on("/sitemap.xml").respond(Response::ok(index));
    origin.on("/pages.xml").respond(Response::ok(pages));
    origin.on("/").respond(page("start"));
    origin.on("/p/a?x=1&y=2").respond(page("a"));
    origin.on("/cart").respond(Response::ok("mine").header("Cache-Control", "private"));
    origin.on("/old").respond(Response::redirect("/"));

    let output = warm(&[&format!("http://{at}/sitemap.xml")], "").await;
    let said = out(&output);
    assert!(said.starts_with("5 of 5 in "), "{said}{}", err(&output));
    assert!(said.contains(": 2 stored, 1 redirected, 1 not cacheable, 1 with an error\n"), "{said}");
    assert!(
        said.contains("  1 not cacheable: private\n") && said.contains("  1 answered with status 404\n"),
        "{said}"
    );
    let foreign = "1 entry left out; the first: http://foreign.example/: a page of another host";
    assert!(err(&output).contains(foreign), "{}", err(&output));
    assert!(err(&output).contains(&format!("http://{at}/gone: status 404")), "{}", err(&output));
    assert_eq!(output.status.code(), Some(1), "something that was asked for is missing");

    let asked = origin.request_count();
    let mut visitor = tentpole.visitor().await;
    for path in ["/", "/p/a?x=1&y=2"] {
        assert!(visitor.get(path).await.expect(200).is_hit(), "{path}");
    }
    assert_eq!(origin.request_count(), asked);
    tentpole.ends().await;
}

#[tokio::test]
async fn a_list_is_asked_for_once_with_each_field_and_no_faster_than_the_rate() {
    let origin = Origin::start().await;
    origin.otherwise(|_| page("page").header("Vary", "Accept-Language"));
    let tentpole = before(&origin).await;
    let at = tentpole.address().to_string();
    let typed = ["--list", "-", "--host", &format!("http://{at}"), "--rate", "20"];
    let languages = ["--as", "Accept-Language: de", "--as", "Accept-Language: en"];
    let began = clock::now();
    let output = warm(&[&typed[..], &languages].concat(), "/a\n/b\n# no\n/c\n/d\n").await;
    // Eight requests at twenty a second: the last one is due after 350 ms.
    assert!(clock::now().since(began) >= Duration::from_millis(350));
    assert!(out(&output).contains(": 8 stored\n"), "{}{}", out(&output), err(&output));
    assert_eq!(output.status.code(), Some(0));
    let languages = |path| {
        let asked = origin.requests_for(path);
        asked.iter().map(|seen| seen.header("Accept-Language").unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(languages("/a"), ["de", "en"]);
    let again = warm(&[&typed[..], &["--as", "Accept-Language: de"]].concat(), "/a\n/b\n").await;
    assert!(out(&again).contains(": 2 there already\n"), "{}", out(&again));
    tentpole.ends().await;
}

#[tokio::test]
async fn an_application_that_struggles_is_left_alone() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::status(503));
    let tentpole = before(&origin).await;
    let list: String = (0..500).map(|number| format!("http://{}/{number}\n", tentpole.address())).collect();
    let output = warm(&["--list", "-", "--rate", "1000"], &list).await;
    assert!(err(&output).contains("half of the last 20 requests failed"), "{}", err(&output));
    assert_eq!(output.status.code(), Some(1));
    assert!(origin.request_count() <= 30, "{}", origin.request_count());
    tentpole.ends().await;
}

#[tokio::test]
async fn a_log_gives_what_was_asked_for_most() {
    let origin = Origin::start().await;
    origin.otherwise(|_| page("page"));
    let tentpole = before(&origin).await;
    let line = |path: &str| {
        format!("10.0.0.1 - - [21/Nov/2026:08:00:00 +0000] \"GET {path} HTTP/1.1\" 200 9 \"-\" \"-\"\n")
    };
    let log = line("/seldom") + &line("/often").repeat(3) + &line("/logout?now").repeat(9) + "rubbish\n";
    let host = format!("http://shop.localhost:{}", tentpole.address().port());
    let output = warm(&["--log", "-", "--host", &host, "--top", "1"], &log).await;
    assert!(out(&output).starts_with("1 of 1 in "), "{}{}", out(&output), err(&output));
    assert!(err(&output).contains("1 entry left out; the first: line 14"), "{}", err(&output));
    let asked: Vec<String> = origin.requests().iter().map(|seen| seen.target.clone()).collect();
    assert_eq!(asked, ["/often"]);
    tentpole.ends().await;
}

const EVIL: &str = "{\"method\":\"GET\",\"host\":\"127.0.0.1:1\",\"target\":\"/\",\"status\":200}\n";

#[tokio::test]
async fn what_cannot_be_meant_is_said_before_anything_is_sent() {
    for (typed, input, said) in [
        (&["not-a-url"][..], "", "\"not-a-url\" is not an http URL"),
        (&["https://shop.example/sitemap.xml"], "", "--at 127.0.0.1:8080"),
        (&["--list", "-"], "/a\n", "need --host http://shop.example"),
        // Whoever asks often enough for a host of his own writes it into the log.
        (&["--log", "-"], EVIL, "none of them says where Tentpole is: add --at"),
        (&["--list", "/no/such/file"], "", "/no/such/file cannot be read"),
        (&["--list", "-", "--as", "de"], "http://a/\n", "--as \"de\" is no field"),
        (&["--list", "-", "--rate", "0"], "http://a/\n", "--rate 0 is not between"),
        (&["--list", "-", "--at", "127.0.0.1:1"], "http://a/\n", "the edge cannot be reached: 127.0.0.1:1"),
    ] {
        let output = warm(typed, input).await;
        assert!(err(&output).contains(said), "{typed:?}: {}", err(&output));
        assert_ne!(output.status.code(), Some(0), "{typed:?}");
    }
}

#[tokio::test]
async fn what_each_visitor_must_bring_is_brought_and_https_is_said() {
    let origin = Origin::start().await;
    let config = format!(
        "[pool.app]\nendpoints = [{:?}]\n[visitors]\ntrusted = \"127.0.0.1\"\n\
         require = {{ X-Edge-Key = \"file:KEY\" }}\nrequire_except = \"/up\"\n",
        origin.url()
    );
    let key = std::env::temp_dir().join(format!("tentpole-warm-key-{}", std::process::id()));
    std::fs::write(&key, "s3cret\n").unwrap();
    let tentpole = Up::config(&config.replace("file:KEY", &format!("file:{}", key.display()))).start().await;
    let at = tentpole.address().to_string();
    origin.on("/a").respond(page("a"));
    let list = "https://shop.example/a\n";

    let refused = warm(&["--list", "-", "--at", &at], list).await;
    assert!(out(&refused).contains("403"), "{}{}", out(&refused), err(&refused));
    let header = format!("X-Edge-Key: file:{}", key.display());
    let stored = warm(&["--list", "-", "--at", &at, "--header", &header], list).await;
    assert!(out(&stored).contains(": 1 stored\n"), "{}{}", out(&stored), err(&stored));
    assert_eq!(origin.requests().last().unwrap().header("X-Forwarded-Proto"), Some("https"));

    let nowhere = warm(&["--list", "-", "--at", &at, "--header", "X-Edge-Key: file:/nowhere"], list).await;
    assert!(err(&nowhere).contains("the field X-Edge-Key has no value"), "{}", err(&nowhere));
    assert_eq!(nowhere.status.code(), Some(2));
    std::fs::remove_file(&key).unwrap();
}
