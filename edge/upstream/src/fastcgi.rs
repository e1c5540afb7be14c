//! FastCGI to an application such as php-fpm: a request's head becomes parameters, its content records. What runs was
//! decided before. Says what scripts complain of, bounded; decides nothing about a connection.

use crate::connection::never;
use crate::http1::HEAD_BYTES_MAX;
use crate::send::{Framed, Part, Request, Runs};
use crate::stderr;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Context, Poll, ready};
use tentpole_fastcgi::{
    Asked, Decoded, Decoder, Fault, Limits, Params, stdin_start, write_begin, write_params, write_stdin,
    write_stdin_end,
};
use tentpole_http1::{self as http1, Framing, Parsed, Piece};
use tentpole_message::{Fields, Name, RequestHead, ResponseHead};
use tentpole_model::{Cause, Failure, Method, Phase, Retry};
use tentpole_runtime::socket::Socket;

/// What a connection that speaks it has to know of the request at hand.
#[derive(Debug)]
pub(crate) struct FastCgi {
    decoder: Decoder,
    /// Whether connections may serve again at all: a worker of php-fpm has nothing else to do as long as one is open.
    may_keep: bool,
    /// The request at hand leaves the connection open.
    keeps: bool,
    /// The visitor waits to be asked for the content (RFC 9110 section 10.1.1), which a script never does.
    pub(crate) expects_continue: bool,
}

impl FastCgi {
    pub(crate) fn new(may_keep: bool) -> Self {
        let decoder = Decoder::new(Method::Get, LIMITS);
        Self { decoder, may_keep, keeps: false, expects_continue: false }
    }

    /// The records of a request up to its content.
    ///
    /// # Errors
    /// When nobody said what runs, its content has no length, or there is more to tell than a script may be told.
    pub(crate) fn begin(&mut self, request: &Request<'_>) -> Result<Vec<u8>, Failure> {
        let head = parsed(request.head)?;
        let runs = request.runs.ok_or(cannot(Cause::NoEndpoint))?;
        let content_length = match request.framing {
            Framing::None => None,
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => return Err(cannot(Cause::Malformed)),
        };
        self.decoder = Decoder::new(request.method, LIMITS);
        self.keeps = self.may_keep && !head.fields.has_token(Name::Connection, b"close");
        self.expects_continue = head.fields.has(Name::Expect);
        let mut out = Vec::with_capacity(2 * request.head.len() + 1024);
        write_begin(&mut out, self.keeps);
        let params = params(&head, runs, content_length);
        write_params(&mut out, params.pairs().map_err(|_| cannot(Cause::TooLarge))?);
        if request.framing == Framing::None {
            write_stdin_end(&mut out);
        }
        Ok(out)
    }

    pub(crate) fn frame(framed: &mut Framed, framing: Framing, part: Part<'_>) {
        match part {
            Part::Data(content) => match stdin_start(content.len()) {
                Some(start) => framed.before.extend_from_slice(&start),
                None => {
                    write_stdin(&mut framed.before, content);
                    framed.holds_content = true;
                }
            },
            // Without content it went with the head.
            Part::End(_) if framing != Framing::None => write_stdin_end(&mut framed.before),
            Part::End(_) => {}
        }
    }

    pub(crate) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut Socket,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Failure>> {
        loop {
            match self.decoder.decode(socket.filled()) {
                Ok(Decoded::Head { used }) => {
                    socket.consume(used);
                    self.decoder.take_head(head);
                    self.end_without_content(socket, head.status);
                    return Poll::Ready(Ok(()));
                }
                Ok(Decoded::NeedMore { used }) => socket.consume(used),
                Ok(Decoded::Data { .. } | Decoded::Done { .. }) => {
                    return Poll::Ready(Err(never(Phase::ReadHead, Cause::Malformed)));
                }
                Err(fault) => return Poll::Ready(Err(self.faulty(Phase::ReadHead, fault))),
            }
            // Before the first byte the application may not have seen the request at all.
            let (phase, retry) = match self.decoder.has_begun() {
                false => (Phase::FirstByte, Retry::IfSafe),
                true => (Phase::ReadHead, Retry::Never),
            };
            let cause = match ready!(socket.poll_fill(context, HEAD_BYTES_MAX)) {
                Ok(0) => Cause::Closed,
                Ok(_) => continue,
                Err(error) => Cause::from(&error),
            };
            self.tell();
            return Poll::Ready(Err(Failure::upstream(phase, retry, cause)));
        }
    }

