//! TLS to the endpoints of a pool: whom we believe and what we show, from files that are looked at each minute and read
//! anew when they have changed. What cannot be read then stays as it was. Never on a thread that serves.

use crate::prepare::Prepared;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tentpole_model::{EndpointTls, Pool, Scheme, TlsFault};
use tentpole_runtime::secure::Session;
use tentpole_runtime::{Published, notice};
use tentpole_tls::{Client, Offer};

/// How often files are looked at, as those for visitors.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What sessions with a pool's endpoints begin with.
pub struct Trust {
    pool: String,
    settings: EndpointTls,
    /// `None` while its files cannot be read: then nobody is asked.
    client: Arc<Published<Option<Client>>>,
    /// What was said last of files that cannot be read: said once.
    said: Mutex<Option<String>>,
}

impl Trust {
    /// Reads the files; says what is wrong with them. `None` for a pool without an endpoint that speaks TLS.
    pub fn read(pool: &Pool) -> Option<Self> {
        if !pool.endpoints.iter().any(|endpoint| endpoint.scheme == Scheme::Https) {
            return None;
        }
        let trust = Self {
            pool: pool.name.clone(),
            settings: pool.tls.clone(),
            client: Published::new(None),
            said: Mutex::new(None),
        };
        if let Some(client) = trust.load() {
            trust.client.publish(Some(client));
        }
        Some(trust)
    }

    /// A session with the endpoint of this host, which is offered this to speak.
    ///
    /// # Errors
    /// When our own files do not allow one.
    pub fn session(&self, host: &str, offer: Offer) -> Result<Box<dyn Session>, TlsFault> {
        let client = self.client.get();
        let client = Option::as_ref(&client).ok_or(TlsFault::NoFiles)?;
        // Hosts are checked when the configuration is read; one without randomness has no way out.
        client.session(host, offer).map_err(|_| TlsFault::Misbehaved)
    }

    /// Keeps what an earlier one with the same settings has: the tickets, and what can no longer be read.
    pub(crate) fn go_on_from(&self, before: &Self) {
        if (&self.pool, &self.settings) != (&before.pool, &before.settings) {
            return;
        }
        let old = before.client.get();
        let Some(old) = Option::as_ref(&old) else { return };
        if self.client.get().is_none() || old.is_current(&self.settings) {
            self.client.publish(Some(old.clone()));
        }
    }

    /// Reads the files anew where they have changed.
    fn look(&self) {
        let now = self.client.get();
        if Option::as_ref(&now).is_some_and(|client| client.is_current(&self.settings)) {
            return;
        }
        if let Some(client) = self.load() {
            self.client.publish(Some(client));
            notice(format_args!("what belongs to TLS to the endpoints of pool {} was read anew", self.pool));
        }
    }

    fn load(&self) -> Option<Client> {
        let mut said = lock(&self.said);
        match Client::load(&self.settings) {
            Ok((client, _)) => {
                *said = None;
                Some(client)
            }
            Err(trouble) => {
                let text = trouble.to_string();
                if said.as_ref() != Some(&text) {
                    notice(format_args!("TLS to the endpoints of pool {}: {text}", self.pool));
                    *said = Some(text);
                }
                None
            }
        }
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust").field("pool", &self.pool).field("settings", &self.settings).finish()
    }
}

/// Looks at the files of all pools now and then, on a thread of its own.
pub(crate) struct Looking {
    ending: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Looking {
    pub(crate) fn start(prepared: Arc<Published<Prepared>>) -> io::Result<Self> {
        let ending = Arc::new((Mutex::new(false), Condvar::new()));
        let seen = ending.clone();
        let thread = thread::Builder::new().name("endpoints-tls".into()).spawn(move || {
            let (ending, ended) = &*seen;
            let mut ending = lock(ending);
            while !*ending {
                ending = ended.wait_timeout(ending, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
                if !*ending {
                    prepared.get().pools.iter().filter_map(|pool| pool.trust.as_ref()).for_each(Trust::look);
                }
            }
        })?;
        Ok(Self { ending, thread })
    }

    pub(crate) fn end(self) {
        *lock(&self.ending.0) = true;
        self.ending.1.notify_all();
        // It holds nothing that matters.
        let _ = self.thread.join();
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
