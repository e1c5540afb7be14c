//! How responses are cached, as typed: in `[cache]` for all sites, in `cache` of a site or of a route. What a route
//! says goes before its site, what a site says before `[cache]`, setting by setting.

use crate::assets;
use crate::forms::{Shaped, Span, Switch, Word};
use crate::names;
use crate::problem::Problem;
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use crate::words::Hint;
use std::time::Duration;
use tentpole_model::{Assets, Caching, Esi, Learn, QueryRules, RouteCache};
use toml::de::DeValue;

pub(crate) static SECTION: Section = Section {
    header: "[site.NAME.cache]",
    also: None,
    about: "How responses are cached. The same settings stand in `[cache]` for all sites, in `[site.NAME.cache]` for \
            one, and in a route's `cache`: `cache = { negative = \"10s\" }`, or `[site.NAME.route.cache]` right below \
            the route. What a route says goes before its site, what a site says before `[cache]`, setting by setting.",
    settings: &[
        &LEARN,
        &QUERY,
        &COOKIES_IGNORED,
        &COOKIES_KEYED,
        &LANGUAGES,
        &DEVICES,
        &VISITORS_REVALIDATE,
        &VISITORS_KEEP,
        &NEGATIVE,
        &STALE_WHILE_REVALIDATE,
        &STALE_IF_ERROR,
        &ESI,
        &ASSETS,
        &COMPRESS,
        &PURGES,
    ],
};

/// Settings that only a route may have.
pub(crate) static ROUTE_SECTION: Section = Section {
    header: "[site.NAME.route.cache]",
    also: Some(&SECTION),
    about: "How responses of one route are cached.",
    settings: &[&DESPITE_SET_COOKIE],
};

pub(crate) static QUERY_SECTION: Section = Section {
    header: "[cache.query]",
    also: None,
    about: "Which query parameters tell two requests apart, on any level: `query = { drop = [\"utm_*\"] }`. An endpoint \
            that is asked for something to store gets only those, in that order: what is left out cannot have changed \
            the answer. Requests that go past the cache keep their query as it came.",
    settings: &[&KEEP, &DROP, &SORT],
};

const LEARN_FORM: Word<Learn> = Word {
    words: &[
        ("off", Learn::Off, "Not looked at."),
        ("advise", Learn::Advise, "Compared, and told by `tentpole cache advise`; nothing changes."),
        ("apply", Learn::Apply, "Applied too, with a short lifetime, until the first contradiction."),
    ],
};

static LEARN: Setting<Word<Learn>> = Setting {
    name: "learn",
    form: LEARN_FORM,
    default: Fallback::Value(|| Caching::default().learn),
    about: "What is done with responses that say nothing about caching: what different visitors get for the same URL is \
            compared, to find out what may be shared.",
    example: "\"apply\"",
};

static QUERY: Setting<Shaped> = Setting {
    name: "query",
    form: Shaped { what: "a table", inside: Some(&QUERY_SECTION) },
    default: Fallback::Absent("the whole query, in the order in which it came"),
    about: "Which query parameters tell two requests apart.",
    example: "{ drop = [\"utm_*\", \"gclid\", \"fbclid\"], sort = true }",
};

static KEEP: Setting<Shaped> = Setting {
    name: "keep",
    form: Shaped { what: "a parameter's name in quotes or a list of them", inside: None },
    default: Fallback::Absent("all"),
    about: "Only these parameters count. Names, or beginnings of names that end in `*`; `[]` is none, `\"*\"` all.",
    example: "[\"page\", \"q\", \"filter*\"]",
};

static DROP: Setting<Shaped> = Setting {
    name: "drop",
    form: Shaped { what: "a parameter's name in quotes or a list of them", inside: None },
    default: Fallback::Absent("none"),
    about: "These parameters do not count, whatever `keep` says.",
    example: "[\"utm_*\", \"gclid\", \"fbclid\"]",
};

static SORT: Setting<Switch> = Setting {
    name: "sort",
    form: Switch,
    default: Fallback::Value(|| QueryRules::default().sort),
    about: "The order of parameters does not count; those of the same name keep theirs.",
    example: "true",
};

