//! What a purge request means: Magento's, those of WordPress's plug-ins, Fastly's and xkey's forms. Understands heads;
//! purges nothing, and knows no site.

use crate::purging::pattern::{self, PathPattern, TagsPattern};
use tentpole_http1 as http1;
use tentpole_message::{Fields, RequestHead};
use tentpole_model::{PurgeOrder, PurgeWhat};

/// Methods that purge, in any case: some plug-ins write them small.
const METHODS: [&[u8]; 4] = [b"PURGE", b"BAN", b"PURGEKEYS", b"URLPURGE"];
/// Fields of bans by other things than tags and paths.
const FOREIGN: [&[u8]; 5] = [b"X-Ban-Url", b"X-Ban-Host", b"X-Url", b"X-Host", b"X-Content-Type"];

/// What is to be purged, within one site.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// Orders about URLs of this host.
    Urls(Vec<PurgeOrder>),
    /// What carries these tags in the site; true is softly.
    Tags(Vec<(Vec<String>, bool)>),
    /// The whole site.
    Site,
}

/// Why a request is not understood, in words for who sent it.
pub type Unclear = String;

/// Whether a request with this method wants to purge.
pub fn is_purge(method: &[u8]) -> bool {
    METHODS.iter().any(|known| known.eq_ignore_ascii_case(method))
}

/// The host whose site it is about: some plug-ins connect to the edge by address, and say the host beside.
pub fn host_of(head: &RequestHead) -> &[u8] {
    let fields = &head.fields;
    let beside = [b"X-VC-Purge-Host".as_slice(), b"X-Purge-Host"]
        .into_iter()
        .find_map(|name| fields.find(name).next());
    let beside = beside.filter(|host| !host.is_empty() && http1::split_authority(host).is_some());
    beside.or_else(|| http1::host(head)).unwrap_or_default()
}

/// Understands a purge request. Tags count before the path: who sends tags, sends them to any path.
pub fn understand(head: &RequestHead, host: &[u8]) -> Result<Wish, Unclear> {
    if let Some(wish) = by_tags(&head.fields)? {
        return Ok(wish);
    }
    by_path(head, host)
}

/// By the fields that name tags.
fn by_tags(fields: &Fields) -> Result<Option<Wish>, Unclear> {
    let fastly_soft = fields.find(b"Fastly-Soft-Purge").any(|value| value == b"1");
    let mut orders: Vec<(Vec<String>, bool)> = Vec::new();
    let mut add = |name: &str, tags: Vec<String>, soft: bool| {
        if tags.is_empty() {
            return Err(format!("{name} names no tag"));
        }
        match orders.iter_mut().find(|(_, softly)| *softly == soft) {
            Some((all, _)) => all.extend(tags),
            None => orders.push((tags, soft)),
        }
        Ok(())
    };
    for value in fields.find(b"X-Magento-Tags-Pattern") {
        match text("X-Magento-Tags-Pattern", value).map(pattern::magento_tags)? {
            Some(TagsPattern::Everything) => return Ok(Some(Wish::Site)),
            Some(TagsPattern::Tags(tags)) => add("X-Magento-Tags-Pattern", tags, false)?,
            None => {
                return Err("X-Magento-Tags-Pattern is not of Magento's form: ((^|,)TAG(,|$)), several of them \
                            with a | between, or .* for everything. Other regular expressions are not run here"
                    .to_owned());
            }
        }
    }
    for value in fields.find(b"X-Pool") {
        let pool = text("X-Pool", value)?.trim();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if pool.is_empty() || !pool.bytes().all(is_name) {
            return Err("X-Pool is not a name; regular expressions are not run here".to_owned());
        }
        add("X-Pool", vec![pool_tag(pool)], false)?;
    }
    let spaces: &[char] = &[' ', '\t'];
    let either: &[char] = &[' ', '\t', ','];
    for (name, between, soft) in [
        ("Surrogate-Key", spaces, fastly_soft),
        ("Cache-Tag", &[','][..], fastly_soft),
        ("xkey", either, false),
        ("xkey-purge", either, false),
        ("xkey-softpurge", either, true),
    ] {
        for value in fields.find(name.as_bytes()) {
            let tags = text(name, value)?.split(between).map(str::trim).filter(|tag| !tag.is_empty());
            add(name, tags.map(str::to_owned).collect(), soft)?;
        }
    }
    Ok((!orders.is_empty()).then_some(Wish::Tags(orders)))
}

/// The tag that stands for a value of `X-Pool`: no application writes such a tag itself, for it holds a space.
pub fn pool_tag(pool: &str) -> String {
    format!("X-Pool: {pool}")
}

