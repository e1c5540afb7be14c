//! Looks at the frames that go by, as far as their heads (RFC 9113 section 4.1): what each costs, not what it says.
//! Judges nothing but what the codec behind it lets pass or calls by the wrong name: sizes, and what comes first.

use h2::Reason;

/// Bytes before the first frame.
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

/// What a frame brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request begins (or its trailers come).
    Request,
    /// Content, or the end of a body.
    Content,
    /// A request is taken back.
    Reset,
    /// Nothing: everything else, and content that is empty.
    Idle,
}

/// A frame that must not be: nothing of it and behind it may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Bytes before it, of those that were given.
    pub(crate) before: usize,
    /// What to say to who sent it.
    pub(crate) reason: Reason,
}

/// Reads frame heads out of a stream of bytes, however they are cut.
#[derive(Debug)]
pub(crate) struct Frames {
    head: [u8; HEAD_BYTES],
    head_len: usize,
    /// Bytes until the next head.
    skip: usize,
    /// Frames were seen.
    begun: bool,
}

impl Frames {
    /// For a connection whose first bytes are the preface.
    pub(crate) fn new() -> Self {
        Self { head: [0; HEAD_BYTES], head_len: 0, skip: PREFACE_BYTES, begun: false }
    }

    /// The frames whose heads end within `bytes`, in order.
    ///
    /// # Errors
    /// The first that must not be; it is the last that is looked at.
    pub(crate) fn read(&mut self, bytes: &[u8], mut seen: impl FnMut(Kind)) -> Result<(), Wrong> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let skipped = self.skip.min(rest.len());
            self.skip -= skipped;
            rest = &rest[skipped..];
            let before = bytes.len() - rest.len();
            let wanted = (HEAD_BYTES - self.head_len).min(rest.len());
            self.head[self.head_len..self.head_len + wanted].copy_from_slice(&rest[..wanted]);
            self.head_len += wanted;
            rest = &rest[wanted..];
            if self.head_len == HEAD_BYTES {
                self.head_len = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                if let Some(reason) = wrong(kind, flags, self.skip, !std::mem::replace(&mut self.begun, true))
                {
                    return Err(Wrong { before, reason });
                }
                seen(Kind::of(kind, flags, self.skip));
            }
        }
        Ok(())
    }
}

/// What is wrong with a frame, by its head.
fn wrong(kind: u8, flags: u8, length: usize, is_first: bool) -> Option<Reason> {
    const ACK: u8 = 1;
    // RFC 9113 section 3.4.
    if is_first && kind != 4 {
        return Some(Reason::PROTOCOL_ERROR);
    }
    // Sections 6.3 to 6.9.
    let is_size = match kind {
        2 => length == 5,
        3 | 8 => length == 4,
        4 if flags & ACK != 0 => length == 0,
        4 => length.is_multiple_of(6),
        6 => length == 8,
        7 => length >= 8,
        _ => true,
    };
    (!is_size).then_some(Reason::FRAME_SIZE_ERROR)
}

impl Kind {
    fn of(kind: u8, flags: u8, length: usize) -> Self {
        const END_STREAM: u8 = 1;
        match kind {
            0 if length > 0 || flags & END_STREAM != 0 => Self::Content,
            1 => Self::Request,
            3 => Self::Reset,
            _ => Self::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let length_bytes = (length as u32).to_be_bytes();
        let mut frame = vec![length_bytes[1], length_bytes[2], length_bytes[3], kind, flags, 0, 0, 0, 1];
        frame.extend(std::iter::repeat_n(0xff, length));
        frame
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let frames =
            [(4, 0, 6), (1, 4, 300), (0, 0, 70_000), (0, 0, 0), (0, 1, 0), (3, 0, 4), (6, 0, 8), (99, 0, 1)];
        frames.iter().for_each(|&(kind, flags, length)| bytes.extend(frame(kind, flags, length)));
        let expected = [
            Kind::Idle,
            Kind::Request,
            Kind::Content,
            Kind::Idle,
            Kind::Content,
            Kind::Reset,
            Kind::Idle,
            Kind::Idle,
        ];
        for cut in [1, 2, 7, 9, 10, 1_000, bytes.len()] {
            let (mut frames, mut seen) = (Frames::new(), Vec::new());
            bytes.chunks(cut).for_each(|part| frames.read(part, |kind| seen.push(kind)).unwrap());
            assert_eq!(seen, expected, "cut to {cut}");
        }
    }

    #[test]
    fn what_must_not_be_ends_before_its_head() {
        const SIZE: Reason = Reason::FRAME_SIZE_ERROR;
        let settings = frame(4, 0, 6);
        for (wrong, reason) in [
            (frame(2, 0, 4), SIZE),
            (frame(3, 0, 5), SIZE),
            (frame(4, 0, 7), SIZE),
            (frame(4, 1, 6), SIZE),
            (frame(6, 1, 7), SIZE),
            (frame(7, 0, 4), SIZE),
            (frame(8, 0, 0), SIZE),
        ] {
            let bytes = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &wrong, &settings].concat();
            let mut seen = 0;
            let found = Frames::new().read(&bytes, |_| seen += 1);
            assert_eq!((found, seen), (Err(Wrong { before: 24 + settings.len(), reason }), 1));
            // Byte by byte, what of its head has passed is no frame.
            let mut frames = Frames::new();
            let found = bytes.chunks(1).find_map(|byte| frames.read(byte, |_| ()).err());
            assert_eq!(found, Some(Wrong { before: 0, reason }));
        }
        let found = Frames::new().read(&[&[0; 24][..], &frame(6, 0, 8)].concat(), |_| ());
        assert_eq!(found, Err(Wrong { before: 24, reason: Reason::PROTOCOL_ERROR }));
    }
}
