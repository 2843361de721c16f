//! What the outside gives to one call of the provider, as plain Rust: the records and handles of `wit/provider.wit`.
//!
//! The component's glue implements the traits over the imported resources, tests over the model of a host. So everything
//! that decides runs natively. Not for: deciding anything, or building the commands ([`crate::probe`], [`crate::act`]).

use serde::{Deserialize, Serialize};

/// One piece of a command's standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The value of the secret in this slot. The bytes never pass through here.
    Secret(&'static str),
    /// Standard output of an earlier command of the same batch, by its place.
    StdoutOf(u32),
}

/// When a command of a changing batch runs, by what came before it in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Every exit so far was accepted.
    #[default]
    Ok,
    /// One was not.
    Failed,
    /// In any case.
    Always,
}

/// One command: words, never a shell line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Environment variables, name and value.
    pub env: Vec<(&'static str, &'static str)>,
    /// The pieces of standard input in order, then end of file.
    pub stdin: Vec<Chunk>,
    /// Run by root.
    pub as_root: bool,
    /// Milliseconds after which it is ended.
    pub timeout_ms: u32,
    /// When it runs.
    pub runs: Condition,
    /// Exit statuses that are not a failure. Empty stands for 0 alone.
    pub accepted: Vec<u8>,
}

/// How one command ended, as far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its exit status.
    Exited(u8),
    /// It was ended because its time was up.
    TimedOut,
    /// Its condition did not hold.
    Skipped,
    /// No status was seen: it may have run, or not.
    Unknown,
}

/// One command's outcome. Streams are text here: what is not UTF-8 was replaced, and a cut in the middle is marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub ending: Ending,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Whether it exited with status 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.ending == Ending::Exited(0)
    }
}

/// Why no command of a batch was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecError {
    /// The policy forbids the command at this place, for this reason.
    Denied(u32, String),
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

/// May look, not touch.
pub trait Observer {
    /// The logical host name.
    fn name(&self) -> String;
    /// `SSH_CONNECTION` as the machine sees it: client address and port, server address and port.
    fn connection(&self) -> Option<String>;
    /// Runs all commands side by side in one round trip and answers in their order.
    ///
    /// # Errors
    /// When no command was started.
    fn probe(&self, commands: Vec<Command>) -> Result<Vec<Output>, ExecError>;
    /// Waits this many milliseconds, within the call's deadline.
    fn pause(&self, ms: u32) -> PauseEnd;
}

/// May change the machine, in the steps that were shown.
pub trait Actor {
    /// Runs the commands one after the other in one round trip, in the shown step of this id.
    ///
    /// # Errors
    /// When no command was started.
    fn run(&self, step: &str, commands: Vec<Command>) -> Result<Vec<Output>, ExecError>;
}

/// The secrets that the shown steps name.
pub trait Vault {
    /// The secret of a slot, if there is one.
    fn get(&self, slot: &str) -> Option<Secret>;
}

/// What may be known of a secret: which of the kinds that the descriptor lists its value has, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The kind's name in the descriptor.
    pub kind: Option<String>,
}

/// Takes one line for the curious; never fails, never blocks.
pub trait Log {
    /// One line.
    fn info(&self, message: &str);
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The goal cannot be reached with this.
    Error,
    /// Worth a look.
    Warning,
    /// Good to know.
    Note,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diagnostic {
    /// How grave.
    pub severity: Severity,
    /// Stable, kebab-case.
    pub code: &'static str,
    /// One line.
    pub summary: String,
    /// What was found, what was wanted, what to do next.
    pub detail: Option<String>,
    /// JSON Pointer into the provider's config.
    pub config_path: Option<String>,
}

/// Why a call did not reach its goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// One of the kinds that `wit/provider.wit` lists.
    pub kind: &'static str,
    /// The findings, the main one first.
    pub diagnostics: Vec<Diagnostic>,
}

/// What a host should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The client is there and its daemon answers.
    Installed,
    /// Installed, and a member of the configured tailnet with these tags.
    Joined(Vec<String>),
    /// Logged out.
    Absent,
    /// A goal that only newer providers know.
    Other(String),
}

/// What the provider is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// JSON.
    pub config: String,
    /// What the host should be.
    pub goal: Goal,
    /// What the operator allows beyond the plain goal.
    pub allow: Vec<String>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// Its name, unique in the plan.
    pub id: String,
    /// One line, imperative.
    pub title: String,
    /// What a person who reviews the plan must know.
    pub detail: Option<String>,
    /// The slots that it needs.
    pub secrets: Vec<String>,
    /// Whether it interrupts something that works.
    pub disruptive: bool,
}

/// The member that a machine is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Node {
    /// The tailnet's stable name for it.
    pub id: String,
    /// The name that resolves.
    pub fqdn: String,
    /// Its addresses in the tailnet.
    pub addresses: Vec<String>,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// Whether it runs and its control connection is open.
    pub online: bool,
    /// RFC 3339; none when its key does not expire.
    pub key_expiry: Option<String>,
}

/// One thing that is so, whatever the goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is about.
    pub topic: &'static str,
    /// What it is.
    pub name: String,
    /// What was found.
    pub value: String,
    /// What is wanted in its place, where that is something else.
    pub wanted: Option<String>,
    /// What it means, or why it deserves a look.
    pub remark: Option<String>,
}

/// What was found on a host, and what would be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Assessment {
    /// What was found, whatever follows from it.
    pub facts: Vec<Fact>,
    /// The member that this machine is now, of whatever tailnet.
    pub node: Option<Node>,
    /// Empty when the goal holds, or when `blocked` is set.
    pub steps: Vec<Step>,
    /// Why the goal cannot be reached from here.
    pub blocked: Option<Failure>,
    /// Good to know.
    pub notes: Vec<Diagnostic>,
}

/// What holds after an apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Outcome {
    /// What was found at the end.
    pub facts: Vec<Fact>,
    /// The member that this machine is now.
    pub node: Option<Node>,
    /// Good to know.
    pub notes: Vec<Diagnostic>,
}
