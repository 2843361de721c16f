//! Running other programs: loudly (their output is the user's) or quietly (their answer is ours).
//!
//! Not for: deciding what to run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a task ended early: one message for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Stop(pub(crate) String);

pub(crate) type Done = Result<(), Stop>;

/// One line about what is being done, apart from the output of the tools.
pub(crate) fn say(line: impl std::fmt::Display) {
    eprintln!("xtask: {line}");
}

/// The cargo that runs us, so that a chosen toolchain stays chosen.
pub(crate) fn cargo() -> Command {
    command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
}

/// A program, run from the top of the workspace.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace());
    // Cargo sets these for us as a program of package xtask; a nested cargo or rustc must not take them for its own.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

/// The top of the workspace.
pub(crate) fn workspace() -> &'static Path {
    // Where we were compiled is where we run: `cargo xtask` compiles and runs in one go.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}

/// Runs it with the user's own terminal; anything but success is the end.
pub(crate) fn run(command: &mut Command) -> Done {
    let line = line(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Stop(format!("`{line}` ended with {status}"))),
        Err(error) => Err(Stop(format!("`{line}` did not start: {error}"))),
    }
}

/// Runs it with nothing on its standard input and nothing of its chatter shown, unless it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Done {
    let line = line(command);
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            eprint!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            Err(Stop(format!("`{line}` ended with {}", output.status)))
        }
        Err(error) => Err(Stop(format!("`{line}` did not start: {error}"))),
    }
}

/// What it answers on standard output, when it succeeds. Its standard error is dropped.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether it succeeds, in silence.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    answer(command).is_some()
}

/// Where a program stands: on PATH, or where Debian keeps the ones for root, which an ordinary user's PATH leaves out.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
