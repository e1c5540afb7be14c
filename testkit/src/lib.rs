//! What tests and benchmarks need around Tentpole: origins that behave or misbehave, visitors that check strictly
//! what comes back, and the harnesses built on them. Only tests and benches depend on it; nothing here is shipped.

pub mod fast;
pub mod http;
