//! Which host is next, and who may use the secret: pure, without a thread or a clock of its own.
//!
//! One dead key must be one failure, not two hundred. So the first host that needs a secret tries it alone; the others
//! that need it let go of their connection and are *parked* until it is known whether the secret works, while hosts that
//! need none go on. Who is first does not depend on who is fastest: it is the first in host order, unless a host before
//! it keeps everybody waiting. Not for: running anything ([`super::crew`]).

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::dial::cancelled;
use crate::event::HostResult;
use crate::failure::{Changed, Failed, Kind};

/// How long parked hosts wait for a host before them that nobody has heard of.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// What a free worker does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Works on this host.
    Host(usize),
    /// Waits until something changes, or so long.
    Wait(Option<Duration>),
    /// Nothing is left that it could ever do.
    Over,
}

/// Whether a host may use the secret that its plan needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Permission {
    /// It may.
    Go,
    /// Another host tries it first: let go of the connection and answer [`super::crew::Turn::Park`].
    Park,
    /// It would fail as another one did.
    Skip(Failed),
}

/// What is known of the secret.
enum Secret {
    Untried,
    /// This host tries it.
    Trying(usize),
    /// A host came past the point where a dead one would have been refused.
    Free,
    /// This host was refused.
    Dead {
        host: String,
        kind: Kind,
    },
}

pub(super) struct Turns {
    names: Vec<String>,
    /// Not begun.
    fresh: Range<usize>,
    running: BTreeSet<usize>,
    parked: BTreeSet<usize>,
    parked_since: Option<Instant>,
    /// Whether it is known if a host needs a secret.
    decided: Vec<bool>,
    /// All before it are decided.
    undecided: usize,
    /// Something may have changed on it.
    changing: Vec<bool>,
    secret: Secret,
    results: Vec<Option<HostResult>>,
    /// Results that came without a worker, and were not handed out yet.
    untold: Vec<usize>,
}

impl Turns {
    pub(super) fn new(names: Vec<String>) -> Self {
        let hosts = names.len();
        Self {
            names,
            fresh: 0..hosts,
            running: BTreeSet::new(),
            parked: BTreeSet::new(),
            parked_since: None,
            decided: vec![false; hosts],
            undecided: 0,
            changing: vec![false; hosts],
            secret: Secret::Untried,
            results: (0..hosts).map(|_| None).collect(),
            untold: Vec::new(),
        }
    }

