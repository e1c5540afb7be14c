//! Frames of HTTP/2 (RFC 9113 sections 4.1 and 6): their heads, and the few that a client writes.

/// Bytes of a frame's head.
pub(super) const HEAD_BYTES: usize = 9;
/// Content of a frame that must be taken; nobody here asks for more.
pub(super) const FRAME_BYTES_MAX: usize = 16 * 1024;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const HAS_PRIORITY: u8 = 0x20;

pub(super) const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;

/// What a client says first (section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Error code: not wanted any more.
pub(super) const CANCEL: u32 = 8;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Frame {
    /// `None` when it is not there whole.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = bytes.first_chunk::<HEAD_BYTES>()?;
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        Some(Self { length, kind: *kind, flags: *flags, stream: u31(stream) })
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A number of 31 bits; the first of 32 means nothing.
pub(super) fn u31(bytes: &[u8; 4]) -> u32 {
    u32::from_be_bytes(*bytes) & (u32::MAX >> 1)
}

/// Appends the head of a frame; its content is no longer than [`FRAME_BYTES_MAX`].
pub(super) fn write_head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// Appends a frame.
pub(super) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, content: &[u8]) {
    write_head(out, content.len(), kind, flags, stream);
    out.extend_from_slice(content);
}

/// Appends SETTINGS.
pub(super) fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    write_head(out, settings.len() * 6, SETTINGS, 0, 0);
    for (which, value) in settings {
        out.extend_from_slice(&which.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends a head's lines as one frame, or more of them.
pub(super) fn write_lines(out: &mut Vec<u8>, lines: &[u8], ends_stream: bool, stream: u32) {
    let mut pieces = lines.chunks(FRAME_BYTES_MAX).peekable();
    let (mut kind, mut flags) = (HEADERS, if ends_stream { END_STREAM } else { 0 });
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flags |= END_HEADERS;
        }
        write(out, kind, flags, stream, piece);
        (kind, flags) = (CONTINUATION, 0);
    }
}

/// What of a frame is neither padding nor its length, nor a priority; `None` when they do not fit.
pub(super) fn without_padding(frame: Frame, content: &[u8]) -> Option<&[u8]> {
    let (padding, rest) = match frame.has(PADDED) {
        true => content.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        false => (0, content),
    };
    let rest = if frame.has(HAS_PRIORITY) { rest.get(5..)? } else { rest };
    rest.get(..rest.len().checked_sub(padding)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_frames_are_read_as_they_were_written() {
        let mut out = Vec::new();
        write(&mut out, PING, ACK, 0, b"12345678");
        assert_eq!(Frame::read(&out[..8]), None);
        assert_eq!(Frame::read(&out), Some(Frame { length: 8, kind: PING, flags: ACK, stream: 0 }));
        let reserved = [0, 0, 0, DATA, 0, 0x80, 0, 0, 3];
        assert_eq!(Frame::read(&reserved).map(|frame| frame.stream), Some(3));
    }

    #[test]
    fn long_lines_take_more_frames() {
        let mut out = Vec::new();
        write_lines(&mut out, &vec![0; FRAME_BYTES_MAX + 1], true, 5);
        let first = Frame::read(&out).expect("a frame");
        assert_eq!((first.kind, first.flags, first.length), (HEADERS, END_STREAM, FRAME_BYTES_MAX));
        let second = Frame::read(&out[HEAD_BYTES + FRAME_BYTES_MAX..]).expect("another");
        assert_eq!(
            (second.kind, second.flags, second.length, second.stream),
            (CONTINUATION, END_HEADERS, 1, 5)
        );
    }

    #[test]
    fn padding_and_priority_are_left_out() {
        let frame = |flags| Frame { length: 0, kind: HEADERS, flags, stream: 1 };
        assert_eq!(without_padding(frame(0), b"abc"), Some(&b"abc"[..]));
        assert_eq!(without_padding(frame(PADDED), b"\x02abc__"), Some(&b"abc"[..]));
        assert_eq!(without_padding(frame(PADDED | HAS_PRIORITY), b"\x0112345abc_"), Some(&b"abc"[..]));
        assert_eq!(without_padding(frame(PADDED), b"\x04abc"), None);
        assert_eq!(without_padding(frame(PADDED), b""), None);
        assert_eq!(without_padding(frame(HAS_PRIORITY), b"1234"), None);
    }
}
