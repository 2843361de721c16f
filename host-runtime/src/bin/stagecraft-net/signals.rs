//! Ctrl-C and SIGTERM: the first ends the run in an orderly way, the second ends the process at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use stagecraft_net::event::{Event, Tell as _};
use stagecraft_net::until::Cancel;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::passphrase;
use crate::report::Report;

/// Whether a signal came.
pub(crate) struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Listens from now on, on a thread of its own, and tells the report, once there is one. Where the system refuses that,
/// signals end the process as ever.
pub(crate) fn listen(cancel: Cancel, report: Arc<OnceLock<Arc<Report>>>) -> Interrupted {
    let came = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&came);
    let (ready, listening) = std::sync::mpsc::channel();
    let listener = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            let _ = ready.send(());
            for time in 0.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if time > 0 {
                    passphrase::restore_terminal();
                    std::process::exit(i32::from(Exit::Interrupted.code()));
                }
                flag.store(true, Ordering::SeqCst);
                if let Some(report) = report.get() {
                    report.tell(Event::Interrupted);
                }
                cancel.cancel();
            }
        });
    };
    if std::thread::Builder::new().name("signals".to_owned()).spawn(listener).is_ok() {
        // It says so, or is gone.
        let _ = listening.recv();
    }
    Interrupted(came)
}
