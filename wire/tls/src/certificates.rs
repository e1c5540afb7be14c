//! All certificates of an edge, as its files say at one moment, and the configuration that handshakes are made with.
//! Made anew when a file has changed; what cannot be read then stays as it was.

use crate::names::Names;
use crate::pair::{Pair, Stamp, read_chain};
use crate::tickets::Tickets;
use crate::trouble::{Trouble, What};
use crate::{directory, local, session};
use ::ring::digest;
use rustls::crypto::ring;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, version};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tentpole_model::{CertificateFiles, TlsSettings, TlsVersion};
use tentpole_runtime::clock;
use tentpole_runtime::secure::Session;

/// Where certificates come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// What is configured.
    pub settings: TlsSettings,
    /// Protocols that are offered, best first (ALPN).
    pub protocols: Vec<Vec<u8>>,
    /// Where the certificate for this machine's own names lies, or is made.
    pub local: Option<PathBuf>,
}

/// What handshakes are made with, at one moment.
#[derive(Debug)]
pub struct Certificates {
    source: Source,
    pairs: Vec<Arc<Pair>>,
    /// Files that could not be used, and how they were: not said again until they change.
    useless: Vec<(CertificateFiles, Option<Stamp>)>,
    authority: Option<Authority>,
    tickets: Arc<Tickets>,
    names: Arc<Names>,
    config: Arc<ServerConfig>,
}

