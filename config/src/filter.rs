//! `[filter.NAME]`: who is let through, limited or refused before anything is done for him. And the rules that
//! `[visitors] bots` stands for.

use crate::forms::{Shaped, Span, Switch, Whole, Word};
use crate::host;
use crate::problem::Problem;
use crate::purge::any_networks;
use crate::report::Place;
use crate::setting::{Fallback, Form, Section, Setting};
use crate::table::Table;
use crate::visitors::is_field_name;
use std::time::Duration;
use tentpole_model::{Filter, FilterAction, FilterWhen, LimitBy, Puzzle, RateLimit};
use toml::de::DeValue;

pub(crate) static SECTION: Section = Section {
    header: "[filter.NAME]",
    also: None,
    about: "Who is let through, limited or refused before anything is done for him. Filters are asked in the order of the \
            file, and the first that decides has the last word. Each condition that is given must hold; of a list, one entry. \
            See docs/filters.md.",
    settings: &[
        &ACTION,
        &REPORT,
        &FROM,
        &NOT_FROM,
        &HOSTS,
        &PATHS,
        &METHODS,
        &USER_AGENTS,
        &NOT_USER_AGENTS,
        &HEADERS,
        &REQUESTS,
        &PER,
        &BURST,
        &BY,
        &IPV6_BITS,
        &DIFFICULTY,
        &LIFETIME,
    ],
};

/// What a filter does, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Allow,
    Deny,
    Limit,
    Challenge,
}

static ACTION: Setting<Word<Action>> = Setting {
    name: "action",
    form: Word {
        words: &[
            ("allow", Action::Allow, "They are let through; no filter behind it is asked."),
            ("deny", Action::Deny, "They get a 403."),
            (
                "limit",
                Action::Limit,
                "What is above the rate of `requests` gets a 429 that says when to come again.",
            ),
            (
                "challenge",
                Action::Challenge,
                "Their browser solves a puzzle once, which takes it a moment; what is no browser gets a 403.",
            ),
        ],
    },
    default: Fallback::Required,
    about: "What is done with those whom the filter is about.",
    example: "\"deny\"",
};

static REPORT: Setting<Switch> = Setting {
    name: "report",
    form: Switch,
    default: Fallback::Value(|| false),
    about: "Only counts and logs what it would do, and refuses nobody: for trying a filter with real visitors.",
    example: "true",
};

const NETWORKS: Shaped = Shaped { what: "an address or a network in quotes or a list of them", inside: None };
static FROM: Setting<Shaped> = Setting {
    name: "from",
    form: NETWORKS,
    default: Fallback::Absent("everywhere"),
    about: "The visitor's address is in one of these. Behind a content network or a balancer that `[visitors] trusted` names, \
            it is the one that they tell.",
    example: "[\"203.0.113.0/24\", \"2001:db8::/32\"]",
};
static NOT_FROM: Setting<Shaped> = Setting {
    name: "not_from",
    form: NETWORKS,
    default: Fallback::Absent("nowhere"),
    about: "The visitor's address is in none of these.",
    example: "[\"10.0.0.0/8\"]",
};

static HOSTS: Setting<Shaped> = Setting {
    name: "hosts",
    form: Shaped { what: "a host in quotes or a list of them", inside: None },
    default: Fallback::Absent("every host"),
    about: "The host that is asked for, as in `[site.NAME]`.",
    example: "[\"api.shop.example\"]",
};

static PATHS: Setting<Shaped> = Setting {
    name: "paths",
    form: Shaped { what: "a path in quotes or a list of them", inside: None },
    default: Fallback::Absent("every path"),
    about: "The path in canonical form, without its query: `/exact`, `/prefix/*` for a path and everything below it, `*.php` \
            for an ending.",
    example: "[\"/login\", \"/admin/*\"]",
};

static METHODS: Setting<Shaped> = Setting {
    name: "methods",
    form: Shaped { what: "a method in quotes or a list of them", inside: None },
    default: Fallback::Absent("every method"),
    about: "The method, in capital letters.",
    example: "[\"POST\"]",
};

