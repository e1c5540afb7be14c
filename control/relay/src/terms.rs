//! A purge in the terms of content networks: URLs, prefixes, tags, hosts, everything. Leaves out what a content network
//! does not stand in front of.

use tentpole_model::{ContentNetwork, HostPattern, PurgeOrder, PurgeWhat, Snapshot};
use tentpole_route::Table;

/// A purge that one content network is to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) what: What,
    pub(crate) soft: bool,
}

/// What is to be purged there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// One absolute URL.
    Url(String),
    /// Every URL that begins with this.
    Prefix(String),
    /// One absolute URL without a query, under whatever query.
    AnyQuery(String),
    /// What carries one of these.
    Tags(Vec<String>),
    /// Everything of these hosts.
    Hosts(Vec<String>),
    /// Everything of a site whose hosts are not all known by name, or are not all there is there.
    Site(String),
    /// Everything.
    Everything,
}

/// Which sites a content network stands in front of.
pub(crate) struct Front {
    /// By name; `None` is all of the Snapshot.
    sites: Option<Vec<String>>,
    table: Option<Table>,
    /// All sites: name and hosts, those that are no patterns.
    all: Vec<(String, Option<Vec<String>>)>,
}

impl Front {
    pub(crate) fn new(snapshot: &Snapshot, network: &ContentNetwork) -> Self {
        let exact = |hosts: &[HostPattern]| -> Option<Vec<String>> {
            let name = |host: &HostPattern| match host {
                HostPattern::Exact(name) => Some(name.clone()),
                HostPattern::Below(_) => None,
            };
            hosts.iter().map(name).collect::<Option<Vec<_>>>().filter(|hosts| !hosts.is_empty())
        };
        let all = snapshot.sites.iter().map(|site| (site.name.clone(), exact(&site.hosts))).collect();
        Self { sites: network.sites.clone(), table: Table::compile(snapshot).ok(), all }
    }

    /// The purge as it concerns the content network; `None` when it does not.
    pub(crate) fn told(&self, order: &PurgeOrder) -> Option<Told> {
        let what = match &order.what {
            PurgeWhat::Url(url) => self.covers_url(url).then(|| What::Url(url.clone()))?,
            PurgeWhat::Prefix(url) if !self.covers_url(url) => return None,
            PurgeWhat::Prefix(url) => match url.strip_suffix('?') {
                Some(page) if !page.contains('?') => What::AnyQuery(page.to_owned()),
                _ => What::Prefix(url.clone()),
            },
            PurgeWhat::Tags { site: Some(site), .. } if !self.covers(site) => return None,
            // Another site's objects may carry the same tag there: it costs them a fetch, and no visitor anything.
            PurgeWhat::Tags { tags, .. } => What::Tags(tags.clone()),
            PurgeWhat::Site(site) if !self.covers(site) => return None,
            PurgeWhat::Site(site) if self.covered().count() == 1 => {
                debug_assert!(self.covers(site));
                What::Everything
            }
            PurgeWhat::Site(site) => match self.all.iter().find(|(name, _)| name == site) {
                Some((_, Some(hosts))) => What::Hosts(hosts.clone()),
                _ => What::Site(site.clone()),
            },
            PurgeWhat::All => What::Everything,
        };
        Some(Told { what, soft: order.soft })
    }

    fn covered(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|(name, _)| name.as_str()).filter(|name| self.covers(name))
    }

    fn covers(&self, site: &str) -> bool {
        self.sites.as_ref().is_none_or(|sites| sites.iter().any(|name| name == site))
    }

    fn covers_url(&self, url: &str) -> bool {
        let host =
            url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
        let site = self.table.as_ref().and_then(|table| table.site(host.as_bytes()));
        site.and_then(|site| self.all.get(usize::from(site.0))).is_some_and(|(name, _)| self.covers(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::{ContentService, Pool, Route, Secret, Site};

    fn front(sites: Option<&[&str]>) -> Front {
        let site = |name: &str, hosts: Vec<HostPattern>| Site {
            name: name.into(),
            hosts,
            routes: vec![Route::default()],
            ..Site::default()
        };
        let exact = |host: &str| HostPattern::Exact(host.into());
        let snapshot = Snapshot {
            sites: vec![
                site("shop", vec![exact("shop.example"), exact("www.shop.example")]),
                site("blogs", vec![HostPattern::Below("blogs.example".into())]),
            ],
            pools: vec![Pool::default()],
            ..Snapshot::default()
        };
        let network = ContentNetwork {
            name: "front".into(),
            service: ContentService::Fastly { service: "S".into(), token: Secret::Variable("T".into()) },
            sites: sites.map(|sites| sites.iter().map(|&site| site.into()).collect()),
            api: "http://a".into(),
        };
        Front::new(&snapshot, &network)
    }

    fn told(front: &Front, what: PurgeWhat) -> Option<What> {
        front.told(&PurgeOrder::hard(what)).map(|told| told.what)
    }

    #[test]
    fn a_content_network_hears_of_its_own_sites_alone() {
        let shop = front(Some(&["shop"]));
        let url = |host: &str| PurgeWhat::Url(format!("http://{host}/a"));
        assert_eq!(told(&shop, url("shop.example")), Some(What::Url("http://shop.example/a".into())));
        assert_eq!(
            told(&shop, url("shop.example:8080")),
            Some(What::Url("http://shop.example:8080/a".into()))
        );
        assert_eq!(told(&shop, url("a.blogs.example")), None);
        assert_eq!(told(&shop, url("strange.example")), None);
        let tags =
            |site: Option<&str>| PurgeWhat::Tags { site: site.map(Into::into), tags: vec!["a".into()] };
        assert_eq!(told(&shop, tags(Some("shop"))), Some(What::Tags(vec!["a".into()])));
        assert_eq!(told(&shop, tags(Some("blogs"))), None);
        assert_eq!(told(&shop, tags(None)), Some(What::Tags(vec!["a".into()])));
        assert_eq!(told(&shop, PurgeWhat::Site("blogs".into())), None);
    }

    #[test]
    fn a_site_is_everything_only_where_it_is_all_there_is() {
        let site = |name: &str| PurgeWhat::Site(name.into());
        assert_eq!(told(&front(Some(&["shop"])), site("shop")), Some(What::Everything));
        let hosts = vec!["shop.example".into(), "www.shop.example".into()];
        assert_eq!(told(&front(None), site("shop")), Some(What::Hosts(hosts)));
        assert_eq!(told(&front(None), site("blogs")), Some(What::Site("blogs".into())));
    }
}
