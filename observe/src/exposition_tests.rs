//! Tests of the exposition, read by a parser that follows the format's description and forgives nothing.

use super::*;
use crate::testing::{cells, snapshot, why_that_was_retried};
use std::collections::{HashMap, HashSet};
use tentpole_model::{
    CacheFigures, CacheOutcome, CompressionFigures, DiskFigures, DownReason, FilterFigures, Health,
    LearningFigures, LogSettings, Member, MemoryFigures, PoolMembers, ScreenFigures, Why,
};

/// One sample: name, labels in their order, value.
type Sample = (String, Vec<(String, String)>, f64);

/// Parses a page of text format 0.0.4: every sample belongs to the family announced right before it, no family or
/// series comes twice, names and labels are well formed, histograms are cumulative and end with `+Inf`.
pub(crate) fn parse(page: &str) -> Vec<Sample> {
    let (mut samples, mut families, mut series) = (Vec::new(), HashSet::new(), HashSet::new());
    let (mut helped, mut family, mut kind) = ("", "", "");
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && families.insert(name), "{line}");
            helped = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            (family, kind) = rest.split_once(' ').expect("a type");
            assert!(family == helped && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
        } else {
            let (name, labels, value) = sample(line);
            let suffix = name.strip_prefix(family).expect("a sample of the family above");
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&suffix), "{line}");
            assert!(series.insert((name.clone(), labels.clone())), "twice: {line}");
            samples.push((name, labels, value));
        }
    }
    histograms_are_cumulative(&samples);
    samples
}

fn sample(line: &str) -> Sample {
    let name_end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').expect("a value");
    let (name, mut rest) = line.split_at(name_end);
    assert!(name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect("a label");
            assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
            let (text, after) = label_value(after);
            labels.push((label.to_owned(), text));
            match after.split_at(1) {
                (",", more) => rest = more,
                ("}", more) => {
                    rest = more;
                    break;
                }
                _ => panic!("{line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').expect("one space").parse().expect("a number");
    (name.to_owned(), labels, value)
}

fn label_value(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next().expect("a closing quote") {
            '"' => return (out, chars.as_str()),
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                other => panic!("bad escape {other:?}"),
            }),
            c => out.push(c),
        }
    }
}

fn histograms_are_cumulative(samples: &[Sample]) {
    let mut last: HashMap<_, (f64, f64)> = HashMap::new();
    for (name, labels, value) in samples.iter().filter(|sample| sample.0.ends_with("_bucket")) {
        let (le, others) = labels.split_last().expect("a bound");
        assert_eq!(le.0, "le");
        let bound = if le.1 == "+Inf" { f64::INFINITY } else { le.1.parse().expect("a bound") };
        if let Some((before, count)) = last.insert((name, others), (bound, *value)) {
            assert!(before < bound && count <= *value, "{name} {labels:?}");
        }
    }
    for ((name, labels), (bound, count)) in last {
        assert_eq!(bound, f64::INFINITY);
        let total = name.replace("_bucket", "_count");
        let total = samples.iter().find(|sample| sample.0 == total && sample.1 == labels).expect("a count");
        assert_eq!(total.2, count);
    }
}

fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let is = |sample: &&Sample| {
        sample.0 == name && labels.iter().all(|(k, v)| sample.1.iter().any(|(a, b)| a == k && b == v))
    };
    let found: Vec<_> = samples.iter().filter(is).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}");
    found[0].2
}

fn page(observed: &Observed) -> String {
    let snapshot = snapshot();
    let up = Member { addresses: Vec::new(), health: Health::Up, tier: 0 };
    let down = Member { addresses: Vec::new(), health: Health::Down(DownReason::Probe), tier: 0 };
    let membership = Membership { pools: vec![PoolMembers { members: vec![up, down] }] };
    let mut page = Exposition::new();
    page.process("0.1.0 \"odd\"\n\\", 1.5);
    page.edge(observed);
    page.ledger(&Ledger::new(1_000));
    page.endpoints(&snapshot, &membership, &Dials::from_snapshot(&snapshot), &cells());
    page.finish()
}

