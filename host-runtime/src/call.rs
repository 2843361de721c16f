//! What the guest of one call can reach, and what the host itself saw of it.
//!
//! [`Reach`] is the hands of exactly one call: one machine, the policy, in an apply the shown steps and the secrets that
//! they name. It keeps a [`Record`] of its own, and that record, not the guest, says what was changed, and whether the
//! machine was lost, denied, timed out or cancelled (law 3). Everything that a guest says for people passes through
//! [`crate::words`] before it goes on. Not for: the component's side of a call ([`crate::engine`]).

use std::sync::Arc;
use std::time::Duration;

use boundary::command::{Chunk, Command, Ending, Mode, Output};
use serde_json::Value;

use crate::contract::{BatchError, Denial, Failure, Hands, Level, PauseEnd, SecretHandle, Step};
use crate::engine::CallError;
use crate::event::{Event, Sent, Tell};
use crate::failure::{Changed, DEFECT_OF_THE_PROVIDER, Failed, Kind, WRONG_SUDO_PASSWORD};
use crate::policy::{Admitted, Policy};
use crate::secrets::Vault;
use crate::session::{Session, SessionError};
use crate::until::{Until, Wake};
use crate::words;

/// The hands of one call.
pub(crate) struct Reach<'a> {
    name: &'a str,
    session: &'a mut Session,
    policy: &'a Policy,
    config: &'a Value,
    act: Option<Act>,
    until: &'a Until,
    tell: &'a dyn Tell,
    record: Record,
}

/// A command as it may be told: secrets by their slots.
fn sent(command: &Command) -> Sent {
    let stdin = command.stdin.iter().map(|chunk| match chunk {
        Chunk::Bytes(bytes) => boundary::text::bounded(&boundary::text::printable(bytes), 200),
        Chunk::Secret(slot) => format!("<secret:{}>", boundary::text::one_line(slot)),
        Chunk::StdoutOf(place) => format!("<output of command {place}>"),
    });
    Sent {
        argv: command.argv.iter().map(boundary::text::one_line).collect(),
        as_root: command.as_root,
        stdin: (!command.stdin.is_empty()).then(|| stdin.collect()),
    }
}

/// What only an apply has.
struct Act {
    /// The steps as they were shown.
    steps: Vec<Step>,
    /// The step that is being taken: never one that stands before it again.
    at: Option<usize>,
    vault: Arc<Vault>,
}

impl<'a> Reach<'a> {
    pub(crate) fn new(
        name: &'a str,
        session: &'a mut Session,
        policy: &'a Policy,
        config: &'a Value,
        act: Option<(Vec<Step>, Arc<Vault>)>,
        until: &'a Until,
        tell: &'a dyn Tell,
    ) -> Self {
        let act = act.map(|(steps, vault)| Act { steps, at: None, vault });
        Self { name, session, policy, config, act, until, tell, record: Record::default() }
    }

    pub(crate) fn into_record(self) -> Record {
        self.record
    }

    /// Sends one batch: policy first, then the session, then the record.
    fn exec(&mut self, mode: Mode, step: Option<&str>, commands: Vec<Command>) -> Result<Vec<Output>, BatchError> {
        if let Some(trouble) = &self.record.trouble
            && let Some(stopped) = trouble.stops()
        {
            return Err(stopped);
        }
        let batch = self.policy.admit(mode, commands, self.config).map_err(|denial| {
            self.record.trouble.get_or_insert(Trouble::Denied(denial.clone()));
            BatchError::Denied(denial)
        })?;
        self.tell.tell(Event::Sent {
            host: self.name.to_owned(),
            step: step.map(str::to_owned),
            commands: batch.commands().iter().map(sent).collect(),
        });
        let vault = self.act.as_ref().map(|act| act.vault.as_ref());
        let executed = self.session.exec(&batch, vault, self.until);
        let (outputs, took, trouble) = match executed {
            Ok(executed) => {
                // A machine that was busy and took a later batch is no trouble any more.
                self.record.trouble.take_if(|trouble| matches!(trouble, Trouble::NotStarted(_)));
                (executed.outputs, executed.took, executed.cut_short.map(|why| Trouble::cut(why, step)))
            }
            Err(error) => {
                let (error, trouble) = not_started(error, step);
                self.record.trouble.get_or_insert(trouble);
                return Err(error);
            }
        };
        for ((command, output), took) in batch.commands().iter().zip(&outputs).zip(took) {
            self.tell_ran(step, command, output.ending, took);
        }
        if mode == Mode::Run {
            self.record.saw(&batch, &outputs);
        }
        if let Some(trouble) = trouble {
            self.record.trouble = Some(trouble);
        }
        Ok(outputs)
    }

