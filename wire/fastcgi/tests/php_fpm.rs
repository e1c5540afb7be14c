//! A real php-fpm understands what is written here, and is understood. It listens on a socket in a temporary folder and
//! is ended by its own number.

#![allow(clippy::unwrap_used, reason = "a helper that fails ends its test")]

use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tentpole_fastcgi::*;
use tentpole_message::{RequestHead, ResponseHead};

/// Answers with what it was told and given.
const ECHO: &str = r#"<?php
if (isset($_GET['status'])) { http_response_code((int) $_GET['status']); }
if (isset($_GET['log'])) { error_log('said on purpose'); }
header('X-Told: ' . implode('|', array_map(fn ($name) => $_SERVER[$name] ?? '-', ['REQUEST_METHOD', 'SCRIPT_NAME',
    'PATH_INFO', 'QUERY_STRING', 'REMOTE_ADDR', 'HTTPS', 'HTTP_HOST', 'HTTP_X_ONE', 'HTTP_PROXY'])));
echo file_get_contents('php://input'), 'end of ', $_SERVER['SCRIPT_FILENAME'];
"#;

/// A running php-fpm and the folder it serves.
struct Fpm {
    child: Child,
    folder: TempDir,
}

/// What came back.
struct Answer {
    head: ResponseHead,
    body: Vec<u8>,
    stderr: String,
}

/// One request; the path leads to a script by [`ScriptRules::find`] unless `script` is forced.
struct Request<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    content: &'a [u8],
    keep: bool,
    script: Option<Script>,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { method: "GET", path: "/echo.php", query: "", content: b"", keep: true, script: None }
    }
}

impl Fpm {
    /// Starts one; `None`, and said so, where it is not installed.
    fn start(settings: &str) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("SKIPPED: php-fpm is not installed, so it has not answered");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display().to_string();
        let user = if geteuid().is_root() { "user = root\ngroup = root\n" } else { "" };
        let text = format!(
            "[global]\nerror_log = {place}/log\ndaemonize = no\n[test]\n{user}listen = {place}/socket\n\
             pm = static\npm.max_children = 1\n{settings}"
        );
        fs::write(folder.path().join("conf"), text).unwrap();
        fs::write(folder.path().join("echo.php"), ECHO).unwrap();
        let mut command = Command::new(program);
        command.args(["-n", "-F", "-y", &format!("{place}/conf")]);
        if geteuid().is_root() {
            command.arg("-R");
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut fpm = Self { child, folder };
        fpm.wait();
        Some(fpm)
    }

