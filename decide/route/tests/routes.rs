//! Which route a path takes.

mod common;

use common::{site, snapshot};
use proptest::prelude::*;
use tentpole_model::{RouteId, SiteId};
use tentpole_route::{CompileError, Matched, PatternFault, Table};

fn compile(patterns: &[&str]) -> Result<Table, CompileError> {
    Table::compile(&snapshot(vec![site("shop", &[], patterns)]))
}

fn compile_unmerged(patterns: &[&str]) -> Result<Table, CompileError> {
    let mut site = site("shop", &[], patterns);
    site.merge_slashes = false;
    Table::compile(&snapshot(vec![site]))
}

/// The pattern that the path takes, and what is kept of the path when the rest is swallowed.
fn matched<'a>(table: &Table, patterns: &[&'a str], path: &str) -> Option<(&'a str, Option<usize>)> {
    let matched = table.route(SiteId(0), path.as_bytes())?;
    Some((patterns[matched.route.0 as usize], matched.swallowed))
}

#[track_caller]
fn takes(patterns: &[&str], path: &str, expected: Option<&str>) {
    let found = matched(&compile(patterns).expect("these patterns compile"), patterns, path);
    assert_eq!(found, expected.map(|pattern| (pattern, None)), "{path}");
}

#[track_caller]
fn swallows(patterns: &[&str], path: &str, expected: &str, kept: &str) {
    let found = matched(&compile(patterns).expect("these patterns compile"), patterns, path);
    assert_eq!(found, Some((expected, Some(kept.len()))), "{path}");
    assert!(path.starts_with(kept));
}

#[test]
fn an_exact_pattern_matches_itself_and_its_trailing_slash_counts() {
    let patterns = ["/", "/a", "/b/"];
    takes(&patterns, "/", Some("/"));
    takes(&patterns, "/a", Some("/a"));
    takes(&patterns, "/a/", None);
    takes(&patterns, "/b/", Some("/b/"));
    takes(&patterns, "/b", None);
    takes(&patterns, "/a/b", None);
    takes(&patterns, "/A", None);
}

#[test]
fn a_prefix_matches_what_is_below_it_and_itself() {
    let patterns = ["/img/*", "/"];
    for path in ["/img", "/img/", "/img/a", "/img/a/b/c/"] {
        takes(&patterns, path, Some("/img/*"));
    }
    takes(&patterns, "/images", None);
    takes(&patterns, "/im", None);
}

#[test]
fn a_star_alone_matches_everything() {
    for path in ["/", "/a", "/a/b/", "/%20"] {
        takes(&["/*"], path, Some("/*"));
    }
}

#[test]
fn a_parameter_matches_one_segment_that_is_not_empty() {
    let patterns = ["/p/{slug}"];
    takes(&patterns, "/p/x", Some("/p/{slug}"));
    takes(&patterns, "/p/%C3%9F.html", Some("/p/{slug}"));
    takes(&patterns, "/p/", None);
    takes(&patterns, "/p", None);
    takes(&patterns, "/p/x/", None);
    takes(&patterns, "/p/x/y", None);
}

#[test]
fn parameters_may_stand_anywhere_and_be_followed_by_a_prefix() {
    let patterns = ["/{market}/p/{slug}", "/{market}/img/*"];
    takes(&patterns, "/de/p/x", Some("/{market}/p/{slug}"));
    takes(&patterns, "/de/img/a/b", Some("/{market}/img/*"));
    takes(&patterns, "/de/img", Some("/{market}/img/*"));
    takes(&patterns, "/de/q/x", None);
}

