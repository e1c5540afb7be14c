//! Where a run goes beside its report: files for other tools, and an OpenTelemetry collector. None of it slows the load
//! or ends the run: what could not be written is said at its end.

use crate::load::args::Load;
use crate::load::collector::Collector;
use crate::load::scrape::Scrape;
use crate::say;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use tentpole_export::{jtl, junit, otlp, prometheus};
use tentpole_load::samples::{self, Sample};
use tentpole_load::{Event, Plan, Run};
use tentpole_report::words::{self, are};

/// How often a collector hears of a run that goes on.
const OTLP_EVERY: u32 = 5;

/// All of it.
pub struct Outs {
    url: String,
    version: String,
    junit: Option<PathBuf>,
    prometheus: Option<PathBuf>,
    jtl: Option<Lines>,
    otlp: Option<Collector>,
    metrics: Option<Scrape>,
    seconds: u32,
    /// What could not be written.
    failed: Vec<String>,
}

/// The thread that writes lines.
struct Lines {
    path: PathBuf,
    writing: JoinHandle<std::io::Result<()>>,
    lost: Arc<AtomicU64>,
}

impl Outs {
    /// Opens what was asked for, before anything is sent. Errors say what cannot be written.
    pub fn open(typed: &Load, plan: &mut Plan) -> Result<Self, String> {
        differ(typed)?;
        for path in [&typed.out_junit, &typed.out_prometheus].into_iter().flatten() {
            ready(path)?;
        }
        let jtl = typed.out_jtl.as_deref().map(|path| Lines::open(path, plan)).transpose()?;
        let otlp =
            typed.otlp.as_deref().map(|url| Collector::open(url, typed.otlp_ca.clone())).transpose()?;
        let metrics = typed.metrics.map(Scrape::open).transpose()?.map(|(metrics, address)| {
            say::out(&format!("Figures at http://{address}/metrics while it runs.\n"));
            metrics
        });
        Ok(Self {
            url: plan.url.to_string(),
            version: plan.version.clone(),
            junit: typed.out_junit.clone(),
            prometheus: typed.out_prometheus.clone(),
            jtl,
            otlp,
            metrics,
            seconds: 0,
            failed: Vec::new(),
        })
    }

    /// While it runs.
    pub fn event(&mut self, event: &Event<'_>) {
        let Event::Second(live) = event else { return };
        self.seconds += 1;
        if let Some(metrics) = &self.metrics {
            metrics.tell(prometheus::live(live, &self.url));
        }
        if let Some(path) = &self.prometheus
            && let Err(says) = replace(path, &prometheus::live(live, &self.url))
            && self.failed.is_empty()
        {
            self.failed.push(says);
        }
        if let Some(collector) = &mut self.otlp
            && self.seconds.is_multiple_of(OTLP_EVERY)
        {
            collector.send(&otlp::live(live, &self.url, &self.version, now_ns()));
        }
    }

    /// When it is over. The plan is gone by now, and with it the last who could tell of a page load.
    pub fn end(mut self, run: &Run) {
        if let Some(path) = &self.junit {
            self.failed.extend(replace(path, &junit::write(run, &reasons(run))).err());
        }
        if let Some(path) = &self.prometheus {
            self.failed.extend(replace(path, &prometheus::end(run)).err());
        }
        if let Some(metrics) = &self.metrics {
            metrics.tell(prometheus::end(run));
        }
        if let Some(lines) = self.jtl {
            let shown = lines.path.display();
            match lines.writing.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.failed.push(format!("{shown}: {error}")),
                Err(_) => self.failed.push(format!("{shown}: the thread that wrote it panicked")),
            }
            let lost = lines.lost.load(Relaxed);
            if lost > 0 {
                self.failed.push(format!(
                    "{shown}: {} not in it, because the disk was slower than the load",
                    are(lost, "request")
                ));
            }
        }
        if let Some(mut collector) = self.otlp {
            collector.send(&otlp::end(run, now_ns()));
            self.failed.extend(collector.end().map(|says| format!("--otlp: {says}")));
        }
        for says in self.failed {
            say::warning(&format!("{says}."));
        }
    }
}

impl Lines {
    fn open(path: &Path, plan: &mut Plan) -> Result<Self, String> {
        let file = std::fs::File::create(path)
            .map_err(|error| format!("--out-jtl {}: this file cannot be made: {error}.", path.display()))?;
        let (samples, received, lost) = samples::queue();
        plan.samples = Some(samples);
        let names = plan.journeys.step_names();
        let writing = std::thread::Builder::new()
            .name("jtl".to_owned())
            .spawn(move || write_lines(file, &received, &names))
            .map_err(|error| error.to_string())?;
        Ok(Self { path: path.to_owned(), writing, lost })
    }
}

/// Line by line as they come: memory does not grow with the number of requests.
fn write_lines(file: std::fs::File, received: &Receiver<Sample>, names: &[String]) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 18, file);
    file.write_all(jtl::NAMES.as_bytes())?;
    let mut line = String::new();
    for sample in received {
        line.clear();
        jtl::write(&mut line, &sample, names);
        file.write_all(line.as_bytes())?;
    }
    file.flush()
}

/// Why a run is not to be believed, in the words of the summary.
fn reasons(run: &Run) -> Vec<String> {
    let says = |why| {
        let (what, cure) = words::distrust(run, why);
        format!("{what} {cure}")
    };
    run.distrust.iter().map(says).collect()
}

/// Two exports in one file would be one.
fn differ(typed: &Load) -> Result<(), String> {
    let report = |name: &str| typed.out.join(name);
    let outs = [
        ("--out-junit", typed.out_junit.clone()),
        ("--out-jtl", typed.out_jtl.clone()),
        ("--out-prometheus", typed.out_prometheus.clone()),
        ("the report", Some(report("report.html"))),
        ("its data", Some(report("report.json"))),
    ];
    let named: Vec<(&str, PathBuf)> =
        outs.into_iter().filter_map(|(name, path)| Some((name, std::path::absolute(path?).ok()?))).collect();
    for (place, (name, path)) in named.iter().enumerate() {
        if let Some((other, _)) = named[..place].iter().find(|(_, other)| other == path) {
            return Err(format!(
                "{other} and {name} would be one file, {}: give each its own.",
                path.display()
            ));
        }
    }
    Ok(())
}

fn ready(path: &Path) -> Result<(), String> {
    let part = part(path);
    let made = std::fs::write(&part, "").and_then(|()| std::fs::remove_file(&part));
    made.map_err(|error| format!("{}: no file can be made there: {error}.", path.display()))
}

/// The whole file or the one before: a reader never sees a part.
fn replace(path: &Path, text: &str) -> Result<(), String> {
    let part = part(path);
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, path))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

fn now_ns() -> u64 {
    tentpole_runtime::clock::now().unix_us().saturating_mul(1_000)
}