const WORDS: Shaped = Shaped { what: "a word in quotes or a list of them", inside: None };
static USER_AGENTS: Setting<Shaped> = Setting {
    name: "user_agents",
    form: WORDS,
    default: Fallback::Absent("whatever it says"),
    about: "`User-Agent` holds one of these words, in whatever case. `\"\"` stands for none at all.",
    example: "[\"python-requests\", \"\"]",
};
static NOT_USER_AGENTS: Setting<Shaped> = Setting {
    name: "not_user_agents",
    form: WORDS,
    default: Fallback::Absent("no word"),
    about: "`User-Agent` holds none of these words. Anybody can write what he likes there.",
    example: "[\"Googlebot\"]",
};

static HEADERS: Setting<Shaped> = Setting {
    name: "headers",
    form: Shaped { what: "a table of fields, each with a word or a list of them", inside: None },
    default: Fallback::Absent("whatever they are"),
    about: "Each of these fields of the header is there and holds one of its words, in whatever case; with an empty list it \
            must only be there.",
    example: "{ X-Requested-With = \"XMLHttpRequest\" }",
};

static REQUESTS: Setting<Whole> = Setting {
    name: "requests",
    form: Whole::new(1, 10_000_000).below("To let nobody through: action = \"deny\"."),
    default: Fallback::Absent("none; needed with `\"limit\"`"),
    about: "How many requests may come in `per`.",
    example: "100",
};
static PER: Setting<Span> = Setting {
    name: "per",
    form: Span::new(Duration::from_secs(1), Duration::from_secs(24 * 3_600)),
    default: Fallback::Value(|| Duration::from_secs(60)),
    about: "The time for so many requests. They may come evenly spread over it, and `burst` of them at once.",
    example: "\"1m\"",
};
static BURST: Setting<Whole> = Setting {
    name: "burst",
    form: Whole::new(1, 10_000_000),
    default: Fallback::Absent("as many as `requests`"),
    about: "How many may come at once from somebody who was quiet before. A page and all that belongs to it come at once.",
    example: "20",
};
static BY: Setting<Shaped> = Setting {
    name: "by",
    form: Shaped {
        what: "\"address\", \"route\", \"host\", \"cookie:NAME\", \"header:NAME\" or a list of them",
        inside: None,
    },
    default: Fallback::Absent("`\"address\"`"),
    about: "What is counted together: the address of the visitor, a cookie's or a field's value, the route, the host, or all of a \
            list alike. Who has no such cookie or field is counted by his address.",
    example: "[\"cookie:session\", \"route\"]",
};
static IPV6_BITS: Setting<Whole> = Setting {
    name: "ipv6_bits",
    form: Whole::new(32, 128),
    default: Fallback::Value(|| u64::from(IPV6)),
    about: "Addresses of IPv6 that begin with the same bits count as one: whoever has one usually has a whole /64.",
    example: "56",
};

static DIFFICULTY: Setting<Whole> = Setting {
    name: "difficulty",
    form: Whole::new(1, 20),
    default: Fallback::Value(|| 16),
    about: "How long the puzzle takes: each step more doubles it. A slow phone needs half a second at 16, and ten at 20.",
    example: "17",
};
static LIFETIME: Setting<Span> = Setting {
    name: "lifetime",
    form: Span::new(Duration::from_secs(60), Duration::from_secs(7 * 24 * 3_600)),
    default: Fallback::Value(|| Duration::from_secs(3_600)),
    about: "How long a solved puzzle holds.",
    example: "\"1h\"",
};

/// Entries that one list takes.
const ENTRIES_MAX: usize = 1_000;
/// Bytes of a word, a path or a name.
const BYTES_MAX: usize = 256;
const IPV6: u8 = 64;

