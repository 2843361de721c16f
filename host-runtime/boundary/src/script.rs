//! A batch of commands becomes one POSIX-sh script, and the line that runs it.
//!
//! The line is what the login shell of the far side gets; the script is all of standard input. The line leaves nothing
//! of the login shell's world to the script (functions, options, `PATH`), takes exactly as many bytes as the script has
//! and runs them only when all of them came, so neither a connection that was cut nor a start-up file that read from
//! standard input can make a part of it run. Within, everything is one function that is called on the last line.
//!
//! What the script writes, each on standard output and standard error, each after a line end and the nonce:
//!
//! | frame | means |
//! |---|---|
//! | `begin UID LOCK UPTIME CONNECTION` | it runs now; `LOCK` is `locked` or `unlocked` |
//! | `busy WHO` | another run holds the machine; nothing ran |
//! | `no-sudo asks WHY`, `no-sudo refused WHY` | `sudo -n` asks for a password, or refused the one it was given; nothing ran |
//! | `moved WHO` | another run held it after it was looked at; nothing ran |
//! | `no-lock WHY`, `no-place WHY`, `no-printf` | a precondition is missing; nothing ran |
//! | `INDEX STATUS START END` | what stands before it is this command's; times are the machine's uptime, or `-` |
//! | `INDEX - - -` | this command was skipped |
//! | `tar` | an archive with `INDEX.o`, `INDEX.e` and `INDEX.s` of each probe follows |
//! | `end` | nothing follows |
//!
//! [`crate::answer`] reads it. Not for: deciding what may run ([`crate::grant`]).
//!
//! # Secrets
//! A value stands in the script as a quoted assignment to a variable that is not exported, and reaches a command through
//! the shell's own `printf`: it is never an argument, an environment or a file. It is the last thing on the input, so
//! no command can read what was meant for another.
//!
//! # A password for sudo
//! A batch with a password ([`Sudo::Password`]) first tries `sudo -n`, and is then as any other. Where that asks, the
//! password is tried once on its own, so that a wrong one counts as one attempt and not as the three that sudo makes of
//! whatever stands on its input. Then it stands in front of each root command's input, for `sudo -S -k`, and behind it
//! some empty lines and a marker. A root shell reads up to the marker and becomes the command, whose input is exact
//! whether sudo read the password or, by a rule or a ticket of its own, did not. `-k` leaves no ticket behind.
//!
//! # The lock
//! A run holds `flock` on a file that root owns, so that nobody without root can hold a machine up. Root takes it in a
//! process of its own: `timeout … sh -c 'flock …; cat'`, through `sudo -n` where the login is not root. It lives as long
//! as a pipe that only the script's own shell keeps open, so it ends with the script however that ends, `KILL`
//! included, and a daemon that a command leaves behind does not keep it. Where no lock can be had, a batch that needs
//! root does not start; one that does not goes on without, and says so, since without root it cannot do what two runs
//! could spoil for each other.
//!
//! The file says who held the lock last, and at which uptime of the machine that run let it go. Whoever takes it after
//! another one compares that with the time of its own last look: what was decided on an older look is not done.

mod batch;

use std::collections::BTreeSet;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::argv::{self, ArgvError};
use crate::command::{Chunk, Command, Condition, Mode};
use crate::scrub::{self, WeakSecret};

use batch::{Batch, Secrets};

/// Where programs are looked for on the far side.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The lock of a machine. `/run` is root's own, in memory, and empty after a restart.
pub const LOCK_PATH: &str = "/run/stagecraft-net.lock";
/// Where probes keep their output for a moment, in memory and not on disk. Where it is missing, `/tmp`.
pub const SCRATCH: &str = "/dev/shm";

/// The most commands in one batch.
pub const MAX_COMMANDS: usize = 64;
/// The most bytes of standard input of one command that the host itself gives.
pub const MAX_STDIN: usize = 1024 * 1024;
/// The most bytes a probe may write to one stream, and a command whose output another one reads. A command that writes
/// more is ended by the system (`SIGXFSZ`). The unit of `ulimit -f` is 512 bytes in every POSIX shell.
pub const FILE_LIMIT: u64 = 1024 * 1024;
/// A command that does not end on `TERM` is killed so long after.
pub const KILL_AFTER: Duration = Duration::from_secs(5);

/// What tells our frames from everything else on the two streams: 128 random bits, new for each batch.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// From 16 bytes, which must be random: this crate has no source of randomness.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// As it stands on the wire: 32 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonce(…)")
    }
}

/// The lock that a run takes.
#[derive(Debug, Clone, Copy)]
pub struct Lock<'a> {
    /// The file; its folder must be one that only root writes to. [`LOCK_PATH`] but in tests.
    pub path: &'a str,
    /// Who we are, in one printable line of at most 200 bytes: shown to those who find the machine busy. No two runs are
    /// the same one.
    pub owner: &'a str,
    /// When the machine was last looked at, in hundredths of a second of its own uptime ([`crate::answer::Ran::uptime`]).
    /// If another run let go of it later, or died with it, this one does not begin. `None`: whatever others did is of no
    /// concern.
    pub looked: Option<u64>,
}

