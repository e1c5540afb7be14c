//! The keys of session tickets (RFC 5077, RFC 8446 section 4.6.1). They follow from one seed that all threads share, and all
//! edges of one state directory: a visitor goes on with his session after a restart or an upgrade. Every six hours the seed
//! becomes its own digest and the one before is forgotten, so that who reads the file later opens no older ticket.

use crate::local::write;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

/// The file of the seeds, in the state directory.
const FILE: &str = "tickets.key";
/// How long a seed is the newest one, in seconds. The one before still opens tickets.
const PERIOD_S: u64 = 6 * 3_600;
/// A seed that is older than so many periods is not followed: a new one is made.
const PERIODS_MAX: u64 = 1_000;
/// Bytes of a ticket that say by which seed it was made.
const NAME_LEN: usize = 8;

type Seed = [u8; 32];

/// Makes tickets, and opens those of this period and the one before.
pub(crate) struct Tickets {
    directory: Option<PathBuf>,
    /// What a ticket vouches for besides its session: who signed the certificates of clients.
    purpose: Vec<u8>,
    seeds: RwLock<Seeds>,
}

/// The seed of a period, and that of the one before.
#[derive(Clone, PartialEq)]
struct Seeds {
    period: u64,
    now: Seed,
    before: Option<Seed>,
}

impl Tickets {
    /// Goes on with the seeds in this directory; made where there are none. Without a directory, or where it cannot be
    /// written, they live as long as the process. `None` when the system gives no randomness.
    pub(crate) fn new(directory: Option<&Path>, purpose: &[u8], now_s: u64) -> Option<Self> {
        let kept = directory.and_then(|directory| Seeds::read(&directory.join(FILE)));
        let seeds =
            kept.and_then(|seeds| seeds.at(now_s / PERIOD_S)).or_else(|| Seeds::random(now_s / PERIOD_S));
        let tickets = Self {
            directory: directory.map(Path::to_owned),
            purpose: purpose.to_vec(),
            seeds: RwLock::new(seeds?),
        };
        tickets.keep();
        Some(tickets)
    }

    /// Takes the seed of this moment; to be called now and then, by a thread that may wait for a disk.
    pub(crate) fn renew(&self, now_s: u64) {
        let period = now_s / PERIOD_S;
        let seeds = self.seeds.read().unwrap_or_else(PoisonError::into_inner).clone();
        if period <= seeds.period {
            return;
        }
        if let Some(next) = seeds.at(period).or_else(|| Seeds::random(period)) {
            *self.seeds.write().unwrap_or_else(PoisonError::into_inner) = next;
            self.keep();
        }
    }

    /// Writes the seeds down. Where that fails, a restarted edge begins with others: each visitor shakes hands once in full.
    fn keep(&self) {
        let seeds = self.seeds.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(directory) = &self.directory {
            let _ = write(&directory.join(FILE), seeds.written().as_bytes(), 0o600);
        }
    }

