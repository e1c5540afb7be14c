//! What the end-to-end tests beside this share: configurations, and what the admin API says of the endpoints. Starts
//! nothing and sleeps for nothing: what it waits for it looks at until it is there.

pub mod crowd;
pub mod https;
pub mod secure_crowd;
pub mod stock;
pub mod streams;
pub mod workers;

use std::time::Duration;

use serde_json::Value;
use tentpole_testkit::gate::PATIENCE;
use tentpole_testkit::{Answer, Ask, Origin, Tentpole};

/// How often something is looked at that cannot be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A configuration with one data thread and one pool `app` of these endpoints, and further lines of that pool.
pub fn pool(endpoints: &[&Origin], lines: &str) -> String {
    pool_of(endpoints, "", lines)
}

/// The same with settings of each endpoint, such as `requests_max = 2`.
pub fn pool_of(endpoints: &[&Origin], settings: &str, lines: &str) -> String {
    let comma = if settings.is_empty() { "" } else { ", " };
    let tables: Vec<_> = endpoints
        .iter()
        .map(|endpoint| format!("{{ url = \"{}\"{comma}{settings} }}", endpoint.url()))
        .collect();
    format!("threads = 1\n[pool.app]\nendpoints = [{}]\n{lines}\n", tables.join(", "))
}

/// What the admin API says of an endpoint of the pool `app`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointNow {
    /// `up`, `down` or `last_one`.
    pub health: String,
    /// Why it is not up.
    pub reason: Option<String>,
    /// What was seen, where it is not up.
    pub because: Option<String>,
    /// Its weight in force.
    pub weight: u64,
    /// Attempts made there so far.
    pub requests: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Open connections, idle ones included.
    pub open: u64,
}

/// The endpoint as it is now.
///
/// # Panics
/// When the admin API does not know it.
pub async fn endpoint(tentpole: &Tentpole, origin: &Origin) -> EndpointNow {
    let status = tentpole.admin_visitor().await.get("/api/status").await.expect(200);
    let status: Value = serde_json::from_slice(&status.body).expect("the status is JSON");
    let authority = origin.address().to_string();
    let pools = status["pools"].as_array().into_iter().flatten();
    let found = pools
        .filter(|pool| pool["name"] == "app")
        .flat_map(|pool| pool["endpoints"].as_array().into_iter().flatten())
        .find(|endpoint| endpoint["authority"] == authority.as_str());
    let found = found.unwrap_or_else(|| panic!("no endpoint {authority} in {status}"));
    let number = |name: &str| found[name].as_u64().unwrap_or_else(|| panic!("no {name} in {found}"));
    EndpointNow {
        health: found["health"].as_str().unwrap_or_default().to_owned(),
        reason: found["reason"].as_str().map(str::to_owned),
        because: found["detail"]["because"].as_str().map(str::to_owned),
        weight: number("weight"),
        requests: number("requests"),
        failures: number("failures"),
        in_flight: number("in_flight"),
        open: number("open"),
    }
}

/// Whether the edge itself gives the endpoint requests: what control has decided comes to it a moment later.
async fn takes_traffic(tentpole: &Tentpole, origin: &Origin) -> bool {
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
    let of = format!("tentpole_endpoint_takes_traffic{{pool=\"app\",endpoint=\"{}\"}} 1", origin.address());
    metrics.lines().any(|line| line == of)
}

/// Waits until the endpoint's health is this, and the edge knows it, and says how it is then.
///
/// # Panics
/// After [`PATIENCE`].
pub async fn until_health(tentpole: &Tentpole, origin: &Origin, health: &str) -> EndpointNow {
    let mut last = None;
    let looks = async {
        loop {
            let now = endpoint(tentpole, origin).await;
            if now.health == health && takes_traffic(tentpole, origin).await == (health != "down") {
                return now;
            }
            last = Some(now);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(PATIENCE, looks).await {
        Ok(now) => now,
        Err(_) => panic!("waited {PATIENCE:?} for health {health}; it is {last:?}"),
    }
}

/// Drains or resumes an endpoint through the admin API; `turn` is what comes after its name: `drain`, `resume`,
/// `drain?force=true`.
pub async fn turn(tentpole: &Tentpole, origin: &Origin, turn: &str) -> Answer {
    let path = format!("/api/pools/app/endpoints/{}/{turn}", origin.address());
    tentpole.admin_visitor().await.ask(&Ask::new("POST", &path).body("")).await
}

/// Looks until it is so.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for.
pub async fn until(what: &str, is_so: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, is_so).await;
}

/// Looks until it is so, for what may take longer than most things do.
///
/// # Panics
/// After `time`, with what was waited for.
pub async fn until_within(time: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looks = async {
        while !is_so().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    assert!(tokio::time::timeout(time, looks).await.is_ok(), "waited {time:?} for {what}");
}