#[test]
fn the_most_specific_pattern_wins_in_any_order() {
    let patterns = ["/*", "/p/*", "/p/{slug}", "/p/sale"];
    takes(&patterns, "/p/sale", Some("/p/sale"));
    takes(&patterns, "/p/other", Some("/p/{slug}"));
    takes(&patterns, "/p/sale/x", Some("/p/*"));
    takes(&patterns, "/p", Some("/p/*"));
    takes(&patterns, "/q", Some("/*"));
    let reversed = ["/p/sale", "/p/{slug}", "/p/*", "/*"];
    for path in ["/p/sale", "/p/other", "/p/sale/x", "/p", "/q", "/"] {
        let one = matched(&compile(&patterns).unwrap(), &patterns, path);
        assert_eq!(matched(&compile(&reversed).unwrap(), &reversed, path), one, "{path}");
    }
}

#[test]
fn a_dead_end_leads_back_to_the_next_best_pattern() {
    let patterns = ["/a/b/c", "/a/{x}/d", "/{y}/b/e", "/{y}/{x}/*"];
    takes(&patterns, "/a/b/c", Some("/a/b/c"));
    takes(&patterns, "/a/b/d", Some("/a/{x}/d"));
    takes(&patterns, "/a/b/e", Some("/{y}/b/e"));
    takes(&patterns, "/a/b/f", Some("/{y}/{x}/*"));
    takes(&patterns, "/a", None);
}

#[test]
fn patterns_are_written_in_any_form_and_match_the_canonical_one_s2_3() {
    takes(&["/straße/{x}"], "/stra%C3%9Fe/1", Some("/straße/{x}"));
    takes(&["/%7Euser%2fx"], "/~user%2Fx", Some("/%7Euser%2fx"));
    takes(&["//a///b c/"], "/a/b%20c/", Some("//a///b c/"));
}

#[test]
fn empty_segments_count_where_slashes_are_not_merged() {
    let patterns = ["/a//b", "/a/{x}/b"];
    let table = compile_unmerged(&patterns).unwrap();
    assert_eq!(matched(&table, &patterns, "/a//b"), Some(("/a//b", None)));
    assert_eq!(matched(&table, &patterns, "/a/x/b"), Some(("/a/{x}/b", None)));
    assert_eq!(matched(&table, &patterns, "/a/b"), None);
}

#[test]
fn additional_segments_are_swallowed_s2_3() {
    let patterns = ["/p/{slug} swallow", "/p/{slug}/reviews", "/q/{slug}"];
    takes(&patterns, "/p/shoe", Some("/p/{slug} swallow"));
    takes(&patterns, "/p/shoe/reviews", Some("/p/{slug}/reviews"));
    swallows(&patterns, "/p/shoe/red", "/p/{slug} swallow", "/p/shoe");
    swallows(&patterns, "/p/shoe/", "/p/{slug} swallow", "/p/shoe");
    swallows(&patterns, "/p/shoe/reviews/2/x", "/p/{slug} swallow", "/p/shoe");
    takes(&patterns, "/q/shoe/red", None);
    takes(&patterns, "/p/", None);
}

#[test]
fn a_swallowing_pattern_keeps_its_trailing_slash() {
    let patterns = ["/sale/ swallow", "/ swallow"];
    takes(&patterns, "/sale/", Some("/sale/ swallow"));
    swallows(&patterns, "/sale/x/y", "/sale/ swallow", "/sale/");
    swallows(&patterns, "/sale", "/ swallow", "/");
    swallows(&patterns, "/x", "/ swallow", "/");
}

#[test]
fn a_prefix_wins_over_swallowing_at_the_same_place() {
    let patterns = ["/p/{slug} swallow", "/p/{slug}/*"];
    takes(&patterns, "/p/shoe", Some("/p/{slug} swallow"));
    takes(&patterns, "/p/shoe/red", Some("/p/{slug}/*"));
}

#[test]
fn routes_are_counted_over_all_sites_and_kept_apart() {
    let sites =
        vec![site("one", &["one.example"], &["/a", "/b"]), site("two", &["two.example"], &["/b", "/c"])];
    let table = Table::compile(&snapshot(sites)).unwrap();
    let found = |site, path: &str| table.route(SiteId(site), path.as_bytes()).map(|matched| matched.route);
    assert_eq!(found(0, "/b"), Some(RouteId(1)));
    assert_eq!(found(1, "/b"), Some(RouteId(2)));
    assert_eq!(found(1, "/c"), Some(RouteId(3)));
    assert_eq!(found(0, "/c"), None);
    assert_eq!(found(2, "/b"), None, "there is no such site");
}

