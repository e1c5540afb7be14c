//! Everything that can be wrong with a configuration, with the sentence that says so: the cause first, then the
//! cure. One list, so that the texts can be read side by side. Knows nothing of places in a file: see `report`.

use crate::words::{Cure, Hint};

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Tentpole does not start with it.
    Error,
    /// Probably not what was meant; Tentpole starts.
    Warning,
}

/// Declares [`Problem`]: one variant a line of text, so that a problem without a text cannot exist, and
/// [`Problem::NAMES`], by which a test holds that each has a snapshot.
macro_rules! problems {
    ($($(#[$doc:meta])* $severity:ident $name:ident { $($field:ident: $type:ty),* } => $text:literal;)+) => {
        /// One thing that is wrong.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the sentence beside each says what its fields are")]
        pub enum Problem {
            $($(#[$doc])* $name { $($field: $type),* },)+
        }

        impl Problem {
            /// The names of all problems.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// Its name, one of [`Problem::NAMES`].
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name { .. } => stringify!($name)),+ }
            }

            /// How much it matters.
            pub fn severity(&self) -> Severity {
                match self { $(Self::$name { .. } => Severity::$severity),+ }
            }
        }

        impl std::fmt::Display for Problem {
            /// The cause and the cure in one or two sentences.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self { $(Self::$name { $($field),* } => write!(f, $text),)+ }
            }
        }
    };
}

