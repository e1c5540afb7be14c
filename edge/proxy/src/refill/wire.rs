//! What goes over the channel: a greeting one way, then what was learned and objects the other way, and a last word. Reads strictly: a length
//! beyond what may come, or bytes that are not exactly an object, end it.

use bytes::Bytes;
use std::io::{self, Read, Write};
use tentpole_cache::Coding;
use tentpole_disk::{FORMAT, Meta};

/// First of all.
const MAGIC: &[u8; 4] = b"tprf";
/// Counts up when one of two programs would understand an object otherwise than the other: its key, whom it is for.
const VERSION: u32 = 2;
/// Bytes of a greeting.
const GREETING_BYTES: usize = 20;
/// Bytes of a record before its key: lengths of key, meta, content and of each form, uses.
const FRONT_BYTES: usize = 29;
/// Where the lengths of forms begin in it.
const FORMS_AT: usize = 17;
/// Longest key.
const KEY_BYTES_MAX: usize = 64 * 1024;
/// Longest meta: head, selecting fields and tags.
const META_BYTES_MAX: usize = 1 << 20;
/// Contents are held in pieces of this size.
const PIECE_BYTES: usize = 256 * 1024;

/// One object.
#[derive(Debug, PartialEq)]
pub struct Record {
    /// The key that it is stored under.
    pub key: Bytes,
    /// All but its content.
    pub meta: Meta,
    /// How often it was used, as eviction counts.
    pub uses: u8,
    /// It was softly purged.
    pub is_stale: bool,
    /// Its content; no piece is empty.
    pub content: Vec<Bytes>,
    /// The same in a content coding, in the order of [`Coding::ALL`]; empty where there is none.
    pub forms: [Bytes; Coding::ALL.len()],
}

/// Asks for objects by this version of the Snapshot.
pub fn write_greeting(to: &mut impl Write, snapshot: u64) -> io::Result<()> {
    let mut out = [0; GREETING_BYTES];
    out[..4].copy_from_slice(MAGIC);
    out[4..8].copy_from_slice(&VERSION.to_le_bytes());
    out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    out[12..].copy_from_slice(&snapshot.to_le_bytes());
    to.write_all(&out)
}

/// Whether somebody asks who would understand an object just as it was stored.
pub fn read_greeting(from: &mut impl Read, snapshot: u64) -> io::Result<bool> {
    let mut came = [0; GREETING_BYTES];
    from.read_exact(&mut came)?;
    let mut ours = Vec::with_capacity(GREETING_BYTES);
    write_greeting(&mut ours, snapshot)?;
    Ok(came == *ours)
}

/// Sends what was learned.
pub fn write_learned(to: &mut impl Write, learned: &[u8]) -> io::Result<()> {
    to.write_all(&(learned.len() as u64).to_le_bytes())?;
    to.write_all(learned)
}

/// What was learned, so many bytes at most.
///
/// # Errors
/// When the other end is gone, or sends more.
pub fn read_learned(from: &mut impl Read, bytes_max: usize) -> io::Result<Bytes> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    match usize::try_from(u64::from_le_bytes(length)) {
        Ok(length) if length <= bytes_max => read_bytes(from, length),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "more than can be learned")),
    }
}

/// Sends an object; returns its bytes, 0 when it is one that cannot be sent.
pub fn write_record(
    to: &mut impl Write,
    key: &[u8],
    meta: &Meta,
    (uses, is_stale): (u8, bool),
    content: &[Bytes],
    forms: [&[Bytes]; Coding::ALL.len()],
) -> io::Result<u64> {
    let Some(meta) = meta.to_bytes().filter(|meta| meta.len() <= META_BYTES_MAX) else { return Ok(0) };
    let length = |content: &[Bytes]| content.iter().map(|piece| piece.len() as u64).sum::<u64>();
    let bytes = length(content);
    // Longer than its content it is of no use to anybody.
    let forms = forms.map(|form| if length(form) <= bytes.min(u32::MAX.into()) { form } else { &[] });
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Ok(0);
    }
    let mut front = [0; FRONT_BYTES];
    front[..4].copy_from_slice(&(key.len() as u32).to_le_bytes());
    front[4..8].copy_from_slice(&(meta.len() as u32).to_le_bytes());
    front[8..16].copy_from_slice(&bytes.to_le_bytes());
    front[16] = uses | if is_stale { 0x80 } else { 0 };
    for (at, form) in forms.iter().enumerate() {
        let at = FORMS_AT + 4 * at;
        front[at..at + 4].copy_from_slice(&(length(form) as u32).to_le_bytes());
    }
    to.write_all(&front)?;
    to.write_all(key)?;
    to.write_all(&meta)?;
    content.iter().chain(forms.into_iter().flatten()).try_for_each(|piece| to.write_all(piece))?;
    Ok((FRONT_BYTES + key.len() + meta.len()) as u64 + bytes + forms.map(length).iter().sum::<u64>())
}

/// Says that this was all.
pub fn write_end(to: &mut impl Write) -> io::Result<()> {
    to.write_all(&[0; FRONT_BYTES])?;
    to.flush()
}

