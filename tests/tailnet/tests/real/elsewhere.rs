//! What only the control server can tell: the same tailnet's name on another server, and a member that has not heard from its
//! server since it was started.

use anyhow::{Context, Result, ensure};

use crate::case::EVERY_CLIENT;
use crate::told::{Told, identity, until_online, up};
use crate::{Case, Test, test};

pub(crate) const TESTS: &[Test] = &[
    test!(the_same_name_on_another_control_server_is_another_tailnet, "C6 C7 J1 J2", EVERY_CLIENT),
    test!(a_member_that_was_restarted_without_its_server_is_not_proved_and_not_touched, "J1 J5", EVERY_CLIENT),
];

fn the_same_name_on_another_control_server_is_another_tailnet(case: &Case) -> Result<()> {
    let (ours, theirs) = (case.control("alpha-test.ts.net")?, case.control("alpha-test.ts.net")?);
    let mut project = case.project(&ours)?;
    let host = project.add(case.installed("app-1", &ours)?)?;
    let key = theirs.good_key(&["tag:server"])?;
    host.sh(&format!("tailscale up --login-server={} --auth-key={key} --hostname=app-1", theirs.url()))?;
    let before = identity(host)?;
    let names =
        [format!("alpha-test.ts.net at {}", theirs.url()), format!("expected alpha-test.ts.net at {}", ours.url())];
    for line in ["plan", "up", "up --allow disruptive", "leave app-1"] {
        let told = Told::run(&project, line)?.all("network-mismatch").with_context(|| line.to_owned())?;
        told.changed("nothing")?.says(&[&names[0], &names[1]])?;
    }
    ensure!(identity(&project["app-1"])? == before, "it was touched: {:#}", identity(&project["app-1"])?);
    ensure!(ours.registers()?.is_empty(), "it was registered with us: {:?}", ours.registers()?);
    Ok(())
}

fn a_member_that_was_restarted_without_its_server_is_not_proved_and_not_touched(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("app-1", &control)?)?;
    up(&project, "changed")?;
    control.blackhole(&project["app-1"], true)?;
    project["app-1"].sh("systemctl restart tailscaled")?;
    let registers = control.registers()?.len();
    // It may well be the right tailnet: only nobody can tell.
    for line in ["up --allow disruptive", "leave app-1"] {
        let told = Told::run(&project, line)?.all("network-unproved").with_context(|| line.to_owned())?;
        told.changed("nothing")?.says(&["cannot prove that the host is in tailnet alpha-test.ts.net"])?;
    }
    ensure!(control.registers()?[registers..].iter().all(|one| !one.keyed), "{:?}", control.registers()?);
    control.blackhole(&project["app-1"], false)?;
    // By itself it would try again ever more rarely.
    project["app-1"].sh("systemctl restart tailscaled")?;
    until_online(&project["app-1"])?;
    project.key(None);
    up(&project, "holds").map(drop)
}
