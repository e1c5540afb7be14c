//! Several runs over one another, so that one sees at a glance what a change was worth. The first is what the others are
//! compared with. Says when runs differ in more than what was changed.

use crate::baseline::within;
use crate::curves::{self, by_load, failed_share, served_per_s};
use crate::markup::Markup;
use crate::parts::{self, Cell, Row};
use crate::words::{self, load, ms, number, percent, unit};
use std::collections::BTreeSet;
use tentpole_load::Run;
use tentpole_load::result::StepResult;
use tentpole_load::verdict::lowest_broken;
use tentpole_search::confidence::Interval;

const TONES: [&str; 6] = ["1", "2", "3", "4", "5", "6"];

/// One HTML page that needs nothing beside itself, with the runs under these names. The first is the one that the
/// others are compared with.
pub fn compare(runs: &[(&str, &Run)]) -> String {
    let charts = curves::of_runs(runs);
    let mut body = Markup::default();
    let (headline, rest) = verdict(runs);
    body.raw("<header>\n<p class=\"eyebrow\">")
        .text(words::counted(runs.len() as u64, "run"))
        .raw(" compared: ");
    let labels: Vec<_> = runs.iter().map(|(label, _)| *label).collect();
    body.text(labels.join(" \u{b7} ")).raw("</p>\n<h1>").text(&headline).raw("</h1>\n");
    if !rest.is_empty() {
        body.raw("<p class=\"lede\">").text(rest).raw("</p>\n");
    }
    for text in differences(runs).into_iter().chain(distrusted(runs)) {
        body.raw("<p class=\"note\">").text(text).raw("</p>\n");
    }
    body.raw("</header>\n");
    for (label, run) in runs {
        parts::banners(&mut body, Some(label), run);
    }
    different_models(&mut body, runs);
    parts::without_script(&mut body);
    parts::heading(
        &mut body,
        "Load time against load",
        "Only successful responses have a load time. A curve ends where more than half of the requests failed, \
         or where more was not tried.",
    );
    parts::chart(&mut body, &charts, "load-time");
    parts::chart(&mut body, &charts, "failures");
    parts::heading(&mut body, "Throughput", "");
    parts::chart(&mut body, &charts, "throughput");
    side_by_side(&mut body, runs);
    every_load(&mut body, runs);
    conditions(&mut body, runs);
    body.raw("<footer>\n<h3>To do it again</h3>\n");
    // Of places that were loaded in turns there is one command.
    let all: BTreeSet<&str> = runs.iter().map(|(_, run)| run.command.as_str()).collect();
    match runs.first() {
        Some((_, first)) if all.len() == 1 => {
            body.raw("<pre>").text(&first.command).raw("</pre>\n");
        }
        _ => {
            for (label, run) in runs {
                body.raw("<p class=\"note\">")
                    .text(label)
                    .raw("</p>\n<pre>")
                    .text(&run.command)
                    .raw("</pre>\n");
            }
        }
    }
    body.raw("</footer>\n");
    parts::document(&headline, &body, &charts, None)
}

/// Headline: where each breaks. Then: how much more each holds than the first, and how long visitors wait where all hold.
pub fn verdict(runs: &[(&str, &Run)]) -> (String, String) {
    let each = |(label, run): &(&str, &Run)| match (run.breaking_point, run.highest_held) {
        _ if !run.trusted && lowest_broken(&run.steps).is_some() => {
            format!("where \u{201c}{label}\u{201d} breaks cannot be said")
        }
        (Some(point), _) => format!("\u{201c}{label}\u{201d} breaks at {}", load(point.load, run.model)),
        (None, Some(held)) => format!("\u{201c}{label}\u{201d} holds {}", load(held, run.model)),
        (None, None) => format!("\u{201c}{label}\u{201d} measured nothing"),
    };
    let all: Vec<_> = runs.iter().map(each).collect();
    let mut headline = format!("{}.", all.join("; "));
    if let Some(first) = headline.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut rest: Vec<String> = Vec::new();
    if let Some(((base, first), others)) = runs.split_first() {
        for (label, run) in others {
            let (Some(before), Some(after)) = (first.highest_held, run.highest_held) else { continue };
            if before <= 0.0 || run.model != first.model || !first.trusted || !run.trusted {
                continue;
            }
            let (more, less) = (number(after), number(before));
            rest.push(match after / before {
                factor if factor > 1.05 => {
                    format!(
                        "\u{201c}{label}\u{201d} holds {more}, {} the {less} of \u{201c}{base}\u{201d}.",
                        words::times(factor)
                    )
                }
                factor if factor < 0.95 => format!(
                    "\u{201c}{label}\u{201d} holds {more}, fewer than the {less} of \u{201c}{base}\u{201d}."
                ),
                _ => format!("\u{201c}{label}\u{201d} holds {more}, as \u{201c}{base}\u{201d} does."),
            });
        }
    }
    rest.extend(at_the_same_load(runs));
    (headline, rest.join(" "))
}

