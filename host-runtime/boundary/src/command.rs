//! The vocabulary that a provider and the host share: commands, and how they ended.
//!
//! These are the records of `wit/provider.wit` as plain Rust. Not for: checking them ([`crate::grant`]) or turning them
//! into a script ([`crate::script`]).

use std::time::Duration;

/// One piece of a command's standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The value of the secret in this slot. Only the name stands here; the value joins when the script is rendered.
    Secret(String),
    /// Standard output of an earlier command of the same batch, by its place.
    StdoutOf(u32),
}

/// When a command of a `run` batch runs, by what came before it in the batch.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Environment variables, name and value, in the order given.
    pub env: Vec<(String, String)>,
    /// The pieces of standard input in order, then end of file.
    pub stdin: Vec<Chunk>,
    /// Run by root, through `sudo -n` where the login is not root already.
    pub as_root: bool,
    /// After this the command is ended on the machine itself. Rounded up to whole seconds there.
    pub timeout: Duration,
    /// When it runs. Not used by probes.
    pub runs: Condition,
    /// Exit statuses that are not a failure. Empty stands for 0 alone.
    pub accepted: Vec<u8>,
}

impl Command {
    /// Whether this exit status counts as success.
    #[must_use]
    pub fn accepts(&self, status: u8) -> bool {
        if self.accepted.is_empty() { status == 0 } else { self.accepted.contains(&status) }
    }
}

/// What a batch may do, and how it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Looks: all commands side by side, independent of each other, no secrets.
    Probe,
    /// Changes: one after the other by their conditions, under the machine's lock.
    Run,
}

/// What was kept of one stream: JSON needs its head, an apt error its tail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// The first bytes.
    pub head: Vec<u8>,
    /// The last bytes; empty unless `cut`.
    pub tail: Vec<u8>,
    /// Bytes between the two were dropped.
    pub cut: bool,
}

/// How one command ended, as far as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its exit status. 128 and above may be a signal: a shell cannot tell.
    Exited(u8),
    /// It was ended because its time was up.
    TimedOut,
    /// Its condition did not hold.
    Skipped,
    /// No status was seen: it may have run, or not.
    Unknown,
}

/// One command's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub ending: Ending,
    /// What it wrote to standard output.
    pub stdout: Captured,
    /// What it wrote to standard error.
    pub stderr: Captured,
}
