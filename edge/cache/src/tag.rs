//! Tags: words that an application gives a response, so that it can later name all that carry one of them. Kept as
//! hashes. Reads no header fields.

use std::sync::Arc;

/// Tags of one object. Magento's longest pages name some 1,500 (16 KiB of `cat_p_123`); a response that names more
/// than this is not stored, for it could not be purged.
pub const TAGS_MAX: usize = 4_096;

/// One tag, as the SipHash-2-4 of its text under a key that never changes: what lies on disk is found again by the
/// next process. (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012.)
///
/// 64 bits suffice: of ten million different tags some two share a hash once in 400,000 caches, and that costs no
/// more than one purge that removes too much. Upper and lower case differ. The site is not part of it: whose an object
/// is follows from its key when a purge comes, so a site that has been renamed is purged all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u64);

/// The key: "Tentpole's tags." in ASCII.
const KEY: [u64; 2] = [u64::from_le_bytes(*b"Tentpole"), u64::from_le_bytes(*b"'s tags.")];

impl Tag {
    /// The tag with this text, without white space around it.
    pub fn of(text: &[u8]) -> Self {
        Self(siphash(KEY, text.trim_ascii()))
    }

    /// For what keeps tags elsewhere.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// What [`Tag::to_bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }
}

/// Each once, in order. `None` when there are more than [`TAGS_MAX`].
pub(crate) fn sorted(tags: &[Tag]) -> Option<Arc<[Tag]>> {
    let mut sorted = tags.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    (sorted.len() <= TAGS_MAX).then(|| sorted.into())
}

/// The tags of one purge, each once, in order. Cheap to clone: fills remember it until they know their own tags.
#[derive(Clone, Debug)]
pub struct TagSet(Arc<[Tag]>);

impl TagSet {
    /// Of these tags, in any order.
    pub fn new(tags: &[Tag]) -> Self {
        let mut sorted = tags.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        Self(sorted.into())
    }

    /// All of them.
    pub fn all(&self) -> &[Tag] {
        &self.0
    }

    /// Whether one of these is among them.
    pub fn names_one_of(&self, tags: impl IntoIterator<Item = Tag>) -> bool {
        tags.into_iter().any(|tag| self.0.binary_search(&tag).is_ok())
    }
}

/// SipHash-2-4.
fn siphash(key: [u64; 2], text: &[u8]) -> u64 {
    let [k0, k1] = key;
    let mut state = [
        k0 ^ u64::from_be_bytes(*b"somepseu"),
        k1 ^ u64::from_be_bytes(*b"dorandom"),
        k0 ^ u64::from_be_bytes(*b"lygenera"),
        k1 ^ u64::from_be_bytes(*b"tedbytes"),
    ];
    let mut words = text.chunks_exact(8);
    let mut take = |word: u64| {
        state[3] ^= word;
        rounds(&mut state, 2);
        state[0] ^= word;
    };
    for word in &mut words {
        take(word.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)));
    }
    let rest = words.remainder().iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    take((text.len() as u64) << 56 | rest);
    state[2] ^= 0xff;
    rounds(&mut state, 4);
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn rounds(state: &mut [u64; 4], count: usize) {
    let [a, b, c, d] = state;
    for _ in 0..count {
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*b);
        *a = a.wrapping_add(*d);
        *b = b.rotate_left(17) ^ *c;
        *d = d.rotate_left(21) ^ *a;
        *c = c.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_the_paper() {
        // Appendix A: key 00 01 … 0f, input 00 01 … 0e.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let input: Vec<u8> = (0..15).collect();
        assert_eq!(siphash(key, &input), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn a_tag_is_its_text_to_the_letter() {
        assert_eq!(Tag::of(b" post-1 "), Tag::of(b"post-1"));
        assert_ne!(Tag::of(b"post-1"), Tag::of(b"Post-1"));
        assert_ne!(Tag::of(b"post-1"), Tag::of(b"post-10"));
        assert_ne!(Tag::of(b"12345678"), Tag::of(b"12345678\0"));
        assert_eq!(Tag::from_bytes(Tag::of(b"post-1").to_bytes()), Tag::of(b"post-1"));
    }

    #[test]
    fn what_one_process_wrote_the_next_one_reads() {
        assert_eq!(Tag::of(b"post-1").to_bytes(), GOLDEN, "objects on disk would not be found by their tags");
    }

    const GOLDEN: [u8; 8] = [200, 74, 189, 145, 196, 146, 33, 119];
}
