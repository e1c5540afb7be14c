//! The parts of a journey's file about order and visitors: blocks of steps, crews, data files, times to think. Part of
//! `read`, with the same way to tell what is wrong.

use super::{Reading, STEP_KEYS};
use crate::climb::VISITORS_MAX;
use crate::crew::Crew;
use crate::data::{self, Data, Take};
use crate::journey::Step;
use crate::order::{Block, DEPTH_MAX, Part, WALKED_MAX, When, walked_max};
use crate::think::Think;
use crate::toml_table::Table;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

const REPEAT_MAX: f64 = 100_000.0;
const TIMES_MAX: f64 = 1_000_000_000.0;
const BLOCK_KEYS: [&str; 6] = ["step", "repeat", "chance", "share", "first", "name"];

/// A data file as it was read, for journeys that name it too: its path, its rows' names and rows, and the place that
/// all share.
pub(super) type Opened = (String, Vec<String>, Arc<Vec<Vec<String>>>, Arc<AtomicUsize>);

impl Reading {
    /// The steps of a journey or block, and their order.
    pub(super) fn parts(&mut self, table: &Table<'_>, steps: &mut Vec<Step>, depth: usize) -> Vec<Part> {
        let keys: Vec<&str> = STEP_KEYS.iter().chain(&BLOCK_KEYS).copied().collect();
        let mut parts = Vec::new();
        for one in table.tables("step", &keys) {
            if one.has("step") {
                parts.extend(self.block(&one, steps, depth + 1).map(Part::Block));
                continue;
            }
            for key in ["repeat", "share", "first"] {
                if one.has(key) {
                    one.tell(
                        one.at(),
                        format!("`{key}` is for a block: a step that has steps ([[journey.step.step]])."),
                    );
                }
            }
            let place = steps.len();
            let step = self.step(&one, place);
            steps.push(step);
            parts.push(Part::Step(place));
        }
        if walked_max(&parts) > WALKED_MAX {
            table.tell(table.at(), format!("with all repetitions, these are more than {WALKED_MAX} steps."));
        }
        parts
    }

    fn block(&mut self, table: &Table<'_>, steps: &mut Vec<Step>, depth: usize) -> Option<Block> {
        if depth > DEPTH_MAX {
            table.tell(table.at(), format!("blocks lie within one another {DEPTH_MAX} times at most."));
            return None;
        }
        for key in STEP_KEYS.iter().filter(|key| !BLOCK_KEYS.contains(key) && table.has(key)) {
            table.tell(
                table.at(),
                format!("`{key}` is for a step; this is a block, because it has steps itself."),
            );
        }
        let number = self.blocks;
        self.blocks += 1;
        let whens = [
            table.number("chance", 0.0, 1.0).map(|chance| When::Chance(chance.value)),
            table.number("share", 0.0, 1.0).map(|share| When::Share(share.value)),
            table.number("first", 0.0, TIMES_MAX).map(|first| When::First(first.value as u32)),
        ];
        let mut whens = whens.into_iter().flatten();
        let when = whens.next().unwrap_or(When::Always);
        if whens.next().is_some() {
            table.tell(table.at(), "a block has `chance`, `share` or `first`, one of them.");
        }
        let repeat = table.number("repeat", 0.0, REPEAT_MAX).map_or(1, |repeat| repeat.value as u32);
        let before = self.set.clone();
        let parts = self.parts(table, steps, depth);
        // What is walked the first time sets variables for good where they are kept.
        let is_sure = match when {
            When::Always => true,
            When::First(times) => times > 0 && self.keeps_variables,
            When::Chance(_) | When::Share(_) => false,
        };
        if !is_sure || repeat == 0 {
            self.set = before;
        }
        Some(Block { number, repeat, when, parts })
    }

    /// The visitors of a journey, when it says any.
    pub(super) fn crew(&self, table: &Table<'_>) -> Option<Crew> {
        let Some(visitors) = table.number("visitors", 1.0, f64::from(VISITORS_MAX)) else {
            for key in ["times", "time", "ramp", "delay"] {
                if table.has(key) {
                    table.tell(
                        table.at(),
                        format!("`{key}` is for a journey that has `visitors` of its own."),
                    );
                }
            }
            return None;
        };
        let times = table.number("times", 1.0, TIMES_MAX).map(|times| times.value as u32);
        let time = table.duration("time");
        if times.is_none() && time.is_none() {
            table.tell(visitors.at, "how often, or for how long? Write times = 10, or time = \"5m\".");
        }
        let or_none = |key| table.duration(key).unwrap_or(Duration::ZERO);
        Some(Crew {
            visitors: visitors.value as u32,
            times,
            time,
            ramp: or_none("ramp"),
            delay: or_none("delay"),
        })
    }

