//! The user's agent: asked for its keys, and lent to libssh2 for single signatures.
//!
//! libssh2 talks to an agent by itself, but on a socket that blocks, and gives up on an answer over 8 KiB. An agent may
//! take a minute (it waits for a touch or a pin) or for ever, and may hold dozens of keys. So libssh2 is given a socket
//! of ours, behind which a thread shows it the few keys that are to be tried, passes its requests for a signature on,
//! and hangs up when the time is over. Not for: forwarding an agent to a host, which is never done.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use ssh2::{PublicKey, Session};

use super::keys::string;
use crate::until::{Until, Wake};

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;

/// The longest message, as OpenSSH's agent has it.
const LONGEST: usize = 256 * 1024;
/// What fits into one answer for libssh2, with room to spare.
const LIBSSH2_LONGEST: usize = 8000;

/// A key that an agent holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// The public key as it goes over the wire.
    pub(super) blob: Vec<u8>,
    /// Its owner's name for it.
    pub(super) comment: String,
}

/// A connection to the user's agent.
#[derive(Debug)]
pub(super) struct Agent(UnixStream);

impl Agent {
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        // A full queue would block.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self(socket.into()))
    }

    /// Its keys, in its order.
    pub(super) fn identities(&self, until: &Until) -> io::Result<Vec<Identity>> {
        let answer = self.ask(&[REQUEST_IDENTITIES], until)?;
        identities(&answer).ok_or_else(|| io::Error::other("its answer cannot be read"))
    }

    fn ask(&self, request: &[u8], until: &Until) -> io::Result<Vec<u8>> {
        write_frame(&self.0, request, until)?;
        read_frame(&self.0, until)
    }
}

fn identities(answer: &[u8]) -> Option<Vec<Identity>> {
    let mut rest = answer.strip_prefix(&[IDENTITIES_ANSWER])?;
    let (count, after) = rest.split_first_chunk::<4>()?;
    rest = after;
    let mut found = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let blob = string(&mut rest)?.to_vec();
        found.push(Identity { blob, comment: String::from_utf8_lossy(string(&mut rest)?).into_owned() });
    }
    Some(found)
}

/// An agent in libssh2's hands, with some of its keys. Dropping it takes it away again.
pub(super) struct Lent {
    theirs: ssh2::Agent,
    keys: Vec<PublicKey>,
    ours: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Lent {
    /// Lends `agent` to `session`: the keys of `blobs`, until `until` is over.
    pub(super) fn to(session: &Session, agent: Agent, blobs: &[Vec<u8>], until: &Until) -> io::Result<Self> {
        let mut size = 0;
        let blobs: Vec<Vec<u8>> = blobs
            .iter()
            .take_while(|blob| {
                size += blob.len() + 8;
                size <= LIBSSH2_LONGEST
            })
            .cloned()
            .collect();
        // Only its owner may enter the directory, and it is gone once libssh2 is through the door.
        let dir = tempfile::Builder::new().prefix("ssh-").tempdir()?;
        let door = dir.path().join("a");
        let listener = UnixListener::bind(&door)?;
        let mut theirs = session.agent()?;
        theirs.set_identity_path(&door)?;
        theirs.connect()?;
        let (stream, _) = listener.accept()?;
        drop((listener, dir));
        stream.set_nonblocking(true)?;
        let ours = stream.try_clone()?;
        let until = until.clone();
        let thread = std::thread::Builder::new().name("agent".to_owned()).spawn(move || {
            // However it ends, libssh2 must not wait for more.
            let _ = serve(&stream, &agent, &blobs, &until);
            let _ = stream.shutdown(Shutdown::Both);
        })?;
        let mut lent = Self { theirs, keys: Vec::new(), ours, thread: Some(thread) };
        lent.theirs.list_identities()?;
        lent.keys = lent.theirs.identities()?;
        Ok(lent)
    }

    /// One step of logging in with the key of `blob`.
    pub(super) fn log_in(&self, user: &str, blob: &[u8]) -> Result<(), ssh2::Error> {
        let key = self.keys.iter().find(|key| key.blob() == blob).ok_or_else(ssh2::Error::unknown)?;
        self.theirs.userauth(user, key)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let _ = self.ours.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers libssh2 until one of the two hangs up.
fn serve(stream: &UnixStream, agent: &Agent, blobs: &[Vec<u8>], until: &Until) -> io::Result<()> {
    loop {
        let request = read_frame(stream, until)?;
        let answer = match request.split_first() {
            Some((&REQUEST_IDENTITIES, _)) => {
                let mut answer = vec![IDENTITIES_ANSWER];
                answer.extend(u32::try_from(blobs.len()).unwrap_or_default().to_be_bytes());
                for blob in blobs {
                    answer.extend(u32::try_from(blob.len()).unwrap_or_default().to_be_bytes());
                    answer.extend_from_slice(blob);
                    answer.extend([0; 4]);
                }
                answer
            }
            Some((&SIGN_REQUEST, rest)) if string(&mut &*rest).is_some_and(|key| blobs.iter().any(|b| b == key)) => {
                agent.ask(&request, until)?
            }
            _ => vec![FAILURE],
        };
        write_frame(stream, &answer, until)?;
    }
}

fn write_frame(stream: &UnixStream, payload: &[u8], until: &Until) -> io::Result<()> {
    let mut frame = u32::try_from(payload.len()).map_err(io::Error::other)?.to_be_bytes().to_vec();
    frame.extend_from_slice(payload);
    let mut rest = &frame[..];
    while !rest.is_empty() {
        match (&*stream).write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => rest = &rest[n..],
            Err(error) => ready(&error, stream, PollFlags::OUT, until)?,
        }
    }
    Ok(())
}

fn read_frame(stream: &UnixStream, until: &Until) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    fill(stream, &mut length, until)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::other("its answer is too long"));
    }
    let mut payload = vec![0; length];
    fill(stream, &mut payload, until)?;
    Ok(payload)
}

