//! `tentpole load --agents …` and `tentpole load agent`: several generators as one. Reads the secret, connects, says what does
//! not go together with it.

use crate::load::WRONG;
use crate::load::args::{Cpus, Load, cpus, secret};
use crate::say;
use clap::Args;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tentpole_load::Plan;
use tentpole_load::agents::{self, AGENTS_MAX, Agent, Key, Missing, Settings};
use tentpole_load::generator::pin_to;
use tentpole_load::mark::SigningKey;
use tentpole_load::transport::{Sources, sources};
use tentpole_model::{EndpointTls, Secret};
use tentpole_runtime::descriptors;
use tentpole_tls::Client;

/// Where an agent listens when nobody says otherwise.
const PORT: u16 = 9950;

/// Others that make the load
#[derive(Args, Debug, Default)]
pub struct Others {
    /// Agents that make the load in place of this machine: host1,host2:9950
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "agents_key")]
    pub agents: Vec<String>,
    /// With --agents: the secret that they have too, env:NAME or file:PATH
    #[arg(long, value_name = "PLACE", value_parser = secret, requires = "agents")]
    pub agents_key: Option<Secret>,
}

/// Make load for a coordinator: tentpole load --agents
#[derive(Args, Debug)]
#[command(
    after_help = "Who has the secret can make this machine load itself and what --allow names,\nand nothing else. What is said is proved, not hidden: where others listen, put a\ntunnel around it.\n\nExamples:\n  openssl rand -hex 32 > secret\n  tentpole load agent --listen 10.0.0.7:9950 --key file:secret --allow shop.example.com"
)]
pub struct Serve {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = SocketAddr::from(([127, 0, 0, 1], PORT)))]
    pub listen: SocketAddr,
    /// The secret that the coordinator has too: env:NAME or file:PATH
    #[arg(long, value_name = "PLACE", value_parser = secret)]
    pub key: Secret,
    /// A host that may be loaded beside this machine itself
    #[arg(long, value_name = "HOST")]
    pub allow: Vec<String>,
    /// Generator threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: Option<u32>,
    /// Cores for them alone: 2,3 or 4-7
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    pub cpu: Option<Cpus>,
    /// Addresses of this machine that visitors have: 127.0.0.2,127.0.0.3 or 10.0.0.0/28
    #[arg(long, value_name = "LIST", value_parser = sources)]
    pub from: Option<Sources>,
    /// Believe only the authorities in this PEM file
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Sign requests where the coordinator does (its --key): env:NAME or file:PATH
    #[arg(long, value_name = "PLACE", value_parser = secret)]
    pub load_key: Option<Secret>,
}

fn key(flag: &str, place: &Secret) -> Result<Key, String> {
    let text = tentpole_runtime::secret::read(place).map_err(|why| format!("{flag}: {why}."))?;
    Key::new(text.trim()).map_err(|why| format!("{flag}: {why}."))
}

/// Serves coordinators until it is ended.
pub fn serve(typed: &Serve) -> ExitCode {
    match listen(typed) {
        Ok((listener, settings)) => {
            let said = |says: &str| {
                say::out(&format!("{says}\n"));
            };
            agents::serve(&listener, &settings, Arc::new(said));
            ExitCode::SUCCESS
        }
        Err(says) => {
            say::error(&says);
            ExitCode::from(WRONG)
        }
    }
}