    /// `think = "4s"`, or a distribution.
    pub(super) fn think(table: &Table<'_>) -> Option<Think> {
        if !table.is_table("think") {
            return table.duration("think").map(Think::Mean);
        }
        let think = table.table("think", &["exactly", "from", "to", "mean", "deviation"])?;
        let times = ["exactly", "from", "to", "mean", "deviation"].map(|key| think.duration(key));
        match times {
            [Some(time), None, None, None, None] => Some(Think::Exactly(time)),
            [None, Some(from), Some(to), None, None] if from <= to => Some(Think::Between(from, to)),
            [None, None, None, Some(mean), Some(deviation)] => Some(Think::Normal { mean, deviation }),
            _ => {
                let says = "`think` is a time (\"4s\": its mean, distributed as `pause` says), { exactly = \"4s\" }, \
                            { from = \"1s\", to = \"3s\" } or { mean = \"4s\", deviation = \"1s\" }.";
                think.tell(think.at(), says);
                None
            }
        }
    }

    /// The files of a journey; their columns are variables from its beginning on.
    pub(super) fn data(&mut self, table: &Table<'_>) -> Vec<Data> {
        const KEYS: [&str; 7] = ["file", "columns", "separator", "quotes", "take", "each", "end"];
        let tables = table.tables("data", &KEYS);
        let files: Vec<Data> = tables.iter().filter_map(|one| self.file(one)).collect();
        self.is_file_lost = table.has("data") && (tables.is_empty() || files.len() < tables.len());
        files
    }

    fn file(&mut self, table: &Table<'_>) -> Option<Data> {
        let Some(file) = table.text("file") else {
            table.tell(table.at(), "which file? Write file = \"users.csv\".");
            return None;
        };
        let word = |key: &str, usual, known: &[(&str, u8)]| {
            let Some(text) = table.text(key) else { return usual };
            let found = known.iter().find(|(word, _)| *word == text.value);
            if found.is_none() {
                let words: Vec<String> = known.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                table.tell(text.at, format!("`{key}` is {}.", words.join(" or ")));
            }
            found.map_or(usual, |(_, number)| *number)
        };
        let take = match word("take", 0, &[("next", 0), ("own", 1), ("random", 2)]) {
            1 => Take::Own,
            2 => Take::Random,
            _ => Take::Next,
        };
        let is_kept = word("each", 0, &[("journey", 0), ("visitor", 1)]) == 1;
        let is_endless = word("end", 0, &[("again", 0), ("leave", 1)]) == 0;
        let has_quotes = word("quotes", 0, &[("yes", 0), ("none", 1)]) == 0;
        let separator =
            match table.text("separator").map(|text| (text.value.chars().collect::<Vec<_>>(), text.at)) {
                None => ',',
                Some((one, _)) if one.len() == 1 && one[0] != '"' && one[0] != '\n' => one[0],
                Some((_, at)) => {
                    table.tell(at, "`separator` is one character, such as \";\" or \"\\t\".");
                    ','
                }
            };
        let columns: Vec<&str> = table.texts("columns").iter().map(|name| name.value).collect();
        let known = self.opened.iter().find(|(path, names, ..)| {
            path == file.value && (columns.is_empty() || columns.iter().eq(names.iter()))
        });
        let (_, names, rows, taken) = match known {
            Some(known) => known.clone(),
            None => match data::open(&self.name, file.value, separator, &columns, has_quotes) {
                Ok(read) => {
                    let opened: Opened =
                        (file.value.to_owned(), read.names, Arc::new(read.rows), Arc::default());
                    self.opened.push(opened.clone());
                    opened
                }
                Err(says) => {
                    table.tell(file.at, says);
                    return None;
                }
            },
        };
        let mut variables = Vec::new();
        for name in &names {
            let at = crate::toml_table::At { value: name.as_str(), at: file.at };
            variables.push(self.variable(table, &at)?);
        }
        self.set.extend(&variables);
        let number = self.files;
        self.files += 1;
        Some(Data { number, variables, rows, take, is_kept, is_endless, taken, share: (0, 1) })
    }
}
