//! Host and path → site and route, and the canonical form of a path. Compiled once for each Snapshot; looking up
//! allocates nothing and takes no longer than the path is long, whatever a visitor sends. Knows nothing of queries,
//! methods or fields, and redirects nobody: it says what the canonical path is.

mod canonical;
mod error;
mod host;
mod paths;
mod pattern;
mod table;

pub use canonical::{BadPath, Changed, canonical_path};
pub use error::{CompileError, PatternFault};
pub use table::{Matched, Table};
