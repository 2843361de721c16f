//! The one thing that ever waits: a deadline and a cancellation, on `poll`.
//!
//! Every call that can block takes an [`Until`]. Waiting is for a descriptor, for time, or for both, and ends at once
//! when the run is cancelled. Not for: time-outs of commands on the far side; those are ended there, by `timeout`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// Cancels every [`Until`] that was made from it, also those that are waiting now.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cancelled: AtomicBool,
    /// Readable for ever once cancelled; nobody reads it, so that every waiter wakes.
    wake: OwnedFd,
}

impl Cancel {
    /// A cancellation that has not happened yet.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Inner { cancelled: AtomicBool::new(false), wake })))
    }

    /// Ends every wait, now and later. Saying it twice changes nothing.
    pub fn cancel(&self) {
        if !self.0.cancelled.swap(true, Ordering::SeqCst) {
            // An eventfd at zero takes a one; there is no other writer.
            let _ = rustix::io::write(&self.0.wake, &1u64.to_ne_bytes());
        }
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The descriptor is ready, or for a plain sleep: the time has passed.
    Ready,
    /// The deadline passed.
    Deadline,
    /// The run was cancelled.
    Cancelled,
}

/// Until when something may take: a deadline on the monotonic clock, and a cancellation.
#[derive(Debug, Clone)]
pub struct Until {
    deadline: Instant,
    cancel: Cancel,
}

/// A year: what "no limit" means, so that instants can be added without overflow.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl Until {
    /// From now on, `limit` long at most.
    #[must_use]
    pub fn after(limit: Duration, cancel: &Cancel) -> Self {
        Self { deadline: Instant::now() + limit.min(FOREVER), cancel: cancel.clone() }
    }

    /// The same cancellation with a deadline at most `limit` from now: never later than this one's own.
    #[must_use]
    pub fn sooner(&self, limit: Duration) -> Self {
        Self { deadline: self.deadline.min(Instant::now() + limit.min(FOREVER)), cancel: self.cancel.clone() }
    }

    /// The deadline.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left, or zero.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// `Some` when there is nothing left to wait for: cancelled or past the deadline, the former first.
    #[must_use]
    pub fn over(&self) -> Option<Wake> {
        if self.cancel.is_cancelled() {
            Some(Wake::Cancelled)
        } else if self.remaining().is_zero() {
            Some(Wake::Deadline)
        } else {
            None
        }
    }

    /// Waits until `fd` is ready for `flags` (or has an error or a hang-up, which is ready too).
    ///
    /// # Errors
    /// When the system refuses to poll.
    pub fn wait(&self, fd: BorrowedFd<'_>, flags: PollFlags) -> std::io::Result<Wake> {
        self.wait_any(&[PollFd::from_borrowed_fd(fd, flags)])
    }

    /// Waits until one of `fds` is ready for its flags (or has an error or a hang-up). Which one is found out by trying.
    ///
    /// # Errors
    /// When the system refuses to poll.
    pub fn wait_any(&self, fds: &[PollFd<'_>]) -> std::io::Result<Wake> {
        self.poll(fds, self.deadline, Wake::Deadline)
    }

    /// Sleeps for `time`; [`Wake::Ready`] when all of it has passed.
    ///
    /// # Errors
    /// When the system refuses to poll.
    pub fn sleep(&self, time: Duration) -> std::io::Result<Wake> {
        let end = Instant::now() + time.min(FOREVER);
        if end < self.deadline {
            self.poll(&[], end, Wake::Ready)
        } else {
            self.poll(&[], self.deadline, Wake::Deadline)
        }
    }

    /// Waits for any of `fds`, the cancellation, or `end`, which reads as `at_end`.
    fn poll(&self, fds: &[PollFd<'_>], end: Instant, at_end: Wake) -> std::io::Result<Wake> {
        let mut all: Vec<PollFd<'_>> = Vec::with_capacity(fds.len() + 1);
        all.push(PollFd::from_borrowed_fd(self.cancel.0.wake.as_fd(), PollFlags::IN));
        all.extend(fds.iter().cloned());
        loop {
            if self.cancel.is_cancelled() {
                return Ok(Wake::Cancelled);
            }
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match poll(&mut all, Some(&timeout)) {
                Ok(0) if Instant::now() >= end => return Ok(at_end),
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) if !all[0].revents().is_empty() => return Ok(Wake::Cancelled),
                Ok(_) => return Ok(Wake::Ready),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancel() -> Cancel {
        Cancel::new().expect("an eventfd")
    }

    #[test]
    fn a_sleep_ends_ready_and_a_deadline_ends_it_sooner() {
        let cancel = cancel();
        let until = Until::after(Duration::from_secs(60), &cancel);
        assert_eq!(until.sleep(Duration::from_millis(5)).expect("poll"), Wake::Ready);
        let until = until.sooner(Duration::from_millis(5));
        assert_eq!(until.sleep(Duration::from_secs(60)).expect("poll"), Wake::Deadline);
        assert_eq!(until.over(), Some(Wake::Deadline));
    }

    #[test]
    fn a_cancellation_wakes_every_waiter_and_wins_over_the_deadline() {
        let cancel = cancel();
        let until = Until::after(Duration::from_secs(60), &cancel);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let until = until.clone();
                std::thread::spawn(move || until.sleep(Duration::from_secs(30)).expect("poll"))
            })
            .collect();
        cancel.cancel();
        cancel.cancel();
        for waiter in waiters {
            assert_eq!(waiter.join().expect("no panic"), Wake::Cancelled);
        }
        assert_eq!(until.sooner(Duration::ZERO).over(), Some(Wake::Cancelled));
    }

    #[test]
    fn a_descriptor_that_is_ready_or_hung_up_is_ready() {
        let cancel = cancel();
        let until = Until::after(Duration::from_secs(60), &cancel);
        let (read, write) = rustix::pipe::pipe().expect("a pipe");
        drop(write);
        assert_eq!(until.wait(read.as_fd(), PollFlags::IN).expect("poll"), Wake::Ready);
        let (quiet, _keep) = rustix::pipe::pipe().expect("a pipe");
        let both = [&quiet, &read].map(|fd| PollFd::new(fd, PollFlags::IN));
        assert_eq!(until.wait_any(&both).expect("poll"), Wake::Ready);
    }
}
