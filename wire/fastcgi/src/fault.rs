//! What can be wrong with an application's answer. Does not decide what visitors get.

use std::fmt;
use tentpole_model::{Cause, Retry};

/// What is wrong with an answer. The connection must then be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A record of another version than 1: most often not FastCGI at all.
    Version(u8),
    /// A record of a type that no application sends, or that is unknown.
    RecordType(u8),
    /// A management record (request 0) of this type: none was asked for.
    Management(u8),
    /// A record of a request that was not made.
    RequestId(u16),
    /// `END_REQUEST` without its eight bytes, or with an unknown status.
    EndRequest,
    /// A stream goes on after its end.
    AfterEnd,
    /// The application does not want a second request on a connection (`FCGI_CANT_MPX_CONN`).
    CannotMultiplex,
    /// The application is overloaded and has not begun (`FCGI_OVERLOADED`).
    Overloaded,
    /// The application is no responder (`FCGI_UNKNOWN_ROLE`).
    UnknownRole,
    /// A line of the head is no field: no colon, a white space before it, a folded line, a control byte.
    Head,
    /// The head has more bytes or fields than allowed.
    HeadTooLarge,
    /// The request ended before the head.
    NoHead,
    /// `Status` is not 200 to 999, perhaps with a reason.
    Status,
    /// `Status`, `Location` or `Content-Type` stands there twice (RFC 3875 section 6.3).
    Repeated,
    /// `Location` without `Status`, and not an absolute URI: it asks the server to answer another request instead
    /// (RFC 3875 section 6.2.2).
    LocalRedirect,
    /// `X-Accel-Redirect` or `X-Sendfile`: it asks the server to send a file.
    SendFile,
    /// `Content-Length` is repeated or no number.
    ContentLength,
    /// `Transfer-Encoding`: records frame the content, nothing else may.
    TransferEncoding,
    /// More content than `Content-Length` says.
    TooMuch,
    /// Less content than `Content-Length` says.
    TooLittle,
    /// The input ended before the request.
    EarlyEnd,
}

impl Fault {
    /// One word for logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Version(_) => "version",
            Self::RecordType(_) => "record_type",
            Self::Management(_) => "management",
            Self::RequestId(_) => "request_id",
            Self::EndRequest => "end_request",
            Self::AfterEnd => "after_end",
            Self::CannotMultiplex => "cannot_multiplex",
            Self::Overloaded => "overloaded",
            Self::UnknownRole => "unknown_role",
            Self::Head => "head",
            Self::HeadTooLarge => "head_too_large",
            Self::NoHead => "no_head",
            Self::Status => "status",
            Self::Repeated => "repeated",
            Self::LocalRedirect => "local_redirect",
            Self::SendFile => "send_file",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::TooMuch => "too_much",
            Self::TooLittle => "too_little",
            Self::EarlyEnd => "early_end",
        }
    }

    /// Whether the request may be sent again. An application that refuses it says so before it begins.
    pub fn retry(self) -> Retry {
        match self {
            Self::CannotMultiplex | Self::Overloaded => Retry::Unsent,
            _ => Retry::Never,
        }
    }
}

impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::HeadTooLarge => Self::TooLarge,
            Fault::EarlyEnd => Self::Closed,
            Fault::Overloaded => Self::QueueFull,
            _ => Self::Malformed,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Version(version) => {
                return write!(
                    f,
                    "a record of version {version} instead of 1: is it FastCGI that listens there?"
                );
            }
            Self::RecordType(kind) => {
                return write!(f, "a record of type {kind}, which applications do not send");
            }
            Self::Management(kind) => {
                return write!(f, "a management record of type {kind} that nobody asked for");
            }
            Self::RequestId(id) => return write!(f, "a record for request {id}, which was never made"),
            Self::EndRequest => "an END_REQUEST record that is none",
            Self::AfterEnd => "output after its end",
            Self::CannotMultiplex => "it takes no second request on a connection",
            Self::Overloaded => "it says that it is overloaded",
            Self::UnknownRole => "it is no responder: only that role is known here",
            Self::Head => "a line of the head is no field",
            Self::HeadTooLarge => "the head is larger than allowed",
            Self::NoHead => "it ended without a head",
            Self::Status => "its Status is not 200 to 999",
            Self::Repeated => "Status, Location or Content-Type stands there twice",
            Self::LocalRedirect => {
                "a Location without Status that is neither a URL nor a path of this server: let the script send a \
                 status too"
            }
            Self::SendFile => {
                "X-Accel-Redirect or X-Sendfile, which is not supported: let the script send the file"
            }
            Self::ContentLength => "Content-Length is no number, or stands there twice",
            Self::TransferEncoding => "Transfer-Encoding, which a script must not set",
            Self::TooMuch => "more content than Content-Length says",
            Self::TooLittle => "less content than Content-Length says",
            Self::EarlyEnd => "the connection closed before the request ended",
        };
        f.write_str(text)
    }
}

impl std::error::Error for Fault {}
