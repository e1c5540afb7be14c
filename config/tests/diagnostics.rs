//! Each diagnostic as people see it: one file that causes it and nothing else, one snapshot of what is said.
//! After a change of words: `INSTA_UPDATE=always cargo test -p tentpole-config --test diagnostics`, and read the diff.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use tentpole_config::{Flags, Loaded, Problem, Report, Severity};

/// A pool and nothing else: what most cases begin with.
const APP: &str = "[pool.app]\nendpoints = [\"http://127.0.0.1:3000\"]\n";

/// The diagnostic, a word that tells its cases apart, and a file that causes it. `APP` stands for the pool above.
const CASES: &[(&str, &str, &str)] = &[
    ("Syntax", "no_value", "threads =\nAPP"),
    ("Syntax", "no_quotes", "[log]\naccess = json\nAPP"),
    ("Syntax", "duplicate_key", "threads = 2\nthreads = 3\nAPP"),
    ("Syntax", "duplicate_section", "APP\n[pool.app]\nfailures_max = 3\n"),
    ("Syntax", "unclosed_header", "[pool.app\nendpoints = []\n"),
    ("Syntax", "unclosed_list", "[pool.app]\nendpoints = [\"http://127.0.0.1:3000\"\n"),
    ("Syntax", "unclosed_text", "listen = \"127.0.0.1:8080\nAPP"),
    ("Syntax", "bad_escape", "[log]\nfile = \"C:\\qlogs\"\nAPP"),
    ("UnknownSetting", "near", "lisen = \":8080\"\nAPP"),
    ("UnknownSetting", "section", "APP\n[sites.shop]\nhosts = \"shop.example\"\n"),
    ("UnknownSetting", "elsewhere", "APPmemory = \"1GiB\"\n"),
    ("UnknownSetting", "far", "[pool.app]\nendpoints = [{ url = \"http://127.0.0.1:3000\", zebra = 1 }]\n"),
    ("UnknownSetting", "inside", "APPtimeouts = { conect = \"2s\" }\n"),
    ("Nameless", "pool", "[pool]\nendpoints = [\"http://127.0.0.1:3000\"]\n"),
    ("Nameless", "site", "APP\n[[site]]\nhosts = \"shop.example\"\n"),
    ("WrongType", "number", "threads = \"2\"\nAPP"),
    ("WrongType", "switch", "APP[site.shop]\nmerge_slashes = 1\n"),
    ("WrongType", "table", "APPtimeouts = \"60s\"\n"),
    ("WrongType", "section", "log = \"json\"\nAPP"),
    ("WrongType", "list", "[pool.app]\nendpoints = 3000\n"),
    ("WrongType", "list_item", "[pool.app]\nendpoints = [\"http://127.0.0.1:3000\", 3001]\n"),
    ("WrongType", "route", "APP[site.shop]\nroute = \"/p/{slug}\"\n"),
    ("OutOfRange", "weight", "[pool.app]\nendpoints = [{ url = \"http://127.0.0.1:3000\", weight = 0 }]\n"),
    ("OutOfRange", "negative", "threads = -1\nAPP"),
    ("OutOfRange", "huge", "[limits]\nconnections = 99_999_999_999_999_999_999_999\nAPP"),
    ("OutOfRange", "duration", "APPtimeouts = { connect = \"5m\" }\n"),
    ("OutOfRange", "size", "[limits]\nhead_bytes = \"100B\"\nAPP"),
    ("NotADuration", "bare", "APPtimeouts = { connect = 2 }\n"),
    ("NotADuration", "unit", "[limits]\nidle_time = \"75 seconds\"\nAPP"),
    ("NotASize", "unit", "[cache]\nmemory = \"256M\"\nAPP"),
    ("UnknownWord", "near", "APPbalance = \"least-requests\"\n"),
    ("UnknownWord", "far", "[log]\naccess = \"yes\"\nAPP"),
    ("NobodyAnswers", "", "[pool.app]\nfailures_max = 3\n"),
    ("Missing", "url", "[pool.app]\nendpoints = [{ weight = 2 }]\n"),
    ("Missing", "health_path", "APPhealth = { interval = \"2s\" }\n"),
    ("Missing", "route_path", "APP[[site.shop.route]]\ncache = \"off\"\n"),
    ("Empty", "endpoints", "[pool.app]\nendpoints = []\n"),
    ("Empty", "listen", "listen = []\nAPP"),
    ("Empty", "hosts", "APP[site.shop]\nhosts = []\n"),
    ("Empty", "file", "[log]\nfile = \"\"\nAPP"),
    ("BadName", "pool", "[pool.\"my app\"]\nendpoints = [\"http://127.0.0.1:3000\"]\n"),
    ("NotAnAddress", "port", "listen = 8080\nAPP"),
    ("NotAnAddress", "no_port", "listen = \"127.0.0.1\"\nAPP"),
    ("NotAnAddress", "name", "listen = [\"127.0.0.1:8080\", \"shop.example:80\"]\nAPP"),
    ("NotAnAddress", "scheme", "admin = \"http://127.0.0.1:9900/\"\nAPP"),
    ("AdminNotLoopback", "all", "admin = \":9900\"\nAPP"),
    ("Missing", "tls_listen", "APP[tls]\ndirectory = \"/etc/tentpole\"\n"),
    ("Missing", "certificate_key", "APP[tls]\nlisten = \":8443\"\ncertificate = [{ chain = \"a.pem\" }]\n"),
    ("WrongType", "certificate", "APP[tls]\nlisten = \":8443\"\ncertificate = \"a.pem\"\n"),
    ("Empty", "chain", "APP[tls]\nlisten = \":8443\"\ncertificate = [{ chain = \"\", key = \"a.key\" }]\n"),
    ("UnknownWord", "version", "APP[tls]\nlisten = \":8443\"\nversion_min = \"1.1\"\n"),
    ("NotAnAddress", "name_server", "APP[names]\nservers = [\"ns.internal\"]\n"),
    ("TtlMinAboveMax", "", "APP[names]\nttl_min = \"1m\"\nttl_max = \"5s\"\n"),
    ("CertificateWithoutTls", "", "APP[visitors]\nrequire_certificate = \"ca.pem\"\n"),
    ("HttpsNowhere", "", "APP[site.shop]\nhttps_only = true\n"),
    ("AddressTwice", "tls", "listen = \":8080\"\nAPP[tls]\nlisten = \":8080\"\n"),
    ("AddressTwice", "listen", "listen = [\":8080\", \"127.0.0.1:8080\"]\nAPP"),
    ("AddressTwice", "admin", "listen = \"127.0.0.1:8080\"\nadmin = \"127.0.0.1:8080\"\nAPP"),
    ("AddressTwice", "admin_by_default", "listen = \":9900\"\nAPP"),
    ("EndpointWithoutScheme", "", "[pool.app]\nendpoints = [\"127.0.0.1:3000\"]\n"),
    ("EndpointScheme", "", "[pool.app]\nendpoints = [\"htp://127.0.0.1:3000\"]\n"),
    ("EndpointService", "", "[pool.app]\nendpoints = [\"srv://_http._tcp.shop.internal:80\"]\n"),
    ("EndpointSocket", "", "[pool.app]\nendpoints = [\"http://unix:run/app.sock\"]\n"),
    (
        "ScriptsMixed",
        "",
        "[pool.app]\nendpoints = [\"fastcgi://php\", \"http://app\"]\nscripts = { root = \"/var/www/html\" }\n",
    ),
    ("Http2NotThere", "", "[pool.app]\nendpoints = [\"http://unix:/run/app.sock\"]\nhttp2 = true\n"),
    ("ScriptsNowhere", "", "[pool.app]\nendpoints = \"fastcgi://php\"\n"),
    ("ScriptsUnused", "", "APPscripts = { root = \"/var/www/html\" }\n"),
    (
        "ScriptsAndStore",
        "",
        "[pool.app]\nendpoints = \"fastcgi://php\"\nscripts = { root = \"/srv\" }\nobject_store = { bucket = \"shop\", \
         region = \"eu\" }\n",
    ),
    ("ScriptPath", "root", "[pool.app]\nendpoints = \"fastcgi://php\"\nscripts = { root = \"/srv/../x\" }\n"),
    (
        "ScriptPath",
        "front",
        "[pool.app]\nendpoints = \"fastcgi://php\"\nscripts = { root = \"/srv\", front = \"index.php\" }\n",
    ),
    (
        "ScriptPath",
        "index",
        "[pool.app]\nendpoints = \"fastcgi://php\"\nscripts = { root = \"/srv\", index = \"a/b.php\" }\n",
    ),
    (
        "ScriptPath",
        "folder",
        "[pool.app]\nendpoints = \"fastcgi://php\"\nscripts = { root = \"/srv\", never_below = [\"/a/../b\"] }\n",
    ),
    ("TlsUnused", "", "APPtls = { name = \"app.internal\" }\n"),
    ("TlsUnverified", "", "[pool.app]\nendpoints = \"https://app.internal\"\ntls = { verify = false }\n"),
    (
        "AuthorityUnread",
        "",
        "[pool.app]\nendpoints = \"https://a\"\n[pool.app.tls]\nverify = false\nauthority = \"ca.pem\"\n",
    ),
    (
        "Missing",
        "client_key",
        "[pool.app]\nendpoints = \"https://a\"\ntls.certificate = { chain = \"/etc/tentpole/us.pem\" }\n",
    ),
    ("EndpointHost", "tls_name", "[pool.app]\nendpoints = \"https://a\"\ntls = { name = \"a b\" }\n"),
    ("EndpointTooMuch", "path", "[pool.app]\nendpoints = [\"http://127.0.0.1:3000/app\"]\n"),
    ("EndpointTooMuch", "query", "[pool.app]\nendpoints = [\"http://127.0.0.1:3000?a=1\"]\n"),
    ("EndpointTooMuch", "user", "[pool.app]\nendpoints = [\"http://me:secret@127.0.0.1:3000\"]\n"),
    ("EndpointHost", "", "[pool.app]\nendpoints = [\"http://my app:3000\"]\n"),
    ("EndpointPort", "", "[pool.app]\nendpoints = [\"http://127.0.0.1:70000\"]\n"),
    ("EndpointTwice", "", "[pool.app]\nendpoints = [\n    \"http://app:80\",\n    \"http://App\",\n]\n"),
    ("EndpointIsEdge", "", "[pool.app]\nendpoints = [\"http://localhost:8080\"]\n"),
    ("HealthPath", "", "APPhealth = \"health\"\n"),
    ("HealthPath", "url", "APPhealth = { path = \"http://127.0.0.1:3000/up\" }\n"),
    ("NoPool", "", "listen = \":8080\"\n"),
    (
        "PoolUnused",
        "",
        "APP[pool.old]\nendpoints = [\"http://127.0.0.1:3001\"]\n[site.shop]\npool = \"app\"\n",
    ),
    ("EndpointsAndFleet", "", "APPfleet = { run = \"app {port}\" }\n"),
    ("Missing", "run", "[pool.app.fleet]\nmin = 2\n"),
    ("WrongType", "fleet", "[pool.app]\nfleet = \"gunicorn app:wsgi\"\n"),
    ("WrongType", "run", "[pool.app.fleet]\nrun = 3\n"),
    ("WrongType", "run_word", "[pool.app.fleet]\nrun = [\"app\", 3]\n"),
    ("WrongType", "env", "[pool.app.fleet]\nrun = \"app {port}\"\nenv = \"A=b\"\n"),
    ("WrongType", "env_value", "[pool.app.fleet]\nrun = \"app {port}\"\nenv = { WORKERS = 3 }\n"),
    ("UnknownSetting", "fleet", "[pool.app.fleet]\nrun = \"app {port}\"\nmaximum = 3\n"),
    ("Empty", "run", "[pool.app.fleet]\nrun = \" \"\n"),
    ("Empty", "run_list", "[pool.app.fleet]\nrun = []\n"),
    ("RunQuotes", "", "[pool.app.fleet]\nrun = \"app --name it's -p {port}\"\n"),
    ("RunForShell", "and", "[pool.app.fleet]\nrun = \"cd /srv && ./app {port}\"\n"),
    ("RunForShell", "variable", "[pool.app.fleet]\nrun = \"SHOP_ENV=production ./app {port}\"\n"),
    ("RunWithoutPort", "", "[pool.app.fleet]\nrun = \"node server.js\"\n"),
    ("Nul", "run", "[pool.app.fleet]\nrun = [\"app\", \"{port}\\u0000\"]\n"),
    ("Nul", "env", "[pool.app.fleet]\nrun = \"app {port}\"\nenv = { A = \"\\u0000\" }\n"),
    ("EnvName", "", "[pool.app.fleet]\nrun = \"app {port}\"\nenv = { \"A=B\" = \"c\" }\n"),
    ("MinAboveMax", "", "[pool.app.fleet]\nrun = \"app {port}\"\nmin = 5\nmax = 4\n"),
    ("OutOfRange", "no_instance", "[pool.app.fleet]\nrun = \"app {port}\"\nmin = 0\n"),
    ("OutOfRange", "share", "[pool.app.fleet]\nrun = \"app {port}\"\ncpu_target = \"170%\"\n"),
    ("OutOfRange", "quantity", "[pool.app.fleet]\nrun = \"app {port}\"\ncpus = nan\n"),
    ("NotAShare", "point", "[pool.app.fleet]\nrun = \"app {port}\"\ncpu_target = 0.7\n"),
    ("NotAShare", "bare", "[pool.app.fleet]\nrun = \"app {port}\"\ncpu_target = \"70\"\n"),
    ("ReadyPath", "", "[pool.app.fleet]\nrun = \"app {port}\"\nready = \"health\"\n"),
    (
        "TargetAboveLimit",
        "",
        "[pool.app.fleet]\nrun = \"app {port}\"\nrequests_target = 10\nrequests_max = 10\n",
    ),
    ("ProbeStatus", "", "APPhealth = { path = \"/up\", status = [200, \"2x\"] }\n"),
    ("ProbeHost", "", "APPhealth = { path = \"/up\", host = \"http://shop\" }\n"),
    ("ProbeField", "", "APPhealth = { path = \"/up\", fields = { Host = \"shop.example\" } }\n"),
    (
        "ProbePortOfFleet",
        "",
        "[pool.app]\nhealth = { path = \"/up\", port = 8081 }\nfleet = { run = \"app {port}\" }\n",
    ),
    ("BodyOfHead", "", "APPhealth = { path = \"/up\", method = \"HEAD\", body = \"ok\" }\n"),
    ("ProbeAsksNothing", "", "APPhealth = { tcp = true, path = \"/up\" }\n"),
    ("SlowStartOfFleet", "", "[pool.app]\nslow_start = \"5s\"\nfleet = { run = \"app {port}\" }\n"),
    ("ProbesOverlap", "", "APPhealth = { path = \"/health\", interval = \"2s\", timeout = \"5s\" }\n"),
    ("HashBy", "", "APPbalance = \"consistent_hash\"\nhash = \"cookie\"\n"),
    ("HashUnused", "", "APPhash = \"path\"\n"),
    ("NotAZone", "own", "zone = \"rack 7\"\nAPP"),
    ("NotAZone", "endpoint", "[pool.app]\nendpoints = [{ url = \"http://127.0.0.1:3000\", zone = \"\" }]\n"),
    ("ZoneVariable", "", "zone = \"env:TENTPOLE_NO_SUCH_ZONE\"\nAPP"),
    ("NearWhat", "", "APPzones = \"near\"\n"),
    (
        "NobodyNear",
        "",
        "zone = \"a\"\n[pool.app]\nendpoints = [{ url = \"http://127.0.0.1:3000\", zone = \"b\" }]\nzones = \"near\"\n",
    ),
    ("NotACookie", "", "APPsticky = { cookie = \"__Host-backend\" }\n"),
    (
        "StickyTwice",
        "",
        "APPsticky = { cookie = \"backend\" }\n[pool.blog]\nendpoints = [\"http://127.0.0.1:3001\"]\nsticky = { cookie = \"backend\" }\n[site.a]\npool = \"app\"\n[[site.a.route]]\npath = \"/blog/*\"\npool = \"blog\"\n",
    ),
    ("StickyKeyed", "", "APPsticky = { cookie = \"backend\" }\n[cache]\ncookies_keyed = [\"backend\"]\n"),
    ("NoLimit", "", "APPlimit = \"auto\"\n"),
    ("LimitStart", "", "APPlimit = { start = 500, max = 100 }\n"),
    ("MinAboveMax", "limit", "APPlimit = { min = 50, max = 10 }\n"),
    ("OutOfRange", "limit", "APPlimit = 0\n"),
    ("WrongType", "limit", "APPlimit = true\n"),
    ("QueueUnused", "", "APPlimit = \"none\"\nqueue = { length = 100 }\n"),
    (
        "RequestsAboveConnections",
        "",
        "[pool.app]\nendpoints = [{ url = \"http://127.0.0.1:3000\", requests_max = 100, connections_max = 50 }]\n",
    ),
    ("HostPattern", "scheme", "APP[site.shop]\nhosts = [\"https://shop.example/\"]\n"),
    ("HostPattern", "port", "APP[site.shop]\nhosts = [\"shop.example:8080\"]\n"),
    ("HostPattern", "path", "APP[site.shop]\nhosts = [\"shop.example/de\"]\n"),
    ("HostPattern", "star", "APP[site.shop]\nhosts = \"*\"\n"),
    ("HostPattern", "star_inside", "APP[site.shop]\nhosts = \"www.*.example\"\n"),
    ("HostPattern", "dot", "APP[site.shop]\nhosts = \"shop.example.\"\n"),
    ("HostPattern", "unicode", "APP[site.shop]\nhosts = \"käse.example\"\n"),
    ("HostPattern", "ipv6", "APP[site.shop]\nhosts = \"::1\"\n"),
    ("HostPattern", "brackets", "APP[site.shop]\nhosts = \"[::x]\"\n"),
    ("HostPattern", "name", "APP[site.shop]\nhosts = \"my shop\"\n"),
    ("HostTwice", "", "APP[site.shop]\nhosts = \"shop.example\"\n[site.blog]\nhosts = \"Shop.example\"\n"),
    ("TwoSitesForAll", "", "APP[site.shop]\n[site.blog]\n"),
    ("RoutePath", "slash", "APP[[site.shop.route]]\npath = \"p/{slug}\"\n"),
    ("RoutePath", "url", "APP[[site.shop.route]]\npath = \"http://shop.example/p\"\n"),
    ("RoutePath", "query", "APP[[site.shop.route]]\npath = \"/p?id=1\"\n"),
    ("RoutePath", "star", "APP[[site.shop.route]]\npath = \"/*/p\"\n"),
    ("RoutePath", "star_inside", "APP[[site.shop.route]]\npath = \"/p*\"\n"),
    ("RoutePath", "braces", "APP[[site.shop.route]]\npath = \"/p-{slug}\"\n"),
    ("RoutePath", "same_name", "APP[[site.shop.route]]\npath = \"/{id}/{id}\"\n"),
    ("RoutePath", "escape", "APP[[site.shop.route]]\npath = \"/100%\"\n"),
    ("RoutePath", "control", "APP[[site.shop.route]]\npath = \"/a\\tb\"\n"),
    (
        "RoutePath",
        "deep",
        "APP[[site.shop.route]]\npath = \"/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3\"\n",
    ),
    ("RouteUnreachable", "dots", "APP[[site.shop.route]]\npath = \"/a/../b\"\n"),
    (
        "RouteUnreachable",
        "slashes",
        "APP[site.shop]\nmerge_slashes = true\n[[site.shop.route]]\npath = \"/a//b\"\n",
    ),
    ("RouteUnreachable", "first_slashes", "APP[[site.shop.route]]\npath = \"//a\"\n"),
    (
        "RouteTwice",
        "",
        "APP[[site.shop.route]]\npath = \"/p/{slug}\"\n[[site.shop.route]]\npath = \"/p/{id}\"\n",
    ),
    (
        "RouteTwice",
        "escapes",
        "APP[[site.shop.route]]\npath = \"/käse\"\n[[site.shop.route]]\npath = \"/k%c3%a4se\"\n",
    ),
    ("UnknownPool", "near", "APP[site.shop]\npool = \"ap\"\n"),
    ("UnknownPool", "far", "APP[[site.shop.route]]\npath = \"/x\"\npool = \"media\"\n"),
    (
        "WhichPool",
        "site",
        "APP[pool.media]\nendpoints = \"http://127.0.0.1:3001\"\n[site.shop]\nhosts = \"shop.example\"\n",
    ),
    (
        "WhichPool",
        "route",
        "APP[pool.media]\nendpoints = \"http://127.0.0.1:3001\"\n[[site.shop.route]]\npath = \"/x\"\n",
    ),
    ("NoSite", "", "APP[pool.media]\nendpoints = \"http://127.0.0.1:3001\"\n"),
    ("SwallowsNothing", "", "APP[[site.shop.route]]\npath = \"/p/*\"\nswallow_segments = true\n"),
    ("WrongType", "route_cache", "APP[[site.shop.route]]\npath = \"/x\"\ncache = true\n"),
    ("WrongType", "names", "[cache]\ncookies_ignored = [\"_ga*\", 3]\nAPP"),
    ("UnknownWord", "route_cache", "APP[[site.shop.route]]\npath = \"/x\"\ncache = \"of\"\n"),
    ("UnknownWord", "learn", "[cache]\nlearn = \"on\"\nAPP"),
    (
        "UnknownSetting",
        "route_cache",
        "APP[[site.shop.route]]\npath = \"/x\"\ncache = { query = { sorted = true } }\n",
    ),
    ("UnknownSetting", "despite", "APP[site.shop.cache]\ndespite_set_cookie = true\n"),
    ("ParameterName", "value", "[cache.query]\ndrop = [\"utm_source=mail\"]\nAPP"),
    ("ParameterName", "many", "[cache.query]\ndrop = \"gclid&fbclid\"\nAPP"),
    ("ParameterName", "star", "[cache.query]\nkeep = [\"*_id\"]\nAPP"),
    ("CookieName", "star", "[cache]\ncookies_ignored = \"*\"\nAPP"),
    ("CookieName", "star_inside", "[cache]\ncookies_ignored = [\"default\", \"a*b\"]\nAPP"),
    ("CookieName", "space", "[cache]\ncookies_ignored = [\"default\", \"my banner\"]\nAPP"),
    ("CookieName", "keyed", "[cache]\ncookies_keyed = [\"group_*\"]\nAPP"),
    ("SessionIgnored", "", "[cache]\ncookies_ignored = [\"default\", \"PHPSESSID\"]\nAPP"),
    ("SessionKeyed", "", "[cache]\ncookies_keyed = [\"connect.sid\"]\nAPP"),
    ("LanguageTag", "underscore", "[cache]\nlanguages = [\"en\", \"de_DE.UTF-8\"]\nAPP"),
    ("LanguageTag", "name", "[cache]\nlanguages = [\"deutschland\"]\nAPP"),
    ("SharedAll", "", "APP[visitors]\nshared = \"0.0.0.0/0\"\n"),
    ("FilterEntry", "path", "APP[filter.a]\naction = \"deny\"\npaths = [\"/a\", \"login\"]\n"),
    ("FilterEntry", "by", "APP[filter.a]\naction = \"limit\"\nrequests = 5\nby = \"ip\"\n"),
    ("FilterEntry", "method", "APP[filter.a]\naction = \"deny\"\nmethods = \"post\"\n"),
    ("FilterIdle", "", "APP[filter.a]\naction = \"deny\"\npaths = \"/a\"\nrequests = 5\n"),
    ("FilterForAll", "", "APP[filter.a]\naction = \"deny\"\n"),
    ("Missing", "requests", "APP[filter.a]\naction = \"limit\"\n"),
    ("TrustAll", "", "APP[visitors]\ntrusted = [\"10.0.0.1\", \"::/0\"]\n"),
    ("NotAnAddressField", "name", "APP[visitors]\ntrusted = \"10.0.0.1\"\naddress_field = \"X-Real-IP:\"\n"),
    (
        "NotAnAddressField",
        "usual",
        "APP[visitors]\ntrusted = \"10.0.0.1\"\naddress_field = \"X-Forwarded-For\"\n",
    ),
    ("NobodyTrusted", "proxy_protocol", "APP[visitors]\nproxy_protocol = true\n"),
    ("NotASecretsField", "", "APP[visitors]\nrequire = { Host = \"env:KEY\" }\n"),
    ("NotASecretsPlace", "require", "APP[visitors]\nrequire = { X-Edge-Key = \"hunter2\" }\n"),
    ("NobodyTrusted", "field", "APP[visitors]\naddress_field = \"X-Real-IP\"\n"),
    ("NotANetwork", "name", "APP[purge]\nfrom = [\"127.0.0.1\", \"shop.internal\"]\n"),
    ("NotANetwork", "bits", "APP[purge]\nfrom = \"10.0.0.0/99\"\n"),
    ("StaffFromAll", "", "APP[staff]\nfrom = \"::/0\"\n"),
    ("NotASecretsField", "staff", "APP[staff]\nheader = \"Cookie\"\nsecret = \"env:STAFF\"\n"),
    ("Missing", "staff_secret", "APP[staff]\nheader = \"X-Our-Own\"\n"),
    ("PurgeFromAll", "", "APP[purge]\nfrom = \"0.0.0.0/0\"\n"),
    ("NotASecretsPlace", "purge", "APP[purge]\nsecret = \"hunter2\"\n"),
    (
        "NotASecretsPlace",
        "token",
        "APP[content_network.front]\nkind = \"fastly\"\nservice = \"SU1Z\"\ntoken = \"abc\"\n",
    ),
    ("NotAnId", "", "APP[content_network.front]\nkind = \"cloudflare\"\nzone = \"shop.example/x\"\n"),
    (
        "NotAnApi",
        "",
        "APP[content_network.front]\nkind = \"fastly\"\nservice = \"SU1Z\"\napi = \"api.fastly.com/x\"\n",
    ),
    ("NotOfKind", "", "APP[content_network.front]\nkind = \"fastly\"\nservice = \"SU1Z\"\nzone = \"023e\"\n"),
    (
        "UnknownSite",
        "near",
        "APP[site.shop]\npool = \"app\"\n[content_network.front]\nkind = \"fastly\"\nservice = \"SU1Z\"\n\
         sites = \"shp\"\n",
    ),
    ("RoomWithoutLimit", "", "APP[room.sale]\ntitle = \"Sale\"\n"),
    (
        "RoomBeforeWhichSite",
        "",
        "APP[site.shop]\nhosts = \"shop.example\"\npool = \"app\"\n[site.blog]\npool = \"app\"\n[room.sale]\nactive = 300\n",
    ),
    ("NotARoomsPath", "", "APP[room.sale]\nactive = 300\npaths = [\"/checkout\", \"/a*\"]\n"),
    ("NotATime", "", "APP[room.sale]\nactive = 300\nopens = \"1 December, 8 pm\"\n"),
    (
        "ClosesBeforeItOpens",
        "",
        "APP[room.sale]\nactive = 300\nopens = \"2026-12-01T20:00:00Z\"\ncloses = \"2026-12-01T20:00:00+01:00\"\n",
    ),
    ("UnknownLanguage", "", "APP[room.sale]\nactive = 300\nlanguage = \"jp\"\n"),
    ("NotATemplate", "", "APP[room.sale]\nactive = 300\ntemplate = \"/nowhere/waiting.html\"\n"),
    ("PathInList", "slash", "APP[[site.shop.route]]\npath = \"/x\"\ncache = { purges = [\"blog/*\"] }\n"),
    ("PathInList", "query", "APP[site.shop.cache]\npurges = [\"/\", \"/?page=2\"]\n"),
    ("PathInList", "star", "APP[site.shop.cache]\npurges = [\"/blog*\"]\n"),
    (
        "PathInList",
        "every_link",
        "[cache.assets]\nhost = \"https://assets.example\"\npaths = [\"/static/*\", \"/*\"]\nAPP",
    ),
    ("NotAnAssetHost", "scheme", "[cache.assets]\nhost = \"assets.example\"\npaths = \"/static/*\"\nAPP"),
    ("NotAnAssetHost", "path", "[cache.assets]\nhost = \"https://a.example/x\"\npaths = \"/static/*\"\nAPP"),
    ("Missing", "asset_host", "[cache.assets]\npaths = \"/static/*\"\nAPP"),
    ("NotABucket", "", "APPobject_store = { bucket = \"My Shop\", region = \"eu-central-1\" }\n"),
    (
        "NotAnIndex",
        "",
        "APPobject_store = { bucket = \"shop\", region = \"eu-central-1\", index = \"a/index.html\" }\n",
    ),
    ("Missing", "region", "APPobject_store = { bucket = \"shop\" }\n"),
    (
        "NotASecretsPlace",
        "store",
        "APPobject_store = { bucket = \"shop\", region = \"eu\", secret_access_key = \"wJalrXUtnFEMI\" }\n",
    ),
    (
        "StoreAndFleet",
        "",
        "[pool.app]\nfleet = { run = \"app {port}\" }\nobject_store = { bucket = \"shop\", region = \"eu\" }\n",
    ),
    ("RootNotAbsolute", "", "[pool.site]\nroot = \"public\"\n"),
    ("RootNotThere", "", "[pool.site]\nroot = \"/no/such/directory\"\n"),
    ("RootNotThere", "file", "[pool.site]\nroot = \"/dev/null\"\n"),
    ("Empty", "root", "[pool.site]\nroot = \"\"\n"),
    ("Missing", "root", "APPfiles = { max_age = \"10m\" }\n"),
    ("NotAnEnding", "", "[pool.site]\nroot = \"/\"\nfiles = { deny = [\"php\", \"*.sql\"] }\n"),
    ("OpenPath", "several", "APP[visitors]\nrequire_except = [\"/up\", \"/health/*\"]\n"),
    ("OpenPath", "query", "APP[visitors]\nrequire_except = \"/up?deep\"\n"),
    (
        "DespiteSetCookie",
        "",
        "APP[[site.shop.route]]\npath = \"/news/*\"\n[site.shop.route.cache]\ndespite_set_cookie = true\n",
    ),
    ("Missing", "directory", "[cache.disk]\nsize = \"1GiB\"\nAPP"),
    ("Empty", "directory", "[cache.disk]\ndirectory = \"\"\nAPP"),
    ("ObjectAboveDisk", "", "[cache.disk]\ndirectory = \"/tmp/x\"\nsize = \"1GiB\"\nobject = \"2GiB\"\nAPP"),
    ("ObjectAboveMemory", "", "[cache]\nmemory = \"8MiB\"\nobject = \"16MiB\"\nAPP"),
];

