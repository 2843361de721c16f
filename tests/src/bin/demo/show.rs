//! What the demo does, one command after the other, and what it says between them.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lab::site::{Left, Site};
use tokio::signal::unix::{SignalKind, signal};

use crate::scene::{self, KEY, ROLES};

/// The product's exit code where a host is not what it should be: `edge-1`, all the way.
const A_HOST_DID_NOT_REACH_ITS_GOAL: i32 = 10;

/// Somebody wanted the demo to end before it was over.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted; the hosts are gone")
    }
}

impl std::error::Error for Interrupted {}

/// The demo. `keep` leaves the hosts up afterwards.
pub(crate) fn demo(keep: bool) -> Result<()> {
    let screen = Screen::new()?;
    screen.say("Real: the product, its sandboxed provider, SSH, every script and command line that reaches a host.");
    screen.say("Simulated: tailscale, systemctl, apt-get, curl and sudo on the hosts, and the network that they join.");
    let begin = Instant::now();
    let site = scene::lay()?;
    screen.say(&format!("\n{} hosts on loopback, up in {}:\n", ROLES.len(), seconds(begin.elapsed())));
    for role in ROLES {
        screen.say(&format!("  {:<8} {}", role.name, role.is));
    }

    screen.head("1. What would change? Nothing is touched by asking.");
    let before = scene::states(&site)?;
    screen.run(&site, &["plan", "--allow", "disruptive"], false, A_HOST_DID_NOT_REACH_ITS_GOAL)?;
    ensure!(scene::states(&site)? == before, "plan has changed a host");

    screen.head("2. Do it. Another tag is a new log-in, which must be allowed.");
    screen.run(&site, &["up", "--allow", "disruptive"], true, A_HOST_DID_NOT_REACH_ITS_GOAL)?;
    screen.say("\n  10 is right: edge-1 belongs to somebody else, and was not touched.");
    let after = scene::states(&site)?;
    ensure!(after["edge-1"] == before["edge-1"], "edge-1 was touched");

    screen.head("3. How do they stand?");
    screen.run(&site, &["status"], false, A_HOST_DID_NOT_REACH_ITS_GOAL)?;

    screen.head("4. Once more. There is no key in the environment now: hosts that are right need none.");
    let counts = counts(&site);
    let took = screen.run(&site, &["up", "--allow", "disruptive"], false, A_HOST_DID_NOT_REACH_ITS_GOAL)?;
    ensure!(scene::states(&site)? == after, "the second run has changed a host");
    let (connections, execs) = self::counts(&site);
    screen.say(&format!(
        "\n  Nothing changed, in {}: {} connections and {} commands over SSH for {} hosts.",
        seconds(took),
        connections - counts.0,
        execs - counts.1,
        ROLES.len(),
    ));

    if keep { leave(&screen, site) } else { Ok(()) }
}

/// Ends the hosts that an earlier demo left up.
pub(crate) fn end() -> Result<()> {
    let path = record()?;
    if !end_left()? {
        bail!("no demo was left up ({} is not there)", path.display());
    }
    Screen::new()?.say("The hosts of the demo are gone.");
    Ok(())
}

/// Leaves the hosts up and says what to do with them. Those of an earlier demo go.
fn leave(screen: &Screen, site: Site) -> Result<()> {
    end_left()?;
    screen.head("The hosts stay up. To play with them:");
    for host in site.hosts() {
        screen.say(&format!("  {}", site.ssh_words(host.name()).join(" ")));
    }
    let (binary, file) = (lab::product::binary().display(), site.file().display().to_string());
    screen.say(&format!("\n  export TS_AUTHKEY={KEY} STAGECRAFT_CONFIG={file}\n  {binary} status"));
    screen.say("\nTo end them:\n\n  cargo xtask demo --end");
    let left = site.leave();
    let path = record()?;
    fs::write(&path, serde_json::to_vec(&left)?).with_context(|| path.display().to_string())
}

/// Whether there was something to end.
fn end_left() -> Result<bool> {
    let path = record()?;
    let Ok(text) = fs::read(&path) else { return Ok(false) };
    serde_json::from_slice::<Left>(&text).with_context(|| path.display().to_string())?.end();
    fs::remove_file(&path)?;
    Ok(true)
}

/// Where it is written down what was left up: beside the demo's own binary, where nobody else writes. A test has it
/// elsewhere, so that it does not end the demo of whoever runs it.
fn record() -> Result<PathBuf> {
    match std::env::var_os("LAB_DEMO_RECORD") {
        Some(path) => Ok(path.into()),
        None => Ok(std::env::current_exe()?.with_file_name("demo-left.json")),
    }
}

/// The connections and execs that all servers have logged.
fn counts(site: &Site) -> (usize, usize) {
    site.hosts().iter().fold((0, 0), |(connections, execs), host| {
        (connections + host.sshd().connections(), execs + host.sshd().execs())
    })
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Sets the flag when somebody wants an end. The product gets its Ctrl-C itself, from the same terminal.
fn listen(flag: Arc<AtomicBool>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    for kind in signals {
        let mut stream = {
            let _inside = runtime.enter();
            signal(kind)?
        };
        let flag = Arc::clone(&flag);
        runtime.spawn(async move {
            while stream.recv().await.is_some() {
                flag.store(true, Ordering::SeqCst);
            }
        });
    }
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(())
}

/// Where it all goes: standard output, what the product says to people too, so that the order holds in a file as well.
struct Screen {
    colours: bool,
    /// Set by a signal. It does not end this process, or nobody would end the hosts and remove their files.
    interrupted: Arc<AtomicBool>,
}

impl Screen {
    fn new() -> Result<Self> {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let interrupted = Arc::new(AtomicBool::new(false));
        listen(Arc::clone(&interrupted))?;
        Ok(Self { colours: wanted && std::io::stdout().is_terminal(), interrupted })
    }

    fn say(&self, line: &str) {
        // A reader that went away (`| head`) is no failure of the demo.
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    fn head(&self, line: &str) {
        self.say(&if self.colours { format!("\n\x1b[1m{line}\x1b[0m\n") } else { format!("\n{line}\n") });
    }

    /// Shows the command, runs it, and holds it to its exit code.
    fn run(&self, site: &Site, words: &[&str], with_key: bool, wanted: i32) -> Result<Duration> {
        let line = format!("{}stagecraft-net {}", if with_key { "TS_AUTHKEY=… " } else { "" }, words.join(" "));
        self.say(&if self.colours { format!("\x1b[2m$\x1b[0m \x1b[36m{line}\x1b[0m") } else { format!("$ {line}") });
        let mut cli = site.cli(words);
        if with_key {
            cli = cli.env("TS_AUTHKEY", KEY);
        }
        ensure!(!self.interrupted.load(Ordering::SeqCst), Interrupted);
        let (code, took) = cli.show()?;
        ensure!(!self.interrupted.load(Ordering::SeqCst), Interrupted);
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
