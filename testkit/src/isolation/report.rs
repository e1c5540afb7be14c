//! What a run has found.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// Details that are kept of each kind of finding.
const DETAILS_MAX: usize = 10;

/// Somebody got what is somebody else's.
#[derive(Clone, Debug, Serialize)]
pub struct Leak {
    /// Who asked.
    pub asked_by: String,
    /// What was asked: method and target.
    pub asked: String,
    /// The foreign marker.
    pub marker: String,
    /// The status of the answer.
    pub status: u16,
    /// The fields of the answer.
    pub headers: Vec<(String, String)>,
}

/// The result of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Requests sent, those left early included.
    pub requests: u64,
    /// Answers read whole.
    pub answers: u64,
    /// Answers with a marker of somebody else. Must be 0.
    pub foreign: u64,
    /// The first few of them.
    pub leaks: Vec<Leak>,
    /// Answers with a token that may be used once and was seen in another answer. Must be 0.
    pub repeated_tokens: u64,
    /// Answers made for somebody else (`X-For`), for another target, language or encoding. Must be 0.
    pub wrong: u64,
    /// Answers with the asking person's own marker. Must not be 0: otherwise the run could see nothing.
    pub own_markers: u64,
    /// Answers from the cache (`Cache-Status`).
    pub hits: u64,
    /// Those of them that say nothing about caching: it was learned that they may be shared.
    pub learned: u64,
    /// Those of these that went to somebody who is logged in.
    pub members_learned: u64,
    /// Answers to visitors who are not logged in, and those of them from the cache.
    pub anonymous: u64,
    /// See above.
    pub anonymous_hits: u64,
    /// Answers of a real application, or of what is in front of it, that it is too busy: 503 with `Retry-After`. They are
    /// searched like all others, and prove nothing.
    pub refused: u64,
    /// Visitors who left before their answer.
    pub left_early: u64,
    /// Kept connections that the other side had closed meanwhile; the request was sent again.
    pub reconnects: u64,
    /// Purges that were confirmed.
    pub purges: u64,
    /// Requests without a proper answer, answers of 500 and above, purges that failed. Must be 0.
    pub errors: u64,
    /// How many answers had which status.
    pub statuses: BTreeMap<u16, u64>,
    /// The first few errors, wrong answers and repeated tokens, in words.
    pub details: Vec<String>,
}

impl Report {
    /// Was nothing found, by a run that could have found something?
    pub fn is_clean(&self) -> bool {
        self.faults() == 0 && self.own_markers > 0 && self.is_answered()
    }

    /// Did three in four requests get a real answer? Who left early got none, and who was refused none either.
    pub fn is_answered(&self) -> bool {
        (self.answers - self.refused) * 4 >= self.requests * 3
    }

    /// Everything that must be 0, together.
    pub fn faults(&self) -> u64 {
        self.foreign + self.repeated_tokens + self.wrong + self.errors
    }

    pub(super) fn add_leak(&mut self, leak: Leak) {
        self.foreign += 1;
        if self.leaks.len() < DETAILS_MAX {
            self.leaks.push(leak);
        }
    }

    pub(super) fn add_detail(&mut self, detail: String) {
        if self.details.len() < DETAILS_MAX {
            self.details.push(detail);
        }
    }

    pub(super) fn add_error(&mut self, detail: String) {
        self.errors += 1;
        self.add_detail(detail);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} requests, {} answers, {} left early",
            self.requests, self.answers, self.left_early
        )?;
        writeln!(out, "foreign markers  {}", self.foreign)?;
        writeln!(out, "repeated tokens  {}", self.repeated_tokens)?;
        writeln!(out, "wrong answers    {}", self.wrong)?;
        writeln!(out, "errors           {}", self.errors)?;
        writeln!(out, "own markers      {}", self.own_markers)?;
        writeln!(out, "refused          {}", self.refused)?;
        writeln!(out, "cache hits       {}", self.hits)?;
        writeln!(out, "  anonymous      {} of {}", self.anonymous_hits, self.anonymous)?;
        writeln!(out, "  learned        {}, {} of them for members", self.learned, self.members_learned)?;
        writeln!(out, "purges           {}", self.purges)?;
        writeln!(out, "reconnects       {}", self.reconnects)?;
        writeln!(out, "statuses         {:?}", self.statuses)?;
        for leak in &self.leaks {
            writeln!(out, "leak: {} asked {} and got {}", leak.asked_by, leak.asked, leak.marker)?;
            writeln!(out, "      {} {:?}", leak.status, leak.headers)?;
        }
        for detail in &self.details {
            writeln!(out, "{detail}")?;
        }
        if self.own_markers == 0 {
            writeln!(out, "no own marker was seen: this run could not have seen a foreign one")?;
        }
        if !self.is_answered() {
            writeln!(out, "fewer than three in four requests were answered: this run says too little")?;
        }
        if self.hits == 0 {
            writeln!(out, "no cache hit was seen: this run says nothing about a cache")?;
        }
        Ok(())
    }
}
