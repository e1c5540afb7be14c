//! A real php-fpm behind the edge: what scripts are told and what visitors get, what runs and what never does, and
//! what becomes of requests when it fails.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Running, edge};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tentpole_model::{AT_UNIX_SOCKET, Files, Scheme, Scripts, Snapshot};
use tentpole_testkit::php::Fpm;

/// Says what it was told and given.
const ECHO: &str = r#"<?php
if (isset($_GET['status'])) { http_response_code((int) $_GET['status']); }
if (isset($_GET['header'])) { header($_GET['header']); }
ksort($_SERVER);
foreach ($_SERVER as $name => $value) { if (is_string($value)) { echo "$name=$value\n"; } }
echo 'BODY=', file_get_contents('php://input'), "\n";
"#;

/// Notes that it ran.
const COUNT: &str = "<?php file_put_contents(dirname(__DIR__) . '/ran', \"x\", FILE_APPEND | LOCK_EX);\n";

/// A php-fpm with the files of a small application.
fn application(workers: u32, settings: &str) -> Fpm {
    let fpm = Fpm::start(workers, settings);
    fpm.write("index.php", "<?php echo \"front of $_SERVER[REQUEST_URI]\";");
    fpm.write("echo.php", ECHO);
    fpm.write("admin/index.php", "<?php echo 'admin';");
    fpm.write("uploads/evil.jpg", "<?php echo 'RAN';");
    fpm.write("uploads/evil.php", "<?php echo 'RAN';");
    fpm.write(".hidden.php", "<?php echo 'RAN';");
    std::fs::write(fpm.outside().join("secret.php"), "<?php echo 'RAN';").unwrap();
    fpm
}

fn before(fpm: &Fpm, change: impl FnOnce(&mut Snapshot)) -> Running {
    let socket = fpm.socket().to_str().unwrap().to_owned();
    let scripts = Scripts {
        root: fpm.root().to_str().unwrap().to_owned(),
        seen_at: Some(fpm.root()),
        never_below: vec!["/uploads".to_owned()],
        ..Scripts::default()
    };
    edge(AT_UNIX_SOCKET, |snapshot| {
        let pool = &mut snapshot.pools[0];
        pool.scripts = Some(scripts);
        let endpoint = &mut pool.endpoints[0];
        (endpoint.scheme, endpoint.host, endpoint.port) = (Scheme::FastCgi, socket, 0);
        change(snapshot);
    })
}

fn ran(fpm: &Fpm) -> usize {
    std::fs::read(fpm.outside().join("ran")).unwrap_or_default().len()
}

/// What a request with this content is answered.
fn post(edge: &Running, path: &str, fields: &str, content: &str) -> String {
    let length = content.len();
    edge.ask(&format!(
        "POST {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {length}\r\n{fields}Connection: close\r\n\r\n{content}"
    ))
}

fn chunked(edge: &Running, path: &str, content: &[u8]) -> String {
    let mut connection = TcpStream::connect(edge.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        connection,
        "POST {path} HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    for piece in content.chunks(10_000) {
        // Whoever is refused meanwhile need not send the rest.
        let _ = write!(connection, "{:x}\r\n", piece.len());
        let _ = connection.write_all(piece);
        let _ = connection.write_all(b"\r\n");
    }
    let _ = connection.write_all(b"0\r\n\r\n");
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("none")
}

/// The content, without its framing.
fn body(answer: &str) -> String {
    let (head, mut rest) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if !head.contains("Transfer-Encoding: chunked") {
        return rest.to_owned();
    }
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0).min(after.len());
        whole += &after[..size];
        rest = after.get(size + 2..).unwrap_or_default();
    }
    whole
}

