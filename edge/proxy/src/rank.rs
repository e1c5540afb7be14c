//! A visitor's rank where not all can be served at once: who works here, and a small signed cookie by which somebody who was in a
//! checkout keeps his rank on all pages for a while. What a request shows by itself is `decide/admit`'s. The cookie names nobody
//! and no session: whoever copies one comes with the checkouts, as he would by asking for one.
//!
//! A value is 20 bytes in hexadecimal: until when it holds in seconds since 1970 (4), and the first half of an HMAC-SHA256 over
//! that (16; RFC 2104 section 5 allows half).

use crate::asked::Asked;
use crate::lock::Lock;
use crate::prepare::{Prepared, PreparedPool};
use crate::sticky::{OwnKey, hex, is_same, said, unhex};
use crate::visit::Visit;
use ring::hmac::{self, HMAC_SHA256};
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tentpole_admit::{Rank, Seen, recognise};
use tentpole_message::{Fields, Name, ResponseHead};
use tentpole_model::{Endpoint, Method, Pool, Priority, RouteId, Snapshot};

/// The cookie's name.
pub(crate) const COOKIE: &str = "tentpole_rank";
/// How long a visitor stays in a checkout after his last page of one: long enough to look for a card or confirm with a bank.
const LIFETIME: Duration = Duration::from_secs(600);
/// Cookies of our name that are looked at in one request: each costs a signature.
const COOKIES_MAX: usize = 4;
/// Bytes of a value before they are written in hexadecimal.
const VALUE_BYTES: usize = 20;

/// What ranks are told by, beside what a request shows.
#[derive(Debug)]
pub struct Ranks {
    /// `None` when the system gives no random numbers: then nobody keeps his rank.
    key: Option<hmac::Key>,
    /// What staff sends; `None` where nothing is agreed.
    staff: Option<Lock>,
}

impl Ranks {
    /// Of a Snapshot.
    pub(crate) fn new(snapshot: &Snapshot, own: &OwnKey) -> Self {
        let key = own.text().map(|text| hmac::Key::new(HMAC_SHA256, text.as_bytes()));
        let field = snapshot.staff.field.as_ref();
        let becomes = "nobody counts as staff by it";
        Self { key, staff: field.map(|field| Lock::read(std::slice::from_ref(field), becomes)) }
    }

    /// The field that endpoints do not get.
    pub(crate) fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.staff.iter().flat_map(Lock::names)
    }

    /// How long a cookie among these lines holds yet, in seconds; `None` when there is none that does.
    fn holds<'a>(&self, lines: impl Iterator<Item = &'a [u8]>, now: u64) -> Option<u64> {
        let key = self.key.as_ref()?;
        let pairs = lines.flat_map(|line| line.split(|&byte| byte == b';')).map(<[u8]>::trim_ascii);
        let values = pairs.filter_map(|pair| pair.strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"="));
        values.take(COOKIES_MAX).find_map(|value| {
            let bytes: [u8; VALUE_BYTES] = unhex(value)?;
            let (until, signature) = bytes.split_at(4);
            let until_s = until.iter().fold(0, |until, &byte| until << 8 | u64::from(byte));
            let left = until_s.checked_sub(now).filter(|&left| left > 0 && left <= LIFETIME.as_secs())?;
            is_same(&sign(key, until), signature).then_some(left)
        })
    }

    /// Adds the cookie to a response for one visitor, unless it is for all.
    fn write(&self, response: &mut ResponseHead, is_https: bool, now: u64) {
        let Some(key) = &self.key else { return };
        let said = said(&response.fields);
        let room = response.fields.len() + 2 <= Fields::COUNT_MAX;
        if !room || (said.for_all && !response.fields.has(Name::SetCookie)) {
            return;
        }
        let until = u32::try_from(now + LIFETIME.as_secs()).unwrap_or(u32::MAX).to_be_bytes();
        let mut bytes = [0; VALUE_BYTES];
        bytes[..4].copy_from_slice(&until);
        bytes[4..].copy_from_slice(&sign(key, &until));
        let secure = if is_https { "; Secure" } else { "" };
        let lifetime = LIFETIME.as_secs();
        let cookie =
            format!("{COOKIE}={}; Path=/; Max-Age={lifetime}; HttpOnly; SameSite=Lax{secure}", hex(&bytes));
        response.fields.push(b"Set-Cookie", cookie.as_bytes());
        if !said.for_one {
            response.fields.push(b"Cache-Control", b"private");
        }
    }
}

