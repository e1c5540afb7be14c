//! What a script is told about a request (RFC 3875 section 4.1), as nginx's `fastcgi_params` name it. A function of what
//! it is given: where the script is was decided before (`script`).
//!
//! Never told: `HTTP_PROXY`, which scripts take for a setting of their own; fields whose names hold anything but
//! letters, digits and hyphens, because `X_A` and `X-A` would be one variable; fields of the connection.

use crate::Script;
use std::net::SocketAddr;
use tentpole_message::{Field, Fields, Name, RequestHead};

/// Most bytes of all pairs of a request: four times what a head may have.
pub const PARAMS_BYTES_MAX: usize = 128 * 1024;

/// A request in name-value pairs (FastCGI 1.0 section 3.4).
#[derive(Clone, Debug, Default)]
pub struct Params {
    pairs: Vec<u8>,
    is_too_large: bool,
}

/// The pairs have more than [`PARAMS_BYTES_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamsTooLarge;

/// What is asked, as far as the head does not say it, or must not be believed.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Method, version and fields.
    pub head: &'a RequestHead,
    /// Path and query as the script shall see them, escaped: `REQUEST_URI`.
    pub path_and_query: &'a [u8],
    /// What runs, and the path behind it.
    pub script: &'a Script,
    /// Where the scripts lie on the application's machine, without a slash at the end.
    pub document_root: &'a [u8],
    /// The length of the content; `None` when there is none.
    pub content_length: Option<u64>,
    /// `host[:port]` as the visitor asked for it: `HTTP_HOST`, whatever the field says.
    pub host: &'a [u8],
    /// The host without its port, or the site's name.
    pub server_name: &'a [u8],
    /// Who asks; port 0 is not known and not told.
    pub visitor: SocketAddr,
    /// Where he was accepted: `SERVER_ADDR`.
    pub accepted_at: SocketAddr,
    /// The port that visitors ask for, which a balancer in front may hold: `SERVER_PORT`.
    pub server_port: u16,
    /// Whether the visitor came by https.
    pub is_https: bool,
}

impl Params {
    /// Without pairs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties it and keeps its buffer.
    pub fn clear(&mut self) {
        self.pairs.clear();
        self.is_too_large = false;
    }

