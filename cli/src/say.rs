//! Messages to the person at the terminal: on standard error, with colours only when it is a terminal and
//! `NO_COLOR` is not set.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use tentpole_config::Report;

/// Whether standard error takes colours.
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// How wide the terminal is, where standard error is one.
fn terminal_columns() -> Option<usize> {
    const USUAL: u16 = 80;
    let stderr = std::io::stderr();
    let told = || rustix::termios::tcgetwinsize(&stderr).map_or(0, |size| size.ws_col);
    stderr.is_terminal().then(told).map(|columns| usize::from(if columns > 0 { columns } else { USUAL }))
}

/// How wide the terminal is to which [`out`] writes, where it is one.
pub fn out_columns() -> Option<usize> {
    let stdout = std::io::stdout();
    let told = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| size.ws_col);
    (stdout.is_terminal() && told > 0).then_some(usize::from(told))
}

/// Prints what is wrong with a configuration.
pub fn report(report: &Report) {
    match terminal_columns() {
        Some(columns) => text(&report.at_terminal(columns, colours())),
        None => text(report),
    }
}

/// Prints one error in the form of clap's, so that all errors look alike.
pub fn error(message: &str) {
    let label = if colours() { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
    text(&format_args!("{label} {message}\n"));
}

/// Prints something that one should know and that stops nothing.
pub fn warning(message: &str) {
    text(&warning_text(message));
}

/// The same, for who prints it elsewhere.
pub fn warning_text(message: &str) -> String {
    let label = if colours() { "\x1b[1;33mwarning:\x1b[0m" } else { "warning:" };
    format!("{label} {message}\n")
}

/// Prints on standard error what is neither error nor warning.
pub fn aside(what: &str) {
    text(&what);
}

/// A closed standard error is no reason to fail.
fn text(what: &dyn Display) {
    let _ = write!(std::io::stderr().lock(), "{what}");
}

/// Prints to standard output; false when nobody reads any more.
pub fn out(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}
