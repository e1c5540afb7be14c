//! What responses have said of the queries of their paths (`No-Vary-Search`): remembered for each path by its newest
//! response, so that the key of the next request leaves out what does not matter. Decides nothing: what a field says,
//! `decide/key` knows.
//!
//! Each rule has a number that becomes part of the keys made by it, and that no other rule ever has. So what was
//! stored by a rule that has been replaced or forgotten is never found again, and cannot outlive a purge unseen.

use foldhash::quality::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tentpole_key::SearchVariance;
use tentpole_model::Bypass;

/// Paths that are remembered; those that nobody asks for give way.
const PATHS_MAX: usize = 16_384;
/// Parts under a lock of their own.
const SHARDS: usize = 32;
/// Stands before the number of a rule in a key; no path and no query holds a NUL.
const MARK: &[u8] = b"\0n";
/// Bytes of the number, in hexadecimal.
const NUMBER: usize = 16;

/// The rules of all paths.
#[derive(Debug)]
pub struct Searches {
    shards: Box<[Mutex<Shard>]>,
    seed: RandomState,
    /// Paths that have one: where no application speaks of it, nobody takes a lock.
    known: AtomicUsize,
    numbers: Numbers,
}

#[derive(Debug, Default)]
struct Shard {
    rules: HashMap<Arc<[u8]>, Rule>,
    /// In the order in which they were learned; those used since then get a second turn.
    turns: VecDeque<Arc<[u8]>>,
}

#[derive(Debug)]
struct Rule {
    variance: SearchVariance,
    number: [u8; NUMBER],
    used: bool,
}

/// Numbers that never come twice, not in another process either.
#[derive(Debug)]
struct Numbers {
    seed: RandomState,
    given: AtomicUsize,
}