#[test]
fn a_script_is_told_what_nginx_would_tell_it() {
    let fpm = application(1, "");
    let edge = before(&fpm, |_| {});
    let answer = edge.get("/echo.php/a%20b/c?q=1&r=%20", "X-One: 1\r\nX-One: 2\r\nCookie: a=b\r\n");
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.contains("\r\nContent-type: text/html") && answer.contains("\r\nDate: "), "{answer}");
    let root = fpm.root();
    let root = root.to_str().unwrap();
    for line in [
        &format!("SCRIPT_FILENAME={root}/echo.php"),
        "SCRIPT_NAME=/echo.php",
        "PATH_INFO=/a b/c",
        &format!("DOCUMENT_ROOT={root}"),
        "REQUEST_URI=/echo.php/a%20b/c?q=1&r=%20",
        "QUERY_STRING=q=1&r=%20",
        "REQUEST_METHOD=GET",
        "REQUEST_SCHEME=http",
        "REMOTE_ADDR=127.0.0.1",
        "SERVER_NAME=shop.example",
        "SERVER_PORT=80",
        "HTTP_HOST=shop.example",
        "HTTP_X_ONE=1, 2",
        "HTTP_COOKIE=a=b",
        "GATEWAY_INTERFACE=CGI/1.1",
        "REDIRECT_STATUS=200",
    ] {
        assert!(body(&answer).lines().any(|told| told == line), "{line} is missing in\n{answer}");
    }
    assert!(!answer.contains("\nHTTPS="), "{answer}");
    for path in ["/", "/2026/hello", "/nothing.php"] {
        assert_eq!(body(&edge.get(path, "")), format!("front of {path}"));
    }
    assert_eq!(body(&edge.get("/admin/", "")), "admin");
}

#[test]
fn content_goes_there_with_its_length_or_is_held_until_it_has_one() {
    let fpm = application(1, "php_admin_value[post_max_size] = 8M\n");
    let edge = before(&fpm, |_| {});
    let answer = post(&edge, "/echo.php", "Content-Type: application/json\r\n", "{\"a\":1}");
    assert!(
        body(&answer).starts_with("CONTENT_LENGTH=7\n")
            && answer.contains("\nCONTENT_TYPE=application/json\n"),
        "{answer}"
    );
    assert!(answer.contains("BODY={\"a\":1}\n"), "{answer}");

    let large: String = (0..900_000).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
    let answer = post(&edge, "/echo.php", "", &large);
    assert!(body(&answer).contains(&format!("BODY={large}\n")), "{} bytes came back", answer.len());
    let answer = chunked(&edge, "/echo.php", large.as_bytes());
    assert!(answer.contains("\nCONTENT_LENGTH=900000\n") && !answer.contains("TRANSFER_ENCODING"));
    assert!(body(&answer).contains(&format!("BODY={large}\n")), "{} bytes came back", answer.len());
    let answer = chunked(&edge, "/echo.php", b"");
    assert!(answer.contains("\nCONTENT_LENGTH=0\n") && answer.contains("BODY=\n"), "{answer}");
    assert_eq!(
        edge.held(tentpole_runtime::ledger::Account::Buffers) % 1024,
        0,
        "what was held is given back"
    );
}

#[test]
fn more_than_is_held_wants_its_length() {
    let fpm = application(1, "");
    let edge = before(&fpm, |snapshot| snapshot.sites[0].routes[0].body_bytes_max = 16 << 20);
    let answer = chunked(&edge, "/echo.php", &vec![b'x'; (1 << 20) + 1]);
    assert!(answer.starts_with("HTTP/1.1 411 ") && answer.contains("detail=length_required"), "{answer}");
}

