//! What a scripted origin has been told to do, and what it has seen. One value behind one lock, shared by the test
//! and the origin's thread. Never does any input or output.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::response::{Response, Step};
use crate::gate::Gate;

/// Requests that are remembered; later ones are only counted.
const SEEN_MAX: usize = 100_000;

/// A request that the origin has seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// On which connection it came; the first is 1.
    pub connection: u64,
    /// Its method.
    pub method: String,
    /// Its target as received, with the query.
    pub target: String,
    /// Its fields in their order, names as received.
    pub headers: Vec<(String, String)>,
    /// The head, byte for byte.
    pub head: Vec<u8>,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// The fields after a chunked body.
    pub trailers: Vec<(String, String)>,
    /// Did the body arrive whole?
    pub complete: bool,
}

impl Seen {
    /// The value of the first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// How many fields have this name.
    pub fn header_count(&self, name: &str) -> usize {
        self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count()
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query, not decoded.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(other, _)| *other == name))
            .map(|(_, value)| value)
    }

    /// A cookie's value.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case("cookie"));
        pairs
            .flat_map(|(_, value)| value.split(';'))
            .find_map(|pair| pair.trim().split_once('=').filter(|(other, _)| *other == name))
            .map(|(_, value)| value)
    }

    /// The body as text, with replacement characters where it is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What the origin does about `Expect: 100-continue`.
#[derive(Clone, Debug, Default)]
pub enum Continue {
    /// Sends `100 Continue` and reads the body.
    #[default]
    Sends,
    /// Sends nothing and waits for the body, as old servers do.
    Ignores,
    /// Answers at once, reads no body and closes.
    Refuses(Response),
}

pub(crate) type Handler = Arc<dyn Fn(&Seen) -> Response + Send + Sync>;

/// What is done with one request.
#[derive(Clone)]
pub(crate) enum Act {
    Respond(Response),
    Handle(Handler),
    Raw(Vec<Step>),
    Upgrade,
}

impl fmt::Debug for Act {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Respond(response) => out.debug_tuple("Respond").field(response).finish(),
            Self::Handle(_) => out.write_str("Handle"),
            Self::Raw(steps) => out.debug_tuple("Raw").field(steps).finish(),
            Self::Upgrade => out.write_str("Upgrade"),
        }
    }
}

/// What is done for one method and pattern.
#[derive(Debug)]
pub(crate) struct Rule {
    method: Option<String>,
    pattern: String,
    /// One per request; the last one stays.
    pub(crate) acts: VecDeque<Act>,
    pub(crate) on_expect: Continue,
    pub(crate) before_body: bool,
}

/// Everything about one request that is decided when its head has arrived.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) act: Act,
    pub(crate) on_expect: Continue,
    pub(crate) before_body: bool,
    pub(crate) gate: Option<Gate>,
    pub(crate) delay: Duration,
}

/// The script and the record.
#[derive(Debug, Default)]
pub(crate) struct Script {
    rules: Vec<Rule>,
    holds: Vec<(String, Gate)>,
    pub(crate) next: VecDeque<Act>,
    pub(crate) otherwise: Option<Act>,
    pub(crate) delay: Duration,
    pub(crate) idle_max: Option<Duration>,
    pub(crate) deaf: Duration,
    pub(crate) requests_per_connection: Option<usize>,
    pub(crate) forgets: bool,
    pub(crate) seen: Vec<Seen>,
    pub(crate) seen_count: u64,
    pub(crate) malformed: Vec<String>,
    pub(crate) connections: u64,
    pub(crate) connections_open: usize,
}

impl Script {
    /// The rule for this method and pattern, made if there is none.
    pub(crate) fn rule(&mut self, method: Option<&str>, pattern: &str) -> &mut Rule {
        let same = |rule: &Rule| rule.method.as_deref() == method && rule.pattern == pattern;
        let at = self.rules.iter().position(same).unwrap_or_else(|| {
            self.rules.push(Rule {
                method: method.map(str::to_owned),
                pattern: pattern.to_owned(),
                acts: VecDeque::new(),
                on_expect: Continue::Sends,
                before_body: false,
            });
            self.rules.len() - 1
        });
        &mut self.rules[at]
    }

