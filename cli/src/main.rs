//! The `tentpole` command: one file a subcommand. The only place that knows all planes; decides nothing itself.

mod admin_client;
mod args;
mod check;
mod load;
mod meant;
mod purge;
mod report;
mod say;
mod status;
mod up;

use args::{Command, Typed};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Typed::parse().command {
        Command::Up(typed) => match meant::load(typed) {
            Ok(snapshot) => up::run(snapshot),
            Err(code) => code,
        },
        Command::Check(typed) => check::run(&typed),
        Command::Load(typed) => load::run(&typed),
        Command::Report(typed) => report::run(&typed),
        Command::Purge(typed) => purge::run(&typed),
        Command::Status(typed) => status::run(&typed),
    }
}
