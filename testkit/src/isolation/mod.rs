//! The isolation harness: does anybody see what is somebody else's? Logged-in and anonymous people send a seeded mix
//! of requests over kept connections, half of the time all at the same target at the same moment, while pages are
//! purged and visitors leave early. Every answer is searched for markers of others. Works through any cache, against
//! the [`crate::site`] or against a real application whose sessions are given.
//!
//! A clean report shows that this mix found nothing, not that nothing is there; and only if own markers and cache
//! hits were seen, which is why they are counted.

mod check;
mod mix;
mod report;
mod walk;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::{JoinSet, LocalSet};

pub use report::{Leak, Report};

use crate::site::{Account, PAGES};
use crate::visitor::{Ask, Trouble, Visitor};

/// Somebody who visits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Person {
    /// Who it is, for the report and for `X-For`.
    pub name: String,
    /// What stands in this person's own pages and must stand in nobody else's; none for anonymous visitors.
    #[serde(default)]
    pub marker: Option<String>,
    /// The value of `Cookie`; empty for none.
    #[serde(default)]
    pub cookie: String,
    /// The value of `Authorization`, sent instead of the cookie to paths that start with `/api`.
    #[serde(default)]
    pub authorization: Option<String>,
}

impl Person {
    /// A visitor who is not logged in. Some send a cookie all the same, as a statistics script sets it.
    pub fn anonymous(number: usize) -> Self {
        let cookie = if number % 2 == 1 { format!("_stats=1.{number}") } else { String::new() };
        Self { name: crate::site::ANONYMOUS.to_owned(), marker: None, cookie, authorization: None }
    }
}

/// How pages are purged while the people visit.
#[derive(Clone)]
pub enum Purge {
    /// Not at all.
    Never,
    /// With `POST /api/purge {"url": …}` at this address.
    Admin(SocketAddr),
    /// With every kind of purge that the admin API at this address has (URL, prefix, tag, everything; hard and soft), and
    /// with changes of what is published between them: these endpoints are drained and resumed in turn, so that the
    /// weights change all the time. Name two, so that one always serves.
    Thorough {
        /// The admin API.
        admin: SocketAddr,
        /// Paths below `/api/pools/`: `app/endpoints/127.0.0.1:3000`.
        endpoints: Vec<String>,
    },
    /// By calling this with the URL, which must not take long.
    Call(Arc<dyn Fn(&str) + Send + Sync>),
}

impl std::fmt::Debug for Purge {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Never => out.write_str("Never"),
            Self::Admin(address) => out.debug_tuple("Admin").field(address).finish(),
            Self::Thorough { admin, endpoints } => {
                out.debug_tuple("Thorough").field(admin).field(endpoints).finish()
            }
            Self::Call(_) => out.write_str("Call"),
        }
    }
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Isolation {
    /// Where the edge listens.
    pub address: SocketAddr,
    /// The `Host` that is sent.
    pub host: String,
    /// Who visits.
    pub people: Vec<Person>,
    /// What they visit: targets that start with `/`.
    pub targets: Vec<String>,
    /// Is the [`crate::site`] behind the edge? Then languages, encodings, one-time tokens, the page's name and `X-For` are checked too.
    pub is_site: bool,
    /// Kept connections of each person.
    pub connections_each: usize,
    /// Requests, all in all; rounded down to a multiple of the number of connections.
    pub requests: u64,
    /// The same seed gives the same requests, though not the same interleaving.
    pub seed: u64,
    /// How pages are purged meanwhile.
    pub purge: Purge,
    /// Requests under way at most; none for as many as there are connections. A real application answers a few at a
    /// time, and whom it makes wait too long proves nothing.
    pub at_once: Option<usize>,
    /// Everybody has an address of their own, in 127.0.0.0/8: what is learned from visitors tells them apart by it.
    pub own_addresses: bool,
}

