//! The parts of a journey's file about responses: what is taken from one, and what must be true of it. Part of `read`, with the same
//! way to tell what is wrong.

use super::Reading;
use crate::extract::{Check, Extract, Find, From, Pick};
use crate::toml_table::{At, Table};
use tentpole_find::{JsonPath, Pattern};

const EXTRACT_KEYS: [&str; 9] =
    ["name", "from", "header", "between", "pattern", "group", "json", "pick", "or"];
const CHECK_KEYS: [&str; 9] =
    ["status", "contains", "lacks", "pattern", "lacks_pattern", "json", "is", "header", "within"];
/// Finds before the one that is taken, and groups of a pattern, at most.
const NUMBER_MAX: i64 = 1_000;

/// What must be true of a step's response.
pub(super) fn checks(step: &Table<'_>) -> Vec<Check> {
    step.tables("check", &CHECK_KEYS).iter().filter_map(check).collect()
}

impl Reading {
    /// What a step takes from its response.
    pub(super) fn extracts(&mut self, step: &Table<'_>) -> Vec<Extract> {
        step.tables("extract", &EXTRACT_KEYS).iter().filter_map(|one| self.extract(one)).collect()
    }

    fn extract(&mut self, table: &Table<'_>) -> Option<Extract> {
        let Some(name) = table.text("name") else {
            table.tell(table.at(), "which variable? Write name = \"product\".");
            return None;
        };
        let variable = self.variable(table, &name);
        // Also when the rest is wrong: that is told once.
        self.set.extend(variable);
        let from = match (table.text("from"), table.text("header")) {
            (None, Some(header)) => From::Header(header.value.to_owned()),
            (None, None) => From::Body,
            (Some(from), header) => match (from.value, header) {
                ("body", None) => From::Body,
                ("url", None) => From::Url,
                ("status", None) => From::Status,
                ("header", Some(header)) => From::Header(header.value.to_owned()),
                ("header", None) => {
                    table.tell(from.at, "which one? Write from = \"header\", header = \"Location\".");
                    return None;
                }
                _ => {
                    table.tell(
                        from.at,
                        "`from` is \"body\", \"header\" (with header = …), \"url\" or \"status\".",
                    );
                    return None;
                }
            },
        };
        let find = find(table, &from)?;
        let pick = pick(table);
        let or = table.text("or").map(|text| text.value.to_owned());
        Some(Extract { variable: variable?, from, find, pick, or })
    }
}

fn pick(table: &Table<'_>) -> Pick {
    if table.has("pick") && !table.is_text("pick") {
        return Pick::Nth(number(table, "pick", 1).unwrap_or(1));
    }
    match table.text("pick").map(|text| (text.value, text.at)) {
        None | Some(("first", _)) => Pick::First,
        Some(("last", _)) => Pick::Last,
        Some(("random", _)) => Pick::Random,
        Some((_, at)) => {
            table.tell(at, "`pick` is \"first\", \"last\", \"random\" or a number.");
            Pick::First
        }
    }
}

/// What is taken, said in one of three ways.
fn find(table: &Table<'_>, from: &From) -> Option<Find> {
    let ways = ["between", "pattern", "json"];
    if ways.iter().filter(|way| table.has(way)).count() > 1 {
        table.tell(table.at(), "a value is taken in one way: `between`, `pattern` or `json`.");
        return None;
    }
    if table.has("group") && !table.has("pattern") {
        table.tell(table.at(), "`group` goes with `pattern`.");
    }
    if let Some(path) = table.text("json") {
        if *from != From::Body {
            table.tell(path.at, "`json` looks into the body; leave out `from` and `header`.");
            return None;
        }
        return json(table, &path).map(Find::Json);
    }
    if let Some(text) = table.text("pattern") {
        return pattern(table, &text).map(Find::Pattern);
    }
    let is_missing = !table.has("between");
    match between(table, from) {
        Some((before, after)) => Some(Find::Between(before, after)),
        None => (is_missing && *from != From::Body).then_some(Find::All),
    }
}

fn number(table: &Table<'_>, key: &str, from: i64) -> Option<usize> {
    table.whole_numbers(key, from, NUMBER_MAX).first().and_then(|number| usize::try_from(*number).ok())
}

fn json(table: &Table<'_>, path: &At<&str>) -> Option<JsonPath> {
    JsonPath::new(path.value).map_err(|says| table.tell(path.at, says)).ok()
}

fn pattern(table: &Table<'_>, text: &At<&str>) -> Option<Pattern> {
    Pattern::new(text.value, number(table, "group", 0)).map_err(|says| table.tell(text.at, says)).ok()
}

fn between(table: &Table<'_>, from: &From) -> Option<(String, String)> {
    let texts = table.texts("between");
    match texts.as_slice() {
        [before, after] if !before.value.is_empty() && !after.value.is_empty() => {
            Some((before.value.to_owned(), after.value.to_owned()))
        }
        [] if *from != From::Body && !table.has("between") => None,
        _ => {
            let says =
                "`between` takes the text before and the text after: between = [\"href=\\\"/p/\", \"\\\"\"].";
            table.tell(texts.first().map_or(table.at(), |text| text.at), says);
            None
        }
    }
}

fn check(table: &Table<'_>) -> Option<Check> {
    let is_field = table.has("header");
    let ways = ["status", "lacks", "pattern", "lacks_pattern", "json", "header", "within"];
    let many =
        ways.iter().filter(|way| table.has(way)).count() + usize::from(!is_field && table.has("contains"));
    if many > 1 {
        table.tell(
            table.at(),
            "a check says one thing; write several: check = [{ status = 200 }, { contains = \"text\" }].",
        );
        return None;
    }
    if table.has("is") && !table.has("json") {
        table.tell(table.at(), "`is` goes with `json`.");
    }
    if table.has("status") {
        let statuses = table.whole_numbers("status", 100, 999).into_iter();
        return Some(Check::Status(statuses.filter_map(|status| u16::try_from(status).ok()).collect()));
    }
    let text = |key: &str| table.text(key).map(|text| text.value.to_owned());
    if is_field {
        return text("header").map(|name| Check::Header(name, text("contains")));
    }
    if table.has("within") {
        return table.duration("within").map(Check::Within);
    }
    if let Some(path) = table.text("json") {
        return json(table, &path).map(|path| Check::Json(path, text("is")));
    }
    if let Some(wanted) = table.text("pattern") {
        return pattern(table, &wanted).map(Check::Matches);
    }
    if let Some(unwanted) = table.text("lacks_pattern") {
        return pattern(table, &unwanted).map(Check::LacksPattern);
    }
    let plain = text("contains").map(Check::Contains).or_else(|| text("lacks").map(Check::Lacks));
    if plain.is_none() {
        table.tell(
            table.at(),
            "a check is { status = 200 }, { within = \"1s\" }, { contains = \"text\" }, { lacks = \"text\" }, { pattern = \"…\" }, { json = \"$.state\", is = \"ok\" } or { header = \"name\", contains = \"text\" }.",
        );
    }
    plain
}
