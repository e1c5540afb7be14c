//! Everything that one run is told, checked and with its hosts found. Decides nothing.

use crate::arrivals::Spacing;
use crate::climb::Shape;
use crate::hosts::Hosts;
use crate::journey::Journeys;
use crate::record::MICROS_MAX;
use crate::result::{Model, Objectives};
use crate::url::Url;
use std::time::Duration;

/// Longest time-out: a longer time could not be told apart in the distributions.
pub const TIMEOUT_MAX: Duration = Duration::from_micros(MICROS_MAX);

/// What a run is told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is loaded.
    pub url: Url,
    /// The hosts that may be loaded; the URL's is the first.
    pub hosts: Hosts,
    /// What visitors do.
    pub journeys: Journeys,
    /// How load is made.
    pub model: Model,
    /// How much, when.
    pub shape: Shape,
    /// How arrivals lie in time, in the open model.
    pub spacing: Spacing,
    /// Journeys under way at most, in the open model.
    pub in_flight_max: u32,
    /// What must hold.
    pub objectives: Objectives,
    /// Mean time to think between two requests of a visitor: each draws from half to one and a half of it.
    pub think: Duration,
    /// What all choices are drawn from.
    pub seed: u64,
    /// Longest time for a page load, redirects included; at most [`TIMEOUT_MAX`].
    pub timeout: Duration,
    /// Longest time for a connection.
    pub connect_timeout: Duration,
    /// Generator threads; at least 1.
    pub threads: u32,
    /// Cores for them, in turn; empty leaves them where the system puts them.
    pub cpus: Vec<u32>,
    /// The command as it was typed.
    pub command: String,
    /// The version of Tentpole.
    pub version: String,
}
