//! `tentpole-testkit`: the testkit's origins and harnesses as programs, for benchmarks and for trying things by hand.

use std::error::Error;
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde::de::DeserializeOwned;
use tentpole_testkit::fast::FastOrigin;
use tentpole_testkit::{Isolation, Person, Purge, Site};

/// Origins and harnesses for testing what stands in front of a web application.
#[derive(Parser)]
#[command(name = "tentpole-testkit", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A fast origin: /bytes/N /text/N /nocache/N /chunked/N /slow/MS /late/MS /status/CODE /echo /count
    Origin {
        /// Where to listen; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// How many threads answer.
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// A site where people log in, with every kind of caching header; its front page lists its pages
    Site {
        /// Where to listen; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Visits through a cache as many people at once and looks for what is somebody else's
    Isolation(IsolationArguments),
}

#[derive(Args)]
struct IsolationArguments {
    /// Where the cache listens. Behind it runs `tentpole-testkit site`, unless --sessions and --paths are given.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The Host to send, when it is not the one in the URL.
    #[arg(long)]
    host: Option<String>,
    /// People who log in at the site.
    #[arg(long, default_value_t = 8)]
    users: usize,
    /// Visitors without a login.
    #[arg(long, default_value_t = 8)]
    anonymous: usize,
    /// Kept connections of each.
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Requests, all in all.
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
    /// The same seed sends the same requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Purge pages meanwhile, with POST /api/purge {"url": …} there.
    #[arg(long, value_name = "URL")]
    purge_api: Option<String>,
    /// JSON: [{"name": …, "marker": …, "cookie": …}]; a marker is text that only this person's pages contain.
    #[arg(long, value_name = "FILE", requires = "paths")]
    sessions: Option<PathBuf>,
    /// JSON: what to visit, ["/", "/account", …].
    #[arg(long, value_name = "FILE")]
    paths: Option<PathBuf>,
    /// Everybody has an address of their own, in 127.0.0.0/8: a cache that learns tells visitors apart by it.
    #[arg(long)]
    own_addresses: bool,
    /// Requests under way at most: what the application can answer in time.
    #[arg(long, value_name = "N")]
    at_once: Option<usize>,
    /// Fail when no answer came from the cache.
    #[arg(long)]
    expect_hits: bool,
    /// Write the report there too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

type Outcome = Result<ExitCode, Box<dyn Error>>;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Origin { listen, threads } => origin(listen, threads),
        Command::Site { listen } => on_runtime(site(listen)),
        Command::Isolation(arguments) => on_runtime(isolation(arguments)),
    };
    result.unwrap_or_else(|error| {
        eprintln!("tentpole-testkit: {error}");
        ExitCode::from(2)
    })
}

fn on_runtime(work: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn origin(listen: SocketAddr, threads: usize) -> Outcome {
    let origin = FastOrigin::bind(listen, threads)?;
    say_address(origin.address())?;
    origin.run()?;
    Ok(ExitCode::SUCCESS)
}

async fn site(listen: SocketAddr) -> Outcome {
    let site = Site::listen(listen)?;
    say_address(site.origin().address())?;
    tokio::signal::ctrl_c().await?;
    Ok(ExitCode::SUCCESS)
}

/// Ends with 0 when the report is clean, 1 when it is not, 2 when the run could not begin.
async fn isolation(arguments: IsolationArguments) -> Outcome {
    let (address, authority) = resolve(&arguments.url)?;
    let host = arguments.host.unwrap_or(authority);
    let mut isolation = match &arguments.sessions {
        Some(sessions) => {
            let mut people: Vec<Person> = read_json(sessions)?;
            people.extend((0..arguments.anonymous).map(Person::anonymous));
            Isolation::at(address, &host, people, Vec::new())
        }
        None => Isolation::at_site(address, &host, arguments.users, arguments.anonymous).await?,
    };
    if let Some(paths) = &arguments.paths {
        isolation.targets = read_json(paths)?;
    }
    isolation.connections_each = arguments.connections;
    isolation.requests = arguments.requests;
    isolation.seed = arguments.seed;
    isolation.at_once = arguments.at_once;
    isolation.own_addresses = arguments.own_addresses;
    if let Some(url) = &arguments.purge_api {
        isolation.purge = Purge::Admin(resolve(url)?.0);
    }
    let report = isolation.run().await?;
    println!("{report}");
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    let good = report.is_clean() && (report.hits > 0 || !arguments.expect_hits);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The address and the authority of an `http://` URL.
fn resolve(url: &str) -> Result<(SocketAddr, String), Box<dyn Error>> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: must start with http://"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    let with_port = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let address = with_port.to_socket_addrs().map_err(|error| format!("{url}: {error}"))?.next();
    Ok((address.ok_or_else(|| format!("{url}: no address"))?, authority.to_owned()))
}

fn read_json<T: DeserializeOwned>(file: &Path) -> Result<T, Box<dyn Error>> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| named(&error))?;
    Ok(serde_json::from_str(&text).map_err(|error| named(&error))?)
}

/// The first line, which scripts wait for.
fn say_address(address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "listening on {address}")?;
    out.flush()
}
