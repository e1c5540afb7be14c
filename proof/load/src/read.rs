//! A profile file → stages, objectives and journeys, all checked: what a virtual user meets later cannot be a
//! mistake of the file. Every problem is told with its line and what to write instead.

use crate::arrivals::Pause;
use crate::climb::Stage;
use crate::journey::{Content, Effect, Extras, Journey, Journeys, Step, Talk, Verb};
use crate::record::JOURNEY_STEPS_MAX;
use crate::result::Model;
use crate::template::{Template, is_name};
use crate::toml_table::{At, File, Table};
use std::time::Duration;

pub use crate::toml_table::Problems;

#[path = "read_order.rs"]
mod order;
#[path = "read_response.rs"]
mod response;
#[path = "read_stages.rs"]
mod stages;

const JOURNEYS_MAX: usize = 16;
const VARIABLES_MAX: usize = 64;
/// Messages of a visitor in one WebSocket.
const TURNS_MAX: usize = 64;

/// What a profile file says.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Profile {
    /// Its stages, and which model they are of; none when the file has only journeys.
    pub stages: Option<(Model, Vec<Stage>)>,
    /// Objectives that it names.
    pub p50: Option<Duration>,
    /// Likewise.
    pub p99: Option<Duration>,
    /// Likewise, as a share.
    pub errors: Option<f64>,
    /// Its journeys.
    pub journeys: Option<Journeys>,
}

/// Reads the text of the file called `name`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(name: &str, text: &str) -> Result<Profile, Problems> {
    let file = File::new(name, text);
    let mut profile = Profile::default();
    if let Some(whole) = file.parse() {
        let top = Table::open(&file, whole.get_ref(), &(0..0), &["objectives", "stages", "journey"]);
        if let Some(objectives) = top.table("objectives", &["p50", "p99", "errors"]) {
            profile.p50 = objectives.duration("p50");
            profile.p99 = objectives.duration("p99");
            profile.errors = objectives.text("errors").and_then(|text| match share(text.value) {
                Ok(share) => Some(share),
                Err(says) => {
                    objectives.tell(text.at, says);
                    None
                }
            });
        }
        profile.stages = stages::read(&top);
        profile.journeys = journeys(name, &top);
    }
    if file.is_fine() { Ok(profile) } else { Err(file.problems()) }
}

/// A share as people write it: `1%`, `0.5 %`.
///
/// # Errors
/// What to write instead.
pub fn share(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match number {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("\"{text}\" is not a share; write 1% or 0.5%, from 0% to 100%.")),
    }
}

fn journeys(name: &str, top: &Table<'_>) -> Option<Journeys> {
    let tables = top.tables("journey", &JOURNEY_KEYS);
    if tables.is_empty() {
        return None;
    }
    if tables.len() > JOURNEYS_MAX {
        top.tell(0, format!("a file has at most {JOURNEYS_MAX} journeys."));
    }
    let mut reading = Reading { name: name.to_owned(), ..Reading::default() };
    let mut all = Vec::new();
    for (number, table) in tables.iter().enumerate() {
        all.push(reading.journey(table, number));
    }
    if reading.steps > JOURNEY_STEPS_MAX {
        top.tell(0, format!("all journeys of a file have at most {JOURNEY_STEPS_MAX} steps together."));
    }
    if reading.variables.len() > VARIABLES_MAX {
        top.tell(0, format!("a file has at most {VARIABLES_MAX} variables."));
    }
    let crews = all.iter().filter(|journey| journey.crew.is_some()).count();
    if crews > 0 && (crews < all.len() || top.has("stages")) {
        top.tell(
            0,
            "all journeys have `visitors` of their own, or none has; and then there are no `stages`.",
        );
    }
    let stem = name.rsplit('/').next().unwrap_or(name);
    Some(Journeys { name: stem.trim_end_matches(".toml").to_owned(), all, variables: reading.variables })
}

