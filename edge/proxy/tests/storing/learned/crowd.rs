//! Visitors with addresses of their own (all of 127.0.0.0/8 is this machine's), before an edge that applies what it
//! learns, before an application that is a function of the request's head.

use crate::common::{Asked, Running, endpoint, learning_edge};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_model::{Learn, PurgeOrder, PurgeWhat, Snapshot};
use tentpole_proxy::LearningLimits;
use tentpole_runtime::clock;

/// A browser's usual fields. With other languages and devices, so that there is evidence that they do not matter.
const BROWSERS: [&str; 3] = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0\r\nAccept: text/html\r\nAccept-Language: de-DE,de;q=0.8\r\n",
    "User-Agent: Mozilla/5.0 (iPhone) Mobile Safari\r\nAccept: */*\r\nAccept-Language: fr\r\n",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/145.0\r\nAccept: text/html\r\nAccept-Language: en-GB\r\n",
];

pub struct Crowd {
    edge: Running,
    asked: Asked,
    /// Who got a word that may be had once.
    once: Mutex<HashMap<String, String>>,
    hits: AtomicU64,
}

pub struct Got {
    pub head: String,
    pub body: String,
    pub hit: bool,
}

/// What an application sees of a request.
pub struct Seen<'a> {
    pub head: &'a str,
    /// Different each time.
    pub number: u64,
}

impl Seen<'_> {
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (of, value) = line.split_once(": ")?;
            of.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.field("Cookie")?.split("; ");
        pairs.filter_map(|pair| pair.split_once('=')).find(|(of, _)| *of == name).map(|(_, value)| value)
    }
}

/// A page without a word about caching.
pub fn page(body: impl AsRef<str>) -> String {
    with("Content-Type: text/html\r\n", body)
}