    /// Adds a pair. A name that is added twice is for the application to judge: PHP takes the last.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_parts(&[name], &[value]);
    }

    /// Adds everything about a request, without the fields that `skip` says.
    pub fn push_request(&mut self, asked: &Asked<'_>, skip: impl Fn(&Field<'_>) -> bool) {
        self.push_script(asked);
        self.push_place(asked);
        self.push_fields(&asked.head.fields, asked.host, skip);
    }

    /// All pairs, for [`write_params`](crate::write_params).
    ///
    /// # Errors
    /// They are too many; what did not fit is not there.
    pub fn pairs(&self) -> Result<&[u8], ParamsTooLarge> {
        if self.is_too_large { Err(ParamsTooLarge) } else { Ok(&self.pairs) }
    }

    fn push_script(&mut self, asked: &Asked<'_>) {
        let Asked { script, document_root: root, .. } = asked;
        self.push_parts(&[b"SCRIPT_FILENAME"], &[root, script.name()]);
        self.push(b"SCRIPT_NAME", script.name());
        self.push(b"DOCUMENT_URI", script.name());
        self.push(b"DOCUMENT_ROOT", root);
        self.push(b"PATH_INFO", script.path_info());
    }

    fn push_place(&mut self, asked: &Asked<'_>) {
        let head = asked.head;
        let question = memchr::memchr(b'?', asked.path_and_query);
        let query = question.map_or(&[][..], |at| &asked.path_and_query[at + 1..]);
        let length = asked.content_length.map(|length| length.to_string()).unwrap_or_default();
        self.push(b"GATEWAY_INTERFACE", b"CGI/1.1");
        self.push(b"SERVER_SOFTWARE", b"tentpole");
        self.push(b"SERVER_PROTOCOL", if head.minor_version == 0 { b"HTTP/1.0" } else { b"HTTP/1.1" });
        self.push(b"REQUEST_METHOD", head.method_bytes());
        self.push(b"REQUEST_SCHEME", if asked.is_https { b"https" } else { b"http" });
        self.push(b"REQUEST_URI", asked.path_and_query);
        self.push(b"QUERY_STRING", query);
        self.push(b"CONTENT_TYPE", head.fields.get(Name::ContentType).unwrap_or_default());
        self.push(b"CONTENT_LENGTH", length.as_bytes());
        if asked.is_https {
            self.push(b"HTTPS", b"on");
        }
        self.push(b"REMOTE_ADDR", asked.visitor.ip().to_canonical().to_string().as_bytes());
        if asked.visitor.port() != 0 {
            self.push(b"REMOTE_PORT", asked.visitor.port().to_string().as_bytes());
        }
        self.push(b"SERVER_ADDR", asked.accepted_at.ip().to_canonical().to_string().as_bytes());
        self.push(b"SERVER_PORT", asked.server_port.to_string().as_bytes());
        self.push(b"SERVER_NAME", asked.server_name);
        // PHP that is built with force-cgi-redirect runs nothing without it.
        self.push(b"REDIRECT_STATUS", b"200");
    }

    fn push_fields(&mut self, fields: &Fields, host: &[u8], skip: impl Fn(&Field<'_>) -> bool) {
        self.push(b"HTTP_HOST", host);
        let is_told = |field: &Field<'_>| may_be_told(field) && !skip(field);
        for (index, field) in fields.iter().enumerate().filter(|(_, field)| is_told(field)) {
            let is_same = |other: &Field<'_>| other.name.eq_ignore_ascii_case(field.name);
            if fields.iter().take(index).any(|earlier| is_same(&earlier) && is_told(&earlier)) {
                continue;
            }
            // Section 4.1.18: fields of one name become one value.
            let separator: &[u8] = if field.id == Name::Cookie { b"; " } else { b", " };
            let mut values = vec![field.value];
            for later in fields.iter().skip(index + 1).filter(|later| is_same(later) && is_told(later)) {
                values.extend([separator, later.value]);
            }
            let name: Vec<u8> = field.name.iter().map(|&byte| variable_byte(byte)).collect();
            self.push_parts(&[b"HTTP_", &name], &values);
        }
    }

    fn push_parts(&mut self, name: &[&[u8]], value: &[&[u8]]) {
        let bytes = |parts: &[&[u8]]| parts.iter().map(|part| part.len()).sum::<usize>();
        let (name_bytes, value_bytes) = (bytes(name), bytes(value));
        // Eight for the two lengths.
        if self.is_too_large || self.pairs.len() + name_bytes + value_bytes + 8 > PARAMS_BYTES_MAX {
            self.is_too_large = true;
            return;
        }
        self.push_length(name_bytes);
        self.push_length(value_bytes);
        name.iter().chain(value).for_each(|part| self.pairs.extend_from_slice(part));
    }

    /// One byte, or four with the highest bit set (section 3.4).
    fn push_length(&mut self, bytes: usize) {
        match bytes {
            0..=127 => self.pairs.push(bytes as u8),
            _ => self.pairs.extend_from_slice(&(bytes as u32 | 1 << 31).to_be_bytes()),
        }
    }
}

/// Whether a script is told of a field by its own name.
fn may_be_told(field: &Field<'_>) -> bool {
    let is_variable = field.name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_elsewhere = matches!(
        field.id,
        // Content-* have variables of their own, Host is given, and the rest is between the visitor and the edge.
        Name::ContentLength | Name::ContentType | Name::Host | Name::Expect | Name::ProxyAuthorization
    );
    is_variable && !is_elsewhere && !field.id.is_hop_by_hop() && !field.name.eq_ignore_ascii_case(b"proxy")
}

