//! Requests and responses made of any bytes, and what must hold for each of them whatever their fields say. The
//! fuzz target `policy` runs it too. What is demanded is read off the bytes in plainer ways than the crate's own.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;
use tentpole_freshness::{
    Age, CacheControl, Control, ERROR_LIFETIME_MAX, Expires, RequestFacts, ResponseFacts, StoredFacts,
    Trouble, Use, may_store, parse_date,
};
use tentpole_model::{Caching, Method};

/// When the response arrives, in unix seconds: September 2026.
const NOW: u64 = 1_790_000_000;

/// A request with its response, as an input describes them: four bytes for what has no text (status, flags of the
/// request, flags of the route, delay), then lines that begin with one letter for their field.
pub struct Soup<'a> {
    status: u16,
    request: u8,
    route: u8,
    delay: u64,
    lines: Vec<(u8, &'a [u8])>,
}

impl<'a> Soup<'a> {
    pub fn of(input: &'a [u8]) -> Option<Self> {
        let (&[status, request, route, delay], lines) = input.split_first_chunk()?;
        let lines = lines.split(|&byte| byte == b'\n');
        let lines = lines.filter_map(|line| line.split_first().map(|(&letter, value)| (letter, value)));
        // The statuses that matter, twice; then all.
        let status = match STATUSES.get(usize::from(status)) {
            Some(&known) => known,
            None => 100 + u16::from(status) * 2 + u16::from(delay & 1),
        };
        Some(Self { status, request, route, delay: u64::from(delay), lines: lines.take(32).collect() })
    }

    fn all(&self, letter: u8) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.lines.iter().filter(move |line| line.0 == letter).map(|line| line.1)
    }

    fn first(&self, letter: u8) -> Option<&'a [u8]> {
        self.all(letter).next()
    }

    fn request(&self) -> RequestFacts {
        let flag = |bit: u8| self.request & 1 << bit != 0;
        RequestFacts {
            method: if flag(0) && flag(1) { Method::Head } else { Method::Get },
            authorization: flag(2),
            cookie: flag(3),
            range: flag(4),
            cache_control: CacheControl::parse(self.all(b'>')),
        }
    }

    fn response(&self) -> ResponseFacts {
        let Control { cache_control, present, targeted, surrogate } =
            Control::parse(self.all(b'd'), self.all(b's'), self.all(b'c'));
        let date = |letter| self.first(letter).and_then(|value| parse_date(value, NOW));
        ResponseFacts {
            status: self.status,
            cache_control,
            has_cache_control: present,
            targeted,
            surrogate,
            date: date(b't'),
            expires: Expires::parse(self.all(b'e'), NOW),
            age: Age::parse(self.all(b'a')),
            last_modified: date(b'l'),
            has_etag: self.first(b'g').is_some(),
            set_cookie: self.first(b'k').is_some(),
            vary_star: self
                .all(b'v')
                .any(|names| names.split(|&byte| byte == b',').any(|name| name.trim_ascii() == b"*")),
        }
    }

    fn caching(&self) -> Caching {
        let seconds = |bit: u8| Duration::from_secs(if self.route & 1 << bit != 0 { 30 } else { 0 });
        Caching {
            cookies_ignored: Vec::new(),
            negative: seconds(0),
            stale_while_revalidate: seconds(1),
            stale_if_error: seconds(2),
            despite_set_cookie: self.route & 8 != 0,
            ..Caching::default()
        }
    }

    /// Whether the response says this to us, where that is plain to see: in the only one of the three fields there is.
    fn plain_member(&self, name: &str) -> bool {
        // What stands in quotes is no directive, `?0` takes one back and `;` addresses one: leave such values to others.
        let plain = |value: &[u8]| !value.iter().any(|byte| b"\"?;".contains(byte));
        let says = |value: &[u8]| {
            let mut members = value.split(|&byte| byte == b',');
            plain(value) && members.any(|member| member.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        };
        match b"cds".map(|letter| self.first(letter).is_some()) {
            [true, false, false] => self.all(b'c').any(says),
            // In these one line can take back what another says.
            [false, true, false] => self.all(b'd').all(plain) && self.all(b'd').any(says),
            [false, false, true] => self.all(b's').all(plain) && self.all(b's').any(says),
            _ => false,
        }
    }

    /// Whether the word occurs anywhere in the response.
    fn mentions(&self, word: &str) -> bool {
        self.lines.iter().any(|(letter, value)| {
            b"cds".contains(letter)
                && value.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
        })
    }
}

