//! A run as other tools read it: JUnit, JMeter's JTL, Prometheus, OpenTelemetry. Pure: values in, text out. Knows no
//! file and no network.

pub mod jtl;
pub mod junit;
pub mod otlp;
pub mod prometheus;
mod short;