/// Why a run could not begin.
#[derive(Debug)]
pub enum Unfit {
    /// Nobody to visit or nothing to visit.
    Empty,
    /// A marker is shorter than 8 bytes, or contained in another one, so that finding it would prove nothing.
    Marker(String),
    /// A login at the site did not work.
    Login(String),
    /// The edge could not be talked to.
    Trouble(Trouble),
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => out.write_str("there must be people, targets and connections"),
            Self::Marker(marker) => write!(out, "marker {marker:?} is too short or part of another one"),
            Self::Login(answer) => write!(out, "the login failed: {answer}"),
            Self::Trouble(trouble) => write!(out, "{trouble}"),
        }
    }
}

impl std::error::Error for Unfit {}

const MARKER_BYTES_MIN: usize = 8;

impl Isolation {
    /// A run against the [`crate::site`] behind `address`: logs `users` people in, through the edge, and adds as many
    /// `anonymous` ones. Three pages of each kind are visited. Change the fields for anything else.
    pub async fn at_site(
        address: SocketAddr,
        host: &str,
        users: usize,
        anonymous: usize,
    ) -> Result<Self, Unfit> {
        let mut people: Vec<_> = (0..anonymous).map(Person::anonymous).collect();
        for number in 0..users {
            people.push(log_in(address, host, &format!("u{number}")).await?);
        }
        let pages =
            PAGES.iter().flat_map(|page| (0..3).map(move |number| format!("/{}/{number}", page.name)));
        let searches = (0..3).map(|number| format!("/search/0?q={number}"));
        Ok(Self { is_site: true, ..Self::at(address, host, people, pages.chain(searches).collect()) })
    }

    /// A run against any application behind `address`.
    pub fn at(address: SocketAddr, host: &str, people: Vec<Person>, targets: Vec<String>) -> Self {
        Self {
            address,
            host: host.to_owned(),
            people,
            targets,
            is_site: false,
            connections_each: 2,
            requests: 5_000,
            seed: 1,
            purge: Purge::Never,
            at_once: None,
            own_addresses: false,
        }
    }

    /// Runs it.
    pub async fn run(self) -> Result<Report, Unfit> {
        self.check()?;
        let walkers = self.people.len() * self.connections_each;
        let purging = !matches!(self.purge, Purge::Never);
        let shared = Rc::new(walk::Shared {
            steps: self.requests / walkers as u64,
            under_way: Semaphore::new(self.at_once.unwrap_or(walkers).max(1)),
            meeting: Barrier::new(walkers + usize::from(purging)),
            report: RefCell::new(Report::default()),
            tokens: RefCell::default(),
            isolation: self,
        });
        let local = LocalSet::new();
        let mut tasks = JoinSet::new();
        for number in 0..walkers {
            tasks.spawn_local_on(walk::visit(shared.clone(), number), &local);
        }
        if purging {
            tasks.spawn_local_on(walk::purge(shared.clone()), &local);
        }
        let wait = async { while tasks.join_next().await.is_some_and(|done| done.is_ok()) {} };
        local.run_until(wait).await;
        Ok(shared.report.take())
    }

    fn check(&self) -> Result<(), Unfit> {
        if self.people.is_empty() || self.targets.is_empty() || self.connections_each == 0 {
            return Err(Unfit::Empty);
        }
        let markers: Vec<_> = self.people.iter().filter_map(|person| person.marker.as_ref()).collect();
        for (at, marker) in markers.iter().enumerate() {
            let inside =
                |(other_at, other): (usize, &&String)| other_at != at && other.contains(marker.as_str());
            if marker.len() < MARKER_BYTES_MIN || markers.iter().enumerate().any(inside) {
                return Err(Unfit::Marker((*marker).clone()));
            }
        }
        Ok(())
    }
}

async fn log_in(address: SocketAddr, host: &str, name: &str) -> Result<Person, Unfit> {
    let mut visitor = Visitor::try_connect(address).await.map_err(Unfit::Trouble)?.host(host);
    let answer =
        visitor.try_ask(&Ask::post("/login", format!("user={name}"))).await.map_err(Unfit::Trouble)?;
    let account = serde_json::from_slice::<Account>(&answer.body);
    let account = account.map_err(|_| Unfit::Login(format!("{} {}", answer.status, answer.text())))?;
    Ok(Person {
        name: account.name,
        marker: Some(account.marker),
        cookie: format!("session={}", account.session),
        authorization: Some(format!("Bearer {}", account.session)),
    })
}
