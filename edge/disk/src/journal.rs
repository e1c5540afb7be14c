//! The purges that were ordered, written down before they are answered, so that no crash brings back what was purged.
//! One file, appended to, and written anew when most of it no longer matters. Space is reserved ahead: a purge must not
//! fail because the disk is full. What cannot be read makes everything on disk suspect.

use crate::files;
use crate::purges::{Order, PREFIX_BYTES_MAX, Purges, What};
use crate::record::FORMAT;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const NAME: &str = "purges";
const NAME_NEW: &str = "purges.new";
const MAGIC: u32 = 0x5450_4f4a;
const HEADER_BYTES: usize = 40;
/// Before each order: checksum and length.
const ORDER_HEAD_BYTES: usize = 8;
/// Sequence, softness, kind.
const ORDER_FIXED_BYTES: usize = 10;
/// Reserved at a time.
const RESERVE_BYTES: u64 = 256 * 1024;
/// Written anew only when it is longer than this, and twice as long as it need be.
const REWRITE_BYTES_MIN: u64 = 1 << 20;

/// The open file.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    file: File,
    length: u64,
    reserved: u64,
    /// Length after it was last written anew.
    length_needed: u64,
    store: u64,
}

/// Why a journal is not one to go by.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It is not there, of another store or format, or damaged.
    Damaged,
    /// The system refused.
    Io(io::Error),
}

impl Journal {
    /// A new one without orders, in the place of any other.
    pub(crate) fn create(directory: &Path, store: u64, purges: &Purges) -> io::Result<Self> {
        let bytes = encode(store, purges);
        let path = directory.join(NAME_NEW);
        let mut options = File::options();
        let file = files::open(options.read(true).write(true).create(true).truncate(true), &path)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        fs::rename(&path, directory.join(NAME))?;
        sync_directory(directory)?;
        let length = bytes.len() as u64;
        let directory = directory.to_path_buf();
        let mut journal = Self { directory, file, length, reserved: length, length_needed: length, store };
        journal.reserve(0)?;
        Ok(journal)
    }

    /// Opens the one that is there and reads it.
    pub(crate) fn open(directory: &Path, store: u64) -> Result<(Self, Purges), Unreadable> {
        let file = match files::open(File::options().read(true).write(true), &directory.join(NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unreadable::Damaged),
            Err(error) => return Err(Unreadable::Io(error)),
        };
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
        let (purges, length) = decode(&bytes, store).ok_or(Unreadable::Damaged)?;
        let length = length as u64;
        // What was cut off in the middle was never answered.
        file.set_len(length).map_err(Unreadable::Io)?;
        let directory = directory.to_path_buf();
        let mut journal = Self { directory, file, length, reserved: length, length_needed: length, store };
        journal.reserve(0).map_err(Unreadable::Io)?;
        Ok((journal, purges))
    }

    /// Adds orders: no crash of this process loses them. With `sync` it returns once no crash of the machine does.
    pub(crate) fn append(&mut self, orders: &[Order], sync: bool) -> io::Result<()> {
        let mut bytes = Vec::new();
        orders.iter().for_each(|order| put_order(&mut bytes, order));
        self.reserve(bytes.len() as u64)?;
        self.file.write_all_at(&bytes, self.length)?;
        self.length += bytes.len() as u64;
        if sync { self.file.sync_data() } else { Ok(()) }
    }

    /// Whether most of it may no longer matter.
    pub(crate) fn is_long(&self) -> bool {
        self.length > REWRITE_BYTES_MIN.max(2 * self.length_needed)
    }

    /// Writes it anew with what still matters.
    pub(crate) fn rewrite(&mut self, purges: &Purges) -> io::Result<()> {
        *self = Self::create(&self.directory, self.store, purges)?;
        Ok(())
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.reserved
    }

    fn reserve(&mut self, more: u64) -> io::Result<()> {
        if self.length + more + RESERVE_BYTES / 2 <= self.reserved {
            return Ok(());
        }
        let bytes = RESERVE_BYTES + more;
        let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, flags, self.length, bytes) {
            Ok(()) => self.reserved = self.length + bytes,
            // Not every file system can: then a full disk is found out when it is written.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            // There may still be room in what was reserved before.
            Err(_) if self.length + more <= self.reserved => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Makes sure that names which were made or removed stay so.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn encode(store: u64, purges: &Purges) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&FORMAT.to_le_bytes());
    for number in [store, purges.sequence(), purges.floor()] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let sum = crc32fast::hash(&out);
    out.extend_from_slice(&u64::from(sum).to_le_bytes());
    purges.orders().iter().for_each(|order| put_order(&mut out, order));
    out
}

/// The purges and the length of what could be read; `None` when something in it is damaged.
fn decode(bytes: &[u8], store: u64) -> Option<(Purges, usize)> {
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let begins = u64::from(MAGIC) | u64::from(FORMAT) << 32;
    let sum = u64::from(crc32fast::hash(bytes.get(..HEADER_BYTES - 8)?));
    if long(0)? != begins || long(8)? != store || long(HEADER_BYTES - 8)? != sum {
        return None;
    }
    let mut purges = Purges::after(long(16)?, long(24)?);
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        let rest = &bytes[at..];
        // Cut off while it was written, or space that a crash of the machine left empty: never answered.
        let torn = rest.len() < ORDER_HEAD_BYTES || rest.iter().all(|&byte| byte == 0);
        if torn {
            break;
        }
        let short = |at: usize| Some(u32::from_le_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        let (sum, length) = (short(0)?, short(4)? as usize);
        if !(ORDER_FIXED_BYTES..=ORDER_FIXED_BYTES + PREFIX_BYTES_MAX).contains(&length) {
            return None;
        }
        let Some(payload) = rest.get(ORDER_HEAD_BYTES..ORDER_HEAD_BYTES + length) else { break };
        if crc32fast::hash(payload) != sum {
            return None;
        }
        purges.apply(&order(payload)?);
        at += ORDER_HEAD_BYTES + length;
    }
    Some((purges, at))
}

