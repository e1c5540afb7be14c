//! A connection of HTTP/2 as a client has it that asks for one thing after the other: which frame means what (RFC 9113
//! section 6), windows, and what is to be answered. Holds no buffer while nothing is under way.

use super::asking::{Asking, Awaits, HEAD_BYTES_MAX, malformed};
use super::frames::{self, FRAME_BYTES_MAX, Frame, HEAD_BYTES, u31};
use super::hpack::{self, Malformed, Table};
use crate::connection::{Broken, cause_on};
use crate::result::FailureCause;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker, ready};
use tentpole_runtime::buffer::BUFFER_BYTES;
use tentpole_runtime::socket::Socket;

/// Content that may lie here unread: of a connection, and of one request.
const WINDOW_BYTES: usize = 1 << 20;
/// What both sides may send before anything was said (RFC 9113 section 6.9.2).
const WINDOW_BYTES_FIRST: usize = 65_535;
const WINDOW_MAX: i64 = (1 << 31) - 1;
/// Bytes that may wait to be sent: then nothing more is read, and no more content is added.
const OUT_BYTES_MAX: usize = 64 * 1024;
/// Streams are told apart by odd numbers of 31 bits.
const STREAM_MAX: u32 = (1 << 31) - 1;

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    socket: Socket,
    state: State,
}

#[derive(Debug)]
struct State {
    /// What is to be sent, and how much of it was.
    out: Vec<u8>,
    sent: usize,
    /// The host reads no more; it may have answered all the same.
    is_cut_off: bool,
    table: Table,
    next_stream: u32,
    /// The host's SETTINGS came.
    is_greeted: bool,
    /// The host takes requests at all.
    takes_any: bool,
    /// The next head says that we use no table.
    says_no_table: bool,
    /// Content that the host takes: of all requests, and of a new one.
    window: i64,
    window_of_new: i64,
    /// Bytes that came since the host was told that it may send more.
    taken: usize,
    /// The last request that the host looks at.
    last_stream: Option<u32>,
    /// A head that is not there whole.
    lines: Option<Box<Lines>>,
    data: Option<Data>,
}

#[derive(Debug)]
struct Lines {
    stream: u32,
    ends: bool,
    bytes: Vec<u8>,
}

/// What is to come of a frame with content.
#[derive(Clone, Copy, Debug)]
struct Data {
    stream: u32,
    content: usize,
    padding: usize,
    ends: bool,
}

