//! A bounded ring of byte records from one data thread to the drain thread. A full ring drops the record and counts
//! it. Neither side ever waits for the other, takes a lock, wakes anybody or allocates after creation: the consumer
//! polls.
//!
//! The bytes lie in `AtomicU64` words, written and read relaxed and published by one release store a record. That
//! costs what a copy costs (a relaxed store is a plain one) and needs no `unsafe`; two buffers swapped under a mutex
//! would cost a compare-and-swap a record and drop records while the consumer swaps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in one word of the ring.
const WORD: usize = 8;

/// The writing end; held by one data thread.
#[derive(Debug)]
pub struct Producer {
    ring: Arc<Ring>,
    /// Words written so far, the record under way included.
    head: u64,
    /// The consumer's position as last seen: read again only when the ring looks full.
    tail_seen: u64,
}

/// The reading end; held by the drain thread.
#[derive(Debug)]
pub struct Consumer {
    ring: Arc<Ring>,
    tail: u64,
    /// One record, put together.
    record: Vec<u8>,
}

#[derive(Debug)]
struct Ring {
    words: Box<[AtomicU64]>,
    /// Length of a record at most, in bytes.
    record_bytes_max: usize,
    published: Padded,
    consumed: Padded,
    dropped: Padded,
}

/// Alone on its cache line, so that one side's writes do not slow the other's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

/// Makes a ring that holds at most `bytes_max` bytes (rounded up to a power of two), each record's length word
/// included. A record may be `record_bytes_max` long at most; longer ones count as dropped.
///
/// # Panics
/// When not even one record of `record_bytes_max` bytes fits: that is a mistake of ours, not of traffic.
pub fn ring(bytes_max: usize, record_bytes_max: usize) -> (Producer, Consumer) {
    let words = (bytes_max / WORD).next_power_of_two();
    assert!(
        words > record_bytes_max.div_ceil(WORD),
        "a ring of {bytes_max} B, records of {record_bytes_max} B"
    );
    let ring = Arc::new(Ring {
        words: (0..words).map(|_| AtomicU64::new(0)).collect(),
        record_bytes_max,
        published: Padded::default(),
        consumed: Padded::default(),
        dropped: Padded::default(),
    });
    let record = Vec::with_capacity(record_bytes_max.next_multiple_of(WORD));
    (Producer { ring: ring.clone(), head: 0, tail_seen: 0 }, Consumer { ring, tail: 0, record })
}

impl Producer {
    /// Appends one record, made of `parts` one after the other. Returns whether it was taken; a record that does not
    /// fit is dropped and counted.
    #[inline]
    pub fn push(&mut self, parts: &[&[u8]]) -> bool {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let words = 1 + length.div_ceil(WORD) as u64;
        if length > self.ring.record_bytes_max || !self.has_room(words) {
            let dropped = &self.ring.dropped.0;
            dropped.store(dropped.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            return false;
        }
        let end = self.head + words;
        self.put(length as u64);
        self.put_parts(parts);
        debug_assert_eq!(self.head, end, "the record is as long as announced");
        self.ring.published.0.store(end, Ordering::Release);
        true
    }

    /// Records dropped so far.
    pub fn dropped(&self) -> u64 {
        self.ring.dropped.0.load(Ordering::Relaxed)
    }

    #[inline]
    fn has_room(&mut self, words: u64) -> bool {
        let capacity = self.ring.words.len() as u64;
        if self.head + words - self.tail_seen <= capacity {
            return true;
        }
        // Acquire: the consumer has read the words before it gives them back.
        self.tail_seen = self.ring.consumed.0.load(Ordering::Acquire);
        self.head + words - self.tail_seen <= capacity
    }

    /// Packs the parts without gaps: `carry` holds the `carried` bytes that do not fill a word yet.
    #[inline]
    fn put_parts(&mut self, parts: &[&[u8]]) {
        let (mut carry, mut carried) = (0u64, 0usize);
        for part in parts {
            let (whole, rest) = part.as_chunks::<WORD>();
            for chunk in whole {
                let word = u64::from_le_bytes(*chunk);
                self.put(carry | word << (carried * 8));
                // In two steps, for a shift by 64 would not be defined.
                carry = word >> 8 >> (56 - carried * 8);
            }
            for &byte in rest {
                carry |= u64::from(byte) << (carried * 8);
                carried += 1;
                if carried == WORD {
                    self.put(carry);
                    (carry, carried) = (0, 0);
                }
            }
        }
        if carried > 0 {
            self.put(carry);
        }
    }

    #[inline]
    fn put(&mut self, word: u64) {
        self.ring.words[self.ring.index(self.head)].store(word, Ordering::Relaxed);
        self.head += 1;
    }
}

impl Consumer {
    /// Hands over every record that was there when the call began; returns how many. Records pushed meanwhile wait
    /// for the next call, so that a fast producer cannot keep the consumer here.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8])) -> usize {
        let end = self.ring.published.0.load(Ordering::Acquire);
        let mut records = 0;
        while self.tail < end {
            let length = self.ring.words[self.ring.index(self.tail)].load(Ordering::Relaxed) as usize;
            debug_assert!(length <= self.ring.record_bytes_max);
            let words = length.div_ceil(WORD) as u64;
            self.record.clear();
            for at in self.tail + 1..=self.tail + words {
                let word = self.ring.words[self.ring.index(at)].load(Ordering::Relaxed);
                self.record.extend_from_slice(&word.to_le_bytes());
            }
            self.record.truncate(length);
            self.tail += 1 + words;
            // Given back before it is looked at: the bytes are copied.
            self.ring.consumed.0.store(self.tail, Ordering::Release);
            each(&self.record);
            records += 1;
        }
        records
    }

