//! A machine to run scripts on: this one, with the shell of our choice as `/bin/sh` and folders of its own.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use boundary::answer::{Answer, Limits, Ran, Reader};
use boundary::command::{Chunk, Command, Condition, Mode, Output};
use boundary::script::{self, Lock, Nonce, Options, SEARCH_PATH, SUDO_PASSWORD, Script, Sudo};
use boundary::scrub::Scrubber;

/// What sshd would say.
pub const CONNECTION: &str = "192.0.2.7 50022 192.0.2.1 22";

/// No test waits longer for anything.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A shell that can stand as `/bin/sh`.
#[derive(Debug, Clone, Copy)]
pub struct Shell {
    pub name: &'static str,
    program: &'static str,
}

/// Those that are installed here; each one that is not is told by a printed line.
pub fn posix_shells() -> Vec<Shell> {
    let all = [
        Shell { name: "dash", program: "/bin/dash" },
        Shell { name: "bash", program: "/bin/bash" },
        Shell { name: "busybox", program: "/bin/busybox" },
    ];
    let (found, missing): (Vec<_>, Vec<_>) = all.into_iter().partition(|shell| Path::new(shell.program).exists());
    for shell in missing {
        println!("SKIPPED: {} is not installed, so nothing here was shown for it", shell.name);
    }
    assert!(!found.is_empty(), "neither dash nor bash nor busybox: nothing can be shown on this machine");
    found
}

pub struct Machine {
    pub folder: tempfile::TempDir,
    pub shell: Shell,
    /// The user to run as, for what root would not show; only root can.
    pub uid: Option<u32>,
    pub secrets: Vec<(&'static str, Vec<u8>)>,
    pub sudo: Sudo<'static>,
    pub lock: bool,
    pub owner: &'static str,
    /// When the machine was last looked at.
    pub looked: Option<u64>,
    /// More environment of the login shell.
    pub poison: Vec<(String, String)>,
}

impl Machine {
    pub fn new(shell: Shell) -> Self {
        let folder = tempfile::Builder::new().prefix("machine.").tempdir().unwrap();
        for name in ["bin", "scratch", "lock", "home"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o777)).unwrap();
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(shell.program, folder.path().join("bin/sh")).unwrap();
        Self {
            folder,
            shell,
            uid: None,
            secrets: Vec::new(),
            sudo: Sudo::Free,
            lock: false,
            owner: "test on localhost",
            looked: None,
            poison: Vec::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a program in front of those of the system.
    pub fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn render(&self, mode: Mode, commands: &[Command]) -> Script {
        let mut random = [0; 16];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        let nonce = Nonce::new(random);
        let search_path = format!("{}:{SEARCH_PATH}", self.path("bin").display());
        let scratch = self.path("scratch").display().to_string();
        let lock_path = self.path("lock/lock").display().to_string();
        let lock = (self.lock && mode == Mode::Run).then_some(Lock {
            path: &lock_path,
            owner: self.owner,
            looked: self.looked,
        });
        let secrets =
            |slot: &str| self.secrets.iter().find(|(known, _)| *known == slot).map(|(_, value)| value.as_slice());
        let options = Options {
            mode,
            lock,
            sudo: self.sudo,
            secrets: &secrets,
            search_path: &search_path,
            scratch: &scratch,
            ..Options::probe(&nonce)
        };
        let mut script = script::render(commands, &options).unwrap();
        script.line = script.line.replace("/bin/sh", self.path("bin/sh").to_str().unwrap());
        script
    }

    pub fn scrubber(&self) -> Scrubber {
        let password = match self.sudo {
            Sudo::Password(password) => Some((SUDO_PASSWORD, password)),
            _ => None,
        };
        let values = self.secrets.iter().map(|(slot, value)| (*slot, value.as_slice())).chain(password);
        Scrubber::new(values).unwrap()
    }

    /// Starts the line in a login shell, as sshd does: three pipes and nothing else.
    pub fn spawn(&self, login: &str, line: &str) -> Child {
        let mut process = Process::new(login);
        process.arg("-c").arg(line);
        process.env("SSH_CONNECTION", CONNECTION).env("HOME", self.path("home")).envs(self.poison.iter().cloned());
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(uid) = self.uid {
            process.uid(uid).gid(uid);
        }
        process.spawn().unwrap()
    }

    /// The same, and gives it `input` and leaves standard input open: nobody waits for its end.
    pub fn start(&self, login: &str, line: &str, input: &[u8]) -> Running {
        let mut child = self.spawn(login, line);
        let (send, receive) = mpsc::channel();
        let mut stdout = child.stdout.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let err = send.clone();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        std::thread::spawn(move || pump(&mut stdout, |piece| send.send((true, piece)).is_ok()));
        std::thread::spawn(move || pump(&mut stderr, |piece| err.send((false, piece)).is_ok()));
        let (hold, held) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
            let _ = stdin.flush();
            let _ = held.recv();
        });
        Running { child, pieces: receive, _hold: Some(hold), started: Instant::now() }
    }

