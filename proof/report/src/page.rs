//! The page of one run: headline, the curve of load time against visitors, then everything that it rests on.

use crate::curves::{self, Charts, by_load, failed_share, most_frequent, served_per_s};
use crate::markup::Markup;
use crate::parts::{self, Cell, Row};
use crate::wire;
use crate::words::{self, counted, ms, number, percent, unit};
use tentpole_load::Run;
use tentpole_load::result::{JourneyStepResult, Model, Objective, Phase, StepResult};

/// The run as one HTML page that needs nothing beside itself.
pub fn html(run: &Run) -> String {
    let charts = curves::of_run(run);
    let mut body = Markup::default();
    parts::banners(&mut body, None, run);
    header(&mut body, run);
    parts::without_script(&mut body);
    crate::baseline::section(&mut body, run);
    load_times(&mut body, run, &charts);
    crate::found::section(&mut body, run);
    throughput(&mut body, run, &charts);
    steps(&mut body, run);
    failures(&mut body, run);
    journey(&mut body, run);
    wire::tags(&mut body, run, broke_step(run).or_else(|| held_step(run)));
    wire::connections(&mut body, run);
    over_time(&mut body, run, &charts);
    crate::spread::section(&mut body, run, &charts);
    method(&mut body, run);
    footer(&mut body, run);
    let title = format!("{} {}", words::verdict_parts(run).0, run.url);
    parts::document(&title, &body, &charts, Some(run))
}

/// The step at the highest load that held.
fn held_step(run: &Run) -> Option<&StepResult> {
    let load = run.highest_held?;
    run.steps.iter().rfind(|step| step.held && step.load.total_cmp(&load).is_eq())
}

/// The step at the breaking point.
fn broke_step(run: &Run) -> Option<&StepResult> {
    let load = run.breaking_point?.load;
    run.steps.iter().find(|step| step.broke.is_some() && step.load.total_cmp(&load).is_eq())
}

fn header(into: &mut Markup, run: &Run) {
    let (headline, rest) = words::verdict_parts(run);
    into.raw("<header>\n<p class=\"eyebrow\">Load on ").text(&run.url).raw(" \u{b7} ");
    into.text(words::moment(run.started_unix_ms)).raw("</p>\n<h1>").text(headline).raw("</h1>\n");
    if !rest.is_empty() {
        into.raw("<p class=\"lede\">").text(rest).raw("</p>\n");
    }
    parts::figures(into, &remembered(run));
    if let Some(few) = words::few(run) {
        into.raw("<p class=\"note\">").text(few).raw("</p>\n");
    }
    into.raw("</header>\n");
}

fn remembered(run: &Run) -> Vec<(String, String, &'static str)> {
    let mut figures = Vec::new();
    // Of a search the end of its interval, as the headline says it, and not the one load that is most probable.
    let by = run.found.as_ref().and_then(|found| found.breaks).map(|load| ("breaks by", load));
    let at = run.breaking_point.map(|point| ("breaks at", point.load));
    if let Some((how, load)) = by.or(at).filter(|_| run.breaking_point.is_some()) {
        figures.push((format!("{how} ({})", unit(run.model)), number(load), "bad"));
    }
    if let Some(held) = run.highest_held {
        figures.push((format!("holds ({})", unit(run.model)), number(held), "good"));
    }
    if let Some(step) = held_step(run) {
        let load = number(step.load);
        let mut push = |what: &str, value: String| figures.push((format!("{what} at {load}"), value, ""));
        if let Some(times) = &step.response_time {
            push("median", ms(times.p50));
            push("p99", ms(times.p99));
        }
        push("requests/s", number(step.requests_per_s));
        push("failed", failed_share(step).map_or_else(|| "\u{2013}".to_owned(), percent));
    }
    figures
}

fn load_times(into: &mut Markup, run: &Run, charts: &Charts) {
    if run.steps.is_empty() {
        return;
    }
    let (title, whom) = match run.model {
        Model::Closed => ("Load time against visitors", "how many visit at once"),
        Model::Open => ("Load time against journeys per second", "how many journeys begin each second"),
    };
    let mut note = format!(
        "What a visitor waits for a response, by {whom}. Only successful responses have a load time; failures are \
         drawn below, as failures."
    );
    if run
        .steps
        .iter()
        .any(|step| failed_share(step).is_some_and(|share| share > 0.5) && step.failed < step.requests)
    {
        note += " Where more than half of the requests failed there is no point: the few that got through say \
                 nothing about the others.";
    }
    parts::heading(into, title, &note);
    parts::chart(into, charts, "load-time");
    parts::chart(into, charts, "failures");
}