    /// Takes a host for a worker that is free.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let parked = match (&self.secret, self.parked.first()) {
            (Secret::Free, Some(&first)) => Some(first),
            (Secret::Untried, Some(&first)) if self.leads(first, now) => {
                self.secret = Secret::Trying(first);
                Some(first)
            }
            _ => None,
        };
        if let Some(host) = parked {
            self.parked.remove(&host);
        }
        match parked.or_else(|| self.fresh.next()) {
            Some(host) => {
                self.running.insert(host);
                Next::Host(host)
            }
            None if self.running.is_empty() && self.parked.is_empty() => Next::Over,
            None => Next::Wait(match (&self.secret, self.parked_since) {
                (Secret::Untried, Some(since)) if !self.parked.is_empty() => {
                    Some((since + PATIENCE).saturating_duration_since(now))
                }
                _ => None,
            }),
        }
    }

    /// Whether this parked host, the first of them, may try the secret now.
    fn leads(&self, first: usize, now: Instant) -> bool {
        self.undecided >= first
            || self.parked_since.is_some_and(|since| now >= since + PATIENCE)
            || self.running.is_empty() && self.fresh.is_empty()
    }

    /// It is known what this host needs.
    pub(super) fn decided(&mut self, host: usize) {
        self.decided[host] = true;
        while self.decided.get(self.undecided).is_some_and(|&decided| decided) {
            self.undecided += 1;
        }
    }

    /// Whether this host, whose plan needs a secret, may use it.
    pub(super) fn permission(&mut self, host: usize) -> Permission {
        self.decided(host);
        match &self.secret {
            Secret::Free => Permission::Go,
            Secret::Trying(leader) if *leader == host => Permission::Go,
            Secret::Untried if self.undecided >= host && self.parked.first().is_none_or(|&first| first > host) => {
                self.secret = Secret::Trying(host);
                Permission::Go
            }
            Secret::Trying(_) | Secret::Untried => Permission::Park,
            Secret::Dead { host, kind } => Permission::Skip(skipped(host, *kind)),
        }
    }

    /// From now on something may have changed on this host.
    pub(super) fn changing(&mut self, host: usize) {
        self.changing[host] = true;
    }

    /// What is to be said of a host that ends without a word: a panic, or a worker that was left behind.
    pub(super) fn changed(&self, host: usize) -> Changed {
        if self.changing[host] { Changed::Unknown } else { Changed::Nothing }
    }

    /// A running host was told [`Permission::Park`].
    pub(super) fn park(&mut self, host: usize, now: Instant) {
        self.running.remove(&host);
        self.parked.insert(host);
        self.parked_since.get_or_insert(now);
        // The answer may have come while it let go of its connection.
        self.skip_parked();
    }

    /// A running host has ended.
    pub(super) fn finish(&mut self, host: usize, result: HostResult) {
        if self.results[host].is_some() {
            return;
        }
        self.running.remove(&host);
        self.decided(host);
        let kind = match &result {
            HostResult::Failed(failed) => Some(failed.kind),
            _ => None,
        };
        let dead = |kind| Secret::Dead { host: self.names[host].clone(), kind };
        match (&self.secret, kind) {
            (
                Secret::Trying(leader),
                Some(kind @ (Kind::SecretInvalid | Kind::TagsNotPermitted | Kind::SecretMissing)),
            ) if *leader == host => self.secret = dead(kind),
            (Secret::Trying(leader), _) if *leader == host => {
                // What went wrong in another way is no reason to keep the others back one by one.
                self.secret = if self.changing[host] { Secret::Free } else { Secret::Untried };
            }
            // It may have been good for one host only, or revoked meanwhile.
            (Secret::Free, Some(Kind::SecretInvalid)) => self.secret = dead(Kind::SecretInvalid),
            _ => {}
        }
        self.results[host] = Some(result);
        self.skip_parked();
    }

    fn skip_parked(&mut self) {
        if let Secret::Dead { host, kind } = &self.secret {
            let failed = skipped(host, *kind);
            for host in std::mem::take(&mut self.parked) {
                self.results[host] = Some(HostResult::Failed(failed.clone()));
                self.untold.push(host);
            }
        }
    }

    /// Ends every host that no worker works on.
    pub(super) fn cancel(&mut self) {
        for host in std::mem::take(&mut self.parked).into_iter().chain(std::mem::replace(&mut self.fresh, 0..0)) {
            self.results[host] = Some(HostResult::Failed(cancelled()));
            self.untold.push(host);
        }
    }

    /// Ends the hosts whose workers did not come back, and says what is known of them: not much.
    pub(super) fn abandon(&mut self) {
        self.cancel();
        for host in std::mem::take(&mut self.running) {
            let mut failed = Failed::host(
                Kind::Cancelled,
                "the run was cancelled, and this host did not stop in time",
                Some("means: what was begun there may still run\ndo: {run status @hosts}\n{run up @hosts}".to_owned()),
            );
            failed.changed = self.changed(host);
            self.results[host] = Some(HostResult::Failed(failed));
            self.untold.push(host);
        }
    }

    /// The result of a host, once it has one.
    pub(super) fn result(&self, host: usize) -> Option<&HostResult> {
        self.results[host].as_ref()
    }

    /// Hosts that got a result without a worker, since the last time this was asked.
    pub(super) fn untold(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.untold)
    }
}

