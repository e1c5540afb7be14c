//! What a stored response was selected by: the names in its `Vary` and the values that its request gave them.
//! Compares with a request without allocating. Never decides whether a response may be stored.

use tentpole_message::{Fields, Name, tokens};

/// Names in one `Vary` that are compared; a response that names more is treated like `Vary: *`.
pub const VARY_NAMES_MAX: usize = 16;

/// Members of one `Accept-Encoding` that are compared as a set; longer lists are compared as they are written.
const CODINGS_MAX: usize = 16;

/// The selecting fields of one stored response (RFC 9111 section 4.1). Without names it matches every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vary {
    /// Sorted by name, each once.
    fields: Box<[Selecting]>,
}

#[derive(Clone, Debug)]
struct Selecting {
    id: Name,
    /// Lower case.
    name: Box<[u8]>,
    /// In canonical form; `None` when the request had no such field.
    value: Value,
    /// A line that has this form, compared first: most requests with an equal value write it equally. (Half the
    /// time of a hit that varies by encoding: `benches/hit.rs`.)
    as_sent: Value,
}

/// Bytes of a field, if it is there.
type Value = Option<Box<[u8]>>;

impl Vary {
    /// The names of a response's `Vary`, in any case and order, with the values of the request that it answers.
    /// `None` when it names `*` or more than [`VARY_NAMES_MAX`]: nothing can be selected by it.
    pub fn of<N: AsRef<[u8]>>(names: &[N], request: &Fields) -> Option<Self> {
        let mut lower: Vec<Box<[u8]>> =
            names.iter().map(|name| name.as_ref().trim_ascii().to_ascii_lowercase().into()).collect();
        lower.retain(|name| !name.is_empty());
        lower.sort_unstable();
        lower.dedup();
        if lower.len() > VARY_NAMES_MAX || lower.iter().any(|name| **name == *b"*") {
            return None;
        }
        Some(Self { fields: lower.into_iter().map(|name| Selecting::of(name, request)).collect() })
    }

    /// The same names with another request's values.
    pub fn like(&self, request: &Fields) -> Self {
        Self { fields: self.fields.iter().map(|field| Selecting::of(field.name.clone(), request)).collect() }
    }

    /// Whether a request selects the response. Allocates nothing.
    #[inline]
    pub fn matches(&self, request: &Fields) -> bool {
        self.fields.iter().all(|field| field.matches(request))
    }

    /// The names, and the values in canonical form: what [`Vary::restored`] makes it of again.
    pub fn selecting(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.fields.iter().map(|field| (&*field.name, field.value.as_deref()))
    }

    /// One that was written down.
    pub fn restored<'a>(selecting: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Self {
        let restore = |(name, value): (&[u8], Option<&[u8]>)| {
            let (id, value) = (Name::from_bytes(name), value.map(Into::into));
            Selecting { id, name: name.into(), value, as_sent: None }
        };
        Self { fields: selecting.map(restore).collect() }
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Bytes that it holds on the heap.
    pub fn bytes(&self) -> u64 {
        let held = |field: &Selecting| {
            let [value, as_sent] =
                [&field.value, &field.as_sent].map(|held| held.as_ref().map_or(0, |held| held.len()));
            size_of::<Selecting>() + field.name.len() + value + as_sent
        };
        self.fields.iter().map(held).sum::<usize>() as u64
    }
}

impl Selecting {
    fn of(name: Box<[u8]>, request: &Fields) -> Self {
        let id = Name::from_bytes(&name);
        let (value, as_sent) = sent(id, request.find(&name));
        Self { id, name, value, as_sent }
    }

    fn matches(&self, request: &Fields) -> bool {
        match self.id {
            Name::Other => self.matches_values(request.find(&self.name)),
            id => self.matches_values(request.all(id)),
        }
    }

    fn matches_values<'a>(&self, values: impl Iterator<Item = &'a [u8]> + Clone) -> bool {
        let Some(stored) = &self.value else { return values.clone().next().is_none() };
        let mut lines = values.clone();
        let Some(first) = lines.next() else { return false };
        if lines.next().is_none() && *first == **self.as_sent.as_ref().unwrap_or(stored) {
            return true;
        }
        match self.id {
            Name::AcceptEncoding => same_codings(stored, values),
            _ => same_value(stored, values),
        }
    }
}

