//! Looking at a machine until it is something: states that pass by themselves are waited for, within a bound.
//!
//! Not for: what the answer means ([`crate::probe`], [`crate::state`]).

use std::cell::Cell;

use crate::decide::{Next, decide};
use crate::failure;
use crate::port::{Failure, Observer};
use crate::probe::{self, Daemon, Facts};
use crate::state::{Down, State, Wanted};

/// Pauses between looks at a machine that is about to change by itself: 20 s in all.
pub const SETTLE_MS: [u32; 12] = [500, 500, 1_000, 1_000, 1_000, 2_000, 2_000, 2_000, 2_000, 2_000, 3_000, 3_000];
/// Pauses between looks behind a join: tags and name may come after it is done, and an error may be an older one's.
pub const JOIN_MS: [u32; 5] = [500, 1_000, 1_000, 1_500, 2_000];
/// Pauses between looks at a member that was brought up and shows itself online, in which it may turn out not to be.
pub const RESUMED_MS: [u32; 2] = [500, 1_000];

/// A look at a daemon that hangs has waited for half a minute already, until each of its two questions ran into its limit.
/// So many of them are enough: with all pauses in between, a plan would take more than six minutes.
const SILENT_LOOKS: usize = 2;
/// As many more for a daemon that may only just have been started.
const SILENT_LOOKS_BOOTING: usize = 4;

/// A machine as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What was found.
    pub facts: Facts,
    /// What it adds up to.
    pub state: State,
}

impl Seen {
    fn of(facts: Facts, wanted: &Wanted<'_>) -> Self {
        let state = State::of(&facts, wanted);
        Self { facts, state }
    }
}

/// Whether a daemon that does not answer may only just have been started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It was not touched: what does not answer is down.
    Usual,
    /// It was started, restarted or shaken: what systemd counts as running and does not answer may still come.
    Booting,
}

/// Looks, and waits for what passes by itself.
///
/// # Errors
/// When nothing could be found out, or the time for this host was up.
pub fn observe(look: &dyn Observer, wanted: &Wanted<'_>) -> Result<Seen, Failure> {
    settle(probe::look(look)?, Patience::Usual, look, wanted)
}

/// Waits for what passes by itself, from a look that was taken.
///
/// # Errors
/// As [`observe`].
pub fn settle(facts: Facts, patience: Patience, look: &dyn Observer, wanted: &Wanted<'_>) -> Result<Seen, Failure> {
    let silent = Cell::new(0);
    let enough = if patience == Patience::Booting { SILENT_LOOKS_BOOTING } else { SILENT_LOOKS };
    let passing = |seen: &Seen| {
        if seen.facts.daemon == Daemon::Silent {
            silent.set(silent.get() + 1);
        }
        if silent.get() >= enough {
            return false;
        }
        decide(&seen.state, wanted) == Next::LookAgain
            || (patience == Patience::Booting && matches!(seen.state, State::DaemonDown(Down::Mute, _)))
    };
    let mut seen = until(Seen::of(facts, wanted), &SETTLE_MS, "the daemon", look, wanted, |seen| !passing(seen))?;
    // It does not pass: then it is what it was taken to become.
    while let State::Settling(then) = seen.state {
        seen.state = *then;
    }
    Ok(seen)
}

/// Looks again after each of the pauses, until what is seen will do.
///
/// # Errors
/// As [`observe`].
pub fn until(
    mut seen: Seen,
    pauses: &[u32],
    waiting_for: &str,
    look: &dyn Observer,
    wanted: &Wanted<'_>,
    enough: impl Fn(&Seen) -> bool,
) -> Result<Seen, Failure> {
    for ms in pauses {
        if enough(&seen) {
            break;
        }
        if let Some(ended) = failure::pause(look.pause(*ms), waiting_for) {
            return Err(ended);
        }
        seen = Seen::of(probe::look(look)?, wanted);
    }
    Ok(seen)
}
