//! What may be typed about resolvers after `tentpole load`, and the population that is meant by it. Asks the name server
//! once, so that a wrong name is found before anything is sent.

use crate::load::meant::Wrong;
use clap::Args;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tentpole_load::url::Url;
use tentpole_resolvers::{
    Mix, Policy, Population, RESOLVERS_MAX, Resolvers, Settings, Sizes, first_look, server, system_servers,
};

/// Name servers that may be named.
const SERVERS_MAX: usize = 3;

/// Whom visitors ask where the name leads
#[derive(Args, Debug, Default)]
pub struct Asked {
    /// Visitors sit behind N resolvers, each with a cache of its own [default with the flags below: 500]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(RESOLVERS_MAX)))]
    pub resolvers: Option<u32>,
    /// How many visitors each has: even, or zipf:EXPONENT [default: zipf:1.1]
    #[arg(long, value_name = "FORM", value_parser = Sizes::parse)]
    pub resolver_sizes: Option<Sizes>,
    /// Order in which they hand on addresses: first, random, rotate, sorted [default: first:0.2,random:0.4,rotate:0.4]
    #[arg(long, value_name = "MIX", value_parser = Mix::parse)]
    pub resolver_policy: Option<Mix>,
    /// Which of those visitors take: first, random, sorted [default: first]
    #[arg(long, value_name = "MIX", value_parser = clients)]
    pub client_policy: Option<Mix>,
    /// Whom resolvers ask: 127.0.0.1:5353 [default: this machine's]
    #[arg(long, value_name = "ADDRESS", value_parser = server, value_delimiter = ',')]
    pub name_server: Vec<SocketAddr>,
}

fn clients(text: &str) -> Result<Mix, String> {
    let mix = Mix::parse(text)?;
    if mix.has(Policy::Rotate) {
        return Err("a visitor asks once and has no turn; write first, random or sorted".to_owned());
    }
    Ok(mix)
}

/// A population, and where the name leads as the run begins.
pub struct Found {
    /// The population.
    pub resolvers: Arc<Resolvers>,
    /// Never empty.
    pub addresses: Vec<IpAddr>,
}

impl Asked {
    fn is_meant(&self) -> bool {
        self.resolvers.is_some()
            || self.resolver_sizes.is_some()
            || self.resolver_policy.is_some()
            || self.client_policy.is_some()
            || !self.name_server.is_empty()
    }

    /// The population that was meant; `None` when nothing was said of one.
    pub fn find(&self, url: &Url, seed: u64) -> Result<Option<Found>, Wrong> {
        if !self.is_meant() {
            return Ok(None);
        }
        let host = url.host.as_str();
        if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            let says =
                format!("{host} is an address, and resolvers are asked for names. Write the site's name.");
            return Err(Wrong::Call(says));
        }
        let is_local = host == "localhost" || host.ends_with(".localhost");
        if is_local && self.name_server.is_empty() {
            let says = format!(
                "{host} is this machine without asking anybody. Write the site's name, or a name server that knows \
                 this one: --name-server 127.0.0.1:5353."
            );
            return Err(Wrong::Call(says));
        }
        if self.name_server.len() > SERVERS_MAX {
            return Err(Wrong::Call(format!("--name-server: {SERVERS_MAX} at most.")));
        }
        let servers = match self.name_server.as_slice() {
            [] => system_servers(),
            named => named.to_vec(),
        };
        let addresses = first_look(&servers, host).map_err(|trouble| {
            let asked: Vec<_> = servers.iter().map(ToString::to_string).collect();
            Wrong::Unreachable(format!(
                "{host}, asked for at {}: {trouble}. {}",
                asked.join(", "),
                trouble.mend()
            ))
        })?;
        let usual = Settings::default();
        let settings = Settings {
            resolvers: self.resolvers.unwrap_or(usual.resolvers),
            sizes: self.resolver_sizes.unwrap_or(usual.sizes),
            policies: self.resolver_policy.clone().unwrap_or(usual.policies),
            clients: self.client_policy.clone().unwrap_or(usual.clients),
        };
        let stays_here = addresses.iter().all(|ip| ip.to_canonical().is_loopback());
        let resolvers = Arc::new(Resolvers::new(Population::new(settings, seed), servers, stays_here));
        Ok(Some(Found { resolvers, addresses }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_has_no_turn() {
        assert!(clients("first:0.5,sorted:0.5").is_ok());
        assert!(clients("rotate").unwrap_err().contains("no turn"));
    }

    #[test]
    fn addresses_and_this_machine_need_no_resolver() {
        let asked = Asked { resolvers: Some(3), ..Asked::default() };
        for url in ["http://127.0.0.1:1/", "http://[::1]:1/", "http://shop.localhost:1/"] {
            let url = Url::parse(url).expect("a URL");
            assert!(matches!(asked.find(&url, 1), Err(Wrong::Call(_))), "{url}");
            assert!(matches!(Asked::default().find(&url, 1), Ok(None)));
        }
    }
}