/// Reads `[filter.NAME]`.
pub(crate) fn read(name: &str, table: &Table<'_>) -> Option<Filter> {
    let action = table.required(&ACTION);
    let when = FilterWhen {
        from: any_networks(table, &FROM, "name the addresses, or leave it out."),
        not_from: any_networks(table, &NOT_FROM, "name the addresses, or leave it out."),
        hosts: hosts(table),
        paths: entries(table, &PATHS, path),
        methods: entries(table, &METHODS, method),
        user_agents: entries(table, &USER_AGENTS, word),
        not_user_agents: entries(table, &NOT_USER_AGENTS, full_word),
        fields: fields(table),
    };
    let report = table.value(&REPORT);
    let requests = table.optional(&REQUESTS).map(|typed| typed.value);
    let (per, burst) = (table.value(&PER), table.optional(&BURST).map(|typed| typed.value));
    let by = entries(table, &BY, limit_by).iter().filter_map(|typed| by(typed)).collect::<Vec<_>>();
    let (ipv6_bits, bits, lifetime) =
        (table.value(&IPV6_BITS), table.value(&DIFFICULTY), table.value(&LIFETIME));
    let action = action?.value;
    if action != Action::Limit {
        let of_limit = [&REQUESTS as &dyn Described, &PER, &BURST, &BY, &IPV6_BITS];
        tell_of_idle(table, &of_limit, "limit");
    }
    if action != Action::Challenge {
        tell_of_idle(table, &[&DIFFICULTY, &LIFETIME], "challenge");
    }
    let conditions = [&FROM, &NOT_FROM, &HOSTS, &PATHS, &METHODS, &USER_AGENTS, &NOT_USER_AGENTS, &HEADERS];
    let is_for_all = conditions.iter().all(|condition| table.raw(condition).is_none());
    if is_for_all && matches!(action, Action::Allow | Action::Deny) && !report {
        table.tell(Problem::FilterForAll { name: name.to_owned() }, table.place());
    }
    let action = match action {
        Action::Allow => FilterAction::Allow,
        Action::Deny => FilterAction::Deny,
        Action::Challenge => FilterAction::Challenge(Puzzle { bits: bits as u8, lifetime }),
        Action::Limit => {
            if table.raw(&REQUESTS).is_none() {
                table.missing(&REQUESTS);
            }
            let requests = requests? as u32;
            let by = if by.is_empty() { vec![LimitBy::Address] } else { by };
            let burst = burst.map_or(requests, |burst| burst as u32);
            FilterAction::Limit(RateLimit { requests, per, burst, by, ipv6_bits: ipv6_bits as u8 })
        }
    };
    Some(Filter { name: name.to_owned(), report, when, action })
}

/// A setting of whatever form, as far as it is told of.
trait Described {
    fn place_in(&self, table: &Table<'_>) -> Option<Place>;
    fn name(&self) -> &'static str;
}

impl<F: Form> Described for Setting<F> {
    fn place_in(&self, table: &Table<'_>) -> Option<Place> {
        table.raw(self).map(|value| Place::Bytes(value.span()))
    }

    fn name(&self) -> &'static str {
        self.name
    }
}

/// Settings that mean nothing without another action.
fn tell_of_idle(table: &Table<'_>, settings: &[&dyn Described], action: &'static str) {
    for setting in settings {
        if let Some(place) = setting.place_in(table) {
            table.tell(Problem::FilterIdle { name: setting.name(), action }, &place);
        }
    }
}

fn hosts(table: &Table<'_>) -> Vec<tentpole_model::HostPattern> {
    let cure = "leave it out for every host.";
    let typed = table.texts(&HOSTS, ENTRIES_MAX, "hosts in a filter", Some(cure)).unwrap_or_default();
    let read = |typed: crate::table::At<String>| match host::pattern(&typed.value) {
        Ok(pattern) => Some(pattern),
        Err(problem) => {
            table.tell(problem, &typed.place);
            None
        }
    };
    typed.into_iter().filter_map(read).collect()
}

