//! A program that carries the bytes to a host: `ssh -W` over jump hosts, or a `ProxyCommand`.
//!
//! It has one end of a socket pair as its input and output. What it says on its error output is the reason when it
//! fails. Not for: moving the bytes.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use boundary::text;

use super::target::Route;
use super::{Target, Trust};
use crate::program::{Pipe, Program};

/// How much of a proxy's error output is kept: the last lines hold the reason.
const TAIL: usize = 2048;

/// A running proxy. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Proxy {
    stream: UnixStream,
    errors: Pipe,
    program: Program,
    /// What it is, for messages.
    what: String,
}

impl Proxy {
    /// Starts what `target` needs; `None` when it needs none.
    pub(super) fn start(target: &Target, trust: Trust) -> io::Result<Option<Self>> {
        let mut command = match &target.route {
            Route::Direct => return Ok(None),
            Route::Jump { last, arguments } => {
                let mut command = Command::new("ssh");
                // Nobody is there to answer; a jump host's key is trusted like any other; nothing of this machine is
                // lent to it.
                command.args(["-o", "BatchMode=yes", "-o", "ForwardAgent=no", "-o"]).arg(match trust {
                    Trust::Strict => "StrictHostKeyChecking=yes",
                    Trust::AcceptNew => "StrictHostKeyChecking=accept-new",
                });
                command.args(arguments).args(["--", last]);
                command
            }
            Route::Command(line) => {
                // As OpenSSH does it.
                let shell = std::env::var_os("SHELL").filter(|shell| Path::new(shell).is_absolute());
                let mut command = Command::new(shell.unwrap_or_else(|| "/bin/sh".into()));
                command.arg("-c").arg(format!("exec {line}"));
                command
            }
        };
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        let (errors, their_errors) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        command
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::from(their_errors));
        let program = Program::spawn(&mut command)?;
        // `command` holds the other ends; they must not stay open here, or the end is never seen.
        drop(command);
        Ok(Some(Self { stream, errors: Pipe::new(Some(errors), TAIL)?, program, what: what(target) }))
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub(super) fn errors(&self) -> &Pipe {
        &self.errors
    }

    /// Takes what it has said on its error output.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        self.errors.drain()
    }

    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// How it ended, if it is ending, and the last that it said.
    pub(super) fn last_words(&mut self) -> String {
        let status = self.program.settle(Duration::from_millis(500));
        let _ = self.errors.drain();
        let said = text::last_lines(&text::printable(self.errors.kept()), 5);
        match status {
            Some(status) if said.is_empty() => format!("It ended with {status} and said nothing."),
            Some(status) => format!("It ended with {status}:\n{said}"),
            None if said.is_empty() => "It closed the connection and said nothing.".to_owned(),
            None => format!("It closed the connection:\n{said}"),
        }
    }
}

/// What carries the bytes to a target, for messages.
pub(super) fn what(target: &Target) -> String {
    match &target.route {
        Route::Direct => "a direct connection".to_owned(),
        Route::Jump { .. } => format!("the jump host {}", target.gate()),
        Route::Command(line) => format!("the ProxyCommand `{line}`"),
    }
}
