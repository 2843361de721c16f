//! The records of `wit/provider.wit` as plain Rust: what a provider says, and what it is asked.
//!
//! The engine turns the component's own types into these, so that nothing outside [`crate::engine`] names wasmtime; the
//! names in JSON are the WIT's. Commands and their outputs are [`boundary::command`]. Not for: judging any of it.

use std::time::Duration;

use boundary::command::{Command, Output};
use serde::{Deserialize, Serialize};

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The goal cannot be reached with this.
    Error,
    /// Worth a look.
    Warning,
    /// Good to know.
    Note,
}

/// One finding. `code` is stable and matched by machines; the rest is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Diagnostic {
    /// How grave.
    pub severity: Severity,
    /// Stable, kebab-case.
    pub code: String,
    /// One line.
    pub summary: String,
    /// What was found, what was wanted, what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// JSON Pointer (RFC 6901) into the provider's config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_path: Option<String>,
}

/// Why a provider's call did not reach its goal, in the provider's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Failure {
    /// One of the kinds that `wit/provider.wit` lists.
    pub kind: String,
    /// The findings, the main one first.
    pub diagnostics: Vec<Diagnostic>,
}

/// One kind of a secret's value, told by its prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecretKind {
    /// Its name, such as `tskey-auth`.
    pub name: String,
    /// What its values begin with; `*` in it stands for any characters, or none.
    pub prefix: String,
}

/// A secret that a provider asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecretSlot {
    /// Its name.
    pub slot: String,
    /// JSON Pointer to where the name of its environment variable stands in the config.
    pub env_config_path: String,
    /// The kinds of value that the provider tells apart.
    pub kinds: Vec<SecretKind>,
}

/// What may stand on a command's standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StdinRule {
    /// Nothing.
    None,
    /// Any bytes.
    Any,
    /// Bytes and the secret of this slot.
    Secret(String),
    /// The output of a command of exactly this shape.
    OutputOf(Vec<String>),
}

/// A command shape that a provider asks for, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CommandRequest {
    /// Words in the grant grammar.
    pub argv: Vec<String>,
    /// Names of environment variables.
    pub env: Vec<String>,
    /// What may stand on standard input.
    pub stdin: StdinRule,
    /// Whether it changes the machine.
    pub mutates: bool,
    /// Whether it asks to be run by root.
    pub as_root: bool,
    /// Why, for the person who grants it.
    pub reason: String,
}

/// What a provider says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Descriptor {
    /// The key under `network.provider`.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// One sentence.
    pub description: String,
    /// Semantic version.
    pub version: String,
    /// JSON Schema 2020-12, as text.
    pub config_schema: String,
    /// The secrets that it may ask for.
    pub secrets: Vec<SecretSlot>,
    /// The commands that it may ask for.
    pub commands: Vec<CommandRequest>,
}

/// What a host should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The client is installed and its daemon answers.
    Installed,
    /// Installed, and a member of the configured network with these tags.
    Joined(Vec<String>),
    /// Not a member.
    Absent,
    /// A goal that only newer providers know.
    Other(String),
}

/// What a provider is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Request {
    /// JSON, valid under the provider's schema; never holds a secret.
    pub config: String,
    /// What the host should be.
    pub goal: Goal,
    /// What the operator allows beyond the plain goal: `disruptive`, `uninstall`.
    pub allow: Vec<String>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Step {
    /// Its name, unique in the plan.
    pub id: String,
    /// One line, imperative.
    pub title: String,
    /// What a person who reviews the plan must know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The secret slots that it needs.
    pub secrets: Vec<String>,
    /// Whether it interrupts something that works.
    pub disruptive: bool,
}

/// A member of a network, as the network's client tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Node {
    /// The network's own, stable name for it.
    pub id: String,
    /// The name that resolves.
    pub fqdn: String,
    /// Its addresses in the network.
    pub addresses: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether its control connection is open.
    pub online: bool,
    /// RFC 3339; none when its key does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_expiry: Option<String>,
}

/// One thing that is so on a machine, whatever the goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Fact {
    /// What it is about: `machine`, `client`, `network`, `state`, `setting`, `never`, or the provider's own.
    pub topic: String,
    /// What it is: stable, kebab-case, such as `version`, `network`, `control`, `state`.
    pub name: String,
    /// What was found.
    pub value: String,
    /// What the goal asks for in its place, where that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What it means, or why it deserves a look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// What a provider found on a host, and what it would do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Assessment {
    /// What was found, whatever follows from it.
    pub facts: Vec<Fact>,
    /// The member that this machine is now, of whatever network.
    pub node: Option<Node>,
    /// Empty when the goal holds, or when `blocked` is set.
    pub steps: Vec<Step>,
    /// Why the goal cannot be reached from here.
    pub blocked: Option<Failure>,
    /// Good to know.
    pub notes: Vec<Diagnostic>,
    /// Opaque, handed to `apply` of the same run.
    #[serde(skip)]
    pub private: Vec<u8>,
}

/// What holds after an apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Outcome {
    /// What was found at the end.
    pub facts: Vec<Fact>,
    /// The member that this machine is now.
    pub node: Option<Node>,
    /// Good to know.
    pub notes: Vec<Diagnostic>,
}

/// A command that was not allowed. Decided before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Place in the batch.
    pub command: u32,
    /// Why.
    pub reason: String,
    /// The grant that would allow it, as it would stand in the operator's file.
    pub grant: String,
}

/// Why no command of a batch was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchError {
    /// The policy said no.
    Denied(Denial),
    /// The machine could not be talked to.
    Unreachable(String),
    /// Another run holds the machine.
    Busy(String),
    /// Cancelled, or the deadline of the call has passed.
    Stopped(String),
    /// Anything else.
    Other(String),
}

/// How a pause ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseEnd {
    /// All of it passed.
    Elapsed,
    /// The deadline of the call came first.
    Deadline,
    /// The run was cancelled.
    Cancelled,
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// For authors.
    Debug,
    /// For the curious.
    Info,
    /// For everybody.
    Warn,
    /// For everybody, loudly.
    Error,
}

/// A secret as a guest sees it: its slot, and which declared kind its value has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHandle {
    /// The slot.
    pub slot: String,
    /// The kind, when the value's prefix matches one that the provider declared.
    pub kind: Option<String>,
}

/// Everything that the guest of one call can reach: the hands of this one call, and nothing else.
///
/// The engine calls these on behalf of the guest; `crate::call` implements them. None of them panics.
pub trait Hands {
    /// The logical host name.
    fn name(&self) -> String;
    /// `SSH_CONNECTION` as the machine sees it, once anything ran there.
    fn connection(&self) -> Option<String>;
    /// Looks, side by side, one round trip.
    ///
    /// # Errors
    /// When no command of the batch was started.
    fn probe(&mut self, commands: Vec<Command>) -> Result<Vec<Output>, BatchError>;
    /// Changes, one after the other, under the machine's lock, in a step that was shown.
    ///
    /// # Errors
    /// When no command of the batch was started.
    fn run(&mut self, step: &str, commands: Vec<Command>) -> Result<Vec<Output>, BatchError>;
    /// Waits between polls, bounded by the call's deadline.
    fn pause(&mut self, time: Duration) -> PauseEnd;
    /// The secret of a slot, if the shown steps of this call name it.
    fn secret(&mut self, slot: &str) -> Option<SecretHandle>;
    /// One line for the log.
    fn log(&mut self, level: Level, message: &str);
}