/// A list's entries, each of which passes the check; why one does not is told.
fn entries(
    table: &Table<'_>,
    setting: &Setting<Shaped>,
    check: fn(&str) -> Result<(), &'static str>,
) -> Vec<String> {
    let cure = "leave it out where it does not matter.";
    let typed = table.texts(setting, ENTRIES_MAX, "entries in a list", Some(cure)).unwrap_or_default();
    let mut entries = Vec::new();
    for entry in typed {
        match check(&entry.value) {
            Ok(()) => entries.push(entry.value),
            Err(why) => {
                let problem = Problem::FilterEntry { name: setting.name, typed: entry.value, why };
                table.tell(problem, &entry.place);
            }
        }
    }
    entries
}

fn path(typed: &str) -> Result<(), &'static str> {
    let (begins, middle) = match typed.strip_prefix('*') {
        Some(ending) => (!ending.is_empty(), ending),
        None => (typed.starts_with('/'), typed.strip_suffix("/*").unwrap_or(typed)),
    };
    if !begins {
        return Err("a path begins with `/`, an ending with `*`, as in \"*.php\"");
    }
    if middle.contains('*') {
        return Err("`*` stands at the beginning, or behind a `/` at the end");
    }
    if typed.contains(['?', '#']) || typed.len() > BYTES_MAX || typed.bytes().any(|byte| byte <= b' ') {
        return Err("a path has no query, no white space and at most 256 bytes");
    }
    Ok(())
}

fn method(typed: &str) -> Result<(), &'static str> {
    let is_method = (1..=32).contains(&typed.len())
        && typed.bytes().all(|byte| byte.is_ascii_uppercase() || b"-_".contains(&byte));
    if is_method { Ok(()) } else { Err("a method is written in capital letters, as in \"POST\"") }
}

fn word(typed: &str) -> Result<(), &'static str> {
    let is_plain =
        typed.len() <= BYTES_MAX && typed.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if is_plain { Ok(()) } else { Err("a word has at most 256 letters, digits, signs or spaces of ASCII") }
}

fn full_word(typed: &str) -> Result<(), &'static str> {
    if typed.is_empty() { Err("an empty word is in everything") } else { word(typed) }
}

fn limit_by(typed: &str) -> Result<(), &'static str> {
    by(typed).map(drop).ok_or("it is \"address\", \"route\", \"host\", \"cookie:NAME\" or \"header:NAME\"")
}

fn by(typed: &str) -> Option<LimitBy> {
    let is_cookie = |name: &str| {
        (1..=BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic() && !b";=,\"".contains(&byte))
    };
    Some(match typed.split_once(':') {
        None if typed == "address" => LimitBy::Address,
        None if typed == "route" => LimitBy::Route,
        None if typed == "host" => LimitBy::Host,
        Some(("cookie", name)) if is_cookie(name) => LimitBy::Cookie(name.to_owned()),
        Some(("header", name)) if is_field_name(name) => LimitBy::Field(name.to_owned()),
        _ => return None,
    })
}

fn fields(table: &Table<'_>) -> Vec<(String, Vec<String>)> {
    let Some(value) = table.raw(&HEADERS) else { return Vec::new() };
    let DeValue::Table(typed) = value.get_ref() else {
        table.wrong_type(&HEADERS, value);
        return Vec::new();
    };
    let mut fields = Vec::new();
    for (name, value) in typed.iter().take(ENTRIES_MAX) {
        let tell = |typed: &str, why, place| {
            let problem = Problem::FilterEntry { name: HEADERS.name, typed: typed.to_owned(), why };
            table.tell(problem, &Place::Bytes(place));
        };
        if !is_field_name(name.get_ref()) {
            tell(name.get_ref(), "a field's name is made of letters, digits and `-`", name.span());
        }
        let items = match value.get_ref() {
            DeValue::Array(items) => &items[..],
            _ => std::slice::from_ref(value),
        };
        let mut words = Vec::new();
        for item in items.iter().take(ENTRIES_MAX) {
            match item.get_ref() {
                DeValue::String(typed) => match full_word(typed) {
                    Ok(()) => words.push(typed.to_string()),
                    Err(why) => tell(typed, why, item.span()),
                },
                _ => table.no_text(&HEADERS, format!("{:?} in `headers`", name.get_ref()), item),
            }
        }
        fields.push((name.get_ref().to_string(), words));
    }
    fields
}

