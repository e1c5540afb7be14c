//! Why a request goes no further, what the visitor hears of it, and what becomes of his connection. The only place
//! that answers in the edge's own name.

use crate::answer::{self, Manner};
use crate::busy::is_about_room;
use crate::exchange::NoResponse;
use crate::visit::{Visit, micros};
use crate::{room, screen};
use std::io::IoSlice;
use tentpole_http1 as http1;
use tentpole_model::{End, Failure, Phase, Refused, Side, Version};
use tentpole_runtime::clock;

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It goes on.
    NextRequest,
    /// It ends.
    Close,
    /// It ends, but is read for a moment more, so that our answer arrives.
    Linger,
    /// It goes on in HTTP/2.
    Http2,
}

/// Why a request goes no further.
pub enum Stop {
    /// The visitor left before asking anything.
    Gone,
    /// What came is the beginning of HTTP/2.
    Http2,
    /// We say no.
    Refused(Refused),
    /// We say no, in words for this request alone.
    Said(Refused, String),
    /// A filter says no, in its own words.
    Screened(Box<screen::No>),
    /// He is sent to the canonical target, which is in the scratch.
    Redirect,
    /// He is sent to the same target by https, at this port.
    ToHttps(u16),
    /// He waits before a room, or asks how he stands.
    Room(Box<room::Said>),
    /// Something broke.
    Failed(Failure),
    /// The connection was a tunnel, which has closed.
    Tunnelled,
}

impl Visit<'_> {
    /// Answers a request that goes no further.
    pub(crate) async fn stopped(&mut self, stop: Stop) -> After {
        let body_read = self.body_read();
        let rests = matches!(&stop, Stop::Room(said) if said.rests());
        self.manner.keep_alive &= body_read && !self.is_ending() && !rests;
        if rests {
            self.visitor.rests();
        }
        let (manner, out) = (self.manner, &mut self.scratch.out);
        out.clear();
        if is_about_room(&stop) {
            return self.no_room(stop, manner, body_read).await;
        }
        match stop {
            Stop::Gone => return After::Close,
            Stop::Http2 => return After::Http2,
            Stop::Tunnelled => {
                self.why.end = End::Tunnelled;
                return After::Close;
            }
            Stop::Redirect => {
                self.why.end = End::Complete;
                self.why.status = 308;
                answer::redirect(out, &self.scratch.target, manner);
            }
            Stop::ToHttps(port) => {
                self.why.end = End::Complete;
                self.why.status = 308;
                let host = http1::host(&self.scratch.request).unwrap_or_default();
                answer::to_https(out, host, port, &self.scratch.target, manner);
            }
            Stop::Refused(refused) => {
                self.why.end = End::Refused(refused);
                self.why.status = refused.status();
                answer::refusal(out, refused, manner);
            }
            Stop::Said(refused, words) => {
                self.why.end = End::Refused(refused);
                self.why.status = refused.status();
                answer::refusal_saying(out, refused, &words, manner);
            }
            Stop::Screened(no) => {
                self.why.end = End::Refused(no.refused());
                self.why.status = no.refused().status();
                no.write(out, &self.scratch.request.fields, manner);
            }
            Stop::Room(said) => {
                self.why.end = said.refused().map_or(End::Complete, End::Refused);
                self.why.status = said.write(out, manner);
            }
            Stop::Failed(failure) => {
                self.why.end = End::Failed(failure);
                if !may_answer(&failure) {
                    self.why.bytes_out = failure.bytes_sent;
                    if self.manner.version == Version::Http10 {
                        // In HTTP/1.0 the end of the connection may be the end of the body: it must look broken.
                        self.visitor.break_on_close();
                    }
                    return After::Close;
                }
                self.why.status = answer::failure(out, &failure, manner);
            }
        }
        self.write_answer(manner, body_read).await
    }

    /// Sends somebody away because the application is at its limit.
    async fn no_room(&mut self, stop: Stop, manner: Manner, body_read: bool) -> After {
        let detail = match stop {
            Stop::Refused(refused) => {
                self.why.end = End::Refused(refused);
                refused.label()
            }
            Stop::Failed(failure) => {
                self.why.end = End::Failed(failure);
                failure.source.label()
            }
            _ => "",
        };
        self.why.status = 503;
        self.write_busy(detail, manner);
        self.write_answer(manner, body_read).await
    }

    async fn write_answer(&mut self, manner: Manner, body_read: bool) -> After {
        self.give_ticket();
        match self.visitor.write(&mut [IoSlice::new(&self.scratch.out)]).await {
            Ok(bytes) => self.why.bytes_out = bytes,
            Err(_) => return After::Close,
        }
        self.visitor.end();
        self.why.head_us = micros(clock::coarse().since(self.visitor.arrived));
        match (manner.keep_alive, body_read && self.visitor.filled().is_empty()) {
            (true, _) => After::NextRequest,
            // Nothing unread can come in the way of the answer: but a refused head may still be arriving.
            (false, true) if !matches!(self.why.end, End::Refused(_)) => After::Close,
            (false, _) => After::Linger,
        }
    }
}

/// Not when part of a response is out already, or nobody is there to read one.
fn may_answer(failure: &Failure) -> bool {
    failure.side != Side::Visitor && !(failure.phase == Phase::ReadBody && failure.bytes_sent > 0)
}

impl From<NoResponse> for Stop {
    fn from(no: NoResponse) -> Self {
        match no {
            NoResponse::Failed(failure) => Self::Failed(failure),
            NoResponse::Refused(refused) => Self::Refused(refused),
        }
    }
}
