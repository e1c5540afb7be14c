//! How a run is shown while it goes: redrawn in place on a terminal, otherwise one line a step. The lines are made by
//! pure functions; the rest writes them.

use crate::load::searching::{self, Known};
use crate::load::words;
use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use tentpole_load::result::{Model, Objective, Objectives, Phase};
use tentpole_load::verdict::{self, Seen};
use tentpole_load::{Event, Live, Plan};
use tentpole_report::words::{ms, number};
use tentpole_search::Step;

/// Seconds in the small curve.
const CURVE_SECONDS: usize = 40;
/// Width when the terminal does not tell.
const WIDTH_USUAL: usize = 80;
const HEIGHT_USUAL: usize = 24;
/// A step that lasts longer gets a line every [`LINE_EVERY`] seconds when nothing is redrawn.
const LONG_STEP_S: f64 = 15.0;
const LINE_EVERY: u32 = 5;

const HIDE_CURSOR: &str = "\x1b[?25l";
/// Makes the cursor visible again; harmless where it is.
pub const SHOW_CURSOR: &str = "\x1b[?25h";

/// The view of one run.
pub struct View {
    redraws: bool,
    url: String,
    model: Model,
    objectives: Objectives,
    /// Whose the lines are, where several are loaded in turns.
    place: Option<String>,
    /// Until it has been shown.
    head: Option<String>,
    curve: VecDeque<Option<f64>>,
    /// The live part as it stands on the terminal now: how wide each of its lines is.
    drawn: Vec<usize>,
    is_hidden: bool,
    seconds: u32,
    stage_s: f64,
    is_refining: bool,
    /// Of a search: the trial's number, and what was known before it.
    trial: Option<(u32, Known)>,
}

