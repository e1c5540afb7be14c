//! Reasons of the edge as sentences. The word itself is that of the access log.

use tentpole_model::{Bypass, Priority, Refused};
use tentpole_proxy::explain::{Condition, CookieCounts, FileFound, FilterFound};
use tentpole_retry::After;

/// Why a request has its rank.
pub(crate) fn rank(rank: Priority) -> &'static str {
    match rank {
        Priority::Health => "a health probe",
        Priority::Staff => "who asks works here",
        Priority::Checkout => "somebody is about to buy: before all other visitors",
        Priority::Returning => {
            "the application knows this visitor by a cookie: before those it does not know"
        }
        Priority::Normal => "nothing says otherwise",
        Priority::Crawler => "a program that can come again later: after all others",
    }
}

/// Why the cache has no part in it.
pub(crate) fn bypass(bypass: Bypass) -> String {
    let why = match bypass {
        Bypass::SwitchedOff => "the route's caching is switched off",
        Bypass::Method => "the method is not GET or HEAD, or it brings a body",
        Bypass::Range => "it is a part, and a part is not the whole",
        Bypass::RequestNoStore => "the request says no-store",
        Bypass::Authorization => "the request has Authorization, and the answer does not allow sharing",
        Bypass::SetCookie => "the answer sets a cookie",
        Bypass::Private => "the answer says private",
        Bypass::NoStore => "the answer says no-store",
        Bypass::NoLifetime => "the answer does not say how long it may be kept",
        Bypass::CookieWithoutLifetime => {
            "the request has a cookie that may say who the visitor is, and the answer does not say that it may be kept"
        }
        Bypass::AlreadyStale => {
            "the answer is stale when it comes, and cannot be asked for again by a tag or date"
        }
        Bypass::VaryStar => "the answer says Vary: *",
        Bypass::KeyedCookies => "the cookies in the key can be read in several ways, or are too long",
        Bypass::Status => "such a status is not stored",
        Bypass::Upgrade => "the request changes the protocol",
        _ => "",
    };
    if why.is_empty() { bypass.label().to_owned() } else { format!("{why} ({})", bypass.label()) }
}

/// Why the edge says no.
pub(crate) fn refused(refused: Refused) -> &'static str {
    match refused {
        Refused::NoSite => "no site takes this host",
        Refused::NoRoute => "no route of the site takes this path, and the site has no pool of its own",
        Refused::NoScript => "no script answers this path, or it is one that must not run",
        Refused::NotThroughFront => {
            "without the field, or the client certificate, that the way through the content network brings; or its secret \
             is not readable here"
        }
        Refused::Denied => "a filter says no",
        Refused::RateLimited => "a filter has counted too many",
        Refused::Challenged => "a filter asks for a solved puzzle first",
        Refused::Method => "this method is not served there",
        Refused::ReadOnly => "there are only files, and this method does not read",
        Refused::Target => "the path has an invalid escape, or leads above the root",
        Refused::Host => "Host is missing, repeated or invalid",
        Refused::HeadTooLarge => "the head is larger, or has more fields, than may be",
        Refused::TargetTooLong => "the request line is longer than may be",
        Refused::BodyTooLarge => "the body is larger than may be",
        Refused::ContentLength | Refused::TransferEncoding => "where the body ends can be read in two ways",
        Refused::Malformed | Refused::RequestLine | Refused::Version => "it is not HTTP as it must be",
        Refused::Expect => "it expects something other than 100-continue",
        _ => "",
    }
}

/// What a cookie counts for.
pub(crate) fn cookie(counts: CookieCounts) -> &'static str {
    match counts {
        CookieCounts::Ignored => "says nothing",
        CookieCounts::Keyed => "is part of the key",
        CookieCounts::Personal => "may say who the visitor is",
        CookieCounts::Unclear => "can be read in several ways",
    }
}

/// What lies beneath the root.
pub(crate) fn file(found: FileFound) -> String {
    match found {
        FileFound::File => "a file lies there: it is the answer, no endpoint is asked".to_owned(),
        FileFound::Folder => "a folder lies there: the visitor is sent to its slash".to_owned(),
        FileFound::Nothing => "nothing that may be shown lies there: an endpoint is asked".to_owned(),
        FileFound::NothingAtAll => "nothing that may be shown lies there: 404".to_owned(),
        FileFound::NotAsked => "files are not looked at for this request".to_owned(),
        FileFound::Refused(_) => "there are only files".to_owned(),
        FileFound::Failed(kind) => format!("the file system says: {kind}"),
    }
}

/// Whether it is sent again.
pub(crate) fn again(after: After) -> &'static str {
    match after {
        After::Nothing | After::Not(_) => "not sent again",
        After::Moved => "sent to another",
        After::Copied => "sent to another while the budget lasts",
    }
}

/// What a filter says.
pub(crate) fn filter(found: FilterFound) -> String {
    let why = match found {
        FilterFound::Not(condition) => return format!("not about it: {}", self::condition(condition)),
        FilterFound::Allow => "lets it through",
        FilterFound::Deny => "refuses it",
        FilterFound::Within => "counts it: how many came before, only the running edge knows",
        FilterFound::Above(_) => "has counted too many",
        FilterFound::Spared => "does not count it: many share that address",
        FilterFound::Solved => "the puzzle is solved",
        FilterFound::Unsolved => "the puzzle is not solved",
    };
    why.to_owned()
}

fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Method => "another method",
        Condition::Paths => "another path",
        Condition::Hosts => "another host",
        Condition::From => "from another network",
        Condition::NotFrom => "from a network that it leaves out",
        Condition::UserAgent => "another User-Agent",
        Condition::NotUserAgent => "a User-Agent that it leaves out",
        Condition::Header => "without the header",
    }
}
