//! `[room.NAME]`: waiting rooms, as typed. Which site and pool each means, `meant` finds out.

use crate::forms::{Shaped, Span, Text, Whole};
use crate::problem::Problem;
use crate::report::Place;
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use std::fs;
use std::time::Duration;
use tentpole_model::{PoolId, Room, SiteId};

pub(crate) static SECTION: Section = Section {
    header: "[room.NAME]",
    also: None,
    about: "A waiting room: when more visitors come than the application carries, the others wait in an order, and are told \
            their place and how long it takes. Below its limits nobody sees it.",
    settings: &[
        &SITE,
        &PATHS,
        &POOL,
        &PER_ENDPOINT,
        &ACTIVE,
        &ENTRIES,
        &SESSION,
        &KEEPS,
        &OPENS,
        &CLOSES,
        &TITLE,
        &LANGUAGE,
        &TEMPLATE,
    ],
};

static SITE: Setting<Text> = Setting {
    name: "site",
    form: Text { what: "a site's name in quotes" },
    default: Fallback::Absent("the only site"),
    about: "The site that it stands before.",
    example: "\"shop\"",
};

static PATHS: Setting<Shaped> = Setting {
    name: "paths",
    form: Shaped { what: "a path in quotes or a list of them", inside: None },
    default: Fallback::Absent("all"),
    about: "Where visitors wait: `/exact`, or `/prefix/*` with all below it. Any way of writing a path that an application could \
            take for one of these is one: capitals, escapes, `//`, `;parameters`. Leave out what is the same for all, such \
            as pictures and styles.",
    example: "[\"/checkout/*\", \"/cart\"]",
};

static POOL: Setting<Text> = Setting {
    name: "pool",
    form: Text { what: "a pool's name in quotes" },
    default: Fallback::Absent("that of the site's first route"),
    about: "Whose endpoints carry its visitors.",
    example: "\"app\"",
};

static PER_ENDPOINT: Setting<Whole> = Setting {
    name: "visitors_per_endpoint",
    form: Whole::new(1, 1_000_000),
    default: Fallback::Absent("none; then `active` or `entries_per_minute` is needed"),
    about: "Visitors that one endpoint carries at once, as a load test found. Both limits follow from it and from the endpoints \
            that get traffic at this moment: with half of them, half as many come in.",
    example: "150",
};

static ACTIVE: Setting<Whole> = Setting {
    name: "active",
    form: Whole::new(1, 1_000_000),
    default: Fallback::Absent("what endpoints carry, by `visitors_per_endpoint`"),
    about: "Visitors inside at once, whatever the number of endpoints.",
    example: "300",
};

static ENTRIES: Setting<Whole> = Setting {
    name: "entries_per_minute",
    form: Whole::new(1, 10_000_000),
    default: Fallback::Absent("as many as may be inside at once"),
    about: "Visitors who come in within any 60 seconds.",
    example: "120",
};

static SESSION: Setting<Span> = Setting {
    name: "session",
    form: Span::new(Duration::from_secs(10), Duration::from_secs(24 * 3_600)),
    default: Fallback::Value(|| Duration::from_secs(300)),
    about: "After how long without a request a visitor has gone, and another one gets the seat.",
    example: "\"10m\"",
};

static KEEPS: Setting<Span> = Setting {
    name: "keeps_place",
    form: Span::new(Duration::from_secs(60), Duration::from_secs(24 * 3_600)),
    default: Fallback::Value(|| Duration::from_secs(600)),
    about: "How long one who is away when it is his turn finds his place again.",
    example: "\"15m\"",
};

static OPENS: Setting<Text> = Setting {
    name: "opens",
    form: Text { what: "a time in quotes: \"2026-12-01T20:00:00Z\"" },
    default: Fallback::Absent("open from the beginning"),
    about: "When the doors open (RFC 3339). All who come earlier wait without an order, which is drawn by lot when they open; who \
            comes later stands behind them.",
    example: "\"2026-12-01T20:00:00+01:00\"",
};

static CLOSES: Setting<Text> = Setting {
    name: "closes",
    form: Text { what: "a time in quotes: \"2026-12-01T22:00:00Z\"" },
    default: Fallback::Absent("never"),
    about: "From when on nobody comes in any more. Who is inside stays.",
    example: "\"2026-12-01T22:00:00+01:00\"",
};