/// The canonical form of a field's lines, and the one line that has it, when it is written otherwise.
fn sent<'a>(id: Name, lines: impl Iterator<Item = &'a [u8]> + Clone) -> (Value, Value) {
    let Some(first) = lines.clone().next() else { return (None, None) };
    let count = lines.clone().count();
    let value = match id {
        Name::AcceptEncoding => canonical_codings(lines),
        _ => canonical_value(lines),
    };
    let as_sent = (count == 1 && *value != *first).then(|| first.into());
    (Some(value), as_sent)
}

/// How it was written does not matter.
impl PartialEq for Selecting {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value == other.value
    }
}

impl Eq for Selecting {}

/// Field lines joined by a comma; white space around commas dropped, elsewhere one space (RFC 9111 section 4.1
/// allows both). Inside quotation marks every byte stays. Stops when `emit` says false; returns whether it never did.
fn canonical<'a>(values: impl Iterator<Item = &'a [u8]>, mut emit: impl FnMut(u8) -> bool) -> bool {
    for (line, value) in values.enumerate() {
        if line > 0 && !emit(b',') {
            return false;
        }
        let (mut quoted, mut escaped, mut space, mut member_begins) = (false, false, false, true);
        for &byte in value {
            if quoted {
                quoted = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
            } else if matches!(byte, b' ' | b'\t') {
                space = true;
                continue;
            } else {
                if space && !member_begins && byte != b',' && !emit(b' ') {
                    return false;
                }
                space = false;
                member_begins = byte == b',';
                quoted = byte == b'"';
            }
            if !emit(byte) {
                return false;
            }
        }
    }
    true
}

fn canonical_value<'a>(values: impl Iterator<Item = &'a [u8]>) -> Box<[u8]> {
    let mut out = Vec::new();
    canonical(values, |byte| {
        out.push(byte);
        true
    });
    out.into()
}

fn same_value<'a>(stored: &[u8], values: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut rest = stored.iter();
    canonical(values, |byte| rest.next() == Some(&byte)) && rest.next().is_none()
}

/// The members in lower case, sorted, without white space: `gzip, br` and `br,gzip` ask for the same.
fn canonical_codings<'a>(values: impl Iterator<Item = &'a [u8]> + Clone) -> Box<[u8]> {
    let members = values.clone().flat_map(tokens);
    if members.clone().count() > CODINGS_MAX {
        return canonical_value(values);
    }
    let mut members: Vec<Vec<u8>> = members.map(|member| plain(member).collect()).collect();
    members.sort_unstable();
    members.join(&b',').into()
}

fn same_codings<'a>(stored: &[u8], values: impl Iterator<Item = &'a [u8]> + Clone) -> bool {
    let members = values.clone().flat_map(tokens);
    let count = members.clone().count();
    if count > CODINGS_MAX {
        return same_value(stored, values);
    }
    // Each member of the request claims one of the stored ones: equal as multisets.
    let mut claimed = 0u32;
    tokens(stored).count() == count
        && members.clone().all(|member| {
            let found = tokens(stored).enumerate().find(|(index, coding)| {
                claimed & (1 << index) == 0 && plain(member).eq(coding.iter().copied())
            });
            found.inspect(|(index, _)| claimed |= 1 << index).is_some()
        })
}

