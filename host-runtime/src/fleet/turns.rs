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
use crate::failure::{Changed, Failed, Kind, TOO_MANY_FAILED};

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
    /// Hosts of one batch.
    serial: usize,
    /// Hosts before it may begin: the end of the batch.
    open: usize,
    /// More failed hosts than this end the run.
    max_fail: usize,
    failures: usize,
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
    /// `serial`: so many hosts at a time, and the next ones only when all of them have ended. `max_fail`: nothing more
    /// is begun once more hosts than that have failed.
    pub(super) fn new(names: Vec<String>, serial: Option<usize>, max_fail: Option<usize>) -> Self {
        let hosts = names.len();
        let serial = serial.unwrap_or(hosts).max(1);
        Self {
            names,
            fresh: 0..hosts,
            serial,
            open: serial,
            max_fail: max_fail.unwrap_or(usize::MAX),
            failures: 0,
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

    /// So many other hosts of the same run have failed already.
    pub(super) fn failed_before(mut self, failures: usize) -> Self {
        self.failures = failures;
        self
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
        if self.running.is_empty() && self.parked.is_empty() && self.fresh.start >= self.open {
            self.open = self.fresh.start.saturating_add(self.serial);
        }
        let open = self.fresh.start < self.open;
        match parked.or_else(|| open.then(|| self.fresh.next()).flatten()) {
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
            || self.running.is_empty() && (self.fresh.is_empty() || self.fresh.start >= self.open)
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
        if kind.is_some_and(|kind| !matches!(kind, Kind::Skipped | Kind::Cancelled)) {
            self.failures += 1;
        }
        self.results[host] = Some(result);
        self.skip_parked();
        if self.failures > self.max_fail {
            let failed = too_many(self.failures, self.max_fail);
            self.end_unbegun(&failed);
        }
    }

    /// Ends every host that no worker works on.
    fn end_unbegun(&mut self, failed: &Failed) {
        for host in std::mem::take(&mut self.parked).into_iter().chain(std::mem::replace(&mut self.fresh, 0..0)) {
            self.results[host] = Some(HostResult::Failed(failed.clone()));
            self.untold.push(host);
        }
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
        self.end_unbegun(&cancelled());
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

pub(super) fn too_many(failures: usize, most: usize) -> Failed {
    let many = if failures == 1 { "1 host has" } else { &format!("{failures} hosts have") };
    let detail = format!(
        "wanted: at most {most} that fail (--max-fail)\ndo: mend what failed, then  {{run up --limit @failed}}\nnote: \
         these hosts are in @failed, too"
    );
    let mut failed = Failed::host(Kind::Skipped, format!("not tried, since {many} failed"), Some(detail));
    failed.diagnostics.iter_mut().for_each(|one| TOO_MANY_FAILED.clone_into(&mut one.code));
    failed
}

#[cfg(test)]
mod tests;
