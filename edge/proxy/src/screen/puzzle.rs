//! Puzzles that cost a browser a moment and a flood its computing time (Dwork and Naor, "Pricing via Processing", 1992; the
//! digest with leading zeros is Hashcash's). Nothing is kept of them: the token names its time and is signed for an address,
//! and the solution is a cookie that anybody can check and only work can make.
//!
//! A token is 16 bytes in hexadecimal: when it was made in seconds since 1970 (4), and the beginning of an HMAC-SHA256 over that,
//! the puzzle and the visitor's network (12). Its solution is a number so that the SHA-256 of `token.number` begins with as many
//! zero bits as are asked for. It holds in the visitor's /24, or /64 of IPv6: mobile networks move visitors about.

use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};
use std::fmt::Write;
use std::net::IpAddr;
use tentpole_model::Puzzle;
use tentpole_screen::client;

/// Holds a token and its solution.
pub(crate) const COOKIE: &str = "tentpole_pass";
/// Bytes of a token.
const TOKEN_BYTES: usize = 16;
/// Digits of a solution at most.
const DIGITS_MAX: usize = 10;
/// Cookies of our name that are looked at in one request: each costs a signature.
const COOKIES_MAX: usize = 4;
/// How far clocks may be apart, in seconds.
const CLOCKS_APART: u64 = 60;

/// Makes tokens and knows solutions.
#[derive(Debug)]
pub(crate) struct Solutions {
    key: hmac::Key,
}

impl Solutions {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key: hmac::Key::new(HMAC_SHA256, &key) }
    }

    /// A token for a visitor. `now` is in seconds since 1970.
    pub(crate) fn token(&self, puzzle: Puzzle, address: IpAddr, now: u64) -> String {
        let made = u32::try_from(now).unwrap_or(u32::MAX).to_be_bytes();
        let signature = self.sign(puzzle, address, made);
        made.iter().chain(&signature).fold(String::with_capacity(TOKEN_BYTES * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Whether a cookie holds a solution for this visitor.
    pub(crate) fn are_in<'a>(
        &self,
        lines: impl Iterator<Item = &'a [u8]>,
        puzzle: Puzzle,
        address: IpAddr,
        now: u64,
    ) -> bool {
        let pairs = lines.flat_map(|line| line.split(|&byte| byte == b';')).map(<[u8]>::trim_ascii);
        let values = pairs.filter_map(|pair| pair.strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"="));
        values.take(COOKIES_MAX).any(|value| self.holds(value, puzzle, address, now))
    }

    fn holds(&self, value: &[u8], puzzle: Puzzle, address: IpAddr, now: u64) -> bool {
        let Some((token, number)) = value.split_at_checked(TOKEN_BYTES * 2) else { return false };
        let digits = number.strip_prefix(b".").unwrap_or_default();
        if !(1..=DIGITS_MAX).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
            return false;
        }
        // The cheapest first: most that is made up ends here.
        if leading_zeros(digest(&SHA256, value).as_ref()) < u32::from(puzzle.bits) {
            return false;
        }
        let Some(bytes) = unhex(token) else { return false };
        let made = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let at = u64::from(u32::from_be_bytes(made));
        let is_in_time = at <= now + CLOCKS_APART && now < at.saturating_add(puzzle.lifetime.as_secs());
        let signature = self.sign(puzzle, address, made);
        let differs = signature.iter().zip(&bytes[4..]).fold(0, |differs, (a, b)| differs | (a ^ b));
        is_in_time && differs == 0
    }

    fn sign(&self, puzzle: Puzzle, address: IpAddr, made: [u8; 4]) -> [u8; TOKEN_BYTES - 4] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[puzzle.bits]);
        context.update(&made);
        match client(address, 64) {
            IpAddr::V4(address) => context.update(&address.octets()[..3]),
            IpAddr::V6(address) => context.update(&address.octets()[..8]),
        }
        let mut beginning = [0; TOKEN_BYTES - 4];
        beginning.copy_from_slice(&context.sign().as_ref()[..TOKEN_BYTES - 4]);
        beginning
    }
}

fn leading_zeros(digest: &[u8]) -> u32 {
    let first = digest.first_chunk::<4>().copied().unwrap_or([0xff; 4]);
    u32::from_be_bytes(first).leading_zeros()
}

fn unhex(text: &[u8]) -> Option<[u8; TOKEN_BYTES]> {
    let digit = |byte: u8| (!byte.is_ascii_uppercase()).then(|| char::from(byte).to_digit(16)).flatten();
    let mut bytes = [0; TOKEN_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PUZZLE: Puzzle = Puzzle { bits: 8, lifetime: Duration::from_secs(3_600) };
    const NOW: u64 = 1_800_000_000;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn solved(token: &str, bits: u32) -> String {
        (0u32..)
            .map(|number| format!("{token}.{number}"))
            .find(|value| leading_zeros(digest(&SHA256, value.as_bytes()).as_ref()) >= bits)
            .unwrap()
    }

    fn takes(solutions: &Solutions, cookie: &str, puzzle: Puzzle, from: &str, now: u64) -> bool {
        solutions.are_in([cookie.as_bytes()].into_iter(), puzzle, address(from), now)
    }

    #[test]
    fn a_solution_holds_in_the_visitors_network_and_for_its_time() {
        let solutions = Solutions::new([7; 32]);
        let value = solved(&solutions.token(PUZZLE, address("192.0.2.1"), NOW), 8);
        let cookie = format!("a=b; tentpole_pass={value}");
        let holds = |from, now| takes(&solutions, &cookie, PUZZLE, from, now);
        assert!(holds("192.0.2.1", NOW) && holds("::ffff:192.0.2.99", NOW + 3_599));
        assert!(!holds("192.0.3.1", NOW), "another network");
        assert!(!holds("192.0.2.1", NOW + 3_600), "over");
        assert!(!holds("192.0.2.1", NOW - 61), "not made yet");
        assert!(
            !takes(&solutions, &cookie, Puzzle { bits: 9, ..PUZZLE }, "192.0.2.1", NOW),
            "another puzzle"
        );
        assert!(!takes(&Solutions::new([8; 32]), &cookie, PUZZLE, "192.0.2.1", NOW), "another key");
    }

    #[test]
    fn what_costs_no_work_is_no_solution() {
        let solutions = Solutions::new([7; 32]);
        let token = solutions.token(PUZZLE, address("192.0.2.1"), NOW);
        let unsolved = (0u32..)
            .map(|number| format!("{token}.{number}"))
            .find(|value| leading_zeros(digest(&SHA256, value.as_bytes()).as_ref()) < 8)
            .unwrap();
        let made_up = solved(&"0".repeat(32), 8);
        for value in [&*unsolved, &token, &format!("{token}."), &made_up, "", ".", "1.1"] {
            assert!(!takes(&solutions, &format!("{COOKIE}={value}"), PUZZLE, "192.0.2.1", NOW), "{value}");
        }
    }
}
