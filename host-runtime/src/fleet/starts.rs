//! How many connections may be starting at one server at the same time.
//!
//! An sshd drops connections at random once ten of them are not logged in yet (`MaxStartups 10:30:100`), and a jump host
//! has one sshd for all the hosts behind it. Those who wait are served in the order in which they came. Not for: how
//! many hosts are worked on ([`super::Limits::jobs`]).

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, PollFlags, eventfd};

use crate::until::{Until, Wake};

/// Counts the connections that are starting, for each gate on its own.
pub(super) struct Starts {
    limit: usize,
    gates: Mutex<HashMap<String, Gate>>,
}

#[derive(Default)]
struct Gate {
    busy: usize,
    /// Each is readable once the slot is its own.
    waiting: VecDeque<Arc<OwnedFd>>,
}

/// A connection that is starting. Dropped when it is logged in, or has failed.
pub(super) struct Start<'s> {
    starts: &'s Starts,
    gate: String,
}

/// Why there is no slot.
#[derive(Debug)]
pub(super) enum NoStart {
    /// [`Wake::Deadline`] or [`Wake::Cancelled`].
    Over(Wake),
    /// The system refused.
    System(std::io::Error),
}

impl Starts {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), gates: Mutex::default() }
    }

    /// Waits for a slot at this gate.
    pub(super) fn acquire(&self, gate: &str, until: &Until) -> Result<Start<'_>, NoStart> {
        if let Some(over) = until.over() {
            return Err(NoStart::Over(over));
        }
        let turn = {
            let mut gates = self.gates();
            let slots = gates.entry(gate.to_owned()).or_default();
            if slots.busy < self.limit {
                slots.busy += 1;
                None
            } else {
                let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
                let turn = Arc::new(eventfd(0, flags).map_err(|error| NoStart::System(error.into()))?);
                slots.waiting.push_back(Arc::clone(&turn));
                Some(turn)
            }
        };
        // From here on it is ours, or stands in the queue.
        let start = || Start { starts: self, gate: gate.to_owned() };
        let Some(turn) = turn else { return Ok(start()) };
        let woken = until.wait(turn.as_fd(), PollFlags::IN);
        if matches!(woken, Ok(Wake::Ready)) {
            return Ok(start());
        }
        let mut gates = self.gates();
        let slots = gates.entry(gate.to_owned()).or_default();
        let before = slots.waiting.len();
        slots.waiting.retain(|other| !Arc::ptr_eq(other, &turn));
        if slots.waiting.len() == before {
            // It was handed over while we gave up: the next one gets it.
            drop(gates);
            drop(start());
        }
        Err(woken.map_or_else(NoStart::System, NoStart::Over))
    }

    fn gates(&self) -> MutexGuard<'_, HashMap<String, Gate>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Start<'_> {
    fn drop(&mut self) {
        let mut gates = self.starts.gates();
        let Some(slots) = gates.get_mut(&self.gate) else { return };
        match slots.waiting.pop_front() {
            // A fresh eventfd takes a one.
            Some(next) => drop(rustix::io::write(&*next, &1u64.to_ne_bytes())),
            None => {
                slots.busy -= 1;
                if slots.busy == 0 {
                    gates.remove(&self.gate);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::until::Cancel;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn forever() -> (Cancel, Until) {
        let cancel = Cancel::new().expect("an eventfd");
        let until = Until::after(Duration::from_secs(60), &cancel);
        (cancel, until)
    }

    fn waiting(starts: &Starts, gate: &str) -> usize {
        starts.gates().get(gate).map_or(0, |slots| slots.waiting.len())
    }

    fn wait_for(what: impl Fn() -> bool) {
        let begun = std::time::Instant::now();
        while !what() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it never happened");
            std::thread::yield_now();
        }
    }

    #[test]
    fn no_more_than_the_limit_start_at_one_gate_and_another_gate_is_free() {
        let (starts, (_cancel, until)) = (Starts::new(3), forever());
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let _start = starts.acquire("bastion", &until).unwrap_or_else(|_| panic!("a slot"));
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // All of them crowd in here, so the limit is reached.
                    wait_for(|| most.load(Ordering::SeqCst) == 3);
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 3);
        assert!(starts.gates().is_empty(), "gates that nobody uses are forgotten");
        let _held: Vec<_> = (0..3).map(|_| starts.acquire("bastion", &until)).collect();
        assert!(starts.acquire("elsewhere", &until).is_ok());
    }

    #[test]
    fn those_who_wait_are_served_in_the_order_in_which_they_came() {
        let (starts, (_cancel, until)) = (Starts::new(1), forever());
        let held = starts.acquire("gate", &until).unwrap_or_else(|_| panic!("a slot"));
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for n in 0..5 {
                let (starts, until, order) = (&starts, &until, &order);
                scope.spawn(move || {
                    let _start = starts.acquire("gate", until).unwrap_or_else(|_| panic!("a slot"));
                    order.lock().expect("no panic").push(n);
                });
                wait_for(|| waiting(starts, "gate") == n + 1);
            }
            drop(held);
        });
        assert_eq!(order.into_inner().expect("no panic"), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_slot_that_is_handed_to_one_who_gives_up_goes_on_to_the_next() {
        // Which of the two comes first is up to the machine; both must leave nothing behind.
        for _ in 0..500 {
            let (starts, (cancel, until)) = (Starts::new(1), forever());
            let held = starts.acquire("gate", &until).unwrap_or_else(|_| panic!("a slot"));
            std::thread::scope(|scope| {
                scope.spawn(|| drop(starts.acquire("gate", &until)));
                wait_for(|| waiting(&starts, "gate") == 1);
                scope.spawn(|| cancel.cancel());
                drop(held);
            });
            assert!(starts.gates().is_empty());
        }
    }

    #[test]
    fn a_deadline_or_a_cancellation_ends_the_wait_and_loses_no_slot() {
        let (starts, (cancel, until)) = (Starts::new(1), forever());
        let held = starts.acquire("gate", &until).unwrap_or_else(|_| panic!("a slot"));
        let soon = until.sooner(Duration::from_millis(5));
        assert!(matches!(starts.acquire("gate", &soon), Err(NoStart::Over(Wake::Deadline))));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| starts.acquire("gate", &until).err());
            wait_for(|| waiting(&starts, "gate") == 1);
            cancel.cancel();
            assert!(matches!(waiter.join().expect("no panic"), Some(NoStart::Over(Wake::Cancelled))));
        });
        drop(held);
        let (_cancel, until) = forever();
        assert!(starts.acquire("gate", &until).is_ok());
        assert!(starts.gates().is_empty());
    }
}
