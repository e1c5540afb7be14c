//! A HAR's entries → the requests that a visitor's journey is made of. Knows no other recording.

use super::Wanted;
use crate::jmx::decoded;
use crate::{Notes, Place, Wrong, several};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Entries of a HAR that are looked at.
const ENTRIES_MAX: usize = 20_000;
/// Bytes of a response in which values are looked for; a visitor looks no further either.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Characters of a path that are told.
const PATH_CHARS_MAX: usize = 60;

/// A recording, as far as it is wanted.
#[derive(Debug)]
pub struct Recording {
    /// Scheme, host and port of its first request.
    pub url: String,
    /// In the order in which they began.
    pub requests: Vec<Request>,
}

/// A request with its answer.
#[derive(Debug)]
pub struct Request {
    /// The entry's number in the file, from 1.
    pub number: usize,
    /// GET, POST, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Fields that are sent again.
    pub headers: Vec<(String, String)>,
    /// What was sent.
    pub content: Content,
    /// When it began, in seconds since 1970.
    pub began_s: f64,
    /// How long it took, redirects included.
    pub took_s: f64,
    /// The status, of the last redirect's page.
    pub status: u16,
    /// What came.
    pub body: String,
    /// Fields that came.
    pub fields: Vec<(String, String)>,
    /// Where it was found, after redirects.
    pub found_at: String,
}

