//! Killed at every step: a run is cut, the same command is run again, and the goal is reached with nothing left behind.
//!
//! Cut is the program itself (`kill -9`), the connection, the remote command, or the power of the host: all its processes
//! and whatever it keeps in memory. Cut is before each call that a host is given, in the middle of it, when it is done and
//! nobody knows, and at random times. What the cut run still says of itself must be true (law 3).
//!
//! `LAB_SEED` chooses the random part and is printed; `LAB_CUTS` is how many cuts there are at least.

mod check;
mod scene;

use std::collections::BTreeSet;
use std::process::Child;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lab::processes;
use lab::product::Ran;
use lab::seeded::Random;
use lab::site::{Site, Spec};
use lab::stand_in::trap::{At, Moment, Trap};
use tailscale_model::Machine;

use check::{goal_holds, nothing_left, truthful};
use scene::{GOOD, SCENES, Scene};

/// How many cuts there are at least.
const CUTS: usize = 240;
/// How many hosts there are at a time.
const WORKERS: usize = 8;
/// No run and no wait takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The program, by `kill -9`.
    Program,
    /// The connection: what runs on the host goes on.
    Link,
    /// The command on the host, by `kill -9`.
    Command,
    /// The host's power.
    Power,
}

const KINDS: [Kind; 4] = [Kind::Program, Kind::Link, Kind::Command, Kind::Power];

/// When it is cut.
#[derive(Debug, Clone)]
enum When {
    /// At this point of this call.
    At(At),
    /// So long after the run began; the number chooses the process that is killed.
    After(Duration, u64),
}

#[derive(Debug, Clone)]
struct Case {
    scene: &'static Scene,
    kind: Kind,
    when: When,
    /// What was caught is let go only while the next run waits for it.
    late: bool,
}

#[test]
fn a_run_that_is_cut_anywhere_is_finished_by_the_next_one_and_leaves_nothing() {
    let seed = number("LAB_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos()) ^ now.as_secs()
    });
    let wanted = number("LAB_CUTS").map_or(CUTS, |cuts| usize::try_from(cuts).unwrap());
    println!("LAB_SEED={seed} LAB_CUTS={wanted}");
    let begin = Instant::now();
    let site = stage();
    if !site["app-1"].sshd().has_own_mounts() {
        println!("SKIPPED: no mount namespace is to be had here, so what a cut leaves running could not be found");
        return;
    }
    let cases = cases(&site, wanted, &mut Random::new(seed));
    drop(site);
    let (next, failed, reached) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let site = stage();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match cut(&site, case) {
                        Ok(caught) => reached.fetch_add(usize::from(caught), Ordering::SeqCst),
                        Err(why) => {
                            failed.lock().unwrap().push(format!("{}: {case:?}\n{why}", case.scene.name));
                            0
                        }
                    };
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let reached = reached.into_inner();
    println!("{} cuts, {reached} where they were meant to be, in {:.1?}", cases.len(), begin.elapsed());
    assert!(failed.is_empty(), "LAB_SEED={seed}: {} of {}:\n\n{}", failed.len(), cases.len(), failed.join("\n\n"));
    assert!(cases.len() >= wanted && reached * 10 >= cases.len() * 9, "{reached} of {} were reached", cases.len());
}

/// A control machine with one host, whatever that host will be.
fn stage() -> Site {
    let mut site = Site::new(&scene::world()).unwrap();
    site.host("app-1", Spec::of(Machine::bare("app-1"))).unwrap();
    site
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Every boundary of every step, cut in every way; and points between, as many as are missing.
fn cases(site: &Site, wanted: usize, random: &mut Random) -> Vec<Case> {
    let (mut steps, mut others) = (Vec::new(), Vec::new());
    for scene in SCENES {
        let begin = Instant::now();
        let calls = calls(site, scene);
        let took = begin.elapsed();
        let mut seen: Vec<&String> = Vec::new();
        for call in &calls {
            let nth = seen.iter().filter(|other| **other == call).count();
            seen.push(call);
            for moment in moments(call) {
                for kind in KINDS {
                    let when = When::At(At { call: call.clone(), nth, moment: *moment });
                    let case = Case { scene, kind, when, late: random.any().is_multiple_of(2) };
                    if changes(call) { steps.push(case) } else { others.push(case) }
                }
            }
        }
        for kind in KINDS {
            for _ in 0..3 {
                let micros = random.below(u64::try_from(took.as_micros()).unwrap());
                let when = When::After(Duration::from_micros(micros), random.any());
                others.push(Case { scene, kind, when, late: false });
            }
        }
    }
    let mut rest: BTreeSet<usize> = (0..others.len()).collect();
    while steps.len() < wanted && !rest.is_empty() {
        let place = random.below(u64::try_from(rest.len()).unwrap());
        let place = *rest.iter().nth(usize::try_from(place).unwrap()).unwrap();
        rest.remove(&place);
        steps.push(others[place].clone());
    }
    steps
}

/// What a host is called with when nothing happens to the run.
fn calls(site: &Site, scene: &Scene) -> Vec<String> {
    scene.set(site);
    let ran = scene.cli(site).run().unwrap();
    assert_eq!(ran.code, Some(scene.code), "{}: {}{}", scene.name, ran.stdout, ran.stderr);
    site["app-1"].trap().get().unwrap().ran
}

fn changes(call: &str) -> bool {
    let changing =
        ["apt-get ", "dpkg --configure", "systemctl e", "systemctl u", "systemctl r", "tailscale up", "tailscale l"];
    changing.iter().any(|begin| call.starts_with(begin))
}

fn moments(call: &str) -> &'static [Moment] {
    use Moment::{After, Before, Half};
    match call {
        _ if call.starts_with("apt-get ") => &[Before, Half(0), Half(1), Half(2), Half(3), After],
        _ if call.starts_with("dpkg --configure") => &[Before, Half(2), After],
        _ if call.starts_with("systemctl enable") || call.starts_with("tailscale up") => &[Before, Half(0), After],
        _ if call.starts_with("tailscale logout") => &[Before, Half(0), After],
        // It becomes another program, and so is never done itself.
        _ if call.starts_with("sudo") => &[Before],
        _ => &[Before, After],
    }
}

