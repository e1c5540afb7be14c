//! Behind a content network or a balancer: whose word counts for where a visitor comes from.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{self, Running, edge, endpoint};
use crate::frames;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tentpole_model::{Front, Network, PurgeOrder, PurgeWhat, Secret, SecretField, Snapshot};

const HELLO: &str = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\nhello";

fn network(address: &str) -> Network {
    Network { address: address.parse().unwrap(), bits: 32 }
}

/// Whoever connects from this address is believed.
fn trusts(address: &str) -> impl FnOnce(&mut Snapshot) {
    let front = Front { trusted: vec![network(address), network("10.0.0.2")], ..Front::default() };
    move |snapshot| snapshot.front = front
}

#[test]
fn an_endpoint_hears_of_the_visitor_what_a_trusted_proxy_says() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = edge(address, trusts("127.0.0.1"));
    edge.get(
        "/a",
        "X-Forwarded-For: 1.1.1.1, 203.0.113.9:4711\r\nX-Forwarded-For: 10.0.0.2\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n",
    );
    edge.get("/a", "");
    let heard = asked.lock().unwrap().clone();
    assert!(heard[0].contains("\r\nX-Forwarded-For: 203.0.113.9, 10.0.0.2, 127.0.0.1\r\n"), "{}", heard[0]);
    assert!(heard[0].contains("\r\nX-Forwarded-Proto: https\r\n"), "{}", heard[0]);
    assert!(heard[0].contains("\r\nX-Forwarded-Host: shop.example\r\n"), "{}", heard[0]);
    assert!(!heard[0].contains("1.1.1.1") && !heard[0].contains("evil"), "{}", heard[0]);
    // And nothing of it is left for the next.
    assert!(
        heard[1].contains("\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"),
        "{}",
        heard[1]
    );
}

#[test]
fn the_standards_own_field_is_read_where_it_is_named_and_the_usual_ones_are_not() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = edge(address, |snapshot| {
        trusts("127.0.0.1")(snapshot);
        snapshot.front.address_field = Some("Forwarded".into());
    });
    edge.get("/a", "Forwarded: for=1.1.1.1;proto=http, for=203.0.113.9;proto=https, for=10.0.0.2\r\n");
    edge.get("/a", "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n");
    let heard = asked.lock().unwrap().clone();
    assert!(
        heard[0].contains(
            "\r\nX-Forwarded-For: 203.0.113.9, 10.0.0.2, 127.0.0.1\r\nX-Forwarded-Proto: https\r\n"
        ),
        "{}",
        heard[0]
    );
    assert!(
        heard[1].contains("\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"),
        "{}",
        heard[1]
    );
    assert!(!heard[0].contains("1.1.1.1") && !heard[0].contains("Forwarded: for"), "{}", heard[0]);
}

#[test]
fn others_are_not_believed_whatever_they_say() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = edge(address, |snapshot| {
        trusts("192.0.2.1")(snapshot);
        snapshot.front.address_field = Some("X-Edge-Visitor".into());
    });
    edge.get(
        "/a",
        "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nx_edge-visitor: 203.0.113.9\r\n",
    );
    let heard = asked.lock().unwrap()[0].clone();
    assert!(heard.contains("\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"), "{heard}");
    assert!(!heard.contains("203.0.113.9"), "{heard}");
}

#[test]
fn others_are_not_believed_by_http_2_either() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = edge(address, trusts("192.0.2.1"));
    let spoofed = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "for=203.0.113.9;proto=https;host=evil.example"),
        ("x-real-ip", "203.0.113.9"),
    ];
    frames::connected(edge.address, |mut client| async move {
        let request = http::Request::builder().uri("http://shop.example/a");
        let request = spoofed.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        assert_eq!(frames::ask(&mut client, request.body(()).unwrap()).await.unwrap().text(), "hello");
    });
    let heard = asked.lock().unwrap()[0].clone();
    assert!(heard.contains("\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"), "{heard}");
    assert!(!heard.contains("203.0.113.9") && !heard.contains("evil"), "{heard}");
}

