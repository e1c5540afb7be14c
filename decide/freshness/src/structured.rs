//! Reads dictionaries of Structured Field Values (RFC 9651 section 4.2.2), as targeted cache control uses them. To
//! the letter: what has one mistake is no dictionary. Keeps nothing, copies nothing.

use crate::digits;

/// What a member of a dictionary says. What no directive uses is only known to be well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// An Integer.
    Integer(i64),
    /// A Boolean; a member without a value is true.
    Boolean(bool),
    /// Anything else.
    Other,
}

/// The value is no dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

type Parsed<T> = Result<T, Malformed>;

/// Reads one field line and hands each member to `take`, in order; of a repeated one the last counts, which is for
/// `take` to see to. An empty line is an empty dictionary.
pub(crate) fn dictionary<'a>(line: &'a [u8], mut take: impl FnMut(&'a [u8], Value)) -> Parsed<()> {
    let mut reader = Reader { rest: line };
    reader.skip(|byte| byte == b' ');
    while !reader.rest.is_empty() {
        let name = reader.key()?;
        let value = if reader.eat(b'=') { reader.item_or_list()? } else { Value::Boolean(true) };
        reader.parameters()?;
        take(name, value);
        reader.skip(is_space);
        if reader.rest.is_empty() {
            return Ok(());
        }
        reader.expect(b',')?;
        reader.skip(is_space);
        if reader.rest.is_empty() {
            return Err(Malformed);
        }
    }
    Ok(())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn key(&mut self) -> Parsed<&'a [u8]> {
        if !self.rest.first().is_some_and(|&byte| byte.is_ascii_lowercase() || byte == b'*') {
            return Err(Malformed);
        }
        Ok(self.skip(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.' | b'*')
        }))
    }

    /// A bare item, or a list in parentheses whose items have parameters of their own.
    fn item_or_list(&mut self) -> Parsed<Value> {
        if !self.eat(b'(') {
            return self.bare_item();
        }
        loop {
            self.skip(|byte| byte == b' ');
            if self.eat(b')') {
                return Ok(Value::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.rest.first(), Some(b' ' | b')')) {
                return Err(Malformed);
            }
        }
    }

    fn parameters(&mut self) -> Parsed<()> {
        while self.eat(b';') {
            self.skip(|byte| byte == b' ');
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Ok(())
    }

    fn bare_item(&mut self) -> Parsed<Value> {
        match *self.rest.first().ok_or(Malformed)? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(|byte| matches!(byte, b' '..=b'~')),
            b':' => self.bytes(),
            b'?' => self.boolean(),
            b'@' => {
                self.expect(b'@')?;
                match self.number()? {
                    Value::Integer(_) => Ok(Value::Other),
                    _ => Err(Malformed),
                }
            }
            b'%' => {
                self.expect(b'%')?;
                self.display_string()
            }
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.skip(|byte| crate::is_token(byte) || matches!(byte, b':' | b'/'));
                Ok(Value::Other)
            }
            _ => Err(Malformed),
        }
    }

    /// An Integer of up to 15 digits, or a Decimal of up to 12 before the point and 3 behind it.
    fn number(&mut self) -> Parsed<Value> {
        let negative = self.eat(b'-');
        let whole = self.skip(|byte| byte.is_ascii_digit());
        if self.eat(b'.') {
            let fraction = self.skip(|byte| byte.is_ascii_digit());
            let fits = (1..=12).contains(&whole.len()) && (1..=3).contains(&fraction.len());
            return if fits { Ok(Value::Other) } else { Err(Malformed) };
        }
        if whole.len() > 15 {
            return Err(Malformed);
        }
        let number = digits(whole).and_then(|number| i64::try_from(number).ok()).ok_or(Malformed)?;
        Ok(Value::Integer(if negative { -number } else { number }))
    }

    fn string(&mut self, allowed: impl Fn(u8) -> bool) -> Parsed<Value> {
        self.expect(b'"')?;
        loop {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            match byte {
                b'"' => return Ok(Value::Other),
                b'\\' if !self.eat(b'"') => self.expect(b'\\')?,
                b'\\' => {}
                byte if allowed(byte) => {}
                _ => return Err(Malformed),
            }
        }
    }

    /// Percent-encoded UTF-8 in quotes; whether it is UTF-8 is of no interest here.
    fn display_string(&mut self) -> Parsed<Value> {
        self.expect(b'"')?;
        loop {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            match byte {
                b'"' => return Ok(Value::Other),
                b'%' => {
                    let (octet, rest) = self.rest.split_at_checked(2).ok_or(Malformed)?;
                    if !octet.iter().all(|&digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
                        return Err(Malformed);
                    }
                    self.rest = rest;
                }
                b' '..=b'~' => {}
                _ => return Err(Malformed),
            }
        }
    }

    fn bytes(&mut self) -> Parsed<Value> {
        self.expect(b':')?;
        self.skip(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        self.expect(b':')?;
        Ok(Value::Other)
    }

    fn boolean(&mut self) -> Parsed<Value> {
        self.expect(b'?')?;
        match self.eat(b'1') {
            true => Ok(Value::Boolean(true)),
            false => self.expect(b'0').map(|()| Value::Boolean(false)),
        }
    }

    fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.eat(byte) { Ok(()) } else { Err(Malformed) }
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !wanted(byte)).unwrap_or(self.rest.len());
        let (skipped, rest) = self.rest.split_at(end);
        self.rest = rest;
        skipped
    }
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Parsed<Vec<(String, Value)>> {
        let mut members = Vec::new();
        let take = |name: &[u8], value| members.push((String::from_utf8_lossy(name).into_owned(), value));
        dictionary(line.as_bytes(), take).map(|()| members)
    }

    #[test]
    fn members_have_integers_booleans_or_nothing() {
        let members = read("  max-age=60, no-store,\ta=-5 ,b=?0;x=1, *c.d_e=?1 ").unwrap();
        let expected = [
            ("max-age", Value::Integer(60)),
            ("no-store", Value::Boolean(true)),
            ("a", Value::Integer(-5)),
            ("b", Value::Boolean(false)),
            ("*c.d_e", Value::Boolean(true)),
        ];
        assert_eq!(members, expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(read(""), Ok(Vec::new()));
        assert_eq!(read("   "), Ok(Vec::new()));
    }

    #[test]
    fn every_type_is_passed_over_whole() {
        for value in [
            "1.5",
            "-123456789012.123",
            "\"a, b=\\\"c\\\" \\\\\"",
            "tok:en/*",
            "*a",
            ":aGVsbG8=:",
            "::",
            "@1659578233",
            "%\"f%c3%bc\"",
            "()",
            "( 1 )",
            "(\"a\";x \"b\"  tok;y=1.0)",
            "(1 2);z",
        ] {
            let line = format!("a={value}, max-age=7");
            let members = read(&line).unwrap_or_else(|_| panic!("{line}"));
            assert_eq!(
                members,
                [("a".to_owned(), Value::Other), ("max-age".to_owned(), Value::Integer(7))],
                "{line}"
            );
        }
    }

    #[test]
    fn one_mistake_spoils_the_whole() {
        for line in [
            ",",
            "a,",
            "a,,b",
            "a b",
            "a;",
            "a=",
            "a = 1",
            "a= 1",
            "A=1",
            "1=1",
            "a=-",
            "a=1.",
            "a=.5",
            "a=1.2345",
            "a=1234567890123.1",
            "a=1234567890123456",
            "a=\"",
            "a=\"\\a\"",
            "a=\"\u{e4}\"",
            "a='x'",
            "a=?2",
            "a=?",
            "a=:a",
            "a=:\u{e4}:",
            "a=@1.5",
            "a=%\"%C3\"",
            "a=%x",
            "a=(1",
            "a=(1,2)",
            "a=(1\"b\")",
            "\u{e4}",
        ] {
            assert_eq!(read(line), Err(Malformed), "{line}");
        }
    }
}
