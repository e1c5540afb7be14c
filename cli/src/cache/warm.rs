//! `tentpole cache warm`: asks for what visitors will ask for, so that the cache is full when the doors open.

use crate::say;
use clap::Args;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tentpole_config::count;
use tentpole_model::Secret;
use tentpole_runtime::{Instant, clock, secret};
use tentpole_warm::{
    Listed, LogOptions, Outcome, Plan, Progress, Stopped, Url, from_list, from_log, read_sitemap, warm,
};

/// Bytes of a list.
const LIST_BYTES_MAX: u64 = 256 << 20;
/// How often progress is shown at a terminal, and elsewhere.
const REDRAW: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Fill the cache before the visitors come
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tentpole cache warm http://shop.example/sitemap.xml --at 127.0.0.1:8080\n  tentpole cache warm --list top-pages.txt --host http://shop.example --rate 50\n  tentpole cache warm --log last-sale.log --top 2000 --at 127.0.0.1:8080\n  tentpole cache warm --list pages.txt --as 'Accept-Language: de'\n\nIt asks through Tentpole, with GET, as a visitor without cookies, and stops when\nhalf of the answers are errors. For https:// it says so (X-Forwarded-Proto);\nthat counts where [visitors] trusted names the address that it asks from."
)]
pub struct Warm {
    /// A sitemap, or an index of sitemaps
    #[arg(value_name = "URL", required_unless_present_any = ["list", "log"])]
    pub sitemap: Option<String>,
    /// A file with one URL or path a line; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sitemap", "log"])]
    pub list: Option<PathBuf>,
    /// An access log: Tentpole's JSON, common or combined; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "sitemap")]
    pub log: Option<PathBuf>,
    /// How many URLs of a log, the most asked for first
    #[arg(long, value_name = "N", default_value_t = 1_000, requires = "log")]
    pub top: usize,
    /// Of a log, URLs with a query too; they may do something, like ?add-to-cart=7
    #[arg(long, requires = "log")]
    pub queries: bool,
    /// The site whose paths a list or a log holds
    #[arg(long, value_name = "URL", conflicts_with = "sitemap")]
    pub host: Option<String>,
    /// Tentpole's address [default: --host, or the host of the first URL; not of a log]
    #[arg(long, value_name = "ADDR")]
    pub at: Option<String>,
    /// Requests a second at most
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    pub rate: f64,
    /// Requests under way at most
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub at_once: usize,
    /// Seconds for one request
    #[arg(long, value_name = "S", default_value_t = 30)]
    pub time: u64,
    /// A field to ask with; repeated, each URL is asked for once with each
    #[arg(long = "as", value_name = "FIELD")]
    pub fields: Vec<String>,
    /// A field of every request, like one that `visitors.require` names; for a secret
    /// 'X-Edge-Key: env:EDGE_KEY' or 'X-Edge-Key: file:/path'
    #[arg(long = "header", value_name = "FIELD")]
    pub headers: Vec<String>,
}

/// Warms, and says what came of it.
pub fn run(typed: &Warm) -> ExitCode {
    let built = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let outcome =
        built.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(carry_out(typed)));
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            say::error(&error);
            return ExitCode::from(2);
        }
    };
    say::out(&summary(&outcome));
    for bad in &outcome.progress.named {
        say::aside(&format!("  {bad}\n"));
    }
    if let Some(stopped) = &outcome.stopped {
        say::error(&stopped.to_string());
    }
    let is_whole =
        outcome.stopped.is_none() && outcome.progress.failed == 0 && outcome.progress.errors.is_empty();
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn carry_out(typed: &Warm) -> Result<Outcome, String> {
    if !(0.01..=100_000.0).contains(&typed.rate) {
        return Err(format!("--rate {} is not between 0.01 and 100000 requests a second", typed.rate));
    }
    if !(1..=1_000).contains(&typed.at_once) {
        return Err(format!("--at-once {} is not between 1 and 1000", typed.at_once));
    }
    let variants = variants(&typed.fields)?;
    let always = headers(&typed.headers)?;
    let time_max = Duration::from_secs(typed.time.clamp(1, 3_600));
    let (at, listed) = listed(typed, &always, time_max).await?;
    told(&listed);
    if listed.urls.is_empty() {
        return Err("there is no URL to ask for".to_owned());
    }
    let (per_second, at_once) = (typed.rate, typed.at_once);
    let plan = Plan { urls: listed.urls, at, per_second, at_once, time_max, always, variants };
    let requests = plan.urls.len() * plan.variants.len();
    let least = Duration::from_secs_f64(requests as f64 / plan.per_second);
    say::aside(&format!(
        "Asking {at} for {}, {} a second at most: {} at least\n",
        count(requests, "response"),
        plan.per_second,
        span(least)
    ));
    let mut shown = Shown::new(plan.per_second);
    let ended = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let outcome = warm(&plan, |progress| shown.tell(progress), ended).await;
    shown.clear();
    Ok(outcome)
}

