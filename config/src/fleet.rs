//! `[pool.NAME.fleet]`: instances that Tentpole starts itself. A command is split into words as a shell would, and no
//! shell ever sees it.

use crate::forms::{Percent, Quantity, Shaped, Span, Text, Whole};
use crate::health;
use crate::pool::FLEET;
use crate::problem::Problem;
use crate::report::{Place, Problems};
use crate::setting::{Fallback, Form, Section, Setting};
use crate::table::{At, Table};
use crate::words::Cure;
use std::path::PathBuf;
use std::time::Duration;
use tentpole_model::{Endpoint, Fleet, Launch, Scheme};
use toml::de::DeValue;

pub(crate) static SECTION: Section = Section {
    header: "[pool.NAME.fleet]",
    also: None,
    about: "Instances that Tentpole starts and stops itself, on this machine: in place of `endpoints`. It holds the CPU \
            of the instances at `cpu_target`. Above it another one is started; one at a time is ended when the rest \
            would have stayed well below it for the whole `scale_in_window`. A new instance gets its first request once \
            it answers, and its full share after `slow_start`; one that leaves finishes its requests first. One that \
            ends by itself is replaced, with pauses that grow up to 30 seconds while it does so again and again.",
    settings: &[
        &RUN,
        &DIRECTORY,
        &ENV,
        &MIN,
        &MAX,
        &CPUS,
        &CPU_TARGET,
        &REQUESTS_TARGET,
        &SCALE_IN_WINDOW,
        &READY,
        &START_TIME,
        &SLOW_START,
        &DRAIN_TIME,
        &STOP_TIME,
        &REQUESTS_MAX,
    ],
};

static RUN: Setting<Shaped> = Setting {
    name: "run",
    form: Shaped { what: "a command in quotes, or a list of its words", inside: None },
    default: Fallback::Required,
    about: "What starts one instance, in the foreground. `{port}` becomes the port that it has to listen on, at \
            127.0.0.1; the environment variable `PORT` says the same. No shell reads it: quotes hold words together, \
            and `&&`, `|` or `$NAME` mean nothing. For a shell: `run = [\"sh\", \"-c\", \"…\"]`.",
    example: "\"gunicorn app:wsgi -b 127.0.0.1:{port}\"",
};

static DIRECTORY: Setting<Text> = Setting {
    name: "directory",
    form: Text { what: "a folder's path in quotes" },
    default: Fallback::Absent("the folder that Tentpole is started in"),
    about: "Where it runs.",
    example: "\"/srv/shop\"",
};

static ENV: Setting<Shaped> = Setting {
    name: "env",
    form: Shaped { what: "a table of texts", inside: None },
    default: Fallback::Absent("none more"),
    about: "Environment variables on top of those that Tentpole was started with. `{port}` works here too.",
    example: "{ APP_ENV = \"production\" }",
};

const NONE_AT_ALL: &str = "An instance has to be there for the first visitor.";

static MIN: Setting<Whole> = Setting {
    name: "min",
    form: Whole::new(1, 1_000).below(NONE_AT_ALL),
    default: Fallback::Value(|| 1),
    about: "Instances at least.",
    example: "2",
};

static MAX: Setting<Whole> = Setting {
    name: "max",
    form: Whole::new(1, 1_000).below(NONE_AT_ALL),
    default: Fallback::Value(|| 4),
    about: "Instances at most. When it is left out, never less than `min`.",
    example: "8",
};

static CPUS: Setting<Quantity> = Setting {
    name: "cpus",
    form: Quantity::new(0.01, 256.0),
    default: Fallback::Value(|| 1.0),
    about: "CPUs that each instance is given: `cpu_target` is a share of them. For a program with one thread, 1. It \
            limits nothing.",
    example: "0.5",
};

static CPU_TARGET: Setting<Percent> = Setting {
    name: "cpu_target",
    form: Percent { min: 1, max: 100 },
    default: Fallback::Value(|| 0.7),
    about: "The CPU share that the instances are held at on average. Below 100 by what the load grows while an instance \
            starts.",
    example: "\"70%\"",
};

