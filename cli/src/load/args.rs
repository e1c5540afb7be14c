//! What may be typed after `tentpole load`. `meant` finds out what was meant by it.

use clap::{Args, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tentpole_load::arrivals::Pause;
use tentpole_load::transport::{Sources, sources};
use tentpole_load::{duration, read};
use tentpole_model::Secret;

/// Raise visitors step by step until it breaks, and report
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true,
    after_help = "Examples:\n  tentpole load http://localhost:8080\n  tentpole load http://localhost:8080 --find\n  tentpole load http://localhost:8080 --compare direct=http://localhost:3000\n  tentpole load http://shop.localhost:8080 --journey shop\n  tentpole load http://localhost:8080 --visitors 200 --time 5m\n  tentpole load http://localhost:8080 --rate 50..2000 --think 0\n\nExits with 0 when the objectives held, 99 when it broke, 2 for a wrong call, 3\nwhen nobody answers. Ctrl-C ends it early and keeps what was measured."
)]
pub struct Load {
    #[command(subcommand)]
    pub command: Option<LoadCommand>,
    /// Where visitors go
    #[arg(value_name = "URL", required = true)]
    pub url: Option<String>,
    /// Visitors at once: N, or FROM..TO [default: 10..10000]
    #[arg(long, value_name = "N", conflicts_with_all = ["rate", "profile"], value_parser = range)]
    pub visitors: Option<Range>,
    /// Journeys begun a second, whatever the server does
    #[arg(long, value_name = "N", conflicts_with = "profile", value_parser = range)]
    pub rate: Option<Range>,
    /// What visitors do: shop, or a file (also a HAR or .jmx)
    #[arg(long, value_name = "FILE")]
    pub journey: Option<String>,
    /// Stages, objectives and journeys from a file
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// Requests of an access log, at their own times
    #[arg(long, value_name = "FILE", conflicts_with_all = ["visitors", "rate", "journey", "profile"])]
    pub replay: Option<PathBuf>,
    /// With --replay: so many times faster [default: 1]
    #[arg(long, value_name = "N", value_parser = amount)]
    pub speed: Option<f64>,
    /// With --replay: also what is not GET, HEAD or OPTIONS
    #[arg(long)]
    pub all_methods: bool,
    /// Highest load of a climb without an end [default: 10000]
    #[arg(long, value_name = "N", value_parser = amount)]
    pub visitors_max: Option<f64>,
    /// How long a constant load lasts [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub time: Option<Duration>,
    /// How long each step of a climb is judged [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub step_time: Option<Duration>,
    /// How long load takes to change; not judged
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    pub ramp: Duration,
    /// Mean time a visitor thinks between two requests
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::parse)]
    pub think: Duration,
    /// How it is distributed: around, fixed, uniform, exponential, lognormal
    #[arg(long, value_name = "FORM", default_value = "around", value_parser = Pause::parse)]
    pub pause: Pause,
    /// Objective: median load time, or off [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = limit_time)]
    pub p50: Option<Limit>,
    /// Objective: 99th percentile, or off [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = limit_time)]
    pub p99: Option<Limit>,
    /// Objective: share of failures, or off [default: 1%]
    #[arg(long, value_name = "SHARE", value_parser = limit_share)]
    pub errors: Option<Limit>,
    /// Longest time for one page
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub timeout: Duration,
    /// With --rate: arrivals come poisson or constant [default: poisson]
    #[arg(long, value_name = "FORM", hide_possible_values = true)]
    pub arrivals: Option<Arrivals>,
    /// With --rate N: arrivals a second more at the beginning
    #[arg(long, value_name = "N", value_parser = amount)]
    pub burst: Option<f64>,
    /// With --burst: the time in which half of it is gone [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub half_life: Option<Duration>,
    /// With --rate: journeys under way at most [default: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub in_flight: Option<u32>,
    /// The same number makes visitors choose the same
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Generator threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: Option<u32>,
    /// Cores for the generator alone: 2,3 or 4-7
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    pub cpu: Option<Cpus>,
    /// Believe only the authorities in this PEM file
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Believe whatever certificate is shown
    #[arg(long)]
    pub insecure: bool,
    /// Speak HTTP/1.1 only
    #[arg(long, conflicts_with = "http2")]
    pub http1: bool,
    /// Speak HTTP/2 only, also in the clear
    #[arg(long)]
    pub http2: bool,
    /// Addresses of this machine that visitors have: 127.0.0.2,127.0.0.3 or 10.0.0.0/28
    #[arg(long, value_name = "LIST", value_parser = sources)]
    pub from: Option<Sources>,
    #[command(flatten)]
    pub finding: crate::load::find::Finding,
    #[command(flatten)]
    pub comparing: crate::load::compare::Comparing,
    #[command(flatten)]
    pub asked: crate::load::resolvers::Asked,
    #[command(flatten)]
    pub others: crate::load::agents::Others,
    /// Folder for report.html and report.json
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub out: PathBuf,
    /// Say what changed since this report: report.json or report.html
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// The test account as which journeys may order, pay, mail or reserve
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Sign requests: a secret that the edge has too, env:NAME or file:PATH
    #[arg(long, value_name = "PLACE", value_parser = secret)]
    pub key: Option<Secret>,
    /// Admin API of the Tentpole in front: end when real visitors suffer
    #[arg(long, value_name = "URL", requires = "key")]
    pub stop_when: Option<String>,
    /// Also leave JUnit XML: a case for each objective
    #[arg(long, value_name = "FILE")]
    pub out_junit: Option<PathBuf>,
    /// Also leave each request as JMeter writes it (CSV)
    #[arg(long, value_name = "FILE")]
    pub out_jtl: Option<PathBuf>,
    /// Also leave figures for Prometheus, each second anew
    #[arg(long, value_name = "FILE")]
    pub out_prometheus: Option<PathBuf>,
    /// Also serve them over HTTP while it runs: 9464 or 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS", value_parser = crate::load::scrape::address)]
    pub metrics: Option<SocketAddr>,
    /// Also tell an OpenTelemetry collector: http://HOST:4318, or https://
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// With --otlp https://: believe only the authorities in this PEM file
    #[arg(long, value_name = "FILE", requires = "otlp")]
    pub otlp_ca: Option<PathBuf>,
    /// I may load this host, which is not this machine
    #[arg(long, value_name = "HOST")]
    pub i_may_load: Vec<String>,
    /// One line a step instead of a live view
    #[arg(long)]
    pub plain: bool,
}

