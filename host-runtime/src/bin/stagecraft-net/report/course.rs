//! The course of a run, kept until its end: for readers that write one text about all of it.
//!
//! Not for: rendering; what a person sees while it goes on ([`super::screen`]).

use std::collections::BTreeMap;

use stagecraft_net::contract::Node;
use stagecraft_net::event::{Counts, Event, HostResult, ProviderRef};
use stagecraft_net::inventory::Finding;

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Course {
    pub(super) command: String,
    pub(super) environment: Option<String>,
    pub(super) provider: Option<ProviderRef>,
    /// The hosts, in order.
    pub(super) hosts: Vec<String>,
    pub(super) results: BTreeMap<String, HostResult>,
    /// How long each host took, in milliseconds.
    pub(super) millis: BTreeMap<String, u64>,
    /// The titles of the steps that were begun.
    pub(super) begun: BTreeMap<String, Vec<String>>,
    /// The members that were seen, also of hosts that failed then.
    seen: BTreeMap<String, Node>,
    /// What is remarked about the project's file, with the file where there is one.
    pub(super) findings: Vec<(Option<String>, Finding)>,
    /// Why the run did not get as far as its hosts.
    pub(super) fault: Option<String>,
    pub(super) counts: Counts,
    pub(super) exit: u8,
    /// How long all of it took, in milliseconds.
    pub(super) took: u64,
}

impl Course {
    /// Takes note. True at the end of the run.
    pub(super) fn note(&mut self, event: &Event) -> bool {
        match event {
            Event::Begin { command, environment, provider, hosts, .. } => {
                self.command.clone_from(command);
                self.environment.clone_from(environment);
                self.provider.clone_from(provider);
                self.hosts.clone_from(hosts);
            }
            Event::Notice { file, finding } => self.findings.push((file.clone(), finding.clone())),
            Event::Planned { host, node: Some(node), .. } => {
                self.seen.insert(host.clone(), node.clone());
            }
            Event::Step { host, title, .. } => self.begun.entry(host.clone()).or_default().push(title.clone()),
            Event::Done { host, result, millis } => {
                self.results.insert(host.clone(), result.clone());
                self.millis.insert(host.clone(), *millis);
            }
            Event::Fault { message, file, findings, .. } => {
                self.fault = Some(message.clone());
                self.findings.extend(findings.iter().map(|finding| (file.clone(), finding.clone())));
            }
            Event::End { counts, exit, millis } => {
                (self.counts, self.exit, self.took) = (*counts, *exit, *millis);
                return true;
            }
            _ => {}
        }
        false
    }

    /// The member that a host is, as it was seen last.
    pub(super) fn node(&self, host: &str) -> Option<&Node> {
        match self.results.get(host)? {
            HostResult::Holds(outcome)
            | HostResult::WouldChange { outcome, .. }
            | HostResult::Changed { outcome, .. } => outcome.node.as_ref(),
            _ => self.seen.get(host),
        }
    }

    /// How many hosts ended how, in words; only those ways that there were.
    pub(super) fn counted(&self) -> Vec<(u32, &'static str)> {
        let Counts { holds, would_change, changed, failed, unreachable, skipped } = self.counts;
        let all = [
            (changed, "changed"),
            (would_change, "would change"),
            (holds, if self.command == "leave" { "out already" } else { "right" }),
            (failed, "failed"),
            (unreachable, "unreachable"),
            (skipped, "not tried"),
        ];
        all.into_iter().filter(|(count, _)| *count > 0).collect()
    }
}

/// How a host ended, in a word or two.
pub(super) fn word(result: Option<&HostResult>) -> &'static str {
    match result {
        Some(HostResult::Holds(_)) => "right",
        Some(HostResult::WouldChange { .. }) => "would change",
        Some(HostResult::Changed { .. }) => "changed",
        Some(HostResult::Failed(failed)) => failed.kind.name(),
        _ => "not looked at",
    }
}

/// A time that something took.
pub(super) fn took(millis: u64) -> String {
    match millis {
        0..=999 => format!("{millis} ms"),
        1000..=119_999 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
    }
}