#[test]
fn what_was_asked_for_by_https_is_stored_by_itself_and_purged_with_the_rest() {
    // The most usual difference: a redirect to https, which would go round for ever.
    let (address, asked) = endpoint(|head| match head.contains("X-Forwarded-Proto: https") {
        true => "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\npage".into(),
        false => "HTTP/1.1 301 Moved\r\nLocation: https://shop.example/a\r\nCache-Control: max-age=60\r\n\
                  Content-Length: 0\r\n\r\n"
            .into(),
    });
    let edge = edge(address, trusts("127.0.0.1"));
    let https = "X-Forwarded-Proto: https\r\n";
    for _ in 0..2 {
        assert!(edge.get("/a", "").starts_with("HTTP/1.1 301"));
        assert!(edge.get("/a", https).ends_with("page"));
    }
    assert_eq!(asked.lock().unwrap().len(), 2);
    let purged =
        edge.purger.purge(&PurgeOrder::hard(PurgeWhat::Url("https://shop.example/a".into()))).unwrap();
    assert_eq!(purged.objects, 2);
    assert!(edge.get("/a", https).ends_with("page"));
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn a_visitor_has_not_the_right_of_the_proxy_to_purge() {
    let (address, _) = endpoint(|_| HELLO.into());
    let edge = edge(address, |snapshot| {
        trusts("127.0.0.1")(snapshot);
        snapshot.front.address_field = Some("CF-Connecting-IP".into());
        snapshot.purging.from = vec![network("127.0.0.1"), network("203.0.113.9")];
    });
    let purge = |fields: &str| {
        edge.ask(&format!("PURGE /a HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n"))
    };
    // Neither by the proxy's address nor by the one that it names.
    assert!(purge("CF-Connecting-IP: 203.0.113.9\r\n").starts_with("HTTP/1.1 403"));
    assert!(purge("CF-Connecting-IP: garbage\r\n").starts_with("HTTP/1.1 403"));
    assert!(purge("").starts_with("HTTP/1.1 200"), "itself it may");
}

/// An edge that demands the PROXY protocol of whoever connects from here.
fn behind_a_balancer(endpoint: SocketAddr, change: impl FnOnce(&mut Snapshot)) -> Running {
    edge(endpoint, |snapshot| {
        trusts("127.0.0.1")(snapshot);
        snapshot.front.proxy_protocol = true;
        change(snapshot);
    })
}

const REQUEST: &str = "GET /a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

#[test]
fn the_proxy_protocol_names_the_visitor() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = behind_a_balancer(address, |_| {});
    let visitor = "PROXY TCP4 203.0.113.9 192.0.2.2 56324 443\r\n".to_owned();
    assert!(edge.ask(&(visitor + REQUEST)).ends_with("hello"));
    assert!(edge.ask(&("PROXY UNKNOWN\r\n".to_owned() + REQUEST)).ends_with("hello"));
    // The content network's proxy before the balancer is believed too.
    let through = "PROXY TCP4 10.0.0.2 192.0.2.2 56324 443\r\nGET /a HTTP/1.1\r\nHost: h\r\n\
                   X-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n";
    assert!(edge.ask(through).ends_with("hello"));
    let heard = asked.lock().unwrap().clone();
    for (head, chain) in heard.iter().zip(["203.0.113.9", "127.0.0.1", "203.0.113.7, 10.0.0.2"]) {
        assert!(head.contains(&format!("\r\nX-Forwarded-For: {chain}\r\n")), "{chain}: {head}");
    }
    assert_eq!(heard.len(), 3);
}

#[test]
fn without_the_header_a_trusted_peer_is_refused_and_with_it_another_one() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = behind_a_balancer(address, |snapshot| {
        snapshot.visitors.head_time = Duration::from_secs(3);
    });
    let answer = edge.ask(REQUEST);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("PROXY protocol"), "{answer}");
    let answer = edge.ask("PROXY TCP4 203.0.");
    assert!(answer.starts_with("HTTP/1.1 408"), "half a header: {answer}");
    let other = common::edge(address, |snapshot| {
        trusts("192.0.2.1")(snapshot);
        snapshot.front.proxy_protocol = true;
    });
    let visitor = "PROXY TCP4 203.0.113.9 192.0.2.2 56324 443\r\n".to_owned();
    assert!(other.ask(&(visitor + REQUEST)).starts_with("HTTP/1.1 400"));
    assert!(asked.lock().unwrap().is_empty());
    assert!(other.ask(REQUEST).ends_with("hello"), "others are served as ever");
}

