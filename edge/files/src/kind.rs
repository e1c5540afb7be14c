//! Media types by the endings of names: what the web uses, after IANA's registry. Whatever is not here is bytes, which
//! browsers save.

/// Ending, type, and whether a browser takes a file of this ending for what the type says and for nothing else.
const KINDS: &[(&str, &str, bool)] = &[
    ("html", "text/html; charset=utf-8", true),
    ("htm", "text/html; charset=utf-8", true),
    ("css", "text/css; charset=utf-8", true),
    ("js", "text/javascript; charset=utf-8", true),
    ("mjs", "text/javascript; charset=utf-8", true),
    ("json", "application/json", true),
    ("map", "application/json", true),
    ("webmanifest", "application/manifest+json", true),
    ("xml", "application/xml; charset=utf-8", true),
    ("xsl", "application/xml; charset=utf-8", true),
    ("xhtml", "application/xhtml+xml; charset=utf-8", true),
    ("rss", "application/rss+xml; charset=utf-8", true),
    ("atom", "application/atom+xml; charset=utf-8", true),
    ("svg", "image/svg+xml", true),
    ("png", "image/png", true),
    ("apng", "image/apng", true),
    ("jpg", "image/jpeg", true),
    ("jpeg", "image/jpeg", true),
    ("gif", "image/gif", true),
    ("webp", "image/webp", true),
    ("avif", "image/avif", true),
    ("jxl", "image/jxl", true),
    ("bmp", "image/bmp", true),
    ("ico", "image/vnd.microsoft.icon", true),
    ("tif", "image/tiff", true),
    ("tiff", "image/tiff", true),
    ("woff", "font/woff", true),
    ("woff2", "font/woff2", true),
    ("ttf", "font/ttf", true),
    ("otf", "font/otf", true),
    ("eot", "application/vnd.ms-fontobject", true),
    ("wasm", "application/wasm", true),
    ("mp4", "video/mp4", true),
    ("m4v", "video/mp4", true),
    ("webm", "video/webm", true),
    ("ogv", "video/ogg", true),
    ("mov", "video/quicktime", true),
    ("mp3", "audio/mpeg", true),
    ("m4a", "audio/mp4", true),
    ("aac", "audio/aac", true),
    ("ogg", "audio/ogg", true),
    ("oga", "audio/ogg", true),
    ("opus", "audio/ogg", true),
    ("flac", "audio/flac", true),
    ("wav", "audio/wav", true),
    ("m3u8", "application/vnd.apple.mpegurl", true),
    ("mpd", "application/dash+xml", true),
    ("m4s", "video/iso.segment", true),
    ("ts", "video/mp2t", true),
    ("vtt", "text/vtt; charset=utf-8", true),
    ("pdf", "application/pdf", true),
    ("txt", "text/plain; charset=utf-8", false),
    ("md", "text/markdown; charset=utf-8", false),
    ("csv", "text/csv; charset=utf-8", false),
    ("ics", "text/calendar; charset=utf-8", false),
    ("vcf", "text/vcard; charset=utf-8", false),
    ("yaml", "application/yaml", false),
    ("yml", "application/yaml", false),
    ("zip", "application/zip", false),
    ("gz", "application/gzip", false),
    ("tgz", "application/gzip", false),
    ("bz2", "application/x-bzip2", false),
    ("zst", "application/zstd", false),
    ("7z", "application/x-7z-compressed", false),
    ("tar", "application/x-tar", false),
    ("epub", "application/epub+zip", false),
    ("rtf", "application/rtf", false),
    ("doc", "application/msword", false),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", false),
    ("xls", "application/vnd.ms-excel", false),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", false),
    ("ppt", "application/vnd.ms-powerpoint", false),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation", false),
    ("odt", "application/vnd.oasis.opendocument.text", false),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet", false),
];

/// The value of `Content-Type` for a file of this name.
pub fn media_type(name: &str) -> &'static str {
    let file = name.rsplit('/').next().unwrap_or(name);
    extension(file).and_then(kind).map_or("application/octet-stream", |(_, media_type, _)| media_type)
}

/// Whether a browser takes a file of this ending for what its type says.
pub(crate) fn is_for_browsers(extension: &str) -> bool {
    kind(extension).is_some_and(|(_, _, browsers)| *browsers)
}

/// What stands behind the last dot of a file's name.
pub(crate) fn extension(file: &str) -> Option<&str> {
    file.rsplit_once('.').map(|(_, extension)| extension)
}

fn kind(extension: &str) -> Option<&'static (&'static str, &'static str, bool)> {
    KINDS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_its_charset_and_what_is_unknown_is_bytes() {
        assert_eq!(media_type("a/b.HTML"), "text/html; charset=utf-8");
        assert_eq!(media_type("a.b/c"), "application/octet-stream");
        assert_eq!(media_type("a.woff2"), "font/woff2");
        assert_eq!(media_type("a.exe"), "application/octet-stream");
        for (ending, media_type, _) in KINDS {
            assert!(
                media_type.starts_with("text/") == media_type.contains("charset")
                    || media_type.contains("xml")
            );
            assert_eq!(KINDS.iter().filter(|(other, ..)| other == ending).count(), 1, "{ending}");
        }
    }
}
