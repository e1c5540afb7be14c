//! The Huffman code of HPACK (RFC 7541 appendix B), read only: what we write goes out as it is. The code is canonical, codes of
//! one length follow one another in the order of their bytes, so that it is whole with the lengths alone.

/// Shortest and longest code.
const BITS_MIN: usize = 5;
const BITS_MAX: usize = 30;

/// Bits of each byte's code.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

static CODE: Code = Code::new();

struct Code {
    /// What codes of each length are below, as the first bits of 32.
    below: [u32; BITS_MAX + 1],
    /// The first code of each length.
    first: [u32; BITS_MAX + 1],
    /// Where its byte stands among `bytes`.
    place: [u16; BITS_MAX + 1],
    /// Bytes, those with the shortest codes first.
    bytes: [u8; 256],
}

impl Code {
    const fn new() -> Self {
        let mut all = Self {
            below: [0; BITS_MAX + 1],
            first: [0; BITS_MAX + 1],
            place: [0; BITS_MAX + 1],
            bytes: [0; 256],
        };
        let (mut code, mut placed, mut bits) = (0_u32, 0, 1);
        while bits <= BITS_MAX {
            code <<= 1;
            all.first[bits] = code;
            all.place[bits] = placed as u16;
            let mut byte = 0;
            while byte < 256 {
                if LENGTHS[byte] as usize == bits {
                    all.bytes[placed] = byte as u8;
                    placed += 1;
                    code += 1;
                }
                byte += 1;
            }
            all.below[bits] = code << (32 - bits);
            bits += 1;
        }
        all
    }
}

/// Appends the text that `coded` means; `None` when it is not one (RFC 7541 section 5.2).
pub(super) fn decode(coded: &[u8], text: &mut Vec<u8>) -> Option<()> {
    let (mut read, mut bits) = (0_u64, 0);
    for &byte in coded {
        read = read << 8 | u64::from(byte);
        bits += 8;
        while bits >= BITS_MIN {
            let next = (read << (64 - bits) >> 32) as u32;
            // Of a code that is not there whole, what is there looks like the beginning of one that is at least as long.
            let Some(length) = (BITS_MIN..=BITS_MAX).find(|length| next < CODE.below[*length]) else {
                // The end mark must not come; anything else waits for its rest.
                if bits >= BITS_MAX {
                    return None;
                }
                break;
            };
            if length > bits {
                break;
            }
            let nth = (next >> (32 - length)) - CODE.first[length];
            text.push(CODE.bytes[usize::from(CODE.place[length]) + nth as usize]);
            bits -= length;
        }
    }
    // Less than a byte of ones is left.
    let rest = (1_u64 << bits.min(8)) - 1;
    (bits < 8 && read & rest == rest).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(coded: &str) -> Option<String> {
        let bytes =
            (0..coded.len()).step_by(2).map(|at| u8::from_str_radix(&coded[at..at + 2], 16).expect("hex"));
        let mut text = Vec::new();
        decode(&bytes.collect::<Vec<_>>(), &mut text)?;
        Some(text.iter().map(|byte| char::from(*byte)).collect())
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        // RFC 7541 appendices C.4 and C.6.
        for (coded, wanted) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("25a849e95bb8e8b4bf", "custom-value"),
            ("6402", "302"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
            ("", ""),
        ] {
            assert_eq!(text(coded).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn every_byte_has_its_code() {
        for byte in 0..=255_u8 {
            let bits = usize::from(LENGTHS[usize::from(byte)]);
            let place = CODE.bytes.iter().position(|other| *other == byte).expect("each has one");
            let code = CODE.first[bits] + place as u32 - u32::from(CODE.place[bits]);
            // Behind it, ones to the end of the byte.
            let length = bits.div_ceil(8);
            let ones = (1_u64 << (length * 8 - bits)) - 1;
            let coded = u64::from(code) << (length * 8 - bits) | ones;
            let mut text = Vec::new();
            assert_eq!(decode(&coded.to_be_bytes()[8 - length..], &mut text), Some(()), "{byte}");
            assert_eq!(text, [byte]);
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        // The end mark; more than seven bits behind the last code; zeros behind it.
        for wrong in ["ffffffff", "6402ff", "00", "ff"] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
    }
}
