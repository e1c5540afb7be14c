//! Why a look-up brought nothing, in words for a person.

use std::fmt;
use std::io;
use std::time::Duration;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such name (NXDOMAIN).
    NoSuchName {
        /// How long that counts, in seconds.
        negative_ttl_s: Option<u32>,
    },
    /// The name is there and has no address of either family.
    NoAddress {
        /// How long that counts, in seconds.
        negative_ttl_s: Option<u32>,
    },
    /// An alias of an alias of an alias …
    Aliases,
    /// The name server will or can not: SERVFAIL, REFUSED and so on.
    Refused(&'static str),
    /// No message.
    Malformed,
    /// Nothing came in time.
    TimedOut(Duration),
    /// The system says so: nobody listens there.
    Io(io::ErrorKind),
    /// The name is none that a name server could know.
    NoName,
    /// An address that this run may not load: the site was on this machine when the run began.
    Elsewhere,
}

impl Trouble {
    /// How long that there is nothing counts, when it was said.
    pub(crate) fn negative_ttl(&self) -> Option<Duration> {
        match *self {
            Self::NoSuchName { negative_ttl_s } | Self::NoAddress { negative_ttl_s } => {
                negative_ttl_s.map(|seconds| Duration::from_secs(seconds.into()))
            }
            _ => None,
        }
    }

    /// Whether it says that there is nothing, rather than that nobody could say.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::NoSuchName { .. } | Self::NoAddress { .. } | Self::NoName | Self::Aliases)
    }

    /// What mends it.
    pub fn mend(&self) -> &'static str {
        match self {
            Self::NoSuchName { .. } | Self::NoName => "Is the name right, and is this its name server?",
            Self::NoAddress { .. } => "Give it an A or AAAA record, or write a name that has one.",
            Self::Aliases => "Let the alias lead to a name with an address.",
            Self::Refused(_) => "Does it answer for this name, and to this machine?",
            Self::Malformed => "Is that the port of a name server?",
            Self::TimedOut(_) | Self::Io(_) => {
                "Is it running, and is this its port? --name-server 127.0.0.1:5353 names another."
            }
            Self::Elsewhere => "A run that begins on this machine stays there.",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName { .. } => f.write_str("there is no such name"),
            Self::NoAddress { .. } => f.write_str("it has no address, neither IPv4 (A) nor IPv6 (AAAA)"),
            Self::Aliases => f.write_str("its aliases lead in a circle or too far"),
            Self::Refused(code) => write!(f, "the name server answers {code}"),
            Self::Malformed => f.write_str("what came back is no answer of a name server"),
            Self::TimedOut(after) => write!(f, "no answer within {after:?}"),
            Self::Io(kind) => write!(f, "{kind}"),
            Self::NoName => f.write_str("this is no name that a name server could know"),
            Self::Elsewhere => f.write_str("it leads to an address that is not this machine"),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}
