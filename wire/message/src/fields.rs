//! The fields of one head or one trailer section: ordered slices over one buffer. No map, no allocation once the
//! buffers have grown. Does not judge what a field says.

use crate::Name;
use std::ops::Range;

/// Ordered fields over one buffer that may hold more than fields (a start line).
#[derive(Clone, Debug)]
pub struct Fields {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Index of the first entry with each known name, plus one; 0 is none.
    first: [u8; Name::COUNT],
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, when known.
    pub id: Name,
    /// Its name as it came.
    pub name: &'a [u8],
    /// Its value, without the white space around it.
    pub value: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: Name,
    name: Span,
    value: Span,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    end: u32,
}

impl Fields {
    /// Most fields that one can hold; a codec's limit must not exceed it.
    pub const COUNT_MAX: usize = 254;

    /// Empty, without a buffer.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), entries: Vec::new(), first: [0; Name::COUNT] }
    }

    /// Empties it and keeps its buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.first = [0; Name::COUNT];
    }

    /// Replaces everything by `bytes` with no fields yet; add them with [`Fields::push_ranges`].
    pub fn load(&mut self, bytes: &[u8]) {
        self.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends bytes that are no field, and says where they lie.
    pub fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Adds a field whose name and value already lie in the buffer.
    ///
    /// # Panics
    /// When a range lies outside the buffer or [`Fields::COUNT_MAX`] is exceeded: a codec's bug.
    pub fn push_ranges(&mut self, name: Range<usize>, value: Range<usize>) {
        let id = Name::from_bytes(&self.bytes[name.clone()]);
        assert!(value.end <= self.bytes.len(), "a field's value must lie in the buffer");
        self.push_entry(Entry { id, name: Span::new(name), value: Span::new(value) });
    }

    /// Adds a field by copying it behind the buffer's end.
    ///
    /// # Panics
    /// When [`Fields::COUNT_MAX`] is exceeded.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let name_start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        let value_start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        let end = self.bytes.len();
        self.push_ranges(name_start..value_start, value_start..end);
    }

    fn push_entry(&mut self, entry: Entry) {
        assert!(self.entries.len() < Self::COUNT_MAX, "a codec let more fields through than fit");
        if let Some(first) = self.first.get_mut(entry.id as usize)
            && *first == 0
        {
            *first = self.entries.len() as u8 + 1;
        }
        self.entries.push(entry);
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The buffer under the fields.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a field of this name is there.
    #[inline]
    pub fn has(&self, name: Name) -> bool {
        self.first.get(name as usize).is_some_and(|&first| first != 0)
    }

    /// Value of the first field of this name.
    #[inline]
    pub fn get(&self, name: Name) -> Option<&[u8]> {
        let first = usize::from(*self.first.get(name as usize)?);
        let entry = self.entries.get(first.checked_sub(1)?)?;
        Some(self.at(entry.value))
    }

    /// Values of all fields of this name, in order.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &[u8]> + Clone {
        let first = self.first.get(name as usize).map_or(0, |&first| usize::from(first));
        let from = first.checked_sub(1).unwrap_or(self.entries.len());
        self.entries[from..].iter().filter(move |entry| entry.id == name).map(|entry| self.at(entry.value))
    }

    /// Values of all fields of a name that need not be known, in order; any case.
    pub fn find<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + Clone {
        let id = Name::from_bytes(name);
        self.iter()
            .filter(move |field| {
                field.id == id && (id != Name::Other || field.name.eq_ignore_ascii_case(name))
            })
            .map(|field| field.value)
    }

    /// All fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        self.entries.iter().map(|entry| Field {
            id: entry.id,
            name: self.at(entry.name),
            value: self.at(entry.value),
        })
    }

    /// Whether `token` stands in a comma-separated list in any field of this name; any case.
    pub fn has_token(&self, name: Name, token: &[u8]) -> bool {
        self.has(name) && self.all(name).flat_map(tokens).any(|t| t.eq_ignore_ascii_case(token))
    }

    fn at(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self::new()
    }
}

impl Span {
    fn new(range: Range<usize>) -> Self {
        Self { start: range.start as u32, end: range.end as u32 }
    }
}

/// The members of a comma-separated list, trimmed, without empty ones (RFC 9110 section 5.6.1).
pub fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    list.split(|&byte| byte == b',').map(|member| member.trim_ascii()).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_are_found_by_name() {
        let mut fields = Fields::new();
        fields.push(b"Host", b"a");
        fields.push(b"X-One", b"1");
        fields.push(b"Accept", b"x");
        fields.push(b"x-one", b"2");
        fields.push(b"accept", b"y, Z");
        assert_eq!(fields.get(Name::Accept), Some(&b"x"[..]));
        assert_eq!(fields.all(Name::Accept).collect::<Vec<_>>(), [&b"x"[..], b"y, Z"]);
        assert_eq!(fields.find(b"X-ONE").collect::<Vec<_>>(), [&b"1"[..], b"2"]);
        assert_eq!(fields.get(Name::Cookie), None);
        assert!(fields.has_token(Name::Accept, b"z"));
        assert!(!fields.has_token(Name::Accept, b"y, Z"));
        fields.clear();
        assert!(!fields.has(Name::Host));
    }
}
