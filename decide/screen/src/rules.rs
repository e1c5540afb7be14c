//! The filters, compiled, and what they say of one request: in written order, until one decides. Allocates nothing and
//! takes no lock when it is asked.

use crate::buckets::Rate;
use crate::networks::Networks;
use crate::words::Words;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tentpole_model::{
    Filter, FilterAction, FilterWhen, HostPattern, LimitBy, Network, Puzzle, RateLimit, RouteId,
};

/// All filters, ready to be asked.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Box<[Rule]>,
    /// Addresses that many share: they are not counted as one visitor.
    spared: Networks,
    secret: (u64, u64),
}

/// A request, as far as filters look at it.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The visitor's address, as far as those in front are believed.
    pub address: IpAddr,
    /// The method as written.
    pub method: &'a [u8],
    /// The host, with its port or without.
    pub host: &'a [u8],
    /// The path in canonical form, without a query.
    pub path: &'a [u8],
    /// Its route.
    pub route: Option<RouteId>,
    /// Its header.
    pub fields: &'a dyn Lines,
}

/// The fields of a request.
pub trait Lines {
    /// Whether a line of this name passes the test; lines are shown in order until one does.
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// What a request has used up, and whether it has solved a puzzle.
pub trait Judge {
    /// Takes one out of the bucket of this key.
    ///
    /// # Errors
    /// How long until there is one in it.
    fn take(&self, key: u64, rate: Rate) -> Result<(), Duration>;

    /// Whether the request brings a solution that holds.
    fn has_solved(&self, puzzle: Puzzle) -> bool;
}

/// What becomes of a request. The number is the filter's, in written order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No filter says anything against it.
    Pass,
    /// A filter lets it through.
    Allow(u16),
    /// A filter refuses it.
    Deny(u16),
    /// It is one too many for a filter; the next may come after this time.
    Limit(u16, Duration),
    /// A filter asks for the solution of a puzzle first.
    Challenge(u16, Puzzle),
}

/// What one filter said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub filter: u16,
    /// Its word.
    pub found: Found,
}

/// What a filter finds of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is not about it, because of this condition.
    Not(Condition),
    /// It lets it through.
    Allow,
    /// It refuses it.
    Deny,
    /// It is within the rate.
    Within,
    /// It is above the rate; the next may come after this time.
    Above(Duration),
    /// It is from an address that many share, which is not counted.
    Spared,
    /// The puzzle is solved.
    Solved,
    /// The puzzle is not solved.
    Unsolved,
}

/// A condition of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the setting of its name")]
pub enum Condition {
    Method,
    Paths,
    Hosts,
    From,
    NotFrom,
    UserAgent,
    NotUserAgent,
    Header,
}

#[derive(Debug)]
struct Rule {
    name: Box<str>,
    report: bool,
    methods: Box<[Box<[u8]>]>,
    paths: Box<[Path]>,
    hosts: Box<[HostPattern]>,
    from: Option<Networks>,
    not_from: Networks,
    user_agents: Option<Words>,
    not_user_agents: Option<Words>,
    fields: Box<[(Box<str>, Option<Words>)]>,
    act: Act,
}

#[derive(Debug)]
enum Act {
    Allow,
    Deny,
    Limit { rate: Rate, by: Box<[LimitBy]>, ipv6_bits: u8, by_address: bool },
    Challenge(Puzzle),
}

#[derive(Debug)]
enum Path {
    Is(Box<[u8]>),
    /// It or below it; without the slash at its end.
    Below(Box<[u8]>),
    Ends(Box<[u8]>),
}

impl Rules {
    /// Compiles filters. From addresses in `spared` nothing is counted by address: those of proxies that are believed, whose
    /// visitors are others, and of networks that many share. `secret` makes hashes that nobody outside can foresee.
    pub fn new(filters: &[Filter], spared: &[Network], secret: (u64, u64)) -> Self {
        Self { rules: filters.iter().map(rule).collect(), spared: Networks::new(spared), secret }
    }

    /// Whether there is nothing to ask.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The name of a filter; empty for a number that none has.
    pub fn name(&self, filter: u16) -> &str {
        self.rules.get(usize::from(filter)).map_or("", |rule| &rule.name)
    }

