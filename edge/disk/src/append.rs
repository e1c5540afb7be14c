//! Where records are put behind one another: gathered in a buffer, written in one piece, and only then entered into the
//! index. When there is no room, the oldest segment goes; what was asked for in it is written again. One thread does
//! all of it.

use crate::counts::count;
use crate::directory::{Directory, Opened, segment_bytes};
use crate::index::Place;
use crate::journal::Journal;
use crate::meta::PartAt;
use crate::record::{HEAD_BYTES, Head, Kind};
use crate::segment::Segment;
use crate::shared::Shared;
use crate::writing::Stream;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Gathered before it is written.
const BUFFER_BYTES: usize = 512 * 1024;
/// Most segments: many restarts leave many that are not full.
const SEGMENTS_MAX: usize = 4_096;

/// The end of the store.
#[derive(Debug)]
pub(crate) struct Appender {
    shared: Arc<Shared>,
    pub directory: Directory,
    pub journal: Journal,
    segment_bytes: u64,
    next_number: u32,
    current: Option<Arc<Segment>>,
    buffer: Vec<u8>,
    staged: Vec<Staged>,
}

/// What is to be done once the buffer is written, or cannot be.
#[derive(Debug)]
enum Staged {
    Object(Place, u64),
    /// One that was there before.
    Again(Place, u64),
    Part(Arc<Stream>),
}

/// A record that is to be written, but for what its bytes say themselves.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub kind: Kind,
    pub key_hash: u64,
    pub variant: u32,
    pub sequence: u64,
    pub useful_until: u32,
    /// The oldest segment of its parts, when it has some.
    pub oldest: Option<u32>,
    pub key: &'a [u8],
    pub meta: &'a [u8],
    pub body: &'a [Bytes],
}

impl Appender {
    /// Goes on in what was opened.
    pub(crate) fn new(shared: Arc<Shared>, opened: Opened) -> (Self, Vec<Arc<Segment>>) {
        let Opened { directory, journal, segments, .. } = opened;
        let next_number = segments.last().map_or(1, |last| last.number + 1);
        let segments = segments.into_iter().map(|segment| (segment.number, Arc::new(segment)));
        shared.segments_mut().extend(segments);
        let segment_bytes = segment_bytes(shared.settings.bytes_max);
        let (buffer, staged) = (Vec::with_capacity(BUFFER_BYTES), Vec::new());
        let appender =
            Self { shared, directory, journal, segment_bytes, next_number, current: None, buffer, staged };
        // It may have been larger before.
        while appender.evict_one().is_some() {}
        appender.count_bytes();
        let segments = appender.shared.segments().values().cloned().collect();
        (appender, segments)
    }

    /// Puts a whole object behind the last record.
    pub(crate) fn object(&mut self, record: &Record<'_>) -> io::Result<()> {
        let (place, sequence) = self.place(record)?;
        self.staged.push(Staged::Object(place, sequence));
        Ok(())
    }

    fn place(&mut self, record: &Record<'_>) -> io::Result<(Place, u64)> {
        let (segment, offset, head) = self.put(record)?;
        let place = Place {
            key_hash: head.key_hash,
            variant: head.variant,
            segment,
            offset,
            oldest: head.oldest,
            named_bytes: head.named_bytes() as u32,
            body_bytes: head.body_bytes,
            useful_until: head.useful_until,
            uses: 0,
        };
        Ok((place, head.sequence))
    }

    /// Puts a part of a body behind the last record, and tells the stream where.
    pub(crate) fn part(&mut self, stream: &Arc<Stream>, body: &[Bytes]) -> io::Result<()> {
        let record = Record {
            kind: Kind::Part,
            key_hash: 0,
            variant: 0,
            sequence: 0,
            useful_until: 0,
            oldest: None,
            key: b"",
            meta: b"",
            body,
        };
        let (segment, offset, head) = self.put(&record)?;
        let offset = offset + head.named_bytes() as u32;
        stream.wrote(PartAt { segment, offset, bytes: head.body_bytes, sum: head.body_sum });
        self.staged.push(Staged::Part(stream.clone()));
        Ok(())
    }

    fn put(&mut self, record: &Record<'_>) -> io::Result<(u32, u32, Head)> {
        let body_bytes: usize = record.body.iter().map(Bytes::len).sum();
        let bytes = HEAD_BYTES + record.key.len() + record.meta.len() + body_bytes;
        if self.buffer.len() + bytes > BUFFER_BYTES {
            self.flush()?;
        }
        let segment = self.room_for(bytes)?;
        let mut named = crc32fast::Hasher::new();
        named.update(record.key);
        named.update(record.meta);
        let mut body = crc32fast::Hasher::new();
        record.body.iter().for_each(|piece| body.update(piece));
        let head = Head {
            kind: record.kind,
            key_hash: record.key_hash,
            variant: record.variant,
            sequence: record.sequence,
            useful_until: record.useful_until,
            oldest: record.oldest.unwrap_or(segment.number).min(segment.number),
            key_bytes: record.key.len() as u32,
            meta_bytes: record.meta.len() as u32,
            body_bytes: body_bytes as u32,
            named_sum: named.finalize(),
            body_sum: body.finalize(),
        };
        let offset = segment.length() + self.buffer.len() as u64;
        self.buffer.extend_from_slice(&head.encode());
        self.buffer.extend_from_slice(record.key);
        self.buffer.extend_from_slice(record.meta);
        record.body.iter().for_each(|piece| self.buffer.extend_from_slice(piece));
        // A segment is far below 4 GiB.
        Ok((segment.number, offset as u32, head))
    }

