//! What an act is: the step that a person is shown, its commands, and the check that it worked.
//!
//! Every batch ends with the looks of [`crate::probe`], so a change and the proof of it are one round trip. Joining has a
//! file of its own ([`crate::join`]). Not for: when an act is due ([`crate::decide`]).

use crate::decide::Act;
use crate::failure::{self, install, join::Reason, join::said_by_up};
use crate::observe::{Patience, RESUMED_MS, Seen, settle, until};
use crate::package::{self, Half};
use crate::port::{Actor, Chunk, Command, Ending, Failure, Log, Observer, Output, PauseEnd, Step, Vault};
use crate::probe::{self, Client, Daemon, Facts};
use crate::state::{Down, Gap, Link, Pending, State, Wanted, is_transport};
use crate::{join, text};

/// The slot of the auth key.
pub const AUTH_KEY: &str = "auth-key";
/// Nobody is asked anything while a package is installed.
const QUIET: [(&str, &str); 3] =
    [("APT_LISTCHANGES_FRONTEND", "none"), ("DEBIAN_FRONTEND", "noninteractive"), ("NEEDRESTART_MODE", "a")];
const SERVICE: &str = "tailscaled.service";
/// How often the install script is run again while a lock is held: 5 minutes of pauses.
const LOCK_TRIES: u32 = 60;
const LOCK_PAUSE_MS: u32 = 5_000;

/// Everything that one apply can reach.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// To look.
    pub look: &'a dyn Observer,
    /// To change.
    pub act: &'a dyn Actor,
    /// The secrets.
    pub given: &'a dyn Vault,
    /// The log.
    pub log: &'a dyn Log,
}

impl Act {
    /// The id of its step. An act stands in a plan once at most.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Act::Install => "install",
            Act::StartDaemon => "start-daemon",
            Act::RestartDaemon => "restart-daemon",
            Act::Resume => "resume",
            Act::Join => "join",
            Act::Rejoin => "rejoin",
            Act::Logout => "logout",
        }
    }

    /// What it does, as a person is shown it.
    #[must_use]
    pub fn title(self, wanted: &Wanted<'_>) -> String {
        match self {
            Act::Install => "install Tailscale".to_owned(),
            Act::StartDaemon => "start tailscaled, now and at boot".to_owned(),
            Act::RestartDaemon => "restart tailscaled".to_owned(),
            Act::Resume => "bring Tailscale up".to_owned(),
            Act::Join => format!("join {}", wanted.config.tailnet_domain),
            Act::Rejoin => "re-authenticate for other tags".to_owned(),
            Act::Logout => "log out".to_owned(),
        }
    }
}

impl Act {
    /// What it was, once it is done.
    #[must_use]
    pub fn done(self) -> &'static str {
        match self {
            Act::Install => "Tailscale installed",
            Act::StartDaemon => "tailscaled started, now and at boot",
            Act::RestartDaemon => "tailscaled restarted",
            Act::Resume => "Tailscale brought up",
            Act::Join => "joined",
            Act::Rejoin => "re-authenticated",
            Act::Logout => "logged out",
        }
    }
}