fn put_order(out: &mut Vec<u8>, order: &Order) {
    let mut payload = Vec::with_capacity(32);
    payload.extend_from_slice(&order.sequence.to_le_bytes());
    payload.push(u8::from(order.soft));
    let (kind, number) = match &order.what {
        What::Key(hash) => (0, Some(*hash)),
        What::Tag(tag) => (1, Some(*tag)),
        What::Site(site) => (2, Some(*site)),
        What::All => (3, None),
        What::Prefix(_) => (4, None),
    };
    payload.push(kind);
    number.iter().for_each(|number| payload.extend_from_slice(&number.to_le_bytes()));
    if let What::Prefix(prefix) = &order.what {
        payload.extend_from_slice(prefix);
    }
    out.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&payload);
}

fn order(payload: &[u8]) -> Option<Order> {
    let (fixed, rest) = payload.split_at_checked(ORDER_FIXED_BYTES)?;
    let number = || Some(u64::from_le_bytes(rest.try_into().ok()?));
    let what = match fixed[9] {
        0 => What::Key(number()?),
        1 => What::Tag(number()?),
        2 => What::Site(number()?),
        3 => What::All,
        4 => What::Prefix(rest.into()),
        _ => return None,
    };
    Some(Order { sequence: u64::from_le_bytes(fixed[..8].try_into().ok()?), soft: fixed[8] != 0, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purges::{Named, Standing};
    use proptest::prelude::*;

    fn whats() -> [What; 5] {
        [
            What::Key(1),
            What::Tag(2),
            What::Site(3),
            What::Prefix(b"shop\0/p/"[..].into()),
            What::Prefix(b""[..].into()),
        ]
    }

    fn gone(purges: &Purges, sequence: u64, key_hash: u64) -> bool {
        let named = Named { sequence, key_hash, key: b"x", tags: &[], site: 0 };
        purges.standing(&named) == Standing::Gone
    }

    #[test]
    fn orders_outlive_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let mut purges = Purges::after(10, 4);
        let mut journal = Journal::create(directory.path(), 7, &purges).unwrap();
        let orders: Vec<Order> = whats()
            .into_iter()
            .flat_map(|what| [(what.clone(), false), (what, true)])
            .map(|(what, soft)| purges.purge(what, soft))
            .collect();
        journal.append(&orders[..3], true).unwrap();
        journal.append(&orders[3..], true).unwrap();
        drop(journal);
        let (mut journal, read) = Journal::open(directory.path(), 7).unwrap();
        assert_eq!((read.sequence(), read.floor(), read.orders()), (20, 4, purges.orders()));
        journal.rewrite(&read).unwrap();
        journal.append(&[Order { sequence: 21, soft: false, what: What::Key(99) }], true).unwrap();
        let (_, read) = Journal::open(directory.path(), 7).unwrap();
        assert_eq!(read.sequence(), 21);
        assert!(gone(&read, 20, 99) && !gone(&read, 21, 99));
    }

    #[test]
    fn another_stores_journal_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        Journal::create(directory.path(), 7, &Purges::default()).unwrap();
        assert!(matches!(Journal::open(directory.path(), 8), Err(Unreadable::Damaged)));
        fs::remove_file(directory.path().join(NAME)).unwrap();
        assert!(matches!(Journal::open(directory.path(), 7), Err(Unreadable::Damaged)));
    }

    #[test]
    fn what_was_cut_off_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(directory.path(), 7, &Purges::default()).unwrap();
        let order = |sequence| Order { sequence, soft: false, what: What::Key(sequence) };
        journal.append(&[order(1), order(2)], true).unwrap();
        journal.file.set_len(journal.length - 3).unwrap();
        let (mut journal, read) = Journal::open(directory.path(), 7).unwrap();
        assert_eq!(read.sequence(), 1);
        journal.append(&[order(2), order(3)], true).unwrap();
        journal.file.set_len(journal.length + 4_096).unwrap();
        let (_, read) = Journal::open(directory.path(), 7).unwrap();
        assert_eq!(read.sequence(), 3, "zeros at the end are space that was never written");
    }

    #[test]
    fn it_is_written_anew_when_it_is_long() {
        let directory = tempfile::tempdir().unwrap();
        let mut purges = Purges::default();
        let mut journal = Journal::create(directory.path(), 7, &purges).unwrap();
        while !journal.is_long() {
            let orders: Vec<Order> = (0..1_000).map(|_| purges.purge(What::Tag(1), false)).collect();
            journal.append(&orders, true).unwrap();
        }
        journal.rewrite(&purges).unwrap();
        assert!(journal.bytes() < 600_000, "{}", journal.bytes());
        assert_eq!(Journal::open(directory.path(), 7).unwrap().1.orders(), purges.orders());
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_seen_or_changes_nothing(at in 0..1_000usize, change in 1..=255u8) {
            let mut purges = Purges::after(10, 4);
            let mut bytes = encode(7, &purges);
            for what in whats() {
                put_order(&mut bytes, &purges.purge(what, false));
            }
            let at = at % bytes.len();
            bytes[at] ^= change;
            // A damaged length may look like an end; then fewer orders are read, and the length says so.
            if let Some((_, length)) = decode(&bytes, 7) {
                prop_assert!(length < bytes.len());
            }
        }

        #[test]
        fn bytes_of_any_kind_never_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes, 7);
        }
    }
}
