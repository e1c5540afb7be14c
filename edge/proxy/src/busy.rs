//! What somebody is told who is sent away because the application is at its limit: when to come again, in the form that he reads.
//! Never says why the application is slow.

use crate::answer::{Manner, page};
use crate::stop::Stop;
use crate::visit::Visit;
use tentpole_message::Name;
use tentpole_model::{Cause, Method, Phase, Refused};

/// Seconds, where nothing is known of how long it takes.
const UNKNOWN_S: u64 = 4;

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Html,
    Json,
    Text,
}

impl Form {
    /// Whichever of the two is named; browsers name the first, programs the second.
    fn of(accept: &[u8]) -> Self {
        let names = |wanted: &[u8]| {
            accept.split(|&byte| byte == b',').any(|item| {
                let name = item.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
                name.eq_ignore_ascii_case(wanted)
            })
        };
        match () {
            () if names(b"text/html") => Self::Html,
            () if names(b"application/json") => Self::Json,
            () => Self::Text,
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    /// `again` says that the page may ask once more by itself: that keeps people from asking sooner.
    fn body(self, reason: &str, seconds: u64, again: bool) -> String {
        match self {
            Self::Text => format!("503: too many visitors right now. Please try again in {seconds} s.\n"),
            Self::Json => format!("{{\"status\":503,\"reason\":\"{reason}\",\"retry_after\":{seconds}}}\n"),
            Self::Html => {
                let refresh = match again {
                    true => format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">"),
                    false => String::new(),
                };
                let by_itself = match again {
                    true => "This page tries again by itself",
                    false => "What you sent was not taken. Please go back and send it again",
                };
                format!(
                    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
                     <meta name=\"viewport\" content=\"width=device-width\">{refresh}<title>One moment, please</title>\
                     <style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:30em;margin:20vh auto;padding:0 1em}}</style>\
                     </head><body><h1>One moment, please</h1><p>Very many people are here right now. \
                     {by_itself} in {seconds} s.</p></body></html>\n"
                )
            }
        }
    }
}

/// Whether somebody is sent away because there is no room at an endpoint.
pub(crate) fn is_about_room(stop: &Stop) -> bool {
    match stop {
        Stop::Refused(refused) => matches!(
            refused,
            Refused::QueueFull | Refused::QueueTimeout | Refused::QueueTooLong | Refused::Outranked
        ),
        // A fill that he waited for was sent away.
        Stop::Failed(failure) => failure.phase == Phase::Permit && failure.source == Cause::QueueFull,
        _ => false,
    }
}

impl Visit<'_> {
    /// Writes the answer; `detail` is the word for the reason.
    pub(crate) fn write_busy(&mut self, detail: &str, manner: Manner) {
        let seconds = self.retry_after_s();
        let form = Form::of(self.scratch.request.fields.get(Name::Accept).unwrap_or_default());
        let again = matches!(self.why.method, Method::Get | Method::Head);
        let body = form.body(detail, seconds, again);
        let out = &mut self.scratch.out;
        page(out, 503, form.media_type(), &body, Some(seconds), b"", detail, manner);
    }

    /// When there will be room for him, by the pool's queue.
    fn retry_after_s(&self) -> u64 {
        let view = self.thread.view();
        // The route's number means something only in its own Snapshot.
        let route = self.why.route.filter(|_| self.why.snapshot == view.prepared.version as u8);
        let Some(route) = route else { return UNKNOWN_S };
        let pool = usize::from(view.prepared.route(route).pool.0);
        let random = self.thread.random.borrow_mut().next_u64();
        let after = view.prepared.pools[pool].gate.retry_after(self.rank.priority, random);
        after.as_millis().div_ceil(1_000) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_a_page_programs_json_and_others_a_line() {
        let firefox = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(Form::of(firefox), Form::Html);
        assert_eq!(Form::of(b"application/json, text/plain, */*"), Form::Json);
        assert_eq!(Form::of(b"Application/JSON;q=1"), Form::Json);
        assert_eq!((Form::of(b"*/*"), Form::of(b"")), (Form::Text, Form::Text));
    }

    #[test]
    fn a_page_asks_again_by_itself_only_where_that_sends_nothing_twice() {
        assert!(Form::Html.body("queue_full", 7, true).contains("http-equiv=\"refresh\" content=\"7\""));
        assert!(!Form::Html.body("queue_full", 7, false).contains("refresh"));
        let json: serde_json::Value =
            serde_json::from_str(&Form::Json.body("outranked", 7, true)).expect("it is JSON");
        assert_eq!((&json["reason"], &json["retry_after"]), (&"outranked".into(), &7.into()));
    }
}
