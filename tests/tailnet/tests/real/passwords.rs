//! A sudo that asks for a password, or wants what a batch does not give, on a real host: what `doctor` says of it, and that what it
//! advises works. Real sudo with `requiretty`, `use_pty` and `log_input`, real PAM, the real journal.
//!
//! Not for: how the password is asked for on a terminal, which is the same wherever the host is.

use anyhow::{Context, Result, ensure};
use lab::product::Ran;
use serde_json::Value;
use tailnet_lab::Project;

use crate::told::{backend, no_trace};
use crate::{Case, NEWEST, Test, test};

pub(crate) const TESTS: &[Test] = &[
    test!(doctor_says_of_every_sudo_what_it_lacks_and_what_to_do, "C7 J6", NEWEST),
    test!(a_password_for_sudo_joins_and_leaves_under_every_rule_and_is_nowhere_afterwards, "C4 C6 K1", NEWEST),
];

const PASSWORD: &str = "correct-horse";
const WITH: &str = "--secret sudo-password=env:SUDO_PW";

/// With this password in a variable of the operator's.
fn with(project: &Project, line: &str, password: &str) -> Result<Ran> {
    project.cli(format!("{line} {WITH}").split(' ')).env("SUDO_PW", password).run()
}

/// The rule of `sudo` as `doctor` judges it: status, what was found, what is advised.
fn checked(ran: &Ran) -> Result<(String, String, String)> {
    let events = ran.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_sudo = |event: &Value| event["event"] == "checked" && event["check"] == "sudo" && event["host"] == "u-1";
    let event = events.into_iter().find(of_sudo).with_context(|| format!("{ran:?}"))?;
    let word = |name: &str| event[name].as_str().map_or_else(|| event[name].to_string(), str::to_owned);
    Ok((word("status"), word("found"), word("advice")))
}

fn doctor_says_of_every_sudo_what_it_lacks_and_what_to_do(case: &Case) -> Result<()> {
    let control = case.control("doctor-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("u-1", &control)?)?;
    for (user, status, found, advice) in [
        ("deploy", "ok", "", ""),
        ("root", "ok", "root", ""),
        ("ptysudo", "ok", "", ""),
        ("pwsudo", "error", "a password is required", "--ask-sudo-password"),
        ("nosudo", "error", "a password is required", "NOPASSWD"),
        ("ttysudo", "error", "must have a tty", "!requiretty"),
        ("logsudo", "warning", "", "log_input"),
    ] {
        project.log_in_as("u-1", user)?;
        let ran = project.run("doctor --json")?;
        let told = checked(&ran)?;
        ensure!(told.0 == status && told.1.contains(found) && told.2.contains(advice), "{user}: {told:?}");
        ensure!(ran.code == Some(if status == "error" { 10 } else { 0 }), "{user}: {ran:?}");
    }
    // What it advises for a password helps.
    project.log_in_as("u-1", "pwsudo")?;
    let told = checked(&with(&project, "doctor --json", PASSWORD)?)?;
    ensure!(told.0 == "ok", "{told:?}");
    ensure!(backend(&project["u-1"])?.0 == "NeedsLogin", "a look has changed it");
    Ok(())
}

fn a_password_for_sudo_joins_and_leaves_under_every_rule_and_is_nowhere_afterwards(case: &Case) -> Result<()> {
    let control = case.control("sudo-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("u-1", &control)?)?;
    project.log_in_as("u-1", "pwsudo")?;

    // Wrong: told, tried once, nothing changed.
    let ran = with(&project, "up", "wrong-horse")?;
    ensure!(ran.code == Some(10) && ran.stderr.contains("sudo refused the password"), "{}{}", ran.stdout, ran.stderr);
    let tried = "journalctl --sync; journalctl --no-pager -o cat -t sudo | grep -c 'incorrect password attempt' || :";
    let tried = project["u-1"].sh(tried)?;
    ensure!(tried.trim() == "1", "it was tried {tried}times");
    ensure!(backend(&project["u-1"])?.0 == "NeedsLogin");

    // A rule that wants a terminal is told as that, and no password is sent to it.
    let rule =
        |text: &str| format!("printf '{text}' > /etc/sudoers.d/more && chmod 440 /etc/sudoers.d/more && visudo -cq");
    project["u-1"].sh(&rule("Defaults:pwsudo requiretty\\n"))?;
    let ran = with(&project, "up", PASSWORD)?;
    ensure!(ran.code == Some(10) && ran.stderr.contains("you must have a tty"), "{}{}", ran.stdout, ran.stderr);

    for more in [
        "",
        "Defaults:pwsudo use_pty\\n",
        "Defaults:pwsudo timestamp_timeout=0, use_pty\\n",
        "Defaults:pwsudo log_output\\n",
    ] {
        project["u-1"].sh(&rule(more))?;
        for line in ["up", "up", "leave u-1"] {
            let ran = with(&project, line, PASSWORD)?;
            ensure!(ran.code == Some(0), "{more}: {line}: {}{}", ran.stdout, ran.stderr);
            ensure!(!ran.stdout.contains(PASSWORD) && !ran.stderr.contains(PASSWORD), "{more}: an output holds it");
        }
        no_trace(&project["u-1"], PASSWORD).with_context(|| more.to_owned())?;
        // A daemon that logged out a moment ago now and then does not come to the server again; that is none of this.
        project["u-1"].sh("systemctl restart tailscaled")?;
    }

    // A host that does not ask is not told it.
    project.log_in_as("u-1", "deploy")?;
    let ran = with(&project, "up", PASSWORD)?;
    ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
    no_trace(&project["u-1"], PASSWORD)
}
