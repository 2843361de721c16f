//! A daemon that hangs: it is there and says nothing, as one does that waits for a disk, or that somebody has stopped.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tailnet_lab::Host;

use crate::case::EVERY_CLIENT;
use crate::told::{identity, until_online, up};
use crate::{Case, Test, test};

pub(crate) const TESTS: &[Test] =
    &[test!(a_daemon_that_hangs_is_told_within_a_bound_restarted_and_sent_no_key, "C3 I5 J5 J9", EVERY_CLIENT)];

/// A look at such a daemon takes half a minute, and two are taken for the plan and two for the step; this is generous.
const BOUND: Duration = Duration::from_secs(240);

fn hang(host: &Host) -> Result<()> {
    host.sh("kill -STOP $(systemctl show -P MainPID tailscaled)").map(drop)
}

fn a_daemon_that_hangs_is_told_within_a_bound_restarted_and_sent_no_key(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("app-1", &control)?)?;
    up(&project, "changed")?;
    // A daemon that hangs is ended without its clean-up, and leaves a resolver behind that only it answers for.
    project["app-1"].sh("tailscale set --accept-dns=false")?;
    let (before, registers) = (identity(&project["app-1"])?, control.registers()?.len());

    hang(&project["app-1"])?;
    let begin = Instant::now();
    let told = up(&project, "changed")?;
    ensure!(begin.elapsed() < BOUND, "it took {:.0?}", begin.elapsed());
    ensure!(told.fact("state")?.contains("daemon does not answer"), "{}", told.fact("state")?);
    ensure!(told.written().contains("it runs and does not answer"), "{}", told.written());
    let commands = told.commands();
    ensure!(commands.first().is_some_and(|line| line.contains("restart tailscaled")), "{commands:?}");
    ensure!(!commands.iter().any(|line| line.contains("--auth-key")), "{commands:?}");
    until_online(&project["app-1"])?;
    let after = identity(&project["app-1"])?;
    for name in ["id", "key", "tags", "prefs", "tailnet"] {
        ensure!(after[name] == before[name], "{name}: {} became {}", before[name], after[name]);
    }
    let tried = control.registers()?.split_off(registers);
    ensure!(tried.iter().all(|one| !one.keyed), "a healthy node was sent a key: {tried:?}");
    project.key(None);
    up(&project, "holds").map(drop)
}