/// By the path, as the purge method field says.
fn by_path(head: &RequestHead, host: &[u8]) -> Result<Wish, Unclear> {
    let fields = &head.fields;
    let method = head.method_bytes().to_ascii_uppercase();
    if let Some(name) = FOREIGN.into_iter().find(|name| fields.find(name).next().is_some()) {
        let name = String::from_utf8_lossy(name);
        return Err(format!("a ban by {name} is not known here. Purge by URL, or by tags in Surrogate-Key"));
    }
    if method == b"PURGEKEYS" {
        return Err("PURGEKEYS needs xkey-purge or xkey-softpurge with the keys".to_owned());
    }
    let soft = fields.find(b"Fastly-Soft-Purge").any(|value| value == b"1");
    let target = text("the address", http1::split_target(head).path_and_query)?;
    let host = text("Host", host)?;
    let url = |target: &str| format!("http://{host}{target}");
    let how = [b"X-Purge-Method".as_slice(), b"X-VC-Purge-Method"]
        .into_iter()
        .find_map(|name| fields.find(name).next());
    let how = how.map(<[u8]>::to_ascii_lowercase);
    let not_a_path =
        || format!("{target} is not a path with .* at its end. Other regular expressions are not run here");
    let whats = match how.as_deref() {
        Some(b"exact") => vec![PurgeWhat::Url(url(target))],
        Some(b"default") if !ends_in_star(target) => with_queries(url(target)),
        Some(b"ban-regex") => {
            let regex = fields.find(b"X-Ban-Regex").next().unwrap_or_default();
            let regex = text("X-Ban-Regex", regex)?;
            match pattern::ban(regex) {
                Some(PathPattern::Page(path)) => {
                    let slash = with_queries(url(&format!("{path}/")));
                    if path.is_empty() { slash } else { [with_queries(url(&path)), slash].concat() }
                }
                _ => return Err("X-Ban-Regex is not of the form ^/path($|/$|\\?.*|/\\?.*)".to_owned()),
            }
        }
        Some(b"regex" | b"default") => vec![below(target, &url).ok_or_else(not_a_path)?],
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            return Err(format!("X-Purge-Method is {other}; it can be exact, default, regex or ban-regex"));
        }
        None if method == b"BAN" || ends_in_star(target) => vec![below(target, &url).ok_or_else(not_a_path)?],
        None => vec![PurgeWhat::Url(url(target))],
    };
    Ok(Wish::Urls(whats.into_iter().map(|what| PurgeOrder { what, soft }).collect()))
}

/// No application's address ends like this: it is a pattern.
fn ends_in_star(target: &str) -> bool {
    target.ends_with('*')
}

/// A page and what it is under any query, unless it says its query itself.
fn with_queries(url: String) -> Vec<PurgeWhat> {
    if url.contains('?') {
        return vec![PurgeWhat::Url(url)];
    }
    let with_query = PurgeWhat::Prefix(format!("{url}?"));
    vec![PurgeWhat::Url(url), with_query]
}

fn below(target: &str, url: &impl Fn(&str) -> String) -> Option<PurgeWhat> {
    match pattern::path(target)? {
        PathPattern::Below(path) => Some(PurgeWhat::Prefix(url(&path))),
        PathPattern::Page(_) => None,
    }
}