    /// Waits until it answers, at most ten seconds.
    fn wait(&mut self) {
        for _ in 0..500 {
            if UnixStream::connect(self.folder.path().join("socket")).is_ok() {
                return;
            }
            assert_eq!(self.child.try_wait().unwrap(), None, "php-fpm ended: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("php-fpm does not listen: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.path().join("socket")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn find(&self, path: &str) -> Found {
        let root = self.folder.path().display().to_string();
        let is_file = |name: &[u8]| Path::new(&(root.clone() + std::str::from_utf8(name).unwrap())).is_file();
        ScriptRules::default().find(path.as_bytes(), is_file)
    }

    /// Sends a request and reads the whole answer, a few bytes at a time where `step` is small.
    fn ask(&self, stream: &mut UnixStream, request: Request<'_>, step: usize) -> Answer {
        let mut head = RequestHead::new();
        let method = head.fields.append(request.method.as_bytes());
        let target = head.fields.append(b"/");
        head.set_line(method, target, 1);
        head.fields.push(b"X-One", b"1");
        head.fields.push(b"Proxy", b"http://evil.example");
        let script = request.script.unwrap_or_else(|| match self.find(request.path) {
            Found::Script(script) => script,
            other => panic!("{} is no script: {other:?}", request.path),
        });
        let path_and_query = format!("{}?{}", request.path, request.query);
        let mut params = Params::new();
        let asked = Asked {
            head: &head,
            path_and_query: path_and_query.as_bytes(),
            script: &script,
            document_root: self.folder.path().as_os_str().as_encoded_bytes(),
            content_length: (!request.content.is_empty()).then_some(request.content.len() as u64),
            host: b"shop.example",
            server_name: b"shop.example",
            visitor: "192.0.2.7:5000".parse().unwrap(),
            accepted_at: "127.0.0.1:443".parse().unwrap(),
            server_port: 443,
            is_https: true,
        };
        params.push_request(&asked, |_| false);
        let mut bytes = Vec::new();
        write_begin(&mut bytes, request.keep);
        write_params(&mut bytes, params.pairs().unwrap());
        write_stdin(&mut bytes, request.content);
        write_stdin_end(&mut bytes);
        stream.write_all(&bytes).unwrap();
        let answer = read(stream, head.method, step);
        answer.unwrap_or_else(|fault| panic!("{fault}; the log says: {}", self.log()))
    }
}

impl Drop for Fpm {
    fn drop(&mut self) {
        // TERM, so that it ends its children first.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Debian has the version in the name.
fn program() -> Option<PathBuf> {
    let is_fpm = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("php-fpm"))
    };
    ["/usr/sbin", "/usr/local/sbin", "/usr/bin"]
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .find(is_fpm)
}

fn read(stream: &mut UnixStream, method: tentpole_model::Method, step: usize) -> Result<Answer, Fault> {
    let mut decoder = Decoder::new(method, Limits::default());
    let mut answer = Answer { head: ResponseHead::new(), body: Vec::new(), stderr: String::new() };
    let mut buffer = vec![0; step];
    let mut filled = Vec::new();
    loop {
        let used = match decoder.decode(&filled)? {
            Decoded::Head { used } => {
                decoder.take_head(&mut answer.head);
                used
            }
            Decoded::Data { skip, len } => {
                answer.body.extend_from_slice(&filled[skip..skip + len]);
                skip + len
            }
            Decoded::NeedMore { used } => {
                assert_eq!(used, filled.len());
                let count = stream.read(&mut buffer).unwrap();
                if count == 0 {
                    decoder.end_of_input()?;
                }
                filled = buffer[..count].to_vec();
                continue;
            }
            Decoded::Done { used, .. } => {
                assert_eq!(used, filled.len(), "nothing follows the answer");
                answer.stderr = String::from_utf8_lossy(decoder.stderr()).into_owned();
                return Ok(answer);
            }
        };
        filled.drain(..used);
    }
}

fn told(answer: &Answer) -> String {
    String::from_utf8(answer.head.fields.find(b"X-Told").next().unwrap().to_vec()).unwrap()
}

#[test]
fn a_script_is_told_what_was_asked_and_its_answer_is_understood() {
    let Some(fpm) = Fpm::start("") else { return };
    let mut stream = fpm.connect();
    let ask = Request { path: "/echo.php/a%20b/c", query: "q=1&r=%20", ..Request::default() };
    let answer = fpm.ask(&mut stream, ask, 3);
    assert_eq!((answer.head.status, &answer.stderr[..]), (200, ""));
    assert_eq!(told(&answer), "GET|/echo.php|/a b/c|q=1&r=%20|192.0.2.7|on|shop.example|1|-");
    let body = format!("end of {}/echo.php", fpm.folder.path().display());
    assert_eq!(String::from_utf8(answer.body).unwrap(), body);

    let answer = fpm.ask(&mut stream, Request { method: "HEAD", ..Request::default() }, 4096);
    assert_eq!((answer.head.status, answer.body.len()), (200, 0));
}

#[test]
fn a_mebibyte_goes_there_and_back() {
    let Some(fpm) = Fpm::start("") else { return };
    let content: Vec<u8> = (0..1u32 << 20).map(|i| (i * 31 % 251) as u8).collect();
    let ask = Request { method: "POST", content: &content, ..Request::default() };
    let answer = fpm.ask(&mut fpm.connect(), ask, 16 * 1024);
    assert_eq!(answer.head.status, 200);
    assert!(answer.body.starts_with(&content), "{} bytes came back", answer.body.len());
    assert!(answer.body[content.len()..].starts_with(b"end of /"));
}

#[test]
fn a_hundred_requests_share_a_connection_and_the_last_closes_it() {
    let Some(fpm) = Fpm::start("") else { return };
    let mut stream = fpm.connect();
    for number in 0..100 {
        let content = format!("request {number} ");
        let ask =
            Request { method: "POST", content: content.as_bytes(), keep: number < 99, ..Request::default() };
        let answer = fpm.ask(&mut stream, ask, 512);
        assert!(answer.body.starts_with(content.as_bytes()), "answer {number}");
    }
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "without the flag, php-fpm closes");
}

#[test]
fn errors_have_their_status_and_their_words() {
    let Some(fpm) = Fpm::start("php_admin_flag[log_errors] = on\n") else { return };
    let mut stream = fpm.connect();
    let answer = fpm.ask(&mut stream, Request { query: "status=404&log=1", ..Request::default() }, 4096);
    assert_eq!((answer.head.status, answer.head.reason()), (404, &b"Not Found"[..]));
    assert!(answer.stderr.contains("said on purpose"), "{:?}", answer.stderr);

    let gone = Request { path: "/gone.php", script: Script::named("/gone.php"), ..Request::default() };
    let answer = fpm.ask(&mut stream, gone, 4096);
    assert_eq!(answer.head.status, 404);
    assert!(answer.stderr.contains("Primary script unknown"), "{:?}", answer.stderr);
}

/// The first half is why the second is needed: PHP runs what was uploaded as a picture.
#[test]
fn a_picture_with_code_in_it_is_run_by_php_but_never_found_by_us() {
    let Some(fpm) = Fpm::start("security.limit_extensions =\n") else { return };
    fs::create_dir(fpm.folder.path().join("uploads")).unwrap();
    fs::write(fpm.folder.path().join("uploads/evil.jpg"), "<?php echo 'was run';").unwrap();
    let path = "/uploads/evil.jpg/x.php";
    let forced = Request { path, script: Script::named(path), ..Request::default() };
    let answer = fpm.ask(&mut fpm.connect(), forced, 4096);
    assert_eq!(String::from_utf8(answer.body).unwrap(), "was run");

    assert_eq!(fpm.find(path), Found::Nothing);
    assert_eq!(ScriptRules::default().find(path.as_bytes(), has_plain_folders), Found::Nothing);
}
