//! TLS to visitors: where the edge listens for it, with which certificates, and what a handshake came to. Holds paths,
//! never a key. Already checked.

use crate::labels::labels;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSettings {
    /// Addresses that visitors connect to by https; empty means that nobody can.
    pub listen: Vec<SocketAddr>,
    /// Certificates with their keys. The first one serves whoever names no host, or an unknown one.
    pub certificates: Vec<CertificateFiles>,
    /// A directory with more of them.
    pub directory: Option<PathBuf>,
    /// The oldest version that is spoken.
    pub version_min: TlsVersion,
    /// Only clients with a certificate of one of the authorities in this file are let in.
    pub client_authority: Option<PathBuf>,
    /// Names below `localhost` for which a certificate is made, where none of these files has one.
    pub local_names: Vec<String>,
}

/// A certificate and its key, each a PEM file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CertificateFiles {
    /// The certificate, and behind it those that lead to an authority.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    V12,
    /// TLS 1.3 (RFC 8446).
    V13,
}

/// What a handshake came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The version that is spoken.
    pub version: TlsVersion,
    /// The session goes on from an earlier one: no key was exchanged for a certificate.
    pub resumed: bool,
}

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HandshakeFault {
    /// The bytes are not TLS.
    NotTls,
    /// No version that both speak.
    Version,
    /// No cipher suite, group or signature that both know.
    NothingInCommon,
    /// No certificate for the name that was asked for, and none for others.
    NoCertificate,
    /// A client certificate is asked for, and there was none.
    ClientCertificateMissing,
    /// The client's certificate is not one that is asked for.
    ClientCertificateRefused,
    /// The visitor broke it off with an alert: he does not believe our certificate, most often.
    Alert,
    /// The visitor broke the protocol.
    Misbehaved,
    /// It took too long.
    TimedOut,
    /// The connection ended before.
    Closed,
    /// As many handshakes as allowed are under way.
    TooMany,
}

impl TlsVersion {
    /// Both, in the order of their declaration.
    pub const ALL: [Self; 2] = [Self::V12, Self::V13];

    /// The number that log and metric show.
    pub fn label(self) -> &'static str {
        match self {
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        }
    }
}

labels!(HandshakeFault {
    NotTls = "not_tls",
    Version = "version",
    NothingInCommon = "nothing_in_common",
    NoCertificate = "no_certificate",
    ClientCertificateMissing = "client_certificate_missing",
    ClientCertificateRefused = "client_certificate_refused",
    Alert = "alert",
    Misbehaved = "misbehaved",
    TimedOut = "timed_out",
    Closed = "closed",
    TooMany = "too_many",
});
