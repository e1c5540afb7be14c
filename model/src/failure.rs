//! What went wrong, whose fault it is and what may be done about it. The shape is Pingora's idea.

use crate::tls::TlsFault;
use std::io;

/// One failed step of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault.
    pub side: Side,
    /// During what.
    pub phase: Phase,
    /// Whether the same request may be sent again.
    pub retry: Retry,
    /// Bytes of this request (or of the response, for `Side::Visitor`) already sent to the other party.
    pub bytes_sent: u64,
    /// What the system or the codec said.
    pub source: Cause,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The visitor's.
    Visitor,
    /// The endpoint's.
    Upstream,
    /// Ours.
    Internal,
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Choosing an endpoint.
    Choose,
    /// Waiting for a permit.
    Permit,
    /// Making the connection.
    Connect,
    /// Sending the request's head.
    SendHead,
    /// Sending the request's body.
    SendBody,
    /// Waiting for the response's first byte.
    FirstByte,
    /// Reading the response's head.
    ReadHead,
    /// Reading the response's body.
    ReadBody,
    /// Sending to the visitor.
    Deliver,
}

/// Whether the request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Nothing reached the endpoint: any request may.
    Unsent,
    /// The endpoint may have seen it: only a safe request may (RFC 9110 section 9.2.1).
    IfSafe,
    /// No: part of the answer is out, or the body is gone.
    Never,
}

/// What the system or the codec said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The operating system.
    Io(io::ErrorKind),
    /// A deadline of ours.
    TimedOut,
    /// The other party closed before it was done.
    Closed,
    /// Bytes that are not HTTP as we accept it.
    Malformed,
    /// A limit of ours was reached.
    TooLarge,
    /// Bytes came, or were taken, slower than they may.
    TooSlow,
    /// There was nobody to ask.
    NoEndpoint,
    /// The queue before the endpoints is full.
    QueueFull,
    /// A fill ended before its object was whole.
    FillAborted,
    /// A connection of HTTP/2 brought nothing for too long, not even an answer to PING: nobody is there any more.
    Silent,
    /// No local port is left for another connection to that address.
    NoLocalPort,
    /// TLS to the endpoint.
    Tls(TlsFault),
}

impl Failure {
    /// A failure of the endpoint's.
    pub fn upstream(phase: Phase, retry: Retry, source: Cause) -> Self {
        Self { side: Side::Upstream, phase, retry, bytes_sent: 0, source }
    }

    /// A failure of the visitor's.
    pub fn visitor(phase: Phase, source: Cause) -> Self {
        Self { side: Side::Visitor, phase, retry: Retry::Never, bytes_sent: 0, source }
    }

    /// A failure of ours.
    pub fn internal(phase: Phase, source: Cause) -> Self {
        Self { side: Side::Internal, phase, retry: Retry::Never, bytes_sent: 0, source }
    }
}

impl Cause {
    /// One word for logs and metric labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Io(io::ErrorKind::ConnectionRefused) => "refused",
            Self::Io(io::ErrorKind::ConnectionReset) => "reset",
            Self::Io(io::ErrorKind::BrokenPipe) => "broken_pipe",
            Self::Io(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => "unreachable",
            Self::Io(io::ErrorKind::AddrNotAvailable) => "no_local_address",
            Self::Io(_) => "io",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::NoEndpoint => "no_endpoint",
            Self::QueueFull => "queue_full",
            Self::FillAborted => "fill_aborted",
            Self::Silent => "silent",
            Self::NoLocalPort => "no_local_port",
            Self::Tls(fault) => fault.label(),
        }
    }
}

impl From<&io::Error> for Cause {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::UnexpectedEof => Self::Closed,
            kind => Self::Io(kind),
        }
    }
}

impl Side {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Visitor, Self::Upstream, Self::Internal];

    /// One word for logs and metric labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Upstream => "upstream",
            Self::Internal => "internal",
        }
    }
}

impl Retry {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Unsent, Self::IfSafe, Self::Never];

    /// One word for logs and metric labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unsent => "unsent",
            Self::IfSafe => "if_safe",
            Self::Never => "never",
        }
    }
}

impl Phase {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::Choose,
        Self::Permit,
        Self::Connect,
        Self::SendHead,
        Self::SendBody,
        Self::FirstByte,
        Self::ReadHead,
        Self::ReadBody,
        Self::Deliver,
    ];

    /// One word for logs and metric labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Choose => "choose",
            Self::Permit => "permit",
            Self::Connect => "connect",
            Self::SendHead => "send_head",
            Self::SendBody => "send_body",
            Self::FirstByte => "first_byte",
            Self::ReadHead => "read_head",
            Self::ReadBody => "read_body",
            Self::Deliver => "deliver",
        }
    }
}
