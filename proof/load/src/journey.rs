//! What a virtual user does: steps one after the other, each a page load, with what is taken from one page for the
//! next and what must be true of it. Types only; `read` makes them from a file, `visitor` walks them.

use crate::extract::{Check, Extract};
use crate::template::Template;
use std::time::Duration;
use tentpole_model::Method;

/// The journey of the demo shop.
pub const SHOP: &str = include_str!("shop.toml");
/// What it is called when there is no journey. A file is called after its path.
const ONE_PAGE: &str = "one page";

/// All journeys of a run. Never empty, and neither are the steps of any.
#[derive(Clone, Debug, PartialEq)]
pub struct Journeys {
    /// `shop`, the name of a file, or `one page`.
    pub name: String,
    /// Those to choose from.
    pub all: Vec<Journey>,
    /// Variables, by number; how many each virtual user holds.
    pub variables: Vec<String>,
}

/// One journey.
#[derive(Clone, Debug, PartialEq)]
pub struct Journey {
    /// Its name.
    pub name: String,
    /// How often it is chosen, beside the others' weights.
    pub weight: u32,
    /// Hosts to choose from at its beginning; empty for the URL's.
    pub hosts: Vec<String>,
    /// Whether cookies last beyond its end; otherwise each journey is another visitor's.
    pub keeps_cookies: bool,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// One page load of a journey.
#[derive(Clone, Debug, PartialEq)]
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
    pub think: Option<Duration>,
    /// Values drawn before it: a variable and what to choose from.
    pub choose: Vec<(usize, Vec<String>)>,
    /// What is taken from the response.
    pub extract: Vec<Extract>,
    /// What must be true of it.
    pub checks: Vec<Check>,
}

/// The methods that a step may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq)]
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
            choose: Vec::new(),
            extract: Vec::new(),
            checks: Vec::new(),
        };
        let journey = Journey {
            name: ONE_PAGE.to_owned(),
            weight: 1,
            hosts: Vec::new(),
            keeps_cookies: true,
            steps: vec![step],
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

    /// The sum of weights.
    pub fn weights(&self) -> usize {
        self.all.iter().map(|journey| journey.weight as usize).sum()
    }
}

impl Step {
    /// Whether a check names statuses: then a redirect is an answer like any other.
    pub fn checks_status(&self) -> bool {
        self.checks.iter().any(|check| matches!(check, Check::Status(_)))
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
