//! The `tentpole` command: one file a subcommand. The only place that knows all planes; decides nothing itself.

mod admin_client;
mod args;
mod cache;
mod certificates;
mod check;
mod columns;
#[cfg(feature = "demo")]
mod demo;
mod explain;
mod load;
mod meant;
mod part;
mod ports;
mod programs;
mod reload;
mod report;
mod restart;
mod room;
mod say;
#[cfg(feature = "demo")]
mod shop;
mod status;
mod up;
mod upgrade;
mod watch;

use args::{Command, Typed};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Typed::parse().command {
        Command::Up(typed) if typed.take_over => up::take_over(typed),
        Command::Up(mut typed) => {
            let (state, watch) = (typed.state.take(), typed.watch);
            match meant::load(typed) {
                Ok((snapshot, again)) => up::run(snapshot, state, again, watch),
                Err(code) => code,
            }
        }
        Command::Check(typed) => check::run(&typed),
        Command::Explain(typed) => explain::run(&typed),
        Command::Load(typed) => load::run(&typed),
        Command::Report(typed) => report::run(&typed),
        Command::Cache(typed) => cache::run(&typed),
        Command::Status(typed) => status::run(&typed),
        Command::Reload(typed) => reload::run(&typed),
        Command::Restart(typed) => restart::run(&typed),
        Command::Room(typed) => room::run(&typed),
        Command::Upgrade(typed) => upgrade::run(&typed),
        #[cfg(feature = "demo")]
        Command::Shop(typed) => shop::run(&typed),
        Command::Part(typed) => part::run(typed.part),
    }
}
