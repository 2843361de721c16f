//! What an artifact got wrong, in our words: one error a cause, with who, where, found and wanted.
//!
//! Nothing in here is wasmtime's: a caller needs no engine to match on it. The same failure gives the same text.

use std::fmt;
use std::sync::Arc;

use boundary::text::{one_line, printable};
use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};

use super::budget::Stopped;
use super::hands::TooManyCalls;
use super::limits::Limits;
use super::state::State;
use super::wasi::Exited;
use crate::artifact::Which;
use crate::failure::{DEFECT_OF_THE_PROVIDER, Failed, Kind};

/// Which of the provider's functions was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// `describe`.
    Describe,
    /// `validate`.
    Validate,
    /// `node-fqdn`.
    NodeFqdn,
    /// `plan`.
    Plan,
    /// `apply`.
    Apply,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Describe => "describe",
            Self::Validate => "validate",
            Self::NodeFqdn => "node-fqdn",
            Self::Plan => "plan",
            Self::Apply => "apply",
        })
    }
}

/// A call that gave no answer, or one that breaks the contract. The next call of the same provider is not affected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallError {
    /// The artifact.
    pub which: Arc<Which>,
    /// The function that was called.
    pub phase: Phase,
    /// What happened.
    pub fault: Fault,
    /// The last of what the guest wrote to standard output and standard error; may reach a terminal.
    pub wrote: String,
    /// The provider's own functions that were running, innermost first, where that is known.
    pub running: Vec<String>,
}

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The guest trapped; a panic ends as `unreachable`.
    #[error("it trapped: {reason}")]
    Trap {
        /// Why.
        reason: String,
    },
    /// It asked to end the process.
    #[error("it called `exit`, which a provider has no use for")]
    Exited,
    /// It wanted more than it may have.
    #[error("it {wanted}; the limit `{limit}` is {allowed}")]
    Limit {
        /// The name in [`super::Limits`].
        limit: &'static str,
        /// What it wanted, as a sentence without its subject.
        wanted: String,
        /// What it may have.
        allowed: u64,
    },
    /// The call's deadline passed while it was working.
    #[error("the time limit passed while it was working")]
    Deadline,
    /// The run was cancelled while it was working.
    #[error("cancelled while it was working")]
    Cancelled,
    /// It kept a handle that it was only lent.
    #[error("it kept a handle that it was lent for the call only")]
    KeptBorrow,
    /// Its answer breaks the contract.
    #[error("its answer breaks the contract: found {found}, wanted {wanted}")]
    Contract {
        /// What it said.
        found: String,
        /// What it may say.
        wanted: String,
    },
    /// Anything else that the engine says.
    #[error("{0}")]
    Other(String),
}

impl CallError {
    /// The failure of a host whose provider did this, with nothing changed as far as the engine knows.
    #[must_use]
    pub fn failed(&self) -> Failed {
        let kind = match self.fault {
            Fault::Deadline => Kind::TimedOut,
            Fault::Cancelled => Kind::Cancelled,
            _ => Kind::Provider,
        };
        let mut detail = Vec::new();
        if !self.wrote.is_empty() {
            let wrote: Vec<String> = self.wrote.lines().map(|line| format!("\n  {line}")).collect();
            detail.push(format!("found: it wrote last:{}", wrote.concat()));
        }
        if !self.running.is_empty() {
            detail.push(format!("found: it was in:\n  {}", self.running.join("\n  ")));
        }
        if kind == Kind::Provider {
            detail.push(DEFECT_OF_THE_PROVIDER.to_owned());
        }
        Failed::host(kind, self.headline(), (!detail.is_empty()).then(|| detail.join("\n")))
    }

    fn headline(&self) -> String {
        format!("provider {}: {}: {}", self.which, self.phase, self.fault)
    }
}

/// One line: the headline, and the last words of the guest.
impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WORDS: usize = 300;
        f.write_str(&self.headline())?;
        let words = self.wrote.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.is_empty() {
            return Ok(());
        }
        let from = words.ceil_char_boundary(words.len().saturating_sub(WORDS));
        write!(f, "; its last words: {}{}", if from > 0 { "…" } else { "" }, &words[from..])
    }
}

impl std::error::Error for CallError {}

/// An interface that an artifact needs and does not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// Its name.
    pub interface: String,
    /// Why not.
    pub why: &'static str,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.interface, self.why)
    }
}

