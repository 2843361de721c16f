//! `doctor`: examines this machine, the file and each host, and says of each finding what to do.
//!
//! A host is examined in the order in which a run needs things: its name, the way to it, its key, the log-in, the shell, root,
//! and last what it is and what time it has. Where one fails, what stands behind it is not known. Changes nothing, and reads
//! no secret but the password for `sudo`, where that is given. Not for: what a provider wants of a host; `plan` says that.

use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use stagecraft_net::event::{Counts, Event, Fault, Tell as _};
use stagecraft_net::examine::{Examined, Root, examine};
use stagecraft_net::failure::Failed;
use stagecraft_net::fleet::{Gates, Limits, OverSsh, each};
use stagecraft_net::session::{Session, SessionError};
use stagecraft_net::ssh::{ConnectError, Trust, UNKNOWN_HOST_KEY, connect};
use stagecraft_net::sudo::SudoPassword;
use stagecraft_net::until::{Cancel, Until};

use crate::args::{Doctor, Global};
use crate::exit::Exit;
use crate::passphrase;
use crate::project::{Project, Stop, end, stopped};
use crate::signals;

/// What is examined on a host, in this order.
const CHECKS: [&str; 8] = ["name", "reachability", "host-key", "authentication", "login-shell", "sudo", "os", "clock"];
/// From here on a clock is worth a word, and from here on it breaks things: seconds.
const CLOCK: (u64, u64) = (30, 300);

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Checked {
    check: &'static str,
    status: &'static str,
    found: String,
    advice: Option<String>,
}

impl Checked {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, status: "ok", found: found.into(), advice: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: "warning", found: found.into(), advice: Some(advice.into()) }
    }

    fn error(check: &'static str, found: impl Into<String>, advice: Option<String>) -> Self {
        Self { check, status: "error", found: found.into(), advice }
    }

    /// A failure in the words that a run has for it.
    fn failed(check: &'static str, failed: &Failed) -> Self {
        let detail = failed.diagnostics.first().and_then(|first| first.detail.as_deref()).unwrap_or_default();
        let (mut advice, mut found) = (Vec::new(), vec![failed.headline()]);
        let mut under = "";
        // Many hosts show many keys, and need one command, which shows them all.
        let alike = failed.diagnostics.first().is_some_and(|first| first.code == UNKNOWN_HOST_KEY);
        for line in detail.lines() {
            let (label, rest) = match line.split_once(": ") {
                Some((label @ ("found" | "wanted" | "means" | "do" | "note"), rest)) => (label, rest.trim()),
                _ => (under, line.trim()),
            };
            under = label;
            match label {
                "do" => advice.push(rest.to_owned()),
                "found" if !alike => found.push(rest.to_owned()),
                _ => {}
            }
        }
        Self::error(check, found.join("; "), Some(advice.join("\n")).filter(|advice| !advice.is_empty()))
    }

    fn event(self, host: Option<&str>) -> Event {
        let Self { check, status, found, advice } = self;
        Event::Checked { host: host.map(str::to_owned), check, status, found, advice }
    }
}

