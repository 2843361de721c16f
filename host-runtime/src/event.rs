//! The one stream of events of a run. The screen, `--json`, a journal and embedders are readers of it.
//!
//! Serialised, each event is one JSON object with its name under `event`. Of every run, also of one that never got as far
//! as a host, the first is `begin` with the version of this schema, and the last is `end` with the exit code; what kept
//! a run from its hosts stands between them as one `fault`. Texts that came from a machine or a provider have passed [`boundary::text`] and the scrubber before
//! they are put in here. Not for: rendering.

use serde::Serialize;

use crate::approval::PlanDigest;
use crate::artifact::Digest;
use crate::contract::{Descriptor, Fact, Level, Node, Outcome, Step};
use crate::failure::{Failed, Kind};
use crate::inventory::Finding;

/// The version of the schema below: raised when a field changes its meaning or goes, not when one is added.
pub const SCHEMA: u32 = 1;

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The run begins.
    Begin {
        /// [`SCHEMA`].
        schema: u32,
        /// The subcommand.
        command: String,
        /// The environment; none for commands that have none.
        environment: Option<String>,
        /// The provider that decides; none when it is not known.
        provider: Option<ProviderRef>,
        /// Every host of the run, in order.
        hosts: Vec<String>,
    },
    /// A warning or a note about the project's file.
    Notice {
        /// The file, where there is one.
        file: Option<String>,
        /// What was found.
        finding: Finding,
    },
    /// A host was looked at.
    Planned {
        /// The host.
        host: String,
        /// What would be done; empty when the goal holds.
        steps: Vec<Step>,
        /// What was found.
        facts: Vec<Fact>,
        /// The member that it is now.
        node: Option<Node>,
    },
    /// A step begins.
    Step {
        /// The host.
        host: String,
        /// The step's id.
        id: String,
        /// Its title.
        title: String,
    },
    /// Commands are about to be sent, together: told before any of them can run.
    Sent {
        /// The host.
        host: String,
        /// The step that they belong to; none for a probe.
        step: Option<String>,
        /// The commands, in order.
        commands: Vec<Sent>,
    },
    /// A command ran, or was skipped, or may have run.
    Ran {
        /// The host.
        host: String,
        /// The step that it belongs to; none for a probe.
        step: Option<String>,
        /// The command.
        #[serde(flatten)]
        command: Sent,
        /// `exited`, `timed-out`, `skipped` or `unknown`.
        ending: &'static str,
        /// The exit status, where one was seen.
        status: Option<u8>,
        /// How long it ran by the machine's own clock, to ten milliseconds, where that is known.
        millis: Option<u64>,
    },
    /// A line from the provider or the runtime.
    Log {
        /// The host.
        host: String,
        /// How loud.
        level: Level,
        /// The line.
        message: String,
    },
    /// A host is finished.
    Done {
        /// The host.
        host: String,
        /// How.
        #[serde(flatten)]
        result: HostResult,
        /// How long it took, in milliseconds, from the first connection attempt.
        millis: u64,
    },
    /// Hosts that say that they are one and the same member of the network: one of them is a copy of another.
    SameMember {
        /// The member's id in the network.
        node: String,
        /// The hosts, sorted.
        hosts: Vec<String>,
    },
    /// A signal came: nothing new is begun, and the hosts in flight are ending.
    Interrupted,
    /// All hosts of a plan were looked at.
    Digest(PlanDigest),
    /// A host's key was looked at, by `trust`.
    HostKey {
        /// The host.
        host: String,
        /// What its server shows, or what is to be known.
        key: KeyRef,
        /// `known`, `new`, `replaces` (another one) or `refused`.
        standing: &'static str,
        /// Who says that it is the host's.
        source: Option<String>,
    },
    /// Something was examined, by `doctor`.
    Checked {
        /// The host; none for this machine and the file.
        host: Option<String>,
        /// What: `host-key`, `sudo`, `clock`.
        check: &'static str,
        /// `ok`, `warning`, `error`, or `skipped` where something before it failed.
        status: &'static str,
        /// What was found.
        found: String,
        /// What to do, in lines.
        advice: Option<String>,
    },
    /// A name in the network.
    Name {
        /// The host.
        host: String,
        /// Its name in the network.
        fqdn: String,
    },
    /// A provider that is there.
    Provider {
        /// Its id, version and digest.
        provider: ProviderRef,
        /// What it says of itself.
        descriptor: Descriptor,
    },
    /// The run did not get as far as its hosts, or broke off for a reason that concerns none of them.
    Fault {
        /// What kind.
        fault: Fault,
        /// One line; where others follow, they say what to do.
        message: String,
        /// The file that is wrong, where one is.
        file: Option<String>,
        /// All that is wrong with it.
        findings: Vec<Finding>,
    },
    /// The run is finished.
    End {
        /// How many hosts ended how.
        counts: Counts,
        /// The exit code.
        exit: u8,
        /// How long all of it took, in milliseconds.
        millis: u64,
    },
}

