//! A body as it arrives: pieces addressed by their offset. Small pieces are joined, so that an endpoint that sends
//! byte by byte costs no more memory than one that sends blocks. Never hands out a byte twice at another offset.

use bytes::Bytes;
use std::collections::VecDeque;

/// Pieces below this size are copied and joined; larger ones are kept as they came.
pub(crate) const BLOCK: usize = 16 * 1024;

/// What a kept piece costs beside its content: its handle, and the allocation behind it.
pub(crate) const PIECE_OVERHEAD: u64 = 80;

/// Bodies up to this size are stored in one piece: a hit then sends head and body in one write of two slices.
const ONE_PIECE_MAX: u64 = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Chunks {
    pieces: VecDeque<Piece>,
    /// Offset after the last byte.
    end: u64,
    /// Bytes held.
    held: u64,
}

#[derive(Debug)]
struct Piece {
    start: u64,
    bytes: Bytes,
}

impl Chunks {
    /// Adds a piece behind the last.
    pub(crate) fn push(&mut self, data: Bytes) {
        let length = data.len() as u64;
        if data.len() >= BLOCK {
            self.pieces.push_back(Piece { start: self.end, bytes: data });
        } else {
            self.push_small(&data);
        }
        self.end += length;
        self.held += length;
    }

    /// Joins with as many pieces before it as are not much larger: each byte is copied a logarithmic number of
    /// times, and the number of small pieces stays logarithmic too.
    fn push_small(&mut self, data: &[u8]) {
        let (mut from, mut total) = (self.pieces.len(), data.len());
        while let Some(previous) = from.checked_sub(1).and_then(|index| self.pieces.get(index)) {
            if previous.bytes.len() > 2 * total || previous.bytes.len() + total > BLOCK {
                break;
            }
            total += previous.bytes.len();
            from -= 1;
        }
        let start = self.pieces.get(from).map_or(self.end, |piece| piece.start);
        let mut joined = Vec::with_capacity(total);
        for piece in self.pieces.drain(from..) {
            joined.extend_from_slice(&piece.bytes);
        }
        joined.extend_from_slice(data);
        self.pieces.push_back(Piece { start, bytes: joined.into() });
    }

    /// What is there from `offset` on, up to the end of a piece; `None` when nothing has arrived yet.
    pub(crate) fn at(&self, offset: u64) -> Option<Bytes> {
        if offset >= self.end {
            return None;
        }
        let after = self.pieces.partition_point(|piece| piece.start <= offset);
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        Some(piece.bytes.slice((offset - piece.start) as usize..))
    }

    /// Forgets the pieces that lie wholly before `offset`.
    pub(crate) fn release_before(&mut self, offset: u64) {
        while let Some(piece) = self.pieces.front() {
            let length = piece.bytes.len() as u64;
            if piece.start + length > offset {
                break;
            }
            self.held -= length;
            self.pieces.pop_front();
        }
    }

    /// Takes everything out; the offsets stay.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        self.held = 0;
        let pieces = std::mem::take(&mut self.pieces);
        if self.end > ONE_PIECE_MAX || pieces.len() < 2 {
            return pieces.into_iter().map(|piece| piece.bytes).collect();
        }
        let mut whole = Vec::with_capacity(self.end as usize);
        for piece in pieces {
            whole.extend_from_slice(&piece.bytes);
        }
        vec![whole.into()]
    }

    /// All pieces that are held.
    pub(crate) fn held(&self) -> Vec<Bytes> {
        self.pieces.iter().map(|piece| piece.bytes.clone()).collect()
    }

    /// Offset after the last byte that arrived.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes held, with overhead.
    pub(crate) fn cost(&self) -> u64 {
        self.held + self.pieces.len() as u64 * PIECE_OVERHEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 % 251) as u8).collect()
    }

    fn read_from(chunks: &Chunks, mut offset: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(piece) = chunks.at(offset) {
            offset += piece.len() as u64;
            out.extend_from_slice(&piece);
        }
        out
    }

    #[test]
    fn every_offset_reads_the_same_bytes_however_they_came() {
        let whole = content(50_000);
        for sizes in [[1, 1, 1], [7, 300, 20_000], [16_384, 1, 16_383]] {
            let (mut chunks, mut at) = (Chunks::default(), 0);
            for size in sizes.into_iter().cycle() {
                let end = (at + size).min(whole.len());
                chunks.push(Bytes::copy_from_slice(&whole[at..end]));
                at = end;
                if at == whole.len() {
                    break;
                }
            }
            for offset in [0, 1, 16_383, 16_384, 49_999, 50_000] {
                assert_eq!(read_from(&chunks, offset as u64), &whole[offset..], "from {offset}");
            }
            assert_eq!(chunks.take().concat(), whole);
        }
    }

    #[test]
    fn single_bytes_cost_little_more_than_blocks() {
        let mut chunks = Chunks::default();
        for _ in 0..200_000 {
            chunks.push(Bytes::from_static(b"x"));
        }
        assert!(chunks.cost() < 200_000 + 60 * PIECE_OVERHEAD, "{}", chunks.cost());
    }

    #[test]
    fn released_pieces_are_gone_and_the_rest_keeps_its_offsets() {
        let whole = content(100_000);
        let mut chunks = Chunks::default();
        for part in whole.chunks(20_000) {
            chunks.push(Bytes::copy_from_slice(part));
        }
        chunks.release_before(45_000);
        assert_eq!(chunks.cost(), 60_000 + 3 * PIECE_OVERHEAD);
        assert_eq!(chunks.at(10), None);
        assert_eq!(read_from(&chunks, 45_000), &whole[45_000..]);
    }

    #[test]
    fn small_bodies_are_stored_in_one_piece() {
        let mut chunks = Chunks::default();
        chunks.push(Bytes::from(content(30_000)));
        chunks.push(Bytes::from(content(9)));
        assert_eq!(chunks.take().len(), 1);
    }
}
