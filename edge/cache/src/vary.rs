//! What a stored response was selected by: the names in its `Vary` and the values that its request gave them.
//! Compares with a request without allocating. Never decides whether a response may be stored.

use crate::present::{Presented, Shown};
use tentpole_message::Name;

/// Names in one `Vary` that are compared; a response that names more is treated like `Vary: *`.
pub const VARY_NAMES_MAX: usize = 16;

/// What an endpoint is told by us and not by the visitor: what he sent of it says nothing about what was answered.
const WRITTEN_BY_US: &[u8] = b"x-forwarded-for";

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

/// A short form of what selects a response, to find one among many without looking into each. Who selects a response
/// has its sign; the other way round it has to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sign {
    /// Of the names. Two lists with the same one are taken for one list: that can only hide a stored response.
    pub names: u32,
    /// Of the values under these names.
    pub values: u64,
}

impl Vary {
    /// The names of a response's `Vary`, in any case and order, with the values of the request that it answers.
    /// `None` when it names `*`, the visitor's address or more than [`VARY_NAMES_MAX`]: nothing can be selected by it.
    pub fn of<'a, N: AsRef<[u8]>>(names: &[N], request: impl Into<Presented<'a>>) -> Option<Self> {
        let request = request.into();
        let mut lower: Vec<Box<[u8]>> =
            names.iter().map(|name| name.as_ref().trim_ascii().to_ascii_lowercase().into()).collect();
        lower.retain(|name| !name.is_empty());
        lower.sort_unstable();
        lower.dedup();
        let cannot_select = |name: &[u8]| name == b"*" || name == WRITTEN_BY_US;
        if lower.len() > VARY_NAMES_MAX || lower.iter().any(|name| cannot_select(name)) {
            return None;
        }
        Some(Self { fields: lower.into_iter().map(|name| Selecting::of(name, &request)).collect() })
    }

    /// The same names with another request's values.
    pub fn like<'a>(&self, request: impl Into<Presented<'a>>) -> Self {
        let request = request.into();
        Self { fields: self.fields.iter().map(|field| Selecting::of(field.name.clone(), &request)).collect() }
    }

    /// Whether a request selects the response. Allocates nothing.
    #[inline]
    pub fn matches<'a>(&self, request: impl Into<Presented<'a>>) -> bool {
        if self.fields.is_empty() {
            return true;
        }
        let request = request.into();
        self.fields.iter().all(|field| field.matches(&request))
    }

    /// Its sign.
    pub(crate) fn sign(&self) -> Sign {
        let (mut names, mut values) = (Hash::new(), Hash::new());
        for field in &self.fields {
            field.name.iter().for_each(|&byte| names.add(byte));
            names.ends();
            field.value.iter().flat_map(|value| value.iter()).for_each(|&byte| values.add(byte));
            values.ends();
        }
        Sign { names: names.short(), values: values.0 }
    }

    /// The values' part of the sign that its names have with a request's values. Allocates nothing.
    pub(crate) fn values_sign(&self, request: &Presented<'_>) -> u64 {
        let mut values = Hash::new();
        for field in &self.fields {
            field.hash_shown(request, &mut values);
            values.ends();
        }
        values.0
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
    fn of(name: Box<[u8]>, request: &Presented<'_>) -> Self {
        let id = Name::from_bytes(&name);
        let sent = || request.fields().find(&name);
        let value = match request.shown(id, &name) {
            Shown::Absent => None,
            Shown::Value(value) => Some(canonical_value(id, std::iter::once(value))),
            Shown::AsSent => sent().next().map(|_| canonical_value(id, sent())),
        };
        let as_sent = match &value {
            Some(value) if is_reduced_alike(id) || request.shown(id, &name) == Shown::AsSent => {
                only(sent()).filter(|line| **line != **value).map(Into::into)
            }
            _ => None,
        };
        Self { id, name, value, as_sent }
    }

    /// Adds the value in canonical form that a request shows, as [`Selecting::of`] would keep it.
    fn hash_shown(&self, request: &Presented<'_>, hash: &mut Hash) {
        let mut add = |byte| {
            hash.add(counted(self.id, byte));
            true
        };
        match request.shown(self.id, &self.name) {
            Shown::Absent => true,
            Shown::Value(value) => canonical(std::iter::once(value), &mut add),
            Shown::AsSent if self.id == Name::Other => canonical(request.fields().find(&self.name), &mut add),
            Shown::AsSent => canonical(request.fields().all(self.id), &mut add),
        };
    }

    fn matches(&self, request: &Presented<'_>) -> bool {
        let fields = request.fields();
        match self.id {
            Name::Other => self.matches_values(request, fields.find(&self.name)),
            id => self.matches_values(request, fields.all(id)),
        }
    }

    fn matches_values<'a>(
        &self,
        request: &Presented<'_>,
        sent: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> bool {
        let is_as_sent = |line: &[u8]| self.as_sent.as_deref() == Some(line);
        if is_reduced_alike(self.id) && only(sent.clone()).is_some_and(is_as_sent) {
            return true;
        }
        match (request.shown(self.id, &self.name), &self.value) {
            (Shown::Absent, stored) => stored.is_none(),
            (Shown::Value(value), Some(stored)) => same_value(self.id, stored, std::iter::once(value)),
            (Shown::Value(_), None) => false,
            (Shown::AsSent, None) => sent.clone().next().is_none(),
            (Shown::AsSent, Some(stored)) => {
                let sent_so = |line: &[u8]| *line == **self.as_sent.as_ref().unwrap_or(stored);
                only(sent.clone()).is_some_and(sent_so)
                    || (sent.clone().next().is_some() && same_value(self.id, stored, sent))
            }
        }
    }
}

