//! A name server for tests (RFC 1035, UDP and TCP on one port of loopback): says what it is told to say, misbehaves when it
//! is told to, and counts what it is asked. Knows only its own names; asks nobody.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Types of records (RFC 1035 section 3.2.2, RFC 3596, RFC 2782).
const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const SRV: u16 = 33;
/// Seconds that it counts that there is nothing.
const NEGATIVE_TTL: u32 = 1;
/// Aliases of one answer.
const ALIASES_MAX: usize = 20;

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An address.
    Address(IpAddr),
    /// Another name.
    Alias(String),
    /// A target of a service: priority, weight, port, host.
    Service(u16, u16, u16, String),
}

/// What it does instead of answering well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// It answers well.
    #[default]
    None,
    /// It says nothing.
    Silent,
    /// It cannot (SERVFAIL).
    Fails,
    /// It says the right thing under another id.
    WrongId,
    /// It sends so many made-up answers before the right one: with other ids, other questions and a wrong address.
    Forged(usize),
    /// By UDP it says that the answer does not fit, and cuts it short.
    Truncates,
}

/// The server as it runs; dropping it ends it.
pub struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ending: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    names: HashMap<String, (u32, Vec<Record>)>,
    /// Of names that lead to one address at a time: all of them, and how often each was asked for its addresses of IPv4.
    turns: HashMap<String, (Vec<Record>, usize)>,
    fault: Fault,
    questions: HashMap<(String, u16), usize>,
    by_tcp: usize,
}

impl NameServer {
    /// Knows no name yet.
    ///
    /// # Panics
    /// When loopback has no port that is free for both.
    pub fn start() -> Self {
        let (udp, tcp) = (0..32)
            .find_map(|_| {
                let udp = UdpSocket::bind("127.0.0.1:0").ok()?;
                let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
                Some((udp, tcp))
            })
            .expect("loopback has a port for UDP and TCP");
        Self::at(udp, tcp)
    }

    /// One that stands where another one stood.
    ///
    /// # Panics
    /// When somebody else is there.
    pub fn start_at(address: SocketAddr) -> Self {
        let udp = UdpSocket::bind(address).expect("the address is free");
        let tcp = TcpListener::bind(address).expect("the address is free");
        Self::at(udp, tcp)
    }

