//! A probe by HTTP/2: one request on a connection of its own. Reads of the content what the check looks at.

use crate::probe::{Bad, holds};
use crate::secure::Stream;
use http::Request;
use std::io;
use tentpole_model::{HealthCheck, PROBE_BODY_MAX};

/// Asks as the check says, with these field lines, over HTTP/2.
pub(crate) async fn converse(
    stream: Stream,
    https: bool,
    check: &HealthCheck,
    authority: &str,
    own_lines: &str,
) -> Result<(), Bad> {
    let scheme = if https { "https" } else { "http" };
    let host = check.host.as_deref().unwrap_or(authority);
    let mut request = Request::builder()
        .method(check.method.as_str())
        .uri(format!("{scheme}://{host}{}", check.path))
        .header("user-agent", "tentpole-probe")
        .header("accept", "*/*");
    for (name, value) in own_lines.lines().filter_map(|line| line.split_once(':')) {
        request = request.header(name, value.trim());
    }
    for (name, value) in &check.fields {
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(|error| Bad::Io(io::Error::other(error)))?;
    let (mut send, connection) = h2::client::handshake(stream).await.map_err(bad)?;
    let asked = async {
        let (response, _) = send.send_request(request, true).map_err(bad)?;
        let response = response.await.map_err(bad)?;
        let status = response.status().as_u16();
        if !check.passes(status) {
            return Err(Bad::Status(status));
        }
        match &check.body {
            Some(wanted) if !read_until_it_holds(response.into_body(), wanted.as_bytes()).await? => {
                Err(Bad::Lacks(wanted.clone()))
            }
            _ => Ok(()),
        }
    };
    tokio::select! {
        biased;
        verdict = asked => verdict,
        ended = connection => Err(ended.err().map_or(Bad::Closed, bad)),
    }
}

async fn read_until_it_holds(mut body: h2::RecvStream, wanted: &[u8]) -> Result<bool, Bad> {
    let mut content = Vec::new();
    while !holds(&content, wanted) {
        if content.len() >= PROBE_BODY_MAX {
            return Ok(false);
        }
        let Some(piece) = body.data().await else { return Ok(false) };
        let piece = piece.map_err(bad)?;
        body.flow_control().release_capacity(piece.len()).map_err(bad)?;
        content.extend_from_slice(&piece[..piece.len().min(PROBE_BODY_MAX - content.len())]);
    }
    Ok(true)
}

fn bad(error: h2::Error) -> Bad {
    match error.into_io() {
        Some(error) => Bad::Io(error),
        None => Bad::NotHttp,
    }
}
