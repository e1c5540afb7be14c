//! What a cache key is made of, and which keys answer one URL. A key is the host, a NUL, and the path and query that an
//! endpoint is asked for when the answer may be stored. Behind it may stand the number of the rule by which a response
//! said what of the query matters (`search.rs`), that it was asked for by https, and the visitor's group (keyed cookies),
//! each behind a NUL of its own.

use crate::purge::write_key;
use crate::search::Searches;
use tentpole_cache::{Selector, Tag, TagSet};

/// Stands before the visitor's group.
pub const GROUP: &[u8] = b"\0c";

/// What stands for a visitor's https, which ends at a proxy in front: endpoints are told, and may answer otherwise. It
/// has the form of a group, so that a purge of a URL finds both; no cookie holds a NUL.
pub const HTTPS: &[u8] = b"\0c\0https";

/// The tag of what is stored for a group: the key without the group. By it all groups of a URL are found at once. No
/// application can name it, for none of its tags holds a NUL.
pub fn group_tag(key: &[u8]) -> Option<Tag> {
    let at = key.windows(GROUP.len()).position(|window| window == GROUP)?;
    Some(Tag::of(&key[..at]))
}

/// The keys, without a group, that answer a URL: the one that it has now, and the one with all that counts of its
/// query, which it had before a response said what matters and will have when that is forgotten.
pub struct KeysOfUrl {
    whole: Vec<u8>,
    reduced: Option<Vec<u8>>,
}

impl KeysOfUrl {
    /// Of a host, a path and what counts of a query.
    pub fn new(searches: &Searches, host: &[u8], path: &[u8], query: &[u8]) -> Self {
        let mut reduced = Vec::new();
        write_key(&mut reduced, host, path);
        let mut whole = reduced.clone();
        whole.extend_from_slice(query);
        searches.write_query(query, &mut reduced);
        let reduced = (reduced != whole).then_some(reduced);
        Self { whole, reduced }
    }

    /// Of a request, by its key and the target that an endpoint is asked for.
    pub fn of_request(searches: &Searches, key: &[u8], target: &[u8]) -> Self {
        let query_at = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at(query_at);
        Self::new(searches, crate::purge::host_of(key), path, query)
    }

    /// What a purge of the URL is about. `groups` says whether visitors may belong to groups.
    pub fn selector(self, groups: bool) -> Selector {
        let tags: Vec<Tag> = self.all().map(Tag::of).collect();
        let mut each: Vec<Selector> = self.all().map(|key| Selector::Key(key.into())).collect();
        if groups {
            each.push(Selector::Tags { tags: TagSet::new(&tags), within: None });
        }
        match (each.pop(), each.is_empty()) {
            (Some(only), true) => only,
            (last, _) => Selector::Any(each.into_iter().chain(last).collect()),
        }
    }

    fn all(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.whole.as_slice()).chain(self.reduced.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_key::SearchVariance;

    fn keys(searches: &Searches) -> KeysOfUrl {
        KeysOfUrl::new(searches, b"Shop.example:80", b"/p", b"?utm=1&a=1")
    }

    #[test]
    fn a_url_has_one_key_where_nothing_else_is_said() {
        let selector = keys(&Searches::new()).selector(false);
        assert!(
            matches!(&selector, Selector::Key(key) if **key == *b"shop.example\0/p?utm=1&a=1"),
            "{selector:?}"
        );
    }

    #[test]
    fn a_purge_is_about_the_whole_query_and_what_matters_of_it() {
        let searches = Searches::new();
        let said = SearchVariance::parse([&b"params=(\"utm\")"[..]].into_iter());
        searches.learn(b"shop.example\0/p", 200, said).unwrap();
        let mut reduced = b"shop.example\0/p".to_vec();
        searches.write_query(b"?a=1", &mut reduced);
        let selector = keys(&searches).selector(false);
        assert!(selector.selects(&reduced, []), "{selector:?}");
        assert!(selector.selects(b"shop.example\0/p?utm=1&a=1", []));
        assert!(!selector.selects(b"shop.example\0/p?a=1", []));
    }

    #[test]
    fn a_purge_is_about_all_groups() {
        let selector = keys(&Searches::new()).selector(true);
        let grouped = b"shop.example\0/p?utm=1&a=1\0cgroup=vip";
        assert!(selector.selects(grouped, group_tag(grouped)));
        assert!(selector.selects(b"shop.example\0/p?utm=1&a=1", []));
        let https = [b"shop.example\0/p?utm=1&a=1", HTTPS, b"\0cgroup=vip"].concat();
        assert!(selector.selects(&https, group_tag(&https)), "and however it was asked for");
        let other = b"shop.example\0/p?utm=1&a=2\0cgroup=vip";
        assert!(!selector.selects(other, group_tag(other)));
        assert_eq!(group_tag(b"shop.example\0/p"), None);
    }
}