pub(crate) fn run(global: &Global, args: &Doctor) -> Exit {
    let begun = Instant::now();
    let stop = |stop: Stop| stopped(global.json, global.verbose, "doctor", Some(&global.env), &stop);
    let cancel = match Cancel::new() {
        Ok(cancel) => cancel,
        Err(error) => return stop(Stop::new(Fault::Outside, format!("this machine has no descriptor left: {error}"))),
    };
    let heard = Arc::new(OnceLock::new());
    let interrupted = signals::listen(cancel.clone(), Arc::clone(&heard));
    let chosen = Project::open_and_go(global, &args.hosts, &cancel)
        .and_then(|project| project.select(global).map(|hosts| (project, hosts)));
    let (project, hosts) = match chosen {
        Ok(chosen) => chosen,
        Err(why) => {
            let exit = stop(why);
            return if interrupted.get() { Exit::Interrupted } else { exit };
        }
    };
    let wanted = global.secrets.asking(hosts.iter().any(|host| host.ask_sudo));
    let given = match wanted.open(&project.network.provider().descriptor().secrets, &cancel) {
        Ok(given) => given,
        Err(why) => return stop(why),
    };
    let mut notices = project.notices();
    notices.extend(given.notices);
    let file = project.inventory.file().map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let provider = project.inventory.provider().to_owned();
    let over = project.over_ssh(global, &hosts, Trust::Strict).ask_passphrases(passphrase::asker(cancel.clone()));
    let names = hosts.iter().map(|host| host.name.clone()).collect();
    let report = match project.begin(global, "doctor", &args.hosts, names) {
        Ok(report) => report,
        Err(exit) => return exit,
    };
    // A signal may have come already: then nobody is left to set it.
    let _ = heard.set(Arc::clone(&report));
    let problems = notices.len();
    notices.into_iter().for_each(|notice| report.tell(notice));

    let right = format!("{file}: environment {}, provider {provider}, {} hosts", global.env, hosts.len());
    let of_file = match problems {
        0 => Checked::ok("file", right),
        _ => Checked::warning("file", format!("{right}; {problems} remarks"), "see them above"),
    };
    for one in here(global.jobs.get()).into_iter().chain([of_file]) {
        report.tell(one.event(None));
    }

    let mut limits = Limits::default();
    limits.jobs = global.jobs.get();
    limits.timeout = global.timeout.min(Duration::from_secs(60));
    let sudo = given.sudo;
    let examined = each(hosts.len(), &limits, &cancel, |host, gates, until| {
        complete(examination(&over, host, &hosts[host].name, sudo.as_ref(), gates, until))
    });
    let mut counts = Counts::default();
    for (host, found) in hosts.iter().zip(examined) {
        match found.iter().find(|one| one.status == "error").map(|one| one.check) {
            None => counts.holds += 1,
            Some("name" | "reachability" | "host-key" | "authentication") => counts.unreachable += 1,
            Some(_) => counts.failed += 1,
        }
        found.into_iter().for_each(|one| report.tell(one.event(Some(&host.name))));
    }
    let exit = match counts.failed + counts.unreachable {
        _ if interrupted.get() => Exit::Interrupted,
        0 => Exit::Ok,
        _ => Exit::Hosts,
    };
    end(&report, counts, exit, begun)
}

/// This machine.
fn here(jobs: usize) -> Vec<Checked> {
    let mut version = Command::new("ssh");
    // It needs nothing to say its version, and is lent nothing.
    version.arg("-V").env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let version = version.stdin(std::process::Stdio::null()).output();
    let ssh = match version {
        Ok(said) => Checked::ok("ssh", boundary::text::one_line(&said.stderr)),
        Err(_) => Checked::warning(
            "ssh",
            "there is no `ssh` program: no aliases of ssh_config, no jump hosts",
            "install the OpenSSH client (apt-get install openssh-client)",
        ),
    };
    let agent = match std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()) {
        None => Checked::ok("agent", "none; key files are used"),
        Some(socket) => {
            let name = boundary::text::one_line(socket.to_string_lossy().as_bytes());
            match std::os::unix::net::UnixStream::connect(&socket) {
                Ok(_) => Checked::ok("agent", name),
                Err(error) => Checked::warning(
                    "agent",
                    format!("{name}: {error}"),
                    "start it anew (eval \"$(ssh-agent)\"; ssh-add), or unset SSH_AUTH_SOCK",
                ),
            }
        }
    };
    // A connection, its wake-up and its pipes, and what the program itself has open.
    let needed = 64 + 8 * jobs as u64;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let descriptors = match limit {
        limit if limit >= needed => Checked::ok("descriptors", format!("{limit} for {jobs} hosts at a time")),
        limit => Checked::warning(
            "descriptors",
            format!("{limit} open files are allowed, and {jobs} hosts at a time may need {needed}"),
            format!("ulimit -n {needed}, or fewer --jobs"),
        ),
    };
    vec![ssh, agent, descriptors]
}

