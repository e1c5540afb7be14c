//! What somebody hears whom a filter refuses: a browser a page, a program that asks for JSON an object, all others a line. Never
//! cached, never which filter it was.

use crate::answer::{self, Manner};
use std::io::Write;
use tentpole_http1 as http1;
use tentpole_message::{Fields, Name};
use tentpole_model::{Method, Puzzle, Refused};
use tentpole_runtime::clock;

/// The page with the puzzle. `TOKEN`, `BITS` and `LIFETIME` stand for what they say.
const PAGE: &str = include_str!("page.html");

/// How a filter refuses.
pub(crate) enum No {
    Denied,
    /// Whoever comes after so many seconds may.
    Limited {
        seconds: u64,
    },
    Challenged {
        puzzle: Puzzle,
        token: Option<String>,
        method: Method,
    },
}

impl No {
    pub(crate) fn refused(&self) -> Refused {
        match self {
            Self::Denied => Refused::Denied,
            Self::Limited { .. } => Refused::RateLimited,
            Self::Challenged { .. } => Refused::Challenged,
        }
    }

    /// Writes the answer to a request with these fields.
    pub(crate) fn write(&self, out: &mut Vec<u8>, fields: &Fields, manner: Manner) {
        let says = |word: &[u8]| {
            let mut lines = fields.all(Name::Accept);
            lines.any(|line| line.windows(word.len()).any(|piece| piece.eq_ignore_ascii_case(word)))
        };
        let refused = self.refused();
        let (kind, body, extra) = match self {
            Self::Challenged { puzzle, token: Some(token), method: Method::Get | Method::Head }
                if says(b"text/html") =>
            {
                // Only this page's own script runs, and asks nobody.
                let policy = format!(
                    "Content-Security-Policy: default-src 'none'; script-src 'nonce-{token}'; worker-src blob:; \
                     style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\n\
                     X-Robots-Tag: noindex\r\n"
                );
                ("text/html; charset=utf-8", page(*puzzle, token), policy)
            }
            _ if says(b"json") => {
                let retry = match self {
                    Self::Limited { seconds } => format!(",\"retry_after\":{seconds}"),
                    _ => String::new(),
                };
                let (label, words) = (refused.label(), self.words());
                let body = format!(
                    "{{\"status\":{},\"reason\":\"{label}\",\"detail\":\"{words}\"{retry}}}\n",
                    refused.status()
                );
                ("application/json", body, String::new())
            }
            _ => {
                let body = format!("{}: {}\n", refused.status(), self.words());
                ("text/plain; charset=utf-8", body, String::new())
            }
        };
        http1::write_status_line(out, refused.status(), b"");
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(&clock::date_value());
        // Writing into a Vec cannot fail.
        let _ = write!(out, "\r\nContent-Type: {kind}\r\nCache-Control: no-store\r\n{extra}");
        if let Self::Limited { seconds } = self {
            let _ = write!(out, "Retry-After: {seconds}\r\n");
        }
        let _ = write!(
            out,
            "Content-Length: {}\r\nCache-Status: tentpole; detail={}\r\n",
            body.len(),
            refused.label()
        );
        answer::connection(out, manner);
        out.extend_from_slice(b"\r\n");
        if !manner.head_only {
            out.extend_from_slice(body.as_bytes());
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Denied => "this is not served to you.".to_owned(),
            Self::Limited { seconds } => format!("too many requests. Please try again in {seconds} s."),
            Self::Challenged { .. } => {
                "this is for browsers right now. Please open the site in one first; then this works too."
                    .to_owned()
            }
        }
    }
}

fn page(puzzle: Puzzle, token: &str) -> String {
    PAGE.replace("TOKEN", token)
        .replace("BITS", &puzzle.bits.to_string())
        .replace("LIFETIME", &puzzle.lifetime.as_secs().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tentpole_model::Version;

    fn written(no: &No, accept: &str) -> String {
        clock::renew();
        let manner = Manner { head_only: false, keep_alive: true, version: Version::Http11, hsts_s: 0 };
        let (mut out, mut fields) = (Vec::new(), Fields::new());
        fields.push(b"Accept", accept.as_bytes());
        no.write(&mut out, &fields, manner);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert!(head.contains("\r\nCache-Control: no-store\r\n"), "{head}");
        text
    }

    #[test]
    fn a_browser_gets_a_page_a_program_an_object_and_others_a_line() {
        let puzzle = Puzzle { bits: 12, lifetime: Duration::from_secs(60) };
        let challenge = |method| No::Challenged { puzzle, token: Some("abc123".into()), method };
        let page = written(&challenge(Method::Get), "text/html,*/*");
        assert!(page.starts_with("HTTP/1.1 403 ") && page.contains("<noscript>"), "{page}");
        assert!(page.contains("'nonce-abc123'") && page.contains("nonce=\"abc123\""), "{page}");
        assert!(!page.contains("TOKEN") && !page.contains("BITS") && !page.contains("LIFETIME"), "{page}");
        let posted = written(&challenge(Method::Post), "text/html");
        assert!(
            posted.contains("\r\n\r\n403: this is for browsers"),
            "what was sent would be lost: {posted}"
        );
        let json = written(&No::Limited { seconds: 7 }, "application/json");
        assert!(json.starts_with("HTTP/1.1 429 ") && json.contains("\r\nRetry-After: 7\r\n"), "{json}");
        assert!(json.contains("\"retry_after\":7"), "{json}");
        assert!(written(&No::Denied, "*/*").ends_with("\r\n\r\n403: this is not served to you.\n"));
    }
}