#[test]
fn a_page_parses_and_sums_all_threads() {
    let observed = Observed::new(&LogSettings::default());
    let (first, _recorder) = observed.register();
    let (second, _recorder) = observed.register();
    first.record(&why_that_was_retried());
    second.record(&why_that_was_retried());
    second.record(&Why { cache: CacheOutcome::Hit, status: 200, took_us: 60, head_us: 50, ..Why::new() });
    first.connection_opened();
    second.connection_opened();
    first.connection_closed();
    second.connection_refused(Refused::TooManyConnections);
    let samples = parse(&page(&observed));
    assert_eq!(value(&samples, "tentpole_build_info", &[("version", "0.1.0 \"odd\"\n\\")]), 1.0);
    assert_eq!(value(&samples, "tentpole_requests_total", &[("cache", "hit")]), 1.0);
    assert_eq!(value(&samples, "tentpole_requests_total", &[("cache", "bypass")]), 2.0);
    assert_eq!(value(&samples, "tentpole_cache_bypass_total", &[("reason", "set_cookie")]), 2.0);
    assert_eq!(value(&samples, "tentpole_responses_total", &[("status", "200")]), 3.0);
    assert_eq!(value(&samples, "tentpole_connections_open", &[]), 1.0);
    assert_eq!(value(&samples, "tentpole_refused_total", &[("reason", "too_many_connections")]), 1.0);
    assert_eq!(value(&samples, "tentpole_attempt_failure_causes_total", &[("cause", "refused")]), 2.0);
    assert_eq!(value(&samples, "tentpole_retries_total", &[]), 2.0);
    let hit_within = |le| {
        let labels = [("answered_by", "cache"), ("le", le)];
        value(&samples, "tentpole_request_duration_seconds_bucket", &labels)
    };
    assert_eq!((hit_within("0.000064"), hit_within("+Inf")), (1.0, 1.0));
    let duration = value(&samples, "tentpole_request_duration_seconds_sum", &[("answered_by", "endpoint")]);
    assert_eq!(duration, 0.0084);
    let takes = |endpoint| value(&samples, "tentpole_endpoint_takes_traffic", &[("endpoint", endpoint)]);
    assert_eq!((takes("10.0.0.1:80"), takes("10.0.0.2:80")), (1.0, 0.0));
}

#[test]
fn every_announced_name_is_on_the_page_and_none_besides() {
    let observed = Observed::new(&LogSettings::default());
    let _thread = observed.register();
    observed.ask_cache(|| CacheFigures {
        memory: MemoryFigures { tags: 4, ..Default::default() },
        disk: Some(DiskFigures { hits: 7, damaged: 3, ..Default::default() }),
        compression: CompressionFigures { dropped: 5, ..Default::default() },
        learning: LearningFigures { withdrawn: [("alternates".into(), 2)].into(), ..Default::default() },
        screen: ScreenFigures {
            filters: vec![FilterFigures { name: "login".into(), matched: 9, refused: 4, reported: 2 }],
            connections_reported: 8,
            ..Default::default()
        },
        purges: [1, 6, 0, 2],
        purges_recent: Vec::new(),
    });
    let page = page(&observed);
    assert!(page.contains("\ntentpole_cache_tag_links 4\n"), "{page}");
    assert!(page.contains("\ntentpole_compression_total{result=\"dropped\"} 5\n"), "{page}");
    assert!(page.contains("\ntentpole_learning_withdrawn_total{reason=\"alternates\"} 2\n"), "{page}");
    let filter = "\ntentpole_filter_requests_total{filter=\"login\",result=";
    assert!(page.contains(&format!("{filter}\"passed\"}} 3\n")), "{page}");
    assert!(page.contains(&format!("{filter}\"refused\"}} 4\n")), "{page}");
    assert!(page.contains("\ntentpole_connections_reported_total 8\n"), "{page}");
    assert!(page.contains("\ntentpole_purges_total{by=\"request\"} 6\n"), "{page}");
    assert!(page.contains("\ntentpole_disk_lookups_total{result=\"hit\"} 7\n"), "{page}");
    assert!(page.contains("\ntentpole_disk_errors_total{kind=\"damaged\"} 3\n"), "{page}");
    let shown: HashSet<_> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let known: HashSet<_> = names::ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(shown, known);
}
