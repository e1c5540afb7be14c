//! What can go wrong with a request, and the page that says so in the market's language.

use std::sync::atomic::{AtomicU64, Ordering};

use askama::Template as _;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::page::{MessagePage, Page};
use super::place::Place;
use super::{Shop, reply};

/// Why a request was not served as asked.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// There is no such page.
    Missing,
    /// There is no such page for this visitor; for another there may be.
    Hidden,
    /// The address says something that cannot be read.
    Address,
    /// The page cannot be used with this method.
    Method,
    /// The form does not say what it has to.
    Form,
    /// The form is larger than any that we have.
    TooLarge,
    /// The form came from a strange site.
    CrossSite,
    /// Too many requests at once, or the database did not get to this one.
    Busy,
    /// The database or the system failed us.
    Failed(String),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Self::Busy,
            // SQLITE_BUSY and its extended codes: another process wrote for longer than we wait.
            sqlx::Error::Database(cause) if cause.code().is_some_and(|code| code == "5" || code == "517") => {
                Self::Busy
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<FormRejection> for Trouble {
    fn from(rejection: FormRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { Self::TooLarge } else { Self::Form }
    }
}

impl From<askama::Error> for Trouble {
    fn from(error: askama::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl IntoResponse for Trouble {
    /// Carries the trouble to where the market is known; see `each`.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Failures since the last one that was printed.
static UNSAID: AtomicU64 = AtomicU64::new(0);

impl Trouble {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Hidden => StatusCode::NOT_FOUND,
            Self::Address => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Form => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The page that says so. `asked` is for the log.
    pub(super) fn page(&self, shop: &Shop, place: Place, asked: &str) -> Response {
        if let Self::Failed(cause) = self {
            // A database that fails, fails for every request: the 1st, 2nd, 4th, 8th ... are printed.
            let many = UNSAID.fetch_add(1, Ordering::Relaxed) + 1;
            if many.is_power_of_two() {
                eprintln!("shop: {asked}: {cause} ({many} failures so far)");
            }
        }
        let words = place.market.words;
        let (title, text) = match self {
            Self::Missing | Self::Hidden => (words.not_found, words.not_found_text),
            Self::Method => (words.method, words.method_text),
            Self::Form | Self::TooLarge | Self::Address => (words.wrong, words.wrong_text),
            Self::CrossSite => (words.refused, words.refused_text),
            Self::Busy => (words.busy, words.busy_text),
            Self::Failed(_) => (words.failed, words.failed_text),
        };
        let page = Page::new(shop, place, title.to_owned());
        let html = MessagePage { page, text }.render().unwrap_or_else(|_| title.to_owned());
        let mut response = match self {
            Self::Missing => reply::missing(html, place.market.key),
            _ => reply::private_with(self.status(), reply::HTML, html),
        };
        if matches!(self, Self::Busy) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
