//! `User-Agent`, reduced to a class of device by words that have stood in it for years. It is a guess: what pretends
//! to be something else is taken for that (an iPad's Safari says that it is a Mac).

/// What a visitor looks at a page with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// A phone.
    Phone,
    /// A tablet or a reader.
    Tablet,
    /// Everything else, also what does not say.
    Desktop,
    /// A crawler, or a program that says so.
    Robot,
}

/// What a word in a `User-Agent` speaks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Robot,
    /// What only looks like one: a make of phones.
    NoRobot,
    Tablet,
    Phone,
    /// A phone, if it also says `Mobile`.
    Android,
}

/// Words in lower case that begin with this letter, which is in lower case.
fn words(first: u8) -> &'static [(&'static str, Sign)] {
    use Sign::{Android, NoRobot, Phone, Robot, Tablet};
    match first {
        b'a' => &[("android", Android)],
        b'b' => &[("bot", Robot), ("blackberry", Phone)],
        b'c' => &[("crawl", Robot), ("curl/", Robot), ("cubot", NoRobot)],
        b'f' => &[("facebookexternalhit", Robot)],
        b'g' => &[("go-http", Robot)],
        b'h' => &[("headless", Robot)],
        b'i' => &[("ipad", Tablet), ("iphone", Phone), ("ipod", Phone)],
        b'k' => &[("kindle", Tablet)],
        b'l' => &[("lighthouse", Robot)],
        b'm' => &[("mobile", Phone)],
        b'o' => &[("opera mini", Phone)],
        b'p' => &[("playbook", Tablet), ("preview", Robot), ("python-", Robot)],
        b's' => &[("silk/", Tablet), ("slurp", Robot), ("spider", Robot)],
        b't' => &[("tablet", Tablet)],
        b'w' => &[("wget/", Robot), ("windows phone", Phone)],
        _ => &[],
    }
}

impl Device {
    /// By the request's `User-Agent`.
    pub fn of(user_agent: &[u8]) -> Self {
        let mut seen = 0_u8;
        for at in 0..user_agent.len() {
            for (word, sign) in words(user_agent[at].to_ascii_lowercase()) {
                let here = user_agent.get(at..at + word.len());
                if here.is_some_and(|here| here.eq_ignore_ascii_case(word.as_bytes())) {
                    seen |= 1 << *sign as u8;
                }
            }
        }
        let has = |sign: Sign| seen >> sign as u8 & 1 == 1;
        match () {
            () if has(Sign::Robot) && !has(Sign::NoRobot) => Self::Robot,
            () if has(Sign::Tablet) => Self::Tablet,
            () if has(Sign::Phone) => Self::Phone,
            () if has(Sign::Android) => Self::Tablet,
            () => Self::Desktop,
        }
    }

    /// As an endpoint is told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Tablet => "tablet",
            Self::Desktop => "desktop",
            Self::Robot => "robot",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_visitors_use_is_recognised() {
        for (agent, device) in [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
                Device::Phone,
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Mobile Safari/537.36",
                Device::Phone,
            ),
            ("Mozilla/5.0 (Android 15; Mobile; rv:139.0) Gecko/139.0 Firefox/139.0", Device::Phone),
            (
                "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
                Device::Phone,
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36",
                Device::Tablet,
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) Version/12.1 Mobile/15E148 Safari/604.1",
                Device::Tablet,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36",
                Device::Desktop,
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0", Device::Desktop),
            ("", Device::Desktop),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Device::Robot),
            (
                "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) Chrome/W.X.Y.Z Mobile Safari/537.36 (compatible; Googlebot/2.1)",
                Device::Robot,
            ),
            ("curl/8.14.1", Device::Robot),
        ] {
            assert_eq!(Device::of(agent.as_bytes()), device, "{agent}");
        }
    }
}
