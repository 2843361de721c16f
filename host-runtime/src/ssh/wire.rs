//! The bytes between libssh2 and the network, moved by us.
//!
//! libssh2 has one end of a socket pair; this moves what passes between the other end and the network (a TCP stream, or
//! a proxy's pipe). So this is the only place that waits, and libssh2 never sees more than one portion at a time:
//!
//! * libssh2 reads until nothing is left and looks at no clock while it does. Given the network itself, a server that
//!   sends faster than it is read holds the thread past every deadline. Here it runs dry after each portion.
//! * It keeps packets that nobody asked for. Here everything is counted, and what may come is bounded.
//! * What a server says instead of SSH (`Exceeded MaxStartups`, `HTTP/1.1 400`) is kept for the error.
//! * `TCP_QUICKACK` is set again before every wait: sshd keeps Nagle on until the session starts, and waits 40 ms for
//!   our delayed acknowledgement otherwise.
//!
//! Not for: anything that knows what the bytes mean.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};

use super::piece::{PIECE, Piece};
use super::proxy::Proxy;
use crate::until::{Until, Wake};

/// How much of the first bytes is kept: a version line may be 255 bytes long, and lines may stand before it.
const HEAD: usize = 1024;

/// What carries the bytes.
#[derive(Debug)]
pub(super) enum Net {
    Tcp(TcpStream),
    Proxy(Box<Proxy>),
}

impl Net {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Net::Tcp(stream) => stream.as_fd(),
            Net::Proxy(proxy) => proxy.stream().as_fd(),
        }
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Net::Tcp(stream) => (&*stream).read(buffer),
            Net::Proxy(proxy) => proxy.stream().read(buffer),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Net::Tcp(stream) => (&*stream).write(bytes),
            Net::Proxy(proxy) => proxy.stream().write(bytes),
        }
    }
}

/// How the network ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The other side closed it.
    Closed,
    /// It broke.
    Broken(String),
}

/// Why nothing more will move.
#[derive(Debug)]
pub(super) enum Halt {
    Deadline,
    Cancelled,
    /// The network has ended and libssh2 knows it.
    Ended,
    /// More came than was allowed.
    Flood,
    /// This machine refused.
    System(io::Error),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Halt::System(error)
    }
}

/// How much went over the network, and how often it was waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Times that something was sent and an answer was waited for. Opening the TCP connection is one.
    pub round_trips: u32,
}

#[derive(Debug)]
pub(super) struct Wire {
    net: Net,
    /// Our end of the pair.
    inner: UnixStream,
    to_net: Vec<u8>,
    to_lib: Vec<u8>,
    traffic: Traffic,
    /// Something was sent since the last bytes came.
    owed: bool,
    /// How much may still come.
    allowance: u64,
    head: Vec<u8>,
    end: Option<End>,
    /// libssh2 was told of the end.
    told: bool,
}