/// Everything there is to say, a sentence a line.
pub fn sentences(runs: &[(&str, &Run)]) -> Vec<String> {
    let (headline, rest) = verdict(runs);
    let mut all = vec![headline];
    all.extend((!rest.is_empty()).then_some(rest));
    all.extend(differences(runs));
    all.extend(distrusted(runs));
    all
}

/// That figures are not compared, and whose fault it is: said where the comparison would stand.
fn distrusted(runs: &[(&str, &Run)]) -> Option<String> {
    let names = runs.iter().filter(|(_, run)| !run.trusted);
    let names: Vec<_> = names.map(|(label, _)| format!("\u{201c}{label}\u{201d}")).collect();
    (!names.is_empty() && runs.len() > 1).then(|| {
        format!("Nothing is compared with {}: those figures are not to be trusted.", names.join(", "))
    })
}

/// What each of the others takes longer, or shorter, than the first at the highest load that both held, with intervals of 95 %.
/// Nothing of runs that are not to be trusted.
fn differences(runs: &[(&str, &Run)]) -> Vec<String> {
    let Some(((base, first), others)) = runs.split_first() else { return Vec::new() };
    let all = others.iter().filter(|(_, run)| first.trusted && run.trusted && run.model == first.model);
    all.filter_map(|(label, run)| difference((base, first), (label, run))).collect()
}

fn difference((base, first): (&str, &Run), (label, run): (&str, &Run)) -> Option<String> {
    let held = |load: f64, run: &Run| at(run, load).filter(|step| step.held).cloned();
    let loads = by_load(first).into_iter().rev().map(|step| step.load);
    let (one, other) = loads.filter_map(|load| Some((held(load, first)?, held(load, run)?))).next()?;
    let told = |name: &str, quantile: f64| {
        let (one, other) = (within(&one, quantile)?, within(&other, quantile)?);
        let span = |within: Interval| format!("{} to {}", ms(within.low), ms(within.high));
        let verdict = match () {
            () if other.high < one.low => format!("at least {} less", ms(one.low - other.high)),
            () if other.low > one.high => format!("at least {} more", ms(other.low - one.high)),
            () => "may be the same".to_owned(),
        };
        Some(format!("{name} {}, \u{201c}{base}\u{201d} {}: {verdict}", span(other), span(one)))
    };
    let times: Vec<_> =
        [("median", 0.5), ("p99", 0.99)].into_iter().filter_map(|(n, q)| told(n, q)).collect();
    (!times.is_empty())
        .then(|| format!("\u{201c}{label}\u{201d} at {}: {}.", load(one.load, first.model), times.join("; ")))
}

/// The highest load that all of them held, with what their visitors waited there. Nothing where one is not to be trusted: its
/// figures would stand there as if they were.
fn at_the_same_load(runs: &[(&str, &Run)]) -> Option<String> {
    let (_, first) = runs.first()?;
    if runs.iter().any(|(_, run)| !run.trusted || run.model != first.model) {
        return None;
    }
    let held = |load: f64, run: &Run| -> Option<f64> {
        let step = at(run, load).filter(|step| step.held)?;
        step.response_time.map(|times| times.p99)
    };
    let loads = by_load(first).into_iter().rev().map(|step| step.load);
    let (load, times) = loads
        .filter_map(|load| {
            Some((load, runs.iter().map(|(_, run)| held(load, run)).collect::<Option<Vec<_>>>()?))
        })
        .next()?;
    let times: Vec<_> = runs
        .iter()
        .zip(times)
        .map(|((label, _), time)| format!("{} \u{201c}{label}\u{201d}", ms(time)))
        .collect();
    Some(format!("At {}, which all hold, the p99 is {}.", self::load(load, first.model), times.join(", ")))
}

/// The last step of a run at a load.
fn at(run: &Run, load: f64) -> Option<&StepResult> {
    run.steps.iter().rfind(|step| step.load.total_cmp(&load).is_eq())
}

fn different_models(into: &mut Markup, runs: &[(&str, &Run)]) {
    if runs.iter().any(|(_, run)| run.model != runs[0].1.model) {
        into.raw(
            "<div class=\"banner\" role=\"note\"><b>These runs make load in different ways</b>: some with a number of \
             visitors, some with journeys per second. Their curves share an axis that means two things. Run one of \
             them again in the other's way.</div>\n",
        );
    }
}

fn names(runs: &[(&str, &Run)], first: &'static str) -> Vec<Cell> {
    let mut head = vec![Cell::words(first)];
    head.extend(
        runs.iter()
            .zip(TONES.into_iter().cycle())
            .map(|((label, _), tone)| Cell::of(*label, "words first").toned(tone)),
    );
    head
}