#[test]
fn two_patterns_for_the_same_paths_do_not_compile() {
    for (first, second) in [("/a", "/a"), ("/p/{a}", "/p/{b}"), ("/%7e/*", "/~/*"), ("/a//b", "/a/b")] {
        let expected = CompileError::DuplicatePattern {
            site: "shop".into(),
            first: first.into(),
            second: second.into(),
        };
        assert_eq!(compile(&["/x", first, second]).unwrap_err(), expected);
    }
    assert!(compile(&["/a", "/a/", "/a/*", "/{a}"]).is_ok());
}

#[test]
fn patterns_that_cannot_be_understood_are_named_with_the_reason() {
    let deep = "/x".repeat(33);
    for (pattern, fault) in [
        ("", PatternFault::NotAbsolute),
        ("a/b", PatternFault::NotAbsolute),
        ("/a/*/b", PatternFault::Star),
        ("/img*", PatternFault::Star),
        ("/**", PatternFault::Star),
        ("/{a", PatternFault::Brace),
        ("/a}", PatternFault::Brace),
        ("/{a}.html", PatternFault::Brace),
        ("/{{a}}", PatternFault::Brace),
        ("/{}", PatternFault::ParameterName),
        ("/{a b}", PatternFault::ParameterName),
        ("/{a}/{a}", PatternFault::ParameterTwice),
        ("/a?b", PatternFault::Query),
        ("/a#b", PatternFault::Query),
        ("/a/../b", PatternFault::DotSegment),
        ("/a/%2e/b", PatternFault::DotSegment),
        ("/a%zz", PatternFault::Escape),
        ("/a\tb", PatternFault::Escape),
        (&deep, PatternFault::TooDeep),
    ] {
        let expected = CompileError::BadPattern { site: "shop".into(), pattern: pattern.into(), fault };
        assert_eq!(compile(&[pattern]).unwrap_err(), expected);
        assert!(!expected.to_string().is_empty());
    }
    assert!(compile(&["/x".repeat(32).as_str()]).is_ok());
}

#[test]
fn the_deepest_pattern_is_found_and_deeper_paths_are_not() {
    let deepest = "/x".repeat(32);
    let patterns = [deepest.as_str()];
    takes(&patterns, &deepest, Some(&deepest));
    takes(&patterns, &"/x".repeat(33), None);
    takes(&patterns, &"/x".repeat(31), None);
    takes(&patterns, &"/x".repeat(50_000), None);
}

/// All patterns of `depth` segments, each a literal or a parameter: the worst for looking back.
fn tangled(depth: usize) -> Vec<String> {
    let segment =
        |bits: usize, at: usize| if bits >> at & 1 == 1 { format!("/{{p{at}}}") } else { "/a".to_owned() };
    (0..1 << depth).map(|bits: usize| (0..depth).map(|at| segment(bits, at)).collect()).collect()
}

#[test]
fn a_table_that_would_let_visitors_choose_slow_paths_does_not_compile() {
    let patterns = tangled(8);
    let error = compile(&patterns.iter().map(String::as_str).collect::<Vec<_>>()).unwrap_err();
    assert_eq!(error, CompileError::TooAmbiguous { site: "shop".into(), steps: 511, steps_max: 256 });
    let patterns = tangled(7);
    assert!(compile(&patterns.iter().map(String::as_str).collect::<Vec<_>>()).is_ok());
}

