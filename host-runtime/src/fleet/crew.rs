//! The threads of a run: one for each host in flight, and the one that waits for them.
//!
//! A host's worker blocks where it must and ends when its [`Until`] does. A worker that does not come back within the
//! grace of a cancellation is left behind: the run is over without it, and nothing that it says later is heard. A panic
//! is the failure of one host. Not for: what is done on a host ([`super::visit`]), and in which order ([`super::turns`]).

use std::os::fd::{AsFd as _, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFlags, eventfd};

use super::Limits;
use super::turns::{Next, Permission, Turns};
use crate::event::{Event, HostResult, Tell};
use crate::failure::{Failed, Kind};
use crate::until::{Cancel, Until, Wake};

/// What is done on one host.
pub(super) trait Work: Send + Sync + 'static {
    /// Called on a thread of its own; twice for a host that was parked.
    fn on(&self, seat: &Seat<'_>) -> Turn;
}

/// How a worker's time with a host ended.
#[expect(clippy::large_enum_variant, reason = "there is one for each host in flight")]
pub(super) enum Turn {
    /// It is finished.
    Done(HostResult),
    /// It waits until it is known whether the secret works.
    Park,
}

/// A worker's place in the run, while it works on one host.
pub(super) struct Seat<'c> {
    crew: &'c Crew,
    host: usize,
    until: Until,
}

impl Seat<'_> {
    /// The host's place in the run.
    pub(super) fn host(&self) -> usize {
        self.host
    }

    /// The deadline of this host, and the cancellation of the run.
    pub(super) fn until(&self) -> &Until {
        &self.until
    }

    /// Where events go, until the run is over.
    pub(super) fn tell(&self) -> Arc<dyn Tell + Send + Sync> {
        Arc::clone(&self.crew.ear) as _
    }

    /// The plan needs no secret, so nobody has to wait for this host.
    pub(super) fn needs_no_secret(&self) {
        self.crew.turns().decided(self.host);
        self.crew.news.notify_all();
    }

    /// The plan needs a secret: may it be used? That it needs one becomes known together with the answer, or a host
    /// behind it could go first.
    pub(super) fn permission(&self) -> Permission {
        let permission = self.crew.turns().permission(self.host);
        self.crew.news.notify_all();
        permission
    }

    /// From here on something may change on the host.
    pub(super) fn changing(&self) {
        self.crew.turns().changing(self.host);
    }
}

/// Hears the workers until the run is over.
struct Ear {
    open: Mutex<bool>,
    tell: Arc<dyn Tell + Send + Sync>,
}

impl Tell for Ear {
    fn tell(&self, event: Event) {
        // Held while it speaks: after the close not a word comes through.
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if *open {
            self.tell.tell(event);
        }
    }
}

struct Crew {
    names: Vec<String>,
    work: Box<dyn Work>,
    timeout: Duration,
    cancel: Cancel,
    ear: Arc<Ear>,
    turns: Mutex<Turns>,
    /// Something in `turns` has changed.
    news: Condvar,
    began: Vec<Mutex<Option<Instant>>>,
    /// Readable once no worker has anything left to do.
    over: OwnedFd,
}

