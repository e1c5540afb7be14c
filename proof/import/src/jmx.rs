//! A JMeter plan → journeys with visitors of their own, so that the same requests are made as often as JMeter makes
//! them. What has no counterpart is noted, never dropped silently. Reads the classes of JMeter 2.13 to 5.6.

mod checked;
mod http;
pub(crate) use http::decoded;
mod props;
mod scope;
mod taken;
mod words;

use crate::draft::{Crew, Data, Draft, Item, Journey, variable};
use crate::xml::{self, Element};
use crate::{Imported, Note, Notes, Wrong};
use props::{flag, number, pairs, text};
use scope::Scope;
use std::time::Duration;
use words::Words;

/// Thread groups that become journeys.
const JOURNEYS_MAX: usize = 16;
/// Notes that are told where nothing is left.
const LEFT_OUT_SHOWN: usize = 5;

/// Reads a plan, called `name`.
///
/// # Errors
/// Where it is no plan, or none that could make a request.
pub fn import(name: &str, text: &str) -> Result<Imported, Wrong> {
    let root = xml::read(text)?;
    let tree = root.children.iter().find(|child| child.name == "hashTree");
    let (true, Some(tree)) = (root.name == "jmeterTestPlan", tree) else {
        let says =
            format!("<{}> is no JMeter plan; it begins with <jmeterTestPlan> and <hashTree>.", root.name);
        return Err(Wrong::at(root.line, says));
    };
    let mut plan =
        Plan { notes: Notes::default(), words: Words::default(), target: None, draft: Draft::default() };
    plan.note_disabled(tree);
    plan.words.constants(tree, &mut plan.notes);
    plan.target = http::target(tree, &mut plan.words, &mut plan.notes);
    plan.groups(tree, &Scope::default());
    let notes = plan.notes.done();
    if plan.draft.journeys.is_empty() {
        return Err(Wrong::at(0, nothing_to_ask(&notes)));
    }
    let url = plan.target.as_ref().map(http::Target::url);
    let text = plan.draft.write(name, url.as_deref(), &notes);
    Ok(Imported { text, url, notes })
}

/// Why there is nothing to ask, with what was left out, for that may be everything.
fn nothing_to_ask(notes: &[Note]) -> String {
    let left_out = notes.iter().filter(|note| note.says.contains("left out")).take(LEFT_OUT_SHOWN);
    let said: Vec<_> = left_out.map(ToString::to_string).collect();
    let says = "there is no enabled thread group with an HTTP request that is understood in this plan.";
    if said.is_empty() { says.to_owned() } else { format!("{says} {}", said.join(" ")) }
}

struct Plan {
    notes: Notes,
    words: Words,
    /// Where its requests go.
    target: Option<http::Target>,
    draft: Draft,
}

impl Plan {
    fn note_disabled(&mut self, tree: &Element) {
        fn count(tree: &Element) -> usize {
            let off = |(one, below): (&Element, Option<&Element>)| {
                if one.attribute("enabled") == "false" { 1 } else { below.map_or(0, count) }
            };
            pairs(tree).map(off).sum()
        }
        match count(tree) {
            0 => {}
            disabled => {
                self.notes.say(0, format!("{disabled} disabled elements are left out, as JMeter does."))
            }
        }
    }

    /// Thread groups at this level, and below the test plan.
    fn groups(&mut self, tree: &Element, outer: &Scope) {
        let scope = outer.with(tree, &mut self.words, &mut self.notes);
        for (one, below) in enabled(tree) {
            match one.name.as_str() {
                "TestPlan" => {
                    if flag(one, "TestPlan.serialize_threadgroups") {
                        let says = "thread groups run one after the other in JMeter; here all begin together. Give \
                                    each journey a `delay`.";
                        self.notes.say(one.line, says);
                    }
                    if let Some(below) = below {
                        self.groups(below, &scope);
                    }
                }
                "ThreadGroup" => self.group(one, below, &scope),
                "SetupThreadGroup" | "PostThreadGroup" => {
                    let says =
                        format!("{} runs before or after all others in JMeter; it is left out.", named(one));
                    self.notes.say(one.line, says);
                }
                name if scope::knows(name) => {}
                _ => self.notes.say(one.line, format!("{} is not understood; it is left out.", named(one))),
            }
        }
    }

