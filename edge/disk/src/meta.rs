//! What is to be known of a stored object beside its body, and its bytes on disk. Reads strictly: bytes that are not
//! exactly what was written are nothing. Decides nothing about use.

use crate::record::PART_BYTES;
use bytes::Bytes;
use tentpole_freshness::StoredFacts;

/// Names of `Vary` in one meta, as in memory.
const VARY_MAX: usize = 64;
/// Tags in one meta; an object with more is not kept, as it could not be purged by them.
pub const TAGS_MAX: usize = 4_096;

/// What is to be known of a stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What freshness needs to know.
    pub facts: StoredFacts,
    /// The status.
    pub status: u16,
    /// Status line and fields, each line with its CRLF.
    pub head: Bytes,
    /// The entity tag.
    pub etag: Option<Bytes>,
    /// The date of the last modification, as it came.
    pub last_modified: Option<Bytes>,
    /// The names in `Vary`, with the value that the request gave to each.
    pub vary: Vec<(Bytes, Option<Bytes>)>,
    /// Hashes of its tags that mean the same after a restart.
    pub tags: Vec<u64>,
    /// Hash of its site's name.
    pub site: u64,
    /// Hash of the rules that it was stored by, as far as others would have kept it apart or not at all.
    pub rules: u64,
    /// It may be a page to be put together.
    pub assembles: bool,
}

/// Where a piece of a body lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartAt {
    pub segment: u32,
    /// Of the body's first byte in the segment.
    pub offset: u32,
    pub bytes: u32,
    pub sum: u32,
}

impl Meta {
    /// As it is written, with the places of the body's parts; `None` when it holds more than may be written.
    pub(crate) fn encode(&self, parts: &[PartAt]) -> Option<Vec<u8>> {
        if self.vary.len() > VARY_MAX || self.tags.len() > TAGS_MAX {
            return None;
        }
        let mut out = Vec::with_capacity(96 + self.head.len() + 8 * self.tags.len() + 16 * parts.len());
        let StoredFacts {
            lifetime,
            initial_age,
            response_time,
            no_cache,
            must_revalidate,
            heuristic,
            learned,
            surrogate,
            validator,
            stale_while_revalidate,
            stale_if_error,
            stale_if_unreachable,
            immutable,
        } = self.facts;
        out.extend_from_slice(&response_time.to_le_bytes());
        for number in [lifetime, initial_age, stale_while_revalidate, stale_if_error, stale_if_unreachable] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let flags =
            [no_cache, must_revalidate, heuristic, validator, immutable, self.assembles, learned, surrogate];
        out.push(flags.iter().enumerate().map(|(bit, &set)| u8::from(set) << bit).sum());
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&self.site.to_le_bytes());
        out.extend_from_slice(&self.rules.to_le_bytes());
        put_bytes(&mut out, Some(&self.head));
        put_bytes(&mut out, self.etag.as_deref());
        put_bytes(&mut out, self.last_modified.as_deref());
        put_count(&mut out, self.vary.len());
        for (name, value) in &self.vary {
            put_bytes(&mut out, Some(name));
            put_bytes(&mut out, value.as_deref());
        }
        put_count(&mut out, self.tags.len());
        self.tags.iter().for_each(|tag| out.extend_from_slice(&tag.to_le_bytes()));
        put_count(&mut out, parts.len());
        for part in parts {
            for number in [part.segment, part.offset, part.bytes, part.sum] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        Some(out)
    }

    /// Reads one and the places of its body's parts; `None` when the bytes are not exactly that.
    pub(crate) fn decode(bytes: &Bytes) -> Option<(Self, Vec<PartAt>)> {
        let mut from = Cursor { bytes, at: 0 };
        let response_time = from.long()?;
        let (lifetime, initial_age) = (from.short()?, from.short()?);
        let (stale_while_revalidate, stale_if_error) = (from.short()?, from.short()?);
        let stale_if_unreachable = from.short()?;
        let flags = from.take(1)?[0];
        let flag = |bit: u8| flags & (1 << bit) != 0;
        let facts = StoredFacts {
            lifetime,
            initial_age,
            response_time,
            no_cache: flag(0),
            must_revalidate: flag(1),
            heuristic: flag(2),
            learned: flag(6),
            surrogate: flag(7),
            validator: flag(3),
            stale_while_revalidate,
            stale_if_error,
            stale_if_unreachable,
            immutable: flag(4),
        };
        let status = u16::from_le_bytes(from.take(2)?[..].try_into().ok()?);
        let (site, rules) = (from.long()?, from.long()?);
        let head = from.bytes()??;
        let (etag, last_modified) = (from.bytes()?, from.bytes()?);
        let mut vary = Vec::new();
        for _ in 0..from.count(VARY_MAX)? {
            vary.push((from.bytes()??, from.bytes()?));
        }
        let tags = (0..from.count(TAGS_MAX)?).map(|_| from.long()).collect::<Option<_>>()?;
        let parts = (0..from.count(bytes.len() / 16)?).map(|_| from.part()).collect::<Option<_>>()?;
        let whole = from.at == bytes.len();
        let assembles = flag(5);
        whole.then_some((
            Self { facts, status, head, etag, last_modified, vary, tags, site, rules, assembles },
            parts,
        ))
    }

