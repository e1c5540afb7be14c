//! Whether a response puts its visitor into another group than the one that its key says: it sets a cookie whose value
//! is part of the key. Knows no key.

use crate::head;
use tentpole_freshness::{RequestFacts, StoredFacts, may_store};
use tentpole_message::{Fields, Name, ResponseHead};
use tentpole_model::{Bypass, Caching};

/// Whether the whole of an answer may be stored for others, by what request and answer say; `told` is what the endpoint was
/// told of the request's fields.
///
/// # Errors
/// Why not.
pub fn may_share(
    request: &RequestFacts,
    response: &ResponseHead,
    told: &Fields,
    caching: &Caching,
    requested: u64,
    now: u64,
) -> Result<StoredFacts, Bypass> {
    if puts_into_another_group(response, told, caching) {
        // What the key says of the visitor is no longer true of this response.
        return Err(Bypass::SetCookie);
    }
    may_store(request, &head::facts(response, now), caching, requested, now)
}

/// Whether the response sets a keyed cookie to another value than the request sent. What it shows may be meant for the new
/// group already, and must not be stored for the old one.
pub fn puts_into_another_group(response: &ResponseHead, request: &Fields, caching: &Caching) -> bool {
    // Nearly always there is none.
    if caching.cookies_keyed.is_empty() {
        return false;
    }
    let keyed = |name: &[u8]| caching.cookies_keyed.iter().any(|keyed| keyed.as_bytes() == name);
    let mut set = response.fields.all(Name::SetCookie).map(|cookie| pair(first_part(cookie)));
    set.any(|(name, value)| keyed(name) && !sent(request, name).eq([value]))
}

/// The values of a cookie in a request.
fn sent<'a>(request: &'a Fields, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let cookies = request.all(Name::Cookie).flat_map(|line| line.split(|&byte| byte == b';')).map(pair);
    cookies.filter(move |(sent, _)| *sent == name).map(|(_, value)| value)
}

fn first_part(cookie: &[u8]) -> &[u8] {
    cookie.split(|&byte| byte == b';').next().unwrap_or_default()
}

/// Name and value.
fn pair(cookie: &[u8]) -> (&[u8], &[u8]) {
    let at = cookie.iter().position(|&byte| byte == b'=').unwrap_or(cookie.len());
    (cookie[..at].trim_ascii(), cookie.get(at + 1..).unwrap_or_default().trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn puts(set: &[&str], cookies: &[&str]) -> bool {
        let (mut response, mut request) = (ResponseHead::new(), Fields::new());
        set.iter().for_each(|set| response.fields.push(b"Set-Cookie", set.as_bytes()));
        cookies.iter().for_each(|sent| request.push(b"Cookie", sent.as_bytes()));
        let caching = Caching { cookies_keyed: vec!["X-Magento-Vary".into()], ..Caching::default() };
        puts_into_another_group(&response, &request, &caching)
    }

    #[test]
    fn a_keyed_cookie_may_only_be_set_to_what_it_is() {
        let vary = "X-Magento-Vary=abc; path=/; HttpOnly";
        assert!(!puts(&[vary], &["a=b; X-Magento-Vary=abc"]), "set again");
        assert!(puts(&[vary], &[]), "given for the first time");
        assert!(puts(&[vary], &["X-Magento-Vary=def"]), "changed");
        assert!(puts(
            &["X-Magento-Vary=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT"],
            &["X-Magento-Vary=abc"]
        ));
        assert!(puts(&["PHPSESSID=1", vary], &[]), "whichever line it is on");
        assert!(puts(&[vary], &["X-Magento-Vary=abc", "X-Magento-Vary=def"]), "who knows which one counts");
    }

    #[test]
    fn other_cookies_say_nothing_of_the_group() {
        assert!(!puts(&["PHPSESSID=1; path=/", "form_key=2"], &["X-Magento-Vary=abc"]));
        assert!(!puts(&["x-magento-vary=abc"], &[]), "names of cookies differ by case");
        assert!(!puts(&[], &[]));
    }
}
