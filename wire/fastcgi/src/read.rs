//! Reading the answer to one request: which bytes are content, and when the head is whole. Holds nothing back but the
//! head, bounded, and the first of the error output. Content is neither copied nor kept.

use crate::Fault;
use crate::head::{Limits, Lines};
use crate::record::{HEADER_BYTES, Header, REQUEST_ID, kind};
use tentpole_message::ResponseHead;
use tentpole_model::Method;

/// Bytes of an `END_REQUEST` record's content.
const END_BYTES: usize = 8;

/// What was found in the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The head is whole: take it with [`Decoder::take_head`]. Comes once, before any content.
    Head {
        /// Bytes used up.
        used: usize,
    },
    /// Content is `bytes[skip..skip + len]`, never empty; `skip + len` bytes are used up.
    Data {
        /// Bytes before the content.
        skip: usize,
        /// Bytes of content.
        len: usize,
    },
    /// No content; all `used` bytes are used up and more are needed.
    NeedMore {
        /// Bytes used up.
        used: usize,
    },
    /// The request is over. The connection, if it was to be kept, is free for the next, once the end of this one's content
    /// was written; close it when the answer came before that.
    Done {
        /// Bytes used up.
        used: usize,
        /// What the script returned; 0 is success. Does not say whether the answer is good.
        application_status: u32,
    },
}

/// Reads the answer to one request.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    limits: Limits,
    output: Output,
    head: ResponseHead,
    /// Whether the request allows no content in the answer (HEAD).
    is_head_only: bool,
    content_length: Option<u64>,
    is_local: bool,
    /// Content still to come, when its length is known and it is passed on.
    content_left: Option<u64>,
    stdout_ended: bool,
    stderr_ended: bool,
    stderr: Vec<u8>,
    stderr_bytes_seen: u64,
    has_begun: bool,
    /// The status of an `END_REQUEST` whose padding is still to come.
    ended: Option<u32>,
}

/// Where in a record the next byte lies.
#[derive(Clone, Copy, Debug)]
enum State {
    Header { bytes: [u8; HEADER_BYTES], filled: usize },
    Stdout { left: usize, padding: usize },
    Stderr { left: usize, padding: usize },
    End { bytes: [u8; END_BYTES], filled: usize, padding: usize },
    Padding { left: usize },
    Done { application_status: u32 },
    Failed(Fault),
}

/// What the standard output is.
#[derive(Debug)]
enum Output {
    Head(Lines),
    Content,
    /// Content that nobody may get: of HEAD, 204 and 304.
    Ignored,
}

impl Decoder {
    /// For the answer to a request of this method.
    pub fn new(method: Method, limits: Limits) -> Self {
        Self {
            state: State::NEXT,
            limits,
            output: Output::Head(Lines::default()),
            head: ResponseHead::new(),
            is_head_only: method == Method::Head,
            content_length: None,
            is_local: false,
            content_left: None,
            stdout_ended: false,
            stderr_ended: false,
            stderr: Vec::new(),
            stderr_bytes_seen: 0,
            has_begun: false,
            ended: None,
        }
    }

