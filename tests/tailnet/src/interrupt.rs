//! Ends the labs of this process when it is told to end: Ctrl-C, SIGTERM, or its terminal went away.
//!
//! Not for: SIGKILL, after which the next lab's start ends what was left ([`crate::traces::sweep`]).

use std::sync::{Mutex, Once, PoisonError, RwLock, RwLockReadGuard};

use tokio::signal::unix::{SignalKind, signal};

static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static ONCE: Once = Once::new();
static GATE: RwLock<()> = RwLock::new(());

/// Held by whoever adds something to a lab. Once this process ends, nobody gets it any more: else another thread would
/// go on making what is being ended.
pub(crate) fn adding() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

/// From now on, a signal ends the lab of that name too, and then this process.
pub(crate) fn end_on_signal(name: &str) {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
    ONCE.call_once(|| {
        std::thread::spawn(|| {
            if let Err(error) = wait() {
                eprintln!("lab: signals are not heard: {error}");
            }
        });
    });
}

fn wait() -> std::io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hangup.recv() => {} }
        // Never let go: the end of the process is the next thing.
        let _nobody_adds = GATE.write().unwrap_or_else(PoisonError::into_inner);
        for name in NAMES.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Err(error) = crate::traces::down(&name) {
                eprintln!("lab: {error:#}");
            }
        }
        std::process::exit(130)
    })
}
