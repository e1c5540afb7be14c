//! The processes of one Tentpole: each is killed or stopped while visitors are served, and what they met is counted.

#[path = "processes/keeper.rs"]
mod keeper;
#[path = "processes/kills.rs"]
mod kills;
#[path = "processes/noticed.rs"]
mod noticed;
#[path = "processes/reload.rs"]
mod reload;
#[path = "processes/scaling.rs"]
mod scaling;
#[path = "processes/terminal.rs"]
mod terminal;
