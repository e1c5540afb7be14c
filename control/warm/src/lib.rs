//! Fills the cache ahead of an event: asks an edge for what visitors will ask for, at a bounded rate, and says what
//! came of it. What to ask for comes from a sitemap, a list or an access log. Uses nothing of the edge but HTTP: it is
//! a visitor with a list. Never sends anything but GET, never follows a link to another host, and stops by itself
//! when the application struggles.

mod ask;
mod list;
mod log;
mod run;
mod sitemap;
mod url;

pub use ask::{Came, Failed};
pub use list::{Listed, from_list};
pub use log::{LogOptions, from_log};
pub use run::{NotRead, Outcome, Plan, Progress, Stopped, read_sitemap, warm};
pub use sitemap::{SitemapError, from_sitemap};
pub use url::{Url, UrlError};

/// URLs in one plan: a sitemap holds 50,000 at most, and a list this long takes hours at the usual rate.
pub const URLS_MAX: usize = 1_000_000;
/// Bytes of all of them together.
const URLS_BYTES_MAX: usize = 128 << 20;

/// The beginning of a text that somebody else has written.
fn beginning(text: &str) -> String {
    const SHOWN_MAX: usize = 100;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