    /// Looks at the bytes at hand, says what they are and how many are used up. Call it again with what follows.
    ///
    /// # Errors
    /// What is wrong, now and on each later call; the connection must then be closed.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, Fault> {
        self.has_begun |= !bytes.is_empty();
        let decoded = self.walk(bytes);
        if let Err(fault) = decoded {
            self.state = State::Failed(fault);
        }
        decoded
    }

    /// Says that no more bytes will come.
    ///
    /// # Errors
    /// [`Fault::EarlyEnd`] when the request is not over, or what was wrong before.
    pub fn end_of_input(&self) -> Result<(), Fault> {
        match self.state {
            State::Done { .. } => Ok(()),
            State::Failed(fault) => Err(fault),
            _ => Err(Fault::EarlyEnd),
        }
    }

    /// Gives the head, once [`Decoded::Head`] has said that it is there, in exchange for `head`'s buffers. What it says
    /// of `Content-Length` is held: content that differs is a fault.
    pub fn take_head(&mut self, head: &mut ResponseHead) {
        std::mem::swap(&mut self.head, head);
    }

    /// What the head says the content's length is. Without it, the end of the request is the end of the content.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether the head says that the answer is what the path in its `Location` is answered (RFC 3875 section 6.2.2). Known
    /// once the head is.
    pub fn redirects_locally(&self) -> bool {
        self.is_local
    }

    /// Whether the request is over.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done { .. })
    }

    /// Whether anything came: before, the application may not have seen the request at all.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The error output so far, as it came, up to the limit. It may hold control bytes: escape it before showing it.
    pub fn stderr(&self) -> &[u8] {
        &self.stderr
    }

    /// Bytes of error output that were thrown away because of the limit.
    pub fn stderr_bytes_lost(&self) -> u64 {
        self.stderr_bytes_seen - self.stderr.len() as u64
    }

    /// Forgets the error output so far, which somebody was told.
    pub fn forget_stderr(&mut self) {
        self.stderr.clear();
        self.stderr_bytes_seen = 0;
    }

    /// Whether nobody may get the content of this answer: to HEAD, with 204 or 304. Known once the head is.
    pub fn ignores_content(&self) -> bool {
        matches!(self.output, Output::Ignored)
    }

    /// The error output so far, line by line, without empty ones.
    pub fn stderr_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.stderr.split(|&byte| byte == b'\n').map(|line| line.trim_ascii()).filter(|line| !line.is_empty())
    }

    fn walk(&mut self, bytes: &[u8]) -> Result<Decoded, Fault> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match self.state {
                State::Failed(fault) => return Err(fault),
                State::Done { application_status } => {
                    return Ok(Decoded::Done { used: at, application_status });
                }
                State::Header { bytes: mut header, filled } => {
                    let (taken, filled) = collect(&mut header, filled, rest);
                    at += taken;
                    if filled < HEADER_BYTES {
                        self.state = State::Header { bytes: header, filled };
                        return Ok(Decoded::NeedMore { used: at });
                    }
                    self.state = self.record(Header::from_bytes(header))?;
                }
                State::Stdout { left: 0, padding } | State::Stderr { left: 0, padding } => {
                    self.state = State::Padding { left: padding };
                }
                State::Padding { left: 0 } => {
                    self.state = match self.ended {
                        Some(application_status) => State::Done { application_status },
                        None => State::NEXT,
                    };
                }
                _ if rest.is_empty() => return Ok(Decoded::NeedMore { used: at }),
                State::Stdout { left, padding } => {
                    let here = &rest[..left.min(rest.len())];
                    let (taken, found) = self.stdout(here)?;
                    self.state = State::Stdout { left: left - taken, padding };
                    match found {
                        Found::Head => return Ok(Decoded::Head { used: at + taken }),
                        Found::Content => return Ok(Decoded::Data { skip: at, len: taken }),
                        Found::Nothing => at += taken,
                    }
                }
                State::Stderr { left, padding } => {
                    let here = &rest[..left.min(rest.len())];
                    self.keep_stderr(here);
                    self.state = State::Stderr { left: left - here.len(), padding };
                    at += here.len();
                }
                State::Padding { left } => {
                    let taken = left.min(rest.len());
                    self.state = State::Padding { left: left - taken };
                    at += taken;
                }
                State::End { bytes: mut end, filled, padding } => {
                    let (taken, filled) = collect(&mut end, filled, rest);
                    at += taken;
                    self.state = State::End { bytes: end, filled, padding };
                    if filled == END_BYTES {
                        self.ended = Some(self.end(end)?);
                        self.state = State::Padding { left: padding };
                    }
                }
            }
        }
    }

    /// What follows a header.
    fn record(&mut self, header: Header) -> Result<State, Fault> {
        let Header { version, kind, request_id, content_bytes, padding_bytes } = header;
        if version != 1 {
            return Err(Fault::Version(version));
        }
        if request_id == 0 {
            return Err(Fault::Management(kind));
        }
        if !matches!(kind, kind::STDOUT | kind::STDERR | kind::END_REQUEST) {
            return Err(Fault::RecordType(kind));
        }
        if request_id != REQUEST_ID {
            return Err(Fault::RequestId(request_id));
        }
        let (left, padding) = (usize::from(content_bytes), usize::from(padding_bytes));
        match kind {
            kind::STDOUT => {
                once(&mut self.stdout_ended, left)?;
                Ok(State::Stdout { left, padding })
            }
            kind::STDERR => {
                once(&mut self.stderr_ended, left)?;
                Ok(State::Stderr { left, padding })
            }
            _ if left == END_BYTES => Ok(State::End { bytes: [0; END_BYTES], filled: 0, padding }),
            _ => Err(Fault::EndRequest),
        }
    }

    /// Takes standard output, and says how much and what it was.
    fn stdout(&mut self, bytes: &[u8]) -> Result<(usize, Found), Fault> {
        match &mut self.output {
            Output::Head(lines) => {
                let (taken, is_whole) = lines.push(bytes, &self.limits)?;
                if !is_whole {
                    return Ok((taken, Found::Nothing));
                }
                let meaning = std::mem::take(lines).finish(&mut self.head)?;
                self.content_length = meaning.content_length;
                self.is_local = meaning.is_local;
                if self.is_head_only || matches!(self.head.status, 204 | 304) {
                    self.output = Output::Ignored;
                } else {
                    self.output = Output::Content;
                    self.content_left = self.content_length;
                }
                Ok((taken, Found::Head))
            }
            Output::Ignored => Ok((bytes.len(), Found::Nothing)),
            Output::Content => {
                // What still fits is passed on first, so that a cut does not change what arrives.
                let fitting = self
                    .content_left
                    .map_or(bytes.len(), |left| bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
                if fitting == 0 {
                    return Err(Fault::TooMuch);
                }
                if let Some(left) = &mut self.content_left {
                    *left -= fitting as u64;
                }
                Ok((fitting, Found::Content))
            }
        }
    }

    fn keep_stderr(&mut self, bytes: &[u8]) {
        self.stderr_bytes_seen += bytes.len() as u64;
        let room = self.limits.stderr_bytes_max.saturating_sub(self.stderr.len());
        self.stderr.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What `END_REQUEST` says (section 5.5): the application's status, when the request was carried out.
    fn end(&self, bytes: [u8; END_BYTES]) -> Result<u32, Fault> {
        let [a, b, c, d, protocol_status, ..] = bytes;
        let is_untouched = matches!(&self.output, Output::Head(lines) if lines.is_empty());
        match protocol_status {
            0 => {}
            // Who has begun cannot say that he does not.
            _ if !is_untouched => return Err(Fault::EndRequest),
            1 => return Err(Fault::CannotMultiplex),
            2 => return Err(Fault::Overloaded),
            3 => return Err(Fault::UnknownRole),
            _ => return Err(Fault::EndRequest),
        }
        match (&self.output, self.content_left) {
            (Output::Head(_), _) => Err(Fault::NoHead),
            (Output::Content, Some(1..)) => Err(Fault::TooLittle),
            _ => Ok(u32::from_be_bytes([a, b, c, d])),
        }
    }
}

impl State {
    const NEXT: Self = Self::Header { bytes: [0; HEADER_BYTES], filled: 0 };
}

/// What a piece of standard output was.
enum Found {
    Head,
    Content,
    Nothing,
}

/// Moves bytes into a fixed room; says how many were taken and how many are there.
fn collect<const N: usize>(room: &mut [u8; N], filled: usize, bytes: &[u8]) -> (usize, usize) {
    let taken = bytes.len().min(N - filled);
    room[filled..filled + taken].copy_from_slice(&bytes[..taken]);
    (taken, filled + taken)
}

/// An empty record ends a stream, once.
fn once(ended: &mut bool, content_bytes: usize) -> Result<(), Fault> {
    if *ended {
        return Err(Fault::AfterEnd);
    }
    *ended = content_bytes == 0;
    Ok(())
}
