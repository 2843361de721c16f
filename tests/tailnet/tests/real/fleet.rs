//! Thirty hosts at once, from nothing.
//!
//! With `LAB_MEASURE=1` each test also runs the official install script alone on thirty hosts at once, by `ssh`, and prints
//! both wall times (`docs/benchmarks.md`). That is a measurement and asserts nothing: a loaded machine is not a defect.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tailnet_lab::{Control, Project, Road, Spec};

use crate::{Case, NEWEST, Test, test};

pub(crate) const TESTS: &[Test] = &[
    test!(thirty_hosts_at_once_from_nothing, "C3 C4", NEWEST),
    test!(thirty_hosts_at_once_from_nothing_over_a_bad_road, "C3 C4", NEWEST),
];

const HOSTS: usize = 30;

fn thirty_hosts_at_once_from_nothing(case: &Case) -> Result<()> {
    thirty(case, "fleet-test.ts.net", None)
}

fn thirty_hosts_at_once_from_nothing_over_a_bad_road(case: &Case) -> Result<()> {
    // 80 ms there and back.
    thirty(case, "far-test.ts.net", Some(Road { delay_ms: 40.0, loss: 2.0, ..Road::default() }))
}

fn thirty(case: &Case, domain: &str, road: Option<Road>) -> Result<()> {
    let control = case.control(domain)?;
    let spec = Spec { road, ..case.spec(false) };
    if std::env::var_os("LAB_MEASURE").is_some() {
        let project = fleet(case, &control, &spec)?;
        println!("{domain}: the install script alone on {HOSTS} hosts at once: {:.1?}", scripts(&project)?);
    }
    let project = fleet(case, &control, &spec)?;
    let begin = Instant::now();
    let ran = project.cli(["up", "--timeout", "15m"]).run()?;
    let took = begin.elapsed();
    ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
    println!("{domain}: up on {HOSTS} hosts at once, from nothing to joined: {took:.1?}");
    let mut names: Vec<String> = control.nodes()?.into_iter().map(|node| node.host).collect();
    names.sort();
    let mut wanted: Vec<String> = project.hosts().map(|host| host.name().to_owned()).collect();
    wanted.sort();
    ensure!(names == wanted, "{names:?}");
    let keyed = control.registers()?.iter().filter(|one| one.keyed).count();
    ensure!(keyed == HOSTS, "a key was sent {keyed} times");
    let again = project.run("up")?;
    ensure!(again.code == Some(0) && again.stderr.contains("nothing was changed"), "{}{}", again.stdout, again.stderr);
    Ok(())
}

/// A project with so many new hosts.
fn fleet(case: &Case, control: &Control, spec: &Spec) -> Result<Project> {
    let mut project = case.project(control)?;
    let names: Vec<String> = (1..=HOSTS).map(|n| format!("fleet-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for some in names.chunks(6) {
        for host in case.lab()?.hosts(some, spec)? {
            project.add(host)?;
        }
    }
    Ok(project)
}

/// Runs the install script on every host at once.
fn scripts(project: &Project) -> Result<Duration> {
    let begin = Instant::now();
    let line = "curl -fsSL https://tailscale.com/install.sh | sh";
    let running: Vec<Child> = project
        .hosts()
        .map(|host| {
            let mut command = project.command();
            command.args(["ssh", "-o", "BatchMode=yes", "-F", "ssh_config", host.name(), line]);
            Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
        })
        .collect::<Result<_>>()?;
    for mut one in running {
        let status = one.wait()?;
        ensure!(status.success(), "the script: {status}");
    }
    Ok(begin.elapsed())
}
