//! The guest's way to the hands of its call.
//!
//! A store owns what is in it for as long as it lives, and the hands of a call are borrowed from the caller's stack. So
//! they do not go into the store: the thread lends them for exactly as long as the call takes, and the functions that
//! the guest imports find them there. That is sound because a call is synchronous: it runs on the caller's thread and
//! is over, whatever way it ends, before [`lend`] returns. Nesting calls is allowed; while the hands are in use, nobody
//! else finds them.
//! Not for: what the hands do ([`crate::call`]).
#![allow(unreachable_pub, reason = "the generated bindings re-export the resources")]

use std::time::Duration;

use boundary::command::Chunk;
use scoped_tls_hkt::scoped_thread_local;
use wasmtime::component::Resource;

use super::bindings::{self, events, exec_remote, secrets};
use super::state::State;
use crate::contract::{Hands, Level, SecretHandle};

scoped_thread_local!(static mut LENT: for<'a> &'a mut (dyn Hands + 'a));

/// Lends `hands` to the guest that `call` runs on this thread.
pub(super) fn lend<R>(hands: &mut dyn Hands, call: impl FnOnce() -> R) -> R {
    LENT.set(hands, call)
}

/// May look. Which machine is a matter of the lent hands: a handle has no name in it to forge.
#[derive(Debug)]
pub struct Observer;

/// May change.
#[derive(Debug)]
pub struct Actor;

/// May ask for the secrets of the shown steps.
#[derive(Debug)]
pub struct Vault;

/// More host calls than [`super::Limits::host_calls`].
#[derive(Debug, thiserror::Error)]
#[error("too many host calls")]
pub(super) struct TooManyCalls;

impl State {
    /// Counts a host call.
    fn count(&mut self) -> wasmtime::Result<()> {
        self.calls_left = self.calls_left.checked_sub(1).ok_or(TooManyCalls)?;
        Ok(())
    }

    /// A host call that is done at once; its time is the guest's.
    fn quick<R>(&mut self, call: impl FnOnce(&mut dyn Hands) -> R) -> wasmtime::Result<R> {
        self.count()?;
        Ok(LENT.with(call))
    }

    /// A host call that waits for a machine or a clock; its time is the host's.
    fn slow<R>(&mut self, call: impl FnOnce(&mut dyn Hands) -> R) -> wasmtime::Result<R> {
        self.count()?;
        Ok(self.budget.away(|| LENT.with(call)))
    }

    fn commands(&self, batch: Vec<exec_remote::Command>) -> wasmtime::Result<Vec<boundary::command::Command>> {
        batch.into_iter().map(|command| self.command(command)).collect()
    }

    fn command(&self, mut command: exec_remote::Command) -> wasmtime::Result<boundary::command::Command> {
        let chunk = |chunk| match chunk {
            exec_remote::Chunk::Bytes(bytes) => Ok(Chunk::Bytes(bytes)),
            exec_remote::Chunk::Secret(secret) => Ok(Chunk::Secret(self.table.get(&secret)?.slot.clone())),
            exec_remote::Chunk::StdoutOf(place) => Ok(Chunk::StdoutOf(place)),
        };
        let stdin = std::mem::take(&mut command.stdin).into_iter().map(chunk).collect::<wasmtime::Result<_>>()?;
        Ok(bindings::command(command, stdin))
    }
}

type Batch = Result<Vec<exec_remote::Output>, exec_remote::ExecError>;

impl exec_remote::Host for State {}

impl exec_remote::HostObserver for State {
    fn name(&mut self, _: Resource<Observer>) -> wasmtime::Result<String> {
        self.quick(|hands| hands.name())
    }

    fn connection(&mut self, _: Resource<Observer>) -> wasmtime::Result<Option<String>> {
        self.quick(|hands| hands.connection())
    }

    fn probe(&mut self, _: Resource<Observer>, commands: Vec<exec_remote::Command>) -> wasmtime::Result<Batch> {
        let commands = self.commands(commands)?;
        let outputs = self.slow(|hands| hands.probe(commands))?;
        Ok(outputs.map(|outputs| outputs.into_iter().map(Into::into).collect()).map_err(Into::into))
    }

    fn pause(&mut self, _: Resource<Observer>, ms: u32) -> wasmtime::Result<exec_remote::PauseEnd> {
        Ok(self.slow(|hands| hands.pause(Duration::from_millis(ms.into())))?.into())
    }

    fn drop(&mut self, observer: Resource<Observer>) -> wasmtime::Result<()> {
        self.table.delete(observer)?;
        Ok(())
    }
}

impl exec_remote::HostActor for State {
    fn run(
        &mut self,
        _: Resource<Actor>,
        step: String,
        commands: Vec<exec_remote::Command>,
    ) -> wasmtime::Result<Batch> {
        let commands = self.commands(commands)?;
        let outputs = self.slow(|hands| hands.run(&step, commands))?;
        Ok(outputs.map(|outputs| outputs.into_iter().map(Into::into).collect()).map_err(Into::into))
    }

    fn drop(&mut self, actor: Resource<Actor>) -> wasmtime::Result<()> {
        self.table.delete(actor)?;
        Ok(())
    }
}

impl secrets::Host for State {}

impl secrets::HostSecret for State {
    fn slot(&mut self, secret: Resource<SecretHandle>) -> wasmtime::Result<String> {
        self.count()?;
        Ok(self.table.get(&secret)?.slot.clone())
    }

    fn kind(&mut self, secret: Resource<SecretHandle>) -> wasmtime::Result<Option<String>> {
        self.count()?;
        Ok(self.table.get(&secret)?.kind.clone())
    }

    fn drop(&mut self, secret: Resource<SecretHandle>) -> wasmtime::Result<()> {
        self.table.delete(secret)?;
        Ok(())
    }
}

impl secrets::HostVault for State {
    fn get(&mut self, _: Resource<Vault>, slot: String) -> wasmtime::Result<Option<Resource<SecretHandle>>> {
        match self.quick(|hands| hands.secret(&slot))? {
            Some(secret) => Ok(Some(self.table.push(secret)?)),
            None => Ok(None),
        }
    }

    fn drop(&mut self, vault: Resource<Vault>) -> wasmtime::Result<()> {
        self.table.delete(vault)?;
        Ok(())
    }
}

impl events::Host for State {
    /// Never fails: what is too much is dropped, and that is said once.
    fn log(&mut self, level: events::Level, mut message: String) -> wasmtime::Result<()> {
        message.truncate(message.floor_char_boundary(self.line));
        match self.lines_left {
            0 => return self.count(),
            1 => self.quick(|hands| hands.log(Level::Warn, "the provider logs too much; no more of it is shown"))?,
            _ => self.quick(|hands| hands.log(level.into(), &message))?,
        }
        self.lines_left -= 1;
        Ok(())
    }
}

impl bindings::types::Host for State {}
