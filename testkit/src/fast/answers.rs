//! The answers of the fast origin: what each path gives. An answer that was given before is copied with a new date
//! instead of being written again. Never touches a socket.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tentpole_runtime::clock;

use crate::http::decimal;
use crate::http::request::Head;

/// Bodies longer than this are sent in pieces instead of being prepared, in bytes.
const PREPARED_BYTES_MAX: u64 = 64 * 1024;
/// How many different targets are remembered.
const PREPARED_MAX: usize = 256;
/// The longest chunked body, in bytes.
const CHUNKED_BYTES_MAX: u64 = 16 * 1024 * 1024;
const CHUNK_BYTES: u64 = 256 * LETTERS.len() as u64;
/// Every body is this, again and again, whatever way it is sent.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789\n";
const SLOW_MS_MAX: u64 = 600_000;
const LATE_BYTES: u64 = 1_024;
const PLAIN: &str = "Content-Type: text/plain\r\n";
/// What [`prose`] is made of.
const WORDS: [&str; 24] = [
    "<p class=\"lead\">",
    "</p>\n",
    "<a href=\"/item/",
    "\">",
    "</a>",
    "the",
    "shop",
    "has",
    "winter",
    "coats",
    "of",
    "wool",
    "and",
    "linen",
    "for",
    "every",
    "size",
    "that",
    "are",
    "made",
    "near",
    "you",
    "today",
    "price",
];

/// What is still to be done after the bytes of an answer were appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing: the answer is whole.
    Nothing,
    /// This many bytes of the body are missing; [`filler`] gives them.
    Filler(u64),
    /// The answer is whole and must not be sent before this much time has passed.
    Hold(Duration),
}

/// Writes answers. One per thread.
#[derive(Debug)]
pub struct Answers {
    served: Arc<AtomicU64>,
    prepared: HashMap<Box<[u8]>, Prepared>,
    date: Vec<u8>,
    date_second: u64,
}

#[derive(Debug)]
struct Prepared {
    bytes: Vec<u8>,
    date_at: usize,
    date_second: u64,
}

impl Answers {
    /// Counts what it answers in `served`, which several threads may share and `/count` tells.
    pub fn new(served: Arc<AtomicU64>) -> Self {
        Self { served, prepared: HashMap::new(), date: Vec::new(), date_second: 0 }
    }

    /// Appends the answer to `head` (with the request's `body`) to `out`.
    pub fn write(&mut self, head: &Head<'_>, body: &[u8], out: &mut Vec<u8>) -> Rest {
        if head.target != b"/count" {
            self.served.fetch_add(1, Ordering::Relaxed);
        }
        self.renew_date();
        let plain = head.method == b"GET" && head.keep_alive;
        if plain && let Some(prepared) = self.prepared.get_mut(head.target) {
            if prepared.date_second != self.date_second {
                prepared.bytes[prepared.date_at..prepared.date_at + 29].copy_from_slice(&self.date);
                prepared.date_second = self.date_second;
            }
            out.extend_from_slice(&prepared.bytes);
            return Rest::Nothing;
        }
        let from = out.len();
        let (rest, same_again) = self.write_fresh(head, body, out);
        if plain && same_again && rest == Rest::Nothing && self.prepared.len() < PREPARED_MAX {
            let bytes = out[from..].to_vec();
            let date_at = memchr::memmem::find(&bytes, b"Date: ").map_or(0, |at| at + 6);
            let prepared = Prepared { bytes, date_at, date_second: self.date_second };
            self.prepared.insert(head.target.into(), prepared);
        }
        rest
    }

