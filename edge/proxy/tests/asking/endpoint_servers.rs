//! Servers as they are installed, behind the edge by TLS and by HTTP/2: Debian's nginx and node.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::common::{Running, edge};
use rcgen::{CertificateParams, KeyPair};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tentpole_model::{EndpointTls, Scheme, Snapshot};
use tentpole_runtime::clock;

/// A server in a folder of its own, ended by its process.
struct Server {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its workers when it is told so, not when it is killed.
        signal(self.child.id(), rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn signal(process: u32, signal: rustix::process::Signal) {
    let process = rustix::process::Pid::from_raw(process as i32).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

/// A folder with a certificate for `app.internal` that signed itself.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["app.internal".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.path().join("app.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.path().join("app.key"), key.serialize_pem()).unwrap();
    folder
}

fn listens(address: SocketAddr) -> bool {
    let until = clock::now().after(Duration::from_secs(20));
    while TcpStream::connect(address).is_err() {
        if clock::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

fn nginx(listen: &str, server: &str) -> Server {
    let folder = folder();
    let address = tentpole_testkit::address::own();
    let path = folder.path().display();
    let text = format!(
        "daemon off;\nworker_processes 1;\npid {path}/pid;\nerror_log {path}/said;\nevents {{ }}\nhttp {{\naccess_log off;\n\
         client_body_temp_path {path}/b;\nproxy_temp_path {path}/p;\nfastcgi_temp_path {path}/f;\nuwsgi_temp_path {path}/u;\n\
         scgi_temp_path {path}/s;\nserver {{\nlisten {address} {listen};\nssl_certificate {path}/app.pem;\n\
         ssl_certificate_key {path}/app.key;\n{server}\n}}\n}}\n"
    );
    std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(folder.path()).arg("-e").arg(folder.path().join("said"));
    command.arg("-c").arg(folder.path().join("nginx.conf")).stderr(Stdio::null());
    let child = command.spawn().expect("this test needs Debian's package nginx");
    let server = Server { child, folder, address };
    assert!(listens(address), "{}", std::fs::read_to_string(server.folder.path().join("said")).unwrap());
    server
}

/// An application of node's, which answers with what it was sent; trailers too.
fn node(secure: bool) -> Server {
    const APPLICATION: &str = "
        const http2 = require('node:http2'), fs = require('node:fs');
        const secure = process.argv[2] === 'secure';
        const server = secure
            ? http2.createSecureServer({ key: fs.readFileSync('app.key'), cert: fs.readFileSync('app.pem') })
            : http2.createServer();
        server.on('stream', (stream, headers) => {
            stream.respond({ ':status': 200, 'cache-control': 'no-store', 'x-path': headers[':path'] },
                { waitForTrailers: true });
            stream.on('wantTrailers', () => stream.sendTrailers({ 'x-end': 'yes' }));
            stream.on('error', () => {});
            stream.pipe(stream);
        });
        server.listen(0, '127.0.0.1', () => console.log(server.address().port));
    ";
    let folder = folder();
    std::fs::write(folder.path().join("app.js"), APPLICATION).unwrap();
    let mut command = Command::new("node");
    command.arg("app.js").arg(if secure { "secure" } else { "clear" }).current_dir(folder.path());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("this test needs Debian's package nodejs");
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
    Server { child, folder, address }
}

fn before(server: &Server, https: bool, http2: bool) -> Running {
    let certificate = server.folder.path().join("app.pem");
    edge(server.address, |snapshot: &mut Snapshot| {
        snapshot.threads = Some(2);
        snapshot.sites[0].routes[0].body_bytes_max = 16 << 20;
        let pool = &mut snapshot.pools[0];
        pool.http2 = http2;
        if https {
            pool.endpoints[0].scheme = Scheme::Https;
            pool.endpoints[0].host = "app.internal".into();
            pool.tls = EndpointTls { authority: Some(certificate), ..EndpointTls::default() };
        }
    })
}

#[test]
fn nginx_is_asked_by_each_of_the_four_ways() {
    let hello = "location / { add_header Cache-Control no-store; return 200 \"$server_protocol $scheme $ssl_server_name\"; }";
    for (listen, https, http2, said) in [
        ("", false, false, "HTTP/1.1 http "),
        ("http2", false, true, "HTTP/2.0 http "),
        ("ssl http2", true, false, "HTTP/1.1 https app.internal"),
        ("ssl http2", true, true, "HTTP/2.0 https app.internal"),
    ] {
        let server = nginx(listen, hello);
        let edge = before(&server, https, http2);
        for _ in 0..3 {
            let answer = edge.get("/", "");
            assert!(answer.ends_with(&format!("\r\n\r\n{said}")), "{listen}: {answer}");
        }
    }
    let server = nginx("ssl", hello);
    let answer = before(&server, true, true).get("/", "");
    assert!(answer.contains("detail=connect/tls_nothing_in_common\r"), "it does not speak HTTP/2: {answer}");
}

#[test]
fn node_gets_bodies_and_gives_them_back_with_trailers() {
    for secure in [false, true] {
        let server = node(secure);
        let edge = before(&server, secure, true);
        for length in [0, 1, 100_000, 4_000_000] {
            let body = "abcdefghij".repeat(length / 10 + 1)[..length].to_owned();
            let answer = edge.ask(&format!(
                "POST /a?b=c HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {length}\r\nTE: trailers\r\n\
                 Connection: close\r\n\r\n{body}"
            ));
            let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("\r\nx-path: /a?b=c"), "{head}");
            assert!(rest.ends_with("0\r\nx-end: yes\r\n\r\n"), "{}", &rest[rest.len().saturating_sub(100)..]);
            assert!(unchunked(rest) == body, "{length}");
        }
    }
}

fn unchunked(mut rest: &str) -> String {
    let mut content = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        content.push_str(&behind[..size]);
        rest = &behind[size + 2..];
    }
    content
}

/// nginx ends the connections of its old workers in good order (GOAWAY) each time.
#[test]
fn nginx_reloads_under_load_and_no_request_is_lost() {
    let hello = "location / { add_header Cache-Control no-store; return 200 hello; }";
    let server = nginx("http2", hello);
    let edge = before(&server, false, true);
    // A reload each hundred requests and not each tenth of a second: on a busy machine nginx would never be done with one.
    let answered = AtomicUsize::new(0);
    let ask = |request: &str| {
        let answer = edge.ask(request);
        if answered.fetch_add(1, Ordering::SeqCst) % 100 == 50 {
            signal(server.child.id(), rustix::process::Signal::HUP);
        }
        answer
    };
    let failed = std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..10)
            .map(|visitor| {
                let ask = &ask;
                scope.spawn(move || {
                    let method = if visitor % 2 == 0 { "GET" } else { "DELETE" };
                    let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                    (0..100).map(|_| ask(&request)).filter(|answer| !answer.ends_with("hello")).collect()
                })
            })
            .collect();
        visitors.into_iter().flat_map(|one| -> Vec<String> { one.join().unwrap() }).collect::<Vec<String>>()
    });
    assert_eq!(failed, Vec::<String>::new(), "of 1,000");
}
