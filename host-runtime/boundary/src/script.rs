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
//! # The lock
//! A run holds `flock` on a file that root owns, so that nobody without root can hold a machine up. Root takes it in a
//! process of its own: `timeout … sh -c 'flock …; cat'`, through `sudo -n` where the login is not root. It lives as long
//! as a pipe that only the script's own shell keeps open, so it ends with the script however that ends, `KILL`
//! included, and a daemon that a command leaves behind does not keep it. Where no lock can be had, a batch that needs
//! root does not start; one that does not goes on without, and says so, since without root it cannot do what two runs
//! could spoil for each other.

use std::collections::BTreeSet;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::argv::{self, ArgvError};
use crate::command::{Chunk, Command, Condition, Mode};
use crate::scrub::{self, WeakSecret};

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
    /// Who we are, in one printable line of at most 200 bytes: shown to those who find the machine busy.
    pub owner: &'a str,
}

/// How a batch is to be run.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// New for each batch.
    pub nonce: &'a Nonce,
    /// What the batch may do.
    pub mode: Mode,
    /// The lock to take; only for [`Mode::Run`].
    pub lock: Option<Lock<'a>>,
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
        Self { nonce, mode: Mode::Probe, lock: None, secrets: &|_| None, search_path: SEARCH_PATH, scratch: SCRATCH }
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
    let mut out = Zeroizing::new(Vec::with_capacity(room(commands, &secrets)));
    let room = out.capacity();
    let mut batch = Batch { commands, expect: &expect, secrets: &secrets, out: &mut out };
    batch.prologue(options);
    match options.mode {
        Mode::Run => batch.run(options),
        Mode::Probe => batch.probe(),
    }
    batch.text("m");
    debug_assert_eq!(out.capacity(), room, "the script grew: a copy of a secret may have stayed behind");
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

/// `timeout` is told whole seconds, and 0 would mean no limit.
fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
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

/// The secrets of a batch, each slot once, in the order of first use: `S0`, `S1`, …
struct Secrets<'c, 's>(Vec<(&'c str, &'s [u8])>);

impl<'c, 's> Secrets<'c, 's> {
    fn collect(commands: &'c [Command], options: &Options<'s>) -> Result<Self, RenderError> {
        let mut found: Vec<(&'c str, &'s [u8])> = Vec::new();
        for (place, command) in commands.iter().enumerate() {
            for chunk in &command.stdin {
                let Chunk::Secret(slot) = chunk else { continue };
                if found.iter().any(|(known, _)| known == slot) {
                    continue;
                }
                let value = (options.secrets)(slot)
                    .ok_or_else(|| RenderError::NoSecret { command: place, slot: slot.clone() })?;
                scrub::check(slot, value)?;
                found.push((slot, value));
            }
        }
        Ok(Self(found))
    }

    fn place(&self, slot: &str) -> usize {
        // Every slot of the batch was collected before the first line was written.
        self.0.iter().position(|(known, _)| *known == slot).unwrap_or(usize::MAX)
    }
}

/// More than the script can need, so that its buffer never grows.
fn room(commands: &[Command], secrets: &Secrets<'_, '_>) -> usize {
    let fixed = 8 * 1024;
    let values: usize = secrets.0.iter().map(|(_, value)| argv::quoted_len(value) + 32).sum();
    let each = |command: &Command| {
        let words: usize = command.argv.iter().map(|word| argv::quoted_len(word.as_bytes()) + 1).sum();
        let env: usize =
            command.env.iter().map(|(name, value)| name.len() + argv::quoted_len(value.as_bytes()) + 8).sum();
        let stdin: usize = command
            .stdin
            .iter()
            .map(|chunk| match chunk {
                Chunk::Bytes(bytes) => runs_of(bytes)
                    .map(|run| if run[0] == 0 { 16 + 4 * run.len() } else { 16 + argv::quoted_len(run) })
                    .sum(),
                Chunk::Secret(_) | Chunk::StdoutOf(_) => 96,
            })
            .sum();
        1024 + words + env + stdin + command.accepted.len() * 4
    };
    fixed + values + commands.iter().map(each).sum::<usize>()
}

