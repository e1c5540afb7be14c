//! Passes on what an application says, line by line, each behind the instance's name. A terminal that stands still holds
//! the application up for a moment and no longer: then lines are left out, and their number is said.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Bytes of one line; a longer one becomes several. With the name it still is one write that no other cuts in two
/// (PIPE_BUF is 4,096 bytes).
const LINE_BYTES_MAX: usize = 3_900;
/// Lines that wait to be written.
const LINES_MAX: usize = 256;
/// How long the application waits for a line to be written, once.
const STANDSTILL_MAX: Duration = Duration::from_secs(1);
/// How long what is left may take at the end.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// The way from an application's pipes to standard error.
pub(super) struct Output {
    prefix: Vec<u8>,
    lines: mpsc::Sender<Vec<u8>>,
    readers: Vec<JoinHandle<()>>,
    written: oneshot::Receiver<()>,
}

impl Output {
    /// Begins; lines will look like `NAME | line`.
    ///
    /// # Errors
    /// When no thread can be made: writing waits, and nothing else may wait with it.
    pub fn start(name: &str) -> io::Result<Self> {
        let (lines, mut queue) = mpsc::channel::<Vec<u8>>(LINES_MAX);
        let (done, written) = oneshot::channel();
        std::thread::Builder::new().name("output".into()).spawn(move || {
            while let Some(line) = queue.blocking_recv() {
                // Nobody reading is no reason to end the application.
                let _ = io::stderr().write_all(&line);
            }
            let _ = done.send(());
        })?;
        let prefix = format!("{name} | ").into_bytes();
        Ok(Self { prefix, lines, readers: Vec::new(), written })
    }

    /// Passes on what comes out of this pipe.
    ///
    /// # Errors
    /// When it is no pipe.
    pub fn copy(&mut self, pipe: OwnedFd) -> io::Result<()> {
        let pipe = pipe::Receiver::from_owned_fd(pipe)?;
        let to = Gate { lines: self.lines.clone(), prefix: self.prefix.clone(), stuck: false, left_out: 0 };
        self.readers.push(tokio::spawn(copy(pipe, to)));
        Ok(())
    }

    /// Waits until everything is written that the application said, but not for long.
    pub async fn finish(self) {
        let Self { lines, readers, written, .. } = self;
        drop(lines);
        let read = async {
            for reader in readers {
                // One that panicked has said so.
                let _ = reader.await;
            }
            let _ = written.await;
        };
        let _ = timeout(FINISH_MAX, read).await;
    }
}

async fn copy(mut pipe: pipe::Receiver, mut to: Gate) {
    let mut lines = Lines::default();
    let mut piece = vec![0; 16 << 10];
    while let Ok(length @ 1..) = pipe.read(&mut piece).await {
        let mut rest = &piece[..length];
        while let Some(line) = lines.next(&mut rest) {
            to.pass(line).await;
        }
    }
    if let Some(line) = lines.last() {
        to.pass(line).await;
    }
}

/// Where lines go, or are counted when they cannot.
struct Gate {
    lines: mpsc::Sender<Vec<u8>>,
    prefix: Vec<u8>,
    /// The last line found no room in time.
    stuck: bool,
    left_out: u64,
}

impl Gate {
    async fn pass(&mut self, line: Vec<u8>) {
        let room = match self.stuck {
            true => self.lines.try_reserve().ok(),
            false => timeout(STANDSTILL_MAX, self.lines.reserve()).await.ok().and_then(Result::ok),
        };
        self.stuck = room.is_none();
        let Some(room) = room else {
            self.left_out += 1;
            return;
        };
        let mut whole = Vec::with_capacity(self.prefix.len() + line.len() + 1);
        if self.left_out > 0 {
            whole.extend_from_slice(&self.prefix);
            whole.extend_from_slice(format!("({} lines left out)\n", self.left_out).as_bytes());
            self.left_out = 0;
        }
        whole.extend_from_slice(&self.prefix);
        whole.extend_from_slice(&line);
        whole.push(b'\n');
        room.send(whole);
    }
}

/// Cuts bytes into lines.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The next line, without its end; takes its bytes from `rest`. `None` when no line is complete.
    fn next(&mut self, rest: &mut &[u8]) -> Option<Vec<u8>> {
        let room = LINE_BYTES_MAX - self.begun.len();
        let end = rest.iter().take(room).position(|&byte| byte == b'\n');
        let taken = end.unwrap_or(rest.len().min(room));
        self.begun.extend_from_slice(&rest[..taken]);
        *rest = &rest[taken + usize::from(end.is_some())..];
        if end.is_none() && self.begun.len() < LINE_BYTES_MAX {
            return None;
        }
        if self.begun.last() == Some(&b'\r') {
            self.begun.pop();
        }
        Some(std::mem::take(&mut self.begun))
    }

    /// What was said without an end of line.
    fn last(self) -> Option<Vec<u8>> {
        (!self.begun.is_empty()).then_some(self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for mut rest in pieces.iter().copied() {
            while let Some(line) = lines.next(&mut rest) {
                found.push(line);
            }
            assert!(rest.is_empty());
        }
        found.extend(lines.last());
        found.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        assert_eq!(cut(&[b"one\ntw", b"o\r\n", b"\nend"]), ["one", "two", "", "end"]);
        assert!(cut(&[]).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_becomes_several() {
        let long = vec![b'x'; 2 * LINE_BYTES_MAX + 5];
        let lengths: Vec<usize> = cut(&[&long, b"\nnext\n"]).iter().map(String::len).collect();
        assert_eq!(lengths, [LINE_BYTES_MAX, LINE_BYTES_MAX, 5, 4]);
    }

    #[tokio::test]
    async fn a_standstill_costs_lines_and_no_time() {
        let (lines, mut queue) = mpsc::channel(1);
        let mut gate = Gate { lines, prefix: b"a | ".to_vec(), stuck: false, left_out: 0 };
        gate.pass(b"first".to_vec()).await;
        gate.stuck = true;
        for _ in 0..1_000 {
            gate.pass(b"lost".to_vec()).await;
        }
        assert_eq!(queue.recv().await.unwrap(), b"a | first\n");
        gate.pass(b"again".to_vec()).await;
        assert_eq!(queue.recv().await.unwrap(), b"a | (1000 lines left out)\na | again\n");
    }
}
