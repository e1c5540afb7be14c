//! Why a Snapshot does not compile into a table, with the names that an error message needs. Only says it:
//! `config` knows where in the file the names stand.

use std::fmt;

/// Why a Snapshot does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// Two routes of a site match the same paths.
    DuplicatePattern {
        /// The site's name.
        site: String,
        /// The earlier route's pattern as written.
        first: String,
        /// The later one's.
        second: String,
    },
    /// A route's pattern cannot be understood.
    BadPattern {
        /// The site's name.
        site: String,
        /// The pattern as written.
        pattern: String,
        /// What is wrong with it.
        fault: PatternFault,
    },
    /// A site's host is not a host name or address.
    BadHost {
        /// The site's name.
        site: String,
        /// The host as written.
        host: String,
    },
    /// Two sites (or one twice) claim a host.
    HostClaimedTwice {
        /// The host; a wildcard with its `*.`.
        host: String,
        /// The earlier site's name.
        first: String,
        /// The later one's.
        second: String,
    },
    /// Two sites without hosts: both would answer for every other host.
    TwoDefaultSites {
        /// The earlier site's name.
        first: String,
        /// The later one's.
        second: String,
    },
    /// So many patterns with parameters overlap that a visitor could choose a path that is slow to look up.
    TooAmbiguous {
        /// The site's name.
        site: String,
        /// Steps that the worst path would take.
        steps: usize,
        /// Steps allowed.
        steps_max: usize,
    },
    /// More sites than a `SiteId` or more routes than a `RouteId` can count.
    TooMany,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternFault {
    /// It does not start with `/`.
    NotAbsolute,
    /// `*` stands elsewhere than as the whole last segment.
    Star,
    /// A brace is missing, or a parameter is not a whole segment.
    Brace,
    /// A parameter's name is empty or has characters other than letters, digits, `_` and `-`.
    ParameterName,
    /// Two parameters have the same name.
    ParameterTwice,
    /// It carries a `?` or a `#`: only paths are matched.
    Query,
    /// It has a `.` or `..` segment, which no canonical path has.
    DotSegment,
    /// It has an escape that is none, `%00`, or a control character.
    Escape,
    /// It has more segments than are looked at.
    TooDeep,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicatePattern { site, first, second } if first == second => {
                write!(f, "site {site} has the route {first} twice")
            }
            Self::DuplicatePattern { site, first, second } => {
                write!(f, "site {site}: the routes {first} and {second} match the same paths")
            }
            Self::BadPattern { site, pattern, fault } => write!(f, "site {site}: route {pattern}: {fault}"),
            Self::BadHost { site, host } => write!(f, "site {site}: {host:?} is not a host name or address"),
            Self::HostClaimedTwice { host, first, second } if first == second => {
                write!(f, "site {first} has the host {host} twice")
            }
            Self::HostClaimedTwice { host, first, second } => {
                write!(f, "the sites {first} and {second} both claim the host {host}")
            }
            Self::TwoDefaultSites { first, second } => {
                write!(
                    f,
                    "the sites {first} and {second} both have no hosts; only one can answer for all others"
                )
            }
            Self::TooAmbiguous { site, steps, steps_max } => write!(
                f,
                "site {site}: its routes with parameters overlap so much that one look-up could take {steps} steps; \
                 {steps_max} are allowed"
            ),
            Self::TooMany => f.write_str("more sites or routes than can be counted"),
        }
    }
}

impl fmt::Display for PatternFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "a path starts with /",
            Self::Star => {
                "* can only be the whole last segment, as in /images/*; a star itself is written %2A"
            }
            Self::Brace => "{ and } can only enclose a whole segment, as in /p/{slug}",
            Self::ParameterName => "a parameter's name consists of letters, digits, _ and -",
            Self::ParameterTwice => "two parameters have the same name",
            Self::Query => "only the path is matched; leave out ? and #",
            Self::DotSegment => "a path has no . or .. segments",
            Self::Escape => "it has an invalid escape or a control character",
            Self::TooDeep => "it has more segments than are looked at",
        })
    }
}

impl std::error::Error for CompileError {}
