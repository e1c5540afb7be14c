//! URLs from a sitemap (sitemaps.org protocol 0.9): a set of URLs, or an index of further sitemaps; plain or gzip.
//! Bounded in bytes: 50 MB unpacked is what the protocol allows.

use crate::list::Gathered;
use crate::{Listed, Url, beginning};
use flate2::read::GzDecoder;
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;
use std::fmt;
use std::io::Read;

/// Bytes of one sitemap, unpacked.
const SITEMAP_BYTES_MAX: u64 = 52_428_800;
/// Elements in elements: a sitemap needs three, its extensions some more.
const DEPTH_MAX: usize = 32;
/// Bytes of one `loc` that are held: more than a URL may have.
const LOC_BYTES_MAX: usize = 16_000;

/// Why a text is no sitemap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SitemapError {
    /// Longer than 50 MiB, unpacked.
    TooLong,
    /// Neither XML with `<urlset>` or `<sitemapindex>`, nor that in gzip.
    NotASitemap(String),
}

impl fmt::Display for SitemapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("longer than 50 MiB, which no sitemap may be"),
            Self::NotASitemap(why) => write!(f, "not a sitemap: {why}"),
        }
    }
}

impl std::error::Error for SitemapError {}

/// What a sitemap names: pages to ask for, and further sitemaps. One of both is empty.
///
/// # Errors
/// When it is none, or too long.
pub fn from_sitemap(bytes: &[u8]) -> Result<(Listed, Vec<Url>), SitemapError> {
    let text = unpacked(bytes)?;
    let mut reader = Reader::from_str(&text);
    let (mut pages, mut maps) = (Gathered::default(), Gathered::default());
    let (mut is_index, mut depth, mut loc) = (None, 0usize, None::<String>);
    let add = |loc: &mut Option<String>, text: &str| {
        if let Some(loc) = loc
            && loc.len() < LOC_BYTES_MAX
        {
            loc.push_str(text);
        }
    };
    loop {
        let event = reader.read_event().map_err(|error| not(&format!("it is no XML ({error})")))?;
        match event {
            Event::Start(start) => {
                let name = start.local_name();
                if depth == 0 {
                    is_index = match name.as_ref() {
                        b"urlset" => Some(false),
                        b"sitemapindex" => Some(true),
                        _ => return Err(not("its first element is neither urlset nor sitemapindex")),
                    };
                }
                // Only the entry's own: image and video extensions have a `loc` too, deeper or in another name space.
                if name.as_ref() == b"loc" && depth == 2 && start.name().prefix().is_none() {
                    loc = Some(String::new());
                }
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(not("its elements are nested too deeply"));
                }
            }
            Event::Text(text) => add(&mut loc, &String::from_utf8_lossy(&text)),
            Event::GeneralRef(reference) if loc.is_some() => {
                let name = String::from_utf8_lossy(&reference).into_owned();
                let text =
                    unescape(&format!("&{name};")).map_err(|error| not(&error.to_string()))?.into_owned();
                add(&mut loc, &text);
            }
            Event::CData(text) => add(&mut loc, &String::from_utf8_lossy(&text)),
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                let Some(loc) = loc.take() else { continue };
                let into = if is_index == Some(true) { &mut maps } else { &mut pages };
                match Url::parse(&loc) {
                    Ok(url) => into.add(url),
                    Err(error) => into.skip(|| format!("{:?}: {error}", beginning(loc.trim()))),
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if is_index.is_none() {
        return Err(not("it is empty"));
    }
    if depth != 0 {
        return Err(not("it ends in the middle"));
    }
    let Gathered { listed: mut pages, .. } = pages;
    pages.skipped += maps.listed.skipped;
    pages.first_skipped = pages.first_skipped.or(maps.listed.first_skipped);
    Ok((pages, maps.listed.urls))
}

fn not(why: &str) -> SitemapError {
    SitemapError::NotASitemap(beginning(why))
}

fn unpacked(bytes: &[u8]) -> Result<String, SitemapError> {
    let mut out = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let read = GzDecoder::new(bytes).take(SITEMAP_BYTES_MAX + 1).read_to_end(&mut out);
        read.map_err(|error| not(&format!("its gzip is broken ({error})")))?;
    } else {
        out.extend_from_slice(bytes);
    }
    if out.len() as u64 > SITEMAP_BYTES_MAX {
        return Err(SitemapError::TooLong);
    }
    String::from_utf8(out).map_err(|_| not("it is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    const PAGES: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc>http://shop.example/?a=1&amp;b=2</loc><lastmod>2026-11-21</lastmod>
    <image:image><image:loc>http://shop.example/i.jpg</image:loc></image:image></url>
  <url><loc>
     http://shop.example/p/x </loc></url>
  <url><loc><![CDATA[http://shop.example/c]]></loc></url>
  <url><loc>/relative</loc></url>
</urlset>"#;

    fn urls(listed: &Listed) -> Vec<String> {
        listed.urls.iter().map(Url::to_string).collect()
    }

    #[test]
    fn pages_are_read_with_their_escapes_and_without_their_pictures() {
        let (pages, maps) = from_sitemap(PAGES.as_bytes()).unwrap();
        assert_eq!(
            urls(&pages),
            ["http://shop.example/?a=1&b=2", "http://shop.example/p/x", "http://shop.example/c"]
        );
        assert_eq!((pages.skipped, maps.len()), (1, 0));
        assert!(pages.first_skipped.unwrap().starts_with("\"/relative\""));
    }

    #[test]
    fn an_index_names_further_sitemaps_in_gzip_too() {
        let index =
            "<sitemapindex><sitemap><loc>http://shop.example/s1.xml.gz</loc></sitemap></sitemapindex>";
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(index.as_bytes()).unwrap();
        let (pages, maps) = from_sitemap(&packed.finish().unwrap()).unwrap();
        assert_eq!((pages.urls.len(), maps.len()), (0, 1));
        assert_eq!(maps[0].to_string(), "http://shop.example/s1.xml.gz");
    }

    #[test]
    fn what_is_no_sitemap_says_so() {
        for text in ["", "hello", "<html></html>", "<urlset><url><loc>http://a/", "\u{1f}\u{8b}"] {
            assert!(matches!(from_sitemap(text.as_bytes()), Err(SitemapError::NotASitemap(_))), "{text}");
        }
        assert!(from_sitemap(&[0x1f, 0x8b, 1, 2, 3]).is_err());
        assert!(from_sitemap(&[b' ', 0xff]).is_err());
    }

    #[test]
    fn a_small_file_that_unpacks_to_a_large_one_is_refused() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let blank = vec![b' '; 1 << 20];
        for _ in 0..51 {
            packed.write_all(&blank).unwrap();
        }
        assert_eq!(from_sitemap(&packed.finish().unwrap()).unwrap_err(), SitemapError::TooLong);
    }
}
