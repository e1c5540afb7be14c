//! TLS: where the edge listens for it and with which certificates, how endpoints are believed, and what a handshake came
//! to. Holds paths, never a key. Already checked.

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

/// How a pool's endpoints that speak TLS are believed, and how they know us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointTls {
    /// Whose signature counts: the authorities in this file; `None` is those that the system knows.
    pub authority: Option<PathBuf>,
    /// The name that is asked for (SNI) and that the certificate must be for; `None` is the endpoint's own host.
    pub name: Option<String>,
    /// Whether the certificate is looked at. Without, whoever answers is believed.
    pub verify: bool,
    /// The certificate that we show to endpoints that ask for one.
    pub certificate: Option<CertificateFiles>,
    /// The oldest version that is spoken.
    pub version_min: TlsVersion,
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

/// Why TLS to an endpoint failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsFault {
    /// None of the authorities that count has signed its certificate.
    Untrusted,
    /// Its certificate is for another name.
    WrongName,
    /// Its certificate has expired.
    Expired,
    /// Its certificate holds only later.
    NotYetValid,
    /// Its certificate cannot be used for another reason.
    BadCertificate,
    /// It does not speak TLS there.
    NotTls,
    /// No version, cipher suite, group or signature that both know.
    NothingInCommon,
    /// It wants a certificate of ours, or another one.
    ClientCertificate,
    /// It broke the handshake off with an alert.
    Refused,
    /// It broke the protocol.
    Misbehaved,
    /// Files of ours could not be read: authorities, or our certificate.
    NoFiles,
}

/// By the system's authorities, under the endpoint's own name.
impl Default for EndpointTls {
    fn default() -> Self {
        Self {
            authority: None,
            name: None,
            verify: true,
            certificate: None,
            version_min: TlsVersion::default(),
        }
    }
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

labels!(TlsFault {
    Untrusted = "tls_untrusted",
    WrongName = "tls_wrong_name",
    Expired = "tls_expired",
    NotYetValid = "tls_not_yet_valid",
    BadCertificate = "tls_bad_certificate",
    NotTls = "tls_not_spoken",
    NothingInCommon = "tls_nothing_in_common",
    ClientCertificate = "tls_client_certificate",
    Refused = "tls_refused",
    Misbehaved = "tls_misbehaved",
    NoFiles = "tls_no_files",
});
