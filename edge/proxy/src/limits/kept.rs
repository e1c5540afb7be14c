//! Where findings outlive this process: a file in the state directory, written whole by a thread of its own, never by one that
//! moves bytes. A file that cannot be read, or holds what cannot be, costs a line on standard error: limits begin as configured.

use super::Limits;
use super::findings::Findings;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use tentpole_runtime::notice;

/// The file.
const NAME: &str = "limits.json";
/// What is read of it at most; what is remembered at most is a part of that.
pub(super) const BYTES_MAX: u64 = 1 << 20;
/// How often what was found is written down.
const WRITTEN_EVERY: Duration = Duration::from_secs(1);

/// What lies there.
#[derive(Debug)]
pub(super) struct Keeping {
    /// `None` where nothing is kept.
    file: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// A thread writes it.
    begun: bool,
    /// Another edge writes it.
    ended: bool,
    written: String,
    fails: bool,
}

impl Keeping {
    /// What is kept in this directory, and where more is put.
    pub(super) fn new(state: Option<PathBuf>) -> (Self, Findings) {
        let file = state.map(|state| state.join(NAME));
        let findings = file.as_deref().map(read).unwrap_or_default();
        let written = findings.to_text();
        (Self { file, inner: Mutex::new(Inner { written, ..Inner::default() }) }, findings)
    }

    /// Writes it for the last time.
    pub(super) fn end(&self, text: impl FnOnce() -> String) {
        let mut inner = self.inner();
        if inner.begun && !inner.ended {
            let text = text();
            self.write(&mut inner, text);
        }
        inner.ended = true;
    }

    fn write(&self, inner: &mut Inner, text: String) {
        let Some(file) = self.file.as_ref().filter(|_| text != inner.written) else { return };
        // Whole before it has its name: nobody reads half of it. Beside another edge each writes its own.
        let unfinished = file.with_extension(format!("{}.part", std::process::id()));
        match fs::write(&unfinished, &text).and_then(|()| fs::rename(&unfinished, file)) {
            Ok(()) => {
                inner.written = text;
                if std::mem::replace(&mut inner.fails, false) {
                    notice(format_args!("limits that are found are written down again"));
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut inner.fails, true) {
                    notice(format_args!(
                        "{}: {error}; limits that are found now are not kept for the next start",
                        file.display()
                    ));
                }
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's limit is to be kept: from now on a thread writes down what was found.
pub(super) fn begin(limits: &Arc<Limits>) {
    let keeping = &limits.keeping;
    if keeping.file.is_none() || std::mem::replace(&mut keeping.inner().begun, true) {
        return;
    }
    let limits = Arc::downgrade(limits);
    let started = thread::Builder::new().name("edge-limits".into()).spawn(move || keep(&limits));
    if let Err(error) = started {
        notice(format_args!("limits that are found are not kept for the next start: no thread ({error})"));
    }
}

fn keep(limits: &Weak<Limits>) {
    loop {
        thread::sleep(WRITTEN_EVERY);
        let Some(limits) = limits.upgrade() else { return };
        let text = limits.known().findings.to_text();
        let mut inner = limits.keeping.inner();
        if inner.ended {
            return;
        }
        limits.keeping.write(&mut inner, text);
    }
}

fn read(file: &Path) -> Findings {
    let shown = file.display();
    let text = match bytes(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Findings::default(),
        Err(error) => {
            notice(format_args!("{shown}: {error}; limits begin without what was found before"));
            return Findings::default();
        }
    };
    let Some((findings, faults)) = Findings::from_text(&text) else {
        notice(format_args!("{shown} is damaged; limits begin without what was found before"));
        return Findings::default();
    };
    if !faults.is_empty() {
        notice(format_args!("{shown}: {}; that is left out", faults.join("; ")));
    }
    findings
}

fn bytes(file: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(file)?.take(BYTES_MAX + 1).read_to_end(&mut text)?;
    match text.len() as u64 > BYTES_MAX {
        true => Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_limit::Found;

    const FOUND: Found = Found { limit: 12, at_unix_s: 60, start: None };

    #[test]
    fn what_was_found_is_there_again_and_whoever_has_left_writes_no_more() {
        let state = tempfile::tempdir().unwrap();
        let limits = Limits::new(Some(state.path().into()));
        limits.known().findings.set("app", "a:1", FOUND);
        begin(&limits);
        limits.leave();
        let (next, findings) = Keeping::new(Some(state.path().into()));
        assert_eq!(findings.of("app", "a:1"), Some(FOUND));
        limits.known().findings.set("app", "a:1", Found { limit: 3, ..FOUND });
        limits.leave();
        assert_eq!(read(&state.path().join(NAME)).of("app", "a:1"), Some(FOUND));
        // It has the file's text already: nothing is written while nothing is found.
        fs::remove_file(state.path().join(NAME)).unwrap();
        next.inner().begun = true;
        next.end(|| findings.to_text());
        assert!(!state.path().join(NAME).exists());
    }

    #[test]
    fn a_file_that_is_none_costs_nothing_but_what_was_found() {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join(NAME);
        let nothing = Findings::default().to_text();
        assert_eq!(read(&file).to_text(), nothing);
        for text in ["", "{\"found\":", "[7]", "\u{fffd}"] {
            fs::write(&file, text).unwrap();
            assert_eq!(read(&file).to_text(), nothing, "{text}");
        }
        fs::write(&file, vec![b' '; BYTES_MAX as usize + 1]).unwrap();
        assert!(bytes(&file).unwrap_err().to_string().contains("more than 1048576 bytes"));
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(read(&file).to_text(), nothing);
        // And what is found is not written there, which ends nothing.
        let limits = Limits::new(Some(state.path().into()));
        limits.known().findings.set("app", "a:1", FOUND);
        begin(&limits);
        limits.leave();
        assert!(limits.keeping.inner().fails && file.is_dir());
    }
}
