//! Whether the programs of fleets are there, before anything is started: a name that was mistyped is said at once, not
//! once for each attempt. Only looks; what is there may still fail, and the fleet says so.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tentpole_model::{Launch, Snapshot};

/// Where programs are looked for when there is no `PATH`.
const PATH_USUAL: &str = "/bin:/usr/bin";

/// Looks for the program of each fleet.
///
/// # Errors
/// The first one that is missing, in words for the person who named it.
pub fn are_there(snapshot: &Snapshot) -> Result<(), String> {
    let path = std::env::var_os("PATH");
    for pool in &snapshot.pools {
        if let Some(fleet) = &pool.fleet {
            let why = missing(&fleet.launch, path.clone());
            if let (Some(program), Some(why)) = (fleet.launch.run.first(), why) {
                return Err(format!("cannot start {program}, which pool {} runs: {why}", pool.name));
            }
        }
    }
    Ok(())
}

/// Why its program cannot be started; `None` when it is there.
fn missing(launch: &Launch, path: Option<OsString>) -> Option<String> {
    let program = Path::new(launch.run.first()?);
    if launch.directory.as_ref().is_some_and(|directory| !directory.is_dir()) {
        // The one that would say it is the shim.
        return Some(format!("there is no folder {}.", launch.directory.as_deref()?.display()));
    }
    let here = launch.directory.clone().unwrap_or_default();
    if program.components().count() > 1 || program.is_absolute() {
        return match fs::metadata(here.join(program)) {
            Ok(found) if found.is_dir() => Some("it is a folder.".into()),
            Ok(found) if found.permissions().mode() & 0o111 == 0 => {
                Some("it is not executable. Say chmod +x.".into())
            }
            Ok(_) => None,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Some("there is no such file.".into())
            }
            Err(error) => Some(format!("{error}.")),
        };
    }
    let own = launch.env.iter().rfind(|(name, _)| name == "PATH").map(|(_, value)| value.into());
    let path = own.or(path).unwrap_or_else(|| PATH_USUAL.into());
    let is_it = |folder: PathBuf| is_program(&here.join(folder).join(program));
    let found = std::env::split_paths(&path).any(is_it);
    (!found).then(|| "there is no program of that name in PATH. Install it, or say where it is.".into())
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(program: &str, directory: Option<&Path>, path: &Path) -> Option<String> {
        let run = vec![program.to_owned(), "--port".to_owned()];
        missing(&Launch { run, directory: directory.map(Into::into), env: Vec::new() }, Some(path.into()))
    }

    #[test]
    fn a_program_is_found_as_the_system_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let (there, plain) = (folder.path().join("serve"), folder.path().join("notes"));
        fs::write(&there, "").unwrap();
        fs::write(&plain, "").unwrap();
        fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(why("serve", None, folder.path()), None);
        assert_eq!(why(&there.display().to_string(), None, Path::new("")), None);
        assert_eq!(why("./serve", Some(folder.path()), Path::new("")), None);

        assert!(why("notes", None, folder.path()).unwrap().contains("in PATH"));
        assert!(why("server", None, folder.path()).unwrap().contains("in PATH"));
        assert!(why("./server", Some(folder.path()), folder.path()).unwrap().contains("no such file"));
        assert!(why("./notes", Some(folder.path()), folder.path()).unwrap().contains("chmod +x"));
        assert!(
            why("serve", Some(&folder.path().join("gone")), folder.path()).unwrap().contains("no folder")
        );
    }

    #[test]
    fn the_path_of_the_launch_counts() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("serve");
        fs::write(&there, "").unwrap();
        fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).unwrap();
        let env = vec![("PATH".to_owned(), folder.path().display().to_string())];
        let launch = Launch { run: vec!["serve".into()], directory: None, env };
        assert_eq!(missing(&launch, None), None);
    }
}
