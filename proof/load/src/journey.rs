//! What a virtual user does: steps one after the other, each a page load, with what is taken from one page for the
//! next and what must be true of it. Types only; `read` makes them from a file, `visitor` walks them.

use crate::arrivals::Pause;
use crate::crew::Crew;
use crate::data::Data;
use crate::extract::{Check, Extract};
use crate::order::Part;
use crate::template::Template;
use crate::think::Think;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tentpole_model::Method;

/// The journey of the demo shop.
pub const SHOP: &str = include_str!("shop.toml");
/// What it is called when there is no journey. A file is called after its path.
const ONE_PAGE: &str = "one page";

/// All journeys of a run. Never empty, and neither are the steps of any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journeys {
    /// `shop`, the name of a file, or `one page`.
    pub name: String,
    /// Those to choose from.
    pub all: Vec<Journey>,
    /// Variables, by number; how many each virtual user holds.
    pub variables: Vec<String>,
}

/// One journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journey {
    /// Its name.
    pub name: String,
    /// How often it is chosen, beside the others' weights.
    pub weight: u32,
    /// Hosts to choose from at its beginning; empty for the URL's.
    pub hosts: Vec<String>,
    /// The test account as which it may order, pay, mail or reserve; `None` when it may not.
    pub account: Option<String>,
    /// Whether cookies last beyond its end; otherwise each journey is another visitor's.
    pub keeps_cookies: bool,
    /// Whether variables last beyond its end.
    pub keeps_variables: bool,
    /// Whether a visitor goes on after a step that failed; otherwise he begins again.
    pub goes_on: bool,
    /// Variables that have a value at its beginning.
    pub set: Vec<(usize, String)>,
    /// Files from which variables get theirs.
    pub data: Vec<Data>,
    /// Visitors who walk this one and no other.
    pub crew: Option<Crew>,
    /// Its steps.
    pub steps: Vec<Step>,
    /// In which order they are walked.
    pub order: Vec<Part>,
}

/// One page load of a journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number, over all journeys.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// The method.
    pub method: Verb,
    /// Path and query, or a whole link.
    pub path: Template,
    /// Further fields.
    pub headers: Vec<(String, Template)>,
    /// What is sent with it.
    pub body: Content,
    /// How often it is walked, as a share.
    pub chance: f64,
    /// Time to think before it; `None` for the run's.
    pub think: Option<Think>,
    /// Whether redirects are followed; `None` where that is so unless a check wants a status.
    pub redirects: Option<bool>,
    /// Values drawn before it: a variable and what to choose from.
    pub choose: Vec<(usize, Vec<String>)>,
    /// What is taken from the response.
    pub extract: Vec<Extract>,
    /// What must be true of it.
    pub checks: Vec<Check>,
    /// What else was said of it.
    pub extras: Extras,
}

/// What most steps do without.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extras {
    /// Groups that it counts in, beside its own figures.
    pub tags: Vec<String>,
    /// What it does beyond this visitor; `None` leaves that to be guessed ([`crate::effects`]).
    pub effect: Option<Effect>,
    /// How the time to think before it is distributed; `None` for the run's.
    pub pause: Option<Pause>,
    /// The step is a WebSocket.
    pub websocket: Option<Box<Talk>>,
}

/// What a step does that cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is its own name")]
pub enum Effect {
    None,
    Order,
    Pay,
    Mail,
    Reserve,
}

/// A conversation over a WebSocket: what is sent and expected in turn, and how long it is held open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Talk {
    /// A message, and what the answer to it must contain; without one the next follows at once.
    pub turns: Vec<(Template, Option<Template>)>,
    /// How long it stays open after the last.
    pub hold: Duration,
}

/// The methods that a step may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is its own name")]
pub enum Verb {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

/// A request's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// None.
    None,
    /// A form: names and values.
    Form(Vec<(String, Template)>),
    /// Text; its type is a header of the step.
    Text(Template),
}

