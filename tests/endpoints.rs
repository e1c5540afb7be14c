//! What happens between Tentpole and the endpoints of a pool: who gets a request, what is sent again and what never,
//! who waits, who is left out and who stays. One file below `endpoints/` for each of these.

#[path = "endpoints/adaptive.rs"]
mod adaptive;
#[path = "endpoints/again.rs"]
mod again;
#[path = "endpoints/begins.rs"]
mod begins;
#[path = "endpoints/failures.rs"]
mod failures;
#[path = "endpoints/health.rs"]
mod health;
#[path = "endpoints/idle.rs"]
mod idle;
#[path = "endpoints/limits.rs"]
mod limits;
#[path = "endpoints/moving.rs"]
mod moving;
#[path = "endpoints/outliers.rs"]
mod outliers;
#[path = "endpoints/ports.rs"]
mod ports;
#[path = "endpoints/responses.rs"]
mod responses;
#[path = "endpoints/sharing.rs"]
mod sharing;
#[path = "endpoints/sticky.rs"]
mod sticky;
#[path = "endpoints/upgrade.rs"]
mod upgrade;

use tentpole_testkit::{Ask, Origin, Response};

/// An origin that answers everything with its name, which nobody may store.
async fn named(name: &'static str) -> Origin {
    let origin = Origin::start().await;
    origin.otherwise(move |_| Response::ok(name).header("Cache-Control", "no-store"));
    origin
}

/// One request of each kind that is treated differently: led through the cache, past it, with and without a body.
fn every_kind(target: &str) -> Vec<Ask> {
    vec![
        Ask::get(target),
        Ask::head(target),
        Ask::new("OPTIONS", target),
        Ask::new("DELETE", target),
        Ask::post(target, "a=1"),
        Ask::new("PUT", target).chunked(["one", "two"]),
    ]
}
