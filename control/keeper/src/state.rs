//! The state directory: where the Snapshot lies, so that an edge starts without asking anybody. One keeper at a time
//! has it. Refuses a directory that is somebody else's or that others may write to, because the edge believes what it
//! finds there.

use rustix::process::geteuid;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tentpole_model::SnapshotFile;
use tentpole_model::link::{PUBLISHED_FILE, SNAPSHOT_FILE};

/// Locked by the keeper that has the directory, and holds its process id.
const LOCK_FILE: &str = "keeper.lock";
/// Temporary directories of one process id, at most: several only where process ids are of several name spaces.
const SAME_PID_MAX: u32 = 100;
/// Left-over directories looked at in one start, at most.
const STALE_MAX: usize = 1_000;

/// A state directory that this process has for itself; a temporary one is removed when dropped.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    temporary: bool,
    /// Holds the lock.
    lock: File,
}

impl StateDirectory {
    /// Takes the given directory, made if need be.
    ///
    /// # Errors
    /// In words for the person who named it.
    pub fn given(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot use the state directory {}: {error}", path.display());
        make(path).map_err(failed)?;
        check(path)?;
        // Parts do not run where this process was started.
        let path = path.canonicalize().map_err(failed)?;
        match lock(&path).map_err(failed)? {
            Ok(lock) => Ok(Self { path, temporary: false, lock }),
            Err(holder) => Err(format!(
                "another Tentpole ({holder}) uses the state directory {}. End it, or choose another directory with \
                 --state.",
                path.display()
            )),
        }
    }

