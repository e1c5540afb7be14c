//! `[site.NAME]` and its routes, as typed. Which pool each means, `meant` finds out.

use crate::caching::{self, TypedCache};
use crate::forms::{Shaped, Size, Span, Switch, Text, Word};
use crate::problem::Problem;
use crate::report::Place;
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use crate::{host, path};
use std::time::Duration;
use tentpole_model::{Canonical, HostPattern, Priority};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) static SECTION: Section = Section {
    header: "[site.NAME]",
    also: None,
    about: "Host names that are served alike. Without any site, one that takes every host sends everything to the \
            only pool.",
    settings: &[&HOSTS, &POOL, &CANONICAL, &MERGE_SLASHES, &HTTPS_ONLY, &HSTS, &SITE_CACHE, &ROUTE],
};

static HOSTS: Setting<Shaped> = Setting {
    name: "hosts",
    form: Shaped { what: "a host in quotes or a list of them", inside: None },
    default: Fallback::Absent("every host that no other site claims"),
    about: "Which `Host` values belong to the site. `*.shop.example` takes every name below `shop.example`, not \
            `shop.example` itself. Requests for a host that no site takes get a 421.",
    example: "[\"shop.example\", \"*.shop.example\"]",
};

static POOL: Setting<Text> = Setting {
    name: "pool",
    form: Text { what: "a pool's name in quotes" },
    default: Fallback::Absent("the only pool, when there is only one and the site has no routes"),
    about: "The pool for every path that no route takes, and for routes that name none.",
    example: "\"app\"",
};

static CANONICAL: Setting<Word<Canonical>> = Setting {
    name: "canonical",
    form: Word {
        words: &[
            (
                "forward",
                Canonical::Forward,
                "The endpoint gets the path as it came. Each spelling is cached and purged by itself; routes compare the \
                 canonical form.",
            ),
            ("rewrite", Canonical::Rewrite, "The endpoint gets the canonical form."),
            (
                "redirect",
                Canonical::Redirect,
                "GET and HEAD are redirected (308) to the canonical form, other methods are rewritten.",
            ),
        ],
    },
    // One page, one spelling, one object in the cache, so that a purge finds it; and applications that link to
    // lower-case escapes (`%c3%a4`) get no redirect on each click.
    default: Fallback::Value(|| Canonical::Rewrite),
    about: "What happens to a path that means the same as a canonical one but is written otherwise: `/a/../b`, \
            `/%7Euser`, `/k%c3%a4se` (RFC 3986 section 6.2.2).",
    example: "\"redirect\"",
};

static MERGE_SLASHES: Setting<Switch> = Setting {
    name: "merge_slashes",
    form: Switch,
    default: Fallback::Value(|| false),
    about: "`//` in a path means the same as `/`. Leave it off for applications that carry URLs inside their paths.",
    example: "true",
};

static HTTPS_ONLY: Setting<Switch> = Setting {
    name: "https_only",
    form: Switch,
    default: Fallback::Value(|| false),
    about: "Requests in the clear are redirected (308) to the same address by https: at the port of `tls.listen`, without it \
            at the usual one. What a trusted proxy in front was asked by https counts as https.",
    example: "true",
};

static HSTS: Setting<Span> = Setting {
    name: "hsts",
    // Two years is the most that lists of browsers ask for.
    form: Span::new(Duration::ZERO, Duration::from_secs(2 * 365 * 86_400)),
    default: Fallback::Value(|| Duration::ZERO),
    about: "How long browsers shall ask for these hosts by https only (`Strict-Transport-Security`), counted from each \
            response by https. It cannot be taken back from those who have seen it: begin with `\"5m\"`, and with a year once \
            all works.",
    example: "\"8760h\"",
};

static SITE_CACHE: Setting<Shaped> = Setting {
    name: "cache",
    form: Shaped { what: CACHE_FORM, inside: Some(&caching::SECTION) },
    default: Fallback::Absent("`\"standard\"`, as `[cache]` says"),
    about: "Whether and how responses of all its routes are cached: `\"standard\"` as their `Cache-Control` says (RFC \
            9111), `\"off\"` never, or a table that says more.",
    example: "{ query = { drop = [\"utm_*\"] } }",
};

pub(crate) static ROUTE: Setting<Shaped> = Setting {
    name: "route",
    form: Shaped { what: "tables, each under [[site.NAME.route]]", inside: Some(&ROUTE_SECTION) },
    default: Fallback::Absent("one route `/*` to the site's pool"),
    about: "What is done with a path. The most specific route wins, not the first.",
    example: "[{ path = \"/p/{slug}\", pool = \"app\" }]",
};

