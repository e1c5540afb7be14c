//! Content networks that are told of purges, each played by a stub that keeps what it was sent: path, fields, body, and
//! for CloudFront the signature, which is computed anew from what arrived.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::NamedTempFile;
use tentpole_model::{
    ContentNetwork, ContentService, HostPattern, Pool, PurgeOrder, PurgeWhat, RelayPort, Route, Secret, Site,
    Snapshot,
};
use tentpole_relay::{Relay, RelayParts};
use tentpole_runtime::clock;

const PATIENCE: Duration = Duration::from_secs(20);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"success\":true}";
const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nbad token";

/// One request that the stub got.
#[derive(Debug)]
struct Asked {
    line: String,
    fields: BTreeMap<String, String>,
    body: String,
}

/// Answers one request after the other with these answers, and hands back what was asked.
struct Stub {
    address: SocketAddr,
    asked: Receiver<Asked>,
}

impl Stub {
    fn answers(answers: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (told, asked) = sync_channel(64);
        let answers: Vec<_> = answers.to_vec();
        std::thread::spawn(move || {
            let mut answers = answers.into_iter();
            for stream in listener.incoming() {
                serve(stream.unwrap(), &mut answers, &told);
            }
        });
        Self { address, asked }
    }

    fn next(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("a call")
    }
}

fn serve(stream: TcpStream, answers: &mut impl Iterator<Item = &'static str>, told: &SyncSender<Asked>) {
    let mut reader = BufReader::new(&stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut fields = BTreeMap::new();
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).unwrap();
            let Some((name, value)) = field.trim_end().split_once(':') else { break };
            fields.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = fields.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let Some(answer) = answers.next() else { return };
        (&stream).write_all(answer.as_bytes()).unwrap();
        let body = String::from_utf8(body).unwrap();
        told.send(Asked { line: line.trim_end().to_owned(), fields, body }).unwrap();
    }
}

/// A relay before one content network, and what it has to say.
struct Told {
    relay: Relay,
    events: Arc<Mutex<Vec<String>>>,
    _secret: NamedTempFile,
}

fn relay(api: SocketAddr, service: impl FnOnce(Secret) -> ContentService) -> Told {
    relay_to(format!("http://{api}"), service)
}

