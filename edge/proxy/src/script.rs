//! Which script answers a request of a pool whose endpoints speak FastCGI. Has it looked whether files are there, where the
//! edge sees them, by the threads that may wait for a disk, and remembers for a second what they said. Reads no file and
//! runs none.

use crate::exchange::NoResponse;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tentpole_fastcgi::{BadScript, Found, Script, ScriptRules, has_plain_folders};
use tentpole_files::Readers;
use tentpole_model::{Cause, Failure, Phase, Refused, Scripts as Said, Snapshot};
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::{Deadline, Expired};
use tentpole_upstream::Runs;

/// How long an answer is believed: a new script is seen as soon as a changed file is.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// Paths whose answer is remembered, and how long one may be.
const REMEMBERED_MAX: usize = 4_096;
const PATH_BYTES_MAX: usize = 512;

/// The scripts of a pool.
#[derive(Debug)]
pub struct Scripts {
    looking: Arc<Looking>,
    accepted_at: SocketAddr,
    recent: Mutex<HashMap<Box<[u8]>, Answered>>,
}

/// What says which one it is; may wait for a disk.
#[derive(Debug)]
struct Looking {
    said: Said,
    rules: ScriptRules,
}

#[derive(Debug)]
struct Answered {
    until: Instant,
    script: Result<Script, Refused>,
}

impl Scripts {
    /// Of a pool in this Snapshot.
    pub fn new(said: &Said, snapshot: &Snapshot) -> Self {
        let rules = ScriptRules { never_below: said.never_below.clone(), ..ScriptRules::default() };
        // One that every thread and every request shares: what a script was told may be stored for others.
        let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let accepted_at = snapshot.addresses().first().copied().unwrap_or(anywhere);
        let looking = Arc::new(Looking { said: said.clone(), rules });
        Self { looking, accepted_at, recent: Mutex::default() }
    }

    /// The script that answers a request, by its head as we wrote it. Waits for a disk at most for `time`.
    ///
    /// # Errors
    /// When the path cannot be looked for, nothing answers it, or nobody says in time.
    pub async fn find(
        &self,
        readers: &Readers,
        head: &[u8],
        time: Duration,
        deadline: &Deadline,
    ) -> Result<Script, NoResponse> {
        let path = path(head);
        if self.looking.said.seen_at.is_none() {
            return self.looking.of_path(path).map_err(NoResponse::Refused);
        }
        let now = clock::coarse();
        if let Some(script) = self.remembered(path, now) {
            return script.map_err(NoResponse::Refused);
        }
        let seat = readers.seat().ok_or(NoResponse::Refused(Refused::QueueFull))?;
        let (looking, wanted) = (self.looking.clone(), path.to_vec());
        let mut looked = readers.ask(&seat, move || looking.of_path(&wanted));
        deadline.set_in(time);
        let failed = |cause| NoResponse::Failed(Failure::internal(Phase::Choose, cause));
        let script = match deadline.guard(|context| Pin::new(&mut looked).poll(context)).await {
            Ok(Ok(script)) => script,
            Ok(Err(_)) => return Err(failed(Cause::Closed)),
            Err(Expired) => return Err(failed(Cause::TimedOut)),
        };
        self.remember(path, script.clone(), now.after(BELIEVED_FOR));
        script.map_err(NoResponse::Refused)
    }

    /// The same at once, for whoever may wait for a disk.
    ///
    /// # Errors
    /// When the path cannot be looked for, or nothing answers it.
    pub fn find_now(&self, head: &[u8]) -> Result<Script, Refused> {
        self.looking.of_path(path(head))
    }

    /// What the endpoint is told of where a script runs.
    pub fn runs<'a>(&'a self, script: &'a Script) -> Runs<'a> {
        Runs { script, root: self.looking.said.root.as_bytes(), accepted_at: self.accepted_at }
    }

