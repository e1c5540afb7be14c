//! `[content_network.NAME]`: a content network in front that is told of each purge.

use crate::forms::{Shaped, Switch, Text, Word};
use crate::problem::Problem;
use crate::purge;
use crate::report::Place;
use crate::setting::{Fallback, Form, Section, Setting};
use crate::table::{At, Table};
use crate::words::Hint;
use tentpole_model::{ContentNetwork, ContentService, Secret};

pub(crate) static SECTION: Section = Section {
    header: "[content_network.NAME]",
    also: None,
    about: "A content network in front of Tentpole. What is purged here, by command, API or purge request, is purged there \
            too. Each takes the settings of its kind; credentials are named by where they are.",
    settings: &[&KIND, &SITES, &SERVICE, &DISTRIBUTION, &ZONE, &TOKEN, &KEY_ID, &KEY, &SESSION, &TAGS, &API],
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fastly,
    CloudFront,
    Cloudflare,
}

static KIND: Setting<Word<Kind>> = Setting {
    name: "kind",
    form: Word {
        words: &[
            ("fastly", Kind::Fastly, "Needs `service`. URLs, tags and everything; soft too."),
            (
                "cloudfront",
                Kind::CloudFront,
                "Needs `distribution`. URLs, prefixes and everything; tags where the distribution reads them.",
            ),
            ("cloudflare", Kind::Cloudflare, "Needs `zone`. URLs, prefixes, tags, hosts and everything."),
        ],
    },
    default: Fallback::Required,
    about: "Which content network it is.",
    example: "\"fastly\"",
};

static SITES: Setting<Shaped> = Setting {
    name: "sites",
    form: Shaped { what: "a site's name in quotes or a list of them", inside: None },
    default: Fallback::Absent("all"),
    about: "The sites that it stands in front of. A purge of one whole site empties the whole content network where it \
            stands in front of that site alone.",
    example: "[\"shop\"]",
};

static SERVICE: Setting<Text> = Setting {
    name: "service",
    form: Text { what: "an id in quotes" },
    default: Fallback::Absent("none; Fastly needs it"),
    about: "Fastly: the service's id.",
    example: "\"SU1Z0isxPaozGVKXdv0eY\"",
};

static DISTRIBUTION: Setting<Text> = Setting {
    name: "distribution",
    form: Text { what: "an id in quotes" },
    default: Fallback::Absent("none; CloudFront needs it"),
    about: "CloudFront: the distribution's id.",
    example: "\"EDFDVBD6EXAMPLE\"",
};

static ZONE: Setting<Text> = Setting {
    name: "zone",
    form: Text { what: "an id in quotes" },
    default: Fallback::Absent("none; Cloudflare needs it"),
    about: "Cloudflare: the zone's id.",
    example: "\"023e105f4ecef8ad9ca31a8372d0c353\"",
};

static TOKEN: Setting<Text> = Setting {
    name: "token",
    form: Text { what: SECRET_FORM },
    default: Fallback::Absent("`\"env:FASTLY_API_TOKEN\"` or `\"env:CLOUDFLARE_API_TOKEN\"`"),
    about: "Fastly and Cloudflare: an API token that may purge.",
    example: "\"file:/run/secrets/fastly\"",
};

static KEY_ID: Setting<Text> = Setting {
    name: "access_key_id",
    form: Text { what: SECRET_FORM },
    default: Fallback::Absent("`\"env:AWS_ACCESS_KEY_ID\"`"),
    about: "CloudFront: the id of an access key that may call `cloudfront:CreateInvalidation`.",
    example: "\"env:AWS_ACCESS_KEY_ID\"",
};

static KEY: Setting<Text> = Setting {
    name: "secret_access_key",
    form: Text { what: SECRET_FORM },
    default: Fallback::Absent("`\"env:AWS_SECRET_ACCESS_KEY\"`"),
    about: "CloudFront: that key.",
    example: "\"file:/run/secrets/aws\"",
};

static SESSION: Setting<Text> = Setting {
    name: "session_token",
    form: Text { what: SECRET_FORM },
    default: Fallback::Absent("`\"env:AWS_SESSION_TOKEN\"`, if it is there"),
    about: "CloudFront: the session token of a temporary key.",
    example: "\"env:AWS_SESSION_TOKEN\"",
};

static TAGS: Setting<Switch> = Setting {
    name: "tags",
    form: Switch,
    default: Fallback::Value(|| false),
    about: "CloudFront: the distribution has a `CacheTagConfig`, so that tags can be purged there. It keeps at most 50 tags \
            of an object, without regard to upper and lower case, and wants commas between them. Without it a purge by tag \
            is told as not passed on.",
    example: "true",
};

static API: Setting<Text> = Setting {
    name: "api",
    form: Text { what: "a URL in quotes: scheme, host and port" },
    default: Fallback::Absent(
        "`\"https://api.fastly.com\"`, `\"https://cloudfront.amazonaws.com\"` or `\"https://api.cloudflare.com\"`",
    ),
    about: "Where its API is.",
    example: "\"https://api.fastly.com\"",
};

const SECRET_FORM: &str = "where it is, in quotes: \"env:NAME\" or \"file:/path\"";
/// Sites that one list takes.
const SITES_MAX: usize = 10_000;