static COOKIES_IGNORED: Setting<Shaped> = Setting {
    name: "cookies_ignored",
    form: Shaped { what: "a cookie's name in quotes or a list of them", inside: None },
    default: Fallback::Absent("`[\"default\"]`"),
    about: "Cookies that say nothing about who the visitor is: names, or beginnings of names that end in `*`. They take \
            no part in any decision, and an endpoint that is asked for something to store does not get them. \
            `\"default\"` stands for those of analytics, advertising and consent banners that Tentpole knows; leave it \
            out to have only yours.",
    example: "[\"default\", \"my_banner\"]",
};

static COOKIES_KEYED: Setting<Shaped> = Setting {
    name: "cookies_keyed",
    form: Shaped { what: "a cookie's name in quotes or a list of them", inside: None },
    default: Fallback::Absent("none"),
    about: "Cookies whose value names a group of visitors, not one of them: each value has responses of its own.",
    example: "[\"X-Magento-Vary\"]",
};

static LANGUAGES: Setting<Shaped> = Setting {
    name: "languages",
    form: Shaped { what: "a language tag in quotes or a list of them", inside: None },
    default: Fallback::Absent("`Accept-Language` is compared as it came"),
    about: "The languages that the application has, its default first. Where a response varies by `Accept-Language`, \
            visitors share it by the one of these that suits them (RFC 4647), and the endpoint is asked for that one.",
    example: "[\"en\", \"de\", \"fr-CH\"]",
};

static DEVICES: Setting<Switch> = Setting {
    name: "devices",
    form: Switch,
    default: Fallback::Value(|| Caching::default().devices),
    about: "Where a response varies by `User-Agent`, visitors share it by device: phone, tablet, desktop or robot. The \
            endpoint is told which in `X-Device`.",
    example: "true",
};

static VISITORS_REVALIDATE: Setting<Switch> = Setting {
    name: "visitors_revalidate",
    form: Switch,
    default: Fallback::Value(|| Caching::default().visitors_revalidate),
    about: "A visitor may have the endpoint asked first (`Cache-Control: no-cache` or `max-age=0`, as a browser's reload \
            says). Before an event, `false` keeps those who press reload away from the endpoints.",
    example: "false",
};

static VISITORS_KEEP: Setting<Switch> = Setting {
    name: "visitors_keep",
    form: Switch,
    default: Fallback::Value(|| Caching::default().visitors_keep),
    about: "Visitors' browsers may keep what is shared, for as long as the response says. With `false` they are told to \
            ask each time (`Cache-Control: no-cache`), and mostly hear that nothing changed: a purge is then seen at \
            once. For applications that give a shared cache a lifetime and trust it to keep browsers from using it.",
    example: "false",
};

const DAY: Duration = Duration::from_secs(86_400);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

static NEGATIVE: Setting<Span> = Setting {
    name: "negative",
    form: Span::new(Duration::ZERO, DAY),
    default: Fallback::Value(|| Caching::default().negative),
    about: "How long 404, 405, 410, 414 and 501 are kept when they say nothing themselves. `0s` leaves them to the \
            standard.",
    example: "\"10s\"",
};

static STALE_WHILE_REVALIDATE: Setting<Span> = Setting {
    name: "stale_while_revalidate",
    form: Span::new(Duration::ZERO, MONTH),
    default: Fallback::Value(|| Caching::default().stale_while_revalidate),
    about: "How long what is stale is still served while it is fetched anew, when the response itself says nothing \
            (RFC 5861).",
    example: "\"30s\"",
};

static STALE_IF_ERROR: Setting<Span> = Setting {
    name: "stale_if_error",
    form: Span::new(Duration::ZERO, MONTH),
    default: Fallback::Value(|| Caching::default().stale_if_error),
    about: "How long what is stale is served in place of an endpoint's error, when the response itself says nothing \
            (RFC 5861).",
    example: "\"1h\"",
};

static ESI: Setting<Word<Esi>> = Setting {
    name: "esi",
    form: Word {
        words: &[
            ("off", Esi::Off, "Never."),
            (
                "asked",
                Esi::Asked,
                "Where the response asks for it: `Surrogate-Control: content=\"ESI/1.0\"`.",
            ),
            ("always", Esi::Always, "Every page of text, as Magento expects of Varnish."),
        ],
    },
    default: Fallback::Value(|| Caching::default().esi),
    about: "Whether pages are put together at the edge (ESI).",
    example: "\"always\"",
};

