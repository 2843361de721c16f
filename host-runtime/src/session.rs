//! A session: admitted batches in, outputs out, over any transport.
//!
//! One batch is one exec: rendered by [`boundary::script`], read back by [`boundary::answer`]. A session takes nothing but
//! an [`Admitted`] batch, so whatever reaches a machine has passed the policy. What it reports is what was seen: a command
//! whose end was not seen is unknown, never a success and never a failure.
//! Not for: deciding, connecting, retrying.

use std::time::{Duration, Instant};

use boundary::answer::{Answer, Limits, Ran, Reader};
use boundary::command::{Ending, Mode, Output};
use boundary::script::{self, LOCK_PATH, Lock, Nonce, RenderError, SCRATCH, SEARCH_PATH, Script, Sudo};
use boundary::scrub::Scrubber;
use boundary::text;

use crate::policy::Admitted;
use crate::secrets::Vault;
use crate::sudo::{NoTurn, SudoPassword, Tried};
use crate::transport::{Ended, ExecError, Flow, Stream, Transport};
use crate::until::{Until, Wake};

/// How many characters of what a machine said instead of an answer are passed on.
const SAID: usize = 500;

/// One connection that takes admitted batches.
pub struct Session {
    transport: Box<dyn Transport>,
    /// `SSH_CONNECTION` as the machine told it.
    connection: Option<String>,
    /// When the machine was last looked at, by its own uptime.
    looked: Option<u64>,
    /// Who we are to those who find the machine held.
    owner: String,
    /// Why it takes no further batch.
    over: Option<SessionError>,
    place: Place,
    root: Root,
}

/// How root is had here, where the operator gave a password for `sudo`.
enum Root {
    /// By `sudo -n`, or not at all.
    Free,
    /// It is not known yet whether `sudo` asks for it.
    Perhaps { host: String, password: SudoPassword },
    /// It does.
    Asks { host: String, password: SudoPassword },
}

/// Where things are on the far side.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The machine's lock.
    pub(crate) lock: String,
    /// Where programs are looked for.
    pub(crate) search_path: String,
    /// Where files are kept for a moment.
    pub(crate) scratch: String,
}

impl Default for Place {
    /// As on every real machine.
    fn default() -> Self {
        Self { lock: LOCK_PATH.to_owned(), search_path: SEARCH_PATH.to_owned(), scratch: SCRATCH.to_owned() }
    }
}

/// What became of a batch that began, or may have.
#[derive(Debug)]
pub(crate) struct Executed {
    /// One for each command, in order.
    pub(crate) outputs: Vec<Output>,
    /// How long each ran, where that is known.
    pub(crate) took: Vec<Option<Duration>>,
    /// Why its end was not seen.
    pub(crate) cut_short: Option<SessionError>,
}

/// Why a batch did not start, or why its end was not seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The machine ran something else, or nothing: a forced command, a locked account, an expired password.
    #[error("{}", not_started(.0))]
    NotStarted(String),
    /// Another run holds the machine.
    #[error("another run holds the machine{}", if .0.is_empty() { String::new() } else { format!(": {}", .0) })]
    Busy(String),
    /// Another run held the machine after it was looked at: what was decided then is not done on what is there now.
    #[error("another run held the machine after it was looked at: {0}")]
    Moved(String),
    /// Root was needed and could not be had.
    #[error("root is needed and could not be had: {0}")]
    Privilege(String),
    /// `sudo` asks for a password, and this says why there is none.
    #[error("sudo asks for a password, and there is none: {0}")]
    NoPassword(String),
    /// `sudo` did not take the password: these are its words.
    #[error("sudo refused the password")]
    WrongPassword(String),
    /// `sudo` asks for a password, which this host refused before.
    #[error("not tried, since {0} refused the password for sudo")]
    PasswordRefusedBefore(String),
    /// The machine lacks what a batch needs.
    #[error("the machine cannot run a batch: {0}")]
    Unusable(String),
    /// The machine's answer is not one.
    #[error("{0}")]
    Garbled(String),
    /// The connection ended.
    #[error("{0}")]
    Lost(String),
    /// The deadline passed.
    #[error("the time limit passed")]
    Deadline,
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

fn not_started(said: &str) -> String {
    if said.is_empty() {
        "the machine ended the session without running the commands and said nothing".to_owned()
    } else {
        format!("the machine did not run the commands; it said instead: {said}")
    }
}

impl From<Wake> for SessionError {
    fn from(wake: Wake) -> Self {
        if wake == Wake::Cancelled { Self::Cancelled } else { Self::Deadline }
    }
}

impl Session {
    /// A session over a transport that is connected.
    #[must_use]
    pub fn new(transport: Box<dyn Transport>) -> Self {
        let (looked, owner) = (None, owner());
        Self { transport, connection: None, looked, owner, over: None, place: Place::default(), root: Root::Free }
    }

    /// One whose machine is this one, so that a test shares no lock with anybody.
    #[cfg(test)]
    pub(crate) fn in_place(transport: Box<dyn Transport>, place: Place) -> Self {
        Self { place, ..Self::new(transport) }
    }