    fn at(udp: UdpSocket, tcp: TcpListener) -> Self {
        let address = udp.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let (one, other) = (shared.clone(), shared.clone());
        let threads = vec![
            std::thread::spawn(move || one.by_datagram(&udp)),
            std::thread::spawn(move || other.by_stream(&tcp)),
        ];
        Self { address, shared, threads }
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A name leads there from now on; nowhere (without records) it exists and has nothing.
    pub fn tell(&self, name: &str, ttl_s: u32, records: &[Record]) {
        let mut told = self.shared.told();
        told.turns.remove(name);
        told.names.insert(name.to_owned(), (ttl_s, records.to_vec()));
    }

    /// A name leads to these addresses from now on.
    ///
    /// # Panics
    /// When one is none.
    pub fn leads(&self, name: &str, ttl_s: u32, addresses: &[&str]) {
        let address = |text: &&str| Record::Address(text.parse().expect("an IP address"));
        self.tell(name, ttl_s, &addresses.iter().map(address).collect::<Vec<_>>());
    }

    /// A name leads to one of these addresses of IPv4, for each question the next one.
    ///
    /// # Panics
    /// When one is none.
    pub fn leads_in_turn(&self, name: &str, ttl_s: u32, addresses: &[&str]) {
        let address = |text: &&str| Record::Address(text.parse().expect("an IP address"));
        let all: Vec<_> = addresses.iter().map(address).collect();
        let mut told = self.shared.told();
        told.names.insert(name.to_owned(), (ttl_s, Vec::new()));
        told.turns.insert(name.to_owned(), (all, 0));
    }

    /// There is no such name any more.
    pub fn forget(&self, name: &str) {
        let mut told = self.shared.told();
        told.names.remove(name);
        told.turns.remove(name);
    }

    /// Misbehaves from now on.
    pub fn misbehaves(&self, fault: Fault) {
        self.shared.told().fault = fault;
    }

    /// How often it was asked for anything.
    pub fn questions(&self) -> usize {
        self.shared.told().questions.values().sum()
    }

    /// How often it was asked for this name, of whatever type.
    pub fn questions_for(&self, name: &str) -> usize {
        let told = self.shared.told();
        told.questions.iter().filter(|((asked, _), _)| asked == name).map(|(_, count)| count).sum()
    }

    /// How often it was asked for this name's records of this type, as a number.
    pub fn questions_of_type(&self, name: &str, kind: u16) -> usize {
        self.shared.told().questions.get(&(name.to_owned(), kind)).copied().unwrap_or_default()
    }

    /// How many of all questions came by TCP.
    pub fn by_tcp(&self) -> usize {
        self.shared.told().by_tcp
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        // Both wait in the kernel: this wakes them.
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            let _ = socket.send_to(&[0], self.address);
        }
        let _ = TcpStream::connect(self.address);
        self.threads.drain(..).for_each(|thread| _ = thread.join());
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_datagram(&self, socket: &UdpSocket) {
        let mut bytes = [0; 1_500];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
            if self.ending.load(Ordering::Relaxed) {
                return;
            }
            for answer in self.told().answers(&bytes[..length], false) {
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    fn by_stream(&self, listener: &TcpListener) {
        loop {
            let Ok((mut stream, _)) = listener.accept() else { continue };
            if self.ending.load(Ordering::Relaxed) {
                return;
            }
            let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut bytes).is_err() {
                continue;
            }
            for answer in self.told().answers(&bytes, true) {
                let length = (answer.len() as u16).to_be_bytes();
                let _ = stream.write_all(&[&length, &answer[..]].concat());
            }
        }
    }
}

impl Told {
    /// What to send, one after the other.
    fn answers(&mut self, question: &[u8], by_tcp: bool) -> Vec<Vec<u8>> {
        let Some((name, kind, end)) = asked(question) else { return Vec::new() };
        *self.questions.entry((name.clone(), kind)).or_default() += 1;
        self.by_tcp += usize::from(by_tcp);
        if let Some((all, turn)) = self.turns.get_mut(&name).filter(|_| kind == A)
            && let Some((_, records)) = self.names.get_mut(&name)
        {
            *records = all.get(*turn % all.len().max(1)).cloned().into_iter().collect();
            *turn += 1;
        }
        let question = &question[..end];
        let good = || self.answer(question, &name, kind);
        match self.fault {
            Fault::None => vec![good()],
            Fault::Silent => Vec::new(),
            Fault::Fails => vec![message(question, 2, false, &[], &[])],
            Fault::WrongId => vec![other_id(good(), 1)],
            Fault::Forged(count) if !by_tcp => {
                let mut all: Vec<_> = (0..count).map(|number| forged(question, number)).collect();
                all.push(good());
                all
            }
            Fault::Truncates if !by_tcp => vec![message(question, 0, true, &[], &[])],
            Fault::Forged(_) | Fault::Truncates => vec![good()],
        }
    }

    fn answer(&self, question: &[u8], name: &str, kind: u16) -> Vec<u8> {
        let mut answers = Vec::new();
        let mut name = name.to_owned();
        let mut known = true;
        for _ in 0..ALIASES_MAX {
            let Some((ttl, records)) = self.names.get(&name) else {
                known = !answers.is_empty();
                break;
            };
            answers.extend(records.iter().filter_map(|it| it.bytes(&name, *ttl, kind)));
            let alias =
                records.iter().find_map(|it| if let Record::Alias(to) = it { Some(to) } else { None });
            let Some(to) = alias else { break };
            name = to.clone();
        }
        let nothing = if answers.is_empty() { vec![start_of_authority()] } else { Vec::new() };
        message(question, if known { 0 } else { 3 }, false, &answers, &nothing)
    }
}

impl Record {
    /// As an answer to a question of this type; `None` when it is none.
    fn bytes(&self, name: &str, ttl: u32, kind: u16) -> Option<Vec<u8>> {
        let (of, data) = match self {
            Self::Address(IpAddr::V4(ip)) if kind == A => (A, ip.octets().to_vec()),
            Self::Address(IpAddr::V6(ip)) if kind == AAAA => (AAAA, ip.octets().to_vec()),
            Self::Alias(to) => (CNAME, labels(to)),
            Self::Service(priority, weight, port, host) if kind == SRV => {
                let numbers = [*priority, *weight, *port].map(u16::to_be_bytes).concat();
                (SRV, [numbers, labels(host)].concat())
            }
            _ => return None,
        };
        Some(record(name, of, ttl, &data))
    }
}

/// The name, lower case, and the type that are asked for, and where the question ends.
fn asked(bytes: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut name) = (12, Vec::new());
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(bytes.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = bytes.get(at..at + 2)?;
    Some((name.join("."), u16::from_be_bytes([kind[0], kind[1]]), at + 4))
}

/// A response with the question's id and question.
fn message(
    question: &[u8],
    code: u8,
    truncated: bool,
    answers: &[Vec<u8>],
    authority: &[Vec<u8>],
) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2] = 0x81 | if truncated { 0x02 } else { 0 };
    bytes[3] = 0x80 | code;
    for (at, count) in [(4, 1), (6, answers.len()), (8, authority.len()), (10, 0)] {
        bytes[at..at + 2].copy_from_slice(&(count as u16).to_be_bytes());
    }
    bytes.extend(answers.concat());
    bytes.extend(authority.concat());
    bytes
}

fn record(name: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = labels(name);
    bytes.extend([kind, 1].map(u16::to_be_bytes).concat());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn start_of_authority() -> Vec<u8> {
    let numbers = [1, 60, 60, 60, NEGATIVE_TTL].map(u32::to_be_bytes).concat();
    record("", SOA, NEGATIVE_TTL, &[labels("ns.test"), labels("nobody.test"), numbers].concat())
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn other_id(mut message: Vec<u8>, by: u16) -> Vec<u8> {
    let id = u16::from_be_bytes([message[0], message[1]]).wrapping_add(by);
    message[..2].copy_from_slice(&id.to_be_bytes());
    message
}

/// What somebody would send who cannot see the question: now a guessed id, now another question.
fn forged(question: &[u8], number: usize) -> Vec<u8> {
    let (name, ..) = asked(question).unwrap_or_default();
    let lie = record(&name, A, 600, &[203, 0, 113, 66]);
    if number.is_multiple_of(2) {
        return other_id(message(question, 0, false, &[lie], &[]), number as u16 + 1);
    }
    let other = [&question[..12], &labels("bank.test"), &question[question.len() - 4..]].concat();
    message(&other, 0, false, &[lie], &[])
}
