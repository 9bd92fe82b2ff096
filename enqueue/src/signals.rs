//! Signals, as a command sees them.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the user or the system asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Ctrl+C: undo what this command began.
    Interrupt,
    /// SIGTERM or SIGHUP, as in a reboot or a lost connection: go away, and leave the import to itself.
    Detach,
}

/// The signals that arrived since it was made.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Begins to listen: from here on these signals no longer end the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Detach,
            _ = self.hang_up.recv() => Asked::Detach,
        }
    }
}