pub(crate) static ROUTE_SECTION: Section = Section {
    header: "[[site.NAME.route]]",
    also: None,
    about: "A path pattern and what is done with it.",
    settings: &[&PATH, &ROUTE_POOL, &SWALLOW_SEGMENTS, &CACHE, &BODY, &HEADER, &URL, &PRIORITY],
};

static PATH: Setting<Text> = Setting {
    name: "path",
    form: Text { what: "a path pattern in quotes" },
    default: Fallback::Required,
    about: "`/exact`, `/prefix/*` for a path and everything below it, `/p/{slug}` for any one segment.",
    example: "\"/p/{slug}\"",
};

static ROUTE_POOL: Setting<Text> = Setting {
    name: "pool",
    form: Text { what: "a pool's name in quotes" },
    default: Fallback::Absent("the site's pool, or the only one"),
    about: "Who answers.",
    example: "\"app\"",
};

static SWALLOW_SEGMENTS: Setting<Switch> = Setting {
    name: "swallow_segments",
    form: Switch,
    default: Fallback::Value(|| false),
    about: "Paths with more segments than the pattern belong to the route too: `/p/shoe/red/sale` leads to `/p/shoe`.",
    example: "true",
};

static CACHE: Setting<Shaped> = Setting {
    name: "cache",
    form: Shaped { what: CACHE_FORM, inside: Some(&caching::ROUTE_SECTION) },
    default: Fallback::Absent("as its site says"),
    about: "Whether and how responses are cached: `\"standard\"` as their `Cache-Control` says (RFC 9111), `\"off\"` never, \
            or a table that says more.",
    example: "\"off\"",
};

static BODY: Setting<Size> = Setting {
    name: "body",
    form: Size::new(0, 1 << 40),
    default: Fallback::Value(|| 16 << 20),
    about: "The largest request body. A larger one gets a 413.",
    example: "\"16MiB\"",
};

static HEADER: Setting<Size> = Setting {
    name: "header",
    form: Size::new(256, 1 << 20),
    default: Fallback::Absent("what `head_bytes` of `[limits]` allows"),
    about: "The largest header of a request: names and values of all its fields. A larger one gets a 431.",
    example: "\"4KiB\"",
};

static URL: Setting<Size> = Setting {
    name: "url",
    form: Size::new(16, 64 << 10),
    default: Fallback::Absent("what `head_bytes` of `[limits]` allows"),
    about: "The longest path with its query. A longer one gets a 414.",
    example: "\"2KiB\"",
};

static PRIORITY: Setting<Word<Priority>> = Setting {
    name: "priority",
    form: Word {
        words: &[
            (
                "checkout",
                Priority::Checkout,
                "Before all other visitors, and so is the visitor everywhere for the next ten minutes, once he was answered.",
            ),
            ("returning", Priority::Returning, "Behind those."),
            ("normal", Priority::Normal, "Behind those whom the application knows."),
            ("crawler", Priority::Crawler, "When nobody else waits."),
        ],
    },
    default: Fallback::Absent("what the request looks like"),
    about: "What its requests are worth when the application cannot serve all. Without it, what changes something and paths \
            such as `/cart` and `/checkout` count as a checkout. Staff and those in a checkout keep their rank here.",
    example: "\"checkout\"",
};

/// What diagnostics call a route.
const ROUTE_TITLE: &str = "the route";
const CACHE_FORM: &str = "\"standard\", \"off\" or a table";

/// Routes that one site takes.
const ROUTES_MAX: usize = 10_000;
/// Hosts that one site takes.
const HOSTS_MAX: usize = 10_000;

/// A site as it was typed.
pub(crate) struct Typed {
    pub(crate) name: String,
    pub(crate) place: Place,
    /// `None` when left out: every host.
    pub(crate) hosts: Option<Vec<At<HostPattern>>>,
    pub(crate) canonical: Canonical,
    pub(crate) merge_slashes: bool,
    pub(crate) https_only: Option<At<bool>>,
    pub(crate) hsts: Duration,
    pub(crate) pool: Option<At<String>>,
    pub(crate) cache: TypedCache,
    pub(crate) routes: Vec<TypedRoute>,
}

/// A route as it was typed.
pub(crate) struct TypedRoute {
    /// As written.
    pub(crate) written: String,
    /// In canonical form.
    pub(crate) path: At<String>,
    pub(crate) place: Place,
    pub(crate) pool: Option<At<String>>,
    pub(crate) swallow_segments: Option<At<bool>>,
    pub(crate) cache: TypedCache,
    pub(crate) body_bytes_max: u64,
    pub(crate) fields_bytes_max: Option<u64>,
    pub(crate) url_bytes_max: Option<u64>,
    pub(crate) priority: Option<Priority>,
}

