//! One certificate with its key, from files: read, checked against each other, and what it says of itself.

use crate::trouble::{Trouble, What};
use crate::x509::validity;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use tentpole_model::CertificateFiles;
use webpki::EndEntityCert;

/// A chain with its key is some kilobytes.
const BYTES_MAX: u64 = 1 << 20;
/// Seconds before its end from which on a certificate is said to expire: authorities renew 30 days before.
const EXPIRES_SOON_S: u64 = 14 * 86_400;
/// Others may read or write it.
const OTHERS: u32 = 0o007;

/// A certificate and its key.
#[derive(Debug)]
pub(crate) struct Pair {
    pub files: CertificateFiles,
    pub key: Arc<CertifiedKey>,
    /// Hosts, some with a wildcard as their first label.
    pub names: Vec<String>,
    /// From when to when it holds, in seconds since 1970.
    pub valid: Range<u64>,
    pub stamp: Stamp,
}

/// By what one sees that files are others than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp([(u64, u64, i64, i64); 2]);

impl Stamp {
    /// How the files are now.
    ///
    /// # Errors
    /// For the one that cannot be looked at.
    pub fn of(files: &CertificateFiles) -> Result<Self, Trouble> {
        Ok(Self([stamp(&files.chain)?, stamp(&files.key)?]))
    }
}

fn stamp(file: &Path) -> Result<(u64, u64, i64, i64), Trouble> {
    let found = fs::metadata(file).map_err(|error| unreadable(file, &error))?;
    Ok((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

impl Pair {
    /// Reads both files.
    ///
    /// # Errors
    /// What makes them useless.
    pub fn read(files: &CertificateFiles) -> Result<Self, Trouble> {
        // First, so that a file that changes meanwhile is read again.
        let stamp = Stamp::of(files)?;
        let at_chain = |what| Trouble { file: files.chain.clone(), what };
        let at_key = |what| Trouble { file: files.key.clone(), what };
        let chain = read_chain(&files.chain)?;
        let first = chain.first().ok_or_else(|| at_chain(What::NoCertificate))?;
        let bad = |why: String| at_chain(What::BadCertificate(why));
        let names = {
            let end_entity = EndEntityCert::try_from(first).map_err(|error| bad(error.to_string()))?;
            end_entity.valid_dns_names().map(str::to_owned).collect()
        };
        let valid = validity(first).ok_or_else(|| bad("its dates cannot be read".into()))?;
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|_| at_key(What::NoKey))?;
        let key = any_supported_type(&key).map_err(|error| at_key(What::BadKey(error.to_string())))?;
        let key = CertifiedKey::new(chain, key);
        if let Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) = key.keys_match()
        {
            return Err(at_key(What::KeyOfAnother { chain: files.chain.clone() }));
        }
        Ok(Self { files: files.clone(), key: Arc::new(key), names, valid, stamp })
    }

    /// Whether the files are those that were read. Reads nothing.
    pub fn is_current(&self) -> bool {
        Stamp::of(&self.files).is_ok_and(|now| now == self.stamp)
    }

    /// What a person should know, although it can be used.
    pub fn doubts(&self, now_s: u64) -> Vec<Trouble> {
        let of_chain = match self.valid.clone() {
            valid if valid.end <= now_s => Some(What::Expired(valid.end)),
            valid if valid.start > now_s => Some(What::NotYet(valid.start)),
            valid if valid.end - now_s < EXPIRES_SOON_S => {
                Some(What::Expires(valid.end, (valid.end - now_s) / 86_400))
            }
            _ => None,
        };
        let nameless = self.names.is_empty().then_some(What::NoNames);
        let mode = fs::metadata(&self.files.key).map_or(0, |found| found.mode() & 0o777);
        let open = (mode & OTHERS != 0).then_some(What::KeyOpen(mode));
        let at = |file: &Path, what: Option<What>| what.map(|what| Trouble { file: file.to_owned(), what });
        let chain = &self.files.chain;
        [at(chain, of_chain), at(chain, nameless), at(&self.files.key, open)].into_iter().flatten().collect()
    }
}

/// The certificates of a file, in its order.
///
/// # Errors
/// When it cannot be read, or one of them is not one.
pub(crate) fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    all.map_err(|error| Trouble { file: file.to_owned(), what: What::BadCertificate(error.to_string()) })
}

fn read(file: &Path) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| unreadable(file, &error))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Trouble { file: file.to_owned(), what: What::TooLarge });
    }
    Ok(bytes)
}

pub(crate) fn unreadable(file: &Path, error: &io::Error) -> Trouble {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not".to_owned(),
        _ => error.to_string(),
    };
    Trouble { file: file.to_owned(), what: What::Unreadable(why) }
}
