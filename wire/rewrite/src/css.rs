//! `url(…)` in styles (CSS Values and Units, section 4.5): in an attribute, which is there as a whole, and in `<style>`.

use crate::rules::OfPage;

/// Quotes that may stand around an address; in an attribute they may be written as entities.
const QUOTES: [&[u8]; 7] = [b"\"", b"'", b"&quot;", b"&#34;", b"&#039;", b"&#39;", b"&apos;"];

/// Writes a style with its links rewritten.
pub(crate) fn write(page: &OfPage<'_>, style: &[u8], out: &mut Vec<u8>) {
    let mut search = Search::default();
    let mut from = 0;
    for (at, &byte) in style.iter().enumerate() {
        if at < from || !search.opens(byte) {
            continue;
        }
        let inner = &style[at + 1..];
        let Some(length) = inner.iter().position(|&byte| byte == b')') else { break };
        out.extend_from_slice(&style[from..=at]);
        write_inner(page, &inner[..length], out);
        from = at + 1 + length;
    }
    out.extend_from_slice(&style[from..]);
}

/// Writes what stands between the parentheses.
pub(crate) fn write_inner(page: &OfPage<'_>, inner: &[u8], out: &mut Vec<u8>) {
    let begin = inner.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let quote = QUOTES.into_iter().find(|quote| inner[begin..].starts_with(quote)).unwrap_or_default();
    let (before, url) = inner.split_at(begin + quote.len());
    let end = match quote {
        [] => url.trim_ascii_end().len(),
        quote => url.windows(quote.len()).position(|window| window == quote).unwrap_or(url.len()),
    };
    let (url, after) = url.split_at(end);
    out.extend_from_slice(before);
    page.write(url, out);
    out.extend_from_slice(after);
}

/// Looks for `url(`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Search {
    /// Letters of it that are there.
    found: u8,
    /// The byte before belongs to a name.
    in_name: bool,
}

impl Search {
    /// Takes the next byte; true for the parenthesis of a `url(`.
    pub(crate) fn opens(&mut self, byte: u8) -> bool {
        let in_name = std::mem::replace(
            &mut self.in_name,
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'\\' | 0x80..),
        );
        let wanted = b"url("[usize::from(self.found)];
        self.found = match byte.eq_ignore_ascii_case(&wanted) && (self.found > 0 || !in_name) {
            true => self.found + 1,
            false => 0,
        };
        let opens = self.found == 4;
        if opens {
            self.found = 0;
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rules;

    #[test]
    fn urls_in_styles_are_rewritten_in_whatever_quotes() {
        let rules = Rules::new("//a", &["/s/*".into()]);
        let page = OfPage { rules: &rules, host: b"h", foreign_base: false };
        for (style, expect) in [
            ("background:url(/s/1)", "background:url(//a/s/1)"),
            ("background: URL( \"/s/1\" ) red", "background: URL( \"//a/s/1\" ) red"),
            ("a:url('/s/1'),url(/s/2 )", "a:url('//a/s/1'),url(//a/s/2 )"),
            ("a:url(&quot;/s/1&quot;)", "a:url(&quot;//a/s/1&quot;)"),
            ("a:url(&#039;/s/1&#039;)", "a:url(&#039;//a/s/1&#039;)"),
            ("a:curl(/s/1);b:ur(/s/1);c:-url(/s/1)", "a:curl(/s/1);b:ur(/s/1);c:-url(/s/1)"),
            ("a:url(/x/1);b:url(/s/1", "a:url(/x/1);b:url(/s/1"),
            ("uurl(/s/1) u url(/s/1)", "uurl(/s/1) u url(//a/s/1)"),
            ("a:url(data:,/s/1)", "a:url(data:,/s/1)"),
        ] {
            let mut out = Vec::new();
            write(&page, style.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expect, "{style}");
        }
    }
}
