//! `cache.assets`: links of pages that lead to another host.

use crate::forms::{Shaped, Text};
use crate::names;
use crate::problem::Problem;
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use crate::words::Cure;
use tentpole_model::Assets;

pub(crate) static SECTION: Section = Section {
    header: "[cache.assets]",
    also: None,
    about: "Links of HTML pages that are rewritten so that pictures, styles and scripts are fetched from another host, on any \
            level: `assets = { host = \"https://assets.example\", paths = \"/static/*\" }`. Once for each page that is \
            stored. Endpoints are asked for pages that are not compressed.",
    settings: &[&HOST, &PATHS],
};

static HOST: Setting<Text> = Setting {
    name: "host",
    form: Text { what: "a URL in quotes: scheme and host" },
    default: Fallback::Absent("none; it is needed with `paths`"),
    about: "Where the links lead: scheme, host and, if it is not the usual one, port.",
    example: "\"https://assets.example\"",
};

static PATHS: Setting<Shaped> = Setting {
    name: "paths",
    form: Shaped { what: "a path in quotes or a list of them", inside: None },
    default: Fallback::Required,
    about: "Which links: paths of the page's own host. `/static/*` is everything below `/static/`; `[]` is none, for a route \
            whose site says more.",
    example: "[\"/static/*\", \"/wp-content/*\"]",
};

/// Paths in one list.
const PATHS_MAX: usize = 64;
/// Bytes of the host with its scheme, at most: each link grows by them.
const HOST_BYTES_MAX: usize = 200;

/// What a table says; the inner `None` is that no links are rewritten.
pub(crate) fn read(table: &Table<'_>) -> Option<Option<Assets>> {
    let host = table.optional(&HOST);
    if table.raw(&PATHS).is_none() {
        table.missing(&PATHS);
    }
    let paths = names::read(table, &PATHS, PATHS_MAX, names::asset_path)?;
    let host = match host {
        Some(typed) => match check_host(&typed.value) {
            Ok(host) => Some(host),
            Err(problem) => {
                table.tell(problem, &typed.place);
                None
            }
        },
        None => {
            if !paths.is_empty() && table.raw(&HOST).is_none() {
                table.missing(&HOST);
            }
            None
        }
    };
    Some(host.filter(|_| !paths.is_empty()).map(|host| Assets { host, paths }))
}

/// Scheme and authority, in lower case.
fn check_host(typed: &str) -> Result<String, Problem> {
    let refuse = |cure: String| Problem::NotAnAssetHost { typed: typed.to_owned(), cure: Cure::new(cure) };
    let Some((scheme, rest)) = typed.split_once("://") else {
        let host = typed.trim_start_matches('/');
        return Err(refuse(if host.is_empty() {
            String::new()
        } else {
            format!("Write \"https://{host}\".")
        }));
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err(refuse("Its paths are those of the site.".to_owned()));
    }
    let is_authority = !authority.is_empty()
        && typed.len() <= HOST_BYTES_MAX
        && authority.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(&*scheme, "http" | "https") || !is_authority {
        return Err(refuse(String::new()));
    }
    Ok(format!("{scheme}://{}", authority.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_host_means_nothing_to_html() {
        assert_eq!(check_host("https://Assets.Example/"), Ok("https://assets.example".to_owned()));
        assert_eq!(check_host("http://[::1]:8080"), Ok("http://[::1]:8080".to_owned()));
        for typed in [
            "",
            "//a",
            "a",
            "https://",
            "https://a/b",
            "https://a b",
            "https://a\"",
            "https://a)",
            "ftp://a",
            "https://a'",
        ] {
            assert!(check_host(typed).is_err(), "{typed}");
        }
    }
}
