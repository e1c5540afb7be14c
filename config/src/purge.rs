//! `[purge]`: who may empty the cache over HTTP, on the visitors' port.

use crate::forms::{Shaped, Text, Word};
use crate::problem::Problem;
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use crate::words::Cure;
use std::net::IpAddr;
use std::path::PathBuf;
use tentpole_model::{Network, Purging, Secret};

pub(crate) static SECTION: Section = Section {
    header: "[purge]",
    also: None,
    about: "Who may empty the cache over HTTP on the visitors' port, as shops and cache plug-ins do: `PURGE`, `BAN` and \
            `PURGEKEYS`. Without this section nobody may, and such requests are refused. `tentpole cache purge` needs \
            none of this.",
    settings: &[&FROM, &SECRET, &TAGS],
};

static FROM: Setting<Shaped> = Setting {
    name: "from",
    form: Shaped { what: "an address or a network in quotes or a list of them", inside: None },
    default: Fallback::Absent("nobody"),
    about: "Addresses that may. Behind another proxy or a content network every visitor has its address, so never name \
            that one: use `secret`. A request that says it came through a proxy (`X-Forwarded-For`, `Forwarded`, `Via`) \
            is refused whatever its address; but not every proxy says so.",
    example: "[\"10.0.0.5\", \"10.1.0.0/16\"]",
};

static SECRET: Setting<Text> = Setting {
    name: "secret",
    form: Text { what: "where the secret is, in quotes: \"env:NAME\" or \"file:/path\"" },
    default: Fallback::Absent("none"),
    about: "Whoever sends it as `X-Purge-Key` (or `X-VC-Purge-Key`, as some plug-ins do) may, from any address. Read when \
            the edge starts.",
    example: "\"env:TENTPOLE_PURGE_KEY\"",
};

/// What becomes of tags on the way to visitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tags {
    Strip,
    Send,
}

static TAGS: Setting<Word<Tags>> = Setting {
    name: "tags",
    form: Word {
        words: &[
            ("strip", Tags::Strip, "Visitors do not get them."),
            ("send", Tags::Send, "They stay: a content network in front reads them, and takes them out."),
        ],
    },
    default: Fallback::Absent("`\"send\"` with a `[content_network]`, otherwise `\"strip\"`"),
    about: "What becomes of `Cache-Tag`, `Surrogate-Key`, `xkey`, `X-Magento-Tags` and `Surrogate-Control` of responses \
            once they were read.",
    example: "\"strip\"",
};

/// Networks that one list takes.
const NETWORKS_MAX: usize = 1_000;

/// `[purge]` as typed.
#[derive(Default)]
pub(crate) struct Typed {
    from: Vec<Network>,
    secret: Option<Secret>,
    tags: Option<Tags>,
}

impl Typed {
    /// What is meant, when there are this many content networks.
    pub(crate) fn meant(self, content_networks: usize) -> Purging {
        let tags = self.tags.unwrap_or(if content_networks > 0 { Tags::Send } else { Tags::Strip });
        Purging { from: self.from, secret: self.secret, sends_tags: tags == Tags::Send }
    }
}

/// Reads `[purge]`.
pub(crate) fn read(table: &Table<'_>) -> Typed {
    let cure = "name the addresses that may, or leave it out.";
    let from = networks(table, &FROM, cure, |typed| Problem::PurgeFromAll { typed });
    let tags = table.optional(&TAGS).map(|tags| tags.value);
    Typed { from, secret: secret(table, &SECRET), tags }
}

/// Reads a list of networks; `of_all` is what is told of one that is every address.
pub(crate) fn networks(
    table: &Table<'_>,
    setting: &Setting<Shaped>,
    when_empty: &'static str,
    of_all: fn(String) -> Problem,
) -> Vec<Network> {
    listed(table, setting, when_empty, Some(of_all))
}

/// Reads a list of networks, of which one may be every address.
pub(crate) fn any_networks(
    table: &Table<'_>,
    setting: &Setting<Shaped>,
    when_empty: &'static str,
) -> Vec<Network> {
    listed(table, setting, when_empty, None)
}

fn listed(
    table: &Table<'_>,
    setting: &Setting<Shaped>,
    when_empty: &'static str,
    of_all: Option<fn(String) -> Problem>,
) -> Vec<Network> {
    let typed = table.texts(setting, NETWORKS_MAX, "networks", Some(when_empty)).unwrap_or_default();
    let mut networks = Vec::new();
    for At { value, place } in typed {
        match network(&value) {
            Ok(network) => {
                if network.bits == 0
                    && let Some(of_all) = of_all
                {
                    table.tell(of_all(value), &place);
                }
                networks.push(network);
            }
            Err(problem) => table.tell(problem, &place),
        }
    }
    networks
}

/// `10.0.0.5`, `10.0.0.0/8`, `2001:db8::/32`.
fn network(typed: &str) -> Result<Network, Problem> {
    let refuse = |cure: String| Problem::NotANetwork { typed: typed.to_owned(), cure: Cure::new(cure) };
    let (address, bits) = match typed.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (typed, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        let named = address.bytes().any(|byte| byte.is_ascii_alphabetic()) && !address.contains(':');
        return Err(refuse(if named { "Names are not looked up here.".to_owned() } else { String::new() }));
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) => match bits.parse::<u8>() {
            Ok(bits) if bits <= most => bits,
            _ => return Err(refuse(format!("What follows the `/` is a number from 0 to {most}."))),
        },
    };
    Ok(Network { address, bits })
}

/// Reads where a secret is; tells when the secret itself seems to be written.
pub(crate) fn secret(table: &Table<'_>, setting: &Setting<Text>) -> Option<Secret> {
    let typed = table.optional(setting)?;
    match parse_secret(&typed.value) {
        Some(secret) => Some(secret),
        None => {
            table.tell(Problem::NotASecretsPlace { name: setting.name }, &typed.place);
            None
        }
    }
}

pub(crate) fn parse_secret(typed: &str) -> Option<Secret> {
    match typed.split_once(':')? {
        ("env", name) if is_variable(name) => Some(Secret::Variable(name.to_owned())),
        ("file", path) if !path.is_empty() && !path.contains('\0') => Some(Secret::File(PathBuf::from(path))),
        _ => None,
    }
}

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_told_from_what_is_neither() {
        let bits = |typed: &str| network(typed).map(|network| network.bits).ok();
        assert_eq!(bits("127.0.0.1"), Some(32));
        assert_eq!(bits("10.0.0.0/8"), Some(8));
        assert_eq!(bits("::1"), Some(128));
        assert_eq!(bits("2001:db8::/32"), Some(32));
        for typed in ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "10.0.0.1:80", "*", "::/129"] {
            assert_eq!(bits(typed), None, "{typed}");
        }
    }

    #[test]
    fn a_secret_is_named_and_not_written() {
        assert_eq!(parse_secret("env:KEY_1"), Some(Secret::Variable("KEY_1".into())));
        assert_eq!(parse_secret("file:/run/key"), Some(Secret::File("/run/key".into())));
        for typed in ["", "hunter2", "env:", "env:1A", "env:A B", "file:", "ENV:A", "vault:a"] {
            assert_eq!(parse_secret(typed), None, "{typed}");
        }
    }
}
