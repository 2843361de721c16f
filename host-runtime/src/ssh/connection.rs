//! One SSH connection: made under one clock, and used for one line after another.

use std::io::{ErrorKind, Read, Write};

use ssh2::Channel;

use super::dial::{NoDial, dial};
use super::error::{ConnectError, NOT_AGREED, Stage};
use super::link::{Fault, Link, code, code_of};
use super::login::{NoLogin, log_in};
use super::piece::{PIECE, Piece};
use super::proxy::Proxy;
use super::target::Target;
use super::trust::{Files, NotTrusted, Trust};
use super::wire::{End, Halt, Net, Traffic, Wire, plain};
use crate::transport::{Ended, ExecError, Flow, Stream, Transport};
use crate::until::Until;

/// How much a server may send before it has let us in. A key exchange takes a few kilobytes.
const PREAMBLE: u64 = 256 << 10;
/// How much may come in an exec besides what is delivered: the protocol's own packets.
const OVERHEAD: u64 = 16 << 20;

/// One connection to one machine, logged in.
pub struct Connection {
    link: Link,
    to: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("to", &self.to).finish_non_exhaustive()
    }
}

/// Connects and logs in.
///
/// # Errors
/// See [`ConnectError`]. Whatever the server does, this ends with `until`.
pub fn connect(target: &Target, trust: Trust, until: &Until) -> Result<Connection, ConnectError> {
    let to = target.to_string();
    let host_key = |error| ConnectError::HostKey { to: to.clone(), error };
    // Read before anything is opened: a file that cannot be read costs the server nothing.
    let files = Files::read(target).map_err(host_key)?;
    let (mut link, blob) = greet(target, &files.algorithms(), trust, until)?;
    match files.judge(target, &blob, trust, until) {
        Ok(()) => {}
        Err(NotTrusted::No(error)) => return Err(host_key(error)),
        Err(NotTrusted::Deadline) => return Err(ConnectError::Deadline { to, stage: Stage::HostKey }),
        Err(NotTrusted::Cancelled) => return Err(ConnectError::Cancelled { to, stage: Stage::HostKey }),
    }
    match log_in(&mut link, target, until) {
        Ok(()) => Ok(Connection { link, to }),
        Err(NoLogin::Refused(refusal)) => Err(ConnectError::Authentication { to, refusal: Box::new(refusal) }),
        Err(NoLogin::Fault(Fault::Halt(Halt::Deadline))) => Err(ConnectError::Deadline { to, stage: Stage::Login }),
        Err(NoLogin::Fault(Fault::Halt(Halt::Cancelled))) => Err(ConnectError::Cancelled { to, stage: Stage::Login }),
        Err(NoLogin::Fault(fault)) => Err(ConnectError::LostAtLogin { reason: lost(&mut link, &fault), to }),
    }
}

/// Opens a connection and exchanges keys, with these algorithms for the host key, and gives what the server showed of
/// itself. Nobody has judged that yet.
pub(super) fn greet(
    target: &Target,
    algorithms: &str,
    trust: Trust,
    until: &Until,
) -> Result<(Link, Vec<u8>), ConnectError> {
    let to = target.to_string();
    let system = |error: &std::io::Error| ConnectError::System { to: to.clone(), reason: plain(error) };
    let net = match Proxy::start(target, trust) {
        Ok(Some(proxy)) => Net::Proxy(Box::new(proxy)),
        Ok(None) => Net::Tcp(dial(target, until).map_err(|error| no_dial(error, &to))?),
        Err(error) => {
            let (what, reason) = (super::proxy::what(target), plain(&error));
            return Err(ConnectError::Proxy { to, what, reason });
        }
    };
    let (wire, lib) = Wire::over(net, PREAMBLE).map_err(|error| system(&error))?;
    let mut link = Link::new(wire, lib).map_err(|error| system(&error.into()))?;
    let session = link.session();
    session.method_pref(ssh2::MethodType::HostKey, algorithms).map_err(|error| system(&error.into()))?;

    if let Err(fault) = link.drive(until, |session| session.handshake()) {
        return Err(no_handshake(&mut link, fault, to));
    }
    let blob = link.session().host_key().map(|(blob, _)| blob.to_vec()).unwrap_or_default();
    Ok((link, blob))
}

