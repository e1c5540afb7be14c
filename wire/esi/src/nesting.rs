//! Which elements are open, and what each shows: makes a [`Plan`] of text and tags as they come. Reads no bytes.

use crate::error::{EsiError, Fault};
use crate::plan::{Include, Piece, Plan};
use crate::tag::{Address, Kind, Tag};
use crate::{DEPTH_MAX, INCLUDES_MAX, PIECES_MAX};
use std::ops::Range;

/// What is known of a page so far.
#[derive(Debug, Default)]
pub(crate) struct Nesting {
    /// The page's own pieces; those of open elements are with them.
    pieces: Vec<Piece>,
    open: Vec<Open>,
    /// Pieces and includes so far, on all levels.
    count: usize,
    includes: usize,
    /// Something was left out or put in.
    is_changed: bool,
}

/// An element that has begun.
#[derive(Debug)]
struct Open {
    element: Element,
    /// Where its tag begins.
    at: u64,
    pieces: Vec<Piece>,
    /// Of a `try`: what its parts hold.
    attempt: Vec<Piece>,
    except: Vec<Piece>,
}

/// Elements with content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Remove,
    Try,
    Attempt,
    Except,
    Choose,
    When,
    Otherwise,
    Inline,
}

impl Nesting {
    /// Text of the page.
    pub(crate) fn text(&mut self, range: Range<u64>) -> Result<(), EsiError> {
        if range.is_empty() {
            return Ok(());
        }
        if self.is_hidden() {
            return Ok(());
        }
        // Between two calls nothing was left out: one piece.
        if let Some(Piece::Text(last)) = self.shown().last_mut()
            && last.end == range.start
        {
            last.end = range.end;
            return Ok(());
        }
        let at = range.start;
        self.push(Piece::Text(range), at)
    }

    /// Something of the page was left out.
    pub(crate) fn left_out(&mut self) {
        self.is_changed = true;
    }

    /// A tag of the name space, which begins at `at`.
    pub(crate) fn tag(&mut self, tag: Tag<'_>, at: u64) -> Result<(), EsiError> {
        self.is_changed = true;
        if tag.name == b"include" && tag.kind != Kind::Closing {
            return self.include(tag, at);
        }
        let Some(element) = Element::named(tag.name) else { return Ok(()) };
        match tag.kind {
            Kind::Empty => Ok(()),
            // A part of nothing: only its tags are left out.
            Kind::Opening if element.whole().is_some_and(|whole| self.innermost() != Some(whole)) => Ok(()),
            Kind::Opening if self.open.len() >= DEPTH_MAX => Err(EsiError { fault: Fault::TooDeep, at }),
            Kind::Opening => {
                let (pieces, attempt, except) = Default::default();
                self.open.push(Open { element, at, pieces, attempt, except });
                Ok(())
            }
            Kind::Closing => self.close(element, at),
        }
    }

    /// The page has ended.
    pub(crate) fn finish(self) -> Result<Plan, EsiError> {
        if let Some(open) = self.open.last() {
            return Err(EsiError { fault: Fault::Unclosed, at: open.at });
        }
        let is_plain = !self.is_changed;
        Ok(Plan { pieces: self.pieces.into(), includes: self.includes, is_plain })
    }

    fn include(&mut self, tag: Tag<'_>, at: u64) -> Result<(), EsiError> {
        if self.is_hidden() {
            return Ok(());
        }
        let too_long = EsiError { fault: Fault::AddressTooLong, at };
        let src = match tag.address(b"src") {
            Address::Is(src) => src,
            Address::None => Box::default(),
            Address::TooLong => return Err(too_long),
        };
        let alt = match tag.address(b"alt") {
            Address::Is(alt) => Some(alt),
            Address::None => None,
            Address::TooLong => return Err(too_long),
        };
        self.includes += 1 + usize::from(alt.is_some());
        if self.includes > INCLUDES_MAX {
            return Err(EsiError { fault: Fault::TooManyIncludes, at });
        }
        let may_fail = tag.attribute(b"onerror") == Some(b"continue");
        self.push(Piece::Include(Box::new(Include { src, alt, may_fail })), at)
    }

    fn close(&mut self, element: Element, at: u64) -> Result<(), EsiError> {
        if !self.open.iter().any(|open| open.element == element) {
            // It closes nothing: a slip that changes nothing else.
            return Ok(());
        }
        let Some(closed) = self.open.pop_if(|open| open.element == element) else {
            return Err(EsiError { fault: Fault::Crossed, at });
        };
        match element {
            // Several are one after the other: the specification allows one.
            Element::Attempt => self.in_try(|around| around.attempt.extend(closed.pieces)),
            Element::Except => self.in_try(|around| around.except.extend(closed.pieces)),
            Element::Try if !self.is_hidden() => {
                let (attempt, except) = (closed.attempt.into(), closed.except.into());
                return self.push(Piece::Try { attempt, except }, at);
            }
            Element::Otherwise => {
                // Its pieces take the place of the whole choice.
                if let Some(choose) = self.open.last_mut() {
                    choose.pieces.extend(closed.pieces);
                }
            }
            Element::Choose if !self.is_hidden() => self.shown().extend(closed.pieces),
            Element::Try | Element::Choose | Element::Remove | Element::When | Element::Inline => {}
        }
        Ok(())
    }

    fn innermost(&self) -> Option<Element> {
        self.open.last().map(|open| open.element)
    }

    fn in_try(&mut self, put: impl FnOnce(&mut Open)) {
        if let Some(around) = self.open.last_mut().filter(|open| open.element == Element::Try) {
            put(around);
        }
    }

    fn push(&mut self, piece: Piece, at: u64) -> Result<(), EsiError> {
        self.count += 1;
        if self.count > PIECES_MAX {
            return Err(EsiError { fault: Fault::TooManyPieces, at });
        }
        self.shown().push(piece);
        Ok(())
    }

    /// Where the next piece goes.
    fn shown(&mut self) -> &mut Vec<Piece> {
        self.open.last_mut().map_or(&mut self.pieces, |open| &mut open.pieces)
    }

    /// Whether what comes now is not part of the page.
    fn is_hidden(&self) -> bool {
        self.open.iter().enumerate().any(|(index, open)| match open.element {
            Element::Remove | Element::When | Element::Inline => true,
            // Between its parts.
            Element::Try | Element::Choose => index + 1 == self.open.len(),
            Element::Attempt | Element::Except | Element::Otherwise => false,
        })
    }
}

impl Element {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"remove" => Self::Remove,
            b"try" => Self::Try,
            b"attempt" => Self::Attempt,
            b"except" => Self::Except,
            b"choose" => Self::Choose,
            b"when" => Self::When,
            b"otherwise" => Self::Otherwise,
            b"inline" => Self::Inline,
            _ => return None,
        })
    }

    /// The element that it can only be a part of.
    fn whole(self) -> Option<Self> {
        match self {
            Self::Attempt | Self::Except => Some(Self::Try),
            Self::When | Self::Otherwise => Some(Self::Choose),
            Self::Remove | Self::Try | Self::Choose | Self::Inline => None,
        }
    }
}
