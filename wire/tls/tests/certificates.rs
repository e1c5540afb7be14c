//! Certificates from files: what is found, what is said of what is wrong, what stays when a file breaks, and the one that is
//! made for this machine. And a session between both sides, without a socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tentpole_model::{CertificateFiles, TlsSettings};
use tentpole_runtime::secure::Session;
use tentpole_tls::{Certificates, LOCAL_CHAIN, LOCAL_KEY, Source, Trouble, client};

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A certificate for these hosts that holds until the end of this year.
fn pair(folder: &Path, name: &str, hosts: &[&str], year: i32) -> CertificateFiles {
    let mut params = CertificateParams::new(hosts.iter().map(|&h| h.to_owned()).collect::<Vec<_>>()).unwrap();
    params.not_after = date_time_ymd(year, 12, 31);
    let key = KeyPair::generate().unwrap();
    let files = CertificateFiles {
        chain: folder.join(format!("{name}.pem")),
        key: folder.join(format!("{name}.key")),
    };
    write(&files.chain, &params.self_signed(&key).unwrap().pem(), 0o644);
    write(&files.key, &key.serialize_pem(), 0o600);
    files
}

fn source(certificates: Vec<CertificateFiles>, directory: Option<&Path>) -> Source {
    let directory = directory.map(Path::to_owned);
    let settings = TlsSettings { certificates, directory, ..TlsSettings::default() };
    Source { settings, protocols: vec![b"http/1.1".to_vec()], local: None }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn said(troubles: &[Trouble]) -> String {
    troubles.iter().map(|trouble| format!("{trouble}\n")).collect()
}

fn load(source: &Source, before: Option<&Certificates>) -> (Certificates, String) {
    let (certificates, troubles) = Certificates::load(source, before).unwrap();
    (certificates, said(&troubles))
}

#[test]
fn a_directory_is_read_in_all_its_forms() {
    let folder = folder();
    let at = folder.path();
    pair(at, "shop", &["shop.example"], 2090);
    let crt = pair(at, "blog", &["blog.example"], 2090);
    fs::rename(&crt.chain, at.join("blog.crt")).unwrap();
    let both = pair(at, "both", &["both.example"], 2090);
    let joined = fs::read_to_string(&both.chain).unwrap() + &fs::read_to_string(&both.key).unwrap();
    write(&both.chain, &joined, 0o600);
    fs::remove_file(&both.key).unwrap();
    fs::create_dir(at.join("live.example")).unwrap();
    let live = pair(at, "live", &["*.live.example"], 2090);
    fs::rename(&live.chain, at.join("live.example/fullchain.pem")).unwrap();
    fs::rename(&live.key, at.join("live.example/privkey.pem")).unwrap();
    for other in [".hidden.pem", "README", "notes.txt"] {
        fs::write(at.join(other), "x").unwrap();
    }
    let (certificates, said) = load(&source(Vec::new(), Some(at)), None);
    assert_eq!(said, "");
    assert_eq!(certificates.count(), 4);
    for host in ["shop.example", "blog.example", "both.example", "www.live.example", "SHOP.example"] {
        assert!(certificates.covers(host), "{host}");
    }
    for host in ["live.example", "a.b.live.example", "example", "other.example"] {
        assert!(!certificates.covers(host), "{host}");
    }
    assert!(certificates.is_current());
    pair(at, "new", &["new.example"], 2090);
    assert!(!certificates.is_current(), "one came");
    let (certificates, _) = load(&certificates.source().clone(), Some(&certificates));
    assert!(certificates.covers("new.example") && certificates.is_current());
    fs::remove_file(at.join("new.pem")).unwrap();
    assert!(!certificates.is_current(), "one went");
    let (certificates, _) = load(&certificates.source().clone(), Some(&certificates));
    assert!(!certificates.covers("new.example") && certificates.is_current());
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_cure() {
    let folder = folder();
    let (at, good) = (folder.path(), pair(folder.path(), "good", &["shop.example"], 2090));
    let other = pair(at, "other", &["other.example"], 2090);
    let (empty, rsa) = (at.join("empty"), at.join("broken"));
    write(&empty, "", 0o600);
    write(&rsa, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o600);
    let with = |chain: &Path, key: &Path| {
        let files = CertificateFiles { chain: chain.to_owned(), key: key.to_owned() };
        let (certificates, said) = load(&source(vec![files], None), None);
        assert_eq!(certificates.count(), 0);
        said
    };
    for (chain, key, expected) in [
        (at.join("none.pem"), good.key.clone(), "none.pem: it cannot be read: there is no such file"),
        (good.chain.clone(), at.join("none.key"), "none.key: it cannot be read: there is no such file"),
        (at.to_owned(), good.key.clone(), "it cannot be read: "),
        (empty.clone(), good.key.clone(), "empty: no certificate is in it; it takes PEM"),
        (rsa, good.key.clone(), "broken: its certificate cannot be used: "),
        (good.chain.clone(), empty, "empty: no private key is in it; it takes PEM"),
        (good.chain.clone(), good.chain.clone(), "good.pem: no private key is in it"),
        (good.chain.clone(), other.key, "other.key: the key does not belong to the certificate in "),
    ] {
        let said = with(&chain, &key);
        assert!(said.contains(expected) && said.lines().count() == 1, "{said:?} is not {expected:?}");
        assert!(!said.contains("PRIVATE KEY-----\nM"), "no key is shown");
    }
}

#[test]
fn what_works_and_will_not_for_long_is_said_too() {
    let folder = folder();
    let files = pair(folder.path(), "old", &["shop.example"], 2020);
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o604)).unwrap();
    let (certificates, said) = load(&source(vec![files], None), None);
    assert!(certificates.covers("shop.example"));
    assert!(said.contains("old.pem: the certificate expired on 2020-12-31"), "{said}");
    assert!(said.contains("old.key: others may read this private key (mode 604)"), "{said}");
    let nameless = pair(folder.path(), "nameless", &[], 2090);
    assert!(load(&source(vec![nameless], None), None).1.contains("names no host"));
}