/// The step of an act in a state, as a person is shown it.
#[must_use]
pub fn step(act: Act, state: &State, seen: &Facts, wanted: &Wanted<'_>) -> Step {
    let tags = text::tags(&wanted.tags);
    let name = format!("{}.{}", wanted.host, wanted.config.tailnet_domain);
    let detail = match (act, state) {
        (Act::Install, State::HalfInstalled(half, _)) => {
            format!("it was begun and not finished: {}; dpkg is told to finish it", package::shown(half))
        }
        (Act::Install, _) => "by the official script, https://tailscale.com/install.sh, run by root".to_owned(),
        (Act::StartDaemon, State::NotAtBoot(_)) => "it runs, and would not after a reboot".to_owned(),
        (Act::StartDaemon, State::DaemonDown(Down::Masked, _)) => "it is masked".to_owned(),
        (Act::StartDaemon, State::DaemonDown(Down::Failed, _)) => "it has failed".to_owned(),
        (Act::StartDaemon, _) => "it is stopped".to_owned(),
        (Act::RestartDaemon, State::JoinPending(Pending::Ours(error))) => {
            let error = error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            format!("a join that was begun earlier goes on{error}; only a restart makes the daemon forget it")
        }
        (Act::RestartDaemon, State::Member(Link::RefusedKey(error), _)) => {
            format!("the host is cut off by a key that is refused ({error}); only a restart makes the daemon forget it")
        }
        (Act::RestartDaemon, State::Unproved(_)) => {
            "the daemon tries a key that is refused; only a restart makes it forget that key".to_owned()
        }
        (Act::RestartDaemon, _) => "it runs and does not answer".to_owned(),
        (Act::Resume, _) => "it is stopped; no key is needed".to_owned(),
        (Act::Join, State::Member(..)) => format!("its key has expired; as {name} with tags {tags}"),
        (Act::Join, State::HalfLoggedOut(_)) => {
            format!("a log-out was begun and not finished; as {name} with tags {tags}")
        }
        (Act::Join, State::Unseen) => format!("as {name} with tags {tags}, unless it turns out to be a member already"),
        (Act::Join, _) => format!("as {name} with tags {tags}"),
        (Act::Rejoin, State::Member(_, Gap::Tags(found))) => format!(
            "tags {} → {tags}; the host's connections in the tailnet are cut for some seconds",
            text::tags(found)
        ),
        (Act::Rejoin, _) => format!("tags → {tags}"),
        (Act::Logout, state) => leaving(state, seen, wanted),
    };
    Step {
        id: act.id().to_owned(),
        title: act.title(wanted),
        detail: Some(detail),
        secrets: if matches!(act, Act::Join | Act::Rejoin) { vec![AUTH_KEY.to_owned()] } else { Vec::new() },
        disruptive: act == Act::Rejoin,
    }
}

fn leaving(state: &State, seen: &Facts, wanted: &Wanted<'_>) -> String {
    let from = match state {
        State::Foreign(foreign) => format!("of {}", foreign.name()),
        State::Unseen => format!("of {}, if it turns out to be a member", wanted.config.tailnet_domain),
        State::HalfLoggedOut(_) => format!("of {}, to its end: it was begun earlier", wanted.config.tailnet_domain),
        _ => format!("of {}", wanted.config.tailnet_domain),
    };
    let tagged = matches!(&seen.daemon, Daemon::Answers(status, _) if !status.tags().is_empty());
    if tagged && !wanted.config.is_saas() {
        format!("{from}; on Headscale a tagged machine cannot join again before it was deleted there")
    } else {
        from
    }
}

/// Does an act, and sees what became of the machine.
///
/// # Errors
/// When it did not work.
pub fn perform(act: Act, seen: &Seen, wanted: &Wanted<'_>, hands: Hands<'_>) -> Result<Seen, Failure> {
    match act {
        Act::Install => install_client(seen, wanted, hands),
        Act::StartDaemon => start_daemon(seen, wanted, hands),
        Act::RestartDaemon => restart_daemon(act, wanted, hands),
        Act::Resume => resume(wanted, hands),
        Act::Join | Act::Rejoin => join::perform(act, seen, wanted, hands),
        Act::Logout => logout(act, wanted, hands),
    }
}

/// A command of plain words, by root.
pub(crate) fn root(words: &[&str], timeout_ms: u32) -> Command {
    Command { as_root: true, ..user(words, timeout_ms) }
}

fn user(words: &[&str], timeout_ms: u32) -> Command {
    Command { argv: words.iter().map(|word| (*word).to_owned()).collect(), timeout_ms, ..Command::default() }
}

