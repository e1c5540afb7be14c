//! What changes by route make stale, for however many changes at once: while one look at all that is stored is under way,
//! the next is collected, for all who wait. So a route that everybody posts to costs one look after the other, and not one
//! for each post.

use crate::learn;
use crate::purge::{host_of, write_key};
use crate::thread::Shared;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tentpole_cache::Selector;
use tentpole_disk::Purge;
use tentpole_model::{PurgeOrder, PurgedBy};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Paths that are told of one purge, and characters of each.
const SAID_MAX: usize = 5;
const SAID_CHARS_MAX: usize = 80;

/// Changes that wait for a look at what is stored.
#[derive(Default)]
pub struct Changes {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_looking: bool,
    next: Batch,
}

/// What one look is about. Of each visitor who waits for it there is one entry at most, so connections bound it.
#[derive(Default)]
struct Batch {
    named: Named,
    waiting: Vec<oneshot::Sender<()>>,
}

/// Paths by host; those of one route at a time.
type Named = HashMap<Box<[u8]>, HashSet<Vec<String>>>;

/// Looks until nobody waits; however it ends, nobody is left waiting for it.
struct Looking(Arc<Shared>);

impl Changes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Empties the cache of these paths of a host; in force when it returns. The look begins after this was called.
pub async fn purge(shared: &Arc<Shared>, host: &[u8], paths: &[String]) {
    let (done, ended) = oneshot::channel();
    let starts = {
        let mut state = shared.changes.lock();
        let lists = state.next.named.entry(host.into()).or_default();
        if !lists.contains(paths) {
            lists.insert(paths.to_vec());
        }
        state.next.waiting.push(done);
        !std::mem::replace(&mut state.is_looking, true)
    };
    if starts {
        let looking = Looking(shared.clone());
        // Not on a data thread, for it takes a while.
        drop(tokio::task::spawn_blocking(move || looking.run()));
    }
    // It panics only if we do.
    let _ = ended.await;
}

impl Looking {
    fn run(self) {
        loop {
            let batch = {
                let mut state = self.0.changes.lock();
                if state.next.waiting.is_empty() {
                    state.is_looking = false;
                    return;
                }
                std::mem::take(&mut state.next)
            };
            let Batch { named, waiting } = batch;
            let orders = if self.0.company.is_there() { orders(&named) } else { Vec::new() };
            purge_named(&self.0, named);
            if !orders.is_empty() {
                // Who does not answer in time is told later: a change is not refused for that.
                let passing = self.0.company.pass(PurgedBy::Route, orders);
                let _ = Handle::current().block_on(passing);
            }
            // Whoever has left need not hear of it.
            waiting.into_iter().for_each(|done| _ = done.send(()));
        }
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut state = self.0.changes.lock();
            state.is_looking = false;
            state.next = Batch::default();
        }
    }
}

fn purge_named(shared: &Shared, named: Named) {
    if let Some(disk) = &shared.disk {
        // By prefix, which may be more than is named.
        let prefix = |(host, named): (&[u8], &String)| {
            let mut prefix = Vec::new();
            write_key(&mut prefix, host, named.strip_suffix('*').unwrap_or(named).as_bytes());
            prefix
        };
        let paths =
            named.iter().flat_map(|(host, lists)| lists.iter().flatten().map(move |path| (&**host, path)));
        let prefixes: Vec<Vec<u8>> = paths.map(prefix).collect();
        let whats: Vec<Purge<'_>> = prefixes.iter().map(|prefix| Purge::Prefix(prefix)).collect();
        drop(disk.purge(&whats, false));
    }
    let what = said(&named);
    let selector = Selector::Where(Arc::new(move |key| is_named(&named, key)));
    let purged = shared.cache.purge_selected(&selector, false);
    shared.purges.add(PurgedBy::Route, what, None, false, purged.objects);
    learn::tell_purged(&shared.observations, &selector);
}

/// The same as orders: what is named, under any query.
fn orders(named: &Named) -> Vec<PurgeOrder> {
    let mut orders = Vec::new();
    for (host, lists) in named {
        let Ok(host) = std::str::from_utf8(host) else { continue };
        for path in lists.iter().flatten() {
            orders.extend(super::told::whats(host, path).map(PurgeOrder::hard));
        }
    }
    orders
}

/// Whether a key is one of the paths of its host, with any query.
fn is_named(named: &Named, key: &[u8]) -> bool {
    let host = host_of(key);
    let (Some(lists), Some([0, target @ ..])) = (named.get(host), key.get(host.len()..)) else {
        return false;
    };
    let end = target.iter().position(|&byte| byte == b'?' || byte == 0).unwrap_or(target.len());
    lists.iter().flatten().any(|named| match named.strip_suffix('*') {
        Some(beginning) => target[..end].starts_with(beginning.as_bytes()),
        None => target[..end] == *named.as_bytes(),
    })
}

/// For people: `shop.example/list/* shop.example/front`, in order, and bounded.
fn said(named: &Named) -> String {
    let host_and_path = |(host, paths): (&[u8], &HashSet<Vec<String>>)| {
        let host = String::from_utf8_lossy(host).into_owned();
        paths.iter().flatten().map(|path| format!("{host}{path}")).collect::<Vec<_>>()
    };
    let mut said: Vec<_> =
        named.iter().map(|(host, paths)| (&**host, paths)).flat_map(host_and_path).collect();
    said.sort_unstable();
    said.dedup();
    let more = said.len().saturating_sub(SAID_MAX);
    said.truncate(SAID_MAX);
    for path in &mut said {
        if let Some((at, _)) = path.char_indices().nth(SAID_CHARS_MAX) {
            path.truncate(at);
            path.push('…');
        }
    }
    if more > 0 {
        said.push(format!("and {more} more"));
    }
    said.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_purged_is_told_in_few_words() {
        let paths = |all: &[&str]| all.iter().map(|&path| path.to_owned()).collect::<Vec<_>>();
        let mut named = Named::new();
        named.entry(b"a".as_slice().into()).or_default().insert(paths(&["/", "/blog/*"]));
        named.entry(b"b".as_slice().into()).or_default().extend([paths(&["/x"]), paths(&["/x", "/y"])]);
        assert_eq!(said(&named), "a/ a/blog/* b/x b/y");
        named.entry(b"c".as_slice().into()).or_default().insert(vec![format!("/{}", "é".repeat(500))]);
        named.entry(b"d".as_slice().into()).or_default().insert(paths(&["/1", "/2", "/3"]));
        let long = said(&named);
        assert!(long.ends_with("… and 3 more") && long.chars().count() < 120, "{long}");
    }

    #[test]
    fn a_look_is_about_the_paths_of_each_host() {
        let mut named = Named::new();
        let paths = |all: &[&str]| all.iter().map(|&path| path.to_owned()).collect::<Vec<_>>();
        named.entry(b"a".as_slice().into()).or_default().insert(paths(&["/", "/blog/*"]));
        named.entry(b"b".as_slice().into()).or_default().insert(paths(&["/x"]));
        for key in ["a\0/", "a\0/?q", "a\0/\0c\0https", "a\0/blog/1", "a\0/blog/1?q\0cgroup", "b\0/x"] {
            assert!(is_named(&named, key.as_bytes()), "{key:?}");
        }
        for key in ["a\0/x", "a\0/blog", "b\0/", "b\0/blog/1", "c\0/", "a", ""] {
            assert!(!is_named(&named, key.as_bytes()), "{key:?}");
        }
    }
}