    /// With a password for `sudo`, used where that asks for one. `host` is how the host is called in messages.
    #[must_use]
    pub fn sudo(self, host: &str, password: SudoPassword) -> Self {
        Self { root: Root::Perhaps { host: host.to_owned(), password }, ..self }
    }

    /// `SSH_CONNECTION` as the machine sees it, once a batch ran.
    #[must_use]
    pub fn connection(&self) -> Option<&str> {
        self.connection.as_deref()
    }

    /// Runs one batch, with the secrets of `vault` in an apply, and with the password for `sudo` where that asks for one.
    pub(crate) fn exec(
        &mut self,
        batch: &Admitted,
        vault: Option<&Vault>,
        until: &Until,
    ) -> Result<Executed, SessionError> {
        let needs_root = batch.mode() == Mode::Run || batch.commands().iter().any(|command| command.as_root);
        if !needs_root {
            return self.send(batch, vault, Sudo::Free, until).map_err(Unsent::into_error);
        }
        if let Root::Perhaps { host, password } = &self.root {
            let known = Root::Asks { host: host.clone(), password: password.clone() };
            // Where another host took it, the password goes along: `sudo -n` is still the first that is tried.
            if !password.is_taken() {
                match self.send(batch, vault, Sudo::Ask, until) {
                    Err(Unsent::NoSudo(why)) if asks_for_password(&why) => {}
                    // It fails in a way that no password mends; the batch itself shows how.
                    Err(Unsent::NoSudo(_)) => self.root = Root::Free,
                    sent => return sent.map_err(Unsent::into_error),
                }
            }
            if !matches!(self.root, Root::Free) {
                self.root = known;
            }
        }
        let Root::Asks { host, password } = &self.root else {
            return self.send(batch, vault, Sudo::Free, until).map_err(Unsent::into_error);
        };
        let turn = password.turn(host, until).map_err(|no_turn| match no_turn {
            NoTurn::Refused(by) => SessionError::PasswordRefusedBefore(by),
            NoTurn::Missing(why) => SessionError::NoPassword(why),
            NoTurn::Over(wake) => wake.into(),
        })?;
        match self.send(batch, vault, Sudo::Password(turn.value()), until) {
            Ok(executed) => {
                turn.tell(if executed.cut_short.is_none() { Tried::Taken } else { Tried::NotSeen });
                Ok(executed)
            }
            Err(Unsent::NoSudo(why)) if refuses_password(&why) => {
                turn.tell(Tried::Refused);
                Err(SessionError::WrongPassword(why))
            }
            Err(unsent) => Err(unsent.into_error()),
        }
    }

    /// One exec.
    fn send(
        &mut self,
        batch: &Admitted,
        vault: Option<&Vault>,
        sudo: Sudo<'_>,
        until: &Until,
    ) -> Result<Executed, Unsent> {
        if let Some(over) = &self.over {
            return Err(over.clone().into());
        }
        if let Some(wake) = until.over() {
            return Err(SessionError::from(wake).into());
        }
        let script = self.render(batch, vault, sudo)?;
        let scrubber = scrubber(vault, sudo)?;
        let mut reader = Reader::new(&script.expect, &scrubber, Limits::default());
        let begun = Instant::now();
        let ended = self.transport.exec(
            &script.line,
            &script.input,
            &mut |stream, piece| {
                match stream {
                    Stream::Out => reader.stdout(piece),
                    Stream::Err => reader.stderr(piece),
                }
                if reader.done() { Flow::Stop } else { Flow::Go }
            },
            until,
        );
        drop(script);
        let cut = match &ended {
            Ok(_) => None,
            Err(ExecError::Refused(why)) => {
                return Err(SessionError::NotStarted(text::bounded(&text::one_line(why), SAID)).into());
            }
            Err(ExecError::Deadline) => Some(SessionError::Deadline),
            Err(ExecError::Cancelled) => Some(SessionError::Cancelled),
            Err(ExecError::Lost(why)) => Some(SessionError::Lost(text::one_line(why))),
        };
        let answer = reader.finish(begun.elapsed(), ended == Ok(Ended::Closed));
        if let Some(cut) = &cut {
            self.over = Some(cut.clone());
        }
        let error = match answer {
            Answer::Ran(ran) => {
                if batch.mode() == Mode::Probe {
                    self.looked = ran.uptime;
                }
                return Ok(self.ran(ran, cut));
            }
            Answer::NoSudo { why, .. } => return Err(Unsent::NoSudo(why)),
            Answer::NotStarted { said } => SessionError::NotStarted(text::bounded(&text::one_line(said), SAID)),
            Answer::Busy { holder } => SessionError::Busy(holder),
            Answer::Moved { by } => SessionError::Moved(by),
            Answer::NoLock { uid: Some(0), why } => {
                SessionError::Unusable(format!("its lock {} could not be taken: {why}", self.place.lock))
            }
            Answer::NoLock { why, .. } => SessionError::Privilege(why),
            Answer::NoPlace { why } => {
                SessionError::Unusable(format!("there is no place for temporary files in memory or /tmp: {why}"))
            }
            Answer::NoPrintf => SessionError::Unusable("its /bin/sh has no built-in printf".to_owned()),
            other => SessionError::Unusable(format!("{other:?}")),
        };
        Err(error.into())
    }

