//! An HTTP request of a plan → a step.

use super::props::{find, flag, list, number, text};
use super::scope::Scope;
use super::words::{Filled, Words};
use super::{enabled, named};
use crate::Notes;
use crate::draft::Step;
use crate::xml::Element;
use std::collections::BTreeMap;

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    scheme: String,
    host: String,
    port: u16,
}

impl Target {
    /// As a URL.
    pub fn url(&self) -> String {
        let usual = if self.scheme == "https" { 443 } else { 80 };
        match self.port {
            port if port == usual => format!("{}://{}", self.scheme, self.host),
            port => format!("{}://{}:{port}", self.scheme, self.host),
        }
    }
}

/// Where most requests of a plan go; the first of several that are as many.
pub fn target(tree: &Element, words: &mut Words, notes: &mut Notes) -> Option<Target> {
    fn collect(
        tree: &Element,
        outer: &[Element],
        words: &mut Words,
        notes: &mut Notes,
        found: &mut BTreeMap<Target, (usize, usize)>,
    ) {
        let mut defaults = outer.to_vec();
        let here = |(one, _): &(&Element, Option<&Element>)| one.attribute("guiclass") == "HttpDefaultsGui";
        defaults.extend(enabled(tree).filter(here).map(|(one, _)| one.clone()));
        for (one, below) in enabled(tree) {
            if one.name.starts_with("HTTPSampler") {
                let order = found.len();
                if let Some(target) = target_of(one, &defaults, words, notes) {
                    found.entry(target).or_insert((0, order)).0 += 1;
                }
            } else if let Some(below) = below {
                collect(below, &defaults, words, notes, found);
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(tree, &[], words, notes, &mut found);
    let most = |(_, (count, order)): &(Target, (usize, usize))| (*count, usize::MAX - order);
    found.into_iter().max_by_key(most).map(|(target, _)| target)
}

/// A property of a request, or of the innermost defaults that have it.
fn or_default<'e>(one: &'e Element, defaults: &'e [Element], name: &str) -> &'e str {
    std::iter::once(one)
        .chain(defaults.iter().rev())
        .map(|one| number(one, name))
        .find(|text| !text.trim().is_empty())
        .unwrap_or_default()
}

fn target_of(one: &Element, defaults: &[Element], words: &mut Words, notes: &mut Notes) -> Option<Target> {
    // What changes in a path is the step's to deal with.
    let path = words.fixed(or_default(one, defaults, "HTTPSampler.path"), one.line, &mut Notes::default());
    let path = path.trim();
    let mut of = |name: &str| words.fixed(or_default(one, defaults, name), one.line, notes).trim().to_owned();
    // A path may be a whole link.
    if let Some((scheme, rest)) =
        path.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
    {
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (authority, None),
        };
        let port = port.unwrap_or(if scheme == "https" { 443 } else { 80 });
        return Some(Target { scheme: scheme.to_owned(), host: host.to_ascii_lowercase(), port });
    }
    let host = of("HTTPSampler.domain").to_ascii_lowercase();
    let scheme = match of("HTTPSampler.protocol").to_ascii_lowercase() {
        scheme if scheme == "https" => scheme,
        _ => "http".to_owned(),
    };
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = of("HTTPSampler.port").parse().unwrap_or(usual);
    (!host.is_empty()).then_some(Target { scheme, host, port })
}

/// Makes the step; `None` for a request that cannot be made here, which is noted.
pub fn step(
    one: &Element,
    scope: &Scope,
    target: Option<&Target>,
    words: &mut Words,
    notes: &mut Notes,
) -> Option<Step> {
    let own = target_of(one, &scope.defaults, words, notes);
    if own.is_some() && own.as_ref() != target {
        let there = own.map(|own| own.url()).unwrap_or_default();
        let here = target.map(Target::url).unwrap_or_default();
        notes.say(
            one.line,
            format!("{} goes to {there}, and a run to one host only ({here}); it is left out.", named(one)),
        );
        return None;
    }
    let method = match or_default(one, &scope.defaults, "HTTPSampler.method").trim() {
        "" => "GET".to_owned(),
        method => method.to_ascii_uppercase(),
    };
    if !["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method.as_str()) {
        notes.say(one.line, format!("{}: method {method} is not made here; it is left out.", named(one)));
        return None;
    }
    note_what_is_not_done(one, &scope.defaults, notes);
    let mut step = Step { name: one.attribute("testname").to_owned(), method, ..Step::default() };
    step.path = {
        let path = or_default(one, &scope.defaults, "HTTPSampler.path").trim().to_owned();
        let path = match path.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/".to_owned(), |at| rest[at..].to_owned()),
            None if path.starts_with('/') || path.starts_with("${") => path,
            None => format!("/{path}"),
        };
        let filled = words.template(&path, one.line, true, &ToOwned::to_owned, notes);
        // What fills in the beginning may lack the slash, but a path begins with one.
        if filled.text.starts_with('/') {
            put(&mut step, filled)
        } else {
            format!("/{}", put(&mut step, filled))
        }
    };
    arguments(one, scope, &mut step, words, notes);
    for (name, value, line) in &scope.headers {
        const OURS: [&str; 7] = [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "cookie",
            "expect",
            "accept-encoding",
        ];
        if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            notes.say(
                *line,
                format!(
                    "the field {name} is left out: the load generator writes it itself, or does without."
                ),
            );
            continue;
        }
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            notes.say(*line, format!("\"{name}\" is not a field's name; it is left out."));
            continue;
        }
        let filled = words.template(value, *line, false, &ToOwned::to_owned, notes);
        let value = put(&mut step, filled);
        step.headers.push((name.clone(), value));
    }
    step.think = Some(scope.think(one.line, notes));
    step.checks.clone_from(&scope.checks);
    step.extract.clone_from(&scope.extract);
    let follows = flag(one, "HTTPSampler.follow_redirects") || flag(one, "HTTPSampler.auto_redirects");
    let wants_status = step.checks.iter().any(|check| check.starts_with("{ status"));
    step.redirects = match follows {
        true if wants_status => Some("follow"),
        true => None,
        false => Some("stop"),
    };
    Some(step)
}

