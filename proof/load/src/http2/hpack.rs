//! Heads in HTTP/2 (HPACK, RFC 7541). What is read may use everything that the standard has; what is written uses nothing but
//! the standard's own table, so that a connection keeps no memory for it.

use super::huffman;
use std::collections::VecDeque;

/// Bytes of the table that the other side writes into, by the standard's count; what both take when nobody says another
/// (RFC 9113 section 6.5.2).
pub(super) const TABLE_BYTES_MAX: usize = 4_096;
/// What an entry counts more than its bytes (RFC 7541 section 4.1).
const ENTRY_BYTES: usize = 32;

/// The standard's table (RFC 7541 appendix A); numbers begin with 1.
#[rustfmt::skip]
static STANDARD: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

/// What the other side has written into its table of this connection.
#[derive(Debug)]
pub(super) struct Table {
    /// Names and values, the oldest first, one behind the other; before `start` lies what is gone.
    bytes: Vec<u8>,
    start: usize,
    /// Lengths of name and value, the oldest first.
    entries: VecDeque<(u16, u16)>,
    /// By the standard's count.
    bytes_counted: usize,
    bytes_max: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            entries: VecDeque::new(),
            bytes_counted: 0,
            bytes_max: TABLE_BYTES_MAX,
        }
    }
}

