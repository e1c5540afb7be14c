//! Pages and data of made-up runs: nothing leaves its place, nothing is fetched, no failure is drawn as a load time.
//! The pages stay in `target/tmp/report-pages`, where `proof/report/browser-test` opens them in a browser.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod made;

use made::With;
use serde_json::Value;
use std::path::Path;
use tentpole_load::Run;
use tentpole_load::result::{Broke, FailureCause, Objective};
use tentpole_report::{Unreadable, compare, html, json, read, verdict};

fn all() -> Vec<(&'static str, Run)> {
    vec![
        ("breaks", made::breaks()),
        ("collapses", made::collapses()),
        ("holds", made::holds()),
        ("open", made::open()),
        ("empty", made::empty()),
        ("silent", made::silent()),
        ("single", made::single()),
        ("untrusted", made::untrusted()),
        ("hostile", made::hostile()),
        ("whole", made::whole::whole()),
    ]
}

fn comparisons() -> Vec<(&'static str, String)> {
    let (with, without, held, open) = (made::breaks(), made::without_cache(), made::holds(), made::open());
    vec![
        ("compared-cache", compare(&[("without cache", &without), ("with cache", &with)])),
        ("compared-three", compare(&[("1 server", &without), ("4 servers", &held), ("8 servers", &with)])),
        (
            "compared-odd",
            compare(&[("</script><b>", &made::hostile()), ("open", &open), ("empty", &made::empty())]),
        ),
    ]
}

/// Every page, by its name.
fn pages() -> Vec<(&'static str, String)> {
    all().iter().map(|(name, run)| (*name, html(run))).chain(comparisons()).collect()
}

/// The values of a page's charts.
fn charts(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"charts\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// A chart's values: for each x those of one series.
fn values(chart: &Value, series: &str) -> Vec<(f64, Value)> {
    let series = chart["series"].as_array().unwrap().iter().find(|one| one["name"] == series).unwrap();
    let x = chart["x"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
    x.zip(series["values"].as_array().unwrap().iter().cloned()).collect()
}

#[test]
fn pages_are_kept_for_the_browser() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-pages");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, page) in pages() {
        std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
    }
}

#[test]
fn verdicts_read_like_sentences() {
    let broke_at_once = made::run(&[10.0], &|_| made::Effect { p50: 900.0, failing: vec![] });
    let refused =
        made::run(&[10.0, 20.0], &|_| made::Effect { p50: 9.0, failing: vec![(FailureCause::Refused, 1.0)] });
    let by_a_hair = made::breaks().with(|run| {
        let broke = Broke { objective: Objective::Errors, seen: Some(0.010_01), wanted: 0.01 };
        run.breaking_point.as_mut().unwrap().broke = broke;
    });
    let unjudged = made::holds().with(|run| {
        (run.objectives.p50_ms, run.objectives.p99_ms, run.objectives.errors_share) = (None, None, None);
    });
    let stopped = made::holds().with(|run| run.interrupted = true);
    let one = made::run(&[1.0], &|_| made::Effect { p50: 9.0, failing: vec![] });
    let more = [
        ("broke at once", broke_at_once),
        ("refused", refused),
        ("by a hair", by_a_hair),
        ("unjudged", unjudged),
        ("stopped", stopped),
        ("one visitor", one),
        ("died", made::breaks().with(|run| run.stays_down = true)),
    ];
    let said: Vec<_> =
        all().into_iter().chain(more).map(|(name, run)| format!("{name}: {}", verdict(&run))).collect();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("verdicts", said.join("\n"));
    });
}

/// What a run was ended before is said once, and nothing was measured where nothing was.
#[test]
fn an_early_end_is_said_once() {
    use tentpole_report::words::interrupted;
    let until_then = "Ended before its time; this is what was measured until then.";
    assert_eq!(interrupted(&made::empty()), None, "the verdict says it");
    assert_eq!(interrupted(&made::holds().with(|run| run.interrupted = true)), None, "here too");
    assert_eq!(interrupted(&made::breaks().with(|run| run.interrupted = true)), Some(until_then));
    assert_eq!(interrupted(&made::breaks()), None);
    assert!(!html(&made::empty()).contains("measured until then"));
}

