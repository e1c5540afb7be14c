//! Whether the certificates of `[tls]` and the files of pools can be used, before anything is started, and whether they name the hosts that are
//! served. Only looks: the edge reads them for itself.

use tentpole_model::{HostPattern, Scheme, Snapshot};
use tentpole_tls::{Certificates, Client, Source, Trouble, is_local};

/// Hosts without a certificate that are named in one warning.
const HOSTS_SHOWN: usize = 5;

/// Reads the files; returns what a person should know although it works.
///
/// # Errors
/// What does not work, each with its file.
pub fn look(snapshot: &Snapshot) -> Result<Vec<String>, Vec<String>> {
    let endpoints = look_at_endpoints(snapshot)?;
    if snapshot.tls.listen.is_empty() {
        return Ok(endpoints);
    }
    let source = Source { settings: snapshot.tls.clone(), protocols: Vec::new(), local: None };
    let said = |troubles: &[&Trouble]| troubles.iter().map(|trouble| trouble.to_string()).collect::<Vec<_>>();
    let (certificates, troubles) =
        Certificates::load(&source, None).map_err(|troubles| said(&troubles.iter().collect::<Vec<_>>()))?;
    let (errors, doubts): (Vec<_>, Vec<_>) = troubles.iter().partition(|trouble| trouble.what.is_error());
    if !errors.is_empty() {
        return Err(said(&errors));
    }
    let mut warnings = endpoints;
    warnings.extend(said(&doubts));
    warnings.extend(snapshot.sites.iter().filter_map(|site| {
        let lacking = without_certificate(&site.hosts, &certificates);
        (!lacking.is_empty()).then(|| {
            format!(
                "[site.{}]: no certificate names {}, so browsers refuse the one that they get",
                site.name,
                listed(&lacking)
            )
        })
    }));
    Ok(warnings)
}

/// The same of what belongs to TLS to endpoints.
fn look_at_endpoints(snapshot: &Snapshot) -> Result<Vec<String>, Vec<String>> {
    let (mut doubts, mut errors) = (Vec::new(), Vec::new());
    for pool in &snapshot.pools {
        if !pool.endpoints.iter().any(|endpoint| endpoint.scheme == Scheme::Https) {
            continue;
        }
        let said = |trouble: &Trouble| format!("[pool.{}.tls]: {trouble}", pool.name);
        match Client::load(&pool.tls) {
            Ok((_, troubles)) => doubts.extend(troubles.iter().map(said)),
            Err(trouble) => errors.push(said(&trouble)),
        }
    }
    if errors.is_empty() { Ok(doubts) } else { Err(errors) }
}

/// Hosts that others could ask for by https in vain.
fn without_certificate(hosts: &[HostPattern], certificates: &Certificates) -> Vec<String> {
    let shown = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Below(name) => format!("*.{name}"),
    };
    // Addresses stand in no request for a certificate, and `localhost` gets one of its own.
    let is_name = |host: &String| {
        !host.starts_with('[') && !host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    hosts
        .iter()
        .map(shown)
        .filter(|host| is_name(host) && !is_local(host) && !certificates.covers(host))
        .collect()
}

fn listed(hosts: &[String]) -> String {
    let shown = hosts[..hosts.len().min(HOSTS_SHOWN)].join(", ");
    match hosts.len().saturating_sub(HOSTS_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more hosts"),
    }
}
