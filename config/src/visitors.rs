//! `[visitors]`: who in front of Tentpole is believed in what he says of visitors.

use crate::forms::{Shaped, Switch, Text};
use crate::problem::Problem;
use crate::purge::networks;
use crate::report::Place;
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use tentpole_model::Front;

pub(crate) static SECTION: Section = Section {
    header: "[visitors]",
    also: None,
    about: "Who in front of Tentpole is believed in what he says of visitors: a content network, a balancer. Nobody is, \
            until he is named here.",
    settings: &[&TRUSTED, &ADDRESS_FIELD, &PROXY_PROTOCOL],
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

static ADDRESS_FIELD: Setting<Text> = Setting {
    name: "address_field",
    form: Text { what: "the name of a field in quotes" },
    default: Fallback::Absent("`X-Forwarded-For`"),
    about: "The one field in which they name the visitor's address, where that is another: `CF-Connecting-IP`, \
            `Fastly-Client-IP`, `True-Client-IP`, `X-Real-IP`. It must be one that they set on each request, whatever the \
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

/// Bytes of a field's name at most.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// Reads `[visitors]`.
pub(crate) fn read(table: &Table<'_>) -> Front {
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
    Front { trusted, address_field, proxy_protocol }
}

fn check_field(typed: &str) -> Result<(), &'static str> {
    if !is_field_name(typed) {
        return Err("a field's name is made of letters, digits and `-`");
    }
    match typed.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Err("that is read without being named: leave it out"),
        "forwarded" => Err("that one is not read; most proxies also send `X-Forwarded-For`"),
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
        for typed in ["CF-Connecting-IP", "x-real-ip"] {
            assert_eq!(check_field(typed), Ok(()), "{typed}");
        }
        for typed in ["", "X-Forwarded-For", "forwarded", "X Real", "X-Real-IP:", &"a".repeat(65)] {
            assert!(check_field(typed).is_err(), "{typed}");
        }
    }
}