const STATUSES: [u16; 24] = [
    200, 200, 200, 200, 204, 206, 299, 301, 302, 304, 308, 400, 401, 403, 404, 410, 429, 431, 451, 500, 501,
    502, 503, 599,
];

/// Decides about one input, and panics where a rule is broken.
pub fn judge(input: &[u8]) {
    let Some(soup) = Soup::of(input) else { return };
    let (request, response, caching) = (soup.request(), soup.response(), soup.caching());
    let Ok(stored) = may_store(&request, &response, &caching, NOW - soup.delay, NOW) else { return };
    assert_sharable(&soup, &request, &stored);
    for later in [0, 1, u64::from(stored.lifetime), u64::from(stored.lifetime) + 31, u64::from(u32::MAX) * 2]
    {
        assert_used_well(&soup, &request, &stored, NOW + later);
    }
}

/// What is stored may be given to others.
fn assert_sharable(soup: &Soup<'_>, request: &RequestFacts, stored: &StoredFacts) {
    assert_eq!(request.method, Method::Get);
    assert!(!request.cache_control.no_store);
    assert!(soup.first(b'k').is_none() || soup.route & 8 != 0 && !stored.heuristic, "it sets a cookie");
    assert!(!soup.plain_member("private") && !soup.plain_member("no-store"), "it is not for others");
    assert!(!soup.all(b'v').any(|names| names == b"*"), "it varies by everything");
    assert!(![206, 304, 401, 403, 407, 428, 429, 431, 511].contains(&soup.status), "{}", soup.status);
    assert!((200..600).contains(&soup.status), "{}", soup.status);
    let permitted = ["public", "must-revalidate", "s-maxage"].iter().any(|word| soup.mentions(word));
    assert!(!request.authorization || permitted, "nobody allowed to share what needed authorization");
    assert!(!request.cookie || !stored.heuristic, "a guess is not for somebody with a cookie");
    let passes = soup.status == 400 || soup.status == 599 || [500, 502, 503].contains(&soup.status);
    let fresh_for = stored.lifetime.saturating_sub(stored.initial_age);
    assert!(!passes || fresh_for <= ERROR_LIFETIME_MAX && !stored.validator, "an outage lasts in the cache");
}

/// It is served to nobody who must not get it as it is now.
fn assert_used_well(soup: &Soup<'_>, request: &RequestFacts, stored: &StoredFacts, now: u64) {
    let expired = stored.age(now) >= u64::from(stored.lifetime);
    for cookie in [false, true] {
        let request = RequestFacts { cookie, ..*request };
        let answer = stored.may_use(&request, now);
        let served = matches!(answer, Use::Fresh | Use::StaleAccepted);
        let stale =
            [Trouble::Error, Trouble::Silence].map(|trouble| stored.serves_on_error(trouble, &request, now));
        let stands_in = stale.contains(&true) || stored.serves_while_revalidating(&request, now);
        assert!(answer != Use::Fresh || !expired, "what is stale is not fresh");
        assert!(
            !(served || stands_in) || !(cookie && stored.heuristic),
            "a guess is not for somebody with a cookie"
        );
        assert!(!(served || stands_in) || !soup.plain_member("no-cache"), "it is to be asked for each time");
        let forbidden = soup.plain_member("must-revalidate") || soup.plain_member("proxy-revalidate");
        assert!(!stands_in || !forbidden, "it must not be served stale");
        assert!(answer != Use::StaleAccepted || !forbidden, "it must not be served stale");
    }
}
