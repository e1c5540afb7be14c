//! HTTPS through the whole program, asked by curl and OpenSSL: the certificate that is made for this machine, an edge that
//! dies, sessions that go on, and where keys are not.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tentpole_testkit::process::signal;
use tentpole_testkit::{Ask, Origin, Response, Tentpole, Up, binary};
use tentpole_tests::until_within;

/// Runs a program of this machine with nothing to read. Its Debian package bears its name; `./check` installs it.
fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot run {program}: {error}; apt-get install {program}"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A program with https on a free port, and its state in this directory.
async fn start(origin: &Origin, state: &Path) -> (Tentpole, u16) {
    let text = format!(
        "[tls]\nlisten = \"127.0.0.1:0\"\n[pool.app]\nendpoints = [\"{}\"]\n\
         [site.shop]\nhosts = [\"shop.localhost\", \"localhost\"]\n",
        origin.url()
    );
    let state = state.to_str().unwrap();
    let tentpole = Up::config(&text).argument("--state").argument(state).start().await;
    let said = tentpole.said();
    let port = said.split("https://127.0.0.1:").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let port = port.parse().unwrap();
    (tentpole, port)
}

async fn origin() -> Origin {
    let origin = Origin::start().await;
    origin.on("/a").respond(Response::ok("by https"));
    origin
}

#[tokio::test]
async fn curl_trusts_the_certificate_made_for_this_machine_and_a_dead_edge_is_replaced() {
    let (origin, state) = (origin().await, tempfile::tempdir().unwrap());
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let (tentpole, port) = start(&origin, state.path()).await;
    let trusted = state.path().join("localhost.pem");
    let curl = |version: &str| {
        let (url, resolve) =
            (format!("https://shop.localhost:{port}/a"), format!("shop.localhost:{port}:127.0.0.1"));
        let trusted = trusted.to_str().unwrap();
        run(
            "curl",
            &[
                "-sS",
                "--max-time",
                "20",
                "--cacert",
                trusted,
                "--resolve",
                &resolve,
                "--tls-max",
                version,
                &url,
            ],
        )
    };
    for version in ["1.2", "1.3"] {
        assert_eq!(said(&curl(version)), "by https", "TLS {version}");
    }
    let before = (fs::read(&trusted).unwrap(), tentpole.edge_pid());
    signal(before.1, Signal::KILL);
    // The keeper holds the socket: the connection waits for the next edge.
    assert_eq!(said(&curl("1.3")), "by https");
    assert_ne!(tentpole.edge_pid(), before.1);
    assert_eq!(fs::read(&trusted).unwrap(), before.0, "who trusted it still does");
    tentpole.ends().await;
}

#[tokio::test]
async fn openssl_goes_on_with_its_session_after_a_dead_edge_and_an_upgrade_too_and_chooses_http_1() {
    let (origin, state) = (origin().await, tempfile::tempdir().unwrap());
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let (tentpole, port) = start(&origin, state.path()).await;
    let (address, session) = (format!("127.0.0.1:{port}"), state.path().join("session"));
    let (trusted, session) = (state.path().join("localhost.pem"), session.to_str().unwrap());
    // TLS 1.3 sends its tickets behind the handshake, where a client that ends at once may miss them.
    let always =
        ["s_client", "-connect", &address, "-servername", "localhost", "-tls1_2", "-alpn", "h3,http/1.1"];
    let with = |more: &[&str]| {
        let trusted = ["-verify_return_error", "-CAfile", trusted.to_str().unwrap()];
        run("openssl", &[&always[..], &trusted, more].concat())
    };
    let first = said(&with(&["-sess_out", session]));
    assert!(first.contains("Verify return code: 0 (ok)") && first.contains("\nNew, "), "{first}");
    assert!(first.contains("ALPN protocol: http/1.1"), "{first}");
    let goes_on = || {
        let again = said(&with(&["-sess_in", session]));
        assert!(again.contains("\nReused, "), "{again}");
    };
    goes_on();
    let before = tentpole.edge_pid();
    signal(before, Signal::KILL);
    goes_on();
    assert_ne!(tentpole.edge_pid(), before);
    let upgrade = Ask::post("/api/upgrade", "{}").header("Content-Type", "application/json");
    tentpole.admin_visitor().await.patience(Duration::from_secs(60)).ask(&upgrade).await.expect(200);
    goes_on();
    tentpole.ends().await;
}

