//! A request as an endpoint is told it when its answer may be stored, and as `Vary` compares it: what of its fields
//! cannot matter is left out. Both come from here, so that an endpoint is never told what is not compared. Computes
//! only what is asked for and allocates nothing for that.

use tentpole_key::{Codings, Device, KeyRules, lookup};
use tentpole_message::{Fields, Name, tokens};

/// What an endpoint learns of the class of a visitor's device.
pub const DEVICE_FIELD: &[u8] = b"x-device";

/// What of `Connection` is read for names of fields: as many lines, and of each as many bytes. What stands beyond is a field
/// like any other, told and compared.
const CONNECTION_LINES_MAX: usize = 4;
const CONNECTION_BYTES_MAX: usize = 512;

/// A request's fields, some of them reduced. `Accept-Encoding` always is; the rest by the rules of the route.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    fields: &'a Fields,
    rules: Option<&'a KeyRules>,
    cookies: Option<&'a [u8]>,
}

/// How a field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown<'a> {
    /// As the visitor sent it, if he did.
    AsSent,
    /// Not at all.
    Absent,
    /// With this value.
    Value(&'a [u8]),
}

impl<'a> Presented<'a> {
    /// By a route's rules. `cookies` is what remains of `Cookie`, empty for nothing; `None` leaves it as it came.
    pub fn new(fields: &'a Fields, rules: &'a KeyRules, cookies: Option<&'a [u8]>) -> Self {
        Self { fields, rules: Some(rules), cookies }
    }

    /// The fields as they came.
    pub fn fields(&self) -> &'a Fields {
        self.fields
    }

    /// The word for the visitor's device, where the route asks for it.
    pub fn device(&self) -> Option<&'static str> {
        let asked_for = self.rules.is_some_and(|rules| rules.devices);
        asked_for.then(|| Device::of(self.fields.get(Name::UserAgent).unwrap_or_default()).word())
    }

    /// The fields that an endpoint is told, but for [`Presented::device`]: without `Connection`, which has had its effect
    /// here and must not have another one later. Presenting them again changes nothing.
    pub fn told(&self) -> Fields {
        let mut told = Fields::new();
        let shown = [Name::AcceptEncoding, Name::AcceptLanguage, Name::Cookie].map(|id| (id, self.known(id)));
        let replaced = |id| shown.iter().any(|(other, shown)| *other == id && *shown != Shown::AsSent);
        for field in self.fields.iter() {
            match field.id {
                Name::Connection => {}
                id if replaced(id) || self.other(field.name) == Shown::Absent => {}
                // `Vary` compares languages in any case.
                Name::AcceptLanguage => told.push(field.name, &field.value.to_ascii_lowercase()),
                _ => told.push(field.name, field.value),
            }
        }
        for (id, shown) in shown {
            if let (Shown::Value(value), true) = (shown, told.len() < Fields::COUNT_MAX) {
                let name: &[u8] = match id {
                    Name::AcceptEncoding => b"Accept-Encoding",
                    Name::AcceptLanguage => b"Accept-Language",
                    _ => b"Cookie",
                };
                told.push(name, value);
            }
        }
        told
    }

    /// How the field with this name is shown; the name in lower case.
    pub(crate) fn shown(&self, id: Name, name: &[u8]) -> Shown<'a> {
        match id {
            Name::Other if name == DEVICE_FIELD => {
                self.device().map_or_else(|| self.other(name), |word| Shown::Value(word.as_bytes()))
            }
            Name::Other => self.other(name),
            Name::UserAgent => self.device().map_or(Shown::AsSent, |word| Shown::Value(word.as_bytes())),
            id => self.known(id),
        }
    }

    fn known(&self, id: Name) -> Shown<'a> {
        match id {
            Name::AcceptEncoding => Shown::Value(Codings::accepted(self.fields.all(id)).written().as_bytes()),
            Name::AcceptLanguage => {
                let language = self.rules.and_then(|rules| lookup(&rules.languages, self.fields.all(id)));
                language.map_or(Shown::AsSent, |language| Shown::Value(language.as_bytes()))
            }
            Name::Cookie => match self.cookies {
                None => Shown::AsSent,
                Some([]) => Shown::Absent,
                Some(remaining) => Shown::Value(remaining),
            },
            _ => Shown::AsSent,
        }
    }

    /// A field that `Connection` names belongs to the visitor's connection: no endpoint sees it (RFC 9110 section
    /// 7.6.1).
    fn other(&self, name: &[u8]) -> Shown<'a> {
        let is_named = || {
            let lines = self.fields.all(Name::Connection).take(CONNECTION_LINES_MAX);
            lines.flat_map(|line| tokens(within(line))).any(|listed| listed.eq_ignore_ascii_case(name))
        };
        if Name::from_bytes(name) == Name::Other && is_named() { Shown::Absent } else { Shown::AsSent }
    }
}

