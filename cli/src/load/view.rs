//! How a run is shown while it goes: redrawn in place on a terminal, otherwise one line a step. The lines are made by
//! pure functions; the rest writes them.

use crate::load::words;
use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use tentpole_load::result::{Objective, Objectives, Phase};
use tentpole_load::verdict::{self, LAG_US_MAX, Seen};
use tentpole_load::{Event, Live, Plan};

/// Seconds in the small curve.
const CURVE_SECONDS: usize = 40;
/// Width when the terminal does not tell.
const WIDTH_USUAL: usize = 80;
/// A step that lasts longer gets a line every [`LINE_EVERY`] seconds when nothing is redrawn.
const LONG_STEP_S: f64 = 15.0;
const LINE_EVERY: u32 = 5;

/// Makes the cursor visible again; harmless where it is.
pub const SHOW_CURSOR: &str = "\x1b[?25h";

/// The view of one run.
pub struct View {
    redraws: bool,
    url: String,
    unit: &'static str,
    objectives: Objectives,
    head: String,
    curve: VecDeque<Option<f64>>,
    /// Lines of the live part that stand on the terminal now.
    drawn: usize,
    seconds: u32,
    stage_s: f64,
    is_refining: bool,
}

impl View {
    /// A view that fits where standard output goes.
    pub fn new(plan: &Plan, plain: bool) -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            redraws: !plain && std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb,
            url: plan.url.to_string(),
            unit: plan.model.unit(),
            objectives: plan.objectives,
            head: words::head(plan.model),
            curve: VecDeque::with_capacity(CURVE_SECONDS),
            drawn: 0,
            seconds: 0,
            stage_s: 0.0,
            is_refining: false,
        }
    }

    /// Whether it takes the cursor.
    pub fn redraws(&self) -> bool {
        self.redraws
    }

    /// Shows the beginning.
    pub fn begin(&mut self) {
        let objectives: Vec<String> =
            words::objectives(&self.objectives).into_iter().map(|(_, text)| text).collect();
        let hide = if self.redraws { "\x1b[?25l" } else { "" };
        let until = if objectives.is_empty() { "no objectives".to_owned() } else { objectives.join(", ") };
        put(&format!("{hide}Loading {} ({until})\n{}\n", self.url, self.head));
    }

    /// Shows what happened.
    pub fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Began { next, .. } => {
                self.stage_s = next.stage.time.as_secs_f64();
                self.seconds = 0;
                if next.phase == Phase::Refine && !self.is_refining {
                    self.is_refining = true;
                    self.print("           now between the last load that held and the first that broke:");
                }
            }
            Event::Second(live) => {
                self.seconds += 1;
                if self.curve.len() == CURVE_SECONDS {
                    self.curve.pop_front();
                }
                self.curve.push_back(live.second.p99_ms);
                if self.redraws {
                    let curve: Vec<Option<f64>> = self.curve.iter().copied().collect();
                    self.draw(&lines(live, self.unit, &self.objectives, &curve, width()));
                } else if self.stage_s > LONG_STEP_S
                    && self.seconds.is_multiple_of(LINE_EVERY)
                    && !live.is_ramp
                {
                    self.print(&plain(live, self.unit));
                }
            }
            Event::Ended(step) => self.print(&words::step(step)),
        }
    }

    /// Takes the live part away and gives the cursor back.
    pub fn end(&mut self) {
        if self.redraws {
            self.draw(&[]);
            put(SHOW_CURSOR);
        }
    }

    /// A line that stays, above the live part.
    fn print(&mut self, line: &str) {
        self.draw(&[]);
        put(&format!("{line}\n"));
    }

    fn draw(&mut self, lines: &[String]) {
        if self.drawn > 0 {
            put(&format!("\x1b[{}A\r\x1b[J", self.drawn));
        }
        self.drawn = lines.len();
        if !lines.is_empty() {
            put(&format!("{}\n", lines.join("\n")));
        }
    }
}

/// Nobody reading is no reason to stop measuring.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn width() -> usize {
    let told = rustix::termios::tcgetwinsize(std::io::stdout()).map(|size| usize::from(size.ws_col));
    told.ok().filter(|width| *width > 0).unwrap_or(WIDTH_USUAL)
}

