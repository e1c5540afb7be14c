//! Where a virtual user's own resolver leads him, in a run with a population of resolvers; without one, everybody goes to the
//! addresses of the run. A journey of the open model is another visitor's, and so is one of the closed model
//! unless its cookies last: another visitor asks anew.

use crate::generator::Thread;
use crate::hosts::Host;
use crate::result::FailureCause;
use std::net::SocketAddr;
use std::time::Duration;
use tentpole_runtime::Instant;

/// How long a visitor goes where he was led without asking again, whatever the TTL, as browsers do.
const KEPT: Duration = Duration::from_secs(60);

/// One visitor's.
#[derive(Debug, Default)]
pub(crate) struct Way(Option<Box<Led>>);

#[derive(Debug)]
struct Led {
    /// Who he is to his resolver.
    who: Option<u64>,
    /// When what he does was due.
    due: Instant,
    /// Where he was led, and when: the number of a host, and its addresses. Empty for nowhere.
    host: usize,
    there: Host,
    since: Instant,
}

impl Way {
    /// A journey begins; `stays` says that its visitor is who walked the one before.
    pub(crate) fn begin(&mut self, stays: bool) {
        if let Some(led) = self.0.as_mut().filter(|_| !stays) {
            led.who = None;
            led.there.addresses.clear();
        }
    }

    /// Something is due.
    pub(crate) fn due(&mut self, thread: &Thread, due: Instant) {
        if thread.plan.resolvers.is_none() {
            return;
        }
        let led = self.0.get_or_insert_with(|| {
            let there = Host { name: String::new(), authority: String::new(), addresses: Vec::new() };
            Box::new(Led { who: None, due, host: 0, there, since: due })
        });
        led.due = due;
    }

    /// Finds where the host is, unless that is known; `dials` says that there is no connection.
    pub(crate) async fn find(
        &mut self,
        thread: &Thread,
        host: usize,
        dials: bool,
    ) -> Result<(), FailureCause> {
        let (Some(led), Some(resolvers)) = (&mut self.0, &thread.plan.resolvers) else { return Ok(()) };
        let is_known = led.host == host && !led.there.addresses.is_empty();
        if is_known && !(dials && led.due.since(led.since) >= KEPT) {
            return Ok(());
        }
        let named = &thread.plan.hosts.all[host];
        let who = *led.who.get_or_insert_with(|| resolvers.newcomer());
        led.there.addresses.clear();
        let time = thread.plan.connect_timeout.min(thread.plan.timeout);
        let asked = tokio::time::timeout(time, resolvers.lead(who, host, &named.name, led.due)).await;
        let Ok(Ok(found)) = asked else { return Err(FailureCause::Unresolved) };
        let port = thread.plan.hosts.port;
        (led.host, led.since) = (host, led.due);
        led.there.name.clone_from(&named.name);
        led.there.addresses.extend(found.addresses.into_iter().map(|ip| SocketAddr::new(ip, port)));
        Ok(())
    }

    /// Whether a connection to there is one to where he was led.
    pub(crate) fn leads_to(&self, to: SocketAddr) -> bool {
        self.0.as_ref().is_none_or(|led| led.there.addresses.first() == Some(&to))
    }

    /// Where to dial, if a resolver said so.
    pub(crate) fn there(&self) -> Option<&Host> {
        self.0.as_ref().map(|led| &led.there)
    }

    /// This address of several is the one that answered.
    pub(crate) fn reached(&mut self, to: SocketAddr) {
        if let Some(led) = &mut self.0 {
            led.there.addresses.sort_by_key(|other| *other != to);
        }
    }

    /// A request that was due ended.
    pub(crate) fn ended(&self, thread: &Thread, failed: bool) {
        let (Some(led), Some(resolvers)) = (&self.0, &thread.plan.resolvers) else { return };
        if let Some(to) = led.there.addresses.first() {
            resolvers.ended(to.ip(), led.due, failed);
        }
    }
}
