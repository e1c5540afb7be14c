//! The bytes of a record: a fixed head that says what follows and whether it is whole, then key, meta and body. Pure:
//! knows no file. Whoever changes what is written raises [`FORMAT`]: what lies on disk in another format is thrown away.

/// The version of everything that is written, journal included.
pub const FORMAT: u32 = 2;

/// Bytes of a record's head.
pub(crate) const HEAD_BYTES: usize = 64;

/// Longest body in one record. Longer ones are written in parts of this size, so that a reader needs no more memory
/// than one of them at a time.
pub const PART_BYTES: usize = 256 * 1024;

/// Longest key and longest meta that are written: what is longer is not kept.
pub(crate) const KEY_BYTES_MAX: usize = 64 * 1024;
/// See [`KEY_BYTES_MAX`]. A list of parts is in it: 16 bytes for each 256 KiB.
pub(crate) const META_BYTES_MAX: usize = 1 << 20;

/// Longest record: the smallest segment must hold one.
pub(crate) const RECORD_BYTES_MAX: usize = HEAD_BYTES + KEY_BYTES_MAX + META_BYTES_MAX + PART_BYTES;

const MAGIC: u32 = 0x5450_4f42;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An object: its key, what is to be known of it, and its body or the places of its body's parts.
    Object = 1,
    /// A part of a body. Found only through the object that names its place.
    Part = 2,
}

/// What stands before each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// What follows.
    pub kind: Kind,
    /// Hash of the key with the store's seed.
    pub key_hash: u64,
    /// Which of the key's variants; 0 varies by nothing.
    pub variant: u32,
    /// Purges that came after this number apply to it.
    pub sequence: u64,
    /// Unix second after which it is of no use, stale or not.
    pub useful_until: u32,
    /// The oldest segment in which a part of it lies.
    pub oldest: u32,
    /// Bytes of the key.
    pub key_bytes: u32,
    /// Bytes of the meta.
    pub meta_bytes: u32,
    /// Bytes of the body in this record.
    pub body_bytes: u32,
    /// Checksum of key and meta.
    pub named_sum: u32,
    /// Checksum of the body in this record.
    pub body_sum: u32,
}

impl Head {
    /// As it is written.
    pub(crate) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        let mut at = 8;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.key_hash.to_le_bytes());
        put(&self.sequence.to_le_bytes());
        for number in [
            self.kind as u32,
            self.variant,
            self.useful_until,
            self.oldest,
            self.key_bytes,
            self.meta_bytes,
            self.body_bytes,
            self.named_sum,
            self.body_sum,
        ] {
            put(&number.to_le_bytes());
        }
        out[..4].copy_from_slice(&MAGIC.to_le_bytes());
        let sum = crc32fast::hash(&out[8..]);
        out[4..8].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads one; `None` when this is no head, or not a whole one.
    pub(crate) fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let short = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        if short(0) != MAGIC || short(4) != crc32fast::hash(&bytes[8..]) {
            return None;
        }
        let kind = match short(24) {
            1 => Kind::Object,
            2 => Kind::Part,
            _ => return None,
        };
        let head = Self {
            kind,
            key_hash: long(8),
            sequence: long(16),
            variant: short(28),
            useful_until: short(32),
            oldest: short(36),
            key_bytes: short(40),
            meta_bytes: short(44),
            body_bytes: short(48),
            named_sum: short(52),
            body_sum: short(56),
        };
        let fits = head.key_bytes as usize <= KEY_BYTES_MAX
            && head.meta_bytes as usize <= META_BYTES_MAX
            && head.body_bytes as usize <= PART_BYTES;
        fits.then_some(head)
    }

    /// Bytes of head, key and meta.
    pub(crate) fn named_bytes(&self) -> usize {
        HEAD_BYTES + self.key_bytes as usize + self.meta_bytes as usize
    }

    /// Bytes of the whole record.
    pub(crate) fn record_bytes(&self) -> usize {
        self.named_bytes() + self.body_bytes as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head() -> Head {
        Head {
            kind: Kind::Object,
            key_hash: 0x0102_0304_0506_0708,
            variant: 7,
            sequence: 1 << 40,
            useful_until: 1_800_000_000,
            oldest: 3,
            key_bytes: 20,
            meta_bytes: 300,
            body_bytes: PART_BYTES as u32,
            named_sum: 0xaabb_ccdd,
            body_sum: 0x1122_3344,
        }
    }

    #[test]
    fn a_head_reads_as_it_was_written() {
        assert_eq!(Head::decode(&head().encode()), Some(head()));
        let part = Head { kind: Kind::Part, ..head() };
        assert_eq!(Head::decode(&part.encode()), Some(part));
    }

    #[test]
    fn a_head_that_promises_more_than_a_record_may_hold_is_none() {
        for wrong in [
            Head { key_bytes: KEY_BYTES_MAX as u32 + 1, ..head() },
            Head { meta_bytes: META_BYTES_MAX as u32 + 1, ..head() },
            Head { body_bytes: PART_BYTES as u32 + 1, ..head() },
        ] {
            assert_eq!(Head::decode(&wrong.encode()), None);
        }
    }

    proptest! {
        #[test]
        fn no_damaged_byte_goes_unseen(at in 0..HEAD_BYTES, change in 1..=255u8) {
            let mut bytes = head().encode();
            bytes[at] ^= change;
            prop_assert_eq!(Head::decode(&bytes), None);
        }
    }
}