/// The next object, whose content has so many bytes at most; `None` when that was all.
///
/// # Errors
/// When the other end is gone, or sends what is no object.
pub fn read_record(from: &mut impl Read, content_max: u64) -> io::Result<Option<Record>> {
    let mut front = [0; FRONT_BYTES];
    from.read_exact(&mut front)?;
    let short =
        |at: usize| u32::from_le_bytes([front[at], front[at + 1], front[at + 2], front[at + 3]]) as usize;
    let (key, meta) = (short(0), short(4));
    let bytes = short(8) as u64 | (short(12) as u64) << 32;
    if key == 0 {
        return Ok(None);
    }
    let forms = [0, 1, 2].map(|form| short(FORMS_AT + 4 * form));
    let too_long = forms.iter().any(|&form| form as u64 > bytes);
    if key > KEY_BYTES_MAX || meta > META_BYTES_MAX || bytes > content_max || too_long {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than any object"));
    }
    let key = read_bytes(from, key)?;
    let meta = Meta::from_bytes(&read_bytes(from, meta)?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no object"))?;
    let (mut content, mut left) = (Vec::new(), bytes);
    while left > 0 {
        let piece = left.min(PIECE_BYTES as u64);
        content.push(read_bytes(from, piece as usize)?);
        left -= piece;
    }
    let [brotli, zstd, gzip] = forms;
    let forms = [read_bytes(from, brotli)?, read_bytes(from, zstd)?, read_bytes(from, gzip)?];
    Ok(Some(Record { key, meta, uses: front[16] & 0x7f, is_stale: front[16] & 0x80 != 0, content, forms }))
}

fn read_bytes(from: &mut impl Read, count: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; count];
    from.read_exact(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_freshness::StoredFacts;

    fn meta() -> Meta {
        Meta {
            facts: StoredFacts { lifetime: 60, response_time: 1_700_000_000, ..StoredFacts::default() },
            status: 200,
            head: Bytes::from_static(b"HTTP/1.1 200 OK\r\nEtag: \"a\"\r\n"),
            etag: Some(Bytes::from_static(b"\"a\"")),
            last_modified: None,
            vary: vec![(Bytes::from_static(b"accept-language"), Some(Bytes::from_static(b"de")))],
            tags: vec![7, 8],
            site: 0,
            rules: 0,
            assembles: true,
        }
    }

    #[test]
    fn what_was_sent_is_what_comes() {
        let long = Bytes::from(vec![b'x'; PIECE_BYTES + 5]);
        for content in [vec![], vec![Bytes::from_static(b"content")], vec![long]] {
            let mut sent = Vec::new();
            // One in two pieces, none, and one that is longer than what it is a form of.
            let two = [Bytes::from_static(b"co"), Bytes::from_static(b"ded")];
            let long = [Bytes::from(vec![b'y'; 2 * PIECE_BYTES])];
            let forms = [&two[..], &[], &long];
            let bytes = write_record(&mut sent, b"host\0/", &meta(), (3, true), &content, forms).unwrap();
            assert_eq!(bytes, sent.len() as u64);
            write_end(&mut sent).unwrap();
            let mut from = sent.as_slice();
            let came = read_record(&mut from, 1 << 20).unwrap().unwrap();
            assert_eq!((&came.key[..], came.uses, came.is_stale), (&b"host\0/"[..], 3, true));
            assert_eq!((came.meta, came.content.concat()), (meta(), content.concat()));
            let coded = if content.is_empty() { &b""[..] } else { b"coded" };
            assert_eq!(came.forms, [coded, b"", b""]);
            assert_eq!(read_record(&mut from, 1 << 20).unwrap(), None);
            assert!(from.is_empty());
        }
    }

    #[test]
    fn whatever_is_cut_off_or_changed_is_no_object_or_an_end() {
        let mut sent = Vec::new();
        write_record(&mut sent, b"host\0/", &meta(), (1, false), &[Bytes::from_static(b"content")], [&[]; 3])
            .unwrap();
        for end in 0..sent.len() {
            assert!(read_record(&mut &sent[..end], 1 << 20).is_err(), "{end}");
        }
        assert!(read_record(&mut sent.as_slice(), 3).is_err(), "too long");
        for at in 0..sent.len() {
            let mut other = sent.clone();
            other[at] ^= 0x55;
            // It may be another object, but nothing else happens.
            let _ = read_record(&mut other.as_slice(), 1 << 20);
        }
    }

    #[test]
    fn only_who_understands_it_alike_is_given_anything() {
        let mut greeting = Vec::new();
        write_greeting(&mut greeting, 3).unwrap();
        assert!(read_greeting(&mut greeting.as_slice(), 3).unwrap());
        assert!(!read_greeting(&mut greeting.as_slice(), 4).unwrap(), "another configuration");
        greeting[5] ^= 1;
        assert!(!read_greeting(&mut greeting.as_slice(), 3).unwrap(), "another form");
    }
}
