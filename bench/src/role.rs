//! The community's Ansible role for the same job, beside the product, on real hosts: it needs their apt, systemd and daemon.
//!
//! The role is a checkout that whoever measures gives; nothing of it is here. It makes bare hosts right itself, so that it
//! finds its own traces on them afterwards. Then both are run in turn on hosts on which neither has anything to do: a run
//! in which one of them changed something does not count. Not for: the peers on stand-in hosts ([`crate::noop`]).

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tailnet_lab::{Control, Lab, Project, Spec};

use crate::measure::{self, run};
use crate::peers::{Tools, end_connections};
use crate::python;
use crate::results::{Role, Spread};

/// What Ansible's modules and the role need on a host, where it would install it itself from a mirror of Debian.
const PACKAGES: &str = "python3,python3-apt,gnupg-agent,apt-transport-https";
/// How many hosts.
const FLEETS: [usize; 2] = [1, 3];
const TAG: &str = "server";

/// Measures the role in `role` beside the product, so many times for each fleet.
///
/// # Errors
/// When no lab can be made here, or one of the two fails or changes a host that is right.
pub fn measure(tools: &Tools, role: &Path, rounds: usize) -> Result<Vec<Role>> {
    let missing = tailnet_lab::need::missing();
    ensure!(missing.is_empty(), "the role needs real hosts, and this machine has no {}", missing.join(", no "));
    let role = fs::canonicalize(role).with_context(|| role.display().to_string())?;
    ensure!(role.join("tasks/main.yml").is_file(), "{}: no checkout of a role", role.display());

    let lab = Lab::scratch(&format!("r{}", std::process::id()))?;
    let control = lab.control("role-test.ts.net")?;
    let mut project = Project::new(&lab, &control)?;
    let names: Vec<String> = (1..=FLEETS.into_iter().max().unwrap_or(1)).map(|n| format!("app-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for host in lab.hosts(&names, &Spec { packages: PACKAGES, ..Spec::default() })? {
        project.add(host)?;
    }
    write(&project, &control, &role)?;

    let yard = tempfile::Builder::new().prefix("bench-role-").tempdir()?;
    eprintln!("bench: the role makes {} hosts right", names.len());
    let begun = std::time::Instant::now();
    theirs(tools, &project, &names, yard.path())?;
    eprintln!("bench: that took {:.0} s", begun.elapsed().as_secs_f64());
    FLEETS
        .iter()
        .map(|hosts| {
            let names = &names[..*hosts];
            let (mut our, mut their, mut ratio) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()], Vec::new());
            // Once without the clock: it warms caches, and shows that there is nothing to do.
            for round in 0..=rounds {
                let (mine, other) =
                    (ours(tools, &project, names, yard.path())?, theirs(tools, &project, names, yard.path())?);
                ensure!(other.1 == 0, "the role changes {} things on hosts that are right", other.1);
                if round > 0 {
                    eprintln!("bench: the role, N = {hosts}, round {round} of {rounds}");
                    our[0].push(mine.wall);
                    our[1].push(mine.cpu);
                    their[0].push(other.0.wall);
                    their[1].push(other.0.cpu);
                    ratio.push(mine.wall / other.0.wall);
                }
            }
            let of = |values: &[f64]| Spread::of(values).context("no round");
            Ok(Role {
                hosts: *hosts,
                wall: [of(&our[0])?, of(&their[0])?],
                cpu: [of(&our[1])?, of(&their[1])?],
                ratio: of(&ratio)?,
            })
        })
        .collect()
}

/// One run of the product, which must have had nothing to do.
fn ours(tools: &Tools, project: &Project, names: &[&str], dir: &Path) -> Result<measure::Cost> {
    let mut command = project.command();
    command.arg(&tools.product).arg("up").args(names).env("XDG_CACHE_HOME", &tools.cache).env("LC_ALL", "C.UTF-8");
    let cost = run(&mut command, dir)?;
    let (_, err) = measure::said(dir)?;
    ensure!(err.contains("nothing was changed"), "{err}");
    Ok(cost)
}

/// One run of the role, and how many things it says it changed.
fn theirs(tools: &Tools, project: &Project, names: &[&str], dir: &Path) -> Result<(measure::Cost, u32)> {
    let program = tools.python.as_ref().context("no Python tools")?.join("ansible-playbook");
    let mut command: Command = project.command();
    command.arg(program).args(["-i", "inventory.ini", "role.yml", "--limit", &names.join(",")]);
    command
        .env("ANSIBLE_CONFIG", project.dir().join("ansible.cfg"))
        .env("HOME", project.dir())
        .env("LC_ALL", "C.UTF-8");
    // Roles older than ansible-core 2.19 have conditions that are no truth values.
    command.env("ANSIBLE_ALLOW_BROKEN_CONDITIONALS", "1");
    let cost = run(&mut command, dir)?;
    // The next run opens its own connections, as the product does.
    end_connections(project.dir())?;
    let (out, err) = measure::said(dir)?;
    let changed = changed(&out, names.len()).with_context(|| format!("{out}{err}"))?;
    Ok((cost, changed))
}

/// How many things were changed, by the last lines of `ansible-playbook`; `None` where it did not come to its end on so many
/// hosts.
fn changed(out: &str, hosts: usize) -> Option<u32> {
    let (_, recap) = out.rsplit_once("PLAY RECAP")?;
    let of = |word: &str| -> Vec<u32> {
        recap.split(word).skip(1).filter_map(|rest| rest.split_whitespace().next()?.parse().ok()).collect()
    };
    let whole =
        ["unreachable=", "failed="].iter().all(|word| of(word).len() == hosts && of(word).iter().sum::<u32>() == 0);
    let changed = of("changed=");
    (whole && changed.len() == hosts).then(|| changed.iter().sum())
}

/// What Ansible reads: tuned as it is for the playbook on stand-in hosts, with the lab's own way to its hosts.
fn write(project: &Project, control: &Control, role: &Path) -> Result<()> {
    let dir = project.dir();
    let hosts: String = project.hosts().map(|host| format!("{}\n", host.name())).collect();
    fs::write(
        dir.join("inventory.ini"),
        format!("{hosts}\n[all:vars]\nansible_python_interpreter=/usr/bin/python3\n"),
    )?;
    fs::write(dir.join("ansible.cfg"), python::tuned(dir))?;
    // JSON is YAML.
    let play = serde_json::json!([{
        "hosts": "all",
        "roles": [role],
        "vars": {
            "tailscale_authkey": control.good_key(&[&format!("tag:{TAG}")])?,
            "tailscale_tags": [TAG],
            "tailscale_args": format!("--login-server={}", control.url()),
        },
    }]);
    Ok(fs::write(dir.join("role.yml"), play.to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_counted_over_all_hosts_and_one_that_failed_is_no_measurement() {
        let host = |name: &str, changed: u32, failed: u32| {
            format!("{name} : ok=35   changed={changed}    unreachable=0    failed={failed}    skipped=20\n")
        };
        let recap = |hosts: &[String]| format!("ok: [app-1] changed=9\nPLAY RECAP ****\n{}", hosts.concat());
        let two = recap(&[host("app-1", 0, 0), host("app-2", 3, 0)]);
        assert_eq!([changed(&two, 2), changed(&two, 3), changed("no recap", 2)], [Some(3), None, None]);
        assert_eq!(changed(&recap(&[host("app-1", 0, 0), host("app-2", 0, 1)]), 2), None);
    }
}
