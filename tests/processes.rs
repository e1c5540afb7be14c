//! The processes of one Tentpole: each is killed or stopped while visitors are served, and what they met is counted.

#[path = "processes/carried.rs"]
mod carried;
#[path = "processes/handing_over.rs"]
mod handing_over;
#[path = "processes/keeper.rs"]
mod keeper;
#[path = "processes/kills.rs"]
mod kills;
#[path = "processes/noticed.rs"]
mod noticed;
#[path = "processes/progress.rs"]
mod progress;
#[path = "processes/reload.rs"]
mod reload;
#[path = "processes/restart.rs"]
mod restart;
#[path = "processes/scaling.rs"]
mod scaling;
#[path = "processes/soak.rs"]
mod soak;
#[path = "processes/stepping_out.rs"]
mod stepping_out;
#[path = "processes/terminal.rs"]
mod terminal;
#[path = "processes/upgrade.rs"]
mod upgrade;
