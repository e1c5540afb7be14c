//! Those who wait for a fill that another request leads, and those who read from it while it arrives. They may be
//! on any thread. Their leaving frees a seat and cancels nothing.

use crate::fill::{ABORTED, Fill, Read};
use crate::object::Frame;
use crate::{Missed, Object, Presented, StoredFacts, Tag, Vary};
use bytes::Bytes;
use std::sync::Arc;
use std::task::{Context, Poll};
use tentpole_message::{BodyStream, Chunk, StoredHead};
use tentpole_model::Bypass;
use tentpole_model::Failure;

/// A request that waits for another's fetch. The caller bounds the time.
#[derive(Debug)]
pub struct Waiter {
    fill: Arc<Fill>,
    seat: Option<u32>,
    /// Purges that the fill was in doubt about when it was joined: if one of them was about it, it is not for this
    /// request.
    doubts: usize,
    /// Why nothing stored was used.
    pub missed: Missed,
}

/// What a waiter gets.
#[derive(Debug)]
pub enum Arrival {
    /// The whole object: stored just now, or confirmed by a 304.
    Object(Arc<Object>),
    /// The response has begun to arrive.
    Reader(FillReader),
    /// There is no new response; what is stored may do, if the request takes what is stale because of an error. Else:
    Kept(Arc<Object>, Release),
    /// Nothing from here.
    GoYourself(Release),
}

/// Why a waiter gets nothing, and what it does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The response is not shared: fetch without the cache.
    Bypass(Bypass),
    /// The fetch failed: fetch without the cache, or fail alike.
    Failed(Failure),
    /// The response is for other requests (`Vary`): look up again, now that the names are known. An endpoint that
    /// names others each time can repeat this: bound it.
    VaryMismatch,
    /// Whoever fetched has gone, or fetched it before a purge that came before this request: look up again; one of
    /// those who do leads.
    Abandoned,
}

impl Waiter {
    pub(crate) fn new(fill: Arc<Fill>, seat: u32, doubts: usize) -> Self {
        Self { fill, seat: Some(seat), doubts, missed: Missed::Uri }
    }

    /// Ready when the response's head is known, or that there will be none. `request` is the one that was looked
    /// up: it selects by the response's `Vary`. Must not be polled again once it was ready.
    ///
    /// Whether the facts suit this request is for the caller to judge, as for any stored response.
    pub fn poll_arrival<'a>(
        &mut self,
        request: impl Into<Presented<'a>>,
        context: &mut Context<'_>,
    ) -> Poll<Arrival> {
        self.fill.poll_arrival(&mut self.seat, self.doubts, &request.into(), context)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.fill.leave(seat);
        }
    }
}

/// A response that is read while it arrives. Trailers are not kept.
#[derive(Debug)]
pub struct FillReader {
    frame: Arc<Frame>,
    length: Option<u64>,
    offset: u64,
    from: From,
}

/// Where the next piece comes from.
#[derive(Debug)]
enum From {
    Fill(Arc<Fill>, u32),
    /// The fill has ended: the rest comes out of the object, without a lock.
    Object(Arc<Object>, usize),
    /// With the object that was read to its end.
    Over(Option<Arc<Object>>),
}

impl FillReader {
    pub(crate) fn new(fill: Arc<Fill>, seat: u32, frame: Arc<Frame>, length: Option<u64>) -> Self {
        Self { frame, length, offset: 0, from: From::Fill(fill, seat) }
    }

    /// Status line and fields.
    pub fn head(&self) -> &StoredHead {
        &self.frame.head
    }

    /// What freshness needs to know.
    pub fn facts(&self) -> &StoredFacts {
        &self.frame.facts
    }

    /// The entity tag.
    pub fn etag(&self) -> Option<&Bytes> {
        self.frame.etag.as_ref()
    }

    /// The date of the last modification, as it came.
    pub fn last_modified(&self) -> Option<&Bytes> {
        self.frame.last_modified.as_ref()
    }

    /// Whether its body may be a page to be put together.
    pub fn assembles(&self) -> bool {
        self.frame.assembles
    }

    /// What selects it.
    pub fn vary(&self) -> &Vary {
        &self.frame.vary
    }

    /// Its tags, in order.
    pub fn tags(&self) -> &[Tag] {
        &self.frame.tags
    }

    /// Bytes of content, when the response announced them.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.offset
    }

    /// The object, once all of it was read, if the fill has become one.
    pub fn whole(&self) -> Option<&Arc<Object>> {
        match &self.from {
            From::Over(object) => object.as_ref(),
            From::Fill(..) | From::Object(..) => None,
        }
    }

    /// Leaves the fill.
    fn go_to(&mut self, next: From) {
        if let From::Fill(fill, seat) = std::mem::replace(&mut self.from, next) {
            fill.leave(seat);
        }
    }

    fn ended(&mut self) -> Poll<Result<Chunk, Failure>> {
        let object = if let From::Object(object, _) = &self.from { Some(object.clone()) } else { None };
        self.go_to(From::Over(object));
        Poll::Ready(Ok(Chunk::End))
    }
}

impl BodyStream for FillReader {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Result<Chunk, Failure>> {
        loop {
            let data = match &mut self.from {
                From::Over(_) => return Poll::Ready(Err(ABORTED)),
                From::Object(object, next) => {
                    let Some(data) = object.chunks().get(*next) else { return self.ended() };
                    *next += 1;
                    data.clone()
                }
                From::Fill(fill, seat) => {
                    match std::task::ready!(fill.poll_read(*seat, self.offset, context)) {
                        Read::Data(data) => data,
                        Read::End => return self.ended(),
                        Read::Failed(failure) => {
                            self.go_to(From::Over(None));
                            return Poll::Ready(Err(failure));
                        }
                        Read::Whole(object) => {
                            let (next, rest) = locate(object.chunks(), self.offset);
                            self.go_to(From::Object(object, next));
                            if rest.is_empty() {
                                continue;
                            }
                            rest
                        }
                    }
                }
            };
            self.offset += data.len() as u64;
            return Poll::Ready(Ok(Chunk::Data(data)));
        }
    }
}

impl Drop for FillReader {
    fn drop(&mut self) {
        self.go_to(From::Over(None));
    }
}

/// The rest of the piece that holds `offset`, and the index of the piece after it.
fn locate(chunks: &[Bytes], mut offset: u64) -> (usize, Bytes) {
    for (index, chunk) in chunks.iter().enumerate() {
        if offset < chunk.len() as u64 {
            return (index + 1, chunk.slice(offset as usize..));
        }
        offset -= chunk.len() as u64;
    }
    (chunks.len(), Bytes::new())
}
