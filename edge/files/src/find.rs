//! Which file a path means. May wait for a disk. Tells nobody whether what he may not have is there.

use crate::name::Name;
use crate::opened::Opened;
use crate::root::{Root, is_directory, is_regular};
use crate::rules::Rules;
use bytes::Bytes;
use rustix::io::Errno;
use std::io;
use std::sync::Arc;

/// What a path means.
#[derive(Debug)]
pub enum Found {
    /// This file; with its first bytes, where they were asked for.
    File(Arc<Opened>, Option<io::Result<Bytes>>),
    /// A folder with an index, asked for without the slash at its end.
    Folder,
    /// A file that is never sent as it is: the name beneath the root of what an endpoint may run.
    Script(String),
    /// Nothing that may be shown.
    Nothing,
    /// The system said no: not because of what was asked for.
    Failed(io::ErrorKind),
}

/// Finds what `name` means. Reads as much of a file's beginning as `ahead` says, with whatever it must wait for anyway.
pub fn find(rules: &Rules, name: &Name, ahead: usize) -> Found {
    let found = Root::open(&rules.root)
        .map_err(|error| error.kind())
        .and_then(|root| found(&root, rules, name, ahead).map_err(|errno| io::Error::from(errno).kind()));
    found.unwrap_or_else(Found::Failed)
}

fn found(root: &Root, rules: &Rules, name: &Name, ahead: usize) -> Result<Found, Errno> {
    if name.is_folder() {
        return index(root, rules, name, ahead);
    }
    let Some(stat) = there(root.look(name.path()))? else { return Ok(Found::Nothing) };
    if is_directory(&stat) {
        let has_index = rules.index.iter().any(|index| root.is_file(&name.with(index)));
        return Ok(if has_index { Found::Folder } else { Found::Nothing });
    }
    match is_regular(&stat) {
        true => file(root, rules, name.path().to_owned(), ahead),
        false => Ok(Found::Nothing),
    }
}

fn index(root: &Root, rules: &Rules, name: &Name, ahead: usize) -> Result<Found, Errno> {
    for index in &rules.index {
        let path = name.with(index);
        if there(root.look(&path))?.is_some_and(|stat| is_regular(&stat)) {
            return file(root, rules, path, ahead);
        }
    }
    Ok(Found::Nothing)
}

fn file(root: &Root, rules: &Rules, path: String, ahead: usize) -> Result<Found, Errno> {
    if rules.denies(&path) {
        return Ok(Found::Script(path));
    }
    let Some(file) = there(root.read(&path))? else { return Ok(Found::Nothing) };
    let Some(opened) = Opened::new(file, path)? else { return Ok(Found::Nothing) };
    let first = (ahead > 0 && opened.bytes > 0)
        .then(|| opened.read(0, usize::try_from(opened.bytes).unwrap_or(ahead).min(ahead)));
    Ok(Found::File(Arc::new(opened), first))
}

/// `None` for all that means that there is nothing to show: it is not there, leads out of the root, or may not be read.
fn there<T>(outcome: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match outcome {
        Ok(it) => Ok(Some(it)),
        Err(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::ACCESS
            | Errno::PERM
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NAMETOOLONG
            | Errno::NXIO
            | Errno::NODEV
            | Errno::ISDIR
            | Errno::INVAL
            // Moved about again and again while it was looked for.
            | Errno::AGAIN,
        ) => Ok(None),
        Err(errno) => Err(errno),
    }
}
