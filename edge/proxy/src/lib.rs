//! The data plane put together. `visit.rs` and `fetch.rs` know the order in which things happen to a request;
//! everything else here is a step of theirs. Knows no configuration file and no control plane: they meet in
//! published values and in what is observed.

mod address;
mod answer;
mod asked;
mod assemble;
mod came;
mod confirm;
mod deliver;
mod edge;
mod exchange;
mod fetch;
mod fill;
mod forms;
mod forward;
mod fragment;
mod from_disk;
mod group;
mod head;
mod invalidate;
mod key;
mod learn;
mod lock;
mod obtain;
mod on_disk;
mod outbox;
mod page;
mod part;
mod place;
mod prepare;
mod purge;
mod purging;
mod search;
mod status;
mod stop;
mod stream;
mod tags;
mod template;
mod thread;
mod tunnel;
mod visit;

pub use edge::{Bound, Edge, EdgeParts, StartError};
pub use prepare::Prepared;
pub use tentpole_compress::Stats as CompressionStats;
pub use tentpole_learn::Limits as LearningLimits;