fn listen(typed: &Serve) -> Result<(TcpListener, Settings), String> {
    let key = key("--key", &typed.key)?;
    let sign = typed.load_key.as_ref().map(tentpole_runtime::secret::read).transpose();
    let sign = sign.map_err(|why| format!("--load-key: {why}."))?;
    let cpus = typed.cpu.as_ref().map(|cpus| cpus.0.clone()).unwrap_or_default();
    are_ours(&cpus)?;
    if typed.ca.is_some() {
        // What is wrong with the file is known before anybody asks for it.
        let settings = EndpointTls { authority: typed.ca.clone(), ..EndpointTls::default() };
        Client::load(&settings).map_err(|trouble| format!("{trouble}."))?;
    }
    let listener = TcpListener::bind(typed.listen)
        .map_err(|error| format!("--listen {}: {error}. Is another agent there?", typed.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    let _ = descriptors::raise_limit();
    let allowed = match typed.allow.as_slice() {
        [] => "this machine only".to_owned(),
        hosts => format!("this machine, {}", hosts.join(", ")),
    };
    say::out(&format!("Agent at {address}; may load {allowed}.\n"));
    let settings = Settings {
        key,
        allow: typed.allow.clone(),
        threads: typed.threads.unwrap_or(if cpus.is_empty() { cores.min(256) } else { cpus.len() as u32 }),
        cores,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sign: sign.as_deref().map(SigningKey::new),
        authority: typed.ca.clone(),
        sources: typed.from.as_ref().map(|sources| sources.0.clone()).unwrap_or_default(),
        cpus,
    };
    Ok((listener, settings))
}

/// Whether threads can be put on these cores; tried by one that has nothing else to do.
fn are_ours(cpus: &[u32]) -> Result<(), String> {
    let all = cpus.to_vec();
    let tried = std::thread::spawn(move || all.iter().try_for_each(|cpu| pin_to(&[*cpu]))).join();
    match tried {
        Ok(Ok(())) => Ok(()),
        _ => {
            Err("--cpu: this machine has no such core, or it is not ours. `taskset -pc $$` tells which are."
                .to_owned())
        }
    }
}

/// Those who make the load of each run.
pub struct Circle {
    addresses: Vec<String>,
    key: Key,
}

impl Others {
    /// Who was named; nobody when none was. Errors say what to type instead.
    pub fn circle(&self, typed: &Load) -> Result<Option<Circle>, String> {
        let Some(place) = self.agents_key.as_ref().filter(|_| !self.agents.is_empty()) else {
            return Ok(None);
        };
        if let Some(flag) = is_theirs(typed) {
            return Err(format!(
                "{flag} is the agents' own, each on its machine. Set it on the agents: tentpole load agent {flag} …"
            ));
        }
        let key = key("--agents-key", place)?;
        let addresses: Vec<String> = self.agents.iter().map(|agent| with_port(agent)).collect();
        if addresses.len() > AGENTS_MAX {
            return Err(format!("--agents: {AGENTS_MAX} at most."));
        }
        let mut twice = addresses.clone();
        twice.sort();
        if let Some(same) = twice.windows(2).find(|both| both[0] == both[1]) {
            return Err(format!("--agents names {} twice.", same[0]));
        }
        Ok(Some(Circle { addresses, key }))
    }
}

impl Circle {
    /// Connects to all of them and gives each its part of the plan.
    pub fn join(&self, plan: &mut Plan) -> Result<Vec<Agent>, Missing> {
        let mut agents = agents::connect(&self.addresses, &self.key, &plan.version)?;
        agents::prepare(&mut agents, plan)?;
        Ok(agents)
    }

    /// Whether all are there and would perform this plan; warns of what they may have too little of.
    pub fn rehearse(&self, plan: &mut Plan) -> Result<(), Missing> {
        let joined = self.join(plan)?;
        warn_of_lacks(&joined);
        agents::leave(joined);
        Ok(())
    }
}

/// Says what the agents' machines may have too little of.
pub fn warn_of_lacks(agents: &[Agent]) {
    agents.iter().flat_map(Agent::lacks).for_each(|says| say::warning(&says));
}

/// What each agent is told where it is.
fn is_theirs(typed: &Load) -> Option<&'static str> {
    let all = [
        (typed.from.is_some(), "--from"),
        (typed.cpu.is_some(), "--cpu"),
        (typed.threads.is_some(), "--threads"),
    ];
    all.into_iter().find(|(is_typed, _)| *is_typed).map(|(_, flag)| flag)
}

/// `host`, `host:9950`, `::1` or `[::1]:9950`.
fn with_port(agent: &str) -> String {
    match agent.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]:{PORT}"),
        Err(_) if agent.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            agent.to_owned()
        }
        Err(_) => format!("{agent}:{PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_has_a_port() {
        let all = ["host", "host:1", "::1", "[::1]:2", "10.0.0.1"].map(with_port);
        assert_eq!(all, ["host:9950", "host:1", "[::1]:9950", "[::1]:2", "10.0.0.1:9950"]);
    }
}
