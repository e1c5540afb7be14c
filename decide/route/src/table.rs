//! The table of one Snapshot: which site a host belongs to, which route a path takes. Compiles whole or not at all.

use crate::error::CompileError;
use crate::host::Hosts;
use crate::paths::Paths;
use tentpole_model::{RouteId, SiteId, Snapshot};

/// Hosts and routes of a Snapshot, ready to be looked up from any thread.
#[derive(Debug)]
pub struct Table {
    hosts: Hosts,
    paths: Paths,
}

/// The route that a path takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Index among all routes of all sites, in the Snapshot's order.
    pub route: RouteId,
    /// The route swallows additional segments and there were some: bytes of the canonical path to keep.
    pub swallowed: Option<usize>,
}

impl Table {
    /// Compiles sites and routes of a Snapshot.
    ///
    /// Patterns are `/exact` (a trailing slash counts), `/p/{slug}` (a segment that is not empty) and `/prefix/*`
    /// (also `/prefix` and `/prefix/`). They may be written with any characters and are brought into the form of
    /// [`crate::canonical_path`].
    ///
    /// # Errors
    /// The first thing that is wrong, with the names of what it is about.
    pub fn compile(snapshot: &Snapshot) -> Result<Self, CompileError> {
        let routes: usize = snapshot.sites.iter().map(|site| site.routes.len()).sum();
        u32::try_from(routes).map_err(|_| CompileError::TooMany)?;
        let hosts = Hosts::compile(&snapshot.sites)?;
        let mut paths = Paths::new();
        let mut first = 0;
        for site in &snapshot.sites {
            paths.add_site(site, first)?;
            first += site.routes.len() as u32;
        }
        Ok(Self { hosts, paths })
    }

    /// The site that answers for a `Host` value as received: with or without port, in any case, with a trailing dot,
    /// an IPv6 address in brackets. An exact host wins over a wildcard, a longer wildcard over a shorter one; what no
    /// site claims goes to the site without hosts, if there is one. Allocates nothing.
    #[inline]
    pub fn site(&self, host: &[u8]) -> Option<SiteId> {
        self.hosts.find(host)
    }

    /// The most specific route of a site for a canonical path without its query: segment by segment, an exact one
    /// wins over `{parameter}`, which wins over `/*` (and over swallowed segments). Allocates nothing.
    #[inline]
    pub fn route(&self, site: SiteId, canonical_path: &[u8]) -> Option<Matched> {
        self.paths.find(usize::from(site.0), canonical_path)
    }
}
