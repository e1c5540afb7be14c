//! Lines between coordinator and agent: first who each is, then messages as JSON, each with a code over its direction, its
//! number and its text, so that nobody in between can change, repeat or leave out one. Lines have a longest length.

use crate::agents::key::{Key, nonce};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What an agent says first.
const GREETING: &str = "tentpole-load-agent";
/// For each line of the beginning.
const HELLO_TIME: Duration = Duration::from_secs(5);
const HELLO_BYTES_MAX: u64 = 512;
/// A plan with the rows of its files is the longest.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// A side that is not heard for so long is gone.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Who a side is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version: String,
    pub(crate) threads: u32,
    pub(crate) cores: u32,
}

/// Says messages.
#[derive(Debug)]
pub(crate) struct Teller {
    stream: TcpStream,
    key: Key,
    direction: &'static str,
    number: u64,
}

/// Hears them.
#[derive(Debug)]
pub(crate) struct Listener {
    stream: BufReader<TcpStream>,
    key: Key,
    direction: &'static str,
    number: u64,
}

const FROM_AGENT: &str = "agent";
const FROM_COORDINATOR: &str = "coordinator";

fn wrong(says: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, says)
}

fn line(stream: &mut BufReader<TcpStream>, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.take(bytes_max).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    String::from_utf8(bytes).map_err(|_| wrong("no text"))
}

fn ready(stream: &TcpStream) -> io::Result<BufReader<TcpStream>> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HELLO_TIME))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    Ok(BufReader::new(stream.try_clone()?))
}

fn sides(
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    key: &Key,
    directions: (&'static str, &'static str),
) -> io::Result<(Teller, Listener)> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let (teller, listener) = directions;
    Ok((
        Teller { stream, key: key.clone(), direction: teller, number: 0 },
        Listener { stream: reader, key: key.clone(), direction: listener, number: 0 },
    ))
}

/// The agent's side of the beginning: says nothing of itself to who cannot prove that he has the key. `None` for one of
/// another version, who has been told.
pub(crate) fn welcome(stream: TcpStream, key: &Key, own: &Hello) -> io::Result<Option<(Teller, Listener)>> {
    let mut reader = ready(&stream)?;
    let ours = nonce()?;
    writeln!(&stream, "{GREETING} {ours}")?;
    let said = line(&mut reader, HELLO_BYTES_MAX)?;
    let [theirs, version, code] = said.split(' ').collect::<Vec<_>>()[..] else {
        return Err(wrong("no hello"));
    };
    if !key.is_code(code, &[FROM_COORDINATOR, &ours, theirs, version]) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "wrong key"));
    }
    let (threads, cores) = (own.threads.to_string(), own.cores.to_string());
    let code = key.code(&[FROM_AGENT, theirs, &ours, &own.version, &threads, &cores]);
    writeln!(&stream, "{} {threads} {cores} {code}", own.version)?;
    if version != own.version {
        return Ok(None);
    }
    let key = key.of_connection(&ours, theirs);
    sides(stream, reader, &key, (FROM_AGENT, FROM_COORDINATOR)).map(Some)
}

/// The coordinator's side of it. Errors say what is wrong in words that go on after the agent's name.
pub(crate) fn greet(
    stream: TcpStream,
    key: &Key,
    version: &str,
) -> Result<(Hello, Teller, Listener), String> {
    let failed = |error: io::Error| {
        match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "has another key, or is busy with other connections: it went away without a word. Both sides need the same \
             --key"
                .to_owned()
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "says nothing: perhaps it is no agent".to_owned(),
        _ => format!("cannot be spoken to: {error}"),
    }
    };
    let mut reader = ready(&stream).map_err(failed)?;
    let said = line(&mut reader, HELLO_BYTES_MAX).map_err(failed)?;
    let theirs = said.strip_prefix(GREETING).map(str::trim).filter(|nonce| nonce.len() == 32);
    let theirs = theirs.ok_or("is no agent: start one there with `tentpole load agent`")?.to_owned();
    let ours = nonce().map_err(failed)?;
    let code = key.code(&[FROM_COORDINATOR, &theirs, &ours, version]);
    writeln!(&stream, "{ours} {version} {code}").map_err(failed)?;
    let said = line(&mut reader, HELLO_BYTES_MAX).map_err(failed)?;
    let [other, threads, cores, code] = said.split(' ').collect::<Vec<_>>()[..] else {
        return Err("is no agent: it answers something else".to_owned());
    };
    if !key.is_code(code, &[FROM_AGENT, &ours, &theirs, other, threads, cores]) {
        return Err("does not know the key that it must know: somebody else answers there".to_owned());
    }
    if other != version {
        return Err(format!("is Tentpole {other}, and this is {version}. Install the same version on both"));
    }
    let number = |text: &str| text.parse().unwrap_or(1);
    let hello = Hello { version: other.to_owned(), threads: number(threads), cores: number(cores) };
    let key = key.of_connection(&theirs, &ours);
    let (teller, listener) = sides(stream, reader, &key, (FROM_COORDINATOR, FROM_AGENT)).map_err(failed)?;
    Ok((hello, teller, listener))
}

impl Teller {
    pub(crate) fn tell(&mut self, message: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(message).map_err(io::Error::other)?;
        if text.len() as u64 > LINE_BYTES_MAX - 128 {
            return Err(wrong("too much for one message: are the rows of its files more than 64 MiB?"));
        }
        let code = self.key.code(&[self.direction, &self.number.to_string(), &text]);
        self.number += 1;
        self.stream.write_all(format!("{code} {text}\n").as_bytes())
    }

    /// Says no more; the other side hears that.
    pub(crate) fn close(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

impl Listener {
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let said = line(&mut self.stream, LINE_BYTES_MAX)?;
        let (code, text) = said.split_once(' ').ok_or_else(|| wrong("no message"))?;
        if !self.key.is_code(code, &[self.direction, &self.number.to_string(), text]) {
            return Err(wrong("a message that the other side did not write"));
        }
        self.number += 1;
        serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_message_that_was_changed_or_repeated_is_not_heard() {
        let key = Key::new("0123456789abcdef").expect("long enough");
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let there = TcpStream::connect(socket.local_addr().expect("bound")).expect("it listens");
        let (here, _) = socket.accept().expect("a connection");
        let (mut teller, _) =
            sides(there.try_clone().expect("a copy"), BufReader::new(there), &key, ("a", "b"))
                .expect("sides");
        let (_, mut listener) =
            sides(here.try_clone().expect("a copy"), BufReader::new(here), &key, ("b", "a")).expect("sides");
        teller.tell(&1).expect("told");
        assert_eq!(listener.hear::<u32>().expect("heard"), 1);
        teller.number = 0;
        teller.tell(&1).expect("told");
        assert!(listener.hear::<u32>().is_err(), "the same again");
        teller.number = 2;
        teller.tell(&1).expect("told");
        assert!(listener.hear::<u32>().is_err(), "one is missing");
    }
}
