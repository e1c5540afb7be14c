//! Files beneath a directory: which of them a path means, and their content, read by threads of their own. Knows no
//! request, no response and no cache.
//!
//! In this order: [`Name::read`] says what a path may ask for at all, [`Rules`] what is never shown, [`find`] opens it
//! beneath the root, and a [`Body`] reads it piece by piece. Whatever may wait for a disk is given to [`Readers`].

mod body;
mod find;
mod kind;
mod name;
mod opened;
mod readers;
mod root;
mod rules;

pub use body::Body;
pub use find::{Found, find};
pub use kind::media_type;
pub use name::Name;
pub use opened::Opened;
pub use readers::{Asked, Readers, Seat};
pub use root::Root;
pub use rules::Rules;
