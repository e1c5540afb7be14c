//! The cookies of one virtual user (RFC 6265): by host and path, deleted when told to. Keeps a bounded number; asks
//! no clock.

/// Cookies of one virtual user at most; the oldest makes room.
pub const COOKIES_MAX: usize = 50;
/// Bytes of one cookie at most (RFC 6265 section 6.1 asks for 4096); a larger one is not kept.
const COOKIE_BYTES_MAX: usize = 4_096;

/// What was set and not deleted.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    cookies: Vec<Cookie>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    host: String,
    /// Whether hosts under it get it too.
    under: bool,
    path: String,
    /// Unix seconds; `u64::MAX` lasts as long as the visit.
    until: u64,
    /// Sent only where nobody listens: to this machine, as browsers do.
    secure: bool,
}

impl Jar {
    /// Takes a `Set-Cookie` of a response from `host` for `target`, at this Unix second. What is not a cookie, or
    /// not for this host, is left.
    pub fn take(&mut self, set_cookie: &[u8], host: &str, target: &str, now: u64) {
        let Some(cookie) = parse(set_cookie, host, target, now) else { return };
        let same =
            |old: &Cookie| old.name == cookie.name && old.host == cookie.host && old.path == cookie.path;
        let place = self.cookies.iter().position(same);
        match (place, cookie.until > now) {
            (Some(place), true) => self.cookies[place] = cookie,
            (Some(place), false) => drop(self.cookies.remove(place)),
            (None, true) => {
                if self.cookies.len() == COOKIES_MAX {
                    self.cookies.remove(0);
                }
                self.cookies.push(cookie);
            }
            (None, false) => {}
        }
    }

    /// Appends the value of `Cookie` for a request to `host`, longest paths first; nothing when no cookie fits.
    /// `is_local` says whether the host is this machine, or asked over TLS.
    pub fn write(&self, out: &mut Vec<u8>, host: &str, target: &str, is_local: bool, now: u64) {
        let path = target.split('?').next().unwrap_or("/");
        let mut fitting: Vec<&Cookie> =
            self.cookies.iter().filter(|cookie| cookie.fits(host, path, is_local, now)).collect();
        // Stable: with equal paths the older comes first (RFC 6265 section 5.4).
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        for (number, cookie) in fitting.iter().enumerate() {
            if number > 0 {
                out.extend_from_slice(b"; ");
            }
            out.extend_from_slice(cookie.name.as_bytes());
            out.push(b'=');
            out.extend_from_slice(cookie.value.as_bytes());
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty()
    }

    /// Forgets all of them: another visitor.
    pub fn clear(&mut self) {
        self.cookies.clear();
    }
}

impl Cookie {
    fn fits(&self, host: &str, path: &str, is_local: bool, now: u64) -> bool {
        let its_host = host == self.host || (self.under && is_under(host, &self.host));
        its_host && self.until > now && path_fits(path, &self.path) && (is_local || !self.secure)
    }
}

/// RFC 6265 section 5.1.4.
fn path_fits(path: &str, of: &str) -> bool {
    path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || of.ends_with('/') || rest.starts_with('/'))
}

fn is_under(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
        && !host.ends_with(|c: char| c.is_ascii_digit())
}

fn parse(set_cookie: &[u8], host: &str, target: &str, now: u64) -> Option<Cookie> {
    if set_cookie.len() > COOKIE_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(set_cookie).ok()?;
    if text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return None;
    }
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let mut cookie = Cookie {
        name: name.trim().to_owned(),
        value: value.trim().to_owned(),
        host: host.to_owned(),
        under: false,
        path: path_of(target),
        until: u64::MAX,
        secure: false,
    };
    if cookie.name.is_empty() {
        return None;
    }
    let mut max_age_seen = false;
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (key.trim(), value.trim());
        if key.eq_ignore_ascii_case("max-age") {
            if let Ok(seconds) = value.parse::<i64>() {
                max_age_seen = true;
                cookie.until = u64::try_from(seconds).map_or(0, |seconds| now.saturating_add(seconds));
            }
        } else if key.eq_ignore_ascii_case("expires") && !max_age_seen {
            cookie.until = seconds_of(value).unwrap_or(cookie.until);
        } else if key.eq_ignore_ascii_case("path") {
            if value.starts_with('/') {
                cookie.path = value.to_owned();
            }
        } else if key.eq_ignore_ascii_case("secure") {
            cookie.secure = true;
        } else if key.eq_ignore_ascii_case("domain") {
            let domain = value.trim_start_matches('.').to_ascii_lowercase();
            if domain.is_empty() || domain == host {
                cookie.under = !domain.is_empty();
            } else if is_under(host, &domain) && domain.contains('.') {
                cookie.host = domain;
                cookie.under = true;
            } else {
                return None;
            }
        }
    }
    Some(cookie)
}

/// The path for which a cookie is, when it does not say (RFC 6265 section 5.1.4).
fn path_of(target: &str) -> String {
    let path = target.split('?').next().unwrap_or("/");
    match path.rfind('/') {
        Some(at) if at > 0 && path.starts_with('/') => path[..at].to_owned(),
        _ => "/".to_owned(),
    }
}

