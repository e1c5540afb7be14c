//! What becomes of the connection: kept, upgraded, told to continue (RFC 9112 section 9.3, RFC 9110 sections 7.8 and
//! 10.1.1). Decides nothing about time or numbers of requests.

use crate::Framing;
use crate::framing::says_content;
use tentpole_message::{Fields, Name, RequestHead, ResponseHead, tokens};
use tentpole_model::Refused;

/// Whether the visitor's connection may carry another request after this one.
pub fn keeps_alive_request(head: &RequestHead) -> bool {
    keeps_alive(&head.fields, head.minor_version)
}

/// Whether the endpoint's connection may carry another exchange after this response.
pub fn keeps_alive_response(head: &ResponseHead, framing: Framing) -> bool {
    // A 204 that announces content may send it too, and it would be read as the next response.
    let is_clean = head.status != 204 || !says_content(&head.fields);
    is_clean
        && head.status != 101
        && framing != Framing::UntilClose
        && keeps_alive(&head.fields, head.minor_version)
}

/// Whether the visitor waits for `100 Continue` before it sends its body. From HTTP/1.0 that is ignored, but
/// forwarded as HTTP/1.1 it would count: whoever answers it leaves `Expect` out of what is forwarded.
///
/// # Errors
/// [`Refused::Expect`] for any other expectation.
pub fn expects_continue(head: &RequestHead) -> Result<bool, Refused> {
    if !head.fields.has(Name::Expect) {
        return Ok(false);
    }
    let is_known = head.fields.all(Name::Expect).all(|value| value.eq_ignore_ascii_case(b"100-continue"));
    if is_known { Ok(head.minor_version == 1) } else { Err(Refused::Expect) }
}

/// The protocol that the visitor would change to: when `Connection: upgrade` is there too, and exactly one protocol
/// is offered. `None` otherwise: an offer may always be ignored.
///
/// Compare it with what is meant (`websocket`, in any case). `h2c` must never be forwarded: behind it a visitor would
/// speak past every rule of the edge.
pub fn upgrade(head: &RequestHead) -> Option<&[u8]> {
    upgrade_in(&head.fields, head.minor_version)
}

/// The protocol that a `101` has changed to; the same rules as for [`upgrade`]. `None` makes the 101 an error.
pub fn upgraded(head: &ResponseHead) -> Option<&[u8]> {
    upgrade_in(&head.fields, head.minor_version)
}

fn keeps_alive(fields: &Fields, minor_version: u8) -> bool {
    if !fields.has(Name::Connection) {
        return minor_version == 1;
    }
    !fields.has_token(Name::Connection, b"close")
        && (minor_version == 1 || fields.has_token(Name::Connection, b"keep-alive"))
}

fn upgrade_in(fields: &Fields, minor_version: u8) -> Option<&[u8]> {
    if minor_version == 0 || !fields.has_token(Name::Connection, b"upgrade") {
        return None;
    }
    let mut protocols = fields.all(Name::Upgrade).flat_map(tokens);
    let protocol = protocols.next()?;
    protocols.next().is_none().then_some(protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(minor_version: u8, lines: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::new();
        lines.iter().for_each(|(name, value)| head.fields.push(name.as_bytes(), value.as_bytes()));
        head.minor_version = minor_version;
        head
    }

    fn response(status: u16, lines: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::new();
        head.fields = request(1, lines).fields;
        head.status = status;
        head
    }

    #[test]
    fn version_and_connection_say_whether_it_stays_open() {
        let keeps = |version, lines: &[_]| keeps_alive_request(&request(version, lines));
        assert!(keeps(1, &[]));
        assert!(!keeps(0, &[]));
        assert!(!keeps(1, &[("connection", "foo, Close")]));
        assert!(keeps(0, &[("connection", "Keep-Alive")]));
        assert!(!keeps(0, &[("connection", "keep-alive"), ("connection", "close")]));
        assert!(!keeps(0, &[("connection", "keep-alives")]));
    }

    #[test]
    fn a_response_that_ends_with_the_connection_ends_it() {
        assert!(keeps_alive_response(&response(200, &[]), Framing::Length(1)));
        assert!(!keeps_alive_response(&response(200, &[]), Framing::UntilClose));
        assert!(!keeps_alive_response(&response(101, &[]), Framing::None));
        assert!(keeps_alive_response(&response(204, &[("content-length", "0")]), Framing::None));
        assert!(!keeps_alive_response(&response(204, &[("content-length", "1")]), Framing::None));
        assert!(keeps_alive_response(&response(304, &[("content-length", "1")]), Framing::None));
    }

    #[test]
    fn only_one_expectation_is_known() {
        assert_eq!(expects_continue(&request(1, &[])), Ok(false));
        assert_eq!(expects_continue(&request(1, &[("expect", "100-Continue")])), Ok(true));
        assert_eq!(expects_continue(&request(0, &[("expect", "100-continue")])), Ok(false));
        assert_eq!(expects_continue(&request(1, &[("expect", "200-ok")])), Err(Refused::Expect));
        assert_eq!(expects_continue(&request(0, &[("expect", "200-ok")])), Err(Refused::Expect));
        assert_eq!(expects_continue(&request(1, &[("expect", "100-continue, x")])), Err(Refused::Expect));
    }

    #[test]
    fn an_upgrade_needs_both_fields_and_one_protocol() {
        let of = |version, lines: &[_]| upgrade(&request(version, lines)).map(<[u8]>::to_vec);
        let both = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        assert_eq!(of(1, &both), Some(b"websocket".to_vec()));
        assert_eq!(of(0, &both), None);
        assert_eq!(of(1, &both[..1]), None);
        assert_eq!(of(1, &both[1..]), None);
        assert_eq!(of(1, &[both[0], ("upgrade", "websocket, h2c")]), None);
        assert_eq!(upgraded(&response(101, &both)), Some(&b"websocket"[..]));
    }
}