    fn group(&mut self, group: &Element, below: Option<&Element>, outer: &Scope) {
        let Some(below) = below else { return };
        if self.draft.journeys.len() >= JOURNEYS_MAX {
            self.notes.say(group.line, format!("{}: {JOURNEYS_MAX} thread groups at most.", named(group)));
            return;
        }
        let crew = self.crew(group);
        let mut scope = outer.with(below, &mut self.words, &mut self.notes);
        let data: Vec<Data> = std::mem::take(&mut scope.data).into_iter().map(|(data, _)| data).collect();
        self.words.runtime.extend(data.iter().flat_map(|data| data.columns.iter().cloned()));
        self.words.extracted.clear();
        let cookies = scope.cookies;
        if cookies.is_none() {
            let says = "there is no Cookie Manager, so JMeter sends no cookies; here visitors take cookies as browsers do.";
            self.notes.say(group.line, says);
        }
        let goes_on = match text(group, "ThreadGroup.on_sample_error") {
            "startnextloop" => false,
            "continue" | "" => true,
            other => {
                let says =
                    format!("{}: after an error it goes on; \"{other}\" is not understood.", named(group));
                self.notes.say(group.line, says);
                true
            }
        };
        let items = self.items(below, &scope);
        let is_empty = !items.iter().any(has_step);
        if is_empty {
            self.notes.say(
                group.line,
                format!("{} has no HTTP request that is understood; it is left out.", named(group)),
            );
            return;
        }
        // Until something is found, JMeter sends the text itself.
        let set = self.words.extracted.iter().map(|(name, text)| (name.clone(), text.clone())).collect();
        self.draft.journeys.push(Journey {
            name: group.attribute("testname").to_owned(),
            keeps_cookies: cookies == Some(scope::Cookies::Keep),
            keeps_variables: true,
            goes_on,
            set,
            data,
            crew: Some(crew),
            items,
        });
    }

    fn crew(&mut self, group: &Element) -> Crew {
        let mut read = |name: &str, usual: f64| {
            let value = number(group, name);
            let value = self.words.fixed(value, group.line, &mut self.notes);
            if value.trim().is_empty() {
                return usual;
            }
            value.trim().parse::<f64>().ok().filter(|number| number.is_finite()).unwrap_or_else(|| {
                let says = format!("{}: {name} is \"{value}\", no number; {usual} is taken.", named(group));
                self.notes.say(group.line, says);
                usual
            })
        };
        let visitors = read("ThreadGroup.num_threads", 1.0).clamp(1.0, 100_000.0) as u32;
        let ramp = seconds(read("ThreadGroup.ramp_time", 0.0));
        let (duration, delay) = (read("ThreadGroup.duration", 0.0), read("ThreadGroup.delay", 0.0));
        let controller =
            group.children.iter().find(|child| child.attribute("name") == "ThreadGroup.main_controller");
        let loops = controller.map_or("1", |controller| number(controller, "LoopController.loops"));
        let loops = self.words.fixed(loops, group.line, &mut self.notes);
        let is_forever = controller.is_some_and(|one| flag(one, "LoopController.continue_forever"));
        let mut times = match loops.trim().parse::<i64>() {
            Ok(loops) if loops < 0 => None,
            Ok(loops) => Some(u32::try_from(loops.max(1)).unwrap_or(u32::MAX)),
            Err(_) if is_forever => None,
            Err(_) => {
                self.notes.say(
                    group.line,
                    format!("{}: \"{loops}\" loops are no number; 1 is taken.", named(group)),
                );
                Some(1)
            }
        };
        let is_scheduled = flag(group, "ThreadGroup.scheduler");
        let mut time = (is_scheduled && duration > 0.0).then(|| seconds(duration));
        if times.is_none() && time.is_none() {
            time = Some(Duration::from_secs(60));
            times = None;
            let says = format!(
                "{} loops for ever; here it ends after 1 minute. Write `time` as you need it.",
                named(group)
            );
            self.notes.say(group.line, says);
        }
        let delay = if is_scheduled { seconds(delay) } else { Duration::ZERO };
        Crew { visitors, times, time, ramp, delay }
    }