impl Journeys {
    /// One page over and over.
    pub fn one_page(target: &str) -> Self {
        let step = Step {
            number: 0,
            name: target.to_owned(),
            method: Verb::Get,
            path: Template::literal(target),
            headers: Vec::new(),
            body: Content::None,
            chance: 1.0,
            think: None,
            redirects: None,
            choose: Vec::new(),
            extract: Vec::new(),
            checks: Vec::new(),
            extras: Extras::default(),
        };
        let journey = Journey {
            name: ONE_PAGE.to_owned(),
            weight: 1,
            hosts: Vec::new(),
            account: None,
            keeps_cookies: true,
            keeps_variables: false,
            goes_on: false,
            set: Vec::new(),
            data: Vec::new(),
            crew: None,
            steps: vec![step],
            order: vec![Part::Step(0)],
        };
        Self { name: ONE_PAGE.to_owned(), all: vec![journey], variables: Vec::new() }
    }

    /// Whether visitors ask for the URL's page and nothing else.
    pub fn is_one_page(&self) -> bool {
        self.name == ONE_PAGE
    }

    /// The names of all steps, by number. With several journeys each says whose it is.
    pub fn step_names(&self) -> Vec<String> {
        let several = self.all.len() > 1;
        let name = |journey: &Journey, step: &Step| {
            if several { format!("{}: {}", journey.name, step.name) } else { step.name.clone() }
        };
        self.all
            .iter()
            .flat_map(|journey| journey.steps.iter().map(move |step| name(journey, step)))
            .collect()
    }

    /// The tags of all steps, each once, and for each step which of them it has.
    pub fn tags(&self) -> (Vec<String>, Vec<Vec<usize>>) {
        let mut names: Vec<String> = Vec::new();
        let mut of_steps = Vec::new();
        for step in self.all.iter().flat_map(|journey| &journey.steps) {
            let of_step = step.extras.tags.iter().map(|tag| {
                names.iter().position(|known| known == tag).unwrap_or_else(|| {
                    names.push(tag.clone());
                    names.len() - 1
                })
            });
            of_steps.push(of_step.collect());
        }
        (names, of_steps)
    }

    /// The hosts that journeys name.
    pub fn hosts(&self) -> impl Iterator<Item = &String> {
        self.all.iter().flat_map(|journey| &journey.hosts)
    }

    /// The journey for a draw from 0 to the sum of weights.
    pub fn choose(&self, mut draw: usize) -> usize {
        for (place, journey) in self.all.iter().enumerate() {
            match draw.checked_sub(journey.weight as usize) {
                Some(left) => draw = left,
                None => return place,
            }
        }
        self.all.len() - 1
    }

    /// All visitors of crews, and when the last of them has left; `None` when no journey has one.
    pub fn crews(&self) -> Option<(u32, Duration)> {
        let crews = || self.all.iter().filter_map(|journey| journey.crew);
        let last = crews().map(|crew| crew.time_max()).max()?;
        Some((crews().map(|crew| crew.visitors).fold(0, u32::saturating_add), last))
    }

    /// The sum of weights.
    pub fn weights(&self) -> usize {
        self.all.iter().map(|journey| journey.weight as usize).sum()
    }
}

impl Step {
    /// Whether redirects are followed. Where a check names statuses, a redirect is an answer like any other.
    pub fn follows(&self) -> bool {
        let checks_status = || self.checks.iter().any(|check| matches!(check, Check::Status(_)));
        self.redirects.unwrap_or_else(|| !checks_status())
    }

    /// Whether the body of the response is looked into.
    pub fn wants_body(&self) -> bool {
        self.extract.iter().any(Extract::wants_body) || self.checks.iter().any(Check::wants_body)
    }
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options];

    /// As it is sent.
    pub fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// As the codec knows it.
    pub fn method(self) -> Method {
        Method::from_bytes(self.text().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journeys_are_chosen_by_weight() {
        let one = Journeys::one_page("/").all.remove(0);
        let all = vec![Journey { weight: 3, ..one.clone() }, Journey { weight: 1, ..one }];
        let journeys = Journeys { name: "two".into(), all, variables: Vec::new() };
        let chosen: Vec<_> = (0..journeys.weights()).map(|draw| journeys.choose(draw)).collect();
        assert_eq!(chosen, [0, 0, 0, 1]);
    }
}
