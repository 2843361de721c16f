//! The same for each of many hosts, where there is neither a plan nor an apply: looking at keys, examining machines.
//!
//! Not for: bringing hosts to a goal ([`super::run`]), where one may have to wait for another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Limits;
use super::dial::{Connect, dial, no_start};
use super::starts::{Start, Starts};
use crate::failure::Failed;
use crate::transport::Transport;
use crate::until::{Cancel, Until};

/// What keeps connections to one server, or through one bastion, from starting all at once.
pub struct Gates(Starts);

/// A connection that is starting. Dropped when it has started, or failed.
pub struct Starting<'g> {
    _start: Start<'g>,
}

impl Gates {
    /// Waits until one more connection may start here.
    ///
    /// # Errors
    /// When the time is up, or the run was cancelled.
    pub fn start(&self, gate: &str, until: &Until) -> Result<Starting<'_>, Failed> {
        self.0.acquire(gate, until).map(|start| Starting { _start: start }).map_err(no_start)
    }

    /// Connects to the host at this place and logs in, as a run does, with its repetitions.
    ///
    /// # Errors
    /// Why there is no connection.
    pub fn reach(&self, connect: &dyn Connect, host: usize, until: &Until) -> Result<Box<dyn Transport>, Failed> {
        let route = connect.route(host, until)?;
        dial(route.as_ref(), host, &self.0, until).map_err(|failed| failed.of_user(route.user()))
    }
}

/// Does it for each of `count` hosts, at most [`Limits::jobs`] at a time, each until [`Limits::timeout`] or the
/// cancellation. The results stand in the order of the hosts.
pub fn each<T: Send>(
    count: usize,
    limits: &Limits,
    cancel: &Cancel,
    work: impl Fn(usize, &Gates, &Until) -> T + Sync,
) -> Vec<T> {
    let gates = Gates(Starts::new(limits.starts));
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<T>>> = (0..count).map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..limits.jobs.clamp(1, count.max(1)) {
            scope.spawn(|| {
                loop {
                    let host = next.fetch_add(1, Ordering::Relaxed);
                    let Some(result) = results.get(host) else { break };
                    let done = work(host, &gates, &Until::after(limits.timeout, cancel));
                    *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                }
            });
        }
    });
    results.into_iter().filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_is_worked_on_once_and_the_results_stand_in_their_order() {
        let cancel = Cancel::new().expect("an eventfd");
        let limits = Limits { jobs: 7, ..Limits::default() };
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let results = each(100, &limits, &cancel, |host, _, _| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            host
        });
        assert_eq!(results, (0..100).collect::<Vec<_>>());
        assert!(most.into_inner() <= 7);
        assert_eq!(each(0, &limits, &cancel, |host, _, _| host), [0; 0]);
    }
}
