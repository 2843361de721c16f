//! What a lab leaves on the machine, found by the lab's name alone, and how all of it goes.
//!
//! Processes are found by their control group, network namespaces by their prefix, mounts and files by their folder. So
//! whoever knows the name can end a lab, also after the process that made it was killed. Not for: making one
//! ([`mod@crate::lab`]).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::run;

/// Where every lab of this machine has its folder. Not below a home or a temporary folder: whoever sweeps must find what
/// another user's environment has left.
pub(crate) const LABS: &str = "/var/lib/stagecraft-net-lab";
/// What the control groups of all labs are below.
const GROUPS: &str = "stagecraft-net-lab";
const INOTIFY: &str = "/proc/sys/fs/inotify/max_user_instances";
/// Every systemd host takes about six, and root has 128 by default: past 22 hosts process 1 dies with "Failed to allocate
/// manager object".
const INOTIFY_WANTED: u32 = 8192;

/// The labs that there are.
#[must_use]
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(LABS)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// Ends the lab of that name with everything in it. One that is not there is down already.
///
/// # Errors
/// When something of it cannot be ended or removed.
pub fn down(name: &str) -> Result<()> {
    let _alone = alone()?;
    let group = group(name)?;
    let end = Instant::now() + Duration::from_secs(20);
    // Until the group is gone: whatever still wants to add something goes into it first, and then it cannot.
    while group.exists() {
        let processes = processes(&group);
        ensure!(Instant::now() < end, "processes of lab {name} do not end: {processes:?}");
        for id in processes {
            if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                // It may have ended by itself, or with its process 1.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        std::thread::sleep(Duration::from_millis(10));
        remove_group(name);
    }
    let dir = Path::new(LABS).join(name);
    for mount in mounts_below(&dir) {
        run(Command::new("umount").arg(&mount))?;
    }
    for file in namespaces(name) {
        run(Command::new("ip").args(["netns", "delete", &file]))?;
    }
    remove_group(name);
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| dir.display().to_string());
        }
        _ => {}
    }
    if names().is_empty() {
        restore_inotify()?;
        remove_group("");
        fs::remove_dir_all(LABS)?;
    }
    Ok(())
}

/// Ends the labs whose process is there no more: a test run that was killed.
///
/// # Errors
/// As [`down`].
pub fn sweep() -> Result<()> {
    for name in names() {
        let Ok(owner) = fs::read_to_string(Path::new(LABS).join(&name).join("owner")) else { continue };
        let mut words = owner.split(' ');
        let id = words.next().and_then(|id| id.parse().ok()).unwrap_or(0);
        if started(id).as_deref() != words.next() {
            eprintln!("lab: ending {name}, whose process {id} was killed");
            down(&name)?;
        }
    }
    Ok(())
}

pub(crate) fn prefix(name: &str) -> String {
    format!("stagelab.{name}.")
}

/// The time at which a process started, in ticks since boot: with its id, it is that process and no later one.
pub(crate) fn started(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(19).map(str::to_owned)
}

/// The control group of a lab: below the version 2 hierarchy, which is there beside version 1 too.
pub(crate) fn group(name: &str) -> Result<PathBuf> {
    let found = hierarchies().into_iter().find(|(kind, _)| kind == "cgroup2");
    let (_, place) = found.context("there is no cgroup2 file system on this machine")?;
    Ok(place.join(GROUPS).join(name))
}

/// Where control groups are mounted, and of which version.
fn hierarchies() -> Vec<(String, PathBuf)> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.len() > 2 && matches!(fields[2], "cgroup" | "cgroup2"))
        .map(|fields| (fields[2].to_owned(), PathBuf::from(fields[1])))
        .collect()
}

/// Removes what is left of a group, also where systemd-nspawn mirrors it: in the hierarchy of version 1 that systemd names.
pub(crate) fn remove_group(below: &str) {
    for (_, place) in hierarchies() {
        remove_groups(&place.join(GROUPS).join(below));
    }
}

/// The processes of a group and of all below it.
fn processes(group: &Path) -> Vec<u32> {
    let mut found: Vec<u32> = fs::read_to_string(group.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(processes(&entry.path()));
        }
    }
    found
}

/// Removes a group and all below it, from the bottom up. One that is busy stays.
fn remove_groups(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_groups(&entry.path());
        }
    }
    // A process that has just ended is still counted for a moment.
    for _ in 0..20 {
        match fs::remove_dir(group) {
            Err(error) if error.raw_os_error() == Some(16) => std::thread::sleep(Duration::from_millis(10)),
            _ => return,
        }
    }
}

fn namespaces(name: &str) -> Vec<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    files.filter(|file| file.starts_with(&prefix(name))).collect()
}

fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mut found: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from)
        .filter(|place| place.starts_with(dir))
        .collect();
    found.reverse();
    found
}

/// Held while labs are added or removed, by one process at a time.
pub(crate) fn alone() -> Result<File> {
    let file = File::create("/run/stagecraft-net-lab.lock")?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Raises the limit when it is too low, and keeps what it was for the last lab to restore.
pub(crate) fn raise_inotify() -> Result<()> {
    let before: u32 = fs::read_to_string(INOTIFY)?.trim().parse()?;
    if before < INOTIFY_WANTED {
        fs::write(Path::new(LABS).join("inotify"), before.to_string())?;
        fs::write(INOTIFY, INOTIFY_WANTED.to_string())?;
    }
    Ok(())
}

fn restore_inotify() -> Result<()> {
    match fs::read_to_string(Path::new(LABS).join("inotify")) {
        Ok(before) => Ok(fs::write(INOTIFY, before)?),
        Err(_) => Ok(()),
    }
}

/// What is there of a lab, one phrase each. None: it is down, and has left nothing.
#[must_use]
pub fn remains(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let dir = Path::new(LABS).join(name);
    if dir.exists() {
        found.push(format!("files in {}", dir.display()));
    }
    found.extend(mounts_below(&dir).iter().map(|mount| format!("a mount on {}", mount.display())));
    found.extend(namespaces(name).iter().map(|file| format!("network namespace {file}")));
    for (_, place) in hierarchies() {
        let group = place.join(GROUPS).join(name);
        if group.exists() {
            found.push(format!("control group {} with processes {:?}", group.display(), processes(&group)));
        }
    }
    found
}
