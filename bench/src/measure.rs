//! One run of a command: how long it took, what it took of the processor, how much memory its processes had.
//!
//! Not for: who is run.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lab::processes;
use serde::{Deserialize, Serialize};

/// What one run cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// From just before the process is started until it is reaped, in seconds.
    pub wall: f64,
    /// User and system time of it and of all its children that it reaped, in seconds.
    pub cpu: f64,
    /// The most memory that one process of it had, in KiB.
    pub peak: u64,
}

/// Runs it to its end, with its output in files of `dir`; anything but exit 0 is an error that holds them.
///
/// # Errors
/// When it does not start, or fails.
pub fn run(command: &mut Command, dir: &Path) -> Result<Cost> {
    let begun = Instant::now();
    let child = start(command, dir)?;
    let (status, usage) = reap(child)?;
    let wall = begun.elapsed().as_secs_f64();
    check(command, status, dir)?;
    Ok(Cost { wall, cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime), peak: usage.ru_maxrss.unsigned_abs() })
}

/// Runs it to its end, and gives the most memory that all its processes had together, in KiB: what they share is counted
/// once (`Pss`). Looking costs time, so this is never a run that is timed.
///
/// # Errors
/// As [`run`].
pub fn memory(command: &mut Command, dir: &Path) -> Result<u64> {
    let mut child = start(command, dir)?;
    let root = child.id();
    let mut most = 0;
    let status = loop {
        // A child that is only about to become another program has no memory of its own yet.
        let children = processes::descendants(root).into_iter().filter(|pid| !share_memory(*pid, root));
        most = most.max(children.chain([root]).filter_map(proportional).sum());
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    check(command, status, dir)?;
    Ok(most)
}

/// What it printed last.
///
/// # Errors
/// When it cannot be read.
pub fn said(dir: &Path) -> Result<(String, String)> {
    let text = |name: &str| -> Result<String> {
        let bytes = std::fs::read(dir.join(name)).with_context(|| name.to_owned())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok((text("stdout")?, text("stderr")?))
}

fn start(command: &mut Command, dir: &Path) -> Result<Child> {
    let (out, err) = (File::create(dir.join("stdout"))?, File::create(dir.join("stderr"))?);
    let program = command.get_program().to_owned();
    command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().with_context(|| program.display().to_string())
}

fn check(command: &Command, status: ExitStatus, dir: &Path) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let (out, err) = said(dir)?;
    bail!("{}: {status}\n{}\n{}", command.get_program().display(), boundary::text::last_lines(&out, 30), err)
}

/// Waits for a child, and for what it and its own children took.
fn reap(child: Child) -> Result<(ExitStatus, libc::rusage)> {
    let pid = libc::pid_t::try_from(child.id())?;
    let mut status = 0;
    // SAFETY: `rusage` is numbers only, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to values that live here; the child is ours and nobody else waits for it, since
        // `child` is owned.
        let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if reaped == pid {
            return Ok((ExitStatus::from_raw(status), usage));
        }
        let error = std::io::Error::last_os_error();
        ensure!(error.kind() == std::io::ErrorKind::Interrupted, "wait4: {error}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "a run takes no years")]
fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

/// Whether two processes have one memory, as after `vfork`.
fn share_memory(one: u32, other: u32) -> bool {
    /// `KCMP_VM`
    const MEMORY: libc::c_int = 1;
    // SAFETY: it takes five numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, MEMORY, 0, 0) == 0 }
}

/// The process's share of memory, in KiB: what it or others map many times is counted once.
#[must_use]
pub fn proportional(pid: u32) -> Option<u64> {
    number(&std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

/// The most memory that a process had, in KiB.
#[must_use]
pub fn high_water(pid: u32) -> Option<u64> {
    number(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmHWM:")
}

/// A process's memory now, by what holds it, in KiB: what is mapped many times, by it or by others, is counted once.
///
/// A thread's stack is told by its size, which is `stack`, and what `malloc` keeps for threads by its address.
#[must_use]
pub fn held_by(pid: u32, stack: usize) -> Option<BTreeMap<String, u64>> {
    /// `HEAP_MAX_SIZE` of glibc: each heap that is not the main one begins at a multiple of it.
    const HEAP: usize = 64 << 20;
    let mut held: BTreeMap<String, u64> = BTreeMap::new();
    let mut kind = "other";
    for line in std::fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?.lines() {
        if let Some(kib) = number(line, "Pss:") {
            *held.entry(kind.to_owned()).or_default() += kib;
            continue;
        }
        // A line in capitals tells of the mapping above it.
        let Some((start, end)) = line.split_whitespace().next().and_then(|word| word.split_once('-')) else { continue };
        let at = |hex| usize::from_str_radix(hex, 16).ok();
        let (Some(start), Some(end)) = (at(start), at(end)) else { continue };
        kind = match line.split_whitespace().nth(5) {
            Some("[heap]") => "heap",
            Some(file) if file.starts_with("/memfd:") => "other",
            Some(file) if file.starts_with('/') => "programs and libraries",
            Some(_) => "other",
            None if start.is_multiple_of(HEAP) => "heap",
            None if end - start == stack => "stacks of threads",
            None => "other",
        };
    }
    Some(held)
}

/// Memory that is this process's own now, in KiB.
#[must_use]
pub fn own() -> Option<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    Some(number(&rollup, "Private_Clean:")? + number(&rollup, "Private_Dirty:")?)
}

/// The number behind a word at the start of a line.
#[must_use]
pub fn number(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_charged_with_what_its_children_took_and_a_failure_shows_its_words() {
        let dir = tempfile::tempdir().expect("a directory");
        let busy = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done";
        let alone = run(Command::new("sh").args(["-c", busy]), dir.path()).expect("it runs");
        let by_a_child = run(Command::new("sh").args(["-c", &format!("sh -c '{busy}'; :")]), dir.path()).expect("runs");
        assert!(alone.cpu > 0.0 && by_a_child.cpu > alone.cpu / 4.0, "{alone:?} {by_a_child:?}");
        let error = run(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), dir.path()).expect_err("it fails");
        assert!(error.to_string().contains("why") && error.to_string().contains('3'), "{error}");
    }

    #[test]
    fn memory_is_that_of_all_processes_together() {
        let dir = tempfile::tempdir().expect("a directory");
        // `tail` keeps a line that does not end until it has come whole, and gives it back bit by bit: after the first
        // byte it has all of it, and keeps it until both have.
        let tail = "head -c 41943040 /dev/zero | tail -n 1 | { head -c 1 >/dev/null; echo full >>full; \
                    until [ $(wc -l <full) = 2 ]; do sleep 0.01; done; sleep 0.3; cat >/dev/null; }";
        let mut hungry = Command::new("sh");
        hungry.args(["-c", &format!("{tail} & {tail}; wait")]).current_dir(dir.path());
        let most = memory(&mut hungry, dir.path()).expect("it runs");
        assert!(most > 80 << 10, "{most} KiB");
    }
}
