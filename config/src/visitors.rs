//! `[visitors]`: who in front of Tentpole is believed in what he says of visitors.

use crate::filter::Bots;
use crate::forms::{Shaped, Switch, Text, Word};
use crate::names;
use crate::problem::Problem;
use crate::purge::{networks, parse_secret};
use crate::report::Place;
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use crate::tls;
use std::path::PathBuf;
use tentpole_model::{Front, SecretField};
use toml::de::DeValue;

pub(crate) static SECTION: Section = Section {
    header: "[visitors]",
    also: None,
    about: "Who in front of Tentpole is believed in what he says of visitors: a content network, a balancer. Nobody is, \
            until he is named here.",
    settings: &[
        &TRUSTED,
        &SHARED,
        &BOTS,
        &ADDRESS_FIELD,
        &PROXY_PROTOCOL,
        &REQUIRE,
        &REQUIRE_EXCEPT,
        &REQUIRE_CERTIFICATE,
    ],
};

static TRUSTED: Setting<Shaped> = Setting {
    name: "trusted",
    form: Shaped { what: "an address or a network in quotes or a list of them", inside: None },
    default: Fallback::Absent("nobody"),
    about: "Addresses of what stands in front. What they say counts: the visitor's address is the last one in \
            `X-Forwarded-For` that is not itself named here, and endpoints hear their `X-Forwarded-Proto`. From all others \
            such fields are replaced. Name only what nobody else can connect from.",
    example: "[\"10.0.0.5\", \"173.245.48.0/20\"]",
};

static SHARED: Setting<Shaped> = Setting {
    name: "shared",
    form: Shaped { what: "an address or a network in quotes or a list of them", inside: None },
    default: Fallback::Absent(
        "`[\"100.64.0.0/10\"]`, the addresses of carriers' NATs (RFC 6598); those who are `trusted` are never counted",
    ),
    about: "Networks of which each address is many visitors': a carrier's NAT, an office, a school. Rates and connections are not \
            counted by these addresses; rates by cookie or field still hold. What is written here takes the place of the default.",
    example: "[\"100.64.0.0/10\", \"203.0.113.7\"]",
};

static BOTS: Setting<Word<Bots>> = Setting {
    name: "bots",
    form: Word {
        words: &[
            ("allow", Bots::Allow, "They are visitors as all others."),
            ("limit", Bots::Limit, "60 requests a minute from one address, 20 of them at once."),
            ("deny", Bots::Deny, "They get a 403."),
        ],
    },
    default: Fallback::Value(|| Bots::Allow),
    about: "What is done with programs that say in `User-Agent` that they are no browser, or say nothing; asked behind all \
            filters. Search engines and previews of links are let through by their names, which anybody can use.",
    example: "\"limit\"",
};

static ADDRESS_FIELD: Setting<Text> = Setting {
    name: "address_field",
    form: Text { what: "the name of a field in quotes" },
    default: Fallback::Absent("`X-Forwarded-For`"),
    about: "The one field in which they name the visitor's address, where that is another: `CF-Connecting-IP`, \
            `Fastly-Client-IP`, `True-Client-IP`, `X-Real-IP`; or `Forwarded` (RFC 7239), which then says https too. It must be one that they set on each request, whatever the \
            visitor sent.",
    example: "\"CF-Connecting-IP\"",
};

static PROXY_PROTOCOL: Setting<Switch> = Setting {
    name: "proxy_protocol",
    form: Switch,
    default: Fallback::Value(|| false),
    about: "Those who are trusted begin each connection with the PROXY protocol (version 1 or 2: HAProxy's `send-proxy` and \
            `send-proxy-v2`, balancers of clouds that pass TCP on). Then they must: a connection of theirs without it gets \
            a 400. From others it is an error. Where the visitor that it names is trusted himself, his fields count too.",
    example: "true",
};

static REQUIRE: Setting<Shaped> = Setting {
    name: "require",
    form: Shaped { what: "a table of fields, each with where its value is", inside: None },
    default: Fallback::Absent("nothing"),
    about: "Fields that each request must bring, with these values: a content network adds them, so that nobody gets in \
            past it. Others get a 403. Endpoints do not get them. Values are read when the edge starts, from an environment \
            variable or a file; without one nobody is let in.",
    example: "{ X-Edge-Key = \"env:EDGE_KEY\" }",
};

static REQUIRE_EXCEPT: Setting<Shaped> = Setting {
    name: "require_except",
    form: Shaped { what: "a path in quotes or a list of them", inside: None },
    default: Fallback::Absent("no path"),
    about: "Paths that anybody may ask for without `require`, and in the clear without `require_certificate`, with GET and HEAD: that of the health check of a balancer that \
            cannot send fields. Exactly these paths, with any query. What they answer should tell nothing.",
    example: "[\"/healthz\"]",
};

/// Paths that need no required field.
const OPEN_PATHS_MAX: usize = 16;

static REQUIRE_CERTIFICATE: Setting<Text> = Setting {
    name: "require_certificate",
    form: Text { what: "a file's path in quotes" },
    default: Fallback::Absent("nothing"),
    about: "Authorities in a PEM file: who has no certificate of one of them gets no connection by https, and a 403 in the \
            clear. For a content network that shows one (Cloudflare's authenticated origin pulls), so that nobody gets in \
            past it. Needs `[tls]`. A changed file is taken within a minute.",
    example: "\"/etc/tentpole/origin-pull-ca.pem\"",
};

