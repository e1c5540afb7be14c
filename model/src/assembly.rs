//! What a page was put together of (ESI), and why it was not: words and counts, no page.

use crate::labels::labels;

/// What a page was put together of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assembly {
    /// Fragments that were asked for, those in fragments counted.
    pub fragments: u16,
    /// Those of them that were left out, or in whose place something else was put.
    pub failed: u16,
    /// The first reason.
    pub fault: Option<AssemblyFault>,
}

/// Why a page was not put together, or a fragment left out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AssemblyFault {
    /// The page has more includes than allowed.
    TooManyIncludes,
    /// Too many elements of the page stand inside one another.
    TooDeep,
    /// An address in the page is longer than allowed.
    AddressTooLong,
    /// A tag of the page is longer than allowed.
    TagTooLong,
    /// The page is cut into more pieces than allowed.
    TooManyPieces,
    /// Something in the page begins and does not end.
    Unclosed,
    /// An element of the page ends while one in it is open.
    Crossed,
    /// The page is larger than one that is put together.
    PageTooLarge,
    /// The page is compressed, though it was asked for as it is.
    PageEncoded,
    /// The include has no address that could be asked for.
    NoAddress,
    /// No site of ours serves the fragment's host.
    ForeignHost,
    /// The fragment includes itself.
    Loop,
    /// Fragments in fragments, deeper than allowed.
    TooManyLevels,
    /// More fragments than one page may have.
    TooManyFragments,
    /// The edge itself refused to ask for the fragment.
    Refused,
    /// The fragment's endpoint failed.
    Failed,
    /// The fragment's status is not 200.
    Status,
    /// The fragment is compressed, though it was asked for as it is.
    FragmentEncoded,
}

labels!(AssemblyFault {
    TooManyIncludes = "too_many_includes",
    TooDeep = "too_deep",
    AddressTooLong = "address_too_long",
    TagTooLong = "tag_too_long",
    TooManyPieces = "too_many_pieces",
    Unclosed = "unclosed",
    Crossed = "crossed",
    PageTooLarge = "page_too_large",
    PageEncoded = "page_encoded",
    NoAddress = "no_address",
    ForeignHost = "foreign_host",
    Loop = "loop",
    TooManyLevels = "too_many_levels",
    TooManyFragments = "too_many_fragments",
    Refused = "refused",
    Failed = "failed",
    Status = "status",
    FragmentEncoded = "fragment_encoded",
});
