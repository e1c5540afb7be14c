//! Sends a page: gathers its pieces in order, frames them anew and writes them. What comes before a fragment that is not
//! there yet is sent while it is waited for. Fetches nothing itself.

use crate::answer::Manner;
use crate::deliver::{Sent, frame_of};
use crate::fragment::{Around, Fragment};
use crate::page::{Page, Slot, Waiting, slots};
use crate::slices::{MANY, write_parts};
use crate::stream::Stream;
use bytes::Bytes;
use std::ops::Range;
use std::rc::Rc;
use tentpole_http1::Framing;
use tentpole_listener::Visitor;
use tentpole_model::Failure;
use tentpole_runtime::clock::{self, Instant};

/// Bytes that are gathered before they are written.
const GATHER_BYTES: usize = 64 * 1024;

/// What goes to the visitor: gathered, framed and written.
pub struct Outbox<'a> {
    /// Who gets it.
    pub visitor: &'a mut Visitor,
    /// Until it was written.
    head: Vec<u8>,
    framing: Framing,
    /// Only the head is wanted.
    head_only: bool,
    parts: Vec<Bytes>,
    bytes: usize,
    sent: u64,
    head_at: Option<Instant>,
}

impl<'a> Outbox<'a> {
    /// Nothing was sent yet.
    pub fn new(visitor: &'a mut Visitor, head: Vec<u8>, framing: Framing, head_only: bool) -> Self {
        Self { visitor, head, framing, head_only, parts: Vec::new(), bytes: 0, sent: 0, head_at: None }
    }

    /// One piece of content.
    pub async fn put(&mut self, part: Bytes) -> Result<(), Failure> {
        self.bytes += part.len();
        self.parts.push(part);
        if self.bytes >= GATHER_BYTES { self.flush(false).await } else { Ok(()) }
    }

    /// Several.
    pub async fn put_all(&mut self, parts: impl IntoIterator<Item = Bytes>) -> Result<(), Failure> {
        for part in parts {
            self.put(part).await?;
        }
        Ok(())
    }

    /// What is left of a body, as it arrives.
    pub async fn put_rest(&mut self, stream: &mut Stream) -> Result<(), Failure> {
        loop {
            self.flush(false).await?;
            let next = stream.next().await.map_err(|failure| self.broken(failure))?;
            let Some(chunk) = next else { return Ok(()) };
            self.put(chunk).await?;
        }
    }

    /// A page, piece by piece, and the pages in it.
    pub async fn put_page(&mut self, around: &Rc<Around>, page: Page) -> Result<(), Failure> {
        let mut open = vec![(page.content, page.slots.into_iter())];
        while let Some((content, places)) = open.last_mut() {
            let Some(slot) = places.next() else {
                open.pop();
                continue;
            };
            match slot {
                Slot::Text(range) => {
                    let content = content.clone();
                    self.put_all(texts(content.chunks(), range)).await?;
                }
                Slot::Include(waiting, _) => match self.waited(waiting).await? {
                    None => {}
                    Some(Fragment::Object(object)) => self.put_all(object.chunks().iter().cloned()).await?,
                    Some(Fragment::Body { chunks, rest, held: _held }) => {
                        self.put_all(chunks).await?;
                        if let Some(mut rest) = rest {
                            self.put_rest(&mut rest).await?;
                        }
                    }
                    Some(Fragment::Page(page)) => open.push((page.content, page.slots.into_iter())),
                },
                Slot::Try { attempt, except, chain } => {
                    let content = content.clone();
                    let instead = match self.tried(attempt).await? {
                        Some(tried) => tried,
                        None => slots(around, &chain, &except),
                    };
                    open.push((content, instead.into_iter()));
                }
            }
        }
        Ok(())
    }

    /// What was tried, when all of it is there; nothing of it may have been sent before.
    async fn tried(&mut self, attempt: Vec<Slot>) -> Result<Option<Vec<Slot>>, Failure> {
        let mut slots = Vec::with_capacity(attempt.len());
        for slot in attempt {
            slots.push(match slot {
                Slot::Include(waiting, may_fail) => {
                    let fragment = self.waited(waiting).await?;
                    if fragment.is_none() && !may_fail {
                        return Ok(None);
                    }
                    Slot::Include(Waiting::Ready(fragment), may_fail)
                }
                other => other,
            });
        }
        Ok(Some(slots))
    }

    /// A fragment; while it is not there, what comes before it is sent.
    async fn waited(&mut self, mut waiting: Waiting) -> Result<Option<Fragment>, Failure> {
        if waiting.is_pending().await {
            self.flush(false).await?;
        }
        Ok(waiting.fragment().await)
    }

    /// Writes what was gathered.
    pub async fn flush(&mut self, is_last: bool) -> Result<(), Failure> {
        if self.head_only {
            self.parts.clear();
            self.bytes = 0;
        }
        let is_chunked = self.framing == Framing::Chunked;
        let mut frame = [0; 20];
        let (start, end): (&[u8], &[u8]) = match self.bytes {
            0 => (b"", b""),
            bytes => frame_of(self.framing, bytes, &mut frame),
        };
        let last: &[u8] = if is_last && is_chunked { b"0\r\n\r\n" } else { b"" };
        let parts = [start].into_iter().chain(self.parts.iter().map(|part| &**part)).chain([end, last]);
        let written = write_parts::<MANY>(self.visitor, [&self.head, b""], parts).await;
        self.sent += written.map_err(|failure| Failure { bytes_sent: self.sent, ..failure })?;
        self.head_at = self.head_at.or_else(|| Some(clock::coarse()));
        self.head.clear();
        self.parts.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Writes what is left, and the end.
    pub async fn end(mut self, status: u16, manner: Manner) -> Result<Sent, Failure> {
        self.flush(true).await?;
        let head_at = self.head_at.unwrap_or_else(clock::coarse);
        Ok(Sent { status, bytes: self.sent, keep_alive: manner.keep_alive, head_at })
    }

    /// A failure that comes after what was sent.
    pub fn broken(&self, failure: Failure) -> Failure {
        Failure { bytes_sent: self.sent, ..failure }
    }
}

/// The chunks of a text, sharing their memory.
fn texts(chunks: &[Bytes], range: Range<u64>) -> Vec<Bytes> {
    chunks
        .iter()
        .scan(0u64, |at, chunk| {
            let begin = *at;
            *at += chunk.len() as u64;
            Some((begin, chunk))
        })
        .filter_map(|(begin, chunk)| {
            let end = begin + chunk.len() as u64;
            let (from, to) = (range.start.clamp(begin, end), range.end.clamp(begin, end));
            (from < to).then(|| chunk.slice((from - begin) as usize..(to - begin) as usize))
        })
        .collect()
}
