//! libssh2's session and the wire under it, driven step by step.
//!
//! Not for: knowing what the steps are.

use ssh2::{ErrorCode, Session};

use super::wire::{Halt, Wire};
use crate::until::Until;

/// libssh2's codes that are told apart here, from its public header.
pub(super) mod code {
    pub(crate) const KEX_FAILURE: i32 = -5;
    pub(crate) const SOCKET_SEND: i32 = -7;
    pub(crate) const KEY_EXCHANGE_FAILURE: i32 = -8;
    pub(crate) const SOCKET_DISCONNECT: i32 = -13;
    pub(crate) const AUTHENTICATION_FAILED: i32 = -18;
    pub(crate) const PUBLICKEY_UNVERIFIED: i32 = -19;
    pub(crate) const METHOD_NOT_SUPPORTED: i32 = -33;
    pub(crate) const EAGAIN: i32 = -37;
    pub(crate) const SOCKET_RECV: i32 = -43;
    pub(crate) const ALGO_UNSUPPORTED: i32 = -51;
}

/// Why a step did not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// libssh2 says no.
    Ssh(ssh2::Error),
    /// Nothing more moves.
    Halt(Halt),
}

impl From<ssh2::Error> for Fault {
    fn from(error: ssh2::Error) -> Self {
        Fault::Ssh(error)
    }
}

/// The code of an error of libssh2.
pub(super) fn code_of(error: &ssh2::Error) -> i32 {
    match error.code() {
        ErrorCode::Session(code) | ErrorCode::SFTP(code) => code,
    }
}

/// A session that never blocks, on a wire. Dropping it says goodbye, without waiting for an answer.
pub(super) struct Link {
    session: Session,
    pub(super) wire: Wire,
}

impl Link {
    /// A session on `wire`, whose other end is `lib`.
    pub(super) fn new(wire: Wire, lib: std::os::unix::net::UnixStream) -> Result<Self, ssh2::Error> {
        let mut session = Session::new()?;
        session.set_tcp_stream(lib);
        session.set_blocking(false);
        Ok(Self { session, wire })
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Repeats `step` until libssh2 is through with it.
    pub(super) fn drive<T>(
        &mut self,
        until: &Until,
        mut step: impl FnMut(&mut Session) -> Result<T, ssh2::Error>,
    ) -> Result<T, Fault> {
        loop {
            match step(&mut self.session) {
                Err(error) if code_of(&error) == code::EAGAIN => self.wire.turn(until).map_err(Fault::Halt)?,
                result => return result.map_err(Fault::Ssh),
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Polite, so that the server logs a goodbye and not a broken connection.
        if self.session.authenticated() && self.wire.end().is_none() {
            let _ = self.session.disconnect(None, "done", None);
            let _ = self.wire.flush();
        }
        // libssh2 waits for answers, or leaves memory behind, when it frees a session whose socket still works.
        self.wire.shut();
    }
}
