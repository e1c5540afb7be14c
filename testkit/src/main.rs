//! `tentpole-testkit`: the testkit's origins and harnesses as programs, for benchmarks and for trying things by hand.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tentpole_testkit::fast::FastOrigin;

/// Origins and harnesses for testing what stands in front of a web application.
#[derive(Parser)]
#[command(name = "tentpole-testkit", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A fast origin: /bytes/N /nocache/N /chunked/N /slow/MS /status/CODE /echo /count
    Origin {
        /// Where to listen; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// How many threads answer.
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Origin { listen, threads } => origin(listen, threads),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tentpole-testkit: {error}");
            ExitCode::FAILURE
        }
    }
}

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn origin(listen: SocketAddr, threads: usize) -> Outcome {
    let origin = FastOrigin::bind(listen, threads)?;
    say_address(origin.address())?;
    origin.run()?;
    Ok(ExitCode::SUCCESS)
}

/// The first line, which scripts wait for.
fn say_address(address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "listening on {address}")?;
    out.flush()
}
