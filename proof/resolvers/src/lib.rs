//! A population of resolvers: whom virtual users ask where a name leads, with caches, sizes and habits of their own, so that
//! a fault of the name service shows in a load test as it shows at a site. The names are really asked for. Everything but
//! asking is pure, so that what must come out can be computed. Sends no load.

mod ask;
mod cache;
mod policy;
mod population;
mod resolvers;
pub mod simulate;
mod sizes;
mod spread;
mod system;
mod trouble;
mod wire;

pub use cache::{Cache, TTL_MAX};
pub use policy::{Mix, Policy};
pub use population::{Population, RESOLVERS_MAX, Settings};
pub use resolvers::{Led, Resolvers, first_look};
pub use sizes::Sizes;
pub use spread::{Counted, Counts, EDGES_MAX, Edge, Spread, SpreadSecond};
pub use system::{PORT, server, system_servers};
pub use trouble::Trouble;
