//! Why a look-up brought nothing, in words for a person.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Name servers know no such name (NXDOMAIN).
    NoSuchName { negative_ttl_s: Option<u32> },
    /// The name has no records of the kind that was asked for.
    NoRecords { negative_ttl_s: Option<u32> },
    /// The service says that it is not to be had (RFC 2782: the target `.`).
    NotOffered { ttl_s: u32 },
    /// An alias of an alias of an alias …
    Aliases,
    /// The name server will or can not: SERVFAIL, REFUSED and so on.
    Refused(&'static str),
    /// No message.
    Malformed,
    /// Nothing came in time.
    TimedOut(Duration),
    /// The system says so.
    Io(io::ErrorKind),
    /// The name is none.
    NoName,
}

impl Trouble {
    /// Whether it says that there is nothing, rather than that nobody could say.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::NoSuchName { .. } | Self::NoRecords { .. } | Self::NotOffered { .. })
    }

    /// How long that there is nothing counts, when it was said.
    pub(crate) fn negative_ttl(&self) -> Option<Duration> {
        match *self {
            Self::NoSuchName { negative_ttl_s } | Self::NoRecords { negative_ttl_s } => {
                negative_ttl_s.map(|seconds| Duration::from_secs(seconds.into()))
            }
            Self::NotOffered { ttl_s } => Some(Duration::from_secs(ttl_s.into())),
            _ => None,
        }
    }

    /// With who said it.
    pub(crate) fn by(&self, server: SocketAddr) -> String {
        match self {
            Self::NoSuchName { .. } => format!("{server} says that there is no such name"),
            Self::NoRecords { .. } => format!("{server} says that it has no address"),
            Self::NotOffered { .. } => format!("{server} says that the service is not offered"),
            other => format!("name server {server}: {other}"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName { .. } => write!(f, "there is no such name"),
            Self::NoRecords { .. } => write!(f, "it has no address"),
            Self::NotOffered { .. } => write!(f, "the service is not offered"),
            Self::Aliases => write!(f, "its aliases lead in a circle or too far"),
            Self::Refused(code) => write!(f, "it answers {code}"),
            Self::Malformed => write!(f, "its answer is no message"),
            Self::TimedOut(after) => write!(f, "no answer within {after:?}"),
            Self::Io(kind) => write!(f, "{kind}"),
            Self::NoName => write!(f, "no name that a name server could know"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}
