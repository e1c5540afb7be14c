//! What request and response heads share: limits, the line-end check that `httparse` leaves out, and moving
//! parsed fields into a head. Allocates nothing but the head's own, reused buffer.

use httparse::Header;
use std::mem::MaybeUninit;
use tentpole_message::Fields;

/// Most fields that a head can be parsed into, whatever [`Limits::fields_max`] says.
pub const FIELDS_MAX: usize = 128;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, with start line, line ends and the empty line.
    pub head_bytes_max: usize,
    /// Bytes of a request's target.
    pub target_bytes_max: usize,
    /// Number of fields; at most [`FIELDS_MAX`].
    pub fields_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes_max: 32 * 1024, target_bytes_max: 16 * 1024, fields_max: 100 }
    }
}

/// How far a head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Fine so far; more bytes are needed.
    Partial,
    /// Whole.
    Complete {
        /// How many bytes it took.
        head_bytes: usize,
    },
}

/// Room for parsed fields on the stack; not initialised, so it costs nothing.
pub(crate) type FieldRoom<'a> = [MaybeUninit<Header<'a>>; FIELDS_MAX];

/// The part of `bytes` that a head may take.
pub(crate) fn window<'a>(bytes: &'a [u8], limits: &Limits) -> &'a [u8] {
    &bytes[..bytes.len().min(limits.head_bytes_max)]
}

/// Whether an LF stands without a CR before it (RFC 9112 section 2.2 lets recipients accept that; we do not).
pub(crate) fn has_bare_lf(bytes: &[u8]) -> bool {
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    // All pairs, without an early end: the compiler takes sixteen at a time, and most heads have none (`benches/parse.rs`).
    pairs.fold(bytes.first() == Some(&b'\n'), |bare, (&before, &byte)| {
        bare | ((byte == b'\n') & (before != b'\r'))
    })
}

/// As [`has_bare_lf`], for the first `lines` lines: what follows them may be content.
pub(crate) fn has_bare_lf_in_lines(bytes: &[u8], lines: usize) -> bool {
    memchr::memchr_iter(b'\n', bytes).take(lines).any(|at| at == 0 || bytes[at - 1] != b'\r')
}

/// Replaces the content of `fields` by `head` and `headers`, which are slices of `head`.
pub(crate) fn load(fields: &mut Fields, head: &[u8], headers: &[Header<'_>]) {
    fields.load(head);
    for header in headers {
        let name = offset(head, header.name.as_bytes());
        let value = offset(head, header.value);
        fields.push_ranges(name..name + header.name.len(), value..value + header.value.len());
    }
}

/// Where `part` begins in `whole`, of which it is a slice.
pub(crate) fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

/// Whether the byte may stand in a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bare_lf_is_found_wherever_it_stands(text in proptest::collection::vec(prop::sample::select(b"\r\nab".to_vec()), 0..80)) {
            let by_hand = (0..text.len()).any(|at| text[at] == b'\n' && (at == 0 || text[at - 1] != b'\r'));
            prop_assert_eq!(has_bare_lf(&text), by_hand);
        }
    }
}
