//! A clock that is wrong: what curl and the client say then, and what a person is told.
//!
//! All hosts of a lab have this machine's clock, and the client is a Go program, into which no library that shows another time
//! can be put. So not the clock is wrong here, but the dates of the certificates that one host is shown: to the programs on
//! it that is the same. Not for: what a wrong clock does to apt, which has dates of its own.

use anyhow::{Context, Result, ensure};

use crate::case::EVERY_CLIENT;
use crate::told::{Told, no_trace, until_online, up};
use crate::{Case, Test, test};

pub(crate) const TESTS: &[Test] =
    &[test!(a_clock_that_is_wrong_is_told_as_that_and_mended_the_host_joins, "D1 I4 J6 K1", EVERY_CLIENT)];

fn a_clock_that_is_wrong_is_told_as_that_and_mended_the_host_joins(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    let key = control.good_key(&["tag:server"])?;
    project.key(Some(&key));
    project.add(case.bare("app-1", &control)?)?;

    // The install script does not come.
    for (days, certificate, clock) in [
        (30, "certificate is not yet valid", "the clock of the host is behind"),
        (-30, "certificate has expired", "the clock of the host is ahead"),
    ] {
        project["app-1"].clock_behind(days)?;
        let told = up(&project, "install-failed")?.says(&["install-clock", certificate, clock, "timedatectl"])?;
        has_no_time(&told)?;
    }
    project["app-1"].clock_behind(0)?;

    // The client does not talk to the control server. One way is enough: each join waits for a minute.
    control.clock_behind(&project["app-1"], 30)?;
    let told = up(&project, "control-unreachable")?.changed("some")?;
    let told = told.says(&["is not valid by the host's clock", "the clock of the host is behind", "timedatectl"])?;
    has_no_time(&told)?;
    let found = Told::run(&project, "status")?;
    ensure!(found.fact("state")? == "logged out", "{}", found.fact("state")?);
    no_trace(&project["app-1"], &key)?;
    ensure!(control.nodes()?.is_empty(), "{:?}", control.nodes()?);
    control.clock_behind(&project["app-1"], 0)?;
    up(&project, "changed").context("the clock is mended")?;
    until_online(&project["app-1"])
}

/// D1: Go's words about a certificate hold the time of day, those of a failure do not.
fn has_no_time(told: &Told) -> Result<()> {
    let said = told.diagnostics("app-1")?;
    ensure!(!said.contains("current time") && !said.contains("Z is "), "a time of day: {said}");
    Ok(())
}
