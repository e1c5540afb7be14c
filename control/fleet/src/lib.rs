//! Keeps each fleet at the number that `decide/scale` wants: starts instances, waits until they answer, lets their
//! share of the traffic grow, drains and ends those that leave, and replaces those that end by themselves. Starts no
//! process itself (`Provider`), never touches a request, and judges no health: who answers badly later is health's.
//!
//! ```text
//! Free ─start─▶ Starting ─answers─▶ WarmingUp ─slow_start─▶ Serving
//!   ▲              │ start_time         │ one leaves            │
//!   │              ▼                    ▼                       ▼
//!   └─ended── Stopping ◀─nothing in flight, or drain_time── Draining
//! ```
//!
//! What it tells the edge: addresses (through health) and weights. **A slot's weight is written only where its life
//! turns**: 10 % when it begins to answer, a tenth more at each step of the slow start, 0 when it drains, the full one
//! when it is wanted again meanwhile. A step of the slow start is taken only from the weight that the step before it
//! wrote, so a weight that a person turned, to 0 above all, stays as it is; such an instance carries nothing, and the
//! fleet makes up for it. The person's word is about the instance, not the slot: the next instance begins anew.

mod fleets;
mod mark;
mod measure;
mod ready;
mod restart;
mod retire;
mod slots;

pub use fleets::{FleetParts, Running};
