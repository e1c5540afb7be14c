//! May this host be loaded? This machine always; any other only when a person has said so: once at the terminal,
//! which is remembered, or with `--i-may-load` in a script.

use crate::say;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use tentpole_load::Plan;
use tentpole_report::words::load;

/// Hosts that are remembered.
const REMEMBERED_MAX: usize = 1_000;

/// Whether the plan's host may be loaded; says why not otherwise.
pub fn confirmed(plan: &Plan, allowed: &[String]) -> bool {
    let host = &plan.url.host;
    if plan.hosts.are_loopback() || allowed.iter().any(|name| name.eq_ignore_ascii_case(host)) {
        return true;
    }
    if remembered().lines().any(|line| line == host) {
        return true;
    }
    let addresses: Vec<String> =
        plan.hosts.all[0].addresses.iter().map(|address| address.ip().to_string()).collect();
    let addresses = addresses.join(", ");
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        say::error(&format!(
            "{host} ({addresses}) is not this machine. Loading somebody else's server without leave is an attack. \
             If you may load it, say so:\n  tentpole load {} --i-may-load {host}",
            plan.url
        ));
        return false;
    }
    say::aside(&question(plan, &addresses));
    if !is_yes(std::io::stdin().lock()) {
        say::aside("Nothing was sent.\n");
        return false;
    }
    remember(host);
    true
}

/// Names the host and what will happen.
fn question(plan: &Plan, addresses: &str) -> String {
    let host = &plan.url.host;
    format!(
        "{host} ({addresses}) is not this machine.\nUp to {} will load it until it breaks. Loading somebody \
         else's server without leave is an attack.\nMay you load {host}? Type yes to go on: ",
        load(plan.shape.load_max(), plan.model),
    )
}

/// Whether the next line is a clear yes; nothing else is.
fn is_yes(input: impl BufRead) -> bool {
    let mut answer = String::new();
    let read = input.take(1_000).read_line(&mut answer);
    read.is_ok() && answer.trim().eq_ignore_ascii_case("yes")
}

fn path() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("tentpole/confirmed-hosts"))
}

fn remembered() -> String {
    path().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
}

/// One host a line. That it could not be written costs another question next time.
fn remember(host: &str) {
    let Some(path) = path() else { return };
    if remembered().lines().count() >= REMEMBERED_MAX {
        return;
    }
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        writeln!(std::fs::OpenOptions::new().create(true).append(true).open(&path)?, "{host}")
    };
    if let Err(error) = write() {
        say::warning(&format!(
            "{}: cannot be written ({error}), so you will be asked again.",
            path.display()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_leave() {
        for (answer, leave) in [
            ("yes\n", true),
            (" YES \n", true),
            ("y\n", false),
            ("\n", false),
            ("", false),
            ("yes please\n", false),
        ] {
            assert_eq!(is_yes(answer.as_bytes()), leave, "{answer:?}");
        }
    }
}