static ASSETS: Setting<Shaped> = Setting {
    name: "assets",
    form: Shaped { what: "a table with a host and paths", inside: Some(&assets::SECTION) },
    default: Fallback::Absent("links stay as they are"),
    about: "Links of HTML pages that lead to another host: see below.",
    example: "{ host = \"https://assets.example\", paths = [\"/static/*\"] }",
};

static COMPRESS: Setting<Switch> = Setting {
    name: "compress",
    form: Switch,
    default: Fallback::Value(|| Caching::default().compress),
    about: "Text that is stored is compressed, once for each object and coding.",
    example: "false",
};

static PURGES: Setting<Shaped> = Setting {
    name: "purges",
    form: Shaped { what: "a path in quotes or a list of them", inside: None },
    default: Fallback::Absent("only the URL itself"),
    about: "Paths of the site that a successful POST, PUT, PATCH or DELETE makes stale besides its own URL. `/blog/*` is \
            everything below `/blog/`.",
    example: "[\"/\", \"/blog/*\"]",
};

static DESPITE_SET_COOKIE: Setting<Switch> = Setting {
    name: "despite_set_cookie",
    form: Switch,
    default: Fallback::Value(|| Caching::default().despite_set_cookie),
    about: "A response that sets a cookie is stored, without the cookie, when it is cacheable otherwise. The application \
            must put nothing of a visitor into such pages; `tentpole check` warns of each route that says this.",
    example: "true",
};

/// Names in one list.
const NAMES_MAX: usize = 256;
/// Languages of one site; as many as a look-up compares.
const LANGUAGES_MAX: usize = 64;

/// What one level says; what it leaves out is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Typed {
    learn: Option<Learn>,
    keep: Option<Vec<String>>,
    drop: Option<Vec<String>>,
    sort: Option<bool>,
    cookies_ignored: Option<Vec<String>>,
    cookies_keyed: Option<Vec<String>>,
    languages: Option<Vec<String>>,
    devices: Option<bool>,
    despite_set_cookie: Option<At<bool>>,
    visitors_revalidate: Option<bool>,
    visitors_keep: Option<bool>,
    negative: Option<Duration>,
    stale_while_revalidate: Option<Duration>,
    stale_if_error: Option<Duration>,
    esi: Option<Esi>,
    assets: Option<Option<Assets>>,
    compress: Option<bool>,
    purges: Option<Vec<String>>,
}

/// What `cache` of a site or a route says.
#[derive(Clone, Debug, Default)]
pub(crate) struct TypedCache {
    /// Whether anything is cached; `None` when it is left out.
    pub(crate) cache: Option<RouteCache>,
    /// How; `None` when it says no more than that.
    pub(crate) caching: Option<Typed>,
}

impl Typed {
    /// Reads a table with these settings.
    pub(crate) fn read(table: &Table<'_>) -> Self {
        let query = table.table(&QUERY);
        let query = query.as_ref();
        Self {
            learn: optional(table, &LEARN),
            keep: query.and_then(|query| names::read(query, &KEEP, NAMES_MAX, names::parameter)),
            drop: query.and_then(|query| names::read(query, &DROP, NAMES_MAX, names::parameter)),
            sort: query.and_then(|query| optional(query, &SORT)),
            cookies_ignored: names::read(table, &COOKIES_IGNORED, NAMES_MAX, names::cookie_ignored)
                .map(names::with_defaults),
            cookies_keyed: names::read(table, &COOKIES_KEYED, NAMES_MAX, names::cookie_keyed),
            languages: names::read(table, &LANGUAGES, LANGUAGES_MAX, names::language),
            devices: optional(table, &DEVICES),
            despite_set_cookie: None,
            visitors_revalidate: optional(table, &VISITORS_REVALIDATE),
            visitors_keep: optional(table, &VISITORS_KEEP),
            negative: optional(table, &NEGATIVE),
            stale_while_revalidate: optional(table, &STALE_WHILE_REVALIDATE),
            stale_if_error: optional(table, &STALE_IF_ERROR),
            esi: optional(table, &ESI),
            assets: table.table(&ASSETS).and_then(|table| assets::read(&table)),
            compress: optional(table, &COMPRESS),
            purges: names::read(table, &PURGES, NAMES_MAX, names::purged_path),
        }
    }

