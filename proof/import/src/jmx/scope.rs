//! What applies to the requests of one level and below it: defaults, fields, cookies, timers, checks, extractors. Inner
//! levels add to it, as JMeter's scoping rules say.

use super::props::{flag, list, number, text};
use super::words::Words;
use super::{checked, data, enabled, named, taken};
use crate::Notes;
use crate::draft::{Data, Extract, shown};
use crate::xml::Element;
use std::time::Duration;

/// Whether the cookies of a visitor last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookies {
    /// Each iteration begins without.
    Forget,
    /// They last.
    Keep,
}

/// What applies.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Request defaults, the innermost last.
    pub defaults: Vec<Element>,
    /// Fields, the innermost last.
    pub headers: Vec<(String, String, usize)>,
    /// The cookie manager's say.
    pub cookies: Option<Cookies>,
    /// Timers: constant parts, random parts.
    pub timers: Vec<Timer>,
    /// Checks, as TOML.
    pub checks: Vec<String>,
    /// Extractors.
    pub extract: Vec<Extract>,
    /// Files, with the lines where they are named.
    pub data: Vec<(Data, usize)>,
}

/// A timer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timer {
    /// Always so long.
    Constant(Duration),
    /// Up to so much more.
    Uniform(Duration, Duration),
    /// Mean and deviation.
    Normal(Duration, Duration),
}

/// Elements that apply to requests, or only show results: `Scope::with` has dealt with them.
pub fn knows(name: &str) -> bool {
    const KNOWN: [&str; 36] = [
        "ConfigTestElement",
        "HeaderManager",
        "CookieManager",
        "Arguments",
        "CSVDataSet",
        "ConstantTimer",
        "UniformRandomTimer",
        "GaussianRandomTimer",
        "PoissonRandomTimer",
        "ConstantThroughputTimer",
        "SyncTimer",
        "PreciseThroughputTimer",
        "BeanShellTimer",
        "JSR223Timer",
        "ResponseAssertion",
        "DurationAssertion",
        "SizeAssertion",
        "XPathAssertion",
        "JSONPathAssertion",
        "HTMLAssertion",
        "XMLAssertion",
        "MD5HexAssertion",
        "BeanShellAssertion",
        "JSR223Assertion",
        "RegexExtractor",
        "BoundaryExtractor",
        "JSONPostProcessor",
        "XPathExtractor",
        "XPath2Extractor",
        "HtmlExtractor",
        "JMESPathExtractor",
        "CacheManager",
        "AuthManager",
        "ResultCollector",
        "Summariser",
        "DNSCacheManager",
    ];
    KNOWN.contains(&name)
        || name.ends_with("PostProcessor")
        || name.ends_with("PreProcessor")
        || name.ends_with("Visualizer")
}

impl Scope {
    /// This scope with what stands directly in `tree`.
    pub fn with(&self, tree: &Element, words: &mut Words, notes: &mut Notes) -> Self {
        let mut scope = self.clone();
        for (one, _) in enabled(tree) {
            scope.add(one, words, notes);
        }
        scope
    }

