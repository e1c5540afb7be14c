//! Whose signature counts when an endpoint shows its certificate: the authorities of a file, or those that the system
//! knows. Trusts nobody by itself.

use crate::pair::{Stamp, read_chain};
use crate::trouble::{Trouble, What};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use tentpole_model::CertificateFiles;

/// Where a file with the system's authorities is named, as OpenSSL reads it.
const VARIABLE: &str = "SSL_CERT_FILE";
/// Where systems keep them: Debian and its children, Fedora and its, openSUSE, Alpine and FreeBSD.
const USUAL: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Authorities, and the file that they come from.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    pub file: PathBuf,
    pub stamp: Stamp,
    pub store: RootCertStore,
    /// Those of a file of one's own: an endpoint may show one of them itself, as one signed by itself is.
    pub named: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Reads the authorities of this file, all of them.
    ///
    /// # Errors
    /// When it cannot be read, or not all of it is certificates.
    pub fn of_file(file: &Path) -> Result<Self, Trouble> {
        let at = |what| Trouble { file: file.to_owned(), what };
        let stamp = stamp(file)?;
        let named = read_chain(file)?;
        let mut store = RootCertStore::empty();
        for certificate in &named {
            let added = store.add(certificate.clone());
            added.map_err(|error| at(What::BadCertificate(error.to_string())))?;
        }
        if store.is_empty() {
            return Err(at(What::NoCertificate));
        }
        Ok(Self { file: file.to_owned(), stamp, store, named })
    }

    /// Reads the system's. One that rustls does not understand is left out: there are old ones among them.
    ///
    /// # Errors
    /// When the system has none where one looks for them.
    pub fn of_system() -> Result<Self, Trouble> {
        let file = match std::env::var_os(VARIABLE).filter(|file| !file.is_empty()) {
            Some(file) => PathBuf::from(file),
            None => {
                USUAL.iter().map(Path::new).find(|file| file.exists()).unwrap_or(Path::new(USUAL[0])).into()
            }
        };
        let stamp = stamp(&file)?;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(read_chain(&file)?);
        if store.is_empty() {
            return Err(Trouble { file, what: What::NoCertificate });
        }
        Ok(Self { file, stamp, store, named: Vec::new() })
    }

    /// Whether the file is still the one that was read. Reads nothing.
    pub fn is_current(&self) -> bool {
        stamp(&self.file).is_ok_and(|now| now == self.stamp)
    }
}

fn stamp(file: &Path) -> Result<Stamp, Trouble> {
    Stamp::of(&CertificateFiles { chain: file.to_owned(), key: file.to_owned() })
}
