//! Runs the product's own binary, as a user would, and tells how it ended.
//!
//! The binary under test is the one that `cargo build` gives, with nothing added for tests. It is built when a test asks
//! for it first, unless `LAB_BUILT` says that this was done, so no test ever runs yesterday's. Not for: the library.

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// One run of the command line that is being put together.
#[derive(Debug)]
#[must_use = "nothing happens before it is run"]
pub struct Cli {
    command: Command,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Cli {
    /// The product, run in `dir`, which is its home too: no file of the developer's is read, no agent is asked.
    pub fn new(dir: &Path) -> Self {
        Self::with(Command::new(binary()), dir)
    }

    /// As [`Cli::new`], started by another program that becomes it, such as `nsenter`: these are its words, to which the
    /// product's path is added.
    pub fn through(words: impl IntoIterator<Item = impl AsRef<OsStr>>, dir: &Path) -> Self {
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().map_or(OsString::new(), |word| word.as_ref().to_owned()));
        command.args(words).arg(binary());
        Self::with(command, dir)
    }

    /// As [`Cli::new`], with another build of the product.
    pub fn other(binary: &Path, dir: &Path) -> Self {
        Self::with(Command::new(binary), dir)
    }

    fn with(mut command: Command, dir: &Path) -> Self {
        command.env_clear().current_dir(dir).stdin(Stdio::null());
        command.env("HOME", dir).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // Shared by all tests, as it is by all runs of a user: the provider is compiled once.
        command.env("XDG_CACHE_HOME", beside().join("lab-cache"));
        for name in ["RUST_BACKTRACE", "LLVM_PROFILE_FILE", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        Self { command }
    }

    /// Further words.
    pub fn args(mut self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(words);
        self
    }

    /// One more variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(mut self) -> Result<Ran> {
        let begin = Instant::now();
        let output = self.command.output().context("the product did not start")?;
        Ok(Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: begin.elapsed(),
        })
    }

    /// Runs it to its end with both outputs on this process's standard output, so that their order holds, and gives the
    /// exit code, `None` when a signal ended it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn show(mut self) -> Result<(Option<i32>, Duration)> {
        for name in ["TERM", "NO_COLOR", "COLORTERM", "COLUMNS"] {
            if let Some(value) = std::env::var_os(name) {
                self.command.env(name, value);
            }
        }
        self.command.stderr(Stdio::from(std::io::stdout().as_fd().try_clone_to_owned()?));
        let begin = Instant::now();
        let status = self.command.status().context("the product did not start")?;
        Ok((status.code(), begin.elapsed()))
    }

    /// Runs it to its end on a terminal of its own, of so many columns and rows, and gives the exit code and all that was
    /// written there. `meanwhile` is a line for a shell on the same terminal, such as one that changes its size.
    ///
    /// # Errors
    /// When `script` does not start, which every Debian has.
    pub fn on_terminal(self, (columns, rows): (u16, u16), meanwhile: Option<&str>) -> Result<(Option<i32>, String)> {
        let quoted = |word: &OsStr| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
        let words: Vec<String> =
            std::iter::once(self.command.get_program()).chain(self.command.get_args()).map(quoted).collect();
        let meanwhile = meanwhile.map(|line| format!("{{ {line}; }} & ")).unwrap_or_default();
        let line = format!("stty cols {columns} rows {rows}; {meanwhile}exec {}", words.join(" "));
        let mut script = Command::new("timeout");
        script.args(["120", "script", "-qefc", &line, "/dev/null"]).env_clear().stdin(Stdio::null());
        script.env("TERM", "xterm-256color");
        script.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(dir) = self.command.get_current_dir() {
            script.current_dir(dir);
        }
        let output = script.output().context("script did not start")?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// Starts it with both outputs piped, for a test that does something to it meanwhile.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(mut self) -> Result<Child> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("the product did not start")
    }
}

/// The product on a terminal of its own, by `script` of util-linux, run in `dir`, which is its home too. Answers each of
/// the prompts, in order, and gives the exit code and all that was shown.
///
/// # Panics
/// When there is no `script`, or it takes longer than two minutes.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without a terminal has nothing to say")]
pub fn on_terminal(
    dir: &Path,
    words: &[&str],
    env: &[(&str, &str)],
    answers: &[(&str, &str)],
) -> (Option<i32>, String) {
    let line: Vec<String> =
        std::iter::once(binary().display().to_string()).chain(words.iter().map(|&word| word.to_owned())).collect();
    let mut child = Command::new("script")
        .args(["-qefc", &line.join(" "), "/dev/null"])
        .env_clear()
        .current_dir(dir)
        .env("HOME", dir)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SHELL", "/bin/sh")
        .env("TERM", "dumb")
        .env("XDG_CACHE_HOME", beside().join("lab-cache"))
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script: apt-get install bsdutils");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = stdout.read(&mut piece) {
            let _ = send.send(piece[..read].to_vec());
        }
    });
    let end = Instant::now() + Duration::from_secs(120);
    let mut shown = Vec::new();
    let mut rest = answers.iter();
    let mut next = rest.next();
    while let Ok(piece) = receive.recv_timeout(end.saturating_duration_since(Instant::now())) {
        shown.extend(piece);
        if let Some((prompt, answer)) = next
            && String::from_utf8_lossy(&shown).ends_with(prompt)
        {
            stdin.write_all(format!("{answer}\n").as_bytes()).expect("it reads");
            next = rest.next();
        }
    }
    let status = child.wait().expect("it ended");
    (status.code(), String::from_utf8_lossy(&shown).into_owned())
}

/// The product's binary.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build("stagecraft-net", "stagecraft-net"))
}

/// The program that stands in for others on a throw-away host.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn stand_in() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build("lab", "stand-in"))
}

/// Where cargo puts the binaries of the profile that we are ourselves.
fn beside() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let dir = own.parent().unwrap_or(Path::new("."));
    if dir.ends_with("deps") { dir.parent().unwrap_or(dir).to_owned() } else { dir.to_owned() }
}

#[expect(clippy::panic, reason = "a test without the binary under test has nothing to say")]
fn build(package: &str, name: &str) -> PathBuf {
    let path = beside().join(name);
    if std::env::var_os("LAB_BUILT").is_none() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let folder = beside();
        // The folder of the profile `dev` is the one that has another name.
        let profile = folder.file_name().filter(|name| *name != "debug").unwrap_or(OsStr::new("dev"));
        let output = Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--package", package, "--bin", name, "--profile"])
            .arg(profile)
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => {}
            Ok(output) => panic!("{name} does not build:\n{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("cargo did not start: {error}"),
        }
    }
    assert!(path.is_file(), "{} is not there: cargo xtask test", path.display());
    path
}
