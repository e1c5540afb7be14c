//! Asks name servers as a resolver does: by UDP from a port of its own for each question, by TCP what does not fit, one
//! server after the other. The question is on its way before anything else is asked, so that questions keep their order.

use crate::trouble::Trouble;
use crate::wire::{ALIASES_MAX, Answer, Family, Question, Read};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// For one question to one server; each is asked twice.
const TIME: Duration = Duration::from_secs(2);
const ROUNDS: usize = 2;
/// Bytes of an answer by UDP. No more than 512 is announced (RFC 1035 section 2.3.4); who sends more is heard.
const DATAGRAM_MAX: usize = 4_096;
/// Datagrams that answer something else, after which TCP is asked.
const GUESSES_MAX: usize = 16;

/// Asks for the addresses of a name: IPv4, and IPv6 where there is none. Counts what is sent.
///
/// # Errors
/// Why there is no address.
pub(crate) async fn ask(
    servers: &[SocketAddr],
    name: &str,
    questions: &AtomicU64,
) -> Result<Answer, Trouble> {
    match of_family(servers, name, Family::V4, questions).await {
        Err(Trouble::NoAddress { .. }) => of_family(servers, name, Family::V6, questions).await,
        other => other,
    }
}

async fn of_family(
    servers: &[SocketAddr],
    name: &str,
    family: Family,
    questions: &AtomicU64,
) -> Result<Answer, Trouble> {
    let (mut name, mut ttl_s) = (name.to_owned(), u32::MAX);
    for _ in 0..=ALIASES_MAX {
        let question = Question::new(&name, family).ok_or(Trouble::NoName)?;
        let mut answer = any(servers, &question, questions).await?;
        ttl_s = ttl_s.min(answer.ttl_s);
        match answer.alias.take() {
            Some(alias) => name = alias,
            None => return Ok(Answer { ttl_s, ..answer }),
        }
    }
    Err(Trouble::Aliases)
}

async fn any(servers: &[SocketAddr], question: &Question, questions: &AtomicU64) -> Result<Answer, Trouble> {
    let mut last = Trouble::TimedOut(TIME);
    for server in (0..ROUNDS).flat_map(|_| servers) {
        match one(*server, question, questions).await {
            Err(trouble) if !trouble.is_absence() => last = trouble,
            said => return said,
        }
    }
    Err(last)
}

async fn one(server: SocketAddr, question: &Question, questions: &AtomicU64) -> Result<Answer, Trouble> {
    let id = unguessable();
    let bytes = question.bytes(id).ok_or(Trouble::NoName)?;
    questions.fetch_add(1, Relaxed);
    let asked = timeout(TIME, by_datagram(server, question, id, &bytes));
    let mut read = asked.await.unwrap_or(Err(Trouble::TimedOut(TIME)))?;
    if matches!(read, Read::Truncated | Read::NotOurs) {
        questions.fetch_add(1, Relaxed);
        let asked = timeout(TIME, by_stream(server, question, id, &bytes));
        read = asked.await.unwrap_or(Err(Trouble::TimedOut(TIME)))?;
    }
    match read {
        Read::Answered(answer) => Ok(answer),
        Read::Not(trouble) => Err(trouble),
        Read::Truncated | Read::NotOurs => Err(Trouble::Malformed),
    }
}

async fn by_datagram(
    server: SocketAddr,
    question: &Question,
    id: u16,
    bytes: &[u8],
) -> Result<Read, Trouble> {
    // The system chooses a port that is hard to guess (RFC 5452); a connected socket hears this server alone.
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    // Now, and not when the runtime has seen that it may.
    socket.send(bytes)?;
    let socket = UdpSocket::from_std(socket)?;
    let mut answer = vec![0; DATAGRAM_MAX];
    for _ in 0..GUESSES_MAX {
        let length = socket.recv(&mut answer).await?;
        match question.read(id, &answer[..length]) {
            Read::NotOurs => {}
            read => return Ok(read),
        }
    }
    Ok(Read::NotOurs)
}

/// RFC 1035 section 4.2.2: the length in two bytes before each message.
async fn by_stream(server: SocketAddr, question: &Question, id: u16, bytes: &[u8]) -> Result<Read, Trouble> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| Trouble::NoName)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).await?;
    Ok(question.read(id, &answer))
}

/// A number that nobody can guess: the system's randomness keys this hash anew for each.
fn unguessable() -> u16 {
    (RandomState::new().hash_one(0) >> 24) as u16
}
