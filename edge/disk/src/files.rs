//! How the files of a store are opened: readable by nobody else, and only what is a file of this user's (or root's), never
//! through a link that somebody has put in its place: whoever can write a store can put a page of his choice into the
//! place of any. Knows nothing of what is in them.

use rustix::fs::OFlags;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Makes a directory that is not there, and those above it, for this user alone.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file by these options. What is none is refused without waiting (a pipe would wait for its other end).
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.mode(0o600).custom_flags(flags.bits() as i32).open(path)?;
    let metadata = file.metadata()?;
    if is_ours(&metadata) {
        return Ok(file);
    }
    let (owner, us) = (metadata.uid(), rustix::process::geteuid().as_raw());
    let path = path.display();
    let why =
        format!("{path} is no file of the user {us} (its owner is {owner}); remove it, or change its owner");
    Err(io::Error::other(why))
}

/// Whether this is a file that nobody else has made.
pub(crate) fn is_ours(metadata: &Metadata) -> bool {
    metadata.is_file() && (metadata.uid() == rustix::process::geteuid().as_raw() || metadata.uid() == 0)
}