/// What was read is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Table {
    /// Hands each field of a head to `each`, in its order.
    ///
    /// # Errors
    /// When it is none; then nothing that comes later on the connection can be read.
    pub(super) fn read(
        &mut self,
        head: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut rest = Rest(head);
        let (mut name, mut value) = (Vec::new(), Vec::new());
        let mut may_resize = true;
        while let Some(&first) = rest.0.first() {
            if first & 0x80 != 0 {
                let (known_name, known_value) = self.get(rest.integer(7)?)?;
                each(known_name, known_value)?;
            } else if first & 0xe0 == 0x20 {
                // Only before the first field (RFC 7541 section 4.2).
                let bytes_max = rest.integer(5)?;
                if !may_resize || bytes_max > TABLE_BYTES_MAX {
                    return Err(Malformed);
                }
                self.bytes_max = bytes_max;
                self.make_room(0);
                continue;
            } else {
                let is_kept = first & 0x40 != 0;
                let known = rest.integer(if is_kept { 6 } else { 4 })?;
                name.clear();
                value.clear();
                match known {
                    0 => rest.text(&mut name)?,
                    known => name.extend_from_slice(self.get(known)?.0),
                }
                rest.text(&mut value)?;
                each(&name, &value)?;
                if is_kept {
                    self.keep(&name, &value);
                }
            }
            may_resize = false;
        }
        Ok(())
    }

    /// The entry of this number: first the standard's, then the newest first.
    fn get(&self, number: usize) -> Result<(&[u8], &[u8]), Malformed> {
        if let Some((name, value)) = STANDARD.get(number.checked_sub(1).ok_or(Malformed)?) {
            return Ok((name.as_bytes(), value.as_bytes()));
        }
        let newer = number - 1 - STANDARD.len();
        let place = self.entries.len().checked_sub(newer + 1).ok_or(Malformed)?;
        let length = |(name, value): &(u16, u16)| usize::from(*name) + usize::from(*value);
        let behind: usize = self.entries.range(place + 1..).map(length).sum();
        let (name, value) = self.entries[place];
        let end = self.bytes.len() - behind;
        let middle = end - usize::from(value);
        Ok((&self.bytes[middle - usize::from(name)..middle], &self.bytes[middle..end]))
    }

    /// One that is larger than the table empties it (RFC 7541 section 4.4).
    fn keep(&mut self, name: &[u8], value: &[u8]) {
        let counted = name.len() + value.len() + ENTRY_BYTES;
        self.make_room(counted);
        if counted > self.bytes_max {
            return;
        }
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        // No longer than the table.
        self.entries.push_back((name.len() as u16, value.len() as u16));
        self.bytes_counted += counted;
    }

    fn make_room(&mut self, counted: usize) {
        while self.bytes_counted + counted > self.bytes_max {
            let Some((name, value)) = self.entries.pop_front() else { break };
            let length = usize::from(name) + usize::from(value);
            self.start += length;
            self.bytes_counted -= length + ENTRY_BYTES;
        }
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

/// What is left to read of a head.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number that begins in the last bits of a byte (RFC 7541 section 5.1); none that matters here has more than 28 bits.
    fn integer(&mut self, bits: u32) -> Result<usize, Malformed> {
        let most = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn text(&mut self, into: &mut Vec<u8>) -> Result<(), Malformed> {
        let is_coded = self.0.first().is_some_and(|first| first & 0x80 != 0);
        let length = self.integer(7)?;
        let (text, rest): (&'a [u8], _) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        if is_coded {
            return huffman::decode(text, into).ok_or(Malformed);
        }
        into.extend_from_slice(text);
        Ok(())
    }
}

/// Begins a head: nothing of ours is ever in the other side's table (RFC 7541 section 4.2 wants that said when it makes the
/// table smaller; said once more it does no harm).
pub(super) fn write_no_table(head: &mut Vec<u8>) {
    head.push(0x20);
}

/// Appends a field to a head; a name is written in small letters.
pub(super) fn write(head: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    let whole =
        STANDARD.iter().position(|(known, with)| with.as_bytes() == value && !with.is_empty() && is(known));
    if let Some(place) = whole {
        return head.push(0x80 | (place as u8 + 1));
    }
    match STANDARD.iter().position(|(known, _)| is(known)) {
        Some(place) => write_integer(head, 0x00, 4, place + 1),
        None => {
            head.push(0x00);
            write_integer(head, 0x00, 7, name.len());
            head.extend(name.iter().map(u8::to_ascii_lowercase));
        }
    }
    write_integer(head, 0x00, 7, value.len());
    head.extend_from_slice(value);
}

fn write_integer(out: &mut Vec<u8>, flags: u8, bits: u32, number: usize) {
    let most = (1_usize << bits) - 1;
    if number < most {
        return out.push(flags | number as u8);
    }
    out.push(flags | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(table: &mut Table, head: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
        let mut fields = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        table.read(head, |name, value| {
            fields.push((text(name), text(value)));
            Ok(())
        })?;
        Ok(fields)
    }

    fn hex(text: &str) -> Vec<u8> {
        let text: String = text.split_whitespace().collect();
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_responses_of_the_standard_are_read_and_the_table_forgets_as_it_says() {
        // RFC 7541 appendix C.6, whose table has 256 bytes.
        let mut table = Table { bytes_max: 256, ..Table::default() };
        let first = "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad \
                     1718 63c7 8f0b 97c8 e9ae 82ae 43d3";
        let date = "Mon, 21 Oct 2013 20:13:21 GMT";
        let wanted = |status, date| {
            owned(&[
                (":status", status),
                ("cache-control", "private"),
                ("date", date),
                ("location", "https://www.example.com"),
            ])
        };
        assert_eq!(read(&mut table, &hex(first)), Ok(wanted("302", date)));
        assert_eq!(table.bytes_counted, 222);
        assert_eq!(read(&mut table, &hex("4883 640e ffc1 c0bf")), Ok(wanted("307", date)));
        assert_eq!(table.bytes_counted, 222, "the oldest entry has gone");
        let third = "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 \
                     e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07";
        let mut all = wanted("200", "Mon, 21 Oct 2013 20:13:22 GMT");
        all.push(("content-encoding".to_owned(), "gzip".to_owned()));
        let cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
        all.push(("set-cookie".to_owned(), cookie.to_owned()));
        assert_eq!(read(&mut table, &hex(third)), Ok(all));
        assert_eq!((table.bytes_counted, table.entries.len()), (215, 3));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let long = "x".repeat(5_000);
        let fields = [
            (":method", "GET"),
            (":path", "/a?b=c"),
            ("Cookie", "a=b"),
            ("User-Agent", long.as_str()),
            ("X-Own", "value"),
            ("x-empty", ""),
        ];
        let mut head = Vec::new();
        write_no_table(&mut head);
        fields.iter().for_each(|(name, value)| write(&mut head, name.as_bytes(), value.as_bytes()));
        let mut table = Table::default();
        let wanted: Vec<_> =
            fields.iter().map(|(name, value)| (name.to_lowercase(), (*value).to_owned())).collect();
        assert_eq!(read(&mut table, &head), Ok(wanted));
        assert!(table.entries.is_empty(), "nothing is kept of what we write");
    }

    #[test]
    fn heads_that_are_none_are_refused() {
        for (wrong, why) in [
            ("80", "entry 0"),
            ("be", "an entry that nobody has written"),
            ("3fe21f", "a table of 4,097 bytes"),
            ("8820", "a table's size behind a field"),
            ("ffffffffff7f", "a number without an end"),
            ("00036162", "a name that is cut off"),
            ("0001618100", "a value whose code is wrong"),
        ] {
            assert_eq!(read(&mut Table::default(), &hex(wrong)), Err(Malformed), "{why}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_the_table_stays_small(heads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut table = Table::default();
            for head in heads {
                if read(&mut table, &head).is_err() {
                    break;
                }
                let counted: usize = table.entries.iter().map(|(n, v)| usize::from(*n) + usize::from(*v) + ENTRY_BYTES).sum();
                prop_assert_eq!(counted, table.bytes_counted);
                prop_assert!(table.bytes_counted <= table.bytes_max && table.bytes_max <= TABLE_BYTES_MAX);
                prop_assert!(table.bytes.len() <= 2 * TABLE_BYTES_MAX);
            }
        }

        #[test]
        fn entries_are_found_however_many_were_forgotten(lengths in prop::collection::vec((1_usize..40, 0_usize..400), 1..60)) {
            let mut table = Table::default();
            let field = |nth: usize| (vec![nth as u8; lengths[nth].0], vec![!nth as u8; lengths[nth].1]);
            for nth in 0..lengths.len() {
                let (name, value) = field(nth);
                table.keep(&name, &value);
            }
            for newer in 0..table.entries.len() {
                let (name, value) = field(lengths.len() - 1 - newer);
                prop_assert_eq!(table.get(62 + newer), Ok((name.as_slice(), value.as_slice())));
            }
        }
    }
}