fn throughput(into: &mut Markup, run: &Run, charts: &Charts) {
    if run.steps.is_empty() {
        return;
    }
    let best = run.steps.iter().max_by(|a, b| served_per_s(a).total_cmp(&served_per_s(b)));
    let note = best.map(|step| {
        format!(
            "Most were answered at {}: {} per second.",
            words::load(step.load, run.model),
            words::of_these(served_per_s(step), "request")
        )
    });
    parts::heading(into, "Throughput", &note.unwrap_or_default());
    parts::chart(into, charts, "throughput");
}

fn steps(into: &mut Markup, run: &Run) {
    if run.steps.is_empty() {
        return;
    }
    let note = format!(
        "Objectives: {}. Load times of successful responses, from the moment at which a visitor wanted to ask.",
        words::objectives(&run.objectives)
    );
    parts::heading(into, "Every step", &note);
    let head: Vec<Cell> =
        ["requests/s", "median", "p90", "p99", "p99.9", "max", "failed"].map(Cell::figure).into();
    let head: Vec<Cell> = [Cell::figure(unit(run.model))]
        .into_iter()
        .chain(head)
        .chain([Cell::of("verdict", "words first")])
        .collect();
    let rows: Vec<Row> = run.steps.iter().map(step_row).collect();
    parts::table(into, "every step", &[], &head, &rows);
    if run.steps.iter().any(|step| step.phase == Phase::Refine) {
        into.raw("<p class=\"note\">* to find the breaking point more closely</p>\n");
    }
}

fn step_row(step: &StepResult) -> Row {
    let refined = if step.phase == Phase::Refine { "*" } else { "" };
    let times = step.response_time.as_ref();
    let mut cells = vec![
        Cell::figure(format!("{}{refined}", number(step.load))),
        Cell::figure(number(step.requests_per_s)),
    ];
    cells.extend([
        Cell::time(times.map(|times| times.p50)),
        Cell::time(times.map(|times| times.p90)),
        Cell::time(times.map(|times| times.p99)),
        Cell::time(times.map(|times| times.p999)),
        Cell::time(times.map(|times| times.max)),
        Cell::failed(step.failed, failed_share(step)),
        Cell::of(
            words::step_verdict(step),
            if step.held { "words long first good" } else { "words long first" },
        ),
    ]);
    Row { cells, broke: step.broke.is_some() }
}

fn failures(into: &mut Markup, run: &Run) {
    let causes = most_frequent(run);
    if causes.is_empty() {
        return;
    }
    parts::heading(
        into,
        "What failed",
        "Requests by cause; one cause each. Right: error statuses that were answered.",
    );
    let head: Vec<Cell> = [Cell::figure(unit(run.model)), Cell::figure("requests"), Cell::figure("failed")]
        .into_iter()
        .chain(causes.iter().map(|cause| Cell::figure(cause.words())))
        .chain([Cell::of("statuses", "words first")])
        .collect();
    let row = |step: &StepResult| {
        let mut cells = vec![
            Cell::figure(number(step.load)),
            Cell::figure(words::count(step.requests)),
            Cell::failed(step.failed, failed_share(step)),
        ];
        cells.extend(causes.iter().map(|cause| Cell::failed(*step.failures.get(cause).unwrap_or(&0), None)));
        let statuses = step.statuses.iter().filter(|(status, count)| **status >= 400 && **count > 0);
        let statuses: Vec<_> =
            statuses.map(|(status, count)| format!("{status} \u{d7} {}", words::count(*count))).collect();
        cells.push(Cell::of(statuses.join(", "), "words long first"));
        Row { cells, broke: step.broke.is_some_and(|broke| broke.objective == Objective::Errors) }
    };
    let rows: Vec<Row> = run.steps.iter().filter(|step| step.failed > 0).map(row).collect();
    parts::table(into, "failures by cause", &[], &head, &rows);
}