#[tokio::test]
async fn a_key_is_in_its_file_and_nowhere_else() {
    let (origin, state) = (origin().await, tempfile::tempdir().unwrap());
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let (tentpole, _) = start(&origin, state.path()).await;
    let key = fs::read_to_string(state.path().join("localhost.key")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    for entry in fs::read_dir(state.path()).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let holds = fs::read_to_string(&path).unwrap_or_default().contains(secret);
        assert_eq!(holds, path.ends_with("localhost.key"), "{}", path.display());
        assert!(!holds || mode == 0o600, "mode {mode:o}");
    }
    assert!(!tentpole.said().contains(secret));
    tentpole.ends().await;
}

/// Makes a certificate for this host beside its key.
fn make_certificate(folder: &Path, host: &str) {
    let file = |kind: &str| folder.join(format!("{host}.{kind}")).to_str().unwrap().to_owned();
    let (subject, name) = (format!("/CN={host}"), format!("subjectAltName=DNS:{host}"));
    let key =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let (pem, out) = (file("pem"), file("key"));
    let output = run(
        "openssl",
        &[&key[..], &["-subj", &subject, "-addext", &name, "-keyout", &out, "-out", &pem]].concat(),
    );
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test]
async fn a_reload_brings_a_certificate_and_a_bad_one_changes_nothing() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    make_certificate(folder.path(), "one.test");
    make_certificate(folder.path(), "two.test");
    let certificate = |host: &str| {
        let file = |kind: &str| folder.path().join(format!("{host}.{kind}"));
        format!("[[tls.certificate]]\nchain = {:?}\nkey = {:?}\n", file("pem"), file("key"))
    };
    let text = |certificates: &str| {
        let pool = format!("[pool.app]\nendpoints = [\"{}\"]\n", origin.url());
        format!("[tls]\nlisten = \"127.0.0.1:0\"\n{certificates}{pool}")
    };
    let tentpole = Up::config(&text(&certificate("one.test"))).start().await;
    let said_by = tentpole.said();
    let port = said_by.split("https://127.0.0.1:").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let ask = |host: &str| {
        let (url, resolve) = (format!("https://{host}:{port}/a"), format!("{host}:{port}:127.0.0.1"));
        let trusted = folder.path().join(format!("{host}.pem"));
        let trusted = trusted.to_str().unwrap();
        said(&run("curl", &["-sS", "--max-time", "20", "--cacert", trusted, "--resolve", &resolve, &url]))
    };
    assert_eq!(ask("one.test"), "by https");
    assert_ne!(ask("two.test"), "by https", "it has no certificate yet");

    let reload = async |certificates: &str| {
        fs::write(tentpole.dir().join("tentpole.toml"), text(certificates)).unwrap();
        tentpole.admin_visitor().await.ask(&Ask::post("/api/reload", "")).await
    };
    let both = certificate("one.test") + &certificate("two.test");
    reload(&both).await.expect(200);
    assert_eq!(ask("two.test"), "by https");

    // A key that is not the certificate's: nothing changes, and the answer names the file.
    fs::copy(folder.path().join("one.test.key"), folder.path().join("three.test.key")).unwrap();
    fs::copy(folder.path().join("two.test.pem"), folder.path().join("three.test.pem")).unwrap();
    let refused = reload(&(both + &certificate("three.test"))).await.expect(422).text();
    assert!(refused.contains("three.test"), "{refused}");
    assert_eq!(ask("one.test") + &ask("two.test"), "by httpsby https");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_told_by_the_status() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    make_certificate(folder.path(), "one.test");
    let file = |kind: &str| folder.path().join(format!("one.test.{kind}"));
    let text = format!(
        "[tls]\nlisten = \"127.0.0.1:0\"\n[[tls.certificate]]\nchain = {:?}\nkey = {:?}\n\
         [pool.app]\nendpoints = [\"{}\"]\n",
        file("pem"),
        file("key"),
        origin.url()
    );
    let tentpole = Up::config(&text).start().await;
    let admin = tentpole.admin().to_string();
    let expected = format!("certificate of one.test ({}) ends in 1d 23h: renew it", file("pem").display());
    until_within(Duration::from_secs(60), "the status to tell it", async || {
        let mut command = Command::new(binary("tentpole"));
        command.args(["status", "--admin", &admin]);
        let run = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        said(&run).contains(&expected)
    })
    .await;
    tentpole.ends().await;
}
