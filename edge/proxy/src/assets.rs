//! Links of pages that lead to the asset host: which responses are such pages, what their head says then, and by what name
//! they are known. Rewrites nothing by itself: `wire/rewrite` does.

use crate::content::Content;
use crate::exchange::Exchange;
use crate::forms::is_digest;
use crate::head::parsed;
use crate::template::is_encoded;
use std::borrow::Cow;
use std::sync::Arc;
use tentpole_http1 as http1;
use tentpole_message::{Name, ResponseHead};
use tentpole_model::{self as model, Method};
use tentpole_rewrite::{Rewriter, Rules};

/// What a route says about links, ready to be used.
#[derive(Debug)]
pub struct Assets {
    rules: Arc<Rules>,
    /// Stands in the entity tags of rewritten pages, so that no copy of a page holds that was written by other rules.
    mark: String,
}

impl Assets {
    /// Of what the configuration says.
    pub fn new(said: &model::Assets) -> Self {
        let mut hash = Fnv::new();
        hash.add(said.host.as_bytes());
        said.paths.iter().for_each(|path| hash.add(path.as_bytes()));
        Self {
            rules: Arc::new(Rules::new(&said.host, &said.paths)),
            mark: format!("-t{:08x}", hash.folded()),
        }
    }

    /// Begins to rewrite a response, if it is a page, and makes its head that of the page to come. `request` is the head
    /// that the endpoint was sent.
    pub fn begin(&self, request: &[u8], response: &mut ResponseHead, exchange: &mut Exchange) {
        if !is_page(response) || response.status == 206 || is_encoded(&response.fields) {
            return;
        }
        // RFC 9110 section 7.7.
        if response.fields.has_token(Name::CacheControl, b"no-transform") {
            return;
        }
        *response = parsed(self.head(response));
        exchange.make(Content::rewritten(Rewriter::new(self.rules.clone(), host(request))), None);
    }

    /// The request once more, where a part of a page came: it cannot be read alone, nor would it be that part of what is
    /// made of the whole.
    pub fn ask_for_whole(&self, method: Method, request: &[u8], response: &ResponseHead) -> Option<Vec<u8>> {
        let several = media_type(response).eq_ignore_ascii_case(b"multipart/byteranges");
        let is_part = method == Method::Get && response.status == 206 && (several || is_page(response));
        let lines = || request.split_inclusive(|&byte| byte == b'\n');
        let is_range = |line: &&[u8]| matches!(http1_name(line), Name::Range | Name::IfRange);
        is_part.then(|| lines().filter(|line| !is_range(line)).flatten().copied().collect())
    }

    /// The head of a page that is rewritten: its length is not known, nothing that is true of the bytes that came is
    /// said, and its entity tag is another. What has no tag cannot be asked about: by its date alone, a copy that was
    /// written by other rules would hold.
    fn head(&self, response: &ResponseHead) -> Vec<u8> {
        let mut lines = Vec::with_capacity(response.fields.bytes().len() + 32);
        http1::write_status_line(&mut lines, response.status, response.reason());
        http1::write_fields(&mut lines, &response.fields, |field| {
            is_digest(&field) || matches!(field.id, Name::Etag | Name::LastModified | Name::AcceptRanges)
        });
        if let Some(etag) = response.fields.get(Name::Etag).and_then(|etag| self.marked(etag)) {
            http1::write_field(&mut lines, b"ETag", &etag);
        }
        lines
    }

    fn marked(&self, etag: &[u8]) -> Option<Vec<u8>> {
        Some([etag.strip_suffix(b"\"")?, self.mark.as_bytes(), b"\""].concat())
    }

    /// The entity tag by which the endpoint knows a page.
    pub fn unmarked<'a>(&self, etag: &'a [u8]) -> Cow<'a, [u8]> {
        let bare = etag.strip_suffix(b"\"").and_then(|etag| etag.strip_suffix(self.mark.as_bytes()));
        bare.map_or(Cow::Borrowed(etag), |bare| Cow::Owned([bare, b"\""].concat()))
    }
}

/// Whether the content is HTML.
fn is_page(response: &ResponseHead) -> bool {
    !matches!(response.status, 100..=199 | 204 | 205 | 304)
        && media_type(response).eq_ignore_ascii_case(b"text/html")
}

fn media_type(response: &ResponseHead) -> &[u8] {
    let value = response.fields.get(Name::ContentType).unwrap_or_default();
    value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}

/// The `Host` of a head of our own writing: its second line.
fn host(request: &[u8]) -> &[u8] {
    let line = request.split(|&byte| byte == b'\n').nth(1).unwrap_or_default();
    line.strip_prefix(b"Host:").unwrap_or_default().trim_ascii()
}

fn http1_name(line: &[u8]) -> Name {
    Name::from_bytes(&line[..line.iter().position(|&byte| byte == b':').unwrap_or(0)])
}

/// FNV-1a: the same in each process, for tags outlive it.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a text and its end.
    fn add(&mut self, text: &[u8]) {
        for &byte in text.iter().chain(&[0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn folded(&self) -> u32 {
        (self.0 ^ (self.0 >> 32)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assets(host: &str) -> Assets {
        Assets::new(&model::Assets { host: host.into(), paths: vec!["/static/*".into()] })
    }

    fn response(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
        let mut response = ResponseHead::new();
        fields.iter().for_each(|(name, value)| response.fields.push(name.as_bytes(), value.as_bytes()));
        response.status = status;
        response
    }

    #[test]
    fn the_head_of_a_page_says_nothing_of_the_bytes_that_came() {
        let page = response(
            200,
            &[
                ("Content-Type", "text/html"),
                ("Content-Length", "10"),
                ("ETag", "W/\"a\""),
                ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT"),
                ("Content-MD5", "x"),
                ("Repr-Digest", "x"),
                ("Accept-Ranges", "bytes"),
                ("Cache-Control", "max-age=60"),
            ],
        );
        let assets = assets("https://a.example");
        let head = String::from_utf8(assets.head(&page)).unwrap();
        let expect = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: max-age=60\r\nETag: W/\"a{}\"\r\n",
            assets.mark
        );
        assert_eq!(head, expect);
    }

    #[test]
    fn a_tag_is_marked_by_the_rules_and_the_endpoint_hears_its_own() {
        let (one, other) = (assets("https://a.example"), assets("https://b.example"));
        let marked = one.marked(b"\"abc\"").unwrap();
        assert_eq!(one.unmarked(&marked), &b"\"abc\""[..]);
        assert_eq!(other.unmarked(&marked), &marked[..], "by other rules it is another page");
        assert_ne!(other.marked(b"\"abc\"").unwrap(), marked);
        assert_eq!(one.unmarked(b"\"abc\""), &b"\"abc\""[..]);
        assert_eq!(one.marked(b"abc"), None, "no entity tag");
    }

    #[test]
    fn a_part_of_a_page_is_asked_for_as_a_whole() {
        let assets = assets("https://a.example");
        let asked = b"GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nIf-Range: \"a\"\r\nCookie: b\r\n\r\n";
        let whole = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: b\r\n\r\n".to_vec();
        let part = |status, kind| response(status, &[("Content-Type", kind)]);
        let ask = |response: &ResponseHead| assets.ask_for_whole(Method::Get, asked, response);
        assert_eq!(ask(&part(206, "text/html; charset=utf-8")), Some(whole.clone()));
        assert_eq!(ask(&part(206, "multipart/byteranges; boundary=x")), Some(whole));
        assert_eq!(ask(&part(206, "video/mp4")), None);
        assert_eq!(ask(&part(200, "text/html")), None);
        assert_eq!(host(asked), b"a");
    }
}