    /// Samplers and controllers of one level, in their order.
    fn items(&mut self, tree: &Element, scope: &Scope) -> Vec<Item> {
        let mut items = Vec::new();
        for (one, below) in enabled(tree) {
            match one.name.as_str() {
                "HTTPSamplerProxy" | "HTTPSampler" | "HTTPSampler2" => {
                    let empty = Element::default();
                    let scope = scope.with(below.unwrap_or(&empty), &mut self.words, &mut self.notes);
                    let step =
                        http::step(one, &scope, self.target.as_ref(), &mut self.words, &mut self.notes);
                    items.extend(step.map(|step| Item::Step(Box::new(step))));
                }
                name if scope::knows(name) => {}
                name => {
                    let Some(below) = below else {
                        self.not_understood(one, &Element::default());
                        continue;
                    };
                    items.extend(self.controller(name, one, below, scope));
                }
            }
        }
        items
    }

    fn controller(&mut self, name: &str, one: &Element, below: &Element, outer: &Scope) -> Vec<Item> {
        const INLINE: [&str; 4] = [
            "GenericController",
            "TransactionController",
            "RandomOrderController",
            "CriticalSectionController",
        ];
        let says = match name {
            _ if INLINE.contains(&name) => {
                match name {
                    "RandomOrderController" => {
                        self.notes.say(
                            one.line,
                            format!("{}: its requests are made in the order of the file.", named(one)),
                        );
                    }
                    "CriticalSectionController" => {
                        self.notes
                            .say(one.line, format!("{}: visitors do not wait for one another.", named(one)));
                    }
                    _ => {}
                }
                None
            }
            "LoopController" => Some(self.repeat(one)),
            "OnceOnlyController" => Some("first = 1".to_owned()),
            "ThroughputController" => Some(self.throughput(one)),
            _ => {
                self.not_understood(one, below);
                return Vec::new();
            }
        };
        let mut scope = outer.with(below, &mut self.words, &mut self.notes);
        for (_, line) in std::mem::take(&mut scope.data) {
            let says = "a CSV Data Set inside a controller is not read; put it into the thread group.";
            self.notes.say(line, says);
        }
        let items = self.items(below, &scope);
        match says {
            Some(says) if items.iter().any(has_step) => vec![Item::Block(says, items)],
            Some(_) => Vec::new(),
            None => items,
        }
    }

    fn repeat(&mut self, one: &Element) -> String {
        let loops = self.words.fixed(number(one, "LoopController.loops"), one.line, &mut self.notes);
        match loops.trim().parse::<i64>() {
            // Only where this is set, JMeter begins anew in each round; otherwise the first round was all.
            Ok(loops) if (0..=100_000).contains(&loops) => match flag(one, "LoopController.continue_forever")
            {
                true => format!("repeat = {loops}"),
                false => format!("first = 1\nrepeat = {loops}"),
            },
            _ => {
                let says =
                    format!("{}: {loops} loops are not understood; its requests are made once.", named(one));
                self.notes.say(one.line, says);
                "repeat = 1".to_owned()
            }
        }
    }

    fn throughput(&mut self, one: &Element) -> String {
        let is_percent = number(one, "ThroughputController.style").trim() == "1";
        let own = flag(one, "ThroughputController.perThread");
        let find = |name: &str| {
            let float = one.children.iter().filter(|child| child.name == "FloatProperty");
            let of = |child: &&Element, part: &str| {
                child.children.iter().find(|part_of| part_of.name == part).map(|part| part.text.clone())
            };
            let float = float
                .filter(|child| of(child, "name").as_deref() == Some(name))
                .find_map(|child| of(&child, "value"));
            float.unwrap_or_else(|| number(one, name).to_owned())
        };
        if !own {
            let says = format!(
                "{}: JMeter counts over all its threads; here each visitor counts for himself{}.",
                named(one),
                if is_percent { "" } else { ", so that all together come to more" }
            );
            self.notes.say(one.line, says);
        }
        let name = if is_percent {
            "ThroughputController.percentThroughput"
        } else {
            "ThroughputController.maxThroughput"
        };
        let value = self.words.fixed(&find(name), one.line, &mut self.notes);
        let number = value.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        let Some(number) = number else {
            self.notes.say(
                one.line,
                format!("{}: \"{value}\" is no number; its requests are always made.", named(one)),
            );
            return "repeat = 1".to_owned();
        };
        if is_percent {
            format!("share = {}", (number / 100.0).clamp(0.0, 1.0))
        } else {
            format!("first = {}", number.clamp(0.0, 1e9) as u32)
        }
    }

