//! From a host to a connection: one of a limited number of starts, again when the server was too busy to talk.
//!
//! An attempt is repeated only when it ended before the login began: nothing of ours can have run. The pauses double,
//! and hosts do not pause equally long, or all of them would knock again at the same moment; no chance is in it, so that
//! two runs do the same. Not for: how a connection is made; that is [`crate::ssh`], or whatever stands in for it.

use std::time::Duration;

use super::starts::{NoStart, Starts};
use crate::failure::{Failed, Kind};
use crate::transport::Transport;
use crate::until::{Until, Wake};

/// Attempts for one host, the first included.
const ATTEMPTS: u32 = 4;
/// What one attempt may take: a server that drops packets must not use up the time of its host.
const ATTEMPT: Duration = Duration::from_secs(30);
/// The pause after the first attempt.
const PAUSE: Duration = Duration::from_millis(250);
/// By how much the pauses of neighbours differ, and how many different ones there are.
const STAGGER: (Duration, u32) = (Duration::from_millis(50), 16);

/// How hosts are reached.
pub trait Connect: Send + Sync {
    /// The way to the host at this place of the run. Reads files and may run `ssh -G`; connects to nothing.
    ///
    /// # Errors
    /// When it cannot be known where the host is.
    fn route(&self, host: usize, until: &Until) -> Result<Box<dyn Route>, Failed>;
}

/// The way to one host.
pub trait Route {
    /// The server whose limit on starting connections counts: the host, or what stands in front of it.
    fn gate(&self) -> &str;

    /// Who logs in there, where that is known.
    fn user(&self) -> Option<&str> {
        None
    }

    /// Which machine it leads to: `address:port`, whoever logs in and whatever stands in front of it. A plan that was
    /// approved for one machine is not done on another.
    fn at(&self) -> String {
        String::new()
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// See [`Refused`].
    fn connect(&self, until: &Until) -> Result<Box<dyn Transport>, Refused>;
}

/// A connection that could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub failed: Failed,
    /// Whether it ended before the login began and may be tried again: a refused or dropped connection, not a wrong
    /// host key.
    pub again: bool,
}

/// Connects, within the limits of the server.
pub(super) fn dial(
    route: &dyn Route,
    host: usize,
    starts: &Starts,
    until: &Until,
) -> Result<Box<dyn Transport>, Failed> {
    let mut pause = PAUSE;
    for attempt in 1.. {
        let start = starts.acquire(route.gate(), until).map_err(no_start)?;
        let mut refused = match route.connect(&until.sooner(ATTEMPT)) {
            Ok(transport) => return Ok(transport),
            Err(refused) => refused,
        };
        if refused.failed.kind == Kind::TimedOut && until.over().is_none() {
            refused.failed.kind = Kind::Unreachable;
        }
        // Others may start while this one pauses.
        drop(start);
        if !refused.again || attempt == ATTEMPTS || until.over().is_some() {
            return Err(refused.failed);
        }
        let stagger = STAGGER.0 * (u32::try_from(host).unwrap_or_default() % STAGGER.1);
        match until.sleep(pause + stagger) {
            Ok(Wake::Ready) => pause *= 2,
            // What the last attempt met says more than that the time is up.
            Ok(Wake::Deadline | Wake::Cancelled) | Err(_) => return Err(refused.failed),
        }
    }
    unreachable!("attempts are bounded")
}

pub(super) fn no_start(why: NoStart) -> Failed {
    match why {
        NoStart::Over(Wake::Cancelled) => cancelled(),
        NoStart::Over(_) => Failed::host(
            Kind::TimedOut,
            "the time was up before a connection could be started",
            Some(
                "found: other connections to the same server that were still starting\nmeans: at most 8 may start at a time \
                 at one server or bastion, since sshd drops more\ndo: {run up @hosts --timeout 30m}"
                    .to_owned(),
            ),
        ),
        NoStart::System(error) => crate::network::no_descriptor(error),
    }
}