/// The bytes in runs that are NUL, or hold none.
fn runs_of(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunk_by(|a, b| (*a == 0) == (*b == 0))
}

/// A script being written.
struct Batch<'a> {
    commands: &'a [Command],
    expect: &'a Expect,
    secrets: &'a Secrets<'a, 'a>,
    out: &'a mut Vec<u8>,
}

/// Runs as root and holds the lock `$1` for `$2` until its standard input ends. 7 is the lock; `cat` keeps it.
const HOLDER: &str = "umask 077; exec 7>>\"$1\" || exit 1; flock -n 7; case $? in 0) ;; \
                      1) read -r w <\"$1\"; echo \"busy $w\"; exit 0;; *) exit 1;; esac; \
                      printf \"%s\\n\" \"$2\" >\"$1\"; echo held; exec cat >/dev/null 2>&1";

impl Batch<'_> {
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn lines(&mut self, lines: &[&str]) {
        for line in lines {
            self.text(line);
            self.text("\n");
        }
    }

    fn word(&mut self, word: &[u8]) {
        argv::quote_into(self.out, word);
    }

    /// Everything up to the first command. `3` is standard error; the shell's own messages about its children
    /// (`Killed`, with the line that it was running) go nowhere.
    fn prologue(&mut self, options: &Options<'_>) {
        self.lines(&["m() {", "set +xv; set -f; trap : PIPE; umask 022; cd /"]);
        let nonce = self.expect.nonce.as_str().to_owned();
        self.text("N=");
        self.text(&nonce);
        self.text("\n");
        self.lines(&[
            // Without it every secret would be an argument of a program.
            "case $(command -v printf) in printf) ;; *) echo; echo \"$N no-printf\"; echo; echo \"$N end\"; echo \"$N end\" >&2; return;; esac",
            "exec 3>&2 2>/dev/null </dev/null",
            // One frame on both streams. A stream that is gone makes `g` 1; nothing more is written to it.
            "p() { printf '\\n%s %s\\n' \"$N\" \"$1\" >&3 || { g=1; exec 3>/dev/null; }; printf '\\n%s %s\\n' \"$N\" \"$1\" || { g=1; exec >/dev/null; }; }",
            "u() { t=-; read -r t x </proc/uptime || t=-; }",
            "f=0 g=0 l=unlocked U=$(id -u) R='sudo -n --'",
            "case $U in 0) R=;; esac",
        ]);
        if self.needs_place() || options.lock.is_some() {
            self.text("P=");
            self.word(options.scratch.as_bytes());
            self.text("\n");
            self.lines(&[
                "d=$(mktemp -d \"$P/stagecraft.XXXXXX\" || mktemp -d 2>&1) || { p \"no-place $d\"; p end; return; }",
                "trap 'rm -rf \"$d\"' EXIT",
            ]);
        }
        match options.mode {
            // Every command is bounded, and what checks and cleans up stands at the end: a polite signal stops the
            // `ok` commands, not those.
            Mode::Run => self.lines(&["trap 'g=1' HUP INT TERM"]),
            // A job may be about to make a file in it: under another name there is nothing to make it in.
            Mode::Probe => self.lines(&["trap 'mv \"$d\" \"$d.x\" && d=$d.x; exit 143' HUP INT TERM"]),
        }
        if let Some(lock) = options.lock {
            self.lock(&lock);
        }
        for (place, (_, value)) in self.secrets.0.iter().enumerate() {
            self.text(&format!("S{place}="));
            self.word(value);
            self.text("\n");
        }
        self.lines(&["u; p \"begin $U $l $t $SSH_CONNECTION\""]);
    }

    /// Starts the holder and waits for its word. `9` keeps it alive: closed for every child.
    fn lock(&mut self, lock: &Lock<'_>) {
        let bound = self
            .expect
            .commands
            .iter()
            .fold(60, |sum: u64, command| sum.saturating_add(command.timeout).saturating_add(KILL_AFTER.as_secs()));
        self.lines(&["mkfifo \"$d/a\" \"$d/b\" || { p 'no-place mkfifo failed'; p end; return; }"]);
        self.text(&format!("$R timeout -k {} -- {bound} sh -c ", KILL_AFTER.as_secs()));
        self.word(HOLDER.as_bytes());
        self.text(" sh ");
        self.word(lock.path.as_bytes());
        self.text(" ");
        self.word(lock.owner.as_bytes());
        self.lines(&[
            " <\"$d/a\" >\"$d/b\" 2>&1 3>&- &",
            "h=$!",
            "exec 9>\"$d/a\" 8<\"$d/b\"; w=",
            "while read -r x <&8; do case $x in held) l=locked; break;; \"busy \"*) l=busy; w=${x#busy }; break;; ?*) w=$x;; esac; done",
            // Both ends are open, and nothing need be left behind if this shell is killed.
            if self.needs_place() { "exec 8<&-; rm -f \"$d/a\" \"$d/b\"" } else { "exec 8<&-; rm -rf \"$d\"; trap - EXIT" },
            "case $l in busy) exec 9>&-; wait $h; p \"busy $w\"; p end; return;; esac",
        ]);
        let needs_root = if self.commands.iter().any(|command| command.as_root) { "*" } else { "unlocked0" };
        self.lines(&[&format!(
            "case $l$U in locked*) ;; {needs_root}) exec 9>&-; wait $h; p \"no-lock $U $w\"; p end; return;; esac"
        )]);
    }

    fn needs_place(&self) -> bool {
        self.expect.mode == Mode::Probe || self.expect.commands.iter().any(|command| !command.reads.is_empty())
    }

    /// Whether a later command reads this one's output.
    fn is_read(&self, place: usize) -> bool {
        self.expect.commands.iter().any(|command| command.reads.contains(&place))
    }

    fn run(&mut self, options: &Options<'_>) {
        self.lines(&[
            // How a command ended: frames, and what it means for those after it. `k` is whether it was accepted.
            "e() { p \"$1 $r $a $t\"; case \" $2 \" in *\" $r \"*) k=1;; *) f=1 k=0;; esac; }",
            "s() { p \"$1 - - -\"; }",
        ]);
        for place in 0..self.commands.len() {
            let mut conditions = vec![match self.expect.commands[place].runs {
                Condition::Ok => "[ $f$g = 00 ]".to_owned(),
                Condition::Failed => "[ $f = 1 ]".to_owned(),
                Condition::Always => ":".to_owned(),
            }];
            conditions.extend(self.expect.commands[place].reads.iter().map(|of| format!("[ \"$k{of}\" = 1 ]")));
            self.text(&format!("if {}; then u; a=$t\n", conditions.join(" && ")));
            let is_read = self.is_read(place);
            if is_read {
                self.text(&format!("( ulimit -f {}; ", FILE_LIMIT / 512));
            }
            self.feed(place);
            self.program(place);
            if is_read {
                self.text(&format!(" >\"$d/{place}\" 2>&3 3>&- 9>&- ); r=$?\n"));
                self.text(&format!("head -c {FILE_LIMIT} \"$d/{place}\" 3>&- 9>&-\n"));
            } else {
                self.text(" 2>&3 3>&- 9>&-; r=$?\n");
            }
            let accepted: Vec<String> = self.expect.commands[place].accepted.iter().map(u8::to_string).collect();
            self.text(&format!("u; e {place} '{}'\n", accepted.join(" ")));
            if is_read {
                // Where a `sudo` that sets its own limits has undone ours, the size tells.
                self.text(&format!("[ \"$(wc -c <\"$d/{place}\")\" -le {FILE_LIMIT} ] || k=0; k{place}=$k\n"));
            }
            self.text(&format!("else s {place}; fi\n"));
        }
        // The lock is free before `end` is seen, so that the next batch does not find us busy with ourselves.
        if options.lock.is_some() {
            self.lines(&["exec 9>&-; wait $h"]);
        }
        if self.needs_place() {
            self.lines(&["rm -rf \"$d\"; trap - EXIT"]);
        }
        self.lines(&["p end", "}"]);
    }

    fn probe(&mut self) {
        self.lines(&[
            "e() { echo \"$r $a $t\" >\"$d/$1.s\"; case \" $2 \" in *\" $r \"*) k=1;; *) k=0;; esac; }",
            "s() { echo '- - -' >\"$d/$1.s\"; }",
        ]);
        for chain in self.chains() {
            self.text(&format!("( ulimit -f {}\n", FILE_LIMIT / 512));
            for place in chain {
                let conditions: Vec<String> =
                    self.expect.commands[place].reads.iter().map(|of| format!("[ \"$k{of}\" = 1 ]")).collect();
                let conditions = if conditions.is_empty() { ":".to_owned() } else { conditions.join(" && ") };
                self.text(&format!("if {conditions}; then u; a=$t\n"));
                self.feed(place);
                self.program(place);
                self.text(&format!(" >\"$d/{place}.o\" 2>\"$d/{place}.e\" 3>&-; r=$?\n"));
                let accepted: Vec<String> = self.expect.commands[place].accepted.iter().map(u8::to_string).collect();
                self.text(&format!("u; e {place} '{}'; k{place}=$k\nelse s {place}; fi\n", accepted.join(" ")));
            }
            self.text(") &\n");
        }
        self.lines(&["wait", "p tar", "tar -cf - -C \"$d\" .", "rm -rf \"$d\"; trap - EXIT", "p end", "}"]);
    }

    /// The probes in groups that go side by side: those that read each other's output stay together, in order.
    fn chains(&self) -> Vec<Vec<usize>> {
        let mut group: Vec<usize> = (0..self.commands.len()).collect();
        for (place, command) in self.expect.commands.iter().enumerate() {
            for &of in &command.reads {
                let (from, to) = (group[place], group[of]);
                for member in &mut group {
                    if *member == from {
                        *member = to;
                    }
                }
            }
        }
        let mut chains: Vec<Vec<usize>> = vec![Vec::new(); group.len()];
        for (place, of) in group.into_iter().enumerate() {
            chains[of].push(place);
        }
        chains.retain(|chain| !chain.is_empty());
        chains
    }

    /// Standard input, in front of the pipe that it always is.
    fn feed(&mut self, place: usize) {
        let command = &self.commands[place];
        self.text("{ :;");
        for chunk in &command.stdin {
            match chunk {
                Chunk::Bytes(bytes) => self.bytes(bytes),
                Chunk::Secret(slot) => {
                    let secret = self.secrets.place(slot);
                    self.text(&format!(" printf %s \"$S{secret}\";"));
                }
                Chunk::StdoutOf(of) => {
                    let suffix = if self.expect.mode == Mode::Probe { ".o" } else { "" };
                    self.text(&format!(" cat \"$d/{of}{suffix}\" 3>&- 9>&-;"));
                }
            }
        }
        self.text(" } | ");
    }

    /// Bytes as `printf` writes them: quoted, but NUL, which no shell word can hold.
    fn bytes(&mut self, bytes: &[u8]) {
        for run in runs_of(bytes) {
            if run[0] == 0 {
                self.text(" printf '");
                for _ in run {
                    self.text("\\000");
                }
                self.text("';");
            } else {
                self.text(" printf %s ");
                self.word(run);
                self.text(";");
            }
        }
    }

    /// The command with what stands in front of it: always an external program, `timeout` within `sudo`.
    fn program(&mut self, place: usize) {
        let command = &self.commands[place];
        if command.as_root {
            self.text("$R ");
        }
        self.text(&format!("timeout -k {} -- {}", KILL_AFTER.as_secs(), self.expect.commands[place].timeout));
        if !command.env.is_empty() {
            self.text(" env --");
            for (name, value) in &command.env {
                self.text(" ");
                self.text(name);
                self.text("=");
                self.word(value.as_bytes());
            }
        }
        for word in &command.argv {
            self.text(" ");
            self.word(word.as_bytes());
        }
    }
}
