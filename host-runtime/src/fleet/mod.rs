//! Many hosts at once.
//!
//! Each host in flight has a thread of its own on which everything blocks (`crew`); `turns` says which host is next
//! and lets one alone try the secret; `starts` keeps to what a server allows; `dial` tries again where nothing can
//! have run; `visit` is what is done on each. Results come in the order of the hosts, whatever order they finished in.
//! Not for: one host's way through plan and apply ([`crate::host`]), signals and exit codes (the binary), rendering.

mod approved;
mod crew;
mod dial;
mod each;
mod members;
mod over_ssh;
mod starts;
mod turns;
mod visit;

use std::sync::Arc;
use std::time::Duration;

pub use approved::run_approved;
pub use dial::{Connect, Refused, Route};
pub use each::{Gates, Starting, each};
pub use over_ssh::{Ahead, OverSsh};
pub use visit::{Act, Member, Task};

use crate::event::{HostResult, Tell};
use crate::until::Cancel;
use starts::Starts;
use visit::Visit;

/// What a run may take at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Hosts in flight.
    pub jobs: usize,
    /// Hosts of one batch: the next one begins when all of it have ended. None: all hosts are one batch.
    pub serial: Option<usize>,
    /// Once more hosts than this have failed, nothing more is begun, and the others are not tried.
    pub max_fail: Option<usize>,
    /// So many have failed before this: they count, too.
    pub(crate) failed: usize,
    /// Connections that are starting at one server. sshd drops some from the eleventh on (`MaxStartups 10:30:100`).
    pub starts: usize,
    /// For one host, from its first attempt to its end; waiting until others are finished is not counted.
    pub timeout: Duration,
    /// How long hosts may take to end after a cancellation; then the run ends without them.
    pub grace: Duration,
    /// Stack of a host's thread, in bytes: [`crate::engine::Limits::stack`] and [`crate::engine::HOST_STACK`].
    pub stack: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            jobs: 32,
            serial: None,
            max_fail: None,
            failed: 0,
            starts: 8,
            // An install over a slow mirror, with the package lock held by another for some minutes.
            timeout: Duration::from_secs(15 * 60),
            // Less than the five seconds that are promised: results have to be written too, on a machine that is busy.
            grace: Duration::from_secs(3),
            stack: crate::engine::Limits::default().stack + crate::engine::HOST_STACK,
        }
    }
}

/// Does the task: every host on a thread of its own, and one result for each, in the order of the members. Each host is
/// told with [`crate::event::Event::Done`] when it is finished, and hosts that are one and the same member with
/// [`crate::event::Event::SameMember`] at the end. After a cancellation it returns within
/// [`Limits::grace`], whatever hangs.
///
/// # Errors
/// When the system has no thread or descriptor left to begin with.
pub fn run(
    task: Task,
    limits: &Limits,
    cancel: &Cancel,
    tell: Arc<dyn Tell + Send + Sync>,
) -> std::io::Result<Vec<HostResult>> {
    let names = task.members.iter().map(|member| member.name.clone()).collect();
    let act = task.act;
    let visit = Visit::new(Arc::new(task), act, Starts::new(limits.starts));
    members::heard(tell, |tell| crew::run(names, Box::new(visit), limits, cancel, tell))
}
