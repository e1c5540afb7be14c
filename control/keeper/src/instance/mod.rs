//! An instance's own small parent, a process of its own: the shim. It starts the application, passes its output on, and
//! ends it with everything that it ever started, however deep it hid. It goes on doing that when the keeper is gone,
//! even by `kill -9`. Decides nothing: the keeper says what is started and when it ends.

mod output;
mod shim;
mod start;

use crate::Program;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::process::ExitCode;
use tentpole_model::Launch;

/// From the keeper to a shim.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum ToShim {
    /// The first word: what it starts. Not in its arguments, where everybody could read the environment's secrets.
    Launch {
        /// In front of each line of output.
        name: String,
        /// What is started.
        launch: Launch,
        /// Becomes the environment variable `PORT`.
        port: u16,
        /// Starts the second stage.
        program: Program,
        /// Its limit on open files; `None` is unlimited.
        open_files: Option<u64>,
    },
    /// SIGTERM to the application's process.
    Terminate,
    /// End it with all its processes.
    Kill,
}

/// From a shim to the keeper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromShim {
    /// The application's program runs.
    Started {
        /// Its process.
        pid: u32,
    },
    /// The last word: none of its processes is left.
    Exited {
        /// How its own process ended.
        how: String,
    },
}

/// `tentpole part instance`, with nothing behind it, is the shim: what it starts comes over standard input. With a command
/// behind it, it is the second stage, which the shim starts and which becomes that command.
pub fn run(command: &[OsString]) -> ExitCode {
    match command {
        [] => shim::run(),
        [program, arguments @ ..] => start::run(program, arguments),
    }
}