#[test]
fn a_header_that_is_not_right_is_refused_and_nothing_behind_it_is_read() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = behind_a_balancer(address, |_| {});
    let v2 = |version_and_command: u8, family: u8, length: [u8; 2], rest: &[u8]| {
        [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[version_and_command, family], &length, rest].concat()
    };
    let wrong: [&[u8]; 8] = [
        b"PROXY TCP4 203.0.113.9 192.0.2.2 56324\r\n",
        b"PROXY TCP4 203.0.113.999 192.0.2.2 56324 443\r\n",
        b"PROXY TCP4 2001:db8::1 192.0.2.2 56324 443\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.2 56324 443 more\r\n",
        b"proxy TCP4 203.0.113.9 192.0.2.2 56324 443\r\n",
        &v2(0x11, 0x11, [0, 12], &[203, 0, 113, 9, 192, 0, 2, 2, 1, 1, 1, 1]),
        &v2(0x22, 0x11, [0, 12], &[203, 0, 113, 9, 192, 0, 2, 2, 1, 1, 1, 1]),
        &v2(0x21, 0x11, [0, 4], &[203, 0, 113, 9]),
    ];
    for header in wrong {
        let mut connection = TcpStream::connect(edge.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        connection.write_all(&[header, REQUEST.as_bytes()].concat()).unwrap();
        let answer = std::io::read_to_string(&mut connection).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{header:?}: {answer}");
    }
    let right = v2(0x21, 0x11, [0, 12], &[203, 0, 113, 9, 192, 0, 2, 2, 1, 1, 1, 1]);
    let mut connection = TcpStream::connect(edge.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection.write_all(&[&right, REQUEST.as_bytes()].concat()).unwrap();
    assert!(std::io::read_to_string(&mut connection).unwrap().ends_with("hello"));
    let heard = asked.lock().unwrap().clone();
    assert!(heard.len() == 1 && heard[0].contains("\r\nX-Forwarded-For: 203.0.113.9\r\n"), "{heard:?}");
}

#[test]
fn a_visitor_behind_a_balancer_has_not_its_right_to_purge() {
    let (address, _) = endpoint(|_| HELLO.into());
    let edge = behind_a_balancer(address, |snapshot| {
        snapshot.purging.from = vec![network("127.0.0.1"), network("203.0.113.9")];
    });
    let purge = "PURGE /a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    for header in ["PROXY TCP4 203.0.113.9 192.0.2.2 56324 443\r\n", "PROXY UNKNOWN\r\n"] {
        assert!(edge.ask(&format!("{header}{purge}")).starts_with("HTTP/1.1 403"), "{header}");
    }
}

/// A program of this test; ended when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// HAProxy before the edge, once it answers; `None` when it is not installed.
fn haproxy(to: SocketAddr, sends: &str) -> Option<(Ended, SocketAddr, tempfile::TempDir)> {
    let address = tentpole_testkit::address::own();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("haproxy.cfg");
    let text = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
         listen front\n bind {address}\n server edge {to} {sends}\n"
    );
    std::fs::write(&file, text).unwrap();
    let program = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"]
        .into_iter()
        .find(|at| std::path::Path::new(at).exists());
    let Some(program) = program else {
        eprintln!("SKIPPED: HAProxy is not installed, so nobody has sent its PROXY protocol to the edge");
        return None;
    };
    let child = Command::new(program).arg("-db").arg("-f").arg(&file).stdout(Stdio::null()).spawn().unwrap();
    let ended = Ended(child);
    let listens = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        TcpStream::connect(address).is_ok()
    });
    assert!(listens, "HAProxy does not listen");
    Some((ended, address, folder))
}