/// Who signs certificates of clients.
#[derive(Clone, Debug)]
struct Authority {
    stamp: Stamp,
    /// SHA-256 of its certificates.
    digest: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Certificates {
    /// Reads all files. What is as it was `before` is not read again; what cannot be read now and could be before stays as
    /// it was. Says all that a person should know.
    ///
    /// # Errors
    /// When nobody could be let in or everybody would be: the client's authority cannot be read and never could. With a
    /// trouble for every file that has one.
    pub fn load(source: &Source, before: Option<&Self>) -> Result<(Self, Vec<Trouble>), Vec<Trouble>> {
        let now_s = clock::now().unix_seconds();
        let mut troubles = Vec::new();
        let mut files = source.settings.certificates.clone();
        files.extend(source.settings.directory.iter().flat_map(|path| directory::pairs(path, &mut troubles)));
        let configured = !files.is_empty();
        let (mut pairs, mut useless) = (Vec::with_capacity(files.len()), Vec::new());
        for files in files {
            let stamp = Stamp::of(&files).ok();
            let old = before.and_then(|before| before.pairs.iter().find(|pair| pair.files == files));
            if let Some(old) = old.filter(|old| Some(&old.stamp) == stamp.as_ref()) {
                pairs.push(old.clone());
                continue;
            }
            match Pair::read(&files) {
                Ok(pair) => {
                    troubles.extend(pair.doubts(now_s));
                    pairs.push(Arc::new(pair));
                }
                Err(trouble) => {
                    let told = (files.clone(), stamp);
                    let known = before.is_some_and(|before| before.useless.contains(&told));
                    useless.push(told);
                    let Trouble { file, what } = trouble;
                    let what = if old.is_some() { What::KeptOld(Box::new(what)) } else { what };
                    troubles.extend((!known).then_some(Trouble { file, what }));
                    pairs.extend(old.cloned());
                }
            }
        }
        // Last: a certificate of one's own is better for any name, and for unknown ones too.
        let local_names = &source.settings.local_names;
        let lacking = |name: &String| !Names::new(&pairs, now_s).covers(name);
        if let Some(directory) = &source.local
            && (!configured || local_names.iter().any(lacking))
        {
            match local::certificate(directory, local_names, now_s) {
                Ok(pair) => pairs.push(Arc::new(pair)),
                Err(trouble) => troubles.push(trouble),
            }
        }
        let authority = match &source.settings.client_authority {
            None => None,
            Some(file) => match read_authority(file) {
                Ok(authority) => Some(authority),
                Err(Trouble { file, what }) => {
                    let Some(old) = before.and_then(|before| before.authority.clone()) else {
                        troubles.push(Trouble { file, what });
                        return Err(troubles);
                    };
                    troubles.push(Trouble { file, what: What::KeptOld(Box::new(what)) });
                    Some(old)
                }
            },
        };
        Self::put_together(source, pairs, useless, authority, before)
            .map(|certificates| (certificates, troubles.clone()))
            .map_err(|what| {
                troubles.push(Trouble { file: PathBuf::from("TLS"), what });
                troubles
            })
    }

    fn put_together(
        source: &Source,
        pairs: Vec<Arc<Pair>>,
        useless: Vec<(CertificateFiles, Option<Stamp>)>,
        authority: Option<Authority>,
        before: Option<&Self>,
    ) -> Result<Self, What> {
        let failed = |error: rustls::Error| What::BadCertificate(error.to_string());
        let stamp =
            |authority: &Option<Authority>| authority.as_ref().map(|authority| authority.stamp.clone());
        // A ticket says that its client was let in: by another authority, that was another question.
        let same = before.filter(|before| stamp(&before.authority) == stamp(&authority));
        let tickets = match same {
            Some(before) => before.tickets.clone(),
            None => {
                let purpose = authority.as_ref().map_or(&[][..], |authority| &authority.digest);
                let tickets = Tickets::new(source.local.as_deref(), purpose, clock::now().unix_seconds());
                Arc::new(tickets.ok_or_else(|| failed(rustls::Error::FailedToGetRandomBytes))?)
            }
        };
        let names = Arc::new(Names::new(&pairs, clock::now().unix_seconds()));
        let versions: &[_] = match source.settings.version_min {
            TlsVersion::V12 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V13 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .map_err(failed)?;
        let builder = match &authority {
            Some(authority) => builder.with_client_cert_verifier(authority.verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(names.clone());
        config.alpn_protocols = source.protocols.clone();
        config.ticketer = tickets.clone();
        // Tickets hold all that a session needs: nothing is kept here for a visitor who may come again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let config = Arc::new(config);
        Ok(Self { source: source.clone(), pairs, useless, authority, tickets, names, config })
    }

    /// A session with a visitor who has just connected.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn session(&self) -> io::Result<Box<dyn Session>> {
        session::server(self.config.clone())
    }

    /// Changes the key of tickets when it is time for that; to be called now and then, by a thread that may wait for a disk.
    pub fn renew_tickets(&self) {
        self.tickets.renew(clock::now().unix_seconds());
    }

    /// Where they come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether the files are still those that were read. Looks at each, reads none.
    pub fn is_current(&self) -> bool {
        let mut troubles = Vec::new();
        let settings = &self.source.settings;
        let listed = settings.certificates.clone().into_iter();
        let in_directory = settings.directory.iter().flat_map(|path| directory::pairs(path, &mut troubles));
        let files: Vec<_> = listed.chain(in_directory).collect();
        let known = |files: &CertificateFiles| {
            let stamp = Stamp::of(files).ok();
            self.useless.contains(&(files.clone(), stamp.clone()))
                || self.pairs.iter().any(|pair| pair.files == *files && Some(&pair.stamp) == stamp.as_ref())
        };
        let local = self.source.local.as_deref();
        let gone = |pair: &Arc<Pair>| !files.contains(&pair.files) && pair.files.chain.parent() != local;
        let authority = self.authority.as_ref().zip(settings.client_authority.as_ref());
        files.iter().all(known)
            && !self.pairs.iter().any(gone)
            && authority.is_none_or(|(old, file)| authority_stamp(file).is_ok_and(|now| now == old.stamp))
    }

    /// Whether a host has a certificate of its own, so that a browser believes it.
    pub fn covers(&self, host: &str) -> bool {
        self.names.covers(host)
    }

    /// The file of the certificate that was made for this machine alone, when it is in use.
    pub fn local(&self) -> Option<&Path> {
        let local = self.source.local.as_ref()?.join(local::LOCAL_CHAIN);
        self.pairs.iter().map(|pair| pair.files.chain.as_path()).find(|chain| *chain == local)
    }

    /// Until when each holds, in seconds since 1970, with the first host that it names and its file.
    pub fn ends(&self) -> impl Iterator<Item = (&str, &Path, u64)> {
        self.pairs.iter().map(|pair| {
            let host = pair.names.first().map_or("", String::as_str);
            (host, pair.files.chain.as_path(), pair.valid.end)
        })
    }

    /// What a person should know of those in use, although they serve: who expires soon, say.
    pub fn doubts(&self, now_s: u64) -> Vec<Trouble> {
        self.pairs.iter().flat_map(|pair| pair.doubts(now_s)).collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.pairs.len()
    }
}

fn authority_stamp(file: &Path) -> Result<Stamp, Trouble> {
    Stamp::of(&CertificateFiles { chain: file.to_owned(), key: file.to_owned() })
}

fn read_authority(file: &Path) -> Result<Authority, Trouble> {
    let at = |what| Trouble { file: file.to_owned(), what };
    let stamp = authority_stamp(file)?;
    let mut roots = RootCertStore::empty();
    let mut all = digest::Context::new(&digest::SHA256);
    for certificate in read_chain(file)? {
        all.update(&certificate);
        roots.add(certificate).map_err(|error| at(What::BadCertificate(error.to_string())))?;
    }
    if roots.is_empty() {
        return Err(at(What::NoCertificate));
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
    let verifier = builder.build().map_err(|error| at(What::BadCertificate(error.to_string())))?;
    Ok(Authority { stamp, digest: all.finish().as_ref().to_vec(), verifier })
}