/// Unix seconds of a date in any of the forms that servers write (RFC 6265 section 5.1.1): whatever holds a day, a
/// month's name, a year and a time. `None` for what is no date.
fn seconds_of(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let (mut day, mut month, mut year, mut time) = (None, None, None, None);
    for token in date.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':')).filter(|t| !t.is_empty()) {
        let lower = token.to_ascii_lowercase();
        if time.is_none() && token.contains(':') {
            let parts: Vec<u64> = token.split(':').filter_map(|part| part.parse().ok()).collect();
            if let [h @ 0..24, m @ 0..60, s @ 0..61] = parts[..] {
                time = Some(h * 3_600 + m * 60 + s);
            }
        } else if let Ok(number) = token.parse::<i64>() {
            if day.is_none() && token.len() <= 2 {
                day = Some(number).filter(|day| (1..=31).contains(day));
            } else if year.is_none() {
                year = Some(match number {
                    0..=69 => number + 2_000,
                    70..=99 => number + 1_900,
                    number => number,
                });
            }
        } else if month.is_none() {
            month = lower.get(..3).and_then(|start| MONTHS.iter().position(|name| *name == start));
        }
    }
    let (year, month) = (year.filter(|year| (1_601..=9_999).contains(year))?, month? as i64 + 1);
    // Days from civil: Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day? - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let time = time?;
    // Before 1970 is long ago.
    Some(u64::try_from(days).map_or(0, |days| days * 86_400 + time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000;

    fn jar(set: &[&str]) -> Jar {
        let mut jar = Jar::default();
        for one in set {
            jar.take(one.as_bytes(), "shop.localhost", "/account/login?x", NOW);
        }
        jar
    }

    fn sent(jar: &Jar, host: &str, target: &str) -> String {
        let mut out = Vec::new();
        jar.write(&mut out, host, target, false, NOW);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn cookies_go_back_to_their_host_and_path() {
        let jar = jar(&["a=1; Path=/", "b=2", "c=3; Path=/account/login; HttpOnly"]);
        assert_eq!(sent(&jar, "shop.localhost", "/"), "a=1");
        assert_eq!(sent(&jar, "shop.localhost", "/account/x?y"), "b=2; a=1");
        assert_eq!(sent(&jar, "shop.localhost", "/account/login"), "c=3; b=2; a=1");
        assert_eq!(sent(&jar, "shop.localhost", "/accountant"), "a=1");
        assert_eq!(sent(&jar, "laden.localhost", "/account/x"), "");
    }

    #[test]
    fn a_cookie_for_a_domain_goes_to_hosts_under_it_and_never_elsewhere() {
        let mut jar = Jar::default();
        jar.take(b"a=1; Domain=.example.com; Path=/", "www.example.com", "/", NOW);
        jar.take(b"b=2; Domain=other.com; Path=/", "www.example.com", "/", NOW);
        jar.take(b"c=3; Domain=com; Path=/", "www.example.com", "/", NOW);
        assert_eq!(sent(&jar, "img.example.com", "/"), "a=1");
        assert_eq!(sent(&jar, "example.com", "/"), "a=1");
        assert_eq!(sent(&jar, "badexample.com", "/"), "");
        assert_eq!(sent(&jar, "other.com", "/"), "");
    }

    #[test]
    fn a_cookie_is_replaced_and_deleted() {
        let mut jar = jar(&["a=1; Path=/", "a=2; Path=/"]);
        assert_eq!(sent(&jar, "shop.localhost", "/"), "a=2");
        jar.take(b"a=; Path=/; Max-Age=0", "shop.localhost", "/", NOW);
        assert!(jar.is_empty());
        for gone in ["b=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "b=1; expires=Wed, 21-Oct-15 07:28:00 GMT"]
        {
            jar.take(b"b=1", "shop.localhost", "/", NOW);
            jar.take(gone.as_bytes(), "shop.localhost", "/", NOW);
            assert!(jar.is_empty(), "{gone}");
        }
        jar.take(b"c=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "shop.localhost", "/", NOW);
        assert!(!jar.is_empty(), "Max-Age comes before Expires");
        let mut out = Vec::new();
        jar.write(&mut out, "shop.localhost", "/", true, NOW + 10);
        assert!(out.is_empty(), "and ends it after its seconds");
    }

    #[test]
    fn a_secure_cookie_goes_to_this_machine_only() {
        let jar = jar(&["a=1; Path=/; Secure"]);
        assert_eq!(sent(&jar, "shop.localhost", "/"), "");
        let mut out = Vec::new();
        jar.write(&mut out, "shop.localhost", "/", true, NOW);
        assert_eq!(out, b"a=1");
    }

    #[test]
    fn dates_are_read_in_the_forms_that_servers_write() {
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(seconds_of(date), Some(784_111_777), "{date}");
        }
        assert_eq!(seconds_of("tomorrow"), None);
    }

    proptest! {
        #[test]
        fn whatever_is_set_the_jar_stays_bounded_and_sends_one_line(set in proptest::collection::vec("\\PC{0,40}", 0..200)) {
            let mut jar = Jar::default();
            for (number, one) in set.iter().enumerate() {
                jar.take(format!("n{number}={one}").as_bytes(), "a", "/", NOW);
                jar.take(one.as_bytes(), "a", "/", NOW);
            }
            prop_assert!(jar.cookies.len() <= COOKIES_MAX);
            let line = sent(&jar, "a", "/");
            prop_assert!(!line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t'));
        }
    }
}