/// One content network as typed.
pub(crate) struct Typed {
    /// What is meant, when enough was said.
    network: Option<ContentNetwork>,
    sites: Vec<At<String>>,
}

/// Reads `[content_network.NAME]`.
pub(crate) fn read(name: &str, table: &Table<'_>) -> Typed {
    let kind = table.required(&KIND).map(|kind| kind.value);
    if let Some(kind) = kind {
        tell_of_others(kind, table);
    }
    let sites = table.texts(&SITES, SITES_MAX, "sites", Some("name a site, or leave it out for all."));
    let names = sites.as_ref().map(|sites| sites.iter().map(|site| site.value.clone()).collect());
    let service = kind.and_then(|kind| service(kind, table));
    let api = table.optional(&API).and_then(|api| {
        let checked = check_api(&api.value);
        checked.map_err(|problem| table.tell(problem, &api.place)).ok()
    });
    let usual = match kind {
        Some(Kind::Fastly) | None => "https://api.fastly.com",
        Some(Kind::CloudFront) => "https://cloudfront.amazonaws.com",
        Some(Kind::Cloudflare) => "https://api.cloudflare.com",
    };
    let network = service.map(|service| ContentNetwork {
        name: name.to_owned(),
        service,
        sites: names,
        api: api.unwrap_or_else(|| usual.to_owned()),
    });
    Typed { network, sites: sites.unwrap_or_default() }
}

/// Tells of settings that belong to another kind.
fn tell_of_others(kind: Kind, table: &Table<'_>) {
    let word = KIND.form.show(&kind);
    let all: [(&Setting<Text>, &[Kind]); 7] = [
        (&SERVICE, &[Kind::Fastly]),
        (&DISTRIBUTION, &[Kind::CloudFront]),
        (&ZONE, &[Kind::Cloudflare]),
        (&TOKEN, &[Kind::Fastly, Kind::Cloudflare]),
        (&KEY_ID, &[Kind::CloudFront]),
        (&KEY, &[Kind::CloudFront]),
        (&SESSION, &[Kind::CloudFront]),
    ];
    let texts = all.into_iter().map(|(setting, kinds)| (setting.name, table.raw(setting), kinds));
    let tags: &[Kind] = &[Kind::CloudFront];
    for (name, value, kinds) in texts.chain([(TAGS.name, table.raw(&TAGS), tags)]) {
        if let Some(value) = value.filter(|_| !kinds.contains(&kind)) {
            let problem = Problem::NotOfKind { name, kind: word.clone() };
            table.tell(problem, &Place::Bytes(value.span()));
        }
    }
}

fn service(kind: Kind, table: &Table<'_>) -> Option<ContentService> {
    let secret = |setting, usual: &str| {
        purge::secret(table, setting).unwrap_or_else(|| Secret::Variable(usual.to_owned()))
    };
    Some(match kind {
        Kind::Fastly => ContentService::Fastly {
            service: id(table, &SERVICE)?,
            token: secret(&TOKEN, "FASTLY_API_TOKEN"),
        },
        Kind::CloudFront => ContentService::CloudFront {
            distribution: id(table, &DISTRIBUTION)?,
            key_id: secret(&KEY_ID, "AWS_ACCESS_KEY_ID"),
            key: secret(&KEY, "AWS_SECRET_ACCESS_KEY"),
            session: Some(secret(&SESSION, "AWS_SESSION_TOKEN")),
            tags: table.value(&TAGS),
        },
        Kind::Cloudflare => ContentService::Cloudflare {
            zone: id(table, &ZONE)?,
            token: secret(&TOKEN, "CLOUDFLARE_API_TOKEN"),
        },
    })
}

/// An id, which becomes part of a path.
fn id(table: &Table<'_>, setting: &Setting<Text>) -> Option<String> {
    let typed = table.required(setting)?;
    let is_id = (1..=128).contains(&typed.value.len())
        && typed.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_id {
        table.tell(Problem::NotAnId { name: setting.name, typed: typed.value }, &typed.place);
        return None;
    }
    Some(typed.value)
}

fn check_api(typed: &str) -> Result<String, Problem> {
    let refuse = || Problem::NotAnApi { typed: typed.to_owned() };
    let (scheme, rest) = typed.split_once("://").ok_or_else(refuse)?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let is_authority = !authority.is_empty()
        && authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
    if !matches!(scheme, "http" | "https") || !is_authority {
        return Err(refuse());
    }
    Ok(format!("{scheme}://{authority}"))
}

/// What is meant: the sites must be there.
pub(crate) fn meant<'a>(
    typed: Vec<Typed>,
    known: impl Iterator<Item = &'a str> + Clone,
    tell: impl Fn(Problem, &Place),
) -> Vec<ContentNetwork> {
    let check = |site: &At<String>| {
        if !known.clone().any(|name| name == site.value) {
            let cure = Hint::near(&site.value, known.clone());
            tell(Problem::UnknownSite { name: site.value.clone(), cure }, &site.place);
        }
    };
    let typed = typed.into_iter().inspect(|typed| typed.sites.iter().for_each(check));
    typed.filter_map(|typed| typed.network).collect()
}
