//! One attempt of a request at the endpoint that was chosen: reuse a connection or dial, then exchange; and how it is counted
//! in the endpoint's cell ([`count`]), which the caller does once it knows. Never tries again.

use crate::choose::{Choice, Chosen, micros};
use crate::exchange::{Exchange, NoResponse, Sending, Upload, exchange};
use crate::fetch::Outgoing;
use crate::limits::requests_max;
use crate::line::Line;
use crate::source::Source;
use crate::thread::Thread;
use std::borrow::Cow;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tentpole_http1::Framing;
use tentpole_idle::Need;
use tentpole_message::{Name, ResponseHead};
use tentpole_model::{Attempt, Cause, Endpoint, Failure, Method, Phase, Retry, Scheme, Side, TlsFault};
use tentpole_runtime::clock;
use tentpole_runtime::deadline::Deadline;
use tentpole_runtime::secure::Session;
use tentpole_tls::Offer;
use tentpole_upstream::{Connection, Dial, Line as Own, Request};

/// How long an endpoint that was too slow for its visitor keeps its place at most, where its time-out is not longer.
const STILL_AT_WORK: Duration = Duration::from_secs(60);

#[allow(clippy::too_many_arguments, reason = "one call site; a struct for it would only rename them")]
pub(crate) async fn attempt_once(
    thread: &Thread,
    choice: &Choice<'_>,
    chosen: Chosen,
    outgoing: &Outgoing<'_>,
    upload: Option<&mut Upload<'_>>,
    response: &mut ResponseHead,
    attempt: &mut Attempt,
    deadline: &Deadline,
) -> Result<Box<Exchange>, NoResponse> {
    choice.prepared.cells[chosen.index].requests.fetch_add(1, Relaxed);
    let timeouts = &choice.pool.timeouts;
    attempt.connection_reused = matches!(chosen.line, Line::Kept(_) | Line::Carried { reused: true, .. });
    let began = clock::coarse();
    let mut connection = match chosen.line {
        Line::Kept(connection) => Connection::Line(connection),
        Line::Carried { stream, .. } => Connection::Stream(stream),
        Line::New { opening, http2 } => {
            let addresses = &choice.members[chosen.index].addresses;
            let endpoint = &choice.pool.endpoints[chosen.index];
            let session = session(choice, endpoint, http2).map_err(NoResponse::Failed)?;
            let sources = &choice.prepared.sources;
            if http2 {
                let (timeout, keep_for) = (timeouts.connect, timeouts.idle);
                let silence = timeouts.silence;
                let dial = Dial { opening, addresses, sources, session, timeout, keep_for, silence };
                Connection::Stream(Box::new(thread.carriers.dial(dial)))
            } else {
                let with = (&**sources, session);
                let to = (endpoint, &addresses[..]);
                // In memory of its own: most requests dial nothing, and all would hold room for it.
                let dialed = Box::pin(Own::dial(opening, to, with, timeouts.connect, deadline)).await;
                Connection::Line(Box::new(dialed.map_err(NoResponse::Failed)?))
            }
        }
    };
    if let Connection::Stream(stream) = &mut connection {
        stream.ready().await.map_err(NoResponse::Failed)?;
    }
    let sent = clock::coarse();
    attempt.connect_us = micros(began, sent);
    let upload = upload.map(|Upload { visitor, body, interim }| Upload { visitor, body, interim: *interim });
    // It may have been drained, or replaced, while we dialed: then this is the last request to it.
    let leaves = !thread.keeps(outgoing.pool, chosen.index, &connection);
    let head = if leaves { without_return(outgoing) } else { Cow::Borrowed(outgoing.head) };
    let store = choice.prepared.store.as_ref();
    let head = match store {
        Some(store) => {
            let (endpoint, own) = (&choice.pool.endpoints[chosen.index], choice.prepared.send.lines());
            Cow::Owned(store.write_head(&head, outgoing.method, endpoint, own, sent.unix_seconds())?)
        }
        None => head,
    };
    let framing = match outgoing.content {
        Some(content) => Framing::Length(content.len() as u64),
        None => upload.as_ref().map_or(Framing::None, |upload| upload.body.framing),
    };
    let scripts = choice.prepared.scripts.as_ref();
    let runs = scripts.zip(choice.script).map(|(scripts, script)| scripts.runs(script));
    let request = Request { head: &head, method: outgoing.method, framing, runs };
    let mut sending = Sending::of(framing, outgoing.content);
    let exchanged =
        exchange(&mut connection, &request, &mut sending, upload, response, timeouts, deadline).await;
    if let Err(NoResponse::Failed(failure)) = &exchanged
        && attempt.connection_reused
        && died_unused(failure)
    {
        connection.was_closed();
    }
    if let Err(NoResponse::Failed(failure)) = &exchanged
        && (failure.phase, failure.source) == (Phase::FirstByte, Cause::TimedOut)
        && requests_max(choice.pool, choice.prepared, chosen.index).is_some()
        && let Connection::Line(line) = connection
    {
        // It goes on working for nobody: its place is not free before that ends. Bounded by the limit itself.
        let (permit, at_most) = (chosen.permit, timeouts.first_byte.max(STILL_AT_WORK));
        tokio::task::spawn_local(async move {
            line.until_done(at_most).await;
            drop(permit);
        });
        return Err(NoResponse::Failed(*failure));
    }
    exchanged?;
    let sending = (!sending.is_done()).then(|| Box::new(sending));
    let came = clock::coarse();
    connection.answered(came, response.fields.get(Name::KeepAlive));
    attempt.first_byte_us = micros(sent, came);
    if response.status == 101 && !outgoing.upgrades {
        // Nobody asked (RFC 9110 section 15.2.2): no visitor may be told that his connection changed.
        let unasked = Failure::upstream(Phase::ReadHead, Retry::Never, Cause::Malformed);
        return Err(NoResponse::Failed(unasked));
    }
    let body = connection.body(response, outgoing.method).map_err(NoResponse::Failed)?;
    let keeps_alive = connection.keeps_alive(response, &body, outgoing.method);
    let endpoint = (outgoing.pool, chosen.index);
    let permit = chosen.permit;
    let mut exchange = Exchange {
        source: Source::Endpoint(connection),
        endpoint,
        body,
        content: None,
        permit: Some(permit),
        keeps_alive,
        sending,
        timeouts: *timeouts,
    };
    if let Some(store) = store {
        store.understand(response, &mut exchange);
    }
    Ok(Box::new(exchange))
}

