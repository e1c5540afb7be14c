//! One person's connection, walking through the steps; and the one who purges. They meet before each hot step.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Barrier, Semaphore};

use super::mix::{self, Errand, Manner};
use super::report::Report;
use super::{Isolation, Person, Purge, check};
use crate::visitor::{Answer, Ask, Trouble, Visitor};

/// After so many errors nothing more is sent: the edge is not there.
const ERRORS_MAX: u64 = 200;

/// What all walkers share.
pub(super) struct Shared {
    pub(super) isolation: Isolation,
    pub(super) steps: u64,
    pub(super) meeting: Barrier,
    pub(super) under_way: Semaphore,
    pub(super) report: RefCell<Report>,
    pub(super) tokens: RefCell<HashMap<String, String>>,
}

impl Shared {
    fn gave_up(&self) -> bool {
        self.report.borrow().errors >= ERRORS_MAX
    }
}

/// How long a real application may take: all ask for the same at once, and it answers a few at a time.
const APPLICATION_TAKES_MAX: Duration = Duration::from_secs(60);

/// Walks through all steps on one connection at a time.
pub(super) async fn visit(shared: Rc<Shared>, number: usize) {
    let isolation = &shared.isolation;
    let at = number / isolation.connections_each;
    let [high, low] = u16::try_from(at).unwrap_or(u16::MAX).to_be_bytes();
    let mut walker = Walker {
        shared: &shared,
        person: &isolation.people[at],
        from: isolation.own_addresses.then(|| Ipv4Addr::new(127, 2, high, low).into()),
        visitor: None,
        tags: HashMap::new(),
    };
    for step in 0..shared.steps {
        if mix::hot_target(isolation, step).is_some() {
            shared.meeting.wait().await;
        }
        // It is never closed.
        let _one = shared.under_way.acquire().await;
        if !shared.gave_up() {
            walker.run(&mix::errand(isolation, step, number as u64)).await;
        }
    }
}

struct Walker<'a> {
    shared: &'a Shared,
    person: &'a Person,
    from: Option<IpAddr>,
    visitor: Option<Visitor>,
    /// The entity tags seen, by target.
    tags: HashMap<String, String>,
}

impl Walker<'_> {
    async fn run(&mut self, errand: &Errand) {
        let ask = mix::ask(errand, self.person, self.tags.get(&errand.target).map(String::as_str));
        self.shared.report.borrow_mut().requests += 1;
        if errand.manner == Manner::Leave {
            return self.leave(&ask).await;
        }
        match self.ask(&ask).await {
            Ok(answer) => {
                if let Some(tag) = answer.header("etag") {
                    self.tags.insert(errand.target.clone(), tag.to_owned());
                }
                let mut report = self.shared.report.borrow_mut();
                let mut tokens = self.shared.tokens.borrow_mut();
                check::answer(&self.shared.isolation, self.person, errand, &answer, &mut tokens, &mut report);
            }
            Err(trouble) => {
                self.visitor = None;
                let line = format!(
                    "error: {} asked {:?} {}: {trouble}",
                    self.person.name, errand.manner, errand.target
                );
                self.shared.report.borrow_mut().add_error(line);
            }
        }
    }

    async fn leave(&mut self, ask: &Ask) {
        let sent = match self.connection().await {
            Ok(mut visitor) => {
                let bytes = ask.bytes(&self.shared.isolation.host);
                visitor.try_send(bytes).await
            }
            Err(trouble) => Err(trouble),
        };
        let mut report = self.shared.report.borrow_mut();
        match sent {
            // A kept connection may have been closed meanwhile: then it has left even earlier.
            Ok(()) | Err(Trouble::Broken { .. }) => report.left_early += 1,
            Err(trouble) => report.add_error(format!("error: {trouble}")),
        }
    }

    /// Asks on the kept connection if there is one. When that was closed meanwhile, which a server may do, asks again
    /// on a new one (RFC 9112 section 9.3.1).
    async fn ask(&mut self, ask: &Ask) -> Result<Answer, Trouble> {
        let kept = self.visitor.is_some();
        let mut visitor = self.connection().await?;
        let mut answer = visitor.try_ask(ask).await;
        if kept && answer.as_ref().is_err_and(was_closed_before) {
            self.shared.report.borrow_mut().reconnects += 1;
            visitor = self.connection().await?;
            answer = visitor.try_ask(ask).await;
        }
        if answer.as_ref().is_ok_and(|answer| !answer.closed) {
            self.visitor = Some(visitor);
        }
        answer
    }

    async fn connection(&mut self) -> Result<Visitor, Trouble> {
        match self.visitor.take() {
            Some(visitor) => Ok(visitor),
            None => {
                let isolation = &self.shared.isolation;
                let visitor = Visitor::try_connect_from(self.from, isolation.address).await?;
                let visitor = visitor.host(&isolation.host);
                Ok(if isolation.is_site { visitor } else { visitor.patience(APPLICATION_TAKES_MAX) })
            }
        }
    }
}