impl Searches {
    /// Knows none.
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            seed: RandomState::default(),
            known: AtomicUsize::new(0),
            numbers: Numbers { seed: RandomState::default(), given: AtomicUsize::new(0) },
        }
    }

    /// Appends a query to a key that ends with its path: what matters of it and by which rule, or all of it.
    pub fn write_query(&self, query: &[u8], key: &mut Vec<u8>) {
        if self.known.load(Ordering::Relaxed) > 0 {
            let mut shard = self.shard(key);
            if let Some(rule) = shard.rules.get_mut(key.as_slice()) {
                rule.used = true;
                rule.variance.write(query, key);
                key.extend_from_slice(MARK);
                key.extend_from_slice(&rule.number);
                return;
            }
        }
        key.extend_from_slice(query);
    }

    /// Learns from a response that may be stored under this key.
    ///
    /// # Errors
    /// When the key leaves out what matters by this response: then it is not for others.
    pub fn learn(&self, key: &[u8], status: u16, said: Option<SearchVariance>) -> Result<(), Bypass> {
        if said.is_none() && self.known.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let path = path_of(key);
        let mut shard = self.shard(path);
        let holds = shard.rules.get(path).is_some_and(|rule| said.as_ref() == Some(&rule.variance));
        let made_by = number_of(key);
        let right = made_by
            .is_none_or(|number| holds && shard.rules.get(path).is_some_and(|rule| rule.number == *number));
        // An error says nothing of the pages beside it.
        if !holds && (200..300).contains(&status) {
            self.replace(&mut shard, path, said);
        }
        if right { Ok(()) } else { Err(Bypass::QueryMatters) }
    }

    fn replace(&self, shard: &mut Shard, path: &[u8], said: Option<SearchVariance>) {
        let Some(variance) = said else {
            if shard.rules.remove(path).is_some() {
                shard.turns.retain(|other| **other != *path);
                self.known.fetch_sub(1, Ordering::Relaxed);
            }
            return;
        };
        let rule = Rule { variance, number: self.numbers.next(), used: false };
        if let Some(old) = shard.rules.get_mut(path) {
            *old = rule;
            return;
        }
        if shard.rules.len() >= PATHS_MAX / SHARDS {
            self.forget_one(shard);
        }
        let path: Arc<[u8]> = path.into();
        shard.turns.push_back(path.clone());
        shard.rules.insert(path, rule);
        self.known.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the first in turn that was not used since its last turn.
    fn forget_one(&self, shard: &mut Shard) {
        while let Some(path) = shard.turns.pop_front() {
            match shard.rules.get_mut(&path) {
                Some(rule) if rule.used => {
                    rule.used = false;
                    shard.turns.push_back(path);
                }
                _ => {
                    shard.rules.remove(&path);
                    self.known.fetch_sub(1, Ordering::Relaxed);
                    return;
                }
            }
        }
    }

    fn shard(&self, path: &[u8]) -> MutexGuard<'_, Shard> {
        let index = self.seed.hash_one(path) as usize % SHARDS;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Searches {
    fn default() -> Self {
        Self::new()
    }
}

impl Numbers {
    fn next(&self) -> [u8; NUMBER] {
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        let mut rest = self.seed.hash_one(given);
        std::array::from_fn(|_| {
            rest = rest.rotate_left(4);
            b"0123456789abcdef"[(rest & 15) as usize]
        })
    }
}

/// Host and path of a key.
fn path_of(key: &[u8]) -> &[u8] {
    let path_at = key.iter().position(|&byte| byte == 0).map_or(key.len(), |host| host + 1);
    let length = key[path_at..].iter().position(|byte| matches!(byte, b'?' | 0));
    &key[..length.map_or(key.len(), |length| path_at + length)]
}

/// The number of the rule that a key was made by.
fn number_of(key: &[u8]) -> Option<&[u8]> {
    let at = key.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    key.get(at..at + NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(field: &str) -> Option<SearchVariance> {
        SearchVariance::parse([field.as_bytes()].into_iter())
    }

    fn key(searches: &Searches, path: &str, query: &str) -> Vec<u8> {
        let mut key = format!("shop.example\0{path}").into_bytes();
        searches.write_query(query.as_bytes(), &mut key);
        key
    }

    #[test]
    fn a_path_without_a_rule_keeps_its_query() {
        let searches = Searches::new();
        assert_eq!(key(&searches, "/p", "?a=1"), b"shop.example\0/p?a=1");
        assert_eq!(searches.learn(b"shop.example\0/p?a=1", 200, None), Ok(()));
    }

    #[test]
    fn what_does_not_matter_is_left_out_of_later_keys_of_the_path_alone() {
        let searches = Searches::new();
        let first = key(&searches, "/p", "?utm=1&a=1");
        assert_eq!(searches.learn(&first, 200, said("params=(\"utm\")")), Ok(()));
        assert_eq!(key(&searches, "/p", "?utm=2&a=1"), key(&searches, "/p", "?a=1"));
        assert_ne!(key(&searches, "/p", "?a=2"), key(&searches, "/p", "?a=1"));
        assert_eq!(key(&searches, "/p2", "?utm=2"), b"shop.example\0/p2?utm=2");
        assert_eq!(searches.learn(&key(&searches, "/p", ""), 200, said("params=(\"utm\")")), Ok(()));
    }

    #[test]
    fn the_newest_response_says_what_holds_and_what_was_stored_before_is_never_found_again() {
        let searches = Searches::new();
        searches.learn(b"shop.example\0/p", 200, said("params")).unwrap();
        let old = key(&searches, "/p", "?a");
        // Another rule, and back to the first.
        assert_eq!(searches.learn(&old, 200, said("key-order")), Err(Bypass::QueryMatters));
        assert_eq!(
            searches.learn(&key(&searches, "/p", "?b"), 200, said("params")),
            Err(Bypass::QueryMatters)
        );
        assert_ne!(key(&searches, "/p", "?a"), old);
        // No rule any more, and again.
        assert_eq!(searches.learn(&key(&searches, "/p", "?c"), 200, None), Err(Bypass::QueryMatters));
        assert_eq!(key(&searches, "/p", "?a"), b"shop.example\0/p?a");
        searches.learn(b"shop.example\0/p", 200, said("params")).unwrap();
        assert_ne!(key(&searches, "/p", "?a"), old);
    }

    #[test]
    fn an_error_is_not_for_others_and_changes_no_rule() {
        let searches = Searches::new();
        searches.learn(b"shop.example\0/p", 200, said("params")).unwrap();
        let reduced = key(&searches, "/p", "?a");
        assert_eq!(searches.learn(&reduced, 404, None), Err(Bypass::QueryMatters));
        assert_eq!(key(&searches, "/p", "?a"), reduced);
    }

    #[test]
    fn a_key_with_a_group_behind_it_is_of_the_same_path() {
        let searches = Searches::new();
        searches.learn(b"shop.example\0/p\0cgroup=1?", 200, said("params")).unwrap();
        let mut grouped = key(&searches, "/p", "?a");
        grouped.extend_from_slice(b"\0cgroup=1");
        assert_eq!(searches.learn(&grouped, 200, said("params")), Ok(()));
    }

    #[test]
    fn paths_are_bounded_and_those_in_use_stay() {
        let searches = Searches::new();
        searches.learn(b"shop.example\0/hot", 200, said("params")).unwrap();
        for number in 0..4 * PATHS_MAX {
            key(&searches, "/hot", "?a");
            searches.learn(format!("shop.example\0/{number}").as_bytes(), 200, said("params")).unwrap();
        }
        let held: usize = searches.shards.iter().map(|shard| shard.lock().unwrap().rules.len()).sum();
        assert_eq!(searches.known.load(Ordering::Relaxed), held);
        assert!(held <= PATHS_MAX, "{held}");
        assert!(number_of(&key(&searches, "/hot", "?a")).is_some());
        let turns: usize = searches.shards.iter().map(|shard| shard.lock().unwrap().turns.len()).sum();
        assert_eq!(turns, held);
    }
}
