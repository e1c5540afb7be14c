//! What a file means about caching: `[cache]` for all, a site over it, a route over its site.

use std::time::Duration;
use tentpole_config::{Flags, from_endpoints, parse, parse_with};
use tentpole_model::{
    Assets, COOKIES_IGNORED, Caching, CachingId, DiskSettings, Esi, Learn, QueryRules, RouteCache, Snapshot,
};

const APP: &str = "[pool.app]\nendpoints = [\"http://127.0.0.1:3000\"]\n";

fn meant(text: &str) -> Snapshot {
    let loaded = parse("tentpole.toml", &format!("{APP}{text}")).unwrap_or_else(|report| panic!("{report}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.snapshot
}

/// How the route with this path of the first site is cached.
fn at<'s>(snapshot: &'s Snapshot, path: &str) -> &'s Caching {
    let route =
        snapshot.sites[0].routes.iter().find(|route| route.path == path).expect("there is such a route");
    &snapshot.cachings[usize::from(route.caching.0)]
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_file_that_says_nothing_has_one_way_to_cache_the_usual_one() {
    let snapshot = meant("");
    assert_eq!(snapshot.cachings, [Caching::default()]);
    assert_eq!(snapshot.disk, None);
    assert_eq!(snapshot.sites[0].routes[0].caching, CachingId(0));
}

#[test]
fn everything_that_is_written_arrives() {
    let snapshot = meant(
        r#"
        [cache]
        learn = "apply"
        cookies_ignored = ["my_banner", "default"]
        cookies_keyed = "X-Magento-Vary"
        languages = ["en", "de-CH"]
        devices = true
        visitors_revalidate = false
        visitors_keep = false
        negative = "10s"
        stale_while_revalidate = "30s"
        stale_if_error = "1h"
        esi = "always"
        compress = false
        purges = ["/", "/käse/*"]
        assets = { host = "https://A.example/", paths = "/static/*" }
        query = { keep = ["page", "filter*"], drop = "filter_id", sort = true }
        disk = { directory = "/var/cache/tentpole", size = "1GiB" }
        "#,
    );
    let ignored: Vec<&str> = std::iter::once("my_banner").chain(COOKIES_IGNORED.iter().copied()).collect();
    let all = Caching {
        learn: Learn::Apply,
        query: QueryRules {
            keep: Some(texts(&["page", "filter*"])),
            drop: texts(&["filter_id"]),
            sort: true,
        },
        cookies_ignored: texts(&ignored),
        cookies_keyed: texts(&["X-Magento-Vary"]),
        languages: texts(&["en", "de-CH"]),
        devices: true,
        despite_set_cookie: false,
        visitors_revalidate: false,
        visitors_keep: false,
        negative: Duration::from_secs(10),
        stale_while_revalidate: Duration::from_secs(30),
        stale_if_error: Duration::from_secs(3_600),
        esi: Esi::Always,
        assets: Some(Assets { host: "https://a.example".into(), paths: texts(&["/static/*"]) }),
        compress: false,
        purges: texts(&["/", "/k%C3%A4se/*"]),
    };
    assert_eq!(snapshot.cachings, [all]);
    // An object can be as large as all of it when nobody says how large.
    let directory = "/var/cache/tentpole".into();
    let disk = DiskSettings { directory, bytes_max: 1 << 30, object_bytes_max: 1 << 30 };
    assert_eq!(snapshot.disk, Some(disk));
}

#[test]
fn a_route_goes_before_its_site_and_a_site_before_all_setting_by_setting() {
    let snapshot = meant(
        r#"
        [cache]
        negative = "10s"
        query = { drop = ["utm_*"], sort = true }
        [site.shop]
        pool = "app"
        [site.shop.cache]
        devices = true
        query = { drop = ["gclid"] }
        [[site.shop.route]]
        path = "/search"
        cache = { query = { sort = false, keep = ["q"] }, negative = "0s" }
        [[site.shop.route]]
        path = "/p/*"
        "#,
    );
    let search = at(&snapshot, "/search");
    let query = QueryRules { keep: Some(texts(&["q"])), drop: texts(&["gclid"]), sort: false };
    assert_eq!((&search.query, search.devices, search.negative), (&query, true, Duration::ZERO));
    let rest = at(&snapshot, "/*");
    let query = QueryRules { keep: None, drop: texts(&["gclid"]), sort: true };
    assert_eq!((&rest.query, rest.devices, rest.negative), (&query, true, Duration::from_secs(10)));
    assert_eq!(rest, at(&snapshot, "/p/*"));
}

#[test]
fn routes_that_say_the_same_share_one() {
    let snapshot = meant(
        r#"
        [site.shop]
        pool = "app"
        [[site.shop.route]]
        path = "/a"
        cache = { devices = true }
        [[site.shop.route]]
        path = "/b"
        [site.shop.route.cache]
        devices = true
        [[site.shop.route]]
        path = "/c"
        cache = { devices = false }
        "#,
    );
    assert_eq!(snapshot.cachings.len(), 2);
    let ids: Vec<u16> = snapshot.sites[0].routes.iter().map(|route| route.caching.0).collect();
    assert_eq!(ids, [1, 1, 0, 0]);
}

#[test]
fn a_lower_level_can_take_back_what_a_higher_one_said() {
    let snapshot = meant(
        r#"
        [cache]
        query = { keep = ["page"] }
        cookies_keyed = ["group"]
        [[site.shop.route]]
        path = "/all"
        cache = { query = { keep = ["*"] }, cookies_keyed = [], cookies_ignored = [] }
        "#,
    );
    let all = at(&snapshot, "/all");
    assert_eq!((&all.query.keep, all.cookies_keyed.len(), all.cookies_ignored.len()), (&None, 0, 0));
}

#[test]
fn a_site_can_be_switched_off_and_a_route_of_it_on() {
    let snapshot = meant(
        r#"
        [site.shop]
        pool = "app"
        cache = "off"
        [[site.shop.route]]
        path = "/news"
        cache = { negative = "1s" }
        [[site.shop.route]]
        path = "/media/*"
        cache = "standard"
        [[site.shop.route]]
        path = "/account"
        "#,
    );
    let caches: Vec<RouteCache> = snapshot.sites[0].routes.iter().map(|route| route.cache).collect();
    use RouteCache::{Off, Standard};
    assert_eq!(caches, [Standard, Standard, Off, Off], "news, media, account, all else");
}

#[test]
fn a_route_that_stores_what_sets_cookies_is_warned_of_and_alone_with_it() {
    let text = format!(
        "{APP}[site.shop]\npool = \"app\"\n[[site.shop.route]]\npath = \"/news\"\n[site.shop.route.cache]\ndespite_set_cookie = true\n"
    );
    let loaded = parse("tentpole.toml", &text).unwrap();
    let names: Vec<_> = loaded.warnings.diagnostics().iter().map(|found| found.problem.name()).collect();
    assert_eq!(names, ["DespiteSetCookie"]);
    assert!(at(&loaded.snapshot, "/news").despite_set_cookie);
    assert!(!at(&loaded.snapshot, "/*").despite_set_cookie);
}

#[test]
fn the_flag_speaks_for_all_and_leaves_those_who_speak_for_themselves() {
    let flags = Flags { learn: Some(Learn::Apply), ..Flags::default() };
    let to = ["http://127.0.0.1:3000".to_owned()];
    let snapshot = from_endpoints(&to, None, &flags).unwrap().snapshot;
    assert_eq!(at(&snapshot, "/*").learn, Learn::Apply);
    let text = format!(
        "[cache]\nlearn = \"off\"\n{APP}[site.shop]\npool = \"app\"\n[[site.shop.route]]\npath = \"/a\"\ncache = {{ learn = \"off\" }}\n"
    );
    let snapshot = parse_with("tentpole.toml", &text, &flags).unwrap().snapshot;
    assert_eq!((at(&snapshot, "/*").learn, at(&snapshot, "/a").learn), (Learn::Apply, Learn::Off));
}