/// With what was not examined, since something before it failed.
fn complete(mut found: Vec<Checked>) -> Vec<Checked> {
    for check in CHECKS {
        if found.iter().all(|one| one.check != check) {
            let found_nothing = "not known, since something before it failed".to_owned();
            found.push(Checked { check, status: "skipped", found: found_nothing, advice: None });
        }
    }
    found.sort_by_key(|one| CHECKS.iter().position(|check| *check == one.check));
    found
}

fn examination(
    over: &OverSsh,
    index: usize,
    name: &str,
    sudo: Option<&SudoPassword>,
    gates: &Gates,
    until: &Until,
) -> Vec<Checked> {
    let target = match over.target(index, until) {
        Ok(target) => target,
        Err(failed) => return vec![Checked::failed("name", &failed)],
    };
    let connected = match gates.start(target.gate(), until) {
        Ok(_starting) => over.either_way(index, &target, until, |target, until| connect(target, Trust::Strict, until)),
        Err(failed) => return vec![Checked::failed("reachability", &failed)],
    };
    let passed = |count: usize| {
        let words = [target.to_string(), "a server answers".to_owned(), "known".to_owned(), "logged in".to_owned()];
        let passed = CHECKS.into_iter().zip(words).take(count);
        passed.map(|(check, found)| Checked::ok(check, found)).collect::<Vec<_>>()
    };
    let (connection, other) = match connected {
        Ok((connection, other)) => (connection, other),
        Err(why) => {
            let stage = match &why.error {
                ConnectError::Name { .. } => 0,
                ConnectError::HostKey { .. } => 2,
                ConnectError::Authentication { .. } | ConnectError::LostAtLogin { .. } => 3,
                _ => 1,
            };
            let mut found = passed(stage);
            let failed = why.failed().of_user(Some(target.user()));
            found.push(Checked::failed(CHECKS[stage], &failed));
            return found;
        }
    };
    let mut found = passed(4);
    if let Some(other) = other {
        let what = format!("not at {target}, but over the network, at {other}");
        found[1] = Checked::warning("reachability", what, "--via tailnet goes there at once");
    }
    let mut session = Session::new(Box::new(connection));
    if let Some(password) = sudo {
        session = session.sudo(name, password.clone());
    }
    match examine(&mut session, until) {
        Ok(examined) => found.extend(judged(&examined, sudo.is_some())),
        Err(error) => found.extend(no_examination(error)),
    }
    found
}

/// Why the machine said nothing of itself.
fn no_examination(error: SessionError) -> Vec<Checked> {
    let text = error.to_string();
    let (check, advice) = match error {
        SessionError::WrongPassword(said) => {
            let found = format!("{text}: {said}");
            return vec![
                Checked::ok("login-shell", "it runs commands"),
                Checked::error("sudo", found, Some("give the right password".to_owned())),
            ];
        }
        SessionError::NoPassword(_) | SessionError::PasswordRefusedBefore(_) | SessionError::Privilege(_) => {
            ("sudo", "give the right password with --ask-sudo-password, or with --secret sudo-password=…")
        }
        SessionError::NotStarted(_) => (
            "login-shell",
            "log in by hand, and run `true`: it has to end without a word (a forced command, a closed account, an expired \
             password)",
        ),
        SessionError::Unusable(_) => ("login-shell", "install what is missing on the host"),
        _ => ("login-shell", "run it again; with a longer --timeout where the host is slow"),
    };
    let mut found = Vec::new();
    if check == "sudo" {
        found.push(Checked::ok("login-shell", "it runs commands"));
    }
    found.push(Checked::error(check, text, Some(advice.to_owned())));
    found
}

