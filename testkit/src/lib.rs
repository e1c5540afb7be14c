//! What tests and benchmarks need around Tentpole: origins that behave or misbehave, visitors that check strictly
//! what comes back, and the harnesses built on them. Only tests and benches depend on it; nothing here is shipped.

pub mod address;
pub mod fast;
pub mod gate;
pub mod http;
pub mod isolation;
pub mod known;
pub mod names;
pub mod origin;
pub mod php;
pub mod process;
pub mod site;
pub mod visitor;

pub use gate::{Gate, Hold};
pub use isolation::{Isolation, Person, Purge, Report};
pub use known::Known;
pub use names::{Fault, NameServer, Record};
pub use origin::{Continue, Origin, Response, Seen, Step};
pub use process::{Tentpole, Up, binary};
pub use site::Site;
pub use visitor::{Answer, Ask, End, Trouble, Visitor};