/// Why an artifact cannot be run here. Told before any of its code has run, but for the last two.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It was built for another version of the contract.
    #[error("provider {which} was built for {found}; this host speaks {spoken}: {advice}")]
    Track {
        /// The artifact.
        which: Arc<Which>,
        /// What it speaks.
        found: String,
        /// What this host speaks.
        spoken: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// It needs interfaces that a provider does not get.
    #[error("provider {which} needs what no provider gets: {}", list(unmet))]
    Import {
        /// The artifact.
        which: Arc<Which>,
        /// All of them.
        unmet: Vec<Unmet>,
    },
    /// It is no provider.
    #[error(
        "{which} is not a provider: it exports {}, wanted `{wanted}`",
        if found.is_empty() { "nothing".to_owned() } else { found.join(", ") }
    )]
    Export {
        /// The artifact.
        which: Arc<Which>,
        /// What it exports.
        found: Vec<String>,
        /// What a provider exports.
        wanted: &'static str,
    },
    /// It does not compile.
    #[error("provider {which} does not compile: {reason}")]
    Compile {
        /// The artifact.
        which: Arc<Which>,
        /// Why.
        reason: String,
    },
    /// Its interfaces have the right names and other types.
    #[error("provider {which} does not fit this host, though it names the same contract: {reason}")]
    Link {
        /// The artifact.
        which: Arc<Which>,
        /// Why.
        reason: String,
    },
    /// It could not say what it is.
    #[error(transparent)]
    Describe(#[from] CallError),
    /// It says something else than its artifact.
    #[error(
        "provider {which} says something else than its artifact: `describe` and the section `{section}` differ in {}",
        fields.join(", ")
    )]
    Descriptor {
        /// The artifact.
        which: Arc<Which>,
        /// The section.
        section: &'static str,
        /// The fields that differ.
        fields: Vec<&'static str>,
    },
}

fn list(unmet: &[Unmet]) -> String {
    unmet.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// An error of the engine on one line, with its whole chain of causes: what is on top is mostly the least of it.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    one_line(format!("{error:#}"))
}

/// What a guest wrote, as it may reach a terminal.
pub(super) fn wrote((kept, dropped): (Vec<u8>, u64)) -> String {
    /// What Rust's panics advise, and nobody here can do.
    const ADVICE: &str = "note: run with `RUST_BACKTRACE=1`";
    let kept = String::from_utf8_lossy(&kept);
    let lines: Vec<_> = kept.trim().lines().filter(|line| !line.starts_with(ADVICE)).collect();
    let words = printable(lines.join("\n"));
    if dropped == 0 { words } else { format!("({dropped} bytes before this were not kept)\n{words}") }
}

/// What an error of the engine means. What the call's own state says beats the error: a guest whose memory was refused
/// traps with something else.
pub(super) fn fault(error: &wasmtime::Error, state: &State, limits: &Limits) -> Fault {
    let limit = |limit, allowed: usize, wanted: &str| Fault::Limit {
        limit,
        wanted: wanted.to_owned(),
        allowed: allowed as u64,
    };
    match state.budget.stopped() {
        Some(Stopped::Cpu) => {
            return Fault::Limit {
                limit: "cpu_ms",
                wanted: "ran on without an end".to_owned(),
                allowed: limits.cpu_ms,
            };
        }
        Some(Stopped::Deadline) => return Fault::Deadline,
        Some(Stopped::Cancelled) => return Fault::Cancelled,
        None => {}
    }
    if error.is::<Exited>() {
        return Fault::Exited;
    }
    if error.is::<TooManyCalls>() {
        return limit("host_calls", limits.host_calls as usize, "called the host on and on");
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return limit("resources", limits.resources, "took more and more handles");
    }
    // These have no type of their own; a test holds each text.
    for said in error.chain().map(ToString::to_string) {
        if said.contains("borrow handles still remain") {
            return Fault::KeptBorrow;
        }
        if said.contains("fuel allocated for hostcalls has been exhausted") {
            return limit("copied", limits.copied, "handed over more bytes at once than may be copied");
        }
        if said.contains("count too high at") {
            return limit("instances", limits.instances, "is made of more instances than it may be");
        }
        if said.contains("handle limit exceeded") {
            return limit("handles", limits.handles, "took more and more handles");
        }
    }
    if let Some(refused) = state.totals.refused() {
        return limit(refused.name, refused.limit, &format!("wanted {} {}", refused.wanted, refused.what));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => limit("stack", limits.stack, "used up its stack"),
        Some(Trap::UnreachableCodeReached) => {
            Fault::Trap { reason: "it reached what it had declared unreachable, mostly by a panic".to_owned() }
        }
        Some(trap) => Fault::Trap { reason: trap.to_string() },
        None => Fault::Other(chain(error)),
    }
}

/// The provider's own functions that were running, innermost first; what its language's library was doing is noise.
pub(super) fn running(error: &wasmtime::Error) -> Vec<String> {
    const SHOWN: usize = 8;
    const NOISE: [&str; 5] = ["std::", "core::", "alloc::", "<", "__rust"];
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    let mut names: Vec<_> = frames
        .iter()
        .filter_map(|frame| Some(one_line(format!("{:#}", rustc_demangle::demangle(frame.func_name()?)))))
        .filter(|name| name.contains("::") && !NOISE.iter().any(|noise| name.starts_with(noise)))
        .collect();
    names.dedup();
    names.truncate(SHOWN);
    names
}
