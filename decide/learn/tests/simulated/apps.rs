//! Applications, each a function of what it is told. `marker-X` stands in what was made for X.

/// What an endpoint is told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub url: u64,
    pub now_ms: u64,
    pub address: Option<u64>,
    pub session: Option<u64>,
    pub header: Option<u64>,
    pub language: Option<&'static str>,
    pub agent: Option<&'static str>,
    /// Different on each fetch.
    pub once: u64,
}

/// What it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub body: String,
    pub sets_cookie: bool,
    pub speaks: bool,
    pub status: u16,
}

pub type App = fn(&Told) -> Said;

/// When pages that change their nature do so.
const LATER_MS: u64 = 60_000;

/// All of them: name, what it does, and whether most of it is the same for all without a cookie.
pub const APPS: &[(&str, App, bool)] = &[
    ("the same for all", same, true),
    ("another one each minute", each_minute, true),
    ("by language", by_language, true),
    ("by device", by_agent, true),
    ("for who is logged in", by_session, true),
    ("by address", by_address, false),
    ("by lot", by_lot, false),
    ("a token each fetch", token_each_fetch, false),
    ("a token each minute", token_each_minute, true),
    ("sets a cookie now and then", sets_cookies, false),
    ("alike for a while, then by session", later_by_session, true),
    ("alike for a while, then by address", later_by_address, false),
    ("alike for a while, then a token each fetch", later_token, false),
    ("alike for a while, then private", later_private, false),
    ("alike for a while, then sets a cookie", later_sets_cookies, false),
    ("by an unknown field", by_header, true),
    ("some pages by address, others not", mixed, false),
];

fn ok(body: String) -> Said {
    Said { body, status: 200, ..Said::default() }
}

fn page(told: &Told) -> String {
    format!("page {} ", told.url)
}

fn by(told: &Told, who: Option<u64>) -> Said {
    ok(page(told) + &who.map_or("for guests".to_owned(), |who| format!("marker-{who}")))
}

fn same(told: &Told) -> Said {
    ok(page(told))
}

fn each_minute(told: &Told) -> Said {
    ok(page(told) + &format!("of minute {}", told.now_ms / 60_000))
}

fn token_each_minute(told: &Told) -> Said {
    ok(page(told) + &format!("token {}", (told.now_ms / 60_000).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

fn by_language(told: &Told) -> Said {
    ok(page(told) + told.language.unwrap_or("en"))
}

fn by_agent(told: &Told) -> Said {
    ok(page(told) + if told.agent.is_some_and(|agent| agent.contains("Mobile")) { "small" } else { "large" })
}

fn by_session(told: &Told) -> Said {
    by(told, told.session)
}

fn by_address(told: &Told) -> Said {
    by(told, told.address)
}

fn by_header(told: &Told) -> Said {
    by(told, told.header)
}

fn by_lot(told: &Told) -> Said {
    ok(page(told) + if told.once.is_multiple_of(2) { "A" } else { "B" })
}

fn token_each_fetch(told: &Told) -> Said {
    ok(page(told) + &format!("once-{}", told.once))
}

fn sets_cookies(told: &Told) -> Said {
    Said { sets_cookie: told.once.is_multiple_of(5), ..same(told) }
}

fn later_by_session(told: &Told) -> Said {
    if told.now_ms < LATER_MS { same(told) } else { by_session(told) }
}

pub fn later_by_address(told: &Told) -> Said {
    if told.now_ms < LATER_MS { same(told) } else { by_address(told) }
}

fn later_token(told: &Told) -> Said {
    if told.now_ms < LATER_MS { same(told) } else { token_each_fetch(told) }
}

fn later_private(told: &Told) -> Said {
    Said { speaks: told.now_ms >= LATER_MS, ..later_by_address(told) }
}

fn later_sets_cookies(told: &Told) -> Said {
    Said { sets_cookie: told.now_ms >= LATER_MS, ..same(told) }
}

fn mixed(told: &Told) -> Said {
    if told.url.is_multiple_of(2) { by_address(told) } else { same(told) }
}
