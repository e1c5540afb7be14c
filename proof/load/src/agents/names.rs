//! A population of resolvers, as it is sent, and an agent's part of it: of the line on which all visitors stand, as much as it
//! has of all threads. Asks a name server once; which one may be asked is the agent's to say.

use crate::agents::division::Part;
use crate::agents::serve::Settings;
use crate::url::Url;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tentpole_resolvers::{Mix, Population, Resolvers, Settings as Sizing, Sizes, first_look, system_servers};

/// A population.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Names {
    resolvers: u32,
    sizes: String,
    policies: String,
    clients: String,
    seed: u64,
    /// Whom it asks; empty for whom the agent's machine asks.
    servers: Vec<SocketAddr>,
}

impl Names {
    pub(crate) fn of(resolvers: &Resolvers) -> Self {
        let (population, servers) = (resolvers.population(), resolvers.servers());
        let settings = population.settings();
        Self {
            resolvers: settings.resolvers,
            sizes: settings.sizes.to_string(),
            policies: settings.policies.exact(),
            clients: settings.clients.exact(),
            seed: population.seed(),
            servers: if servers == system_servers() { Vec::new() } else { servers.to_vec() },
        }
    }

    /// An agent's part of it, and where the name leads now. Blocks for some seconds at most.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn find(
        &self,
        url: &Url,
        part: Part,
        own: &Settings,
    ) -> Result<(Arc<Resolvers>, Vec<IpAddr>), String> {
        let system = system_servers();
        let is_fine = |server: &&SocketAddr| {
            let named = |name: &String| name.parse() == Ok(server.ip());
            server.ip().to_canonical().is_loopback() || system.contains(server) || own.allow.iter().any(named)
        };
        if let Some(server) = self.servers.iter().find(|server| !is_fine(server)) {
            return Err(format!(
                "it may not ask the name server {server}. Who runs it may allow that there: tentpole load agent --allow {}",
                server.ip()
            ));
        }
        let servers = if self.servers.is_empty() { system } else { self.servers.clone() };
        let addresses = first_look(&servers, &url.host)
            .map_err(|trouble| format!("{} is not found there: {trouble}. {}", url.host, trouble.mend()))?;
        let settings = Sizing {
            resolvers: self.resolvers,
            sizes: Sizes::parse(&self.sizes)?,
            policies: Mix::parse(&self.policies)?,
            clients: Mix::parse(&self.clients)?,
        };
        let share = |threads: u32| f64::from(threads) / f64::from(part.of.max(1));
        let population = Population::new(settings, self.seed)
            .between(share(part.first), share(part.first.saturating_add(part.threads)));
        let stays_here = addresses.iter().all(|address| address.to_canonical().is_loopback());
        let resolvers = Resolvers::new(population, servers, stays_here).at_place(part.place.0, part.place.1);
        Ok((Arc::new(resolvers), addresses))
    }
}
