//! What the edge tells about itself: counters, the record of each request, the access log. The data threads only
//! count and push bytes into a ring; everything that formats, writes or waits is on the drain thread. Decides
//! nothing and never holds up a request.
//!
//! ```text
//! data thread: EdgeMetrics::record(&why)          plain adds, read by the scraper
//!              Recorder::record(&why, texts) ──ring──▶ drain thread ──▶ recent requests, access log
//! ```

mod cache;
mod certificates;
pub mod drain;
pub mod exposition;
pub mod histogram;
pub mod log;
pub mod metrics;
pub mod names;
pub mod observed;
pub mod record;
pub mod report;
pub mod rungs;
mod sink;
#[cfg(test)]
mod testing;

pub use certificates::Certificate;
pub use drain::Drain;
pub use histogram::Histogram;
pub use log::Names;
pub use metrics::EdgeMetrics;
pub use observed::{Observed, Recorder};
pub use record::{Record, Texts};