pub fn with(fields: &str, body: impl AsRef<str>) -> String {
    let body = body.as_ref();
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

impl Crowd {
    pub fn before(application: impl Fn(&Seen<'_>) -> String + Send + Sync + 'static) -> Self {
        let limits = LearningLimits { span_ms: 30, bar_first_ms: 60_000, ..LearningLimits::default() };
        Self::behind(limits, |_| {}, application)
    }

    /// With other settings.
    pub fn behind(
        limits: LearningLimits,
        change: impl FnOnce(&mut Snapshot),
        application: impl Fn(&Seen<'_>) -> String + Send + Sync + 'static,
    ) -> Self {
        let number = AtomicU64::new(0);
        let (address, asked) =
            endpoint(move |head| application(&Seen { head, number: number.fetch_add(1, Ordering::Relaxed) }));
        let edge = learning_edge(address, limits, |snapshot| {
            snapshot.cachings[0].learn = Learn::Apply;
            change(snapshot);
        });
        Self { edge, asked, once: Mutex::default(), hits: AtomicU64::new(0) }
    }

    /// One request of the visitor with this number, in his usual browser.
    pub fn ask(&self, visitor: u8, path: &str, fields: &str) -> Got {
        self.ask_as(visitor, path, &format!("{}{fields}", BROWSERS[usize::from(visitor) % 3]))
    }

    /// The same, with these fields alone. Checks that nothing in the answer was made for somebody else.
    pub fn ask_as(&self, visitor: u8, path: &str, fields: &str) -> Got {
        let from = SocketAddrV4::new(Ipv4Addr::new(127, 1, 0, visitor), 0);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::from(SocketAddr::V4(from))).unwrap();
        socket.connect(&SockAddr::from(self.edge.address)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut socket = std::net::TcpStream::from(socket);
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let got = Got { head: head.to_owned(), body: body.to_owned(), hit: head.contains("tentpole; hit") };
        self.hits.fetch_add(u64::from(got.hit), Ordering::Relaxed);
        self.check(visitor, &request, &got);
        got
    }

    /// `for-X` stands in what was made for X, of whom something stands in the request, or who has the address X.
    /// `once-X` may be had by one request only.
    fn check(&self, visitor: u8, request: &str, got: &Got) {
        let all = format!("{}\n{}", got.head, got.body);
        for word in all.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.') {
            if let Some(owner) = word.strip_prefix("for-") {
                let own = request.contains(owner) || owner == format!("127.1.0.{visitor}");
                assert!(own, "{word} for visitor {visitor}, who asked\n{request}and got\n{all}");
            }
            if word.starts_with("once-") {
                let before = self.once.lock().unwrap().insert(word.to_owned(), request.to_owned());
                assert!(before.is_none(), "{word} again, for\n{request}and got\n{all}");
            }
        }
    }

    /// Nine visitors in turn, until one is served from the cache, and what he got. Each without a cookie. The one after
    /// him may be the one who goes to see whether the page is still the same.
    pub fn until_hit(&self, path: &str) -> Got {
        self.until_hit_with(path, "")
    }

    pub fn until_hit_with(&self, path: &str, fields: &str) -> Got {
        self.until(path, fields, |got| got.hit)
    }

    /// The same, until what is in the cache is this.
    pub fn until_hit_says(&self, path: &str, body: &str) -> Got {
        self.until(path, "", |got| got.hit && got.body == body)
    }

    fn until(&self, path: &str, fields: &str, is_it: impl Fn(&Got) -> bool) -> Got {
        let mut last = Got { head: String::new(), body: String::new(), hit: false };
        // A rule takes some ten requests and 30 ms, and the learner's thread some more.
        let is_so = self.eventually(|round| {
            last = self.ask(1 + (round % 9) as u8, path, fields);
            is_it(&last)
        });
        if is_so {
            return last;
        }
        panic!("{path} is not learned: {:#}\n{}\n\n{}", self.advice(), last.head, last.body);
    }

    /// Calls it with 0, 1, 2 and so on, until it says yes; no when it does not for too long. What was heard comes to the
    /// learner's own thread, which may have to wait for a processor.
    pub fn eventually(&self, mut is_so: impl FnMut(u32) -> bool) -> bool {
        let until = clock::now().after(Duration::from_secs(20));
        for round in 0.. {
            if is_so(round) {
                return true;
            }
            if clock::now() > until {
                break;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        false
    }

    /// A request with another method or version, from this machine; its whole answer.
    pub fn raw(&self, line: &str, fields: &str) -> String {
        self.edge.ask(&format!("{line}\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n"))
    }

    /// So many requests by all visitors in turn; how many were served from the cache.
    pub fn rounds(&self, count: u32, path: &str, fields: impl Fn(u8) -> String) -> u32 {
        let each = (0..count).map(|round| {
            let visitor = 1 + (round % 9) as u8;
            u32::from(self.ask(visitor, path, &fields(visitor)).hit)
        });
        each.sum()
    }

    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Nothing is stored after this, and the rules stay.
    pub fn purge(&self) {
        self.edge.purger.purge(&PurgeOrder::hard(PurgeWhat::All)).unwrap();
    }

    /// Heads of the requests that the application got.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub fn advice(&self) -> Value {
        serde_json::from_str(&(self.edge.advice)()).unwrap()
    }

    /// The row of advice for pages of this shape.
    pub fn row(&self, pages: &str) -> Value {
        let advice = self.advice();
        let row = advice["rules"].as_array().unwrap().iter().find(|row| row["pages"] == pages);
        row.cloned().unwrap_or_else(|| panic!("no {pages} in {advice:#}"))
    }

    /// Waits until so many rules are in force.
    pub fn until_in_force(&self, count: u64) {
        let until = clock::now().after(Duration::from_secs(10));
        while self.advice()["in_force"].as_u64() < Some(count) {
            assert!(clock::now() < until, "{:#}", self.advice());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A switch that an application looks at.
#[derive(Clone, Default)]
pub struct Switch(Arc<AtomicU64>);

impl Switch {
    pub fn set(&self, to: u64) {
        self.0.store(to, Ordering::SeqCst);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
