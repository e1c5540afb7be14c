//! `tentpole load import FILE…`: another tool's file as a journey to look at and edit. Sends nothing.

use crate::load::WRONG;
use crate::say;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tentpole_import::har::{self, Wanted};
use tentpole_import::{FILE_BYTES_MAX, Imported, jmx};

/// Make a journey of a HAR or a JMeter plan
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tentpole load import shop.har --out shop.toml\n  tentpole load import first.har second.har --out shop.toml\n  tentpole load import plan.jmx --out plan.toml\n\nOf two recordings of the same journey, what differs is taken from the response\nbefore. What is not understood is listed, and stands on top of the journey."
)]
pub struct Import {
    /// A HAR, two HARs of the same journey, or a .jmx
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    pub files: Vec<PathBuf>,
    /// Where the journey goes [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// From a HAR: this host's requests; repeat it for several
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// From a HAR: pictures, scripts, styles and fonts too
    #[arg(long)]
    pub assets: bool,
}

/// Runs it.
pub fn run(typed: &Import) -> ExitCode {
    match import(typed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(says) => {
            say::error(&says);
            ExitCode::from(WRONG)
        }
    }
}

fn import(typed: &Import) -> Result<(), String> {
    let wanted = Wanted { hosts: typed.host.clone(), assets: typed.assets };
    let imported = read(&typed.files, &wanted)?;
    match &typed.out {
        None => {
            say::out(&imported.text);
        }
        Some(path) => {
            std::fs::write(path, &imported.text)
                .map_err(|error| format!("{}: this file cannot be written: {error}.", path.display()))?;
            let url = imported.url.as_deref().unwrap_or("URL");
            say::out(&format!(
                "Journey: {}\nWalk it: tentpole load {url} --profile {}\n",
                path.display(),
                path.display()
            ));
        }
    }
    tell(&typed.files[0], &imported);
    Ok(())
}

/// Whether a file is another tool's, by the end of its name.
pub fn is_foreign(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("har") || end.eq_ignore_ascii_case("jmx"))
}

/// The journey's text of one such file, with what was not understood told.
pub fn journey(path: &Path) -> Result<String, String> {
    let imported = read(std::slice::from_ref(&path.to_owned()), &Wanted::default())?;
    tell(path, &imported);
    Ok(imported.text)
}

fn read(files: &[PathBuf], wanted: &Wanted) -> Result<Imported, String> {
    let texts = files.iter().map(|path| text(path)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let is_plan = |path: &PathBuf| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("jmx"));
    let imported = match (texts.as_slice(), files.iter().any(is_plan)) {
        ([plan], true) => jmx::import(&names[0], plan),
        (_, true) => {
            return Err("a JMeter plan is imported alone; two files are two HARs of the same journey.".into());
        }
        ([one], false) => har::import((&names[0], one), None, wanted),
        ([one, two, ..], false) => har::import((&names[0], one), Some((&names[1], two)), wanted),
        ([], false) => return Err("which file? Write tentpole load import shop.har.".into()),
    };
    imported.map_err(|wrong| {
        let line = if wrong.line > 0 { format!(":{}", wrong.line) } else { String::new() };
        format!("{}{line}: {}", names[wrong.file.min(names.len() - 1)], wrong.says)
    })
}

fn text(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let wrong = |error: std::io::Error| format!("{shown}: this file cannot be read: {error}.");
    let length = std::fs::metadata(path).map_err(wrong)?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("{shown}: {length} bytes; {} MiB at most are read.", FILE_BYTES_MAX >> 20));
    }
    let bytes = std::fs::read(path).map_err(wrong)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("{shown}: byte {at} is not UTF-8; save the file as UTF-8.")
    })
}

/// What was not understood, on standard error.
fn tell(path: &Path, imported: &Imported) {
    let lines: Vec<String> =
        imported.notes.iter().map(|note| format!("  {}", note.of(&path.display().to_string()))).collect();
    if !lines.is_empty() {
        say::warning(&format!("not as in the original:\n{}", lines.join("\n")));
    }
}