/// The live part, each line no wider than `width`.
fn lines(
    live: &Live<'_>,
    unit: &str,
    objectives: &Objectives,
    curve: &[Option<f64>],
    width: usize,
) -> Vec<String> {
    let stage = match live {
        live if live.is_ramp => "getting there".to_owned(),
        live if live.left_s <= 0.0 => "waiting for the last responses".to_owned(),
        live => format!("{:.0} s left", live.left_s.ceil()),
    };
    let second = live.second;
    let of = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), words::time);
    let late = if live.lag_p99_us > LAG_US_MAX { " (too late: not to be trusted)" } else { "" };
    let mut all = vec![
        format!("step {}: {} {unit}, {stage}", live.number, words::number(live.load)),
        format!(
            "  now {:>7} req/s   median {:>7}   p99 {:>7}   failed {}",
            words::number(second.requests as f64),
            of(second.p50_ms),
            of(second.p99_ms),
            words::number(second.failed as f64),
        ),
        format!("  generator's own lag {}{late}", words::time(live.lag_p99_us as f64 / 1_000.0)),
        format!("  p99 {}", spark(curve, width.saturating_sub(6))),
        format!("  {}", states(objectives, &live.seen).join("   ")),
    ];
    for line in &mut all {
        if line.chars().count() > width {
            *line = line.chars().take(width).collect();
        }
    }
    all
}

/// Each objective and whether it holds so far.
fn states(objectives: &Objectives, seen: &Seen) -> Vec<String> {
    let alone = |objective: Objective| Objectives {
        p50_ms: objectives.p50_ms.filter(|_| objective == Objective::P50),
        p99_ms: objectives.p99_ms.filter(|_| objective == Objective::P99),
        errors_share: objectives.errors_share.filter(|_| objective == Objective::Errors),
    };
    let state = |(objective, text): (Objective, String)| {
        let mark = match verdict::broke(&alone(objective), seen) {
            Some(_) => '✗',
            None if seen.requests == 0 => '·',
            None => '✓',
        };
        format!("{text} {mark}")
    };
    words::objectives(objectives).into_iter().map(state).collect()
}

/// A small curve of the last values; a second without success is a gap, never a low value.
fn spark(values: &[Option<f64>], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &values[values.len().saturating_sub(width)..];
    let highest = shown.iter().flatten().fold(0.0, |a: f64, b| a.max(*b));
    let bar = |value: &Option<f64>| match value {
        None => ' ',
        Some(value) if highest > 0.0 => BARS[((value / highest * 7.0).round() as usize).min(7)],
        Some(_) => BARS[0],
    };
    shown.iter().map(bar).collect()
}

/// One line about a second.
fn plain(live: &Live<'_>, unit: &str) -> String {
    let of = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), words::time);
    format!(
        "           {} {unit}, {:.0} s left: {} req/s, median {}, p99 {}, {} failed",
        words::number(live.load),
        live.left_s.max(0.0).round(),
        words::number(live.second.requests as f64),
        of(live.seen.p50_ms),
        of(live.seen.p99_ms),
        live.seen.failed,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_load::result::Second;

    fn second() -> Second {
        Second {
            at_s: 3.0,
            visitors: 80,
            requests: 512,
            failed: 3,
            p50_ms: Some(12.0),
            p99_ms: Some(2_400.0),
        }
    }

    fn drawn(width: usize) -> Vec<String> {
        let second = second();
        let seen = Seen { requests: 1_000, failed: 0, p50_ms: Some(12.0), p99_ms: Some(2_400.0) };
        let live = Live {
            number: 4,
            load: 80.0,
            left_s: 5.2,
            is_ramp: false,
            second: &second,
            seen,
            lag_p99_us: 80,
        };
        let curve = [Some(10.0), None, Some(2_400.0), Some(1_200.0)];
        lines(&live, "visitors", &Objectives::default(), &curve, width)
    }

    #[test]
    fn the_live_part_fits_80_columns_and_shows_what_matters() {
        let drawn = drawn(80);
        assert!(drawn.iter().all(|line| line.chars().count() <= 80), "{drawn:#?}");
        assert_eq!(drawn[0], "step 4: 80 visitors, 6 s left");
        assert_eq!(drawn[1], "  now     512 req/s   median   12 ms   p99   2.4 s   failed 3");
        assert_eq!(drawn[3], "  p99 ▁ █▅");
        assert_eq!(drawn[4], "  median < 500 ms ✓   p99 < 2 s ✗   errors < 1 % ✓");
    }

    #[test]
    fn a_narrow_terminal_gets_narrow_lines() {
        for width in [1, 5, 20, 40] {
            assert!(drawn(width).iter().all(|line| line.chars().count() <= width));
        }
    }
}
