//! Finds tags in a page that comes in pieces, however they are cut. Copies nothing but tags; each byte is looked at
//! once.

use crate::TAG_BYTES_MAX;
use crate::error::{EsiError, Fault};
use crate::nesting::Nesting;
use crate::plan::Plan;
use crate::tag::Tag;

/// Reads a page piece by piece.
#[derive(Debug, Default)]
pub struct Parser {
    nesting: Nesting,
    state: State,
    /// Offset of the next byte.
    at: u64,
    /// From where on text was not handed over yet.
    text_from: u64,
    /// The tag at hand, from its `<` on.
    tag: Vec<u8>,
    /// Where the tag at hand begins.
    tag_at: u64,
    /// Where `<!--esi` began, until its `-->`.
    hidden_from_browsers: Option<u64>,
    /// How many of the last bytes of text are the beginning of `-->`.
    dashes: u8,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// What begins with `<` and is not understood yet.
    Opening,
    /// A tag of the name space; the quote that is open in it.
    Tag { quote: Option<u8> },
    /// Text until this end, of which so many bytes were there.
    Opaque { end: &'static [u8; 3], matched: u8 },
}

/// What may begin with a `<`. Of `<!--` it is known only after it that it is a comment.
const OPENINGS: [(&[u8], Opens); 4] = [
    (b"<esi:", Opens::Tag),
    (b"</esi:", Opens::Tag),
    (b"<!--esi", Opens::Hidden),
    (b"<![CDATA[", Opens::Opaque(b"]]>")),
];

#[derive(Clone, Copy, Debug)]
enum Opens {
    Tag,
    /// Hidden from browsers that get the page unassembled: what is in it counts.
    Hidden,
    Opaque(&'static [u8; 3]),
}

/// Reads a page that is at hand in one piece.
///
/// # Errors
/// When the page cannot be understood or is beyond a limit.
pub fn parse(page: &[u8]) -> Result<Plan, EsiError> {
    let mut parser = Parser::new();
    parser.feed(page)?;
    parser.finish()
}

impl Parser {
    /// At the beginning of a page.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next bytes of the page.
    ///
    /// # Errors
    /// When a limit is passed. The parser must not be used any more then.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), EsiError> {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Text => self.text(bytes)?,
                State::Opening => self.opening(bytes)?,
                State::Tag { quote } => self.inside_tag(bytes, quote)?,
                State::Opaque { end, matched } => self.opaque(bytes, end, matched),
            };
            self.at += used as u64;
            bytes = &bytes[used..];
        }
        Ok(())
    }

    /// The page's pieces, once all of it was fed.
    ///
    /// # Errors
    /// When something in it does not end.
    pub fn finish(mut self) -> Result<Plan, EsiError> {
        if matches!(self.state, State::Tag { .. }) {
            return Err(EsiError { fault: Fault::Unclosed, at: self.tag_at });
        }
        if let Some(at) = self.hidden_from_browsers {
            return Err(EsiError { fault: Fault::Unclosed, at });
        }
        // A comment that does not end, or the beginning of one, is text as any other.
        self.hand_over_text(self.at)?;
        self.nesting.finish()
    }

    /// Looks for the next `<`, and for the end of `<!--esi`. Each of these functions returns the bytes it has used.
    fn text(&mut self, bytes: &[u8]) -> Result<usize, EsiError> {
        if self.hidden_from_browsers.is_some() {
            return self.text_until_dashes(bytes);
        }
        let Some(found) = memchr::memchr(b'<', bytes) else { return Ok(bytes.len()) };
        self.begin_opening(found);
        Ok(found)
    }

    fn text_until_dashes(&mut self, bytes: &[u8]) -> Result<usize, EsiError> {
        for (index, &byte) in bytes.iter().enumerate() {
            match (byte, self.dashes) {
                (b'<', _) => {
                    self.begin_opening(index);
                    return Ok(index);
                }
                (b'>', 2) => {
                    let behind = self.at + index as u64 + 1;
                    self.leave_out(behind - 3, behind)?;
                    (self.hidden_from_browsers, self.dashes) = (None, 0);
                    return Ok(index + 1);
                }
                (b'-', seen) => self.dashes = (seen + 1).min(2),
                _ => self.dashes = 0,
            }
        }
        Ok(bytes.len())
    }

    fn begin_opening(&mut self, index: usize) {
        self.tag_at = self.at + index as u64;
        self.tag.clear();
        self.dashes = 0;
        self.state = State::Opening;
    }

    /// Finds out what begins with `<`.
    fn opening(&mut self, bytes: &[u8]) -> Result<usize, EsiError> {
        for (index, &byte) in bytes.iter().enumerate() {
            self.tag.push(byte);
            let so_far = self.tag.as_slice();
            if OPENINGS.iter().any(|(text, _)| text.len() > so_far.len() && text.starts_with(so_far)) {
                continue;
            }
            if let Some(&(_, opens)) = OPENINGS.iter().find(|(text, _)| *text == so_far) {
                self.enter(opens, self.at + index as u64 + 1)?;
                return Ok(index + 1);
            }
            // This byte is none of it: it is looked at again as whatever it then belongs to.
            self.tag.pop();
            self.state = match self.tag.strip_prefix(b"<!--") {
                // HTML ends a comment at `<!-->` too.
                Some(b"") => State::Opaque { end: b"-->", matched: 2 },
                Some(_) => State::Opaque { end: b"-->", matched: 0 },
                None => State::Text,
            };
            return Ok(index);
        }
        Ok(bytes.len())
    }

    fn enter(&mut self, opens: Opens, behind: u64) -> Result<(), EsiError> {
        self.state = match opens {
            Opens::Tag => State::Tag { quote: None },
            Opens::Opaque(end) => State::Opaque { end, matched: 0 },
            Opens::Hidden => {
                self.leave_out(self.tag_at, behind)?;
                self.hidden_from_browsers.get_or_insert(self.tag_at);
                State::Text
            }
        };
        Ok(())
    }

    /// Reads a tag to its end; a `>` in quotes is none.
    fn inside_tag(&mut self, bytes: &[u8], mut quote: Option<u8>) -> Result<usize, EsiError> {
        for (index, &byte) in bytes.iter().enumerate() {
            match (byte, quote) {
                (b'>', None) => {
                    self.leave_out(self.tag_at, self.at + index as u64 + 1)?;
                    self.state = State::Text;
                    self.nesting.tag(Tag::read(&self.tag[1..]), self.tag_at)?;
                    return Ok(index + 1);
                }
                (b'"' | b'\'', None) if self.tag.trim_ascii_end().ends_with(b"=") => quote = Some(byte),
                (_, Some(open)) if byte == open => quote = None,
                _ => {}
            }
            if self.tag.len() >= TAG_BYTES_MAX {
                return Err(EsiError { fault: Fault::TagTooLong, at: self.tag_at });
            }
            self.tag.push(byte);
        }
        self.state = State::Tag { quote };
        Ok(bytes.len())
    }

    /// Passes over what is not looked into.
    fn opaque(&mut self, bytes: &[u8], end: &'static [u8; 3], mut matched: u8) -> usize {
        // Both ends are a byte twice and `>`.
        let [twice, _, last] = *end;
        for (index, &byte) in bytes.iter().enumerate() {
            if byte == last && matched == 2 {
                self.state = State::Text;
                return index + 1;
            }
            matched = if byte == twice { (matched + 1).min(2) } else { 0 };
        }
        self.state = State::Opaque { end, matched };
        bytes.len()
    }

    /// Hands over the text before `from`, and goes on behind `to`.
    fn leave_out(&mut self, from: u64, to: u64) -> Result<(), EsiError> {
        self.hand_over_text(from)?;
        self.text_from = to;
        self.nesting.left_out();
        Ok(())
    }

    fn hand_over_text(&mut self, until: u64) -> Result<(), EsiError> {
        let range = self.text_from..until;
        self.text_from = until;
        self.nesting.text(range)
    }
}
