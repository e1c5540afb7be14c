//! What answers, keys and addresses are hashed with. The keys are drawn when the first is hashed, unless the edge before has
//! told its own by then: only with the same ones its answers can be compared with those of now.

#![allow(
    deprecated,
    reason = "the one SipHash of the standard library whose keys can be told to another process"
)]

use std::hash::{BuildHasher, Hash, Hasher as _, RandomState, SipHasher};
use std::sync::OnceLock;

/// Hashes with a process's keys.
pub type Hasher = SipHasher;

/// 128 bits that no visitor knows.
#[derive(Debug, Default)]
pub struct Keys(OnceLock<[u64; 2]>);

impl Keys {
    /// A hasher with these keys.
    pub fn hasher(&self) -> Hasher {
        let [one, two] = self.get();
        SipHasher::new_with_keys(one, two)
    }

    /// One value's hash.
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.hasher();
        bytes.hash(&mut hasher);
        hasher.finish()
    }

    /// The keys, drawn now where there are none.
    pub fn get(&self) -> [u64; 2] {
        *self.0.get_or_init(|| {
            let random = RandomState::new();
            [random.hash_one(0), random.hash_one(1)]
        })
    }

    /// Takes the keys of another process; whether nothing had been hashed with others.
    pub fn take(&self, keys: [u64; 2]) -> bool {
        self.0.set(keys).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_hash_alike_when_one_was_told_in_time() {
        let (before, next, late) = (Keys::default(), Keys::default(), Keys::default());
        let hash = before.hash(b"shop.example");
        assert_ne!(hash, late.hash(b"shop.example"));
        assert!(next.take(before.get()) && !late.take(before.get()));
        assert_eq!(next.hash(b"shop.example"), hash);
    }
}
