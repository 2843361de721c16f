//! How long a call may run: processor time for the guest, and a while after the call's time is over.
//!
//! A thread ticks the engine's epoch; at each tick a running guest comes by here. What counts against it is the
//! processor time of its thread, without what the host itself spends in the guest's `probe`, `run` and `pause`. So a slow
//! `apt-get` does not kill a healthy guest, and neither does a machine that is busy with two hundred others.
//! Not for: waiting ([`crate::until`]); a blocked host call is ended there.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::Limits;
use crate::until::{Until, Wake};

/// How often the epoch ticks: how late the end of a guest that does not stop by itself may be.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Ticks the epoch for as long as somebody holds the engine. Holds it only weakly, so nothing needs to be shut down.
pub(super) fn tick(engine: &wasmtime::Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let ticker = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new().name("epoch".to_owned()).stack_size(64 << 10).spawn(ticker).map(drop)
}

/// Why a guest was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It used up its processor time.
    Cpu,
    /// The call's deadline passed, and the while after it.
    Deadline,
    /// The run was cancelled, and the while after it passed.
    Cancelled,
}

/// The time of one call.
#[derive(Debug)]
pub(super) struct Budget {
    until: Until,
    cpu: Duration,
    wind_down: Duration,
    /// The thread's processor time when the call began, moved on by what the host spent itself.
    began: Duration,
    /// When the call's time was first seen to be over.
    over: Option<Instant>,
    stopped: Option<Stopped>,
}

impl Budget {
    /// Begins now, on this thread.
    pub(super) fn begin(limits: &Limits, until: &Until) -> Self {
        Self {
            until: until.clone(),
            cpu: Duration::from_millis(limits.cpu_ms),
            wind_down: Duration::from_millis(limits.wind_down_ms),
            began: thread_time(),
            over: None,
            stopped: None,
        }
    }

    /// Runs the host's own work, which is not the guest's time.
    pub(super) fn away<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let left = thread_time();
        let result = work();
        self.began += thread_time().saturating_sub(left);
        result
    }

    /// What a tick finds: whether the guest must end now.
    pub(super) fn check(&mut self) -> Option<Stopped> {
        let now = Instant::now();
        let over = self.until.over();
        let stopped = if thread_time().saturating_sub(self.began) > self.cpu {
            Some(Stopped::Cpu)
        } else if over.is_some() && now.duration_since(*self.over.get_or_insert(now)) >= self.wind_down {
            Some(if over == Some(Wake::Cancelled) { Stopped::Cancelled } else { Stopped::Deadline })
        } else {
            None
        };
        self.stopped = self.stopped.or(stopped);
        self.stopped
    }

    /// Why the guest was ended, if it was.
    pub(super) fn stopped(&self) -> Option<Stopped> {
        self.stopped
    }
}

/// The processor time of this thread so far.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::until::Cancel;

    fn spin(time: Duration) {
        let end = thread_time() + time;
        while thread_time() < end {
            std::hint::spin_loop();
        }
    }

    fn limits(cpu_ms: u64, wind_down_ms: u64) -> Limits {
        Limits { cpu_ms, wind_down_ms, ..Limits::default() }
    }

    #[test]
    fn the_guests_own_time_counts_and_waiting_and_the_hosts_work_do_not() {
        let until = Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd"));
        let mut budget = Budget::begin(&limits(20, 0), &until);
        budget.away(|| spin(Duration::from_millis(40)));
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(budget.check(), None);
        spin(Duration::from_millis(25));
        assert_eq!(budget.check(), Some(Stopped::Cpu));
        assert_eq!(budget.stopped(), Some(Stopped::Cpu));
    }

    #[test]
    fn after_the_deadline_a_guest_has_a_while_and_a_cancellation_is_told_apart() {
        let cancel = Cancel::new().expect("an eventfd");
        let mut budget = Budget::begin(&limits(60_000, 20), &Until::after(Duration::ZERO, &cancel));
        assert_eq!(budget.check(), None, "the first look begins the while");
        std::thread::sleep(Duration::from_millis(25));
        assert_eq!(budget.check(), Some(Stopped::Deadline));

        cancel.cancel();
        let mut budget = Budget::begin(&limits(60_000, 0), &Until::after(Duration::from_secs(60), &cancel));
        assert_eq!(budget.check(), Some(Stopped::Cancelled));
    }
}
