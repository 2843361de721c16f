//! From bare hosts to names that answer, and a second run.

use anyhow::{Result, ensure};

use crate::case::EVERYWHERE;
use crate::{Case, Test, test};

pub(crate) const TESTS: &[Test] =
    &[test!(from_nothing_to_a_ping_by_name_and_a_second_run_changes_nothing, "C3 C4 C5 I4 J1 J7", EVERYWHERE)];

fn from_nothing_to_a_ping_by_name_and_a_second_run_changes_nothing(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    for name in ["app-1", "app-2"] {
        project.add(case.bare(name, &control)?)?;
    }

    let ran = project.run("up")?;
    ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
    eprintln!("lab: two hosts from nothing to joined in {:.1?} ({})", ran.took, case.name());
    ensure!(control.node("app-1")?.tags == ["tag:server"], "{:?}", control.nodes()?);
    let version = project["app-1"].sh("tailscale version")?;
    ensure!(version.lines().next() == Some(case.release.version()), "{version}");

    let fqdn = project.run("fqdn app-1")?.stdout;
    let fqdn = fqdn.trim();
    ensure!(fqdn == "app-1.alpha-test.ts.net", "{fqdn}");
    let found = project["app-2"].sh(&format!("getent ahostsv4 {fqdn}"))?;
    let address = control.node("app-1")?.address.to_string();
    ensure!(found.starts_with(&address), "{found} is not {address}");
    project["app-2"].sh(&format!("ping -c 1 -w 10 {fqdn}"))?;

    let registers = control.registers()?.len();
    project.key(None);
    let again = project.run("up")?;
    ensure!(again.code == Some(0) && again.stderr.contains("nothing was changed"), "{}{}", again.stdout, again.stderr);
    ensure!(control.registers()?.len() == registers, "a second run registered again: {:?}", control.registers()?);
    Ok(())
}
