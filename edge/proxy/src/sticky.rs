//! Visitors come back to the endpoint that served them, by a cookie that names it in signed form. Reads and writes that
//! cookie; which endpoint is asked decides `choose.rs`, what is stored `decide/freshness`. The cookie names an endpoint
//! and no visitor: whoever copies one comes to the same endpoint as any other visitor could by chance.
//!
//! A value is 28 bytes in hexadecimal: the endpoint's id (8), until when it holds in seconds since 1970 (4), and the
//! first half of an HMAC-SHA256 over both and the pool's name (16; RFC 2104 section 5 allows half). An id is itself
//! an HMAC of the endpoint's name: who has no key cannot read an address out of it.

use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use tentpole_message::{Fields, Name, ResponseHead};
use tentpole_model::Pool;
use tentpole_runtime::{notice, secret};

/// Bytes of a value before they are written in hexadecimal.
const VALUE_BYTES: usize = 28;
/// Cookies of our name that are looked at in one request: each costs a signature.
const COOKIES_MAX: usize = 4;
/// A key is at least this long, in characters.
const KEY_CHARACTERS_MIN: usize = 32;
/// How far the clocks of edges that share a key may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(60);
/// Our own key, in the state directory.
const KEY_FILE: &str = "sticky.key";

/// How visitors of one pool come back.
#[derive(Debug)]
pub(crate) struct Sticky {
    cookie: String,
    lifetime: Duration,
    key: hmac::Key,
    pool: String,
    /// Parallel to the pool's endpoints.
    ids: Vec<u64>,
}

/// What a visitor's cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stuck {
    /// The endpoint's id.
    pub(crate) endpoint: u64,
    /// It holds for less than half of the lifetime.
    pub(crate) is_old: bool,
}

impl Sticky {
    /// Of a pool that has it; `None` also when its key cannot be read, which is said.
    pub(crate) fn read(pool: &Pool, own: &OwnKey) -> Option<Self> {
        let settings = pool.sticky.as_ref()?;
        let text = match &settings.key {
            None => match own.text() {
                Some(text) => text.to_owned(),
                None => return refused(pool, "the system gives no random numbers"),
            },
            Some(key) => match secret::read(key) {
                Ok(text) if text.len() >= KEY_CHARACTERS_MIN => text,
                Ok(_) => return refused(pool, "its key is shorter than 32 characters"),
                Err(why) => return refused(pool, &why),
            },
        };
        let key = hmac::Key::new(HMAC_SHA256, text.as_bytes());
        let id = |name: &str| {
            let signed = hmac::sign(&key, format!("tentpole endpoint\0{}\0{name}", pool.name).as_bytes());
            signed.as_ref().iter().take(8).fold(0, |id, &byte| id << 8 | u64::from(byte))
        };
        let ids = pool.endpoints.iter().map(|endpoint| id(&endpoint.authority())).collect();
        Some(Self {
            cookie: settings.cookie.clone(),
            lifetime: settings.lifetime,
            key,
            pool: pool.name.clone(),
            ids,
        })
    }

    /// What the visitor's cookies say; `None` when none of them is ours, or none holds any more. `now` is in seconds since
    /// 1970.
    pub(crate) fn stuck<'a>(&self, lines: impl Iterator<Item = &'a [u8]>, now: u64) -> Option<Stuck> {
        let pairs = lines.flat_map(|line| line.split(|&byte| byte == b';')).map(<[u8]>::trim_ascii);
        let values = pairs.filter_map(|pair| pair.strip_prefix(self.cookie.as_bytes())?.strip_prefix(b"="));
        values.take(COOKIES_MAX).find_map(|value| self.understand(value, now))
    }

    /// The index of the endpoint with this id.
    pub(crate) fn place_of(&self, endpoint: u64) -> Option<usize> {
        self.ids.iter().position(|&id| id == endpoint)
    }

    /// Whether the visitor is told to come back to the endpoint that has just served him. Not when he knows; nor when his
    /// own is only full, and he shall come back to that.
    pub(crate) fn must_tell(
        &self,
        known: Option<Stuck>,
        served: usize,
        gets_traffic: impl Fn(usize) -> bool,
    ) -> bool {
        let Some(known) = known else { return true };
        match self.place_of(known.endpoint) {
            Some(own) if own == served => known.is_old,
            Some(own) => !gets_traffic(own),
            None => true,
        }
    }

    /// Adds the cookie for an endpoint to a response for one visitor. That response is for nobody else from then on, also not
    /// in caches in front of us; where it says that it is for all, it stays that, and has no cookie.
    pub(crate) fn write(&self, response: &mut ResponseHead, served: usize, is_https: bool, now: u64) {
        let said = said(&response.fields);
        let room = response.fields.len() + 2 <= Fields::COUNT_MAX;
        if !room || (said.for_all && !response.fields.has(Name::SetCookie)) {
            return;
        }
        let Some(&id) = self.ids.get(served) else { return };
        let lifetime = self.lifetime.as_secs();
        let value = self.value(id, now.saturating_add(lifetime));
        let secure = if is_https { "; Secure" } else { "" };
        let cookie =
            format!("{}={value}; Path=/; Max-Age={lifetime}; HttpOnly; SameSite=Lax{secure}", self.cookie);
        response.fields.push(b"Set-Cookie", cookie.as_bytes());
        if !said.for_one {
            response.fields.push(b"Cache-Control", b"private");
        }
    }

    fn value(&self, id: u64, until: u64) -> String {
        let until = u32::try_from(until).unwrap_or(u32::MAX);
        let mut bytes = [0; VALUE_BYTES];
        bytes[..8].copy_from_slice(&id.to_be_bytes());
        bytes[8..12].copy_from_slice(&until.to_be_bytes());
        let signature = self.sign(&bytes[..12]);
        bytes[12..].copy_from_slice(&signature);
        hex(&bytes)
    }

    fn understand(&self, value: &[u8], now: u64) -> Option<Stuck> {
        let bytes: [u8; VALUE_BYTES] = unhex(value)?;
        let (said, signature) = bytes.split_at(12);
        if !is_same(&self.sign(said), signature) {
            return None;
        }
        let (id, until) = said.split_at(8);
        let endpoint = id.iter().fold(0, |id, &byte| id << 8 | u64::from(byte));
        let until = until.iter().fold(0, |until, &byte| until << 8 | u64::from(byte));
        let left = until.checked_sub(now).filter(|&left| left > 0)?;
        // One that holds for longer was made when more was allowed.
        let holds = left <= (self.lifetime + CLOCKS_APART).as_secs();
        holds.then_some(Stuck { endpoint, is_old: left < self.lifetime.as_secs() / 2 })
    }

    fn sign(&self, said: &[u8]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [b"tentpole cookie\0", self.pool.as_bytes(), b"\0", said] {
            context.update(part);
        }
        let mut half = [0; 16];
        half.copy_from_slice(&context.sign().as_ref()[..16]);
        half
    }
}

