//! What was found of all endpoints, by name, and as the text in which it is kept. Bounded; what cannot be is left out and said.
//! Decides nothing about a limit.

use serde_json::{Value, json};
use std::collections::HashMap;
use tentpole_limit::{Found, LIMIT_MAX};

/// Endpoints that are remembered, those that are gone included; of more the newest.
const ENDPOINTS_MAX: usize = 2_000;
/// A pool's or an endpoint's name, at most.
const NAME_BYTES_MAX: usize = 300;
/// Faults of a kept text that are told one by one.
const FAULTS_MAX: usize = 5;

/// What was found, by pool and endpoint.
#[derive(Debug, Default)]
pub(super) struct Findings {
    by_pool: HashMap<String, HashMap<String, Found>>,
    /// Counts what changed of what was found; not when.
    changes: u64,
}

impl Findings {
    /// How often another limit was found.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// What was found of one endpoint.
    pub(super) fn of(&self, pool: &str, endpoint: &str) -> Option<Found> {
        self.by_pool.get(pool)?.get(endpoint).copied()
    }

    /// What was found of all endpoints of a pool, in no order.
    pub(super) fn of_pool(&self, pool: &str) -> impl Iterator<Item = Found> {
        self.by_pool.get(pool).into_iter().flat_map(HashMap::values).copied()
    }

    /// This was found.
    pub(super) fn set(&mut self, pool: &str, endpoint: &str, found: Found) {
        let of_pool = self.by_pool.entry(pool.to_owned()).or_default();
        let before = of_pool.insert(endpoint.to_owned(), found);
        if before.is_none_or(|before| before.limit != found.limit) {
            self.changes += 1;
        }
        if before.is_none() {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if self.by_pool.values().map(HashMap::len).sum::<usize>() <= ENDPOINTS_MAX {
            return;
        }
        let all = self.by_pool.iter().flat_map(|(pool, of)| of.iter().map(move |one| (pool, one)));
        let oldest = all.min_by_key(|(_, (_, found))| found.at_unix_s);
        let Some((pool, endpoint)) = oldest.map(|(pool, (endpoint, _))| (pool.clone(), endpoint.clone()))
        else {
            return;
        };
        if let Some(of_pool) = self.by_pool.get_mut(&pool) {
            of_pool.remove(&endpoint);
        }
        self.by_pool.retain(|_, of_pool| !of_pool.is_empty());
    }

    /// As text; always in the same order.
    pub(super) fn to_text(&self) -> String {
        let all = self.by_pool.iter().flat_map(|(pool, of)| of.iter().map(move |one| (pool, one)));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|(pool, (endpoint, _))| (*pool, *endpoint));
        let found = all.into_iter().map(|(pool, (endpoint, found))| {
            json!({
                "pool": pool,
                "endpoint": endpoint,
                "limit": found.limit,
                "found_unix_s": found.at_unix_s,
                "start": found.start,
            })
        });
        json!({ "found": found.collect::<Vec<_>>() }).to_string()
    }

    /// Reads such a text, and what of it cannot be; `None` when it is no such text at all.
    pub(super) fn from_text(text: &[u8]) -> Option<(Self, Vec<String>)> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let entries = value["found"].as_array()?;
        let (mut findings, mut faults) = (Self::default(), Vec::new());
        let further = entries.len().saturating_sub(ENDPOINTS_MAX);
        if further > 0 {
            faults.push(format!("{further} endpoints more than the {ENDPOINTS_MAX} that are remembered"));
        }
        for entry in entries.iter().take(ENDPOINTS_MAX) {
            match read(entry) {
                Ok((pool, endpoint, found)) => findings.set(pool, endpoint, found),
                Err(fault) => faults.push(fault),
            }
        }
        let untold = faults.len().saturating_sub(FAULTS_MAX);
        faults.truncate(FAULTS_MAX);
        if untold > 0 {
            faults.push(format!("and {untold} more"));
        }
        Some((findings, faults))
    }
}

