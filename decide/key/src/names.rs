//! Lists of names, some of them beginnings that end in `*`, and how a name is read: percent-decoded or to the letter.

/// Names and beginnings of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    whole: Vec<Box<[u8]>>,
    beginnings: Vec<Box<[u8]>>,
    /// A bit for each byte with which one of them begins: most names are none of them, and this says so at once.
    first: [u64; 4],
}

impl Names {
    pub(crate) fn new(names: &[String]) -> Self {
        let mut new = Self::default();
        for name in names {
            let bytes = name.as_bytes();
            match bytes.strip_suffix(b"*") {
                Some([]) => {
                    new.first = [u64::MAX; 4];
                    new.beginnings.push([].into());
                }
                Some(beginning) => {
                    new.mark(beginning[0]);
                    new.beginnings.push(beginning.into());
                }
                None => {
                    bytes.first().into_iter().for_each(|&first| new.mark(first));
                    new.whole.push(bytes.into());
                }
            }
        }
        new
    }

    /// Whole names to the letter: a `*` is a `*`.
    pub(crate) fn exactly(names: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut new = Self::default();
        for name in names {
            name.first().into_iter().for_each(|&first| new.mark(first));
            new.whole.push(name.into());
        }
        new
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.beginnings.is_empty()
    }

    /// Whether a name is one of them; `name` gives its bytes as they are meant to be read.
    pub(crate) fn hold(&self, name: impl Iterator<Item = u8> + Clone) -> bool {
        match name.clone().next() {
            Some(first) if self.first[usize::from(first >> 6)] >> (first & 63) & 1 == 0 => false,
            _ => {
                self.whole.iter().any(|whole| whole.iter().copied().eq(name.clone()))
                    || self.beginnings.iter().any(|beginning| {
                        let mut name = name.clone();
                        beginning.iter().all(|&byte| name.next() == Some(byte))
                    })
            }
        }
    }

    fn mark(&mut self, first: u8) {
        self.first[usize::from(first >> 6)] |= 1 << (first & 63);
    }
}

/// The bytes that a name in a query means: `%XX` is a byte, `+` a space
/// (<https://url.spec.whatwg.org/#urlencoded-parsing>). What is no escape stands for itself.
pub(crate) fn decoded(bytes: &[u8]) -> impl Iterator<Item = u8> + Clone + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let &byte = bytes.get(at)?;
        if byte == b'%'
            && let Some(value) = escaped(bytes.get(at + 1..at + 3))
        {
            at += 3;
            return Some(value);
        }
        at += 1;
        Some(if byte == b'+' { b' ' } else { byte })
    })
}

fn escaped(hex: Option<&[u8]>) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let &[high, low] = hex? else { return None };
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<u8> {
        decoded(text.as_bytes()).collect()
    }

    #[test]
    fn escapes_are_bytes_and_a_plus_is_a_space() {
        assert_eq!(read("utm%5Fsource"), b"utm_source");
        assert_eq!(read("a%2bb+c"), b"a+b c");
        assert_eq!(read("%c3%A4"), "ä".as_bytes());
        for literal in ["%", "%4", "%zz", "%+1", "100%"] {
            assert_eq!(read(literal), literal.replace('+', " ").as_bytes(), "{literal}");
        }
    }

    #[test]
    fn names_are_whole_or_begin() {
        let names = Names::new(&["page".to_owned(), "utm_*".to_owned()]);
        let holds = |name: &str| names.hold(name.bytes());
        assert!(holds("page") && holds("utm_") && holds("utm_source"));
        assert!(!holds("pages") && !holds("pag") && !holds("utm") && !holds("") && !holds("Page"));
        assert!(!Names::new(&[]).hold(b"a".iter().copied()));
    }

    #[test]
    fn a_star_alone_holds_all() {
        let all = Names::new(&["*".to_owned()]);
        assert!(
            all.hold(b"a".iter().copied())
                && all.hold(b"\xff".iter().copied())
                && all.hold(b"".iter().copied())
        );
    }
}
