//! Where the key is while a host joins, what is left of it, and what two runs say alike (K1, K2, D1, J9).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::product::Ran;
use serde_json::Value;
use tailnet_lab::{Host, Key, Project, Road, Spec};

use crate::case::EVERY_CLIENT;
use crate::told::{identity, no_trace, until_online, up};
use crate::{Case, Test, test};

pub(crate) const TESTS: &[Test] = &[
    test!(the_key_is_nowhere_on_either_machine_while_a_host_joins_and_after, "J6 K1 K2", EVERY_CLIENT),
    test!(the_same_hosts_give_the_same_plan_byte_for_byte_and_are_as_they_were, "C7 D1", EVERY_CLIENT),
    test!(a_key_that_expired_while_the_member_was_stopped_is_told_and_nothing_waits_on_there, "J9 J10", EVERY_CLIENT),
];

fn the_key_is_nowhere_on_either_machine_while_a_host_joins_and_after(case: &Case) -> Result<()> {
    // No other process in the world has it: all of them are looked at.
    let mark = format!("kMARKx{:08x}{}CNTRL", std::process::id(), case.release.version().replace('.', "x"));
    let good = format!("tskey-auth-{mark}-goodGOODgoodGOOD");
    let control = case.control("alpha-test.ts.net")?;
    control.key(&Key::good(&good).tags(&["tag:server"]).preapproved())?;
    let mut project = case.project(&control)?;
    // Far away, so that a join takes long enough to be looked at.
    let road = Some(Road { delay_ms: 25.0, ..Road::default() });
    project.add(case.host("app-1", &control, &Spec { road, ..case.spec(true) })?)?;

    // Refused, the daemon still has it for a while; nobody has it afterwards, not even in memory.
    project.key(Some(&format!("tskey-auth-{mark}-badBADbadBADbad")));
    let (refused, while_refused) = watched(&project, &mark)?;
    let end = |ran: &Ran| ran.stdout.lines().filter(|line| line.contains("\"done\"")).collect::<String>() + &ran.stderr;
    ensure!(refused.stdout.contains("secret-invalid"), "{}", end(&refused));
    ensure!(while_refused.joins, "the join was not seen, so nothing was shown");
    ensure!(while_refused.leaks.is_empty(), "while it was refused: {:#?}", while_refused.leaks);
    is_out_of_memory(&project["app-1"], &mark)?;
    no_trace(&project["app-1"], &mark)?;

    project.key(Some(&good));
    let (joined, while_joining) = watched(&project, &mark)?;
    ensure!(joined.code == Some(0) && joined.stdout.contains("\"changed\""), "{}", end(&joined));
    ensure!(while_joining.joins && while_joining.operator, "the join was not seen, so nothing was shown");
    ensure!(while_joining.leaks.is_empty(), "while it joined: {:#?}", while_joining.leaks);
    no_trace(&project["app-1"], &mark)?;
    for ran in [refused, joined] {
        ensure!(!ran.stdout.contains(&mark) && !ran.stderr.contains(&mark), "an output holds the key: {}", end(&ran));
    }
    let mut found = BTreeSet::new();
    files_with(project.dir(), &mark, &mut found);
    ensure!(found.is_empty(), "the control machine: {found:#?}");
    Ok(())
}

/// What was seen of a run, from its begin to its end.
#[derive(Default)]
struct Watch {
    /// A `tailscale up` with a key, on the host.
    joins: bool,
    /// The product itself, which has the variable from its operator: so environments can be read.
    operator: bool,
    /// Where the key was that it must not be.
    leaks: BTreeSet<String>,
}

/// `up` with all that it can say and a journal, and meanwhile every process of both machines, and every file that the
/// host writes or has in its memory's file systems.
fn watched(project: &Project, mark: &str) -> Result<(Ran, Watch)> {
    let begin = Instant::now();
    let child = project.cli(["up", "--json", "-vv", "--journal", "journal"]).start()?;
    let id = child.id();
    let waiting = std::thread::spawn(move || child.wait_with_output());
    let mut watch = Watch::default();
    while !waiting.is_finished() {
        watch.look(id, mark);
        // Its disk's own layer has what it wrote, and the rest is in memory.
        let (disk, memory) = (project["app-1"].upper(), project["app-1"].root()?);
        for dir in ["etc", "root", "home", "tmp", "var/lib", "var/tmp", "var/spool"].map(|dir| disk.join(dir)) {
            files_with(&dir, mark, &mut watch.leaks);
        }
        for dir in ["tmp", "dev/shm", "run/tailscale", "run/user", "run/sudo", "run/lock"].map(|dir| memory.join(dir)) {
            files_with(&dir, mark, &mut watch.leaks);
        }
        std::thread::sleep(Duration::from_millis(40));
    }
    let output = waiting.join().map_err(|_| anyhow::anyhow!("the thread that waits"))??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let ran = Ran {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        took: begin.elapsed(),
    };
    Ok((ran, watch))
}

