//! The narrow waist between the exec layer and whatever carries it.
//!
//! A transport knows nothing of batches, frames or secrets: it starts one line on the far side, feeds it bytes and hands
//! over what comes back, until it is told to stop. [`crate::ssh`] is the one for real machines.
//! Not for: judging what a command did. An exit status that a transport reports is a hint for messages and never a
//! result, since libssh2 answers 0 when none came.

use crate::until::Until;

/// Which of the two streams bytes came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What the reader of a stream says after each piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// More, please.
    Go,
    /// Everything that was awaited is here, or too much came: do not wait for the end of the stream.
    Stop,
}

/// How an exec came to its end without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The reader said [`Flow::Stop`].
    Stopped,
    /// The far side closed the channel.
    Closed,
}

/// Why an exec ended before its reader was content. What was delivered before stays delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The far side did not start the line at all; nothing ran.
    #[error("the server did not start the command: {0}")]
    Refused(String),
    /// The connection ended or broke after the line was sent.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The deadline passed.
    #[error("the deadline passed")]
    Deadline,
    /// The run was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// One connection to one machine.
pub trait Transport: Send {
    /// Starts `line` in the login shell of the far side, writes all of `input` to it, and hands every piece that comes
    /// back to `sink`, both streams together, until `sink` says stop or the far side ends.
    ///
    /// # Errors
    /// See [`ExecError`]. After [`ExecError::Lost`], [`ExecError::Deadline`] or [`ExecError::Cancelled`] the transport
    /// must not be used again.
    fn exec(
        &mut self,
        line: &str,
        input: &[u8],
        sink: &mut dyn FnMut(Stream, &[u8]) -> Flow,
        until: &Until,
    ) -> Result<Ended, ExecError>;
}

/// This machine as the far side, for tests of what stands above a transport: the line runs in a local `/bin/sh`.
#[cfg(test)]
pub(crate) mod local {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};
    use std::sync::mpsc;

    use super::{Ended, ExecError, Flow, Stream, Transport};
    use crate::until::Until;

    /// Runs lines here. Counts them.
    #[derive(Debug, Default)]
    pub(crate) struct Local {
        /// How many lines were run.
        pub(crate) execs: std::sync::Arc<std::sync::atomic::AtomicU32>,
        /// Ends every exec as a lost connection after this many bytes of standard output.
        pub(crate) cut_after: Option<usize>,
    }

    impl Transport for Local {
        fn exec(
            &mut self,
            line: &str,
            input: &[u8],
            sink: &mut dyn FnMut(Stream, &[u8]) -> Flow,
            until: &Until,
        ) -> Result<Ended, ExecError> {
            self.execs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut child = Command::new("/bin/sh")
                .args(["-c", line])
                .env("SSH_CONNECTION", "127.0.0.1 1 127.0.0.1 2")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| ExecError::Refused(error.to_string()))?;
            let (send, pieces) = mpsc::channel();
            let mut pipe = child.stdin.take().expect("piped");
            let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
            let ended = std::thread::scope(|scope| {
                scope.spawn(move || {
                    let _ = pipe.write_all(input);
                });
                let errors = send.clone();
                scope.spawn(move || {
                    let mut piece = [0; 4096];
                    while let Ok(count @ 1..) = out.read(&mut piece) {
                        let _ = send.send((Stream::Out, piece[..count].to_vec()));
                    }
                });
                scope.spawn(move || {
                    let mut piece = [0; 4096];
                    while let Ok(count @ 1..) = err.read(&mut piece) {
                        let _ = errors.send((Stream::Err, piece[..count].to_vec()));
                    }
                });
                let mut left = self.cut_after;
                loop {
                    match pieces.recv_timeout(until.remaining()) {
                        Ok((stream, mut piece)) => {
                            if let (Stream::Out, Some(left)) = (stream, &mut left) {
                                piece.truncate(*left);
                                *left -= piece.len();
                            }
                            if sink(stream, &piece) == Flow::Stop {
                                break Ok(Ended::Stopped);
                            }
                            if left == Some(0) {
                                break Err(ExecError::Lost("cut by the test".to_owned()));
                            }
                        }
                        Err(mpsc::RecvTimeoutError::Disconnected) => break Ok(Ended::Closed),
                        Err(mpsc::RecvTimeoutError::Timeout) => {
                            let _ = child.kill();
                            break Err(ExecError::Deadline);
                        }
                    }
                }
            });
            let _ = child.wait();
            ended
        }
    }
}