/// Bytes of a field's name at most.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// `[visitors]` as typed.
#[derive(Default)]
pub(crate) struct Typed {
    pub(crate) front: Front,
    pub(crate) require_certificate: Option<At<PathBuf>>,
    pub(crate) bots: Option<Bots>,
}

/// Reads `[visitors]`.
pub(crate) fn read(table: &Table<'_>) -> Typed {
    let when_empty = "name what stands in front of Tentpole, or leave it out.";
    let trusted = networks(table, &TRUSTED, when_empty, |typed| Problem::TrustAll { typed });
    let (field, protocol) = (table.raw(&ADDRESS_FIELD), table.raw(&PROXY_PROTOCOL));
    let proxy_protocol = table.value(&PROXY_PROTOCOL);
    for (name, value) in
        [(ADDRESS_FIELD.name, field), (PROXY_PROTOCOL.name, protocol.filter(|_| proxy_protocol))]
    {
        if let (None, Some(value)) = (table.raw(&TRUSTED), value) {
            table.tell(Problem::NobodyTrusted { name }, &Place::Bytes(value.span()));
        }
    }
    let address_field = table.optional(&ADDRESS_FIELD).and_then(|typed| match check_field(&typed.value) {
        Ok(()) => Some(typed.value),
        Err(why) => {
            table.tell(Problem::NotAnAddressField { typed: typed.value, why }, &typed.place);
            None
        }
    });
    let require = secret_fields(table, &REQUIRE);
    let require_except =
        names::read(table, &REQUIRE_EXCEPT, OPEN_PATHS_MAX, names::open_path).unwrap_or_default();
    let shared = networks(table, &SHARED, "name such networks, or leave it out.", |typed| {
        Problem::SharedAll { typed }
    });
    let shared = if table.raw(&SHARED).is_some() { shared } else { Front::default().shared };
    let front = Front { trusted, shared, address_field, proxy_protocol, require, require_except };
    let require_certificate = table.optional(&REQUIRE_CERTIFICATE).and_then(|typed| {
        let place = typed.place.clone();
        tls::path(&REQUIRE_CERTIFICATE, typed, table).map(|path| At::new(path, place))
    });
    Typed { front, require_certificate, bots: Some(table.value(&BOTS)) }
}

/// Fields that one table takes.
const SECRET_FIELDS_MAX: usize = 16;

/// Reads a table of fields and where their values are.
pub(crate) fn secret_fields(table: &Table<'_>, setting: &Setting<Shaped>) -> Vec<SecretField> {
    let Some(value) = table.raw(setting) else { return Vec::new() };
    let place = Place::Bytes(value.span());
    let DeValue::Table(entries) = value.get_ref() else {
        table.wrong_type(setting, value);
        return Vec::new();
    };
    if entries.len() > SECRET_FIELDS_MAX {
        let (count, most) = (entries.len(), SECRET_FIELDS_MAX);
        table.tell(Problem::TooMany { what: "fields", count, most }, &place);
    }
    let mut fields = Vec::new();
    for (key, value) in entries.iter().take(SECRET_FIELDS_MAX) {
        let name: &str = key.get_ref();
        if !is_field_name(name) || is_of_the_protocol(name) {
            let problem = Problem::NotASecretsField { name: setting.name, typed: name.to_owned() };
            table.tell(problem, &Place::Bytes(key.span()));
        }
        let DeValue::String(typed) = value.get_ref() else {
            table.no_text(setting, format!("{name:?} in `{}`", setting.name), value);
            continue;
        };
        match parse_secret(typed) {
            Some(secret) => fields.push(SecretField { name: name.to_owned(), value: secret }),
            None => {
                let problem = Problem::NotASecretsPlace { name: setting.name };
                table.tell(problem, &Place::Bytes(value.span()));
            }
        }
    }
    fields
}

/// Fields that mean something to HTTP or to the cache, so that no secret can stand in them.
pub(crate) fn is_of_the_protocol(name: &str) -> bool {
    const THEIRS: [&str; 20] = [
        "accept",
        "accept-encoding",
        "accept-language",
        "age",
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "pragma",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    ];
    let name = name.to_ascii_lowercase();
    let beginnings = ["if-", "proxy-", "x-forwarded-", "surrogate-"];
    THEIRS.contains(&name.as_str()) || beginnings.iter().any(|beginning| name.starts_with(beginning))
}

fn check_field(typed: &str) -> Result<(), &'static str> {
    if !is_field_name(typed) {
        return Err("a field's name is made of letters, digits and `-`");
    }
    match typed.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Err("that is read without being named: leave it out"),
        _ => Ok(()),
    }
}

/// Whether it is one that no parser reads in another way.
pub(crate) fn is_field_name(typed: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&typed.len())
        && typed.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_names_an_address_is_told_from_what_is_not_one() {
        for typed in ["CF-Connecting-IP", "x-real-ip", "Forwarded"] {
            assert_eq!(check_field(typed), Ok(()), "{typed}");
        }
        for typed in ["", "X-Forwarded-For", "X Real", "X-Real-IP:", &"a".repeat(65)] {
            assert!(check_field(typed).is_err(), "{typed}");
        }
    }
}
