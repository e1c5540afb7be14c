//! Names in lists about caching: query parameters, cookies, languages, paths to purge. Pure parsing; what a name
//! matches, `decide/key` says.

use crate::forms::Shaped;
use crate::path;
use crate::problem::Problem;
use crate::setting::Setting;
use crate::table::Table;
use crate::words::Cure;
use tentpole_model::COOKIES_IGNORED;

/// Stands for the cookies that are ignored when nothing is said.
const DEFAULT: &str = "default";

/// The longest name, in bytes.
const BYTES_MAX: usize = 256;

/// Cookies by which the common frameworks know a visitor; in lower case, `*` at the end for any rest.
const OF_SESSIONS: &[&str] = &[
    "phpsessid",
    "jsessionid",
    "asp.net_sessionid",
    ".aspnetcore.*",
    "connect.sid",
    "sessionid",
    "session",
    "_session_id",
    "sid",
    "laravel_session",
    "ci_session",
    "csrftoken",
    "xsrf-token",
    "frontend",
    "wordpress_logged_in_*",
    "wp_woocommerce_session_*",
    "remember_*",
];

/// What is made of a name: itself as it is kept, and what is probably not meant by it.
pub(crate) type Named = Result<(String, Option<Problem>), Problem>;

/// Reads a setting's names, each once; `None` when it is left out.
pub(crate) fn read(
    table: &Table<'_>,
    setting: &Setting<Shaped>,
    most: usize,
    check: fn(&str) -> Named,
) -> Option<Vec<String>> {
    let what = match setting.name {
        "languages" => "languages",
        "purges" => "paths in `purges`",
        "paths" => "paths in `paths`",
        "require_except" => "paths in `require_except`",
        _ => "names in one list",
    };
    let mut names: Vec<String> = Vec::new();
    for typed in table.texts(setting, most, what, None)? {
        match check(&typed.value) {
            Ok((name, warning)) => {
                warning.into_iter().for_each(|warning| table.tell(warning, &typed.place));
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            Err(problem) => table.tell(problem, &typed.place),
        }
    }
    Some(names)
}

/// Puts the cookies that `"default"` stands for in its place.
pub(crate) fn with_defaults(names: Vec<String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        match name.as_str() {
            DEFAULT => all.extend(COOKIES_IGNORED.iter().map(|&name| name.to_owned())),
            _ => all.push(name),
        }
    }
    all
}

/// A query parameter: a name as an application reads it (percent-decoded), or a beginning that ends in `*`.
pub(crate) fn parameter(typed: &str) -> Named {
    let refuse = |why, cure: String| {
        Err(Problem::ParameterName { typed: shortened(typed), why, cure: Cure::new(cure) })
    };
    if typed.len() > BYTES_MAX {
        return refuse("it is longer than 256 bytes", String::new());
    }
    if let Some((name, _)) = typed.split_once('=') {
        return refuse("it has a value", format!("Write \"{name}\"; values do not matter."));
    }
    if typed.contains(['&', '?', '#']) {
        return refuse("it is more than one name", "Write each name by itself.".to_owned());
    }
    if star_inside(typed) {
        return refuse("`*` can only be at its end", "For all that begin alike: \"utm_*\".".to_owned());
    }
    Ok((typed.to_owned(), None))
}

/// A cookie that is ignored.
pub(crate) fn cookie_ignored(typed: &str) -> Named {
    if typed == "*" {
        let why = "it would ignore every cookie, those of sessions too";
        let cure = Cure::new("Name those that carry no identity; beginnings of names end in `*`: \"_ga*\".");
        return Err(Problem::CookieName { typed: typed.to_owned(), why, cure });
    }
    let name = cookie(typed, typed.strip_suffix('*').unwrap_or(typed))?;
    let warning = of_session(&name).then(|| Problem::SessionIgnored { name: name.clone() });
    Ok((name, warning))
}

/// A cookie whose value is part of the key.
pub(crate) fn cookie_keyed(typed: &str) -> Named {
    if typed.ends_with('*') {
        let cure = Cure::new("Name each cookie by itself.");
        return Err(Problem::CookieName {
            typed: shortened(typed),
            why: "a keyed cookie is named whole",
            cure,
        });
    }
    let name = cookie(typed, typed)?;
    let warning = of_session(&name).then(|| Problem::SessionKeyed { name: name.clone() });
    Ok((name, warning))
}

/// `bare` is the name without a `*` at its end (RFC 6265 section 4.1.1: a token).
fn cookie(typed: &str, bare: &str) -> Result<String, Problem> {
    let refuse =
        |why, cure: String| Err(Problem::CookieName { typed: shortened(typed), why, cure: Cure::new(cure) });
    if bare.is_empty() || bare.len() > BYTES_MAX {
        return refuse("a name has 1 to 256 characters", String::new());
    }
    if let Some((name, _)) = bare.split_once('=') {
        return refuse("it has a value", format!("Write \"{name}\"; values do not matter."));
    }
    if bare.contains('*') {
        return refuse("`*` can only be at its end", "For all that begin alike: \"_ga*\".".to_owned());
    }
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b);
    if !bare.bytes().all(token) {
        return refuse("no cookie has such a name", "Names have neither spaces nor `;` nor `,`.".to_owned());
    }
    Ok(typed.to_owned())
}