fn relay_to(api: String, service: impl FnOnce(Secret) -> ContentService) -> Told {
    let mut file = NamedTempFile::new().unwrap();
    writeln!(file, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap();
    let secret = Secret::File(file.path().to_owned());
    let network = ContentNetwork { name: "front".into(), service: service(secret), sites: None, api };
    let snapshot = Snapshot {
        sites: vec![Site {
            name: "shop".into(),
            hosts: vec![HostPattern::Exact("shop.example".into())],
            routes: vec![Route::default()],
            ..Site::default()
        }],
        pools: vec![Pool::default()],
        content_networks: vec![network],
        ..Snapshot::default()
    };
    let events: Arc<Mutex<Vec<String>>> = Arc::default();
    let on_event = {
        let events = events.clone();
        Arc::new(move |event| events.lock().unwrap().push(event))
    };
    let parts = RelayParts { snapshot: Arc::new(snapshot), on_event, patience: Duration::from_millis(1) };
    Told { relay: Relay::start(parts).unwrap(), events, _secret: file }
}

impl Told {
    fn purge(&self, what: PurgeWhat, soft: bool) {
        self.relay.pass_on(&PurgeOrder { what, soft });
    }

    /// Purges passed on and failed, once there is nothing left to do.
    fn settled(&self) -> (u64, u64) {
        let until = clock::now().after(PATIENCE);
        loop {
            let status = &self.relay.status()[0];
            if status.waiting == 0 {
                return (status.passed_on, status.failed);
            }
            assert!(clock::now() < until, "{status:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn fastly(token: Secret) -> ContentService {
    ContentService::Fastly { service: "SVC".into(), token }
}

fn tags(all: &[&str]) -> PurgeWhat {
    PurgeWhat::Tags { site: Some("shop".into()), tags: all.iter().map(|&tag| tag.into()).collect() }
}

#[test]
fn fastly_is_told_of_keys_urls_and_everything() {
    let stub = Stub::answers(&[OK; 3]);
    let told = relay(stub.address, fastly);
    told.purge(tags(&["cat_p_1", "cat_p"]), true);
    let asked = stub.next();
    assert_eq!(asked.line, "POST /service/SVC/purge HTTP/1.1");
    assert_eq!(asked.fields["fastly-key"], "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    assert_eq!(
        (&*asked.fields["surrogate-key"], &*asked.fields["fastly-soft-purge"]),
        ("cat_p cat_p_1", "1")
    );
    told.purge(PurgeWhat::Url("http://shop.example/a?b=1".into()), false);
    let asked = stub.next();
    assert_eq!(asked.line, "POST /purge/shop.example/a?b=1 HTTP/1.1");
    assert!(!asked.fields.contains_key("fastly-soft-purge"));
    told.purge(PurgeWhat::Site("shop".into()), false);
    assert_eq!(stub.next().line, "POST /service/SVC/purge_all HTTP/1.1");
    assert_eq!(told.settled(), (3, 0));
}

#[test]
fn cloudflare_is_told_with_its_token_and_believed_only_when_it_says_success() {
    let refuses = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"success\":false}";
    let stub = Stub::answers(&[OK, refuses]);
    let told = relay(stub.address, |token| ContentService::Cloudflare { zone: "ZONE".into(), token });
    told.purge(PurgeWhat::Prefix("http://shop.example/p/".into()), false);
    let asked = stub.next();
    assert_eq!(asked.line, "POST /client/v4/zones/ZONE/purge_cache HTTP/1.1");
    assert_eq!(asked.fields["authorization"], "Bearer wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    assert_eq!(asked.fields["content-type"], "application/json");
    assert_eq!(asked.body, r#"{"prefixes":["shop.example/p"]}"#);
    assert_eq!(told.settled(), (1, 0));
    told.purge(tags(&["a"]), false);
    assert_eq!(stub.next().body, r#"{"tags":["a"]}"#);
    assert_eq!(told.settled(), (1, 1));
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::digest([&pad(0x36)[..], message].concat());
    Sha256::digest([&pad(0x5c)[..], &inner].concat()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The signature that AWS would compute for what arrived.
fn signature_of(asked: &Asked, secret: &str) -> String {
    let authorization = &asked.fields["authorization"];
    let part = |name: &str| authorization.split(name).nth(1).unwrap().split(',').next().unwrap();
    let (scope, names) = (part("Credential=").split_once('/').unwrap().1, part("SignedHeaders="));
    let lines: String = names.split(';').map(|name| format!("{name}:{}\n", asked.fields[name])).collect();
    let path = asked.line.split(' ').nth(1).unwrap();
    let content = hex(&Sha256::digest(&asked.body));
    let request = format!("POST\n{path}\n\n{lines}\n{names}\n{content}");
    let time = &asked.fields["x-amz-date"];
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(request)));
    let key =
        scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    hex(&hmac(&key, to_sign.as_bytes()))
}

#[test]
fn cloudfront_is_told_with_a_signature_over_what_arrives() {
    let stub = Stub::answers(&[CREATED]);
    let mut id = NamedTempFile::new().unwrap();
    writeln!(id, "AKIDEXAMPLE").unwrap();
    let told = relay(stub.address, |key| ContentService::CloudFront {
        distribution: "DIST".into(),
        key_id: Secret::File(id.path().to_owned()),
        session: Some(key.clone()),
        key,
        tags: true,
    });
    told.purge(PurgeWhat::Url("http://shop.example/a?b=1&c=2".into()), false);
    let asked = stub.next();
    assert_eq!(asked.line, "POST /2020-05-31/distribution/DIST/invalidation HTTP/1.1");
    assert!(asked.body.contains("<Items><Path>/a?b=1&amp;c=2</Path></Items>"), "{}", asked.body);
    assert_eq!(asked.fields["content-type"], "text/xml");
    let authorization = &asked.fields["authorization"];
    let day = &asked.fields["x-amz-date"][..8];
    let begin = format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{day}/us-east-1/cloudfront/aws4_request, ");
    assert!(authorization.starts_with(&begin), "{authorization}");
    for name in ["host", "x-amz-date", "x-amz-security-token", "content-type"] {
        assert!(authorization.contains(name), "{name} is not signed: {authorization}");
    }
    let signature = signature_of(&asked, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    assert!(authorization.ends_with(&format!("Signature={signature}")), "{authorization}\n{signature}");
    assert_eq!(told.settled(), (1, 0));
}

#[test]
fn what_passes_is_tried_again_with_the_same_reference() {
    let stub = Stub::answers(&[BUSY, TOO_MANY, CREATED]);
    let told = relay(stub.address, |key| ContentService::CloudFront {
        distribution: "DIST".into(),
        key_id: key.clone(),
        session: None,
        key,
        tags: false,
    });
    told.purge(PurgeWhat::All, false);
    let bodies = [stub.next().body, stub.next().body, stub.next().body];
    assert!(
        bodies[0] == bodies[1] && bodies[1] == bodies[2],
        "one invalidation, however often it is asked for"
    );
    assert_eq!(told.settled(), (1, 0));
    assert!(told.events.lock().unwrap().is_empty(), "what helped itself is no event");
}

#[test]
fn what_is_refused_is_said_once_and_counted_and_so_is_that_it_goes_again() {
    let stub = Stub::answers(&[FORBIDDEN, FORBIDDEN, OK]);
    let told = relay(stub.address, fastly);
    told.purge(PurgeWhat::All, false);
    assert_eq!(told.settled(), (0, 1));
    told.purge(PurgeWhat::All, false);
    assert_eq!(told.settled(), (0, 2));
    let (_, trouble) = told.relay.status()[0].trouble.clone().unwrap();
    assert_eq!(trouble, "fastly answers 403: bad token");
    assert_eq!(
        *told.events.lock().unwrap(),
        ["front (fastly) was not told of a purge: fastly answers 403: bad token"]
    );
    told.purge(PurgeWhat::All, false);
    assert_eq!(told.settled(), (1, 2));
    assert_eq!(told.relay.status()[0].trouble, None);
    assert_eq!(told.events.lock().unwrap()[1], "front (fastly) is told of purges again");
}

#[test]
fn nobody_at_the_api_is_said_after_a_few_attempts() {
    // A loopback address of this test's own.
    let told = relay("127.83.12.7:9".parse().unwrap(), fastly);
    told.purge(PurgeWhat::All, false);
    assert_eq!(told.settled(), (0, 1));
    let (_, trouble) = told.relay.status()[0].trouble.clone().unwrap();
    assert!(trouble.starts_with("http://127.83.12.7:9 cannot be reached: "), "{trouble}");
    assert!(trouble.ends_with("(5 attempts)"), "{trouble}");
}

#[test]
fn a_secret_that_is_not_there_is_named_and_never_shown() {
    let stub = Stub::answers(&[]);
    let missing = Secret::Variable("TENTPOLE_NO_SUCH_TOKEN".into());
    let told = relay(stub.address, |_| fastly(missing));
    told.purge(PurgeWhat::All, false);
    assert_eq!(told.settled(), (0, 1));
    let (_, trouble) = told.relay.status()[0].trouble.clone().unwrap();
    assert_eq!(trouble, "the environment variable TENTPOLE_NO_SUCH_TOKEN is not set");
}

#[test]
fn a_queue_that_is_full_loses_the_newest_and_says_so() {
    // It accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let told = relay(silent.local_addr().unwrap(), fastly);
    for number in 0..2_000 {
        told.purge(PurgeWhat::Url(format!("http://shop.example/{number}")), false);
    }
    let status = &told.relay.status()[0];
    assert!(status.failed > 0 && status.waiting <= 1_024 + 256, "{status:?}");
    assert!(told.events.lock().unwrap()[0].contains("1024 purges wait already"));
}

#[cfg(feature = "tls")]
#[test]
fn an_api_that_does_not_speak_tls_is_trouble_and_no_panic() {
    let stub = Stub::answers(&[]);
    let told = relay_to(format!("https://{}", stub.address), fastly);
    told.purge(PurgeWhat::All, false);
    assert_eq!(told.settled(), (0, 1));
    let (_, trouble) = told.relay.status()[0].trouble.clone().unwrap();
    assert!(trouble.contains("cannot be reached: "), "{trouble}");
}
