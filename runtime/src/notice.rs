//! Words for the person at the terminal from processes that must not stand still: a thread of its own writes them. A
//! terminal that stands still costs lines, which are counted and said; one that is gone costs them all and ends nothing
//! (`eprintln!` would panic).

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Texts that wait to be written; more are left out.
const WAITING_MAX: usize = 256;

static WRITER: OnceLock<Writer> = OnceLock::new();

/// Says a line on standard error, behind `tentpole: `. Never waits, never fails.
pub fn notice(line: impl Display) {
    aside(format!("tentpole: {line}\n"));
}

/// Writes a text on standard error. Never waits, never fails.
pub fn aside(text: String) {
    writer().pass(Place::Error, text);
}

/// Writes a text on standard output. Never waits, never fails.
pub fn out(text: String) {
    writer().pass(Place::Output, text);
}

/// Waits until what was said before is written, but not longer than `max`: for the end of a process.
pub fn finish(max: Duration) {
    if let Some(writer) = WRITER.get() {
        writer.finish(max);
    }
}

fn writer() -> &'static Writer {
    WRITER.get_or_init(|| Writer::start(Box::new(io::stdout()), Box::new(io::stderr())))
}

type Sink = Box<dyn Write + Send>;

#[derive(Clone, Copy, Debug)]
enum Place {
    Output,
    Error,
}

enum Word {
    Text(Place, String),
    /// Answered when all before it is written.
    Written(SyncSender<()>),
}

/// The way to the thread that writes; `None` when the system refused one.
struct Writer {
    words: Option<SyncSender<Word>>,
    left_out: AtomicU64,
}

impl Writer {
    fn start(output: Sink, error: Sink) -> Self {
        let (words, waiting) = sync_channel(WAITING_MAX);
        let thread =
            std::thread::Builder::new().name("notices".into()).spawn(move || write(&waiting, output, error));
        Self { words: thread.is_ok().then_some(words), left_out: AtomicU64::new(0) }
    }

    fn pass(&self, place: Place, mut text: String) {
        let Some(words) = &self.words else { return };
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            text.insert_str(0, &format!("tentpole: (messages left out: {left_out})\n"));
        }
        if let Err(TrySendError::Full(_)) = words.try_send(Word::Text(place, text)) {
            self.left_out.fetch_add(left_out + 1, Ordering::Relaxed);
        }
    }

    fn finish(&self, max: Duration) {
        let (written, waits) = sync_channel(1);
        if let Some(words) = &self.words
            && words.try_send(Word::Written(written)).is_ok()
        {
            // In time or not: it ends now.
            let _ = waits.recv_timeout(max);
        }
    }
}

fn write(waiting: &Receiver<Word>, mut output: Sink, mut error: Sink) {
    while let Ok(word) = waiting.recv() {
        // Nobody reading is no reason to stop.
        let _ = match word {
            Word::Text(Place::Output, text) => {
                output.write_all(text.as_bytes()).and_then(|()| output.flush())
            }
            Word::Text(Place::Error, text) => error.write_all(text.as_bytes()),
            Word::Written(tell) => tell.try_send(()).map_err(io::Error::other),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, PipeWriter, Read, pipe};

    fn to(error: PipeWriter) -> Writer {
        Writer::start(Box::new(io::sink()), Box::new(error))
    }

    fn read(mut from: PipeReader) -> String {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_was_said_is_written_when_it_finishes() {
        let (from, error) = pipe().unwrap();
        let writer = to(error);
        writer.pass(Place::Error, "one\n".into());
        writer.pass(Place::Error, "two\n".into());
        writer.finish(Duration::from_secs(20));
        drop(writer);
        assert_eq!(read(from), "one\ntwo\n");
    }

    #[test]
    fn a_terminal_that_stands_still_costs_lines_which_are_counted() {
        let (from, error) = pipe().unwrap();
        let writer = to(error);
        let page = format!("{}\n", "x".repeat(4_095));
        // A pipe holds 64 KiB; the thread then stands still with one in its hand.
        let said = WAITING_MAX + 100;
        (0..said).for_each(|_| writer.pass(Place::Error, page.clone()));
        let left_out = writer.left_out.load(Ordering::Relaxed);
        assert!(left_out > 0);
        let reading = std::thread::spawn(move || read(from));
        // Room for this one comes as soon as somebody reads.
        while writer.left_out.load(Ordering::Relaxed) > 0 {
            writer.pass(Place::Error, String::new());
            std::thread::yield_now();
        }
        writer.finish(Duration::from_secs(20));
        drop(writer);
        let text = reading.join().unwrap();
        assert!(text.contains("tentpole: (messages left out: "), "{}", text.len());
        assert!(text.matches('x').count() >= 4_095 * (said - left_out as usize));
    }

    #[test]
    fn a_terminal_that_is_gone_ends_nothing() {
        let (from, error) = pipe().unwrap();
        drop(from);
        let writer = to(error);
        writer.pass(Place::Error, "to nobody\n".into());
        writer.finish(Duration::from_secs(20));
        writer.pass(Place::Error, "and still there\n".into());
        assert!(writer.words.is_some() && writer.left_out.load(Ordering::Relaxed) == 0);
    }
}