    /// Whether a filter only says what it would do.
    pub fn reports(&self, filter: u16) -> bool {
        self.rules.get(usize::from(filter)).is_some_and(|rule| rule.report)
    }

    /// What becomes of a request. Each filter that was asked is told to `each`, in order, until one has decided.
    pub fn screen(&self, facts: &Facts<'_>, judge: &impl Judge, mut each: impl FnMut(Step)) -> Verdict {
        for (rule, filter) in self.rules.iter().zip(0..) {
            let found = self.ask(rule, facts, judge);
            each(Step { filter, found });
            let verdict = match (found, &rule.act) {
                (Found::Allow, _) => Verdict::Allow(filter),
                (Found::Deny, _) => Verdict::Deny(filter),
                (Found::Above(wait), _) => Verdict::Limit(filter, wait),
                (Found::Unsolved, Act::Challenge(puzzle)) => Verdict::Challenge(filter, *puzzle),
                _ => continue,
            };
            if !rule.report {
                return verdict;
            }
        }
        Verdict::Pass
    }

    fn ask(&self, rule: &Rule, facts: &Facts<'_>, judge: &impl Judge) -> Found {
        if let Some(condition) = rule.fails(facts) {
            return Found::Not(condition);
        }
        match &rule.act {
            Act::Allow => Found::Allow,
            Act::Deny => Found::Deny,
            Act::Limit { by_address, .. } if *by_address && self.spared.contains(facts.address) => {
                Found::Spared
            }
            Act::Limit { rate, by, ipv6_bits, .. } => {
                let Some(key) = self.key(rule, by, *ipv6_bits, facts) else { return Found::Spared };
                match judge.take(key, *rate) {
                    Ok(()) => Found::Within,
                    Err(wait) => Found::Above(wait),
                }
            }
            Act::Challenge(puzzle) if judge.has_solved(*puzzle) => Found::Solved,
            Act::Challenge(_) => Found::Unsolved,
        }
    }

    /// What requests count together, as a number; `None` when that would be a shared address. By the filter's name, so that
    /// a reload that moves filters about forgets nothing.
    fn key(&self, rule: &Rule, by: &[LimitBy], ipv6_bits: u8, facts: &Facts<'_>) -> Option<u64> {
        let mut hash = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        hash.write(rule.name.as_bytes());
        for part in by {
            hash.write_u8(0xff);
            let value_of = |hash: &mut SipHasher13, name: &str, pick: &dyn Fn(&[u8]) -> Option<&[u8]>| {
                facts.fields.any(name, &mut |line| {
                    let Some(value) = pick(line) else { return false };
                    hash.write_u8(1);
                    hash.write(value);
                    true
                })
            };
            let has = match part {
                LimitBy::Address => false,
                LimitBy::Cookie(name) => value_of(&mut hash, "cookie", &|line| cookie(line, name.as_bytes())),
                LimitBy::Field(name) => value_of(&mut hash, name, &|line| (!line.is_empty()).then_some(line)),
                LimitBy::Route => {
                    hash.write_u32(facts.route.map_or(u32::MAX, |route| route.0));
                    true
                }
                LimitBy::Host => {
                    without_port(facts.host).iter().for_each(|byte| hash.write_u8(byte.to_ascii_lowercase()));
                    true
                }
            };
            if !has {
                if self.spared.contains(facts.address) {
                    return None;
                }
                hash.write_u8(2);
                match client(facts.address, ipv6_bits) {
                    IpAddr::V4(address) => hash.write(&address.octets()),
                    IpAddr::V6(address) => hash.write(&address.octets()),
                }
            }
        }
        Some(hash.finish())
    }
}