    fn remembered(&self, path: &[u8], now: Instant) -> Option<Result<Script, Refused>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(path).filter(|answered| now < answered.until).map(|answered| answered.script.clone())
    }

    fn remember(&self, path: &[u8], script: Result<Script, Refused>, until: Instant) {
        if path.len() > PATH_BYTES_MAX {
            return;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= REMEMBERED_MAX {
            // All of them are as good as over: none is older than a second.
            recent.clear();
        }
        recent.insert(path.into(), Answered { until, script });
    }
}

impl Looking {
    /// The script for a path without its query.
    fn of_path(&self, path: &[u8]) -> Result<Script, Refused> {
        // OPTIONS of the server itself: whoever answers for everything.
        let path = if path == b"*" { b"/" } else { path };
        if let Some(script) = self.look(path)? {
            return Ok(script);
        }
        if path.ends_with(b"/")
            && let Some(script) = self.look(&[path, self.said.index.as_bytes()].concat())?
        {
            return Ok(script);
        }
        self.said.front.as_deref().and_then(Script::named).ok_or(Refused::NoScript)
    }

    fn look(&self, path: &[u8]) -> Result<Option<Script>, Refused> {
        match self.rules.find(path, |name| self.is_file(name)) {
            Found::Script(script) => Ok(Some(script)),
            Found::Nothing => Ok(None),
            Found::Refused(BadScript::NotCanonical | BadScript::Escape | BadScript::Ambiguous) => {
                Err(Refused::Target)
            }
            Found::Refused(BadScript::Hidden | BadScript::Forbidden) => Err(Refused::NoScript),
        }
    }

    /// Whether a file lies there.
    fn is_file(&self, name: &[u8]) -> bool {
        let Some(root) = &self.said.seen_at else { return has_plain_folders(name) };
        let below = Path::new(OsStr::from_bytes(&name[1..]));
        std::fs::metadata(root.join(below)).is_ok_and(|found| found.is_file())
    }
}

