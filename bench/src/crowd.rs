//! Many hosts in flight: the product's memory when each of them is connected, logged in and in the middle of its exec.
//!
//! The hosts are names of a few real `sshd`s whose login shell waits at a gate until all are there; then it lets them
//! through and the product goes on to its end. Not for: what the hosts are; some are told to be clones of each other.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lab::site::{Site, Spec};
use stagecraft_net::engine::{HOST_STACK, Limits};
use tailscale_model::{Machine, World};

use crate::ground::{Place, Script, TAG, TAILNET, Yard, place};
use crate::measure::{held_by, high_water, proportional};
use crate::noop::mib;
use crate::peers::{Peer, Tools};
use crate::results::Crowd;

/// Names for each `sshd`.
const EACH: usize = 50;
/// How long all of them may take to come to the gate.
const PATIENCE: Duration = Duration::from_secs(300);

/// Brings so many hosts into flight at the same time.
///
/// # Errors
/// When they do not all get there.
pub fn measure(tools: &Tools, hosts: usize) -> Result<Crowd> {
    let dir = tempfile::Builder::new().prefix("bench-crowd-").tempdir()?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))?;
    let gate = dir.path().join("gate");
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, rustix::fs::Mode::from_raw_mode(0o666))?;
    fs::set_permissions(&gate, fs::Permissions::from_mode(0o666))?;
    let shell = dir.path().join("shell");
    // To open the gate for reading blocks until somebody opens it for writing.
    fs::write(&shell, format!("#!/bin/sh\n: <{}\nexec /bin/sh \"$@\"\n", gate.display()))?;
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755))?;

    let mut site = Site::new(&World::of(TAILNET))?;
    for server in 0..hosts.div_ceil(EACH) {
        let name = format!("server-{server}");
        let mut world = World::of(TAILNET);
        let machine = Machine::joined(&mut world, &name, "1.102.3", TAILNET, &[TAG]);
        let mut spec = Spec { world: Some(world), ..Spec::of(machine) };
        spec.sshd.login_shell = Some(shell.clone());
        spec.sshd.max_startups = Some("100".to_owned());
        site.host(&name, spec)?;
    }
    let servers: Vec<Place> = site.hosts().iter().map(place).collect::<Result<_>>()?;
    let places: Vec<Place> =
        (0..hosts).map(|n| Place { name: format!("app-{n}"), ..servers[n % servers.len()].clone() }).collect();
    let yard = Yard::new(&dir.path().join("yard"), &places, &site.key(), &Script::default())?;

    let tools = Tools { at_a_time: hosts, ..tools.clone() };
    pass(&mut Peer::Product.command(&tools, &yard)?, &site, &gate, hosts, yard.dir())
}

/// Runs it through the gate.
fn pass(command: &mut Command, site: &Site, gate: &Path, hosts: usize, dir: &Path) -> Result<Crowd> {
    let err = dir.join("stderr");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&err)?);
    let mut child = command.spawn()?;
    let begun = Instant::now();
    let there = || site.hosts().iter().map(|host| host.sshd().execs()).sum::<usize>();
    let mut last = 0;
    let came = loop {
        let now = there();
        if now >= hosts {
            break Ok(());
        }
        if let Some(status) = child.try_wait()? {
            break Err(format!("it ended with {status}"));
        }
        if begun.elapsed() > PATIENCE {
            break Err(format!("{now} of {hosts} came in {} s", PATIENCE.as_secs()));
        }
        if now >= last + 100 {
            last = now;
            eprintln!("bench: {now} of {hosts} hosts in flight");
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let (in_flight, mut resident) = (proportional(child.id()), high_water(child.id()));
    let held = held_by(child.id(), Limits::default().stack + HOST_STACK);
    if let Err(why) = came {
        let _ = child.kill();
        child.wait()?;
        bail!("{why}:\n{}", fs::read_to_string(&err).unwrap_or_default());
    }
    ensure!(there() == hosts, "{} execs for {hosts} hosts", there());
    // Open until the end: a shell that was started and has not come to the gate yet must get through too.
    let _open = File::options().write(true).open(gate)?;
    let mut peak = in_flight;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak = peak.max(proportional(child.id()));
        resident = high_water(child.id()).or(resident);
        if begun.elapsed() > 2 * PATIENCE {
            let _ = child.kill();
            child.wait()?;
            bail!("it does not come to its end:\n{}", fs::read_to_string(&err).unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    // Hosts that are clones of each other, or have another's name, may be told as that; a signal or a usage error is not.
    ensure!(matches!(status.code(), Some(0 | 10)), "{status}:\n{}", fs::read_to_string(&err).unwrap_or_default());
    let mib = |kib: Option<u64>| kib.map(mib).context("the memory of the product");
    let held = held.unwrap_or_default().into_iter().map(|(kind, kib)| Ok((kind, mib(Some(kib))?)));
    let held = held.collect::<Result<_>>()?;
    Ok(Crowd { hosts, in_flight: mib(in_flight)?, peak: mib(peak)?, resident: mib(resident)?, held })
}