fn of_session(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let bare = name.strip_suffix('*').unwrap_or(&name);
    OF_SESSIONS.iter().any(|known| match known.strip_suffix('*') {
        Some(beginning) => bare.starts_with(beginning),
        None => bare == *known || (name.ends_with('*') && known.starts_with(bare)),
    })
}

/// A language tag (RFC 5646 section 2.1, its outer form).
pub(crate) fn language(typed: &str) -> Named {
    let subtag =
        |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let mut parts = typed.split('-');
    let first = parts.next().unwrap_or_default();
    let is_tag = (2..=8).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(subtag)
        && typed.len() <= 35;
    if is_tag {
        return Ok((typed.to_owned(), None));
    }
    let meant = typed.split(['.', ';']).next().unwrap_or_default().replace('_', "-");
    let cure = match language_like(&meant) && meant != typed {
        true => Cure::new(format!("Write \"{meant}\".")),
        false => Cure::none(),
    };
    Err(Problem::LanguageTag { typed: shortened(typed), cure })
}

fn language_like(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A path whose stored responses go, with a `*` at the end for all that begin like it.
pub(crate) fn purged_path(typed: &str) -> Named {
    path_of("purges", typed)
}

/// A path at which a file never changes.
pub(crate) fn immutable_path(typed: &str) -> Named {
    path_of("immutable", typed)
}

/// A path whose links lead to another host.
pub(crate) fn asset_path(typed: &str) -> Named {
    if typed == "/*" {
        let why = "it is every link, those to pages too";
        let cure = Cure::new("Name what is fetched from the other host: \"/static/*\".");
        return Err(Problem::PathInList { name: "paths", typed: typed.to_owned(), why, cure });
    }
    path_of("paths", typed)
}

fn path_of(name: &'static str, typed: &str) -> Named {
    let refuse = |why: &'static str, cure: &str| {
        Err(Problem::PathInList { name, typed: shortened(typed), why, cure: Cure::new(cure) })
    };
    if typed.contains(['{', '}']) {
        return refuse("names in braces do not stand here", "For everything below a path: \"/blog/*\".");
    }
    match path::pattern(typed, false) {
        Ok(path) => Ok((path, None)),
        Err(Problem::RoutePath { why: "routes do not look at the query", .. }) => {
            refuse("it has a query", "Leave it away: with the path goes every query.")
        }
        Err(Problem::RoutePath { why, cure, .. } | Problem::RouteUnreachable { why, cure, .. }) => {
            Err(Problem::PathInList { name, typed: shortened(typed), why, cure })
        }
        Err(other) => Err(other),
    }
}

/// A path that anybody may ask for; exactly one.
pub(crate) fn open_path(typed: &str) -> Named {
    let refuse =
        |why: &'static str, cure: Cure| Err(Problem::OpenPath { typed: shortened(typed), why, cure });
    if typed.contains(['{', '}', '*']) {
        return refuse("it names several", Cure::new("Write each path by itself: \"/healthz\"."));
    }
    match path::pattern(typed, false) {
        Ok(path) => Ok((path, None)),
        Err(Problem::RoutePath { why: "routes do not look at the query", .. }) => {
            refuse("it has a query", Cure::new("Leave it away: the path is let in with every query."))
        }
        Err(Problem::RoutePath { why, cure, .. } | Problem::RouteUnreachable { why, cure, .. }) => {
            refuse(why, cure)
        }
        Err(other) => Err(other),
    }
}

fn star_inside(typed: &str) -> bool {
    typed.strip_suffix('*').unwrap_or(typed).contains('*')
}

fn shortened(typed: &str) -> String {
    match typed.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &typed[..at]),
        None => typed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_sessions_are_known() {
        for name in
            ["PHPSESSID", "wordpress_logged_in_*", "wordpress_logged_in_ab12", "PHPSESS*", "XSRF-TOKEN"]
        {
            assert!(of_session(name), "{name}");
        }
        for name in ["_ga", "my_banner", "sidebar", "s", "consent*"] {
            assert!(!of_session(name), "{name}");
        }
    }

    #[test]
    fn what_is_ignored_by_default_is_no_session_and_a_name() {
        for name in COOKIES_IGNORED {
            assert!(matches!(cookie_ignored(name), Ok((_, None))), "{name}");
        }
    }

    #[test]
    fn languages_are_tags() {
        for tag in ["de", "en-GB", "zh-Hant-TW", "de-CH-1996"] {
            assert!(language(tag).is_ok(), "{tag}");
        }
        for tag in ["", "d", "de_DE", "de;q=1", "*", "deutschland", "de-", "ä"] {
            assert!(language(tag).is_err(), "{tag}");
        }
    }

    #[test]
    fn a_path_that_is_open_is_one_path() {
        assert_eq!(open_path("/healthz").unwrap().0, "/healthz");
        assert_eq!(open_path("/käse").unwrap().0, "/k%C3%A4se");
        for path in ["healthz", "/up?x", "/{a}", "/a/*", "/../x", "//x"] {
            assert!(matches!(open_path(path), Err(Problem::OpenPath { .. })), "{path}");
        }
    }

    #[test]
    fn a_path_to_purge_takes_its_canonical_form() {
        assert_eq!(purged_path("/käse/*").unwrap().0, "/k%C3%A4se/*");
        assert_eq!(purged_path("/").unwrap().0, "/");
        for path in ["blog", "/blog?x", "/{a}", "/a*", "/../x"] {
            assert!(matches!(purged_path(path), Err(Problem::PathInList { .. })), "{path}");
        }
    }
}
