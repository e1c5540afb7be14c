//! Bytes in the gzip format (RFC 1952), stored and not compressed: valid for every reader, and a marker inside stays
//! readable for the checks.

const BLOCK_BYTES_MAX: usize = 65_535;

/// `bytes` as a gzip member of stored blocks.
pub(super) fn stored(bytes: &[u8]) -> Vec<u8> {
    // Magic, method 8, no flags, no time, no extra flags, unknown system.
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(BLOCK_BYTES_MAX).peekable();
    if blocks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let len = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32(bytes).to_le_bytes());
    let len_modulo = u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or(0);
    out.extend_from_slice(&len_modulo.to_le_bytes());
    out
}

/// The checksum of RFC 1952 section 8, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn text_stays_readable_inside() {
        let out = stored(b"marker-a-1");
        assert!(memchr::memmem::find(&out, b"marker-a-1").is_some());
        assert_eq!(&out[10..15], &[1, 10, 0, 0xf5, 0xff]);
    }
}
