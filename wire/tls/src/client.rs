//! What connections to a pool's endpoints begin with: whom we believe, what we show of ourselves, and the tickets by which
//! a later connection begins faster. Made anew when a file has changed; tickets go with the one before, so that nobody is
//! believed by an authority that counts no more.

use crate::pair::Pair;
use crate::roots::Roots;
use crate::session;
use crate::trouble::{Trouble, What};
use crate::verifier::{Anybody, Believed};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme, version};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tentpole_model::{EndpointTls, TlsVersion};
use tentpole_runtime::clock;
use tentpole_runtime::secure::Session;

/// Endpoints for which tickets are kept, in a pool; some for each.
const NAMES_MAX: usize = 1_024;

/// What sessions with a pool's endpoints are begun with, at one moment.
#[derive(Clone, Debug)]
pub struct Client {
    settings: EndpointTls,
    roots: Option<Roots>,
    pair: Option<Arc<Pair>>,
    config: Arc<ClientConfig>,
    /// The same, which offers HTTP/2 and nothing else (ALPN).
    http2: Arc<ClientConfig>,
    /// The same, which offers HTTP/1.1 and nothing else.
    http1: Arc<ClientConfig>,
    /// The same, which offers either, as browsers do.
    either: Arc<ClientConfig>,
}

/// What an endpoint is offered to speak (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Nothing: it speaks HTTP/1.1 then.
    Nothing,
    /// HTTP/1.1, to one that would speak HTTP/2 otherwise.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2 or HTTP/1.1, whichever the other side likes better.
    Either,
}

impl Client {
    /// Reads the files. Returns what a person should know although it works.
    ///
    /// # Errors
    /// The file without which nobody could be believed, or we would not be.
    pub fn load(settings: &EndpointTls) -> Result<(Self, Vec<Trouble>), Trouble> {
        let roots = match (&settings.authority, settings.verify) {
            (_, false) => None,
            (Some(file), true) => Some(Roots::of_file(file)?),
            (None, true) => Some(Roots::of_system()?),
        };
        let pair = settings.certificate.as_ref().map(Pair::read).transpose()?.map(Arc::new);
        let now_s = clock::now().unix_seconds();
        // That it names no host matters to servers alone.
        let doubts = pair.iter().flat_map(|pair| pair.doubts(now_s));
        let doubts = doubts.filter(|doubt| !matches!(doubt.what, What::NoNames)).collect();
        let made = config(settings, roots.as_ref(), pair.as_deref());
        let config = made.map_err(|what| {
            let file = roots.as_ref().map_or_else(|| PathBuf::from("TLS"), |roots| roots.file.clone());
            Trouble { file, what }
        })?;
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        let (http2, http1) = (offering(&[b"h2"]), offering(&[b"http/1.1"]));
        let either = offering(&[b"h2", b"http/1.1"]);
        let config = Arc::new(config);
        Ok((Self { settings: settings.clone(), roots, pair, config, http2, http1, either }, doubts))
    }

    /// The same, whose sessions are all strangers to the host: none begins with a ticket of another.
    #[must_use]
    pub fn without_tickets(self) -> Self {
        let without = |config: &ClientConfig| {
            let mut config = config.clone();
            config.resumption = Resumption::disabled();
            Arc::new(config)
        };
        Self {
            config: without(&self.config),
            http2: without(&self.http2),
            http1: without(&self.http1),
            either: without(&self.either),
            ..self
        }
    }

    /// A session with the endpoint of this host, a name or an IP address, that is offered this to speak.
    ///
    /// # Errors
    /// When the host is neither, or the system gives no randomness.
    pub fn session(&self, host: &str, offer: Offer) -> io::Result<Box<dyn Session>> {
        let name = self.settings.name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let config = match offer {
            Offer::Nothing => &self.config,
            Offer::Http1 => &self.http1,
            Offer::Http2 => &self.http2,
            Offer::Either => &self.either,
        };
        session::client(config.clone(), name)
    }

    /// What it was made by.
    pub fn settings(&self) -> &EndpointTls {
        &self.settings
    }

    /// Whether another one by these settings would be the same: its files are those that were read. Looks at each, reads
    /// none.
    pub fn is_current(&self, settings: &EndpointTls) -> bool {
        self.settings == *settings
            && self.roots.as_ref().is_none_or(Roots::is_current)
            && self.pair.as_ref().is_none_or(|pair| pair.is_current())
    }
}

fn config(settings: &EndpointTls, roots: Option<&Roots>, pair: Option<&Pair>) -> Result<ClientConfig, What> {
    let failed = |why: String| What::BadCertificate(why);
    let provider = Arc::new(ring::default_provider());
    let versions: &[_] = match settings.version_min {
        TlsVersion::V12 => &[&version::TLS13, &version::TLS12],
        TlsVersion::V13 => &[&version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions);
    let builder = builder.map_err(|error| failed(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = match roots {
        None => Arc::new(Anybody(provider.signature_verification_algorithms)),
        Some(roots) => {
            let by_authority =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots.store.clone()), provider);
            let by_authority = by_authority.build().map_err(|error| failed(error.to_string()))?;
            Arc::new(Believed { by_authority, named: roots.named.clone() })
        }
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match pair {
        Some(pair) => builder.with_client_cert_resolver(Arc::new(Shown(pair.key.clone()))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(NAMES_MAX);
    Ok(config)
}

/// The one certificate that we have.
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.key.choose_scheme(schemes).map(|_| self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}
