//! HTML that cannot be broken out of: markup comes from this program's own constants, everything else goes through
//! [`Markup::text`], which escapes. There is no way to add other people's text as markup.

use serde::Serialize;
use std::fmt::{Display, Write};

/// HTML under construction.
#[derive(Default)]
pub struct Markup(String);

impl Markup {
    /// Markup that stands in this program.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, for between tags or inside a quoted attribute.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        let _ = write!(Escaping(&mut self.0), "{text}");
        self
    }

    /// Other markup.
    pub fn add(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// Values for a script, as the content of a `<script type="application/json">`.
    pub fn json(&mut self, value: &impl Serialize) -> &mut Self {
        let text = serde_json::to_string(value).expect("what a page shows has only keys that JSON can have");
        self.0.push_str(&in_script(&text));
        self
    }

    /// The finished HTML.
    pub fn finish(self) -> String {
        self.0
    }
}

/// JSON that no HTML parser takes for a tag, a comment or the script's end. In JSON these characters stand in strings
/// only, so writing them as escapes changes no value.
fn in_script(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out
}

struct Escaping<'a>(&'a mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Not allowed in HTML, and one way to make a reader see other text than there is.
                c if c.is_control() && c != '\n' && c != '\t' => self.0.push('\u{fffd}'),
                '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        let mut markup = Markup::default();
        markup.raw("<a title=\"").text("\"><script>alert('x')</script>&\u{0}\u{2028}\u{202e}").raw("\">");
        let html = markup.finish();
        assert_eq!(
            html,
            "<a title=\"&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;\u{fffd}\u{fffd}\u{fffd}\">"
        );
    }

    #[test]
    fn values_for_a_script_survive_and_cannot_end_it() {
        let hostile = "</script><!-- <script> ]]> & \u{2028}\u{2029} \" \\ ü";
        let mut markup = Markup::default();
        markup.json(&hostile);
        let html = markup.finish();
        assert!(!html.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{html}");
        assert_eq!(serde_json::from_str::<String>(&html).unwrap(), hostile);
    }
}