    pub(crate) fn hold(&mut self, pattern: &str, gate: Gate) {
        self.holds.retain(|(other, _)| other != pattern);
        self.holds.push((pattern.to_owned(), gate));
    }

    /// Decides what is done with a request.
    pub(crate) fn plan(&mut self, method: &str, target: &str) -> Plan {
        let gate = self.holds.iter().find(|(pattern, _)| rank(pattern, target).is_some());
        let mut plan = Plan {
            act: self.otherwise.clone().unwrap_or_else(|| Act::Respond(Response::status(404))),
            on_expect: Continue::Sends,
            before_body: false,
            gate: gate.map(|(_, gate)| gate.clone()),
            delay: self.delay,
        };
        let fits = |rule: &&mut Rule| rule.method.as_ref().is_none_or(|wanted| wanted == method);
        let best = self
            .rules
            .iter_mut()
            .filter(fits)
            .max_by_key(|rule| (rank(&rule.pattern, target), rule.method.is_some()));
        if let Some(rule) = best.filter(|rule| rank(&rule.pattern, target).is_some()) {
            plan.on_expect = rule.on_expect.clone();
            plan.before_body = rule.before_body;
            let act = if rule.acts.len() > 1 { rule.acts.pop_front() } else { rule.acts.front().cloned() };
            plan.act = act.unwrap_or(plan.act);
        }
        if let Some(act) = self.next.pop_front() {
            plan.act = act;
        }
        plan
    }

    pub(crate) fn remember(&mut self, seen: Seen) {
        self.seen_count += 1;
        if !self.forgets && self.seen.len() < SEEN_MAX {
            self.seen.push(seen);
        }
    }
}

/// How well a pattern fits a target: not at all, as a prefix (`/a/*`) of this length, or exactly. A pattern without
/// a query fits every query.
fn rank(pattern: &str, target: &str) -> Option<usize> {
    if let Some(prefix) = pattern.strip_suffix('*') {
        return target.starts_with(prefix).then_some(prefix.len());
    }
    let path = target.split('?').next().unwrap_or_default();
    (pattern == target || pattern == path).then_some(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(script: &mut Script, method: &str, target: &str) -> u16 {
        match script.plan(method, target).act {
            Act::Respond(response) => response.status,
            other => panic!("{other:?}"),
        }
    }

    fn told(script: &mut Script, method: Option<&str>, pattern: &str, statuses: &[u16]) {
        script.rule(method, pattern).acts =
            statuses.iter().map(|code| Act::Respond(Response::status(*code))).collect();
    }

    #[test]
    fn the_most_exact_rule_is_taken() {
        let mut script = Script::default();
        told(&mut script, None, "/*", &[201]);
        told(&mut script, None, "/a/*", &[202]);
        told(&mut script, None, "/a/b", &[203]);
        told(&mut script, Some("POST"), "/a/b", &[205]);
        let mut asked = |method, target| answers(&mut script, method, target);
        assert_eq!(asked("GET", "/x"), 201);
        assert_eq!(asked("GET", "/a/x?q"), 202);
        assert_eq!(asked("GET", "/a/b?q=1"), 203);
        assert_eq!(asked("POST", "/a/b"), 205);
        assert_eq!(asked("GET", "*"), 404);
    }

    #[test]
    fn answers_come_in_turn_and_the_last_one_stays() {
        let mut script = Script::default();
        told(&mut script, None, "/a", &[201, 202]);
        let all: Vec<_> = (0..3).map(|_| answers(&mut script, "GET", "/a")).collect();
        assert_eq!(all, [201, 202, 202]);
    }
}
