//! Where it was measured, and which state of the repository.

use std::process::{Command, Stdio};

use crate::measure::number;
use crate::results::Machine;

/// This machine, now.
#[must_use]
pub fn here() -> Machine {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.trim_start_matches(key).trim_matches([' ', '\t', ':', '=', '"']).to_owned()
    };
    Machine {
        cpu: value(&file("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(1, Into::into),
        memory: number(&file("/proc/meminfo"), "MemTotal:").unwrap_or_default() / 1024,
        kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
        system: value(&file("/etc/os-release"), "PRETTY_NAME"),
        ssh: answer("ssh", &["-V"]),
        rustc: answer("rustc", &["--version"]),
        load: file("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default(),
    }
}

/// The day, as the machine's clock has it.
#[must_use]
pub fn day() -> String {
    answer("date", &["-u", "+%Y-%m-%d"])
}

/// The commit that is checked out, with a `+` when something was changed since.
#[must_use]
pub fn commit() -> String {
    let git = |args: &[&str]| answer("git", &[&["-C", env!("CARGO_MANIFEST_DIR")], args].concat());
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    git(&["rev-parse", "--short=12", "HEAD"]) + if changed.is_empty() { "" } else { "+" }
}

/// The first line that a program says, on whichever stream.
fn answer(program: &str, args: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(args).stdin(Stdio::null()).output() else { return String::new() };
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    text.lines().next().unwrap_or_default().trim().to_owned()
}
