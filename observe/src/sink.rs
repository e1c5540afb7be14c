//! Where the access log's lines end up: standard output or a file that may be moved away under us. Runs on its own
//! thread, because a disk may be slow. Lines that cannot be written are dropped and counted, never kept.

use crate::observed::LogCounts;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tentpole_runtime::{Instant, clock, notice};

/// Time between two looks at whether the file was moved away.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time between two complaints on standard error.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Lines to be written.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Whole lines.
    pub(crate) bytes: Vec<u8>,
    /// How many.
    pub(crate) lines: u64,
}

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Sink {
    /// `None` is standard output.
    file: Option<LogFile>,
    looked: Instant,
    complained: Option<Instant>,
    /// The last write broke off: the next one begins with a line end.
    torn: bool,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
}

impl Chunk {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), lines: 0 }
    }
}

impl Sink {
    /// Opens the file to append to; `None` is standard output.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let file = match path {
            Some(path) => Some(LogFile { path: path.to_owned(), file: append_to(path)? }),
            None => None,
        };
        Ok(Self { file, looked: clock::now(), complained: None, torn: false })
    }

    /// Writes until nobody sends any more.
    pub(crate) fn write_all(mut self, inbox: &Receiver<Chunk>, counts: &LogCounts) {
        loop {
            let chunk = match inbox.recv_timeout(LOOK_EVERY) {
                Ok(chunk) => Some(chunk),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if clock::now().since(self.looked) >= LOOK_EVERY {
                self.look(counts);
            }
            let Some(chunk) = chunk else { continue };
            if let Err(error) = self.write(&chunk.bytes) {
                counts.lines_dropped.fetch_add(chunk.lines, Ordering::Relaxed);
                self.complain(&error, counts);
            }
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let torn = std::mem::replace(&mut self.torn, true);
        let result = match &mut self.file {
            Some(LogFile { file, .. }) => write_lines(file, torn, lines),
            None => write_lines(&mut io::stdout().lock(), torn, lines),
        };
        self.torn = result.is_err();
        result
    }

    /// Opens the file anew when its path leads elsewhere: whoever rotates logs moved it away.
    fn look(&mut self, counts: &LogCounts) {
        self.looked = clock::now();
        let Some(log) = &mut self.file else { return };
        if log.is_still_there() {
            return;
        }
        match append_to(&log.path) {
            Ok(file) => {
                log.file = file;
                self.torn = false;
            }
            // The old one still takes lines until the next look.
            Err(error) => self.complain(&error, counts),
        }
    }

    /// Counts the error; says it once a minute.
    fn complain(&mut self, error: &io::Error, counts: &LogCounts) {
        counts.errors.fetch_add(1, Ordering::Relaxed);
        let now = clock::now();
        if self.complained.is_some_and(|then| now.since(then) < COMPLAIN_EVERY) {
            return;
        }
        self.complained = Some(now);
        let place = self.file.as_ref().map_or("standard output".into(), |log| log.path.to_string_lossy());
        let dropped = counts.lines_dropped.load(Ordering::Relaxed);
        notice(format_args!("access log {place}: {error}; {dropped} lines dropped so far, requests go on"));
    }
}

impl LogFile {
    fn is_still_there(&self) -> bool {
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(there), Ok(ours)) => (there.dev(), there.ino()) == (ours.dev(), ours.ino()),
            _ => false,
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn write_lines(out: &mut impl Write, torn: bool, lines: &[u8]) -> io::Result<()> {
    if torn {
        out.write_all(b"\n")?;
    }
    out.write_all(lines)?;
    out.flush()
}
