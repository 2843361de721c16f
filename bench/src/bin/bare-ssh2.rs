//! The least that a program over libssh2 can do for the same answer: connect, check the host key, authenticate, send the
//! product's own script as one exec, read the answer to its end. So many hosts at a time, one thread each.
//!
//! What the product takes longer than this is the price of everything else that it does. It waits as the product does
//! (non-blocking, `TCP_QUICKACK` again before every wait), or, with `--blocking`, as one would write it first.
//!
//! `bare-ssh2 DIR THREADS [--blocking]`: `DIR` is made by [`bench::ground`]. It prints how many hosts gave a whole answer.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::set_tcp_quickack;
use ssh2::{BlockDirections, Session};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, threads, rest @ ..] = args.as_slice() else { bail!("bare-ssh2 DIR THREADS [--blocking]") };
    let job = Job::read(Path::new(dir), rest == ["--blocking"])?;
    let threads: usize = threads.parse()?;
    let next = AtomicUsize::new(0);
    let whole = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(job.targets.len()) {
            scope.spawn(|| {
                while let Some(target) = job.targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match job.ask(target) {
                        Ok(()) => drop(whole.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => eprintln!("port {}: {error:#}", target.port),
                    }
                }
            });
        }
    });
    println!("{}", whole.load(Ordering::Relaxed));
    ensure!(whole.into_inner() == job.targets.len(), "not every host answered");
    Ok(())
}

struct Target {
    port: u16,
    user: String,
    host_key: Vec<u8>,
}

struct Job {
    targets: Vec<Target>,
    key: PathBuf,
    line: String,
    input: Vec<u8>,
    blocking: bool,
}

impl Job {
    fn read(dir: &Path, blocking: bool) -> Result<Self> {
        let text = |name: &str| std::fs::read_to_string(dir.join(name)).with_context(|| name.to_owned());
        let targets = text("targets")?;
        let targets = targets.lines().map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().context("a target has a port, a user and a host key");
            Ok(Target { port: word()?.parse()?, user: word()?.to_owned(), host_key: BASE64_STANDARD.decode(word()?)? })
        });
        Ok(Self {
            targets: targets.collect::<Result<_>>()?,
            key: dir.join("id_ed25519"),
            line: text("line")?,
            input: text("script")?.into_bytes(),
            blocking,
        })
    }

    fn ask(&self, target: &Target) -> Result<()> {
        let tcp = TcpStream::connect(("127.0.0.1", target.port))?;
        tcp.set_nodelay(true)?;
        let mut link = Link { session: Session::new()?, tcp: tcp.try_clone()?, blocking: self.blocking };
        link.session.set_tcp_stream(tcp);
        link.session.set_blocking(self.blocking);
        link.drive(|session| session.clone().handshake())?;
        ensure!(link.session.host_key().is_some_and(|(key, _)| key == target.host_key), "another host key");
        link.drive(|session| session.userauth_pubkey_file(&target.user, None, &self.key, None))?;
        let mut channel = link.drive(Session::channel_session)?;
        link.drive(|_| channel.exec(&self.line))?;
        let mut rest = self.input.as_slice();
        while !rest.is_empty() {
            let sent = link.io(|| channel.write(rest))?;
            rest = &rest[sent..];
        }
        link.drive(|_| channel.send_eof())?;
        let mut answer = Vec::new();
        let mut piece = [0; 32 * 1024];
        loop {
            match link.io(|| channel.read(&mut piece))? {
                0 => break,
                count => answer.extend_from_slice(&piece[..count]),
            }
        }
        // The script's own last frame.
        ensure!(answer.ends_with(b" end\n"), "not a whole answer: {}", String::from_utf8_lossy(&answer));
        Ok(())
    }
}

struct Link {
    session: Session,
    tcp: TcpStream,
    blocking: bool,
}

impl Link {
    /// Until libssh2 is done with it.
    fn drive<T>(&self, mut call: impl FnMut(&Session) -> Result<T, ssh2::Error>) -> Result<T> {
        /// `LIBSSH2_ERROR_EAGAIN`
        const AGAIN: ssh2::ErrorCode = ssh2::ErrorCode::Session(-37);
        loop {
            match call(&self.session) {
                Err(error) if error.code() == AGAIN && !self.blocking => self.wait()?,
                done => return Ok(done?),
            }
        }
    }

    fn io<T>(&self, mut call: impl FnMut() -> std::io::Result<T>) -> Result<T> {
        loop {
            match call() {
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.blocking => self.wait()?,
                done => return Ok(done?),
            }
        }
    }

    fn wait(&self) -> Result<()> {
        let flags = match self.session.block_directions() {
            BlockDirections::Outbound => PollFlags::OUT,
            BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
            BlockDirections::Inbound | BlockDirections::None => PollFlags::IN,
        };
        set_tcp_quickack(&self.tcp, true)?;
        poll(&mut [PollFd::new(&self.tcp, flags)], None)?;
        Ok(())
    }
}