#[test]
fn a_visitor_who_waits_to_be_asked_is_asked() {
    let fpm = application(1, "");
    let edge = before(&fpm, |_| {});
    for (framing, content) in
        [("Content-Length: 2", "ok"), ("Transfer-Encoding: chunked", "2\r\nok\r\n0\r\n\r\n")]
    {
        let mut connection = TcpStream::connect(edge.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(
            connection,
            "POST /echo.php HTTP/1.1\r\nHost: x\r\n{framing}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut asked = [0; 25];
        connection.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        connection.write_all(content.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("BODY=ok\n"), "{answer}");
    }
}

#[test]
fn answers_are_what_the_script_says_and_are_stored_like_any_other() {
    let fpm = application(1, "");
    fpm.write(
        "page.php",
        &format!("{COUNT} header('Cache-Control: max-age=60'); header('ETag: \"1\"'); echo 'page';"),
    );
    let edge = before(&fpm, |_| {});
    for _ in 0..3 {
        let answer = edge.get("/page.php", "");
        assert!(answer.starts_with("HTTP/1.1 200") && body(&answer) == "page", "{answer}");
    }
    assert_eq!(ran(&fpm), 1, "from the cache");
    assert_eq!(status(&edge.get("/page.php", "If-None-Match: \"1\"\r\n")), "304");
    assert_eq!(status(&edge.get("/echo.php?status=404", "")), "404");
    let moved = edge.get("/echo.php?header=Location:+https://shop.example/new", "");
    assert!(
        moved.starts_with("HTTP/1.1 302") && moved.contains("\r\nLocation: https://shop.example/new\r\n"),
        "{moved}"
    );
    let head = edge.ask("HEAD /echo.php HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && body(&head).is_empty(), "{head}");
    fpm.write(
        "large.php",
        "<?php for ($i = 0; $i < 300; $i++) { echo str_repeat(chr(97 + $i % 26), 20000); }",
    );
    assert_eq!(body(&edge.get("/large.php", "")).matches("zzzz").count(), 20_000 / 4 * (300 / 26));
}

#[test]
fn nothing_runs_and_no_source_is_shown_that_is_not_the_applications() {
    let fpm = application(2, "security.limit_extensions =\n");
    let edge = before(&fpm, |_| {});
    let climbs = [
        "/../secret.php",
        "/a/../../secret.php",
        "/..%2fsecret.php",
        "/%2e%2e/secret.php",
        "/%2e%2e%2fsecret.php",
        "/..%5csecret.php",
        "/..\\secret.php",
        "/%252e%252e/secret.php",
        "/.%2e/secret.php",
        "//secret.php/../../secret.php",
        "/echo.php/../../secret.php",
        "/echo.php/..%2f..%2fsecret.php",
        "/echo.php%00.jpg",
        "/echo.php%00/../../secret.php",
        "/secret.php%00",
        "/%c0%ae%c0%ae/secret.php",
        "/uploads/..;/../secret.php",
    ];
    let uploads = [
        "/uploads/evil.jpg/x.php",
        "/uploads/evil.jpg/.php",
        "/uploads/evil.jpg%00.php",
        "/uploads/evil.jpg%2fx.php",
        "/uploads/evil.jpg/",
        "/uploads/evil.jpg",
        "/uploads/evil.php",
        "/uploads/evil.php/x",
        "/UPLOADS/evil.php",
        "/.hidden.php",
        "/%2ehidden.php",
    ];
    for path in climbs.into_iter().chain(uploads) {
        let answer = edge.get(path, "");
        assert!(!answer.contains("RAN") && !answer.contains("<?php"), "{path}: {answer}");
        assert!(
            matches!(status(&answer), "400" | "404" | "308") || body(&answer).starts_with("front of "),
            "{path}: {answer}"
        );
    }
    // The script's path info may say anything; it stays the script's.
    let answer = edge.get("/echo.php/x/evil.php", "");
    assert!(
        answer.contains("\nPATH_INFO=/x/evil.php\n") && answer.contains("SCRIPT_NAME=/echo.php\n"),
        "{answer}"
    );
}

#[test]
fn files_are_sent_and_scripts_run_and_neither_is_taken_for_the_other() {
    let fpm = application(2, "security.limit_extensions =\n");
    fpm.write("style.css", "body {}");
    fpm.write("INFO.PHP", "<?php echo 'RAN';");
    fpm.write("config.php.bak", "<?php echo 'RAN';");
    fpm.write("docs/index.html", "the docs");
    let root = fpm.root();
    let edge = before(&fpm, |snapshot| {
        let index = ["index.html", "index.php"].map(str::to_owned).to_vec();
        snapshot.pools[0].files = Some(Files { index, ..Files::at(root) });
    });
    assert_eq!(body(&edge.get("/style.css", "")), "body {}");
    assert_eq!(body(&edge.get("/docs/", "")), "the docs");
    assert_eq!(body(&edge.get("/admin/", "")), "admin");
    assert!(edge.get("/admin", "").contains("\r\nLocation: /admin/\r\n"));
    assert_eq!(body(&edge.get("/", "")), "front of /");
    assert_eq!(body(&edge.get("/no/file", "")), "front of /no/file");
    assert!(body(&edge.get("/echo.php/x", "")).contains("PATH_INFO=/x\n"));
    // A picture is sent as what it is, with the type of one.
    let picture = edge.get("/uploads/evil.jpg", "");
    assert!(
        picture.contains("\r\nContent-Type: image/jpeg\r\n") && body(&picture).starts_with("<?php"),
        "{picture}"
    );
    for path in [
        "/echo.php",
        "/echo.php/",
        "/echo.php%00",
        "/echo.php%00.css",
        "/echo.php%20",
        "/echo.php.",
        "/echo.php::$DATA",
        "/echo.php;.css",
        "/echo.php?.css",
        "/echo.PHP",
        "/config.php.bak",
        "/uploads/evil.php",
        "/uploads/evil.jpg/x.php",
        "/uploads/evil.jpg/",
        "/docs/../echo.php",
        "/docs/..%2fecho.php",
        "/.hidden.php",
        "/../secret.php",
        "/%2e%2e/secret.php",
    ] {
        for fields in ["", "Range: bytes=0-3\r\n", "Accept-Encoding: gzip\r\n"] {
            let answer = edge.get(path, fields);
            assert!(!answer.contains("<?php") && body(&answer) != "RAN", "{path}: {answer}");
        }
    }
}

#[test]
fn no_field_of_a_visitor_becomes_a_variable_of_somebody_elses() {
    let fpm = application(1, "");
    let edge = before(&fpm, |_| {});
    let fields = "Proxy: http://evil.example\r\nproxy: http://evil.example\r\nX_Forwarded_For: 6.6.6.6\r\n\
                  X-Forwarded-For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nHTTP_PROXY: evil\r\n\
                  Script-Filename: /etc/passwd\r\nSCRIPT_FILENAME: evil\r\nContent_Length: evil\r\nHttps: evil\r\n\
                  X.Forwarded.For: 6.6.6.6\r\nRemote_Addr: 6.6.6.6\r\nPhp-Value: auto_prepend_file=evil\r\n";
    let answer = edge.get("/echo.php", fields);
    assert_eq!(status(&answer), "200", "{answer}");
    let said = body(&answer);
    let told: Vec<&str> = said.lines().collect();
    for never in ["HTTP_PROXY=", "HTTPS=", "PHP_VALUE=", "HTTP_X_REAL_IP="] {
        assert!(!told.iter().any(|line| line.starts_with(never)), "{never}: {answer}");
    }
    assert!(!answer.contains("6.6.6.6"), "{answer}");
    assert!(
        told.contains(&"HTTP_X_FORWARDED_FOR=127.0.0.1") && told.contains(&"HTTP_X_FORWARDED_PROTO=http")
    );
    assert!(told.contains(&"REMOTE_ADDR=127.0.0.1") && told.contains(&"CONTENT_LENGTH="), "{answer}");
    // `HTTP_` stands before whatever else he sends.
    assert!(told.contains(&"HTTP_PHP_VALUE=auto_prepend_file=evil"), "{answer}");
    let large = format!("X-Large: {}\r\n", "x".repeat(40_000));
    assert_eq!(status(&edge.get("/echo.php", &large)), "431");
    let large = format!("X-Large: {}\r\n", "x".repeat(20_000));
    assert_eq!(status(&edge.get("/echo.php", &large)), "200");
}

#[test]
fn what_a_script_must_not_say_is_refused_and_the_next_request_is_answered() {
    let fpm = application(1, "");
    fpm.write(
        "flood.php",
        "<?php for ($i = 0; $i < 20000; $i++) { header(\"X-$i: \" . str_repeat('x', 100)); }",
    );
    fpm.write("long.php", "<?php header('X-Long: ' . str_repeat('x', 1 << 20));");
    fpm.write("length.php", "<?php header('Content-Length: 3'); echo 'four';");
    let edge = before(&fpm, |_| {});
    for path in [
        "/echo.php?header=X-Accel-Redirect:+/secret.php",
        "/echo.php?header=X-Sendfile:+/etc/passwd",
        "/echo.php?header=Transfer-Encoding:+chunked",
        "/echo.php?header=Content-Length:+-1",
        "/flood.php",
        "/long.php",
    ] {
        let answer = edge.get(path, "");
        assert_eq!(status(&answer), "502", "{path}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("x-accel") && !answer.contains("passwd"), "{answer}");
        assert_eq!(status(&edge.get("/echo.php", "")), "200");
    }
    let cut = edge.get("/length.php", "");
    assert!(!cut.contains("four"), "not one byte more than was said: {cut}");
}

#[test]
fn a_flood_of_errors_costs_no_answer() {
    let fpm = application(1, "php_admin_flag[log_errors] = on\n");
    fpm.write("noisy.php", "<?php for ($i = 0; $i < 3000; $i++) { error_log(str_repeat(\"no\\x1b[31m\", 200)); } echo 'said it';");
    let edge = before(&fpm, |_| {});
    let answer = edge.get("/noisy.php", "");
    assert!(answer.starts_with("HTTP/1.1 200") && body(&answer) == "said it", "{answer}");
}

#[test]
fn a_script_that_dies_ran_once_and_the_visitor_hears_of_it() {
    let fpm = application(2, "php_admin_flag[display_errors] = off\n");
    fpm.write("dies.php", &format!("{COUNT} exec('kill -9 ' . getmypid());"));
    fpm.write("breaks.php", "<?php header('Content-Type: text/plain'); echo str_repeat('x', 20000); flush(); exec('kill -9 ' . getmypid());");
    fpm.write("wrong.php", "<?php nothing_of_this_name();");
    let edge = before(&fpm, |_| {});
    assert_eq!(status(&post(&edge, "/dies.php", "", "a=1")), "502");
    assert_eq!(ran(&fpm), 1, "a POST is not sent twice");
    let cut = edge.get("/breaks.php", "");
    assert!(cut.starts_with("HTTP/1.1 200") && !cut.ends_with("0\r\n\r\n"), "an end that was none");
    assert_eq!(status(&edge.get("/wrong.php", "")), "500");
    assert_eq!(status(&edge.get("/echo.php", "")), "200");
}

#[test]
fn php_fpm_that_is_gone_is_said_so_and_used_again_when_it_is_back() {
    let mut fpm = application(1, "");
    let edge = before(&fpm, |snapshot| snapshot.pools[0].endpoints[0].connections_max = Some(1));
    assert_eq!(status(&edge.get("/echo.php", "")), "200");
    fpm.stop();
    assert_eq!(status(&edge.get("/echo.php", "")), "502");
    fpm.start_again();
    assert_eq!(status(&post(&edge, "/echo.php", "", "x")), "200");
    fpm.stop();
    fpm.start_again();
    // The connection that was kept leads to nobody: nothing of that reaches a visitor.
    assert_eq!(status(&post(&edge, "/echo.php", "", "x")), "200");
    assert_eq!(status(&edge.get("/echo.php", "")), "200");
}

#[test]
fn connections_are_kept_where_somebody_has_counted_the_workers_and_nowhere_else() {
    let fpm = application(2, "");
    for (connections_max, connects) in [(Some(2), 1), (None, 20)] {
        let edge = before(&fpm, |snapshot| snapshot.pools[0].endpoints[0].connections_max = connections_max);
        for number in 0..20 {
            let method = if number % 3 == 0 { "HEAD" } else { "GET" };
            let answer =
                edge.ask(&format!("{method} /echo.php HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
            assert_eq!(status(&answer), "200", "{answer}");
        }
        assert_eq!(edge.cells.all()[0].connects.load(Relaxed), connects);
    }
}

#[test]
fn more_visitors_than_workers_all_get_their_page() {
    let fpm = application(2, "");
    fpm.write("slow.php", "<?php usleep(20000); echo $_GET['n'];");
    let edge = before(&fpm, |snapshot| snapshot.pools[0].endpoints[0].connections_max = Some(2));
    std::thread::scope(|scope| {
        for number in 0..40 {
            let edge = &edge;
            scope.spawn(move || {
                let answer = edge.get(&format!("/slow.php?n={number}"), "");
                assert!(status(&answer) == "200" && body(&answer) == number.to_string(), "{answer}");
            });
        }
    });
}

#[test]
fn php_fpm_may_listen_on_tcp() {
    let mut fpm = Fpm::over_tcp(2, "");
    fpm.write("index.php", "<?php echo \"front of $_SERVER[REQUEST_URI]\";");
    fpm.write("echo.php", ECHO);
    let scripts = Scripts {
        root: fpm.root().to_str().unwrap().to_owned(),
        seen_at: Some(fpm.root()),
        ..Scripts::default()
    };
    let edge = edge(fpm.address(), |snapshot| {
        let pool = &mut snapshot.pools[0];
        pool.scripts = Some(scripts);
        pool.endpoints[0].scheme = Scheme::FastCgi;
    });
    assert_eq!(body(&edge.get("/2026/hello/?a", "")), "front of /2026/hello/?a");
    let content = "x".repeat(300_000);
    let answer = post(&edge, "/echo.php", "", &content);
    assert!(body(&answer).ends_with(&format!("BODY={content}\n")), "{}", &answer[..200]);
    fpm.stop();
    let refused = edge.get("/", "");
    assert!(refused.contains("detail=connect/refused\r"), "{refused}");
}

/// An application that is no PHP, and answers by method and URI.
fn responder(answer: impl Fn(&str, &str) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let (mut came, mut header) = (Vec::new(), [0; 8]);
            while connection.read_exact(&mut header).is_ok() {
                let content = usize::from(u16::from_be_bytes([header[4], header[5]]));
                let start = came.len();
                came.resize(start + content + usize::from(header[6]), 0);
                connection.read_exact(&mut came[start..]).unwrap();
                if header[1] == 5 && content == 0 {
                    break;
                }
            }
            let value = |name: &str| {
                let at = came.windows(name.len()).position(|part| part == name.as_bytes()).unwrap();
                let (length, from) = (usize::from(came[at - 1]), at + name.len());
                String::from_utf8(came[from..from + length].to_vec()).unwrap()
            };
            let text = answer(&value("REQUEST_METHOD"), &value("REQUEST_URI"));
            let [high, low] = u16::try_from(text.len()).unwrap().to_be_bytes();
            let mut out = vec![1, 6, 0, 1, high, low, 0, 0];
            out.extend_from_slice(text.as_bytes());
            out.extend([1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            connection.write_all(&out).unwrap();
        }
    });
    address
}

#[test]
fn a_script_that_names_a_path_means_what_that_is_answered() {
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = asked.clone();
    let address = responder(move |method, uri| {
        heard.lock().unwrap().push(format!("{method} {uri}"));
        match uri {
            "/buy" => "Location: /done?b=1\n\n".into(),
            "/done?b=1" => format!("Content-Type: text/plain\nSet-Cookie: a=b\n\ndone by {method}"),
            "/told" => "Status: 302 Found\nLocation: /done\n\n".into(),
            "/away" => "Location: //elsewhere/\n\n".into(),
            _ => format!("Location: {uri}x\n\n"),
        }
    });
    let edge = edge(address, |snapshot| {
        let pool = &mut snapshot.pools[0];
        pool.scripts = Some(Scripts { root: "/srv".into(), ..Scripts::default() });
        pool.endpoints[0].scheme = Scheme::FastCgi;
    });
    let answer = post(&edge, "/buy", "Content-Type: text/plain\r\n", "a=1");
    assert_eq!((status(&answer), &body(&answer)[..]), ("200", "done by GET"), "{answer}");
    assert!(answer.contains("\r\nSet-Cookie: a=b\r\n") && !answer.contains("Location"), "{answer}");
    assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), ["POST /buy", "GET /done?b=1"]);
    let head = edge.ask("HEAD /buy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), ["HEAD /buy", "HEAD /done?b=1"]);
    // With a status it is the visitor's; what is no path of ours is nothing.
    assert_eq!(status(&edge.get("/told", "")), "302");
    assert_eq!(status(&edge.get("/away", "")), "502");
    asked.lock().unwrap().clear();
    let round = edge.get("/round", "");
    assert!(round.contains("detail=read_head/malformed\r"), "{round}");
    assert_eq!(asked.lock().unwrap().len(), 11, "not for ever");
}
