//! Dictionaries of structured fields (RFC 9651 section 4.2.2), as far as somebody here needs them: items that are
//! neither boolean nor string are read and forgotten. What breaks the grammar anywhere is nothing at all.

/// One item, its parameters left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Boolean(bool),
    String(Vec<u8>),
    /// A number, token, byte sequence, date or display string.
    Other,
}

/// What a key of a dictionary has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    Item(Item),
    List(Vec<Item>),
}

/// Reads a dictionary; of a key that comes twice the last counts.
pub(crate) fn dictionary(text: &[u8]) -> Option<Vec<(&[u8], Member)>> {
    let mut input = Input(text.trim_ascii_start());
    let mut members: Vec<(&[u8], Member)> = Vec::new();
    while !input.0.is_empty() {
        let key = input.key()?;
        let member = match input.take(b'=') {
            true => input.member()?,
            false => {
                input.parameters()?;
                Member::Item(Item::Boolean(true))
            }
        };
        members.retain(|(earlier, _)| *earlier != key);
        members.push((key, member));
        input.skip(b" \t");
        if input.0.is_empty() {
            break;
        }
        input.expect(b',')?;
        input.skip(b" \t");
        input.0.first()?;
    }
    Some(members)
}

/// What is left to read. Each reading takes what it understood, or is the end of it.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn member(&mut self) -> Option<Member> {
        if !self.take(b'(') {
            return self.item().map(Member::Item);
        }
        let mut items = Vec::new();
        loop {
            self.skip(b" ");
            if self.take(b')') {
                self.parameters()?;
                return Some(Member::List(items));
            }
            items.push(self.item()?);
            if !matches!(self.0.first()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn item(&mut self) -> Option<Item> {
        let item = self.bare_item()?;
        self.parameters()?;
        Some(item)
    }

    fn bare_item(&mut self) -> Option<Item> {
        match self.0.first()? {
            b'"' => self.string().map(Item::String),
            b'?' => {
                self.expect(b'?')?;
                match self.next()? {
                    b'0' => Some(Item::Boolean(false)),
                    b'1' => Some(Item::Boolean(true)),
                    _ => None,
                }
            }
            b'-' | b'0'..=b'9' => self.number(true),
            b'@' => {
                self.expect(b'@')?;
                self.number(false)
            }
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.run(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
                Some(Item::Other)
            }
            b':' => {
                self.expect(b':')?;
                self.run(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                self.expect(b':').map(|()| Item::Other)
            }
            b'%' => {
                self.expect(b'%')?;
                self.expect(b'"')?;
                self.run(|byte| (b' '..=b'~').contains(&byte) && byte != b'"');
                self.expect(b'"').map(|()| Item::Other)
            }
            _ => None,
        }
    }

    /// Section 4.2.5: printable ASCII; a backslash before a quotation mark or a backslash.
    fn string(&mut self) -> Option<Vec<u8>> {
        self.expect(b'"')?;
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(text),
                b'\\' => match self.next()? {
                    escaped @ (b'"' | b'\\') => text.push(escaped),
                    _ => return None,
                },
                byte @ b' '..=b'~' => text.push(byte),
                _ => return None,
            }
        }
    }

    /// Section 4.2.4: 15 digits, or 12 before a point and 3 behind it.
    fn number(&mut self, may_be_decimal: bool) -> Option<Item> {
        self.take(b'-');
        let whole = self.run(|byte| byte.is_ascii_digit());
        let is_decimal = self.take(b'.');
        let fits = if is_decimal {
            let fraction = self.run(|byte| byte.is_ascii_digit());
            may_be_decimal && (1..=12).contains(&whole) && (1..=3).contains(&fraction)
        } else {
            (1..=15).contains(&whole)
        };
        fits.then_some(Item::Other)
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip(b" ");
            self.key()?;
            if self.take(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let all = self.0;
        if !matches!(all.first()?, b'a'..=b'z' | b'*') {
            return None;
        }
        let length = self.run(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9') || b"_-.*".contains(&byte));
        Some(&all[..length])
    }

    /// Passes over the bytes that belong to it; returns how many.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> usize {
        let length = self.0.iter().position(|&byte| !belongs(byte)).unwrap_or(self.0.len());
        self.0 = &self.0[length..];
        length
    }

    fn skip(&mut self, bytes: &[u8]) {
        self.run(|byte| bytes.contains(&byte));
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.0.first() == Some(&wanted);
        self.0 = &self.0[usize::from(found)..];
        found
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.take(wanted).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<(&str, Member)>> {
        let members = dictionary(text.as_bytes())?;
        Some(members.into_iter().map(|(key, member)| (std::str::from_utf8(key).unwrap(), member)).collect())
    }

    fn string(text: &str) -> Item {
        Item::String(text.as_bytes().to_vec())
    }

    const TRUE: Member = Member::Item(Item::Boolean(true));

    #[test]
    fn members_are_booleans_strings_and_lists_of_them() {
        assert_eq!(read(""), Some(vec![]));
        assert_eq!(read("  key-order "), Some(vec![("key-order", TRUE)]));
        assert_eq!(
            read("a=?0,\tb;x=1;y, c=?1"),
            Some(vec![("a", Member::Item(Item::Boolean(false))), ("b", TRUE), ("c", TRUE),])
        );
        assert_eq!(
            read(r#"params=("a" "b\"c\\" );p="x""#),
            Some(vec![("params", Member::List(vec![string("a"), string(r#"b"c\"#)]))])
        );
        assert_eq!(read("a=(), a"), Some(vec![("a", TRUE)]), "the last counts");
    }

    #[test]
    fn other_items_are_passed_over() {
        let others = r#"a=-12, b=1.5, c=to/ken:*, d=:aGk=:, e=@1659578233, f=%"f%c3%bc", g=(1 x "y")"#;
        let members = read(others).unwrap();
        assert!(members[..6].iter().all(|(_, member)| *member == Member::Item(Item::Other)), "{members:?}");
        assert_eq!(members[6].1, Member::List(vec![Item::Other, Item::Other, string("y")]));
    }

    #[test]
    fn what_breaks_the_grammar_is_nothing() {
        for text in [
            "a,",
            ",a",
            "A",
            "a=",
            "a=(",
            "a=(\"x\"\"y\")",
            "a=(\"x\",\"y\")",
            "a=\"x",
            "a=\"\\x\"",
            "a=?2",
            "a b",
            "a=1.",
            "a=1.2345",
            "a=-",
            "a=1234567890123456",
            "a=:x",
            "a=(\"x\"",
            "a=\"ä\"",
            "a;=1",
            "a;B",
            "a=@1.5",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
