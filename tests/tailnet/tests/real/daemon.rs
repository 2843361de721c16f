//! The client and its daemon: stopped, disabled, masked, crashing, half there; too old; and what is never upgraded.

use anyhow::{Context, Result, ensure};
use tailnet_lab::{Os, Release, Spec};

use crate::case::{EVERY_CLIENT, NEWEST, Server};
use crate::told::{Told, identity, until_online, up};
use crate::{Case, Test, test};

const TOO_OLD: &[Case] = &[Case { release: Release::V1_74_1, os: Os::Bookworm, server: Server::Own }];

pub(crate) const TESTS: &[Test] = &[
    test!(a_daemon_that_is_stopped_disabled_or_masked_is_started, "C3 I5 J5", EVERY_CLIENT),
    test!(a_daemon_that_crashes_or_is_not_there_is_told, "C3 I5", EVERY_CLIENT),
    test!(a_release_that_will_do_is_left_as_it_is_and_a_later_one_that_is_wanted_is_told, "I2 I3 I6", EVERY_CLIENT),
    test!(a_release_that_is_too_old_is_refused_with_both_versions, "I3", TOO_OLD),
    test!(a_system_that_is_not_supported_is_named_and_nothing_is_done, "I1", NEWEST),
    test!(a_state_directory_that_takes_nothing_is_a_failure_and_mended_it_is_a_member, "C3 J6", EVERY_CLIENT),
];

fn a_daemon_that_is_stopped_disabled_or_masked_is_started(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("app-1", &control)?)?;
    up(&project, "changed")?;
    // Masked while it runs, it is stopped without its clean-up, and leaves a resolver behind that only it answers for: then
    // it does not find a control server whose name is not Tailscale's own.
    project["app-1"].sh("tailscale set --accept-dns=false")?;
    // What a daemon holds that does not run, nobody knows: the plan asks for the key, and then nobody sends it (J5).
    let registers = control.registers()?.len();
    for (line, what) in [
        ("systemctl disable tailscaled", "daemon off at boot"),
        ("systemctl disable --now tailscaled", "daemon stopped"),
        ("systemctl mask --now tailscaled", "daemon masked"),
    ] {
        project["app-1"].sh(line)?;
        let told = up(&project, "changed").with_context(|| line.to_owned())?;
        until_online(&project["app-1"])?;
        ensure!(told.fact("state")?.contains(what), "{line}: {}", told.fact("state")?);
        let enabled = project["app-1"].sh("systemctl is-enabled tailscaled && systemctl is-active tailscaled")?;
        ensure!(enabled == "enabled\nactive\n", "{line}: {enabled}");
        up(&project, "holds")?;
    }
    let tried = control.registers()?.split_off(registers);
    ensure!(tried.iter().all(|one| !one.keyed), "a healthy node was sent a key: {tried:?}");
    Ok(())
}

fn a_daemon_that_crashes_or_is_not_there_is_told(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("app-1", &control)?)?;
    up(&project, "changed")?;
    // As above: what is killed leaves its resolver behind.
    project["app-1"].sh("tailscale set --accept-dns=false")?;
    // It ends as soon as it is started.
    let dir = "/etc/systemd/system/tailscaled.service.d";
    project["app-1"].sh(&format!(
        "mkdir -p {dir} && printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\nRestart=no\\n' > {dir}/broken.conf && \
         systemctl daemon-reload && systemctl stop tailscaled"
    ))?;
    up(&project, "daemon-down")?.says(&["journalctl -u tailscaled"])?;
    project["app-1"].sh(&format!("rm -r {dir} && systemctl daemon-reload"))?;
    up(&project, "changed").context("it is mended")?;

    // The client is there, and its daemon is not.
    project["app-1"].sh("systemctl stop tailscaled && mv /usr/sbin/tailscaled /usr/sbin/tailscaled.away")?;
    up(&project, "daemon-down")?.changed("some")?;
    project["app-1"].sh("mv /usr/sbin/tailscaled.away /usr/sbin/tailscaled")?;
    up(&project, "changed").with_context(|| {
        let look = "cat /etc/resolv.conf; tailscale debug prefs; tailscale status --json --peers=false; journalctl -u tailscaled -n 60 --no-pager";
        format!("the program is back: {}", project["app-1"].sh(look).unwrap_or_default())
    })?;
    let unit = "/lib/systemd/system/tailscaled.service";
    project["app-1"].sh(&format!("systemctl stop tailscaled && mv {unit} /root/ && systemctl daemon-reload"))?;
    up(&project, "daemon-down")?.changed("nothing")?.says(&["is not known to systemd"])?;
    project["app-1"].sh(&format!("mv /root/tailscaled.service {unit} && systemctl daemon-reload"))?;
    up(&project, "changed").map(drop)
}