    /// What holds: what is said here, and `base` for the rest.
    pub(crate) fn over(&self, base: &Caching) -> Caching {
        let list = |own: &Option<Vec<String>>, base: &Vec<String>| own.as_ref().unwrap_or(base).clone();
        let keep = match &self.keep {
            Some(names) if names.iter().any(|name| name == "*") => None,
            Some(names) => Some(names.clone()),
            None => base.query.keep.clone(),
        };
        Caching {
            learn: self.learn.unwrap_or(base.learn),
            query: QueryRules {
                keep,
                drop: list(&self.drop, &base.query.drop),
                sort: self.sort.unwrap_or(base.query.sort),
            },
            cookies_ignored: list(&self.cookies_ignored, &base.cookies_ignored),
            cookies_keyed: list(&self.cookies_keyed, &base.cookies_keyed),
            languages: list(&self.languages, &base.languages),
            devices: self.devices.unwrap_or(base.devices),
            despite_set_cookie: self
                .despite_set_cookie
                .as_ref()
                .map_or(base.despite_set_cookie, |said| said.value),
            visitors_revalidate: self.visitors_revalidate.unwrap_or(base.visitors_revalidate),
            visitors_keep: self.visitors_keep.unwrap_or(base.visitors_keep),
            negative: self.negative.unwrap_or(base.negative),
            stale_while_revalidate: self.stale_while_revalidate.unwrap_or(base.stale_while_revalidate),
            stale_if_error: self.stale_if_error.unwrap_or(base.stale_if_error),
            esi: self.esi.unwrap_or(base.esi),
            assets: self.assets.as_ref().unwrap_or(&base.assets).clone(),
            compress: self.compress.unwrap_or(base.compress),
            purges: list(&self.purges, &base.purges),
        }
    }

    /// Puts what `--learn` says over it.
    pub(crate) fn learn(&mut self, learn: Learn) {
        self.learn = Some(learn);
    }
}

/// Reads `cache` of a site: a word or a table.
pub(crate) fn of_site(table: &Table<'_>, setting: &Setting<Shaped>) -> TypedCache {
    read(table, setting, Typed::read)
}

/// Reads `cache` of a route; warns where it stores what sets a cookie. `path` is the route's.
pub(crate) fn of_route(table: &Table<'_>, setting: &Setting<Shaped>, path: Option<&str>) -> TypedCache {
    read(table, setting, |inner| {
        let despite_set_cookie = inner.optional(&DESPITE_SET_COOKIE);
        if let (Some(said), Some(path)) = (&despite_set_cookie, path)
            && said.value
        {
            inner.tell(Problem::DespiteSetCookie { path: path.to_owned() }, &said.place);
        }
        Typed { despite_set_cookie, ..Typed::read(inner) }
    })
}

fn read(
    table: &Table<'_>,
    setting: &Setting<Shaped>,
    inside: impl FnOnce(&Table<'_>) -> Typed,
) -> TypedCache {
    let Some(value) = table.raw(setting) else { return TypedCache::default() };
    if let DeValue::String(typed) = value.get_ref() {
        let words = [("standard", RouteCache::Standard), ("off", RouteCache::Off)];
        let cache = words.iter().find(|(word, _)| typed == word).map(|(_, cache)| *cache);
        if cache.is_none() {
            let problem = Problem::UnknownWord {
                name: setting.name.to_owned(),
                typed: typed.to_string(),
                words: "\"standard\", \"off\" or a table".to_owned(),
                hint: Hint::near(typed, words.iter().map(|(word, _)| *word)),
            };
            table.tell(problem, &crate::report::Place::Bytes(value.span()));
        }
        return TypedCache { cache, caching: None };
    }
    let caching = table.table(setting).map(|inner| inside(&inner));
    // Below a site that is switched off, a route that says how is one that is cached.
    TypedCache { cache: Some(RouteCache::Standard), caching }
}

fn optional<F: crate::setting::Form>(table: &Table<'_>, setting: &Setting<F>) -> Option<F::Value> {
    table.optional(setting).map(|at| at.value)
}
