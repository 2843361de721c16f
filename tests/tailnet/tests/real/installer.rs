//! Every way in which the official install script fails: its kind, its words, what is on the host before and after, and
//! that the next run goes on from there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lab::product::Ran;
use serde_json::Value;
use tailnet_lab::{Fault, Host, Project, Spec, Then};

use crate::{Case, NEWEST, Test, test};

pub(crate) const TESTS: &[Test] = &[
    test!(a_script_that_does_not_come_is_a_failed_download_and_leaves_nothing, "I4", NEWEST),
    test!(a_package_host_that_fails_is_told_apart_by_what_failed, "I4", NEWEST),
    test!(a_held_lock_of_the_package_manager_is_waited_for, "I4", NEWEST),
    test!(sources_of_the_hosts_own_that_are_broken_are_told_as_its_own, "I4", NEWEST),
    test!(a_full_disk_is_told_and_is_no_obstacle_later, "I4", NEWEST),
    test!(a_dpkg_that_was_killed_is_finished, "I4", NEWEST),
];

/// What the package and its script leave on a host.
#[derive(Debug, Default, PartialEq, Eq)]
struct On {
    /// `tailscale` can be run.
    client: bool,
    /// The signing key: its size.
    keyring: Option<u64>,
    /// Tailscale's package source.
    source: bool,
    /// The status of both packages, as `dpkg-query` abbreviates it.
    packages: String,
    /// `/var/lib/dpkg/updates` says that `dpkg` was interrupted.
    interrupted: bool,
}

fn on(host: &Host) -> Result<On> {
    let text = host.sh("command -v tailscale >/dev/null && echo client; \
         stat -c 'keyring %s' /usr/share/keyrings/tailscale-archive-keyring.gpg 2>/dev/null; \
         [ -e /etc/apt/sources.list.d/tailscale.list ] && echo source; \
         dpkg-query -W -f 'package ${db:Status-Abbrev} ${Package}\\n' 'tailscale*' 2>/dev/null | grep -v 'package un'; \
         ls /var/lib/dpkg/updates | grep -q '^[0-9]' && echo interrupted; \
         ls -d /run/stagecraft-net.[!l]* /dev/shm/stagecraft* /tmp/stagecraft* 2>/dev/null; :")?;
    let mut found = On::default();
    for line in text.lines() {
        match line.split_once(' ') {
            None if line == "client" => found.client = true,
            None if line == "source" => found.source = true,
            None if line == "interrupted" => found.interrupted = true,
            Some(("keyring", size)) => found.keyring = Some(size.parse()?),
            Some(("package", rest)) => {
                found.packages.push_str(&rest.split_whitespace().collect::<Vec<_>>().join(" "));
                found.packages.push(',');
            }
            _ => bail!("left on the host: {line}"),
        }
    }
    Ok(found)
}

/// The one result of a run with `--json`.
fn done(ran: &Ran) -> Result<Value> {
    ran.stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| event["event"] == "done")
        .with_context(|| format!("no result: {}{}", ran.stdout, ran.stderr))
}

/// A fault for one host.
struct Wrong {
    name: &'static str,
    faults: Vec<Fault>,
    /// This name does not resolve.
    unknown: &'static str,
    code: &'static str,
    says: &'static str,
    /// What it leaves.
    leaves: On,
}

fn wrong(name: &'static str, faults: Vec<Fault>, code: &'static str, says: &'static str) -> Wrong {
    Wrong { name, faults, unknown: "", code, says, leaves: On::default() }
}

