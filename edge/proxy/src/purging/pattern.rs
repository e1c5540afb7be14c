//! The regular expressions that shops and plug-ins send, read by their form: which tags, which paths. Runs none, and
//! refuses what has another form.

/// What `X-Magento-Tags-Pattern` means.
#[derive(Debug, PartialEq, Eq)]
pub enum TagsPattern {
    /// `.*`
    Everything,
    /// One of these.
    Tags(Vec<String>),
}

/// What a path written as a regular expression means.
#[derive(Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// Every target that begins with this.
    Below(String),
    /// A page, with and without a slash at its end, whatever its query.
    Page(String),
}

/// Reads `((^|,)TAG(,|$))|((^|,)TAG(,|$))`, as Magento writes it, or `.*`. `None` for anything else.
pub fn magento_tags(pattern: &str) -> Option<TagsPattern> {
    let pattern = pattern.trim();
    if pattern == ".*" {
        return Some(TagsPattern::Everything);
    }
    let mut tags = Vec::new();
    let mut rest = pattern;
    loop {
        let (tag, after) = rest.strip_prefix("((^|,)")?.split_once("(,|$))")?;
        if !is_literal(tag) {
            return None;
        }
        tags.push(tag.to_owned());
        if after.is_empty() {
            return Some(TagsPattern::Tags(tags));
        }
        rest = after.strip_prefix('|')?;
    }
}

/// Reads a path with `.*` (or `*`) at its end, which `X-Purge-Method: regex` and `BAN` send: every target that begins
/// alike. What has no such end is meant to match what begins with it too, for an expression without `$` does.
pub fn path(pattern: &str) -> Option<PathPattern> {
    let anchored = pattern.strip_prefix('^').unwrap_or(pattern);
    let literal = anchored.strip_suffix("(.*)").or_else(|| anchored.strip_suffix(".*"));
    let literal = literal.or_else(|| anchored.strip_suffix('*')).unwrap_or(anchored);
    unescape(literal).filter(|path| path.starts_with('/')).map(PathPattern::Below)
}

/// Reads the `X-Ban-Regex` of Proxy Cache Purge: `^/the/path($|/$|\?.*|/\?.*)`.
pub fn ban(pattern: &str) -> Option<PathPattern> {
    let path = pattern.strip_prefix('^')?.strip_suffix(r"($|/$|\?.*|/\?.*)")?;
    unescape(path).filter(|path| path.is_empty() || path.starts_with('/')).map(PathPattern::Page)
}

/// Text in which every sign stands for itself, but for a point: nobody escapes that one.
fn is_literal(text: &str) -> bool {
    !text.is_empty()
        && !text.contains([',', '(', ')', '[', ']', '{', '}', '|', '\\', '^', '$', '*', '+', '?'])
}

/// A literal text in which signs may be escaped; `None` when there is more in it than that.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => plain.push(signs.next().filter(char::is_ascii_punctuation)?),
            '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' | '*' | '+' | '?' => return None,
            _ => plain.push(sign),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magentos_own_patterns_are_their_tags() {
        let tags = |pattern: &str| match magento_tags(pattern) {
            Some(TagsPattern::Tags(tags)) => Some(tags.join(" ")),
            _ => None,
        };
        assert_eq!(tags("((^|,)cat_p_1(,|$))|((^|,)cat_p(,|$))").as_deref(), Some("cat_p_1 cat_p"));
        assert_eq!(tags("((^|,)cms_b_footer.links(,|$))").as_deref(), Some("cms_b_footer.links"));
        assert_eq!(magento_tags(".*"), Some(TagsPattern::Everything));
        assert_eq!(magento_tags(" .* "), Some(TagsPattern::Everything));
    }

    #[test]
    fn a_chunk_as_long_as_magento_makes_it_is_read() {
        let pattern = |number| format!("((^|,)cat_p_{number}(,|$))");
        let all: Vec<String> = (0..350).map(pattern).collect();
        let Some(TagsPattern::Tags(tags)) = magento_tags(&all.join("|")) else { panic!("not read") };
        assert_eq!((tags.len(), tags[349].as_str()), (350, "cat_p_349"));
    }

    #[test]
    fn any_other_regular_expression_is_refused() {
        for pattern in [
            "",
            "cat_p_1",
            ".+",
            "^.*$",
            "((^|,)cat_p_.*(,|$))",
            "((^|,)cat_p_[0-9](,|$))",
            "((^|,)(a|b)(,|$))",
            "((^|,)a(,|$))|",
            "((^|,)a(,|$))|b",
            "|((^|,)a(,|$))",
            "((^|,)a(,|$))((^|,)b(,|$))",
            "((^|,)(,|$))",
            "((^|,)a,b(,|$))",
            "(a+)+$",
        ] {
            assert_eq!(magento_tags(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn paths_with_a_star_at_their_end_are_beginnings() {
        for (pattern, below) in [
            ("/.*", "/"),
            ("/blog/.*", "/blog/"),
            ("^/blog/.*", "/blog/"),
            ("/*", "/"),
            ("/wp-json/wp/v2/posts/7", "/wp-json/wp/v2/posts/7"),
            ("/a/index\\.html.*", "/a/index.html"),
            ("/k%C3%A4se.*", "/k%C3%A4se"),
        ] {
            assert_eq!(path(pattern), Some(PathPattern::Below(below.to_owned())), "{pattern}");
        }
        for pattern in
            ["", ".*", "/a|/b", "/a(b|c).*", "/a.*b.*", "/a$", "/[0-9]+", "/a?.*", "blog/.*", "/\\d.*"]
        {
            assert_eq!(path(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn a_page_with_any_query_is_read_as_its_plug_in_writes_it() {
        let page = |text: &str| Some(PathPattern::Page(text.to_owned()));
        assert_eq!(ban(r"^/the/path($|/$|\?.*|/\?.*)"), page("/the/path"));
        assert_eq!(ban(r"^($|/$|\?.*|/\?.*)"), page(""), "the front page");
        for pattern in [".*", r"^/the/.*($|/$|\?.*|/\?.*)", r"/the/path($|/$|\?.*|/\?.*)", "^/the/path"] {
            assert_eq!(ban(pattern), None, "{pattern}");
        }
    }
}