static REQUESTS_TARGET: Setting<Quantity> = Setting {
    name: "requests_target",
    form: Quantity::new(0.1, 1_000_000.0),
    default: Fallback::Absent("none: only the CPU counts"),
    about: "Requests in flight for each instance that the fleet is held at too; whatever asks for more instances counts. \
            An application that waits (for a database, for other services) never shows much CPU: give it about 70% of \
            its workers here. There is no default because no number fits all, and because requests pile up behind a \
            slow database as well, which more instances would make slower still.",
    example: "20",
};

static SCALE_IN_WINDOW: Setting<Span> = Setting {
    name: "scale_in_window",
    form: Span::new(Duration::from_secs(1), Duration::from_secs(24 * 3_600)),
    default: Fallback::Value(|| Duration::from_secs(60)),
    about: "How long the rest must be able to carry the load (at 80% of the target) before one instance is ended. \
            Longer than the application takes to start, or a short lull costs more than it saves.",
    example: "\"5m\"",
};

static READY: Setting<Text> = Setting {
    name: "ready",
    form: Text { what: "a path in quotes" },
    default: Fallback::Value(|| "/".to_owned()),
    about: "The path that a new instance is asked for, with GET, until it answers with a status below 500. `health` \
            of the pool asks on after that.",
    example: "\"/health\"",
};

const HOUR: Duration = Duration::from_secs(3_600);

static START_TIME: Setting<Span> = Setting {
    name: "start_time",
    form: Span::new(Duration::from_millis(100), HOUR),
    default: Fallback::Value(|| Duration::from_secs(60)),
    about: "How long an instance may take until it answers. Then it is killed, and another one is tried.",
    example: "\"60s\"",
};

static SLOW_START: Setting<Span> = Setting {
    name: "slow_start",
    form: Span::new(Duration::ZERO, HOUR),
    default: Fallback::Value(|| Duration::from_secs(10)),
    about: "Time over which the share of a new instance grows from a tenth to the full one, beside instances that are \
            warm. What it does until then is no reason to start another one.",
    example: "\"10s\"",
};

static DRAIN_TIME: Setting<Span> = Setting {
    name: "drain_time",
    form: Span::new(Duration::ZERO, HOUR),
    default: Fallback::Value(|| Duration::from_secs(30)),
    about: "How long requests in flight may take when their instance leaves.",
    example: "\"30s\"",
};

static STOP_TIME: Setting<Span> = Setting {
    name: "stop_time",
    form: Span::new(Duration::ZERO, HOUR),
    default: Fallback::Value(|| Duration::from_secs(10)),
    about: "How long an instance may take to end after SIGTERM. Then it is killed with all its processes.",
    example: "\"10s\"",
};

static REQUESTS_MAX: Setting<Whole> = Setting {
    name: "requests_max",
    form: Whole::new(1, 1_000_000),
    default: Fallback::Absent("no limit"),
    about: "Requests in flight at each instance at most; more wait in the pool's queue. For an application server with \
            a fixed number of workers, that number.",
    example: "50",
};

/// Words of a command that are taken.
const WORDS_MAX: usize = 1_000;

/// A fleet as it was typed.
pub(crate) struct Typed {
    pub(crate) fleet: Fleet,
    pub(crate) requests_max: Option<u32>,
    pub(crate) place: Place,
}

