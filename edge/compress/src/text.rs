//! What is worth compressing, by its type and size: what is compressed already, as pictures and films are, is not.

/// Smaller bodies are not: head and body fit into one packet either way.
pub const BYTES_MIN: u64 = 860;

/// Types that are text, or compress like it, beside `text/*` and all that end in `+json`, `+xml` or `+text`.
const TYPES: &[&[u8]] = &[
    b"application/javascript",
    b"application/json",
    b"application/ld+json",
    b"application/manifest+json",
    b"application/rtf",
    b"application/wasm",
    b"application/x-javascript",
    b"application/x-ndjson",
    b"application/xml",
    b"application/vnd.ms-fontobject",
    b"application/x-font-ttf",
    b"font/otf",
    b"font/ttf",
    b"image/bmp",
    b"image/vnd.microsoft.icon",
    b"image/x-icon",
];

/// Whether content of this type becomes much smaller. Parameters of the type do not matter, nor does case.
pub fn is_text(content_type: &[u8]) -> bool {
    let end = content_type.iter().position(|&byte| byte == b';').unwrap_or(content_type.len());
    let media = content_type[..end].trim_ascii();
    let begins = |with: &[u8]| media.len() > with.len() && media[..with.len()].eq_ignore_ascii_case(with);
    let ends = |with: &[u8]| {
        media.len() > with.len() && media[media.len() - with.len()..].eq_ignore_ascii_case(with)
    };
    // Who follows events waits for each of them, and they never end.
    let is_stream = media.eq_ignore_ascii_case(b"text/event-stream");
    !is_stream
        && (begins(b"text/")
            || ends(b"+json")
            || ends(b"+xml")
            || ends(b"+text")
            || TYPES.iter().any(|known| media.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::is_text;

    #[test]
    fn text_is_known_by_its_type() {
        for text in [
            "text/html; charset=utf-8",
            "Text/CSS",
            "application/json",
            "application/problem+json;v=1",
            "image/svg+xml",
            "application/wasm",
            "font/ttf",
        ] {
            assert!(is_text(text.as_bytes()), "{text}");
        }
        for other in [
            "",
            "text/",
            "image/jpeg",
            "font/woff2",
            "application/zip",
            "text/event-stream",
            "+json",
            "video/mp4",
        ] {
            assert!(!is_text(other.as_bytes()), "{other}");
        }
    }
}
