//! A file that is open: its length, its entity tag and its bytes, all of the one descriptor. What takes its name
//! meanwhile changes nothing; what is written into it meanwhile ends the reading, so that nobody gets bytes of two
//! states under one tag.

use crate::kind::media_type;
use bytes::Bytes;
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;
use siphasher::sip::SipHasher13;
use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use tentpole_runtime::clock;

/// For so long after its last change a file may change once more without another time of change to tell it: kernels stamp
/// files by a clock of some milliseconds, network file systems by one of a second.
const SETTLES_NS: i128 = 1_000_000_000;

/// A regular file, open for reading.
#[derive(Debug)]
pub struct Opened {
    file: File,
    stamp: Stamp,
    name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its last change, in seconds since 1970.
    pub modified: u64,
    /// It changed so lately that it may change again unseen: its tag is a weak one, which holds for nobody.
    pub is_settling: bool,
    /// Its entity tag, with quotes (RFC 9110 section 8.8.3).
    pub etag: String,
    /// The value of `Content-Type`.
    pub media_type: &'static str,
}

/// What changes with the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    device: u64,
    bytes: u64,
    modified_ns: i128,
}

impl Opened {
    pub(crate) fn new(file: OwnedFd, name: String) -> Result<Option<Self>, Errno> {
        let stat = fstat(&file)?;
        if !crate::root::is_regular(&stat) {
            return Ok(None);
        }
        let stamp = Stamp::of(&stat);
        let age = i128::from(clock::unix_seconds()) * 1_000_000_000 - stamp.modified_ns;
        // Seconds are rounded down, and a file of the future is not older than one of now.
        let is_settling = age <= SETTLES_NS;
        Ok(Some(Self {
            file: File::from(file),
            stamp,
            bytes: stamp.bytes,
            modified: u64::try_from(stamp.modified_ns / 1_000_000_000).unwrap_or(0),
            is_settling,
            etag: stamp.etag(is_settling),
            media_type: media_type(&name),
            name,
        }))
    }

    /// Its name beneath the root: that of the index for a folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads `bytes` from `at` on, all of them. May wait for a disk.
    ///
    /// # Errors
    /// What the system says; `UnexpectedEof` when the file has changed since it was opened.
    pub fn read(&self, at: u64, bytes: usize) -> io::Result<Bytes> {
        let mut content = vec![0; bytes];
        self.file.read_exact_at(&mut content, at)?;
        // After the bytes: what was written before they were read shows.
        if Stamp::of(&fstat(&self.file)?) != self.stamp {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(content.into())
    }
}

impl Stamp {
    // The types of these fields differ between architectures.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "of other types elsewhere")]
    fn of(stat: &Stat) -> Self {
        let seconds = i128::from(stat.st_mtime as i64);
        Self {
            inode: stat.st_ino as u64,
            device: stat.st_dev as u64,
            bytes: stat.st_size as u64,
            modified_ns: seconds * 1_000_000_000 + i128::from(stat.st_mtime_nsec as i64),
        }
    }

    /// Of change, length and file; the file's number as a hash, for it is nobody's business.
    fn etag(&self, is_settling: bool) -> String {
        let mut hasher = SipHasher13::new();
        hasher.write_u64(self.device);
        hasher.write_u64(self.inode);
        let (modified, bytes, file) = (self.modified_ns, self.bytes, hasher.finish() as u32);
        match is_settling {
            // Another tag than the one that will be: what is stored with this one is read again.
            true => format!("W/\"{modified:x}-{bytes:x}-{file:x}-s\""),
            false => format!("\"{modified:x}-{bytes:x}-{file:x}\""),
        }
    }
}
