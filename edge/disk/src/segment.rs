//! One file of records, written from its beginning to its end and then only read. Its name can go while somebody still
//! reads it: the file stays for as long as it is open. Knows no index.

use crate::files;
use crate::record::{FORMAT, HEAD_BYTES, Head};
use bytes::Bytes;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const MAGIC: u32 = 0x5450_4f53;
/// Bytes before the first record.
pub(crate) const HEADER_BYTES: u64 = 32;

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub number: u32,
    file: File,
    /// Bytes that were written; none beyond is read.
    length: AtomicU64,
    /// The lowest sequence number of a record in it.
    sequence_min: AtomicU64,
}

/// Where a segment lies.
pub(crate) fn path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("segment-{number:010}"))
}

/// The number in a segment's file name.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("segment-")?;
    (digits.len() == 10).then(|| digits.parse().ok()).flatten()
}

impl Segment {
    /// A new one, in the place of what has its name.
    pub(crate) fn create(directory: &Path, number: u32, store: u64) -> io::Result<Self> {
        let path = path(directory, number);
        let mut options = File::options();
        let file = files::open(options.read(true).write(true).create(true).truncate(true), &path)?;
        file.write_all_at(&header(number, store), 0)?;
        Ok(Self::over(number, file, HEADER_BYTES))
    }

    /// Opens one that is there; `None` when it is not of this store.
    pub(crate) fn open(directory: &Path, number: u32, store: u64) -> io::Result<Option<Self>> {
        let file = files::open(File::options().read(true), &path(directory, number))?;
        let length = file.metadata()?.len();
        let mut begins = [0; HEADER_BYTES as usize];
        if length < HEADER_BYTES {
            return Ok(None);
        }
        file.read_exact_at(&mut begins, 0)?;
        Ok((begins == header(number, store)).then(|| Self::over(number, file, length)))
    }

    fn over(number: u32, file: File, length: u64) -> Self {
        Self { number, file, length: length.into(), sequence_min: u64::MAX.into() }
    }

    /// Writes at the end of what was written.
    pub(crate) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let at = self.length();
        self.file.write_all_at(bytes, at)?;
        self.length.store(at + bytes.len() as u64, Ordering::Release);
        Ok(())
    }

    /// Bytes that were written.
    pub(crate) fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    /// The lowest sequence number of a record in it, as far as it is known.
    pub(crate) fn sequence_min(&self) -> u64 {
        self.sequence_min.load(Ordering::Acquire)
    }

    /// A record with this number is in it.
    pub(crate) fn holds_sequence(&self, sequence: u64) {
        self.sequence_min.fetch_min(sequence, Ordering::AcqRel);
    }

    /// Reads bytes that were written.
    pub(crate) fn read(&self, offset: u32, bytes: usize) -> io::Result<Vec<u8>> {
        if u64::from(offset) + bytes as u64 > self.length() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut read = vec![0; bytes];
        self.file.read_exact_at(&mut read, u64::from(offset))?;
        Ok(read)
    }

    /// Calls `found` with the head and the place of each record, up to the first that is damaged or cut off.
    pub(crate) fn scan(&self, mut found: impl FnMut(&Head, u32)) -> io::Result<()> {
        let (mut at, length) = (HEADER_BYTES, self.length());
        while at + HEAD_BYTES as u64 <= length {
            let mut bytes = [0; HEAD_BYTES];
            self.file.read_exact_at(&mut bytes, at)?;
            let Some(head) = Head::decode(&bytes) else { break };
            let end = at + head.record_bytes() as u64;
            if end > length {
                break;
            }
            found(&head, at as u32);
            at = end;
        }
        Ok(())
    }

    /// Removes its name.
    pub(crate) fn remove(&self, directory: &Path) -> io::Result<()> {
        fs::remove_file(path(directory, self.number))
    }
}

fn header(number: u32, store: u64) -> [u8; HEADER_BYTES as usize] {
    let mut out = [0; HEADER_BYTES as usize];
    out[..4].copy_from_slice(&MAGIC.to_le_bytes());
    out[4..8].copy_from_slice(&FORMAT.to_le_bytes());
    out[8..16].copy_from_slice(&store.to_le_bytes());
    out[16..20].copy_from_slice(&number.to_le_bytes());
    let sum = crc32fast::hash(&out[..28]);
    out[28..].copy_from_slice(&sum.to_le_bytes());
    out
}

/// A record's bytes, split.
#[derive(Debug)]
pub(crate) struct Read {
    pub head: Head,
    pub key: Bytes,
    pub meta: Bytes,
    /// The body, if it was read too.
    pub body: Option<Bytes>,
}

/// Splits the bytes of a record's head, key and meta, and of its body if that was read with them. `None` when any of
/// them is damaged.
pub(crate) fn split(bytes: Bytes) -> Option<Read> {
    let head = Head::decode(bytes.get(..HEAD_BYTES)?.try_into().ok()?)?;
    let (key_end, named_end) = (HEAD_BYTES + head.key_bytes as usize, head.named_bytes());
    if bytes.len() < named_end || crc32fast::hash(&bytes[HEAD_BYTES..named_end]) != head.named_sum {
        return None;
    }
    let body = (bytes.len() == head.record_bytes()).then(|| bytes.slice(named_end..));
    if body.as_ref().is_some_and(|body| crc32fast::hash(body) != head.body_sum) {
        return None;
    }
    Some(Read { head, key: bytes.slice(HEAD_BYTES..key_end), meta: bytes.slice(key_end..named_end), body })
}
