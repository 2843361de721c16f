//! The one stream of events of a run. The screen, `--json`, a journal and embedders are readers of it.
//!
//! Serialised, each event is one JSON object with its name under `event`; the first is `begin` and carries the version
//! of this schema. Texts that came from a machine or a provider have passed [`boundary::text`] and the scrubber before
//! they are put in here. Not for: rendering.

use serde::Serialize;

use crate::contract::{Fact, Level, Node, Outcome, Step};
use crate::failure::Failed;

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
        /// `plan`, `up`, `status` or `leave`.
        command: String,
        /// The environment.
        environment: String,
        /// The provider's id, version and digest.
        provider: ProviderRef,
        /// Every host of the run, in order.
        hosts: Vec<String>,
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
    /// A command ran, or was skipped, or may have run.
    Ran {
        /// The host.
        host: String,
        /// The step that it belongs to; none for a probe.
        step: Option<String>,
        /// Its words. Secrets never stand in words.
        argv: Vec<String>,
        /// Whether root ran it.
        as_root: bool,
        /// `exited`, `timed-out`, `skipped` or `unknown`.
        ending: &'static str,
        /// The exit status, where one was seen.
        status: Option<u8>,
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
        result: HostResult,
        /// How long it took, in milliseconds, from the first connection attempt.
        millis: u64,
    },
    /// The run is finished.
    End {
        /// How many hosts ended how.
        counts: Counts,
        /// The exit code.
        exit: u8,
    },
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
    /// Could not be reached or looked at: a part of nothing else.
    pub unreachable: u32,
    /// Were not tried.
    pub skipped: u32,
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
