//! The directory that a store lies in: who holds it, whose it is, what is in it. Removes only files that have names of
//! ours.

use crate::files;
use crate::journal::{Journal, Unreadable, sync_directory};
use crate::purges::Purges;
use crate::record::{FORMAT, RECORD_BYTES_MAX};
use crate::segment::{self, Segment};
use siphasher::sip::SipHasher13;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use tentpole_model::DiskSettings;

/// Fewest bytes that make a store: some segments, each of which must hold the longest record.
pub const BYTES_MIN: u64 = 8 << 20;
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
const STORE: &str = "store";
const LOCK: &str = "lock";
const MAGIC: &[u8; 8] = b"tentpole";
const STORE_BYTES: usize = 32;

/// Why a disk cache cannot be opened. Nothing was changed then.
#[derive(Debug)]
pub enum OpenError {
    /// It may hold too little.
    TooSmall {
        /// Bytes that it may hold.
        bytes_max: u64,
    },
    /// Another process uses the directory.
    Held {
        /// The directory.
        directory: PathBuf,
        /// Its process id, when it said so.
        by: Option<u32>,
    },
    /// The directory cannot be made, read or written.
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The secret under the hashes of one store: who does not know it cannot make keys collide. It is also what tells files
/// of this store from those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u64, u64);

/// What was found in the directory, or made there.
#[derive(Debug)]
pub(crate) struct Opened {
    pub directory: Directory,
    pub journal: Journal,
    /// What the journal held; nothing when it was begun anew.
    pub purges: Purges,
    /// Oldest first.
    pub segments: Vec<Segment>,
    /// Why what was there was thrown away.
    pub emptied: Option<&'static str>,
    /// What was there before goes on.
    pub goes_on: bool,
}

/// What becomes of what lies there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner<'a> {
    /// It goes on, if it can be understood.
    Any,
    /// It goes on if it has this seed: another process has just let go of it. Otherwise as [`Manner::Anew`].
    Of(Seed, &'a Purges),
    /// It is thrown away; what comes has this seed, and these purges.
    Anew(Seed, &'a Purges),
}

/// A directory that is ours while this lives.
#[derive(Debug)]
pub(crate) struct Directory {
    pub path: PathBuf,
    pub seed: Seed,
    _lock: File,
}

impl Seed {
    pub(crate) fn random() -> Self {
        // The standard library asks the system for randomness.
        let (one, other) = (RandomState::new(), RandomState::new());
        Self(one.hash_one(1u8), other.hash_one(2u8))
    }

    /// The hash of a key.
    pub(crate) fn hash(self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(bytes);
        hasher.finish()
    }

    /// What marks a store's files.
    pub(crate) fn store(self) -> u64 {
        self.hash(b"store")
    }
}

/// Bytes of a segment in a store of this size.
pub(crate) fn segment_bytes(bytes_max: u64) -> u64 {
    (bytes_max / 32).clamp(RECORD_BYTES_MAX as u64 + segment::HEADER_BYTES, SEGMENT_BYTES_MAX)
}

/// Opens what is there, or begins anew.
pub(crate) fn open(settings: &DiskSettings, manner: Manner<'_>) -> Result<Opened, OpenError> {
    let path = &settings.directory;
    if settings.bytes_max < BYTES_MIN {
        return Err(OpenError::TooSmall { bytes_max: settings.bytes_max });
    }
    let failed = |source| OpenError::Directory { directory: path.clone(), source };
    files::make_directory(path).map_err(failed)?;
    let lock = lock(path)?;
    let known = match manner {
        Manner::Anew(..) => Known::Nothing,
        Manner::Any => read_store(path).map_err(failed)?,
        Manner::Of(wanted, _) => match read_store(path).map_err(failed)? {
            Known::Seed(seed) if seed != wanted => Known::Nothing,
            other => other,
        },
    };
    let found = match known {
        Known::Seed(seed) => match Journal::open(path, seed.store()) {
            Ok((journal, purges)) => Ok((seed, journal, purges)),
            Err(Unreadable::Damaged) => Err(Some("its journal of purges cannot be read")),
            Err(Unreadable::Io(source)) => return Err(failed(source)),
        },
        Known::Other => Err(Some("it is of another version of Tentpole")),
        Known::Nothing => Err(None),
    };
    let goes_on = found.is_ok();
    let (seed, journal, purges, segments, emptied) = match found {
        Ok((seed, journal, purges)) => {
            let segments = open_segments(path, seed).map_err(failed)?;
            (seed, journal, purges, segments, None)
        }
        Err(emptied) => {
            let none = Purges::default();
            let (seed, purges) = match manner {
                Manner::Any => (Seed::random(), &none),
                Manner::Of(seed, purges) | Manner::Anew(seed, purges) => (seed, purges),
            };
            let journal = begin(path, seed, purges).map_err(failed)?;
            (seed, journal, none, Vec::new(), emptied)
        }
    };
    let directory = Directory { path: path.clone(), seed, _lock: lock };
    Ok(Opened { directory, journal, purges, segments, emptied, goes_on })
}

/// Makes sure that what lies in a directory is never used again, as well as a failing disk allows.
pub(crate) fn disown(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(STORE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(directory),
    }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Directory { directory: directory.to_path_buf(), source };
    let path = directory.join(LOCK);
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = files::open(options, &path).map_err(failed)?;
    let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    match rustix::fs::flock(&file, operation) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let by = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            return Err(OpenError::Held { directory: directory.to_path_buf(), by });
        }
        Err(error) => return Err(failed(error.into())),
    }
    // Only for the message above: whether it can be written does not matter.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// The seed of what lies in a directory that another process holds, as long as that goes on with it.
pub(crate) fn seed_of(path: &Path) -> Option<Seed> {
    match read_store(path) {
        Ok(Known::Seed(seed)) => Some(seed),
        Ok(Known::Nothing | Known::Other) | Err(_) => None,
    }
}

enum Known {
    Nothing,
    Other,
    Seed(Seed),
}

fn read_store(directory: &Path) -> io::Result<Known> {
    let mut bytes = Vec::new();
    match files::open(File::options().read(true), &directory.join(STORE)) {
        Ok(file) => file.take(STORE_BYTES as u64 + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Known::Nothing),
        Err(error) => return Err(error),
    };
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let seed = || Some(Seed(long(16)?, long(24)?));
    let seed = seed().filter(|&seed| bytes == store_bytes(seed));
    Ok(seed.map_or(Known::Other, Known::Seed))
}

fn store_bytes(seed: Seed) -> [u8; STORE_BYTES] {
    let mut out = [0; STORE_BYTES];
    out[..8].copy_from_slice(MAGIC);
    out[12..16].copy_from_slice(&FORMAT.to_le_bytes());
    out[16..24].copy_from_slice(&seed.0.to_le_bytes());
    out[24..].copy_from_slice(&seed.1.to_le_bytes());
    let sum = crc32fast::hash(&out);
    out[8..12].copy_from_slice(&sum.to_le_bytes());
    out
}

/// Begins an empty store. `store` goes first and comes last, so that a crash in between leaves nothing that is used.
fn begin(directory: &Path, seed: Seed, purges: &Purges) -> io::Result<Journal> {
    disown(directory)?;
    for number in segment_numbers(directory)? {
        fs::remove_file(segment::path(directory, number))?;
    }
    let journal = Journal::create(directory, seed.store(), purges)?;
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(true);
    let mut file = files::open(options, &directory.join(STORE))?;
    file.write_all(&store_bytes(seed))?;
    file.sync_all()?;
    sync_directory(directory)?;
    Ok(journal)
}

fn segment_numbers(directory: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        numbers.extend(entry?.file_name().to_str().and_then(segment::number_of));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn open_segments(directory: &Path, seed: Seed) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for number in segment_numbers(directory)? {
        let path = segment::path(directory, number);
        // What only has a segment's name, a link say, or was put there by somebody else, goes like what is none.
        let is_ours = files::is_ours(&fs::symlink_metadata(&path)?);
        let opened = if is_ours { Segment::open(directory, number, seed.store())? } else { None };
        match opened.filter(|segment| segment.length() > segment::HEADER_BYTES) {
            Some(segment) => segments.push(segment),
            None => fs::remove_file(path)?,
        }
    }
    Ok(segments)
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { bytes_max } => {
                let least = BYTES_MIN >> 20;
                write!(f, "cache.disk: size is {bytes_max} bytes; it must be {least} MiB at least")
            }
            Self::Held { directory, by } => {
                let directory = directory.display();
                write!(f, "cache.disk: {directory} is used by another process")?;
                by.map_or(Ok(()), |by| write!(f, " ({by})"))?;
                write!(f, "; give each Tentpole a directory of its own")
            }
            Self::Directory { directory, source } => {
                let directory = directory.display();
                write!(f, "cache.disk: {directory} cannot be used: {source}")
            }
        }
    }
}

impl std::error::Error for OpenError {}