    fn tell_ran(&self, step: Option<&str>, command: &Command, ending: Ending, took: Option<Duration>) {
        let (ending, status) = match ending {
            Ending::Exited(status) => ("exited", Some(status)),
            Ending::TimedOut => ("timed-out", None),
            Ending::Skipped => ("skipped", None),
            Ending::Unknown => ("unknown", None),
        };
        self.tell.tell(Event::Ran {
            host: self.name.to_owned(),
            step: step.map(str::to_owned),
            command: sent(command),
            ending,
            status,
            millis: took.and_then(|took| u64::try_from(took.as_millis()).ok()),
        });
    }

    /// The step of that id, if it was shown and none after it has begun.
    fn enter(&mut self, id: &str, commands: &[Command]) -> Result<(), BatchError> {
        let denied = |command: usize, reason: String| {
            BatchError::Denied(Denial {
                command: u32::try_from(command).unwrap_or(u32::MAX),
                reason,
                grant: String::new(),
            })
        };
        let Some(act) = &mut self.act else {
            return Err(denied(0, "a plan may look, not touch".to_owned()));
        };
        let id_shown = boundary::text::one_line(id);
        let Some(at) = act.steps.iter().position(|step| step.id == id) else {
            return Err(denied(0, format!("the step `{id_shown}` was not shown in the plan")));
        };
        if act.at.is_some_and(|now| at < now) {
            return Err(denied(0, format!("the step `{id_shown}` stands before one that has begun")));
        }
        for (place, command) in commands.iter().enumerate() {
            for chunk in &command.stdin {
                if let Chunk::Secret(slot) = chunk
                    && !act.steps[at].secrets.contains(slot)
                {
                    return Err(denied(
                        place,
                        format!(
                            "the step `{id_shown}` was shown without the secret `{}`",
                            boundary::text::one_line(slot)
                        ),
                    ));
                }
            }
        }
        if act.at != Some(at) {
            act.at = Some(at);
            let step = &act.steps[at];
            self.tell.tell(Event::Step { host: self.name.to_owned(), id: step.id.clone(), title: step.title.clone() });
        }
        Ok(())
    }
}

impl Hands for Reach<'_> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn connection(&self) -> Option<String> {
        self.session.connection().map(str::to_owned)
    }

    fn probe(&mut self, commands: Vec<Command>) -> Result<Vec<Output>, BatchError> {
        self.exec(Mode::Probe, None, commands)
    }

    fn run(&mut self, step: &str, commands: Vec<Command>) -> Result<Vec<Output>, BatchError> {
        self.enter(step, &commands).inspect_err(|error| {
            if let BatchError::Denied(denial) = error {
                self.record.trouble.get_or_insert(Trouble::Denied(denial.clone()));
            }
        })?;
        self.exec(Mode::Run, Some(step), commands)
    }

    fn pause(&mut self, time: Duration) -> PauseEnd {
        match self.until.sleep(time) {
            Ok(Wake::Ready) => PauseEnd::Elapsed,
            Ok(Wake::Deadline) | Err(_) => PauseEnd::Deadline,
            Ok(Wake::Cancelled) => PauseEnd::Cancelled,
        }
    }

    fn secret(&mut self, slot: &str) -> Option<SecretHandle> {
        let act = self.act.as_ref()?;
        if !act.vault.has(slot) || !act.steps.iter().any(|step| step.secrets.iter().any(|named| named == slot)) {
            return None;
        }
        Some(SecretHandle { slot: slot.to_owned(), kind: act.vault.kind(slot).map(str::to_owned) })
    }

    fn log(&mut self, level: Level, message: &str) {
        self.tell.tell(Event::Log { host: self.name.to_owned(), level, message: boundary::text::one_line(message) });
    }
}

/// What the host itself saw during one call.
#[derive(Debug, Default)]
pub(crate) struct Record {
    changed: Option<Changed>,
    trouble: Option<Trouble>,
}

/// What went wrong on the host's side of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// No command of a batch could be started.
    NotStarted(Box<Failed>),
    /// The connection ended while a batch ran.
    Lost { step: Option<String>, why: String },
    /// The machine's answer is not one: too long, or not of the script's form.
    Garbled { step: Option<String>, why: String },
    /// The deadline passed.
    Deadline { step: Option<String> },
    /// The run was cancelled.
    Cancelled { step: Option<String> },
    /// The policy said no.
    Denied(Denial),
}

