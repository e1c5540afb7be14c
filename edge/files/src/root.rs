//! The directory that files lie beneath. Nothing outside it is opened, whatever links and races there are: the kernel
//! resolves each name (openat2(2), Linux 5.6) and never leaves it.

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// How often a name is resolved again that was moved meanwhile (EAGAIN, see openat2(2)).
const RACES_MAX: usize = 8;

/// A directory, opened for looking beneath it.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// Opens it, following links: the name of a root may be one that each release points elsewhere.
    ///
    /// # Errors
    /// What the system says; also when it is no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// Whether a regular file of this name lies beneath it. `name` has no slash at its beginning.
    pub fn is_file(&self, name: &str) -> bool {
        self.look(name).is_ok_and(|stat| is_regular(&stat))
    }

    /// What is there, without opening it: that would wait at a fifo and wake a device.
    pub(crate) fn look(&self, name: &str) -> Result<Stat, Errno> {
        fstat(self.at(name, OFlags::PATH)?)
    }

    /// Opens a regular file for reading. What it is was looked at before; if that has changed since, nothing waits.
    pub(crate) fn read(&self, name: &str) -> Result<OwnedFd, Errno> {
        self.at(name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    fn at(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let name = if name.is_empty() { "." } else { name };
        let mut outcome = Err(Errno::AGAIN);
        for _ in 0..RACES_MAX {
            outcome = openat2(&self.0, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
            if !matches!(outcome, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        outcome
    }
}

pub(crate) fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

pub(crate) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}