fn variable_byte(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScriptRules;

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::new();
        let method = head.fields.append(b"POST");
        let target = head.fields.append(b"/ignored");
        head.set_line(method, target, 1);
        fields.iter().for_each(|(name, value)| head.fields.push(name.as_bytes(), value.as_bytes()));
        head
    }

    fn told(fields: &[(&str, &str)], change: impl FnOnce(&mut Asked<'_>)) -> Vec<(String, String)> {
        let head = head(fields);
        let rules = ScriptRules::default();
        let crate::Found::Script(script) = rules.find(b"/a%20b/x.php/more", |_| true) else {
            panic!("no script")
        };
        let mut asked = Asked {
            head: &head,
            path_and_query: b"/a%20b/x.php/more?q=1?2",
            script: &script,
            document_root: b"/var/www",
            content_length: Some(12),
            host: b"shop.example:8443",
            server_name: b"shop.example",
            visitor: "[::ffff:192.0.2.7]:5000".parse().unwrap(),
            accepted_at: "10.0.0.1:8080".parse().unwrap(),
            server_port: 8443,
            is_https: true,
        };
        change(&mut asked);
        let mut params = Params::new();
        params.push_request(&asked, |field| field.name == b"X-Hidden");
        read(params.pairs().unwrap())
    }

    /// Takes pairs with short lengths apart.
    fn read(mut pairs: &[u8]) -> Vec<(String, String)> {
        let mut read = Vec::new();
        while let [name, value, rest @ ..] = pairs {
            let (name_bytes, rest) = rest.split_at(usize::from(*name));
            let (value_bytes, rest) = rest.split_at(usize::from(*value));
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            read.push((text(name_bytes), text(value_bytes)));
            pairs = rest;
        }
        read
    }

    fn get<'a>(told: &'a [(String, String)], name: &str) -> Option<&'a str> {
        told.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_script_is_told_where_it_is_and_what_was_asked() {
        let told = told(&[("content-type", "text/plain"), ("Content-Length", "99")], |_| {});
        for (name, value) in [
            ("SCRIPT_FILENAME", "/var/www/a b/x.php"),
            ("SCRIPT_NAME", "/a b/x.php"),
            ("PATH_INFO", "/more"),
            ("DOCUMENT_ROOT", "/var/www"),
            ("REQUEST_URI", "/a%20b/x.php/more?q=1?2"),
            ("QUERY_STRING", "q=1?2"),
            ("REQUEST_METHOD", "POST"),
            ("CONTENT_TYPE", "text/plain"),
            ("CONTENT_LENGTH", "12"),
            ("HTTPS", "on"),
            ("HTTP_HOST", "shop.example:8443"),
            ("SERVER_NAME", "shop.example"),
            ("SERVER_PORT", "8443"),
            ("REMOTE_ADDR", "192.0.2.7"),
            ("REMOTE_PORT", "5000"),
        ] {
            assert_eq!(get(&told, name), Some(value), "{name}");
        }
        let mut names: Vec<&String> = told.iter().map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), told.len(), "each is told once");
    }

    #[test]
    fn without_content_and_https_it_is_told_so() {
        let told = told(&[], |asked| {
            asked.content_length = None;
            asked.is_https = false;
        });
        assert_eq!(get(&told, "CONTENT_LENGTH"), Some(""));
        assert_eq!(get(&told, "HTTPS"), None, "PHP takes any value but off for yes");
        assert_eq!(get(&told, "REQUEST_SCHEME"), Some("http"));
    }

    #[test]
    fn fields_that_could_be_taken_for_something_else_are_not_told() {
        let told = told(
            &[
                ("Proxy", "http://evil.example"),
                ("X_Forwarded_For", "6.6.6.6"),
                ("X-Hidden", "1"),
                ("Host", "other.example"),
                ("Connection", "close"),
                ("Transfer-Encoding", "chunked"),
                ("Proxy-Authorization", "Basic x"),
                ("X.A", "1"),
                ("Authorization", "Basic y"),
            ],
            |_| {},
        );
        let fields: Vec<&str> =
            told.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("HTTP_")).collect();
        assert_eq!(fields, ["HTTP_HOST", "HTTP_AUTHORIZATION"]);
        assert_eq!(get(&told, "HTTP_HOST"), Some("shop.example:8443"));
    }

    #[test]
    fn fields_of_one_name_become_one_value() {
        let told =
            told(&[("cookie", "a=1"), ("X-A", "1"), ("x-a", "2"), ("Cookie", "b=2"), ("X-a", "3")], |_| {});
        assert_eq!(get(&told, "HTTP_COOKIE"), Some("a=1; b=2"));
        assert_eq!(get(&told, "HTTP_X_A"), Some("1, 2, 3"));
    }

    #[test]
    fn long_names_and_values_have_long_lengths_and_all_of_them_a_limit() {
        let mut params = Params::new();
        params.push(b"A", &[b'x'; 127]);
        params.push(b"B", &[b'y'; 128]);
        let pairs = params.pairs().unwrap();
        assert_eq!(pairs[..3], [1, 127, b'A']);
        assert_eq!(pairs[130..136], [1, 0x80, 0, 0, 128, b'B']);
        params.push(b"C", &vec![b'z'; PARAMS_BYTES_MAX]);
        assert_eq!(params.pairs(), Err(ParamsTooLarge));
        params.push(b"D", b"");
        assert_eq!(params.pairs(), Err(ParamsTooLarge), "what is missing stays missing");
        params.clear();
        assert_eq!(params.pairs(), Ok(&[][..]));
    }
}
