//! Asks name servers: by UDP from a port of its own for each question, by TCP what does not fit; one after the other, as
//! often as the system's settings say. What is not an answer to the question is not listened to.

use crate::trouble::Trouble;
use crate::wire::{Answer, Question, Read};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Bytes of an answer by UDP. We announce no more than 512 (RFC 1035 section 2.3.4); who sends more is heard.
const DATAGRAM_MAX: usize = 4_096;
/// Datagrams that do not answer the question. After so many somebody is guessing, and it is asked by TCP, where one cannot.
const GUESSES_MAX: usize = 16;

/// Who is asked, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Servers {
    /// In this order; at least one.
    pub(crate) addresses: Vec<SocketAddr>,
    /// For one question to one server.
    pub(crate) time: Duration,
    /// How often all are asked.
    pub(crate) rounds: u32,
    /// Each question begins with another server.
    pub(crate) rotate: bool,
}

/// What was said, and by whom.
pub(crate) struct Said<T> {
    pub(crate) what: T,
    pub(crate) by: SocketAddr,
}

/// Asks one server after the other until one answers, also that there is nothing. `questions` counts what is sent.
pub(crate) async fn ask(
    servers: &Servers,
    question: &Question,
    questions: &AtomicU64,
) -> Result<Said<Answer>, Said<Trouble>> {
    let count = servers.addresses.len();
    let first = if servers.rotate { usize::from(unguessable()) } else { 0 };
    let mut last = Said { what: Trouble::NoName, by: SocketAddr::from(([0, 0, 0, 0], 0)) };
    for turn in 0..count * servers.rounds.max(1) as usize {
        let by = servers.addresses[(first + turn) % count];
        match ask_one(by, servers.time, question, questions).await {
            Ok(what) => return Ok(Said { what, by }),
            Err(what) if what.is_absence() || what == Trouble::Aliases => return Err(Said { what, by }),
            Err(what) => last = Said { what, by },
        }
    }
    Err(last)
}

async fn ask_one(
    server: SocketAddr,
    time: Duration,
    question: &Question,
    questions: &AtomicU64,
) -> Result<Answer, Trouble> {
    let id = unguessable();
    let bytes = question.bytes(id).ok_or(Trouble::NoName)?;
    questions.fetch_add(1, Ordering::Relaxed);
    let by_datagram = timeout(time, by_datagram(server, question, id, &bytes));
    let read = by_datagram.await.unwrap_or(Err(Trouble::TimedOut(time)))?;
    let read = match read {
        Read::Truncated | Read::NotOurs => {
            questions.fetch_add(1, Ordering::Relaxed);
            let by_stream = timeout(time, by_stream(server, question, id, &bytes));
            by_stream.await.unwrap_or(Err(Trouble::TimedOut(time)))?
        }
        read => read,
    };
    match read {
        Read::Answered(answer) => Ok(answer),
        Read::Not(trouble) => Err(trouble),
        Read::Truncated | Read::NotOurs => Err(Trouble::Malformed),
    }
}

/// [`Read::NotOurs`] when only others spoke.
async fn by_datagram(
    server: SocketAddr,
    question: &Question,
    id: u16,
    bytes: &[u8],
) -> Result<Read, Trouble> {
    // The system chooses a port that is hard to guess (RFC 5452), and a connected socket hears this server alone.
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
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
    let number = RandomState::new().hash_one(0);
    (number >> 24) as u16
}