impl Trouble {
    fn cut(why: SessionError, step: Option<&str>) -> Self {
        let step = step.map(str::to_owned);
        match why {
            SessionError::Deadline => Self::Deadline { step },
            SessionError::Cancelled => Self::Cancelled { step },
            SessionError::Garbled(why) => Self::Garbled { step, why },
            other => Self::Lost { step, why: other.to_string() },
        }
    }

    /// The answer to every later batch of the call, where there can be none.
    fn stops(&self) -> Option<BatchError> {
        match self {
            Self::Lost { why, .. } | Self::Garbled { why, .. } => Some(BatchError::Unreachable(why.clone())),
            Self::Deadline { .. } => Some(BatchError::Stopped("the deadline passed".to_owned())),
            Self::Cancelled { .. } => Some(BatchError::Stopped("cancelled".to_owned())),
            Self::NotStarted(_) | Self::Denied(_) => None,
        }
    }
}

/// The guest's error and the record's trouble for a batch that was not started.
fn not_started(error: SessionError, step: Option<&str>) -> (BatchError, Trouble) {
    let text = error.to_string();
    let step = step.map(str::to_owned);
    let told = |kind, detail: Option<String>| Trouble::NotStarted(Box::new(Failed::host(kind, &text, detail)));
    let trouble = |kind| told(kind, not_started_detail(kind));
    match error {
        SessionError::Busy(holder) | SessionError::Moved(holder) => (BatchError::Busy(holder), trouble(Kind::Busy)),
        SessionError::Deadline => (BatchError::Stopped(text), Trouble::Deadline { step }),
        SessionError::Cancelled => (BatchError::Stopped(text), Trouble::Cancelled { step }),
        SessionError::Lost(_) => (BatchError::Unreachable(text.clone()), Trouble::Lost { step, why: text }),
        SessionError::Privilege(_) => (BatchError::Other(text.clone()), trouble(Kind::Privilege)),
        SessionError::NoPassword(_) => {
            let next = "do: {run up --limit @failed}".to_owned();
            (BatchError::Other(text.clone()), told(Kind::Privilege, Some(next)))
        }
        SessionError::WrongPassword(said) => {
            let detail = format!(
                "found: {said}\nmeans: one attempt was made, on this host; no other one was tried with this password\n\
                 do: with the right one:  {{run up --limit @failed}}\nwhere hosts have different ones:  a run \
                 for each, with its hosts named"
            );
            let mut failed = Failed::host(Kind::Privilege, &text, detail);
            failed.diagnostics.iter_mut().for_each(|one| WRONG_SUDO_PASSWORD.clone_into(&mut one.code));
            (BatchError::Other(text), Trouble::NotStarted(Box::new(failed)))
        }
        SessionError::PasswordRefusedBefore(_) => (BatchError::Other(text.clone()), told(Kind::Skipped, None)),
        SessionError::NotStarted(_) => (BatchError::Unreachable(text.clone()), trouble(Kind::Unreachable)),
        SessionError::Unusable(_) | SessionError::Garbled(_) => (BatchError::Other(text.clone()), trouble(Kind::Other)),
    }
}

/// What else there is to say of a batch that was not started.
fn not_started_detail(kind: Kind) -> Option<String> {
    let detail = match kind {
        Kind::Busy => {
            "wanted: a machine that nobody else changes, within five minutes\nmeans: a run holds a machine only while it \
             changes it, and the lock ends with that run\ndo: when it is over:  {run up @hosts}"
        }
        Kind::Privilege => {
            "found: user {user}\nwanted: root, or `sudo -n` for this user\ndo: now:  {run up --limit @failed \
             --ask-sudo-password}\nfor good:  a NOPASSWD rule for {user} in /etc/sudoers.d (a batch runs as one script: a \
             rule for single commands is not enough)"
        }
        Kind::Unreachable => {
            "wanted: a shell that runs commands for {user}\nmeans: it let {user} in and ran something else: a forced command, \
             a closed account, an expired password\ndo: by hand:  ssh to it as {user}, and run `true`; it has to end without a word"
        }
        _ => "means: nothing was sent that could change it\ndo: log in as {user} and look at it, then {run up @hosts}",
    };
    Some(detail.to_owned())
}

