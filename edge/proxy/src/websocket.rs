//! The handshake of a WebSocket where it is ours: a visitor of HTTP/2 does without (RFC 8441 section 5.1), an endpoint of
//! HTTP/1.1 wants one (RFC 6455 section 4). Makes the challenge and checks the answer; carries no message.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tentpole_message::Fields;
use tentpole_runtime::Random;

/// What an answer is made of, beside the challenge (RFC 6455 section 1.3).
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A challenge: 16 bytes that nobody has sent before (RFC 6455 section 4.1). No secret depends on it.
pub fn challenge(random: &mut Random) -> String {
    let halves = [random.next_u64().to_le_bytes(), random.next_u64().to_le_bytes()];
    base64(halves.as_flattened())
}

/// Whether an endpoint's response answers the challenge: exactly once, and rightly.
pub fn answers(challenge: &str, response: &Fields) -> bool {
    let mut answers = response.find(b"sec-websocket-accept");
    answers.next() == Some(answer(challenge).as_bytes()) && answers.next().is_none()
}

fn answer(challenge: &str) -> String {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{challenge}{MAGIC}").as_bytes());
    base64(hash.as_ref())
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_standard() {
        // RFC 6455 section 1.3.
        assert_eq!(answer("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let mut response = Fields::new();
        assert!(!answers("dGhlIHNhbXBsZSBub25jZQ==", &response));
        response.push(b"Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(answers("dGhlIHNhbXBsZSBub25jZQ==", &response));
        assert!(!answers("AAAAAAAAAAAAAAAAAAAAAA==", &response));
    }

    #[test]
    fn a_challenge_is_sixteen_bytes_and_another_each_time() {
        let mut random = Random::from_seed(7);
        let (first, second) = (challenge(&mut random), challenge(&mut random));
        assert!(first.len() == 24 && first.ends_with("==") && first != second);
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648 section 10.
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
