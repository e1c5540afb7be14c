//! The second stage of a start: between the shim and the application, in the application's own process. It ties the
//! application's life to the shim's and then becomes the application, or says why it cannot. That is all that would
//! otherwise need code between fork and exec.

use rustix::process::{Signal, set_parent_process_death_signal};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// What shells use for a command that cannot be run.
const CANNOT_RUN: u8 = 127;

/// Becomes the command. Standard input is a socket to the shim: it closes when that has worked, and carries the reason
/// when it has not.
pub(super) fn run(program: &OsStr, arguments: &[OsString]) -> ExitCode {
    let prepared = prepare();
    let Ok(mut to_shim) = prepared else { return ExitCode::from(CANNOT_RUN) };
    if is_closed(&mut to_shim) {
        return ExitCode::from(CANNOT_RUN);
    }
    let error = Command::new(program).args(arguments).exec();
    // Without a shim nobody wants to know.
    let _ = to_shim.write_all(reason(program, &error).as_bytes());
    ExitCode::from(CANNOT_RUN)
}

/// Frees standard input for the application, and lets the kernel end it with the shim.
fn prepare() -> io::Result<UnixStream> {
    // The copy closes at exec; the application gets nothing to read.
    let to_shim = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    to_shim.set_nonblocking(true)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    // Stays in force over exec, except into a program with more rights than ours.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(to_shim)
}

/// The shim ended before we had asked to be told.
fn is_closed(to_shim: &mut UnixStream) -> bool {
    matches!(to_shim.read(&mut [0]), Ok(0))
}

fn reason(program: &OsStr, error: &io::Error) -> String {
    let is_path = program.as_encoded_bytes().contains(&b'/');
    match error.kind() {
        io::ErrorKind::NotFound if !is_path => "not found in PATH".into(),
        io::ErrorKind::NotFound => {
            "there is no such file, or the program that its first line names is missing".into()
        }
        io::ErrorKind::PermissionDenied => "it is not executable (chmod +x)".into(),
        _ => error.to_string(),
    }
}