impl View {
    /// A view that fits where standard output goes.
    pub fn new(plan: &Plan, plain: bool) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self {
            redraws: !plain && std::io::stdout().is_terminal() && !is_dumb,
            url: plan.url.to_string(),
            model: plan.model,
            place: None,
            objectives: plan.objectives,
            head: Some(words::head(plan.model)),
            curve: VecDeque::with_capacity(CURVE_SECONDS),
            drawn: Vec::new(),
            is_hidden: false,
            seconds: 0,
            stage_s: 0.0,
            is_refining: false,
            trial: None,
        }
    }

    /// From now on everything is about the place of this name.
    pub fn at(&mut self, place: &str) {
        if self.place.as_deref() != Some(place) {
            self.place = Some(place.to_owned());
            // The curve was another one's.
            self.curve.clear();
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
        let hide = if self.redraws { HIDE_CURSOR } else { "" };
        self.is_hidden = self.redraws;
        let until = if objectives.is_empty() { "no objectives".to_owned() } else { objectives.join(", ") };
        put(&format!("{hide}Loading {} ({until})\n", self.url));
    }

    /// The head of the table, before its first line and whatever is said among its lines.
    fn put_head(&mut self) {
        if let Some(head) = self.head.take() {
            put(&format!("{head}\n"));
        }
    }

    /// Shows what happened.
    pub fn event(&mut self, event: &Event<'_>) {
        self.put_head();
        match event {
            Event::Began { next, .. } => {
                self.stage_s = next.stage.time.as_secs_f64();
                self.seconds = 0;
                if next.phase == Phase::Refine && !self.is_refining {
                    self.is_refining = true;
                    self.print("           now between the last load that held and the first that broke:");
                }
            }
            Event::Rests => self.print("           broke; without load until it answers again:"),
            Event::Second(live) => {
                self.seconds += 1;
                if self.curve.len() == CURVE_SECONDS {
                    self.curve.pop_front();
                }
                self.curve.push_back(live.second.p99_ms);
                if self.redraws {
                    let curve: Vec<Option<f64>> = self.curve.iter().copied().collect();
                    let now = lines(live, self.model, &self.objectives, &curve, self.of(), size());
                    self.draw(&now);
                } else if self.stage_s > LONG_STEP_S
                    && self.seconds.is_multiple_of(LINE_EVERY)
                    && !live.is_ramp
                {
                    self.print(&self.told(&plain(live, self.model)));
                }
            }
            Event::Ended(step) => self.print(&self.told(&words::step(step))),
        }
    }

    /// A search begins, between two loads and for so long.
    pub fn search(&mut self, from: f64, to: f64, time_s: f64) {
        put(&words::wrapped(&searching::begins(from, to, time_s, self.model), text_width()));
    }

    /// A trial of it begins.
    pub fn trial(&mut self, number: u32, load: f64, time_s: f64, step: Step, known: Known) {
        self.is_refining = true;
        self.trial = Some((number, known));
        self.says(&searching::trial(number, load, time_s, step, &known, self.model));
    }

    /// A line with whose it is, where that is to be said.
    fn told(&self, line: &str) -> String {
        self.place.as_ref().map_or_else(|| line.to_owned(), |place| format!("{line}  {place}"))
    }

    /// What the live part is about.
    fn of(&self) -> Of<'_> {
        match (&self.trial, &self.place) {
            (Some((number, known)), _) => Of::Trial(*number, known),
            (None, Some(place)) => Of::Place(place),
            (None, None) => Of::Run,
        }
    }

    /// A load broke the site, and it may answer again before the next one.
    pub fn rests(&mut self) {
        if self.redraws {
            self.draw(&["broke; without load until it answers again".to_owned()]);
        }
    }

    /// A sentence that stays, in lines that fit.
    pub fn says(&mut self, line: &str) {
        self.put_head();
        self.print(words::wrapped(line, text_width()).trim_end());
    }

    /// Takes the live part away and gives the cursor back.
    pub fn end(&mut self) {
        self.draw(&[]);
        if std::mem::take(&mut self.is_hidden) {
            put(SHOW_CURSOR);
        }
    }

    /// A line that stays, above the live part.
    fn print(&mut self, line: &str) {
        self.draw(&[]);
        put(&format!("{line}\n"));
    }

    fn draw(&mut self, lines: &[String]) {
        let rows = rows(&self.drawn, size().0);
        let up = if rows > 0 { format!("\x1b[{rows}A\r\x1b[J") } else { String::new() };
        self.drawn = lines.iter().map(|line| line.chars().count()).collect();
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        // At once: a frame in two parts flickers.
        put(&(up + &text));
    }
}

impl Drop for View {
    /// Also when we fail: a terminal without a cursor is of no use to anybody.
    fn drop(&mut self) {
        self.end();
    }
}

/// How many rows lines of these widths take, on a terminal that broke them anew when it became narrower.
fn rows(drawn: &[usize], width: usize) -> usize {
    drawn.iter().map(|line| line.div_ceil(width).max(1)).sum()
}