/// How a login that is not root becomes root. For a batch that needs no root, and for a login that is root, all are one.
#[derive(Clone, Copy, Default)]
pub enum Sudo<'a> {
    /// By `sudo -n`. Where that asks for a password, what needs root fails.
    #[default]
    Free,
    /// By `sudo -n`. Where that asks for a password, nothing runs, and the answer says so.
    Ask,
    /// By `sudo -n`, or by `sudo -S` with this password, which is a secret: one line, without its end.
    Password(&'a [u8]),
}

/// Under which name [`Sudo::Password`] is scrubbed from what comes back.
pub const SUDO_PASSWORD: &str = "sudo-password";

/// How a batch is to be run.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// New for each batch.
    pub nonce: &'a Nonce,
    /// What the batch may do.
    pub mode: Mode,
    /// The lock to take; only for [`Mode::Run`].
    pub lock: Option<Lock<'a>>,
    /// How a login that is not root becomes root.
    pub sudo: Sudo<'a>,
    /// The value of the secret in a slot; only for [`Mode::Run`].
    pub secrets: &'a dyn Fn(&str) -> Option<&'a [u8]>,
    /// Where programs are looked for. [`SEARCH_PATH`] but in tests.
    pub search_path: &'a str,
    /// Where files are kept for a moment. [`SCRATCH`] but in tests.
    pub scratch: &'a str,
}

impl<'a> Options<'a> {
    /// Looking: no lock, no secrets.
    #[must_use]
    pub fn probe(nonce: &'a Nonce) -> Self {
        Self {
            nonce,
            mode: Mode::Probe,
            lock: None,
            sudo: Sudo::Free,
            secrets: &|_| None,
            search_path: SEARCH_PATH,
            scratch: SCRATCH,
        }
    }

    /// Changing, under a lock.
    #[must_use]
    pub fn run(nonce: &'a Nonce, lock: Lock<'a>, secrets: &'a dyn Fn(&str) -> Option<&'a [u8]>) -> Self {
        Self { mode: Mode::Run, lock: Some(lock), secrets, ..Self::probe(nonce) }
    }
}

/// Why a batch cannot be sent. Nothing was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// A batch without commands.
    #[error("a batch has at least one command")]
    NoCommands,
    /// Too many commands.
    #[error("{found} commands in one batch, at most {MAX_COMMANDS} are sent")]
    TooManyCommands {
        /// How many there are.
        found: usize,
    },
    /// The words or variables of a command.
    #[error("command {command}: {error}")]
    Argv {
        /// Its place.
        command: usize,
        /// What is wrong.
        error: ArgvError,
    },
    /// Too much standard input.
    #[error("command {command}: {found} bytes of standard input, at most {MAX_STDIN} are sent")]
    TooMuchInput {
        /// Its place.
        command: usize,
        /// How many bytes.
        found: usize,
    },
    /// The output of a command that does not come before.
    #[error("command {command}: it reads the output of command {of}, which is not an earlier one")]
    NotEarlier {
        /// Its place.
        command: usize,
        /// The place it names.
        of: u32,
    },
    /// A secret in a probe.
    #[error("command {command}: a probe is given no secrets")]
    SecretInProbe {
        /// Its place.
        command: usize,
    },
    /// A slot without a value.
    #[error("command {command}: the secret `{slot}` was not opened for this step")]
    NoSecret {
        /// Its place.
        command: usize,
        /// The slot.
        slot: String,
    },
    /// A value that cannot be one.
    #[error(transparent)]
    WeakSecret(#[from] WeakSecret),
    /// A password of several lines.
    #[error("the secret `{SUDO_PASSWORD}` holds a line end; sudo reads one line")]
    SudoPassword,
    /// A lock for a probe.
    #[error("a probe takes no lock")]
    LockInProbe,
    /// The owner's name of the lock.
    #[error("who holds the lock is one line of at most {MAX_OWNER} printable bytes")]
    Owner,
    /// A path of [`Options`] that the login shells would not all read as it stands.
    #[error("`{0}` is not an absolute path of plain characters")]
    Path(String),
}

const MAX_OWNER: usize = 200;

/// What is sent: one exec of `line`, with `input` as all of its standard input.
pub struct Script {
    /// The line for the login shell.
    pub line: String,
    /// Everything on standard input. Wiped when dropped; it was built without leaving copies.
    pub input: Zeroizing<Vec<u8>>,
    /// What the answer must look like.
    pub expect: Expect,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script")
            .field("line", &self.line)
            .field("input", &format_args!("{} bytes", self.input.len()))
            .finish_non_exhaustive()
    }
}

/// What [`crate::answer::Reader`] must know of a batch.
#[derive(Debug, Clone)]
pub struct Expect {
    pub(crate) nonce: Nonce,
    pub(crate) mode: Mode,
    pub(crate) commands: Vec<Expected>,
}