/// Cuts one run and judges what comes of it; whether the cut fell where it was meant to.
fn cut(site: &Site, case: &Case) -> Result<bool, String> {
    let Case { scene, kind, when, late } = case;
    scene.set(site);
    let host = &site["app-1"];
    if let When::At(at) = when {
        host.trap().update(|trap| *trap = Trap::set(Some(at.clone()))).unwrap();
    }
    let mut child = scene.cli(site).start().unwrap();
    let reached = come_to(site, when, &mut child)?;
    match kind {
        Kind::Program => child.kill().unwrap(),
        Kind::Link => host.sshd().cut_links(),
        Kind::Command => match when {
            When::At(_) => host.trap().get().unwrap().caught.into_iter().for_each(processes::end),
            When::After(_, choice) => kill_one_of(site, *choice),
        },
        Kind::Power => host.power_cut().unwrap(),
    }
    let late = *late && matches!(kind, Kind::Program | Kind::Link);
    if !late {
        host.trap().update(|trap| trap.go = true).unwrap();
    }
    let said = ran(child)?;
    let then = Then { calls: host.trap().get().unwrap().ran, machine: host.machine().get().unwrap() };
    let mut again = scene.again(site).start().unwrap();
    if late {
        // The next run has begun: it finds the host held, or is done without it.
        wait("the next run looks at the host", || {
            again.try_wait().unwrap().is_some() || looks(&host.trap().get().unwrap().ran) > looks(&then.calls)
        })?;
        host.trap().update(|trap| trap.go = true).unwrap();
    }
    let again = ran(again)?;
    let context =
        || format!("cut:\n{}{}\nagain ({:?}):\n{}{}", said.stdout, said.stderr, again.code, again.stdout, again.stderr);
    if again.code != Some(0) {
        return Err(format!("the next run failed\n{}", context()));
    }
    let now = host.machine().get().unwrap();
    let verdict = truthful(&said, *kind, scene, &then)
        .and_then(|()| goal_holds(&now, scene.goal))
        .and_then(|()| nothing_left(site));
    verdict.map_err(|why| format!("{why}\n{}\n{then:#?}\nnow: {now:#?}", context()))?;
    Ok(reached)
}

/// How often a host was looked at.
fn looks(calls: &[String]) -> usize {
    calls.iter().filter(|call| call.starts_with("dpkg-query")).count()
}

/// A host when the cut run had ended.
#[derive(Debug)]
struct Then {
    calls: Vec<String>,
    machine: Machine,
}

/// Waits until the run has come to where it is to be cut; `false` if it ended before.
fn come_to(site: &Site, when: &When, child: &mut Child) -> Result<bool, String> {
    match when {
        When::At(_) => {
            let mut ended = false;
            wait("the run comes to where it is to be cut", || {
                ended = child.try_wait().unwrap().is_some();
                ended || site["app-1"].trap().get().unwrap().caught.is_some()
            })?;
            Ok(!ended)
        }
        When::After(time, _) => {
            std::thread::sleep(*time);
            Ok(true)
        }
    }
}

/// Kills one of the programs behind the server, if there is one.
fn kill_one_of(site: &Site, choice: u64) {
    let mut behind = site["app-1"].sshd().behind();
    behind.retain(|pid| !processes::is_called(*pid, "sshd"));
    if !behind.is_empty() {
        let place = usize::try_from(choice).unwrap_or(usize::MAX) % behind.len();
        processes::end(behind[place]);
    }
}

fn ran(mut child: Child) -> Result<Ran, String> {
    let begin = Instant::now();
    let pipes = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |mut pipe: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let (stdout, stderr) = (read(Box::new(pipes.0)), read(Box::new(pipes.1)));
    let mut code = None;
    let ended = wait("a run ends", || {
        let status = child.try_wait().unwrap();
        code = status.and_then(|status| status.code());
        status.is_some()
    });
    if ended.is_err() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    ended.map_err(|why| format!("{why}\n{stdout}{stderr}"))?;
    Ok(Ran { code, stdout, stderr, took: begin.elapsed() })
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > end {
            return Err(format!("{what}: not within {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    Ok(())
}

/// The key that a second run has.
const KEY: &str = GOOD;
