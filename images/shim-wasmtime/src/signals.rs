//! How a guest is told to stop.
//!
//! A guest is the first process of its PID namespace, for which Linux ignores SIGTERM unless
//! somebody handles it: without this module every deletion of a pod would wait for its grace
//! period to pass.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ends the process at the first SIGTERM, SIGINT or SIGQUIT.
///
/// The exit code is 128 + the signal, as a shell would report the death. Runs beside the guest, on
/// a thread of its own, so that a guest which never yields is stopped as well.
pub fn exit_when_told() {
    let mut told = Told::listen();
    tokio::spawn(async move { process::exit(128 + told.next().await) });
}

/// The signals that ask a process to stop, heard from the moment of `listen`.
pub struct Told {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Told {
    /// Starts to listen; needs a Tokio runtime.
    ///
    /// # Panics
    ///
    /// When the process may not install signal handlers, which no container forbids.
    pub fn listen() -> Self {
        let handle = |kind| signal(kind).expect("cannot install a signal handler");
        Self {
            terminate: handle(SignalKind::terminate()),
            interrupt: handle(SignalKind::interrupt()),
            quit: handle(SignalKind::quit()),
        }
    }

    /// Waits for the next one and answers its number.
    pub async fn next(&mut self) -> i32 {
        let kind = tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.quit.recv() => SignalKind::quit(),
        };
        kind.as_raw_value()
    }
}
