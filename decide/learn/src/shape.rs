//! Pages that are made by the same part of an application have paths of the same shape: evidence for some of them is
//! evidence for the next.

use crate::limits::Limits;
use crate::observation::Dims;
use crate::page::Withdrawn;
use std::collections::HashSet;

/// Visitors that are counted for people; more are "at least so many".
const VISITORS_COUNTED: usize = 10_000;
/// Pages with a rule of their own that are remembered.
const PROVED_MAX: usize = 64;
/// Pages on which a field has to be seen not to matter before it does not matter to their siblings.
const IRRELEVANT_PAGES: u8 = 3;

/// What is known of all pages of one shape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    /// Pages of different shapes that found no room of their own: they prove nothing for one another.
    mixed: bool,
    /// Pages that have a rule because of their own evidence.
    proved: HashSet<u64>,
    pub barred_until_ms: u64,
    pub strikes: u32,
    /// On how many pages each field was seen not to matter.
    irrelevant: [u8; 3],
    /// Whether rules are applied there.
    pub apply: bool,
    /// Anonymous answers compared.
    pub samples: u64,
    visitors: HashSet<u64>,
    pub first_ms: u64,
    pub last_ms: u64,
    /// Microseconds that endpoints worked for these pages, estimated.
    pub took_us: u64,
    /// Of these, for requests that a rule would answer: anonymous ones, for pages with evidence.
    pub shareable_us: u64,
    /// Microseconds that were saved by answers from the cache, estimated.
    pub saved_us: u64,
    /// Why the last rule was withdrawn, and when.
    pub withdrawn: Option<(Withdrawn, u64)>,
}

impl Shape {
    pub fn new(now_ms: u64, mixed: bool) -> Self {
        Self { first_ms: now_ms, mixed, ..Self::default() }
    }

    /// Whether enough pages of it have proved themselves that another one needs less.
    pub fn is_proven(&self, now_ms: u64, limits: &Limits) -> bool {
        now_ms >= self.barred_until_ms && self.proved.len() >= limits.shape_pages_min
    }

    /// Whether a page of it contradicted not long ago.
    pub fn is_barred(&self, now_ms: u64) -> bool {
        now_ms < self.barred_until_ms
    }

    /// Whether another may take its place: it has proved nothing for so long, and no bar would be forgotten with it.
    pub fn may_go(&self, now_ms: u64, proved_ms: u64) -> bool {
        let is_proof_old = self.proved.is_empty() || self.last_ms.saturating_add(proved_ms) <= now_ms;
        is_proof_old && !self.is_barred(now_ms) && !self.mixed
    }

    /// A page got a rule from evidence of its own.
    pub fn prove(&mut self, url: u64) {
        if self.proved.len() < PROVED_MAX && !self.mixed {
            self.proved.insert(url);
        }
    }

    /// A field was seen not to matter on one more page.
    pub fn note_irrelevant(&mut self, dims: Dims) {
        for (count, _) in self.irrelevant.iter_mut().zip(Dims::EACH).filter(|(_, dim)| dims.has(*dim)) {
            *count = count.saturating_add(1);
        }
    }

    /// Fields turned out to matter on one.
    pub fn matters(&mut self, dims: Dims) {
        for (count, _) in self.irrelevant.iter_mut().zip(Dims::EACH).filter(|(_, dim)| dims.has(*dim)) {
            *count = 0;
        }
    }

    /// Fields that matter on none of its pages, as far as was seen on several.
    pub fn irrelevant(&self) -> Dims {
        let each = self.irrelevant.iter().zip(Dims::EACH);
        let often = each.filter(|(count, _)| **count >= IRRELEVANT_PAGES && !self.mixed).map(|(_, dim)| dim);
        often.fold(Dims::NONE, Dims::with)
    }

    /// A page contradicted: what its siblings have proved counts for themselves alone.
    pub fn contradicted(&mut self, now_ms: u64, limits: &Limits) {
        self.proved.clear();
        self.irrelevant = [0; 3];
        self.barred_until_ms = now_ms + crate::page::bar_ms(self.strikes, limits);
        self.strikes += 1;
    }

    pub fn seen_by(&mut self, visitor: u64) {
        if self.visitors.len() < VISITORS_COUNTED {
            self.visitors.insert(visitor);
        }
    }

    pub fn visitors(&self) -> usize {
        self.visitors.len()
    }
}

/// The shape of a path with its query: `/product/*/*`, `/*`, `/*?q`. The first of several segments stays, for it
/// usually names the part of the application; the last does not, for it names the page. Of a query, the names.
pub fn shape_of(path_and_query: &str) -> String {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let inner = path.strip_prefix('/').unwrap_or(path);
    let closed = inner.strip_suffix('/');
    let segments: Vec<&str> = closed.unwrap_or(inner).split('/').collect();
    let mut shape = String::new();
    for (at, segment) in segments.iter().enumerate() {
        shape.push('/');
        let names_a_part = at == 0 && segments.len() > 1 || segment.is_empty();
        shape.push_str(if names_a_part { segment } else { "*" });
    }
    // What a file is called says what it is.
    if let Some((_, kind)) = segments.last().and_then(|last| last.rsplit_once('.'))
        && closed.is_none()
        && (1..=5).contains(&kind.len())
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        shape.push('.');
        shape.push_str(kind);
    }
    if closed.is_some() && !inner.is_empty() {
        shape.push('/');
    }
    let names =
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap_or(""));
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        shape.push('?');
        shape.push_str(&names.join("&"));
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_one_part_have_one_shape() {
        for (path, shape) in [
            ("/", "/"),
            ("/hello-world", "/*"),
            ("/hello-world/", "/*/"),
            ("/product/red-shoe", "/product/*"),
            ("/2024/05/hello/", "/2024/*/*/"),
            ("/search?q=shoe&page=2", "/*?page&q"),
            ("/img/a/b.jpg", "/img/*/*.jpg"),
            ("/?p=1", "/?p"),
        ] {
            assert_eq!(shape_of(path), shape, "{path}");
        }
    }

    #[test]
    fn a_contradiction_bars_the_short_cut_for_longer_each_time() {
        let limits = Limits::default();
        let mut shape = Shape::default();
        (0..5).for_each(|url| shape.prove(url));
        assert!(shape.is_proven(0, &limits));
        shape.contradicted(1_000, &limits);
        (0..5).for_each(|url| shape.prove(url));
        assert!(!shape.is_proven(600_999, &limits) && shape.is_proven(601_000, &limits));
        shape.contradicted(601_000, &limits);
        assert!(shape.is_barred(601_000 + 1_199_999) && !shape.is_barred(601_000 + 1_200_000));
    }
}
