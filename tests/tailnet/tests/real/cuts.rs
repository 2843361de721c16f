//! Runs that are cut on the real thing, and two runs at once.
//!
//! Cut is the program, the connection, the command on the host, or the host's power (`kill -9` of its process 1, then a
//! boot), at a step's beginning or some time after it. Then the same command again: the goal is reached, and nothing of
//! either run is left. `LAB_SEED` chooses the cuts and is printed, `LAB_CUT` runs one of them alone. Not for: every point
//! of every step, which the stand-ins are cut at (`tests/whole/cuts`).

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lab::seeded::Random;
use tailnet_lab::{Control, Host, Project};

use crate::told::journal;
use crate::{Case, NEWEST, Test, test};

pub(crate) const TESTS: &[Test] = &[
    test!(a_run_that_is_cut_is_finished_by_the_next_one_and_leaves_nothing, "C4 C6 I4 J6 K1", NEWEST),
    test!(two_runs_at_once_install_and_join_each_host_once, "C3 C4 J5", NEWEST),
];

/// How many runs are cut.
const CUTS: usize = 30;
/// How many hosts there are at a time.
const WORKERS: usize = 3;

/// What is cut.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Program,
    Link,
    Command,
    Power,
}

/// What is being done when it is cut.
#[derive(Debug, Clone, Copy)]
enum Scene {
    /// From nothing to a member.
    Bare,
    /// From an installed client to a member.
    Fresh,
    /// Out of the tailnet.
    Leaving,
}

#[derive(Debug, Clone, Copy)]
struct Cut {
    kind: Kind,
    scene: Scene,
    /// After so many steps have begun, and so many milliseconds more.
    step: u64,
    after: u64,
    choice: u64,
}

fn seed() -> Result<u64> {
    match std::env::var("LAB_SEED") {
        Ok(text) => text.parse().with_context(|| format!("LAB_SEED={text}")),
        Err(_) => Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs()),
    }
}

fn a_run_that_is_cut_is_finished_by_the_next_one_and_leaves_nothing(case: &Case) -> Result<()> {
    let seed = seed()?;
    println!("cuts: LAB_SEED={seed}");
    let mut random = Random::new(seed);
    let cuts: Vec<Cut> = (0..CUTS)
        .map(|n| {
            let kind = [Kind::Program, Kind::Link, Kind::Command, Kind::Power][n % 4];
            let scene = [Scene::Bare, Scene::Fresh, Scene::Bare, Scene::Leaving, Scene::Fresh][n % 5];
            // A bare host is busy with its packages for some seconds, the others for less.
            let (steps, time) = match scene {
                Scene::Bare => (3, 4_000),
                Scene::Fresh => (2, 800),
                Scene::Leaving => (2, 300),
            };
            Cut { kind, scene, step: random.below(steps), after: random.below(time), choice: random.any() }
        })
        .collect();
    let only: Option<usize> = std::env::var("LAB_CUT").ok().map(|text| text.parse()).transpose()?;
    let control = case.control("cuts-test.ts.net")?;
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let n = next.fetch_add(1, Ordering::SeqCst);
                        let Some(cut) = cuts.get(n) else { return Ok(()) };
                        if only.is_some_and(|only| only != n) {
                            continue;
                        }
                        one(case, &control, &format!("cut-{n}"), cut)
                            .with_context(|| format!("LAB_SEED={seed}, cut {n}: {cut:?}"))?;
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker panicked")))
    })
}

