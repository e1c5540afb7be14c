//! Lines of an access log → requests: the common and combined formats, and Tentpole's own JSON. A line at a time, so that
//! memory does not grow with the file.

use jiff::Timestamp;
use jiff::fmt::strtime;
use serde::Deserialize;

/// A line as many servers write it.
pub const EXAMPLE: &str =
    r#"203.0.113.9 - - [10/Oct/2025:13:55:36 +0200] "GET /shoes?page=2 HTTP/1.1" 200 2326"#;
/// Longer lines are not read.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// A request as a log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// When, in µs since 1970. Most logs know whole seconds only.
    pub unix_us: u64,
    /// The visitor's address, as it was written.
    pub address: String,
    /// What he said that he is; empty when the log has none.
    pub user_agent: String,
    /// GET, POST, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// How it was answered; 0 when the log does not say.
    pub status: u16,
}

#[derive(Deserialize)]
struct Json {
    time: String,
    #[serde(default)]
    peer: String,
    #[serde(default)]
    client: Option<String>,
    method: String,
    target: Option<String>,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    user_agent: Option<String>,
}

/// Reads a line.
///
/// # Errors
/// What it lacks.
pub fn line(text: &str) -> Result<Logged, String> {
    if text.len() > LINE_BYTES_MAX {
        return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
    }
    let logged = if text.trim_start().starts_with('{') { json(text)? } else { common(text)? };
    let is_plain = logged.target.bytes().all(|byte| (0x21..=0x7e).contains(&byte) || byte >= 0x80);
    if !logged.target.starts_with('/') || !is_plain {
        return Err(format!("\"{}\" is no path", short(&logged.target)));
    }
    Ok(logged)
}

fn json(text: &str) -> Result<Logged, String> {
    let read: Json = serde_json::from_str(text).map_err(|error| format!("not Tentpole's JSON: {error}"))?;
    let time: Timestamp = read.time.parse().map_err(|_| format!("\"{}\" is no time", short(&read.time)))?;
    Ok(Logged {
        unix_us: u64::try_from(time.as_microsecond()).unwrap_or(0),
        address: read.client.unwrap_or(read.peer),
        user_agent: read.user_agent.unwrap_or_default(),
        method: read.method,
        target: read.target.unwrap_or_default(),
        status: read.status,
    })
}

/// `address ident user [time] "request" status bytes "referer" "user agent"`.
fn common(text: &str) -> Result<Logged, String> {
    let (address, rest) = text.split_once(' ').ok_or("no address at its beginning")?;
    let open = rest.find('[').ok_or("no [time]")?;
    let (time, rest) = rest[open + 1..].split_once(']').ok_or("no end of [time]")?;
    let time = strtime::parse("%d/%b/%Y:%H:%M:%S %z", time)
        .and_then(|time| time.to_timestamp())
        .map_err(|_| format!("\"{}\" is no time such as 10/Oct/2025:13:55:36 +0200", short(time)))?;
    let (request, rest) = quoted(rest).ok_or("no \"request\"")?;
    let mut words = request.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(format!("\"{}\" is no request", short(&request)));
    };
    let status = rest.split_whitespace().next().and_then(|status| status.parse().ok()).ok_or("no status")?;
    let user_agent =
        quoted(rest).and_then(|(_, rest)| quoted(rest)).map_or(String::new(), |(agent, _)| agent);
    Ok(Logged {
        unix_us: u64::try_from(time.as_microsecond()).unwrap_or(0),
        address: address.to_owned(),
        user_agent: if user_agent == "-" { String::new() } else { user_agent },
        method: method.to_owned(),
        target: target.to_owned(),
        status,
    })
}

/// The next text in quotes, with `\"` and `\x22` undone, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let start = text.find('"')? + 1;
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = start;
    loop {
        match *bytes.get(at)? {
            b'"' => break,
            b'\\' => {
                let hex = bytes.get(at + 2..at + 4).and_then(|hex| std::str::from_utf8(hex).ok());
                match (bytes.get(at + 1)?, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
                    (b'x', Some(byte)) => {
                        out.push(byte);
                        at += 4;
                    }
                    (other, _) => {
                        out.push(*other);
                        at += 2;
                    }
                }
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Some((String::from_utf8_lossy(&out).into_owned(), text.get(at + 1..)?))
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_formats_of_the_field_are_read() {
        let combined = r#"203.0.113.9 - ann [10/Oct/2025:13:55:36 +0200] "GET /a?b=\"c\x22 HTTP/1.1" 200 2326 "http://x/" "Mozilla/5.0 (X)""#;
        let read = line(combined).expect("combined");
        assert_eq!((read.unix_us, read.status), (1_760_097_336_000_000, 200));
        assert_eq!((read.target.as_str(), read.user_agent.as_str()), ("/a?b=\"c\"", "Mozilla/5.0 (X)"));
        let common = r#"::1 - - [10/Oct/2025:11:55:36 +0000] "POST /cart HTTP/1.0" 302 -"#;
        let read = line(common).expect("common");
        assert_eq!(
            (read.unix_us, read.method.as_str(), read.user_agent.as_str()),
            (1_760_097_336_000_000, "POST", "")
        );
        let json = r#"{"time":"2025-10-10T11:55:36.250000Z","peer":"::1","method":"GET","target":"/x","status":404,"took_us":5}"#;
        let read = line(json).expect("JSON");
        assert_eq!((read.unix_us, read.status, read.address.as_str()), (1_760_097_336_250_000, 404, "::1"));
    }

    #[test]
    fn the_line_that_is_shown_is_one() {
        assert_eq!(line(EXAMPLE).map(|read| read.target).as_deref(), Ok("/shoes?page=2"));
    }

    #[test]
    fn what_a_line_lacks_is_told() {
        let wrong = |text: &str| line(text).expect_err("wrong");
        assert_eq!(wrong("1.2.3.4 - - today"), "no [time]");
        assert!(wrong("1.2.3.4 - - [yesterday] \"GET / HTTP/1.1\" 200 1").contains("is no time such as"));
        assert!(
            wrong("1.2.3.4 - - [10/Oct/2025:11:55:36 +0000] \"\\x16\\x03\" 400 1").contains("is no request")
        );
        assert!(
            wrong("1.2.3.4 - - [10/Oct/2025:11:55:36 +0000] \"GET http://x/ HTTP/1.1\" 400 1")
                .contains("is no path")
        );
        assert!(wrong("{}").contains("not Tentpole's JSON"));
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(text in "\\PC{0,80}", shaped in "[a ]{0,3}\\[[0-9/:a-zA-Z +]{0,26}\\] \"[\\\\x0-9a\" /]{0,20}") {
            let _ = line(&text);
            let _ = line(&shaped);
        }
    }
}
