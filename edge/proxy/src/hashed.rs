//! What of a request says which endpoint it goes to, for pools that are balanced by hash. Read from the head as the
//! endpoint gets it: what it is not told because the answer may be stored for others cannot choose it either.

use tentpole_balance::hash;
use tentpole_model::HashBy;

/// The number of what is hashed; `None` where the head has none of it.
pub fn key(head: &[u8], by: &HashBy) -> Option<u64> {
    let value = match by {
        HashBy::Path => path(head),
        HashBy::Cookie(name) => values(head, b"cookie").find_map(|line| cookie(line, name.as_bytes())),
        HashBy::Header(name) => values(head, name.as_bytes()).next(),
        // Ours: what visitors claim about themselves is not in the head. The first is the visitor, then come proxies.
        HashBy::Address => {
            values(head, b"x-forwarded-for").next().and_then(|list| list.split(|&byte| byte == b',').next())
        }
    };
    value.map(<[u8]>::trim_ascii).filter(|value| !value.is_empty()).map(hash)
}

/// The path, without the query.
pub(crate) fn path(head: &[u8]) -> Option<&[u8]> {
    let target = head.split(|&byte| byte == b' ').nth(1)?;
    target.split(|&byte| byte == b'?').next()
}

/// The values of the fields with this name, in order.
pub(crate) fn values<'h>(head: &'h [u8], name: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
    head.split(|&byte| byte == b'\n').skip(1).filter_map(move |line| {
        let (found, value) = line.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name).then(|| value.strip_prefix(b":")).flatten()
    })
}

/// The value of a cookie in a `Cookie` field (RFC 6265 section 4.2.1).
fn cookie<'h>(line: &'h [u8], name: &[u8]) -> Option<&'h [u8]> {
    let mut pairs = line.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"GET /a/b?c=/d HTTP/1.1\r\nHost: shop.example\r\nX-Cart-Id: 1\r\nx-cart: 77\r\n\
        Cookie: id2=no; id=yes\r\nCookie: other=2\r\nX-Forwarded-For: 192.0.2.7, 10.0.0.1\r\n\r\n";

    fn cookie_named(name: &str) -> Option<u64> {
        key(HEAD, &HashBy::Cookie(name.into()))
    }

    #[test]
    fn each_is_found_as_a_whole() {
        assert_eq!(key(HEAD, &HashBy::Path), Some(hash(b"/a/b")));
        assert_eq!(key(HEAD, &HashBy::Address), Some(hash(b"192.0.2.7")));
        assert_eq!(key(HEAD, &HashBy::Header("X-Cart".into())), Some(hash(b"77")));
        assert_eq!(cookie_named("id"), Some(hash(b"yes")));
        assert_eq!(cookie_named("other"), Some(hash(b"2")));
    }

    #[test]
    fn what_is_not_there_has_no_number() {
        assert_eq!(cookie_named("i"), None);
        assert_eq!(key(HEAD, &HashBy::Header("X-Car".into())), None);
        assert_eq!(key(b"GET / HTTP/1.1\r\nX-Cart: \r\n\r\n", &HashBy::Header("X-Cart".into())), None);
    }
}