    pub fn answer(&self, mode: Mode, commands: &[Command]) -> Answer {
        let script = self.render(mode, commands);
        self.start("/bin/sh", &script.line, &script.input).answer(&script, &self.scrubber())
    }

    pub fn ran(&self, mode: Mode, commands: &[Command]) -> Ran {
        match self.answer(mode, commands) {
            Answer::Ran(ran) => {
                assert!(ran.complete, "{}: {ran:?}", self.shell.name);
                ran
            }
            other => panic!("{}: {other:?}", self.shell.name),
        }
    }

    /// Nothing of a batch is left on the machine.
    pub fn assert_clean(&self) {
        let leftovers = self.leftovers();
        assert!(leftovers.is_empty(), "{}: {leftovers:?}", self.shell.name);
    }

    pub fn leftovers(&self) -> Vec<String> {
        names(&self.path("scratch"))
    }
}

/// Waits for something that must come to hold.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a process, and not for ever.
pub fn wait(child: &mut Child) -> ExitStatus {
    let mut status = None;
    wait_for("a process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Those of `names` that a shell started from here can be sent. A shell cannot catch what was ignored when it was
/// started, as under `nohup`; that is told.
pub fn signals(names: &[&'static str]) -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    let number = |name: &str| [("HUP", 1), ("INT", 2), ("TERM", 15)].into_iter().find(|(known, _)| *known == name);
    let (open, closed): (Vec<_>, Vec<_>) = names
        .iter()
        .copied()
        .partition(|name| number(name).is_none_or(|(_, number)| ignored & (1 << (number - 1)) == 0));
    for name in closed {
        println!("SKIPPED: {name}, which was ignored when the tests were started");
    }
    open
}

/// Whether root runs the tests; a test that needs it says that it was skipped.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn pump(from: &mut impl Read, mut to: impl FnMut(Vec<u8>) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !to(buffer[..count].to_vec()) {
            return;
        }
    }
}

/// An exec that is under way.
pub struct Running {
    pub child: Child,
    /// Pieces of standard output (`true`) and standard error.
    pub pieces: mpsc::Receiver<(bool, Vec<u8>)>,
    /// Standard input is closed when this goes.
    pub _hold: Option<mpsc::Sender<()>>,
    started: Instant,
}

impl Running {
    pub fn answer(mut self, script: &Script, scrubber: &Scrubber) -> Answer {
        let mut reader = Reader::new(&script.expect, scrubber, Limits::default());
        let mut closed = false;
        while !reader.done() {
            let left = DEADLINE.checked_sub(self.started.elapsed()).expect("the answer came in time");
            match self.pieces.recv_timeout(left) {
                Ok((true, piece)) => reader.stdout(&piece),
                Ok((false, piece)) => reader.stderr(&piece),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    closed = true;
                    break;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the answer did not come in time: {reader:?}"),
            }
        }
        let answer = reader.finish(self.started.elapsed(), closed);
        self._hold = None;
        wait(&mut self.child);
        answer
    }

    /// All of both streams, for tests that look at bytes.
    pub fn bytes(mut self) -> (Vec<u8>, Vec<u8>) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        self._hold = None;
        while let Ok((is_out, piece)) = self.pieces.recv_timeout(DEADLINE) {
            if is_out { out.extend(piece) } else { err.extend(piece) }
        }
        wait(&mut self.child);
        (out, err)
    }
}

pub fn command(argv: &[&str]) -> Command {
    Command {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        stdin: Vec::new(),
        as_root: false,
        timeout: Duration::from_secs(30),
        runs: Condition::Ok,
        accepted: Vec::new(),
    }
}

pub fn sh(text: &str) -> Command {
    command(&["sh", "-c", text])
}

/// The pieces that tests add to a command.
pub trait With: Sized {
    fn stdin(self, chunks: &[Chunk]) -> Self;
    fn runs(self, condition: Condition) -> Self;
    fn accepted(self, statuses: &[u8]) -> Self;
    fn timeout(self, time: Duration) -> Self;
    fn by_root(self) -> Self;
    fn env(self, name: &str, value: &str) -> Self;
}

impl With for Command {
    fn stdin(mut self, chunks: &[Chunk]) -> Self {
        self.stdin = chunks.to_vec();
        self
    }
    fn runs(mut self, condition: Condition) -> Self {
        self.runs = condition;
        self
    }
    fn accepted(mut self, statuses: &[u8]) -> Self {
        self.accepted = statuses.to_vec();
        self
    }
    fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }
    fn by_root(mut self) -> Self {
        self.as_root = true;
        self
    }
    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }
}

pub fn bytes(text: &[u8]) -> Chunk {
    Chunk::Bytes(text.to_vec())
}

pub fn secret(slot: &str) -> Chunk {
    Chunk::Secret(slot.to_owned())
}

/// What it wrote to standard output, which was not cut.
pub fn out(output: &Output) -> String {
    assert!(!output.stdout.cut);
    String::from_utf8_lossy(&output.stdout.head).into_owned()
}