/// The part of a `Connection` line that is read; a name that is cut off is none.
fn within(line: &[u8]) -> &[u8] {
    let Some(begin) = line.get(..CONNECTION_BYTES_MAX) else { return line };
    begin.iter().rposition(|&byte| byte == b',').map_or(b"", |end| &begin[..end])
}

/// Without rules.
impl<'a> From<&'a Fields> for Presented<'a> {
    fn from(fields: &'a Fields) -> Self {
        Self { fields, rules: None, cookies: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::Caching;

    fn fields(all: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        all.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()));
        fields
    }

    fn rules() -> KeyRules {
        let languages = vec!["en".to_owned(), "de".to_owned()];
        KeyRules::new(&Caching { languages, devices: true, ..Caching::default() })
    }

    fn text(fields: &Fields) -> String {
        let line = |(name, value): (&[u8], &[u8])| {
            format!("{}: {}\n", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        };
        fields.iter().map(|field| line((field.name, field.value))).collect()
    }

    #[test]
    fn an_endpoint_is_told_what_is_compared_and_the_rest_as_it_came() {
        let sent = fields(&[
            ("Host", "shop.example"),
            ("Accept-Encoding", "gzip, deflate, br"),
            ("accept-language", "de-AT, en;q=0.5"),
            ("Cookie", "_ga=1; sid=2"),
            ("User-Agent", "Mozilla/5.0 (iPhone)"),
            ("X-Market", "at"),
        ]);
        let rules = rules();
        let presented = Presented::new(&sent, &rules, Some(b"sid=2"));
        let told = presented.told();
        assert_eq!(
            text(&told),
            "Host: shop.example\nUser-Agent: Mozilla/5.0 (iPhone)\nX-Market: at\n\
             Accept-Encoding: br, gzip\nAccept-Language: de\nCookie: sid=2\n"
        );
        assert_eq!(presented.device(), Some("phone"));
        assert_eq!(text(&Presented::new(&told, &rules, Some(b"sid=2")).told()), text(&told));
    }

    #[test]
    fn who_says_nothing_asks_for_the_default() {
        let sent = fields(&[("Cookie", "_ga=1")]);
        let rules = rules();
        let told = Presented::new(&sent, &rules, Some(b"")).told();
        assert_eq!(text(&told), "Accept-Encoding: identity\nAccept-Language: en\n");
    }

    #[test]
    fn without_rules_only_codings_are_reduced() {
        let sent = fields(&[("Cookie", "_ga=1"), ("Accept-Language", "de-AT"), ("User-Agent", "X")]);
        let presented = Presented::from(&sent);
        let told = "Cookie: _ga=1\nAccept-Language: de-at\nUser-Agent: X\nAccept-Encoding: identity\n";
        assert_eq!(text(&presented.told()), told);
        assert_eq!(presented.device(), None);
    }

    #[test]
    fn what_belongs_to_a_connection_is_shown_to_nobody() {
        let sent = fields(&[("Connection", "close, X-Market"), ("X-Market", "at"), ("X-Other", "1")]);
        let presented = Presented::from(&sent);
        assert_eq!(presented.shown(Name::Other, b"x-market"), Shown::Absent);
        assert_eq!(presented.shown(Name::Other, b"x-other"), Shown::AsSent);
        assert_eq!(text(&presented.told()), "X-Other: 1\nAccept-Encoding: identity\n");
    }
    #[test]
    fn of_a_connection_without_end_only_the_beginning_is_read_and_told_is_what_is_compared() {
        let long = format!("X-Market, {}X-Late", "x,".repeat(14_000));
        let sent = fields(&[("Connection", &long), ("X-Market", "at"), ("X-Late", "1")]);
        let presented = Presented::from(&sent);
        assert_eq!(presented.shown(Name::Other, b"x-market"), Shown::Absent);
        assert_eq!(presented.shown(Name::Other, b"x-late"), Shown::AsSent);
        let told = presented.told();
        assert_eq!(text(&told), "X-Late: 1\nAccept-Encoding: identity\n", "nothing takes it away later");
        assert_eq!(Presented::from(&told).shown(Name::Other, b"x-late"), Shown::AsSent);
        assert_eq!(within(b"close, X-Market"), b"close, X-Market");
        assert_eq!(within(&[b'x'; 600]), b"", "a name that is cut off is none");
    }
}