fn sign(key: &hmac::Key, until: &[u8]) -> [u8; 16] {
    let mut context = hmac::Context::with_key(key);
    context.update(b"tentpole rank\0");
    context.update(until);
    let mut half = [0; 16];
    half.copy_from_slice(&context.sign().as_ref()[..16]);
    half
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct Who<'a> {
    /// The fields of his request.
    pub fields: &'a Fields,
    /// What is believed of where he comes from.
    pub address: IpAddr,
    /// Who has connected.
    pub peer: IpAddr,
}

impl Who<'_> {
    /// Whether he works here ([`tentpole_model::Staff`]): by what he sends, or by where he comes from.
    pub(crate) fn is_staff(self, prepared: &Prepared) -> bool {
        if prepared.ranks.staff.as_ref().is_some_and(|lock| lock.opens(self.fields)) {
            return true;
        }
        let from = &prepared.snapshot.staff.from;
        !from.is_empty()
            && from.iter().any(|network| network.contains(self.address))
            && self.is_his_own_address()
    }

    /// Whether the address is the asker's own. Where it is that of the connection and fields speak of another, it is a proxy's
    /// that nobody named, and says nothing.
    fn is_his_own_address(self) -> bool {
        let mut speaks_for_another = [Name::XForwardedFor, Name::Forwarded, Name::Via].into_iter();
        self.address != self.peer || !speaks_for_another.any(|name| self.fields.has(name))
    }
}

/// What a request for this path of this route is worth.
pub(crate) fn of(prepared: &Prepared, route: RouteId, target: &[u8], who: Who<'_>, asked: &Asked) -> Rank {
    let route = prepared.route(route);
    let pool = &prepared.snapshot.pools[usize::from(route.pool.0)];
    let Who { fields, address, peer } = who;
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    let is_probe = || {
        let asks = matches!(asked.method, Method::Get | Method::Head)
            && pool.health.as_ref().is_some_and(|health| health.path.as_bytes() == path);
        let near = address == peer && (peer.is_loopback() || prepared.snapshot.front.trusts(peer));
        asks && near && who.is_his_own_address()
    };
    let was_in_checkout =
        fields.has(Name::Cookie) && prepared.ranks.holds(fields.all(Name::Cookie), asked.now).is_some();
    recognise(&Seen {
        method: asked.method,
        path,
        user_agent: fields.get(Name::UserAgent).unwrap_or_default(),
        is_known: asked.facts.cookie || asked.facts.authorization,
        is_staff: who.is_staff(prepared),
        is_probe: is_probe(),
        was_in_checkout,
        route: route.priority,
    })
}

/// Whether anybody could have to wait for the pool's endpoints.
pub(crate) fn has_limits(pool: &Pool) -> bool {
    let has_limit = |endpoint: &Endpoint| endpoint.requests_max.or(endpoint.connections_max).is_some();
    pool.adaptive.is_some() || pool.endpoints.iter().any(has_limit)
}

/// Whether one of its endpoints has a limit now that nobody has set.
fn guards(pool: &PreparedPool) -> bool {
    pool.cells.iter().any(|cell| cell.limit.load(Relaxed) > 0)
}