/// What a request sends.
#[derive(Debug)]
pub enum Content {
    /// Nothing.
    None,
    /// Fields of a form.
    Form(Vec<(String, String)>),
    /// Something else.
    Text(String),
}

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    started_date_time: String,
    #[serde(default)]
    time: f64,
    request: HarRequest,
    #[serde(default)]
    response: HarResponse,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HarRequest {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Pair>,
    #[serde(default)]
    post_data: Option<PostData>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct HarResponse {
    status: i32,
    headers: Vec<Pair>,
    content: HarContent,
    #[serde(rename = "redirectURL")]
    redirect_url: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct HarContent {
    mime_type: Option<String>,
    text: Option<String>,
    encoding: Option<String>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PostData {
    mime_type: Option<String>,
    text: Option<String>,
    params: Vec<Param>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Param {
    name: String,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    file_name: Option<String>,
}

/// What to do about a file that is no recording.
const ANEW: &str = "Export it anew from the browser (\"Save all as HAR with content\").";

/// Where and why it is none. A file that ends in the middle was most often not stored whole.
fn no_har(error: &serde_json::Error) -> Wrong {
    let (line, column) = (error.line(), error.column());
    let why = error.to_string();
    let why = why.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&why);
    let says = match error.is_eof() {
        true => format!("column {column}: the file ends here, in the middle of the recording. {ANEW}"),
        false => format!("column {column}: this is not a HAR: {why}. {ANEW}"),
    };
    Wrong::at(line, says)
}

impl Recording {
    /// Reads a file.
    pub fn read(text: &str, wanted: &Wanted, notes: &mut Notes) -> Result<Self, Wrong> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim().is_empty() {
            return Err(Wrong::at(0, format!("this file is empty. {ANEW}")));
        }
        let har: Har = serde_json::from_str(text).map_err(|error| no_har(&error))?;
        let mut entries: Vec<(usize, Entry)> =
            har.log.entries.into_iter().enumerate().map(|(at, entry)| (at + 1, entry)).collect();
        if entries.len() > ENTRIES_MAX {
            return Err(Wrong::at(0, format!("{} entries; {ENTRIES_MAX} at most are read.", entries.len())));
        }
        entries.sort_by(|(_, one), (_, two)| began(one).total_cmp(&began(two)));
        let first = entries.iter().find_map(|(_, entry)| split(&entry.request.url));
        let Some((origin, first_host, _)) = first else {
            return Err(Wrong::at(0, "there is no request by http or https in this recording."));
        };
        let url = origin.to_owned();
        let hosts: Vec<String> = if wanted.hosts.is_empty() {
            vec![first_host]
        } else {
            wanted.hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
        };
        let mut left = Left::default();
        let mut requests: Vec<Request> = Vec::new();
        // Where the last request was sent on to: the next entry with this URL is that redirect's page.
        let mut sent_on: Option<String> = None;
        let mut url_taken = None;
        for (number, entry) in entries {
            let Some((origin, host, target)) = split(&entry.request.url) else {
                left.other_scheme += 1;
                continue;
            };
            if !hosts.contains(&host) {
                *left.hosts.entry(host).or_default() += 1;
                continue;
            }
            let (origin, target) = (origin.to_owned(), target.to_owned());
            let redirect = redirect(&entry, &origin);
            if let (Some(to), Some(last)) = (&sent_on, requests.last_mut())
                && without_fragment(to) == without_fragment(&entry.request.url)
            {
                // The generator follows redirects by itself: both are one page load.
                sent_on = redirect;
                last.follow(entry);
                continue;
            }
            if !wanted.assets && is_asset(&entry, &target) {
                left.assets += 1;
                continue;
            }
            let method = entry.request.method.to_ascii_uppercase();
            if !["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&method.as_str()) {
                let says = format!("method {method} is not made here; this request is left out.");
                notes.say(place(number, &method, &target), says);
                continue;
            }
            url_taken.get_or_insert(origin);
            sent_on = redirect;
            requests.push(Request::new(number, method, target, entry, notes));
        }
        left.tell(notes);
        if requests.is_empty() {
            let says = format!(
                "no request to {} could be a step; name another host (--host), or keep pictures and scripts (--assets).",
                hosts.join(", ")
            );
            return Err(Wrong::at(0, says));
        }
        Ok(Self { url: url_taken.unwrap_or(url), requests })
    }
}

/// What was left out, counted.
#[derive(Default)]
struct Left {
    hosts: BTreeMap<String, usize>,
    assets: usize,
    other_scheme: usize,
}

impl Left {
    fn tell(self, notes: &mut Notes) {
        for (host, count) in self.hosts {
            let to = several(count, "request", "requests") + " to " + &host;
            let are = if count == 1 { "is" } else { "are" };
            notes.say(0, format!("{to} {are} left out: a run goes to one site."));
        }
        if self.assets > 0 {
            let (one, more) = (
                "request for a picture, script, style or font is",
                "requests for pictures, scripts, styles and fonts are",
            );
            notes.say(
                0,
                format!(
                    "{} left out; --assets keeps {}.",
                    several(self.assets, one, more),
                    if self.assets == 1 { "it" } else { "them" }
                ),
            );
        }
        if self.other_scheme > 0 {
            let count = several(self.other_scheme, "request is", "requests are");
            notes.say(0, format!("{count} neither http nor https, and left out."));
        }
    }
}

impl Request {
    fn new(number: usize, method: String, target: String, entry: Entry, notes: &mut Notes) -> Self {
        let mut headers = Vec::new();
        let mut kind = String::new();
        for Pair { name, value } in &entry.request.headers {
            if name.eq_ignore_ascii_case("content-type") {
                kind.clone_from(value);
            } else if is_sent_again(name) {
                headers.push((name.clone(), value.clone()));
            }
        }
        let content =
            content(entry.request.post_data.as_ref(), &mut kind, &place(number, &method, &target), notes);
        if matches!(content, Content::Text(_)) && !kind.is_empty() {
            headers.push(("Content-Type".to_owned(), kind));
        }
        let mut request = Self {
            number,
            method,
            target: without_fragment(&target).to_owned(),
            headers,
            content,
            began_s: began(&entry),
            took_s: 0.0,
            status: 0,
            body: String::new(),
            fields: Vec::new(),
            found_at: String::new(),
        };
        request.answered(entry);
        request
    }

    fn answered(&mut self, entry: Entry) {
        self.took_s = began(&entry) + (entry.time / 1_000.0).clamp(0.0, 86_400.0) - self.began_s;
        // What is no status says nothing: browsers write 0 where no response came, and others what they like.
        let status = u16::try_from(entry.response.status).ok();
        self.status = status.filter(|status| (100..1000).contains(status)).unwrap_or(0);
        self.found_at = entry.request.url;
        self.fields = entry.response.headers.into_iter().map(|pair| (pair.name, pair.value)).collect();
        let content = entry.response.content;
        let text = content.text.unwrap_or_default();
        self.body = match content.encoding.as_deref() {
            Some("base64") => {
                base64(&text).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
            }
            _ => text,
        };
        let end = (0..=BODY_BYTES_MAX.min(self.body.len())).rev().find(|at| self.body.is_char_boundary(*at));
        self.body.truncate(end.unwrap_or(0));
    }

    /// The page that a redirect led to is what this request got.
    fn follow(&mut self, entry: Entry) {
        self.answered(entry);
    }
}

/// Origin, host without port, and path with query; `None` for other schemes.
fn split(url: &str) -> Option<(&str, String, &str)> {
    let scheme = ["http://", "https://"]
        .iter()
        .find(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))?;
    let rest = &url[scheme.len()..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest[..end].rsplit('@').next().unwrap_or_default();
    let host = match authority.rfind(':').filter(|at| !authority[*at..].contains(']')) {
        Some(at) => &authority[..at],
        None => authority,
    };
    let target = if rest[end..].starts_with('/') { &rest[end..] } else { "/" };
    (!host.is_empty()).then(|| (&url[..scheme.len() + end], host.to_ascii_lowercase(), target))
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or(url)
}

/// Where an answer sends its visitor, as a whole URL.
fn redirect(entry: &Entry, origin: &str) -> Option<String> {
    if !matches!(entry.response.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = || entry.response.headers.iter().find(|pair| pair.name.eq_ignore_ascii_case("location"));
    let to = entry.response.redirect_url.clone().filter(|to| !to.is_empty());
    let to = to.or_else(|| location().map(|pair| pair.value.clone()))?;
    Some(if to.starts_with('/') { format!("{origin}{to}") } else { to })
}

/// In seconds since 1970.
fn began(entry: &Entry) -> f64 {
    let parsed: Result<jiff::Timestamp, _> = entry.started_date_time.parse();
    parsed.map_or(0.0, |at| at.as_microsecond() as f64 / 1e6)
}

/// Pictures, scripts, styles, fonts, films.
fn is_asset(entry: &Entry, target: &str) -> bool {
    const ENDS: [&str; 21] = [
        ".js",
        ".mjs",
        ".css",
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".webp",
        ".avif",
        ".svg",
        ".ico",
        ".woff",
        ".woff2",
        ".ttf",
        ".otf",
        ".eot",
        ".mp4",
        ".webm",
        ".mp3",
        ".map",
        ".webmanifest",
    ];
    let kind = entry.response.content.mime_type.as_deref().unwrap_or_default().to_ascii_lowercase();
    let kinds =
        ["image/", "font/", "video/", "audio/", "text/css", "text/javascript", "application/javascript"];
    let path = target.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let is_get = entry.request.method.eq_ignore_ascii_case("get");
    is_get
        && (kinds.iter().any(|known| kind.starts_with(known))
            || kind.starts_with("application/x-javascript")
            || ENDS.iter().any(|end| path.ends_with(end)))
}

/// Fields that belong to the journey, and not to the connection, the browser or the cookie jar.
fn is_sent_again(name: &str) -> bool {
    const NOT: [&str; 26] = [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "cookie",
        "expect",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "proxy-connection",
        "proxy-authorization",
        "accept-encoding",
        "cache-control",
        "pragma",
        "if-none-match",
        "if-modified-since",
        "upgrade-insecure-requests",
        "dnt",
        "priority",
        "origin",
        "referer",
        "user-agent",
        "content-type",
        "http2-settings",
        "range",
    ];
    let lower = name.to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !lower.starts_with(':')
        && !lower.starts_with("sec-")
        && !name.is_empty()
        && name.bytes().all(is_token)
        && !NOT.contains(&lower.as_str())
}

/// Where a request stands in its recording, and what it asks for: its path without the query, of which much is known only to
/// programs.
pub fn place(number: usize, method: &str, target: &str) -> Place {
    let path = target.split(['?', '#']).next().unwrap_or("/");
    let short: String = path.chars().take(PATH_CHARS_MAX).collect();
    let more = if short.len() < path.len() { "\u{2026}" } else { "" };
    Place::Request(number, format!("{method} {short}{more}"))
}

fn content(data: Option<&PostData>, kind: &mut String, place: &Place, notes: &mut Notes) -> Content {
    let Some(data) = data else { return Content::None };
    if kind.is_empty() {
        *kind = data.mime_type.clone().unwrap_or_default();
    }
    let lower = kind.to_ascii_lowercase();
    if lower.starts_with("multipart/") && data.params.iter().any(|param| param.file_name.is_some()) {
        notes.say(place.clone(), "files are not sent here; this form goes without them.");
    }
    let text = data.text.as_deref().unwrap_or_default();
    if lower.starts_with("application/x-www-form-urlencoded") {
        // The text is what was sent; what browsers list beside it is decoded in some and not in others.
        let fields: Vec<(String, String)> = if text.is_empty() {
            data.params
                .iter()
                .map(|param| (param.name.clone(), param.value.clone().unwrap_or_default()))
                .collect()
        } else {
            let pair = |pair: &str| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name), decoded(value))
            };
            text.split('&').filter(|text| !text.is_empty()).map(pair).collect()
        };
        return if fields.is_empty() { Content::None } else { Content::Form(fields) };
    }
    if text.is_empty() && !data.params.is_empty() {
        notes.say(
            place.clone(),
            format!("the form of type {kind} is recorded without its text; it is sent url-encoded."),
        );
        kind.clear();
        let fields = data.params.iter().filter(|param| param.file_name.is_none());
        return Content::Form(
            fields.map(|param| (param.name.clone(), param.value.clone().unwrap_or_default())).collect(),
        );
    }
    if text.is_empty() { Content::None } else { Content::Text(text.to_owned()) }
}

/// RFC 4648, with or without padding; line ends are passed over.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xFF_FFFF;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        assert_eq!(
            split("https://Shop.example:8443/a?b#c"),
            Some(("https://Shop.example:8443", "shop.example".into(), "/a?b#c"))
        );
        assert_eq!(split("http://[::1]:80"), Some(("http://[::1]:80", "[::1]".into(), "/")));
        assert_eq!(split("data:text/plain,x"), None);
        assert_eq!(split("http://?x"), None);
    }

    #[test]
    fn base64_is_undone() {
        assert_eq!(
            base64("aMOkdHRl").and_then(|bytes| String::from_utf8(bytes).ok()).as_deref(),
            Some("hätte")
        );
        assert_eq!(base64("YQ==").as_deref(), Some(&b"a"[..]));
        assert_eq!(base64("*"), None);
    }
}