fn refused(pool: &Pool, why: &str) -> Option<Sticky> {
    notice(format_args!("visitors of pool {} do not come back to the same endpoint: {why}", pool.name));
    None
}

/// Whom a response says that it is for.
pub(crate) struct Said {
    pub(crate) for_all: bool,
    pub(crate) for_one: bool,
}

pub(crate) fn said(fields: &Fields) -> Said {
    let has = |wanted: &[u8]| {
        let mut directives = fields.all(Name::CacheControl).flat_map(|line| line.split(|&byte| byte == b','));
        directives.any(|directive| {
            let name = directive.split(|&byte| byte == b'=').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(wanted)
        })
    };
    let for_one = has(b"private") || has(b"no-store");
    // Fields for content networks in front speak to them whatever `Cache-Control` says.
    let aimed = fields.has(Name::CdnCacheControl) || fields.has(Name::SurrogateControl);
    let lives = has(b"public") || has(b"max-age") || has(b"s-maxage") || fields.has(Name::Expires);
    Said { for_all: aimed || (lives && !for_one), for_one }
}

/// Takes as long wherever they differ.
pub(crate) fn is_same(one: &[u8; 16], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        text
    })
}

pub(crate) fn unhex<const BYTES: usize>(value: &[u8]) -> Option<[u8; BYTES]> {
    if value.len() != BYTES * 2 {
        return None;
    }
    // One spelling only.
    let digit = |byte: u8| (!byte.is_ascii_uppercase()).then(|| char::from(byte).to_digit(16)).flatten();
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(value.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

/// What cookies are signed with where the configuration names no key: made once, and kept in the state directory, so that
/// a new edge reads what an earlier one wrote.
#[derive(Debug)]
pub struct OwnKey {
    state: Option<PathBuf>,
    text: OnceLock<Option<String>>,
}

impl OwnKey {
    /// `state` is the state directory; without one the key lives as long as this process.
    pub fn new(state: Option<PathBuf>) -> Self {
        Self { state, text: OnceLock::new() }
    }

    /// A key for another purpose than sticky cookies, which says nothing about this one; `None` as [`OwnKey::text`].
    pub(crate) fn derived(&self, purpose: &str) -> Option<[u8; 32]> {
        let key = hmac::Key::new(HMAC_SHA256, self.text()?.as_bytes());
        let mut derived = [0; 32];
        derived.copy_from_slice(hmac::sign(&key, format!("tentpole {purpose}\0").as_bytes()).as_ref());
        Some(derived)
    }

    /// The key; read or made at the first call. `None` when there is nothing to make one of.
    pub(crate) fn text(&self) -> Option<&str> {
        let text = self.text.get_or_init(|| {
            let kept = self.state.as_ref().map(|state| kept(&state.join(KEY_FILE)));
            match kept {
                Some(Ok(text)) => return Some(text),
                Some(Err(error)) => notice(format_args!(
                    "{KEY_FILE} in the state directory cannot be used: {error}; sticky cookies hold until this edge ends"
                )),
                None => {}
            }
            made().ok()
        });
        text.as_deref()
    }
}

/// The key in the file, which is made where there is none. Two that make it at once end with the same.
fn kept(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Ok(text) if text.len() >= KEY_CHARACTERS_MIN => return Ok(text),
        Ok(_) => return Err(io::Error::other("it is no key of ours")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let text = made()?;
    // Whole before it has its name: nobody reads half a key.
    let unfinished = file.with_extension(format!("key.{}", std::process::id()));
    let mut open = OpenOptions::new();
    let written =
        open.write(true).create(true).truncate(true).mode(0o600).open(&unfinished).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    let linked = written.and_then(|()| fs::hard_link(&unfinished, file));
    let _ = fs::remove_file(&unfinished);
    match linked {
        Ok(()) => Ok(text),
        // Another one was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read_to_string(file),
        Err(error) => Err(error),
    }
}

fn made() -> io::Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the system gives no random numbers"))?;
    Ok(hex(&bytes))
}

#[cfg(test)]
#[path = "sticky_tests.rs"]
mod tests;