/// The path in a head of our own writing.
fn path(head: &[u8]) -> &[u8] {
    let target = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    target.split(|&byte| byte == b'?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The script for a path, and the path behind it, among a folder's files.
    fn found(path: &str, front: Option<&str>) -> Result<(String, String), Refused> {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "index.php",
            "info.php",
            "admin/index.php",
            "uploads/evil.jpg",
            "uploads/evil.php",
            ".hidden.php",
        ] {
            let file = folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "<?php").unwrap();
        }
        std::fs::create_dir(folder.path().join("folder.php")).unwrap();
        let said = Said {
            root: "/srv".to_owned(),
            seen_at: Some(folder.path().to_owned()),
            front: front.map(str::to_owned),
            never_below: vec!["uploads".to_owned()],
            ..Said::default()
        };
        let scripts = Scripts::new(&said, &Snapshot::default());
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let script = find(&scripts, &head)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(scripts.runs(&script).root, b"/srv", "where it is for the application");
        Ok((text(script.name()), text(script.path_info())))
    }

    fn find(scripts: &Scripts, head: &str) -> Result<Script, Refused> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (readers, deadline) = (Readers::default(), Deadline::new());
        let found = scripts.find(&readers, head.as_bytes(), Duration::from_secs(60), &deadline);
        runtime.block_on(found).map_err(|no| match no {
            NoResponse::Refused(refused) => refused,
            NoResponse::Failed(failure) => panic!("{failure:?}"),
        })
    }

    #[test]
    fn what_was_found_is_believed_for_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.php");
        let said = Said { seen_at: Some(folder.path().to_owned()), ..Said::default() };
        let scripts = Scripts::new(&said, &Snapshot::default());
        let name = || find(&scripts, "GET /a.php?b HTTP/1.1\r\n\r\n").map(|script| script.name().to_vec());
        clock::renew();
        assert_eq!(name(), Ok(b"/index.php".to_vec()));
        std::fs::write(&file, "<?php").unwrap();
        assert_eq!(name(), Ok(b"/index.php".to_vec()), "remembered");
        let until = clock::now().after(2 * BELIEVED_FOR);
        while name() != Ok(b"/a.php".to_vec()) {
            assert!(clock::now() < until);
            std::thread::sleep(Duration::from_millis(10));
            clock::renew();
        }
        for number in 0..2 * REMEMBERED_MAX {
            scripts.remember(format!("/{number}").as_bytes(), Err(Refused::NoScript), until);
        }
        assert!(scripts.recent.lock().unwrap().len() <= REMEMBERED_MAX);
    }

    #[test]
    fn a_disk_that_hangs_holds_up_nobody_else_and_is_waited_for_in_bounds() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let said = Said { seen_at: Some(folder.path().to_owned()), ..Said::default() };
        let scripts = Scripts::new(&said, &Snapshot::default());
        let (readers, deadline) = (Readers::default(), Deadline::new());
        let seat = readers.seat().unwrap();
        let (go, gate) = std::sync::mpsc::sync_channel::<()>(0);
        let gate = Arc::new(Mutex::new(gate));
        // All that read files wait for the disk.
        let _held: Vec<_> = (0..16)
            .map(|_| {
                let gate = gate.clone();
                readers.ask(&seat, move || _ = gate.lock().unwrap().recv())
            })
            .collect();
        clock::renew();
        let (found, ()) = runtime.block_on(async {
            tokio::join!(
                scripts.find(&readers, b"GET /a.php HTTP/1.1", Duration::from_secs(2), &deadline),
                async {
                    // Its thread does something else.
                    tokio::task::yield_now().await;
                    tentpole_runtime::deadline::sweep(clock::now().after(Duration::from_secs(3)));
                }
            )
        });
        let late = Failure::internal(Phase::Choose, Cause::TimedOut);
        assert_eq!(found, Err(NoResponse::Failed(late)));
        drop(go);
    }

    fn pair(name: &str, path_info: &str) -> Result<(String, String), Refused> {
        Ok((name.to_owned(), path_info.to_owned()))
    }

    #[test]
    fn a_script_its_folder_or_the_front_controller_answers() {
        let front = Some("/index.php");
        assert_eq!(found("/info.php?a=/x.php", front), pair("/info.php", ""));
        assert_eq!(found("/info.php/more", front), pair("/info.php", "/more"));
        assert_eq!(found("/admin/", front), pair("/admin/index.php", ""));
        for path in ["/", "/2026/hello/", "/missing.php", "/missing/", "/folder.php", "/admin", "*"] {
            assert_eq!(found(path, front), pair("/index.php", ""), "{path}");
        }
        assert_eq!(found("/missing.php", None), Err(Refused::NoScript));
        assert_eq!(found("/", None), pair("/index.php", ""));
    }

    #[test]
    fn nothing_runs_where_nothing_may() {
        let front = Some("/index.php");
        for path in ["/uploads/evil.php", "/UPLOADS/evil.php/x", "/.hidden.php", "/.git/config"] {
            let refused = found(path, front);
            // On a file system that tells case apart there is no `UPLOADS`.
            assert!(
                matches!(&refused, Err(Refused::NoScript)) || refused == pair("/index.php", ""),
                "{path}"
            );
        }
        assert_eq!(found("/uploads/evil.php", front), Err(Refused::NoScript));
        assert_eq!(
            found("/uploads/evil.jpg/x.php", front),
            pair("/index.php", ""),
            "the picture does not run"
        );
        for path in
            ["/info.php%00.jpg", "/a%2f..%2finfo.php", "/..%5cinfo.php", "/a/%2e%2e/info.php", "/a//info.php"]
        {
            assert_eq!(found(path, front), Err(Refused::Target), "{path}");
        }
    }

    #[test]
    fn where_the_edge_sees_no_files_a_picture_is_still_no_folder() {
        let scripts = Scripts::new(&Said::default(), &Snapshot::default());
        assert_eq!(scripts.looking.of_path(b"/info.php").unwrap().name(), b"/info.php");
        assert_eq!(scripts.looking.of_path(b"/uploads/evil.jpg/x.php").unwrap().name(), b"/index.php");
    }
}