impl Rule {
    /// The first condition that does not hold: the cheapest are asked first.
    fn fails(&self, facts: &Facts<'_>) -> Option<Condition> {
        if !self.methods.is_empty() && !self.methods.iter().any(|method| **method == *facts.method) {
            return Some(Condition::Method);
        }
        if !self.paths.is_empty() && !self.paths.iter().any(|path| path.takes(facts.path)) {
            return Some(Condition::Paths);
        }
        if !self.hosts.is_empty() && !self.hosts.iter().any(|host| takes_host(host, facts.host)) {
            return Some(Condition::Hosts);
        }
        if self.from.as_ref().is_some_and(|from| !from.contains(facts.address)) {
            return Some(Condition::From);
        }
        if self.not_from.contains(facts.address) {
            return Some(Condition::NotFrom);
        }
        if self.user_agents.as_ref().is_some_and(|words| !says(facts, "user-agent", words)) {
            return Some(Condition::UserAgent);
        }
        if self.not_user_agents.as_ref().is_some_and(|words| says(facts, "user-agent", words)) {
            return Some(Condition::NotUserAgent);
        }
        let has = |(name, words): &(Box<str>, Option<Words>)| match words {
            Some(words) => says(facts, name, words),
            None => facts.fields.any(name, &mut |_| true),
        };
        (!self.fields.iter().all(has)).then_some(Condition::Header)
    }
}

fn rule(filter: &Filter) -> Rule {
    let Filter { name, report, when, action } = filter;
    let FilterWhen { from, not_from, hosts, paths, methods, user_agents, not_user_agents, fields } = when;
    let words = |words: &[String]| (!words.is_empty()).then(|| Words::new(words.iter().map(String::as_str)));
    Rule {
        name: name.as_str().into(),
        report: *report,
        methods: methods.iter().map(|method| method.as_bytes().into()).collect(),
        paths: paths.iter().map(|path| Path::new(path)).collect(),
        hosts: hosts.as_slice().into(),
        from: (!from.is_empty()).then(|| Networks::new(from)),
        not_from: Networks::new(not_from),
        user_agents: words(user_agents),
        not_user_agents: words(not_user_agents),
        fields: fields.iter().map(|(name, all)| (name.as_str().into(), words(all))).collect(),
        act: match action {
            FilterAction::Allow => Act::Allow,
            FilterAction::Deny => Act::Deny,
            FilterAction::Limit(RateLimit { requests, per, burst, by, ipv6_bits }) => Act::Limit {
                rate: Rate::new(*requests, *per, *burst),
                by: by.as_slice().into(),
                ipv6_bits: *ipv6_bits,
                by_address: by.contains(&LimitBy::Address),
            },
            FilterAction::Challenge(puzzle) => Act::Challenge(*puzzle),
        },
    }
}

impl Path {
    fn new(written: &str) -> Self {
        if let Some(ending) = written.strip_prefix('*') {
            Self::Ends(ending.as_bytes().into())
        } else if let Some(above) = written.strip_suffix("/*") {
            Self::Below(above.as_bytes().into())
        } else {
            Self::Is(written.as_bytes().into())
        }
    }

    fn takes(&self, path: &[u8]) -> bool {
        match self {
            Self::Is(is) => **is == *path,
            Self::Below(above) => {
                path.strip_prefix(&**above).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
            }
            Self::Ends(ending) => path.ends_with(ending),
        }
    }
}

/// Whether a field says one of these words; one that is not there says nothing.
fn says(facts: &Facts<'_>, name: &str, words: &Words) -> bool {
    let mut is_there = false;
    let found = facts.fields.any(name, &mut |line| {
        is_there = true;
        words.are_in(line)
    });
    found || (!is_there && words.take_nothing())
}

fn takes_host(pattern: &HostPattern, host: &[u8]) -> bool {
    let host = without_port(host);
    match pattern {
        HostPattern::Exact(name) => name.as_bytes().eq_ignore_ascii_case(host),
        HostPattern::Below(name) => {
            host.len() > name.len() + 1 && {
                let (before, end) = host.split_at(host.len() - name.len());
                before.ends_with(b".") && end.eq_ignore_ascii_case(name.as_bytes())
            }
        }
    }
}

/// An IPv6 address has colons of its own, in brackets.
fn without_port(host: &[u8]) -> &[u8] {
    let behind = host.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    let colon = host[behind..].iter().position(|&byte| byte == b':');
    colon.map_or(host, |at| &host[..behind + at])
}

/// The value of the first cookie of this name in a line.
fn cookie<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut pairs = line.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"=")).filter(|value| !value.is_empty())
}

/// Whom an address stands for: that of IPv4 for one, those of IPv6 that begin with the same bits for one together, since
/// whoever has one usually has all of a /64 (RFC 6177).
pub fn client(address: IpAddr, ipv6_bits: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(ipv6_bits.min(128).into()).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & !host).into()
        }
    }
}
