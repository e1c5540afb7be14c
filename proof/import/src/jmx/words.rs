//! `${…}` in a plan: constants are filled in, what changes while it runs becomes a variable, and what is not understood
//! stays as it is, as JMeter leaves it, and is noted.

use super::props::{list, pairs, text};
use crate::Notes;
use crate::draft::{escaped, variable};
use crate::xml::Element;
use std::collections::{BTreeMap, BTreeSet};

/// Constants in constants.
const DEPTH_MAX: usize = 8;
/// Bytes that a text may grow to by what is filled in.
const BYTES_MAX: usize = 1 << 20;
/// Numbers of `__Random` that are listed.
const CHOICES_MAX: i64 = 1_000;

/// What `${…}` may mean in a plan.
#[derive(Debug, Default)]
pub struct Words {
    constants: BTreeMap<String, String>,
    /// Variables that rows of files set.
    pub runtime: BTreeSet<String>,
    /// Variables that extractors set, and what they are before.
    pub extracted: BTreeMap<String, String>,
}

/// A text of a plan, ready for a template.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// The template.
    pub text: String,
    /// What must be drawn before it.
    pub choose: Vec<(String, Vec<String>)>,
}

/// Takes plain text, or what `${…}` means and how it was written.
type Each<'a> = dyn FnMut(Result<&str, (Meaning, &str)>) + 'a;

enum Meaning {
    Constant(String),
    Variable(String),
    Random(i64, i64),
    Unknown,
}

impl Words {
    /// Collects the constants of a plan, wherever they stand.
    pub fn constants(&mut self, tree: &Element, notes: &mut Notes) {
        for (one, below) in pairs(tree).filter(|(one, _)| one.attribute("enabled") != "false") {
            let arguments = match one.name.as_str() {
                "Arguments" => list(one, "Arguments.arguments"),
                "TestPlan" => one
                    .children
                    .iter()
                    .find(|child| child.attribute("name") == "TestPlan.user_defined_variables")
                    .map_or(&[][..], |child| list(child, "Arguments.arguments")),
                _ => &[],
            };
            for argument in arguments {
                let (name, value) = (text(argument, "Argument.name"), text(argument, "Argument.value"));
                if let Some(before) = self.constants.insert(name.to_owned(), value.to_owned())
                    && before != value
                {
                    notes.say(
                        argument.line,
                        format!("${{{name}}} is defined twice; the last one counts everywhere."),
                    );
                }
            }
            if let Some(below) = below {
                self.constants(below, notes);
            }
        }
    }

    /// A text without anything that changes; the rest stays as it is.
    pub fn fixed(&mut self, text: &str, line: usize, notes: &mut Notes) -> String {
        let mut out = String::new();
        self.pieces(text, 0, &mut |piece| match piece {
            Ok(plain) => out.push_str(plain),
            Err((Meaning::Constant(value), _)) => out.push_str(&value),
            Err((_, as_written)) => {
                notes.say(line, format!("{as_written} cannot change while it runs here; it stays as it is."));
                out.push_str(as_written);
            }
        });
        out
    }

    /// A text as a template. In a path, variables are filled in as they are, as JMeter does; `make` makes the
    /// plain parts ready for their place.
    pub fn template(
        &mut self,
        text: &str,
        line: usize,
        is_raw: bool,
        make: &dyn Fn(&str) -> String,
        notes: &mut Notes,
    ) -> Filled {
        let mut filled = Filled::default();
        let colon = if is_raw { ":raw" } else { "" };
        let Filled { text: out, choose } = &mut filled;
        self.pieces(text, 0, &mut |piece| match piece {
            Ok(plain) => out.push_str(&escaped(&make(plain))),
            Err((Meaning::Constant(value), _)) => out.push_str(&escaped(&make(&value))),
            Err((Meaning::Variable(name), _)) => out.push_str(&format!("{{{name}{colon}}}")),
            Err((Meaning::Random(from, to), _)) => {
                let name = variable(&format!("random_{from}_{to}").replace('-', "m"));
                out.push_str(&format!("{{{name}}}"));
                if !choose.iter().any(|(known, _)| *known == name) {
                    choose.push((name, (from..=to).map(|number| number.to_string()).collect()));
                }
            }
            Err((Meaning::Unknown, as_written)) => {
                notes.say(line, format!("{as_written} is not understood; it is sent as it is written."));
                out.push_str(&escaped(&make(as_written)));
            }
        });
        filled
    }

