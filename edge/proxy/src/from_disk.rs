//! Sends an object whose content is on disk, part by part: no more than two of them are in memory for one visitor, and
//! a part that he does not want is not read.

use crate::deliver::{Reply, Sent, object_head};
use crate::slices::{FEW, write_parts};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tentpole_cache::Object;
use tentpole_disk::{Disk, HeldBody, PART_BYTES, Reading};
use tentpole_listener::Visitor;
use tentpole_message::RequestHead;
use tentpole_model::{Cause, Failure, Phase};
use tentpole_runtime::Ledger;
use tentpole_runtime::clock;
use tentpole_runtime::ledger::{Account, Pressure};

/// How long a part may take to be read while a visitor waits for it.
const PART_MAX: Duration = Duration::from_secs(5);

/// What is sent from.
pub struct Source<'a> {
    /// Reads it.
    pub disk: &'a Disk,
    /// The content.
    pub body: HeldBody,
    /// Charged for what is in memory of it.
    pub ledger: &'a Arc<Ledger>,
}

/// Sends it, or as much of it as the visitor's conditions ask for. `Ok(None)` when the content cannot be read and
/// nothing was sent yet.
pub async fn object(
    visitor: &mut Visitor,
    out: &mut Vec<u8>,
    source: &Source<'_>,
    object: &Object,
    own_lines: &[u8],
    request: &RequestHead,
    reply: Reply,
) -> Result<Option<Sent>, Failure> {
    let (status, range) = object_head(out, object, None, own_lines, request, reply);
    let stored: &[u8] = if status == object.status() { object.lines() } else { b"" };
    let mut parts = Parts::new(source, range);
    // Before the head: what cannot be read is fetched instead.
    let mut piece = match parts.next(visitor).await {
        Some(piece) => piece,
        None => return Ok(None),
    };
    let mut head: [&[u8]; 2] = [stored, out.as_slice()];
    let (mut bytes, mut head_at) = (0, None);
    loop {
        bytes += write_parts::<FEW>(visitor, head, std::iter::once(piece.content())).await?;
        let head_at = *head_at.get_or_insert_with(clock::coarse);
        head = [b"", b""];
        if parts.is_over() {
            return Ok(Some(Sent { status, bytes, keep_alive: reply.manner.keep_alive, head_at }));
        }
        drop(piece);
        piece = parts.next(visitor).await.ok_or_else(|| {
            let failure = Failure::internal(Phase::ReadBody, Cause::FillAborted);
            Failure { bytes_sent: bytes, ..failure }
        })?;
    }
}

/// The parts that a range of the content lies in, one after the other, the next one already being read.
struct Parts<'a> {
    source: &'a Source<'a>,
    range: Range<u64>,
    ahead: Option<Reading>,
}

/// A part in memory.
struct Piece<'a> {
    ledger: &'a Arc<Ledger>,
    part: bytes::Bytes,
    wanted: Range<usize>,
}

impl<'a> Parts<'a> {
    fn new(source: &'a Source<'a>, range: Range<u64>) -> Self {
        Self { source, range, ahead: None }
    }

    fn is_over(&self) -> bool {
        self.range.is_empty()
    }

    /// The next part; an empty one when nothing is wanted.
    async fn next(&mut self, visitor: &Visitor) -> Option<Piece<'a>> {
        let Self { source, range, ahead } = self;
        let ledger = source.ledger;
        if range.is_empty() {
            return Some(Piece { ledger, part: bytes::Bytes::new(), wanted: 0..0 });
        }
        let (number, skip) = source.body.locate(range.start);
        let mut reading = ahead.take().unwrap_or_else(|| source.disk.read(&source.body, number));
        visitor.deadline.set_in(PART_MAX);
        let read = visitor.deadline.guard(|context| std::pin::pin!(&mut reading).poll(context)).await;
        let Ok(Some(part)) = read else { return None };
        ledger.charge(Account::Disk, part.len() as u64);
        let end = (range.end - range.start).min((PART_BYTES - skip) as u64) as usize + skip;
        let piece = Piece { ledger, part, wanted: skip..end };
        // A part that is shorter than it should be is not what was written.
        if end > piece.part.len() {
            return None;
        }
        range.start += (end - skip) as u64;
        if !range.is_empty() && ledger.pressure() < Pressure::PassFills {
            *ahead = Some(source.disk.read(&source.body, number + 1));
        }
        Some(piece)
    }
}

impl Piece<'_> {
    fn content(&self) -> &[u8] {
        &self.part[self.wanted.clone()]
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        self.ledger.release(Account::Disk, self.part.len() as u64);
    }
}