#[test]
fn what_a_percentile_rests_on_is_said_where_it_is_too_little() {
    use tentpole_report::words::few;
    let of = |count: u64| {
        made::holds().with(|run| {
            for times in run.steps.iter_mut().filter_map(|step| step.response_time.as_mut()) {
                times.count = count;
            }
        })
    };
    assert_eq!((few(&of(100)), few(&made::untrusted()), few(&made::empty())), (None, None, None));
    let said = few(&of(99)).unwrap();
    assert!(
        said.starts_with("The p99 at 400 visitors rests on 99 requests only, and means little below 100"),
        "{said}"
    );
    assert!(verdict(&of(99)).starts_with("Holds 400 visitors"), "it holds all the same");
    assert!(html(&of(99)).contains("rests on 99 requests only"));
    let median = of(1).with(|run| run.objectives.p99_ms = None);
    assert!(few(&median).unwrap().starts_with("The median at 400 visitors rests on 1 request only"));
    let unjudged = median.with(|run| run.objectives.p50_ms = None);
    assert_eq!(few(&unjudged), None);
}

#[test]
fn figures_that_are_not_to_be_trusted_are_not_compared() {
    let (good, late) = (made::holds(), made::holds().with(|run| run.trusted = false));
    let said = |one: &Run, two: &Run| {
        tentpole_report::compared::sentences(&[("edge", one), ("direct", two)]).join("\n")
    };
    assert!(
        said(&good, &good).contains("which all hold, the p99 is")
            && said(&good, &good).contains("as “edge” does")
    );
    for said in [said(&late, &good), said(&good, &late)] {
        assert!(!said.contains("p99") && !said.contains("as “edge” does"), "{said}");
        assert!(said.contains("Nothing is compared with “"), "{said}");
    }
}

/// The first screen: the interval, not one load as if it were certain; then the curve, and only then how it was searched.
#[test]
fn a_search_is_told_by_its_interval_and_explained_below_the_curve() {
    let page = html(&made::whole::whole());
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(
        at("<h1>Breaks between 1,200 and 1,280 visitors")
            < at("breaks by (visitors)</dt><dd class=\"bad\">1,280<")
    );
    assert!(at("holds (visitors)</dt><dd class=\"good\">1,200<") < at("<h2>What changed"));
    assert!(!page.contains("breaks at (visitors)"));
    let order = ["<h2>What changed", "<h2>Load time against visitors", "<h2>The search", "<h2>Every step"];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
    // An objective about which the search says nothing has no row of dashes.
    let search = &page[at("<h2>The search")..at("<h2>Every step")];
    assert!(search.contains(">median</th>") && !search.contains(">share of failures</th>"), "{search}");
}

#[test]
fn a_step_in_which_all_failed_has_no_load_time() {
    let page = html(&made::collapses());
    let charts = charts(&page);
    for series in ["median", "p90", "p99"] {
        for (load, value) in values(&charts["load-time"], series) {
            assert_eq!(value.is_null(), load > 150.0, "{series} at {load}: {value}");
        }
    }
    let failed = values(&charts["failures"], "all failures");
    assert_eq!(failed.last().unwrap().1, 1.0, "it is drawn as a failure instead");
    assert_eq!(charts["load-time"]["bands"][0]["from"], 140.0, "and the rest is marked as failing");
    for (at, value) in values(&charts["time-load-time"], "p99") {
        assert_eq!(value.is_null(), at > 8.0 * 12.0, "at {at} s: {value}");
    }
}

#[test]
fn what_got_through_among_more_failures_is_not_drawn_but_listed() {
    let page = html(&made::collapses());
    let at_160 = values(&charts(&page)["load-time"], "median").into_iter().find(|(load, _)| *load == 160.0);
    assert_eq!(at_160.unwrap().1, Value::Null, "95 % failed");
    assert!(page.contains("the few that got through say nothing"), "and the page says so");
    let row = page.split("<tr class=\"broke\">").find(|row| row.contains(">160</th>")).unwrap();
    assert!(row.contains(">40 ms<"), "{row}");
}