impl Record {
    /// Takes note of what a `run` batch did. What counts as changing is the operator's word.
    fn saw(&mut self, batch: &Admitted, outputs: &[Output]) {
        for (place, output) in outputs.iter().enumerate() {
            let changed = match output.ending {
                Ending::Exited(_) if batch.changes(place) => Changed::Some,
                Ending::TimedOut | Ending::Unknown if batch.changes(place) => Changed::Unknown,
                _ => Changed::Nothing,
            };
            self.changed = self.changed.max(Some(changed));
        }
    }

    /// Whether a changing command was begun, as far as was seen.
    pub(crate) fn touched(&self) -> bool {
        self.changed.is_some_and(|changed| changed != Changed::Nothing)
    }

    /// What the call comes to: the guest's result, unless the host saw it fail; a failure with what was changed.
    pub(crate) fn judge<T>(self, provider: &str, said: Result<Result<T, Failure>, CallError>) -> Result<T, Failed> {
        let changed = self.changed.unwrap_or(Changed::Nothing);
        let mut failed = match (said, self.trouble) {
            // A guest may do without a command that was denied; without an answer of the machine it cannot know.
            (Ok(Ok(value)), None | Some(Trouble::Denied(_))) => return Ok(value),
            (said, Some(trouble)) => trouble.failed(said.ok().and_then(Result::err)),
            (Ok(Err(failure)), None) => words::failed_by_provider(provider, failure),
            (Err(error), None) => error.failed(),
        };
        failed.changed = changed;
        Err(failed)
    }
}

impl Trouble {
    /// The failure that the host reports, with the guest's words after its own.
    fn failed(self, guest: Option<Failure>) -> Failed {
        let during = |step: &Option<String>| match step {
            Some(id) => format!("in the step `{}`", boundary::text::one_line(id)),
            None => "while looking".to_owned(),
        };
        let mut failed = match &self {
            Self::NotStarted(failed) => (**failed).clone(),
            Self::Lost { step, why } => Failed::host(
                Kind::Lost,
                format!("the connection was lost {}", during(step)),
                format!(
                    "found: {why}\nwanted: the end of every command\nmeans: what was begun goes on there until its own \
                     time limit; what was not begun is not done\ndo: {{run plan @hosts}}\n{{run up @hosts}}"
                ),
            ),
            Self::Garbled { step, why } => Failed::host(
                Kind::Other,
                format!("the machine's answer cannot be read {}", during(step)),
                format!(
                    "found: {why}\nwanted: what the commands printed, as they were framed\nmeans: the machine is broken, or not \
                     what it is taken for; nothing of its answer is believed\ndo: log in as {{user}} and look at it"
                ),
            ),
            Self::Deadline { step } => Failed::host(
                Kind::TimedOut,
                format!("the time limit passed {}", during(step)),
                "wanted: an end within the time for one host (--timeout, 15m unless told)\nmeans: what was begun is ended on \
                 the host by its own time limit\ndo: {run up @hosts --timeout 30m}"
                    .to_owned(),
            ),
            Self::Cancelled { step } => Failed::host(
                Kind::Cancelled,
                format!("cancelled {}", during(step)),
                "means: the run was told to end; what was begun is ended on the host by its own time limit\n\
                 do: {run status @hosts}\n{run up @hosts}"
                    .to_owned(),
            ),
            Self::Denied(denial) => Failed::host(
                Kind::Denied,
                format!("the policy does not allow it: {}", boundary::text::one_line(&denial.reason)),
                match denial.grant.as_str() {
                    "" => format!("wanted: a command that its description names\n{DEFECT_OF_THE_PROVIDER}"),
                    grant => format!(
                        "wanted: a grant for it\nmeans: nothing of the batch was sent\ndo: to allow it, where this \
                         provider's grants stand, add:  {}",
                        boundary::text::one_line(grant)
                    ),
                },
            ),
        };
        let Some(guest) = guest else { return failed };
        // What a guest says of the same thing is an echo; what it says besides is not.
        let echo = matches!(self, Self::NotStarted(..))
            || matches!(
                Kind::from_provider(&guest.kind),
                Kind::Lost | Kind::TimedOut | Kind::Cancelled | Kind::Busy | Kind::Denied
            );
        let besides = guest.diagnostics.into_iter().skip(usize::from(echo));
        failed.diagnostics.extend(besides.map(words::clean_diagnostic));
        failed
    }
}

#[cfg(test)]
mod tests;
