//! The exit codes: the one place that knows them.

use stagecraft_net::event::{Counts, Fault, HostResult};
use stagecraft_net::failure::Kind;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Every host holds the goal, or would be brought to it.
    Ok = 0,
    /// The command line or the file is wrong.
    Usage = 1,
    /// Something outside of this program failed that is no host.
    Outside = 2,
    /// A defect in this program.
    Internal = 3,
    /// A host did not reach its goal, or could not be looked at.
    Hosts = 10,
    /// `plan --detailed-exitcode`: something would change.
    Drift = 20,
    /// Interrupted by a signal.
    Interrupted = 130,
}

impl Exit {
    /// What a run that got as far as its hosts ends with. The gravest wins.
    pub(crate) fn of(results: &[HostResult], interrupted: bool, drift_counts: bool) -> Self {
        let counts: Counts = results.iter().collect();
        let defect =
            |result: &HostResult| matches!(result, HostResult::Failed(failed) if failed.kind == Kind::Internal);
        if interrupted {
            Self::Interrupted
        } else if results.iter().any(defect) {
            Self::Internal
        } else if counts.failed + counts.unreachable + counts.skipped > 0 {
            Self::Hosts
        } else if drift_counts && counts.would_change > 0 {
            Self::Drift
        } else {
            Self::Ok
        }
    }

    /// The number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

impl From<Fault> for Exit {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Usage | Fault::Config => Self::Usage,
            Fault::Outside => Self::Outside,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagecraft_net::contract::Outcome;
    use stagecraft_net::failure::Failed;

    #[test]
    fn a_failed_host_wins_over_drift_a_defect_over_both_and_an_interruption_over_all() {
        let outcome = Outcome { facts: Vec::new(), node: None, notes: Vec::new() };
        let drift = HostResult::WouldChange { steps: Vec::new(), at: String::new(), outcome: outcome.clone() };
        let failed = |kind| HostResult::Failed(Failed::host(kind, "x", None));
        let of = |results: &[HostResult], interrupted| Exit::of(results, interrupted, true).code();
        assert_eq!(of(&[], false), 0);
        assert_eq!(of(&[HostResult::Holds(outcome)], false), 0);
        assert_eq!(of(std::slice::from_ref(&drift), false), 20);
        assert_eq!(Exit::of(std::slice::from_ref(&drift), false, false).code(), 0);
        for kind in [Kind::Unreachable, Kind::Skipped, Kind::Lost, Kind::Provider] {
            assert_eq!(of(&[drift.clone(), failed(kind)], false), 10);
        }
        assert_eq!(of(&[failed(Kind::Lost), failed(Kind::Internal)], false), 3);
        assert_eq!(of(&[failed(Kind::Internal)], true), 130);
        let faults = [Fault::Usage, Fault::Config, Fault::Outside, Fault::Internal];
        assert_eq!(faults.map(|fault| Exit::from(fault).code()), [1, 1, 2, 3]);
    }
}