/// One endpoint's: pool, endpoint, what was found.
fn read(entry: &Value) -> Result<(&str, &str, Found), String> {
    let name =
        |key: &str| entry[key].as_str().filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX);
    let (Some(pool), Some(endpoint)) = (name("pool"), name("endpoint")) else {
        return Err("an entry without the name of its pool or endpoint".to_owned());
    };
    let number =
        |key: &str| entry[key].as_u64().ok_or_else(|| format!("no `{key}` for {endpoint} in {pool}"));
    let limit = number("limit")?;
    let limit =
        u32::try_from(limit).ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
            format!("{limit} requests at once for {endpoint} in {pool}, which must be 1 to {LIMIT_MAX}")
        })?;
    let start = entry["start"].as_u64().and_then(|start| u32::try_from(start).ok());
    Ok((pool, endpoint, Found { limit, at_unix_s: number("found_unix_s")?, start }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(limit: u32, at_unix_s: u64) -> Found {
        Found { limit, at_unix_s, start: None }
    }

    #[test]
    fn it_comes_back_from_its_text_as_it_was() {
        let mut findings = Findings::default();
        findings.set("shop", "10.0.0.1:80", found(12, 60));
        findings.set("shop", "shop-2", Found { start: Some(8), ..found(9, 120) });
        findings.set("api", "10.0.0.1:80", found(70, 60));
        let (read, faults) = Findings::from_text(findings.to_text().as_bytes()).unwrap();
        assert_eq!((read.to_text(), faults), (findings.to_text(), vec![]));
        assert_eq!(read.of("shop", "shop-2"), Some(Found { start: Some(8), ..found(9, 120) }));
        assert_eq!((read.of("shop", "gone"), read.of("gone", "gone")), (None, None));
        assert_eq!((read.of_pool("shop").count(), read.of_pool("gone").count()), (2, 0));
    }

    #[test]
    fn what_cannot_be_is_left_out_and_told_and_the_rest_is_taken() {
        let text = r#"{"found":[
            {"pool":"shop","endpoint":"a:1","limit":10000000,"found_unix_s":1},
            {"pool":"shop","endpoint":"b:1","limit":0,"found_unix_s":1},
            {"pool":"shop","endpoint":"c:1","limit":-3,"found_unix_s":1},
            {"pool":"shop","endpoint":"d:1","limit":9,"found_unix_s":1,"start":"x"},
            {"pool":"shop","endpoint":"e:1","limit":9}, {"limit":9}, 7, [[]],
            {"pool":"","endpoint":"f:1","limit":9,"found_unix_s":1}]}"#;
        let (findings, faults) = Findings::from_text(text.as_bytes()).unwrap();
        assert_eq!((findings.of_pool("shop").count(), findings.of("shop", "d:1")), (1, Some(found(9, 1))));
        assert_eq!(faults[0], "10000000 requests at once for a:1 in shop, which must be 1 to 1000000");
        assert_eq!(faults.len(), FAULTS_MAX + 1);
        assert_eq!(faults[FAULTS_MAX], "and 3 more");
        for text in ["", "{", "[]", "{\"found\":3}", "null", "\u{0}\u{1}"] {
            assert!(Findings::from_text(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn it_does_not_grow_without_end_and_the_newest_stay() {
        let mut findings = Findings::default();
        for number in 0..ENDPOINTS_MAX as u64 + 10 {
            findings.set(&format!("pool-{}", number % 3), &format!("{number}:80"), found(9, number));
        }
        let all: usize = (0..3).map(|pool| findings.of_pool(&format!("pool-{pool}")).count()).sum();
        assert_eq!(
            (all, findings.of("pool-0", "9:80"), findings.of("pool-1", "10:80")),
            (ENDPOINTS_MAX, None, Some(found(9, 10)))
        );
        assert!(findings.to_text().len() < super::super::kept::BYTES_MAX as usize / 2);
    }

    #[test]
    fn the_same_found_again_is_no_change() {
        let mut findings = Findings::default();
        findings.set("shop", "a:1", found(9, 60));
        findings.set("shop", "a:1", found(9, 120));
        assert_eq!(findings.changes(), 1);
        findings.set("shop", "a:1", found(10, 120));
        assert_eq!(findings.changes(), 2);
    }
}
