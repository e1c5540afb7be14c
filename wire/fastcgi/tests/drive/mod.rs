//! Plays the application: makes records, and reads a whole answer cut at any places. Shared by the tests and the fuzz
//! target.

#![allow(dead_code, reason = "each test uses its part")]

use tentpole_fastcgi::{Decoded, Decoder, Fault, Limits};
use tentpole_message::ResponseHead;
use tentpole_model::Method;

pub const END_REQUEST: u8 = 3;
pub const STDOUT: u8 = 6;
pub const STDERR: u8 = 7;

/// Name and value of fields, in order.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// An answer as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub head: Option<Head>,
    pub body: Vec<u8>,
    pub stderr: Vec<u8>,
    pub stderr_bytes_lost: u64,
    pub end: Result<u32, Fault>,
    /// Bytes used up, when it ended well.
    pub used: usize,
}

/// A head that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub reason: Vec<u8>,
    pub fields: Pairs,
    pub content_length: Option<u64>,
}

/// A record of request 1.
pub fn record(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
    record_of(1, 1, kind, content, padding)
}

/// Any record.
pub fn record_of(version: u8, id: u16, kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a record's content has at most 65,535 bytes");
    let mut bytes = vec![version, kind];
    bytes.extend(id.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend([padding, 0]);
    bytes.extend(content);
    bytes.extend(std::iter::repeat_n(b'p', usize::from(padding)));
    bytes
}

/// The end of request 1.
pub fn end(application_status: u32, protocol_status: u8) -> Vec<u8> {
    let [a, b, c, d] = application_status.to_be_bytes();
    record(END_REQUEST, &[a, b, c, d, protocol_status, 0, 0, 0], 0)
}

/// Reads `bytes`, cut at `cuts`, which must ascend; places beyond the end do not matter.
pub fn read(bytes: &[u8], cuts: &[usize], method: Method, limits: Limits) -> Answer {
    let mut decoder = Decoder::new(method, limits);
    let (mut head, mut body, mut from) = (None, Vec::new(), 0);
    let mut used_up = 0;
    let mut result = Err(Fault::EarlyEnd);
    'pieces: for &cut in cuts.iter().chain([&bytes.len()]) {
        let to = cut.clamp(from, bytes.len());
        let mut piece = &bytes[from..to];
        from = to;
        loop {
            assert!(decoder.stderr().len() <= limits.stderr_bytes_max);
            let used = match decoder.decode(piece) {
                Err(fault) => {
                    assert_eq!(decoder.decode(b"more"), Err(fault), "a fault stays");
                    assert_eq!(decoder.end_of_input(), Err(fault));
                    result = Err(fault);
                    break 'pieces;
                }
                Ok(Decoded::NeedMore { used }) => {
                    assert_eq!(used, piece.len(), "whoever needs more has used up all");
                    used_up += used;
                    continue 'pieces;
                }
                Ok(Decoded::Done { used, application_status }) => {
                    assert!(decoder.is_done());
                    assert_eq!(decoder.decode(b"x"), Ok(Decoded::Done { used: 0, application_status }));
                    used_up += used;
                    result = Ok(application_status);
                    break 'pieces;
                }
                Ok(Decoded::Head { used }) => {
                    assert_eq!(head, None, "a head comes once");
                    head = Some(taken(&mut decoder));
                    used
                }
                Ok(Decoded::Data { skip, len }) => {
                    assert!(len > 0 && head.is_some(), "content is never empty, and comes after the head");
                    body.extend_from_slice(&piece[skip..skip + len]);
                    skip + len
                }
            };
            used_up += used;
            piece = &piece[used..];
        }
    }
    assert_eq!(decoder.end_of_input(), result.map(|_| ()), "whoever is done needs no end");
    Answer {
        head,
        body,
        stderr: decoder.stderr().to_vec(),
        stderr_bytes_lost: decoder.stderr_bytes_lost(),
        used: if result.is_ok() { used_up } else { 0 },
        end: result,
    }
}

fn taken(decoder: &mut Decoder) -> Head {
    let mut head = ResponseHead::new();
    decoder.take_head(&mut head);
    Head {
        status: head.status,
        reason: head.reason().to_vec(),
        fields: head.fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect(),
        content_length: decoder.content_length(),
    }
}

/// Asserts that every way to cut `bytes` in two, and feeding single bytes, gives what the whole gives.
pub fn read_however_cut(bytes: &[u8], method: Method, limits: Limits) -> Answer {
    let whole = read(bytes, &[], method, limits);
    let everywhere: Vec<usize> = (1..bytes.len()).collect();
    let shown = bytes.escape_ascii().to_string();
    assert_eq!(read(bytes, &everywhere, method, limits), whole, "byte by byte: {shown}");
    for cut in 1..bytes.len() {
        assert_eq!(read(bytes, &[cut], method, limits), whole, "cut at {cut}: {shown}");
    }
    whole
}
