//! `tentpole explain`: what would become of a request, step by step, with the setting that says so. Decides nothing: the
//! edge's own functions do (`tentpole_proxy::explain`). Sends nothing to anybody.

mod question;
mod running;
mod steps;
mod words;
mod wrap;

use crate::{args, meant, say};
use serde_json::json;
use std::fmt::Write;
use std::process::ExitCode;
use tentpole_config::Written;
use tentpole_proxy::explain::{Question, explain};

/// One step of the way.
pub(crate) struct Step {
    /// What is decided: `route`.
    pub(crate) step: &'static str,
    /// How.
    pub(crate) decision: String,
    /// Because of what, in words; empty where that says itself.
    pub(crate) because: String,
    /// The setting that says so, by its way from the top of the file.
    pub(crate) setting: Option<String>,
    /// Where that stands; `None` where it is left out and its default holds.
    pub(crate) at: Option<String>,
    /// What belongs to it, a line each.
    pub(crate) more: Vec<String>,
}

/// Explains.
pub fn run(typed: &args::Explain) -> ExitCode {
    let loaded = match tentpole_config::load(&typed.config) {
        Ok(loaded) => loaded,
        Err(report) => {
            say::report(&report);
            return ExitCode::from(2);
        }
    };
    if let Err(code) = meant::can_tell(&loaded.snapshot) {
        return code;
    }
    let snapshot = &loaded.snapshot;
    let asked = match question::read(typed, snapshot) {
        Ok(asked) => asked,
        Err(wrong) => {
            say::error(&wrong);
            return ExitCode::from(2);
        }
    };
    let question =
        Question { head: &asked.head, peer: typed.from, tls: asked.tls, answer: asked.answer.as_deref() };
    let explained = match explain(snapshot, question) {
        Ok(explained) => explained,
        Err(error) => {
            say::error(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    let written = Written::read(&typed.config);
    let mut steps = steps::of(snapshot, &written, &asked, typed.from, &explained);
    if typed.running {
        let pool = explained.way.as_ref().map(|way| &*snapshot.pools[usize::from(way.pool.0)].name);
        let room = explained.room.map(|at| &*snapshot.rooms[usize::from(at)].name);
        match running::step(&typed.admin.address, pool, room) {
            Ok(step) => steps.push(step),
            Err(error) => {
                say::error(&error.to_string());
                return ExitCode::FAILURE;
            }
        }
    }
    let shown = if typed.json {
        as_json(&asked.line, &steps)
    } else {
        as_text(&asked.line, typed, &steps, say::out_columns())
    };
    say::out(&shown);
    ExitCode::SUCCESS
}

/// `columns` is how wide a terminal is: lines go on below what they say, not at its edge.
fn as_text(line: &str, typed: &args::Explain, steps: &[Step], columns: Option<usize>) -> String {
    let mut out = format!("{line} from {}\n\n", typed.from);
    let width = steps.iter().map(|step| step.step.len()).max().unwrap_or(0);
    for Step { step, decision, because, setting, at, more } in steps {
        let mut said = format!("  {step:<width$}  {}", printable(decision));
        if !because.is_empty() {
            let _ = write!(said, "; {}", printable(because));
        }
        let _ = match (setting, at) {
            (Some(setting), Some(at)) => write!(said, "  [{setting}, {at}]"),
            (Some(setting), None) => write!(said, "  [{setting}, by default]"),
            (None, _) => Ok(()),
        };
        wrap::write(&mut out, &said, width + 4, columns);
        for more in more {
            wrap::write(&mut out, &format!("  {:<width$}    {}", "", printable(more)), width + 8, columns);
        }
    }
    out
}

fn as_json(line: &str, steps: &[Step]) -> String {
    let steps: Vec<_> = steps
        .iter()
        .map(|Step { step, decision, because, setting, at, more }| {
            json!({ "step": step, "decision": decision, "because": because, "setting": setting, "at": at, "more": more })
        })
        .collect();
    format!("{:#}\n", json!({ "request": line, "steps": steps }))
}

/// What was typed must not steer the terminal.
fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}