/// What `load`, `from_endpoints` and flags say, which no text of a file causes.
fn other_cases() -> Vec<(&'static str, &'static str, Report)> {
    let folder = tempfile::tempdir().unwrap();
    let load = |bytes: &[u8]| {
        let path = folder.path().join("tentpole.toml");
        std::fs::write(&path, bytes).unwrap();
        tentpole_config::load(&path).unwrap_err()
    };
    let many = format!("[pool.app]\nendpoints = [{}]\n", "\"http://a\", ".repeat(1_001));
    // Each segment fixed or any: the worst path makes the router try all 256 combinations.
    let mut ambiguous = format!("{APP}[site.shop]\n");
    for bits in 0..256_u32 {
        let segment = |at: u32| if bits >> at & 1 == 0 { "/a".to_owned() } else { format!("/{{p{at}}}") };
        ambiguous +=
            &format!("[[site.shop.route]]\npath = \"{}\"\n", (0..8).map(segment).collect::<String>());
    }
    let up = |urls: &[&str], health, flags: &Flags| {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        tentpole_config::from_endpoints(&urls, health, flags).unwrap_err()
    };
    let listen = Flags { listen: vec!["8080".to_owned()], ..Flags::default() };
    let admin = Flags { admin: Some("10.0.0.1:9900".to_owned()), ..Flags::default() };
    let threads = Flags { threads: Some(1_000), ..Flags::default() };
    let run =
        |run: &str, min, max| tentpole_config::from_run(run, min, max, None, &Flags::default()).unwrap_err();
    let app: &[&str] = &["http://127.0.0.1:3000"];
    vec![
        ("Unreadable", "", tentpole_config::load(&folder.path().join("no.toml")).unwrap_err()),
        ("NotUtf8", "", load(b"# K\xe4se\n")),
        ("TooLong", "", load(&vec![b'\n'; tentpole_config::BYTES_MAX as usize + 1])),
        (
            "TooMany",
            "endpoints",
            only("TooMany", tentpole_config::parse("tentpole.toml", &many).unwrap_err()),
        ),
        ("Routes", "", tentpole_config::parse("tentpole.toml", &ambiguous).unwrap_err()),
        ("EndpointScheme", "flag", up(&["htp://x"], None, &Flags::default())),
        ("EndpointTwice", "flag", up(&["http://x", "http://x/"], None, &Flags::default())),
        ("EndpointIsEdge", "flag", up(&["http://127.0.0.1:8080"], None, &Flags::default())),
        ("Empty", "flag", up(&[], None, &Flags::default())),
        ("HealthPath", "flag", up(app, Some("up"), &Flags::default())),
        ("NotAnAddress", "flag", up(app, None, &listen)),
        ("AdminNotLoopback", "flag", up(app, None, &admin)),
        ("OutOfRange", "flag", up(app, None, &threads)),
        ("RunQuotes", "flag", run("app '{port}", None, None)),
        ("Empty", "flag_run", run("", None, None)),
        ("OutOfRange", "flag_min", run("app {port}", Some(0), None)),
        ("MinAboveMax", "flag", run("app {port}", Some(3), Some(2))),
        (
            "RunWithoutPort",
            "flag",
            tentpole_config::from_run("node server.js", None, None, None, &Flags::default())
                .unwrap()
                .warnings,
        ),
    ]
}

