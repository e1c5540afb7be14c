//! What may be typed. `meant` finds out what was meant by it.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use tentpole_model::AccessLog;

/// The file that is read when none is named.
pub const FILE_USUAL: &str = "tentpole.toml";
/// Where the admin API is when nothing else is said.
pub const ADMIN_USUAL: &str = "127.0.0.1:9900";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Gets a web application through its biggest event: cache and load balancer
#[derive(Parser, Debug)]
#[command(
    name = "tentpole",
    version,
    styles = STYLES,
    max_term_width = 80,
    arg_required_else_help = true,
    after_help = "In front of a running application, without a file:\n  tentpole up --to http://127.0.0.1:3000"
)]
pub struct Typed {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    Up(Up),
    Check(Check),
    Explain(Explain),
    Load(Box<crate::load::args::Load>),
    Report(Report),
    Cache(crate::cache::Cache),
    Status(Status),
    Reload(Reload),
    Upgrade(Upgrade),
    Restart(Restart),
    Room(crate::room::Room),
    #[cfg(feature = "demo")]
    Shop(Shop),
    #[command(hide = true)]
    Part(Part),
}

/// One of the processes that `tentpole up` is made of; it starts them itself
#[derive(Args, Debug)]
pub struct Part {
    #[command(subcommand)]
    pub part: WhichPart,
}

#[derive(Subcommand, Debug)]
pub enum WhichPart {
    /// Serves visitors
    Edge,
    /// Says whether this program can take over what lies on standard input
    Check {
        /// What `tentpole` was started with
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Watches endpoints and answers the admin API
    Control,
    /// Starts one instance of a fleet and ends it with all its processes
    Instance {
        /// What the second stage becomes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

/// Serve visitors, until Ctrl-C; alone, it is a demo: a shop that scales itself
#[derive(Args, Debug)]
#[command(
    after_help = "Flags replace what the file says.\n\nExamples:\n  tentpole up --to http://127.0.0.1:3000\n  tentpole up --to http://10.0.0.5:3000 --to http://10.0.0.6:3000 --listen :80\n  tentpole up --run 'gunicorn app:wsgi -b 127.0.0.1:{port}' --max 8\n  tentpole up shop.toml --log json"
)]
pub struct Up {
    /// The configuration [default: tentpole.toml]
    #[arg(value_name = "FILE", conflicts_with_all = ["to", "run"])]
    pub file: Option<PathBuf>,
    /// Endpoint to stand in front of; repeat it for several
    #[arg(long, value_name = "URL", conflicts_with = "run")]
    pub to: Vec<String>,
    /// Start the application itself; {port} is its port
    #[arg(long, value_name = "CMD")]
    pub run: Option<String>,
    /// Instances of it at least [default: 1]
    #[arg(long, value_name = "N", conflicts_with_all = ["to", "file"])]
    pub min: Option<u64>,
    /// Instances of it at most [default: 4]
    #[arg(long, value_name = "N", conflicts_with_all = ["to", "file"])]
    pub max: Option<u64>,
    /// Address for visitors [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// Admin API, or `off` [default: 127.0.0.1:9900]
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// Access log: off, json or combined [default: off]
    #[arg(long, value_name = "FORM", hide_possible_values = true)]
    pub log: Option<Log>,
    /// Data threads [default: one for each core]
    #[arg(long, value_name = "N")]
    pub threads: Option<u64>,
    /// Where it keeps its state [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Leave out endpoints that fail at this path
    #[arg(long, value_name = "PATH", conflicts_with = "file")]
    pub health: Option<String>,
    /// Cache responses: on or off [default: on]
    #[arg(long, value_name = "ON|OFF", hide_possible_values = true)]
    pub cache: Option<Switch>,
    /// Find out what may be shared: off, advise or apply [default: advise]
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    pub learn: Option<Learn>,
    /// Reload when the file changes
    #[arg(long, conflicts_with_all = ["to", "run"])]
    pub watch: bool,
    /// Go on with what the program before left (`tentpole upgrade`)
    #[arg(long, hide = true)]
    pub take_over: bool,
}

/// Tell everything that is wrong with a configuration
#[derive(Args, Debug)]
#[command(after_help = "Exits with 0 when Tentpole can start with it, with 2 when it cannot.")]
pub struct Check {
    /// The configuration
    #[arg(value_name = "FILE", default_value = FILE_USUAL)]
    pub file: PathBuf,
    /// Show all time-outs side by side
    #[arg(long)]
    pub timeouts: bool,
}

/// Say what would become of a request, step by step and why; sends nothing
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tentpole explain 'GET /cart' --from 203.0.113.7 --header 'Cookie: a=b'\n  tentpole explain 'GET https://shop.example/' --answer 'Set-Cookie: a=b'\n\nWhat only the running Tentpole knows (what is stored, who is well) is said to be so."
)]
pub struct Explain {
    /// Method and path, or a whole address: 'GET /cart'
    #[arg(value_name = "REQUEST")]
    pub request: String,
    /// Who is connected: the visitor, or a proxy in front
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub from: std::net::IpAddr,
    /// A field of the request: 'Cookie: a=b'; repeat it for several
    #[arg(long, value_name = "FIELD")]
    pub header: Vec<String>,
    /// The host that is asked, or a site's name [default: the first]
    #[arg(long, value_name = "HOST")]
    pub site: Option<String>,
    /// Asked by https
    #[arg(long)]
    pub https: bool,
    /// A field of the endpoint's answer: may that be stored?
    #[arg(long, value_name = "FIELD")]
    pub answer: Vec<String>,
    /// The status of the answer [default: 200]
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(200..=599))]
    pub status: Option<u16>,
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = FILE_USUAL)]
    pub config: PathBuf,
    /// Add how the endpoints are now, from the admin API
    #[arg(long)]
    pub running: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub admin: Admin,
}

