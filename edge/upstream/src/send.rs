//! What goes out on a connection: a request, and the pieces of its content with what its protocol puts around them. The
//! protocol itself is elsewhere (`http1`, …); knows no visitor.

use std::io::IoSlice;
use std::net::SocketAddr;
use tentpole_fastcgi::Script;
use tentpole_http1::Framing;
use tentpole_message::Fields;
use tentpole_model::Method;

/// A request, as every protocol can make its own of it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its head as HTTP/1.1 writes it. `Connection: close` as its last line says that the connection shall serve no more.
    pub head: &'a [u8],
    /// Its method.
    pub method: Method,
    /// How its content is framed there; without content nothing follows the head.
    pub framing: Framing,
    /// What runs, where the endpoint runs scripts.
    pub runs: Option<Runs<'a>>,
}

/// The script that answers a request, for [`Scheme::FastCgi`](tentpole_model::Scheme).
#[derive(Clone, Copy, Debug)]
pub struct Runs<'a> {
    /// It, and the path behind it.
    pub script: &'a Script,
    /// Where scripts lie for the application, without a slash at the end.
    pub root: &'a [u8],
    /// Where visitors are accepted.
    pub accepted_at: SocketAddr,
}

/// A piece of a request's content.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// Some of it, never empty.
    Data(&'a [u8]),
    /// Its end, and the trailers.
    End(Option<&'a Fields>),
}

/// What stands around a piece, and how much of all that is out. Kept for the next piece, with its memory.
#[derive(Debug, Default)]
pub struct Framed {
    pub(crate) before: Vec<u8>,
    pub(crate) after: &'static [u8],
    /// The content is in `before` already.
    pub(crate) holds_content: bool,
    written: usize,
}

impl Framed {
    pub(crate) fn clear(&mut self) {
        self.before.clear();
        self.after = b"";
        self.holds_content = false;
        self.written = 0;
    }

    /// Bytes of it that are still to be written, with this content.
    pub fn left(&self, content: &[u8]) -> usize {
        self.before.len() + self.content(content).len() + self.after.len() - self.written
    }

    pub(crate) fn wrote(&mut self, count: usize) {
        self.written += count;
    }

    /// The slices that are still to be written lie in the result, from the second value on.
    pub(crate) fn parts<'a>(&'a self, content: &'a [u8]) -> ([IoSlice<'a>; 3], usize) {
        let parts = [&self.before, self.content(content), self.after].map(IoSlice::new);
        (parts, self.written)
    }

    fn content<'a>(&self, content: &'a [u8]) -> &'a [u8] {
        if self.holds_content { b"" } else { content }
    }
}
