//! What is asked of the evidence, and what is kept: each number with its reason.

/// Bounds of the learner. Times in milliseconds where the name says nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Equal answers to whole requests before a page gets a rule. Of two answers that are drawn by lot for each visitor,
    /// six in a row are equal once in 32 times; the probes find that one soon after.
    pub samples_min: usize,
    /// Addresses that these came from: a page by address is to be seen before it is shared.
    pub visitors_min: usize,
    /// Time that these span, so that one burst (all in the same second of a clock on the page) proves nothing.
    pub span_ms: u64,
    /// Pages of one shape with rules of their own, before another page of it needs less.
    pub shape_pages_min: usize,
    /// Answers older than this are no evidence, and contradict nothing: content may come back (sold out, in stock).
    pub answer_age_ms: u64,
    /// Answers of a page in a row that are all different before it counts as one that differs on each fetch.
    pub restless: usize,
    /// Seconds that the first stored answer of a rule lives: how long a page that changes is wrong at most.
    pub lifetime_first_s: u16,
    /// Seconds that an answer lives once many fetches in a row agreed.
    pub lifetime_max_s: u16,
    /// How long a page whose rule was contradicted gets no new one; doubles each time.
    pub bar_first_ms: u64,
    /// The same at most.
    pub bar_max_ms: u64,
    /// Pages remembered. About 2 KiB each: 32 MiB.
    pub pages_max: usize,
    /// Shapes remembered, and as many rows of advice at most.
    pub shapes_max: usize,
    /// Samples before a cookie or a parameter is proposed.
    pub proposal_samples_min: u32,
    /// Visitors before a cookie or a parameter is proposed.
    pub proposal_visitors_min: usize,
    /// Pages before a cookie or a parameter is proposed.
    pub proposal_pages_min: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            samples_min: 6,
            visitors_min: 3,
            span_ms: 10_000,
            shape_pages_min: 5,
            answer_age_ms: 600_000,
            restless: 4,
            lifetime_first_s: 5,
            lifetime_max_s: 60,
            bar_first_ms: 600_000,
            bar_max_ms: 86_400_000,
            pages_max: 16_384,
            shapes_max: 512,
            proposal_samples_min: 20,
            proposal_visitors_min: 5,
            proposal_pages_min: 3,
        }
    }
}
