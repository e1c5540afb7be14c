//! Why a page cannot be put together, and where in it. Says nothing about what its visitors get.

use std::fmt;

/// Why a page cannot be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EsiError {
    /// What is wrong.
    pub fault: Fault,
    /// Where: the byte of the page at which the tag begins, from 0.
    pub at: u64,
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// More than [`INCLUDES_MAX`](crate::INCLUDES_MAX) includes.
    TooManyIncludes,
    /// More than [`DEPTH_MAX`](crate::DEPTH_MAX) elements open at once.
    TooDeep,
    /// An address longer than [`ADDRESS_BYTES_MAX`](crate::ADDRESS_BYTES_MAX).
    AddressTooLong,
    /// A tag longer than [`TAG_BYTES_MAX`](crate::TAG_BYTES_MAX): most often one that does not end.
    TagTooLong,
    /// More than [`PIECES_MAX`](crate::PIECES_MAX) pieces.
    TooManyPieces,
    /// What begins here does not end.
    Unclosed,
    /// It ends an element while one inside of that is still open.
    Crossed,
}

impl Fault {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::TooManyIncludes,
        Self::TooDeep,
        Self::AddressTooLong,
        Self::TagTooLong,
        Self::TooManyPieces,
        Self::Unclosed,
        Self::Crossed,
    ];

    /// The word that log and header use.
    pub fn label(self) -> &'static str {
        match self {
            Self::TooManyIncludes => "esi_too_many_includes",
            Self::TooDeep => "esi_too_deep",
            Self::AddressTooLong => "esi_address_too_long",
            Self::TagTooLong => "esi_tag_too_long",
            Self::TooManyPieces => "esi_too_many_pieces",
            Self::Unclosed => "esi_unclosed",
            Self::Crossed => "esi_crossed",
        }
    }
}

impl fmt::Display for EsiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::{ADDRESS_BYTES_MAX, DEPTH_MAX, INCLUDES_MAX, PIECES_MAX, TAG_BYTES_MAX};
        let at = self.at;
        match self.fault {
            Fault::TooManyIncludes => write!(f, "more than {INCLUDES_MAX} includes, from byte {at} on"),
            Fault::TooDeep => write!(f, "more than {DEPTH_MAX} elements inside one another at byte {at}"),
            Fault::AddressTooLong => {
                write!(f, "an address longer than {ADDRESS_BYTES_MAX} bytes at byte {at}")
            }
            Fault::TagTooLong => write!(f, "a tag longer than {TAG_BYTES_MAX} bytes at byte {at}"),
            Fault::TooManyPieces => write!(f, "more than {PIECES_MAX} pieces, from byte {at} on"),
            Fault::Unclosed => write!(f, "what begins at byte {at} does not end"),
            Fault::Crossed => write!(f, "the tag at byte {at} ends an element while one in it is still open"),
        }
    }
}

impl std::error::Error for EsiError {}