impl Watch {
    /// Looks at the arguments and the environment of every process there is: those of hosts are among them.
    fn look(&mut self, operator: u32, mark: &str) {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for id in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&line).replace('\0', " ");
            self.joins |= words.contains("tailscale up") && words.contains("--auth-key=file:/dev/stdin");
            if holds(&line, mark) {
                self.leaks.insert(format!("arguments of {words}"));
            }
            if holds(&fs::read(format!("/proc/{id}/environ")).unwrap_or_default(), mark) {
                // Whoever started the product has put it there; what the product starts on its own machine inherits it.
                if id == operator || parent(id) == Some(operator) {
                    self.operator = true;
                } else {
                    self.leaks.insert(format!("environment of {words}"));
                }
            }
        }
    }
}

fn parent(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // After the name, which may hold anything: the state, then the parent.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn holds(bytes: &[u8], mark: &str) -> bool {
    memchr::memmem::find(bytes, mark.as_bytes()).is_some()
}

/// Every file below `dir` that holds the mark.
fn files_with(dir: &Path, mark: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_with(&path, mark, found),
            Ok(kind) if kind.is_file() && holds(&fs::read(&path).unwrap_or_default(), mark) => {
                found.insert(path.display().to_string());
            }
            _ => {}
        }
    }
}

/// The daemon's memory does not hold the mark.
fn is_out_of_memory(host: &Host, mark: &str) -> Result<()> {
    let inside = host.sh("systemctl show -P MainPID tailscaled")?;
    let root = host.root()?;
    let proc = root.join("proc").join(inside.trim());
    let memory = File::open(proc.join("mem")).with_context(|| proc.display().to_string())?;
    let maps = fs::read_to_string(proc.join("maps"))?;
    let mut read = 0;
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-')).context("a map without a range")?;
        let (mut at, end) = (u64::from_str_radix(range.0, 16)?, u64::from_str_radix(range.1, 16)?);
        let mut piece = vec![0; 1 << 20];
        while at < end {
            let length = piece.len().min(usize::try_from(end - at)?);
            // What was never touched cannot be read and holds nothing. A mark over two pieces would be missed: it is in
            // more than one place while it is there at all.
            if let Ok(length) = memory.read_at(&mut piece[..length], at) {
                ensure!(!holds(&piece[..length], mark), "the daemon's memory still holds the key, at {at:x}");
                read += length;
            }
            at += length as u64;
        }
    }
    ensure!(read > 1 << 20, "only {read} bytes of the daemon's memory could be read");
    Ok(())
}

