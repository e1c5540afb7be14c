//! A room's tickets as cookies: what one says, in hexadecimal, and the first half of an HMAC-SHA256 over it (RFC 2104
//! section 5 allows half). Nobody but us can write one; what it says is no secret.

use ring::hmac;
use tentpole_room::{TICKET_BYTES, Ticket};

/// Bytes of a signature.
const SIGNED_BYTES: usize = 16;
/// Bytes of a value before they are written in hexadecimal.
const VALUE_BYTES: usize = TICKET_BYTES + SIGNED_BYTES;
/// Cookies of our name that are looked at in one request: each costs a signature.
const COOKIES_MAX: usize = 4;

/// The name of a room's cookie.
pub(crate) fn cookie_name(room: &str) -> String {
    format!("tentpole_room_{room}")
}

/// The ticket that is shown; the best of several.
pub(crate) fn shown<'a>(
    key: &hmac::Key,
    cookie: &str,
    lines: impl Iterator<Item = &'a [u8]>,
) -> Option<Ticket> {
    let pairs = lines.flat_map(|line| line.split(|&byte| byte == b';')).map(<[u8]>::trim_ascii);
    let values = pairs.filter_map(|pair| pair.strip_prefix(cookie.as_bytes())?.strip_prefix(b"="));
    values.take(COOKIES_MAX).find_map(|value| understand(key, value))
}

/// The ticket that a page shows in a field, for a browser that keeps no cookie.
pub(crate) fn shown_in_field(key: &hmac::Key, value: &[u8]) -> Option<Ticket> {
    understand(key, value.trim_ascii())
}

/// The cookie's value.
pub(crate) fn value(key: &hmac::Key, ticket: &Ticket) -> String {
    let said = ticket.bytes();
    let signature = sign(key, &said);
    said.iter().chain(&signature).fold(String::with_capacity(VALUE_BYTES * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        text
    })
}

/// A number that only we can compute.
pub(crate) fn draw(key: &hmac::Key, value: u64) -> u64 {
    let mut context = hmac::Context::with_key(key);
    context.update(b"draw\0");
    context.update(&value.to_be_bytes());
    context.sign().as_ref().iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn understand(key: &hmac::Key, value: &[u8]) -> Option<Ticket> {
    if value.len() != VALUE_BYTES * 2 {
        return None;
    }
    // One spelling only.
    let digit = |byte: u8| (!byte.is_ascii_uppercase()).then(|| char::from(byte).to_digit(16)).flatten();
    let mut bytes = [0; VALUE_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(value.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    let (said, signature) = bytes.split_first_chunk::<TICKET_BYTES>()?;
    let differs = sign(key, said).iter().zip(signature).fold(0, |differs, (a, b)| differs | (a ^ b));
    if differs != 0 {
        return None;
    }
    Ticket::from_bytes(said)
}

fn sign(key: &hmac::Key, said: &[u8]) -> [u8; SIGNED_BYTES] {
    let mut context = hmac::Context::with_key(key);
    context.update(b"ticket\0");
    context.update(said);
    let mut half = [0; SIGNED_BYTES];
    half.copy_from_slice(&context.sign().as_ref()[..SIGNED_BYTES]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::hmac::HMAC_SHA256;
    use tentpole_room::Kind;

    #[test]
    fn nobody_else_can_write_a_ticket() {
        let key = hmac::Key::new(HMAC_SHA256, b"ours");
        let ticket =
            Ticket { kind: Kind::Waiting, round: 0, visitor: 5, number: 1_000, nonce: 0, issued_s: 1 };
        let written = value(&key, &ticket);
        let line = |text: &str| format!("a=b; tentpole_room_x={text}");
        let read =
            |key: &hmac::Key, line: &str| shown(key, "tentpole_room_x", std::iter::once(line.as_bytes()));
        assert_eq!(read(&key, &line(&written)), Some(ticket));
        // A better place is another ticket.
        for at in 0..written.len() {
            let mut changed = written.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(read(&key, &line(&String::from_utf8(changed).unwrap())), None, "{at}");
        }
        let other = hmac::Key::new(HMAC_SHA256, b"theirs");
        assert_eq!(read(&other, &line(&written)), None);
        assert_eq!(read(&key, &line(&written.to_uppercase())), None);
        assert_eq!(read(&key, &line(&written[2..])), None);
        // One that is not ours in front of it does not hide it.
        let both = format!("tentpole_room_x=00; tentpole_room_x={written}");
        assert_eq!(read(&key, &both), Some(ticket));
    }
}
