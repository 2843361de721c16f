//! A program of this machine that works for us (`ssh -G`, a proxy, an inventory's command), and never outlives what it was started for.
//!
//! It runs in a process group of its own, without standard input from a person: Ctrl-C on the terminal is ours to pass
//! on, and it cannot prompt. It is ended by its id, with its group, and reaped. Secrets of this process's environment are
//! not lent to it. Not for: commands on a host.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::until::{Cancel, Until, Wake};

/// The variables that hold secrets. The environment is the whole process's, and so is this.
static WITHHELD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// From now on no program is given this variable.
pub(crate) fn withhold(variable: &str) {
    // What can be no name is in no environment.
    if !variable.is_empty() && !variable.contains(['=', '\0']) {
        WITHHELD.lock().unwrap_or_else(PoisonError::into_inner).insert(variable.to_owned());
    }
}

/// The variables of our environment that no program is given.
pub(crate) fn withheld() -> BTreeSet<String> {
    let withheld = WITHHELD.lock().unwrap_or_else(PoisonError::into_inner);
    withheld.iter().filter(|name| is_set(name)).cloned().collect()
}

/// Whether our environment has a variable of this name.
pub(crate) fn is_set(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && std::env::var_os(name).is_some()
}

/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_millis(200);
/// How much a program may say on standard error that only answers a question.
const SAID: usize = 1 << 20;

/// A running program. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        for name in WITHHELD.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            command.env_remove(name);
        }
        command.process_group(0).spawn().map(Self)
    }

    /// Asks the group to end, then makes it, and says how the program itself ended.
    pub(crate) fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.0.try_wait()? {
            return Ok(status);
        }
        // Until it is reaped, its id and that of its group belong to nobody else.
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::TERM);
            if let Ok(exit) = pidfd_open(group, PidfdFlags::empty()) {
                // Waited for even when the run is cancelled, hence a cancellation of its own.
                Until::after(GRACE, &Cancel::new()?).wait(exit.as_fd(), PollFlags::IN)?;
            }
            let _ = kill_process_group(group, Signal::KILL);
        }
        self.0.wait()
    }

    /// Waits a moment for a program that is about to end by itself; `None` when it is not.
    pub(crate) fn settle(&mut self, limit: Duration) -> Option<ExitStatus> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw)?;
        if let Ok(exit) = pidfd_open(pid, PidfdFlags::empty()) {
            Until::after(limit, &Cancel::new().ok()?).wait(exit.as_fd(), PollFlags::IN).ok()?;
        }
        self.0.try_wait().ok()?
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.end();
    }
}

/// What a program that ran to its end said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// A program that was asked something and has not answered yet. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Begun {
    program: Program,
    out: Pipe,
    err: Pipe,
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started, prints more than `most` bytes, or ([`io::ErrorKind::TimedOut`]) takes longer than `until`.
pub(crate) fn ask(command: &mut Command, most: usize, until: &Until) -> io::Result<Answer> {
    Begun::spawn(command, most)?.answer(until)
}

impl Begun {
    /// Starts a program, and waits for nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn(command: &mut Command, most: usize) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = Program::spawn(command)?;
        let out = Pipe::new(program.0.stdout.take().map(OwnedFd::from), most)?;
        let err = Pipe::new(program.0.stderr.take().map(OwnedFd::from), SAID)?;
        Ok(Self { program, out, err })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As [`ask`].
    pub(crate) fn answer(mut self, until: &Until) -> io::Result<Answer> {
        loop {
            self.out.drain()?;
            self.err.drain()?;
            let open: Vec<PollFd<'_>> = [&self.out, &self.err].into_iter().filter_map(Pipe::poll).collect();
            if open.is_empty() {
                break;
            }
            if self.out.cut || self.err.cut {
                return Err(io::Error::other("it prints without end"));
            }
            if until.wait_any(&open)? != Wake::Ready {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        let status = self.program.settle(until.remaining()).ok_or(io::ErrorKind::TimedOut)?;
        Ok(Answer { status, stdout: self.out.kept, stderr: self.err.kept })
    }
}

/// The reading end of a pipe that never blocks and keeps the last bytes.
#[derive(Debug)]
pub(crate) struct Pipe {
    fd: Option<OwnedFd>,
    limit: usize,
    kept: Vec<u8>,
    cut: bool,
}

impl Pipe {
    pub(crate) fn new(fd: Option<OwnedFd>, limit: usize) -> io::Result<Self> {
        if let Some(fd) = &fd {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        Ok(Self { fd, limit, kept: Vec::new(), cut: false })
    }

    /// Takes what is there.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while let Some(fd) = &self.fd {
            match rustix::io::read(fd, &mut buffer) {
                Ok(0) => self.fd = None,
                Ok(n) => {
                    self.kept.extend_from_slice(&buffer[..n]);
                    if let Some(excess) = self.kept.len().checked_sub(self.limit).filter(|excess| *excess > 0) {
                        self.kept.drain(..excess);
                        self.cut = true;
                        // Let the caller look at its clock.
                        return Ok(());
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The last bytes that came.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// What to wait for, until the other end is closed.
    pub(crate) fn poll(&self) -> Option<PollFd<'_>> {
        self.fd.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn sh(line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        command
    }

    fn soon(limit: Duration) -> Until {
        Until::after(limit, &Cancel::new().expect("an eventfd"))
    }

    #[test]
    fn an_answer_holds_both_streams_and_the_status() {
        let answer =
            ask(&mut sh("seq 20000; echo no >&2; exit 3"), 1 << 20, &soon(Duration::from_secs(20))).expect("it ran");
        assert_eq!(answer.status.code(), Some(3));
        assert_eq!(answer.stdout.len(), 108_894);
        assert_eq!(answer.stderr, b"no\n");
    }

    #[test]
    fn a_variable_that_holds_a_secret_is_not_lent_and_all_others_are() {
        // Cargo sets both, and no other test here reads them.
        let mut line = sh("echo ${CARGO_PKG_VERSION_MINOR-none} ${CARGO_PKG_VERSION_MAJOR-none}");
        for odd in ["", "a=b", "a\0b"] {
            withhold(odd);
        }
        withhold("CARGO_PKG_VERSION_MINOR");
        let answer = ask(&mut line, 1 << 20, &soon(Duration::from_secs(20))).expect("it ran");
        assert_eq!(String::from_utf8_lossy(&answer.stdout), format!("none {}\n", env!("CARGO_PKG_VERSION_MAJOR")));
    }

    #[test]
    fn what_never_answers_is_ended_with_its_children_when_the_time_is_up() {
        let start = Instant::now();
        let dir = tempfile::tempdir().expect("a directory");
        let pid = dir.path().join("pid");
        let line = format!("trap '' TERM; sleep 300 & echo $! >{}; wait", pid.display());
        let error = ask(&mut sh(&line), 1 << 20, &soon(Duration::from_secs(2))).expect_err("it never ends");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(20));
        let child = std::fs::read_to_string(pid).expect("a pid").trim().to_owned();
        // Killed; a busy machine takes a moment to end it, and whoever adopted it may not have reaped it yet.
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        while !gone() {
            assert!(start.elapsed() < Duration::from_secs(30), "{child} lives on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_prints_without_end_is_an_error_and_not_all_memory() {
        let error = ask(&mut sh("yes"), 1 << 20, &soon(Duration::from_secs(20))).expect_err("no end");
        assert!(error.to_string().contains("without end"), "{error}");
    }
}
