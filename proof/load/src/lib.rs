//! Load that can be believed: virtual users over real connections, load times from the moment a visitor wanted to
//! ask, and a verdict. Never judges its own lateness as the server's, never drops a failure. Knows no report page.

pub mod result;

pub use result::Run;
