//! What `tentpole up` serves when nothing else is named: the shop, started by this same program, as a fleet that scales
//! itself.

use crate::say;
use std::process::ExitCode;
use std::time::Duration;
use tentpole_config::{Flags, Loaded, Report};
use tentpole_model::Launch;

/// The name of pool and fleet.
const POOL: &str = "shop";
/// Instances at most, unless `--max` says otherwise.
const MAX: u32 = 4;
/// Shorter than is usual: who tries it wants to see it shrink.
const SCALE_IN_WINDOW: Duration = Duration::from_secs(30);
/// Grown up quickly: the shop has nothing to warm.
const SLOW_START: Duration = Duration::from_secs(5);
/// Requests in flight at each instance that the fleet is held at: one processor's worth of pages of some milliseconds.
const REQUESTS_TARGET: f64 = 16.0;

/// Requests in flight at one instance; more wait at the edge, where waiting costs nothing.
const REQUESTS_MAX: u32 = 256;
/// Visitors at once: room for the 10,000 that `tentpole load` raises (S3), within the 20,000 open files that many systems
/// allow.
const CONNECTIONS_MAX: usize = 15_000;

/// The demo's configuration; `None` when this program cannot be found on disk, which has then been said.
pub fn load(min: Option<u64>, max: Option<u64>, flags: &Flags) -> Result<Result<Loaded, Report>, ExitCode> {
    let program = std::env::current_exe().map_err(|error| {
        say::error(&format!(
            "cannot find this program on disk, which the demo starts again as a shop: {error}. Start it by its path."
        ));
        ExitCode::FAILURE
    })?;
    let launch = Launch {
        run: vec![
            program.display().to_string(),
            "shop".to_owned(),
            "--listen".to_owned(),
            "127.0.0.1:{port}".to_owned(),
        ],
        directory: None,
        env: Vec::new(),
    };
    let mut fleet = tentpole_config::usual_fleet(launch);
    fleet.min = bounded(min, 1);
    fleet.max = bounded(max, MAX).max(fleet.min);
    fleet.requests_target = Some(REQUESTS_TARGET);
    fleet.scale_in_window = SCALE_IN_WINDOW;
    fleet.slow_start = SLOW_START;
    fleet.ready_path = "/health".to_owned();
    Ok(tentpole_config::from_fleet(POOL, fleet, Some("/health"), flags).map(with_room))
}

/// More visitors than is usual, and a bound on what each instance gets of them.
fn with_room(mut loaded: Loaded) -> Loaded {
    loaded.snapshot.visitors.connections_max = CONNECTIONS_MAX;
    for endpoint in loaded.snapshot.pools.iter_mut().flat_map(|pool| &mut pool.endpoints) {
        endpoint.requests_max = Some(REQUESTS_MAX);
    }
    loaded
}

/// Instances that this machine could carry at all.
const INSTANCES_MAX: u64 = 64;

fn bounded(typed: Option<u64>, usual: u32) -> u32 {
    typed.map_or(usual, |typed| typed.clamp(1, INSTANCES_MAX) as u32)
}