/// One command of it.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) runs: Condition,
    pub(crate) accepted: Vec<u8>,
    /// In whole seconds, as `timeout` was told.
    pub(crate) timeout: u64,
    /// The commands whose output it reads.
    pub(crate) reads: BTreeSet<usize>,
}

impl Expected {
    pub(crate) fn accepts(&self, status: u8) -> bool {
        self.accepted.contains(&status)
    }
}

/// Turns a batch into a script.
///
/// # Errors
/// See [`RenderError`].
pub fn render(commands: &[Command], options: &Options<'_>) -> Result<Script, RenderError> {
    let expect = expect(commands, options)?;
    check_options(options)?;
    let secrets = Secrets::collect(commands, options)?;
    let mut out = Zeroizing::new(Vec::with_capacity(batch::room(commands, &secrets, options.sudo)));
    let room = out.capacity();
    let asks = !matches!(options.sudo, Sudo::Free) && needs_root(commands, options);
    Batch { commands, expect: &expect, secrets: &secrets, asks, out: &mut out }.write(options);
    debug_assert_eq!(out.capacity(), room, "the script grew: a copy of a secret may have stayed behind");
    if secrets.is_empty() && !matches!(options.sudo, Sudo::Password(_)) {
        // It is kept until its answer has come. With a secret in it, it must not move.
        out.shrink_to_fit();
    }
    let line = line(options.search_path, out.len());
    Ok(Script { line, input: out, expect })
}

/// The line for the login shell: `env -i` leaves it nothing to spoil, and the script runs only when it came whole.
///
/// It holds no `!`, no line end and no backslash, and no single quote within quotes, so bash, dash, zsh, fish, csh and
/// tcsh all read it alike.
fn line(search_path: &str, length: usize) -> String {
    format!(
        "exec /usr/bin/env -i HOME=\"$HOME\" SSH_CONNECTION=\"$SSH_CONNECTION\" PATH={search_path} LC_ALL=C /bin/sh -c \
         's=$(head -c {length}); case ${{#s}} in {length}) eval \"$s\";; *) echo \"The script did not arrive whole.\" >&2;; esac'"
    )
}

fn expect(commands: &[Command], options: &Options<'_>) -> Result<Expect, RenderError> {
    if commands.is_empty() {
        return Err(RenderError::NoCommands);
    }
    if commands.len() > MAX_COMMANDS {
        return Err(RenderError::TooManyCommands { found: commands.len() });
    }
    let mut expected = Vec::with_capacity(commands.len());
    for (place, command) in commands.iter().enumerate() {
        let named = |error| RenderError::Argv { command: place, error };
        argv::check(&command.argv).map_err(named)?;
        argv::check_env(&command.env).map_err(named)?;
        let mut reads = BTreeSet::new();
        let mut bytes = 0_usize;
        for chunk in &command.stdin {
            match chunk {
                Chunk::Bytes(these) => bytes = bytes.saturating_add(these.len()),
                Chunk::Secret(_) if options.mode == Mode::Probe => {
                    return Err(RenderError::SecretInProbe { command: place });
                }
                Chunk::Secret(_) => {}
                Chunk::StdoutOf(of) => match usize::try_from(*of) {
                    Ok(earlier) if earlier < place => {
                        reads.insert(earlier);
                    }
                    _ => return Err(RenderError::NotEarlier { command: place, of: *of }),
                },
            }
        }
        if bytes > MAX_STDIN {
            return Err(RenderError::TooMuchInput { command: place, found: bytes });
        }
        expected.push(Expected {
            runs: command.runs,
            accepted: if command.accepted.is_empty() { vec![0] } else { command.accepted.clone() },
            timeout: whole_seconds(command.timeout),
            reads,
        });
    }
    Ok(Expect { nonce: options.nonce.clone(), mode: options.mode, commands: expected })
}

/// Whether anything is done by root, where that is known before: the lock is.
fn needs_root(commands: &[Command], options: &Options<'_>) -> bool {
    options.lock.is_some() || commands.iter().any(|command| command.as_root)
}

/// `timeout` is told whole seconds, and 0 would mean no limit.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1)
}

fn check_options(options: &Options<'_>) -> Result<(), RenderError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+,@-".contains(&byte);
    let is_path = |path: &str| path.starts_with('/') && path.bytes().all(plain);
    let lock_path = options.lock.map(|lock| lock.path);
    for path in options.search_path.split(':').chain([options.scratch]).chain(lock_path) {
        if !is_path(path) {
            return Err(RenderError::Path(path.to_owned()));
        }
    }
    if let Sudo::Password(password) = options.sudo {
        scrub::check(SUDO_PASSWORD, password)?;
        if password.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Err(RenderError::SudoPassword);
        }
    }
    if let Some(lock) = options.lock {
        if options.mode == Mode::Probe {
            return Err(RenderError::LockInProbe);
        }
        let printable = lock.owner.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if lock.owner.trim().is_empty() || lock.owner.len() > MAX_OWNER || !printable {
            return Err(RenderError::Owner);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