#[test]
fn haproxys_own_headers_are_understood() {
    for sends in
        ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl,cert-cn"]
    {
        let (address, asked) = endpoint(|_| HELLO.into());
        let edge = behind_a_balancer(address, |_| {});
        let Some((_haproxy, front, _folder)) = haproxy(edge.address, sends) else { return };
        // Another address of the loopback, so that it cannot be taken for HAProxy's own.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&"127.0.0.9:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.connect(&front.into()).unwrap();
        let mut connection = TcpStream::from(socket);
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        connection.write_all(REQUEST.as_bytes()).unwrap();
        let answer = std::io::read_to_string(&mut connection).unwrap();
        assert!(answer.ends_with("hello"), "{sends}: {answer}");
        let heard = asked.lock().unwrap()[0].clone();
        assert!(heard.contains("\r\nX-Forwarded-For: 127.0.0.9\r\n"), "{sends}: {heard}");
    }
}

/// A field whose value lies in a file, which must outlive the edge.
fn secret(name: &str, value: &str) -> (SecretField, tempfile::NamedTempFile) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(value.as_bytes()).unwrap();
    (SecretField { name: name.into(), value: Secret::File(file.path().to_owned()) }, file)
}

#[test]
fn endpoints_know_us_by_a_field_that_no_visitor_can_send() {
    let (address, asked) = endpoint(|head| match head.matches("X-Origin-Key: 0r1g1n\r\n").count() {
        1 => "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhello".into(),
        _ => "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".into(),
    });
    let (field, _file) = secret("X-Origin-Key", "0r1g1n\n");
    let edge = edge(address, |snapshot| snapshot.pools[0].send = vec![field]);
    let guess = "X-Origin-Key: guess\r\nX_Origin_Key: guess\r\n";
    assert!(edge.get("/stored", guess).ends_with("hello"));
    let post =
        format!("POST /a HTTP/1.1\r\nHost: h\r\n{guess}Content-Length: 0\r\nConnection: close\r\n\r\n");
    let answer = edge.ask(&post);
    assert!(answer.ends_with("hello") && !answer.contains("0r1g1n"), "{answer}");
    let heard = asked.lock().unwrap();
    assert!(heard.len() == 2 && heard.iter().all(|head| !head.contains("guess")), "{heard:?}");
}

#[test]
fn nobody_gets_in_past_the_content_network() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let (field, _file) = secret("X-Edge-Key", "3dge");
    let edge = edge(address, |snapshot| snapshot.front.require = vec![field]);
    for others in ["", "X-Edge-Key: guess\r\n", "X-Edge-Key: 3dge\r\nX-Edge-Key: guess\r\n"] {
        assert!(edge.get("/a", others).starts_with("HTTP/1.1 403"), "{others}");
    }
    assert!(asked.lock().unwrap().is_empty());
    assert!(edge.get("/a", "x-edge-key: 3dge\r\n").ends_with("hello"));
    assert!(!asked.lock().unwrap()[0].contains("3dge"), "and it stays between those two");
}

#[test]
fn paths_that_are_excepted_are_seen_by_all_and_nothing_else_is() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let (field, _file) = secret("X-Edge-Key", "3dge");
    let edge = edge(address, |snapshot| {
        snapshot.front.require = vec![field];
        snapshot.front.require_except = vec!["/up".into()];
    });
    for open in ["/up", "/up?deep=1"] {
        assert!(edge.get(open, "").ends_with("hello"), "{open}");
    }
    let head = edge.ask("HEAD /up HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(asked.lock().unwrap().len(), 3);
    for locked in ["/", "/up/", "/up/../a", "/a/../up", "/%75p", "//up", "/UP", "/a?/up", "/up;a"] {
        assert!(edge.get(locked, "").starts_with("HTTP/1.1 403"), "{locked}");
    }
    let post = "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(edge.ask(post).starts_with("HTTP/1.1 403"));
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn without_the_secret_nobody_is_let_in() {
    let (address, _) = endpoint(|_| HELLO.into());
    let nowhere =
        SecretField { name: "X-Edge-Key".into(), value: Secret::Variable("NO_SUCH_VARIABLE".into()) };
    let edge = edge(address, |snapshot| snapshot.front.require = vec![nowhere]);
    assert!(edge.get("/a", "X-Edge-Key: \r\n").starts_with("HTTP/1.1 403"));
}
