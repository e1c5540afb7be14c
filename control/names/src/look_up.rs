//! From a name to where it leads: the file of hosts first, then the name servers, along search domains, families and
//! aliases. What worked last time is asked first, so that a look-up is one question as a rule.

use crate::ask::{Said, Servers, ask};
use crate::system::System;
use crate::trouble::Trouble;
use crate::wire::{ALIASES_MAX, Answer, Kind, Question, Service};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tentpole_model::{Asked, Family, Lookup, NamesSettings};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Addresses of a host.
    pub(crate) addresses: Vec<IpAddr>,
    /// Targets of a service, whose addresses are still to be found.
    pub(crate) services: Vec<Service>,
    /// How long it counts; `None` until the files of this machine change.
    pub(crate) ttl: Option<Duration>,
    pub(crate) one_machine: bool,
    /// Who said it.
    pub(crate) from: String,
}

/// Why nothing was found, and in which words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotFound {
    pub(crate) why: Trouble,
    pub(crate) words: String,
}

/// The question that was answered last time.
pub(crate) type Worked = Option<(String, Kind)>;

/// Looks a name up.
pub(crate) async fn look_up(
    asked: &Asked,
    system: &System,
    settings: &NamesSettings,
    worked: &mut Worked,
    questions: &AtomicU64,
) -> Result<Found, NotFound> {
    if asked.lookup == Lookup::Addresses
        && let Some(found) = without_asking(&asked.host, system, settings.family)
    {
        return Ok(found);
    }
    let servers = system.servers(settings);
    let mut turns = turns(asked, system, settings.family);
    if let Some(at) = worked.as_ref().and_then(|worked| turns.iter().position(|turn| turn == worked)) {
        let first = turns.remove(at);
        turns.insert(0, first);
    }
    let mut unknown: Vec<String> = Vec::new();
    let mut last = None;
    for (name, kind) in turns {
        if unknown.contains(&name) {
            continue;
        }
        match along_aliases(&servers, &name, kind, questions).await {
            Ok(Said { what: Answer { addresses, services, ttl_s, .. }, by }) => {
                *worked = Some((name, kind));
                let ttl = Some(Duration::from_secs(ttl_s.into()));
                return Ok(Found { addresses, services, ttl, one_machine: false, from: by.to_string() });
            }
            Err(Said { what, by }) => {
                let absence = what.is_absence();
                if matches!(what, Trouble::NoSuchName { .. }) {
                    unknown.push(name);
                }
                last = Some(NotFound { words: what.by(by), why: what });
                // Nobody could say. Another name in its place may be somebody else's.
                if !absence {
                    break;
                }
            }
        }
    }
    Err(last.unwrap_or_else(|| NotFound { why: Trouble::NoName, words: Trouble::NoName.to_string() }))
}

/// What to ask for, in order.
fn turns(asked: &Asked, system: &System, family: Family) -> Vec<(String, Kind)> {
    let kinds: &[Kind] = match (asked.lookup, family) {
        (Lookup::Services, _) => &[Kind::Service],
        (Lookup::Addresses, Family::Ipv4) => &[Kind::V4, Kind::V6],
        (Lookup::Addresses, Family::Ipv6) => &[Kind::V6, Kind::V4],
    };
    let names = system.resolving.candidates(&asked.host);
    names.into_iter().flat_map(|name| kinds.iter().map(move |&kind| (name.clone(), kind))).collect()
}

/// What this machine knows by itself.
fn without_asking(host: &str, system: &System, family: Family) -> Option<Found> {
    let (mut addresses, from) = match system.host(host) {
        Some(addresses) => (addresses.to_vec(), "the file of hosts"),
        // RFC 6761 section 6.3: never asked for.
        None if host == "localhost" || host.ends_with(".localhost") => {
            (vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], "itself")
        }
        None => return None,
    };
    let first = |ip: &IpAddr| ip.is_ipv4() == (family == Family::Ipv4);
    addresses.sort_by_key(|ip| !first(ip));
    // One of each family is one machine, several of one are several.
    let of_first = addresses.iter().filter(|ip| first(ip)).count();
    let one_machine = of_first <= 1 && addresses.len() - of_first <= 1;
    if !one_machine && of_first > 0 {
        addresses.truncate(of_first);
    }
    Some(Found { addresses, services: Vec::new(), ttl: None, one_machine, from: from.to_owned() })
}

/// Asks for what a name stands for until it is no alias.
async fn along_aliases(
    servers: &Servers,
    name: &str,
    kind: Kind,
    questions: &AtomicU64,
) -> Result<Said<Answer>, Said<Trouble>> {
    let nobody = |what| Err(Said { what, by: servers.addresses[0] });
    let (mut name, mut ttl_s) = (name.to_owned(), u32::MAX);
    for _ in 0..=ALIASES_MAX {
        let Some(question) = Question::new(&name, kind) else { return nobody(Trouble::NoName) };
        let mut said = ask(servers, &question, questions).await?;
        ttl_s = ttl_s.min(said.what.ttl_s);
        if let Some(alias) = said.what.alias.take() {
            name = alias;
            continue;
        }
        said.what.ttl_s = ttl_s;
        if said.what.services.iter().any(|service| service.host.is_empty()) {
            return Err(Said { what: Trouble::NotOffered { ttl_s }, by: said.by });
        }
        return Ok(said);
    }
    nobody(Trouble::Aliases)
}
