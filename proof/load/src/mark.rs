//! What each request says of itself: that it is load, of which run, and since when; signed where a key is agreed on, so that
//! an edge can tell it from real visitors and nobody else can pass for it. Nothing is allowed to whoever carries it.
//!
//! `Tentpole-Load: run=9f86d081884c7d65; at=1767225600; account=load-test@shop.example; sig=…`, where `at` is in seconds since
//! 1970, `account` the test account as which the journey may order, pay, mail or reserve, where it names one, and `sig` the
//! first half, in hexadecimal, of HMAC-SHA256 over `tentpole load`, a zero byte, and what stands before `; sig=` (RFC 2104
//! section 5 allows half).

use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use std::fmt::{self, Write};
use tentpole_runtime::Random;

/// The field's name.
pub const FIELD: &str = "Tentpole-Load";
/// What is signed begins with this, so that the signature is good for nothing else.
const CONTEXT: &[u8] = b"tentpole load\0";
/// The same for the proof that two generators sign with the same key.
const SAME_KEY: &[u8] = b"tentpole load same key\0";
/// Bytes of the signature that are sent.
const SIGNATURE_BYTES: usize = 16;
/// Longest name of a test account.
pub const ACCOUNT_BYTES_MAX: usize = 64;

/// What marks are signed with.
#[derive(Clone)]
pub struct SigningKey(Key);

impl SigningKey {
    /// Of any text that both sides have.
    pub fn new(text: &str) -> Self {
        Self(Key::new(HMAC_SHA256, text.as_bytes()))
    }

    /// Proves, without saying it, that a generator of this run has it: 64 hexadecimal digits.
    pub(crate) fn proof(&self, run: &str) -> String {
        hex(sign(&self.0, &[SAME_KEY, run.as_bytes()].concat()).as_ref())
    }

    /// Whether that was proved.
    pub(crate) fn is_proved(&self, run: &str, proof: &str) -> bool {
        let digits = |at: usize| proof.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
        let code: Option<Vec<u8>> = (0..proof.len()).step_by(2).map(digits).collect();
        code.is_some_and(|code| verify(&self.0, &[SAME_KEY, run.as_bytes()].concat(), &code).is_ok())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to memory does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One run's.
#[derive(Clone, Default)]
pub struct Mark {
    /// The run's name: 16 hexadecimal digits.
    pub run: String,
    key: Option<SigningKey>,
}

impl Mark {
    /// A new one; the key is any text that both sides have.
    pub fn new(random: &mut Random, key: Option<&str>) -> Self {
        let key = key.map(SigningKey::new);
        Self { run: format!("{:016x}", random.next_u64()), key }
    }

    /// That of a run which has this name already.
    pub(crate) fn of_run(run: String, key: Option<SigningKey>) -> Self {
        Self { run, key }
    }

    /// Proves that the key is known, where there is one.
    pub(crate) fn proof(&self) -> Option<String> {
        self.key.as_ref().map(|key| key.proof(&self.run))
    }

    /// Whether it can be proved.
    pub fn is_signed(&self) -> bool {
        self.key.is_some()
    }

    /// The field as a line, for this time in seconds since 1970 and this test account ([`is_account`]).
    pub fn line(&self, at: u64, account: Option<&str>) -> Vec<u8> {
        let mut said = format!("run={}; at={at}", self.run);
        if let Some(account) = account {
            // Writing to memory does not fail.
            let _ = write!(said, "; account={account}");
        }
        let mut line = format!("{FIELD}: {said}");
        if let Some(key) = &self.key {
            line.push_str("; sig=");
            let signature = sign(&key.0, &[CONTEXT, said.as_bytes()].concat());
            line.push_str(&hex(&signature.as_ref()[..SIGNATURE_BYTES]));
        }
        line.push_str("\r\n");
        line.into_bytes()
    }
}

/// Whether this can be said in a mark: up to [`ACCOUNT_BYTES_MAX`] visible characters of ASCII, without a semicolon.
pub fn is_account(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b';';
    (1..=ACCOUNT_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mark({}, {})", self.run, if self.is_signed() { "signed" } else { "unsigned" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_run_and_time_and_proves_both() {
        let line = |key: Option<&str>, at| {
            let mark = Mark::new(&mut Random::from_seed(1), key);
            String::from_utf8(mark.line(at, None)).expect("text")
        };
        let unsigned = line(None, 1_767_225_600);
        assert!(
            unsigned.starts_with("Tentpole-Load: run=") && unsigned.ends_with("; at=1767225600\r\n"),
            "{unsigned}"
        );
        let signed = line(Some("agreed"), 1_767_225_600);
        assert!(signed.starts_with(unsigned.trim_end()), "{signed}");
        assert_eq!(signed.trim_end().split("; sig=").nth(1).map(str::len), Some(32), "{signed}");
        assert_ne!(signed, line(Some("another"), 1_767_225_600));
        assert_ne!(signed.split("sig=").nth(1), line(Some("agreed"), 1_767_225_601).split("sig=").nth(1));
        let mark = Mark::new(&mut Random::from_seed(1), Some("agreed"));
        let with_account = mark.line(1_767_225_600, Some("load-test@shop.example"));
        let with_account = String::from_utf8(with_account).expect("text");
        assert!(
            with_account.contains("; at=1767225600; account=load-test@shop.example; sig="),
            "{with_account}"
        );
        assert_ne!(with_account.split("sig=").nth(1), signed.split("sig=").nth(1), "it is signed too");
        assert!(is_account("load-test@shop.example") && is_account(&"x".repeat(64)));
        for wrong in ["", "a b", "a;b", "a\r\nb", "ä", &"x".repeat(65)] {
            assert!(!is_account(wrong), "{wrong}");
        }
        assert!(!format!("{mark:?}").contains("agreed"));
    }

    #[test]
    fn that_two_have_the_same_key_is_proved_for_one_run() {
        let (key, other) = (SigningKey::new("agreed"), SigningKey::new("another"));
        let mark = Mark::of_run("9f86d081884c7d65".to_owned(), Some(key.clone()));
        let proof = mark.proof().expect("it has a key");
        assert!(key.is_proved(&mark.run, &proof) && !other.is_proved(&mark.run, &proof));
        for wrong in ["", "zz", "é", &proof[2..], &proof[1..]] {
            assert!(!key.is_proved(&mark.run, wrong), "{wrong}");
        }
        assert!(!key.is_proved("another run", &proof));
        assert_eq!(Mark::of_run(mark.run.clone(), None).proof(), None);
    }
}
