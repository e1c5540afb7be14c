//! Everything that one run is told, checked and with its hosts found. Decides nothing.

use crate::arrivals::{Pause, Spacing};
use crate::climb::Shape;
use crate::hosts::Hosts;
use crate::journey::Journeys;
use crate::mark::Mark;
use crate::record::MICROS_MAX;
use crate::replay::Source;
use crate::result::{Model, Objectives};
use crate::samples::Samples;
use crate::transport::Transport;
use crate::url::Url;
use std::sync::Arc;
use std::time::Duration;
use tentpole_resolvers::Resolvers;

/// Longest time-out: a longer time could not be told apart in the distributions.
pub const TIMEOUT_MAX: Duration = Duration::from_micros(MICROS_MAX);

/// What a run is told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is loaded.
    pub url: Url,
    /// The hosts that may be loaded; the URL's is the first.
    pub hosts: Hosts,
    /// How they are reached.
    pub transport: Transport,
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
    /// Mean time to think between two requests of a visitor.
    pub think: Duration,
    /// How it is distributed.
    pub pause: Pause,
    /// What requests say of where they come from.
    pub mark: Mark,
    /// Where Tentpole's admin API is when it serves the site: the run ends when real visitors suffer.
    pub stop_when: Option<Url>,
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
    /// Requests at given moments, with [`Shape::Replay`].
    pub replay: Option<Source>,
    /// Whom visitors ask where hosts are; `None` sends all to the addresses of [`Plan::hosts`].
    pub resolvers: Option<Arc<Resolvers>>,
    /// Where each page load is told, when somebody writes them down.
    pub samples: Option<Samples>,
    /// The command as it was typed.
    pub command: String,
    /// The version of Tentpole.
    pub version: String,
}