#[derive(Default)]
struct Reading {
    /// The file's name: data files lie beside it.
    name: String,
    variables: Vec<String>,
    /// Variables that have a value at this step, whatever was walked.
    set: Vec<usize>,
    steps: usize,
    blocks: usize,
    files: usize,
    opened: Vec<order::Opened>,
    /// Whether a data file of the journey at hand is not understood. What it would set is not known then, so nothing that is used
    /// counts as unset: that would be a second complaint about one mistake.
    is_file_lost: bool,
    /// Whether the journey at hand keeps its variables.
    keeps_variables: bool,
}

const JOURNEY_KEYS: [&str; 15] = [
    "name",
    "weight",
    "host",
    "cookies",
    "account",
    "variables",
    "failures",
    "set",
    "data",
    "visitors",
    "times",
    "time",
    "ramp",
    "delay",
    "step",
];

const STEP_KEYS: [&str; 18] = [
    "redirects",
    "name",
    "method",
    "path",
    "headers",
    "form",
    "body",
    "chance",
    "think",
    "choose",
    "extract",
    "check",
    "tags",
    "effect",
    "pause",
    "websocket",
    "talk",
    "hold",
];

impl Reading {
    fn journey(&mut self, table: &Table<'_>, number: usize) -> Journey {
        let name = table
            .text("name")
            .map_or_else(|| format!("journey {}", number + 1), |name| name.value.to_owned());
        let weight = table.number("weight", 1.0, 10_000.0).map_or(1, |weight| weight.value.round() as u32);
        let word = |key: &str, usual: &str, other: &str| match table.text(key) {
            None => false,
            Some(text) if text.value == usual => false,
            Some(text) if text.value == other => true,
            Some(text) => {
                table.tell(text.at, format!("`{key}` is \"{usual}\" or \"{other}\"."));
                false
            }
        };
        let keeps_cookies = word("cookies", "forget", "keep");
        let keeps_variables = word("variables", "forget", "keep");
        let goes_on = word("failures", "begin again", "go on");
        let hosts = table.texts("host").into_iter().filter_map(|host| self.host(table, &host)).collect();
        let account = crate::effects::account(table);
        self.set.clear();
        self.is_file_lost = false;
        self.keeps_variables = keeps_variables;
        let set = self.begins_with(table);
        let data = self.data(table);
        let crew = self.crew(table);
        let mut steps = Vec::new();
        let order = self.parts(table, &mut steps, 0);
        if steps.is_empty() {
            table.tell(
                table.at(),
                format!("journey \"{name}\" has no step; write [[journey.step]] with a path."),
            );
        }
        // Otherwise a visitor could begin journey after journey without ever asking for anything.
        if !steps.is_empty() && steps.iter().all(|step| step.chance < 1.0) {
            table.tell(
                table.at(),
                format!("journey \"{name}\" has no step that is always walked; one has no `chance`."),
            );
        }
        Journey {
            name,
            weight,
            hosts,
            account,
            keeps_cookies,
            keeps_variables,
            goes_on,
            set,
            data,
            crew,
            steps,
            order,
        }
    }

    /// `set = { name = "value" }`.
    fn begins_with(&mut self, table: &Table<'_>) -> Vec<(usize, String)> {
        let mut all = Vec::new();
        for (name, value) in table.entries("set") {
            if let (Some(variable), [text]) =
                (self.variable(table, &name), table.entry_texts(name.value, value).as_slice())
            {
                all.push((variable, text.value.to_owned()));
                self.set.push(variable);
            }
        }
        all
    }

    fn host(&self, table: &Table<'_>, host: &At<&str>) -> Option<String> {
        match crate::url::Url::parse(&format!("http://{}/", host.value)) {
            Ok(url) if !host.value.contains([':', '/', '@']) => Some(url.host),
            _ => {
                table.tell(host.at, "`host` is a host name without scheme and port: \"shop.localhost\".");
                None
            }
        }
    }