/// The first diagnostic of this name, for files that cannot help to cause others.
fn only(name: &str, report: Report) -> Report {
    let first = report.diagnostics().iter().find(|d| d.problem.name() == name).unwrap();
    assert!(matches!(first.problem, Problem::TooMany { .. }));
    report.first()
}

fn what_is_said(text: &str) -> Report {
    match tentpole_config::parse("tentpole.toml", text) {
        Ok(Loaded { warnings, .. }) => warnings,
        Err(report) => report,
    }
}

#[test]
fn each_diagnostic_says_cause_and_cure_at_its_place() {
    let mut said: BTreeMap<&str, String> = BTreeMap::new();
    for (name, variation, text) in CASES {
        let text = text.replace("APP", APP);
        let report = what_is_said(&text);
        said.entry(name).or_default().push_str(&one_case(name, variation, &report));
    }
    for (name, variation, report) in other_cases() {
        said.entry(name).or_default().push_str(&one_case(name, variation, &report));
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        for (name, cases) in said {
            insta::assert_snapshot!(name, cases);
        }
    });
}

/// What is said, which must be one problem of this name and nothing else.
fn one_case(name: &str, variation: &str, report: &Report) -> String {
    let names: Vec<_> = report.diagnostics().iter().map(|d| d.problem.name()).collect();
    assert_eq!(names, [name], "{variation}\n{report}");
    // The folder of a temporary file differs from run to run.
    let said = report.to_string();
    let said = match said.find("/tentpole.toml:").or(said.find("/no.toml:")) {
        Some(at) if said.starts_with('/') => said[at + 1..].to_owned(),
        _ => said,
    };
    if variation.is_empty() { said + "\n" } else { format!("({variation})\n{said}\n") }
}