    /// How full the ring is, 0 to 100.
    pub fn percent_full(&self) -> u8 {
        let used = self.ring.published.0.load(Ordering::Relaxed).saturating_sub(self.tail);
        (used * 100 / self.ring.words.len() as u64).min(100) as u8
    }

    /// Records dropped so far.
    pub fn dropped(&self) -> u64 {
        self.ring.dropped.0.load(Ordering::Relaxed)
    }
}

impl Ring {
    #[inline]
    fn index(&self, at: u64) -> usize {
        at as usize & (self.words.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(consumer: &mut Consumer) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        consumer.drain(|record| all.push(record.to_vec()));
        all
    }

    #[test]
    fn parts_of_any_length_come_out_as_one_record() {
        let (mut producer, mut consumer) = ring(4096, 200);
        let bytes: Vec<u8> = (1..=60).collect();
        for first in 0..20 {
            for second in 0..20 {
                let parts = [&bytes[..first], &bytes[first..first + second], &bytes[first + second..]];
                assert!(producer.push(&parts));
                assert_eq!(drained(&mut consumer), [bytes.as_slice()], "split at {first} and {second}");
            }
        }
        assert!(producer.push(&[]));
        assert!(producer.push(&[b"", b"x"]));
        assert_eq!(drained(&mut consumer), [b"".as_slice(), b"x"]);
    }

    #[test]
    fn a_full_ring_drops_and_counts_and_takes_again_once_drained() {
        let (mut producer, mut consumer) = ring(128, 64);
        let taken = (0..10u8).filter(|n| producer.push(&[&[*n; 20]])).count();
        assert_eq!(taken, 4, "16 words hold four records of 1 + 3 words");
        assert_eq!((producer.dropped(), consumer.dropped()), (6, 6));
        assert_eq!(consumer.percent_full(), 100);
        assert_eq!(drained(&mut consumer), [[0; 20], [1; 20], [2; 20], [3; 20]]);
        assert_eq!(consumer.percent_full(), 0);
        assert!(producer.push(&[b"again"]));
        assert_eq!(drained(&mut consumer), [b"again"]);
    }

    #[test]
    fn a_record_longer_than_allowed_is_dropped() {
        let (mut producer, mut consumer) = ring(1024, 16);
        assert!(!producer.push(&[&[0; 10], &[0; 7]]));
        assert_eq!(producer.dropped(), 1);
        assert_eq!(consumer.drain(|_| panic!("nothing was taken")), 0);
    }

    #[test]
    fn two_threads_lose_nothing_but_what_they_count() {
        const PUSHED: u32 = if cfg!(miri) { 300 } else { 200_000 };
        let (mut producer, mut consumer) = ring(1024, 64);
        let writer = std::thread::spawn(move || {
            for n in 0..PUSHED {
                let fill = vec![n as u8; n as usize % 50];
                producer.push(&[&n.to_le_bytes(), &fill]);
            }
            producer.dropped()
        });
        let (mut seen, mut last) = (0u64, None);
        let mut check = |record: &[u8]| {
            let (number, fill) = record.split_first_chunk::<4>().unwrap();
            let n = u32::from_le_bytes(*number);
            assert!(last < Some(n), "in order");
            assert_eq!(fill, vec![n as u8; n as usize % 50], "whole");
            last = Some(n);
            seen += 1;
        };
        while !writer.is_finished() {
            consumer.drain(&mut check);
        }
        consumer.drain(&mut check);
        assert_eq!(seen + writer.join().unwrap(), u64::from(PUSHED));
    }
}
