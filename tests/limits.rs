//! What a visitor may cost: connections, heads, bodies and patience. Whoever takes more is told so and cut off, and
//! nothing of what he sent becomes a request. One file below `limits/` for each kind.

#[path = "limits/bots.rs"]
mod bots;
#[path = "limits/connections.rs"]
mod connections;
#[path = "limits/per_address.rs"]
mod per_address;
#[path = "limits/sizes.rs"]
mod sizes;
#[path = "limits/slow_tools.rs"]
mod slow_tools;
#[path = "limits/smuggling.rs"]
mod smuggling;
#[path = "limits/standstill.rs"]
mod standstill;
