//! `[staff]`: who works here, and comes before all visitors.

use crate::forms::{Shaped, Text};
use crate::problem::Problem;
use crate::purge::{networks, secret};
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use crate::visitors::{is_field_name, is_of_the_protocol};
use tentpole_model::{SecretField, Staff};

pub(crate) static SECTION: Section = Section {
    header: "[staff]",
    also: None,
    about: "Who works here: they pass waiting rooms and filters, and are served before all visitors when the application is \
            at its limit. Nobody does, until he is named here.",
    settings: &[&FROM, &HEADER, &SECRET, &LOAD_KEY],
};

static FROM: Setting<Shaped> = Setting {
    name: "from",
    form: Shaped { what: "an address or a network in quotes or a list of them", inside: None },
    default: Fallback::Absent("nobody"),
    about: "Addresses that they come from. Behind another proxy or a content network every visitor has its address: name \
            that one in `visitors.trusted`, or use `secret`.",
    example: "[\"10.0.0.0/8\"]",
};

static HEADER: Setting<Text> = Setting {
    name: "header",
    form: Text { what: "the name of a field in quotes" },
    default: Fallback::Value(|| "X-Staff".to_owned()),
    about: "The field in which they send `secret`. Endpoints do not get it.",
    example: "\"X-Staff\"",
};

static SECRET: Setting<Text> = Setting {
    name: "secret",
    form: Text { what: "where the secret is, in quotes: \"env:NAME\" or \"file:/path\"" },
    default: Fallback::Absent("none"),
    about: "Whoever sends it in that field is believed, from any address. Read when the edge starts or reloads.",
    example: "\"env:TENTPOLE_STAFF\"",
};

static LOAD_KEY: Setting<Text> = Setting {
    name: "load_key",
    form: Text { what: "where the key is, in quotes: \"env:NAME\" or \"file:/path\"" },
    default: Fallback::Absent("none"),
    about: "Requests of `tentpole load --key` that are signed with the same key are marked in the access log and counted apart from \
            visitors', so that a load test ends when visitors suffer (`--stop-when`). Nothing is allowed by it. Read when the \
            edge starts or reloads.",
    example: "\"env:TENTPOLE_LOAD_KEY\"",
};

/// Reads `[staff]`.
pub(crate) fn read(table: &Table<'_>) -> Staff {
    let cure = "name the addresses of those who work here, or leave it out.";
    let from = networks(table, &FROM, cure, |typed| Problem::StaffFromAll { typed });
    let header = table.optional(&HEADER);
    if let Some(header) = &header {
        if !is_field_name(&header.value) || is_of_the_protocol(&header.value) {
            let problem = Problem::NotASecretsField { name: HEADER.name, typed: header.value.clone() };
            table.tell(problem, &header.place);
        }
        if table.raw(&SECRET).is_none() {
            table.missing(&SECRET);
        }
    }
    let name = header.map_or_else(|| HEADER.usual(), |header| header.value);
    let field = secret(table, &SECRET).map(|value| SecretField { name, value });
    Staff { from, field, load_key: secret(table, &LOAD_KEY) }
}