    /// Its bytes alone, for another process that runs now: what a file holds is written by the disk itself. `None` when
    /// it holds more than may be written.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        self.encode(&[])
    }

    /// Reads what [`Meta::to_bytes`] wrote; `None` when the bytes are not exactly that.
    pub fn from_bytes(bytes: &Bytes) -> Option<Self> {
        Self::decode(bytes).filter(|(_, parts)| parts.is_empty()).map(|(meta, _)| meta)
    }

    /// The unix second after which it is of no use even when stale: lifetime and both stale times are over, and with a
    /// validator a day more in which asking whether it still holds spares its body.
    pub fn useful_until(&self) -> u64 {
        const ASKED_FOR: u64 = 86_400;
        let facts = &self.facts;
        let stale =
            u64::from(facts.stale_while_revalidate.max(facts.stale_if_error).max(facts.stale_if_unreachable));
        let asked = if facts.validator { ASKED_FOR } else { 0 };
        let lives = u64::from(facts.lifetime).saturating_sub(u64::from(facts.initial_age));
        facts.response_time.saturating_add(lives).saturating_add(stale.max(asked))
    }
}

/// A length and the bytes; the greatest number is "there is none".
fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_count(out, bytes.len());
            out.extend_from_slice(bytes);
        }
        None => out.extend_from_slice(&u32::MAX.to_le_bytes()),
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // What is larger does not fit into a meta, which the writer checks.
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX - 1).to_le_bytes());
}

struct Cursor<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Cursor<'_> {
    fn take(&mut self, count: usize) -> Option<Bytes> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len())?;
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Some(taken)
    }

    fn short(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?[..].try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?[..].try_into().ok()?))
    }

    fn count(&mut self, max: usize) -> Option<usize> {
        let count = self.short()? as usize;
        (count <= max).then_some(count)
    }

    /// The outer `None` is damage, the inner one says that there is none.
    fn bytes(&mut self) -> Option<Option<Bytes>> {
        match self.short()? {
            u32::MAX => Some(None),
            length => self.take(length as usize).map(Some),
        }
    }

    fn part(&mut self) -> Option<PartAt> {
        let (segment, offset, bytes, sum) = (self.short()?, self.short()?, self.short()?, self.short()?);
        (bytes as usize <= PART_BYTES).then_some(PartAt { segment, offset, bytes, sum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meta() -> Meta {
        Meta {
            facts: StoredFacts {
                lifetime: 60,
                initial_age: 2,
                response_time: 1_700_000_000,
                no_cache: false,
                must_revalidate: true,
                heuristic: false,
                learned: false,
                surrogate: false,
                validator: true,
                stale_while_revalidate: 5,
                stale_if_error: 6,
                stale_if_unreachable: 7,
                immutable: true,
            },
            status: 200,
            head: Bytes::from_static(b"HTTP/1.1 200 OK\r\nEtag: \"a\"\r\n"),
            etag: Some(Bytes::from_static(b"\"a\"")),
            last_modified: None,
            vary: vec![
                (Bytes::from_static(b"accept-language"), Some(Bytes::from_static(b"de"))),
                (Bytes::from_static(b"cookie"), None),
            ],
            tags: vec![1, u64::MAX],
            site: 9,
            rules: 10,
            assembles: true,
        }
    }

    const PARTS: [PartAt; 2] = [
        PartAt { segment: 1, offset: 2, bytes: 3, sum: 4 },
        PartAt { segment: 5, offset: 6, bytes: 7, sum: u32::MAX },
    ];

    #[test]
    fn a_part_that_is_longer_than_any_is_damage() {
        let part = |bytes| [PartAt { bytes, ..PARTS[0] }];
        let read = |bytes| Meta::decode(&meta().encode(&part(bytes)).unwrap().into());
        assert!(read(PART_BYTES as u32).is_some());
        assert_eq!(read(PART_BYTES as u32 + 1), None);
        assert_eq!(read(u32::MAX), None);
    }

    #[test]
    fn a_meta_reads_as_it_was_written() {
        let bytes = Bytes::from(meta().encode(&PARTS).unwrap());
        assert_eq!(Meta::decode(&bytes), Some((meta(), PARTS.to_vec())));
        let bare = Meta { etag: None, vary: vec![], tags: vec![], ..meta() };
        let bytes = Bytes::from(bare.encode(&[]).unwrap());
        assert_eq!(Meta::decode(&bytes), Some((bare, vec![])));
    }

    #[test]
    fn the_bytes_are_those_of_this_format() {
        // Who changes what is written changes this sum, and with it `FORMAT`.
        let bytes = meta().encode(&PARTS).unwrap();
        assert_eq!((crate::record::FORMAT, bytes.len(), crc32fast::hash(&bytes)), (2, 189, 1_196_388_470));
    }

    #[test]
    fn what_was_learned_stays_so() {
        let facts = StoredFacts { heuristic: true, learned: true, surrogate: true, ..meta().facts };
        let bytes = Bytes::from(Meta { facts, ..meta() }.encode(&[]).unwrap());
        assert_eq!(Meta::decode(&bytes).unwrap().0.facts, facts);
    }

    #[test]
    fn more_tags_than_may_be_written_are_not_left_out() {
        let tags = vec![0; TAGS_MAX + 1];
        assert_eq!(Meta { tags, ..meta() }.encode(&[]), None);
    }

    #[test]
    fn it_is_useful_while_it_can_be_served_or_asked_about() {
        assert_eq!(meta().useful_until(), 1_700_000_000 + 58 + 86_400);
        let facts = StoredFacts { validator: false, ..meta().facts };
        assert_eq!(Meta { facts, ..meta() }.useful_until(), 1_700_000_000 + 58 + 7);
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_never_panic(bytes: Vec<u8>) {
            let _ = Meta::decode(&Bytes::from(bytes));
        }

        #[test]
        fn what_is_cut_or_longer_is_nothing(cut in 0..189usize, more in 1..9usize) {
            let mut bytes = meta().encode(&PARTS).unwrap();
            prop_assert_eq!(Meta::decode(&Bytes::copy_from_slice(&bytes[..cut])), None);
            bytes.resize(bytes.len() + more, 0);
            prop_assert_eq!(Meta::decode(&Bytes::from(bytes)), None);
        }
    }
}
