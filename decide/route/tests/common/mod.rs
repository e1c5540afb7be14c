//! Builds Snapshots out of hosts and patterns.

use std::time::Duration;
use tentpole_model::{Canonical, HostPattern, Route, Site, Snapshot, VisitorLimits};

/// A Snapshot of these sites and nothing else.
pub fn snapshot(sites: Vec<Site>) -> Snapshot {
    let visitors = VisitorLimits { drain_time: Duration::ZERO, ..VisitorLimits::default() };
    Snapshot { sites, visitors, ..Snapshot::default() }
}

/// A site; a host that starts with `*.` is a wildcard, a pattern that ends in ` swallow` swallows.
pub fn site(name: &str, hosts: &[&str], patterns: &[&str]) -> Site {
    let hosts = hosts.iter().map(|host| match host.strip_prefix("*.") {
        Some(below) => HostPattern::Below(below.to_owned()),
        None => HostPattern::Exact((*host).to_owned()),
    });
    Site {
        name: name.to_owned(),
        hosts: hosts.collect(),
        canonical: Canonical::Redirect,
        merge_slashes: true,
        routes: patterns.iter().map(|pattern| route(pattern)).collect(),
        ..Site::default()
    }
}

fn route(pattern: &str) -> Route {
    Route {
        path: pattern.trim_end_matches(" swallow").to_owned(),
        swallow_segments: pattern.ends_with(" swallow"),
        body_bytes_max: 0,
        ..Route::default()
    }
}