/// Works on all hosts, and returns when each has a result, in their order; or soon after the cancellation.
///
/// # Errors
/// When the system has no descriptor or thread left to begin with.
pub(super) fn run(
    names: Vec<String>,
    work: Box<dyn Work>,
    limits: &Limits,
    cancel: &Cancel,
    tell: Arc<dyn Tell + Send + Sync>,
) -> std::io::Result<Vec<HostResult>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let hosts = names.len();
    let crew = Arc::new(Crew {
        turns: Mutex::new(Turns::new(names.clone(), limits.serial, limits.max_fail).failed_before(limits.failed)),
        began: names.iter().map(|_| Mutex::new(None)).collect(),
        names,
        work,
        timeout: limits.timeout,
        cancel: cancel.clone(),
        ear: Arc::new(Ear { open: Mutex::new(true), tell }),
        news: Condvar::new(),
        over: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
    });
    for worker in 0..limits.jobs.clamp(1, hosts) {
        let own = Arc::clone(&crew);
        let spawned = std::thread::Builder::new()
            .name(format!("host-{worker}"))
            .stack_size(limits.stack)
            .spawn(move || own.worker());
        match spawned {
            Ok(_) => {}
            // Fewer do it too.
            Err(_) if worker > 0 => break,
            Err(error) => return Err(error),
        }
    }
    let ended = Until::after(Duration::MAX, cancel).wait(crew.over.as_fd(), PollFlags::IN)?;
    if ended == Wake::Cancelled {
        crew.stop(Turns::cancel);
        // A cancellation of its own: the run's has been used up.
        Until::after(limits.grace, &Cancel::new()?).wait(crew.over.as_fd(), PollFlags::IN)?;
        crew.stop(Turns::abandon);
    }
    *crew.ear.open.lock().unwrap_or_else(PoisonError::into_inner) = false;
    let turns = crew.turns();
    Ok((0..hosts).filter_map(|host| turns.result(host).cloned()).collect())
}

impl Crew {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worker(&self) {
        while let Some(host) = self.next() {
            let until = Until::after(self.timeout, &self.cancel);
            self.began[host].lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
            let seat = Seat { crew: self, host, until };
            // Whatever a panic leaves behind belongs to this host, which is given up.
            let turn = std::panic::catch_unwind(AssertUnwindSafe(|| self.work.on(&seat)))
                .unwrap_or_else(|panic| Turn::Done(HostResult::Failed(self.panicked(host, panic.as_ref()))));
            match turn {
                Turn::Park => self.turns().park(host, Instant::now()),
                Turn::Done(result) => {
                    // Told before anybody can see that this was the last one, and not after it was given up.
                    let mut turns = self.turns();
                    if turns.result(host).is_none() {
                        self.tell_done(host, result.clone());
                        turns.finish(host, result);
                    }
                }
            }
            self.tell_untold(&mut self.turns());
            self.news.notify_all();
        }
    }

    fn next(&self) -> Option<usize> {
        let mut turns = self.turns();
        loop {
            // Nothing new is begun, even before the run itself has noticed.
            if self.cancel.is_cancelled() {
                turns.cancel();
            }
            match turns.next(Instant::now()) {
                Next::Host(host) => return Some(host),
                Next::Over => {
                    self.tell_untold(&mut turns);
                    self.news.notify_all();
                    // An eventfd takes more ones than there are workers.
                    let _ = rustix::io::write(&self.over, &1u64.to_ne_bytes());
                    return None;
                }
                Next::Wait(None) => turns = self.news.wait(turns).unwrap_or_else(PoisonError::into_inner),
                Next::Wait(Some(time)) => {
                    turns = self.news.wait_timeout(turns, time).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// The failure of a host whose work panicked.
    fn panicked(&self, host: usize, panic: &(dyn std::any::Any + Send)) -> Failed {
        let words =
            panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let mut failed = Failed::host(
            Kind::Internal,
            "a defect in this program ended the work on this host",
            Some(format!(
                "found: {}\nmeans: nothing is wrong with the host or the file\ndo: report it, with this text; {{run status \
                 @hosts}} says how the host is",
                words.unwrap_or("a panic without words")
            )),
        );
        failed.changed = self.turns().changed(host);
        failed
    }

    fn tell_done(&self, host: usize, result: HostResult) {
        let began = *self.began[host].lock().unwrap_or_else(PoisonError::into_inner);
        let millis = began.map_or(0, |began| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        self.ear.tell(Event::Done { host: self.names[host].clone(), result, millis });
    }

    fn tell_untold(&self, turns: &mut Turns) {
        for host in turns.untold() {
            if let Some(result) = turns.result(host) {
                self.tell_done(host, result.clone());
            }
        }
    }

    fn stop(&self, how: impl FnOnce(&mut Turns)) {
        let mut turns = self.turns();
        how(&mut turns);
        self.tell_untold(&mut turns);
        self.news.notify_all();
    }
}

#[cfg(test)]
mod tests;