/// Did the connection end before a byte of the answer came?
fn was_closed_before(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::Closed { waited_for, so_far } => so_far.is_empty() && !waited_for.starts_with("the body"),
        Trouble::Broken { waited_for, .. } => !waited_for.starts_with("the body"),
        _ => false,
    }
}

/// Purges hot targets while the others ask for them.
pub(super) async fn purge(shared: Rc<Shared>) {
    let isolation = &shared.isolation;
    let mut visitor = None;
    for step in 0..shared.steps {
        let Some(target) = mix::hot_target(isolation, step) else { continue };
        shared.meeting.wait().await;
        if !mix::purges(isolation, step) || shared.gave_up() {
            continue;
        }
        let url = format!("http://{}{target}", isolation.host);
        let answer = match &isolation.purge {
            Purge::Never => continue,
            Purge::Admin(address) => post(&mut visitor, *address, "/api/purge", &json!({ "url": url })).await,
            Purge::Thorough { admin, endpoints } => {
                let number = shared.report.borrow().purges;
                match change(number, endpoints) {
                    Some(path) => post(&mut visitor, *admin, &path, &json!({})).await,
                    None => post(&mut visitor, *admin, "/api/purge", &order(number, &url)).await,
                }
            }
            Purge::Call(call) => {
                call(&url);
                shared.report.borrow_mut().purges += 1;
                continue;
            }
        };
        let mut report = shared.report.borrow_mut();
        match answer {
            Ok(answer) if answer.status < 300 => report.purges += 1,
            Ok(answer) => {
                report.add_error(format!("error: the purge got {} {}", answer.status, answer.text()))
            }
            Err(trouble) => report.add_error(format!("error: the purge failed: {trouble}")),
        }
    }
}

/// Each kind of purge in turn; everything seldom, for little is stored after it.
fn order(number: u64, url: &str) -> Value {
    match number % 32 {
        31 => json!({ "all": true }),
        number => match number % 6 {
            0 => json!({ "url": url }),
            1 => json!({ "url": url, "soft": true }),
            2 => json!({ "tags": ["pages"] }),
            3 => json!({ "tags": ["pages"], "soft": true }),
            4 => json!({ "prefix": url }),
            _ => json!({ "prefix": url, "soft": true }),
        },
    }
}

/// Every eighth time an endpoint is drained, and the next time it serves again.
fn change(number: u64, endpoints: &[String]) -> Option<String> {
    let what = match number % 8 {
        3 => "drain",
        4 => "resume",
        _ => return None,
    };
    let at = usize::try_from(number / 8).unwrap_or(0) % endpoints.len().max(1);
    endpoints.get(at).map(|endpoint| format!("/api/pools/{endpoint}/{what}"))
}

async fn post(
    kept: &mut Option<Visitor>,
    address: SocketAddr,
    path: &str,
    body: &Value,
) -> Result<Answer, Trouble> {
    let ask = Ask::post(path, body.to_string()).header("Content-Type", "application/json");
    if let Some(mut visitor) = kept.take()
        && let Ok(answer) = visitor.try_ask(&ask).await
    {
        *kept = Some(visitor).filter(|_| !answer.closed);
        return Ok(answer);
    }
    let mut visitor = Visitor::try_connect(address).await?;
    let answer = visitor.try_ask(&ask).await?;
    *kept = Some(visitor).filter(|_| !answer.closed);
    Ok(answer)
}
