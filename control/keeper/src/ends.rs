//! What signals want of the keeper. Decides nothing.

use std::io::{self, IsTerminal};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end it, or have it read its configuration again.
pub(crate) struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    upgrade: Signal,
    /// Which of its standard streams are a terminal.
    terminals: [bool; 3],
}

/// What a signal wants.
pub(crate) enum Heard {
    End,
    Reload,
    Upgrade,
}

impl Ends {
    /// Hears them from now on.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
            terminals: terminals(),
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.interrupt.recv() => Heard::End,
            _ = self.terminate.recv() => Heard::End,
            _ = self.upgrade.recv() => Heard::Upgrade,
            // The kernel says the same when the terminal is closed, and then it is one no longer.
            _ = self.hangup.recv() => match terminals() == self.terminals {
                true => Heard::Reload,
                false => Heard::End,
            },
        }
    }
}

/// Which of the standard streams are a terminal that is there.
fn terminals() -> [bool; 3] {
    [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()]
}