fn a_release_that_will_do_is_left_as_it_is_and_a_later_one_that_is_wanted_is_told(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("app-1", &control)?)?;
    // The repository has a newer one from now on, and nobody fetches it.
    project["app-1"].serve(Release::NEWEST)?;
    let (version, asked) = (case.release.version(), project["app-1"].web_requests()?.len());
    let lines = project.provider_lines().to_owned();
    project.provider(&format!("{lines}install:\n  min_version: \"{version}\"\n"))?;
    up(&project, "changed")?;
    let requests = project["app-1"].web_requests()?;
    ensure!(requests[asked..].iter().all(|one| !one.url.contains("pkgs.tailscale.com")), "{requests:?}");
    let before = identity(&project["app-1"])?;
    project.provider(&format!("{lines}install:\n  min_version: \"1.200.0\"\n"))?;
    let told = up(&project, "install-failed")?.changed("nothing")?;
    told.says(&[&format!("Tailscale {version} is older than 1.200.0")])?;
    ensure!(identity(&project["app-1"])? == before);

    // I6: nothing is installed where the config says so, and a join says that it is missing.
    project.add(case.bare("app-2", &control)?)?;
    project.provider(&format!("{lines}install:\n  method: skip\n"))?;
    let told = Told::run(&project, "up app-2")?.all("install-failed")?.changed("nothing")?;
    told.says(&["Tailscale is not installed, and install.method is skip"])?;
    Ok(())
}

fn a_release_that_is_too_old_is_refused_with_both_versions(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("app-1", &control)?)?;
    let before = identity(&project["app-1"])?;
    for line in ["plan", "up"] {
        let told = Told::run(&project, line)?.all("install-failed")?.changed("nothing")?;
        told.says(&["Tailscale 1.74.1 is older than 1.80.0"])?;
    }
    ensure!(identity(&project["app-1"])? == before);
    // It may leave with what it joined with.
    Told::run(&project, "leave app-1")?.all("holds").map(drop)
}

fn a_system_that_is_not_supported_is_named_and_nothing_is_done(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.host("app-1", &control, &Spec::bare(case.release))?)?;
    for (file, found) in [
        ("ID=alpine\\nPRETTY_NAME=\"Alpine Linux v3.22\"", "Alpine Linux v3.22 (ID=alpine)"),
        ("ID=devuan\\nID_LIKE=debian", "(ID=devuan, ID_LIKE=debian)"),
        ("NAME=nothing", "a Linux without an ID in /etc/os-release"),
    ] {
        let host = &project["app-1"];
        host.sh(&format!("rm -f /etc/os-release; printf '{file}\\n' > /etc/os-release"))?;
        let told = up(&project, "unsupported-os")?.changed("nothing")?;
        told.says(&["unsupported operating system (v1 supports Linux Debian/Ubuntu only)", found])?;
        ensure!(host.web_requests()?.is_empty(), "{:?}", host.web_requests()?);
    }
    Ok(())
}

fn a_state_directory_that_takes_nothing_is_a_failure_and_mended_it_is_a_member(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("app-1", &control)?)?;
    for options in ["ro", "rw,size=4k,nr_inodes=3"] {
        project["app-1"].sh(&format!(
            "systemctl stop tailscaled && mount -t tmpfs -o size=64k none /var/lib/tailscale && \
             mount -o remount,{options} /var/lib/tailscale && systemctl start --no-block tailscaled"
        ))?;
        up(&project, "daemon-down").with_context(|| options.to_owned())?;
        project["app-1"]
            .sh("systemctl stop tailscaled && umount /var/lib/tailscale && systemctl reset-failed tailscaled")?;
    }
    up(&project, "changed").map(drop)
}