fn side_by_side(into: &mut Markup, runs: &[(&str, &Run)]) {
    parts::heading(into, "Side by side", "");
    let held = |run: &Run| run.highest_held.and_then(|load| at(run, load).cloned());
    let dash = || "\u{2013}".to_owned();
    let time = |ms: Option<f64>| ms.map_or_else(dash, self::ms);
    type Value<'a> = &'a dyn Fn(&Run) -> String;
    let rows: [(&str, Value<'_>); 8] = [
        ("breaks at", &|run| match run.breaking_point {
            Some(point) => number(point.load),
            None if !run.trusted && lowest_broken(&run.steps).is_some() => "not to be said".to_owned(),
            None => "did not break".to_owned(),
        }),
        ("because", &|run| run.breaking_point.map_or_else(dash, |point| words::broke(&point.broke))),
        ("highest held", &|run| run.highest_held.map_or_else(dash, number)),
        ("requests/s then", &|run| held(run).map_or_else(dash, |step| number(step.requests_per_s))),
        ("median then", &|run| time(held(run).and_then(|step| Some(step.response_time?.p50)))),
        ("p99 then", &|run| time(held(run).and_then(|step| Some(step.response_time?.p99)))),
        ("most answered requests/s", &|run| {
            run.steps.iter().map(served_per_s).max_by(f64::total_cmp).map_or_else(dash, number)
        }),
        ("to be trusted", &|run| if run.trusted { "yes".to_owned() } else { "no".to_owned() }),
    ];
    let rows: Vec<Row> = rows
        .into_iter()
        .map(|(name, value)| {
            let mut cells = vec![Cell::words(name)];
            cells.extend(runs.iter().map(|(_, run)| Cell::of(value(run), "words long first")));
            Row { cells, broke: false }
        })
        .collect();
    parts::table(into, "side by side", &[], &names(runs, ""), &rows);
}

fn every_load(into: &mut Markup, runs: &[(&str, &Run)]) {
    let mut loads: Vec<f64> =
        runs.iter().flat_map(|(_, run)| run.steps.iter().map(|step| step.load)).collect();
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    if loads.is_empty() {
        return;
    }
    parts::heading(
        into,
        "Every load",
        "Median and p99 of the load time, and what failed. Empty where a run did not try that load.",
    );
    let mut groups = vec![(String::new(), "1")];
    groups.extend(runs.iter().map(|(label, _)| ((*label).to_owned(), "3")));
    let mut head = vec![Cell::figure(unit(runs[0].1.model))];
    for tone in TONES.into_iter().cycle().take(runs.len()) {
        head.extend([Cell::of("median", "first").toned(tone), Cell::figure("p99"), Cell::figure("failed")]);
    }
    let row = |load: &f64| {
        let mut cells = vec![Cell::figure(number(*load))];
        for (_, run) in runs {
            match at(run, *load) {
                Some(step) => {
                    let class = if step.broke.is_some() { "bad" } else { "" };
                    let failed = failed_share(step).map_or_else(String::new, percent);
                    let time = |ms: Option<f64>| ms.map_or_else(|| "\u{2013}".to_owned(), self::ms);
                    cells.push(Cell::of(time(step.response_time.map(|times| times.p50)), class));
                    cells.push(Cell::of(time(step.response_time.map(|times| times.p99)), class));
                    cells.push(Cell::of(failed, if step.failed > 0 { "bad" } else { "quiet" }));
                }
                None => cells.extend(["", "", ""].map(Cell::figure)),
            }
        }
        Row { cells, broke: false }
    };
    parts::table(into, "every load", &groups, &head, &loads.iter().map(row).collect::<Vec<_>>());
}

/// What the runs were made with, and in what they differ.
fn conditions(into: &mut Markup, runs: &[(&str, &Run)]) {
    type Value<'a> = &'a dyn Fn(&Run) -> String;
    let machine = |run: &Run| {
        let machine = &run.machine;
        let shared = if machine.same_machine { ", shared with what is loaded" } else { "" };
        format!(
            "{} on {}{shared}",
            words::counted(machine.threads.into(), "thread"),
            words::counted(machine.cores.into(), "core")
        )
    };
    let rows: [(&str, Value<'_>); 8] = [
        ("loaded", &|run| run.url.clone()),
        ("began", &|run| words::moment(run.started_unix_ms)),
        ("load is", &|run| unit(run.model).to_owned()),
        ("journey", &|run| run.journey.name.clone()),
        ("think time", &|run| ms(run.think_ms)),
        ("objectives", &|run| words::objectives(&run.objectives)),
        ("generator", &machine),
        ("Tentpole", &|run| run.version.clone()),
    ];
    let mut differing = Vec::new();
    let rows: Vec<Row> = rows
        .into_iter()
        .map(|(name, value)| {
            let values: Vec<_> = runs.iter().map(|(_, run)| value(run)).collect();
            // A later run always begins later.
            let differs = name != "began" && values.iter().collect::<BTreeSet<_>>().len() > 1;
            if differs {
                differing.push(name);
            }
            let class = if differs { "words long first bad" } else { "words long first" };
            let mut cells = vec![Cell::words(name)];
            cells.extend(values.into_iter().map(|value| Cell::of(value, class)));
            Row { cells, broke: false }
        })
        .collect();
    let note = if differing.is_empty() {
        "The runs were made alike.".to_owned()
    } else {
        format!(
            "The runs differ in: {}. Whatever differs can be the cause of what is seen above.",
            differing.join(", ")
        )
    };
    parts::heading(into, "What they were made with", &note);
    parts::table(into, "what they were made with", &[], &names(runs, ""), &rows);
}