/// [`attempt_once`], counted when it ends, whoever else is under way.
#[allow(clippy::too_many_arguments, reason = "those of an attempt")]
pub(crate) async fn attempt_counted(
    thread: &Thread,
    choice: &Choice<'_>,
    chosen: Chosen,
    outgoing: &Outgoing<'_>,
    upload: Option<&mut Upload<'_>>,
    response: &mut ResponseHead,
    attempt: &mut Attempt,
    deadline: &Deadline,
) -> Result<Box<Exchange>, NoResponse> {
    let (index, with_body) = (chosen.index, has_body(upload.as_deref()));
    let outcome = attempt_once(thread, choice, chosen, outgoing, upload, response, attempt, deadline).await;
    count(choice, index, with_body, &outcome, response.status, attempt);
    outcome
}

/// Counts in the endpoint's cell how an attempt went.
pub(crate) fn count(
    choice: &Choice<'_>,
    index: usize,
    with_body: bool,
    outcome: &Result<Box<Exchange>, NoResponse>,
    status: u16,
    attempt: &Attempt,
) {
    let cell = &choice.prepared.cells[index];
    match outcome {
        Ok(_) => {
            cell.succeeded(status);
            // A visitor who sends slowly makes no endpoint slow.
            if !with_body {
                cell.latencies.took(attempt.first_byte_us);
            }
        }
        // A visitor's failure is not the endpoint's, and neither is a kept connection that died.
        Err(NoResponse::Failed(failure))
            if failure.side == Side::Upstream && !(attempt.connection_reused && died_unused(failure)) =>
        {
            cell.failed();
            if failure.source == Cause::TimedOut {
                cell.overloaded.fetch_add(1, Relaxed);
            }
        }
        Err(_) => {}
    }
}

/// What a connection to the endpoint begins with, where it speaks TLS.
fn session(
    choice: &Choice<'_>,
    endpoint: &Endpoint,
    http2: bool,
) -> Result<Option<Box<dyn Session>>, Failure> {
    let Scheme::Https = endpoint.scheme else { return Ok(None) };
    let trust = choice.prepared.trust.as_ref().ok_or(TlsFault::NoFiles);
    let offer = match (choice.pool.http2, http2) {
        (_, true) => Offer::Http2,
        // A change of protocol, where HTTP/2 is spoken otherwise.
        (true, false) => Offer::Http1,
        (false, false) => Offer::Nothing,
    };
    let session = trust.and_then(|trust| trust.session(&endpoint.host, offer));
    let failed = |fault| Failure::upstream(Phase::Connect, Retry::Unsent, Cause::Tls(fault));
    session.map(Some).map_err(failed)
}

/// Whether the visitor sends content, or may do so.
pub(crate) fn has_body(upload: Option<&Upload<'_>>) -> bool {
    upload.is_some_and(|upload| upload.body.framing != Framing::None)
}

/// What the request needs of a kept connection: one that can be sent again needs less.
pub(crate) fn need(method: Method, upload: Option<&Upload<'_>>) -> Need {
    if method.is_safe() && !has_body(upload) { Need::Usable } else { Need::Fresh }
}

/// The request's head, with the wish to close the connection after it (RFC 9112 section 9.6). Upgrades stay as they
/// are: what they make of the connection ends it.
fn without_return<'a>(outgoing: &Outgoing<'a>) -> Cow<'a, [u8]> {
    match outgoing.head.strip_suffix(b"\r\n") {
        Some(fields) if !outgoing.upgrades => Cow::Owned([fields, b"Connection: close\r\n\r\n"].concat()),
        _ => Cow::Borrowed(outgoing.head),
    }
}

/// Whether this is what a kept connection shows that the endpoint had closed: silence and bad answers are not.
pub(crate) fn died_unused(failure: &Failure) -> bool {
    matches!(failure.phase, Phase::SendHead | Phase::SendBody | Phase::FirstByte)
        && failure.source != Cause::TimedOut
}