impl Line {
    /// The first words wait for the first request, and go out with it.
    pub(super) fn new(socket: Socket) -> Self {
        let mut out = frames::PREFACE.to_vec();
        frames::write_settings(
            &mut out,
            &[
                (frames::ENABLE_PUSH, 0),
                (frames::INITIAL_WINDOW_SIZE, WINDOW_BYTES as u32),
                (frames::MAX_HEADER_LIST_SIZE, HEAD_BYTES_MAX as u32),
            ],
        );
        let more = (WINDOW_BYTES - WINDOW_BYTES_FIRST) as u32;
        frames::write(&mut out, frames::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        let state = State {
            out,
            sent: 0,
            is_cut_off: false,
            table: Table::default(),
            next_stream: 1,
            is_greeted: false,
            takes_any: true,
            says_no_table: true,
            window: WINDOW_BYTES_FIRST as i64,
            window_of_new: WINDOW_BYTES_FIRST as i64,
            taken: 0,
            last_stream: None,
            lines: None,
            data: None,
        };
        Self { socket, state }
    }

    /// Whether another request may begin.
    pub(super) fn is_open(&self) -> bool {
        self.state.last_stream.is_none() && self.state.next_stream < STREAM_MAX && !self.state.is_cut_off
    }

    /// Sends a request and reads the response.
    pub(super) fn poll_exchange(
        &mut self,
        context: &mut Context<'_>,
        asking: &mut Asking<'_>,
    ) -> Poll<Result<(), Broken>> {
        loop {
            while self.state.waiting() < OUT_BYTES_MAX && self.step(Some(asking))? {}
            let is_answered = asking.awaits == Awaits::Nothing;
            if is_answered && !asking.content.is_empty() {
                // The rest of the request is not wanted.
                self.state.cancel(asking.stream);
                asking.content = &[];
            }
            self.socket.rest();
            let output = self.poll_send(context, asking);
            if is_answered {
                // What is left goes out while nothing is asked.
                return Poll::Ready(Ok(()));
            }
            if output.is_pending() && self.state.waiting() >= OUT_BYTES_MAX {
                return Poll::Pending;
            }
            let answered = asking.awaits != Awaits::Head;
            ready!(self.poll_fill(context)).map_err(|cause| Broken { cause, answered })?;
        }
    }

    /// Answers what a host says while nothing is asked; ready when the connection is over.
    pub(super) fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<FailureCause> {
        loop {
            loop {
                match self.step(None) {
                    Ok(true) if self.state.waiting() < OUT_BYTES_MAX => {}
                    Ok(_) => break,
                    Err(broken) => return Poll::Ready(broken.cause),
                }
            }
            self.socket.rest();
            if self.poll_flush(context).is_pending() && self.state.waiting() >= OUT_BYTES_MAX {
                return Poll::Pending;
            }
            if let Err(cause) = ready!(self.poll_fill(context)) {
                return Poll::Ready(cause);
            }
        }
    }

    /// The last words, as far as they go out at once.
    pub(super) fn say_end(&mut self) {
        if self.state.waiting() == 0 {
            // The last stream of theirs that we looked at, and no error.
            frames::write(&mut self.state.out, frames::GOAWAY, 0, 0, &[0; 8]);
            let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Sends the request as far as the host takes it.
    fn poll_send(&mut self, context: &mut Context<'_>, asking: &mut Asking<'_>) -> Poll<()> {
        loop {
            self.state.begin(asking);
            self.state.add_content(asking);
            ready!(self.poll_flush(context));
            if asking.stream == 0 || asking.content.is_empty() || self.state.room(asking) == 0 {
                return Poll::Ready(());
            }
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self { socket, state } = self;
        while state.sent < state.out.len() && !state.is_cut_off {
            match ready!(socket.poll_write(context, &[IoSlice::new(&state.out[state.sent..])])) {
                Ok(count) if count > 0 => state.sent += count,
                // Who answers early may close before he has read everything: the answer is there to be read.
                _ => state.is_cut_off = true,
            }
        }
        state.sent = 0;
        state.out = Vec::new();
        Poll::Ready(())
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<(), FailureCause>> {
        // Frames that are read as a whole are no larger than that; content is taken in pieces.
        Poll::Ready(match ready!(self.socket.poll_fill(context, 2 * BUFFER_BYTES)) {
            Ok(0) => Err(self.end_cause(FailureCause::ClosedEarly)),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => Err(FailureCause::Malformed),
            Err(error) => Err(self.end_cause(cause_on(&self.socket, &error))),
        })
    }

    /// A host that said that it ends the connection has ended it.
    fn end_cause(&self, cause: FailureCause) -> FailureCause {
        if self.state.last_stream.is_some() { FailureCause::GoAway } else { cause }
    }

    /// Takes a frame, or a piece of one; false when more bytes are needed.
    fn step(&mut self, asking: Option<&mut Asking<'_>>) -> Result<bool, Broken> {
        let Self { socket, state } = self;
        if let Some(data) = state.data {
            let used = state.take_data(data, socket.filled(), asking)?;
            socket.consume(used);
            return Ok(used > 0);
        }
        let Some(frame) = Frame::read(socket.filled()) else { return Ok(false) };
        let is_in_lines = state.lines.is_some();
        if frame.length > FRAME_BYTES_MAX
            || (!state.is_greeted && frame.kind != frames::SETTINGS)
            || is_in_lines != (frame.kind == frames::CONTINUATION)
        {
            return Err(malformed());
        }
        if frame.kind == frames::DATA {
            let padded = usize::from(frame.has(frames::PADDED));
            if socket.filled().len() < HEAD_BYTES + padded {
                return Ok(false);
            }
            let padding = if padded > 0 { usize::from(socket.filled()[HEAD_BYTES]) } else { 0 };
            state.begin_data(frame, padded, padding, asking)?;
            socket.consume(HEAD_BYTES + padded);
            return Ok(true);
        }
        let whole = HEAD_BYTES + frame.length;
        let Some(content) = socket.filled().get(HEAD_BYTES..whole) else { return Ok(false) };
        state.take(frame, content, asking)?;
        socket.consume(whole);
        Ok(true)
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Sends the head, once the host takes requests.
    fn begin(&mut self, asking: &mut Asking<'_>) {
        if asking.stream != 0 || !self.takes_any {
            return;
        }
        asking.stream = self.next_stream;
        asking.window = self.window_of_new;
        self.next_stream += 2;
        let mut lines = std::mem::take(&mut asking.lines);
        if std::mem::take(&mut self.says_no_table) {
            let fields = std::mem::take(&mut lines);
            hpack::write_no_table(&mut lines);
            lines.extend(fields);
        }
        frames::write_lines(&mut self.out, &lines, asking.content.is_empty(), asking.stream);
    }

    /// How much content may go out now.
    fn room(&self, asking: &Asking<'_>) -> usize {
        let windows = self.window.min(asking.window).max(0) as usize;
        windows.min(OUT_BYTES_MAX.saturating_sub(self.waiting()))
    }

    fn add_content(&mut self, asking: &mut Asking<'_>) {
        while asking.stream != 0 && !asking.content.is_empty() {
            let length = self.room(asking).min(FRAME_BYTES_MAX).min(asking.content.len());
            if length == 0 {
                return;
            }
            let (piece, rest) = asking.content.split_at(length);
            let flags = if rest.is_empty() { frames::END_STREAM } else { 0 };
            frames::write(&mut self.out, frames::DATA, flags, asking.stream, piece);
            asking.content = rest;
            asking.window -= length as i64;
            self.window -= length as i64;
        }
    }

    fn cancel(&mut self, stream: u32) {
        frames::write(&mut self.out, frames::RST_STREAM, 0, stream, &frames::CANCEL.to_be_bytes());
    }

    /// Whether a stream was ours and is over; those that never were are an error.
    fn is_over(&self, stream: u32) -> Result<(), Broken> {
        if stream % 2 == 1 && stream < self.next_stream { Ok(()) } else { Err(malformed()) }
    }

    fn begin_data(
        &mut self,
        frame: Frame,
        padded: usize,
        padding: usize,
        asking: Option<&mut Asking<'_>>,
    ) -> Result<(), Broken> {
        let rest = frame.length.checked_sub(padded).ok_or_else(malformed)?;
        let content = rest.checked_sub(padding).ok_or_else(malformed)?;
        let ends = frame.has(frames::END_STREAM);
        // Padding counts too (RFC 9113 section 6.9.1).
        self.taken += frame.length;
        let mut is_too_much = self.taken > WINDOW_BYTES;
        let asking = asking.filter(|asking| asking.stream == frame.stream);
        match asking {
            Some(asking) => {
                asking.taken += frame.length;
                is_too_much |= asking.taken > WINDOW_BYTES;
                if rest == 0 {
                    self.end_data(Data { stream: frame.stream, content, padding, ends }, Some(asking))?;
                }
            }
            None => self.is_over(frame.stream)?,
        }
        if is_too_much {
            return Err(malformed());
        }
        if rest > 0 {
            self.data = Some(Data { stream: frame.stream, content, padding, ends });
        }
        Ok(())
    }

    /// Takes what is there of a frame's content; says how many bytes that were.
    fn take_data(
        &mut self,
        mut data: Data,
        there: &[u8],
        asking: Option<&mut Asking<'_>>,
    ) -> Result<usize, Broken> {
        let mut asking = asking.filter(|asking| asking.stream == data.stream);
        let content = there.len().min(data.content);
        let padding = (there.len() - content).min(data.padding);
        if let Some(asking) = asking.as_mut().filter(|_| content > 0) {
            asking.take_content(&there[..content])?;
        }
        data.content -= content;
        data.padding -= padding;
        self.data = (data.content + data.padding > 0).then_some(data);
        if self.data.is_none() {
            self.end_data(data, asking)?;
        }
        Ok(content + padding)
    }

    /// All of a frame came: the host may send as much again, now and then.
    fn end_data(&mut self, data: Data, asking: Option<&mut Asking<'_>>) -> Result<(), Broken> {
        self.allow_more();
        let Some(asking) = asking else { return Ok(()) };
        if data.ends {
            return asking.end();
        }
        if asking.taken >= WINDOW_BYTES / 2 {
            let more = std::mem::take(&mut asking.taken) as u32;
            frames::write(&mut self.out, frames::WINDOW_UPDATE, 0, asking.stream, &more.to_be_bytes());
        }
        Ok(())
    }

    fn allow_more(&mut self) {
        if self.taken >= WINDOW_BYTES / 2 {
            let more = std::mem::take(&mut self.taken) as u32;
            frames::write(&mut self.out, frames::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        }
    }

    /// Takes a whole frame that is not content.
    fn take(&mut self, frame: Frame, content: &[u8], asking: Option<&mut Asking<'_>>) -> Result<(), Broken> {
        let is_of_connection = matches!(frame.kind, frames::SETTINGS | frames::PING | frames::GOAWAY);
        let is_of_stream = matches!(
            frame.kind,
            frames::HEADERS | frames::PRIORITY | frames::RST_STREAM | frames::CONTINUATION
        );
        if (is_of_connection && frame.stream != 0) || (is_of_stream && frame.stream == 0) {
            return Err(malformed());
        }
        match frame.kind {
            frames::HEADERS => {
                let lines = frames::without_padding(frame, content).ok_or_else(malformed)?;
                let ends = frame.has(frames::END_STREAM);
                if frame.has(frames::END_HEADERS) {
                    return self.take_lines(frame.stream, lines, ends, asking);
                }
                let bytes = lines.to_vec();
                self.lines = Some(Box::new(Lines { stream: frame.stream, ends, bytes }));
                Ok(())
            }
            frames::CONTINUATION => self.take_more_lines(frame, content, asking),
            frames::SETTINGS => self.take_settings(frame, content, asking),
            frames::RST_STREAM if content.len() == 4 => match asking {
                Some(asking) if asking.stream == frame.stream && asking.awaits != Awaits::Nothing => {
                    Err(Broken { cause: FailureCause::StreamReset, answered: true })
                }
                Some(asking) if asking.stream == frame.stream => {
                    // I have answered, keep the rest (RFC 9113 section 8.1).
                    asking.content = &[];
                    Ok(())
                }
                _ => self.is_over(frame.stream),
            },
            frames::PING if content.len() == 8 => {
                if !frame.has(frames::ACK) {
                    frames::write(&mut self.out, frames::PING, frames::ACK, 0, content);
                }
                Ok(())
            }
            frames::GOAWAY => {
                let last = u31(content.first_chunk().filter(|_| content.len() >= 8).ok_or_else(malformed)?);
                self.last_stream = Some(last);
                // It has not looked at it (RFC 9113 section 6.8).
                let is_left = asking.is_some_and(|asking| asking.stream > last);
                if is_left { Err(Broken { cause: FailureCause::GoAway, answered: false }) } else { Ok(()) }
            }
            frames::WINDOW_UPDATE => {
                let more = u31(content.first_chunk().filter(|_| content.len() == 4).ok_or_else(malformed)?);
                let window = match asking {
                    _ if frame.stream == 0 => &mut self.window,
                    Some(asking) if asking.stream == frame.stream => &mut asking.window,
                    _ => return self.is_over(frame.stream),
                };
                *window += i64::from(more);
                if more == 0 || *window > WINDOW_MAX { Err(malformed()) } else { Ok(()) }
            }
            frames::PRIORITY if content.len() == 5 => Ok(()),
            // Nobody may push: that was said first.
            frames::PRIORITY | frames::RST_STREAM | frames::PING | frames::PUSH_PROMISE => Err(malformed()),
            // What nobody knows is left out (RFC 9113 section 4.1).
            _ => Ok(()),
        }
    }

    fn take_more_lines(
        &mut self,
        frame: Frame,
        content: &[u8],
        asking: Option<&mut Asking<'_>>,
    ) -> Result<(), Broken> {
        let Some(mut lines) = self.lines.take() else { return Err(malformed()) };
        lines.bytes.extend_from_slice(content);
        if lines.stream != frame.stream || lines.bytes.len() > HEAD_BYTES_MAX {
            return Err(malformed());
        }
        if frame.has(frames::END_HEADERS) {
            return self.take_lines(lines.stream, &lines.bytes, lines.ends, asking);
        }
        self.lines = Some(lines);
        Ok(())
    }

    fn take_lines(
        &mut self,
        stream: u32,
        lines: &[u8],
        ends: bool,
        asking: Option<&mut Asking<'_>>,
    ) -> Result<(), Broken> {
        match asking.filter(|asking| asking.stream == stream) {
            Some(asking) => asking.take_lines(&mut self.table, lines, ends),
            None => {
                self.is_over(stream)?;
                // What it writes into the table counts all the same.
                self.table.read(lines, |_, _| Ok(())).map_err(|Malformed| malformed())
            }
        }
    }

    fn take_settings(
        &mut self,
        frame: Frame,
        content: &[u8],
        mut asking: Option<&mut Asking<'_>>,
    ) -> Result<(), Broken> {
        if frame.has(frames::ACK) {
            return if content.is_empty() { Ok(()) } else { Err(malformed()) };
        }
        let (settings, []) = content.as_chunks::<6>() else { return Err(malformed()) };
        for &[a, b, value @ ..] in settings {
            let value = u32::from_be_bytes(value);
            match u16::from_be_bytes([a, b]) {
                frames::HEADER_TABLE_SIZE => self.says_no_table = true,
                frames::MAX_CONCURRENT_STREAMS => self.takes_any = value > 0,
                frames::INITIAL_WINDOW_SIZE => {
                    let more = i64::from(value) - self.window_of_new;
                    self.window_of_new = i64::from(value);
                    if let Some(asking) = asking.as_mut().filter(|asking| asking.stream != 0) {
                        asking.window += more;
                    }
                    if self.window_of_new > WINDOW_MAX {
                        return Err(malformed());
                    }
                }
                frames::MAX_FRAME_SIZE if (value as usize) < FRAME_BYTES_MAX || value >= 1 << 24 => {
                    return Err(malformed());
                }
                _ => {}
            }
        }
        self.is_greeted = true;
        frames::write(&mut self.out, frames::SETTINGS, frames::ACK, 0, &[]);
        Ok(())
    }
}
