//! Chunks: never a panic, the same however they are cut, limits hold, and what was read can be written and read
//! again.

#![no_main]

mod common;

use common::drive::{Pairs, pairs};
use libfuzzer_sys::fuzz_target;
use tentpole_http1::{BodyDecoder, BodyLimits, ChunkError, Decoded, Framing};

const LIMITS: BodyLimits =
    BodyLimits { extension_bytes_max: 40, trailer_bytes_max: 100, trailer_fields_max: 4 };

/// Content, trailers and what is left over.
type Body = (Vec<u8>, Pairs, Vec<u8>);

fn read(bytes: &[u8], cuts: &[usize], limits: BodyLimits) -> Result<Body, ChunkError> {
    let mut decoder = BodyDecoder::new(Framing::Chunked, limits);
    let mut content = Vec::new();
    let (mut at, mut arrived) = (0, 0);
    loop {
        match decoder.decode(&bytes[at..arrived])? {
            Decoded::Data { skip, len } => {
                assert!(len > 0);
                content.extend_from_slice(&bytes[at + skip..at + skip + len]);
                at += skip + len;
            }
            Decoded::NeedMore { used } => {
                at += used;
                assert_eq!(at, arrived);
                if arrived == bytes.len() {
                    return decoder.end_of_input().map(|()| unreachable!("chunks have an end of their own"));
                }
                arrived =
                    cuts.iter().copied().find(|&cut| cut > arrived).unwrap_or(bytes.len()).min(bytes.len());
            }
            Decoded::Done { used } => {
                at += used;
                assert!(decoder.is_done());
                let trailers = decoder.trailers().map(pairs).unwrap_or_default();
                return Ok((content, trailers, bytes[at..].to_vec()));
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let (cuts, bytes) = common::cut(input);
    let whole = read(bytes, &[], LIMITS);
    assert_eq!(read(bytes, &cuts, LIMITS), whole);

    if let Ok((content, trailers, left)) = whole {
        assert!(trailers.len() <= LIMITS.trailer_fields_max);
        let mut written = Vec::new();
        common::write_rest(&mut written, &Pairs::new(), Framing::Chunked, &content, &trailers);
        let body = written.strip_prefix(b"Transfer-Encoding: chunked\r\n\r\n").unwrap();
        let body = [body, &left].concat();
        // A space after each colon may make it longer.
        assert_eq!(read(&body, &cuts, BodyLimits::default()), Ok((content, trailers, left)));
    }
});