fn one(case: &Case, control: &Control, name: &str, cut: &Cut) -> Result<()> {
    let mut project = case.project(control)?;
    let host = match cut.scene {
        Scene::Bare => case.bare(name, control)?,
        Scene::Fresh | Scene::Leaving => case.installed(name, control)?,
    };
    project.add(host)?;
    let leave = format!("leave {name}");
    let line = if matches!(cut.scene, Scene::Leaving) {
        let ran = project.run("up")?;
        ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
        leave.as_str()
    } else {
        "up"
    };
    let host = &project[name];
    let mut child = project.cli(line.split(' ')).args(["--json"]).start()?;
    let heard = listen(&mut child)?;
    let end = Instant::now() + Duration::from_secs(90);
    while heard.steps() < cut.step && child.try_wait()?.is_none() {
        ensure!(Instant::now() < end, "the run did not come to its step {}", cut.step);
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(cut.after));
    match cut.kind {
        Kind::Program => child.kill()?,
        Kind::Link => sessions(host)?.iter().try_for_each(|pid| kill(host, *pid))?,
        Kind::Command => {
            let commands = commands(host)?;
            if let Some(last) = u64::try_from(commands.len())?.checked_sub(1) {
                kill(host, commands[usize::try_from(cut.choice % (last + 1))?])?;
            }
        }
        Kind::Power => {
            host.power_cut()?;
            // Before it is on again, nobody answers: the run that is cut has to see that by itself.
            host.boot()?;
        }
    }
    if matches!(cut.kind, Kind::Power) {
        // A daemon that was a member comes up with the names of its tailnet, and takes its time to resolve others.
        let ask = format!("curl -fsS -m 2 -o /dev/null '{}/key?v=116'", control.url());
        let end = Instant::now() + Duration::from_secs(90);
        while host.sh(&ask).is_err() {
            ensure!(Instant::now() < end, "after the boot the control server is not found");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let status = wait(&mut child)?;
    let said = heard.end()?;
    ensure!(!said.contains("tskey-"), "a key was said: {said}");
    ensure!(matches!(status, None | Some(0 | 10)), "exit {status:?}: {said}");

    let end = Instant::now() + Duration::from_secs(150);
    let mut ran = project.cli(line.split(' ')).run()?;
    // A daemon that was switched off may not find its server for a while after the boot. That is told as what it is, of a
    // member (J1: nothing is changed on a guess) and in the middle of a log-out (C6), and finished by a later run.
    let leaving = matches!(cut.scene, Scene::Leaving);
    let told = |ran: &str| {
        ran.contains("error[network-unproved]") && ran.contains("changed  nothing")
            || leaving && ran.contains("error[control-unreachable]")
    };
    while matches!(cut.kind, Kind::Power) && told(&ran.stderr) && Instant::now() < end {
        ran = project.cli(line.split(' ')).run()?;
    }
    ensure!(
        ran.code == Some(0),
        "the next run: {}{}\nthe cut one: {said}{}",
        ran.stdout,
        ran.stderr,
        journal(&project[name])
    );
    whole(&project, control, name, leaving)
        .with_context(|| format!("the cut run: {said}\nthe next one: {}{}", ran.stdout, ran.stderr))
}

/// The goal holds, and nothing of any run is left.
fn whole(project: &Project, control: &Control, name: &str, left: bool) -> Result<()> {
    let host = &project[name];
    let status = host.tailscale_status()?;
    if left {
        ensure!(status["BackendState"] == "NeedsLogin" && status["HaveNodeKey"].is_null(), "{status:#}");
    } else {
        ensure!(status["BackendState"] == "Running" && status["Self"]["Online"] == true, "{status:#}");
        ensure!(status["Self"]["DNSName"] == format!("{name}.{}.", control.domain()), "{status:#}");
        let nodes = control.nodes()?.into_iter().filter(|node| node.host == name).count();
        ensure!(nodes == 1, "{nodes} nodes of that name");
        let plan = project.run(&format!("plan {name} --detailed-exitcode"))?;
        ensure!(plan.code == Some(0), "{}{}", plan.stdout, plan.stderr);
    }
    let unit = host.sh("systemctl is-enabled tailscaled; systemctl is-active tailscaled")?;
    ensure!(unit == "enabled\nactive\n", "{unit}");
    let packages = host.sh("dpkg --audit; ls /var/lib/dpkg/updates")?;
    ensure!(packages.is_empty(), "dpkg: {packages}");
    // What is ours ends with the session; a moment for it to see that.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let files = host.sh("ls -d /run/stagecraft* /dev/shm/stagecraft* /tmp/stagecraft* 2>/dev/null; :")?;
        let running = commands(host)?;
        let free = host.sh("flock -n /run/stagecraft-net.lock true").is_ok();
        if matches!(files.trim(), "" | "/run/stagecraft-net.lock") && running.is_empty() && free {
            break;
        }
        ensure!(Instant::now() < end, "left: {files} {running:?}, lock free: {free}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let keys = host.sh("grep -rls tskey-auth /run /etc /home /root /tmp /dev/shm /var/lib/tailscale /var/log; \
         journalctl --no-pager | grep tskey-auth; :")?;
    ensure!(keys.is_empty(), "a key is in {keys}");
    Ok(())
}

/// The sessions of `sshd` on a host, by their ids there.
fn sessions(host: &Host) -> Result<Vec<u32>> {
    Ok(processes(host)?.into_iter().filter(|(_, _, line)| line.starts_with("sshd: ")).map(|(pid, ..)| pid).collect())
}

/// What runs below the sessions, or was left by one: the script's shell and everything under it.
fn commands(host: &Host) -> Result<Vec<u32>> {
    let all = processes(host)?;
    let ours = |line: &str| line.contains("/bin/sh -c s=$(head -c ") || line.contains("stagecraft-net run ");
    let mut found: Vec<u32> = all.iter().filter(|(_, _, line)| ours(line)).map(|(pid, ..)| *pid).collect();
    let mut next = 0;
    while let Some(&above) = found.get(next) {
        let below: Vec<u32> = all
            .iter()
            .filter(|(pid, parent, _)| *parent == above && !found.contains(pid))
            .map(|(pid, ..)| *pid)
            .collect();
        found.extend(below);
        next += 1;
    }
    Ok(found)
}

/// Id, parent and words of every process of a host.
fn processes(host: &Host) -> Result<Vec<(u32, u32, String)>> {
    let text = host.sh("ps -eww -o pid=,ppid=,args=")?;
    text.lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            let pid = words.next().context("an id")?.parse()?;
            let parent = words.next().context("a parent")?.parse()?;
            Ok((pid, parent, words.collect::<Vec<_>>().join(" ")))
        })
        .collect()
}

fn kill(host: &Host, pid: u32) -> Result<()> {
    // It may have ended by itself.
    host.inside(["kill", "-9", &pid.to_string()]).map(drop)
}

/// What a run says, as it says it.
struct Heard {
    steps: std::sync::Arc<AtomicUsize>,
    readers: Vec<std::thread::JoinHandle<String>>,
}

impl Heard {
    fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst) as u64
    }

    fn end(self) -> Result<String> {
        let mut said = String::new();
        for reader in self.readers {
            said.push_str(&reader.join().ok().context("a reader panicked")?);
        }
        Ok(said)
    }
}

