//! Reads whole byte strings as a connection would, cut at any places, and tells what was understood. Shared by the
//! tests and the fuzz targets.

#![allow(dead_code, reason = "each test uses its part")]

use tentpole_http1::*;
use tentpole_message::{Fields, RequestHead, ResponseHead};
use tentpole_model::{Method, Refused};

/// Name and value of fields, in order.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A request as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub host: Option<Vec<u8>>,
    pub path_and_query: Vec<u8>,
    pub minor_version: u8,
    pub fields: Pairs,
    pub framing: Framing,
    pub body: Vec<u8>,
    pub trailers: Pairs,
    pub keeps_alive: bool,
}

/// A response as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub reason: Vec<u8>,
    pub minor_version: u8,
    pub fields: Pairs,
    pub framing: Framing,
    pub body: Vec<u8>,
    pub trailers: Pairs,
    pub keeps_alive: bool,
}

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<E> {
    /// Between two messages.
    Clean,
    /// Inside a message.
    Early,
    /// The last message said that it is the last.
    Close,
    /// With a refusal.
    Refused(E),
}

/// What is wrong with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    Head(Malformed),
    Body(ChunkError),
}

/// The bytes of a connection in pieces that are cut at given places.
pub struct Pieces<'a> {
    bytes: &'a [u8],
    cuts: &'a [usize],
    buffer: Vec<u8>,
    taken: usize,
}

impl<'a> Pieces<'a> {
    /// Cut at `cuts`, which must ascend; places beyond the end do not matter.
    pub fn new(bytes: &'a [u8], cuts: &'a [usize]) -> Self {
        Self { bytes, cuts, buffer: Vec::new(), taken: 0 }
    }

    /// Lets the next piece arrive; `false` when there is none.
    fn more(&mut self) -> bool {
        if self.taken == self.bytes.len() {
            return false;
        }
        let next = self.cuts.iter().copied().find(|&cut| cut > self.taken).unwrap_or(usize::MAX);
        let next = next.min(self.bytes.len());
        self.buffer.extend_from_slice(&self.bytes[self.taken..next]);
        self.taken = next;
        true
    }

    fn use_up(&mut self, count: usize) {
        self.buffer.drain(..count);
    }
}

/// Reads all requests of a connection.
pub fn requests(mut pieces: Pieces<'_>, limits: &Limits) -> (Vec<Request>, End<Refused>) {
    let mut messages = Vec::new();
    // One head for all, as an edge has it: nothing of an earlier message may show in a later one.
    let mut head = RequestHead::new();
    loop {
        match request(&mut pieces, limits, &mut head) {
            Ok(Some(message)) => {
                let keeps_alive = message.keeps_alive;
                messages.push(message);
                if !keeps_alive {
                    return (messages, End::Close);
                }
            }
            Ok(None) if pieces.buffer.is_empty() => return (messages, End::Clean),
            Ok(None) => return (messages, End::Early),
            Err(refused) => return (messages, End::Refused(refused)),
        }
    }
}

fn request(
    pieces: &mut Pieces<'_>,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Option<Request>, Refused> {
    let head_bytes = loop {
        match parse_request(&pieces.buffer, limits, head)? {
            Parsed::Complete { head_bytes } => break head_bytes,
            Parsed::Partial if !pieces.more() => return Ok(None),
            Parsed::Partial => {}
        }
    };
    assert!(head_bytes <= limits.head_bytes_max, "a head is no larger than allowed");
    pieces.use_up(head_bytes);
    let framing = request_framing(head)?;
    assert_ne!(framing, Framing::UntilClose, "a request has an end");
    expects_continue(head)?;
    let Some((body, trailers)) = body(pieces, framing)? else { return Err(Refused::BodyTimeout) };
    let target = split_target(head);
    Ok(Some(Request {
        method: head.method_bytes().to_vec(),
        target: head.target().to_vec(),
        host: host(head).map(<[u8]>::to_vec),
        path_and_query: target.path_and_query.to_vec(),
        minor_version: head.minor_version,
        fields: pairs(&head.fields),
        framing,
        body,
        trailers,
        keeps_alive: keeps_alive_request(head),
    }))
}

