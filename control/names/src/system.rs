//! What this machine says about names: `/etc/resolv.conf` (resolv.conf(5)) and `/etc/hosts` (hosts(5)). Read again when
//! they change. Both are bounded; what cannot be understood in them is passed over, as the system's resolver does.

use crate::ask::Servers;
use std::collections::HashMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tentpole_model::NamesSettings;

/// Bytes of a file that are read.
const BYTES_MAX: u64 = 4 << 20;
/// Name servers in one file (resolv.conf(5), MAXNS).
const SERVERS_MAX: usize = 3;
/// Domains to search.
const SEARCH_MAX: usize = 32;
/// The port of name servers.
const PORT: u16 = 53;

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Files {
    /// Usually `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// Usually `/etc/hosts`.
    pub hosts: PathBuf,
}

/// What they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct System {
    pub(crate) resolving: Resolving,
    hosts: HashMap<String, Vec<IpAddr>>,
}

/// What `/etc/resolv.conf` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolving {
    servers: Servers,
    search: Vec<String>,
    /// A name with so many dots is asked for as it is first.
    dots: usize,
}

/// By what a change of the files is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark([Option<(SystemTime, u64)>; 2]);

impl Default for Files {
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into() }
    }
}

impl Files {
    pub(crate) fn mark(&self) -> Mark {
        let of = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        Mark([of(&self.resolv_conf), of(&self.hosts)])
    }

    pub(crate) fn read(&self) -> System {
        System { resolving: Resolving::parse(&text(&self.resolv_conf)), hosts: hosts(&text(&self.hosts)) }
    }
}

impl System {
    /// The addresses that the file of hosts has for a name.
    pub(crate) fn host(&self, name: &str) -> Option<&[IpAddr]> {
        self.hosts.get(name).map(Vec::as_slice)
    }

    /// Who is asked: those of the configuration, or the system's.
    pub(crate) fn servers(&self, settings: &NamesSettings) -> Servers {
        let system = self.resolving.servers.clone();
        match settings.servers.as_slice() {
            [] => system,
            own => Servers { addresses: own.to_vec(), ..system },
        }
    }
}

impl Resolving {
    fn parse(text: &str) -> Self {
        let (mut addresses, mut search) = (Vec::new(), Vec::new());
        let (mut time, mut rounds, mut rotate, mut dots) = (5, 2, false, 1);
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    addresses.extend(address.map(|ip| SocketAddr::new(ip, PORT)));
                }
                // The last one of both counts.
                Some("search" | "domain") => search = words.take(SEARCH_MAX).map(bare).collect(),
                Some("options") => {
                    for word in words {
                        let (option, number) = word.split_once(':').unwrap_or((word, ""));
                        let number = || number.parse::<u32>().ok();
                        match option {
                            "ndots" => dots = number().unwrap_or(dots).min(15),
                            "timeout" => time = number().unwrap_or(time).clamp(1, 30),
                            "attempts" => rounds = number().unwrap_or(rounds).clamp(1, 5),
                            "rotate" => rotate = true,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        addresses.truncate(SERVERS_MAX);
        if addresses.is_empty() {
            addresses.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        search.retain(|domain| !domain.is_empty());
        let time = Duration::from_secs(time.into());
        Self { servers: Servers { addresses, time, rounds, rotate }, search, dots: dots as usize }
    }

    /// The names to ask for one after the other in place of this one.
    pub(crate) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(whole) = name.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{name}.{domain}")).collect();
        let as_it_is = if name.matches('.').count() >= self.dots { 0 } else { names.len() };
        names.insert(as_it_is, name.to_owned());
        names
    }
}

fn bare(domain: &str) -> String {
    domain.trim_matches('.').to_ascii_lowercase()
}

fn hosts(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(ip) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        for name in words {
            let addresses = hosts.entry(bare(name)).or_default();
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
    }
    hosts
}

/// What is not there says nothing.
fn text(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What could be read counts.
        let _ = file.take(BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_systems_settings_are_read_as_its_resolver_reads_them() {
        let read = Resolving::parse(
            "# made by hand\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver ::1 ; here\n\
             domain old.example\nsearch Shop.internal. internal\noptions ndots:2 timeout:1 attempts:9 rotate edns0\n",
        );
        let addresses = vec!["10.0.0.2:53".parse().unwrap(), "[::1]:53".parse().unwrap()];
        let servers = Servers { addresses, time: Duration::from_secs(1), rounds: 5, rotate: true };
        let search = vec!["shop.internal".to_owned(), "internal".to_owned()];
        assert_eq!(read, Resolving { servers, search, dots: 2 });
    }

    #[test]
    fn without_a_file_this_machine_is_asked() {
        let read = Resolving::parse("");
        assert_eq!(read.servers.addresses, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!((read.servers.time, read.servers.rounds), (Duration::from_secs(5), 2));
        assert_eq!(read.candidates("app"), ["app"]);
    }

    #[test]
    fn a_short_name_is_searched_for_and_a_long_one_asked_as_it_is() {
        let read = Resolving::parse("search a.example b.example\noptions ndots:1");
        assert_eq!(read.candidates("app"), ["app.a.example", "app.b.example", "app"]);
        assert_eq!(read.candidates("app.shop"), ["app.shop", "app.shop.a.example", "app.shop.b.example"]);
        assert_eq!(read.candidates("app."), ["app"]);
    }

    #[test]
    fn the_file_of_hosts_names_this_machine_and_others() {
        let hosts = hosts(
            "127.0.0.1 localhost\n::1 LocalHost ip6-localhost # both\n10.0.0.7\tApp app.internal\nx y\n",
        );
        assert_eq!(hosts["localhost"], [ip("127.0.0.1"), ip("::1")]);
        assert_eq!(hosts["app.internal"], [ip("10.0.0.7")]);
        assert_eq!(hosts.len(), 4);
    }
}
