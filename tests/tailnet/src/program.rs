//! Runs the programs that a lab is built with, and says what one said when it failed.
//!
//! Not for: the product, which has [`lab::product`].

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::interrupt;

/// Runs it to its end with nothing on standard input.
///
/// # Errors
/// When it does not start, or fails: with the end of what it wrote.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} did not start"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(20)..].join("\n");
    bail!("`{name} {}` ended with {}:\n{last}", words.join(" "), output.status)
}

/// A command that goes into this control group first, and does nothing where the group is gone. So whoever ends the group
/// ends it too, and it changes nothing afterwards, whatever became of the process that started it.
pub(crate) fn grouped(group: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("sh");
    // The shell becomes the program, so that its id is the program's.
    command.args(["-c", r#"echo $$ >"$0" && exec "$@""#]).arg(group.join("cgroup.procs")).arg(program);
    command
}

/// `ip` with the words of one line, in that control group.
pub(crate) fn ip(group: &Path, line: &str) -> Result<()> {
    let _adding = interrupt::adding();
    run(grouped(group, "ip").args(line.split_whitespace())).map(drop)
}

/// A command that runs in a network namespace, as itself: it is the same process, so it can be ended by its id.
pub(crate) fn in_namespace(namespace: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).arg("--");
    command
}

/// Where a program stands: on PATH, or where an ordinary PATH does not lead.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/go/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into))
        .map(|dir| dir.join(program))
        .find(|file| Path::is_file(file))
}