fn journey(into: &mut Markup, run: &Run) {
    let names = &run.journey.steps;
    let steps = by_load(run);
    let Some(calm) = steps.first() else { return };
    if names.len() < 2 {
        return;
    }
    let mut shown: Vec<(&'static str, &StepResult)> = vec![("at ", calm)];
    let more = [("holds ", held_step(run)), ("breaks at ", broke_step(run))];
    shown.extend(
        more.into_iter()
            .filter_map(|(what, step)| Some((what, step?)))
            .filter(|(_, s)| s.number != calm.number),
    );
    if shown.len() == 1 {
        shown.extend(steps.last().filter(|last| last.number != calm.number).map(|last| ("at ", *last)));
    }
    let last = shown[shown.len() - 1].1;
    parts::heading(into, "Step by step of the journey", &slowest(run, calm, last));
    let columns = if shown.iter().any(|(_, step)| step.failed > 0) { ("3", 3) } else { ("2", 2) };
    let mut groups = vec![(run.journey.name.clone(), "1")];
    groups.extend(
        shown.iter().map(|(what, step)| (format!("{what}{}", words::load(step.load, run.model)), columns.0)),
    );
    let mut head = vec![Cell::words("step")];
    for _ in &shown {
        head.extend(
            [Cell::of("median", "first"), Cell::figure("p99"), Cell::figure("failed")]
                .into_iter()
                .take(columns.1),
        );
    }
    let row = |name: &String| {
        let mut cells = vec![Cell::words(name.clone())];
        for (_, step) in &shown {
            let found = find(step, name);
            let share = found.filter(|one| one.count > 0).map(share_of);
            let all = [
                Cell::time(found.and_then(|one| one.p50_ms)),
                Cell::time(found.and_then(|one| one.p99_ms)),
                Cell::failed(found.map_or(0, |one| one.failed), share),
            ];
            cells.extend(all.into_iter().take(columns.1));
        }
        Row { cells, broke: false }
    };
    parts::table(into, "steps of the journey", &groups, &head, &names.iter().map(row).collect::<Vec<_>>());
    every_journey_step(into, run, names, &steps);
}

fn find<'a>(step: &'a StepResult, name: &str) -> Option<&'a JourneyStepResult> {
    step.journey_steps.iter().find(|one| one.name == name)
}

#[allow(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
fn share_of(step: &JourneyStepResult) -> f64 {
    step.failed as f64 / step.count as f64
}

/// Which step of the journey is the slowest under load, and what that was when it was calm.
fn slowest(run: &Run, calm: &StepResult, last: &StepResult) -> String {
    let timed = last.journey_steps.iter().filter_map(|one| Some((one, one.p99_ms?)));
    let Some((one, p99)) = timed.max_by(|a, b| a.1.total_cmp(&b.1)) else {
        return String::new();
    };
    let before = find(calm, &one.name).and_then(|one| one.p99_ms).filter(|ms| *ms > 0.0);
    let then = match before {
        Some(before) if calm.number != last.number => {
            format!(", {} what it took at {}", words::times(p99 / before), words::load(calm.load, run.model))
        }
        _ => String::new(),
    };
    let load = words::load(last.load, run.model);
    format!("Slowest at {load}: \u{201c}{}\u{201d}, p99 {}{then}.", one.name, ms(p99))
}

fn every_journey_step(into: &mut Markup, run: &Run, names: &[String], steps: &[&StepResult]) {
    into.raw("<details><summary>Each step of the journey at every load: p99, and what failed</summary>\n");
    let mut head = vec![Cell::figure(unit(run.model))];
    head.extend(names.iter().map(|name| Cell::figure(name.clone())));
    let row = |step: &&StepResult| {
        let mut cells = vec![Cell::figure(number(step.load))];
        cells.extend(names.iter().map(|name| match find(step, name) {
            Some(one) if one.failed > 0 && one.count > 0 => {
                let time = one.p99_ms.map(|time| format!("{}, ", ms(time))).unwrap_or_default();
                Cell::of(format!("{time}{} failed", percent(share_of(one))), "bad")
            }
            found => Cell::time(found.and_then(|one| one.p99_ms)),
        }));
        Row { cells, broke: step.broke.is_some() }
    };
    parts::table(
        into,
        "steps of the journey at every load",
        &[],
        &head,
        &steps.iter().map(row).collect::<Vec<_>>(),
    );
    into.raw("</details>\n");
}

fn over_time(into: &mut Markup, run: &Run, charts: &Charts) {
    if run.seconds.is_empty() {
        return;
    }
    let each = match run.second_width {
        0 | 1 => "second".to_owned(),
        width => format!("{width} seconds"),
    };
    let note = format!(
        "Each {each} of the run, ramps between the steps included. A gap in the load time: nothing succeeded."
    );
    parts::heading(into, "Over time", &note);
    for name in ["time-load-time", "time-requests", "time-visitors"] {
        parts::chart(into, charts, name);
    }
}