fn text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, Unclear> {
    std::str::from_utf8(value).map_err(|_| format!("{name} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_http1::{Limits, parse_request};

    fn head(text: &str) -> RequestHead {
        let mut head = RequestHead::new();
        let text = format!("{}\r\n\r\n", text.trim().replace('\n', "\r\n"));
        parse_request(text.as_bytes(), &Limits::default(), &mut head).unwrap();
        head
    }

    /// The orders in words; the error with `?` before it.
    fn wish(text: &str) -> String {
        let head = head(text);
        let order = |order: PurgeOrder| {
            let how = if order.soft { "soft " } else { "" };
            match order.what {
                PurgeWhat::Url(url) => format!("{how}{url}"),
                PurgeWhat::Prefix(url) => format!("{how}{url}*"),
                other => format!("{other:?}"),
            }
        };
        match understand(&head, host_of(&head)) {
            Ok(Wish::Urls(orders)) => orders.into_iter().map(order).collect::<Vec<_>>().join(" "),
            Ok(Wish::Tags(tags)) => {
                let said = |(tags, soft): (Vec<String>, bool)| {
                    format!("{}tags {}", if soft { "soft " } else { "" }, tags.join("+"))
                };
                tags.into_iter().map(said).collect::<Vec<_>>().join(" ")
            }
            Ok(Wish::Site) => "site".to_owned(),
            Err(unclear) => format!("?{unclear}"),
        }
    }

    #[test]
    fn magentos_requests_purge_tags_or_the_site() {
        let magento = |pattern: &str| {
            wish(&format!("PURGE / HTTP/1.1\nHost: 127.0.0.1\nX-Magento-Tags-Pattern: {pattern}"))
        };
        assert_eq!(magento("((^|,)cat_p_1(,|$))|((^|,)cat_p(,|$))"), "tags cat_p_1+cat_p");
        assert_eq!(magento(".*"), "site");
        assert!(magento("cat_.*").starts_with("?X-Magento-Tags-Pattern is not of Magento's form"));
        assert_eq!(wish("PURGE / HTTP/1.1\nHost: a\nX-Pool: release_7"), "tags X-Pool: release_7");
        assert!(wish("PURGE / HTTP/1.1\nHost: a\nX-Pool: .*").starts_with("?X-Pool is not a name"));
    }

    #[test]
    fn plug_ins_of_wordpress_purge_pages_and_what_lies_below() {
        // Proxy Cache Purge: a page with whatever query, everything, and an endpoint of the REST API.
        let page = "PURGE /post/1/ HTTP/1.1\nHost: blog.example\nX-Purge-Method: default";
        assert_eq!(wish(page), "http://blog.example/post/1/ http://blog.example/post/1/?*");
        let all = "PURGE /.* HTTP/1.1\nHost: blog.example\nX-Purge-Method: regex";
        assert_eq!(wish(all), "http://blog.example/*");
        let rest = "PURGE /wp-json/a HTTP/1.1\nHost: b\nX-Purge-Method: ban-regex\nX-Ban-Regex: ^/wp-json/a($|/$|\\?.*|/\\?.*)";
        assert_eq!(
            wish(rest),
            "http://b/wp-json/a http://b/wp-json/a?* http://b/wp-json/a/ http://b/wp-json/a/?*"
        );
        // W3 Total Cache, Breeze, WP Rocket, Hummingbird, Varnish Caching.
        assert_eq!(wish("PURGE /?p=7 HTTP/1.1\nHost: b"), "http://b/?p=7");
        assert_eq!(wish("PURGE /blog/.* HTTP/1.1\nHost: b"), "http://b/blog/*");
        assert_eq!(wish("URLPURGE /post/ HTTP/1.1\nHost: b"), "http://b/post/");
        assert_eq!(wish("purge /feed HTTP/1.1\nHost: b\nX-Purge-Method: regex"), "http://b/feed*");
        let by_address =
            "PURGE /a HTTP/1.1\nHost: 10.0.0.1\nX-VC-Purge-Method: exact\nX-VC-Purge-Host: b:8080";
        assert_eq!(wish(by_address), "http://b:8080/a");
        assert_eq!(wish("PURGE /a?b=1 HTTP/1.1\nHost: b\nX-Purge-Method: default"), "http://b/a?b=1");
    }

    #[test]
    fn keys_of_fastly_and_xkey_are_tags() {
        assert_eq!(wish("PURGE / HTTP/1.1\nHost: a\nSurrogate-Key: a b  c"), "tags a+b+c");
        assert_eq!(wish("PURGE / HTTP/1.1\nHost: a\nSurrogate-Key: a\nFastly-Soft-Purge: 1"), "soft tags a");
        assert_eq!(wish("PURGE / HTTP/1.1\nHost: a\nCache-Tag: a, b c"), "tags a+b c");
        assert_eq!(wish("PURGEKEYS / HTTP/1.1\nHost: a\nxkey-softpurge: c52 l2"), "soft tags c52+l2");
        assert_eq!(
            wish("PURGE / HTTP/1.1\nHost: a\nxkey-purge: a,b\nxkey-softpurge: c"),
            "tags a+b soft tags c"
        );
        assert_eq!(wish("PURGE /a HTTP/1.1\nHost: a\nFastly-Soft-Purge: 1"), "soft http://a/a");
        assert_eq!(wish("BAN / HTTP/1.1\nHost: a\nxkey: a"), "tags a");
        assert_eq!(wish("BAN / HTTP/1.1\nHost: a"), "http://a/*");
    }

    #[test]
    fn what_is_not_understood_is_said_and_never_taken_for_more() {
        for request in [
            "PURGE / HTTP/1.1\nHost: a\nSurrogate-Key: ",
            "PURGE / HTTP/1.1\nHost: a\nCache-Tag: , ,",
            "PURGEKEYS / HTTP/1.1\nHost: a",
            "PURGE /a(b|c).* HTTP/1.1\nHost: a\nX-Purge-Method: regex",
            "PURGE /a HTTP/1.1\nHost: a\nX-Purge-Method: all",
            "PURGE /a HTTP/1.1\nHost: a\nX-Purge-Method: ban-regex\nX-Ban-Regex: .*",
            "BAN / HTTP/1.1\nHost: a\nX-Ban-Url: .*",
            "BAN / HTTP/1.1\nHost: a\nX-Url: .*\nX-Host: .*",
        ] {
            assert!(wish(request).starts_with('?'), "{request}: {}", wish(request));
        }
    }

    #[test]
    fn only_methods_that_purge_are_taken() {
        for method in ["PURGE", "BAN", "PURGEKEYS", "URLPURGE", "purge"] {
            assert!(is_purge(method.as_bytes()));
        }
        for method in ["GET", "DELETE", "PROPFIND", "PURG", ""] {
            assert!(!is_purge(method.as_bytes()));
        }
    }
}