#[test]
fn many_routes_are_not_ambiguous() {
    let patterns: Vec<String> =
        (0..10_000).map(|n| format!("/{{market}}/c{}/{{slug}}/x{n}", n % 100)).collect();
    let table = compile(&patterns.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let found = table.route(SiteId(0), b"/de/c42/shoe/x4242");
    assert_eq!(found, Some(Matched { route: RouteId(4242), swallowed: None }));
}

/// The rule without the tree: each pattern alone, the best rank wins.
fn by_rule<'a>(patterns: &[&'a str], path: &str) -> Option<(&'a str, Option<usize>)> {
    let best = patterns
        .iter()
        .filter_map(|pattern| rank(pattern, path).map(|(rank, kept)| (rank, *pattern, kept)))
        .min();
    best.map(|(_, pattern, kept)| (pattern, kept))
}

/// One number for each segment, then one for the end; the smaller the more specific.
fn rank(pattern: &str, path: &str) -> Option<(Vec<u8>, Option<usize>)> {
    let (pattern, swallow) =
        pattern.strip_suffix(" swallow").map_or((pattern, false), |pattern| (pattern, true));
    let (pattern, is_prefix) = pattern.strip_suffix("/*").map_or((pattern, false), |pattern| (pattern, true));
    let mut wanted: Vec<&str> = pattern.split('/').skip(1).collect();
    let given: Vec<&str> = path.split('/').skip(1).collect();
    let swallows_after_slash = swallow && !is_prefix && wanted.last() == Some(&"");
    if swallows_after_slash && given.len() >= wanted.len() && given[wanted.len() - 1..] != [""] {
        wanted.pop();
    } else if wanted.len() > given.len() {
        return None;
    }
    let mut ranks = Vec::new();
    for (wanted, given) in wanted.iter().zip(&given) {
        let is_parameter = wanted.starts_with('{');
        if if is_parameter { given.is_empty() } else { wanted != given } {
            return None;
        }
        ranks.push(u8::from(is_parameter));
    }
    let kept = given[..wanted.len()].iter().map(|segment| segment.len() + 1).sum();
    let (end, kept) = match wanted.len() == given.len() {
        true if is_prefix => (2, None),
        true => (0, None),
        false if is_prefix => (2, None),
        false if swallows_after_slash => (3, Some(kept + 1)),
        false if swallow => (4, Some(kept)),
        false => return None,
    };
    ranks.push(end);
    Some((ranks, kept))
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["/a", "/b", "/c", "/{}"]);
    let end = prop::sample::select(vec!["", "", "/", "/*", " swallow", "/ swallow"]);
    (prop::collection::vec(segment, 0..5), end).prop_map(|(segments, end)| {
        let mut pattern = String::new();
        for (index, segment) in segments.iter().enumerate() {
            pattern += &segment.replace("{}", &format!("{{p{index}}}"));
        }
        match end {
            "" | " swallow" if pattern.is_empty() => format!("/{end}"),
            _ => pattern + end,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_tree_finds_what_the_rule_says(
        patterns in prop::collection::vec(pattern(), 1..20),
        paths in prop::collection::vec("(/[abcx]){0,6}/?", 1..20),
    ) {
        let mut distinct: Vec<&str> = patterns.iter().map(String::as_str).collect();
        distinct.sort_by_key(|pattern| pattern.trim_end_matches(" swallow"));
        distinct.dedup_by_key(|pattern| pattern.trim_end_matches(" swallow"));
        let table = compile(&distinct).unwrap();
        for path in paths.iter().filter(|path| path.starts_with('/')) {
            prop_assert_eq!(matched(&table, &distinct, path), by_rule(&distinct, path), "{} in {:?}", path, distinct);
        }
    }

    #[test]
    fn any_path_is_answered_without_a_panic(path: Vec<u8>, patterns in prop::collection::vec(".{0,12}", 0..5)) {
        let patterns: Vec<String> = patterns.into_iter().map(|pattern| format!("/{pattern}")).collect();
        if let Ok(table) = compile(&patterns.iter().map(String::as_str).collect::<Vec<_>>()) {
            let found = table.route(SiteId(0), &path);
            prop_assert!(found.is_none_or(|found| (found.route.0 as usize) < patterns.len()));
        }
    }
}
