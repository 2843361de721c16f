//! What must be true after a cut: of what the cut run said, of the host, and of what is left on it.

use std::fs::{self, File};
use std::path::Path;

use lab::product::Ran;
use lab::site::Site;
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use tailscale_model::{Active, Machine, Package};

use super::scene::{BAD, GOOD, Goal, Scene, TAILNET};
use super::{Kind, Then, wait};

type Verdict = Result<(), String>;

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(why()) }
}

/// The goal, whole: nothing of the way to it is left half done.
pub(super) fn goal_holds(machine: &Machine, goal: Goal) -> Verdict {
    let Machine { daemon, unit, apt, .. } = machine;
    ensure(!daemon.keeps_trying(), || "a log-in is still being tried".to_owned())?;
    match goal {
        Goal::Left => {
            ensure(daemon.profile.is_none() && !daemon.prefs.want_running, || "it has not left".to_owned())?;
        }
        Goal::Member => {
            let packages = (apt.tailscale, apt.keyring, apt.interrupted);
            ensure(packages == (Package::Installed, Package::Installed, false), || format!("packages: {packages:?}"))?;
            let whole = unit.present && unit.enabled && !unit.masked && unit.active == Active::Running;
            ensure(whole, || format!("the unit is {unit:?}"))?;
            let map = daemon.memory.netmap.as_ref().ok_or("it is no member")?;
            ensure(map.suffix == TAILNET && map.label == "app-1" && map.tags == ["tag:server"], || format!("{map:?}"))?;
            ensure(daemon.prefs.want_running && !daemon.prefs.logged_out, || "it would not stay".to_owned())?;
            ensure(daemon.memory.online && !map.expired, || "it is not online".to_owned())?;
        }
    }
    Ok(())
}

/// What the cut run said is so (law 3), and holds no key.
pub(super) fn truthful(said: &Ran, kind: Kind, scene: &Scene, then: &Then) -> Verdict {
    for key in [GOOD, BAD] {
        ensure(!said.stdout.contains(key) && !said.stderr.contains(key), || "a key was said".to_owned())?;
    }
    if kind == Kind::Program {
        return ensure(said.code.is_none() || said.code == Some(scene.code), || "it was killed".to_owned());
    }
    let events: Vec<Value> = said.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let done = events.iter().find(|event| event["event"] == "done").ok_or("no result was told")?;
    let exit = events.last().filter(|event| event["event"] == "end").ok_or("the end was not told")?;
    ensure(exit["exit"].as_i64() == said.code.map(i64::from), || "another exit code".to_owned())?;
    match done["result"].as_str() {
        Some("failed") => {
            ensure(said.code == Some(10), || format!("failed, and exit {:?}", said.code))?;
            match done["changed"].as_str() {
                Some("nothing") => {
                    ensure(!then.calls.iter().any(|call| super::changes(call)), || "it was changed".to_owned())
                }
                Some("some" | "unknown") => Ok(()),
                other => Err(format!("changed: {other:?}")),
            }
        }
        Some("changed" | "holds") => {
            ensure(said.code == Some(0), || format!("done, and exit {:?}", said.code))?;
            // What held when the power went need not hold any more.
            if kind == Kind::Power { Ok(()) } else { goal_holds(&then.machine, scene.goal) }
        }
        other => Err(format!("result: {other:?}")),
    }
}

/// Nothing of either run is on the host: no process, no file, no key, and the lock is free.
pub(super) fn nothing_left(site: &Site) -> Verdict {
    let host = &site["app-1"];
    wait("every process of both runs ends", || host.sshd().behind().is_empty())
        .map_err(|why| format!("{why}: {:?}", host.sshd().behind()))?;
    let lock = host.run_dir().join("stagecraft-net.lock");
    let left: Vec<_> =
        host.volatile().map_err(|error| error.to_string())?.into_iter().filter(|path| *path != lock).collect();
    ensure(left.is_empty(), || format!("left: {left:?}"))?;
    if let Ok(file) = File::open(&lock) {
        let taken = flock(&file, FlockOperation::NonBlockingLockExclusive);
        ensure(taken.is_ok(), || "the lock is still held".to_owned())?;
    }
    for dir in [host.run_dir(), host.sshd().dir().to_owned()] {
        if let Some(path) = holds_key(&dir) {
            return Err(format!("a key is in {}", path.display()));
        }
    }
    Ok(())
}

/// A file below that holds a key. The world, which the control servers live in, is a link and is not followed.
fn holds_key(dir: &Path) -> Option<std::path::PathBuf> {
    for entry in fs::read_dir(dir).ok()?.flatten() {
        let kind = entry.file_type().ok()?;
        let path = entry.path();
        if kind.is_dir() {
            if let Some(found) = holds_key(&path) {
                return Some(found);
            }
        } else if kind.is_file() {
            let text = fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            if text.contains(GOOD) || text.contains(BAD) {
                return Some(path);
            }
        }
    }
    None
}
