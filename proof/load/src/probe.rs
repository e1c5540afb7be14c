//! One request before a run: is anybody there, and does the URL lead somewhere else? Loads nothing.

use crate::conductor::Stop;
use crate::connection::Connection;
use crate::plan::Plan;
use crate::result::FailureCause;
use crate::transport::Transport;
use crate::url::Url;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tentpole_http1::{write_field, write_request_line};
use tentpole_message::ResponseHead;
use tentpole_model::{EndpointTls, Method};
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::{self, Deadline};
use tentpole_tls::Client;

/// How often a site is asked whether it answers again, and for how long each time.
const ASK_EVERY: Duration = Duration::from_millis(250);
const ASK_FOR: Duration = Duration::from_secs(2);

/// What one request found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// An answer.
    Answered {
        /// Its status.
        status: u16,
        /// Where it came from.
        from: SocketAddr,
    },
    /// A redirect to a host or port that is not of the run.
    LeadsAway(String),
    /// None.
    Unreachable(FailureCause),
}

/// Asks once for the plan's URL. Errors are the system's: no runtime could be made.
pub fn probe(plan: &Plan) -> io::Result<Probed> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    Ok(runtime.block_on(async {
        tokio::select! {
            probed = ask(plan) => probed,
            () = sweep() => Probed::Unreachable(FailureCause::TimedOut),
        }
    }))
}

async fn sweep() {
    loop {
        deadline::sweep(clock::renew());
        tokio::time::sleep(deadline::SWEEP_EVERY).await;
    }
}

async fn ask(plan: &Plan) -> Probed {
    let deadline = Deadline::new();
    let host = &plan.hosts.all[0];
    deadline.set_at(clock::now().after(plan.connect_timeout));
    let mut connection =
        match Connection::dial(&plan.transport, plan.transport.version, host, 0, &deadline).await {
            Ok((connection, _)) => connection,
            Err(cause) => return Probed::Unreachable(cause),
        };
    let mut request = Vec::new();
    write_request_line(&mut request, b"GET", plan.url.target.as_bytes());
    write_field(&mut request, b"Host", host.authority.as_bytes());
    request.extend_from_slice(&plan.mark.line(clock::now().unix_seconds(), None));
    request.extend_from_slice(b"User-Agent: tentpole-load\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    let mut head = ResponseHead::new();
    deadline.set_at(clock::now().after(plan.timeout));
    let answer = connection.exchange(&request, Method::Get, &mut head, &mut Vec::new(), 0, &deadline).await;
    if let Err(broken) = answer {
        return Probed::Unreachable(broken.cause);
    }
    let location = head.fields.find(b"location").next().filter(|_| (300..400).contains(&head.status));
    let there = location.and_then(|location| plan.url.join(&String::from_utf8_lossy(location)).ok());
    match there {
        Some(there) if plan.hosts.place_of(&there).is_none() => Probed::LeadsAway(there.to_string()),
        _ => Probed::Answered { status: head.status, from: connection.to },
    }
}

/// The same place by the other scheme, where it answers by that: http where https is wanted, https where it is not. Asks once;
/// whoever answers is believed, because nothing is asked of him but what he speaks.
pub fn by_other_scheme(plan: &Plan) -> Option<Url> {
    let mut plan = plan.clone();
    plan.url.https = !plan.url.https;
    let settings = EndpointTls { verify: false, ..EndpointTls::default() };
    let tls = plan.url.https.then(|| Client::load(&settings)).transpose().ok()?;
    plan.transport = Transport {
        tls: tls.map(|(client, _)| client.without_tickets()),
        sources: plan.transport.sources,
        ..Transport::default()
    };
    plan.timeout = plan.timeout.min(ASK_FOR);
    plan.connect_timeout = plan.connect_timeout.min(ASK_FOR);
    match probe(&plan).ok()? {
        // So answer those who speak TLS and are asked without it.
        Probed::Answered { status: 400, .. } if !plan.url.https => None,
        Probed::Answered { .. } | Probed::LeadsAway(_) => Some(plan.url),
        Probed::Unreachable(_) => None,
    }
}

/// Asks now and then for so long at most, until the site answers without an error of its own, or nobody wants to know any more.
pub fn answers_within(plan: &Plan, time: Duration, stop: &Stop) -> bool {
    answers_until(plan, clock::now().after(time), stop)
}

/// Whether the site answers before then, without an error of its own.
pub(crate) fn answers_until(plan: &Plan, until: Instant, stop: &Stop) -> bool {
    let mut plan = plan.clone();
    plan.timeout = plan.timeout.min(ASK_FOR);
    plan.connect_timeout = plan.connect_timeout.min(ASK_FOR);
    loop {
        if matches!(probe(&plan), Ok(Probed::Answered { status: ..500, .. } | Probed::LeadsAway(_))) {
            return true;
        }
        if clock::now() >= until || stop.wait(ASK_EVERY) {
            return false;
        }
    }
}