/// Runs commands with the looks behind them.
///
/// # Errors
/// When the batch did not run, or its answer is not complete.
pub(crate) fn run(act: Act, mut commands: Vec<Command>, hands: Hands<'_>) -> Result<(Vec<Output>, Facts), Failure> {
    let own = commands.len();
    commands.extend(probe::commands());
    let mut outputs = hands.act.run(act.id(), commands).map_err(|error| failure::exec(&error))?;
    if outputs.len() < own || outputs.iter().any(|output| output.ending == Ending::Unknown) {
        return Err(failure::lost("changing the host"));
    }
    let looks = outputs.split_off(own);
    Ok((outputs, probe::read(&looks)?))
}

/// Finishes what an earlier run of the package manager has left half done: the script cannot.
fn finish_packages(half: &[Half], hands: Hands<'_>) -> Result<(Vec<Output>, Facts), Failure> {
    let quiet = |words: &[&str]| Command { env: QUIET.to_vec(), ..root(words, 600_000) };
    let mut commands = vec![quiet(&["dpkg", "--configure", "-a"])];
    let lacking: Vec<&str> = half.iter().filter(|half| half.lacks_files()).map(|half| half.name).collect();
    if !lacking.is_empty() {
        commands.push(quiet(&[&["apt-get", "install", "--reinstall", "-y"], lacking.as_slice()].concat()));
    }
    commands.push(root(&["systemctl", "enable", "--now", SERVICE], 90_000));
    run(Act::Install, commands, hands)
}

fn install_client(seen: &Seen, wanted: &Wanted<'_>, hands: Hands<'_>) -> Result<Seen, Failure> {
    let mut half = seen.facts.half.clone();
    let download = [
        "curl",
        "-fsSL",
        "--connect-timeout",
        "15",
        "--max-time",
        "120",
        "--retry",
        "3",
        "https://tailscale.com/install.sh",
    ];
    let mut tries = 0;
    // Who held the lock at the last try: where the time ends in the middle of the next one, that is still the reason.
    let mut held: Option<Failure> = None;
    // Another package may be what was interrupted: those that this one needs come with it.
    let mut interrupted = false;
    loop {
        if !half.is_empty() || interrupted {
            let (outputs, facts) = finish_packages(&half, hands).map_err(|failed| failed.besides(held.as_ref()))?;
            let package_run = outputs.iter().find(|output| !output.succeeded());
            match package_run {
                Some(run) if install::is_locked(run) && tries < LOCK_TRIES => {
                    let locked = install::script(run);
                    wait_for_lock(&mut tries, hands).ok_or_else(|| locked.clone())?;
                    held = Some(locked);
                    half = facts.half;
                    continue;
                }
                _ if !facts.half.is_empty() => return Err(install::not_finished(&facts.half, &outputs)),
                _ if facts.client != Client::Absent => {
                    return answering(settle(facts, Patience::Booting, hands.look, wanted)?, &outputs);
                }
                _ => {}
            }
        }
        let script = Command { env: QUIET.to_vec(), stdin: vec![Chunk::StdoutOf(0)], ..root(&["sh", "-s"], 600_000) };
        // The package starts the daemon itself, but not where a policy forbids that.
        let enable = root(&["systemctl", "enable", "--now", SERVICE], 90_000);
        let (outputs, facts) = run(Act::Install, vec![user(&download, 300_000), script, enable], hands)
            .map_err(|failed| failed.besides(held.as_ref()))?;
        let [curl, script, ..] = outputs.as_slice() else { return Err(failure::lost("installing Tailscale")) };
        if !curl.succeeded() {
            return Err(install::download(curl));
        }
        if script.succeeded() && facts.client != Client::Absent && facts.half.is_empty() {
            let after = settle(facts, Patience::Booting, hands.look, wanted)?;
            return answering(after, &outputs)
                .map_err(|failed| failed.changed("Tailscale installed, its daemon not up"));
        }
        if install::is_interrupted(script) && !interrupted {
            hands.log.info("an earlier run of the package manager was cut off; dpkg is told to finish it");
            interrupted = true;
            half = facts.half;
            continue;
        }
        if !install::is_locked(script) || tries == LOCK_TRIES {
            return Err(install::script(script).changed("the install script run, Tailscale not installed"));
        }
        let locked = install::script(script);
        wait_for_lock(&mut tries, hands).ok_or_else(|| locked.clone())?;
        held = Some(locked);
        // Whoever held the lock may have been at this very package.
        half = facts.half;
    }
}