/// The run was cancelled before anything was done on this host.
pub(super) fn cancelled() -> Failed {
    Failed::host(Kind::Cancelled, "the run was cancelled before this host", None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Ended, ExecError, Flow, Stream};
    use crate::until::Cancel;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Silent;

    impl Transport for Silent {
        fn exec(
            &mut self,
            _: &str,
            _: &[u8],
            _: &mut dyn FnMut(Stream, &[u8]) -> Flow,
            _: &Until,
        ) -> Result<Ended, ExecError> {
            Ok(Ended::Closed)
        }
    }

    /// Refuses so many times, then connects.
    struct Door {
        refusals: u32,
        again: bool,
        knocks: AtomicU32,
        cancel: Option<Cancel>,
    }

    impl Route for Door {
        fn gate(&self) -> &str {
            "gate"
        }

        fn connect(&self, _: &Until) -> Result<Box<dyn Transport>, Refused> {
            if let Some(cancel) = &self.cancel {
                cancel.cancel();
            }
            let knock = self.knocks.fetch_add(1, Ordering::SeqCst);
            if knock >= self.refusals {
                return Ok(Box::new(Silent));
            }
            Err(Refused {
                failed: Failed::host(Kind::Unreachable, format!("refusal {knock}"), None),
                again: self.again,
            })
        }
    }

    fn knock(refusals: u32, again: bool, limit: Duration, cancel_at_once: bool) -> (Result<(), String>, u32) {
        let cancel = Cancel::new().expect("an eventfd");
        let door = Door { refusals, again, knocks: AtomicU32::new(0), cancel: cancel_at_once.then(|| cancel.clone()) };
        let result = dial(&door, 0, &Starts::new(1), &Until::after(limit, &cancel));
        (result.map(drop).map_err(|failed| failed.to_string()), door.knocks.into_inner())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_busy_server_is_asked_again_and_an_answer_is_an_answer() {
        assert_eq!(knock(0, true, LONG, false), (Ok(()), 1));
        assert_eq!(knock(1, true, LONG, false), (Ok(()), 2));
        assert_eq!(knock(1, false, LONG, false), (Err("refusal 0".to_owned()), 1));
    }

    #[test]
    fn attempts_are_bounded_and_the_last_refusal_is_the_one_that_is_told() {
        assert_eq!(knock(ATTEMPTS, true, LONG, false), (Err(format!("refusal {}", ATTEMPTS - 1)), ATTEMPTS));
    }

    #[test]
    fn a_deadline_or_a_cancellation_ends_the_pause_and_tells_the_last_refusal() {
        assert_eq!(knock(9, true, Duration::from_millis(30), false), (Err("refusal 0".to_owned()), 1));
        assert_eq!(knock(9, true, LONG, true), (Err("refusal 0".to_owned()), 1));
    }

    #[test]
    fn another_host_may_start_while_one_pauses() {
        struct Busy<'a> {
            starts: &'a Starts,
            until: &'a Until,
            knocks: AtomicU32,
        }
        impl Route for Busy<'_> {
            fn gate(&self) -> &str {
                "gate"
            }
            fn connect(&self, _: &Until) -> Result<Box<dyn Transport>, Refused> {
                match self.knocks.fetch_add(1, Ordering::SeqCst) {
                    0 => Err(Refused { failed: Failed::host(Kind::Unreachable, "full", None), again: true }),
                    _ => Ok(Box::new(Silent)),
                }
            }
        }
        let cancel = Cancel::new().expect("an eventfd");
        let (starts, until) = (Starts::new(1), Until::after(LONG, &cancel));
        let busy = Busy { starts: &starts, until: &until, knocks: AtomicU32::new(0) };
        std::thread::scope(|scope| {
            // Of the sixteen pauses the longest: a second.
            let pausing = scope.spawn(|| dial(&busy, 15, busy.starts, busy.until).map(drop));
            while busy.knocks.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            assert!(starts.acquire("gate", &until.sooner(Duration::from_millis(900))).is_ok());
            assert_eq!(pausing.join().expect("no panic"), Ok(()));
        });
    }

    #[test]
    fn a_server_that_never_answers_is_unreachable_and_only_the_end_of_a_hosts_time_is_a_time_out() {
        struct Silence;
        impl Route for Silence {
            fn gate(&self) -> &str {
                "gate"
            }
            fn connect(&self, until: &Until) -> Result<Box<dyn Transport>, Refused> {
                assert!(until.remaining() <= ATTEMPT, "one attempt may not use up all the time");
                Err(Refused { failed: Failed::host(Kind::TimedOut, "nothing came", None), again: false })
            }
        }
        let cancel = Cancel::new().expect("an eventfd");
        let kind = |until: &Until| dial(&Silence, 0, &Starts::new(1), until).map(drop).map_err(|failed| failed.kind);
        assert_eq!(kind(&Until::after(LONG, &cancel)), Err(Kind::Unreachable));
        assert_eq!(kind(&Until::after(Duration::ZERO, &cancel)), Err(Kind::TimedOut));
    }

    #[test]
    fn a_time_that_is_up_before_the_first_attempt_is_told_as_that() {
        assert_eq!(knock(0, true, Duration::ZERO, false).1, 0);
        assert!(knock(0, true, Duration::ZERO, false).0.is_err_and(|why| why.contains("time was up")));
    }
}