fn skipped(host: &str, kind: Kind) -> Failed {
    Failed::host(
        Kind::Skipped,
        format!("not tried, since {host} failed with {kind}"),
        Some(
            "means: every host that needs the same secret would fail like it\ndo: mend that one, then {run up --limit @failed}"
                .to_owned(),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Outcome;

    fn turns(hosts: usize) -> (Turns, Instant) {
        (Turns::new((0..hosts).map(|n| format!("h{n}")).collect()), Instant::now())
    }

    fn outcome() -> Outcome {
        Outcome { facts: Vec::new(), node: None, notes: Vec::new() }
    }

    fn holds() -> HostResult {
        HostResult::Holds(outcome())
    }

    fn changed() -> HostResult {
        HostResult::Changed { steps: Vec::new(), outcome: outcome() }
    }

    fn failed(kind: Kind) -> HostResult {
        HostResult::Failed(Failed::host(kind, "x", None))
    }

    fn kinds(turns: &Turns) -> Vec<Option<Kind>> {
        let kind = |result: &Option<HostResult>| match result {
            Some(HostResult::Failed(failed)) => Some(failed.kind),
            _ => None,
        };
        turns.results.iter().map(kind).collect()
    }

    /// Begins so many hosts, as so many workers would.
    fn begin(turns: &mut Turns, hosts: usize, now: Instant) {
        for host in 0..hosts {
            assert_eq!(turns.next(now), Next::Host(host));
        }
    }

    #[test]
    fn one_dead_key_is_one_failure_and_hosts_that_need_no_key_go_on() {
        let (mut turns, now) = turns(5);
        begin(&mut turns, 3, now);
        assert_eq!(turns.permission(0), Permission::Go);
        assert_eq!(turns.permission(1), Permission::Park);
        turns.park(1, now);
        turns.decided(2);
        turns.finish(2, holds());
        // The free workers take the hosts that nobody has seen, not the one that waits.
        assert_eq!(turns.next(now), Next::Host(3));
        assert_eq!(turns.next(now), Next::Host(4));
        assert_eq!(turns.next(now), Next::Wait(None));
        turns.changing(0);
        turns.finish(0, failed(Kind::SecretInvalid));
        assert_eq!(turns.untold(), [1]);
        assert!(
            matches!(turns.permission(3), Permission::Skip(failed) if failed.headline().contains("since h0 failed with secret-invalid"))
        );
        turns.finish(3, failed(Kind::Skipped));
        turns.finish(4, holds());
        assert_eq!(turns.next(now), Next::Over);
        assert_eq!(kinds(&turns), [Some(Kind::SecretInvalid), Some(Kind::Skipped), None, Some(Kind::Skipped), None]);
    }

    #[test]
    fn the_first_in_host_order_tries_whoever_is_fastest() {
        let (mut turns, now) = turns(3);
        begin(&mut turns, 3, now);
        for late in [2, 1] {
            assert_eq!(turns.permission(late), Permission::Park);
            turns.park(late, now);
        }
        assert_eq!(turns.next(now), Next::Wait(Some(PATIENCE)));
        // The first host turns out to need nothing: the next in order leads, alone.
        turns.decided(0);
        turns.finish(0, holds());
        assert_eq!(turns.next(now), Next::Host(1));
        assert_eq!(turns.next(now), Next::Wait(None));
        assert_eq!(turns.permission(1), Permission::Go);
        turns.changing(1);
        turns.finish(1, changed());
        assert_eq!(turns.next(now), Next::Host(2));
        assert_eq!(turns.permission(2), Permission::Go);
    }

    #[test]
    fn a_host_that_does_not_answer_keeps_the_others_only_so_long() {
        let (mut turns, now) = turns(3);
        begin(&mut turns, 3, now);
        turns.permission(2);
        turns.park(2, now);
        assert_eq!(turns.next(now + PATIENCE / 3), Next::Wait(Some(PATIENCE - PATIENCE / 3)));
        assert_eq!(turns.next(now + PATIENCE), Next::Host(2));
        assert_eq!(turns.permission(2), Permission::Go);
        // One that comes late waits for the answer all the same.
        assert_eq!(turns.permission(0), Permission::Park);
    }

    #[test]
    fn tags_that_are_not_permitted_to_the_first_host_stop_the_others_too() {
        let (mut turns, now) = turns(2);
        begin(&mut turns, 2, now);
        turns.permission(0);
        turns.changing(0);
        turns.finish(0, failed(Kind::TagsNotPermitted));
        assert!(matches!(turns.permission(1), Permission::Skip(_)));
    }

    #[test]
    fn a_host_that_asks_late_does_not_go_before_one_that_is_parked_already() {
        let (mut turns, now) = turns(3);
        begin(&mut turns, 3, now);
        assert_eq!(turns.permission(1), Permission::Park);
        turns.park(1, now);
        turns.finish(0, holds());
        assert_eq!(turns.permission(2), Permission::Park);
        turns.park(2, now);
        assert_eq!(turns.next(now), Next::Host(1));
    }

    #[test]
    fn a_first_host_that_never_used_the_secret_proves_nothing_and_the_next_one_tries() {
        for lost in [Kind::Unreachable, Kind::DisruptionRefused] {
            let (mut turns, now) = turns(3);
            begin(&mut turns, 3, now);
            turns.permission(0);
            turns.permission(1);
            turns.park(1, now);
            turns.finish(0, failed(lost));
            assert_eq!(turns.next(now), Next::Host(1));
            assert_eq!(turns.permission(1), Permission::Go);
            assert_eq!(turns.permission(2), Permission::Park, "and it tries alone");
        }
    }

    #[test]
    fn a_first_host_that_fails_in_another_way_frees_the_rest_and_a_key_that_dies_later_stops_them() {
        let (mut turns, now) = turns(4);
        begin(&mut turns, 4, now);
        turns.permission(0);
        turns.changing(0);
        turns.finish(0, failed(Kind::InstallFailed));
        assert_eq!(turns.permission(1), Permission::Go);
        assert_eq!(turns.permission(2), Permission::Go);
        turns.changing(1);
        // Other tags may be permitted to others.
        turns.finish(1, failed(Kind::TagsNotPermitted));
        turns.finish(2, failed(Kind::SecretInvalid));
        assert!(matches!(turns.permission(3), Permission::Skip(_)));
    }

    #[test]
    fn a_secret_that_is_missing_is_missing_for_all() {
        let (mut turns, now) = turns(2);
        begin(&mut turns, 2, now);
        turns.permission(0);
        // The answer comes between the question of the second host and its parking.
        assert_eq!(turns.permission(1), Permission::Park);
        turns.finish(0, failed(Kind::SecretMissing));
        turns.park(1, now);
        assert_eq!(kinds(&turns), [Some(Kind::SecretMissing), Some(Kind::Skipped)]);
        assert_eq!(turns.untold(), [1]);
        assert_eq!(turns.next(now), Next::Over);
    }

    #[test]
    fn a_cancelled_run_says_nothing_of_what_was_not_begun_and_unknown_of_what_was_left_behind() {
        let (mut turns, now) = turns(5);
        begin(&mut turns, 4, now);
        turns.permission(0);
        turns.changing(0);
        turns.permission(1);
        turns.park(1, now);
        turns.cancel();
        assert_eq!(turns.untold(), [1, 4]);
        turns.finish(3, failed(Kind::Cancelled));
        turns.abandon();
        assert_eq!(turns.untold(), [0, 2]);
        assert_eq!(kinds(&turns), [Some(Kind::Cancelled); 5]);
        let changed = |host: usize| match turns.result(host) {
            Some(HostResult::Failed(failed)) => failed.changed,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            [0, 1, 2, 3, 4].map(changed),
            [Changed::Unknown, Changed::Nothing, Changed::Nothing, Changed::Nothing, Changed::Nothing]
        );
        assert_eq!(turns.next(now), Next::Over);
        // A worker that comes back after all changes nothing.
        turns.finish(0, holds());
        assert_eq!(kinds(&turns)[0], Some(Kind::Cancelled));
    }
}