fn listen(child: &mut Child) -> Result<Heard> {
    let steps = std::sync::Arc::new(AtomicUsize::new(0));
    let pipes: [Box<dyn std::io::Read + Send>; 2] =
        [Box::new(child.stdout.take().context("a pipe")?), Box::new(child.stderr.take().context("a pipe")?)];
    let readers = pipes.map(|pipe| {
        let steps = steps.clone();
        std::thread::spawn(move || {
            let mut said = String::new();
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                steps.fetch_add(usize::from(line.contains("\"event\":\"step\"")), Ordering::SeqCst);
                said.push_str(&line);
                said.push('\n');
            }
            said
        })
    });
    Ok(Heard { steps, readers: readers.into() })
}

/// The exit code; `None` when it was killed.
fn wait(child: &mut Child) -> Result<Option<i32>> {
    let end = Instant::now() + Duration::from_secs(180);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            bail!("the cut run did not end within 180 s");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn two_runs_at_once_install_and_join_each_host_once(case: &Case) -> Result<()> {
    let control = case.control("two-test.ts.net")?;
    let mut project = case.project(&control)?;
    for name in ["two-1", "two-2"] {
        project.add(case.bare(name, &control)?)?;
    }
    let runs: Vec<Child> = (0..2).map(|_| project.cli(["up"]).start()).collect::<Result<_>>()?;
    let mut said = String::new();
    for run in runs {
        let output = run.wait_with_output()?;
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.code() == Some(0), "{:?}: {said}", output.status);
    }
    ensure!(said.contains("another run held") || said.contains("another run holds"), "they did not meet: {said}");
    for name in ["two-1", "two-2"] {
        let registered = control.registers()?.iter().filter(|one| one.host == name && one.keyed).count();
        ensure!(registered == 1, "{name} was sent a key {registered} times: {said}");
        whole(&project, &control, name, false)?;
        let runs = project[name].sh("grep -c '^Commandline: apt-get install' /var/log/apt/history.log")?;
        ensure!(runs.trim() == "1", "{name}: apt-get install ran {runs} times");
    }
    Ok(())
}