/// A command as it was sent. Secrets never stand in words, and by their names on standard input.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Sent {
    /// Its words.
    pub argv: Vec<String>,
    /// Whether root runs it.
    pub as_root: bool,
    /// What stands on its standard input, with `<secret:SLOT>` in the place of a secret; none where nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
}

impl Sent {
    /// A command of these words, without anything on its standard input.
    #[must_use]
    pub fn new(argv: Vec<String>, as_root: bool) -> Self {
        Self { argv, as_root, stdin: None }
    }
}

/// A host key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct KeyRef {
    /// `ssh-ed25519`
    pub algorithm: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// All of it, as `known_hosts` has it.
    pub public: String,
}

/// Why a run did not get as far as its hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fault {
    /// The command line.
    Usage,
    /// The project's file.
    Config,
    /// Something outside of this program that is no host.
    Outside,
    /// A defect in this program.
    Internal,
}

/// Which provider decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProviderRef {
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: String,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
}

impl ProviderRef {
    /// Of what an artifact with this digest says of itself.
    #[must_use]
    pub fn of(descriptor: &Descriptor, digest: Digest) -> Self {
        Self { id: descriptor.id.clone(), version: descriptor.version.clone(), digest: digest.to_string() }
    }
}

/// How one host ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HostResult {
    /// The goal held already.
    Holds(Outcome),
    /// It would change; nothing was changed by asking.
    WouldChange {
        /// The steps.
        steps: Vec<Step>,
        /// Which machine they are for: `address:port`; empty where what reaches hosts does not say.
        at: String,
        /// What was found.
        outcome: Outcome,
    },
    /// It was changed, and the goal holds now.
    Changed {
        /// The steps that were taken.
        steps: Vec<Step>,
        /// What holds.
        outcome: Outcome,
    },
    /// It did not reach its goal.
    Failed(Failed),
}

/// How many hosts ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// Held already.
    pub holds: u32,
    /// Would change.
    pub would_change: u32,
    /// Were changed.
    pub changed: u32,
    /// Failed.
    pub failed: u32,
    /// Could not be reached or logged in to; not counted as failed.
    pub unreachable: u32,
    /// Were not tried.
    pub skipped: u32,
}

impl Counts {
    /// Counts one more host.
    pub fn add(&mut self, result: &HostResult) {
        let counter = match result {
            HostResult::Holds(_) => &mut self.holds,
            HostResult::WouldChange { .. } => &mut self.would_change,
            HostResult::Changed { .. } => &mut self.changed,
            HostResult::Failed(failed) => match failed.kind {
                Kind::Unreachable | Kind::HostKey | Kind::Authentication => &mut self.unreachable,
                Kind::Skipped => &mut self.skipped,
                _ => &mut self.failed,
            },
        };
        *counter += 1;
    }
}

impl<'r> FromIterator<&'r HostResult> for Counts {
    fn from_iter<I: IntoIterator<Item = &'r HostResult>>(results: I) -> Self {
        let mut counts = Self::default();
        results.into_iter().for_each(|result| counts.add(result));
        counts
    }
}

/// Takes events, from any thread, in the order in which they happen on each host. Never blocks for long, never fails.
pub trait Tell: Sync {
    /// Takes one.
    fn tell(&self, event: Event);
}

impl<F: Fn(Event) + Sync> Tell for F {
    fn tell(&self, event: Event) {
        self(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_flat_object_with_its_name_and_a_result_says_which_it_is() {
        let failed = Failed::host(Kind::HostKey, "the key is unknown", None);
        let event = Event::Done { host: "app-1".to_owned(), result: HostResult::Failed(failed), millis: 12 };
        let wanted = json!({
            "event": "done", "host": "app-1", "millis": 12, "result": "failed", "kind": "host-key",
            "diagnostics": [{"severity": "error", "code": "host-key", "summary": "the key is unknown"}],
            "changed": "nothing", "provider": null,
        });
        assert_eq!(serde_json::to_value(&event).expect("it serialises"), wanted);
        let end = Event::End { counts: Counts::default(), exit: 10, millis: 5 };
        assert_eq!(serde_json::to_value(&end).expect("it serialises")["counts"]["would-change"], 0);
    }

    #[test]
    fn each_host_is_counted_once_and_what_could_not_be_reached_apart_from_what_failed() {
        let failed = |kind| HostResult::Failed(Failed::host(kind, "x", None));
        let outcome = Outcome { facts: Vec::new(), node: None, notes: Vec::new() };
        let results = [
            HostResult::Holds(outcome.clone()),
            HostResult::WouldChange { steps: Vec::new(), at: String::new(), outcome: outcome.clone() },
            HostResult::Changed { steps: Vec::new(), outcome },
            failed(Kind::Unreachable),
            failed(Kind::Authentication),
            failed(Kind::Skipped),
            failed(Kind::Lost),
            failed(Kind::Cancelled),
        ];
        let wanted = Counts { holds: 1, would_change: 1, changed: 1, failed: 2, unreachable: 2, skipped: 1 };
        assert_eq!(results.iter().collect::<Counts>(), wanted);
    }
}
