//! What failed on hosts, the same of many hosts once, with those that were not tried because of it.
//!
//! The screen, annotations and pages show the same groups in the same words. Not for: what failed before a host was
//! reached, which is no host's failure.

use std::collections::BTreeMap;

use stagecraft_net::contract::Diagnostic;
use stagecraft_net::event::HostResult;
use stagecraft_net::failure::{Changed, Failed, Kind, TOO_MANY_FAILED, WRONG_SUDO_PASSWORD};

use super::block::{self, Block};
use super::group::{Alike, fold, gather, ranges};
use super::{Context, advice};

/// A failure, and the hosts that it is about.
#[derive(Debug)]
pub(super) struct Failing<'h> {
    /// The hosts that failed so.
    pub(super) hosts: Vec<&'h str>,
    /// The hosts that were not tried because of that.
    pub(super) held: Vec<&'h str>,
    what: Failure,
}

#[derive(Debug, Clone, PartialEq)]
struct Failure {
    failed: Failed,
    begun: Vec<String>,
}

/// All failures of a run, in the order of the hosts; `begun` are the titles of the steps that were begun.
pub(super) fn failing<'h>(
    hosts: &'h [String],
    results: &BTreeMap<String, HostResult>,
    begun: &BTreeMap<String, Vec<String>>,
) -> Vec<Failing<'h>> {
    let failed = hosts.iter().filter_map(|host| match results.get(host) {
        Some(HostResult::Failed(failed)) => {
            let begun = begun.get(host).cloned().unwrap_or_default();
            Some((host.as_str(), Failure { failed: failed.clone(), begun }))
        }
        _ => None,
    });
    let (skipped, tried): (Vec<_>, Vec<_>) = failed.partition(|(_, one)| one.failed.kind == Kind::Skipped);
    let mut groups: Vec<Failing<'h>> = gather(tried)
        .into_iter()
        .map(|group| Failing { hosts: group.hosts, held: Vec::new(), what: group.what })
        .collect();
    // The hosts that were not tried belong to the failure that kept them back.
    let secret = |one: &Failing<'_>| {
        matches!(one.kind(), Kind::SecretInvalid | Kind::SecretMissing | Kind::TagsNotPermitted)
            || one.what.failed.diagnostics.iter().any(|one| one.code == WRONG_SUDO_PASSWORD)
    };
    let (mut alone, held): (Vec<_>, Vec<_>) =
        skipped.into_iter().partition(|(_, one)| one.failed.diagnostics.iter().any(|one| one.code == TOO_MANY_FAILED));
    match groups.iter().rposition(secret) {
        Some(last) => groups[last].held = held.iter().map(|(host, _)| *host).collect(),
        None => alone.extend(held),
    }
    groups.extend(gather(alone).into_iter().map(|group| Failing {
        hosts: group.hosts,
        held: Vec::new(),
        what: group.what,
    }));
    groups
}

impl Failing<'_> {
    /// What kind.
    pub(super) fn kind(&self) -> Kind {
        self.what.failed.kind
    }

    /// The main finding.
    pub(super) fn headline(&self) -> String {
        self.what.failed.headline()
    }

    /// The hosts on one line.
    pub(super) fn subject(&self, all: bool) -> String {
        let names = || format!("{} · {}", ranges(&self.hosts, all), ranges(&self.held, all));
        match (self.held.len(), self.hosts.len()) {
            (0, _) => fold(&self.hosts, all),
            (held, 1) => format!("1 host tried, {held} not tried: {}", names()),
            (held, tried) => format!("{tried} hosts tried, {held} not tried: {}", names()),
        }
    }

    /// The place in the project's file that it is about: a JSON pointer.
    pub(super) fn pointer(&self) -> Option<&str> {
        self.what.failed.diagnostics.iter().find_map(|one| one.config_path.as_deref())
    }

    /// All of it, for people.
    pub(super) fn block(&self, context: &Context, all: bool, color: bool) -> Block {
        let mut block = Block::new("error", self.kind().name(), &self.subject(all), color);
        block.lead(self.headline());
        for (index, diagnostic) in self.what.failed.diagnostics.iter().enumerate() {
            if index > 0 {
                block.line("note", diagnostic.summary.clone());
            }
            detail(&mut block, diagnostic, &self.hosts, context);
        }
        let (tried, changed) = (ranges(&self.hosts, all), self.what.changed());
        block.line(
            "changed",
            match self.held.len() {
                0 => changed,
                1 => format!("{tried}: {changed}; the other: nothing"),
                others => format!("{tried}: {changed}; the {others}: nothing"),
            },
        );
        block
    }
}

/// What else a diagnostic says, and where its cause stands in the file.
pub(super) fn detail(block: &mut Block, diagnostic: &Diagnostic, hosts: &[&str], context: &Context) {
    let detail = diagnostic.detail.as_deref().unwrap_or_default();
    block.detail(&advice::render(detail, &context.typed(hosts), &context.options));
    if let (Some(pointer), Some(inventory)) = (&diagnostic.config_path, &context.inventory) {
        block.place(&format!("{}  {pointer}", inventory.whence(pointer)));
    }
}

impl Failure {
    fn changed(&self) -> String {
        let begun = self.begun.join(" · ");
        let said = self.failed.diagnostics.iter().find_map(|one| block::changed(one.detail.as_deref()?));
        // Whether anything was changed is the host's word; the provider may say what that amounts to.
        match self.failed.changed {
            Changed::Nothing => "nothing".to_owned(),
            Changed::Some if said.is_some() => said.unwrap_or_default().to_owned(),
            Changed::Some if begun.is_empty() => "something".to_owned(),
            Changed::Some => format!("something, in: {begun}"),
            Changed::Unknown if begun.is_empty() => "unknown".to_owned(),
            Changed::Unknown => format!("unknown; begun: {begun}"),
        }
    }
}

impl Alike for Failure {
    fn masked(&self, host: &str) -> Self {
        let failed = Failed { diagnostics: self.failed.diagnostics.masked(host), ..self.failed.clone() };
        Self { failed, begun: self.begun.masked(host) }
    }
}