/// Where Tentpole is, and what is asked of it.
async fn listed(
    typed: &Warm,
    always: &[(String, String)],
    time_max: Duration,
) -> Result<(SocketAddr, Listed), String> {
    if let Some(sitemap) = &typed.sitemap {
        let url = Url::parse(sitemap).map_err(|error| format!("{sitemap:?} is {error}"))?;
        let at = address(typed, &url)?;
        let read = read_sitemap(at, &url, always, time_max).await;
        let listed = read.map_err(|error| error.to_string())?;
        return Ok((at, listed));
    }
    let base = match &typed.host {
        Some(host) => Some(Url::parse(host).map_err(|error| format!("--host {host:?} is {error}"))?),
        None => None,
    };
    let listed = match (&typed.list, &typed.log) {
        (Some(list), _) => {
            let mut text = String::new();
            let read = open(list)?.take(LIST_BYTES_MAX + 1).read_to_string(&mut text);
            read.map_err(|error| format!("{} cannot be read: {error}", list.display()))?;
            if text.len() as u64 > LIST_BYTES_MAX {
                return Err(format!("{} is longer than 256 MiB; warm it in parts", list.display()));
            }
            from_list(&text, base.as_ref())
        }
        (None, Some(log)) => {
            let options = LogOptions { base: base.as_ref(), top: typed.top, with_queries: typed.queries };
            let read = from_log(open(log)?, options);
            read.map_err(|error| format!("{} cannot be read: {error}", log.display()))?
        }
        (None, None) => return Err("name a sitemap, --list or --log".to_owned()),
    };
    let Some(first) = listed.urls.first() else {
        let why = listed.first_skipped.map(|why| format!(" ({why})")).unwrap_or_default();
        return Err(format!(
            "nothing in it could be used{why}. Lines without a host need --host http://shop.example"
        ));
    };
    if typed.log.is_some() && typed.at.is_none() && base.is_none() {
        return Err(
            "hosts in a log are what visitors wrote, so none of them says where Tentpole is: add --at 127.0.0.1:8080"
                .to_owned(),
        );
    }
    Ok((address(typed, base.as_ref().unwrap_or(first))?, listed))
}

fn open(path: &PathBuf) -> Result<Box<dyn BufRead>, String> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Where the requests go.
fn address(typed: &Warm, url: &Url) -> Result<SocketAddr, String> {
    let authority = match &typed.at {
        Some(at) if at.starts_with(':') => format!("127.0.0.1{at}"),
        Some(at) => at.clone(),
        None if url.is_https => {
            return Err(format!(
                "{url} is asked for over TLS, which this command does not speak: say where Tentpole listens, like \
                 --at 127.0.0.1:8080"
            ));
        }
        None => url.authority(),
    };
    let found = resolvable(&authority).to_socket_addrs().map(|mut addresses| addresses.next());
    match found {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(format!("{authority} has no address")),
        Err(error) => Err(format!("{authority:?} is not found ({error}); write it like 127.0.0.1:8080")),
    }
}

