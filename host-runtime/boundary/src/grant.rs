//! What a provider's commands may be: grants, as text, and the decision over a batch.
//!
//! A right is what the provider's descriptor asks for *and* what the operator gave: a command passes when one of the
//! descriptor's shapes covers all of it, and one of the operator's grants does too. Both are read in one grammar, over
//! words, never over a shell line. Everything is decided before anything is sent, and a denial is a value with the line
//! that would allow the command.
//!
//! # The text form
//!
//! One grant a line; a line that begins with a blank continues the one before; `#` begins a comment.
//!
//! ```text
//! look   cat /etc/os-release
//! change root env=DEBIAN_FRONTEND stdin=output-of(curl -fsS https://example.com/i.sh)  sh -s
//! change root stdin=secret:join-key
//!     netctl up --key=file:/dev/stdin --server=$config/server
//!     [ --hostname=*             # what follows the `=`
//!     | --routes=on|off ]*
//! ```
//!
//! * `look` or `change`: whether it changes the machine. A probe needs `look`. This word is the operator's to choose.
//! * `root`: root may run it. Without it, only the login user may.
//! * `env=A,B`: the environment variables that it may be given. Never `PATH`, `IFS`, `ENV`, `BASH_…`, `LD_…`.
//! * `stdin=`: `none` (the default), `any` (any bytes, any command's output), `secret:SLOT` (bytes and the secret of that
//!   slot), `output-of(…)` (all the output of one earlier command of exactly this shape, which succeeded with status 0).
//! * then the words of the command:
//!
//! | written | admits |
//! |---|---|
//! | `word`, `'a word'`, `"it's"` | this word |
//! | `*` | one word of printable ASCII without blanks that does not begin with `-` |
//! | `--name=*`, `*.service` | a hole of the same kind in a word; in a flag only behind its `=` |
//! | `start\|stop`, `--routes=on\|off` | one of these; behind a `=`, of these values |
//! | `[--a=* \| --b]*` | any of these words, each flag at most once, in any order; the bar has blanks around it |
//! | `--server=$config/server`, `$config/a/b` | the value of the provider's config; where the config has none, no such word, and where it has one, the word must be there |
//! | `**` | the rest, whatever it is; stands last |
//!
//! The program, the first word, is always written out. The words of a command are printable ASCII: nothing that looks
//! like something else, turns the direction of text or ends a line.
//!
//! `artifact sha256:…` on a line of its own gives the grants that follow to the artifact of that digest only.
//!
//! ```
//! use boundary::command::Mode;
//! use boundary::grant::{Grants, Rights};
//! # let command = |words: &str| boundary::command::Command {
//! #     argv: words.split(' ').map(str::to_owned).collect(), env: vec![], stdin: vec![], as_root: false,
//! #     timeout: std::time::Duration::from_secs(1), runs: Default::default(), accepted: vec![] };
//!
//! let given = Grants::parse("look cat /etc/os-release\nlook systemctl show *.service").unwrap();
//! let asked = given.lines().iter().map(|line| line.grant.clone()).collect();
//! let rights = Rights::new(asked, given.lines().to_vec());
//! let config = |_: &str| None;
//! assert!(rights.decide(Mode::Probe, &[command("systemctl show ssh.service")], &config).is_ok());
//!
//! let denial = rights.decide(Mode::Probe, &[command("cat /etc/shadow")], &config).unwrap_err();
//! assert_eq!(denial.to_string(), "`cat /etc/shadow`: the provider's own description asks for no such command; the nearest \
//!     is `look cat /etc/os-release`: word 2, `/etc/shadow`, is not `/etc/os-release`");
//! ```
//!
//! Not for: the steps that were shown, and the vault (the host runtime's call), and not for running anything.

mod decide;
mod lex;
mod parse;
mod problem;
mod risk;
mod shape;

use std::fmt;

pub use decide::{Denial, Refusal, Rights};
pub use problem::{Problem, Problems};
pub use risk::{Reason, Risk, risk};
pub use shape::{Config, Misfit, Shape};

/// Whether a command looks or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// It changes nothing: it may stand in a probe, and in a run.
    Look,
    /// It changes the machine: it may stand in a run.
    Change,
}

/// What may stand on a command's standard input.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Stdin {
    /// Nothing.
    #[default]
    None,
    /// Any bytes, and the output of any earlier command. No secret.
    Any,
    /// Bytes and the secret of this slot.
    Secret(String),
    /// All the output of one earlier command of exactly this shape, and nothing else.
    OutputOf(Shape),
}

/// One right: which command, and with what. What a descriptor asks for and what an operator gives have this one form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Whether it looks or changes.
    pub verb: Verb,
    /// Whether root may run it.
    pub root: bool,
    /// Names of environment variables, sorted.
    pub env: Vec<String>,
    /// What may stand on its standard input.
    pub stdin: Stdin,
    /// Its words.
    pub shape: Shape,
}

/// A grant where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// What it says.
    pub grant: Grant,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// As it was written, on one line, without comments.
    pub text: String,
    /// The digest of the only artifact that it is given to; `None` where the text names none.
    pub artifact: Option<String>,
}

/// An operator's text of grants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    lines: Vec<Granted>,
}

impl Grants {
    /// Reads a text.
    ///
    /// # Errors
    /// Every mistake of the text, each with line and column.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        parse::grants(text)
    }

    /// All of them, in their order.
    #[must_use]
    pub fn lines(&self) -> &[Granted] {
        &self.lines
    }

    /// Those of one artifact, by its digest, and no others: a grant without an artifact is given to none.
    #[must_use]
    pub fn given_to(&self, digest: &str) -> Vec<Granted> {
        self.lines.iter().filter(|line| line.artifact.as_deref() == Some(digest)).cloned().collect()
    }
}

impl Shape {
    /// Reads the words of a shape, one element each, as a descriptor holds them.
    ///
    /// # Errors
    /// Every mistake; the line of each is the place of its word, from 1.
    pub fn parse(words: &[String]) -> Result<Self, Problems> {
        parse::shape(words)
    }
}

/// Whether a text can name a slot: letters, digits, `-` and `_`.
#[must_use]
pub fn is_slot(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Look => "look",
            Self::Change => "change",
        })
    }
}

/// The grant, as it would stand in an operator's file: on one line, or in the alternate form (`{:#}`) with long groups on
/// lines of their own.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verb)?;
        if self.root {
            f.write_str(" root")?;
        }
        if !self.env.is_empty() {
            write!(f, " env={}", self.env.join(","))?;
        }
        match &self.stdin {
            Stdin::None => {}
            Stdin::Any => f.write_str(" stdin=any")?,
            Stdin::Secret(slot) => write!(f, " stdin=secret:{slot}")?,
            Stdin::OutputOf(shape) => write!(f, " stdin=output-of({shape})")?,
        }
        f.write_str(" ")?;
        self.shape.fmt(f)
    }
}

#[cfg(test)]
mod tests;
