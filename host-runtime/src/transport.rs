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