    /// How the body of the response to a request of this method ends.
    pub(crate) fn framing(&self, head: &ResponseHead, method: Method) -> Framing {
        match self.decoder.content_length() {
            _ if method == Method::Head || matches!(head.status, 204 | 304) => Framing::None,
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        }
    }

    /// `bytes_seen` counts the content.
    pub(crate) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut Socket,
        bytes_seen: &mut u64,
    ) -> Poll<Result<Piece, Failure>> {
        loop {
            match self.decoder.decode(socket.filled()) {
                Ok(Decoded::Data { skip, len }) => {
                    *bytes_seen += len as u64;
                    return Poll::Ready(Ok(Piece::Data { skip, len }));
                }
                Ok(Decoded::Done { used, .. }) => {
                    socket.consume(used);
                    self.tell();
                    return Poll::Ready(Ok(Piece::End));
                }
                Ok(Decoded::NeedMore { used } | Decoded::Head { used }) => socket.consume(used),
                Err(fault) => return Poll::Ready(Err(self.faulty(Phase::ReadBody, fault))),
            }
            let cause = match ready!(socket.poll_fill(context, HEAD_BYTES_MAX)) {
                Ok(0) => Cause::Closed,
                Ok(_) => continue,
                Err(error) => Cause::from(&error),
            };
            self.tell();
            return Poll::Ready(Err(never(Phase::ReadBody, cause)));
        }
    }

    /// Whether the whole answer was read.
    pub(crate) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Whether the answer is what another path is answered.
    pub(crate) fn redirects_locally(&self) -> bool {
        self.decoder.redirects_locally()
    }

    pub(crate) fn keeps_alive(&self) -> bool {
        self.keeps
    }

    /// Whoever asked for no content does not read any: its end, which comes with the head, is read here.
    fn end_without_content(&mut self, socket: &mut Socket, status: u16) {
        if !self.decoder.ignores_content() {
            return;
        }
        debug_assert!(!matches!(status, 100..=199), "a script has no interim responses");
        if let Ok(Decoded::NeedMore { used } | Decoded::Done { used, .. }) =
            self.decoder.decode(socket.filled())
        {
            socket.consume(used);
        }
        self.tell();
    }

    fn faulty(&mut self, phase: Phase, fault: Fault) -> Failure {
        self.tell();
        stderr::tell_fault(fault);
        Failure::upstream(phase, fault.retry(), Cause::from(fault))
    }

    /// Says what the script has complained of until now.
    fn tell(&mut self) {
        stderr::tell(self.decoder.stderr_lines(), self.decoder.stderr_bytes_lost());
        self.decoder.forget_stderr();
    }
}

const LIMITS: Limits = Limits { head_bytes_max: HEAD_BYTES_MAX, fields_max: 100, stderr_bytes_max: 4 * 1024 };

/// A failure before anything was sent, which no other endpoint would mend.
fn cannot(cause: Cause) -> Failure {
    Failure::internal(Phase::SendHead, cause)
}

/// The head that we wrote ourselves.
fn parsed(written: &[u8]) -> Result<RequestHead, Failure> {
    let limits = http1::Limits {
        head_bytes_max: HEAD_BYTES_MAX,
        target_bytes_max: HEAD_BYTES_MAX,
        fields_max: http1::FIELDS_MAX,
    };
    let mut head = RequestHead::new();
    match http1::parse_request(written, &limits, &mut head) {
        Ok(Parsed::Complete { .. }) => Ok(head),
        Ok(Parsed::Partial) => Err(cannot(Cause::Malformed)),
        Err(_) => Err(cannot(Cause::TooLarge)),
    }
}

