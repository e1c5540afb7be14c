//! `[tls]`: https for visitors. Names files and never reads them: `tentpole check` and the edge do.

use crate::address::listen_address;
use crate::forms::{Shaped, Text, Word};
use crate::problem::Problem;
use crate::report::Place;
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use std::net::SocketAddr;
use std::path::PathBuf;
use tentpole_model::{CertificateFiles, TlsSettings, TlsVersion};
use toml::de::DeValue;

pub(crate) static SECTION: Section = Section {
    header: "[tls]",
    also: None,
    about: "HTTPS for visitors. Without a certificate, one is made for `localhost` and `*.localhost`, to try it out on this \
            machine.",
    settings: &[&LISTEN, &CERTIFICATE, &DIRECTORY, &VERSION],
};

static LISTEN: Setting<Shaped> = Setting {
    name: "listen",
    form: Shaped { what: "an address in quotes or a list of them", inside: None },
    default: Fallback::Required,
    about: "Addresses that visitors connect to by https, as in `listen` at the top of the file.",
    example: "[\":443\", \"[::]:443\"]",
};

static CERTIFICATE: Setting<Shaped> = Setting {
    name: "certificate",
    form: Shaped { what: "tables, each under [[tls.certificate]]", inside: Some(&CERTIFICATE_SECTION) },
    default: Fallback::Absent("none but those of `directory`"),
    about: "Certificates with their keys. Each answers for the hosts that it names; the first one also for visitors who name \
            no host or an unknown one. Changed files are taken within a minute, without a restart.",
    example: "[{ chain = \"/etc/tentpole/shop.pem\", key = \"/etc/tentpole/shop.key\" }]",
};

static DIRECTORY: Setting<Text> = Setting {
    name: "directory",
    form: Text { what: "a directory's path in quotes" },
    default: Fallback::Absent("none"),
    about: "A directory with more of them: `NAME.pem` or `NAME.crt` beside `NAME.key`, `NAME.pem` that holds its key too, \
            or folders with `fullchain.pem` and `privkey.pem` (certbot's `live`). What is added or removed there is seen \
            within a minute.",
    example: "\"/etc/letsencrypt/live\"",
};

pub(crate) static VERSION: Setting<Word<TlsVersion>> = Setting {
    name: "version_min",
    form: Word {
        words: &[
            ("1.2", TlsVersion::V12, "All browsers since 2014."),
            ("1.3", TlsVersion::V13, "All browsers since 2019; some programs that call an API lack it."),
        ],
    },
    default: Fallback::Value(|| TlsVersion::V12),
    about: "The oldest version of TLS that is spoken.",
    example: "\"1.3\"",
};

pub(crate) static CERTIFICATE_SECTION: Section = Section {
    header: "[[tls.certificate]]",
    also: None,
    about: "A certificate and its key, in PEM files. Only the edge reads the key; it is never copied.",
    settings: &[&CHAIN, &KEY],
};

static CHAIN: Setting<Text> = Setting {
    name: "chain",
    form: Text { what: "a file's path in quotes" },
    default: Fallback::Required,
    about: "The certificate, and behind it those that lead to its authority: certbot's `fullchain.pem`.",
    example: "\"/etc/tentpole/shop.pem\"",
};

static KEY: Setting<Text> = Setting {
    name: "key",
    form: Text { what: "a file's path in quotes" },
    default: Fallback::Required,
    about: "Its private key: RSA of 2048 bits and more, ECDSA P-256 or P-384, or Ed25519.",
    example: "\"/etc/tentpole/shop.key\"",
};

/// What diagnostics call a certificate.
const CERTIFICATE_TITLE: &str = "the certificate";
/// Certificates that one file takes; a directory takes more.
const CERTIFICATES_MAX: usize = 1_000;
/// Listening addresses that one file takes.
const LISTEN_MAX: usize = 64;

/// `[tls]` as typed.
#[derive(Default)]
pub(crate) struct Typed {
    pub(crate) listen: Vec<At<SocketAddr>>,
    pub(crate) settings: TlsSettings,
}

/// Reads `[tls]`.
pub(crate) fn read(table: &Table<'_>) -> Typed {
    let listen = read_listen(table);
    let directory = table.optional(&DIRECTORY).and_then(|typed| path(&DIRECTORY, typed, table));
    let settings = TlsSettings {
        listen: listen.iter().map(|at| at.value).collect(),
        certificates: read_certificates(table),
        directory,
        version_min: table.value(&VERSION),
        ..TlsSettings::default()
    };
    Typed { listen, settings }
}

fn read_listen(table: &Table<'_>) -> Vec<At<SocketAddr>> {
    let cure = "name at least one address, like \"127.0.0.1:8443\".";
    let Some(typed) = table.texts(&LISTEN, LISTEN_MAX, "addresses", Some(cure)) else {
        table.missing(&LISTEN);
        return Vec::new();
    };
    let read = |typed: At<String>| match listen_address(LISTEN.name, &typed.value) {
        Ok(address) => Some(At::new(address, typed.place)),
        Err(problem) => {
            table.tell(problem, &typed.place);
            None
        }
    };
    typed.into_iter().filter_map(read).collect()
}

fn read_certificates(table: &Table<'_>) -> Vec<CertificateFiles> {
    let Some(value) = table.raw(&CERTIFICATE) else { return Vec::new() };
    let DeValue::Array(items) = value.get_ref() else {
        table.wrong_type(&CERTIFICATE, value);
        return Vec::new();
    };
    if items.len() > CERTIFICATES_MAX {
        let problem = Problem::TooMany { what: "certificates", count: items.len(), most: CERTIFICATES_MAX };
        table.tell(problem, &Place::Bytes(value.span()));
    }
    let mut certificates = Vec::new();
    for item in items.iter().take(CERTIFICATES_MAX) {
        let DeValue::Table(entries) = item.get_ref() else {
            table.wrong_item(&CERTIFICATE, item);
            continue;
        };
        let (title, place) = (CERTIFICATE_TITLE.to_owned(), Place::Bytes(item.span()));
        let inner = Table::open(&CERTIFICATE_SECTION, title, place, entries, table.problems());
        certificates.extend(certificate(&inner));
    }
    certificates
}

/// Reads one certificate with its key.
pub(crate) fn certificate(table: &Table<'_>) -> Option<CertificateFiles> {
    let chain = table.required(&CHAIN).and_then(|typed| path(&CHAIN, typed, table));
    let key = table.required(&KEY).and_then(|typed| path(&KEY, typed, table));
    chain.zip(key).map(|(chain, key)| CertificateFiles { chain, key })
}

/// A path that is not empty.
pub(crate) fn path(setting: &Setting<Text>, typed: At<String>, table: &Table<'_>) -> Option<PathBuf> {
    if typed.value.is_empty() {
        let cure = "name it, or leave the setting out.";
        table.tell(Problem::Empty { name: setting.name, cure }, &typed.place);
        return None;
    }
    Some(PathBuf::from(typed.value))
}