/// Waits a while for the lock of the package manager; `None` when the run is over first.
fn wait_for_lock(tries: &mut u32, hands: Hands<'_>) -> Option<()> {
    if *tries == 0 {
        hands.log.info("another process holds the lock of the package manager; waiting for it");
    }
    *tries += 1;
    (hands.look.pause(LOCK_PAUSE_MS) == PauseEnd::Elapsed).then_some(())
}

fn start_daemon(seen: &Seen, wanted: &Wanted<'_>, hands: Hands<'_>) -> Result<Seen, Failure> {
    let mut commands = Vec::new();
    if seen.facts.unit.as_ref().is_ok_and(|unit| unit.load == "masked" || unit.file.starts_with("masked")) {
        commands.push(root(&["systemctl", "unmask", SERVICE], 30_000));
    }
    commands.push(root(&["systemctl", "enable", "--now", SERVICE], 90_000));
    let (outputs, facts) = run(Act::StartDaemon, commands, hands)?;
    let after = answering(settle(facts, Patience::Booting, hands.look, wanted)?, &outputs)
        .map_err(|failed| failed.changed("tailscaled told to start, now and at boot"))?;
    if let State::NotAtBoot(_) = after.state {
        let why = said(&outputs).unwrap_or_else(|| "the daemon still would not start at boot".to_owned());
        return Err(failure::no_effect(&Act::StartDaemon.title(wanted), &why));
    }
    Ok(after)
}

/// Restarts the daemon, in the step of `act`.
pub(crate) fn restart_daemon(act: Act, wanted: &Wanted<'_>, hands: Hands<'_>) -> Result<Seen, Failure> {
    let (outputs, facts) = run(act, vec![root(&["systemctl", "restart", SERVICE], 90_000)], hands)?;
    answering(settle(facts, Patience::Booting, hands.look, wanted)?, &outputs)
        .map_err(|failed| failed.changed("tailscaled restarted"))
}

/// What was seen, if the daemon answers: why it does not is told best by what was to start it.
fn answering(after: Seen, outputs: &[Output]) -> Result<Seen, Failure> {
    match &after.state {
        State::DaemonDown(how, why) => Err(failure::daemon_down(*how, &said(outputs).unwrap_or_else(|| why.clone()))),
        _ => Ok(after),
    }
}

fn is_online(seen: &Seen) -> bool {
    matches!(seen.state, State::Member(Link::Online, _))
}

fn resume(wanted: &Wanted<'_>, hands: Hands<'_>) -> Result<Seen, Failure> {
    // With any flag, even --timeout, this would be another command: one that sets preferences back.
    let (outputs, facts) = run(Act::Resume, vec![root(&["tailscale", "up"], 60_000)], hands)?;
    let after = settle(facts, Patience::Usual, hands.look, wanted)?;
    // A daemon that kept its map shows that one for a moment, and runs on it: what the control server says now comes after.
    let after = until(after, &RESUMED_MS, "the tailnet", hands.look, wanted, |now| !is_online(now))?;
    let after = settle(after.facts, Patience::Usual, hands.look, wanted)?;
    match (&after.state, outputs.first()) {
        (State::Member(Link::Online | Link::Offline | Link::Connecting | Link::Unapproved, _), _) | (_, None) => {
            Ok(after)
        }
        // Only the control server knew, and `up` has waited for a person since. The key was not asked for.
        (State::Member(Link::Expired, _), _) => {
            Err(failure::member::expired_while_stopped(wanted).changed("brought up, and not connected"))
        }
        (_, Some(up)) => {
            Err(failure::join::failed(&reason(up, &after, wanted, hands), None, wanted).changed("not brought up"))
        }
    }
}

