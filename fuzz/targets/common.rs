//! What the targets share: where to cut, and writing again what was read.

#![allow(dead_code, reason = "each target uses its part")]

#[path = "../../wire/http1/tests/drive/mod.rs"]
pub mod drive;

use drive::Pairs;
use tentpole_http1::{CHUNK_END, Framing, write_chunk_start, write_fields, write_framing, write_last_chunk};
use tentpole_message::Fields;

/// Takes the first bytes of the input for places to cut, the rest for what is read.
pub fn cut(input: &[u8]) -> (Vec<usize>, &[u8]) {
    let (places, bytes) = input.split_at(input.len().min(4));
    let mut cuts: Vec<usize> = Vec::new();
    for &step in places {
        cuts.push(cuts.last().copied().unwrap_or(0) + usize::from(step) + 1);
    }
    if places.first() == Some(&0) {
        cuts = (1..bytes.len()).collect();
    }
    (cuts, bytes)
}

/// Writes fields, framing and body behind a start line.
pub fn write_rest(out: &mut Vec<u8>, fields: &Pairs, framing: Framing, body: &[u8], trailers: &Pairs) {
    write_fields(out, &to_fields(fields), |_| false);
    write_framing(out, framing);
    out.extend_from_slice(b"\r\n");
    if framing != Framing::Chunked {
        out.extend_from_slice(body);
        return;
    }
    for chunk in body.chunks(7) {
        write_chunk_start(out, chunk.len());
        out.extend_from_slice(chunk);
        out.extend_from_slice(CHUNK_END);
    }
    write_last_chunk(out, Some(&to_fields(trailers)));
}

/// What is left of fields when they are written: a second writing must leave them as they are.
pub fn forwarded(fields: &Pairs) -> Vec<u8> {
    let mut out = Vec::new();
    write_fields(&mut out, &to_fields(fields), |_| false);
    out
}

pub fn to_fields(pairs: &Pairs) -> Fields {
    let mut fields = Fields::new();
    pairs.iter().for_each(|(name, value)| fields.push(name, value));
    fields
}