/// Each fault on a host of its own: the failure, what is left, and the next run without the fault.
fn each(case: &Case, wrongs: Vec<Wrong>) -> Result<()> {
    let control = case.control("install-test.ts.net")?;
    let projects: Vec<Project> = (0..3).map(|_| case.project(&control)).collect::<Result<_>>()?;
    let next = std::sync::Mutex::new(wrongs.into_iter());
    std::thread::scope(|scope| {
        let workers: Vec<_> = projects
            .into_iter()
            .map(|mut project| {
                let (next, control) = (&next, &control);
                scope.spawn(move || -> Result<()> {
                    loop {
                        let Some(wrong) = next.lock().ok().and_then(|mut next| next.next()) else { return Ok(()) };
                        project.add(case.bare(wrong.name, control)?)?;
                        one(&project, &wrong).with_context(|| wrong.name)?;
                        drop(project.take(wrong.name));
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
    })
}

fn one(project: &Project, wrong: &Wrong) -> Result<()> {
    let host = &project[wrong.name];
    ensure!(on(host)? == On::default(), "before: {:?}", on(host)?);
    host.web_faults(&wrong.faults)?;
    if !wrong.unknown.is_empty() {
        host.name_is(wrong.unknown, "nxdomain")?;
    }
    let ran = project.cli(["up", "--json"]).run()?;
    failed(&ran, wrong.code, wrong.says)?;
    let left = on(host)?;
    ensure!(left == wrong.leaves, "it leaves {left:?}, and not {:?}", wrong.leaves);
    host.web_faults(&[])?;
    if !wrong.unknown.is_empty() {
        // Back to what the web says for everybody.
        host.name_is(wrong.unknown, WEB)?;
    }
    right(project, wrong.name)
}

const WEB: &str = "10.77.0.2";

/// The install failed with this code and these words, and exit 10.
fn failed(ran: &Ran, code: &str, says: &str) -> Result<()> {
    let done = done(ran)?;
    ensure!(ran.code == Some(10), "{:?}: {done:#}", ran.code);
    let first = &done["diagnostics"][0];
    ensure!(done["kind"] == "install-failed" && first["code"] == code, "{done:#}");
    let summary = first["summary"].as_str().unwrap_or_default();
    let detail = first["detail"].as_str().unwrap_or_default();
    ensure!(summary.starts_with("installation failed: ") && format!("{summary}\n{detail}").contains(says), "{done:#}");
    for label in ["found: ", "wanted: ", "do: "] {
        ensure!(detail.contains(label), "no `{label}`: {done:#}");
    }
    ensure!(!ran.stdout.contains("tskey-"), "a key was said");
    Ok(())
}

/// A run brings it to its goal, and all is whole.
fn right(project: &Project, name: &str) -> Result<()> {
    let ran = project.cli(["up", name]).run()?;
    ensure!(ran.code == Some(0), "the next run: {}{}", ran.stdout, ran.stderr);
    let found = on(&project[name])?;
    ensure!(
        found.client && found.packages == "ii tailscale,ii tailscale-archive-keyring," && !found.interrupted,
        "{found:?}"
    );
    ensure!(project[name].tailscale_status()?["BackendState"] == "Running", "it does not run");
    Ok(())
}

fn a_script_that_does_not_come_is_a_failed_download_and_leaves_nothing(case: &Case) -> Result<()> {
    let script = |then| vec![Fault::at("^tailscale.com/install.sh$", then)];
    each(
        case,
        vec![
            Wrong { unknown: "tailscale.com", ..wrong("script-dns", vec![], "install-download", "curl: (6)") },
            wrong("script-404", script(Then::Status(404)), "install-download", "curl: (22)"),
            wrong("script-503", script(Then::Status(503)), "install-download", "curl: (22)"),
            wrong("script-close", script(Then::Close), "install-download", "curl: (52)"),
            wrong("script-cut", script(Then::Cut(8000)), "install-download", "curl: (18)"),
        ],
    )
}

fn a_package_host_that_fails_is_told_apart_by_what_failed(case: &Case) -> Result<()> {
    let at = |pattern: &str, then| vec![Fault::at(pattern, then)];
    let source = On { source: true, ..On::default() };
    let size = Some(case_keyring(case)?);
    let whole = || On { keyring: size, source: true, ..On::default() };
    let all = "^pkgs.tailscale.com/";
    each(
        case,
        vec![
            Wrong {
                unknown: "pkgs.tailscale.com",
                ..wrong("pkgs-dns", vec![], "install-network", "Could not resolve host: pkgs.tailscale.com")
            },
            wrong("pkgs-503", at(all, Then::Status(503)), "install-network", "returned error: 503"),
            wrong(
                "supported-404",
                at("installer-supported$", Then::Status(404)),
                "install-not-supported",
                "isn't supported by this script yet",
            ),
            Wrong {
                leaves: On { keyring: Some(0), ..source },
                ..wrong("key-503", at("noarmor.gpg$", Then::Status(503)), "install-key", "returned error: 503")
            },
            Wrong {
                leaves: whole(),
                ..wrong("index-503", at("InRelease$", Then::Status(503)), "install-index", "InRelease")
            },
            Wrong {
                leaves: whole(),
                ..wrong("deb-503", at("/tailscale_.*deb$", Then::Status(503)), "install-package", "Failed to fetch")
            },
            Wrong {
                leaves: whole(),
                ..wrong("deb-cut", at("/tailscale_.*deb$", Then::Cut(1_000_000)), "install-package", "Failed to fetch")
            },
        ],
    )
}

/// How large the signing key is where it came.
fn case_keyring(case: &Case) -> Result<u64> {
    let host = case.lab()?.host("key-size", &case.spec(false))?;
    let text = host.sh("curl -fsS https://pkgs.tailscale.com/stable/debian/bookworm.noarmor.gpg | wc -c")?;
    Ok(text.trim().parse()?)
}

/// Holds a lock of the package manager as one of its programs would, for some seconds.
fn hold(host: &Host, file: &str, seconds: u32) -> Result<std::process::Child> {
    let perl = format!(
        "use Fcntl; open(F, '+>>', '{file}') or die; $l = pack('s s x4 q q i x4', F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; \
         open(M, '>', '/run/held'); close M; sleep {seconds}; unlink '/run/held'"
    );
    let child = host.command_inside()?.args(["perl", "-e", &perl]).spawn()?;
    let end = Instant::now() + Duration::from_secs(20);
    while host.sh("[ -e /run/held ]").is_err() {
        ensure!(Instant::now() < end, "{file} was not taken");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(child)
}

fn a_held_lock_of_the_package_manager_is_waited_for(case: &Case) -> Result<()> {
    let control = case.control("lock-test.ts.net")?;
    let mut project = case.project(&control)?;
    for (name, file) in [("lock-dpkg", "/var/lib/dpkg/lock-frontend"), ("lock-lists", "/var/lib/apt/lists/lock")] {
        project.add(case.bare(name, &control)?)?;
        let mut holder = hold(&project[name], file, 12)?;
        let ran = project.cli(["up", "-v", name]).run()?;
        holder.wait()?;
        ensure!(ran.code == Some(0), "{file}: {}{}", ran.stdout, ran.stderr);
        ensure!(ran.stderr.contains("another process holds the lock of the package manager"), "{}", ran.stderr);
        right(&project, name)?;
    }
    Ok(())
}

fn sources_of_the_hosts_own_that_are_broken_are_told_as_its_own(case: &Case) -> Result<()> {
    let control = case.control("source-test.ts.net")?;
    let mut project = case.project(&control)?;
    let source = "/etc/apt/sources.list.d/other.list";
    // The other release's part of the repository, without its key.
    project.add(case.bare("other-unsigned", &control)?)?;
    let host = &project["other-unsigned"];
    host.sh(&format!("echo 'deb https://pkgs.tailscale.com/stable/debian trixie main' >{source}"))?;
    failed(&project.cli(["up", "--json"]).run()?, "install-repository", "is not signed")?;
    ensure!(!on(host)?.client, "it was installed");
    host.sh(&format!("rm {source}"))?;
    right(&project, "other-unsigned")?;
    drop(project.take("other-unsigned"));

    // A name that does not resolve is only a warning.
    project.add(case.bare("other-unknown", &control)?)?;
    project["other-unknown"].sh(&format!("echo 'deb https://nowhere.example/debian bookworm main' >{source}"))?;
    right(&project, "other-unknown")
}

fn a_full_disk_is_told_and_is_no_obstacle_later(case: &Case) -> Result<()> {
    let control = case.control("disk-test.ts.net")?;
    let mut project = case.project(&control)?;
    for (name, size) in [("disk-30", 30), ("disk-48", 48)] {
        let spec = Spec { disk_mib: Some(size), ..case.spec(false) };
        project.add(case.host(name, &control, &spec)?)?;
        let host = &project[name];
        failed(&project.cli(["up", "--json", name]).run()?, "install-disk", "the disk is full")?;
        let left = on(host)?;
        ensure!(!left.client && left.source, "{left:?}");
        // More room, as an operator would make it.
        let upper = host.upper();
        let disk = upper.parent().context("a disk")?;
        let status = std::process::Command::new("mount").args(["-o", "remount,size=400m"]).arg(disk).status()?;
        ensure!(status.success(), "{} was not made larger", disk.display());
        right(&project, name)?;
    }
    Ok(())
}

fn a_dpkg_that_was_killed_is_finished(case: &Case) -> Result<()> {
    let control = case.control("dpkg-test.ts.net")?;
    let mut project = case.project(&control)?;
    for (name, at, status) in [
        // While the first package is unpacked, and while its script runs.
        (
            "dpkg-unpack",
            "{ [ -e /usr/bin/tailscale.dpkg-new ] || [ -e /usr/sbin/tailscaled.dpkg-new ]; }",
            "iHR tailscale,",
        ),
        ("dpkg-setup", "pgrep -f '[t]ailscale.postinst'", "iF tailscale,"),
    ] {
        project.add(case.bare(name, &control)?)?;
        let host = &project[name];
        // A moment to be caught at: the script of the package is as slow as a loaded machine makes it.
        host.sh("mkdir -p /etc/systemd/system && printf '#!/bin/sh\\nsleep 2\\nexec /usr/bin/deb-systemd-helper \"$@\"\\n' >/usr/local/sbin/deb-systemd-helper; chmod 755 /usr/local/sbin/deb-systemd-helper")?;
        let line = format!(
            "curl -fsSL https://tailscale.com/install.sh >/tmp/i.sh; (DEBIAN_FRONTEND=noninteractive sh /tmp/i.sh >/tmp/i.log 2>&1 &) ; \
             i=0; until {at} >/dev/null 2>&1; do i=$((i+1)); [ $i -gt 6000 ] && exit 1; sleep 0.005; done; \
             for p in /proc/[0-9]*; do [ $p = /proc/$$ ] && continue; case $(tr '\\0' ' ' <$p/cmdline 2>/dev/null) in *dpkg*|*apt-get*|*postinst*) kill -9 ${{p#/proc/}} 2>/dev/null;; esac; done; \
             sleep 0.3; rm -f /usr/local/sbin/deb-systemd-helper /tmp/i.sh /tmp/i.log"
        );
        host.sh(&line)?;
        let left = on(host)?;
        ensure!(left.interrupted && left.packages.contains(status), "{name}: {left:?}");
        // What the script itself makes of it.
        let script = host.inside(["sh", "-c", SCRIPT])?;
        let said = String::from_utf8_lossy(&script.stderr);
        ensure!(script.status.code() == Some(100) && said.contains("dpkg was interrupted"), "{script:?}");
        if let Some(dir) = std::env::var_os("LAB_RECORD") {
            record(&dir, "dpkg-interrupted", &script)?;
        }
        if name == "dpkg-unpack" {
            // Told to finish, dpkg finds nothing to do: only unpacking it once more helps.
            host.sh("cp -a /var/lib/dpkg /root/dpkg.before; dpkg --configure -a")?;
            let half = on(host)?;
            ensure!(half.packages.contains("iHR tailscale,") && !half.interrupted, "{half:?}");
            host.sh("rm -rf /var/lib/dpkg; mv /root/dpkg.before /var/lib/dpkg")?;
        }
        let plan = project.cli(["plan", name]).run()?;
        ensure!(plan.stdout.contains("it was begun and not finished: tailscale ("), "{}", plan.stdout);
        right(&project, name)?;
        let again = project.cli(["up", name]).run()?;
        ensure!(again.stderr.contains("nothing was changed"), "{}", again.stderr);
    }
    Ok(())
}

const SCRIPT: &str = "curl -fsSL https://tailscale.com/install.sh | sh";

/// Writes an output down as the fixtures have it.
fn record(dir: &std::ffi::OsStr, name: &str, output: &std::process::Output) -> Result<()> {
    let text = format!(
        "## stdout\n{}## stderr\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(std::fs::write(std::path::Path::new(dir).join(format!("{name}.txt")), text)?)
}
