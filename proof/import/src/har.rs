//! Recordings of a browser (HAR 1.2) → a journey. Of two recordings of the same journey, what differs becomes a value
//! that is taken from a response before; what differs and was in no response is noted.

mod differ;
mod entry;

use crate::draft::{Draft, Item, Journey, Step, escaped, shown};
use crate::{Imported, Notes, Place, Wrong};
use entry::{Content, Recording, Request};
use std::collections::BTreeMap;
use std::time::Duration;

/// Requests that become steps.
const STEPS_MAX: usize = 250;
/// Shorter pauses are the browser's, not the visitor's.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longer ones are a break.
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// What of a recording is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Hosts whose requests become steps; empty for the one of the first page.
    pub hosts: Vec<String>,
    /// Pictures, scripts, styles and fonts too.
    pub assets: bool,
}

/// Reads one recording, or two of the same journey: names and texts.
///
/// # Errors
/// Where one is no HAR, or nothing in it could be a step.
pub fn import(one: (&str, &str), two: Option<(&str, &str)>, wanted: &Wanted) -> Result<Imported, Wrong> {
    let mut notes = Notes::default();
    let first = Recording::read(one.1, wanted, &mut notes)?;
    let second = match two {
        None => None,
        Some((_, text)) => {
            // Of the second only what differs is of interest.
            let read = Recording::read(text, wanted, &mut Notes::default());
            Some(read.map_err(|wrong| Wrong { file: 1, ..wrong })?)
        }
    };
    if second.is_none() {
        let says = "one recording cannot show what changes from visit to visit (tokens, ids): record the journey a \
                    second time, as somebody else where there is a log-in, and import both.";
        notes.say(0, says);
    }
    let mut steps = steps(&first, &mut notes);
    if let Some(second) = &second {
        differ::find(&first, second, &mut steps, &mut notes);
    }
    let url = Some(first.url.clone());
    let items = steps.into_iter().map(|step| Item::Step(Box::new(step))).collect();
    let stem = one.0.rsplit('/').next().unwrap_or(one.0).trim_end_matches(".har");
    let journey = Journey { name: stem.to_owned(), items, ..Journey::default() };
    let source = two.map_or_else(|| one.0.to_owned(), |two| format!("{} and {}", one.0, two.0));
    let notes = notes.done();
    let text = Draft { journeys: vec![journey] }.write(&source, url.as_deref(), &notes);
    Ok(Imported { text, url, notes })
}

/// The requests as steps, whatever may change in them.
fn steps(recording: &Recording, notes: &mut Notes) -> Vec<Step> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut steps = Vec::new();
    let mut ended: Option<f64> = None;
    for request in recording.requests.iter().take(STEPS_MAX) {
        let path = request.target.split(['?', '#']).next().unwrap_or("/");
        let label = format!("{} {path}", request.method);
        let seen = names.entry(label.clone()).or_default();
        *seen += 1;
        let name = if *seen == 1 { label } else { format!("{label} ({seen})") };
        // The time between the end of one and the beginning of the next, of which the visitor knows.
        let pause =
            ended.map(|ended| Duration::try_from_secs_f64(request.began_s - ended).unwrap_or_default());
        let think = pause.map(|pause| {
            if pause > PAUSE_MAX {
                notes.say(
                    request.place(),
                    format!("a pause of {} s is taken as {} s.", pause.as_secs(), PAUSE_MAX.as_secs()),
                );
            }
            let pause = pause.min(PAUSE_MAX);
            shown(if pause < PAUSE_MIN { Duration::ZERO } else { rounded(pause) })
        });
        ended = Some((request.began_s + request.took_s).max(ended.unwrap_or(f64::MIN)));
        let (form, body) = match &request.content {
            Content::None => (Vec::new(), None),
            Content::Form(fields) => {
                (fields.iter().map(|(name, value)| (name.clone(), escaped(value))).collect(), None)
            }
            Content::Text(text) => (Vec::new(), Some(escaped(text))),
        };
        let headers = request.headers.iter().map(|(name, value)| (name.clone(), escaped(value))).collect();
        let (method, path) = (request.method.clone(), escaped(&request.target));
        // The status that was recorded, where it would pass for a failure.
        let checks = if request.status >= 400 {
            vec![format!("{{ status = {} }}", request.status)]
        } else {
            Vec::new()
        };
        steps.push(Step { name, method, path, headers, form, body, think, checks, ..Step::default() });
    }
    if recording.requests.len() > STEPS_MAX {
        let says =
            format!("these are {} requests; the first {STEPS_MAX} are taken.", recording.requests.len());
        notes.say(0, says);
    }
    steps
}

/// To a tenth of a second: more would only pretend.
fn rounded(time: Duration) -> Duration {
    Duration::from_millis((time.as_millis() as u64 + 50) / 100 * 100)
}

impl Request {
    /// Where it stands in the recording.
    fn place(&self) -> Place {
        entry::place(self.number, &self.method, &self.target)
    }

    /// Every text of it that may differ, with what it is called.
    fn texts(&self) -> Vec<(String, &str)> {
        let mut all = vec![("its path".to_owned(), self.target.as_str())];
        all.extend(self.headers.iter().map(|(name, value)| (format!("the field {name}"), value.as_str())));
        match &self.content {
            Content::None => {}
            Content::Form(fields) => {
                all.extend(fields.iter().map(|(name, value)| (format!("the form's {name}"), value.as_str())));
            }
            Content::Text(text) => all.push(("its content".to_owned(), text)),
        }
        all
    }
}