/// Reads `[pool.NAME.fleet]`; `None` when there is none, or what it runs is not known.
pub(crate) fn read(pool: &Table<'_>) -> Option<Typed> {
    let table = pool.table(&FLEET)?;
    let run = read_run(&table);
    let directory = table.optional(&DIRECTORY).map(|directory| PathBuf::from(directory.value));
    let env = read_env(&table);
    let (min, max) = (table.optional(&MIN), table.optional(&MAX));
    let (min, max) = sizes(min, max, table.problems());
    let requests_max = table.optional(&REQUESTS_MAX);
    let requests_target = table.optional(&REQUESTS_TARGET);
    if let (Some(target), Some(most)) = (&requests_target, &requests_max)
        && target.value >= most.value as f64
    {
        let (target, place) = (REQUESTS_TARGET.form.show(&target.value), &target.place);
        table.tell(Problem::TargetAboveLimit { target, limit: most.value }, place);
    }
    let ready_path = match table.optional(&READY) {
        Some(ready) if health::is_path(&ready.value) => ready.value,
        Some(ready) => {
            let meant = health::meant_path(&ready.value);
            table.tell(Problem::ReadyPath { typed: ready.value, meant }, &ready.place);
            READY.usual()
        }
        None => READY.usual(),
    };
    let place = table.place().clone();
    let run = run?;
    if !says_port(&run.value, &env) {
        let cure = Cure::new("When it does, `env = { PORT = \"{port}\" }` says so and ends this warning.");
        table.tell(Problem::RunWithoutPort { cure }, &run.place);
    }
    let fleet = Fleet {
        launch: Launch { run: run.value, directory, env },
        min,
        max,
        cpus: table.value(&CPUS),
        cpu_target: table.value(&CPU_TARGET),
        requests_target: requests_target.map(|target| target.value),
        scale_in_window: table.value(&SCALE_IN_WINDOW),
        ready_path,
        start_time: table.value(&START_TIME),
        slow_start: table.value(&SLOW_START),
        drain_time: table.value(&DRAIN_TIME),
        stop_time: table.value(&STOP_TIME),
    };
    Some(Typed { fleet, requests_max: requests_max.map(|most| most.value as u32), place })
}

/// A fleet with the defaults for everything but what it runs.
pub(crate) fn usual(launch: Launch) -> Fleet {
    Fleet {
        launch,
        min: MIN.usual() as u32,
        max: MAX.usual() as u32,
        cpus: CPUS.usual(),
        cpu_target: CPU_TARGET.usual(),
        requests_target: None,
        scale_in_window: SCALE_IN_WINDOW.usual(),
        ready_path: READY.usual(),
        start_time: START_TIME.usual(),
        slow_start: SLOW_START.usual(),
        drain_time: DRAIN_TIME.usual(),
        stop_time: STOP_TIME.usual(),
    }
}

/// Reads what was typed after `tentpole up --run`.
pub(crate) fn from_flags(
    run: &str,
    min: Option<u64>,
    max: Option<u64>,
    problems: &Problems<'_>,
) -> Option<Fleet> {
    let place = Place::Flag(format!("--run {run}"));
    let words = split(run, &place, problems);
    let size = |setting: &Setting<Whole>, number: Option<u64>| {
        let number = number?;
        let place = Place::Flag(format!("--{} {number}", setting.name));
        match setting.form.check(setting.name, number.into(), number.to_string()) {
            Ok(number) => Some(At::new(number, place)),
            Err(problem) => {
                problems.add(problem, &place);
                None
            }
        }
    };
    let (min, max) = sizes(size(&MIN, min), size(&MAX, max), problems);
    let run = words?;
    if !says_port(&run, &[]) {
        problems.add(Problem::RunWithoutPort { cure: Cure::none() }, &place);
    }
    Some(Fleet { min, max, ..usual(Launch { run, directory: None, env: Vec::new() }) })
}

/// The endpoints of a fleet's pool: one for each slot, without an address; and one more, for a new instance that comes
/// before an old one goes (a rolling restart).
pub(crate) fn slots(pool: &str, max: u32, requests_max: Option<u32>) -> Vec<Endpoint> {
    let slot = |number: u32| Endpoint {
        scheme: Scheme::Http,
        host: format!("{pool}-{number}"),
        // Room for the ten steps of a slow start.
        weight: 100,
        requests_max,
        ..Endpoint::default()
    };
    (1..=max + 1).map(slot).collect()
}

