//! The demo on the real thing: from bare Debian hosts to a ping by name.
//!
//! It runs the binary that a user gets, says what should come of it, and fails when something else comes.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tailnet_lab::{Host, Lab, Project, Release, Spec};

/// The product's exit code where a host is not what it should be: `edge-1`, all the way.
const A_HOST_DID_NOT_REACH_ITS_GOAL: i32 = 10;
const DOMAIN: &str = "demo-test.ts.net";
const OTHERS: &str = "other-team.ts.net";

/// In the order in which they are told.
const HOSTS: &[(&str, &str)] = &[
    ("app-1", "bare: nothing is installed"),
    ("app-2", "bare, and a road of 40 ms each way"),
    ("db-1", "Debian 13, installed, logged out, with routes accepted by hand"),
    ("edge-1", "in another team's tailnet, on another control server: must be left alone"),
];

/// The demo. `keep` leaves all of it up afterwards.
pub(crate) fn run(keep: bool) -> Result<()> {
    super::can_be_made()?;
    let screen = Screen {
        colours: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::io::stdout().is_terminal(),
    };
    screen.say("Real: Debian, systemd, sshd, sudo, apt, Tailscale's install script, client, daemon and WireGuard; the product.");
    screen.say("Stand-ins: the web (with a repository of packages built here) and the control server (Tailscale's own, for tests).");
    let lab = if keep { Lab::keep(&super::name())? } else { Lab::scratch(&format!("d{}", std::process::id()))? };
    let shown = show(&screen, &lab);
    if keep && shown.is_err() {
        tailnet_lab::traces::down(&super::name())?;
    }
    shown?;
    if keep {
        screen.head("It stays up. To play with it:");
        screen.say(&format!(
            "  cargo xtask lab ssh app-1\n  cargo xtask lab exec {} status\n\nTo end it:\n\n  cargo xtask lab down",
            ::lab::product::binary().display()
        ));
    }
    Ok(())
}

fn show(screen: &Screen, lab: &Lab) -> Result<()> {
    let begin = Instant::now();
    let (control, others) = (lab.control(DOMAIN)?, lab.control(OTHERS)?);
    let mut project = Project::of_lab(lab, &control)?;
    let road = tailnet_lab::Road { delay_ms: 40.0, ..Default::default() };
    let specs = [
        Spec::default(),
        Spec { road: Some(road), ..Spec::default() },
        Spec { os: tailnet_lab::Os::Trixie, ..Spec::installed(Release::NEWEST) },
        Spec::installed(Release::NEWEST),
    ];
    let hosts: Vec<Result<Host>> = std::thread::scope(|scope| {
        let booting: Vec<_> =
            HOSTS.iter().zip(&specs).map(|((name, _), spec)| scope.spawn(|| lab.host(name, spec))).collect();
        booting.into_iter().map(|one| one.join().unwrap_or_else(|_| bail!("a boot panicked"))).collect()
    });
    for host in hosts {
        project.add(host?)?;
    }
    project["db-1"].sh("tailscale set --accept-routes")?;
    let theirs = others.good_key(&["tag:edge"])?;
    project["edge-1"].sh(&format!("tailscale up --login-server={} --auth-key={theirs} --timeout=30s", others.url()))?;
    screen.say(&format!("\n{} hosts, booted in {}:\n", HOSTS.len(), seconds(begin.elapsed())));
    for (name, is) in HOSTS {
        screen.say(&format!("  {name:<8} {is}"));
    }

    screen.head("1. What would change? Nothing is touched by asking.");
    screen.run(&project, &["plan"], A_HOST_DID_NOT_REACH_ITS_GOAL)?;
    ensure!(control.nodes()?.is_empty(), "plan has joined a host");

    screen.head("2. Do it.");
    screen.run(&project, &["up"], A_HOST_DID_NOT_REACH_ITS_GOAL)?;
    screen.say("\n  10 is right: edge-1 belongs to somebody else, and was not touched.");
    ensure!(others.nodes()?.len() == 1 && control.nodes()?.len() == 3, "{:?} {:?}", control.nodes()?, others.nodes()?);

    screen.head("3. Can they reach each other, by name?");
    for (from, to) in [("db-1", "app-1"), ("app-1", "app-2"), ("app-2", "db-1")] {
        let line = format!("ping -c 1 -W 10 {to}.{DOMAIN}");
        let said = project[from].sh(&line)?;
        screen.command(&format!("{from}: {line}"));
        screen.say(said.lines().nth(1).unwrap_or_default());
    }
    let kept = project["db-1"].sh("tailscale debug prefs")?.contains("\"RouteAll\": true");
    ensure!(kept, "db-1 does not accept routes any more");
    screen.say("\n  db-1 still accepts routes, as somebody had set by hand.");

    screen.head("4. Once more. There is no key in the environment now: hosts that are right need none.");
    project.key(None);
    let registers = control.registers()?.len();
    let took = screen.run(&project, &["up"], A_HOST_DID_NOT_REACH_ITS_GOAL)?;
    ensure!(control.registers()?.len() == registers, "the second run has registered a host");
    screen.say(&format!("\n  Nothing changed, in {}.", seconds(took)));
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Where it all goes: standard output, what the product says to people too, so that the order holds in a file as well.
struct Screen {
    colours: bool,
}

impl Screen {
    fn say(&self, line: &str) {
        // A reader that went away (`| head`) is no failure of the demo.
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    fn head(&self, line: &str) {
        self.say(&if self.colours { format!("\n\x1b[1m{line}\x1b[0m\n") } else { format!("\n{line}\n") });
    }

    fn command(&self, line: &str) {
        self.say(&if self.colours { format!("\x1b[2m$\x1b[0m \x1b[36m{line}\x1b[0m") } else { format!("$ {line}") });
    }

    /// Shows the command, runs it, and holds it to its exit code.
    fn run(&self, project: &Project, words: &[&str], wanted: i32) -> Result<Duration> {
        let line = format!("stagecraft-net {}", words.join(" "));
        self.command(&line);
        let (code, took) = project.cli(words).show()?;
        match code {
            Some(code) if code == wanted => {
                self.say(&format!("(exit code {code}, {})", seconds(took)));
                Ok(took)
            }
            None => bail!("`{line}` was ended by a signal"),
            Some(code) => bail!("`{line}` ended with exit code {code}, and {wanted} was expected"),
        }
    }
}