    /// Makes a new one, in `$XDG_RUNTIME_DIR` or the directory for temporary files, and removes those that killed keepers
    /// left there.
    ///
    /// # Errors
    /// In words for the person at the terminal.
    pub fn temporary() -> Result<Self, String> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let usable = |directory: &PathBuf| directory.is_absolute() && check(directory).is_ok();
        let base = runtime.filter(usable).unwrap_or_else(std::env::temp_dir);
        Self::temporary_in(&base.join(format!("tentpole-{}", geteuid().as_raw())))
    }

    fn temporary_in(ours: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| {
            format!("cannot make a state directory in {}: {error}. Name one with --state.", ours.display())
        };
        make(ours).map_err(failed)?;
        check(ours)?;
        // One at a time: a directory without a locked file is left over, not just being made.
        let turn = open_lock(&ours.join("lock")).map_err(failed)?;
        turn.lock().map_err(failed)?;
        remove_stale(ours);
        let pid = std::process::id();
        for number in 0..SAME_PID_MAX {
            let path = ours.join(if number == 0 { format!("{pid}") } else { format!("{pid}-{number}") });
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed(error)),
            }
            if let Ok(lock) = lock(&path).map_err(failed)? {
                return Ok(Self { path, temporary: true, lock });
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Takes over the one that another keeper had in this very process.
    pub fn adopt(path: PathBuf, temporary: bool, lock: OwnedFd) -> Self {
        Self { path, temporary, lock: lock.into() }
    }

    /// Whether it goes with its keeper.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// What holds the lock.
    pub fn lock(&self) -> &File {
        &self.lock
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the Snapshot, whole or not at all, and removes what was published for an earlier one: its instances ended
    /// with their keeper.
    ///
    /// # Errors
    /// In words for the person at the terminal.
    pub fn begin(&self, file: &SnapshotFile) -> Result<(), String> {
        let failed = |error: io::Error| {
            format!("cannot write into the state directory {}: {error}", self.path.display())
        };
        match fs::remove_file(self.path.join(PUBLISHED_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        self.write(file).map_err(failed)
    }

    /// Writes another Snapshot in the place of the one that is there, whole or not at all.
    ///
    /// # Errors
    /// In words for the person who wants it: then the old one is there.
    pub fn replace(&self, file: &SnapshotFile) -> Result<(), String> {
        self.write(file).map_err(|error| {
            format!("cannot write into the state directory {}: {error}", self.path.display())
        })
    }

    /// Puts back what somebody removed meanwhile: directories for temporary files are cleaned up by age, and that of a
    /// session goes with the session, but a part that starts again needs what is here.
    ///
    /// # Errors
    /// In words for the person at the terminal.
    pub fn restore(&mut self, file: &SnapshotFile) -> Result<(), String> {
        let shown = self.path.display();
        let failed = |error: io::Error| format!("cannot write into the state directory {shown}: {error}");
        if self.path.join(SNAPSHOT_FILE).exists() {
            return Ok(());
        }
        make(&self.path).map_err(failed)?;
        check(&self.path)?;
        if !self.is_locked() {
            // Whoever came in between goes first.
            let taken = |holder| format!("another Tentpole ({holder}) took the state directory {shown}");
            self.lock = lock(&self.path).map_err(failed)?.map_err(taken)?;
        }
        self.write(file).map_err(failed)
    }

    /// Is the file that is locked still the one that others would lock?
    fn is_locked(&self) -> bool {
        match (fs::metadata(self.path.join(LOCK_FILE)), self.lock.metadata()) {
            (Ok(there), Ok(ours)) => (there.dev(), there.ino()) == (ours.dev(), ours.ino()),
            _ => false,
        }
    }

    fn write(&self, file: &SnapshotFile) -> io::Result<()> {
        let bytes = serde_json::to_vec(file)?;
        let new = self.path.join(format!("{SNAPSHOT_FILE}.new"));
        // For this user alone: it holds the environment of the instances.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&new)?.write_all(&bytes)?;
        fs::rename(&new, self.path.join(SNAPSHOT_FILE))
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        if self.temporary {
            // What stays is removed by the next keeper.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes the directory for this user alone, unless it is there.
fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Refuses what is not a directory of this user's that only he writes to.
fn check(path: &Path) -> Result<(), String> {
    let shown = path.display();
    // Not through a link at the end: that may be anybody's in a directory for temporary files.
    let found = fs::symlink_metadata(path).map_err(|error| format!("cannot use {shown}: {error}"))?;
    if !found.is_dir() {
        return Err(format!("{shown} is not a directory. Choose another one with --state."));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(format!("{shown} belongs to another user. Choose another directory with --state."));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(format!(
            "others may write to {shown} (mode {mode:o}), and Tentpole serves what it finds there. Say chmod 700 {shown}, \
             or choose another directory with --state."
        ));
    }
    Ok(())
}

/// Removes the directories whose keeper is gone.
fn remove_stale(ours: &Path) {
    let Ok(entries) = fs::read_dir(ours) else { return };
    for entry in entries.flatten().take(STALE_MAX) {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        // What cannot be removed harms nobody.
        if is_directory && matches!(lock(&path), Ok(Ok(_))) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Locks the directory; says who has it otherwise.
fn lock(directory: &Path) -> io::Result<Result<File, String>> {
    let mut file = open_lock(&directory.join(LOCK_FILE))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            write!(file, "{}", std::process::id())?;
            Ok(Ok(file))
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.rewind()?;
            // Only for the message.
            let _ = (&file).take(20).read_to_string(&mut holder);
            Ok(Err(if holder.is_empty() { "just starting".into() } else { format!("process {holder}") }))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_keeper_at_a_time() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/b");
        let first = StateDirectory::given(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        let refused = StateDirectory::given(&path).unwrap_err();
        let me = std::process::id();
        assert!(refused.starts_with(&format!("another Tentpole (process {me}) uses")), "{refused}");
        assert!(refused.contains("--state"), "{refused}");
        drop(first);
        assert!(path.exists());
        StateDirectory::given(&path).unwrap();
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let refused = StateDirectory::given(outer.path()).unwrap_err();
        assert!(refused.contains("others may write"), "{refused}");
        assert!(refused.contains("chmod 700"), "{refused}");
    }

    #[test]
    fn neither_a_file_nor_a_link_is_a_state_directory() {
        let outer = tempfile::tempdir().unwrap();
        let (file, link) = (outer.path().join("file"), outer.path().join("link"));
        File::create(&file).unwrap();
        std::os::unix::fs::symlink(outer.path(), &link).unwrap();
        assert!(StateDirectory::given(&file).is_err());
        assert!(StateDirectory::given(&link).unwrap_err().contains("not a directory"));
    }

    #[test]
    fn a_temporary_directory_goes_with_its_keeper_and_left_over_ones_with_the_next() {
        let outer = tempfile::tempdir().unwrap();
        let ours = outer.path().join("tentpole-0");
        let first = StateDirectory::temporary_in(&ours).unwrap();
        let left_over = ours.join("99999999");
        fs::create_dir(&left_over).unwrap();
        fs::write(left_over.join(SNAPSHOT_FILE), "{}").unwrap();
        fs::write(left_over.join(LOCK_FILE), "99999999").unwrap();
        // Of the same process id, as in another name space: the living one stays.
        let second = StateDirectory::temporary_in(&ours).unwrap();
        assert_ne!(first.path(), second.path());
        assert!(first.path().exists() && !left_over.exists());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().exists());
    }
}