    fn step(&mut self, table: &Table<'_>, place: usize) -> Step {
        let number = self.steps;
        self.steps += 1;
        let chance = table.number("chance", 0.0, 1.0).map_or(1.0, |chance| chance.value);
        // Drawn before the request, so that it can use them.
        let choose = self.choose(table);
        let before = self.set.clone();
        self.set.extend(choose.iter().map(|(variable, _)| *variable));
        let websocket = table.text("websocket");
        if let (Some(websocket), true) = (&websocket, table.has("path")) {
            table.tell(websocket.at, "a step has `path` or `websocket`, not both.");
        }
        let path = match table.text("path").or(websocket) {
            Some(text) => {
                let path = self.template(table, &text);
                if !path.start().starts_with('/') && !path.starts_raw() {
                    table.tell(text.at, "`path` begins with / or is a whole link: \"{link:raw}\".");
                }
                path
            }
            None => {
                if !table.has("path") {
                    table.tell(table.at(), "which page? Write path = \"/\", or websocket = \"/live\".");
                }
                Template::literal("/")
            }
        };
        let mut headers = self.headers(table);
        let body = self.content(table, &mut headers);
        let name = match table.text("name") {
            Some(name) => name.value.to_owned(),
            None => {
                let path = table.text("path").or(table.text("websocket"));
                path.map_or_else(|| format!("step {}", place + 1), |path| path.value.to_owned())
            }
        };
        let method = self.method(table, &body);
        let checks = response::checks(table);
        let extract = self.extracts(table);
        let extras = self.extras(table);
        if chance < 1.0 {
            // Whoever skips this step has none of its values.
            self.set = before;
        }
        Step {
            number,
            name,
            method,
            path,
            headers,
            body,
            chance,
            think: Self::think(table),
            redirects: self.redirects(table),
            choose,
            extract,
            checks,
            extras,
        }
    }

    fn extras(&self, table: &Table<'_>) -> Extras {
        let tags: Vec<String> = table.texts("tags").into_iter().map(|tag| tag.value.to_owned()).collect();
        let effect = table.text("effect").and_then(|text| {
            let known = [
                ("none", Effect::None),
                ("order", Effect::Order),
                ("pay", Effect::Pay),
                ("mail", Effect::Mail),
                ("reserve", Effect::Reserve),
            ];
            let effect = known.iter().find(|(name, _)| *name == text.value).map(|(_, effect)| *effect);
            if effect.is_none() {
                table.tell(text.at, "`effect` is \"none\", \"order\", \"pay\", \"mail\" or \"reserve\".");
            }
            effect
        });
        let pause = table.text("pause").and_then(|text| match Pause::parse(text.value) {
            Ok(pause) => Some(pause),
            Err(says) => {
                table.tell(text.at, says);
                None
            }
        });
        let websocket = table.has("websocket").then(|| Box::new(self.talk(table)));
        if websocket.is_none() && (table.has("talk") || table.has("hold")) {
            table.tell(table.at(), "`talk` and `hold` belong to a step with `websocket`.");
        }
        Extras { tags, effect, pause, websocket }
    }

