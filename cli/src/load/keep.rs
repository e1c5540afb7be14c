//! Where a run's report goes. Finds out before an hour of load whether it can be written; never loses the one before,
//! nor the measured one because a folder went away or a disk is full.

use std::io::Write;
use std::path::{Path, PathBuf};
use tentpole_load::Run;

const PAGE: (&str, &str) = ("report.html", "report-before.html");
const DATA: (&str, &str) = ("report.json", "report-before.json");

/// Where a report was left.
#[derive(Debug)]
pub struct Kept {
    /// The page.
    pub page: PathBuf,
    /// The data of the run before, if there was one in the same folder.
    pub before: Option<PathBuf>,
    /// Why it is not in the folder that was named.
    pub elsewhere: Option<String>,
}

/// Makes the folder and a file in it, which goes again. Errors say what is wrong with it.
pub fn ready(folder: &Path) -> Result<(), String> {
    let named = |error: std::io::Error, what: &str| format!("--out {}: {what}: {error}.", folder.display());
    std::fs::create_dir_all(folder).map_err(|error| named(error, "this folder cannot be made"))?;
    let tried = part(folder, DATA.0);
    let made = std::fs::write(&tried, "").and_then(|()| std::fs::remove_file(&tried));
    made.map_err(|error| named(error, "no file can be made in this folder"))
}

/// Writes the report into the folder, or where temporary files go when that fails. Errors say why neither can be.
pub fn write(run: &Run, folder: &Path) -> Result<Kept, String> {
    let (data, page) = (tentpole_report::json(run), tentpole_report::html(run));
    let why = match place(folder, &data, &page) {
        Ok(before) => return Ok(Kept { page: folder.join(PAGE.0), before, elsewhere: None }),
        Err(why) => why,
    };
    let refuge = std::env::temp_dir().join(format!("tentpole-load-{}", run.started_unix_ms));
    let placed = std::fs::create_dir_all(&refuge)
        .map_err(|error| format!("{}: {error}", refuge.display()))
        .and_then(|()| place(&refuge, &data, &page));
    match placed {
        Ok(_) => Ok(Kept { page: refuge.join(PAGE.0), before: None, elsewhere: Some(why) }),
        Err(other) => Err(format!("the report cannot be written: {why}; {other}.")),
    }
}

/// Writes a page, or leaves the one before as it was. Errors say why.
pub fn page(path: &Path, text: &str) -> Result<PathBuf, String> {
    let part = path.with_extension("html.part");
    let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&part);
        format!("{}: this page cannot be written: {error}.", path.display())
    })?;
    Ok(path.to_owned())
}

/// Both files, or neither: the ones before are touched when the new ones are whole.
fn place(folder: &Path, data: &str, page: &str) -> Result<Option<PathBuf>, String> {
    let files = [(DATA, data), (PAGE, page)];
    for ((name, _), text) in files {
        let part = part(folder, name);
        let written = std::fs::File::create(&part)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        if let Err(error) = written {
            for ((name, _), _) in files {
                let _ = std::fs::remove_file(self::part(folder, name));
            }
            return Err(format!("{}: {error}", folder.join(name).display()));
        }
    }
    let mut before = None;
    for ((name, old), _) in files {
        let (new, old) = (folder.join(name), folder.join(old));
        if std::fs::rename(&new, &old).is_ok() && name == DATA.0 {
            before = Some(old);
        }
        std::fs::rename(part(folder, name), &new).map_err(|error| format!("{}: {error}", new.display()))?;
    }
    Ok(before)
}

fn part(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.part"))
}
