//! How the cache is doing, as the edge tells it: what it holds in memory and on disk, what was compressed and learned,
//! and what was purged lately. Totals only grow while the edge runs.

use crate::PurgeWhat;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Characters of a purge's description that are kept.
const WHAT_CHARS_MAX: usize = 160;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheFigures {
    /// In memory.
    pub memory: MemoryFigures,
    /// On disk; `None` where no disk is configured.
    pub disk: Option<DiskFigures>,
    /// Compressed forms.
    pub compression: CompressionFigures,
    /// Learned caching.
    pub learning: LearningFigures,
    /// What filters refused.
    pub screen: crate::ScreenFigures,
    /// Purges carried out, by who wanted them, parallel to [`PurgedBy::ALL`].
    pub purges: [u64; PurgedBy::ALL.len()],
    /// The last ones, newest first; a few.
    pub purges_recent: Vec<PurgeRecord>,
}

/// How full the cache in memory is and what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFigures {
    /// Objects stored.
    pub objects: u64,
    /// Bytes that they cost, overhead included.
    pub bytes: u64,
    /// Bytes that they may cost.
    pub bytes_max: u64,
    /// Of `bytes`: compressed forms.
    pub compressed_bytes: u64,
    /// Links in the index of tags: one for each tag of each object.
    pub tags: u64,
    /// Objects that soft purges made stale.
    pub softly_purged: u64,
    /// Objects that gave way to others.
    pub evictions: u64,
    /// Fills under way.
    pub fills: u64,
    /// Fills begun.
    pub fills_started: u64,
    /// Requests that joined the fill of another.
    pub joined: u64,
}

/// How full the cache on disk is and what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFigures {
    /// Whether its directory is in use.
    pub on: bool,
    /// Objects that can be found.
    pub objects: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes that they may have.
    pub bytes_max: u64,
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that found nothing.
    pub misses: u64,
    /// Look-ups given up: too many at once, or too slow.
    pub overloaded: u64,
    /// Objects written.
    pub writes: u64,
    /// Objects that were to be written and were not.
    pub writes_dropped: u64,
    /// Objects that gave way to others.
    pub evictions: u64,
    /// Purges that are remembered.
    pub purges: u64,
    /// Reads and writes that the system refused.
    pub errors: u64,
    /// Records whose bytes were not those that were written.
    pub damaged: u64,
}

/// What the threads that compress did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompressionFigures {
    /// Jobs that wait.
    pub waiting: u64,
    /// Bytes of their content.
    pub waiting_bytes: u64,
    /// Forms made.
    pub made: u64,
    /// Content that did not become smaller.
    pub not_smaller: u64,
    /// Times that a form was wanted and there was no room to make it.
    pub dropped: u64,
    /// Bytes that went into the forms made.
    pub bytes_in: u64,
    /// Bytes that came out.
    pub bytes_out: u64,
}

/// What was learned and lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearningFigures {
    /// Requests that got what was learned to be shared.
    pub served: u64,
    /// URLs that are shared by a rule now.
    pub rules: u64,
    /// Answers looked at.
    pub observed: u64,
    /// Answers that were to be looked at, and were not: the learner did not keep up.
    pub dropped: u64,
    /// Rules withdrawn, by reason; reasons that never occurred are left out.
    pub withdrawn: BTreeMap<String, u64>,
}

/// Who wanted a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgedBy {
    /// A person or program, by `tentpole cache purge` or the admin API.
    Admin,
    /// An application, by a request to the visitors' port.
    Request,
    /// What was learned turned out not to hold.
    Learning,
    /// A change by a visitor, on a route whose `purges` say what it makes stale. Changes that come while one purge is
    /// under way share the next.
    Route,
}

/// A purge that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeRecord {
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Who wanted it.
    pub by: PurgedBy,
    /// What: a URL, `tag news`, `everything of shop`.
    pub what: String,
    /// Why, where that is more than that somebody wanted it.
    pub why: Option<String>,
    /// It was made stale, not removed.
    pub soft: bool,
    /// Stored responses in memory that it named.
    pub objects: u64,
}

impl PurgedBy {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Request, Self::Learning, Self::Route];

    /// The word in metrics and API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Request => "request",
            Self::Learning => "learning",
            Self::Route => "route",
        }
    }
}

impl PurgeWhat {
    /// In words, for people: bounded, and without the values of a query, which may be secrets.
    pub fn said(&self) -> String {
        let said = match self {
            Self::Url(url) => said_url(url),
            Self::Prefix(prefix) => format!("{}*", said_url(prefix)),
            Self::Tags { site, tags } => {
                let of = site.as_ref().map(|site| format!(" of {site}")).unwrap_or_default();
                match &tags[..] {
                    [tag] => format!("tag {tag}{of}"),
                    tags => format!("{} tags{of}", tags.len()),
                }
            }
            Self::Site(site) => format!("everything of {site}"),
            Self::All => "everything".to_owned(),
        };
        match said.char_indices().nth(WHAT_CHARS_MAX) {
            Some((at, _)) => format!("{}…", &said[..at]),
            None => said,
        }
    }
}

fn said_url(url: &str) -> String {
    match url.split_once('?') {
        Some((before, "")) => format!("{before}?"),
        Some((before, _)) => format!("{before}?…"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_is_told_in_few_words_and_without_secrets() {
        let url = |url: &str| PurgeWhat::Url(url.to_owned()).said();
        assert_eq!(url("http://shop.example/a"), "http://shop.example/a");
        assert_eq!(url("http://shop.example/a?token=s3cret"), "http://shop.example/a?…");
        assert_eq!(PurgeWhat::Prefix("http://shop.example/a".into()).said(), "http://shop.example/a*");
        let tags = |tags: &[&str]| PurgeWhat::Tags {
            site: Some("shop".into()),
            tags: tags.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(tags(&["news"]).said(), "tag news of shop");
        assert_eq!(tags(&["a", "b"]).said(), "2 tags of shop");
        assert_eq!(PurgeWhat::Site("shop".into()).said(), "everything of shop");
        let long = url(&format!("http://shop.example/{}", "é".repeat(1_000)));
        assert_eq!(long.chars().count(), WHAT_CHARS_MAX + 1);
    }

    #[test]
    fn every_party_has_the_place_of_its_declaration() {
        assert!(PurgedBy::ALL.iter().enumerate().all(|(at, &by)| by as usize == at));
    }
}
