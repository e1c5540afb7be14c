//! `[pool.NAME.tls]`: TLS to endpoints. Names files and never reads them: `tentpole check` and the edge do.

use crate::address::is_name;
use crate::forms::{Shaped, Switch, Text};
use crate::problem::Problem;
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use crate::tls::{CERTIFICATE_SECTION, VERSION, certificate, path};
use std::net::IpAddr;
use tentpole_model::{Endpoint, EndpointTls, Scheme};

pub(crate) static SECTION: Section = Section {
    header: "[pool.NAME.tls]",
    also: None,
    about: "TLS to those of the pool's endpoints whose URL begins with `https://`. Without this table an endpoint is believed \
            when an authority that the system knows has signed its certificate, for the host of its URL.",
    settings: &[&AUTHORITY, &NAME, &VERIFY, &CERTIFICATE, &VERSION],
};

static AUTHORITY: Setting<Text> = Setting {
    name: "authority",
    form: Text { what: "a file's path in quotes" },
    default: Fallback::Absent("the system's: `SSL_CERT_FILE`, or what the distribution installs"),
    about: "A PEM file with the authorities whose signature counts, instead of the system's. A certificate that an endpoint \
            signed itself is its own authority. A changed file is read within a minute.",
    example: "\"/etc/tentpole/internal-ca.pem\"",
};

static NAME: Setting<Text> = Setting {
    name: "name",
    form: Text { what: "a host name or an IP address in quotes" },
    default: Fallback::Absent("the host of the endpoint's URL"),
    about: "The name that is asked for (SNI) and that the certificate must be for. Needed where URLs say addresses and \
            certificates say names.",
    example: "\"app.internal\"",
};

static VERIFY: Setting<Switch> = Setting {
    name: "verify",
    form: Switch,
    default: Fallback::Value(|| true),
    about: "`false` believes whoever answers: all that passes can then be read and changed on the way. For a trial on a \
            machine of your own.",
    example: "true",
};

static CERTIFICATE: Setting<Shaped> = Setting {
    name: "certificate",
    form: Shaped { what: "a table with a certificate and its key", inside: Some(&CERTIFICATE_SECTION) },
    default: Fallback::Absent("none"),
    about: "The certificate with its key, as under [[tls.certificate]], that Tentpole shows to endpoints that ask for one \
            (mutual TLS). Changed files are read within a minute.",
    example: "{ chain = \"/etc/tentpole/client.pem\", key = \"/etc/tentpole/client.key\" }",
};

/// Reads the table.
pub(crate) fn read(table: &Table<'_>, pool: &str, endpoints: &[Endpoint]) -> EndpointTls {
    if !endpoints.iter().any(|endpoint| endpoint.scheme == Scheme::Https) {
        table.tell(Problem::TlsUnused { pool: pool.to_owned() }, table.place());
    }
    let verify = table.value(&VERIFY);
    let authority = table.optional(&AUTHORITY);
    match &authority {
        _ if verify => {}
        Some(authority) => table.tell(Problem::AuthorityUnread {}, &authority.place),
        None => table.tell(Problem::TlsUnverified { pool: pool.to_owned() }, table.place()),
    }
    let name = table.optional(&NAME);
    if let Some(name) =
        name.as_ref().filter(|name| !is_name(&name.value) && name.value.parse::<IpAddr>().is_err())
    {
        table.tell(Problem::EndpointHost { host: name.value.clone() }, &name.place);
    }
    EndpointTls {
        authority: authority.and_then(|typed| path(&AUTHORITY, typed, table)),
        name: name.map(|name| name.value.to_ascii_lowercase()),
        verify,
        certificate: table.table(&CERTIFICATE).and_then(|inner| certificate(&inner)),
        version_min: table.value(&VERSION),
    }
}