    fn not_understood(&mut self, one: &Element, below: &Element) {
        let what = match requests(below) {
            0 => format!("{} is not understood; it is left out with all that is in it", named(one)),
            1 => format!("{} is not understood; it is left out with the HTTP request in it", named(one)),
            count => {
                format!(
                    "{} is not understood; it is left out with the {count} HTTP requests in it",
                    named(one)
                )
            }
        };
        let condition = |property: &str| one_line(text(one, property));
        let instead = match one.name.as_str() {
            "IfController" => {
                let condition = condition("IfController.condition");
                format!(
                    " (if {condition}). Journeys have no conditions: write a block with the `chance` that it is so"
                )
            }
            "WhileController" => {
                let condition = condition("WhileController.condition");
                format!(" (while {condition}). Journeys have no conditions: write a block with a `repeat`")
            }
            _ => String::new(),
        };
        self.notes.say(one.line, format!("{what}{instead}."));
    }
}

/// HTTP requests that are switched on, at any depth.
fn requests(tree: &Element) -> usize {
    let of = |(one, below): (&Element, Option<&Element>)| {
        let own =
            usize::from(matches!(one.name.as_str(), "HTTPSamplerProxy" | "HTTPSampler" | "HTTPSampler2"));
        own + below.map_or(0, requests)
    };
    enabled(tree).map(of).sum()
}

/// A condition as it is shown: in one line, its beginning.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}\u{2026}", &line[..end]),
        None => line,
    }
}

fn has_step(item: &Item) -> bool {
    match item {
        Item::Step(_) => true,
        Item::Block(_, items) => items.iter().any(has_step),
    }
}

/// Elements that are switched on, each with what lies below it.
fn enabled(tree: &Element) -> impl Iterator<Item = (&Element, Option<&Element>)> {
    pairs(tree).filter(|(one, _)| one.attribute("enabled") != "false")
}

/// `IfController "is logged in"`.
fn named(one: &Element) -> String {
    format!("{} \"{}\"", one.name, one.attribute("testname"))
}

fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or_default().min(Duration::from_secs(86_400))
}

/// A CSV Data Set.
fn data(one: &Element, words: &mut Words, notes: &mut Notes) -> Option<Data> {
    let file = words.fixed(text(one, "filename"), one.line, notes);
    if file.trim().is_empty() {
        notes.say(one.line, format!("{} names no file; it is left out.", named(one)));
        return None;
    }
    let delimiter = match words.fixed(text(one, "delimiter"), one.line, notes) {
        text if text.is_empty() => ",".to_owned(),
        text if text == "\\t" => "\t".to_owned(),
        text => text,
    };
    let names = words.fixed(text(one, "variableNames"), one.line, notes);
    let columns: Vec<String> =
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(variable).collect();
    if flag(one, "ignoreFirstLine") && !columns.is_empty() {
        notes
            .say(one.line, format!("{}: the first line is a row here; take it out of the file.", named(one)));
    }
    let encoding = text(one, "fileEncoding");
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("utf-8") {
        notes.say(one.line, format!("{}: the file is read as UTF-8, not as {encoding}.", named(one)));
    }
    if columns.is_empty() {
        let says = format!(
            "{}: names come from the file's first line; where a request uses one, write `columns`.",
            named(one)
        );
        notes.say(one.line, says);
    }
    let is_endless = text(one, "recycle") != "false";
    if !is_endless && !flag(one, "stopThread") {
        let says = format!("{}: at its end JMeter goes on with <EOF>; here a visitor leaves.", named(one));
        notes.say(one.line, says);
    }
    Some(Data {
        file,
        columns,
        separator: delimiter,
        has_quotes: flag(one, "quotedData"),
        is_own: text(one, "shareMode").to_ascii_lowercase().contains("current thread")
            && !text(one, "shareMode").to_ascii_lowercase().contains("group"),
        is_endless,
    })
}
