//! `tentpole cache`: what is done with the cache of a running Tentpole, one file a subcommand.

mod advise;
mod purge;
mod warm;

use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Fill, empty or advise on the cache of a running Tentpole
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub struct Cache {
    #[command(subcommand)]
    command: CacheCommand,
}

#[derive(Subcommand, Debug)]
enum CacheCommand {
    Advise(advise::Advise),
    Purge(purge::Purge),
    Warm(warm::Warm),
}

/// Runs the subcommand.
pub fn run(typed: &Cache) -> ExitCode {
    match &typed.command {
        CacheCommand::Advise(typed) => advise::run(typed),
        CacheCommand::Purge(typed) => purge::run(typed),
        CacheCommand::Warm(typed) => warm::run(typed),
    }
}