#[test]
fn a_fresh_certificate_goes_before_an_expired_one_of_the_same_name() {
    let folder = folder();
    let old = pair(folder.path(), "a_old", &["shop.example"], 2020);
    let new = pair(folder.path(), "b_new", &["shop.example"], 2090);
    let (certificates, _) = load(&source(vec![old, new.clone()], None), None);
    let chosen = meet(&certificates, &new).unwrap();
    assert_eq!(chosen, der(&new.chain));
}

#[test]
fn a_pair_that_breaks_stays_as_it_was_and_is_complained_of_once() {
    let folder = folder();
    let files = pair(folder.path(), "shop", &["shop.example"], 2090);
    let source = source(vec![files.clone()], None);
    let (first, _) = load(&source, None);
    write(&files.chain, "half a fi", 0o644);
    assert!(!first.is_current());
    let (second, said) = load(&source, Some(&first));
    assert!(
        said.contains("no certificate is in it") && said.contains("What was read before stays"),
        "{said}"
    );
    assert!(second.covers("shop.example") && second.is_current(), "known as it is");
    assert_eq!(load(&source, Some(&second)).1, "");
    pair(folder.path(), "shop", &["shop.example", "www.shop.example"], 2090);
    assert!(!second.is_current());
    assert!(load(&source, Some(&second)).0.covers("www.shop.example"));
}