    /// The second value says whether the next request for the same target gets the same answer.
    fn write_fresh(&self, head: &Head<'_>, body: &[u8], out: &mut Vec<u8>) -> (Rest, bool) {
        let path = head.path();
        let (name, argument) = split(path);
        let number = decimal(argument);
        let cacheable = "Content-Type: text/plain\r\nCache-Control: max-age=3600\r\n";
        let private = "Content-Type: text/plain\r\nCache-Control: no-store\r\n";
        match (name, number) {
            (b"bytes", Some(len)) => (self.write_filled(head, cacheable, len, out), true),
            (b"nocache", Some(len)) => (self.write_filled(head, private, len, out), true),
            (b"chunked", Some(len)) if len <= CHUNKED_BYTES_MAX => {
                self.write_chunked(head, len, out);
                (Rest::Nothing, len <= PREPARED_BYTES_MAX)
            }
            (b"text", Some(len)) if len <= PREPARED_BYTES_MAX => {
                let page = "Content-Type: text/html\r\nCache-Control: max-age=3600\r\n";
                self.write_whole(head, 200, page, &prose(len), out);
                (Rest::Nothing, true)
            }
            (b"late", Some(ms)) if ms <= SLOW_MS_MAX => {
                let mut page = Vec::new();
                filler(LATE_BYTES, &mut page);
                self.write_whole(head, 200, cacheable, &page, out);
                (Rest::Hold(Duration::from_millis(ms)), false)
            }
            (b"slow", Some(ms)) if ms <= SLOW_MS_MAX => {
                self.write_whole(head, 200, private, b"slow\n", out);
                (Rest::Hold(Duration::from_millis(ms)), false)
            }
            (b"status", Some(code @ 200..=999)) => {
                let text = if code == 204 || code == 304 { String::new() } else { format!("{code}\n") };
                self.write_whole(head, code, PLAIN, text.as_bytes(), out);
                (Rest::Nothing, true)
            }
            (b"echo", _) => {
                let heard = [head.raw, body].concat();
                self.write_whole(head, 200, private, &heard, out);
                (Rest::Nothing, false)
            }
            (b"count", _) => {
                let served = self.served.load(Ordering::Relaxed);
                self.write_whole(head, 200, private, format!("{served}\n").as_bytes(), out);
                (Rest::Nothing, false)
            }
            _ => {
                let text = b"paths: /bytes/N /text/N /nocache/N /chunked/N /slow/MS /late/MS /status/CODE /echo /count\n";
                self.write_whole(head, 404, private, text, out);
                (Rest::Nothing, false)
            }
        }
    }

    fn write_filled(&self, head: &Head<'_>, fields: &str, len: u64, out: &mut Vec<u8>) -> Rest {
        self.write_head(head, 200, fields, &format!("Content-Length: {len}\r\n"), out);
        if head.method == b"HEAD" {
            Rest::Nothing
        } else if len > PREPARED_BYTES_MAX {
            Rest::Filler(len)
        } else {
            filler(len, out);
            Rest::Nothing
        }
    }

    fn write_whole(&self, head: &Head<'_>, status: u64, fields: &str, body: &[u8], out: &mut Vec<u8>) {
        let length =
            if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        self.write_head(head, status, fields, &length, out);
        if head.method != b"HEAD" {
            out.extend_from_slice(body);
        }
    }

    fn write_chunked(&self, head: &Head<'_>, len: u64, out: &mut Vec<u8>) {
        let private = "Content-Type: text/plain\r\nCache-Control: no-store\r\n";
        self.write_head(head, 200, private, "Transfer-Encoding: chunked\r\n", out);
        if head.method == b"HEAD" {
            return;
        }
        let mut left = len;
        while left > 0 {
            let now = left.min(CHUNK_BYTES);
            out.extend_from_slice(format!("{now:x}\r\n").as_bytes());
            filler(now, out);
            out.extend_from_slice(b"\r\n");
            left -= now;
        }
        out.extend_from_slice(b"0\r\n\r\n");
    }

    fn write_head(&self, head: &Head<'_>, status: u64, fields: &str, length: &str, out: &mut Vec<u8>) {
        let reason = if status == 200 { "OK" } else { "-" };
        let close = if head.keep_alive { "" } else { "Connection: close\r\n" };
        out.extend_from_slice(format!("HTTP/1.1 {status} {reason}\r\nDate: ").as_bytes());
        out.extend_from_slice(&self.date);
        let rest = format!("\r\n{fields}{length}{close}\r\n");
        out.extend_from_slice(rest.as_bytes());
    }

    fn renew_date(&mut self) {
        let second = clock::coarse().unix_seconds();
        if second != self.date_second || self.date.is_empty() {
            self.date = clock::http_date(second).to_vec();
            self.date_second = second;
        }
    }
}

/// A length of [`filler`] after which the next piece goes on as if it were one, in bytes.
pub const PIECE_BYTES: u64 = 7_168 * LETTERS.len() as u64;

/// Appends the first `len` bytes of the body that all paths share.
pub fn filler(len: u64, out: &mut Vec<u8>) {
    let end = out.len() + usize::try_from(len).unwrap_or(0);
    while out.len() < end {
        out.extend_from_slice(&LETTERS[..LETTERS.len().min(end - out.len())]);
    }
}

/// `len` bytes that compress about as well as a page does, the same each time: words and numbers without order.
fn prose(len: u64) -> Vec<u8> {
    let len = usize::try_from(len).unwrap_or(0);
    let mut out = Vec::with_capacity(len + 32);
    let mut state = 1_u64;
    while out.len() < len {
        // A linear congruential generator (Knuth, MMIX): its upper bits are random enough for this.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = state >> 40;
        match WORDS.get((random % 28) as usize) {
            Some(word) => out.extend_from_slice(word.as_bytes()),
            None => out.extend_from_slice((random / 28 % 100_000).to_string().as_bytes()),
        }
        out.push(b' ');
    }
    out.truncate(len);
    out
}

/// `/name/argument` as its two parts.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = path.splitn(3, |byte| *byte == b'/');
    parts.next();
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}