    fn key(&self, seed: &Seed) -> Option<LessSafeKey> {
        let key = derived(seed, &[b"ticket".as_slice(), &self.purpose].concat());
        UnboundKey::new(&CHACHA20_POLY1305, &key).ok().map(LessSafeKey::new)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        PERIOD_S as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let (period, seed) = {
            let seeds = self.seeds.read().unwrap_or_else(PoisonError::into_inner);
            (seeds.period, seeds.now)
        };
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let (name, mut sealed) = (period.to_be_bytes(), plain.to_vec());
        let with = (Nonce::assume_unique_for_key(nonce), Aad::from(name));
        self.key(&seed)?.seal_in_place_append_tag(with.0, with.1, &mut sealed).ok()?;
        Some([&name[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let period = u64::from_be_bytes(*name);
        let seed = {
            let seeds = self.seeds.read().unwrap_or_else(PoisonError::into_inner);
            match seeds.period.checked_sub(period)? {
                0 => seeds.now,
                1 => seeds.before?,
                _ => return None,
            }
        };
        let mut sealed = sealed.to_vec();
        let with = (Nonce::assume_unique_for_key(*nonce), Aad::from(*name));
        let opened = self.key(&seed)?.open_in_place(with.0, with.1, &mut sealed).ok()?;
        Some(opened.to_vec())
    }
}

/// Says nothing of what it holds.
impl std::fmt::Debug for Tickets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl Seeds {
    fn random(period: u64) -> Option<Self> {
        let mut now = [0; 32];
        SystemRandom::new().fill(&mut now).ok()?;
        Some(Self { period, now, before: None })
    }

    /// The seeds of a later period; `None` when that is too far away. A clock that went back changes nothing.
    fn at(mut self, period: u64) -> Option<Self> {
        if period.saturating_sub(self.period) > PERIODS_MAX {
            return None;
        }
        while self.period < period {
            self.before = Some(self.now);
            self.now = derived(&self.now, b"next");
            self.period += 1;
        }
        Some(self)
    }

    fn written(&self) -> String {
        let hex = |seed: &Seed| seed.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let before = self.before.as_ref().map_or_else(|| "-".to_owned(), hex);
        format!("{} {} {before}\n", self.period, hex(&self.now))
    }

    fn read(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let mut words = text.split_ascii_whitespace();
        let (period, now, before) = (words.next()?.parse().ok()?, seed(words.next()?)?, words.next()?);
        let before = if before == "-" { None } else { Some(seed(before)?) };
        words.next().is_none().then_some(Self { period, now, before })
    }
}

fn seed(hex: &str) -> Option<Seed> {
    let digits = hex.as_bytes();
    let mut seed = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in seed.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(seed)
}

/// One way only (HMAC with SHA-256).
fn derived(seed: &Seed, what: &[u8]) -> Seed {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), what);
    let mut derived = [0; 32];
    derived.copy_from_slice(tag.as_ref());
    derived
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW_S: u64 = 1_795_000_000;

    fn tickets(directory: Option<&Path>, now_s: u64) -> Tickets {
        Tickets::new(directory, b"", now_s).unwrap()
    }

    #[test]
    fn another_edge_of_the_directory_opens_them_and_nobody_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let one = tickets(Some(folder.path()), NOW_S);
        let ticket = one.encrypt(b"session").unwrap();
        assert!(!ticket.windows(7).any(|part| part == b"session"));
        assert_ne!(ticket, one.encrypt(b"session").unwrap());
        assert_eq!(tickets(Some(folder.path()), NOW_S).decrypt(&ticket).unwrap(), b"session");
        assert_eq!(tickets(None, NOW_S).decrypt(&ticket), None);
        let other_authority = Tickets::new(Some(folder.path()), b"other", NOW_S).unwrap();
        assert_eq!(other_authority.decrypt(&ticket), None);
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }

    #[test]
    fn a_ticket_is_opened_in_its_period_and_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let (old, leaving) = (tickets(Some(folder.path()), NOW_S), tickets(Some(folder.path()), NOW_S));
        let ticket = old.encrypt(b"session").unwrap();
        for (later, opens) in [(0, true), (1, true), (2, false)] {
            let now_s = NOW_S + later * PERIOD_S;
            old.renew(now_s);
            leaving.renew(now_s);
            let new = tickets(Some(folder.path()), now_s);
            for edge in [&old, &leaving, &new] {
                assert_eq!(edge.decrypt(&ticket).is_some(), opens, "after {later} periods");
                // Edges that run beside one another agree without asking.
                assert_eq!(edge.decrypt(&old.encrypt(b"new").unwrap()).unwrap(), b"new");
            }
        }
        // The file holds nothing that leads back.
        let (first, last) =
            (Seeds::read(&folder.path().join(FILE)).unwrap(), old.seeds.read().unwrap().clone());
        assert!(first == last);
        // A clock that goes back, and one that was away for long.
        old.renew(NOW_S);
        assert!(old.decrypt(&old.encrypt(b"a").unwrap()).is_some());
        let late = tickets(Some(folder.path()), NOW_S + (PERIODS_MAX + 9) * PERIOD_S);
        assert_eq!(late.decrypt(&old.encrypt(b"a").unwrap()), None);
    }

    #[test]
    fn what_is_no_ticket_is_not_opened_and_what_is_no_seed_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let tickets_of = || tickets(Some(folder.path()), NOW_S);
        let ticket = tickets_of().encrypt(b"session").unwrap();
        for cut in 0..ticket.len() {
            assert_eq!(tickets_of().decrypt(&ticket[..cut]), None);
        }
        for at in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[at] ^= 1;
            assert_eq!(tickets_of().decrypt(&forged), None, "byte {at}");
        }
        for bad in ["", "1 2 3", "83101 zz -", "83101 \u{e4} -"] {
            fs::write(folder.path().join(FILE), bad).unwrap();
            assert_eq!(tickets_of().decrypt(&ticket), None, "{bad:?}");
        }
        // In a directory that is not there they live as long as the process.
        let nowhere = tickets(Some(Path::new("/nowhere/at/all")), NOW_S);
        assert!(nowhere.decrypt(&nowhere.encrypt(b"a").unwrap()).is_some());
    }
}