/// `min` and `max`, each as typed or as usual; a `min` alone must not complain of a `max` that nobody wrote.
fn sizes(min: Option<At<u64>>, max: Option<At<u64>>, problems: &Problems<'_>) -> (u32, u32) {
    let least = min.as_ref().map_or_else(|| MIN.usual(), |min| min.value);
    let most = max.as_ref().map_or_else(|| MAX.usual().max(least), |max| max.value);
    if let (Some(min), true) = (min, least > most) {
        problems.add(Problem::MinAboveMax { min: least, max: most }, &min.place);
    }
    (least as u32, most as u32)
}

fn read_run(table: &Table<'_>) -> Option<At<Vec<String>>> {
    let Some(value) = table.raw(&RUN) else {
        table.missing(&RUN);
        return None;
    };
    let place = Place::Bytes(value.span());
    let words = match value.get_ref() {
        DeValue::String(command) => split(command, &place, table.problems())?,
        DeValue::Array(items) => {
            if items.len() > WORDS_MAX {
                let problem = Problem::TooMany { what: "words in run", count: items.len(), most: WORDS_MAX };
                table.tell(problem, &place);
                return None;
            }
            let mut words = Vec::new();
            for item in items.iter() {
                let DeValue::String(word) = item.get_ref() else {
                    table.no_text(&RUN, "a word of `run`".to_owned(), item);
                    return None;
                };
                words.push(word.to_string());
            }
            checked(words, &place, table.problems())?
        }
        _ => {
            table.wrong_type(&RUN, value);
            return None;
        }
    };
    Some(At::new(words, place))
}

/// Splits a command into words as a shell would, and warns of what only a shell would understand.
fn split(command: &str, place: &Place, problems: &Problems<'_>) -> Option<Vec<String>> {
    let Some(words) = shlex::split(command) else {
        problems.add(Problem::RunQuotes {}, place);
        return None;
    };
    let words = checked(words, place, problems)?;
    if let Some(sign) = for_a_shell(&words) {
        problems.add(Problem::RunForShell { sign: sign.to_owned(), command: command.to_owned() }, place);
    }
    Some(words)
}

fn checked(words: Vec<String>, place: &Place, problems: &Problems<'_>) -> Option<Vec<String>> {
    if words.first().is_none_or(|program| program.is_empty()) {
        let cure = "say what starts an instance, like \"gunicorn app:wsgi -b 127.0.0.1:{port}\".";
        problems.add(Problem::Empty { name: RUN.name, cure }, place);
        return None;
    }
    if words.iter().any(|word| word.contains('\0')) {
        problems.add(Problem::Nul { name: RUN.name }, place);
        return None;
    }
    Some(words)
}

/// The first word that means something to a shell alone.
fn for_a_shell(words: &[String]) -> Option<&str> {
    let sets_variable = |word: &&String| word.split_once('=').is_some_and(|(name, _)| is_variable(name));
    let is_sign = |word: &&String| {
        matches!(word.as_str(), "&&" | "||" | "|" | ";" | "&" | ">" | ">>" | "<" | "2>" | "2>&1")
            || word.starts_with('$')
    };
    words.first().filter(sets_variable).or_else(|| words.iter().find(is_sign)).map(String::as_str)
}

fn is_variable(name: &str) -> bool {
    let first = name.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn says_port(run: &[String], env: &[(String, String)]) -> bool {
    run.iter().chain(env.iter().map(|(_, value)| value)).any(|text| text.contains("{port}"))
}

fn read_env(table: &Table<'_>) -> Vec<(String, String)> {
    let Some(value) = table.raw(&ENV) else { return Vec::new() };
    let DeValue::Table(entries) = value.get_ref() else {
        table.wrong_type(&ENV, value);
        return Vec::new();
    };
    let mut env = Vec::new();
    for (key, value) in entries {
        let name: &str = key.get_ref();
        if name.is_empty() || name.contains(['=', '\0']) {
            table.tell(Problem::EnvName { name: name.to_owned() }, &Place::Bytes(key.span()));
            continue;
        }
        match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                table.tell(Problem::Nul { name: ENV.name }, &Place::Bytes(value.span()));
            }
            DeValue::String(text) => env.push((name.to_owned(), text.to_string())),
            _ => table.no_text(&ENV, format!("`{name}` in `env`"), value),
        }
    }
    env
}