/// Nobody reading is no reason to stop measuring.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Columns for sentences: wider ones are hard to read.
pub fn text_width() -> usize {
    size().0.min(WIDTH_USUAL)
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    let told = rustix::termios::tcgetwinsize(std::io::stdout());
    let (width, height) = told.map_or((0, 0), |size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    let or = |told: usize, usual: usize| if told > 0 { told } else { usual };
    (or(width, WIDTH_USUAL), or(height, HEIGHT_USUAL))
}

/// What is shown.
#[derive(Clone, Copy)]
enum Of<'a> {
    /// The only run there is.
    Run,
    /// One of several places.
    Place(&'a str),
    /// A trial of a search: its number, and what was known before it.
    Trial(u32, &'a Known),
}

/// The live part: each line no wider than the terminal, and no more of them than it can take back.
fn lines(
    live: &Live<'_>,
    model: Model,
    objectives: &Objectives,
    curve: &[Option<f64>],
    of_what: Of<'_>,
    (width, height): (usize, usize),
) -> Vec<String> {
    let stage = match live {
        live if live.is_ramp => "getting there".to_owned(),
        live if live.left_s <= 0.0 => "waiting for the last responses".to_owned(),
        live => format!("{:.0} s left", live.left_s.ceil()),
    };
    let second = live.second;
    let of = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), ms);
    let which = match of_what {
        Of::Trial(number, _) => format!("trial {number}"),
        Of::Place(place) => place.to_owned(),
        Of::Run => format!("step {}", live.number),
    };
    let is_late = live.lag_p99_us > verdict::lag_us_max(objectives);
    let late = if is_late { " (too late: not to be trusted)" } else { "" };
    let mut all = vec![
        format!("{which}: {} {}, {stage}", number(live.load), model.unit_of(live.load)),
        format!(
            "  now {:>7} req/s   median {:>7}   p99 {:>7}   failed {}",
            number(second.requests as f64),
            of(second.p50_ms),
            of(second.p99_ms),
            number(second.failed as f64),
        ),
        format!("  generator's own lag {}{late}", ms(live.lag_p99_us as f64 / 1_000.0)),
        format!("  p99 {}", spark(curve, width.saturating_sub(6))),
        format!("  {}", states(objectives, &live.seen).join("   ")),
    ];
    if let Of::Trial(_, known) = of_what {
        all.push(format!("  {}", searching::so_far(known, model)));
    }
    // The cursor stands below them, and what scrolled away cannot be reached.
    all.truncate(height.saturating_sub(1));
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
fn plain(live: &Live<'_>, model: Model) -> String {
    let of = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), ms);
    format!(
        "           {} {}, {:.0} s left: {} req/s, median {}, p99 {}, {} failed",
        number(live.load),
        model.unit_of(live.load),
        live.left_s.max(0.0).round(),
        number(live.second.requests as f64),
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

    fn drawn(width: usize, height: usize) -> Vec<String> {
        drawn_in(Of::Run, width, height)
    }

    fn drawn_in(of_what: Of<'_>, width: usize, height: usize) -> Vec<String> {
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
        lines(&live, Model::Closed, &Objectives::default(), &curve, of_what, (width, height))
    }

    #[test]
    fn a_search_says_which_trial_it_is_and_what_it_knows() {
        let known = Known { holds: Some(60.0), breaks: Some(120.0), left_s: 200.0 };
        let drawn = drawn_in(Of::Trial(7, &known), 80, 24);
        assert_eq!(drawn[0], "trial 7: 80 visitors, 6 s left");
        assert_eq!(drawn[5], "  seems to break between 60 and 120 visitors; at most 3 min 20 s left");
    }

    #[test]
    fn where_places_are_loaded_in_turns_it_is_said_whose_it_is() {
        assert_eq!(drawn_in(Of::Place("direct"), 80, 24)[0], "direct: 80 visitors, 6 s left");
    }

    #[test]
    fn the_live_part_fits_80_columns_and_shows_what_matters() {
        let drawn = drawn(80, 24);
        assert!(drawn.iter().all(|line| line.chars().count() <= 80), "{drawn:#?}");
        assert_eq!(drawn[0], "step 4: 80 visitors, 6 s left");
        assert_eq!(drawn[1], "  now     512 req/s   median   12 ms   p99   2.4 s   failed 3");
        assert_eq!(drawn[3], "  p99 ▁ █▅");
        assert_eq!(drawn[4], "  median < 500 ms ✓   p99 < 2 s ✗   errors < 1 % ✓");
    }

    #[test]
    fn a_narrow_terminal_gets_narrow_lines() {
        for width in [1, 5, 20, 40] {
            assert!(drawn(width, 24).iter().all(|line| line.chars().count() <= width));
        }
    }

    #[test]
    fn a_low_terminal_gets_as_many_lines_as_can_be_taken_back() {
        assert_eq!(drawn(80, 3).len(), 2);
        assert_eq!(drawn(80, 1), Vec::<String>::new());
    }

    #[test]
    fn lines_that_a_narrower_terminal_broke_are_taken_back_whole() {
        assert_eq!(rows(&[80, 40, 0, 41], 80), 4);
        assert_eq!(rows(&[80, 40, 0, 41], 40), 6);
        assert_eq!(rows(&[], 40), 0);
    }
}
