//! The query of a key: which parameters count and in what order. Parameters are separated by `&` alone; `;` is an
//! ordinary character. Names are read as applications read them, values are never looked at, and what counts is
//! written as it came.

use crate::names::{Names, decoded};
use tentpole_model::QueryRules;

/// Parameters that are sorted; a query with more that count keeps its order.
pub const PARAMETERS_SORTED_MAX: usize = 128;

/// Which parameters count.
#[derive(Debug)]
pub struct Query {
    /// Only these; `None` is all.
    keep: Option<Names>,
    drop: Names,
    sort: bool,
}

impl Query {
    /// Compiles the rules.
    pub fn new(rules: &QueryRules) -> Self {
        let keep = rules.keep.as_deref().map(Names::new);
        Self { keep, drop: Names::new(&rules.drop), sort: rules.sort }
    }

    /// Whether every query counts as it came.
    pub fn counts_all(&self) -> bool {
        self.keep.is_none() && self.drop.is_empty() && !self.sort
    }

    /// Appends what counts of `query`, which is empty or begins with `?`. With rules, parameters that are empty
    /// (`a=1&&b=2`) never count, and a query of which nothing counts has no `?` either.
    pub fn write(&self, query: &[u8], out: &mut Vec<u8>) {
        if self.counts_all() {
            out.extend_from_slice(query);
            return;
        }
        write_parameters(query, self.sort, |name| self.counts(name), out);
    }

    fn counts(&self, name: &[u8]) -> bool {
        self.keep.as_ref().is_none_or(|keep| keep.hold(decoded(name))) && !self.drop.hold(decoded(name))
    }
}

/// Appends the parameters of `query` whose (raw) name counts, sorted by what their names mean if asked for; those of
/// the same name keep their order.
pub(crate) fn write_parameters(query: &[u8], sort: bool, counts: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
    let query = query.strip_prefix(b"?").unwrap_or(query);
    let parameters = || {
        let all = query.split(|&byte| byte == b'&');
        all.filter(|parameter| !parameter.is_empty() && counts(name_of(parameter)))
    };
    let mut separator = b'?';
    let mut write = |parameter: &[u8]| {
        out.push(separator);
        out.extend_from_slice(parameter);
        separator = b'&';
    };
    if !sort {
        return parameters().for_each(write);
    }
    let (mut sorted, mut count) = ([&[][..]; PARAMETERS_SORTED_MAX], 0);
    for parameter in parameters() {
        let Some(place) = sorted.get_mut(count) else { return parameters().for_each(write) };
        *place = parameter;
        count += 1;
    }
    let sorted = &mut sorted[..count];
    // They lie in one query: of two with the same name the one that came first has the lower address.
    sorted.sort_unstable_by(|one, other| {
        let names = decoded(name_of(one)).cmp(decoded(name_of(other)));
        names.then_with(|| one.as_ptr().cmp(&other.as_ptr()))
    });
    sorted.iter().for_each(|parameter| write(parameter));
}

fn name_of(parameter: &[u8]) -> &[u8] {
    parameter.split(|&byte| byte == b'=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(keep: Option<&[&str]>, drop: &[&str], sort: bool) -> Query {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        Query::new(&QueryRules { keep: keep.map(own), drop: own(drop), sort })
    }

    fn written(query: &Query, text: &str) -> String {
        let mut out = b"/p".to_vec();
        query.write(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap().strip_prefix("/p").unwrap().to_owned()
    }

    #[test]
    fn without_rules_a_query_counts_to_the_letter() {
        for text in ["", "?", "?a=1&&b", "?&", "?b&a", "?a;b"] {
            assert_eq!(written(&rules(None, &[], false), text), text);
        }
    }

    #[test]
    fn what_is_dropped_is_gone_with_its_question_mark() {
        let utm = rules(None, &["utm_*", "gclid"], false);
        assert_eq!(written(&utm, "?utm_source=a&utm_medium=b"), "");
        assert_eq!(written(&utm, "?a=1&utm_source=x&b=2&gclid"), "?a=1&b=2");
        assert_eq!(written(&utm, "?"), "");
        assert_eq!(written(&utm, "?gclid2=1&Utm_x=2"), "?gclid2=1&Utm_x=2");
    }

    #[test]
    fn names_are_compared_as_applications_read_them() {
        let utm = rules(None, &["utm_*", "filter[color]"], false);
        assert_eq!(written(&utm, "?utm%5Fsource=a&filter%5bcolor%5D=red&a=%5F"), "?a=%5F");
        assert_eq!(written(&rules(Some(&["a b"]), &[], false), "?a+b=1&a%20b=2&ab=3"), "?a+b=1&a%20b=2");
    }

    #[test]
    fn only_what_is_kept_stays_and_a_drop_goes_before_it() {
        let keep = rules(Some(&["q", "f*"]), &["fbclid"], false);
        assert_eq!(written(&keep, "?q=a&fbclid=1&f1=b&x=c&q=d"), "?q=a&f1=b&q=d");
        assert_eq!(written(&rules(Some(&[]), &[], false), "?q=a&b"), "");
    }

    #[test]
    fn empty_parameters_do_not_count_where_there_are_rules() {
        assert_eq!(written(&rules(None, &["x"], false), "?&a=1&&b=2&"), "?a=1&b=2");
        assert_eq!(
            written(&rules(None, &["x"], false), "?=1&a="),
            "?=1&a=",
            "no name and no value are something"
        );
    }

    #[test]
    fn a_semicolon_separates_nothing() {
        assert_eq!(written(&rules(None, &["b"], false), "?a=1;b=2"), "?a=1;b=2");
        assert_eq!(written(&rules(None, &["a"], false), "?a=1;b=2"), "");
    }

    #[test]
    fn sorting_is_by_name_and_those_of_one_name_keep_their_order() {
        let sort = rules(None, &[], true);
        assert_eq!(written(&sort, "?b=2&a=3&c&a=1"), "?a=3&a=1&b=2&c");
        assert_eq!(written(&sort, "?b=1&%61=2&a=1&%62=0"), "?%61=2&a=1&b=1&%62=0");
        assert_eq!(written(&sort, "?a[]=2&a[]=1"), "?a[]=2&a[]=1");
        assert_eq!(written(&sort, "?ab=1&a=2"), "?a=2&ab=1", "by the name, not by name and value");
    }

    #[test]
    fn a_query_with_very_many_parameters_keeps_its_order() {
        let many: Vec<String> =
            (0..=PARAMETERS_SORTED_MAX).rev().map(|number| format!("p{number:03}")).collect();
        let text = format!("?{}", many.join("&"));
        assert_eq!(written(&rules(None, &[], true), &text), text);
        let fewer = format!("?{}", many[1..].join("&"));
        assert!(written(&rules(None, &[], true), &fewer).starts_with("?p000&p001&"));
        // What is dropped need not be sorted.
        assert_eq!(written(&rules(Some(&["p000", "p127"]), &[], true), &text), "?p000&p127");
    }
}