fn method(into: &mut Markup, run: &Run) {
    parts::heading(into, "How it was measured", "");
    into.raw("<ul class=\"method\">\n");
    let mut line = |text: String| {
        into.raw("<li>").text(text).raw("</li>\n");
    };
    line(match run.model {
        Model::Closed => "Each visitor waits for his answer before he goes on, as people do.".to_owned(),
        Model::Open => {
            "Journeys begin at a rate, whether or not earlier ones have ended, as people come.".to_owned()
        }
    });
    if run.think_ms > 0.0 {
        line(format!("Between two requests a visitor thinks, {} on average.", ms(run.think_ms)));
    }
    line(response_and_service(run));
    line("A step is judged after its ramp. Percentiles are of all requests of the step, not of samples or of means.".to_owned());
    let lag = run.steps.iter().map(|step| step.lag_p99_us).max();
    let cpu = run.steps.iter().map(|step| step.generator_cpu_share).max_by(f64::total_cmp);
    if let (Some(lag), Some(cpu)) = (lag, cpu) {
        #[allow(clippy::cast_precision_loss, reason = "microseconds of a delay are far below 2^53")]
        let lag = ms(lag as f64 / 1000.0);
        line(format!(
            "The generator itself was at most {lag} late (p99 of the worst step) and used at most {} of its CPU.",
            percent(cpu)
        ));
    }
    let (connects, reconnects) = run
        .steps
        .iter()
        .fold((0, 0), |(c, r): (u64, u64), s| (c.saturating_add(s.connects), r.saturating_add(s.reconnects)));
    let received = run.steps.iter().fold(0u64, |sum, step| sum.saturating_add(step.bytes));
    line(format!(
        "{} opened, {} made anew because the other side had closed a kept one, {} received.",
        counted(connects, "connection"),
        words::count(reconnects),
        words::bytes(received)
    ));
    into.raw("</ul>\n");
    let machine = &run.machine;
    let pinned: Vec<_> = machine.pinned.iter().map(ToString::to_string).collect();
    let pinned = if pinned.is_empty() { String::new() } else { format!(", pinned to {}", pinned.join(", ")) };
    let shared = if machine.same_machine {
        "; it is also the machine that was loaded, and both share its cores"
    } else {
        ""
    };
    parts::facts(
        into,
        &[
            ("Loaded", run.url.clone()),
            (
                "Began",
                format!("{}, took {}", words::moment(run.started_unix_ms), words::duration(run.took_s)),
            ),
            ("Journey", run.journey.name.clone()),
            ("Visitors from", sources(run)),
            ("Objectives", words::objectives(&run.objectives)),
            (
                "Generator",
                format!(
                    "{} on {}{pinned}{shared}",
                    counted(machine.threads.into(), "thread"),
                    counted(machine.cores.into(), "core")
                ),
            ),
            ("Agents", agents(run)),
            ("Seed", run.seed.to_string()),
            ("Made by", format!("Tentpole {}", run.version)),
        ],
    );
}

/// Which addresses of this machine visitors came from: all of a few, the ends of many.
fn sources(run: &Run) -> String {
    match run.sources.as_slice() {
        [] => "the address that the system chose".to_owned(),
        few @ [..] if few.len() <= 8 => few.join(", "),
        [first, .., last] => format!("{} addresses, {first} to {last}", run.sources.len()),
        [one] => one.clone(),
    }
}

/// The agents that made the load.
fn agents(run: &Run) -> String {
    if run.agents.is_empty() {
        return "none: this machine alone".to_owned();
    }
    let one = |agent: &tentpole_load::result::AgentResult| {
        let mut of = vec![counted(agent.threads.into(), "thread")];
        if !agent.pinned.is_empty() {
            let cores: Vec<String> = agent.pinned.iter().map(ToString::to_string).collect();
            of.push(format!("on cores {}", cores.join(" ")));
        }
        match agent.sources.as_slice() {
            [] => {}
            [one] => of.push(format!("from {one}")),
            [first, .., last] => {
                of.push(format!("from {} addresses, {first} to {last}", agent.sources.len()))
            }
        }
        format!("{} ({})", agent.name, of.join(", "))
    };
    run.agents.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The difference between the two times, in one sentence and in figures of this run.
fn response_and_service(run: &Run) -> String {
    let mut text =
        "A load time counts from the moment at which a visitor wanted to ask, so that waiting for a turn is \
                    part of it; the service time counts from the moment at which the request was really begun"
            .to_owned();
    let step = broke_step(run).or_else(|| held_step(run)).or(run.steps.last());
    let both = step.and_then(|step| Some((step, step.response_time?, step.service_time?)));
    if let Some((step, response, service)) = both {
        let load = words::load(step.load, run.model);
        text += &format!(". At {load} their p99 were {} and {}", ms(response.p99), ms(service.p99));
    }
    text + "."
}

fn footer(into: &mut Markup, run: &Run) {
    into.raw("<footer>\n<h3>To do it again</h3>\n<pre>").text(&run.command).raw("</pre>\n");
    into.raw("<p class=\"note\">The same seed makes the same choices. Change one thing, run it again, and lay both reports over one another:</p>\n");
    into.raw("<pre>tentpole report before/report.json after/report.json</pre>\n</footer>\n");
}