/// A member's bytes in lower case, without white space.
fn plain(member: &[u8]) -> impl Iterator<Item = u8> {
    member.iter().filter(|byte| !matches!(byte, b' ' | b'\t')).map(u8::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &str)]) -> Fields {
        let mut request = Fields::new();
        for (name, value) in fields {
            request.push(name.as_bytes(), value.as_bytes());
        }
        request
    }

    fn selects(names: &[&str], first: &[(&str, &str)], second: &[(&str, &str)]) -> bool {
        let vary = Vary::of(names, &request(first)).unwrap();
        assert!(vary.matches(&request(first)), "a request must match itself");
        assert_eq!(
            vary == vary.like(&request(second)),
            vary.matches(&request(second)),
            "both ways to compare agree"
        );
        vary.matches(&request(second))
    }

    #[test]
    fn a_response_without_vary_is_selected_by_every_request() {
        assert!(selects(&[], &[("Cookie", "a")], &[("Cookie", "b")]));
    }

    #[test]
    fn a_named_field_must_have_the_same_value() {
        assert!(selects(&["Accept-Language"], &[("Accept-Language", "de")], &[("accept-language", "de")]));
        assert!(!selects(&["Accept-Language"], &[("Accept-Language", "de")], &[("Accept-Language", "en")]));
        assert!(!selects(&["X-Market"], &[("X-Market", "de")], &[("X-Market", "de2")]));
        assert!(!selects(&["X-Market"], &[("X-Market", "de2")], &[("X-Market", "de")]));
    }

    #[test]
    fn an_absent_field_matches_only_an_absent_one() {
        assert!(selects(&["Cookie"], &[], &[("Host", "a")]));
        assert!(!selects(&["Cookie"], &[], &[("Cookie", "")]));
        assert!(!selects(&["Cookie"], &[("Cookie", "")], &[]));
    }

    #[test]
    fn white_space_and_split_lines_do_not_matter() {
        assert!(selects(&["x-a"], &[("X-A", "one,  two  three")], &[("x-a", "one"), ("x-a", "two three")]));
        assert!(selects(&["x-a"], &[("X-A", "a ,b")], &[("x-a", "a, b")]));
        assert!(!selects(&["x-a"], &[("X-A", "ab")], &[("x-a", "a b")]));
    }

    #[test]
    fn white_space_inside_quotation_marks_does_matter() {
        assert!(!selects(&["Cookie"], &[("Cookie", r#"a="x, y""#)], &[("Cookie", r#"a="x,y""#)]));
        assert!(!selects(&["Cookie"], &[("Cookie", r#""\"  a""#)], &[("Cookie", r#""\" a""#)]));
    }

    #[test]
    fn accept_encoding_is_compared_as_a_set() {
        let vary = &["Accept-Encoding"];
        assert!(selects(vary, &[("Accept-Encoding", "gzip, br")], &[("Accept-Encoding", "BR,gzip")]));
        assert!(selects(
            vary,
            &[("Accept-Encoding", "gzip;q=1, br")],
            &[("Accept-Encoding", "br,gzip; q=1")]
        ));
        assert!(!selects(vary, &[("Accept-Encoding", "gzip, br")], &[("Accept-Encoding", "gzip")]));
        assert!(!selects(
            vary,
            &[("Accept-Encoding", "gzip, gzip, br")],
            &[("Accept-Encoding", "gzip, br, br")]
        ));
        let many = vec!["gzip"; 40].join(", ");
        assert!(selects(vary, &[("Accept-Encoding", &many)], &[("Accept-Encoding", &many)]));
        assert!(!selects(vary, &[("Accept-Encoding", &many)], &[("Accept-Encoding", "gzip")]));
    }

    #[test]
    fn a_line_in_canonical_form_stays_as_it_is() {
        for line in ["a,b", "a  , b", "\"x  , y", "a \"b  c\" , d", "\"\\\"  \" ,  e", ", ,", "br, gzip"] {
            let once = canonical_value([line.as_bytes()].into_iter());
            assert_eq!(canonical_value([&once[..]].into_iter()), once, "{line}");
        }
    }

    #[test]
    fn names_are_sorted_in_lower_case_and_bounded() {
        let fields = request(&[("A", "1"), ("B", "2")]);
        assert_eq!(Vary::of(&["B", "a", "b", ""], &fields), Vary::of(&["A", "B"], &fields));
        assert_eq!(Vary::of(&["a", "*"], &fields), None);
        let many: Vec<String> = (0..=VARY_NAMES_MAX).map(|number| format!("x-{number}")).collect();
        assert_eq!(Vary::of(&many, &fields), None);
        assert!(Vary::of(&many[1..], &fields).is_some());
    }
}