fn the_same_hosts_give_the_same_plan_byte_for_byte_and_are_as_they_were(case: &Case) -> Result<()> {
    let (ours, theirs) = (case.control("alpha-test.ts.net")?, case.control("beta-test.ts.net")?);
    let mut project = case.project(&ours)?;
    // Not in the order in which runs end: right, bare, installed, in another tailnet, with a daemon that is down.
    project.add(case.installed("db-2", &ours)?)?;
    up(&project, "changed")?;
    project.add(case.bare("db-1", &ours)?)?;
    project.add(case.installed("app-1", &ours)?)?;
    let foreign = project.add(case.installed("ops-1", &ours)?)?;
    let key = theirs.good_key(&["tag:server"])?;
    foreign.sh(&format!("tailscale up --login-server={} --auth-key={key} --hostname=ops-1", theirs.url()))?;
    project.add(case.installed("app-2", &ours)?)?.sh("systemctl stop tailscaled")?;
    let names = ["app-1", "app-2", "db-1", "db-2", "ops-1"];
    for name in names {
        // From now on its sshd says what it is asked to run.
        project[name].sh("echo LogLevel VERBOSE > /etc/ssh/sshd_config.d/00-verbose.conf && systemctl reload ssh")?;
    }

    // A plan needs no key.
    project.key(None);
    let before = names.map(|name| Untouched::of(&project[name]));
    let plans = [project.run("plan")?, project.run("plan")?, project.run("plan")?];
    let after = names.map(|name| Untouched::of(&project[name]));
    ensure!(plans[0].code == Some(10), "{:?}", plans[0]);
    for again in &plans {
        ensure!(again.stdout == plans[0].stdout, "{}\nis not\n{}", again.stdout, plans[0].stdout);
    }
    let told: Vec<&str> = plans[0].stdout.lines().filter_map(|line| line.split([' ', ':']).next()).collect();
    let order = |name| told.iter().position(|word| *word == name);
    ensure!(order("app-1") < order("app-2") && order("app-2") < order("db-1"), "{}", plans[0].stdout);
    for (name, (before, after)) in names.iter().zip(before.into_iter().zip(after)) {
        let (before, after) = (before?, after?);
        ensure!(before.state == after.state, "{name}: {:#} became {:#}", before.state, after.state);
        let written = changed_since(&project[*name], &before.mark)?;
        ensure!(written.is_empty(), "{name}: a plan wrote {written}");
        let runs = after.runs - before.runs;
        ensure!(runs == plans.len(), "{name}: {runs} commands of sshd for {} plans", plans.len());
    }
    ensure!(ours.registers()?.len() == 1, "{:?}", ours.registers()?);
    Ok(())
}

/// What a look must leave as it is.
struct Untouched {
    state: Value,
    /// How many commands sshd was asked to run.
    runs: usize,
    /// A file that was made now.
    mark: String,
}

impl Untouched {
    fn of(host: &Host) -> Result<Self> {
        let daemon = host.sh("systemctl is-active tailscaled || :")?;
        let state = if daemon == "active\n" { identity(host)? } else { daemon.trim().into() };
        let mark = format!("/var/tmp/before-{:x}", std::process::id());
        host.sh(&format!("journalctl --sync; [ -e {mark} ] || touch {mark}"))?;
        let runs =
            host.sh("journalctl --no-pager -o cat -t sshd | grep -c '^Starting session: command.* for deploy ' || :")?;
        Ok(Self { state, runs: runs.trim().parse()?, mark })
    }
}

/// Files and folders that were written or changed after that file was made, but for logs and what systemd keeps of a log-in.
fn changed_since(host: &Host, mark: &str) -> Result<String> {
    let kept = "-path /var/log -o -path /run/systemd -o -path /run/motd.dynamic -o -path /run/log -o -path /run/user -o -path /run/udev \
                -o -path '/var/lib/tailscale/tailscaled.log*' -o -path /var/lib/systemd";
    let also = "/ $(for at in /run /tmp /dev/shm; do mountpoint -q $at && echo $at; done)";
    host.sh(&format!("find {also} -xdev -mindepth 1 \\( -path /run -o -path /tmp -o -path /dev -o {kept} \\) -prune -o \\( -newer {mark} -o ! -type d -cnewer {mark} \\) -print"))
}

fn a_key_that_expired_while_the_member_was_stopped_is_told_and_nothing_waits_on_there(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("app-1", &control)?)?;
    up(&project, "changed")?;
    project.key(None);

    // Stopped, and its key has expired meanwhile, which only the server knows.
    // The daemon that joined still has the key, and would use it; after a restart it has not.
    project["app-1"].sh("systemctl restart tailscaled")?;
    until_online(&project["app-1"])?;
    project["app-1"].sh("tailscale down")?;
    control.expire("app-1", -60)?;
    let told = up(&project, "other")?.says(&["key has expired while it was stopped"])?;
    ensure!(told.commands().first().map(String::as_str) == Some("tailscale up"), "{:?}", told.commands());
    let left = project["app-1"].sh("pgrep -a -x tailscale || :")?;
    ensure!(left.is_empty(), "it goes on: {left}");

    project.key(Some(&control.good_key(&["tag:server"])?));
    up(&project, "changed")?;
    until_online(&project["app-1"])?;
    up(&project, "holds").map(drop)
}
