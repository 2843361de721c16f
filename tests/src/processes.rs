//! Ends a process with everything below it, by id.
//!
//! A test that starts a server must leave nothing behind, also when it panics. Killing the server alone is not enough:
//! its children are then init's and nobody knows them. Not for: processes that this crate did not start.

use std::collections::BTreeSet;

use rustix::process::{Pid, Signal, kill_process};

/// Ends `root` and all its descendants. Nobody escapes by forking while this looks: everything is stopped first, from
/// the top down, until no new descendant is found.
///
/// The caller reaps `root` when it is its child.
pub fn end_tree(root: u32) {
    let mut stopped = BTreeSet::new();
    loop {
        let found: Vec<u32> =
            descendants(root).into_iter().chain([root]).filter(|pid| !stopped.contains(pid)).collect();
        if found.is_empty() {
            break;
        }
        for pid in found {
            signal(pid, Signal::STOP);
            stopped.insert(pid);
        }
    }
    for pid in stopped {
        signal(pid, Signal::KILL);
    }
}

/// Ends every process whose environment holds `name=value`: those that left the tree on purpose, such as a daemon that
/// a command started.
pub fn end_marked(name: &str, value: &str) {
    let marker = format!("{name}={value}").into_bytes();
    for pid in all() {
        let Ok(environ) = std::fs::read(format!("/proc/{pid}/environ")) else { continue };
        if environ.split(|byte| *byte == 0).any(|entry| entry == marker) {
            end_tree(pid);
        }
    }
}

/// Ends one process, and nothing below it.
pub fn end(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Whether a process has this name, as the system keeps it.
#[must_use]
pub fn is_called(pid: u32, name: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
}

/// Everything that lives in the mount namespace of `pid`, where that is another than our own; no zombies.
#[must_use]
pub fn in_mounts_of(pid: u32) -> Vec<u32> {
    let mounts = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let Some(theirs) = mounts(&pid.to_string()).filter(|theirs| Some(theirs) != mounts("self").as_ref()) else {
        return Vec::new();
    };
    all().filter(|pid| mounts(&pid.to_string()).as_ref() == Some(&theirs) && parent(*pid).is_some()).collect()
}

/// Everything below `root`, in no particular order.
#[must_use]
pub fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = all().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&above) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

fn all() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The parent of a process that is there and no zombie.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, a parenthesis too.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.next()?.parse().ok()
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    #[test]
    fn a_tree_is_ended_whole_and_one_that_left_it_is_found_by_its_marker() {
        let value = format!("{}-tree", std::process::id());
        let mut root = Command::new("sh")
            .args(["-c", "sh -c 'sleep 300; :' & (setsid sleep 300 &) ; wait"])
            .env("LAB_TEST_TREE", &value)
            .stdout(Stdio::null())
            .spawn()
            .expect("sh");
        let marked = || {
            all()
                .filter(|pid| {
                    let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                    String::from_utf8_lossy(&environ).contains(&format!("LAB_TEST_TREE={value}"))
                })
                .count()
        };
        wait_for(|| marked() == 4 && descendants(root.id()).len() == 2);
        end_tree(root.id());
        root.wait().expect("a child");
        wait_for(|| marked() == 1);
        end_marked("LAB_TEST_TREE", &value);
        wait_for(|| marked() == 0);
    }

    fn wait_for(condition: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < end, "the condition did not come to hold");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
