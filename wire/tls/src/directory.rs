//! A directory of certificates: which files in it belong together. Reads no certificate.

use crate::pair::unreadable;
use crate::trouble::{Trouble, What};
use std::fs;
use std::path::Path;
use tentpole_model::CertificateFiles;

/// Certificates that one directory holds at most.
const PAIRS_MAX: usize = 10_000;

/// `NAME.pem` or `NAME.crt` beside `NAME.key`, `NAME.pem` that holds its key too, and folders with `fullchain.pem` and
/// `privkey.pem` as certbot leaves them; in alphabetical order.
pub(crate) fn pairs(directory: &Path, troubles: &mut Vec<Trouble>) -> Vec<CertificateFiles> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            troubles.push(unreadable(directory, &error));
            return Vec::new();
        }
    };
    let mut found: Vec<_> = entries.flatten().filter_map(|entry| pair(&entry.path())).collect();
    found.sort_by(|one, other| one.chain.cmp(&other.chain));
    if found.len() > PAIRS_MAX {
        troubles.push(Trouble { file: directory.to_owned(), what: What::TooMany(PAIRS_MAX) });
        found.truncate(PAIRS_MAX);
    }
    found
}

/// What begins at this entry.
fn pair(path: &Path) -> Option<CertificateFiles> {
    if path.file_name()?.as_encoded_bytes().starts_with(b".") {
        return None;
    }
    if path.is_dir() {
        let (chain, key) = (path.join("fullchain.pem"), path.join("privkey.pem"));
        return (chain.exists() && key.exists()).then_some(CertificateFiles { chain, key });
    }
    let (chain, kind) = (path.to_owned(), path.extension()?.to_str()?);
    let key = path.with_extension("key");
    match kind {
        "pem" | "crt" if key.exists() => Some(CertificateFiles { chain, key }),
        "pem" => Some(CertificateFiles { key: chain.clone(), chain }),
        _ => None,
    }
}
