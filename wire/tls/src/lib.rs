//! TLS as bytes: a session between what goes over a connection and what it means, for either side, and the certificates
//! that a server answers with. Reads the files of certificates when it is told to; knows no socket and no request.

mod certificates;
mod directory;
mod fault;
mod local;
mod names;
mod pair;
mod session;
mod trouble;
mod x509;

pub use certificates::{Certificates, Source};
pub use local::{LOCAL_CHAIN, LOCAL_KEY, is_local};
pub use session::{client, server};
pub use trouble::{Trouble, What};