    fn talk(&self, table: &Table<'_>) -> Talk {
        for key in ["method", "form", "body", "extract", "check"] {
            if table.has(key) {
                table.tell(
                    table.at(),
                    format!("a step with `websocket` has no `{key}`; write talk = [{{ send = \"…\" }}]."),
                );
            }
        }
        let turn = |one: &Table<'_>| {
            let send = one.text("send");
            if send.is_none() && !one.has("send") {
                one.tell(one.at(), "what is said? Write { send = \"hello\", expect = \"welcome\" }.");
            }
            let expect = one.text("expect").map(|text| self.template(one, &text));
            send.map(|text| (self.template(one, &text), expect))
        };
        let turns: Vec<_> = table.tables("talk", &["send", "expect"]).iter().filter_map(turn).collect();
        if turns.len() > TURNS_MAX {
            table.tell(table.at(), format!("a conversation has at most {TURNS_MAX} turns."));
        }
        Talk { turns, hold: table.duration("hold").unwrap_or(Duration::ZERO) }
    }

    fn redirects(&self, table: &Table<'_>) -> Option<bool> {
        let text = table.text("redirects")?;
        match text.value {
            "follow" => Some(true),
            "stop" => Some(false),
            _ => {
                table.tell(text.at, "`redirects` is \"follow\" or \"stop\".");
                None
            }
        }
    }

    fn method(&self, table: &Table<'_>, body: &Content) -> Verb {
        let usual = if *body == Content::None { Verb::Get } else { Verb::Post };
        let Some(text) = table.text("method") else { return usual };
        let verb = Verb::ALL.into_iter().find(|verb| verb.text() == text.value);
        if verb.is_none() {
            table.tell(text.at, "`method` is GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.");
        }
        verb.unwrap_or(usual)
    }

    fn headers(&self, table: &Table<'_>) -> Vec<(String, Template)> {
        /// What the generator writes itself.
        const OURS: [&str; 7] = [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "cookie",
            "expect",
            "tentpole-load",
        ];
        let mut headers = Vec::new();
        for (name, value) in table.entries("headers") {
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.value.is_empty() || !name.value.bytes().all(is_token) {
                table.tell(name.at, format!("\"{}\" is not a header's name.", name.value));
                continue;
            }
            if OURS.contains(&name.value.to_ascii_lowercase().as_str()) {
                table.tell(name.at, format!("`{}` is written by the load generator itself.", name.value));
                continue;
            }
            for text in table.entry_texts(name.value, value) {
                headers.push((name.value.to_owned(), self.template(table, &text)));
            }
        }
        headers
    }

    fn content(&self, table: &Table<'_>, headers: &mut Vec<(String, Template)>) -> Content {
        let (content, kind) = match (table.has("form"), table.text("body")) {
            (true, Some(body)) => {
                table.tell(body.at, "a step has `form` or `body`, not both.");
                return Content::None;
            }
            (true, None) => {
                let fields = table.entries("form").into_iter().flat_map(|(name, value)| {
                    let texts = table.entry_texts(name.value, value);
                    texts.into_iter().map(move |text| (name.value.to_owned(), text))
                });
                let fields = fields.map(|(name, text)| (name, self.template(table, &text))).collect();
                (Content::Form(fields), "application/x-www-form-urlencoded")
            }
            (false, Some(body)) => (Content::Text(self.template(table, &body)), "text/plain; charset=utf-8"),
            (false, None) => return Content::None,
        };
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".to_owned(), Template::literal(kind)));
        }
        content
    }

    fn choose(&mut self, table: &Table<'_>) -> Vec<(usize, Vec<String>)> {
        let mut all = Vec::new();
        for (name, value) in table.entries("choose") {
            let values: Vec<String> =
                table.entry_texts(name.value, value).into_iter().map(|text| text.value.to_owned()).collect();
            match self.variable(table, &name) {
                Some(variable) if !values.is_empty() => all.push((variable, values)),
                variable => {
                    self.set.extend(variable);
                    table.tell(name.at, format!("write {} = [\"one\", \"other\"].", name.value));
                }
            }
        }
        all
    }

    fn variable(&mut self, table: &Table<'_>, name: &At<&str>) -> Option<usize> {
        if !is_name(name.value) {
            table.tell(name.at, "a variable's name has letters, digits and `_`, and begins with a letter.");
            return None;
        }
        let known = self.variables.iter().position(|known| known == name.value);
        Some(known.unwrap_or_else(|| {
            self.variables.push(name.value.to_owned());
            self.variables.len() - 1
        }))
    }

    fn template(&self, table: &Table<'_>, text: &At<&str>) -> Template {
        let number = |name: &str| {
            let number = self.variables.iter().position(|known| known == name)?;
            self.set.contains(&number).then_some(number)
        };
        let number = |name: &str| number(name).or(self.is_file_lost.then_some(0));
        Template::parse(text.value, number).unwrap_or_else(|error| {
            table.tell(text.at, error.to_string());
            Template::literal("/")
        })
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