    /// Writes what is gathered; then it can be found. Says whether there was any.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let staged = std::mem::take(&mut self.staged);
        let Some(current) = self.current.clone().filter(|_| !self.buffer.is_empty()) else {
            return Ok(false);
        };
        let written = current.append(&self.buffer);
        self.buffer.clear();
        match &written {
            Ok(()) => staged.iter().for_each(|staged| self.enter(&current, staged)),
            Err(_) => staged.into_iter().for_each(|staged| self.lost(staged)),
        }
        self.count_bytes();
        written.map(|()| true)
    }

    fn enter(&self, segment: &Segment, staged: &Staged) {
        if let Staged::Object(place, sequence) | Staged::Again(place, sequence) = staged {
            segment.holds_sequence(*sequence);
            self.shared.index.insert(*place);
        }
        if let Staged::Object(..) = staged {
            count(&self.shared.counts.writes);
        }
    }

    fn lost(&self, staged: Staged) {
        match staged {
            Staged::Object(place, _) | Staged::Again(place, _) => {
                count(&self.shared.counts.writes_dropped);
                // What lies there is older than what could not be written.
                self.shared.forget(place.key_hash);
            }
            Staged::Part(stream) => stream.breaks(),
        }
    }

    /// The segment that a record of this size goes to.
    fn room_for(&mut self, bytes: usize) -> io::Result<Arc<Segment>> {
        if let Some(current) = &self.current {
            let end = current.length() + (self.buffer.len() + bytes) as u64;
            if end <= self.segment_bytes {
                return Ok(current.clone());
            }
        }
        self.flush()?;
        self.current = None;
        let mut used = Vec::new();
        while let Some((segment, places)) = self.evict_one() {
            used.extend(places.into_iter().map(|place| (segment.clone(), place)));
        }
        let segment =
            Arc::new(Segment::create(&self.directory.path, self.next_number, self.directory.seed.store())?);
        self.next_number += 1;
        self.shared.segments_mut().insert(segment.number, segment.clone());
        self.current = Some(segment.clone());
        self.write_again(used)?;
        self.count_bytes();
        // What was written again takes half of it at most.
        Ok(segment)
    }

    /// Gives the oldest segment up if there is no room for one more; returns it with what was used of it.
    fn evict_one(&self) -> Option<(Arc<Segment>, Vec<Place>)> {
        let mut segments = self.shared.segments_mut();
        let held: u64 = segments.values().map(|segment| segment.length()).sum();
        let enough = held + self.journal.bytes() + self.segment_bytes <= self.shared.settings.bytes_max
            && segments.len() < SEGMENTS_MAX
            && !self.shared.index.is_full();
        if enough {
            return None;
        }
        let (_, oldest) = segments.pop_first()?;
        let first = segments.keys().next().copied().unwrap_or(self.next_number);
        drop(segments);
        // Somebody else may have removed it: that is what was wanted.
        let _ = oldest.remove(&self.directory.path);
        let (evicted, used) = self.shared.index.evict(first);
        self.shared.counts.evictions.fetch_add(evicted, Ordering::Relaxed);
        Some((oldest, used))
    }

    /// Objects that were asked for while they lay in segments that went, as many as half a segment takes. Those in parts
    /// go: the next who asks fetches them.
    fn write_again(&mut self, used: Vec<(Arc<Segment>, Place)>) -> io::Result<()> {
        let mut left = self.segment_bytes / 2;
        for (segment, place) in used.iter().filter(|(segment, place)| place.segment == segment.number) {
            let bytes = place.named_bytes as usize + place.body_bytes as usize;
            let Some(rest) = left.checked_sub(bytes as u64) else { continue };
            let Ok(read) = segment.read(place.offset, bytes) else { continue };
            let Some(read) = crate::segment::split(read.into()) else { continue };
            let Some(body) = read.body.filter(|_| read.head.oldest == segment.number) else { continue };
            left = rest;
            let (place, sequence) = self.place(&Record {
                kind: Kind::Object,
                key_hash: read.head.key_hash,
                variant: read.head.variant,
                sequence: read.head.sequence,
                useful_until: read.head.useful_until,
                oldest: None,
                key: &read.key,
                meta: &read.meta,
                body: &[body],
            })?;
            self.staged.push(Staged::Again(place, sequence));
            self.shared.counts.evictions.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn count_bytes(&self) {
        let segments: u64 = self.shared.segments().values().map(|segment| segment.length()).sum();
        self.shared.counts.bytes.store(segments + self.journal.bytes(), Ordering::Relaxed);
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        std::mem::take(&mut self.staged).into_iter().for_each(|staged| self.lost(staged));
    }
}
