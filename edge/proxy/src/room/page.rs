//! A room's page: ours, or a template of the operator's with the same parts in it. Small, without anything from another
//! host, and readable without a script: then the browser renews it by itself.

use crate::room::words::Words;
use std::fmt::Write;
use tentpole_room::{Phase, Waiting};

/// Our page.
const OURS: &str = include_str!("page.html");
/// What keeps it fresh.
const SCRIPT: &str = include_str!("page.js");

/// What a visitor reads, in his language.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    pub(crate) title: &'a str,
    pub(crate) message: &'static str,
    pub(crate) place: String,
    pub(crate) estimate: String,
    /// The same in seconds, from which the page counts down until it asks again.
    pub(crate) estimate_s: Option<u64>,
    pub(crate) waiting: String,
    pub(crate) keep: &'static str,
}

impl<'a> Text<'a> {
    pub(crate) fn of(words: &'static Words, waiting: &Waiting) -> Self {
        let (message, place) = match waiting.phase {
            Phase::Early => (words.early, String::new()),
            Phase::Closed => (words.closed, words.number(waiting.place)),
            _ if waiting.estimate_s == Some(0) => (words.next, words.number(waiting.place)),
            _ => (words.waiting, words.number(waiting.place)),
        };
        let estimate = match waiting.estimate_s {
            None if waiting.phase == Phase::Closed => String::new(),
            None => words.unknown.to_owned(),
            Some(seconds) if seconds < 60 => words.soon.to_owned(),
            // Rounded up: who is told ten minutes is glad after nine.
            Some(seconds) if seconds < 5_400 => {
                words.minutes.replace("{n}", &seconds.div_ceil(60).to_string())
            }
            Some(seconds) if seconds < 48 * 3_600 => {
                words.hours.replace("{n}", &((seconds + 1_800) / 3_600).to_string())
            }
            Some(seconds) => words.days.replace("{n}", &((seconds + 43_200) / 86_400).to_string()),
        };
        let keep = if waiting.phase == Phase::Early { words.keep_early } else { words.keep };
        let estimate_s = waiting.estimate_s;
        Self {
            title: words.title,
            message,
            place,
            estimate,
            estimate_s,
            waiting: words.number(waiting.waiting),
            keep,
        }
    }

    /// To one whose browser keeps no ticket.
    pub(crate) fn without_cookie(self, words: &'static Words) -> Self {
        Self { message: words.no_cookies, keep: "", ..self }
    }

    pub(crate) fn plain(words: &'static Words, message: &'static str) -> Self {
        let keep = if message == words.waiting { words.keep } else { "" };
        let (place, estimate, waiting) = (String::new(), String::new(), String::new());
        Self { title: words.title, message, place, estimate, estimate_s: None, waiting, keep }
    }

    /// Under a title that the operator has chosen, or under what the message says first when it is about the doors: who may
    /// not come in at all is not told that he is in line. A template keeps its title while the rest is renewed.
    pub(crate) fn titled(self, words: &'static Words, title: Option<&'a str>, has_template: bool) -> Self {
        let about_doors = [words.early, words.closed, words.over, words.full].contains(&self.message);
        match (title, self.message.split_once(". ")) {
            (Some(title), _) => Self { title, ..self },
            (None, Some((title, message))) if about_doors && !has_template => Self { title, message, ..self },
            _ => self,
        }
    }
}

/// The page. `refresh_ms` is when it renews itself; `None` is never. `ticket` is what it asks with where no cookie is kept.
pub(crate) fn page(
    template: Option<&str>,
    words: &'static Words,
    text: &Text<'_>,
    refresh_ms: Option<u64>,
    ticket: &str,
) -> String {
    let title = escaped(text.title);
    let mut page = String::with_capacity(6_000);
    let mut rest = template.unwrap_or(OURS);
    while let Some((before, behind)) = rest.split_once("{{") {
        page.push_str(before);
        let Some((name, behind)) = behind.split_once("}}") else { break };
        match name {
            "title" => page.push_str(&title),
            "language" => page.push_str(words.code),
            "status" => write_status(&mut page, words, text),
            "script" => write_script(&mut page, refresh_ms, text.estimate_s, ticket),
            // Templates are checked when the configuration is read.
            _ => {}
        }
        rest = behind;
    }
    page.push_str(rest);
    page
}