static TITLE: Setting<Text> = Setting {
    name: "title",
    form: Text { what: "a text in quotes" },
    default: Fallback::Absent("\"You are in line\" in the visitor's language"),
    about: "What its page is headed with.",
    example: "\"Winter sale\"",
};

static LANGUAGE: Setting<Text> = Setting {
    name: "language",
    form: Text { what: "a language's code in quotes" },
    default: Fallback::Absent(
        "that of the market in the path (`/de/…`), else what the browser asks for, else English",
    ),
    about: "The language of its page: en, de, fr, es, it, nl, pl or sv.",
    example: "\"de\"",
};

static TEMPLATE: Setting<Text> = Setting {
    name: "template",
    form: Text { what: "a file's path in quotes" },
    default: Fallback::Absent("a page of ours"),
    about: "An HTML file in its place, read when the configuration is: at most 256 KiB, with `{{status}}` where the visitor's \
            place stands and `{{script}}` at the end; `{{title}}` and `{{language}}` where you like.",
    example: "\"/etc/tentpole/waiting.html\"",
};

/// Rooms that one file takes.
pub(crate) const ROOMS_MAX: usize = 64;
/// Paths that one room takes.
const PATHS_MAX: usize = 100;
/// Bytes of a template.
const TEMPLATE_BYTES_MAX: usize = 256 << 10;
/// Languages of the page.
const LANGUAGES: [&str; 8] = ["en", "de", "fr", "es", "it", "nl", "pl", "sv"];

/// One room as typed.
pub(crate) struct Typed {
    pub(crate) room: Room,
    pub(crate) site: Option<At<String>>,
    pub(crate) pool: Option<At<String>>,
    pub(crate) place: Place,
}

/// Reads `[room.NAME]`.
pub(crate) fn read(name: &str, table: &Table<'_>) -> Typed {
    let number = |setting| table.optional(setting).and_then(|read: At<u64>| u32::try_from(read.value).ok());
    let (per_endpoint, active, entries) = (number(&PER_ENDPOINT), number(&ACTIVE), number(&ENTRIES));
    let said = [&PER_ENDPOINT, &ACTIVE, &ENTRIES].iter().any(|setting| table.raw(setting).is_some());
    if !said {
        table.tell(Problem::RoomWithoutLimit { section: table.title().to_owned() }, table.place());
    }
    let (opens, closes) = (time(table, &OPENS), time(table, &CLOSES));
    if let (Some(opens), Some(closes)) = (&opens, &closes)
        && closes.value <= opens.value
    {
        table.tell(Problem::ClosesBeforeItOpens {}, &closes.place);
    }
    let language = table.optional(&LANGUAGE).map(|language| {
        if !LANGUAGES.contains(&language.value.as_str()) {
            table.tell(Problem::UnknownLanguage { typed: language.value.clone() }, &language.place);
        }
        language.value
    });
    let room = Room {
        name: name.to_owned(),
        site: SiteId(0),
        paths: paths(table),
        pool: PoolId(0),
        visitors_per_endpoint: per_endpoint,
        active_max: active,
        entries_per_minute: entries,
        session: table.value(&SESSION),
        keeps_place: table.value(&KEEPS),
        opens_unix_s: opens.map(|at| at.value),
        closes_unix_s: closes.map(|at| at.value),
        title: table.optional(&TITLE).map(|title| title.value),
        language,
        template: template(table),
    };
    let (site, pool) = (table.optional(&SITE), table.optional(&POOL));
    Typed { room, site, pool, place: table.place().clone() }
}

fn paths(table: &Table<'_>) -> Vec<String> {
    let typed = table.texts(&PATHS, PATHS_MAX, "paths", Some("name a path, or leave it out for all."));
    let check = |path: At<String>| {
        let inner = path.value.strip_suffix("/*").unwrap_or(&path.value);
        let is_path = path.value.starts_with('/') && !inner.contains(['*', '?', '#', '{']);
        if !is_path {
            table.tell(Problem::NotARoomsPath { typed: path.value.clone() }, &path.place);
        }
        path.value
    };
    typed.unwrap_or_default().into_iter().map(check).collect()
}

fn template(table: &Table<'_>) -> Option<String> {
    let file = table.optional(&TEMPLATE)?;
    match fs::read_to_string(&file.value).map_err(|error| error.to_string()).and_then(checked) {
        Ok(text) => Some(text),
        Err(why) => {
            table.tell(Problem::NotATemplate { file: file.value, why }, &file.place);
            None
        }
    }
}

