//! Values as TOML writes them. Knows no setting.

/// A text in quotes.
pub fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key: bare where it may be.
pub fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { text(name) }
}

/// An inline table of texts; what has a name twice becomes a list.
pub fn table(entries: &[(String, String)]) -> String {
    let mut done: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, value) in entries {
        match done.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => done.push((name, vec![value])),
        }
    }
    let entry = |(name, values): &(&str, Vec<&str>)| match values.as_slice() {
        [one] => format!("{} = {}", key(name), text(one)),
        all => format!("{} = {}", key(name), list(all)),
    };
    format!("{{ {} }}", done.iter().map(entry).collect::<Vec<_>>().join(", "))
}

/// A list of texts.
pub fn list<T: AsRef<str>>(values: &[T]) -> String {
    format!("[{}]", values.iter().map(|value| text(value.as_ref())).collect::<Vec<_>>().join(", "))
}