/// Everything under `localhost` is this machine (RFC 6761 section 6.3), which many resolvers do not know.
fn resolvable(authority: &str) -> String {
    let (name, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    match name.ends_with(".localhost") {
        true => format!("127.0.0.1:{port}"),
        false => authority.to_owned(),
    }
}

/// One set of fields for each `--as`; one empty set without.
fn variants(typed: &[String]) -> Result<Vec<Vec<(String, String)>>, String> {
    if typed.is_empty() {
        return Ok(vec![Vec::new()]);
    }
    let each = typed.iter().map(|field| {
        let no_field = || format!("--as {field:?} is no field; write it like --as 'Accept-Language: de'");
        Ok(vec![name_and_value(field).ok_or_else(no_field)?])
    });
    each.collect()
}

/// The fields of every request. A secret is read from where it is, so that no list of processes shows it.
fn headers(typed: &[String]) -> Result<Vec<(String, String)>, String> {
    let each = typed.iter().map(|field| {
        let no_field =
            || format!("--header {field:?} is no field; write it like --header 'X-Edge-Key: env:EDGE_KEY'");
        let (name, value) = name_and_value(field).ok_or_else(no_field)?;
        let place = match value.split_once(':') {
            Some(("env", variable)) => Secret::Variable(variable.to_owned()),
            Some(("file", path)) => Secret::File(path.into()),
            _ => return Ok((name, value)),
        };
        let read = secret::read_for_field(&place);
        Ok((name.clone(), read.map_err(|why| format!("the field {name} has no value: {why}"))?))
    });
    each.collect()
}

fn name_and_value(field: &str) -> Option<(String, String)> {
    let (name, value) = field.split_once(':')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

/// What was left out, before the first request.
fn told(listed: &Listed) {
    if let Some(first) = &listed.first_skipped {
        say::warning(&format!("{} left out; the first: {first}", count(listed.skipped, "entry")));
    }
    if listed.is_cut {
        say::warning("there are more URLs than can be warmed at once; the rest is left out");
    }
}

/// Progress, at a terminal in one line that changes, elsewhere in a line each ten seconds.
struct Shown {
    redraws: bool,
    per_second: f64,
    last: Instant,
}

impl Shown {
    fn new(per_second: f64) -> Self {
        Self { redraws: io::stderr().is_terminal(), per_second, last: clock::now() }
    }

    fn tell(&mut self, progress: &Progress) {
        let every = if self.redraws { REDRAW } else { LINE_EVERY };
        if clock::now().since(self.last) < every {
            return;
        }
        self.last = clock::now();
        let rest = Duration::from_secs_f64((progress.total - progress.done) as f64 / self.per_second);
        let line =
            format!("{} of {}: {}; {} to go", progress.done, progress.total, what(progress), span(rest));
        if self.redraws {
            let line: String = line.chars().take(79).collect();
            say::aside(&format!("\r\x1b[K{line}"));
        } else {
            say::aside(&format!("{line}\n"));
        }
    }

    fn clear(&self) {
        if self.redraws {
            say::aside("\r\x1b[K");
        }
    }
}

/// The counts in words, zeros left out.
fn what(progress: &Progress) -> String {
    let not_stored: usize = progress.not_stored.values().sum();
    let errors: usize = progress.errors.values().sum();
    let parts = [
        (progress.stored, "stored"),
        (progress.hits, "there already"),
        (progress.redirects, "redirected"),
        (not_stored, "not cacheable"),
        (errors, "with an error"),
        (progress.failed, "without an answer"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    if parts.is_empty() { "nothing yet".to_owned() } else { parts.join(", ") }
}

fn summary(outcome: &Outcome) -> String {
    let Outcome { progress, took, .. } = outcome;
    let mut text =
        format!("{} of {} in {}: {}\n", progress.done, progress.total, span(*took), what(progress));
    let mut reasons: Vec<_> = progress.not_stored.iter().collect();
    reasons.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    for (reason, number) in reasons {
        text.push_str(&format!("  {number} not cacheable: {reason}\n"));
    }
    for (status, number) in &progress.errors {
        text.push_str(&format!("  {number} answered with status {status}\n"));
    }
    if matches!(outcome.stopped, Some(Stopped::Asked)) {
        text.push_str("  what was stored stays\n");
    }
    text
}

/// A duration for people.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..=59 => format!("{:.1} s", duration.as_secs_f64()),
        60..=3_599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}
