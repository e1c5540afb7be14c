//! The threads that read: look-ups and parts of bodies, each with its checksum. What is damaged is forgotten; what nobody
//! waits for any more is not read.

use crate::counts::count;
use crate::index::Place;
use crate::meta::{Meta, PartAt};
use crate::purges::Named;
use crate::queue::Next;
use crate::record::{Kind, PART_BYTES};
use crate::segment::{Segment, split};
use crate::shared::Shared;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tentpole_runtime::clock;
use tokio::sync::oneshot;

/// A record up to this size is read whole with one read, body included.
const WHOLE_BYTES_MAX: usize = PART_BYTES + 64 * 1024;

/// What a reading thread is told.
#[derive(Debug)]
pub(crate) enum Job {
    /// Read what is to be known of a key's variants.
    Look { key: Bytes, places: Vec<Place>, answer: oneshot::Sender<Vec<Read>> },
    /// Read a part of a body.
    Part { segment: Arc<Segment>, part: PartAt, answer: oneshot::Sender<Bytes> },
}

/// An object as it was read.
#[derive(Debug)]
pub(crate) struct Read {
    pub place: Place,
    pub sequence: u64,
    pub meta: Meta,
    pub parts: Vec<PartAt>,
    /// The segments that its parts lie in.
    pub segments: Vec<Arc<Segment>>,
    /// The whole body, when it was read too.
    pub body: Option<Bytes>,
}

/// Reads until the queue is closed.
pub(crate) fn run(shared: &Shared) {
    loop {
        match shared.reads.next(None) {
            Next::Job(Job::Look { key, places, answer }) => {
                if !answer.is_closed() {
                    let alone = places.len() == 1;
                    let read = places.iter().filter_map(|place| look(shared, &key, place, alone)).collect();
                    // Whoever asked may have gone meanwhile.
                    let _ = answer.send(read);
                }
            }
            Next::Job(Job::Part { segment, part, answer }) => {
                if !answer.is_closed()
                    && let Some(bytes) = read_part(shared, &segment, &part)
                {
                    let _ = answer.send(bytes);
                }
            }
            Next::Called | Next::Nothing => {}
            Next::Closed => return,
        }
    }
}

/// Reads one place; `None` when there is nothing (any more) that answers for the key.
fn look(shared: &Shared, key: &Bytes, place: &Place, alone: bool) -> Option<Read> {
    let Some(segment) = shared.segment(place.segment) else {
        shared.index.remove(place);
        return None;
    };
    let record_bytes = place.named_bytes as usize + place.body_bytes as usize;
    let whole = alone && record_bytes <= WHOLE_BYTES_MAX;
    let wanted = if whole { record_bytes } else { place.named_bytes as usize };
    let bytes = read(shared, &segment, place.offset, wanted)?;
    let Some((record, meta, parts)) = understand(bytes, place) else {
        count(&shared.counts.damaged);
        shared.index.remove(place);
        return None;
    };
    // Another key of the same hash.
    if record.key != *key {
        return None;
    }
    let inline = PartAt {
        segment: place.segment,
        offset: place.offset + place.named_bytes,
        bytes: place.body_bytes,
        sum: record.head.body_sum,
    };
    let parts = if parts.is_empty() { vec![inline] } else { parts };
    let mut numbers: Vec<u32> = parts.iter().map(|part| part.segment).collect();
    numbers.dedup();
    let segments: Option<Vec<_>> = numbers.into_iter().map(|number| shared.segment(number)).collect();
    let Some(segments) = segments else {
        shared.index.remove(place);
        return None;
    };
    let named = Named {
        sequence: record.head.sequence,
        key_hash: place.key_hash,
        key,
        tags: &meta.tags,
        site: meta.site,
    };
    if shared.standing(&named) == crate::Standing::Gone {
        shared.index.remove(place);
        return None;
    }
    // A body must not keep key and meta in memory with it.
    let body = record.body.filter(|_| whole && parts.len() == 1 && parts[0] == inline);
    let body = body.map(|body| Bytes::copy_from_slice(&body));
    shared.index.used(place);
    Some(Read { place: *place, sequence: record.head.sequence, meta, parts, segments, body })
}

/// The record, what is to be known, and where the parts lie; `None` when any of it is damaged or another.
fn understand(bytes: Bytes, place: &Place) -> Option<(crate::segment::Read, Meta, Vec<PartAt>)> {
    let record = split(bytes)?;
    let head = &record.head;
    if head.kind != Kind::Object || head.key_hash != place.key_hash || head.variant != place.variant {
        return None;
    }
    // Copied: its slices live as long as the object, the record's other bytes should not.
    let (meta, parts) = Meta::decode(&Bytes::copy_from_slice(&record.meta))?;
    Some((record, meta, parts))
}

fn read_part(shared: &Shared, segment: &Segment, part: &PartAt) -> Option<Bytes> {
    let bytes = read(shared, segment, part.offset, part.bytes as usize)?;
    if crc32fast::hash(&bytes) != part.sum {
        count(&shared.counts.damaged);
        return None;
    }
    Some(bytes)
}

fn read(shared: &Shared, segment: &Segment, offset: u32, bytes: usize) -> Option<Bytes> {
    match segment.read(offset, bytes) {
        Ok(read) => {
            shared.read_errors.store(0, Ordering::Release);
            Some(read.into())
        }
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            count(&shared.counts.damaged);
            None
        }
        Err(_) => {
            shared.read_failed();
            None
        }
    }
}

/// Enters what lies in the segments from before the start, the newest first.
pub(crate) fn scan(shared: &Shared, segments: &[Arc<Segment>]) {
    let (now, counter) = (clock::unix_seconds(), shared.ordered().purges.sequence());
    for segment in segments.iter().rev() {
        let scanned = segment.scan(|head, offset| {
            // A number that no purge has reached cannot be compared with later ones: it is damage.
            if head.kind != Kind::Object || head.sequence > counter {
                return;
            }
            segment.holds_sequence(head.sequence);
            if u64::from(head.useful_until) <= now || shared.index.is_full() {
                return;
            }
            shared.index.insert(Place {
                key_hash: head.key_hash,
                variant: head.variant,
                segment: segment.number,
                offset,
                oldest: head.oldest,
                named_bytes: head.named_bytes() as u32,
                body_bytes: head.body_bytes,
                useful_until: head.useful_until,
                uses: 0,
            });
        });
        if scanned.is_err() {
            shared.read_failed();
        }
    }
    // Some may have been given up meanwhile.
    let first = shared.segments().keys().next().copied().unwrap_or(u32::MAX);
    shared.index.evict(first);
    shared.scanned.store(true, Ordering::Release);
}
