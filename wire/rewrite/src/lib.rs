//! Rewrites the links of an HTML page that lead to certain paths, so that they lead to another host: where pictures, styles
//! and scripts are fetched from. Works on pieces as they come, in bounded memory, and gives the same wherever they are
//! cut. Pure: knows no response, and not what a page is.
//!
//! What is rewritten: `src`, `href`, `srcset`, `imagesrcset`, `poster`, `style`, `xlink:href` of SVG's `image`, and `url(…)`
//! in `<style>`. Links that begin with a slash, and those to the page's own host.
//!
//! What is not:
//! - Scripts, titles, text areas, comments: a `<` in them begins no element.
//! - Links to documents (`iframe`, `frame`, `base`), and SVG's `use`, which browsers load from the page's own host only.
//! - An element with `integrity` and without `crossorigin`: browsers do not load such a thing from another host.
//! - Links relative to the page, those with dot segments, and those that a `<base>` leads to another host.
//! - Whatever is beyond a limit: it stays as it came.

mod css;
mod rewriter;
mod rules;
mod srcset;
mod tag;

pub use rewriter::Rewriter;
pub use rules::Rules;

/// Bytes of a tag whose links are rewritten.
pub const TAG_BYTES_MAX: usize = 16 * 1024;
/// Bytes between the parentheses of a `url(…)` that is rewritten.
pub const URL_BYTES_MAX: usize = 4 * 1024;

/// A page that is there as a whole, rewritten.
pub fn rewrite(rules: &std::sync::Arc<Rules>, host: &[u8], page: &[u8]) -> Vec<u8> {
    let mut rewriter = Rewriter::new(rules.clone(), host);
    let mut out = Vec::with_capacity(page.len() + page.len() / 8);
    rewriter.feed(page, &mut out);
    rewriter.finish(&mut out);
    out
}
