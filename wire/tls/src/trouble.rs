//! What is wrong with the files of a certificate, in words: what, where, how to mend it.

use crate::x509::date;
use std::fmt;
use std::path::PathBuf;

/// Something about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which.
    pub file: PathBuf,
    /// What.
    pub what: What,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It cannot be read.
    Unreadable(String),
    /// It is larger than any certificate.
    TooLarge,
    /// No certificate is in it.
    NoCertificate,
    /// It is not a certificate that browsers take.
    BadCertificate(String),
    /// No private key is in it.
    NoKey,
    /// The key is of a kind that is not spoken.
    BadKey(String),
    /// The key belongs to another certificate.
    KeyOfAnother {
        /// The certificate's file.
        chain: PathBuf,
    },
    /// The directory holds more certificates than are taken.
    TooMany(usize),
    /// It has expired, at this time in seconds since 1970.
    Expired(u64),
    /// It will, at this time, in so many days.
    Expires(u64, u64),
    /// It holds only from this time on.
    NotYet(u64),
    /// It names no host.
    NoNames,
    /// A key that others may read.
    KeyOpen(u32),
    /// The one from before stays in use.
    KeptOld(Box<What>),
}

impl What {
    /// Whether nothing is served with it.
    pub fn is_error(&self) -> bool {
        !matches!(
            self,
            Self::Expired(_)
                | Self::Expires(..)
                | Self::NotYet(_)
                | Self::NoNames
                | Self::KeyOpen(_)
                | Self::KeptOld(_)
        )
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            Self::TooLarge => f.write_str("it is too large for a certificate; is it the right file?"),
            Self::NoCertificate => f.write_str(
                "no certificate is in it; it takes PEM, which begins with -----BEGIN CERTIFICATE-----",
            ),
            Self::BadCertificate(why) => write!(f, "its certificate cannot be used: {why}"),
            Self::NoKey => f.write_str(
                "no private key is in it; it takes PEM, which begins with -----BEGIN PRIVATE KEY-----",
            ),
            Self::BadKey(why) => {
                write!(
                    f,
                    "its key cannot be used: {why}. It takes RSA of 2048 bits and more, ECDSA P-256, P-384 or Ed25519"
                )
            }
            Self::KeyOfAnother { chain } => {
                write!(
                    f,
                    "the key does not belong to the certificate in {}; take the two from one order",
                    chain.display()
                )
            }
            Self::TooMany(most) => write!(f, "more certificates are in it than are taken: {most}"),
            Self::Expired(end) => {
                write!(f, "the certificate expired on {}; browsers refuse it. Renew it", Day(*end))
            }
            Self::Expires(end, days) => {
                write!(f, "the certificate expires on {}, in {days} days. Renew it", Day(*end))
            }
            Self::NotYet(begin) => write!(f, "the certificate holds only from {} on", Day(*begin)),
            Self::NoNames => {
                f.write_str("the certificate names no host, so that only unknown hosts would get it")
            }
            Self::KeyOpen(mode) => {
                write!(
                    f,
                    "others may read this private key (mode {mode:o}). Say chmod 600, or 640 for a group of its own"
                )
            }
            Self::KeptOld(why) => write!(f, "{why}. What was read before stays in use"),
        }
    }
}

struct Day(u64);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0);
        write!(f, "{year}-{month:02}-{day:02}")
    }
}
