//! What happens to requests that cannot be served at once: who comes first, who is sent away and what he is told, and who has
//! left. One application with few places, visitors on connections of their own.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

#[path = "ladder/abandoned.rs"]
mod abandoned;
#[path = "ladder/answers.rs"]
mod answers;
#[path = "ladder/guard.rs"]
mod guard;
#[path = "ladder/ranks.rs"]
mod ranks;

use tentpole_testkit::{Ask, Hold, Origin, Response, Tentpole, Up, Visitor};
use tentpole_tests::{pool_of, until};

/// An application that serves one request at a time, and what it has in hand.
struct Busy {
    origin: Origin,
    tentpole: Tentpole,
    held: Hold,
    _first: Visitor,
}

impl Busy {
    /// One request is at the application; all others queue.
    async fn starts(queue: &str, rest: &str) -> Self {
        let origin = Origin::start().await;
        origin.otherwise(|_| Response::ok("here").header("Cache-Control", "private, no-store"));
        let config = pool_of(&[&origin], "requests_max = 1", &format!("queue = {{ {queue} }}\n{rest}"));
        let tentpole = Up::config(&config).start().await;
        let held = origin.holds("/*");
        let mut first = tentpole.visitor().await;
        first.send(Ask::get("/first").bytes("h")).await;
        held.until_waiting(1).await;
        Self { origin, tentpole, held, _first: first }
    }

    /// Somebody who waits from now on.
    async fn waits(&self, ask: &Ask, waiting: u64) -> Visitor {
        let mut visitor = self.tentpole.visitor().await;
        visitor.send(ask.bytes("h")).await;
        self.until_waiting(waiting).await;
        visitor
    }

    async fn until_waiting(&self, waiting: u64) {
        until(&format!("{waiting} to wait"), async || queued(&self.tentpole).await == waiting).await;
    }

    /// Everything that the application was asked for, in order.
    fn order(&self) -> Vec<String> {
        self.origin.requests().into_iter().map(|seen| seen.target).collect()
    }
}

/// Requests that wait in the pool `app`.
async fn queued(tentpole: &Tentpole) -> u64 {
    let status = tentpole.admin_visitor().await.get("/api/live").await.expect(200);
    let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    let pools = status["pools"].as_array().unwrap();
    pools.iter().find(|pool| pool["name"] == "app").unwrap()["queued"].as_u64().unwrap_or(0)
}
