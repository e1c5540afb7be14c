//! ESI language specification 1.0 (W3C note, 4 August 2001): finds in a page the places where other responses belong.
//! Pure: takes bytes, gives pieces; fetches nothing, and puts nothing together.
//!
//! What is understood: `include` (`src`, `alt`, `onerror="continue"`), `remove`, `try` with `attempt` and `except`,
//! `comment`, and `<!--esi … -->`. What shops send beside the letter of the specification is taken as they mean it:
//! attributes in single quotes or in none, elements closed either way, entities in addresses.
//!
//! What is not:
//! - `choose`: no condition is evaluated, none holds; of it only `otherwise` is shown. An unknown visitor gets the
//!   default, never what was meant for some only.
//! - `inline` is left out with its content.
//! - Of every other element of the name space (`vars` too) the tags are left out, and what stands between them is kept.
//!   Variables are not replaced.
//! - Ordinary comments and CDATA sections are opaque: an include that somebody commented out is not fetched.
//!
//! A page that cannot be understood, or is beyond a limit, is an [`EsiError`] that says where and why: half of it put
//! together would be worse than none.

mod error;
mod nesting;
mod parser;
mod plan;
mod tag;

pub use error::{EsiError, Fault};
pub use parser::{Parser, parse};
pub use plan::{Include, Piece, Plan};

/// Includes in one page, alternatives and those in `try` counted.
pub const INCLUDES_MAX: usize = 256;
/// Elements open at once.
pub const DEPTH_MAX: usize = 8;
/// Bytes of one address, entities replaced.
pub const ADDRESS_BYTES_MAX: usize = 4_096;
/// Bytes of one tag.
pub const TAG_BYTES_MAX: usize = 16 * 1024;
/// Pieces of one page: comments and removed parts cut the text too.
pub const PIECES_MAX: usize = 4_096;