/// What is done with programs that say what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bots {
    Allow,
    Limit,
    Deny,
}

/// The filter that `[visitors] bots` stands for; no name in a file can be this one.
const BOTS: &str = "visitors.bots";

/// How programs and libraries call themselves that are no browser. Crawlers write where more is said of them.
const BOT_WORDS: [&str; 29] = [
    "",
    "+http",
    "bot/",
    "bot;",
    "bot)",
    "crawler",
    "spider",
    "scraper",
    "scrapy",
    "curl/",
    "wget/",
    "python",
    "aiohttp",
    "httpx/",
    "go-http-client",
    "java/",
    "apache-httpclient",
    "libwww-perl",
    "lwp::",
    "guzzlehttp",
    "node-fetch",
    "axios/",
    "undici",
    "ruby",
    "mechanize",
    "headlesschrome",
    "phantomjs",
    "httrack",
    "nikto",
];

/// Those that bring visitors: search engines, and previews of links in messages.
const WELCOME_BOTS: [&str; 16] = [
    "googlebot",
    "google-inspectiontool",
    "adsbot-google",
    "mediapartners-google",
    "storebot-google",
    "bingbot",
    "applebot",
    "duckduckbot",
    "yandexbot",
    "baiduspider",
    "facebookexternalhit",
    "twitterbot",
    "linkedinbot",
    "whatsapp",
    "telegrambot",
    "slackbot",
];

/// The filter for bots, behind all others.
pub(crate) fn of_bots(bots: Bots) -> Option<Filter> {
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let action = match bots {
        Bots::Allow => return None,
        Bots::Deny => FilterAction::Deny,
        Bots::Limit => FilterAction::Limit(RateLimit {
            requests: 60,
            per: Duration::from_secs(60),
            burst: 20,
            by: vec![LimitBy::Address],
            ipv6_bits: IPV6,
        }),
    };
    let when = FilterWhen {
        user_agents: owned(&BOT_WORDS),
        not_user_agents: owned(&WELCOME_BOTS),
        ..FilterWhen::default()
    };
    Some(Filter { name: BOTS.to_owned(), report: false, when, action })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_methods_and_what_is_counted_together_are_told_from_what_is_not_one() {
        for typed in ["/", "/*", "/a", "/a/*", "*.php", "*/x"] {
            assert_eq!(path(typed), Ok(()), "{typed}");
        }
        for typed in ["", "a", "*", "/a*", "/a/*/b", "/a?b", "/a b", "**"] {
            assert!(path(typed).is_err(), "{typed}");
        }
        assert!(method("POST").is_ok() && method("M-SEARCH").is_ok());
        assert!(method("post").is_err() && method("").is_err());
        assert_eq!(by("cookie:a"), Some(LimitBy::Cookie("a".into())));
        assert_eq!(by("header:X-Key"), Some(LimitBy::Field("X-Key".into())));
        for typed in ["", "ip", "cookie:", "cookie:a b", "header:", "header:a b", "address:"] {
            assert_eq!(by(typed), None, "{typed}");
        }
    }

    #[test]
    fn browsers_are_no_bots_and_search_engines_are_welcome() {
        let Some(Filter { when, .. }) = of_bots(Bots::Deny) else { panic!("a filter") };
        let is_about = |agent: &str| {
            let agent = agent.to_ascii_lowercase();
            let has = |words: &[String]| {
                words.iter().any(|word| if word.is_empty() { agent.is_empty() } else { agent.contains(word) })
            };
            has(&when.user_agents) && !has(&when.not_user_agents)
        };
        for bot in [
            "",
            "curl/8.5.0",
            "python-requests/2.31",
            "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
        ] {
            assert!(is_about(bot), "{bot}");
        }
        for other in [
            "Mozilla/5.0 (Linux; Android 10; CUBOT_X18) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36",
            "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "okhttp/4.12",
        ] {
            assert!(!is_about(other), "{other}");
        }
    }
}