/// Reads all responses of a connection, each to a request of this method; a 101 ends it.
pub fn responses(mut pieces: Pieces<'_>, limits: &Limits, method: Method) -> (Vec<Response>, End<Bad>) {
    let mut messages = Vec::new();
    let mut head = ResponseHead::new();
    loop {
        match response(&mut pieces, limits, method, &mut head) {
            Ok(Some(message)) => {
                let is_last = !message.keeps_alive;
                messages.push(message);
                if is_last {
                    return (messages, End::Close);
                }
            }
            Ok(None) if pieces.buffer.is_empty() => return (messages, End::Clean),
            Ok(None) => return (messages, End::Early),
            Err(bad) => return (messages, End::Refused(bad)),
        }
    }
}

fn response(
    pieces: &mut Pieces<'_>,
    limits: &Limits,
    method: Method,
    head: &mut ResponseHead,
) -> Result<Option<Response>, Bad> {
    let head_bytes = loop {
        match parse_response(&pieces.buffer, limits, head).map_err(Bad::Head)? {
            Parsed::Complete { head_bytes } => break head_bytes,
            Parsed::Partial if !pieces.more() => return Ok(None),
            Parsed::Partial => {}
        }
    };
    assert!(head_bytes <= limits.head_bytes_max, "a head is no larger than allowed");
    pieces.use_up(head_bytes);
    let framing = response_framing(head, method).map_err(Bad::Head)?;
    let Some((body, trailers)) = body(pieces, framing).map_err(Bad::Body)? else {
        return Err(Bad::Body(ChunkError::EarlyEnd));
    };
    Ok(Some(Response {
        status: head.status,
        reason: head.reason().to_vec(),
        minor_version: head.minor_version,
        fields: pairs(&head.fields),
        framing,
        body,
        trailers,
        keeps_alive: keeps_alive_response(head, framing),
    }))
}

/// Reads one body; `None` when the input ends inside it.
fn body(pieces: &mut Pieces<'_>, framing: Framing) -> Result<Option<(Vec<u8>, Pairs)>, ChunkError> {
    let mut decoder = BodyDecoder::new(framing, BodyLimits::default());
    let mut body = Vec::new();
    loop {
        match decoder.decode(&pieces.buffer)? {
            Decoded::Data { skip, len } => {
                assert!(len > 0, "content is never empty");
                body.extend_from_slice(&pieces.buffer[skip..skip + len]);
                pieces.use_up(skip + len);
            }
            Decoded::NeedMore { used } => {
                assert_eq!(used, pieces.buffer.len(), "whoever needs more has used up all");
                pieces.use_up(used);
                if !pieces.more() {
                    if decoder.end_of_input().is_err() {
                        return Ok(None);
                    }
                    assert_eq!(framing, Framing::UntilClose);
                }
            }
            Decoded::Done { used } => {
                assert!(decoder.is_done());
                pieces.use_up(used);
                return Ok(Some((body, decoder.trailers().map(pairs).unwrap_or_default())));
            }
        }
    }
}

/// A field list that can be compared.
pub fn pairs(fields: &Fields) -> Pairs {
    fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}

/// Asserts that every way to cut `bytes` in two, and feeding single bytes, gives what the whole gives.
pub fn assert_same_however_cut<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: impl Fn(Pieces<'_>) -> T,
) -> T {
    let whole = read(Pieces::new(bytes, &[]));
    for cut in 1..bytes.len() {
        assert_eq!(
            read(Pieces::new(bytes, &[cut])),
            whole,
            "cut at {cut}: {:?}",
            bytes.escape_ascii().to_string()
        );
    }
    let everywhere: Vec<usize> = (1..bytes.len()).collect();
    assert_eq!(
        read(Pieces::new(bytes, &everywhere)),
        whole,
        "byte by byte: {:?}",
        bytes.escape_ascii().to_string()
    );
    whole
}
