//! Paths: percent-encoding both ways, and the segments that are meant when slashes are doubled.

/// `text` as one segment of a path. Letters outside ASCII are encoded as UTF-8 (RFC 3986, 2.1).
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// The text behind a percent-encoded segment; `None` if it is no UTF-8 or is encoded wrongly.
pub(super) fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The segments of a path, without the empty ones that doubled slashes make.
pub(super) fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{decode, encode, segments};

    #[test]
    fn letters_survive_the_way_out_and_back() {
        for text in ["robe-en-lin-zoé", "weiß", "röcke", "a b/c%d", "日本"] {
            assert_eq!(decode(&encode(text)).as_deref(), Some(text));
        }
        assert_eq!(encode("zoé"), "zo%C3%A9");
    }

    #[test]
    fn what_is_no_text_is_nothing() {
        for wrong in ["%", "%4", "%zz", "%ff", "%C3"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn doubled_slashes_do_not_count() {
        assert_eq!(segments("//p///a/").collect::<Vec<_>>(), ["p", "a"]);
    }
}
