//! The site origin: an application as it is met in the wild, as regards what is personal. People log in with a
//! cookie; some pages say how they may be cached, some say nothing, some say it wrongly. Every personal body contains
//! its owner's marker (`marker-<user>-<random>`), every response names in `X-For` for whom it was made, and every
//! page repeats the target it was made for. Whoever sees somebody else's marker behind a cache has found a fault in
//! the cache.
//!
//! Never fast and never secure: names are taken as given, nothing asks for a password.

mod gzip;
mod pages;
mod people;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::origin::Origin;

pub use pages::{PAGES, Page};
pub use people::{ANONYMOUS, ANYONE, Account};

/// A running site. Ends when dropped.
#[derive(Debug)]
pub struct Site {
    origin: Origin,
}

impl Site {
    /// A site on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When the system gives no port.
    pub async fn start() -> Self {
        Self::on(Origin::start().await)
    }

    /// A site at this address; port 0 takes a free one. Errors are the system's.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        Origin::listen(address).map(Self::on)
    }

    fn on(origin: Origin) -> Self {
        let people = Arc::new(people::People::new());
        origin.forgets_requests();
        origin.otherwise(move |seen| pages::answer(&people, seen));
        Self { origin }
    }

    /// The origin below, for its address, counts and misbehaviour.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}
