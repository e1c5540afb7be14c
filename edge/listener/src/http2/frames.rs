//! Looks at the frames that go by, as far as their heads (RFC 9113 section 4.1): what each costs, not what it says.
//! Judges nothing: what is wrong with a frame says who reads it.

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

/// Reads frame heads out of a stream of bytes, however they are cut.
#[derive(Debug)]
pub(crate) struct Frames {
    head: [u8; HEAD_BYTES],
    head_len: usize,
    /// Bytes until the next head.
    skip: usize,
}

impl Frames {
    /// For a connection whose first bytes are the preface.
    pub(crate) fn new() -> Self {
        Self { head: [0; HEAD_BYTES], head_len: 0, skip: PREFACE_BYTES }
    }

    /// The frames whose heads end within `bytes`, in order.
    pub(crate) fn read(&mut self, bytes: &[u8], mut seen: impl FnMut(Kind)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let skipped = self.skip.min(rest.len());
            self.skip -= skipped;
            rest = &rest[skipped..];
            let wanted = (HEAD_BYTES - self.head_len).min(rest.len());
            self.head[self.head_len..self.head_len + wanted].copy_from_slice(&rest[..wanted]);
            self.head_len += wanted;
            rest = &rest[wanted..];
            if self.head_len == HEAD_BYTES {
                self.head_len = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                seen(Kind::of(kind, flags, self.skip));
            }
        }
    }
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
            bytes.chunks(cut).for_each(|part| frames.read(part, |kind| seen.push(kind)));
            assert_eq!(seen, expected, "cut to {cut}");
        }
    }
}