/// Logs out, in the step of `act`.
pub(crate) fn logout(act: Act, wanted: &Wanted<'_>, hands: Hands<'_>) -> Result<Seen, Failure> {
    // It waits for the control server without end.
    let command = || vec![root(&["tailscale", "logout"], 30_000)];
    let (mut outputs, facts) = run(act, command(), hands)?;
    let mut after = settle(facts, Patience::Booting, hands.look, wanted)?;
    // Behind a log-out that was cut off, releases up to 1.86 have lost the key from their memory, and not
    // from their disk; 1.102 was seen so when the power had gone in the middle of one.
    if outputs.iter().any(|output| output.stderr.contains("no nodekey to log out"))
        && matches!(after.state, State::HalfLoggedOut(_))
    {
        restart_daemon(act, wanted, hands)?;
        let (again, facts) = run(act, command(), hands)?;
        outputs = again;
        after = settle(facts, Patience::Booting, hands.look, wanted)?;
    }
    match &after.state {
        State::Fresh => Ok(after),
        State::NotAtBoot(behind) if **behind == State::Fresh => Ok(after),
        // Some releases wait for the control server without end, others give up after a while and say so.
        State::HalfLoggedOut(_) | State::Foreign(_)
            if outputs.iter().any(|output| {
                output.ending == Ending::TimedOut || (!output.succeeded() && is_transport(&output.stderr))
            }) =>
        {
            Err(failure::member::half_logged_out(login_error(&after).as_deref(), wanted.config.control()))
        }
        _ => {
            let why = said(&outputs).unwrap_or_else(|| "the host still has its node key".to_owned());
            Err(failure::no_effect(&Act::Logout.title(wanted), &why))
        }
    }
}

/// Why an `up` did not lead to a member: what the daemon says, else what `up` says, else what the control server does.
pub(crate) fn reason(up: &Output, after: &Seen, wanted: &Wanted<'_>, hands: Hands<'_>) -> Reason {
    match login_error(after).or_else(|| said_by_up(up)) {
        Some(error) => Reason::Said(error),
        None => Reason::Silence(look_at_control(wanted, hands)),
    }
}

fn login_error(seen: &Seen) -> Option<String> {
    match &seen.facts.daemon {
        Daemon::Answers(status, _) => status.login_error().map(text::shown),
        Daemon::Down(_) | Daemon::Silent | Daemon::Changing | Daemon::Unreadable(_) => None,
    }
}

/// Asks the control server for what a client asks for first, from the host. `None` when that cannot be tried.
fn look_at_control(wanted: &Wanted<'_>, hands: Hands<'_>) -> Option<Result<(), String>> {
    let look = user(
        &[
            "curl",
            "-fsS",
            "-o",
            "/dev/null",
            "--connect-timeout",
            "5",
            "--max-time",
            "10",
            "--request-target",
            "/key?v=116",
            wanted.config.control(),
        ],
        15_000,
    );
    let outputs = hands.look.probe(vec![look]).ok()?;
    let curl = outputs.first()?;
    match curl.ending {
        Ending::Exited(0) => Some(Ok(())),
        Ending::Exited(127) | Ending::Skipped | Ending::Unknown => None,
        Ending::Exited(_) | Ending::TimedOut => Some(Err(text::why(curl))),
    }
}

/// What the first command that failed said.
fn said(outputs: &[Output]) -> Option<String> {
    outputs.iter().find(|output| !output.succeeded() && output.ending != Ending::Skipped).map(text::why)
}
