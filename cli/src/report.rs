//! `tentpole report FILE…`: a page of a run that was kept, or of several over one another. Measures nothing.

use crate::{args, say};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tentpole_config::count;
use tentpole_load::Run;

/// What `tentpole load` leaves in its folder.
const DATA: &str = "report.json";
/// A report is some hundred KiB; what is far more is none.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// More curves than this cannot be told apart.
const RUNS_MAX: usize = 6;
/// A file that cannot be read, or a call that cannot be meant.
const WRONG: u8 = 2;

/// Reads the runs, writes the page, says the verdicts.
pub fn run(typed: &args::Report) -> ExitCode {
    match page(typed) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, says)) => {
            say::error(&says);
            ExitCode::from(code)
        }
    }
}

fn page(typed: &args::Report) -> Result<(), (u8, String)> {
    let files: Vec<PathBuf> = typed.files.iter().map(|file| data_of(file)).collect();
    if files.len() > RUNS_MAX {
        return Err((
            WRONG,
            format!("{} runs are too many for one chart; name {RUNS_MAX} at most.", files.len()),
        ));
    }
    if typed.label.len() > files.len() {
        return Err((
            WRONG,
            format!(
                "{} labels for {}: each --label names one file, in their order.",
                typed.label.len(),
                count(files.len(), "file")
            ),
        ));
    }
    let mut runs = Vec::new();
    for file in &files {
        runs.push(read(file).map_err(|says| (WRONG, format!("{}: {says}", file.display())))?);
    }
    let labels = labels(&files, &typed.label);
    let usual = if runs.len() == 1 { "report.html" } else { "compared.html" };
    let out = typed.out.clone().unwrap_or_else(|| usual.into());
    if files.iter().any(|file| same(file, &out)) {
        let says =
            format!("--out {}: this is one of the reports that are read. Name another file.", out.display());
        return Err((WRONG, says));
    }
    let named: Vec<(&str, &Run)> = labels.iter().map(String::as_str).zip(&runs).collect();
    let page = match &named[..] {
        [(_, run)] => tentpole_report::html(run),
        several => tentpole_report::compare(several),
    };
    std::fs::write(&out, page)
        .map_err(|error| (1, format!("{}: cannot be written: {error}.", out.display())))?;
    for (label, run) in &named {
        say::out(&format!("{label}: {}\n", tentpole_report::verdict(run)));
    }
    say::out(&format!("Report: {}\n", out.display()));
    Ok(())
}

/// A folder stands for the data in it.
fn data_of(file: &Path) -> PathBuf {
    if file.is_dir() { file.join(DATA) } else { file.to_owned() }
}

fn read(file: &Path) -> Result<Run, String> {
    let unreadable = |error: std::io::Error| format!("this file cannot be read: {error}.");
    let mut text = String::new();
    let file = std::fs::File::open(file).map_err(unreadable)?;
    // One more than is allowed, to see that there is more.
    file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(format!("this file is larger than {} MiB, so it is no report.", BYTES_MAX / 1024 / 1024));
    }
    tentpole_report::read(&text).map_err(|error| error.to_string())
}

/// Whether both are the same file.
fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// As typed, or from the file's name; from its folder's where the name says nothing; the whole path where two would
/// be called alike.
fn labels(files: &[PathBuf], typed: &[String]) -> Vec<String> {
    let mut labels: Vec<String> = files
        .iter()
        .enumerate()
        .map(|(at, file)| typed.get(at).cloned().unwrap_or_else(|| named_after(file)))
        .collect();
    let all = labels.clone();
    for (at, label) in labels.iter_mut().enumerate().skip(typed.len()) {
        if all.iter().filter(|other| *other == label).count() > 1 {
            *label = files[at].display().to_string();
        }
    }
    labels
}

fn named_after(file: &Path) -> String {
    let name = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let own = name(file.file_stem()).unwrap_or_else(|| file.display().to_string());
    if own != "report" {
        return own;
    }
    name(file.parent().and_then(Path::file_name)).unwrap_or(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels_of(files: &[&str], typed: &[&str]) -> Vec<String> {
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        labels(&files, &typed.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn runs_are_called_after_what_tells_them_apart() {
        assert_eq!(labels_of(&["without.json", "with.html"], &[]), ["without", "with"]);
        assert_eq!(labels_of(&["a/before/report.json", "after/report.html"], &[]), ["before", "after"]);
        assert_eq!(labels_of(&["report.json"], &[]), ["report"]);
        assert_eq!(labels_of(&["a/x.json", "b/x.json"], &[]), ["a/x.json", "b/x.json"]);
        assert_eq!(labels_of(&["a.json", "b.json"], &["no cache"]), ["no cache", "b"]);
        assert_eq!(labels_of(&["a.json", "b.json"], &["b"]), ["b", "b.json"]);
    }
}