fn note_what_is_not_done(one: &Element, defaults: &[Element], notes: &mut Notes) {
    let mut say = |what: &str| notes.say(one.line, format!("{}: {what}.", named(one)));
    if flag(one, "HTTPSampler.image_parser")
        || defaults.iter().any(|one| flag(one, "HTTPSampler.image_parser"))
    {
        say("pictures, scripts and styles of the page are not fetched here");
    }
    let files =
        find(one, "HTTPsampler.Files").is_some_and(|files| !list(files, "HTTPFileArgs.files").is_empty());
    if files || !text(one, "HTTPSampler.FILE_NAME").is_empty() {
        say("files are not sent here");
    }
    if flag(one, "HTTPSampler.DO_MULTIPART_POST") {
        say("the form is sent as application/x-www-form-urlencoded, not as multipart");
    }
    if text(one, "HTTPSampler.use_keepalive") == "false" {
        say("connections are kept here");
    }
    for name in ["HTTPSampler.connect_timeout", "HTTPSampler.response_timeout"] {
        if !or_default(one, defaults, name).is_empty() {
            say("time-outs are the run's: --timeout");
        }
    }
}

/// Query, form or body.
fn arguments(one: &Element, scope: &Scope, step: &mut Step, words: &mut Words, notes: &mut Notes) {
    let mut arguments: Vec<&Element> = Vec::new();
    for part in scope.defaults.iter().chain(std::iter::once(one)) {
        if let Some(found) = find(part, "HTTPsampler.Arguments") {
            arguments.extend(list(found, "Arguments.arguments"));
        }
    }
    let is_raw = flag(one, "HTTPSampler.postBodyRaw");
    let has_query = matches!(step.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE");
    let is_nameless =
        !arguments.is_empty() && arguments.iter().all(|one| text(one, "Argument.name").is_empty());
    if is_raw || (is_nameless && !has_query) {
        let mut body = String::new();
        for argument in arguments {
            let value = text(argument, "Argument.value");
            let filled = words.template(value, argument.line, false, &ToOwned::to_owned, notes);
            body.push_str(&put(step, filled));
        }
        if !body.is_empty() {
            step.body = Some(body);
        }
        return;
    }
    let mut query = String::new();
    for argument in arguments {
        let encodes = flag(argument, "HTTPArgument.always_encode");
        let mut side = |name: &str, is_query: bool, words: &mut Words| {
            let text = text(argument, name);
            let make = |plain: &str| match (is_query, encodes) {
                (true, true) => encoded(plain),
                (true, false) => plain.to_owned(),
                (false, true) => plain.to_owned(),
                (false, false) => decoded(plain),
            };
            let filled = words.template(text, argument.line, !encodes, &make, notes);
            put(step, filled)
        };
        let (name, value) =
            (side("Argument.name", has_query, words), side("Argument.value", has_query, words));
        if has_query {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(&name);
            if text(argument, "HTTPArgument.use_equals") != "false" || !value.is_empty() {
                query.push('=');
                query.push_str(&value);
            }
        } else {
            // A field's name is no template.
            step.form.push((name.replace("{{", "{").replace("}}", "}"), value));
        }
    }
    if step.path.contains('?') && query.starts_with('?') {
        query.replace_range(..1, "&");
    }
    step.path.push_str(&query);
}

/// The text, with what must be drawn for it noted in the step.
fn put(step: &mut Step, filled: Filled) -> String {
    for (name, values) in filled.choose {
        if !step.choose.iter().any(|(known, _)| *known == name) {
            step.choose.push((name, values));
        }
    }
    filled.text
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-_.*~".contains(&byte) => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `%41` and `+` undone; what is no text then stays as it is.
pub(crate) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}