/// Make a page of a run of load, or lay several over one another
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tentpole report before/report.json after/report.json\n  tentpole report a.json b.json --label \"no cache\" --label cache\n\nThe first run is what the others are compared with."
)]
pub struct Report {
    /// What `tentpole load` left: report.json, report.html or their folder
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// What a run is called, in their order [default: from the file's name]
    #[arg(long, value_name = "NAME")]
    pub label: Vec<String>,
    /// Where the page goes [default: report.html, or compared.html]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Show pools and endpoints, and how they are
#[derive(Args, Debug)]
pub struct Status {
    /// Print the API's JSON instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub admin: Admin,
}

/// Let a running Tentpole read its configuration again
#[derive(Args, Debug)]
#[command(
    after_help = "Exits with 0 when the file is in force, with 2 when it is not right and nothing has changed."
)]
pub struct Reload {
    #[command(flatten)]
    pub admin: Admin,
}

/// Hand over to a new version of the program while visitors are served
#[derive(Args, Debug)]
#[command(
    after_help = "The new program takes the place of the old one: same process, same sockets, same instances. Connections that are open finish at the old edge.\n\nExits with 0 when the new program serves, with 2 when it cannot and nothing has changed."
)]
pub struct Upgrade {
    /// The new program [default: what now lies where the running one was started from]
    #[arg(value_name = "PROGRAM")]
    pub program: Option<PathBuf>,
    #[command(flatten)]
    pub admin: Admin,
}

/// Let new instances of a fleet take the place of the old ones, one by one
#[derive(Args, Debug)]
#[command(
    after_help = "Exits with 0 when all are new, with 2 when the new ones do not come up; the old ones stay then."
)]
pub struct Restart {
    /// The pool whose fleet it is [default: all fleets]
    #[arg(value_name = "POOL")]
    pub pool: Option<String>,
    #[command(flatten)]
    pub admin: Admin,
}

#[derive(Args, Debug)]
pub struct Admin {
    /// The running Tentpole's admin API
    #[arg(long = "admin", global = true, value_name = "ADDR", default_value = ADMIN_USUAL)]
    pub address: String,
}

/// Serve the demo's shop, alone: what `tentpole up` starts behind the edge
#[cfg(feature = "demo")]
#[derive(Args, Debug)]
#[command(
    after_help = "Three markets: http://shop.localhost:3000, http://laden.localhost:3000, http://boutique.localhost:3000\nSeveral may share one folder; a cart made at one is there at the others."
)]
pub struct Shop {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub listen: String,
    /// Folder of its database, made and filled at the first start [default: shop-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// On or off.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    On,
    Off,
}

/// Form of the access log.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum Log {
    Off,
    Json,
    Combined,
}

/// What is done with what says nothing about caching.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum Learn {
    Off,
    Advise,
    Apply,
}

impl From<Learn> for tentpole_model::Learn {
    fn from(learn: Learn) -> Self {
        match learn {
            Learn::Off => Self::Off,
            Learn::Advise => Self::Advise,
            Learn::Apply => Self::Apply,
        }
    }
}

impl From<Log> for AccessLog {
    fn from(log: Log) -> Self {
        match log {
            Log::Off => Self::Off,
            Log::Json => Self::Json,
            Log::Combined => Self::Combined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_command_asks_for_what_there_is_not() {
        // Only a debug build looks, and only at the command that is typed: here at all of them.
        Typed::command().debug_assert();
    }
}
