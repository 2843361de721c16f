//! From a host name to an open TCP connection, under one clock.
//!
//! Every address of the name is tried in turn. Not for: proxies, and anything that is said over the connection.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::target::{Family, Target};
use super::wire::plain;
use crate::until::{Until, Wake};

/// How long one address may take when others are left: two repetitions of a lost first packet.
const ONE_OF_MANY: Duration = Duration::from_secs(5);

/// How the reason of an address begins that said nothing in its time, not even that nobody listens there.
pub(super) const NO_ANSWER: &str = "no answer in";

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoDial {
    /// The name has no address.
    Name {
        reason: String,
        temporary: bool,
    },
    /// No address answered; each with its reason.
    Addresses(Vec<(SocketAddr, String)>),
    Deadline,
    Cancelled,
    System(String),
}

impl From<io::Error> for NoDial {
    fn from(error: io::Error) -> Self {
        NoDial::System(plain(&error))
    }
}

/// Opens a connection that does not block.
pub(super) fn dial(target: &Target, until: &Until) -> Result<TcpStream, NoDial> {
    let mut addresses = lookup(&target.host, target.port, until)?;
    addresses.retain(|address| match target.family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    });
    if addresses.is_empty() {
        return Err(NoDial::Name { reason: "no address of the wanted family".to_owned(), temporary: false });
    }
    let mut tried = Vec::new();
    let mut left = addresses.len();
    for address in addresses {
        left -= 1;
        let limit = target.address_limit.or((left > 0).then_some(ONE_OF_MANY));
        match open(address, limit, until)? {
            Ok(stream) => return Ok(stream),
            Err(reason) => tried.push((address, reason)),
        }
    }
    Err(NoDial::Addresses(tried))
}

/// The addresses of a name, in the system's order.
fn lookup(host: &str, port: u16, until: &Until) -> Result<Vec<SocketAddr>, NoDial> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    // The system's resolver cannot be interrupted. A thread that is left behind ends when the resolver does.
    let (answered, answer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
    let (sender, receiver) = mpsc::channel();
    let host = host.to_owned();
    std::thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // The asker may have given up.
        let _ = sender.send(found);
        drop(answer);
    })?;
    match until.wait(answered.as_fd(), PollFlags::IN)? {
        Wake::Ready => {}
        Wake::Deadline => return Err(NoDial::Deadline),
        Wake::Cancelled => return Err(NoDial::Cancelled),
    }
    receiver.recv().unwrap_or_else(|_| Err(io::Error::other("the resolver broke"))).map_err(|error| {
        let text = plain(&error);
        let reason = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned();
        NoDial::Name { temporary: reason.contains("emporary"), reason }
    })
}

/// One attempt: a connection, or why not.
fn open(address: SocketAddr, limit: Option<Duration>, until: &Until) -> Result<Result<TcpStream, String>, NoDial> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = match rustix::net::socket_with(family, SocketType::STREAM, flags, None) {
        Ok(socket) => socket,
        // A machine without IPv6.
        Err(error) if error == rustix::io::Errno::AFNOSUPPORT => return Ok(Err(plain(&error.into()))),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    match rustix::net::connect(&socket, &address) {
        Ok(()) => {}
        Err(rustix::io::Errno::INPROGRESS) => {
            let bounded = limit.map_or_else(|| until.clone(), |limit| until.sooner(limit));
            match bounded.wait(socket.as_fd(), PollFlags::OUT)? {
                Wake::Cancelled => return Err(NoDial::Cancelled),
                Wake::Deadline if until.over().is_some() => return Err(NoDial::Deadline),
                Wake::Deadline => {
                    return Ok(Err(format!("{NO_ANSWER} {} s", limit.unwrap_or_default().as_secs())));
                }
                Wake::Ready => {}
            }
            if let Err(error) = sockopt::socket_error(&socket).map_err(io::Error::from)? {
                return Ok(Err(plain(&error.into())));
            }
        }
        Err(error) => return Ok(Err(plain(&error.into()))),
    }
    tune(&socket)?;
    Ok(Ok(TcpStream::from(socket)))
}

/// Small packets are sent at once, and a machine that is gone is noticed within a minute of silence.
fn tune(socket: impl AsFd + Copy) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(socket, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(socket, 3)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::{Endpoint, resolve};
    use crate::until::Cancel;
    use std::net::TcpListener;
    use std::time::Instant;

    fn target(address: &str, port: u16) -> Target {
        let endpoint = Endpoint {
            name: "host".to_owned(),
            address: Some(address.to_owned()),
            port: Some(port),
            user: Some("nobody".to_owned()),
            config: Some("/dev/null".into()),
            ..Endpoint::default()
        };
        resolve(&endpoint, &Until::after(Duration::from_secs(60), &Cancel::new().expect("an eventfd")))
            .expect("a target")
    }

    fn soon(limit: Duration) -> (Until, Cancel) {
        let cancel = Cancel::new().expect("an eventfd");
        (Until::after(limit, &cancel), cancel)
    }

    #[test]
    fn a_name_is_looked_up_and_every_address_is_tried() {
        // Only the IPv4 loopback listens; `localhost` may have ::1 first.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (until, _cancel) = soon(Duration::from_secs(20));
        let stream = dial(&target("localhost", port), &until).expect("a connection");
        assert_eq!(stream.peer_addr().expect("a peer"), listener.local_addr().expect("an address"));
        assert!(sockopt::tcp_nodelay(&stream).expect("an option"));
        drop(listener);
        let NoDial::Addresses(tried) = dial(&target("localhost", port), &until).unwrap_err() else { panic!() };
        assert!(tried.iter().any(|(_, reason)| reason == "Connection refused"), "{tried:?}");
    }

    #[test]
    fn an_address_that_never_answers_ends_with_the_clock_or_the_cancellation() {
        // A listener whose queue is full drops what comes.
        let listener = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .expect("a socket");
        rustix::net::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("bound");
        rustix::net::listen(&listener, 0).expect("listening");
        let port = TcpListener::from(listener.try_clone().expect("a copy")).local_addr().expect("an address").port();
        let fill: Vec<_> = (0..4)
            .map(|_| {
                let (until, _cancel) = soon(Duration::from_millis(300));
                open(([127, 0, 0, 1], port).into(), None, &until)
            })
            .collect();
        assert!(matches!(fill.last(), Some(Err(NoDial::Deadline))), "{fill:?}");

        let target = target("127.0.0.1", port);
        let (until, cancel) = soon(Duration::from_secs(60));
        let start = Instant::now();
        let waiter = std::thread::spawn(move || dial(&target, &until));
        cancel.cancel();
        assert_eq!(waiter.join().expect("no panic").unwrap_err(), NoDial::Cancelled);
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
