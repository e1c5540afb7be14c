//! `No-Vary-Search`: what a response itself says about the query parameters of its URL: which do not matter, and
//! whether their order does (draft-ietf-httpbis-no-vary-search).

use crate::names::{Names, decoded};
use crate::query::write_parameters;
use crate::structured::{Item, Member, dictionary};

/// The longest field that is read, in bytes; a longer one says nothing.
const BYTES_MAX: usize = 4_096;

/// How responses of a path vary by its query; never the usual way, which is that everything matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchVariance {
    order_matters: bool,
    matter: Matter,
}

/// Which parameters matter. Names as they are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Matter {
    AllBut(Names),
    Only(Names),
}

impl SearchVariance {
    /// From all lines of a response's `No-Vary-Search`. `None` when everything matters: there is none, it says so, or
    /// it cannot be understood.
    pub fn parse<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let first = lines.next()?;
        let mut field = first.to_vec();
        for line in lines {
            field.extend_from_slice(b", ");
            field.extend_from_slice(line);
        }
        if field.len() > BYTES_MAX {
            return None;
        }
        let members = dictionary(&field)?;
        let member = |name: &[u8]| members.iter().find(|(key, _)| *key == name).map(|(_, member)| member);
        let boolean = |member: Option<&Member>| match member {
            None => Some(false),
            Some(Member::Item(Item::Boolean(is))) => Some(*is),
            Some(_) => None,
        };
        let order_matters = !boolean(member(b"key-order"))?;
        let matter = match (member(b"params"), member(b"except")) {
            (Some(Member::List(names)), None) => Matter::AllBut(meant(names)?),
            (params, except) => match (boolean(params)?, except) {
                (true, None) => Matter::Only(Names::default()),
                (true, Some(Member::List(names))) => Matter::Only(meant(names)?),
                (false, None) => Matter::AllBut(Names::default()),
                (_, Some(_)) => return None,
            },
        };
        let usual = order_matters && matter == Matter::AllBut(Names::default());
        (!usual).then_some(Self { order_matters, matter })
    }

    /// Appends what matters of `query`, which is empty or begins with `?`. Two queries that become the same are
    /// answered alike.
    pub fn write(&self, query: &[u8], out: &mut Vec<u8>) {
        let matters = |name: &[u8]| match &self.matter {
            Matter::AllBut(names) => !names.hold(decoded(name)),
            Matter::Only(names) => names.hold(decoded(name)),
        };
        write_parameters(query, !self.order_matters, matters, out);
    }
}

/// Names that are written as in a query; `None` when one is no string.
fn meant(items: &[Item]) -> Option<Names> {
    let mut names = Vec::with_capacity(items.len());
    for item in items {
        let Item::String(name) = item else { return None };
        names.push(decoded(name).collect::<Vec<u8>>());
    }
    Some(Names::exactly(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(field: &str) -> Option<SearchVariance> {
        SearchVariance::parse([field.as_bytes()].into_iter())
    }

    /// Whether a response to one query with this field answers another.
    fn alike(field: &str, one: &str, other: &str) -> bool {
        let Some(variance) = parse(field) else { return one == other };
        let [one, other] = [one, other].map(|query| {
            let mut out = Vec::new();
            variance.write(query.as_bytes(), &mut out);
            out
        });
        one == other
    }

    #[test]
    fn the_order_of_names_need_not_matter() {
        assert!(alike("key-order", "?a=1&b=2", "?b=2&a=1"));
        assert!(alike("key-order", "?a=1&b=2&a=0", "?b=2&a=1&a=0"));
        assert!(!alike("key-order", "?a=1&a=0", "?a=0&a=1"));
        assert!(!alike("key-order", "?a=1", "?a=2"));
        assert!(!alike("key-order=?0", "?a=1&b=2", "?b=2&a=1"));
    }

    #[test]
    fn some_or_all_parameters_need_not_matter() {
        assert!(alike("params", "?a=1&b=2", ""));
        assert!(alike("params=?1", "?a=1", "?x"));
        assert!(!alike("params=?0", "?a=1", "?x"));
        assert!(alike(r#"params=("utm_source" "gclid")"#, "?a=1&utm_source=x", "?gclid=y&a=1"));
        assert!(!alike(r#"params=("utm_source")"#, "?a=1", "?a=2"));
        assert!(!alike(r#"params=("utm_source")"#, "?a=1&b=2", "?b=2&a=1"));
        assert!(alike(r#"params=("utm_source"), key-order"#, "?a=1&b=2&utm_source=1", "?b=2&a=1"));
    }

    #[test]
    fn all_but_some_need_not_matter() {
        assert!(alike(r#"params, except=("id")"#, "?id=1&a=2", "?x=5&id=1"));
        assert!(!alike(r#"params, except=("id")"#, "?id=1", "?id=2"));
        assert!(alike(r#"params, except=()"#, "?id=1", "?id=2"));
    }

    #[test]
    fn names_are_what_they_mean_and_a_star_is_a_star() {
        assert!(alike(r#"params=("a+b" "%c3%a9")"#, "?a%20b=1&x", "?é=2&x".to_owned().as_str()));
        assert!(!alike(r#"params=("utm_*")"#, "?utm_source=1", ""));
        assert!(alike(r#"params=("utm_*")"#, "?utm_*=1", ""));
    }

    #[test]
    fn what_cannot_be_understood_leaves_everything_to_matter() {
        for field in [
            "",
            "key-order=?0",
            "params=?0",
            "params=()",
            "unknown",
            "key-order=1",
            "params=\"a\"",
            "params=(a)",
            r#"except=("a")"#,
            r#"params=("a"), except=("b")"#,
            r#"params=?0, except=("a")"#,
            "params, except",
            r#"params, except="a""#,
            "params,",
            "params=(\"a\"",
        ] {
            assert_eq!(parse(field), None, "{field}");
        }
        assert_eq!(SearchVariance::parse(std::iter::empty()), None);
        assert_eq!(parse(&format!("params, x=\"{}\"", "y".repeat(BYTES_MAX))), None);
    }

    #[test]
    fn several_lines_are_one_dictionary() {
        let lines = [&b"params"[..], br#"except=("id")"#];
        assert_eq!(SearchVariance::parse(lines.into_iter()), parse(r#"params, except=("id")"#));
    }
}