impl Visit<'_> {
    /// What the request is worth, once its route is known.
    pub(crate) fn find_rank(&self, prepared: &Prepared, asked: &Asked) -> Rank {
        let Some(route) = self.why.route else { return self.rank };
        of(prepared, route, &self.scratch.target, self.who(), asked)
    }

    /// Who asks.
    pub(crate) fn who(&self) -> Who<'_> {
        Who {
            fields: &self.scratch.request.fields,
            address: self.came.address,
            peer: self.visitor.source.ip(),
        }
    }

    /// A visitor whom an endpoint has just served in a checkout keeps that rank for a while. Only ever in a response for him
    /// alone, and only where somebody may have to wait.
    pub(crate) fn keep_rank(&mut self, prepared: &Prepared, pool: usize, asked: &Asked) {
        let served = matches!(self.scratch.response.status, 200..=399);
        let has_limits = || has_limits(&prepared.snapshot.pools[pool]) || guards(&prepared.pools[pool]);
        if !self.rank.enters_checkout || !served || !has_limits() {
            return;
        }
        let lines = self.scratch.request.fields.all(Name::Cookie);
        let holds = prepared.ranks.holds(lines, asked.now);
        if holds.is_none_or(|left| left < LIFETIME.as_secs() / 2) {
            prepared.ranks.write(&mut self.scratch.response, asked.https, asked.now);
        }
    }
}

/// A visitor about whom nothing is known yet.
pub(crate) const UNKNOWN: Rank = Rank { priority: Priority::Normal, enters_checkout: false };

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::{Network, Staff};

    fn ranks() -> Ranks {
        Ranks::new(&Snapshot::default(), &OwnKey::new(None))
    }

    fn cookie_of(response: &ResponseHead) -> Vec<u8> {
        let line = response.fields.get(Name::SetCookie).expect("a cookie was set");
        line.split(|&byte| byte == b';').next().unwrap_or_default().to_vec()
    }

    #[test]
    fn a_cookie_holds_for_its_time_and_none_other_does() {
        let (ranks, mut response) = (ranks(), ResponseHead::new());
        ranks.write(&mut response, true, 1_000);
        let cookie = cookie_of(&response);
        let holds = |line: &[u8], now| ranks.holds(std::iter::once(line), now);
        assert_eq!(holds(&cookie, 1_000), Some(600));
        assert_eq!(holds(&[b"a=b; ", &cookie[..]].concat(), 1_599), Some(1));
        assert_eq!((holds(&cookie, 1_600), holds(&cookie, 900)), (None, None));
        for at in COOKIE.len() + 1..cookie.len() {
            let mut forged = cookie.clone();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(holds(&forged, 1_000), None);
        }
        let other = Ranks::new(&Snapshot::default(), &OwnKey::new(None));
        assert_eq!(other.holds(std::iter::once(&cookie[..]), 1_000), None, "another's key");
    }

    #[test]
    fn what_is_for_all_gets_no_cookie_and_what_gets_one_is_for_one() {
        let (ranks, mut shared) = (ranks(), ResponseHead::new());
        shared.fields.push(b"Cache-Control", b"max-age=60");
        ranks.write(&mut shared, false, 1_000);
        assert!(!shared.fields.has(Name::SetCookie));
        let mut own = ResponseHead::new();
        ranks.write(&mut own, false, 1_000);
        assert_eq!(own.fields.get(Name::CacheControl), Some(b"private".as_slice()));
    }

    #[test]
    fn an_address_is_believed_only_of_who_asks_himself() {
        let staff = Staff {
            from: vec![Network { address: "10.0.0.0".parse().unwrap(), bits: 8 }],
            field: None,
            load_key: None,
        };
        let snapshot = Snapshot { staff, ..Snapshot::default() };
        let staff = &snapshot.staff;
        let is = |address: &str, peer: &str, fields: &Fields| {
            let (address, peer) = (address.parse().unwrap(), peer.parse().unwrap());
            let who = Who { fields, address, peer };
            staff.from.iter().any(|network| network.contains(address)) && who.is_his_own_address()
        };
        let (plain, mut through) = (Fields::new(), Fields::new());
        through.push(b"X-Forwarded-For", b"203.0.113.9");
        assert!(is("10.1.2.3", "10.1.2.3", &plain));
        assert!(!is("10.1.2.3", "10.1.2.3", &through), "a proxy's that nobody named");
        assert!(is("10.1.2.3", "192.0.2.1", &through), "one that is believed has named him");
        assert!(!is("203.0.113.9", "10.1.2.3", &through));
    }
}