fn no_dial(error: NoDial, to: &str) -> ConnectError {
    let (to, stage) = (to.to_owned(), Stage::Opening);
    match error {
        NoDial::Name { reason, temporary } => ConnectError::Name { to, reason, temporary },
        NoDial::Addresses(tried) => ConnectError::Address { to, tried },
        NoDial::Deadline => ConnectError::Deadline { to, stage },
        NoDial::Cancelled => ConnectError::Cancelled { to, stage },
        NoDial::System(reason) => ConnectError::System { to, reason },
    }
}

/// Why there is no session: what the server said and did is worth more than libssh2's words.
fn no_handshake(link: &mut Link, fault: Fault, to: String) -> ConnectError {
    let head = link.wire.head();
    let greeted = head.starts_with(b"SSH-") || head.windows(5).any(|bytes| bytes == b"\nSSH-");
    let stage = if greeted { Stage::KeyExchange } else { Stage::Greeting };
    let said = (!greeted && !head.is_empty())
        .then(|| boundary::text::bounded(&boundary::text::one_line(head), 200))
        .filter(|said| !said.is_empty());
    match fault {
        Fault::Halt(Halt::Deadline) => ConnectError::Deadline { to, stage },
        Fault::Halt(Halt::Cancelled) => ConnectError::Cancelled { to, stage },
        fault => {
            let ended = link.wire.end().is_some();
            if let (false, true, Some(proxy)) = (greeted, ended, link.wire.proxy()) {
                if let Some((why, jump)) = proxy.refused_key() {
                    return ConnectError::JumpHostKey { to, jump, why };
                }
                let reason = proxy.last_words();
                return ConnectError::Proxy { to, what: proxy.what().to_owned(), reason };
            }
            // A server that is full, restarts, or loses packets; not one that offers too little.
            ConnectError::Handshake { stage, said, passing: ended, reason: lost(link, &fault), to }
        }
    }
}

/// What happened to a connection, in the middle of a sentence.
fn lost(link: &mut Link, fault: &Fault) -> String {
    match (link.wire.end(), fault) {
        (_, Fault::Halt(Halt::Flood)) => "the server sent more than any answer holds".to_owned(),
        (_, Fault::Halt(Halt::System(error))) => format!("this machine refused: {}", plain(error)),
        (Some(End::Broken(reason)), _) => format!("the connection broke ({reason})"),
        (Some(End::Closed), _) => "the server closed the connection".to_owned(),
        (None, Fault::Ssh(error)) if matches!(code_of(error), code::KEX_FAILURE | code::KEY_EXCHANGE_FAILURE) => {
            NOT_AGREED.to_owned()
        }
        (None, Fault::Ssh(error)) => format!("the server broke the protocol ({})", error.message()),
        (None, Fault::Halt(Halt::Ended | Halt::Deadline | Halt::Cancelled)) => "the connection ended".to_owned(),
    }
}