problems! {
    // The file as such.

    /// The file cannot be opened or read.
    Error Unreadable { cause: String } =>
        "this file cannot be read: {cause}. To start without one: tentpole up --to http://127.0.0.1:3000";
    /// Not UTF-8, as TOML must be.
    Error NotUtf8 { byte: usize } =>
        "the file is not UTF-8 from byte {byte} on; save it as UTF-8.";
    /// Larger than we read.
    Error TooLong { bytes_max: String } =>
        "the file is larger than {bytes_max}, which no configuration needs; is it the right file?";
    /// Not TOML.
    Error Syntax { says: String } =>
        "{says}";

    // Keys and values.

    /// A key that its section does not have.
    Error UnknownSetting { key: String, section: String, cure: Cure } =>
        "{section} has no setting `{key}`.{cure}";
    /// `[pool]` instead of `[pool.app]`.
    Error Nameless { what: &'static str } =>
        "this {what} has no name; write it as [{what}.main], with a name of your choice.";
    /// A value of another type than its setting's.
    Error WrongType { name: String, found: &'static str, wanted: String, example: String } =>
        "{name} is {found}; it must be {wanted}. For example: {example}";
    /// A number, duration or size outside its limits.
    Error OutOfRange { name: String, typed: String, from: String, to: String, cure: Cure } =>
        "{name} is {typed}; it must be {from} to {to}.{cure}";
    /// A text that is not a duration.
    Error NotADuration { name: String, typed: String } =>
        "{name} is {typed}; a duration is a whole number with its unit: \"250ms\", \"2s\", \"5m\" or \"1h\".";
    /// A value that is not a share.
    Error NotAShare { name: String, typed: String } =>
        "{name} is {typed}; a share is a whole number with its sign, in quotes: \"70%\".";
    /// A text that is not a size.
    Error NotASize { name: String, typed: String } =>
        "{name} is {typed}; a size is a whole number with its unit: \"16KiB\", \"16MiB\", \"1GiB\" or \"1GB\".";
    /// A word that its setting does not know.
    Error UnknownWord { name: String, typed: String, words: String, hint: Hint } =>
        "{name} cannot be {typed:?}; it can be {words}.{hint}";
    /// Something that must be there is not.
    Error Missing { section: String, name: &'static str, example: String } =>
        "{section} has no `{name}`; add for example: {example}";
    /// A list or a text without anything in it.
    Error Empty { name: &'static str, cure: &'static str } =>
        "{name} is empty; {cure}";
    /// A name that would not survive in logs and metrics.
    Error BadName { what: &'static str, name: String } =>
        "{name:?} cannot be the name of a {what}; it takes 1 to 64 letters, digits, `-` or `_`, for logs and metrics.";
    /// More of something than we carry.
    Error TooMany { what: &'static str, count: usize, most: usize } =>
        "{count} {what}; at most {most} fit.";

    // Addresses.

    /// Not an address with a port.
    Error NotAnAddress { name: &'static str, typed: String, cure: Cure } =>
        "{name} is {typed}; it takes an IP address and a port, like \"127.0.0.1:8080\".{cure}";
    /// Strangers could reach the admin API.
    Error AdminNotLoopback { typed: String, instead: String } =>
        "admin is {typed}, which other machines can reach; whoever reaches it can empty the cache, and it asks for \
         no password. Use \"{instead}\", and an SSH tunnel from elsewhere.";
    /// Two sockets at one address.
    Error AddressTwice { address: String, name: &'static str, earlier: String } =>
        "{address} is already taken by `{name}` ({earlier}); give each its own port.";

    // Pools and endpoints.

    /// No `http://`.
    Error EndpointWithoutScheme { typed: String, meant: String } =>
        "{typed:?} has no scheme; write \"{meant}\".";
    /// `htp://`, `ftp://`.
    Error EndpointScheme { scheme: String, meant: String } =>
        "Tentpole does not speak `{scheme}://` to endpoints; write \"{meant}\".";
    /// A Unix socket's path that is none.
    Error EndpointSocket { typed: String } =>
        "{typed:?} does not name a Unix socket: after `unix:` stands its whole path, from `/` on and of at most 107 bytes, like \
         \"http://unix:/run/app.sock\".";
    /// Endpoints of one pool that are spoken to in different ways.
    Error ScriptsMixed {} =>
        "a pool's endpoints speak FastCGI or HTTP, not both: a request that is tried again must ask for the same. Make two \
         pools.";
    /// HTTP/2 where it cannot be spoken.
    Error Http2NotThere {} =>
        "`http2 = true` is for endpoints with `http://` or `https://` and a port: FastCGI has a protocol of its own, and HTTP/2 is \
         not spoken at Unix sockets. Leave it out.";
    /// FastCGI, and nobody knows what runs.
    Error ScriptsNowhere { pool: String } =>
        "pool `{pool}` speaks FastCGI, but nobody knows where its scripts lie; write for example:\n    root = \
         \"/var/www/html\"";
    /// Scripts, and nobody runs them.
    Warning ScriptsUnused {} =>
        "`scripts` is only for endpoints that speak FastCGI, and this pool has none; write \"fastcgi://…\" or remove it.";
    /// Scripts in an object store.
    Error ScriptsAndStore {} =>
        "an object store speaks HTTP, and runs nothing; make two pools.";
    /// A path of scripts that could mean another one.
    Error ScriptPath { name: &'static str, typed: String, meant: String } =>
        "{name} is {typed:?}; it is a plain path, without empty parts, `.` and `..`, like \"{meant}\".";
    /// Nobody is asked by TLS.
    Warning TlsUnused { pool: String } =>
        "no endpoint of pool `{pool}` begins with https://, so nothing of this is used; write its URLs with https, or remove \
         it.";
    /// Anybody may answer.
    Warning TlsUnverified { pool: String } =>
        "verify = false: whoever answers in the place of an endpoint of pool `{pool}` is believed, and reads and writes all \
         that passes. Name the endpoints' authority instead: authority = \"/etc/tentpole/internal-ca.pem\"";
    /// Two settings that contradict each other.
    Error AuthorityUnread {} =>
        "verify = false believes everybody, so that this authority is never asked; remove `verify = false`.";
    /// A path, a query or a user name in an endpoint's URL.
    Error EndpointTooMuch { part: &'static str, meant: String, cure: Cure } =>
        "an endpoint is a scheme, a host and a port, without {part}; write \"{meant}\".{cure}";
    /// A port, or an address, after `srv://`.
    Error EndpointService { typed: String } =>
        "{typed:?} is not the name of a service; it takes one without a port, like \"srv://_http._tcp.shop.internal\": the name \
         server says the ports.";
    /// Neither a name nor an address.
    Error EndpointHost { host: String } =>
        "{host:?} is not a host; it takes a name, an IPv4 address, or an IPv6 address in brackets.";
    /// Not a port.
    Error EndpointPort { port: String } =>
        "the port is {port:?}; it must be 1 to 65535.";
    /// One endpoint twice in a pool.
    Error EndpointTwice { authority: String, earlier: String } =>
        "{authority} is already in this pool ({earlier}); keep one. For a larger share of the requests, raise its weight.";
    /// The endpoint is the edge.
    Error EndpointIsEdge { authority: String } =>
        "{authority} is where Tentpole itself listens: each request would come back to it for ever. Give the \
         application another port, or change `listen`.";
    /// A health path that is not a path.
    Error HealthPath { typed: String, meant: String } =>
        "the health path is {typed:?}; it is a path on the endpoint that begins with `/`, like \"{meant}\".";
    /// A pool with nobody in it.
    Error NobodyAnswers { section: String } =>
        "{section} has neither `endpoints` nor `fleet`, so nobody answers; add for example:\n    endpoints = \
         [\"http://127.0.0.1:3000\"]\nor, for instances that Tentpole starts itself:\n    fleet = {{ run = \"gunicorn app:wsgi \
         -b 127.0.0.1:{{port}}\" }}\nor, for files without an application:\n    root = \"/var/www/site\"\nor, for an object \
         store, its address and bucket:\n    endpoints = [\"https://s3.eu-central-1.amazonaws.com\"]\n    object_store = \
         {{ bucket = \"shop\", region = \"eu-central-1\" }}";
    /// A pool with both kinds of endpoints.
    Error EndpointsAndFleet { endpoints: String } =>
        "a pool has either `endpoints` ({endpoints}) or a `fleet`; remove one, or make two pools.";

    // Zones and sticky sessions.

    /// Not a zone's name.
    Error NotAZone { name: &'static str, typed: String } =>
        "{name} is {typed:?}; it takes 1 to 64 letters, digits, `-`, `_` or `.`.";
    /// The variable with the zone is not set.
    Error ZoneVariable { variable: String } =>
        "the zone is in the environment variable {variable}, which is not set; set it, or write the zone's name here.";
    /// Near to what?
    Error NearWhat { pool: String } =>
        "pool {pool:?} prefers near endpoints, but nobody says where this edge is; write zone = \"...\" at the top of the \
         file, or remove zones from the pool.";
    /// The own zone has no endpoint.
    Warning NobodyNear { pool: String, zone: String } =>
        "no endpoint of pool {pool:?} is in this edge's zone {zone:?}, so none is near; give those that are the same `zone`.";
    /// Not a cookie's name.
    Error NotACookie { typed: String } =>
        "cookie is {typed:?}; it takes 1 to 64 letters, digits, `-`, `_` or `.`, and does not begin with `__`.";
    /// Two pools would write over each other's cookie.
    Error StickyTwice { cookie: String, first: String } =>
        "the cookie {cookie:?} belongs to pool {first:?} already; its visitors would lose their endpoint with each request to this \
         pool. Give it another name.";
    /// The key of the cache holds it.
    Error StickyKeyed { cookie: String } =>
        "the cookie {cookie:?} is keyed by a route's cache, but it is the sticky cookie of a pool: each visitor's endpoint would \
         have a copy of each page of its own. Give one of them another name.";

    // Fleets.

    /// A quote without its end.
    Error RunQuotes {} =>
        "run has a quote or a backslash without its end; close it, or write the words as a list: run = [\"app\", \
         \"--name\", \"it's\"].";
    /// What only a shell understands.
    Warning RunForShell { sign: String, command: String } =>
        "no shell reads run, so `{sign}` is a word like any other; for variables use `env`, for a shell write: run = \
         [\"sh\", \"-c\", {command:?}]";
    /// `{{port}}` is nowhere.
    Warning RunWithoutPort { cure: Cure } =>
        "run does not say `{{port}}`, so the application must listen on the port that the environment variable PORT \
         says; otherwise no instance ever answers.{cure}";
    /// A character that no argument can have.
    Error Nul { name: &'static str } =>
        "{name} holds the character NUL, which no program can be given; remove it.";
    /// A name that no variable can have.
    Error EnvName { name: String } =>
        "{name:?} cannot be the name of an environment variable; it takes letters, digits and `_`.";
    /// Fewer at most than at least.
    Error MinAboveMax { min: u64, max: u64 } =>
        "min is {min}, but max is {max}; raise max or lower min.";
    /// A path that is not a path.
    Error ReadyPath { typed: String, meant: String } =>
        "the path of `ready` is {typed:?}; it is a path on the instance that begins with `/`, like \"{meant}\".";
    /// A target that a limit hides.
    Warning TargetAboveLimit { target: String, limit: u64 } =>
        "requests_target {target} is never exceeded: no instance gets more than requests_max {limit}. About 70% of \
         that leaves room to start another one.";

    // Pools as such.

    /// Nothing to send requests to.
    Error NoPool {} =>
        "there is no pool, so nobody answers; add one:\n    [pool.app]\n    endpoints = [\"http://127.0.0.1:3000\"]";
    /// A pool that nothing uses.
    Warning PoolUnused { name: String } =>
        "no site uses pool `{name}`; name it in a route, or remove it.";
    /// Not a status.
    Error ProbeStatus { typed: String } =>
        "{typed} is not a status that a probe can pass with; write 200 to 599, or a class: \"2xx\".";
    /// Not a host.
    Error ProbeHost { typed: String } =>
        "host is {typed:?}; a probe's host is a name or an address, with a port if need be: \"shop.example\".";
    /// A field that a probe cannot bring.
    Error ProbeField { typed: String } =>
        "{typed:?} in `fields` cannot be sent: its name is not a field's or is Tentpole's own (Host has `host`), or its value \
         is not plain text.";
    /// One port for instances that share a machine.
    Error ProbePortOfFleet {} =>
        "`port` is one port, but each instance of a fleet listens at its own; leave it out.";
    /// Content that no answer has.
    Error BodyOfHead {} =>
        "the answer to HEAD has no content, so no probe would pass; take method = \"GET\", or leave `body` out.";
    /// What belongs to a question, where none is asked.
    Warning ProbeAsksNothing { name: &'static str } =>
        "`{name}` changes nothing: with tcp = true nothing is asked.";
    /// A fleet starts its instances slowly by itself.
    Error SlowStartOfFleet {} =>
        "slow_start of a fleet's instances belongs in [pool.NAME.fleet].";
    /// Probes that overlap.
    Warning ProbesOverlap { timeout: String, interval: String } =>
        "a probe may take {timeout}, but one starts every {interval}; a timeout below the interval tells failures sooner.";
    /// A queue that nothing fills.
    Warning QueueUnused { pool: String } =>
        "nothing waits in this queue: no endpoint of pool `{pool}` has a limit (`limit`, `requests_max`, `connections_max`).";
    /// No limit.
    Error NoLimit { typed: String } =>
        "limit cannot be \"{typed}\"; it is a number, \"adaptive\", \"guard\", \"none\", or a table like {{ start = 32, max = 200 }}.";
    /// A limit that begins where it may not be.
    Error LimitStart { start: u64, min: u64, max: u64 } =>
        "start is {start}, but the limit stays between min {min} and max {max}; let start lie between them.";
    /// What nothing can be hashed by.
    Error HashBy { typed: String } =>
        "hash cannot be \"{typed}\"; it can be \"path\", \"address\", \"cookie:NAME\" or \"header:NAME\".";
    /// A setting for another way to balance.
    Warning HashUnused { name: &'static str } =>
        "`{name}` changes nothing here: it belongs to balance = \"consistent_hash\".";
    /// A limit that another hides.
    Warning RequestsAboveConnections { requests: u64, connections: u64 } =>
        "requests_max {requests} is never reached: each request in flight takes one of {connections} connections.";

    // Sites and routes.

    /// Not a host pattern.
    Error HostPattern { typed: String, why: &'static str, cure: Cure } =>
        "{typed:?} is not a host: {why}.{cure}";
    /// A host that two sites claim.
    Error HostTwice { host: String, site: String, earlier: String } =>
        "`{host}` already belongs to site `{site}` ({earlier}); keep it once, in one site.";
    /// Two sites for every other host.
    Error TwoSitesForAll { site: String, earlier: String } =>
        "this site has no `hosts`, so it takes every host, and so does site `{site}` ({earlier}); give one of them `hosts`.";
    /// Not a path pattern.
    Error RoutePath { typed: String, why: &'static str, cure: Cure } =>
        "{typed:?} is not a route's path: {why}.{cure}";
    /// A path that no canonical request has.
    Error RouteUnreachable { typed: String, why: &'static str, cure: Cure } =>
        "no request reaches {typed:?}: {why}.{cure}";
    /// Two routes that match the same requests.
    Error RouteTwice { path: String, first: String, earlier: String } =>
        "route {path:?} matches the same requests as {first:?} ({earlier}); keep one.";
    /// The router does not take them together.
    Error Routes { says: String, cure: Cure } =>
        "{says}.{cure}";
    /// A pool that does not exist.
    Error UnknownPool { name: String, cure: Cure } =>
        "there is no pool `{name}`.{cure}";
    /// Which of several pools?
    Error WhichPool { of: String, pools: String } =>
        "{of} does not say which pool answers; add pool = \"NAME\" with one of {pools}.";
    /// Several pools and no site.
    Error NoSite { pools: String, first: String } =>
        "there are several pools ({pools}) and no site that says which one answers; add for example:\n    \
         [site.main]\n    pool = \"{first}\"";
    /// `swallow_segments` where everything is taken anyway.
    Warning SwallowsNothing { path: String } =>
        "swallow_segments does nothing here: \"{path}\" takes all further segments already.";

    // Object stores.

    /// Not a bucket's name.
    Error NotABucket { typed: String } =>
        "bucket is {typed:?}; a bucket's name has 3 to 63 small letters, digits, `-` and `.`, and begins and ends with a \
         letter or a digit.";
    /// Not an object's name.
    Error NotAnIndex { typed: String } =>
        "index is {typed:?}; it takes a name without a path: \"index.html\".";
    /// Instances are no object store.
    Error StoreAndFleet { pool: String } =>
        "pool `{pool}` has both `fleet` and `object_store`; an object store is not started here, so name its address in \
         `endpoints`.";

    // Files.

    /// Whose meaning would depend on where Tentpole was started.
    Error RootNotAbsolute { typed: String } =>
        "root is {typed:?}; it must begin with a slash, for it means the same wherever Tentpole is started: \
         \"/var/www/site\".";
    /// Nothing to serve.
    Warning RootNotThere { typed: String, there: &'static str } =>
        "root is {typed:?}, which {there}; until it is a directory, none of its files is served. Is it mounted, and spelled \
         right?";
    /// Not an ending of a file's name.
    Error NotAnEnding { typed: String } =>
        "{typed:?} is not an ending in `deny`; it takes what stands behind the last dot of a name: \"php\".";

    // Caching.

    /// Not a parameter's name.
    Error ParameterName { typed: String, why: &'static str, cure: Cure } =>
        "{typed:?} is not a query parameter's name: {why}.{cure}";
    /// Not a cookie's name.
    Error CookieName { typed: String, why: &'static str, cure: Cure } =>
        "{typed:?} cannot stand here as a cookie's name: {why}.{cure}";
    /// A session's cookie is ignored.
    Warning SessionIgnored { name: String } =>
        "`{name}` looks like a session's cookie; ignored, those who have it get the pages of those who don't: logged in, \
         they look logged out. List only cookies that carry no identity.";
    /// A session's cookie is keyed.
    Warning SessionKeyed { name: String } =>
        "`{name}` looks like a session's cookie; each visitor has another value, so nobody shares anything. List only \
         cookies that many visitors have in common.";
    /// Not a language tag.
    Error LanguageTag { typed: String, cure: Cure } =>
        "{typed:?} is not a language tag; it takes one like \"de\", \"en-GB\" or \"zh-Hant\".{cure}";
    /// Not a path to purge, or of assets.
    Error PathInList { name: &'static str, typed: String, why: &'static str, cure: Cure } =>
        "{typed:?} is not a path in `{name}`: {why}.{cure}";
    /// Not a host that links can lead to.
    Error NotAnAssetHost { typed: String, cure: Cure } =>
        "{typed:?} is not an asset host; it takes a scheme and a host: \"https://assets.example\".{cure}";
    /// A path in `require_except` that is not one path.
    Error OpenPath { typed: String, why: &'static str, cure: Cure } =>
        "{typed:?} is not a path in `require_except`: {why}.{cure}";
    /// A route that stores what sets cookies.
    Warning DespiteSetCookie { path: String } =>
        "route {path:?} stores responses that set a cookie, without the cookie: whatever stands in them for one visitor \
         reaches all. Keep it only where pages hold nothing of a visitor: no name, no basket, no form token.";

    // Proxies in front.

    /// Everybody is believed.
    Error TrustAll { typed: String } =>
        "{typed:?} is every address, so that each visitor could say who he is; name the addresses of what stands in \
         front of Tentpole.";
    /// Every address is many visitors'.
    Warning SharedAll { typed: String } =>
        "{typed:?} is every address, so that nothing is counted by address any more; name those that many visitors share.";
    /// A list of a filter holds what it cannot be about.
    Error FilterEntry { name: &'static str, typed: String, why: &'static str } =>
        "{name} holds {typed:?}; {why}.";
    /// A setting that means nothing with the filter's action.
    Warning FilterIdle { name: &'static str, action: &'static str } =>
        "{name} means nothing here: it belongs to action = \"{action}\".";
    /// A filter that is about everybody, and lets nobody past it.
    Warning FilterForAll { name: String } =>
        "the filter {name:?} is about everybody: no filter behind it is ever asked, and with \"deny\" nobody is served. Say \
         whom it is about, for example: from = [\"203.0.113.0/24\"]";
    /// Not a field that names an address.
    Error NotAnAddressField { typed: String, why: &'static str } =>
        "address_field is {typed:?}; {why}.";
    /// Not a field in which a secret can stand.
    Error NotASecretsField { name: &'static str, typed: String } =>
        "{typed:?} in `{name}` cannot hold a secret; take a name of letters, digits and `-` that means nothing to HTTP, like \
         X-Origin-Key.";
    /// It says something that nobody is believed in.
    Error NobodyTrusted { name: &'static str } =>
        "`{name}` needs `trusted`: nobody else is believed. Name the addresses of what stands in front of Tentpole.";

    /// Client certificates, and nowhere to show one.
    Error CertificateWithoutTls {} =>
        "`require_certificate` needs https, where certificates are shown: add [tls] with `listen`.";
    /// A redirect to where nobody listens.
    Warning HttpsNowhere {} =>
        "nobody answers by https: there is neither [tls] nor a proxy in `visitors.trusted` that could say so, and each \
         request would be redirected to it. Add [tls] with `listen`.";

    // Purges and content networks.

    /// Not an address or network.
    Error NotANetwork { typed: String, cure: Cure } =>
        "{typed:?} is not an address or a network; write \"10.0.0.5\", \"10.0.0.0/8\" or \"2001:db8::/32\".{cure}";
    /// Everybody may purge.
    Warning PurgeFromAll { typed: String } =>
        "{typed:?} is every address, so anybody can empty the cache; name your application's addresses, or use `secret`.";
    /// Everybody works here.
    Warning StaffFromAll { typed: String } =>
        "{typed:?} is every address, so every visitor counts as staff; name your own networks, or use `secret`.";
    /// A secret itself, most likely.
    Error NotASecretsPlace { name: &'static str } =>
        "{name} must say where the secret is, not what it is: \"env:NAME\" for an environment variable, or \"file:/path\".";
    /// Not an id.
    Error NotAnId { name: &'static str, typed: String } =>
        "{name} is {typed:?}; an id is made of letters, digits, `-` and `_`.";
    /// Not the URL of an API.
    Error NotAnApi { typed: String } =>
        "{typed:?} is not the URL of an API; it takes a scheme, a host and a port: \"https://api.fastly.com\".";
    /// A setting of another kind of content network.
    Error NotOfKind { name: &'static str, kind: String } =>
        "a content network of kind {kind} has no `{name}`; remove it, or change `kind`.";
    /// A site that does not exist.
    Error UnknownSite { name: String, cure: Hint } =>
        "there is no site `{name}`.{cure}";

    // Waiting rooms.

    /// It would let all in.
    Error RoomWithoutLimit { section: String } =>
        "{section} has no limit; say what an endpoint carries (visitors_per_endpoint = 150), or how many may be inside \
         (active = 300), or come in (entries_per_minute = 120).";
    /// Several sites, and it names none.
    Error RoomBeforeWhichSite { room: String, sites: String } =>
        "room `{room}` must say which site it stands before: {sites}. Add site = \"NAME\".";
    /// Not a path it could stand before.
    Error NotARoomsPath { typed: String } =>
        "{typed:?} is no path of a room; write \"/exact\", or \"/prefix/*\" for all below it.";
    /// Not a time.
    Error NotATime { name: &'static str, typed: String } =>
        "{name} is {typed:?}; a time has a date, a time of day and an offset: \"2026-12-01T20:00:00Z\" or \
         \"2026-12-01T20:00:00+01:00\".";
    /// No time between them.
    Error ClosesBeforeItOpens {} =>
        "`closes` is not after `opens`: nobody would ever come in. Close it later, or open it earlier.";
    /// A language without words.
    Error UnknownLanguage { typed: String } =>
        "there are no words in {typed:?}; choose en, de, fr, es, it, nl, pl or sv, or write a `template`.";
    /// A page that cannot do its work.
    Error NotATemplate { file: String, why: String } =>
        "{file} is no page for a waiting room: {why}.";

    // Names.

    /// No time is both.
    Error TtlMinAboveMax { min: String, max: String } =>
        "`ttl_min` is {min}, more than `ttl_max` with {max}; lower it, or raise `ttl_max`.";

    // Limits.

    /// One object larger than all.
    Error ObjectAboveMemory { object: String, memory: String } =>
        "an object may take {object}, but the whole cache has {memory}; lower `object` or raise `memory`.";
    /// One object larger than the disk's part.
    Error ObjectAboveDisk { object: String, size: String } =>
        "an object may take {object}, but the cache on disk has {size}; lower `object` or raise `size`.";
}
