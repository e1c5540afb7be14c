//! `tentpole load URL --replay access.log`: looks through the log first, so that what is wrong with it is known before
//! anything is sent, then hands its requests over as they are due. Never holds the log in memory.

use crate::load::args::Load;
use crate::say;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tentpole_import::access_log::{self, LINE_BYTES_MAX, Logged};
use tentpole_load::climb::Shape;
use tentpole_load::effects;
use tentpole_load::journey::{Journeys, Verb};
use tentpole_load::replay::{self, Request, Requests, Source};
use tentpole_report::words::{are, count};

/// Bad lines that are told.
const TOLD_MAX: usize = 10;
/// Requests of one second that are held to be spread over it.
const SECOND_MAX: usize = 10_000;

/// A log that has been looked through.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    speed: f64,
    all_methods: bool,
    /// Whether what orders, pays, mails or reserves may be made.
    has_account: bool,
    first_us: u64,
    last_us: u64,
    requests: u64,
}

/// Looks through it. Errors say what is wrong with it.
pub fn look(path: &Path, typed: &Load) -> Result<Log, String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| format!("{shown}: this file cannot be read: {error}.");
    let mut log = Log {
        path: path.to_owned(),
        speed: typed.speed.unwrap_or(1.0),
        all_methods: typed.all_methods,
        has_account: typed.account.is_some(),
        first_us: u64::MAX,
        last_us: 0,
        requests: 0,
    };
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(format!("{shown}: this is no file; a log is read twice, so it must be one."));
    }
    let (mut bad, mut told, mut left_out) = (0_u64, Vec::new(), [0_u64; 2]);
    let mut lines = Lines::open(path).map_err(unreadable)?;
    while let Some((number, line)) = lines.next_line() {
        match line.and_then(|line| access_log::line(&line)) {
            Ok(logged) => {
                if let Err(why) = log.verb(&logged) {
                    left_out[why as usize] += 1;
                    continue;
                }
                log.requests += 1;
                log.first_us = log.first_us.min(logged.unix_us);
                log.last_us = log.last_us.max(logged.unix_us);
            }
            Err(says) => {
                bad += 1;
                if told.len() < TOLD_MAX {
                    told.push(format!("  {shown}:{number}: {says}"));
                }
            }
        }
    }
    if log.requests == 0 {
        return Err(format!("{shown}: {}", nothing(told.first().map(String::as_str), left_out)));
    }
    if bad > 0 {
        let more = if bad > TOLD_MAX as u64 {
            format!("\n  … and {} more", count(bad - TOLD_MAX as u64))
        } else {
            String::new()
        };
        say::warning(&format!(
            "{} not understood and left out:\n{}{more}",
            are(bad, "line"),
            told.join("\n")
        ));
    }
    let [methods, effects] = left_out;
    if methods > 0 {
        say::warning(&format!(
            "{} not made, because such methods may change something; --all-methods lets them through, \
             without the content that no log has.",
            are(methods, "request")
        ));
    }
    if effects > 0 {
        say::warning(&format!(
            "{} not made, because such paths order, pay, mail or reserve, which cannot be \
             taken back; --account NAME says as which test account that may be.",
            are(effects, "request")
        ));
    }
    Ok(log)
}

/// Why a log has no request that can be made: its first bad line, how many were left out for their methods and their effects.
fn nothing(bad: Option<&str>, [methods, effects]: [u64; 2]) -> String {
    if methods + effects > 0 {
        let why = match (methods, effects) {
            (_, 0) => "by its method: --all-methods makes also what is not GET, HEAD or OPTIONS",
            (0, _) => {
                "because it orders, pays, mails or reserves: --account NAME says as which test account it may"
            }
            _ => {
                "by its method (--all-methods) or because it orders, pays, mails or reserves (--account NAME)"
            }
        };
        return format!("every request of this log is left out, {why}.");
    }
    let why = bad.map_or_else(|| " there is no line in it.".to_owned(), |bad| format!("\n{bad}"));
    format!(
        "no request of this log can be made:{why}\nA line of an access log looks like this (common or combined format, \
         or Tentpole's JSON):\n  {}",
        access_log::EXAMPLE
    )
}

impl Log {
    /// What its report tells apart.
    pub fn journeys(&self) -> Journeys {
        let name = self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        replay::journeys(&name)
    }

    /// How much, how long; the last request may take `timeout`.
    pub fn shape(&self, timeout: Duration) -> Shape {
        let lasts = self.at(self.last_us) + Duration::from_secs(1).div_f64(self.speed.max(1e-3));
        Shape::Replay {
            rate: self.requests as f64 / lasts.as_secs_f64().max(1e-3),
            time_max: lasts + timeout,
        }
    }