fn write_status(page: &mut String, words: &'static Words, text: &Text<'_>) {
    // Writing into a String cannot fail.
    let _ = write!(
        page,
        "<p id=\"room-message\" role=\"status\" aria-live=\"polite\">{}</p>\n<dl>",
        text.message
    );
    let about = match words.code {
        "de" => "Wartezeit",
        "fr" => "Attente estimée",
        "es" => "Espera estimada",
        "it" => "Attesa stimata",
        "nl" => "Wachttijd",
        "pl" => "Czas oczekiwania",
        "sv" => "Väntetid",
        _ => "Estimated wait",
    };
    let rows = [
        (words.place, "room-place", &text.place),
        (about, "room-estimate", &text.estimate),
        (words.waiting_count, "room-waiting", &text.waiting),
    ];
    for (label, id, value) in rows {
        let hidden = if value.is_empty() { " hidden" } else { "" };
        let _ = write!(page, "<div{hidden}><dt>{label}</dt><dd id=\"{id}\">{value}</dd></div>");
    }
    let _ = write!(page, "</dl>\n<p id=\"room-keep\">{}</p>", text.keep);
    if !text.keep.is_empty() {
        let _ = write!(page, "<noscript><p id=\"room-cookies\">{}</p></noscript>", words.cookies);
    }
}

fn write_script(page: &mut String, refresh_ms: Option<u64>, estimate_s: Option<u64>, ticket: &str) {
    let Some(refresh_ms) = refresh_ms else { return };
    let seconds = refresh_ms.div_ceil(1_000).max(5);
    let estimate = estimate_s.map_or_else(|| "null".to_owned(), |seconds| seconds.to_string());
    let script = SCRIPT.replacen("REFRESH", &refresh_ms.to_string(), 1).replacen("ESTIMATE", &estimate, 1);
    let _ = write!(
        page,
        "<noscript><meta http-equiv=\"refresh\" content=\"{seconds}\"></noscript>\n<script>{}</script>",
        script.replacen("TICKET", ticket, 1)
    );
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::words::LANGUAGES;

    #[test]
    fn the_page_is_small_whole_and_asks_no_other_host_in_any_language() {
        for words in &LANGUAGES {
            let text = Text {
                title: words.title,
                message: words.early,
                place: "1234567".into(),
                estimate: words.minutes.replace("{n}", "59"),
                estimate_s: Some(3_540),
                waiting: "1234567".into(),
                keep: words.keep,
            };
            let page = page(None, words, &text, Some(67_000), &"5a".repeat(45));
            assert!(page.len() < 10_000, "{}: {} bytes", words.code, page.len());
            assert!(
                !page.contains("{{")
                    && !page.contains("REFRESH")
                    && !page.contains("TICKET")
                    && !page.contains("ESTIMATE")
                    && !page.contains("//"),
                "{page}"
            );
            assert!(page.contains(&format!("<html lang=\"{}\">", words.code)));
            assert!(page.contains("aria-live=\"polite\"") && page.contains("<noscript>"));
        }
    }

    #[test]
    fn a_title_is_a_text() {
        let words = &LANGUAGES[0];
        let text = Text::plain(words, "").titled(words, Some("<b>\"a\"&'"), false);
        let page = page(Some("{{title}}"), words, &text, None, "");
        assert_eq!(page, "&lt;b&gt;&quot;a&quot;&amp;&#39;");
    }

    #[test]
    fn who_may_not_come_in_is_not_told_that_he_is_in_line() {
        for words in &LANGUAGES {
            for message in [words.early, words.closed, words.over, words.full] {
                let text = Text::plain(words, message).titled(words, None, false);
                assert_eq!(format!("{}. {}", text.title, text.message), message);
                assert!(!text.title.is_empty() && !text.message.is_empty() && text.keep.is_empty());
                // Titles of others stay.
                let theirs = Text::plain(words, message).titled(words, Some("Sale"), true);
                assert_eq!((theirs.title, theirs.message), ("Sale", message));
                assert_eq!(Text::plain(words, message).titled(words, None, true).title, words.title);
            }
            let text = Text::plain(words, words.waiting).titled(words, None, false);
            assert_eq!((text.title, text.message, text.keep), (words.title, words.waiting, words.keep));
        }
    }
}
