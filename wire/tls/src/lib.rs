//! TLS as bytes: a session between what goes over a connection and what it means, for either side, and the certificates
//! that a server answers with. Reads the files of certificates when it is told to; knows no socket and no request.

mod certificates;
mod client;
mod directory;
mod fault;
mod local;
mod names;
mod pair;
mod roots;
mod session;
mod tickets;
mod trouble;
mod verifier;
mod x509;

pub use certificates::{Certificates, Source};
pub use client::{Client, Offer};
pub use local::{LOCAL_CHAIN, LOCAL_KEY, is_local};
pub use session::{client, server};
pub use trouble::{Trouble, What};