    /// Its requests, read anew each time.
    pub fn source(&self) -> Source {
        let log = self.clone();
        Source(Arc::new(move |_| {
            let played = Played {
                lines: Lines::open(&log.path)?,
                log: log.clone(),
                second: Vec::new(),
                next: None,
                last: Duration::ZERO,
            };
            Ok(Box::new(played) as Requests)
        }))
    }

    /// When a moment of the log is due.
    fn at(&self, unix_us: u64) -> Duration {
        let after = Duration::from_micros(unix_us.saturating_sub(self.first_us)).as_secs_f64() / self.speed;
        Duration::try_from_secs_f64(after).unwrap_or(Duration::MAX / 4)
    }

    fn verb(&self, logged: &Logged) -> Result<Verb, LeftOut> {
        let verb = Verb::ALL.into_iter().find(|verb| verb.text() == logged.method).ok_or(LeftOut::Method)?;
        let only_asks = matches!(verb, Verb::Get | Verb::Head | Verb::Options);
        if !only_asks && !self.all_methods {
            return Err(LeftOut::Method);
        }
        if !self.has_account && effects::of_request(verb, &logged.target).is_some() {
            return Err(LeftOut::Effect);
        }
        Ok(verb)
    }
}

/// Why a request is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeftOut {
    /// Its method may change something.
    Method,
    /// It sounds like what cannot be taken back.
    Effect,
}

/// The log while it is played: requests of one second are spread over it where the log knows no parts of seconds.
struct Played {
    lines: Lines,
    log: Log,
    /// Of one second, the next one last.
    second: Vec<Request>,
    /// The first of the next.
    next: Option<Logged>,
    last: Duration,
}

impl Iterator for Played {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        if self.second.is_empty() {
            self.fill();
        }
        let mut request = self.second.pop()?;
        // Logs are written when a request ends, so a few lines come late.
        request.after = request.after.max(self.last);
        self.last = request.after;
        Some(request)
    }
}

impl Played {
    fn fill(&mut self) {
        let mut all: Vec<(Logged, Verb)> = Vec::new();
        let mut second = None;
        while all.len() < SECOND_MAX {
            let logged = match self.next.take() {
                Some(logged) => logged,
                None => match self.lines.next_line() {
                    None => break,
                    Some((_, line)) => match line.and_then(|line| access_log::line(&line)) {
                        Ok(logged) => logged,
                        Err(_) => continue,
                    },
                },
            };
            let Ok(verb) = self.log.verb(&logged) else { continue };
            if second.is_some_and(|second| second != logged.unix_us / 1_000_000) {
                self.next = Some(logged);
                break;
            }
            second = Some(logged.unix_us / 1_000_000);
            all.push((logged, verb));
        }
        let is_coarse = all.iter().all(|(logged, _)| logged.unix_us.is_multiple_of(1_000_000));
        let count = all.len() as u64;
        let mut requests = Vec::with_capacity(all.len());
        for (place, (logged, verb)) in all.into_iter().enumerate() {
            let part = if is_coarse { place as u64 * 1_000_000 / count } else { 0 };
            let mut hasher = DefaultHasher::new();
            (&logged.address, &logged.user_agent).hash(&mut hasher);
            requests.push(Request {
                after: self.log.at(logged.unix_us + part),
                visitor: hasher.finish(),
                verb,
                target: logged.target,
                user_agent: logged.user_agent,
                status: logged.status,
            });
        }
        requests.sort_by_key(|request| std::cmp::Reverse(request.after));
        self.second = requests;
    }
}

/// Lines of a file, none of them longer than is read.
struct Lines {
    file: BufReader<File>,
    number: u64,
    line: Vec<u8>,
}

impl Lines {
    fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self { file: BufReader::with_capacity(1 << 16, File::open(path)?), number: 0, line: Vec::new() })
    }

    /// The next line that is not empty, with its number; an error for one that is too long or no text.
    fn next_line(&mut self) -> Option<(u64, Result<String, String>)> {
        loop {
            self.line.clear();
            let taken = self.file.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut self.line);
            if taken.ok()? == 0 {
                return None;
            }
            self.number += 1;
            if self.line.last() != Some(&b'\n') && self.line.len() > LINE_BYTES_MAX {
                self.file.skip_until(b'\n').ok()?;
                return Some((self.number, Err(format!("longer than {LINE_BYTES_MAX} bytes"))));
            }
            let line = String::from_utf8_lossy(&self.line);
            let line = line.trim();
            if !line.is_empty() {
                return Some((self.number, Ok(line.to_owned())));
            }
        }
    }
}
