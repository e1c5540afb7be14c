//! Zones: which one an endpoint or the edge is in, what they have to do with the choice, and how tiers help one another.

use crate::forms::{Quantity, Text, Word};
use crate::pool;
use crate::problem::Problem;
use crate::report::Problems;
use crate::setting::{Fallback, Setting};
use crate::table::{At, Table};
use tentpole_model::{OVERPROVISIONING_PERCENT, Zones};

pub(crate) static OWN: Setting<Text> = Setting {
    name: "zone",
    form: Text { what: "a zone's name, or \"env:NAME\"" },
    default: Fallback::Absent("none"),
    about: "The zone that this edge is in, for pools that prefer near endpoints (`zones`): a name that endpoints have as their \
            `zone`, or the environment variable that says it.",
    example: "\"eu-central-1a\"",
};

pub(crate) static OF_ENDPOINT: Setting<Text> = Setting {
    name: "zone",
    form: Text { what: "a zone's name" },
    default: Fallback::Absent("none"),
    about: "The zone that it is in: a data centre, a room, whatever fails as one. The console groups endpoints by it; \
            whether it counts in the choice says the pool's `zones`.",
    example: "\"eu-central-1a\"",
};

pub(crate) static ZONES: Setting<Word<Zones>> = Setting {
    name: "zones",
    form: Word {
        words: &[
            ("cross", Zones::Cross, "Zones play no part: load is spread over all endpoints alike."),
            (
                "near",
                Zones::Near,
                "Endpoints of the edge's own zone come first while they have no more to do than the others; what would be \
                 too much goes to the others before a queue forms.",
            ),
        ],
    },
    default: Fallback::Value(|| Zones::Cross),
    about: "What zones have to do with the choice of an endpoint.",
    example: "\"cross\"",
};

pub(crate) static OVERPROVISIONING: Setting<Quantity> = Setting {
    name: "overprovisioning",
    form: Quantity::new(1.0, 1_000.0),
    default: Fallback::Value(|| f64::from(OVERPROVISIONING_PERCENT) / 100.0),
    about: "How much more than its usual load a tier can carry. When it has lost more endpoints than that makes up for, the \
            next tier gets the part that is missing. 1000 leaves the next tier alone until all of the first are away.",
    example: "1.4",
};

/// Reads the zone that the edge is in.
pub(crate) fn own(table: &Table<'_>) -> Option<At<String>> {
    let typed = table.optional(&OWN)?;
    let Some(variable) = typed.value.strip_prefix("env:") else { return checked(table, &OWN, typed) };
    match std::env::var(variable) {
        Ok(value) => checked(table, &OWN, At::new(value.trim().to_owned(), typed.place)),
        Err(_) => {
            table.tell(Problem::ZoneVariable { variable: variable.to_owned() }, &typed.place);
            None
        }
    }
}

/// Reads the zone that an endpoint is in.
pub(crate) fn of_endpoint(table: &Table<'_>) -> Option<String> {
    let typed = table.optional(&OF_ENDPOINT)?;
    checked(table, &OF_ENDPOINT, typed).map(|zone| zone.value)
}

fn checked(table: &Table<'_>, setting: &Setting<Text>, typed: At<String>) -> Option<At<String>> {
    if is_zone(&typed.value) {
        return Some(typed);
    }
    table.tell(Problem::NotAZone { name: setting.name, typed: typed.value }, &typed.place);
    None
}

fn is_zone(typed: &str) -> bool {
    (1..=64).contains(&typed.len())
        && typed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Reads how much more than its usual load a tier can carry, in hundredths.
pub(crate) fn overprovisioning_percent(table: &Table<'_>) -> u32 {
    (table.value(&OVERPROVISIONING) * 100.0).round() as u32
}

/// Pools that prefer near endpoints need to know what is near.
pub(crate) fn check(own: Option<&At<String>>, pools: &[pool::Typed], problems: &Problems<'_>) {
    for typed in pools.iter().filter(|typed| typed.pool.zones == Zones::Near) {
        let name = typed.pool.name.clone();
        match own {
            None => problems.add(Problem::NearWhat { pool: name }, &typed.place),
            Some(own) => {
                let mut zones = typed.pool.endpoints.iter().filter_map(|endpoint| endpoint.zone.as_ref());
                if !zones.any(|zone| *zone == own.value) {
                    problems.add(Problem::NobodyNear { pool: name, zone: own.value.clone() }, &typed.place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_a_plain_name() {
        assert!(["a", "eu-central-1a", "rack_7", "fra.2"].into_iter().all(is_zone));
        for typed in ["", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert!(!is_zone(typed), "{typed}");
        }
    }
}
