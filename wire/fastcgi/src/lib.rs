//! FastCGI 1.0 (Open Market, 1996) as a web server speaks it to an application such as php-fpm: a request's parameters
//! and content to records, records to a response's head and content (RFC 3875 section 6). Owns no socket, no clock and
//! no file. One request at a time on a connection, always number 1: php-fpm answers no others. Refuses what two readers
//! could read differently; never repairs it.
//!
//! What is understood or refused does not depend on how the bytes arrive: any split of the input gives the same.
//!
//! In this order: [`ScriptRules::find`] says which script a path means, [`Params`] what it is told, [`write_begin`],
//! [`write_params`] and [`write_stdin`] make records of it, and [`Decoder`] reads what comes back.

mod fault;
mod head;
mod param;
mod read;
mod record;
mod script;
mod write;

pub use fault::Fault;
pub use head::Limits;
pub use param::{Asked, PARAMS_BYTES_MAX, Params, ParamsTooLarge};
pub use read::{Decoded, Decoder};
pub use script::{BadScript, Found, Script, ScriptRules, has_plain_folders};
pub use write::{CONTENT_BYTES_MAX, stdin_start, write_begin, write_params, write_stdin, write_stdin_end};