    fn add(&mut self, one: &Element, words: &mut Words, notes: &mut Notes) {
        match one.name.as_str() {
            "ConfigTestElement" if one.attribute("guiclass") == "HttpDefaultsGui" => {
                self.defaults.push(one.clone())
            }
            "HeaderManager" => self.fields(one),
            "CookieManager" => {
                let forgets = flag(one, "CookieManager.clearEachIteration");
                self.cookies = Some(if forgets { Cookies::Forget } else { Cookies::Keep });
                if !list(one, "CookieManager.cookies").is_empty() {
                    notes.say(
                        one.line,
                        format!(
                            "{}: cookies of its own are not sent; only those that the site sets.",
                            named(one)
                        ),
                    );
                }
            }
            "CSVDataSet" => self.data.extend(data(one, words, notes).map(|data| (data, one.line))),
            "ConstantTimer" | "UniformRandomTimer" | "GaussianRandomTimer" => self.timer(one, words, notes),
            "ResponseAssertion" => checked::assertion(one, words, notes, &mut self.checks),
            "DurationAssertion" => {
                let ms = words.fixed(number(one, "DurationAssertion.duration"), one.line, notes);
                match ms.trim().parse::<u64>() {
                    Ok(ms) if ms > 0 => {
                        self.checks.push(format!("{{ within = {} }}", shown(Duration::from_millis(ms))))
                    }
                    _ => notes.say(one.line, format!("{}: \"{ms}\" is no time; it is left out.", named(one))),
                }
            }
            "RegexExtractor" => self.take(taken::regex(one, words, notes), words),
            "JSONPathAssertion" => self.checks.extend(checked::json(one, words, notes)),
            "JSONPostProcessor" => {
                for extract in taken::json(one, words, notes) {
                    self.take(Some(extract), words);
                }
            }
            "BoundaryExtractor" => self.take(taken::boundary(one, words, notes), words),
            "Arguments" => {}
            "ResultCollector" | "Summariser" => {
                notes.say(
                    0,
                    "listeners are left out: the report shows results, and --out-jtl writes JMeter's file.",
                );
            }
            "CacheManager" => {
                notes.say(
                    one.line,
                    format!(
                        "{}: visitors have no cache of their own here; every request is made.",
                        named(one)
                    ),
                );
            }
            name if knows(name) => {
                notes.say(one.line, format!("{} is not understood; it is left out.", named(one)));
            }
            _ => {}
        }
    }

    fn take(&mut self, extract: Option<Extract>, words: &mut Words) {
        let Some(extract) = extract else { return };
        words.extracted.entry(extract.name.clone()).or_insert_with(|| format!("${{{}}}", extract.name));
        self.extract.push(extract);
    }

    fn fields(&mut self, one: &Element) {
        for header in list(one, "HeaderManager.headers") {
            let (name, value) = (text(header, "Header.name"), text(header, "Header.value"));
            self.headers.retain(|(known, ..)| !known.eq_ignore_ascii_case(name));
            self.headers.push((name.to_owned(), value.to_owned(), header.line));
        }
    }

    fn timer(&mut self, one: &Element, words: &mut Words, notes: &mut Notes) {
        let mut ms = |name: &str| {
            let value = words.fixed(number(one, name), one.line, notes);
            let ms = if value.trim().is_empty() { Some(0.0) } else { value.trim().parse::<f64>().ok() };
            let time = ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1_000.0).ok());
            if time.is_none() {
                notes.say(one.line, format!("{}: \"{value}\" is no time; 0 is taken.", named(one)));
            }
            time.unwrap_or_default().min(Duration::from_secs(86_400))
        };
        let constant = ms("ConstantTimer.delay");
        self.timers.push(match one.name.as_str() {
            "UniformRandomTimer" => Timer::Uniform(constant, ms("RandomTimer.range")),
            "GaussianRandomTimer" => Timer::Normal(constant, ms("RandomTimer.range")),
            _ => Timer::Constant(constant),
        });
    }

    /// All timers together, as a value of `think`.
    pub fn think(&self, line: usize, notes: &mut Notes) -> String {
        let (mut constant, mut random) = (Duration::ZERO, None);
        for timer in &self.timers {
            let (more, one) = match *timer {
                Timer::Constant(time) => (time, None),
                Timer::Uniform(time, _) | Timer::Normal(time, _) => (time, Some(*timer)),
            };
            constant += more;
            if one.is_some() && random.is_some() {
                notes.say(
                    line,
                    "several random timers apply to one request; only the last one's randomness is kept.",
                );
            }
            random = one.or(random);
        }
        match random {
            Some(Timer::Uniform(_, range)) => {
                format!("{{ from = {}, to = {} }}", shown(constant), shown(constant + range))
            }
            Some(Timer::Normal(_, deviation)) => {
                format!("{{ mean = {}, deviation = {} }}", shown(constant), shown(deviation))
            }
            _ if constant.is_zero() => "\"0\"".to_owned(),
            _ => format!("{{ exactly = {} }}", shown(constant)),
        }
    }
}