fn params(head: &RequestHead, runs: Runs<'_>, content_length: Option<u64>) -> Params {
    let fields = &head.fields;
    let host = fields.get(Name::Host).unwrap_or_default();
    let is_https = fields.get(Name::XForwardedProto) == Some(b"https");
    let (server_name, port) = split_port(host);
    let mut params = Params::new();
    params.push_request(
        &Asked {
            head,
            path_and_query: head.target(),
            script: runs.script,
            document_root: runs.root,
            content_length,
            host,
            server_name,
            visitor: visitor(fields),
            accepted_at: runs.accepted_at,
            server_port: port.unwrap_or(if is_https { 443 } else { 80 }),
            is_https,
        },
        |_| false,
    );
    params
}

/// Who asks: the first of those whom our own field names. His port is not told.
fn visitor(fields: &Fields) -> SocketAddr {
    let said = fields.get(Name::XForwardedFor).unwrap_or_default();
    let first = said.split(|&byte| byte == b',').next().unwrap_or_default();
    let address = std::str::from_utf8(first.trim_ascii()).ok().and_then(|text| text.parse().ok());
    SocketAddr::new(address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), 0)
}

fn split_port(host: &[u8]) -> (&[u8], Option<u16>) {
    let name_from = host.iter().position(|&byte| byte == b']').unwrap_or(0);
    let Some(colon) = host[name_from..].iter().position(|&byte| byte == b':').map(|at| name_from + at) else {
        return (host, None);
    };
    let port = std::str::from_utf8(&host[colon + 1..]).ok().and_then(|port| port.parse().ok());
    (&host[..colon], port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_fastcgi::Script;

    fn told(head: &str, framing: Framing, may_keep: bool) -> (bool, String) {
        let script = Script::named("/index.php").unwrap();
        let runs =
            Runs { script: &script, root: b"/var/www", accepted_at: SocketAddr::from(([10, 0, 0, 1], 8080)) };
        let request = Request { head: head.as_bytes(), method: Method::Get, framing, runs: Some(runs) };
        let mut wire = FastCgi::new(may_keep);
        let written = wire.begin(&request).unwrap();
        assert_eq!(written[10] == 1, wire.keeps_alive());
        (wire.keeps_alive(), String::from_utf8_lossy(&written).into_owned())
    }

    const HEAD: &str = "GET /shop/?a=1 HTTP/1.1\r\nHost: shop.example:8443\r\nX_Real_IP: 6.6.6.6\r\nProxy: evil\r\n\
                        X-Forwarded-For: 192.0.2.7, 10.0.0.9\r\nX-Forwarded-Proto: https\r\n\r\n";

    #[test]
    fn a_script_is_told_what_our_own_head_says_and_nothing_that_can_be_taken_for_it() {
        let (_, told) = told(HEAD, Framing::Length(5), false);
        for pair in [
            "SCRIPT_FILENAME/var/www/index.php",
            "REQUEST_URI/shop/?a=1",
            "QUERY_STRINGa=1",
            "REMOTE_ADDR192.0.2.7",
            "SERVER_NAMEshop.example\u{f}",
            "SERVER_PORT8443",
            "HTTPSon",
            "CONTENT_LENGTH5",
            "SERVER_ADDR10.0.0.1",
        ] {
            assert!(told.contains(pair), "{pair}: {told:?}");
        }
        for never in ["6.6.6.6", "HTTP_PROXY", "evil"] {
            assert!(!told.contains(never), "{never}: {told:?}");
        }
    }

    #[test]
    fn a_connection_is_kept_only_where_workers_are_counted_and_the_head_does_not_end_it() {
        assert!(told(HEAD, Framing::None, true).0);
        assert!(!told(HEAD, Framing::None, false).0);
        let last = HEAD.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let (keeps, told) = told(&last, Framing::None, true);
        assert!(!keeps && !told.contains("HTTP_CONNECTION"));
    }

    #[test]
    fn content_without_a_length_is_nothing_that_a_script_could_be_given() {
        let request =
            Request { head: HEAD.as_bytes(), method: Method::Post, framing: Framing::Chunked, runs: None };
        assert!(FastCgi::new(true).begin(&request).is_err());
    }
}