impl Connection {
    /// What went over the network so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.link.wire.traffic()
    }

    /// Opens a channel and has the server start `line` in it. Input cannot go out with that: OpenSSH gives no window for
    /// it before the command runs.
    fn start(&mut self, line: &str, until: &Until) -> Result<Channel, ExecError> {
        let mut channel = self.link.drive(until, |session| session.channel_session()).map_err(|fault| match fault {
            Fault::Halt(Halt::Deadline | Halt::Cancelled) => self.stopped(fault),
            Fault::Ssh(error) if self.link.wire.end().is_none() => ExecError::Refused(error.message().to_owned()),
            fault => {
                let reason = lost(&mut self.link, &fault);
                ExecError::Refused(format!("{reason} before the command was sent"))
            }
        })?;
        match self.link.drive(until, |_| channel.exec(line)) {
            Ok(()) => Ok(channel),
            Err(Fault::Ssh(error)) if self.link.wire.end().is_none() => {
                Err(ExecError::Refused(error.message().to_owned()))
            }
            // It may have been sent, and its answer lost.
            Err(fault) => Err(self.stopped(fault)),
        }
    }

    fn stopped(&mut self, fault: Fault) -> ExecError {
        match fault {
            Fault::Halt(Halt::Deadline) => ExecError::Deadline,
            Fault::Halt(Halt::Cancelled) => ExecError::Cancelled,
            fault => ExecError::Lost(lost(&mut self.link, &fault)),
        }
    }

    /// Hands over all that has come on one stream. Whether the reader wants more, and whether anything came.
    fn read(
        &mut self,
        channel: &mut Channel,
        stream: Stream,
        sink: &mut dyn FnMut(Stream, &[u8]) -> Flow,
    ) -> Result<(Flow, bool), ExecError> {
        let mut piece = Piece::lend();
        let mut any = false;
        loop {
            let id = match stream {
                Stream::Out => 0,
                Stream::Err => ssh2::EXTENDED_DATA_STDERR,
            };
            match channel.stream(id).read(&mut piece) {
                Ok(0) => return Ok((Flow::Go, any)),
                Ok(n) => {
                    any = true;
                    self.link.wire.allow(4 * n as u64);
                    if sink(stream, &piece[..n]) == Flow::Stop {
                        return Ok((Flow::Stop, any));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((Flow::Go, any)),
                Err(error) => return Err(ExecError::Lost(self.broken(&error.to_string()))),
            }
        }
    }

    fn broken(&mut self, text: &str) -> String {
        match self.link.wire.end() {
            Some(_) => lost(&mut self.link, &Fault::Halt(Halt::Ended)),
            None => format!("the server broke the protocol ({text})"),
        }
    }

    fn talk(
        &mut self,
        channel: &mut Channel,
        input: &mut Input<'_>,
        sink: &mut dyn FnMut(Stream, &[u8]) -> Flow,
        until: &Until,
    ) -> Result<Ended, ExecError> {
        loop {
            let mut moved = false;
            // Both streams, always: a server stops when the window that they share is full.
            for stream in [Stream::Out, Stream::Err] {
                let (flow, any) = self.read(channel, stream, sink)?;
                moved |= any;
                if flow == Flow::Stop {
                    return Ok(Ended::Stopped);
                }
            }
            if channel.eof() {
                return Ok(Ended::Closed);
            }
            moved |= self.feed(channel, input)?;
            if !moved {
                self.link.wire.turn(until).map_err(|halt| self.stopped(Fault::Halt(halt)))?;
            }
        }
    }

    /// Writes some of the input, or its end behind it. Whether anything went.
    fn feed(&mut self, channel: &mut Channel, input: &mut Input<'_>) -> Result<bool, ExecError> {
        let Input::Open(rest) = input else { return Ok(false) };
        let result = if rest.is_empty() {
            channel.send_eof().map(|()| None).map_err(std::io::Error::from)
        } else {
            channel.write(&rest[..rest.len().min(PIECE)]).map(Some)
        };
        match result {
            Ok(Some(n)) => {
                *rest = &rest[n..];
                Ok(n > 0)
            }
            Ok(None) => {
                *input = Input::Closed;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if self.link.wire.end().is_some() => Err(ExecError::Lost(self.broken(&error.to_string()))),
            // The far side takes no more. That is its right: what it says is still read.
            Err(_) => {
                *input = Input::Closed;
                Ok(false)
            }
        }
    }
}

/// What is still to be written.
enum Input<'a> {
    Open(&'a [u8]),
    /// All of it was, and its end; or the far side has closed its ear.
    Closed,
}

impl Transport for Connection {
    fn exec(
        &mut self,
        line: &str,
        input: &[u8],
        sink: &mut dyn FnMut(Stream, &[u8]) -> Flow,
        until: &Until,
    ) -> Result<Ended, ExecError> {
        self.link.wire.set_allowance(OVERHEAD);
        let mut channel = self.start(line, until)?;
        let mut input = Input::Open(input);
        let ended = self.talk(&mut channel, &mut input, sink, until)?;
        // The far side is told, and not waited for: a command that went to the background may hold the channel for ever.
        let _ = channel.close();
        drop(channel);
        let _ = self.link.wire.flush();
        Ok(ended)
    }
}
