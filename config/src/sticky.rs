//! `[pool.NAME.sticky]`: visitors come back to the endpoint that served them.

use crate::forms::{Span, Text};
use crate::problem::Problem;
use crate::purge;
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use std::time::Duration;
use tentpole_model::Sticky;

pub(crate) static SECTION: Section = Section {
    header: "[pool.NAME.sticky]",
    also: None,
    about: "Visitors come back to the endpoint that served them, by a signed cookie, as long as it takes requests. For \
            applications that keep sessions in their own memory; better is a store that they share.",
    settings: &[&COOKIE, &KEY, &LIFETIME],
};

static COOKIE: Setting<Text> = Setting {
    name: "cookie",
    form: Text { what: "a cookie's name in quotes" },
    default: Fallback::Required,
    about: "The cookie's name. It is part of no cache key, and no reason to keep a page from others.",
    example: "\"backend\"",
};

static KEY: Setting<Text> = Setting {
    name: "key",
    form: Text { what: "where it is, in quotes: \"env:NAME\" or \"file:/path\"" },
    default: Fallback::Absent("one that Tentpole makes and keeps in its state directory"),
    about: "What the cookie is signed with: at least 32 characters of chance. The same for several edges in front of the same \
            endpoints. Read when Tentpole starts or reloads.",
    example: "\"file:/run/secrets/sticky\"",
};

static LIFETIME: Setting<Span> = Setting {
    name: "lifetime",
    form: Span::new(Duration::from_secs(10), Duration::from_secs(30 * 24 * 3_600)),
    default: Fallback::Value(|| Duration::from_secs(3_600)),
    about: "How long a visitor may stay away and still come back to the same endpoint.",
    example: "\"1h\"",
};

/// Reads the table.
pub(crate) fn read(table: &Table<'_>) -> Option<Sticky> {
    let cookie = table.required(&COOKIE);
    let key = purge::secret(table, &KEY);
    let lifetime = table.value(&LIFETIME);
    let cookie = cookie?;
    if !is_cookie(&cookie.value) {
        table.tell(Problem::NotACookie { typed: cookie.value.clone() }, &cookie.place);
    }
    Some(Sticky { cookie: cookie.value, key, lifetime })
}

/// A token (RFC 6265 section 4.1.1) that needs nothing of the browser: `__Secure-` and `__Host-` would be dropped by it over
/// http.
fn is_cookie(typed: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    (1..=64).contains(&typed.len()) && typed.bytes().all(is_token) && !typed.starts_with("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookies_name_is_a_token() {
        assert!(["backend", "a", "SERVER-ID", "x.y"].into_iter().all(is_cookie));
        for typed in ["", "a b", "a=b", "a;", "__Host-a", "a*", &"a".repeat(65)] {
            assert!(!is_cookie(typed), "{typed}");
        }
    }
}