#[test]
fn a_load_that_one_of_two_runs_did_not_try_is_no_gap() {
    let charts = charts(&comparisons()[0].1);
    let chart = &charts["load-time"];
    let of = |series: &str, load: f64| {
        values(chart, series).into_iter().find(|(x, _)| x.total_cmp(&load).is_eq()).unwrap().1
    };
    assert_eq!(of("without cache, p99", 640.0), "absent");
    assert_eq!(of("without cache, p99", 160.0), Value::Null, "tried, and failed");
    assert_eq!(of("with cache, p99", 1280.0), 2400.0);
}

#[test]
fn a_page_fetches_nothing_and_leads_nowhere() {
    for (name, page) in pages() {
        // In text a quotation mark is escaped, so these are attributes and rules of the page itself.
        for way in [
            " src=\"", " href=\"", " srcset=", "<link", "<img", "<iframe", "@import", "url('", "url(\"",
            "url(h",
        ] {
            assert!(!page.contains(way), "{name} has {way}");
        }
        assert!(page.contains("default-src 'none'"), "{name} lets the browser fetch");
    }
}

#[test]
fn hostile_names_stay_text() {
    let pages = pages();
    let scripts = |name: &str| {
        let page = &pages.iter().find(|(page, _)| *page == name).unwrap().1;
        let ends = page.matches("</script").count();
        (page.matches("<script").count(), ends, page.matches("<!--").count(), page.matches("<img").count())
    };
    assert_eq!(scripts("hostile"), scripts("breaks"), "the same scripts as in a harmless page");
    assert_eq!(scripts("compared-odd"), scripts("compared-cache"));
    let page = &pages.iter().find(|(name, _)| *name == "hostile").unwrap().1;
    assert!(!page.contains('\u{2028}'));
    assert!(!page.split("<script type").next().unwrap().contains('\u{202e}'), "nor turn the text around");
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;window.broken=1"), "and they are readable");
}

#[test]
fn headline_and_tables_are_there_without_the_script() {
    let page = html(&made::breaks());
    let body = page.split("<script type").next().unwrap();
    assert!(body.contains("<h1>Breaks at 1,280 visitors: p99 2.4 s (wanted under 2 s).</h1>"));
    assert_eq!(body.matches("<tr class=\"broke\">").count(), 2, "in the steps' table and in the journey's");
    for text in [
        "<noscript>",
        "p99 2.4 s (wanted under 2 s)",
        "Holds 1,200.",
        "check out",
        "no response in time",
        "502 \u{d7}",
    ] {
        assert!(body.contains(text), "{text}");
    }
}

#[test]
fn a_run_that_may_not_be_believed_says_so_first_with_the_cure() {
    let page = html(&made::untrusted());
    let (before, _) = page.split_once("<h1>").unwrap();
    for text in [
        "Do not trust these figures.",
        "in step 9 (1,280 visitors) it began 1 % of the requests more than 48 ms after they were due, wanted under 10 ms",
        "its own cores with --cpu",
        "1,204 arrivals found no virtual user free, first in step 8 (960 visitors)",
        "--in-flight",
        "no local port or file descriptor left for 1 request, first",
        "Only 40 requests ended in step 1 (10 visitors)",
        "Interrupted after 2 min 12 s.",
    ] {
        assert!(before.contains(text), "{text}\n{before}");
    }
    assert!(!page.contains("breaks at"), "and where it breaks is neither said nor drawn");
    assert!(!html(&made::breaks()).contains("class=\"banner\" role"), "others say nothing of it");
    let trusted = made::breaks();
    let both = compare(&[("one", &trusted), ("two", &made::untrusted())]);
    assert!(both.contains("where \u{201c}two\u{201d} breaks cannot be said"), "{both}");
    assert!(both.contains("not to be said"), "{both}");
    let old = made::untrusted().with(|run| run.breaking_point = trusted.breaking_point);
    assert_eq!(read(&json(&old)).unwrap().breaking_point, None, "as an earlier version wrote it");
}

