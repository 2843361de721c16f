//! A bad road between a client and a server on loopback: it delays, cuts, or falls silent.
//!
//! Bytes pass as they are, in both directions, each held back for the same time. Not for: changing what is said.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How a road ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Both sides see the other one close.
    Close,
    /// The client sees a reset.
    Reset,
    /// Nothing more arrives, and nobody is told.
    Silence,
}

/// What a road is like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Road {
    /// How long a byte takes, one way.
    pub delay: Duration,
    /// After so many bytes from the server, this.
    pub cut: Option<(usize, Cut)>,
}

/// A road to one server. Dropping it ends every connection on it.
#[derive(Debug)]
pub struct Wan {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    closed: AtomicBool,
    sockets: Mutex<Vec<TcpStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Wan {
    /// Opens a road to `server`.
    ///
    /// # Errors
    /// When there is no port left.
    pub fn to(server: SocketAddr, road: Road) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let accepting = std::thread::spawn(move || {
            for client in listener.incoming() {
                if theirs.closed.load(Ordering::SeqCst) {
                    return;
                }
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) {
                    theirs.join(&client, &server, road);
                }
            }
        });
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Where its near end is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        for socket in self.shared.sockets.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        // Wakes the one that accepts.
        let _ = TcpStream::connect(self.address);
        let mut threads = std::mem::take(&mut *self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner));
        threads.extend(self.accepting.take());
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn join(&self, client: &TcpStream, server: &TcpStream, road: Road) {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (from, to, cut) in [(client, server, None), (server, client, road.cut)] {
            let _ = to.set_nodelay(true);
            for socket in [from, to] {
                sockets.extend(socket.try_clone());
            }
            if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                threads.extend(one_way(from, to, road.delay, cut));
            }
        }
    }
}

/// Carries what comes from one side to the other: one thread reads, one writes when it is time.
fn one_way(mut from: TcpStream, mut to: TcpStream, delay: Duration, cut: Option<(usize, Cut)>) -> [JoinHandle<()>; 2] {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            let n = from.read(&mut buffer).unwrap_or(0);
            if sender.send((Instant::now() + delay, buffer[..n].to_vec())).is_err() || n == 0 {
                return;
            }
        }
    });
    let writer = std::thread::spawn(move || {
        let mut left = cut.map_or(usize::MAX, |(bytes, _)| bytes);
        for (due, mut bytes) in receiver {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let last = bytes.len() >= left;
            bytes.truncate(left);
            left -= bytes.len();
            if bytes.is_empty() && !last || to.write_all(&bytes).is_err() {
                break;
            }
            if last {
                match cut {
                    Some((_, Cut::Reset)) => {
                        // To connect a connected socket to nowhere resets it, whoever else holds it.
                        let _ = rustix::net::connect_unspec(&to);
                        return;
                    }
                    Some((_, Cut::Silence)) => return,
                    _ => break,
                }
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
    [reader, writer]
}
