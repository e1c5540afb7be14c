//! The codings, and how hard each tries. A form is made once and sent many times, so that time counts less than size;
//! but it should be there before the visitors have gone.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};

/// A content coding (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

// Measured on web pages: `benches/codings.rs`, docs/caching.md.
const BROTLI_QUALITY: i32 = 5;
const ZSTD_LEVEL: i32 = 9;
const GZIP_LEVEL: u32 = 6;

/// Bits of brotli's window: what RFC 7932 allows at least and at most, as far as objects are that large.
const BROTLI_WINDOW_BITS: (u32, u32) = (16, 22);

/// What is sent on at a time inside an encoder.
const BUFFER_BYTES: usize = 16 * 1024;

/// The coded content would not be clearly smaller than the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSmaller;

impl Coding {
    /// Codes content, or finds that less than a twentieth would be saved: then decoding costs the visitor more than the
    /// transfer. Holds no more than that of what comes out.
    pub fn compress(self, chunks: &[Bytes]) -> Result<Vec<u8>, NotSmaller> {
        let bytes: usize = chunks.iter().map(Bytes::len).sum();
        let out = Bounded { bytes: Vec::new(), bytes_max: bytes - bytes / 20 };
        let coded = match self {
            Self::Brotli => brotli_of(chunks, bytes, out),
            Self::Zstd => zstd_of(chunks, bytes, out),
            Self::Gzip => gzip_of(chunks, out),
        };
        let mut coded = coded.map_err(|_| NotSmaller)?.bytes;
        coded.shrink_to_fit();
        Ok(coded)
    }
}

fn brotli_of(chunks: &[Bytes], bytes: usize, out: Bounded) -> io::Result<Bounded> {
    let (least, most) = BROTLI_WINDOW_BITS;
    let lgwin = bytes.next_power_of_two().ilog2().clamp(least, most) as i32;
    let params = brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY,
        lgwin,
        size_hint: bytes,
        ..Default::default()
    };
    let mut overran = false;
    let mut encoder =
        brotli::CompressorWriter::with_params(Noting { out, overran: &mut overran }, BUFFER_BYTES, &params);
    chunks.iter().try_for_each(|chunk| encoder.write_all(chunk))?;
    // It ends the stream, and keeps to itself whether that went well.
    let Noting { out, overran } = encoder.into_inner();
    if *overran { Err(io::ErrorKind::StorageFull.into()) } else { Ok(out) }
}

fn zstd_of(chunks: &[Bytes], bytes: usize, out: Bounded) -> io::Result<Bounded> {
    let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
    encoder.set_pledged_src_size(Some(bytes as u64))?;
    chunks.iter().try_for_each(|chunk| encoder.write_all(chunk))?;
    encoder.finish()
}

fn gzip_of(chunks: &[Bytes], out: Bounded) -> io::Result<Bounded> {
    let mut encoder = GzEncoder::new(out, Compression::new(GZIP_LEVEL));
    chunks.iter().try_for_each(|chunk| encoder.write_all(chunk))?;
    encoder.finish()
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + data.len() > self.bytes_max {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Remembers that something did not fit.
struct Noting<'a> {
    out: Bounded,
    overran: &'a mut bool,
}

impl Write for Noting<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.out.write(data).inspect_err(|_| *self.overran = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    fn decoded(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(coded, 4096).read_to_end(&mut out).unwrap(),
            Coding::Zstd => zstd::stream::read::Decoder::new(coded).unwrap().read_to_end(&mut out).unwrap(),
            Coding::Gzip => flate2::read::GzDecoder::new(coded).read_to_end(&mut out).unwrap(),
        };
        out
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..bytes).map(|_| next()).collect()
    }

    fn page(bytes: usize) -> Vec<u8> {
        let line = |n: usize| {
            format!("<li class=\"product\"><a href=\"/p/{n}\">Number {}</a></li>\n", n * 7919 % 1000)
        };
        (0..).map(line).flat_map(String::into_bytes).take(bytes).collect()
    }

    fn in_pieces(whole: &[u8]) -> Vec<Bytes> {
        whole.chunks(1000).map(Bytes::copy_from_slice).collect()
    }

    #[test]
    fn what_is_decoded_is_what_was_coded_whatever_the_size() {
        for coding in ALL {
            for bytes in [860, 16_000, 70_000, 5_000_000] {
                let page = page(bytes);
                let coded = coding.compress(&in_pieces(&page)).unwrap();
                assert!(coded.len() * 2 < page.len(), "{coding:?} of {bytes} bytes: {}", coded.len());
                assert!(decoded(coding, &coded) == page, "{coding:?} of {bytes} bytes");
            }
        }
    }

    #[test]
    fn what_does_not_become_smaller_is_given_up() {
        for coding in ALL {
            for bytes in [0, 1, 860, 100_000, 1_000_000] {
                assert_eq!(
                    coding.compress(&in_pieces(&noise(bytes))),
                    Err(NotSmaller),
                    "{coding:?}, {bytes}"
                );
            }
        }
    }

    #[test]
    fn what_saves_less_than_a_twentieth_is_given_up() {
        let mut nearly = noise(40_000);
        nearly.extend([b' '; 1_000]);
        let mut clearly = noise(40_000);
        clearly.extend([b' '; 10_000]);
        for coding in ALL {
            assert_eq!(coding.compress(&in_pieces(&nearly)), Err(NotSmaller), "{coding:?}");
            assert!(coding.compress(&in_pieces(&clearly)).is_ok(), "{coding:?}");
        }
    }
}
