//! HTTPS through the whole program, asked by curl and OpenSSL: the certificate that is made for this machine, an edge that
//! dies, sessions that go on, and where keys are not.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tentpole_testkit::process::signal;
use tentpole_testkit::{Origin, Response, Tentpole, Up};

/// Runs a program of this machine with nothing to read; `None`, and said so, where it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    if output.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        eprintln!("SKIPPED: {program} is not installed, so it has not tried https");
        return None;
    }
    Some(output.unwrap())
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
        let Some(output) = curl(version) else { return };
        assert_eq!(said(&output), "by https", "TLS {version}");
    }
    let before = (fs::read(&trusted).unwrap(), tentpole.edge_pid());
    signal(before.1, Signal::KILL);
    // The keeper holds the socket: the connection waits for the next edge.
    assert_eq!(said(&curl("1.3").unwrap()), "by https");
    assert_ne!(tentpole.edge_pid(), before.1);
    assert_eq!(fs::read(&trusted).unwrap(), before.0, "who trusted it still does");
    tentpole.ends().await;
}

#[tokio::test]
async fn openssl_goes_on_with_its_session_and_chooses_http_1() {
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
    let Some(first) = with(&["-sess_out", session]).map(|output| said(&output)) else { return };
    assert!(first.contains("Verify return code: 0 (ok)") && first.contains("\nNew, "), "{first}");
    assert!(first.contains("ALPN protocol: http/1.1"), "{first}");
    let second = said(&with(&["-sess_in", session]).unwrap());
    assert!(second.contains("\nReused, "), "{second}");
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
