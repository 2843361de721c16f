//! What granting a shape amounts to. A few shapes are known to be harmless; everything else reads "treat it as root".
//!
//! A login that runs providers can usually become root, and a program can do whatever it was built to do: only what is
//! known to be harmless is called so. Not for: deciding ([`super::Rights`]). It is what a person is told before granting.

use std::fmt;

use super::shape::{Choice, Item};
use super::{Grant, Shape, Stdin, Verb};

/// What granting something amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Risk {
    /// It reads what anybody may read, and does nothing else.
    Harmless,
    /// Treat it as root, for these reasons, the gravest first.
    TreatAsRoot(Vec<Reason>),
}

/// Why something must be treated as root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// Its words end in `**`.
    AnyWords,
    /// Its program runs other programs, or code.
    Interpreter(String),
    /// Any bytes may stand on its standard input.
    AnyInput,
    /// It runs as root.
    Root,
    /// It changes the machine.
    Changes,
    /// It reads the output of another command.
    OutputAsInput(String),
    /// It is handed a secret.
    Secret(String),
    /// It is given variables that are not known to be harmless.
    Environment(Vec<String>),
    /// Parts of its words are the provider's to choose.
    Holes(Vec<String>),
    /// Nothing is known of what this program does with these words. Said only where nothing graver is.
    Unknown(String),
}

/// Programs that run what they are told to run.
const INTERPRETERS: [&str; 53] = [
    "apt",
    "apt-get",
    "ash",
    "at",
    "awk",
    "bash",
    "bpftrace",
    "busybox",
    "chroot",
    "crontab",
    "csh",
    "dash",
    "dd",
    "docker",
    "dpkg",
    "ed",
    "emacs",
    "env",
    "eval",
    "exec",
    "expect",
    "find",
    "fish",
    "gawk",
    "gdb",
    "git",
    "ksh",
    "lua",
    "make",
    "mawk",
    "nice",
    "node",
    "nohup",
    "nsenter",
    "perl",
    "php",
    "python",
    "python3",
    "rsync",
    "ruby",
    "runuser",
    "script",
    "sed",
    "setsid",
    "sh",
    "ssh",
    "su",
    "sudo",
    "systemd-run",
    "tar",
    "vi",
    "xargs",
    "zsh",
];

/// Files that hold nothing secret and that every user may read.
const PUBLIC_FILES: [&str; 6] =
    ["/etc/debian_version", "/etc/hostname", "/etc/os-release", "/proc/uptime", "/proc/version", "/usr/lib/os-release"];

/// Variables that only choose how a Debian package manager talks to people, or the language.
const HARMLESS_ENV: [&str; 5] = ["APT_LISTCHANGES_FRONTEND", "DEBIAN_FRONTEND", "LANG", "LC_ALL", "NEEDRESTART_MODE"];

/// What granting this amounts to.
#[must_use]
pub fn risk(grant: &Grant) -> Risk {
    let program = grant.shape.program();
    let mut reasons = Vec::new();
    if grant.shape.is_open() {
        reasons.push(Reason::AnyWords);
    }
    let name = program.rsplit('/').next().unwrap_or(program);
    if INTERPRETERS.contains(&name) {
        reasons.push(Reason::Interpreter(program.to_owned()));
    }
    match &grant.stdin {
        Stdin::None => {}
        Stdin::Any => reasons.push(Reason::AnyInput),
        Stdin::Secret(slot) => reasons.push(Reason::Secret(slot.clone())),
        Stdin::OutputOf(source) => reasons.push(Reason::OutputAsInput(source.to_string())),
    }
    // Being root changes nothing about a program that does nothing.
    let idle = matches!(words(&grant.shape).as_deref(), Some(["true"]));
    if grant.root && !idle {
        reasons.push(Reason::Root);
    }
    if grant.verb == Verb::Change {
        reasons.push(Reason::Changes);
    }
    let unknown_env: Vec<String> =
        grant.env.iter().filter(|name| !HARMLESS_ENV.contains(&name.as_str())).cloned().collect();
    if !unknown_env.is_empty() {
        reasons.push(Reason::Environment(unknown_env));
    }
    let holes: Vec<String> = holes(&grant.shape).collect();
    if !holes.is_empty() {
        reasons.push(Reason::Holes(holes));
    }
    if reasons.is_empty() && !is_known(&grant.shape) {
        reasons.push(Reason::Unknown(program.to_owned()));
    }
    reasons.sort();
    if reasons.is_empty() { Risk::Harmless } else { Risk::TreatAsRoot(reasons) }
}

/// The words of a shape that covers one command only.
fn words(shape: &Shape) -> Option<Vec<&str>> {
    shape
        .items
        .iter()
        .map(|item| match item {
            Item::Word(pattern) if pattern.head.is_empty() => match pattern.choices.as_slice() {
                [Choice::Exact(word)] => Some(word.as_str()),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

/// Whether it is one of the shapes whose every command is known to read only.
fn is_known(shape: &Shape) -> bool {
    match words(shape).as_deref() {
        Some(["cat", files @ ..]) => !files.is_empty() && files.iter().all(|file| PUBLIC_FILES.contains(file)),
        Some(["true" | "false" | "hostname" | "id" | "nproc" | "uname" | "uptime"]) => true,
        Some(["uname", flag]) => matches!(*flag, "-a" | "-m" | "-n" | "-r" | "-s"),
        Some(["id", flag]) => matches!(*flag, "-g" | "-n" | "-u" | "-un"),
        // Words of its own that begin with a dash could name another host or machine.
        Some(["systemctl", "is-active" | "is-enabled" | "is-failed", units @ ..]) => {
            !units.is_empty() && units.iter().all(|unit| !unit.starts_with('-'))
        }
        Some(["systemctl", "show", words @ ..]) => {
            let mut words = words.iter();
            while let Some(word) = words.next() {
                let sound = match *word {
                    "-p" => words.next().is_some(),
                    word => word == "--no-pager" || !word.starts_with('-'),
                };
                if !sound {
                    return false;
                }
            }
            true
        }
        _ => false,
    }
}

/// The parts of a shape that a provider fills as it likes.
fn holes(shape: &Shape) -> impl Iterator<Item = String> + '_ {
    shape
        .items
        .iter()
        .flat_map(|item| match item {
            Item::Word(pattern) => std::slice::from_ref(pattern),
            Item::Group(patterns) => patterns.as_slice(),
            Item::Rest => &[],
        })
        .filter(|pattern| pattern.choices.iter().any(|choice| matches!(choice, Choice::Hole { .. })))
        .map(ToString::to_string)
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyWords => f.write_str("`**` lets any words pass"),
            Self::Interpreter(program) => write!(f, "`{program}` runs what it is told to run"),
            Self::AnyInput => f.write_str("any bytes may stand on its standard input"),
            Self::Root => f.write_str("root runs it"),
            Self::Changes => f.write_str("it changes the machine"),
            Self::OutputAsInput(source) => write!(f, "it reads whatever `{source}` brings"),
            Self::Secret(slot) => write!(f, "it is handed the secret `{slot}`"),
            Self::Environment(names) => write!(f, "it is given {}, which may change what runs", names.join(", ")),
            Self::Holes(words) => write!(f, "the provider chooses what stands in `{}`", words.join("`, `")),
            Self::Unknown(program) => write!(f, "what `{program}` does with these words is not known here"),
        }
    }
}