    /// The script of a batch, with a nonce that nobody can guess.
    fn render(&self, batch: &Admitted, vault: Option<&Vault>, sudo: Sudo<'_>) -> Result<Script, SessionError> {
        let mut random = [0u8; 16];
        let got = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        if got != Ok(random.len()) {
            return Err(SessionError::Unusable("this machine gives no random numbers".to_owned()));
        }
        let nonce = Nonce::new(random);
        let Place { lock, search_path, scratch } = &self.place;
        let secrets = |slot: &str| vault.and_then(|vault| vault.value(slot));
        let options = match batch.mode() {
            Mode::Probe => script::Options::probe(&nonce),
            Mode::Run => {
                let lock = Lock { path: lock, owner: &self.owner, looked: self.looked };
                script::Options::run(&nonce, lock, &secrets)
            }
        };
        let options = script::Options { sudo, search_path, scratch, ..options };
        script::render(batch.commands(), &options).map_err(|error| match (&error, sudo) {
            (RenderError::SudoPassword | RenderError::WeakSecret(_), Sudo::Password(_)) => {
                SessionError::NoPassword(error.to_string())
            }
            _ => SessionError::Unusable(error.to_string()),
        })
    }

    /// Takes note of a batch that began, or may have.
    fn ran(&mut self, ran: Ran, cut: Option<SessionError>) -> Executed {
        if ran.connection.is_some() {
            self.connection = ran.connection;
        }
        let cut_short = match (ran.stop, ran.complete) {
            (Some(stop), _) => Some(SessionError::Garbled(stop.to_string())),
            // It says that it is done, so nothing was lost on the way: it does not say what it was asked.
            (None, true) if ran.outputs.iter().any(|output| output.ending == Ending::Unknown) => {
                Some(SessionError::Garbled(
                    "the machine's answer lacks the result of a command that it was given".to_owned(),
                ))
            }
            (None, true) => None,
            (None, false) => Some(cut.unwrap_or_else(|| {
                SessionError::Lost("the machine ended the session before the last command was done".to_owned())
            })),
        };
        if let Some(why) = &cut_short {
            self.over = Some(why.clone());
        }
        Executed { outputs: ran.outputs, took: ran.took, cut_short }
    }
}

/// Why a batch ran nothing.
enum Unsent {
    /// Root is to be had for a password only, or the password did not do: `sudo`'s words.
    NoSudo(String),
    Other(SessionError),
}

impl From<SessionError> for Unsent {
    fn from(error: SessionError) -> Self {
        Self::Other(error)
    }
}

impl Unsent {
    fn into_error(self) -> SessionError {
        match self {
            Self::NoSudo(why) => SessionError::Privilege(why),
            Self::Other(error) => error,
        }
    }
}

/// Whether `sudo -n` failed for want of a password. The words are those of sudo, and of sudo-rs.
fn asks_for_password(why: &str) -> bool {
    ["password is required", "interactive authentication is required"].iter().any(|words| why.contains(words))
}

/// Whether `sudo -S` says that the password is wrong, and not that the user may not do this at all.
fn refuses_password(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    ["incorrect password", "try again", "incorrect authentication", "authentication failed"]
        .iter()
        .any(|words| why.contains(words))
}

/// Takes all that this exec sends in secret out of what comes back.
fn scrubber(vault: Option<&Vault>, sudo: Sudo<'_>) -> Result<Scrubber, SessionError> {
    let Sudo::Password(password) = sudo else { return Ok(vault.map(Vault::scrubber).cloned().unwrap_or_default()) };
    let values = vault.into_iter().flat_map(Vault::values).chain([(script::SUDO_PASSWORD, password)]);
    Scrubber::new(values).map_err(|weak| SessionError::NoPassword(weak.to_string()))
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("connection", &self.connection)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

/// Who holds the machine, for those who find it busy. The machine adds for how long. No two runs are the same one, also
/// where every process is the first of its container.
fn owner() -> String {
    let name = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = text::bounded(&text::one_line(name), 60);
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let user = text::bounded(&text::one_line(user), 40);
    let mut run = [0u8; 3];
    let _ = rustix::rand::getrandom(&mut run, rustix::rand::GetRandomFlags::empty());
    let [a, b, c] = run;
    plain(&format!(
        "stagecraft-net run {a:02x}{b:02x}{c:02x}, process {} of {} on {}",
        std::process::id(),
        if user.is_empty() { "?" } else { &user },
        if name.is_empty() { "?" } else { &name },
    ))
}

/// Printable ASCII alone, as a line that any machine takes.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}
