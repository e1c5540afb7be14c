//! Where the content of an exchange comes from: an endpoint's connection, or a file of ours. Decides nothing.

use std::task::{Context, Poll, ready};
use tentpole_files::Body;
use tentpole_http1::Piece;
use tentpole_model::{Cause, Failure, Phase};
use tentpole_upstream::{Connection, ResponseBody};

/// What is read from.
pub enum Source {
    /// A connection to an endpoint.
    Endpoint(Connection),
    /// A file, or words in its place.
    File(Box<Body>),
}

impl Source {
    /// The next piece of the content, which [`Source::filled`] holds until it is consumed.
    pub fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
        body: &mut ResponseBody,
    ) -> Poll<Result<Piece, Failure>> {
        match self {
            Self::Endpoint(connection) => connection.poll_piece(context, body),
            Self::File(file) => {
                let read = ready!(file.poll(context));
                // The visitor sees a response that breaks off, like one of an endpoint that failed.
                read.map_err(|error| Failure::internal(Phase::ReadBody, Cause::from(&error)))?;
                let len = file.filled().len();
                Poll::Ready(Ok(if len > 0 { Piece::Data { skip: 0, len } } else { Piece::End }))
            }
        }
    }

    /// The bytes that a piece lies in.
    pub fn filled(&self) -> &[u8] {
        match self {
            Self::Endpoint(connection) => connection.filled(),
            Self::File(file) => file.filled(),
        }
    }

    /// Takes bytes away that were read.
    pub fn consume(&mut self, count: usize) {
        match self {
            Self::Endpoint(connection) => connection.consume(count),
            Self::File(file) => file.consume(count),
        }
    }

    /// Whether the content was read to its end.
    pub fn is_done(&self, body: &ResponseBody) -> bool {
        match self {
            Self::Endpoint(_) => body.is_done(),
            Self::File(file) => file.is_done(),
        }
    }

    /// The connection, where there is one.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Endpoint(connection) => Some(connection),
            Self::File(_) => None,
        }
    }

    /// Counts what broke off as the endpoint's failure.
    pub fn failed(&self) {
        if let Self::Endpoint(connection) = self {
            connection.cell().failed();
        }
    }
}
