//! A script that answers with a path of this server and no status means what that path is answered (RFC 3875 section 6.2.2):
//! the path is asked for anew, beneath the same pool's files and among its scripts. Bounded.

use crate::exchange::{Exchange, NoResponse};
use crate::fetch::{Attempts, Outgoing, fetch_once};
use crate::source::Source;
use crate::thread::{Thread, View};
use std::rc::Rc;
use tentpole_message::{Name, ResponseHead};
use tentpole_model::{Cause, Failure, Method, Phase, Retry};
use tentpole_runtime::deadline::Deadline;
use tentpole_upstream::Connection;

/// Times that one request is sent on so; nginx follows as many internal redirects.
const TIMES_MAX: usize = 10;

impl Exchange {
    /// Whether its answer is another path's.
    pub(crate) fn redirects_locally(&self) -> bool {
        matches!(&self.source, Source::Endpoint(Connection::Line(line)) if line.redirects_locally())
    }
}

/// What the path is answered that `response` names, whose exchange this is.
pub(crate) async fn follow(
    thread: &Thread,
    view: Rc<View>,
    outgoing: &Outgoing<'_>,
    mut exchange: Box<Exchange>,
    response: &mut ResponseHead,
    attempts: &mut Attempts,
    deadline: &Deadline,
) -> Result<Box<Exchange>, NoResponse> {
    for _ in 0..TIMES_MAX {
        let Some(head) = response.fields.get(Name::Location).map(|path| head_for(outgoing, path)) else {
            break;
        };
        exchange.discard(thread);
        // What came of the last one is told.
        *attempts = Attempts::default();
        let anew =
            Outgoing { head: &head, method: method(outgoing), upgrades: false, content: None, ..*outgoing };
        let view = thread.newer(&view);
        exchange = fetch_once(thread, view, &anew, None, response, attempts, deadline).await?;
        if !exchange.redirects_locally() {
            return Ok(exchange);
        }
    }
    Err(NoResponse::Failed(Failure::upstream(Phase::ReadHead, Retry::Never, Cause::Malformed)))
}

/// What was done is done: from here on it is asked, and nothing sent.
fn method(outgoing: &Outgoing<'_>) -> Method {
    if outgoing.method == Method::Head { Method::Head } else { Method::Get }
}

/// The request's head for another path, without what belongs to its content.
fn head_for(outgoing: &Outgoing<'_>, path: &[u8]) -> Vec<u8> {
    let mut head = Vec::with_capacity(outgoing.head.len() + path.len());
    head.extend_from_slice(if outgoing.method == Method::Head { b"HEAD " } else { b"GET " });
    head.extend_from_slice(path);
    head.extend_from_slice(b" HTTP/1.1\r\n");
    let is_of_content = |line: &[u8]| {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        [&b"content-length"[..], b"content-type", b"content-encoding", b"transfer-encoding", b"expect"]
            .iter()
            .any(|of_content| name.eq_ignore_ascii_case(of_content))
    };
    let lines = outgoing.head.split_inclusive(|&byte| byte == b'\n').skip(1);
    lines.filter(|line| !is_of_content(line)).for_each(|line| head.extend_from_slice(line));
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::{PoolId, Priority};

    #[test]
    fn a_request_with_content_becomes_a_question_for_the_path() {
        let head =
            b"POST /buy?a HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nCookie: a\r\nContent-Length: 5\r\n\r\n";
        let outgoing = Outgoing {
            head,
            method: Method::Post,
            pool: PoolId(0),
            upgrades: false,
            content: None,
            priority: Priority::Normal,
            abandoned: None,
            stuck: None,
        };
        let anew = head_for(&outgoing, b"/done?b=1");
        assert_eq!(anew, b"GET /done?b=1 HTTP/1.1\r\nHost: x\r\nCookie: a\r\n\r\n");
    }
}
