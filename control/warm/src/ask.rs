//! One request for one URL over a connection that is kept: reads the answer to its end, so that the edge stores it
//! whole, and notes what the edge says about it (`Cache-Status`, RFC 9211). Keeps nothing of the body.

use crate::{Url, beginning};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What came of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// It was stored already.
    Hit,
    /// It is stored now.
    Stored,
    /// It was answered and not stored; with the edge's word for why.
    NotStored(String),
    /// A redirect: stored or not, its goal is another page.
    Redirect,
    /// An answer that is an error: its status.
    Status(u16),
    /// No answer.
    Failed(Failed),
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The edge could not be reached.
    Connect(String),
    /// It took too long.
    TimedOut,
    /// The connection broke, or the answer ended early.
    Broke(String),
}

/// A visitor with a list.
pub(crate) struct Visitor {
    pub at: SocketAddr,
    pub time_max: Duration,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl Visitor {
    pub(crate) fn new(at: SocketAddr, time_max: Duration) -> Self {
        Self { at, time_max, connection: None }
    }

    /// Asks for one URL with these fields; a body that is kept for the caller is bounded by `keep`.
    pub(crate) async fn ask(&mut self, url: &Url, fields: &HeaderMap, keep: u64) -> (Came, Vec<u8>) {
        let mut kept = Vec::new();
        let asked = timeout(self.time_max, self.exchange(url, fields, keep, &mut kept)).await;
        let came = asked.unwrap_or(Came::Failed(Failed::TimedOut));
        if matches!(came, Came::Failed(_)) {
            self.connection = None;
        }
        (came, kept)
    }

    async fn exchange(&mut self, url: &Url, fields: &HeaderMap, keep: u64, kept: &mut Vec<u8>) -> Came {
        let broke = |error: hyper::Error| Came::Failed(Failed::Broke(said(&error)));
        let mut request = hyper::Request::new(Empty::new());
        let (Ok(target), Ok(host)) = (url.target.parse(), HeaderValue::from_str(&url.host)) else {
            return Came::Failed(Failed::Broke("the URL cannot be asked for".to_owned()));
        };
        *request.uri_mut() = target;
        *request.headers_mut() = fields.clone();
        request.headers_mut().insert(hyper::header::HOST, host);
        if url.is_https {
            // Counts where the edge believes who asks, and is what a balancer that speaks TLS would say.
            request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
        }
        let sender = match self.connected().await {
            Ok(sender) => sender,
            Err(error) => return Came::Failed(Failed::Connect(error)),
        };
        let mut response = match sender.send_request(request).await {
            Ok(response) => response,
            Err(error) => return broke(error),
        };
        while let Some(frame) = response.body_mut().frame().await {
            match frame {
                Ok(frame) => {
                    let data = frame.data_ref().map_or(&[][..], |data| data);
                    let room = usize::try_from(keep).unwrap_or(usize::MAX).saturating_sub(kept.len());
                    kept.extend_from_slice(&data[..data.len().min(room)]);
                    if keep > 0 && kept.len() as u64 >= keep {
                        // More than is kept is too much: the rest need not come, if it ends at all.
                        self.connection = None;
                        break;
                    }
                }
                Err(error) => return broke(error),
            }
        }
        came_of(response.status().as_u16(), response.headers())
    }

    /// The connection that is kept, or a new one.
    async fn connected(&mut self) -> Result<&mut SendRequest<Empty<Bytes>>, String> {
        let is_usable = match &mut self.connection {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !is_usable {
            let stream = TcpStream::connect(self.at).await.map_err(|error| error.to_string())?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| said(&error))?;
            // Ends with the sender; what breaks shows in the next exchange.
            tokio::spawn(connection);
            self.connection = Some(sender);
        }
        self.connection.as_mut().ok_or_else(|| "no connection".to_owned())
    }
}

/// The fields that each request carries: what a browser would ask for, and who asks.
pub(crate) fn fields(more: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut fields = HeaderMap::new();
    for (name, value) in [
        ("user-agent", concat!("tentpole-warm/", env!("CARGO_PKG_VERSION"))),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, br, zstd"),
    ] {
        fields.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    for (name, value) in more {
        let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is no field name"))?;
        let value: HeaderValue = value.parse().map_err(|_| format!("{value:?} is no field value"))?;
        fields.insert(name, value);
    }
    Ok(fields)
}

fn came_of(status: u16, headers: &HeaderMap) -> Came {
    match status {
        300..=399 => return Came::Redirect,
        200..=299 => {}
        _ => return Came::Status(status),
    }
    // The last member is the cache nearest to us (RFC 9211 section 2).
    let said = headers.get_all("cache-status").iter().next_back().and_then(|value| value.to_str().ok());
    let Some(said) = said.and_then(|said| said.rsplit(',').next()) else {
        return Came::NotStored("no Cache-Status: is this Tentpole?".to_owned());
    };
    let mut parameters = said.split(';').skip(1).map(str::trim);
    let has = |name: &str| said.split(';').skip(1).any(|parameter| parameter.trim() == name);
    if has("hit") || has("collapsed") || has("fwd=stale") && said.contains("fwd-status=304") {
        Came::Hit
    } else if has("stored") {
        Came::Stored
    } else {
        let detail = parameters.find_map(|parameter| parameter.strip_prefix("detail="));
        Came::NotStored(beginning(detail.unwrap_or("no reason given")))
    }
}

/// An error with what caused it.
fn said(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn came(status: u16, cache_status: &'static str) -> Came {
        let mut headers = HeaderMap::new();
        headers.insert("cache-status", HeaderValue::from_static(cache_status));
        came_of(status, &headers)
    }

    #[test]
    fn what_the_edge_says_is_understood() {
        assert_eq!(came(200, "tentpole; hit; ttl=5"), Came::Hit);
        assert_eq!(came(200, "tentpole; fwd=miss; stored"), Came::Stored);
        assert_eq!(came(200, "tentpole; fwd=stale; fwd-status=304"), Came::Hit);
        assert_eq!(came(200, "tentpole; fwd=miss; detail=set_cookie"), Came::NotStored("set_cookie".into()));
        assert_eq!(
            came(200, "inner; hit, tentpole; fwd=miss; detail=private"),
            Came::NotStored("private".into())
        );
        assert_eq!(came(503, "tentpole; detail=queue_full"), Came::Status(503));
        assert_eq!(came(301, "tentpole; fwd=miss; stored"), Came::Redirect);
    }

    #[test]
    fn a_field_that_cannot_be_sent_is_named() {
        assert!(fields(&[("Accept-Language".into(), "de".into())]).is_ok());
        assert!(fields(&[("a b".into(), "c".into())]).unwrap_err().contains("a b"));
        assert!(fields(&[("a".into(), "c\r\nd: e".into())]).is_err());
    }
}
