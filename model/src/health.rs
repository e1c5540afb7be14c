//! How a pool's endpoints are judged: the probes that ask them, what of their answers to visitors speaks against them,
//! and what a person is told of it.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Active probing of an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Only a connection is made, and nothing asked.
    pub connect_only: bool,
    /// Path that is asked.
    pub path: String,
    /// How it is asked.
    pub method: ProbeMethod,
    /// The host in the question; `None` is the endpoint's own name.
    pub host: Option<String>,
    /// The port that is asked; `None` is where visitors' requests go.
    pub port: Option<u16>,
    /// Fields that the question brings, besides [`crate::Pool::send`]: names and values, already checked.
    pub fields: Vec<(String, String)>,
    /// Statuses that pass: from and to, both included.
    pub statuses: Vec<(u16, u16)>,
    /// What the answer's content must hold, within its first [`PROBE_BODY_MAX`] bytes.
    pub body: Option<String>,
    /// Time between probes.
    pub interval: Duration,
    /// Time for one probe.
    pub timeout: Duration,
    /// Good probes in a row until an endpoint comes back.
    pub healthy_after: u32,
    /// Bad probes in a row until an endpoint goes.
    pub unhealthy_after: u32,
}

/// Bytes of an answer's content in which a probe looks for [`HealthCheck::body`].
pub const PROBE_BODY_MAX: usize = 64 << 10;

/// The method of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeMethod {
    /// GET
    Get,
    /// HEAD
    Head,
    /// OPTIONS
    Options,
}

/// What of an endpoint's answers to visitors takes it out, and how many may be out. Failures in a row are
/// [`crate::Pool::failures_max`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outliers {
    /// Responses with 500 and above in a row; `None` counts none.
    pub errors_max: Option<u32>,
    /// Percent of its requests that fail, while the others' are well below; `None` compares nothing.
    pub errors_percent: Option<u32>,
    /// How many times as long as the others it takes, in the median; `None` compares nothing.
    pub latency_factor: Option<u32>,
    /// How long one looks back when endpoints are compared.
    pub interval: Duration,
    /// Requests that an endpoint must have had in that time to be compared.
    pub requests_min: u32,
    /// Percent of a pool that may be out although it answers; one always may.
    pub eject_percent: u32,
    /// Below this percent of well endpoints all that can be reached get traffic; 0 never.
    pub panic_percent: u32,
    /// How long one is out the first time.
    pub out_min: Duration,
    /// How long at most, however often it goes out.
    pub out_max: Duration,
}

/// Why endpoints are out, for people: parallel to `Snapshot::pools` and `Pool::endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthDetails {
    /// For each pool, for each endpoint; `None` for one that is up.
    pub pools: Vec<Vec<Option<HealthDetail>>>,
}

/// Why an endpoint is not up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthDetail {
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// What was seen: `3 bad probes in a row, the last one: status 503`.
    pub because: String,
    /// When it may come back at the earliest, in milliseconds since 1970; `None` where that depends on probes alone.
    pub back_unix_ms: Option<u64>,
}

impl ProbeMethod {
    /// As it is written in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }
}

impl HealthCheck {
    /// Whether an answer with this status is a good one.
    pub fn passes(&self, status: u16) -> bool {
        self.statuses.iter().any(|&(from, to)| (from..=to).contains(&status))
    }
}

/// GET of `/health` every 2 s.
impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            connect_only: false,
            path: "/health".to_owned(),
            method: ProbeMethod::Get,
            host: None,
            port: None,
            fields: Vec::new(),
            statuses: vec![(200, 399)],
            body: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }
}

impl Default for Outliers {
    fn default() -> Self {
        Self {
            // An application's own errors are no illness when all endpoints have them: they are compared, not counted.
            errors_max: None,
            errors_percent: Some(50),
            latency_factor: Some(5),
            interval: Duration::from_secs(10),
            requests_min: 50,
            // Of two, one may go, of three one: the rest can carry it.
            eject_percent: 50,
            // Envoy's 50 % is made for large clusters; of three endpoints of which two fail it would send most
            // requests where they were just seen to fail.
            panic_percent: 30,
            out_min: Duration::from_secs(1),
            out_max: Duration::from_secs(30),
        }
    }
}
