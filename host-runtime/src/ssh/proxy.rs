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
            Route::Jump(chain) => chain.command(trust),
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

    /// What it says of the key of a jump host that it did not take, and of which, as `ssh` names it.
    pub(super) fn refused_key(&mut self) -> Option<(JumpKey, String)> {
        let _ = self.program.settle(Duration::from_millis(500));
        let _ = self.errors.drain();
        refused_key(&text::printable(self.errors.kept()))
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

/// Why `ssh` did not take the key of a jump host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JumpKey {
    /// No file knows one.
    Unknown,
    /// The files know another one.
    Changed,
    /// A line says that it must not be trusted.
    Revoked,
}

/// The words are those of OpenSSH, the same since its release 4.
fn refused_key(said: &str) -> Option<(JumpKey, String)> {
    said.contains("Host key verification failed").then_some(())?;
    let words = [
        (" host key is known for ", " and you have requested strict checking", JumpKey::Unknown),
        ("Host key for ", " has changed and you have requested strict checking", JumpKey::Changed),
        (" host key for ", " is marked as revoked", JumpKey::Revoked),
    ];
    said.lines().find_map(|line| {
        words.iter().find_map(|(before, behind, why)| {
            let (_, rest) = line.split_once(before)?;
            let (name, _) = rest.split_once(behind)?;
            Some((*why, name.to_owned()))
        })
    })
}

/// What carries the bytes to a target, for messages.
pub(super) fn what(target: &Target) -> String {
    match &target.route {
        Route::Direct => "a direct connection".to_owned(),
        Route::Jump(chain) if chain.jumps.len() == 1 => format!("the jump host {}", target.gate()),
        Route::Jump(chain) => format!("the {} jump hosts from {} on", chain.jumps.len(), target.gate()),
        Route::Command(line) => format!("the ProxyCommand `{line}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_of_a_key_is_told_from_all_else_that_it_says() {
        let unknown = "No ED25519 host key is known for [10.0.0.1]:2222 and you have requested strict checking.\r\n\
                       Host key verification failed.\r\nConnection closed by UNKNOWN port 65535\n";
        assert_eq!(refused_key(unknown), Some((JumpKey::Unknown, "[10.0.0.1]:2222".to_owned())));
        let changed = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nOffending ED25519 key in /known_hosts:1\n\
                       Host key for bastion has changed and you have requested strict checking.\n\
                       Host key verification failed.\n";
        assert_eq!(refused_key(changed), Some((JumpKey::Changed, "bastion".to_owned())));
        let revoked = "The ED25519 host key for bastion is marked as revoked.\nHost key verification failed.";
        assert_eq!(refused_key(revoked), Some((JumpKey::Revoked, "bastion".to_owned())));
        for other in ["", "ada@10.0.0.1: Permission denied (publickey).", "Host key verification failed."] {
            assert_eq!(refused_key(other), None, "{other}");
        }
    }
}