    /// Calls `each` with plain text, or with what `${…}` means and how it was written.
    fn pieces<'t>(&self, text: &'t str, depth: usize, each: &mut Each<'_>) {
        let mut rest: &'t str = text;
        while let Some(at) = rest.find("${") {
            let Some(length) = reference(&rest[at..]) else { break };
            if at > 0 {
                each(Ok(&rest[..at]));
            }
            let whole = &rest[at..at + length];
            let inside = &whole[2..length - 1];
            match self.meaning(inside, depth) {
                // What a constant holds may itself name others.
                Meaning::Constant(value)
                    if value.contains("${") && depth < DEPTH_MAX && value.len() < BYTES_MAX =>
                {
                    self.pieces(&value, depth + 1, each);
                }
                meaning => each(Err((meaning, whole))),
            }
            rest = &rest[at + length..];
        }
        if !rest.is_empty() {
            each(Ok(rest));
        }
    }

    fn meaning(&self, inside: &str, depth: usize) -> Meaning {
        let inside = inside.trim();
        let Some((name, arguments)) = inside.strip_prefix("__").map(|call| {
            let (name, arguments) = call.split_once('(').unwrap_or((call, ""));
            (name, arguments.strip_suffix(')').unwrap_or(arguments))
        }) else {
            let own = variable(inside);
            if self.runtime.contains(&own) || self.extracted.contains_key(&own) {
                return Meaning::Variable(own);
            }
            return match self.constants.get(inside) {
                Some(value) if depth < DEPTH_MAX => Meaning::Constant(value.clone()),
                _ => Meaning::Unknown,
            };
        };
        let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
        match (name, arguments.as_slice()) {
            // Nobody has set a property: what is written for that case.
            ("P", [_, default, ..]) => Meaning::Constant((*default).to_owned()),
            ("P", [_]) => Meaning::Constant("1".to_owned()),
            ("property", [_, _, default, ..]) => Meaning::Constant((*default).to_owned()),
            ("Random", [from, to, ..]) => match (from.parse::<i64>(), to.parse::<i64>()) {
                (Ok(from), Ok(to)) if from <= to && to.saturating_sub(from) < CHOICES_MAX => {
                    Meaning::Random(from, to)
                }
                _ => Meaning::Unknown,
            },
            _ => Meaning::Unknown,
        }
    }
}

/// The length of `${…}` at the beginning of a text, with brackets in it.
fn reference(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices().take(4_096) {
        match c {
            '{' => open += 1,
            '}' => {
                open = open.checked_sub(1)?;
                if open == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        let mut words = Words::default();
        for (name, value) in
            [("host", "shop.example"), ("base", "/${part}"), ("part", "c{1}"), ("loop", "${loop}")]
        {
            words.constants.insert(name.to_owned(), value.to_owned());
        }
        words.runtime.insert("user".to_owned());
        words
    }

    #[test]
    fn constants_are_filled_in_and_variables_stay() {
        let mut notes = Notes::default();
        let plain = |text: &str| text.to_owned();
        let mut of = |text: &str| words().template(text, 7, false, &plain, &mut notes);
        assert_eq!(of("http://${host}${base}/${user}").text, "http://shop.example/c{{1}}/{user}");
        assert_eq!(of("${__P(size,20)}").text, "20");
        let random = of("${__Random(1,3)}");
        assert_eq!((random.text.as_str(), random.choose[0].1.len()), ("{random_1_3}", 3));
        assert_eq!(of("${__time()} ${none} ${").text, "${{__time()}} ${{none}} ${{");
        let _ = of("${loop}");
        let said: Vec<String> = notes.done().iter().map(ToString::to_string).collect();
        assert!(
            said.contains(&"7: ${__time()} is not understood; it is sent as it is written.".to_owned()),
            "{said:?}"
        );
        assert!(said.iter().any(|says| says.contains("${none}")), "{said:?}");
    }
}