#[test]
fn a_certificate_for_this_machine_is_made_once_and_only_where_it_is_needed() {
    let folder = folder();
    let mut source = source(Vec::new(), None);
    source.local = Some(folder.path().to_owned());
    source.settings.local_names = vec!["shop.localhost".to_owned()];
    let (certificates, said) = load(&source, None);
    assert_eq!(said, "");
    for host in ["localhost", "any.localhost", "shop.localhost"] {
        assert!(certificates.covers(host), "{host}");
    }
    assert!(!certificates.covers("shop.example") && certificates.is_current());
    let (chain, key) = (folder.path().join(LOCAL_CHAIN), folder.path().join(LOCAL_KEY));
    assert_eq!(certificates.local(), Some(chain.as_path()));
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let made = der(&chain);
    let (again, _) = load(&source, None);
    assert_eq!(der(&chain), made, "the one that is trusted already");
    let files = CertificateFiles { chain: chain.clone(), key };
    assert_eq!(meet_as(&again, &files, "shop.localhost").unwrap(), made);

    source.settings.local_names.push("blog.localhost".to_owned());
    let (more, _) = load(&source, None);
    assert!(more.covers("blog.localhost") && der(&chain) != made, "a name more");

    let own = pair(folder.path(), "own", &["shop.example"], 2090);
    source.settings.certificates = vec![own];
    source.settings.local_names.clear();
    let (certificates, _) = load(&source, None);
    assert!(certificates.local().is_none() && certificates.count() == 1);
}

#[test]
fn without_its_authority_nothing_is_let_in() {
    let folder = folder();
    let mut source = source(vec![pair(folder.path(), "shop", &["shop.example"], 2090)], None);
    let authority = folder.path().join("authority.crt");
    source.settings.client_authority = Some(authority.clone());
    assert!(said(&Certificates::load(&source, None).unwrap_err()).contains("no such file"));
    write(&authority, "", 0o644);
    assert!(said(&Certificates::load(&source, None).unwrap_err()).contains("no certificate is in it"));
    let one = pair(folder.path(), "authority", &["authority.example"], 2090);
    fs::copy(&one.chain, &authority).unwrap();
    let (first, _) = load(&source, None);
    fs::remove_file(&authority).unwrap();
    assert!(!first.is_current());
    assert!(load(&source, Some(&first)).1.contains("What was read before stays"));
}

fn der(pem: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&fs::read(pem).unwrap()).unwrap().into_owned()
}

fn meet(certificates: &Certificates, trusted: &CertificateFiles) -> io::Result<CertificateDer<'static>> {
    meet_as(certificates, trusted, "shop.example")
}

/// Shakes hands without a socket, says something each way and ends; the certificate that the server showed.
fn meet_as(
    certificates: &Certificates,
    trusted: &CertificateFiles,
    host: &str,
) -> io::Result<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    let chosen = der(&trusted.chain);
    roots.add(chosen.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let (mut ours, mut theirs) = (certificates.session()?, client(Arc::new(config), name)?);
    while ours.is_handshaking() || theirs.is_handshaking() {
        carry(&mut *theirs, &mut *ours)?;
        carry(&mut *ours, &mut *theirs)?;
    }
    assert_eq!(ours.alpn(), Some(&b"http/1.1"[..]));
    assert!(!ours.facts().unwrap().resumed);

    // More than is taken at once, in parts.
    let body = vec![b'x'; 200_000];
    let mut sent = 0;
    let mut got = Vec::new();
    while sent < body.len() {
        let (one, other) = body[sent..].split_at((body.len() - sent) / 2);
        sent += ours.write(&[IoSlice::new(one), IoSlice::new(other)])?;
        got.extend(carry(&mut *ours, &mut *theirs)?);
    }
    assert!(got == body);
    theirs.end();
    theirs.end();
    carry(&mut *theirs, &mut *ours)?;
    assert!(ours.has_ended() && !theirs.has_ended());
    Ok(chosen)
}

/// Brings one side's output to the other; the content that came of it.
fn carry(from: &mut dyn Session, to: &mut dyn Session) -> io::Result<Vec<u8>> {
    let (mut wire, mut content) = (Vec::new(), Vec::new());
    while from.has_output() {
        from.put_out(&mut wire)?;
    }
    let mut rest = &wire[..];
    // In pieces, as a network would.
    while !rest.is_empty() {
        let taken = to.take(&rest[..rest.len().min(1_399)])?;
        rest = &rest[taken..];
        while to.content() > 0 {
            let mut piece = [0; 5_000];
            let count = to.read(&mut piece)?;
            content.extend_from_slice(&piece[..count]);
        }
    }
    Ok(content)
}