#[test]
fn a_run_without_requests_is_no_good_news() {
    for run in [made::empty(), made::silent()] {
        let page = html(&run);
        let (_, body) = page.split_once("<body").unwrap();
        let body = body.split("<script type").next().unwrap();
        assert!(!body.contains("good"), "{body}");
    }
    let charts = charts(&html(&made::silent()));
    assert_eq!(values(&charts["load-time"], "p99"), [(10.0, Value::Null)]);
    assert_eq!(values(&charts["failures"], "all failures"), [(10.0, Value::Null)]);
}

#[test]
fn open_runs_speak_of_journeys_per_second() {
    let page = html(&made::open());
    let body = page.split("<script type").next().unwrap();
    assert!(body.contains("journeys per second"));
    assert!(!body.contains(" visitors"), "{}", body.split(" visitors").next().unwrap());
}

#[test]
fn a_comparison_tells_the_difference_in_its_headline() {
    let said: Vec<_> = comparisons()
        .iter()
        .map(|(name, page)| {
            let part = |from: &str, to: &str| {
                page.split_once(from).map_or("", |(_, rest)| rest.split_once(to).unwrap().0)
            };
            format!("{name}\n  {}\n  {}", part("<h1>", "</h1>"), part("<p class=\"lede\">", "</p>"))
        })
        .collect();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("comparisons", said.join("\n").replace('\u{fffd}', "?"));
    });
}

#[test]
fn a_comparison_names_what_else_differs() {
    let (without, with) = (made::without_cache(), made::breaks());
    assert!(compare(&[("a", &without), ("b", &with)]).contains("The runs were made alike"));
    let other = with.with(|run| run.think_ms = 0.0);
    let page = compare(&[("a", &without), ("b", &other)]);
    assert!(page.contains("The runs differ in: think time."));
    let page = compare(&[("a", &without), ("b", &made::open())]);
    assert!(page.contains("These runs make load in different ways"));
}

#[test]
fn data_and_page_both_hold_the_run() {
    for (name, run) in all() {
        // Without the values, which are thousands.
        assert!(read(&json(&run)).as_ref() == Ok(&run), "{name}");
        assert!(read(&html(&run)).as_ref() == Ok(&run), "{name}");
    }
    let text = json(&made::breaks());
    assert!(text.starts_with("{\n  \"format\": 1,\n  \"version\": \"0.1.0\",\n"), "{}", &text[..80]);
    assert!(text.ends_with("}\n"));
}

#[test]
fn what_is_not_a_report_is_refused_with_a_reason() {
    let other_form = json(&made::holds()).replacen("\"format\": 1", "\"format\": 2", 1);
    assert_eq!(read(&other_form), Err(Unreadable::OtherFormat { found: 2 }));
    assert!(read(&other_form).unwrap_err().to_string().contains("Read it with the Tentpole that made it"));
    assert!(matches!(read("{\"hits\": 3}"), Err(Unreadable::NotARun { .. })));
    assert!(matches!(read("[1, 2]"), Err(Unreadable::NotARun { .. })));
    assert!(matches!(read("url,p99\n"), Err(Unreadable::NotJson { .. })));
    assert!(matches!(read(""), Err(Unreadable::NotJson { .. })));
    let cut = json(&made::holds());
    assert!(matches!(read(&cut[..cut.len() / 2]), Err(Unreadable::NotJson { .. })));
    assert_eq!(read("<!doctype html><p>hello"), Err(Unreadable::OtherPage));
    assert_eq!(read(&comparisons()[0].1), Err(Unreadable::Comparison));
    let page = html(&made::holds());
    let (cut, _) = page.split_at(page.find("id=\"run\">").unwrap() + 500);
    assert!(matches!(read(cut), Err(Unreadable::NotJson { .. })));
}

#[test]
fn a_report_stays_small() {
    for (name, page) in pages() {
        assert!(page.len() < 160 * 1024, "{name}: {} bytes", page.len());
    }
}
