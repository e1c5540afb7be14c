//! The body of a fragment or a page while it arrives: through a fill, or for one visitor alone. Reads at the pace of
//! whoever asks for the next piece; sends nothing.

use crate::exchange::Exchange;
use crate::thread::Thread;
use bytes::Bytes;
use std::future::poll_fn;
use std::rc::Rc;
use tentpole_cache::FillReader;
use tentpole_http1::Piece;
use tentpole_message::{BodyStream, Chunk};
use tentpole_model::{Cause, Failure, Phase, Retry};
use tentpole_runtime::deadline::{Deadline, Expired};

/// A body on its way, from wherever it comes.
pub enum Stream {
    /// Through a fill.
    Fill(FillReader),
    /// For this visitor alone; `None` once it has ended.
    Own(Option<Box<Exchange>>, Rc<Thread>, Deadline),
}

/// Reads until the end, or until there are `bytes_max`; says whether it is the end.
pub async fn collect(stream: &mut Stream, bytes_max: u64) -> Result<(Vec<Bytes>, bool), Failure> {
    let (mut chunks, mut bytes) = (Vec::new(), 0);
    while bytes < bytes_max {
        let Some(chunk) = stream.next().await? else { return Ok((chunks, true)) };
        bytes += chunk.len() as u64;
        chunks.push(chunk);
    }
    Ok((chunks, false))
}

impl Stream {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Fill(reader) => match poll_fn(|context| reader.poll_chunk(context)).await? {
                Chunk::Data(data) => Ok(Some(data)),
                Chunk::End => Ok(None),
            },
            Self::Own(own, thread, deadline) => {
                let Some(exchange) = own.as_deref_mut() else { return Ok(None) };
                let piece = next_piece(exchange, deadline).await;
                if !matches!(piece, Ok(Some(_))) {
                    let ended = own.take();
                    match (&piece, ended) {
                        (Ok(_), Some(exchange)) => exchange.finish(thread),
                        (Err(_), Some(exchange)) => exchange.source.failed(),
                        (_, None) => {}
                    }
                }
                piece
            }
        }
    }

    /// Bytes of these pieces of it that no fill holds.
    pub fn held(&self, chunks: &[Bytes]) -> u64 {
        match self {
            Self::Fill(_) => 0,
            Self::Own(..) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
        }
    }
}

async fn next_piece(exchange: &mut Exchange, deadline: &Deadline) -> Result<Option<Bytes>, Failure> {
    deadline.set_in(exchange.timeouts.stall);
    match deadline.guard(|context| exchange.poll_piece(context)).await {
        Ok(Ok(Piece::Data { skip, len })) => {
            let data = Bytes::copy_from_slice(&exchange.bytes()[skip..skip + len]);
            exchange.consume(skip + len);
            Ok(Some(data))
        }
        Ok(Ok(Piece::End)) => Ok(None),
        Ok(Err(failure)) => Err(failure),
        Err(Expired) => Err(Failure::upstream(Phase::ReadBody, Retry::Never, Cause::TimedOut)),
    }
}
