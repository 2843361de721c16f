//! The program that stands in for `tailscale`, `systemctl`, `apt-get`, `curl` and `sudo` on a throw-away host.
//!
//! One program under many names, as busybox is. Under each of them it hands its words to the one model of a machine,
//! prints what the model answers, and takes the time that the real thing takes. What the model says changes stays
//! changed: the machine stands in a file of the host, the world (control servers, keys) in one that all hosts share.
//! Not for: knowing how anything behaves. The model knows that, so that a test without SSH sees the same.

mod sudo;
pub mod trap;

pub use sudo::{ATTEMPTS, OWN_PASSWORD, PASSWORD};

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tailscale_model::{Call, Machine, Reply, Sudo, World};

use crate::shared::Shared;
use trap::{Caught, Moment};

/// The host's own files, seen from inside its room.
const HOST: &str = "/run/lab";
/// Where the names stand under which the stand-in is found, seen from inside a room.
const BIN: &str = "/usr/local/sbin";
/// The name of the program itself there; all others are links to it.
pub(crate) const ITSELF: &str = ".stand-in";
/// The names that are never left to the machine's own programs.
pub(crate) const NAMES: &[&str] =
    &["apt-get", "curl", "dpkg", "dpkg-query", "sudo", "systemctl", "tailscale", "tailscaled"];

/// What a host is, apart from what the model knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manner {
    /// How fast time goes by: 1 as in the world, 0 not at all.
    pub(crate) pace: f64,
    /// Whether `sudo` can make a user namespace; else only the stand-ins take for root what it runs.
    pub(crate) namespaces: bool,
}

/// Answers as the program whose name it was called by.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    match act(words) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("stand-in: {error:#}");
            // No program that is played here ends with this one.
            ExitCode::from(70)
        }
    }
}

fn act(mut words: Vec<String>) -> Result<u8> {
    let name = words.first().and_then(|word| Path::new(word).file_name()).context("called by no name")?;
    let name = name.to_string_lossy().into_owned();
    let host = Path::new(HOST);
    let manner: Manner = Shared::at(&host.join("manner.json")).get().context("this is no throw-away host")?;
    let machine: Shared<Machine> = Shared::at(&host.join("machine.json"));
    // Only where somebody wants to know.
    if let Ok(mut calls) = std::fs::File::options().append(true).open(host.join("calls")) {
        calls.write_all(format!("{name} {}\n", words.get(1..).unwrap_or_default().join(" ")).as_bytes())?;
    }
    words[0].clone_from(&name);
    let caught = Caught::enter(host, &words)?;
    if caught.moment == Some(Moment::Before) {
        caught.stop()?;
    }
    match name.as_str() {
        "sudo" => return sudo::run(&words[1..], &machine.get()?, &manner),
        "id" => return sudo::id(&words[1..], &machine.get()?),
        _ => {}
    }
    let call = Call {
        stdin: input(&words)?,
        env: std::env::vars().collect(),
        root: sudo::is_root(&machine.get()?),
        now_ms: u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?,
        argv: words,
    };
    let world: Shared<World> = Shared::at(&host.join("world/world.json"));
    if let Some(Moment::Half(way)) = caught.moment {
        let before = machine.get()?;
        world.update(|world| {
            machine.update(|machine| {
                machine.begin(world, &call, way);
                link(Path::new(BIN), machine);
            })
        })??;
        caught.stop()?;
        // It goes on where it was: what it had begun is none of its own troubles.
        machine.update(|machine| machine.apt = before.apt)?;
    }
    let reply = world.update(|world| {
        machine.update(|machine| {
            let reply = machine.exec(world, &call);
            link(Path::new(BIN), machine);
            reply
        })
    })??;
    if caught.moment == Some(Moment::After) {
        caught.stop()?;
    }
    match reply.takes_ms {
        // It ends when it is ended, however fast time goes by.
        Reply::FOREVER => loop {
            std::thread::park();
        },
        ms => std::thread::sleep(Duration::from_millis(ms).mul_f64(manner.pace)),
    }
    // A reader that went away is no concern of the one who answers.
    let _ = std::io::stdout().write_all(reply.stdout.as_bytes());
    let _ = std::io::stderr().write_all(reply.stderr.as_bytes());
    Ok(reply.status)
}

/// Standard input, where the words say that it is read. Whatever else is on it belongs to somebody else: a shell that
/// reads its script from there.
fn input(words: &[String]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if words.iter().any(|word| word.ends_with("/dev/stdin")) {
        std::io::stdin().read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Makes the names in `bin` those of the programs that the machine has: one that is not installed is not found, as on a
/// real machine.
pub(crate) fn link(bin: &Path, machine: &Machine) {
    for name in NAMES {
        let path = bin.join(name);
        let there = match *name {
            "curl" => machine.curl,
            "sudo" => machine.sudo != Sudo::Missing,
            "systemctl" => machine.systemd,
            "tailscale" | "tailscaled" => machine.client.is_some(),
            _ => true,
        };
        // Mostly it is so already, and that is no error.
        if there {
            let _ = symlink(ITSELF, &path);
        } else {
            let _ = std::fs::remove_file(&path);
        }
    }
}
