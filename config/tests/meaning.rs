//! What a file means, where it says little: defaults, shorthands, and flags over the file.

use std::time::Duration;
use tentpole_config::{Flags, from_endpoints, from_fleet, from_run, parse, parse_with, usual_fleet};
use tentpole_model::{
    AccessLog, Balance, CacheSettings, Canonical, Family, HostPattern, PoolId, RouteCache, Secret, Snapshot,
    Sticky, VisitorLimits, Zones,
};

const APP: &str = "[pool.app]\nendpoints = [\"http://127.0.0.1:3000\"]\n";

fn meant(text: &str) -> Snapshot {
    let loaded = parse("tentpole.toml", text).unwrap_or_else(|report| panic!("{report}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.snapshot
}

/// Paths and pools of the first site's routes.
fn routes(snapshot: &Snapshot) -> Vec<(&str, u16)> {
    snapshot.sites[0].routes.iter().map(|route| (route.path.as_str(), route.pool.0)).collect()
}

#[test]
fn one_pool_alone_serves_every_host_and_path() {
    let snapshot = meant(APP);
    assert_eq!(snapshot.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(snapshot.admin, Some("127.0.0.1:9900".parse().unwrap()));
    assert_eq!(snapshot.threads, None);
    assert_eq!(snapshot.visitors, VisitorLimits::default());
    assert_eq!(snapshot.cache, CacheSettings::default());
    assert_eq!(snapshot.log.access, AccessLog::Off);
    let [site] = &snapshot.sites[..] else { panic!("{:?}", snapshot.sites) };
    assert_eq!((site.name.as_str(), site.hosts.as_slice()), ("default", &[][..]));
    assert_eq!((site.canonical, site.merge_slashes), (Canonical::Rewrite, false));
    assert_eq!(routes(&snapshot), [("/*", 0)]);
    assert_eq!(site.routes[0].cache, RouteCache::Standard);
    assert_eq!(site.routes[0].body_bytes_max, 16 << 20);
}

#[test]
fn endpoints_on_the_command_line_mean_the_same_as_a_file_with_one_pool() {
    let urls = ["http://127.0.0.1:3000".to_owned()];
    let typed = from_endpoints(&urls, None, &Flags::default()).unwrap();
    assert_eq!(typed.snapshot, meant(APP));
    let probed = from_endpoints(&urls, Some("/health"), &Flags::default()).unwrap();
    assert_eq!(probed.snapshot, meant(&format!("{APP}health = \"/health\"\n")));
}

#[test]
fn everything_that_is_written_arrives() {
    let snapshot = meant(
        r#"
        listen = [":80", "[::1]:8080"]
        admin = "off"
        threads = 2
        log = { access = "combined", file = "a.log" }
        cache = { memory = 0, waiters = 5, wait = "3s" }
        [limits]
        connections = 7
        head_time = "1s"
        head_bytes = "4KiB"
        fields = 50
        [pool.app]
        endpoints = [{ url = "http://App:81", weight = 3, tier = 2, requests_max = 4, connections_max = 5 }]
        balance = "round_robin"
        health = { path = "/h?x=1", interval = "500ms", status = [204, "3xx"], fields = { X-Deep = "1" }, port = 81 }
        failures_max = 9
        slow_start = "20s"
        outliers = { errors_max = 7, errors_share = "0%", latency_factor = 0, eject_max = "20%", panic_below = "50%" }
        timeouts.first_byte = "5s"
        queue = { length = 0, wait = "0s" }
        [site.a]
        hosts = ["A.example", "*.a.example", "[::1]"]
        canonical = "rewrite"
        merge_slashes = true
        [[site.a.route]]
        path = "/p/{slug}"
        swallow_segments = true
        cache = "off"
        body = 0
        "#,
    );
    assert_eq!(snapshot.listen, ["0.0.0.0:80".parse().unwrap(), "[::1]:8080".parse().unwrap()]);
    assert_eq!((snapshot.admin, snapshot.threads), (None, Some(2)));
    assert_eq!((snapshot.log.access, snapshot.log.file), (AccessLog::Combined, Some("a.log".into())));
    assert_eq!((snapshot.cache.memory_bytes_max, snapshot.cache.waiters_max), (0, 5));
    assert_eq!((snapshot.visitors.connections_max, snapshot.visitors.head_bytes_max), (7, 4096));
    let pool = &snapshot.pools[0];
    let endpoint = &pool.endpoints[0];
    assert_eq!((endpoint.authority().as_str(), endpoint.weight, endpoint.tier), ("app:81", 300, 2));
    assert_eq!((endpoint.requests_max, endpoint.connections_max), (Some(4), Some(5)));
    assert_eq!((pool.balance, pool.failures_max), (Balance::RoundRobin, 9));
    let health = pool.health.as_ref().unwrap();
    assert_eq!((health.path.as_str(), health.port), ("/h?x=1", Some(81)));
    assert_eq!(health.statuses, [(204, 204), (300, 399)]);
    assert_eq!(health.fields, [("X-Deep".to_owned(), "1".to_owned())]);
    assert_eq!(pool.slow_start, Duration::from_secs(20));
    let outliers = pool.outliers;
    assert_eq!(
        (outliers.errors_max, outliers.errors_percent, outliers.latency_factor),
        (Some(7), None, None)
    );
    assert_eq!((outliers.eject_percent, outliers.panic_percent, outliers.requests_min), (20, 50, 50));
    assert_eq!(
        health.timeout,
        Duration::from_millis(500),
        "never longer than the interval unless somebody says so"
    );
    assert_eq!(pool.timeouts.first_byte, Duration::from_secs(5));
    assert_eq!((pool.queue.length_max, pool.queue.wait_max), (0, Duration::ZERO));
    let site = &snapshot.sites[0];
    let hosts = [
        HostPattern::Exact("a.example".to_owned()),
        HostPattern::Below("a.example".to_owned()),
        HostPattern::Exact("[::1]".to_owned()),
    ];
    assert_eq!(site.hosts, hosts);
    assert_eq!((site.canonical, site.merge_slashes), (Canonical::Rewrite, true));
    let route = &site.routes[0];
    assert_eq!((route.swallow_segments, route.cache, route.body_bytes_max), (true, RouteCache::Off, 0));
    assert_eq!(site.routes.len(), 1, "routes and no pool of the site: other paths belong to nobody");
}

#[test]
fn a_sites_pool_takes_what_no_route_takes() {
    let two = format!("{APP}[pool.media]\nendpoints = [\"http://127.0.0.1:3001\"]\n");
    let site = "[site.a]\npool = \"app\"\n[[site.a.route]]\npath = \"/media/*\"\npool = \"media\"\n[[site.a.route]]\npath = \"/x\"\n";
    let snapshot = meant(&(two.clone() + site));
    assert_eq!(routes(&snapshot), [("/media/*", 1), ("/x", 0), ("/*", 0)]);
    let snapshot = meant(&(two + site + "[[site.a.route]]\npath = \"/*\"\npool = \"media\"\n"));
    assert_eq!(routes(&snapshot), [("/media/*", 1), ("/x", 0), ("/*", 1)], "a route of its own comes first");
}

#[test]
fn pools_and_sites_keep_the_order_of_the_file() {
    let snapshot = meant(
        "[site.z]\nhosts = \"z\"\npool = \"y\"\n[site.a]\npool = \"b\"\n[pool.y]\nendpoints = \"http://y\"\n[pool.b]\nendpoints = \"http://b\"\n",
    );
    assert_eq!(snapshot.pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["y", "b"]);
    assert_eq!(snapshot.sites.iter().map(|site| site.name.as_str()).collect::<Vec<_>>(), ["z", "a"]);
    assert_eq!(snapshot.sites[1].routes[0].pool, PoolId(1));
}

#[test]
fn a_small_cache_lowers_the_largest_object_that_nobody_set() {
    let snapshot = meant(&format!("[cache]\nmemory = \"1MiB\"\n{APP}"));
    assert_eq!(snapshot.cache.object_bytes_max, 1 << 20);
}

#[test]
fn flags_replace_what_the_file_says() {
    let flags = Flags {
        listen: vec!["127.0.0.1:0".to_owned(), ":81".to_owned()],
        admin: Some("off".to_owned()),
        log: Some(AccessLog::Json),
        threads: Some(3),
        cache: Some(false),
        learn: None,
    };
    let text = format!("listen = \":80\"\nthreads = 1\n[log]\naccess = \"off\"\nfile = \"a.log\"\n{APP}");
    let snapshot = parse_with("tentpole.toml", &text, &flags).unwrap().snapshot;
    assert_eq!(snapshot.listen, ["127.0.0.1:0".parse().unwrap(), "0.0.0.0:81".parse().unwrap()]);
    assert_eq!((snapshot.admin, snapshot.threads), (None, Some(3)));
    assert_eq!((snapshot.log.access, snapshot.log.file), (AccessLog::Json, Some("a.log".into())));
    assert_eq!(snapshot.cache.memory_bytes_max, 0, "no cache at all");
}

#[test]
fn the_cache_can_be_switched_on_by_a_flag_as_well() {
    let flags = Flags { cache: Some(true), ..Flags::default() };
    let memory =
        |text: &str| parse_with("tentpole.toml", text, &flags).unwrap().snapshot.cache.memory_bytes_max;
    assert_eq!(memory(&format!("[cache]\nmemory = 0\n{APP}")), CacheSettings::default().memory_bytes_max);
    assert_eq!(memory(&format!("[cache]\nmemory = \"20MiB\"\n{APP}")), 20 << 20);
}

#[test]
fn each_address_of_a_name_has_a_place_of_its_own() {
    let snapshot = meant(
        "[names]\nservers = \"127.0.0.1:5353\"\nttl_max = \"1m\"\nfamily = \"ipv6\"\n[pool.app]\nendpoints = [\n\
         \"http://app\", { url = \"srv://_http._tcp.shop\", addresses_max = 2, weight = 3, requests_max = 4 },\n\
         \"http://localhost:81\", \"http://a.localhost\", \"http://10.0.0.1\", { url = \"http://vip\", addresses_max = 1 }]\n",
    );
    let endpoints = &snapshot.pools[0].endpoints;
    let authorities: Vec<String> = endpoints.iter().map(|endpoint| endpoint.authority()).collect();
    assert_eq!(authorities[..3], ["app:80", "app:80~2", "app:80~3"]);
    assert_eq!(authorities[7..10], ["app:80~8", "srv://_http._tcp.shop", "srv://_http._tcp.shop~2"]);
    assert_eq!(authorities[10..], ["localhost:81", "a.localhost:80", "10.0.0.1:80", "vip:80"]);
    assert!(endpoints[10..].iter().all(|endpoint| endpoint.slot.is_none()));
    assert_eq!(
        (endpoints[9].weight, endpoints[9].requests_max, endpoints[9].name()),
        (3, Some(4), authorities[8].clone())
    );
    let names = &snapshot.names;
    assert_eq!(
        (names.servers.as_slice(), names.family),
        (&["127.0.0.1:5353".parse().unwrap()][..], Family::Ipv6)
    );
    assert_eq!((names.ttl_min, names.ttl_max), (Duration::from_secs(1), Duration::from_secs(60)));
}

const FLEET: &str = "[pool.shop.fleet]\nrun = \"gunicorn app:wsgi -b '127.0.0.1:{port}'\"\n";

#[test]
fn a_fleet_has_an_endpoint_for_each_slot_and_defaults_for_the_rest() {
    let snapshot = meant(FLEET);
    let [pool] = &snapshot.pools[..] else { panic!("{:?}", snapshot.pools) };
    let names: Vec<String> = pool.endpoints.iter().map(|endpoint| endpoint.authority()).collect();
    // One more than there may be at most: a new one comes before an old one goes.
    assert_eq!(names, ["shop-1", "shop-2", "shop-3", "shop-4", "shop-5"]);
    assert!(pool.endpoints.iter().all(|endpoint| (endpoint.port, endpoint.weight) == (0, 100)));
    let fleet = pool.fleet.clone().unwrap();
    assert_eq!(fleet.launch.run, ["gunicorn", "app:wsgi", "-b", "127.0.0.1:{port}"]);
    assert_eq!(fleet, usual_fleet(fleet.launch.clone()));
    assert_eq!((fleet.min, fleet.max, fleet.cpus, fleet.cpu_target), (1, 4, 1.0, 0.7));
    assert_eq!((fleet.requests_target, fleet.ready_path.as_str()), (None, "/"));
    let seconds =
        [fleet.scale_in_window, fleet.start_time, fleet.slow_start, fleet.drain_time, fleet.stop_time]
            .map(|time| time.as_secs());
    assert_eq!(seconds, [60, 60, 10, 30, 10]);
}

#[test]
fn everything_that_is_written_of_a_fleet_arrives() {
    let snapshot = meant(
        r#"
        [pool.shop]
        balance = "round_robin"
        queue = { length = 5 }
        [pool.shop.fleet]
        run = ["sh", "-c", "exec ./app"]
        directory = "/srv/shop"
        env = { PORT = "{port}", APP_ENV = "production" }
        min = 2
        max = 3
        cpus = 0.5
        cpu_target = "60 %"
        requests_target = 7.5
        requests_max = 12
        scale_in_window = "5m"
        ready = "/up?deep=1"
        start_time = "90s"
        slow_start = "0s"
        drain_time = "1m"
        stop_time = "3s"
        "#,
    );
    let pool = &snapshot.pools[0];
    assert_eq!((pool.endpoints.len(), pool.endpoints[0].requests_max), (4, Some(12)));
    let fleet = pool.fleet.clone().unwrap();
    assert_eq!(fleet.launch.run, ["sh", "-c", "exec ./app"]);
    assert_eq!(fleet.launch.directory, Some("/srv/shop".into()));
    let env =
        |name: &str| fleet.launch.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!((env("PORT"), env("APP_ENV")), (Some("{port}"), Some("production")));
    assert_eq!((fleet.min, fleet.max, fleet.cpus, fleet.cpu_target), (2, 3, 0.5, 0.6));
    assert_eq!((fleet.requests_target, fleet.ready_path.as_str()), (Some(7.5), "/up?deep=1"));
    let seconds =
        [fleet.scale_in_window, fleet.start_time, fleet.slow_start, fleet.drain_time, fleet.stop_time]
            .map(|time| time.as_secs());
    assert_eq!(seconds, [300, 90, 0, 60, 3]);
}

#[test]
fn a_large_min_raises_the_max_that_nobody_set() {
    let fleet = meant(&format!("{FLEET}min = 9\n")).pools[0].fleet.clone().unwrap();
    assert_eq!((fleet.min, fleet.max), (9, 9));
}

#[test]
fn a_command_on_the_command_line_means_the_same_as_a_file_with_one_fleet() {
    let run = "app --listen 127.0.0.1:{port}";
    let typed = from_run(run, Some(2), Some(6), Some("/health"), &Flags::default()).unwrap();
    assert!(typed.warnings.is_empty());
    let file = format!("[pool.app]\nhealth = \"/health\"\nfleet = {{ run = \"{run}\", min = 2, max = 6 }}\n");
    assert_eq!(typed.snapshot, meant(&file));
    let fleet = typed.snapshot.pools[0].fleet.clone().unwrap();
    let again = from_fleet("app", fleet, Some("/health"), &Flags::default()).unwrap();
    assert_eq!(again.snapshot, typed.snapshot);
}

#[test]
fn a_flag_that_contradicts_the_file_is_told_at_the_flag() {
    let flags = Flags { listen: vec!["127.0.0.1:3000".to_owned()], ..Flags::default() };
    let report = parse_with("tentpole.toml", APP, &flags).unwrap_err();
    assert!(
        report.to_string().starts_with("tentpole.toml:2:14: 127.0.0.1:3000 is where Tentpole itself listens")
    );
    let flags = Flags { admin: Some("127.0.0.1:8080".to_owned()), ..Flags::default() };
    let report = parse_with("tentpole.toml", APP, &flags).unwrap_err();
    assert!(report.to_string().starts_with("--admin 127.0.0.1:8080: "), "{report}");
}

#[test]
fn without_a_word_about_health_it_is_as_the_reference_says() {
    let pool = &meant(APP).pools[0];
    assert_eq!((pool.health.as_ref(), pool.slow_start), (None, Duration::ZERO));
    assert_eq!(pool.outliers, tentpole_model::Outliers::default());
    assert_eq!(meant(&format!("{APP}outliers = {{}}\n")).pools[0].outliers, pool.outliers);
    let probed = meant(&format!("{APP}health = \"/health\"\n"));
    assert_eq!(probed.pools[0].health, Some(tentpole_model::HealthCheck::default()));
    let tcp = meant(&format!("{APP}health = {{ tcp = true }}\n"));
    assert!(tcp.pools[0].health.as_ref().is_some_and(|check| check.connect_only));
}

#[test]
fn zones_and_sticky_sessions_are_off_until_they_are_asked_for() {
    let pool = |text: &str| parse("tentpole.toml", text).unwrap().snapshot.pools[0].clone();
    let usual = pool("[pool.app]\nendpoints = [\"http://127.0.0.1:3000\"]\n");
    assert_eq!((usual.zones, usual.overprovisioning_percent, usual.sticky), (Zones::Cross, 140, None));
    let text = "zone = \"a\"\n[pool.app]\nzones = \"near\"\noverprovisioning = 2.5\nendpoints = [{ url = \"http://127.0.0.1:3000\", \
                zone = \"a\" }, \"http://127.0.0.1:3001\"]\n[pool.app.sticky]\ncookie = \"backend\"\nkey = \"env:KEY\"\nlifetime = \"30m\"\n";
    assert_eq!(parse("tentpole.toml", text).unwrap().snapshot.zone.as_deref(), Some("a"));
    let pool = pool(text);
    let zones: Vec<_> = pool.endpoints.iter().map(|endpoint| endpoint.zone.as_deref()).collect();
    assert_eq!((pool.zones, pool.overprovisioning_percent, zones), (Zones::Near, 250, vec![Some("a"), None]));
    let (key, lifetime) = (Some(Secret::Variable("KEY".into())), Duration::from_secs(1_800));
    assert_eq!(pool.sticky, Some(Sticky { cookie: "backend".into(), key, lifetime }));
}

#[test]
fn a_limit_is_a_number_for_those_without_one_or_follows_what_each_carries() {
    let read = |limit: &str| {
        let endpoints = "[\"http://a:1\", { url = \"http://127.0.0.1:2\", requests_max = 4 }]";
        let text =
            format!("[pool.app]\nendpoints = {endpoints}\nlimit = {limit}\nqueue = {{ length = 5 }}\n");
        let pool = tentpole_config::parse("tentpole.toml", &text).unwrap().snapshot.pools.remove(0);
        (pool.adaptive, pool.endpoints[0].requests_max, pool.endpoints.last().unwrap().requests_max)
    };
    let begins = |start, is_start_told, min, max| {
        Some(tentpole_model::AdaptiveLimit { start, is_start_told, min, max })
    };
    assert_eq!(read("64"), (None, Some(64), Some(4)));
    assert_eq!(read("\"adaptive\""), (begins(20, false, 1, 1_000), None, Some(4)));
    assert_eq!(read("{ start = 32, min = 4, max = 200 }"), (begins(32, true, 4, 200), None, Some(4)));
    assert_eq!(read("{ max = 8 }"), (begins(8, false, 1, 8), None, Some(4)), "it begins where it may be");
}

#[test]
fn a_guard_stands_where_nothing_is_said_and_nowhere_else() {
    let guards = |endpoint: &str, lines: &str| {
        let text = format!("[pool.app]\nendpoints = [{endpoint}]\n{lines}\n");
        tentpole_config::parse("tentpole.toml", &text).unwrap().snapshot.pools.remove(0).guard
    };
    let plain = "\"http://127.0.0.1:3000\"";
    assert!(guards(plain, "") && guards(plain, "limit = \"guard\"\nqueue = { length = 5 }"));
    for lines in ["limit = \"none\"", "limit = 8", "limit = \"adaptive\"", "limit = { start = 4 }"] {
        assert!(!guards(plain, lines), "{lines}");
    }
    for own in ["requests_max = 4", "connections_max = 4"] {
        assert!(!guards(&format!("{{ url = {plain}, {own} }}"), ""), "{own}");
        assert!(!guards(&format!("{{ url = {plain}, {own} }}"), "limit = \"guard\""), "{own}");
    }
}

#[test]
fn carriers_are_spared_until_somebody_says_whose_addresses_are_many_visitors() {
    let shared = |lines: &str| {
        let text = format!("[pool.app]\nendpoints = [\"http://127.0.0.1:3000\"]\n{lines}\n");
        let front = tentpole_config::parse("tentpole.toml", &text).unwrap().snapshot.front;
        front.shared.iter().map(|network| format!("{}/{}", network.address, network.bits)).collect::<Vec<_>>()
    };
    let carriers = ["100.64.0.0/10"];
    assert_eq!(shared(""), carriers);
    assert_eq!(shared("[visitors]\nbots = \"limit\""), carriers);
    assert_eq!(shared("[visitors]\nshared = \"203.0.113.7\""), ["203.0.113.7/32"]);
}