fn fill(stream: &UnixStream, mut buffer: &mut [u8], until: &Until) -> io::Result<()> {
    while !buffer.is_empty() {
        match (&*stream).read(buffer) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "it hung up")),
            Ok(n) => buffer = &mut buffer[n..],
            Err(error) => ready(&error, stream, PollFlags::IN, until)?,
        }
    }
    Ok(())
}

/// Waits when `error` says that there is nothing yet; any other error stays one.
fn ready(error: &io::Error, stream: &UnixStream, flags: PollFlags, until: &Until) -> io::Result<()> {
    match error.kind() {
        ErrorKind::Interrupted => Ok(()),
        ErrorKind::WouldBlock => match until.wait(stream.as_fd(), flags)? {
            Wake::Ready => Ok(()),
            Wake::Deadline | Wake::Cancelled => Err(io::Error::new(ErrorKind::TimedOut, "it did not answer in time")),
        },
        kind => Err(io::Error::new(kind, super::wire::plain(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::until::Cancel;
    use std::time::{Duration, Instant};

    /// An agent at a socket that answers one request with `answer`.
    fn fake(answer: impl FnOnce(&UnixStream, Vec<u8>) + Send + 'static) -> (tempfile::TempDir, Agent) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("agent");
        let listener = UnixListener::bind(&path).expect("bound");
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            let (until, _cancel) = limit(60);
            if let Ok(request) = read_frame(&stream, &until) {
                answer(&stream, request);
            }
        });
        let agent = Agent::connect(&path).expect("connected");
        (dir, agent)
    }

    fn limit(seconds: u64) -> (Until, Cancel) {
        let cancel = Cancel::new().expect("an eventfd");
        (Until::after(Duration::from_secs(seconds), &cancel), cancel)
    }

    #[test]
    fn the_keys_of_an_agent_are_listed_however_many() {
        let key = |n: u8| [&[0, 0, 2, 0][..], &[n; 512]].concat();
        let (_dir, agent) = fake(move |stream, request| {
            assert_eq!(request, [REQUEST_IDENTITIES]);
            let mut answer = vec![IDENTITIES_ANSWER, 0, 0, 0, 60];
            for n in 0..60 {
                answer.extend(key(n));
                answer.extend([0, 0, 0, 2, b'm', b'e']);
            }
            write_frame(stream, &answer, &limit(60).0).expect("written");
        });
        let found = agent.identities(&limit(60).0).expect("keys");
        assert_eq!(found.len(), 60);
        assert_eq!(found[59], Identity { blob: vec![59; 512], comment: "me".to_owned() });
    }

    #[test]
    fn an_agent_that_lies_about_lengths_or_hangs_up_is_an_error() {
        for answer in [
            vec![IDENTITIES_ANSWER, 0, 0, 0, 9, 0, 0],
            vec![IDENTITIES_ANSWER, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff],
            vec![FAILURE],
            vec![],
        ] {
            let (_dir, agent) = fake(move |stream, _| write_frame(stream, &answer, &limit(60).0).expect("written"));
            assert!(agent.identities(&limit(60).0).is_err());
        }
        let (_dir, agent) = fake(|mut stream, _| stream.write_all(&[0xff; 4]).expect("written"));
        assert!(agent.identities(&limit(60).0).unwrap_err().to_string().contains("too long"));
        let (_dir, agent) = fake(|_, _| {});
        assert_eq!(agent.identities(&limit(60).0).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_agent_that_never_answers_ends_with_the_clock_and_with_a_cancellation() {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let (_dir, agent) = fake(move |_, _| wait.recv().unwrap_or_default());
        let (until, cancel) = limit(60);
        let start = Instant::now();
        assert!(agent.identities(&until.sooner(Duration::from_millis(20))).is_err());
        let waiter = std::thread::spawn(move || agent.identities(&until).unwrap_err().kind());
        cancel.cancel();
        assert_eq!(waiter.join().expect("no panic"), ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(20));
        drop(done);
    }

    #[test]
    fn libssh2_sees_the_chosen_keys_only_and_signs_with_no_other() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let (_dir, agent) = fake(|stream, request| {
            assert_eq!(request[0], SIGN_REQUEST);
            write_frame(stream, b"signed", &limit(60).0).expect("written");
        });
        std::thread::spawn(move || serve(&theirs, &agent, &[b"one".to_vec()], &limit(60).0));
        let ask = |request: &[u8]| {
            write_frame(&ours, request, &limit(60).0).expect("written");
            read_frame(&ours, &limit(60).0).expect("an answer")
        };
        let listed = identities(&ask(&[REQUEST_IDENTITIES])).expect("keys");
        assert_eq!(listed, [Identity { blob: b"one".to_vec(), comment: String::new() }]);
        assert_eq!(ask(&[&[SIGN_REQUEST, 0, 0, 0, 3][..], b"two"].concat()), [FAILURE]);
        // To remove all keys, to add one, to lock.
        for request in [19, 17, 22] {
            assert_eq!(ask(&[request]), [FAILURE]);
        }
        assert_eq!(ask(&[&[SIGN_REQUEST, 0, 0, 0, 3][..], b"one"].concat()), b"signed");
    }
}
