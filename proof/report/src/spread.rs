//! Where resolvers led the load: a sentence, the share of each address second by second, and a table. Only in a run with a
//! population of resolvers.

use crate::curves::{Chart, Charts, Series, Value};
use crate::markup::Markup;
use crate::parts::{self, Cell, Row};
use crate::words::{counted, number, percent};
use tentpole_load::Run;
use tentpole_load::result::{Spread, SpreadSecond};

/// Addresses that have a line of their own; the others are one line together.
const LINES_MAX: usize = 6;
const TONES: [&str; LINES_MAX + 1] = ["1", "2", "3", "4", "5", "6", "muted"];
const CHARTS: [&str; 2] = ["spread-share", "spread-sessions"];

/// What is to be said of it, without the addresses.
pub fn sentences(spread: &Spread) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(words) = spread.words(percent) {
        all.push(format!("{} by {}: {words}.", spread.name, counted(spread.resolvers.into(), "resolver")));
    }
    if let Some(why) = spread.trouble.as_ref().filter(|_| spread.look_ups_failed > 0) {
        all.push(format!(
            "{} had no address for their visitor: {why}.",
            counted(spread.look_ups_failed, "look-up")
        ));
    }
    all
}

/// Draws what there is.
pub(crate) fn charts(run: &Run, charts: &mut Charts) {
    let Some(spread) = run.spread.as_ref().filter(|spread| !spread.seconds.is_empty()) else { return };
    let [share, sessions] = CHARTS;
    let wide = f64::from(run.second_width.max(1));
    let of = |second: &SpreadSecond, from: usize, to: usize| -> u64 {
        second.sessions.iter().take(to).skip(from).sum()
    };
    // Of a few sessions, as in the last part of a second, shares say nothing.
    let judged =
        |second: &SpreadSecond| if second.busiest().is_some() { second.sessions.iter().sum() } else { 0 };
    let lines = |value: &dyn Fn(u64, u64) -> Value| -> Vec<Series> {
        let own = spread.edges.len().min(LINES_MAX);
        let mut parts: Vec<_> =
            (0..own).map(|place| (spread.edges[place].address.clone(), place, place + 1)).collect();
        if spread.edges.len() > own {
            let others = format!("{} others", spread.edges.len() - own);
            parts.push((others, own, spread.edges.len()));
        }
        let line = |((name, from, to), tone): ((String, usize, usize), &'static str)| Series {
            name,
            values: spread.seconds.iter().map(|second| value(of(second, from, to), judged(second))).collect(),
            tone,
            dashed: false,
            points: false,
        };
        parts.into_iter().zip(TONES).map(line).collect()
    };
    let base = || Chart {
        x: spread.seconds.iter().map(|second| second.at_s).collect(),
        x_format: "clock",
        x_time: true,
        gutter: 52,
        ..Chart::default()
    };
    #[allow(clippy::cast_precision_loss, reason = "drawn to the pixel")]
    let share_of = |part: u64, all: u64| Value::from((all > 0).then(|| part as f64 / all as f64));
    charts.insert(
        share,
        Chart {
            series: lines(&share_of),
            y_label: "share of new sessions",
            y_format: "percent",
            height: 220,
            no_value: "no session began",
            ..base()
        },
    );
    #[allow(clippy::cast_precision_loss, reason = "drawn to the pixel")]
    let per_s = |part: u64, _: u64| Value::At(part as f64 / wide);
    charts.insert(
        sessions,
        Chart {
            series: lines(&per_s),
            y_label: "new sessions per second",
            y_format: "number",
            x_label: "since the start",
            height: 160,
            ..base()
        },
    );
}

/// The part of the page.
pub(crate) fn section(into: &mut Markup, run: &Run, charts: &Charts) {
    let Some(spread) = &run.spread else { return };
    let note = sentences(spread).join(" ");
    parts::heading(into, "Load of each address", &note);
    for name in CHARTS {
        parts::chart(into, charts, name);
    }
    let head: Vec<Cell> = [Cell::words("address")]
        .into_iter()
        .chain(["sessions", "share", "requests", "failed"].map(Cell::figure))
        .collect();
    let rows: Vec<Row> = spread
        .edges
        .iter()
        .zip(spread.shares())
        .map(|(edge, share)| Row {
            cells: vec![
                Cell::words(edge.address.clone()),
                Cell::figure(crate::words::count(edge.sessions)),
                Cell::figure(percent(share)),
                Cell::figure(crate::words::count(edge.requests)),
                Cell::failed(edge.failed, None),
            ],
            broke: false,
        })
        .collect();
    parts::table(into, "load of each address", &[], &head, &rows);
    let ttl = spread.ttl_s.map_or_else(|| "unknown".to_owned(), |ttl| format!("{ttl} s"));
    parts::facts(
        into,
        &[
            (
                "Asked",
                format!("{}, {}", spread.name_servers.join(", "), counted(spread.questions, "question")),
            ),
            (
                "Answers",
                format!(
                    "{}, TTL {ttl}",
                    if spread.answer_addresses == 1 {
                        "one address".to_owned()
                    } else {
                        format!("{} addresses", spread.answer_addresses)
                    }
                ),
            ),
            (
                "Resolvers",
                format!(
                    "{}, sizes {} (the largest has {} of the visitors), order {}",
                    number(spread.resolvers.into()),
                    spread.sizes,
                    percent(spread.largest_share),
                    spread.policies
                ),
            ),
            ("Visitors take", spread.clients.clone()),
        ],
    );
}