/// FNV-1a: one value after the other, byte by byte, as canonical forms come.
struct Hash(u64);

impl Hash {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    #[inline]
    fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// After each value: a byte that no field has.
    fn ends(&mut self) {
        self.add(b'\n');
    }

    fn short(&self) -> u32 {
        (self.0 >> 32) as u32 ^ self.0 as u32
    }
}

/// Whether what a field is reduced to follows from its lines alone, whatever the rules of the day are.
fn is_reduced_alike(id: Name) -> bool {
    id == Name::AcceptEncoding
}

/// The only line that there is.
fn only<'a>(mut lines: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    lines.next().filter(|_| lines.next().is_none())
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

/// How a byte of a field counts: languages are named in any case (RFC 5646 section 2.1.1).
fn counted(id: Name, byte: u8) -> u8 {
    if id == Name::AcceptLanguage { byte.to_ascii_lowercase() } else { byte }
}

fn canonical_value<'a>(id: Name, values: impl Iterator<Item = &'a [u8]>) -> Box<[u8]> {
    let mut out = Vec::new();
    canonical(values, |byte| {
        out.push(counted(id, byte));
        true
    });
    out.into()
}

fn same_value<'a>(id: Name, stored: &[u8], values: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut rest = stored.iter();
    canonical(values, |byte| rest.next() == Some(&counted(id, byte))) && rest.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_key::KeyRules;
    use tentpole_message::Fields;
    use tentpole_model::Caching;

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
        check_sign(&vary, (&request(first)).into());
        check_sign(&vary, (&request(second)).into());
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
        assert!(selects(
            &["Accept-Language"],
            &[("Accept-Language", "de-AT")],
            &[("Accept-Language", "DE-at")]
        ));
        assert!(!selects(&["X-Market"], &[("X-Market", "de")], &[("X-Market", "DE")]));
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
    fn accept_encoding_is_compared_by_what_is_acceptable() {
        let vary = &["Accept-Encoding"];
        let selects =
            |first, second| selects(vary, &[("Accept-Encoding", first)], &[("Accept-Encoding", second)]);
        assert!(selects("gzip, br", "BR,gzip"));
        assert!(selects("gzip, deflate, br, zstd", "zstd, br;q=0.5, gzip, deflate;q=0.1"));
        assert!(!selects("gzip, br", "gzip"));
        assert!(!selects("gzip, br", "gzip, br;q=0"));
        assert!(!selects("gzip", "gzip, identity;q=0"));
        assert!(selects("", "deflate"));
        let many = vec!["gzip"; 40].join(", ");
        assert!(selects(&many, "gzip"));
    }

    #[test]
    fn who_does_not_ask_for_a_coding_shares_with_those_who_can_none() {
        assert!(selects(&["Accept-Encoding"], &[], &[("Accept-Encoding", "identity")]));
        assert!(!selects(&["Accept-Encoding"], &[], &[("Accept-Encoding", "gzip")]));
    }

    /// Whether the response to the first request, which names one field in `Vary`, is for the second.
    fn shares(caching: &Caching, name: &str, first: &str, second: &str) -> bool {
        let rules = KeyRules::new(caching);
        let sent = |value: &str| match value {
            "" => request(&[]),
            value => request(&[(name, value)]),
        };
        let (first, second) = (sent(first), sent(second));
        let vary = Vary::of(&[name], Presented::new(&first, &rules, None)).unwrap();
        let (told, second) =
            (Presented::new(&first, &rules, None).told(), Presented::new(&second, &rules, None));
        assert_eq!(vary, vary.like(Presented::new(&told, &rules, None)), "what is told is what is compared");
        assert_eq!(vary == vary.like(second), vary.matches(second), "both ways to compare agree");
        check_sign(&vary, second);
        vary.matches(second)
    }

    /// Who selects a response has its sign, and a request has that of what would be stored for it.
    fn check_sign(vary: &Vary, request: Presented<'_>) {
        assert_eq!(vary.values_sign(&request), vary.like(request).sign().values);
        assert!(!vary.matches(request) || vary.values_sign(&request) == vary.sign().values);
    }

    #[test]
    fn signs_tell_names_and_values_apart() {
        let sign = |names: &[&str], value| Vary::of(names, &request(&[("X-A", value)])).unwrap().sign();
        assert_ne!(sign(&["x-a"], "1"), sign(&["x-a"], "2"));
        assert_ne!(sign(&["x-a"], "1").names, sign(&["x-a", "x-b"], "1").names);
        assert_ne!(sign(&["x-ab"], "1").names, sign(&["x-a", "b"], "1").names);
    }

    #[test]
    fn languages_are_compared_by_the_one_that_the_application_has() {
        let languages = ["en", "de"].map(str::to_owned).to_vec();
        let german = Caching { languages, ..Caching::default() };
        let shares = |first, second| shares(&german, "Accept-Language", first, second);
        assert!(shares("de-AT, de;q=0.9, en;q=0.8", "de"));
        assert!(shares("", "es"));
        assert!(!shares("de", "en"));
        assert!(!shares("de", ""));
    }

    #[test]
    fn devices_are_compared_by_their_class() {
        let by_class = Caching { devices: true, ..Caching::default() };
        let (phone, other_phone, desktop) =
            ("Mozilla/5.0 (iPhone)", "x Android y Mobile z", "Mozilla/5.0 (X11)");
        assert!(shares(&by_class, "User-Agent", phone, other_phone));
        assert!(!shares(&by_class, "User-Agent", phone, desktop));
        assert!(shares(&by_class, "User-Agent", "", desktop));
        assert!(!shares(&Caching::default(), "User-Agent", phone, other_phone));
    }

    #[test]
    fn what_was_told_of_a_device_is_compared_whatever_the_visitor_says_of_it() {
        let rules = KeyRules::new(&Caching { devices: true, ..Caching::default() });
        let phone = request(&[("User-Agent", "iPhone"), ("X-Device", "desktop")]);
        let desktop = request(&[("User-Agent", "X11"), ("X-Device", "phone")]);
        let of = |fields| Vary::of(&["X-Device"], Presented::new(fields, &rules, None)).unwrap();
        assert_ne!(of(&phone), of(&desktop));
        assert!(of(&phone).matches(Presented::new(&request(&[("User-Agent", "iPhone")]), &rules, None)));
    }

    #[test]
    fn cookies_are_compared_by_what_remains_of_them() {
        let rules = KeyRules::new(&Caching::default());
        let (analytics, none) = (request(&[("Cookie", "_ga=1")]), request(&[]));
        let session = request(&[("Cookie", "sid=1; _ga=2")]);
        let alone = request(&[("Cookie", "sid=1")]);
        let vary = Vary::of(&["Cookie"], Presented::new(&analytics, &rules, Some(b""))).unwrap();
        assert!(vary.matches(Presented::new(&none, &rules, None)));
        assert!(!vary.matches(Presented::new(&session, &rules, Some(b"sid=1"))));
        let vary = Vary::of(&["Cookie"], Presented::new(&session, &rules, Some(b"sid=1"))).unwrap();
        assert!(vary.matches(Presented::new(&alone, &rules, None)));
        assert!(!vary.matches(Presented::new(&none, &rules, None)));
    }

    #[test]
    fn other_rules_never_find_what_was_stored_by_the_old_ones_for_another_value() {
        let before = ["en", "de"].map(str::to_owned).to_vec();
        let after = ["en", "de", "fr"].map(str::to_owned).to_vec();
        let [before, after] =
            [before, after].map(|languages| KeyRules::new(&Caching { languages, ..Caching::default() }));
        let french = request(&[("Accept-Language", "fr, de;q=0.5")]);
        let vary = Vary::of(&["Accept-Language"], Presented::new(&french, &before, None)).unwrap();
        assert!(vary.matches(Presented::new(&french, &before, None)));
        assert!(!vary.matches(Presented::new(&french, &after, None)), "what is stored is German");
    }

    #[test]
    fn a_line_in_canonical_form_stays_as_it_is() {
        for line in ["a,b", "a  , b", "\"x  , y", "a \"b  c\" , d", "\"\\\"  \" ,  e", ", ,", "br, gzip"] {
            let once = canonical_value(Name::Other, [line.as_bytes()].into_iter());
            assert_eq!(canonical_value(Name::Other, [&once[..]].into_iter()), once, "{line}");
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