/// A template that has what it needs, and nothing that nobody fills in.
fn checked(text: String) -> Result<String, String> {
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err("it is larger than 256 KiB".to_owned());
    }
    let mut found = Vec::new();
    let mut rest = &text[..];
    while let Some((_, behind)) = rest.split_once("{{") {
        let Some((name, behind)) = behind.split_once("}}") else {
            return Err("a `{{` has no `}}`".to_owned());
        };
        if !["title", "language", "status", "script"].contains(&name) {
            return Err(format!(
                "nothing is called `{{{{{name}}}}}`; there are {{{{status}}}}, {{{{script}}}}, {{{{title}}}} and {{{{language}}}}"
            ));
        }
        found.push(name);
        rest = behind;
    }
    for needed in ["status", "script"] {
        let count = found.iter().filter(|name| **name == needed).count();
        if count != 1 {
            return Err(format!("it needs `{{{{{needed}}}}}` once, and has it {count} times"));
        }
    }
    Ok(text)
}

fn time(table: &Table<'_>, setting: &Setting<Text>) -> Option<At<u64>> {
    let typed = table.optional(setting)?;
    match seconds(&typed.value) {
        Some(seconds) => Some(At::new(seconds, typed.place)),
        None => {
            table.tell(Problem::NotATime { name: setting.name, typed: typed.value }, &typed.place);
            None
        }
    }
}

/// Seconds since 1970 of a time with its offset (RFC 3339 section 5.6), from 1970 on.
fn seconds(typed: &str) -> Option<u64> {
    let number = |from: usize, to: usize| {
        let digits = typed.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok()).flatten()
    };
    let is = |at: usize, wanted: &[u8]| typed.as_bytes().get(at).is_some_and(|byte| wanted.contains(byte));
    let separated = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let in_month = *usize::try_from(month).ok().and_then(|month| days.get(month.checked_sub(1)?))?;
    if !separated || !(1..=in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut behind = 19;
    if is(19, b".") {
        behind = 20 + typed.get(20..)?.bytes().take_while(u8::is_ascii_digit).count();
    }
    let offset_s = match typed.get(behind..)? {
        "Z" | "z" => 0,
        offset if offset.len() == 6 && is(behind, b"+-") && is(behind + 3, b":") => {
            let (hours, minutes) = (number(behind + 1, behind + 3)?, number(behind + 4, behind + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset_s = hours * 3_600 + minutes * 60;
            if is(behind, b"-") { -offset_s } else { offset_s }
        }
        _ => return None,
    };
    // Days since 1970 of the proleptic Gregorian calendar.
    let before = year - 1;
    let until_year = before * 365 + before / 4 - before / 100 + before / 400;
    let until_1970 = 1_969 * 365 + 1_969 / 4 - 1_969 / 100 + 1_969 / 400;
    let in_year: i64 = days.iter().take(usize::try_from(month).ok()?.checked_sub(1)?).sum();
    let days = until_year - until_1970 + in_year + day - 1;
    u64::try_from(days * 86_400 + hour * 3_600 + minute * 60 + second - offset_s).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        for (typed, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-12-01T20:00:00Z", Some(1_796_155_200)),
            ("2026-12-01T21:00:00+01:00", Some(1_796_155_200)),
            ("2024-02-29T12:30:15.5-05:30", Some(1_709_229_615)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2026-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-12-01T24:00:00Z", None),
            ("2026-12-01T20:00:00", None),
            ("2026-12-01", None),
            ("tomorrow", None),
            ("2026-12-01T20:00:00+0100", None),
            ("1969-12-31T23:59:59Z", None),
        ] {
            assert_eq!(seconds(typed), expected, "{typed}");
        }
    }

    #[test]
    fn a_template_has_what_it_needs() {
        assert!(checked("<h1>{{title}}</h1>{{status}}{{script}}".into()).is_ok());
        for (typed, why) in [
            ("{{status}}", "needs `{{script}}` once, and has it 0 times"),
            ("{{status}}{{status}}{{script}}", "needs `{{status}}` once, and has it 2 times"),
            ("{{status}}{{script}}{{position}}", "nothing is called `{{position}}`"),
            ("{{status}}{{script}}{{", "has no `}}`"),
        ] {
            assert!(checked(typed.into()).is_err_and(|said| said.contains(why)), "{typed}");
        }
    }
}