/// What else is done with loads.
#[derive(Subcommand, Debug)]
pub enum LoadCommand {
    Import(crate::load::import::Import),
    Agent(crate::load::agents::Serve),
}

/// `N`, `FROM..TO` or `FROM..`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// The same all the time.
    Constant(f64),
    /// From one to the other, or without an end.
    Climb(f64, Option<f64>),
}

/// An objective that was typed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Not judged.
    Off,
    /// In ms, or a share.
    Under(f64),
}

/// A list of cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(pub Vec<u32>);

/// How arrivals lie in time.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// As visitors come who know nothing of one another
    Poisson,
    /// At equal distances
    Constant,
}

fn amount(text: &str) -> Result<f64, String> {
    let plain: String = text.chars().filter(|c| !matches!(c, '_' | ',')).collect();
    match plain.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err(format!("\"{text}\" is not a number above 0")),
    }
}

fn range(text: &str) -> Result<Range, String> {
    let Some((from, to)) = text.split_once("..") else { return Ok(Range::Constant(amount(text)?)) };
    let from = amount(from)?;
    let to = if to.is_empty() { None } else { Some(amount(to)?) };
    match to {
        Some(to) if to < from => Err(format!("\"{text}\" goes down; write {to}..{from}")),
        to => Ok(Range::Climb(from, to)),
    }
}

pub fn secret(text: &str) -> Result<Secret, String> {
    match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Ok(Secret::Variable(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(Secret::File(path.into())),
        _ => Err(format!("\"{text}\" is not where a secret is; write env:NAME or file:PATH")),
    }
}

fn limit_time(text: &str) -> Result<Limit, String> {
    match text {
        "off" => Ok(Limit::Off),
        text => duration::parse(text).map(|time| Limit::Under(time.as_secs_f64() * 1_000.0)),
    }
}

fn limit_share(text: &str) -> Result<Limit, String> {
    match text {
        "off" => Ok(Limit::Off),
        text => read::share(text).map(Limit::Under),
    }
}

pub fn cpus(text: &str) -> Result<Cpus, String> {
    let wrong = || format!("\"{text}\" is not a list of cores; write 2,3 or 4-7");
    let number = |part: &str| part.trim().parse::<u32>().ok().filter(|cpu| *cpu < 1_024).ok_or_else(wrong);
    let mut all = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            Some((from, to)) => all.extend(number(from)?..=number(to)?),
            None => all.push(number(part)?),
        }
    }
    if all.is_empty() { Err(wrong()) } else { Ok(Cpus(all)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_a_number_or_a_range() {
        assert_eq!(range("200"), Ok(Range::Constant(200.0)));
        assert_eq!(range("10..1_000"), Ok(Range::Climb(10.0, Some(1_000.0))));
        assert_eq!(range("0.5.."), Ok(Range::Climb(0.5, None)));
        for wrong in ["0", "-1", "x", "..5", "10..5", "10..x", "inf"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cores_are_listed_or_ranged() {
        assert_eq!(cpus("2,3"), Ok(Cpus(vec![2, 3])));
        assert_eq!(cpus("0,4-6"), Ok(Cpus(vec![0, 4, 5, 6])));
        for wrong in ["", "a", "3-2", "1,,2", "4096"] {
            assert!(cpus(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn objectives_are_limits_or_off() {
        assert_eq!(limit_time("1.5s"), Ok(Limit::Under(1_500.0)));
        assert_eq!(limit_time("off"), Ok(Limit::Off));
        assert_eq!(limit_share("0.5%"), Ok(Limit::Under(0.005)));
        assert!(limit_share("5").is_err());
    }
}