impl Wire {
    /// The wire over `net`, which does not block, and the end of the pair that is libssh2's. `allowance` bytes may come.
    pub(super) fn over(net: Net, allowance: u64) -> io::Result<(Self, UnixStream)> {
        let (inner, lib) = UnixStream::pair()?;
        inner.set_nonblocking(true)?;
        lib.set_nonblocking(true)?;
        let round_trips = u32::from(matches!(net, Net::Tcp(_)));
        let wire = Self {
            net,
            inner,
            to_net: Vec::new(),
            to_lib: Vec::new(),
            traffic: Traffic { round_trips, ..Traffic::default() },
            owed: false,
            allowance,
            head: Vec::new(),
            end: None,
            told: false,
        };
        Ok((wire, lib))
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How the network ended, if it did.
    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The first bytes that came.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(super) fn proxy(&mut self) -> Option<&mut Proxy> {
        match &mut self.net {
            Net::Proxy(proxy) => Some(proxy),
            Net::Tcp(_) => None,
        }
    }

    /// Lets this many bytes come from now on.
    pub(super) fn set_allowance(&mut self, bytes: u64) {
        self.allowance = bytes;
    }

    /// Lets this many bytes more come.
    pub(super) fn allow(&mut self, bytes: u64) {
        self.allowance = self.allowance.saturating_add(bytes);
    }

    /// Moves one portion, and waits for it if need be. To be called when libssh2 has nothing left to do.
    pub(super) fn turn(&mut self, until: &Until) -> Result<(), Halt> {
        match until.over() {
            Some(Wake::Cancelled) => return Err(Halt::Cancelled),
            Some(_) => return Err(Halt::Deadline),
            None => {}
        }
        if self.flush()? {
            return Ok(());
        }
        loop {
            if self.deliver()? {
                return Ok(());
            }
            if self.end.is_some() {
                if self.told {
                    return Err(Halt::Ended);
                }
                self.told = true;
                // What libssh2 has not read yet stays readable before the end.
                let _ = self.inner.shutdown(Shutdown::Both);
                return Ok(());
            }
            self.wait(until)?;
            self.receive()?;
            if !self.to_net.is_empty() {
                self.send();
            }
        }
    }

    /// Sends what libssh2 has written, as far as the network takes it, without waiting. Whether there was anything:
    /// libssh2 may have waited for that room.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        let mut moved = false;
        let mut piece = Piece::lend();
        while self.to_net.len() < PIECE {
            match self.inner.read(&mut piece) {
                Ok(0) => break,
                Ok(n) => {
                    moved = true;
                    self.to_net.extend_from_slice(&piece[..n]);
                    self.send();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if !self.to_net.is_empty() {
            self.send();
        }
        Ok(moved)
    }

    /// Ends both sides at once, so that whatever libssh2 still does fails at once instead of waiting.
    pub(super) fn shut(&mut self) {
        let _ = self.inner.shutdown(Shutdown::Both);
        if let Net::Tcp(stream) = &self.net {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn wait(&mut self, until: &Until) -> Result<(), Halt> {
        let mut flags = PollFlags::empty();
        if self.to_lib.is_empty() {
            flags |= PollFlags::IN;
        }
        if !self.to_net.is_empty() {
            flags |= PollFlags::OUT;
        }
        let mut fds = Vec::with_capacity(3);
        if !flags.is_empty() {
            fds.push(PollFd::from_borrowed_fd(self.net.as_fd(), flags));
        }
        if !self.to_lib.is_empty() {
            fds.push(PollFd::new(&self.inner, PollFlags::OUT));
        }
        match &self.net {
            Net::Tcp(stream) => {
                // Worth 40 ms, and nothing is wrong without it.
                let _ = rustix::net::sockopt::set_tcp_quickack(stream, true);
            }
            // Read, so that a proxy with much to say does not block on it.
            Net::Proxy(proxy) => fds.extend(proxy.errors().poll()),
        }
        let wake = until.wait_any(&fds)?;
        drop(fds);
        if let Net::Proxy(proxy) = &mut self.net {
            proxy.drain()?;
        }
        match wake {
            Wake::Ready => Ok(()),
            Wake::Deadline => Err(Halt::Deadline),
            Wake::Cancelled => Err(Halt::Cancelled),
        }
    }

    /// Takes one portion from the network, if there is one.
    fn receive(&mut self) -> Result<(), Halt> {
        if !self.to_lib.is_empty() {
            return Ok(());
        }
        let mut piece = Piece::lend();
        match self.net.read(&mut piece) {
            Ok(0) => self.end = Some(End::Closed),
            Ok(n) => {
                self.traffic.received += n as u64;
                self.traffic.round_trips += u32::from(self.owed);
                self.owed = false;
                let room = HEAD.saturating_sub(self.head.len()).min(n);
                self.head.extend_from_slice(&piece[..room]);
                self.allowance = self.allowance.checked_sub(n as u64).ok_or(Halt::Flood)?;
                self.to_lib.extend_from_slice(&piece[..n]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => self.end = Some(End::Broken(plain(&error))),
        }
        Ok(())
    }

    /// Gives libssh2 what has come. Whether there was anything.
    fn deliver(&mut self) -> io::Result<bool> {
        if self.to_lib.is_empty() {
            return Ok(false);
        }
        match self.inner.write(&self.to_lib) {
            Ok(n) => {
                take_off(&mut self.to_lib, n);
                Ok(n > 0)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn send(&mut self) {
        while !self.to_net.is_empty() {
            match self.net.write(&self.to_net) {
                Ok(n) => {
                    self.traffic.sent += n as u64;
                    self.owed = true;
                    take_off(&mut self.to_net, n);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    // What the other side said before it went away is still read; its end is then seen there.
                    self.to_net.clear();
                    if error.kind() != ErrorKind::BrokenPipe && error.kind() != ErrorKind::ConnectionReset {
                        self.end = Some(End::Broken(plain(&error)));
                    }
                    return;
                }
            }
        }
    }
}

/// Takes the first bytes off, and gives the room back with the last ones: what follows is mostly a long wait.
fn take_off(bytes: &mut Vec<u8>, count: usize) {
    if count == bytes.len() {
        *bytes = Vec::new();
    } else {
        bytes.drain(..count);
    }
}

/// An error of the system without its number.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::until::Cancel;
    use std::net::TcpListener;
    use std::time::Duration;

    /// A wire, the end that is libssh2's, and the far side of the network.
    fn wire(allowance: u64) -> (Wire, UnixStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let near = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
        near.set_nonblocking(true).expect("an option");
        let (far, _) = listener.accept().expect("a client");
        let (wire, lib) = Wire::over(Net::Tcp(near), allowance).expect("a wire");
        (wire, lib, far)
    }

    fn soon() -> Until {
        Until::after(Duration::from_secs(20), &Cancel::new().expect("an eventfd"))
    }

    #[test]
    fn what_came_before_the_end_is_delivered_before_the_end() {
        let (mut wire, mut lib, mut far) = wire(1000);
        far.write_all(b"last words").expect("sent");
        drop(far);
        let mut buffer = [0; 100];
        wire.turn(&soon()).expect("the words");
        assert_eq!(lib.read(&mut buffer).expect("words"), 10);
        assert_eq!(lib.read(&mut buffer).expect_err("not yet the end").kind(), ErrorKind::WouldBlock);
        assert_eq!(wire.end(), None);
        wire.turn(&soon()).expect("the end");
        assert_eq!(wire.end(), Some(&End::Closed));
        assert_eq!(lib.read(&mut buffer).expect("the end"), 0);
        assert!(matches!(wire.turn(&soon()), Err(Halt::Ended)));
        assert_eq!(wire.head(), b"last words");
    }

    #[test]
    fn more_than_is_allowed_is_a_flood_and_more_may_be_allowed() {
        let (mut wire, mut lib, mut far) = wire(10);
        far.write_all(&[1; 10]).expect("sent");
        wire.turn(&soon()).expect("allowed");
        wire.allow(5);
        far.write_all(&[2; 6]).expect("sent");
        assert!(matches!(wire.turn(&soon()), Err(Halt::Flood)));
        assert_eq!(lib.read(&mut [0; 100]).expect("the first"), 10);
    }

    #[test]
    fn the_clock_counts_also_when_there_is_always_something_to_move() {
        let (mut wire, mut lib, mut far) = wire(1000);
        far.write_all(b"more").expect("sent");
        lib.write_all(b"more").expect("written");
        let cancel = Cancel::new().expect("an eventfd");
        assert!(matches!(wire.turn(&Until::after(Duration::ZERO, &cancel)), Err(Halt::Deadline)));
        cancel.cancel();
        assert!(matches!(wire.turn(&Until::after(Duration::ZERO, &cancel)), Err(Halt::Cancelled)));
    }

    #[test]
    fn a_round_trip_is_something_sent_and_then_something_that_came() {
        let (mut wire, mut lib, mut far) = wire(1000);
        far.write_all(b"greeting").expect("sent");
        wire.turn(&soon()).expect("it");
        assert_eq!(wire.traffic(), Traffic { sent: 0, received: 8, round_trips: 1 });
        lib.write_all(b"one").expect("written");
        lib.write_all(b"two").expect("written");
        wire.turn(&soon()).expect("sent");
        let mut buffer = [0; 6];
        far.read_exact(&mut buffer).expect("both");
        for answer in [b"a", b"b"] {
            far.write_all(answer).expect("sent");
            wire.turn(&soon()).expect("it");
        }
        assert_eq!(wire.traffic(), Traffic { sent: 6, received: 10, round_trips: 2 });
    }

    #[test]
    fn nobody_spins_while_libssh2_does_not_read_or_the_network_does_not_take() {
        let (mut wire, mut lib, far) = wire(u64::MAX);
        let cpu = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let spent = |from: rustix::time::Timespec| {
            let now = cpu();
            Duration::from_nanos(((now.tv_sec - from.tv_sec) * 1_000_000_000 + now.tv_nsec - from.tv_nsec) as u64)
        };
        // The network takes nothing: libssh2 writes until nothing more goes, and then somebody must wait.
        while lib.write(&[0; PIECE]).is_ok() || wire.flush().expect("flushed") {}
        let start = cpu();
        let until = soon().sooner(Duration::from_millis(300));
        assert!(matches!(wire.turn(&until), Err(Halt::Deadline)));
        assert!(spent(start) < Duration::from_millis(100), "{:?}", spent(start));

        // libssh2 reads nothing.
        let mut writer = far.try_clone().expect("a copy");
        let thread = std::thread::spawn(move || while writer.write(&[0; PIECE]).is_ok() {});
        let until = soon().sooner(Duration::from_millis(600));
        let start = cpu();
        while wire.turn(&until).is_ok() {}
        assert!(until.over().is_some() && spent(start) < Duration::from_millis(200), "{:?}", spent(start));
        drop((wire, far));
        thread.join().expect("no panic");
    }

    #[test]
    fn what_libssh2_waits_for_when_its_socket_is_full_is_that_it_is_emptied() {
        let (mut wire, mut lib, mut far) = wire(1000);
        // Small writes fill a socket long before a portion is full.
        let mut written = 0;
        while lib.write(&[7]).is_ok() {
            written += 1;
        }
        wire.turn(&soon()).expect("room again");
        lib.write_all(&[7]).expect("there is room");
        wire.flush().expect("flushed");
        let mut all = vec![0; written + 1];
        far.read_exact(&mut all).expect("all of it");
        assert_eq!(wire.traffic().sent, written as u64 + 1);
    }

    #[test]
    fn a_connection_that_is_reset_is_broken_and_shut_makes_both_ends_fail_at_once() {
        let (mut wire, mut lib, far) = wire(1000);
        rustix::net::connect_unspec(&far).expect("a reset");
        while wire.turn(&soon()).is_ok() {}
        assert!(matches!(wire.end(), Some(End::Broken(reason)) if reason == "Connection reset by peer"));
        wire.shut();
        assert_eq!(lib.write(&[0]).expect_err("shut").kind(), ErrorKind::BrokenPipe);
        assert_eq!(lib.read(&mut [0; 10]).expect("the end"), 0);
    }
}