#[test]
fn every_kind_of_diagnostic_has_a_case() {
    let mut covered: BTreeSet<&str> = CASES.iter().map(|(name, ..)| *name).collect();
    covered.extend(other_cases().iter().map(|(name, ..)| *name));
    let all: BTreeSet<&str> = Problem::NAMES.iter().copied().collect();
    assert_eq!(all, covered);
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_file() {
    let text = "threads = 0\nlisten = 8080\n[pool.app]\nendpoints = [\"x\", \"htp://y\"]\nbalance = \"fair\"\n[site.shop]\npool = \"ap\"\n";
    let report = what_is_said(text);
    let names: Vec<_> = report.diagnostics().iter().map(|d| d.problem.name()).collect();
    let expected = [
        "OutOfRange",
        "NotAnAddress",
        "EndpointWithoutScheme",
        "EndpointScheme",
        "UnknownWord",
        "UnknownPool",
    ];
    assert_eq!(names, expected, "{report}");
    assert_eq!(report.errors(), 6);
}

#[test]
fn warnings_do_not_keep_it_from_starting() {
    let text = APP.to_owned() + "limit = \"none\"\nqueue = { length = 100 }\n";
    let loaded = tentpole_config::parse("tentpole.toml", &text).unwrap();
    assert!(!loaded.warnings.is_empty());
    assert!(loaded.warnings.diagnostics().iter().all(|d| d.problem.severity() == Severity::Warning));
}

#[test]
fn a_warning_beside_an_error_is_told_too() {
    let report = tentpole_config::parse(
        "tentpole.toml",
        &format!("threads = 0\n{APP}limit = \"none\"\nqueue = {{}}\n"),
    )
    .unwrap_err();
    let names: Vec<_> = report.diagnostics().iter().map(|d| d.problem.name()).collect();
    assert_eq!(names, ["OutOfRange", "QueueUnused"]);
}

#[test]
fn a_wide_line_is_cut_around_the_caret() {
    let text =
        format!("[pool.app]\nendpoints = [{}\"htps://x\"]\t# shop\n", "'http://a',         ".repeat(30));
    let report = what_is_said(&text);
    let said = report.to_string();
    assert!(said.lines().all(|line| line.chars().count() < 250), "{said}");
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    let lines: Vec<&str> = said.lines().collect();
    let (source, carets) = (lines[lines.len() - 2], lines[lines.len() - 1]);
    let at = carets.find('^').unwrap();
    assert_eq!(&source[at..at + carets.matches('^').count()], "\"htps://x\"", "{said}");
}

#[test]
fn control_characters_of_a_file_never_reach_the_terminal() {
    let report = what_is_said("[pool.app]\nendpoints = [\"\u{1b}[31m\"] # \u{7f}\u{9b}\r\n");
    assert!(report.to_string().chars().all(|c| c == '\n' || !c.is_control()), "{report:?}");
    let report = what_is_said(
        "[pool.app]\nendpoints = [\"http://\\u001b[31m\"]\n\"\\u009b\" = 1\n[site.\"\\u001b\"]\n",
    );
    assert_eq!(report.errors(), 3);
    assert!(report.to_string().chars().all(|c| c == '\n' || !c.is_control()), "{report:?}");
}

#[test]
fn of_very_many_problems_the_first_are_shown_and_the_rest_is_counted() {
    let report =
        what_is_said(&(APP.to_owned() + &(0..60).map(|at| format!("zz{at} = 1\n")).collect::<String>()));
    assert_eq!(report.errors(), 60);
    let said = report.to_string();
    assert_eq!(said.matches("has no setting").count(), 50);
    assert!(said.ends_with("… and 10 more.\n"), "{said}");
}

#[test]
fn colours_change_nothing_but_colours() {
    let report = what_is_said("threads = 0\n[pool.app]\nendpoints = 3\n");
    let coloured = report.at_terminal(1_000, true).to_string();
    assert!(coloured.contains("\u{1b}[1;31m"));
    let mut bare = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        bare.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    assert_eq!(bare + rest, report.to_string());
}