/// Reads `[site.NAME]`.
pub(crate) fn read(name: &str, table: &Table<'_>) -> Typed {
    let merge_slashes = table.value(&MERGE_SLASHES);
    Typed {
        name: name.to_owned(),
        place: table.place().clone(),
        hosts: read_hosts(table),
        canonical: table.value(&CANONICAL),
        merge_slashes,
        https_only: table.optional(&HTTPS_ONLY).filter(|typed| typed.value),
        hsts: table.value(&HSTS),
        pool: table.optional(&POOL),
        cache: caching::of_site(table, &SITE_CACHE),
        routes: read_routes(table, merge_slashes),
    }
}

/// A site for every host and path, with the defaults for everything.
pub(crate) fn usual(name: &str, place: Place) -> Typed {
    Typed {
        name: name.to_owned(),
        place,
        hosts: None,
        canonical: CANONICAL.usual(),
        merge_slashes: MERGE_SLASHES.usual(),
        https_only: None,
        hsts: HSTS.usual(),
        pool: None,
        cache: TypedCache::default(),
        routes: Vec::new(),
    }
}

/// A route for every path, with the defaults for everything.
pub(crate) fn usual_route(place: Place) -> TypedRoute {
    TypedRoute {
        written: "/*".to_owned(),
        path: At::new("/*".to_owned(), place.clone()),
        place,
        pool: None,
        swallow_segments: None,
        cache: TypedCache::default(),
        body_bytes_max: BODY.usual(),
        fields_bytes_max: None,
        url_bytes_max: None,
        priority: None,
    }
}

fn read_hosts(table: &Table<'_>) -> Option<Vec<At<HostPattern>>> {
    let cure = "leave it out to take every host that no other site claims.";
    let typed = table.texts(&HOSTS, HOSTS_MAX, "hosts in a site", Some(cure))?;
    let read = |typed: At<String>| match host::pattern(&typed.value) {
        Ok(pattern) => Some(At::new(pattern, typed.place)),
        Err(problem) => {
            table.tell(problem, &typed.place);
            None
        }
    };
    Some(typed.into_iter().filter_map(read).collect())
}

fn read_routes(table: &Table<'_>, merge_slashes: bool) -> Vec<TypedRoute> {
    let Some(value) = table.raw(&ROUTE) else { return Vec::new() };
    let DeValue::Array(items) = value.get_ref() else {
        table.wrong_type(&ROUTE, value);
        return Vec::new();
    };
    if items.len() > ROUTES_MAX {
        let problem = Problem::TooMany { what: "routes in a site", count: items.len(), most: ROUTES_MAX };
        table.tell(problem, &Place::Bytes(value.span()));
    }
    let mut routes = Vec::new();
    for item in items.iter().take(ROUTES_MAX) {
        match item.get_ref() {
            DeValue::Table(entries) => routes.extend(read_route(entries, item, table, merge_slashes)),
            _ => table.wrong_item(&ROUTE, item),
        }
    }
    routes
}

fn read_route(
    entries: &DeTable<'_>,
    item: &Spanned<DeValue<'_>>,
    site: &Table<'_>,
    merge_slashes: bool,
) -> Option<TypedRoute> {
    let place = Place::Bytes(item.span());
    let table = Table::open(&ROUTE_SECTION, ROUTE_TITLE.to_owned(), place.clone(), entries, site.problems());
    let typed = table.required(&PATH);
    let pool = table.optional(&ROUTE_POOL);
    let swallow_segments = table.optional(&SWALLOW_SEGMENTS);
    let cache = caching::of_route(&table, &CACHE, typed.as_ref().map(|typed| &*typed.value));
    let body_bytes_max = table.value(&BODY);
    let fields_bytes_max = table.optional(&HEADER).map(|typed| typed.value);
    let url_bytes_max = table.optional(&URL).map(|typed| typed.value);
    let priority = table.optional(&PRIORITY).map(|typed| typed.value);
    let typed = typed?;
    let path = match path::pattern(&typed.value, merge_slashes) {
        Ok(path) => At::new(path, typed.place.clone()),
        Err(problem) => {
            table.tell(problem, &typed.place);
            return None;
        }
    };
    Some(TypedRoute {
        written: typed.value,
        path,
        place,
        pool,
        swallow_segments,
        cache,
        body_bytes_max,
        fields_bytes_max,
        url_bytes_max,
        priority,
    })
}
