//! Why a fleet has as many instances as it has, for people and programs alike.

use std::fmt;
use std::time::Duration;

/// Why the number changed, or did not although it should.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// There were fewer than allowed.
    BelowMin {
        /// Instances at least.
        min: u32,
    },
    /// There were more than allowed.
    AboveMax {
        /// Instances at most.
        max: u32,
    },
    /// The load was above what the fleet is held at.
    Above(Above),
    /// It was, but there are as many as there may be.
    AtMax {
        /// Instances at most.
        max: u32,
        /// What was above.
        above: Above,
    },
    /// One less carries the load.
    RestCarries {
        /// For how long that was so.
        window: Duration,
        /// The highest CPU share that each of the rest would have had meanwhile.
        cpu_share: f64,
        /// What it is held at.
        cpu_target: f64,
        /// The most requests in flight that each of the rest would have had, and what they are held at.
        requests: Option<(f64, f64)>,
    },
}

/// What is above its target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Above {
    /// The CPU.
    Cpu {
        /// Share of what the instances are given, on average.
        share: f64,
        /// Instances that were measured.
        instances: u32,
        /// What it is held at.
        target: f64,
    },
    /// Requests in flight.
    Requests {
        /// For each instance.
        each: f64,
        /// Instances that were measured.
        instances: u32,
        /// What it is held at.
        target: f64,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BelowMin { min } => write!(f, "the minimum is {min}"),
            Self::AboveMax { max } => write!(f, "the maximum is {max}"),
            Self::Above(above) => above.fmt(f),
            Self::AtMax { max, above } => write!(f, "{above}; more than {max} are not allowed"),
            Self::RestCarries { window, cpu_share, cpu_target, requests } => {
                let (share, target) = (percent(*cpu_share), percent(*cpu_target));
                let seconds = window.as_secs();
                write!(
                    f,
                    "for {seconds} s one less would have meant CPU {share} % at most, held at {target} %"
                )?;
                match requests {
                    Some((each, target)) => {
                        write!(f, ", and {each:.1} requests in flight for each, held at {target}")
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Display for Above {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu { share, instances, target } => {
                let (share, target) = (percent(*share), percent(*target));
                let given = if *instances == 1 { "instance is" } else { "instances are" };
                write!(f, "CPU {share} % of what {instances} {given} given, held at {target} %")
            }
            Self::Requests { each, instances: 1, target } => {
                write!(f, "{each:.1} requests in flight at 1 instance, held at {target}")
            }
            Self::Requests { each, instances, target } => {
                write!(f, "{each:.1} requests in flight for each of {instances} instances, held at {target}")
            }
        }
    }
}

fn percent(share: f64) -> f64 {
    (share * 100.0).round()
}
