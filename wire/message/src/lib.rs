//! What a message is once its bytes were understood: heads as ordered slices over one buffer, bodies that are
//! polled. Knows no protocol version's syntax and no socket.

mod body;
mod fields;
mod head;
mod name;
mod stored;

pub use body::{Body, BodyStream, Chunk};
pub use fields::{Field, Fields, tokens};
pub use head::{RequestHead, ResponseHead};
pub use name::Name;
pub use stored::StoredHead;
