//! The secret that coordinator and agents have in common, and how each proves that it knows it without saying it: numbers
//! that nobody used before, and their code (HMAC, RFC 2104, with SHA-256). What is said afterwards is coded with a key that
//! counts for this one connection.

use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::fmt::Write as _;
use std::io;

/// Shorter secrets can be tried out.
pub const KEY_BYTES_MIN: usize = 16;
/// What is coded begins with this, so that a code is good for nothing else.
const CONTEXT: &[u8] = b"tentpole load agent\0";

/// The secret.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Of a text that both sides have.
    ///
    /// # Errors
    /// When it is too short.
    pub fn new(secret: &str) -> Result<Self, String> {
        if secret.len() < KEY_BYTES_MIN {
            return Err(format!(
                "the secret has {} characters, and fewer than {KEY_BYTES_MIN} can be tried out. Make one: openssl rand -hex 32",
                secret.len()
            ));
        }
        Ok(Self(hmac::Key::new(HMAC_SHA256, secret.as_bytes())))
    }

    /// The code of some words, in hexadecimal digits.
    pub(crate) fn code(&self, words: &[&str]) -> String {
        hex(hmac::sign(&self.0, &said(words)).as_ref())
    }

    /// Whether this is their code; takes as long for any.
    pub(crate) fn is_code(&self, code: &str, words: &[&str]) -> bool {
        unhex(code).is_some_and(|code| hmac::verify(&self.0, &said(words), &code).is_ok())
    }

    /// The key of one connection.
    pub(crate) fn of_connection(&self, one: &str, other: &str) -> Self {
        let code = hmac::sign(&self.0, &said(&["connection", one, other]));
        Self(hmac::Key::new(HMAC_SHA256, code.as_ref()))
    }
}

/// Each word with its length, so that no two lists are coded alike.
fn said(words: &[&str]) -> Vec<u8> {
    let mut bytes = CONTEXT.to_vec();
    for word in words {
        bytes.extend((word.len() as u64).to_be_bytes());
        bytes.extend(word.as_bytes());
    }
    bytes
}

/// A number that nobody used before.
pub(crate) fn nonce() -> io::Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system has no random numbers"))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to memory does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_of_this_key_and_these_words_alone() {
        let key = Key::new("0123456789abcdef").expect("long enough");
        let code = key.code(&["a", "bc"]);
        assert!(key.is_code(&code, &["a", "bc"]));
        assert!(!key.is_code(&code, &["ab", "c"]));
        assert!(!key.is_code("", &["a", "bc"]) && !key.is_code("zz", &["a", "bc"]));
        assert!(!Key::new("0123456789abcdeg").expect("long enough").is_code(&code, &["a", "bc"]));
        assert!(!key.of_connection("1", "2").is_code(&code, &["a", "bc"]));
        assert!(Key::new("short").unwrap_err().contains("openssl"));
        assert_ne!(nonce().expect("random"), nonce().expect("random"));
    }
}
