//! A certificate for trying https out on one's own machine: made once, signed by itself, for `localhost` and below it.
//! Browsers refuse it until they are told to trust it; no name that others could reach is ever in it.

use crate::pair::Pair;
use crate::trouble::{Trouble, What};
use crate::x509::date;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tentpole_model::CertificateFiles;

/// The file of the certificate, in the state directory.
pub const LOCAL_CHAIN: &str = "localhost.pem";
/// The file of its key.
pub const LOCAL_KEY: &str = "localhost.key";
/// OpenSSL, rustls and browsers take no wildcard directly below the last label: it stands there for the few that do, and so
/// that any such host is answered by this certificate.
const WILDCARD: &str = "*.localhost";
/// Days that it holds. Some systems take no more than 825.
const DAYS: u64 = 365;
/// It is made anew this long before its end.
const RENEWED_BEFORE_S: u64 = 30 * 86_400;

/// Whether a host can only be this machine (RFC 6761 section 6.3).
pub fn is_local(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// The certificate in this directory; made when it is not there, lacks a name or ends soon. The hosts themselves are in it
/// beside the wildcard, of which browsers think little.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn certificate(directory: &Path, hosts: &[String], now_s: u64) -> Result<Pair, Trouble> {
    let files = CertificateFiles { chain: directory.join(LOCAL_CHAIN), key: directory.join(LOCAL_KEY) };
    let mut names = vec!["localhost".to_owned()];
    for host in hosts {
        if !names.contains(host) {
            names.push(host.clone());
        }
    }
    let answers_all = |there: Pair| {
        let names = there.names.into_iter().chain([WILDCARD.to_owned()]).collect();
        Pair { names, ..there }
    };
    if let Ok(there) = Pair::read(&files)
        && there.valid.end > now_s + RENEWED_BEFORE_S
        && names.iter().all(|name| there.names.contains(name))
    {
        return Ok(answers_all(there));
    }
    names.push(WILDCARD.to_owned());
    make(&files, names, now_s)?;
    Pair::read(&files).map(answers_all)
}

fn make(files: &CertificateFiles, names: Vec<String>, now_s: u64) -> Result<(), Trouble> {
    let refused = |why: &dyn std::fmt::Display| Trouble {
        file: files.chain.clone(),
        what: What::BadCertificate(why.to_string()),
    };
    let addresses = ["127.0.0.1".to_owned(), "::1".to_owned()];
    let mut params = CertificateParams::new(names.into_iter().chain(addresses).collect::<Vec<_>>())
        .map_err(|error| refused(&error))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tentpole on this machine");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let day = |unix_s| {
        let (year, month, day) = date(unix_s);
        rcgen::date_time_ymd(year as i32, month as u8, day as u8)
    };
    // From yesterday on, for clocks that differ.
    params.not_before = day(now_s.saturating_sub(86_400));
    params.not_after = day(now_s + DAYS * 86_400);
    let key = KeyPair::generate().map_err(|error| refused(&error))?;
    let certificate = params.self_signed(&key).map_err(|error| refused(&error))?;
    // The key first: a certificate without it would be made anew.
    write(&files.key, key.serialize_pem().as_bytes(), 0o600)
        .and_then(|()| write(&files.chain, certificate.pem().as_bytes(), 0o644))
        .map_err(|error| Trouble { file: files.chain.clone(), what: What::Unreadable(error.to_string()) })
}

/// Whole or not at all, and never readable by more than `mode` says.
pub(crate) fn write(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = file.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?.write_all(bytes)?;
    fs::rename(new, file)
}
