//! Every login shell and every rule of sudo that the lab's users have.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{Case, NEWEST, Test, test};

pub(crate) const TESTS: &[Test] = &[
    test!(every_login_shell_and_every_sudo_that_works_joins_and_leaves, "C4 C6 K1", NEWEST),
    test!(every_login_that_cannot_work_says_why_and_changes_nothing, "J6", NEWEST),
];

fn every_login_shell_and_every_sudo_that_works_joins_and_leaves(case: &Case) -> Result<()> {
    let control = case.control("shells-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("u-1", &control)?)?;
    for user in ["deploy", "root", "dash", "fish", "zsh", "csh", "noisy", "ptysudo", "banner", "logsudo"] {
        project.log_in_as("u-1", user)?;
        for line in ["up", "up", "leave u-1"] {
            let ran = project.run(line)?;
            ensure!(ran.code == Some(0), "{user}: {line}: {}{}", ran.stdout, ran.stderr);
        }
        // A daemon that logged out a moment ago now and then does not come to the server again; that is none of this.
        project["u-1"].sh("systemctl restart tailscaled")?;
        let found = project["u-1"].sh("grep -rl tskey- /run /home /root /tmp /dev/shm /var/log 2>/dev/null; \
             find /var/log/sudo-io -type f -exec zgrep -l tskey- {} + 2>/dev/null; :")?;
        // A sudo that logs input writes the key to disk: the one exception of K1, of which the operator is told.
        ensure!(found.is_empty() == (user != "logsudo"), "{user}: a key is in {found}");
    }
    Ok(())
}

fn every_login_that_cannot_work_says_why_and_changes_nothing(case: &Case) -> Result<()> {
    let control = case.control("logins-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("u-1", &control)?)?;
    for (user, kind, says) in [
        ("nosudo", "privilege", "a password is required"),
        ("pwsudo", "privilege", "a password is required"),
        ("ttysudo", "privilege", "you must have a tty"),
        ("forced", "unreachable", "This account is restricted."),
        ("expired", "unreachable", "Password change required but no TTY available."),
        ("nologin", "unreachable", "This account is currently not available."),
    ] {
        project.log_in_as("u-1", user)?;
        let ran = project.cli(["up", "--json"]).run()?;
        let done = ran
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|event| event["event"] == "done")
            .with_context(|| format!("{user}: {}{}", ran.stdout, ran.stderr))?;
        ensure!(ran.code == Some(10) && done["kind"] == kind, "{user}: {done:#}");
        ensure!(done["diagnostics"].to_string().contains(says), "{user}: {done:#}");
        ensure!(done["changed"] == "nothing", "{user}: {done:#}");
        ensure!(project["u-1"].tailscale_status()?["HaveNodeKey"].is_null(), "{user}: it joined");
    }
    // Without sudo at all.
    let spec = tailnet_lab::Spec { no_sudo: true, ..case.spec(true) };
    project.take("u-1");
    project.add(case.host("u-2", &control, &spec)?)?;
    let ran = project.run("up")?;
    ensure!(ran.code == Some(10) && ran.stderr.contains("error[privilege]"), "{}{}", ran.stdout, ran.stderr);
    project.log_in_as("u-2", "root")?;
    let ran = project.run("up")?;
    ensure!(ran.code == Some(0), "root needs none: {}{}", ran.stdout, ran.stderr);
    Ok(())
}
