//! What happened below the pages: connections, handshakes, messages; and groups of steps by their tags.

use crate::markup::Markup;
use crate::parts::{self, Cell, Row};
use crate::words::{self, number, percent, unit};
use tentpole_load::Run;
use tentpole_load::result::{JourneyStepResult, StepResult, Times};

/// Handshakes and messages of every step of load; nothing where there were none of either.
#[allow(clippy::cast_precision_loss, reason = "shares are shown with three digits")]
pub fn connections(into: &mut Markup, run: &Run) {
    let has = |of: fn(&StepResult) -> bool| run.steps.iter().any(of);
    let (tls, http2, messages) = (
        has(|step| step.handshake_time.is_some()),
        has(|step| step.http2 > 0),
        has(|step| step.message_time.is_some()),
    );
    if !tls && !http2 && !messages {
        return;
    }
    let mut note =
        "The time for a connection and its handshake is part of the load time of the page that needed it."
            .to_owned();
    if messages {
        note += " A message's time is from when it was sent to its answer.";
    }
    parts::heading(into, "Connections", &note);
    let mut groups = vec![(String::new(), "1"), ("TCP".to_owned(), "3")];
    let mut head = vec![Cell::figure(unit(run.model))];
    head.extend([Cell::of("opened", "first"), Cell::figure("median"), Cell::figure("p99")]);
    for (name, _) in
        [("TLS handshakes", tls), ("messages (WebSocket)", messages)].iter().filter(|(_, is)| *is)
    {
        groups.push(((*name).to_owned(), "3"));
        head.extend([Cell::of("number", "first"), Cell::figure("median"), Cell::figure("p99")]);
    }
    if http2 {
        groups.push((String::new(), "1"));
        head.push(Cell::of("by HTTP/2", "first"));
    }
    let row = |step: &StepResult| {
        let mut cells = vec![Cell::figure(number(step.load)), Cell::of(words::count(step.connects), "first")];
        times(&mut cells, step.connect_time.as_ref());
        for (of, is) in [(&step.handshake_time, tls), (&step.message_time, messages)] {
            if is {
                cells.push(Cell::of(words::count(of.map_or(0, |times| times.count)), "first"));
                times(&mut cells, of.as_ref());
            }
        }
        if http2 {
            let share = step.http2 as f64 / step.requests.max(1) as f64;
            cells.push(Cell::of(percent(share), "first"));
        }
        Row { cells, broke: step.broke.is_some() }
    };
    parts::table(into, "connections", &groups, &head, &run.steps.iter().map(row).collect::<Vec<_>>());
}

fn times(cells: &mut Vec<Cell>, times: Option<&Times>) {
    cells.push(Cell::time(times.map(|times| times.p50)));
    cells.push(Cell::time(times.map(|times| times.p99)));
}

/// The figures of each tag at the load that matters most, and below it at every load; nothing where no step has one.
pub fn tags(into: &mut Markup, run: &Run, most: Option<&StepResult>) {
    let Some(most) = most.or(run.steps.last()).filter(|step| !step.tags.is_empty()) else { return };
    let note = format!(
        "Steps of the journeys with the same tag, together, at {}.",
        words::load(most.load, run.model)
    );
    parts::heading(into, "By tag", &note);
    let columns = || ["requests", "median", "p95", "p99", "failed"].map(Cell::figure);
    let head: Vec<Cell> = [Cell::words("tag")].into_iter().chain(columns()).collect();
    let row = |tag: &JourneyStepResult| Row {
        cells: [Cell::words(tag.name.clone())].into_iter().chain(figures(tag)).collect(),
        broke: false,
    };
    parts::table(into, "tags", &[], &head, &most.tags.iter().map(row).collect::<Vec<_>>());
    into.raw("<details><summary>Each tag at every load</summary>\n");
    let head: Vec<Cell> = [Cell::figure(unit(run.model)), Cell::of("tag", "words first")]
        .into_iter()
        .chain(columns())
        .collect();
    let mut rows = Vec::new();
    for step in &run.steps {
        for tag in &step.tags {
            let first = [Cell::figure(number(step.load)), Cell::of(tag.name.clone(), "words first")];
            rows.push(Row {
                cells: first.into_iter().chain(figures(tag)).collect(),
                broke: step.broke.is_some(),
            });
        }
    }
    parts::table(into, "tags at every load", &[], &head, &rows);
    into.raw("</details>\n");
}

#[allow(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
fn figures(tag: &JourneyStepResult) -> [Cell; 5] {
    let share = (tag.count > 0).then(|| tag.failed as f64 / tag.count as f64);
    [
        Cell::figure(words::count(tag.count)),
        Cell::time(tag.p50_ms),
        Cell::time(tag.p95_ms),
        Cell::time(tag.p99_ms),
        Cell::failed(tag.failed, share),
    ]
}
