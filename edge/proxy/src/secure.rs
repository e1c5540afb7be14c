//! Visitors behind TLS: which certificates are in force, and the beginning of a connection. Certificates are read by a
//! thread of their own, never by one that serves.

use crate::thread::Thread;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};
use tentpole_listener::{Begun, Visitor, shake_hands};
use tentpole_model::TlsSettings;
use tentpole_observe::Certificate;
use tentpole_runtime::{Published, clock, notice};
use tentpole_tls::{Certificates, Source, Trouble};

/// How often files are looked at: a renewed certificate is in force after that, if nobody says so before.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often is said which certificate expires soon, or has: each day, in looks.
const LOOKS_A_DAY: u32 = 24 * 60;

/// The certificates in force.
pub struct Secure {
    certificates: Arc<Published<Certificates>>,
    /// Whether it ends; held while files are read, so that two do not at once.
    ending: Mutex<bool>,
    ended: Condvar,
}

impl Secure {
    /// Reads the certificates; says which cannot be used. What else a person should know, `tentpole up` has said.
    ///
    /// # Errors
    /// When nobody could be let in.
    pub fn start(source: &Source) -> Result<Arc<Self>, String> {
        let (certificates, troubles) =
            Certificates::load(source, None).map_err(|troubles| said(&troubles))?;
        troubles.iter().filter(|trouble| trouble.what.is_error()).for_each(tell);
        if let Some(file) = certificates.local() {
            notice(format_args!(
                "https for localhost has a certificate made here, of which browsers warn. To trust it: {0} (curl --cacert \
                 {0}); with --state DIRECTORY it is the same next time",
                file.display()
            ));
        }
        let certificates = Published::new(certificates);
        Ok(Arc::new(Self { certificates, ending: Mutex::new(false), ended: Condvar::new() }))
    }

    /// The certificates in force.
    pub fn certificates(&self) -> Arc<Certificates> {
        self.certificates.get()
    }

    /// Reads anew what has changed, by this configuration from now on; what cannot be read stays as it was. Returns what is
    /// wrong, which is said too.
    ///
    /// # Errors
    /// As [`Secure::start`]; nothing has changed then.
    pub fn renew(&self, source: &Source) -> Result<Vec<Trouble>, String> {
        let _alone = self.lock();
        self.read(source)
    }

    /// Lets new connections begin by these settings, with files that the keeper has found to be right. When one has changed
    /// for the worse since, those that were in force stay, and that is said.
    pub(crate) fn follow(&self, settings: &TlsSettings) {
        let _alone = self.lock();
        let now = self.certificates.get();
        if now.source().settings == *settings {
            return;
        }
        let source = Source { settings: settings.clone(), ..now.source().clone() };
        if let Err(why) = self.read(&source) {
            notice(format_args!("certificates stay as they were: {why}"));
        }
    }

    fn read(&self, source: &Source) -> Result<Vec<Trouble>, String> {
        let before = self.certificates.get();
        let (certificates, troubles) =
            Certificates::load(source, Some(&before)).map_err(|troubles| said(&troubles))?;
        troubles.iter().for_each(tell);
        self.certificates.publish(certificates);
        Ok(troubles)
    }

    /// Looks at the files now and then, on a thread of its own, until [`Secure::end`].
    pub(crate) fn watch(self: &Arc<Self>) -> io::Result<JoinHandle<()>> {
        let secure = self.clone();
        thread::Builder::new().name("certificates".into()).spawn(move || {
            let mut ending = secure.lock();
            let mut looks = 0;
            while !*ending {
                let waited = secure.ended.wait_timeout(ending, LOOK_EVERY);
                ending = waited.unwrap_or_else(PoisonError::into_inner).0;
                if !*ending {
                    secure.look();
                    looks += 1;
                    if looks % LOOKS_A_DAY == 0 {
                        secure.certificates.get().doubts(clock::now().unix_seconds()).iter().for_each(tell);
                    }
                }
            }
        })
    }

    /// Those in use, for the metrics.
    pub(crate) fn in_use(&self) -> Vec<Certificate> {
        let certificates = self.certificates.get();
        let each = certificates.ends().map(|(host, file, ends_s)| Certificate {
            host: host.to_owned(),
            file: file.display().to_string(),
            ends_s,
        });
        each.collect()
    }

    fn look(&self) {
        let now = self.certificates.get();
        now.renew_tickets();
        if now.is_current() {
            return;
        }
        match self.read(now.source()) {
            Ok(_) => notice(format_args!("certificates were read anew")),
            Err(why) => notice(format_args!("certificates stay as they were: {why}")),
        }
    }

    pub(crate) fn end(&self) {
        *self.lock() = true;
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(trouble: &Trouble) {
    notice(format_args!("{trouble}"));
}

fn said(troubles: &[Trouble]) -> String {
    troubles.iter().map(Trouble::to_string).collect::<Vec<_>>().join("; ")
}

/// Takes a connection behind TLS. Whatever comes of it is counted.
pub async fn begin(thread: &Rc<Thread>, visitor: &mut Visitor) -> Begun {
    let Some(secure) = &thread.shared.secure else { return Begun::Gone };
    let session = || secure.certificates.get().session();
    match shake_hands(visitor, &thread.handshakes, session).await {
        Ok(begun) => {
            if let Some(tls) = visitor.tls {
                thread.metrics.handshake(tls);
            }
            begun
        }
        Err(fault) => {
            thread.metrics.handshake_failed(fault);
            Begun::Gone
        }
    }
}