/// What the machine says of itself, with what to do.
fn judged(examined: &Examined, has_password: bool) -> Vec<Checked> {
    let user = &examined.user;
    let shell = examined.shell.as_deref().unwrap_or("it runs commands");
    let sudo = match &examined.root {
        Root::Login => Checked::ok("sudo", "not needed: the login is root"),
        Root::Sudo if examined.logs_input => Checked::warning(
            "sudo",
            "it logs what commands read: a key that is given to one is written to the host's disk",
            format!("`Defaults:{user} !log_input` in /etc/sudoers.d, or log in as root"),
        ),
        Root::Sudo if has_password => {
            Checked::ok("sudo", format!("{user} is root by sudo, and runs `timeout` with it"))
        }
        Root::Sudo => Checked::ok("sudo", format!("{user} is root by `sudo -n`, and runs `timeout` with it")),
        Root::No(why) => {
            Checked::error("sudo", format!("{user} is not root by `sudo -n`: {why}"), Some(no_root(why, user)))
        }
        _ => Checked::error("sudo", "it is not known how root is had", None),
    };
    let os = match &examined.os {
        Some(os) => Checked::ok("os", os.clone()),
        None => Checked::warning(
            "os",
            "there is no /etc/os-release that says it",
            "{run plan @hosts} says whether it will do",
        ),
    };
    let clock = match examined.ahead {
        None => Checked::warning("clock", "the host does not say what time it has", "run `date` on it"),
        Some(ahead) => {
            let way = if ahead < 0 { "behind" } else { "ahead of" };
            let found = format!("{} s {way} this machine's", ahead.unsigned_abs());
            let advice =
                "timedatectl set-ntp true on the host; certificates and keys are valid by the clock".to_owned();
            match ahead.unsigned_abs() {
                0 => Checked::ok("clock", "as here"),
                seconds if seconds < CLOCK.0 => Checked::ok("clock", found),
                seconds if seconds < CLOCK.1 => Checked::warning("clock", found, advice),
                _ => Checked::error("clock", found, Some(advice)),
            }
        }
    };
    vec![Checked::ok("login-shell", shell), sudo, os, clock]
}

/// What to do about a `sudo` that gives no root.
fn no_root(why: &str, user: &str) -> String {
    let rule = format!("`{user} ALL=(ALL) NOPASSWD: ALL` in /etc/sudoers.d");
    if why.contains("tty") || why.contains("a terminal is required") && !why.contains("password") {
        format!("`Defaults:{user} !requiretty` in /etc/sudoers.d")
    } else if why.contains("not found") || why.contains("No such file") {
        "as root on the host: apt-get install sudo; or log in as root".to_owned()
    } else if why.contains("password") {
        format!(
            "{{run doctor @hosts --ask-sudo-password}} tries one; for good: {rule}, which must allow `timeout`, not single commands"
        )
    } else {
        format!("{rule}: what it says must allow `timeout`, since every command of root is bounded by it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagecraft_net::failure::Kind;

    #[test]
    fn what_was_not_examined_is_told_as_that_and_all_of_it_has_one_order() {
        let found = complete(vec![Checked::error("host-key", "unknown", None), Checked::ok("name", "a:22")]);
        let told: Vec<(&str, &str)> = found.iter().map(|one| (one.check, one.status)).collect();
        assert_eq!(told[..3], [("name", "ok"), ("reachability", "skipped"), ("host-key", "error")]);
        assert_eq!((told.len(), told[7]), (8, ("clock", "skipped")));
    }

    #[test]
    fn a_failures_own_words_say_what_was_found_and_what_to_do() {
        let detail = "found: one\nmore\nmeans: x\ndo: this\nor that\nnote: y".to_owned();
        let one = Checked::failed("host-key", &Failed::host(Kind::HostKey, "not known", detail));
        assert_eq!((one.found.as_str(), one.advice.as_deref()), ("not known; one; more", Some("this\nor that")));
    }

    #[test]
    fn each_way_in_which_sudo_gives_no_root_has_its_own_advice() {
        for (why, advice) in [
            ("sudo: a password is required", "--ask-sudo-password"),
            ("sudo: sorry, you must have a tty to run sudo", "!requiretty"),
            ("sh: 1: sudo: not found", "install sudo"),
            (
                "Sorry, user deploy is not allowed to execute '/usr/bin/timeout' as root on app-1.",
                "must allow `timeout`",
            ),
        ] {
            assert!(no_root(why, "deploy").contains(advice), "{why}");
        }
    }
}
