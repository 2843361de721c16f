//! One constructor for each way to fail, and the only place with their texts.
//!
//! The summary is what embedders match on; the host puts `tailscale provider: ` in front of it. The detail says what was
//! found, what was wanted and what to do next. None of them holds a time stamp, a random part or a secret.
//! How the install script fails stands in [`install`], how a join fails in [`join`], how a member is not what it should be
//! in [`member`].
//! Not for: deciding when one applies.

pub mod install;
pub mod join;
pub mod member;

use crate::port::{Diagnostic, ExecError, Failure, PauseEnd, Severity};
use crate::state::Down;
use crate::text;
use crate::version::Version;

/// A failure of one error.
fn fail(kind: &'static str, code: &'static str, summary: impl Into<String>, detail: String) -> Failure {
    Failure {
        kind,
        diagnostics: vec![Diagnostic {
            severity: Severity::Error,
            code,
            summary: summary.into(),
            detail: Some(detail),
            config_path: None,
        }],
    }
}

/// What was found, what was wanted, what to do next: a line each, by the labels that the host's own failures have.
fn told(found: impl AsRef<str>, wanted: impl AsRef<str>, next: impl AsRef<str>) -> String {
    let bare = |text: &str| text.trim_end_matches('.').to_owned();
    format!("found: {}\nwanted: {}\ndo: {}", bare(found.as_ref()), bare(wanted.as_ref()), bare(next.as_ref()))
}

impl Failure {
    /// The same failure, with a place in the config.
    fn at(mut self, pointer: &str) -> Self {
        if let Some(first) = self.diagnostics.first_mut() {
            first.config_path = Some(pointer.to_owned());
        }
        self
    }

    /// The same failure, with something else to know.
    #[must_use]
    pub fn and(mut self, more: Diagnostic) -> Self {
        self.diagnostics.push(more);
        self
    }
}

/// One finding about the config. An empty pointer is the config as a whole.
#[must_use]
pub fn finding(code: &'static str, pointer: &str, reason: String, detail: Option<String>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code,
        summary: format!("invalid config: {reason}"),
        detail,
        config_path: Some(pointer.to_owned()),
    }
}

/// The config has these findings.
#[must_use]
pub fn config(findings: Vec<Diagnostic>) -> Failure {
    Failure { kind: "config-invalid", diagnostics: findings }
}

/// The logical host name cannot be a machine's name in the tailnet.
#[must_use]
pub fn host_name(host: &str, domain: &str) -> Failure {
    let wanted = format!(
        "1 to 63 lower-case letters, digits and dashes, no dash first or last, and no more than 253 characters together with .{domain}."
    );
    fail(
        "config-invalid",
        "host-name",
        format!("invalid config: the host name {host:?} is not a DNS label"),
        told(format!("{host:?}."), wanted, "rename the host in stagecraft.yml."),
    )
}

/// A tag that was given for this host is none.
#[must_use]
pub fn host_tag(tag: &str) -> Failure {
    fail(
        "config-invalid",
        "host-tag",
        format!("invalid config: the host has {:?}, which is no tag", text::shown(tag)),
        "wanted: `tag:`, a lower-case letter, then lower-case letters, digits and dashes, such as tag:web\ndo: mend the tags of this host in stagecraft.yml".to_owned(),
    )
}

/// The request holds something that this provider does not know.
#[must_use]
pub fn not_known(what: &str) -> Failure {
    let wanted = "installed, joined or absent; to allow: disruptive, or from:DOMAIN.";
    fail(
        "other",
        "not-known",
        format!("this provider does not know {what}"),
        told(format!("{what}."), wanted, "use a release of the provider that knows it."),
    )
}

/// The operating system is not supported, or cannot be told.
#[must_use]
pub fn unsupported_os(found: &str) -> Failure {
    fail(
        "unsupported-os",
        "unsupported-os",
        "unsupported operating system (v1 supports Linux Debian/Ubuntu only)",
        told(
            format!("{found}."),
            "Debian, Ubuntu, or a derivative whose ID in /etc/os-release Tailscale's install script knows.",
            "take this host out of stagecraft.yml, or give it a system that is supported.",
        ),
    )
}

/// A daemon or a client answered what cannot be read.
#[must_use]
pub fn unreadable(found: &str) -> Failure {
    fail(
        "other",
        "unreadable",
        "the state of Tailscale on this host cannot be read",
        told(
            format!("{found}."),
            "an answer that this provider knows.",
            "look at `tailscale status` and `tailscale debug prefs` on the host. A release newer than this provider may need a newer provider.",
        ),
    )
}

/// Nothing is installed, and nothing may be.
#[must_use]
pub fn client_missing() -> Failure {
    fail(
        "install-failed",
        "client-missing",
        "installation failed: Tailscale is not installed, and install.method is skip",
        told(
            "no `tailscale` on the PATH.",
            "Tailscale, installed by somebody else.",
            "install it on the host, or set install.method to auto.",
        ),
    )
    .at("/install/method")
}

/// The installed release is too old. Nothing is upgraded behind the operator's back.
#[must_use]
pub fn too_old(found: &str, oldest: Version) -> Failure {
    let why = if oldest == Version::FLOOR { " (the oldest release that this provider works with)" } else { "" };
    fail(
        "install-failed",
        "too-old",
        format!("installation failed: Tailscale {found} is older than {oldest}"),
        told(
            format!("Tailscale {found}."),
            format!("{oldest} or later{why}; {} or later is recommended.", Version::RECOMMENDED),
            "upgrade the host, for example with `sudo apt-get install --only-upgrade tailscale`. This tool does not upgrade.",
        ),
    )
    .at("/install/min_version")
}

/// What the client prints as its version is none.
#[must_use]
pub fn no_version(found: &str) -> Failure {
    fail(
        "install-failed",
        "no-version",
        format!("installation failed: `tailscale version` printed {found:?}, which is no version"),
        told(
            format!("{found:?}."),
            "a release such as 1.102.3 on the first line.",
            "look at what `tailscale` is on the host's PATH.",
        ),
    )
}

/// The daemon does not answer and could not be made to.
#[must_use]
pub fn daemon_down(how: Down, why: &str) -> Failure {
    let (state, next) = match how {
        Down::Stopped => {
            ("is stopped", "see why with `journalctl -u tailscaled`, then `sudo systemctl start tailscaled`.")
        }
        Down::Failed => (
            "fails when it is started",
            "see why with `journalctl -u tailscaled`. In a container it often is a missing /dev/net/tun.",
        ),
        Down::Masked => ("is masked", "`sudo systemctl unmask tailscaled`, and find out who masked it."),
        Down::Mute => ("runs and does not answer", "see why with `journalctl -u tailscaled`."),
        Down::NoUnit => (
            "is not known to systemd",
            "`tailscale` is there without its daemon: install the whole package, or remove what is there.",
        ),
        Down::NoSystemd => (
            "does not run, and systemd cannot be asked to start it",
            "start tailscaled as this host starts its services.",
        ),
    };
    fail(
        "daemon-down",
        "daemon-down",
        format!("tailscaled {state}"),
        told(format!("{why}."), "a daemon that answers, started now and at boot.", next),
    )
}

/// Root was needed and is not to be had.
#[must_use]
pub fn privilege(why: &str) -> Failure {
    fail(
        "privilege",
        "no-root",
        "root is needed and cannot be had",
        told(
            format!("{why}."),
            "a login as root, or `sudo -n` without a password for this user.",
            "allow it in sudoers, or log in as another user.",
        ),
    )
}

/// A step needs the key, and the variable is unset or empty.
#[must_use]
pub fn secret_missing(variable: &str) -> Failure {
    fail(
        "secret-missing",
        "secret-missing",
        format!("auth key missing from environment variable {variable}"),
        told(
            format!("{variable} is unset or empty on the machine that runs this tool."),
            "an auth key; this run needs one, since a step of its plan joins the tailnet.",
            format!("make a key in the admin console and run again with {variable} set to it."),
        ),
    )
    .at("/auth_key_env")
}

/// A step was done and the machine is not what it should be.
#[must_use]
pub fn no_effect(title: &str, why: &str) -> Failure {
    fail(
        "other",
        "no-effect",
        format!("a step did not work: {title}"),
        told(format!("{why}."), "the state that the step leads to.", "look at the host, then run again."),
    )
}

/// The machine needs a step that was not shown.
#[must_use]
pub fn not_shown(title: &str) -> Failure {
    fail(
        "other",
        "not-shown",
        format!("the host needs a step that was not shown: {title}"),
        told(
            "a host that is not as it was, or not as it was taken to be, when the plan was made.",
            "only what was shown is done.",
            "run again: a new plan shows the step.",
        ),
    )
}

/// A preference cannot be kept, so nothing was begun.
#[must_use]
pub fn cannot_keep(flag: &str) -> Failure {
    fail(
        "other",
        "cannot-keep",
        format!("the preference behind {flag} cannot be kept"),
        told(
            format!("a preference that an operator set, and whose value for {flag} cannot be told from here."),
            "what was set by hand survives a join.",
            format!("unset it (`sudo tailscale set {flag}=`), run again, and set it again."),
        ),
    )
}

/// The answer to a batch is not complete.
#[must_use]
pub fn lost(doing: &str) -> Failure {
    fail(
        "lost",
        "lost",
        format!("the connection ended while {doing}"),
        told(
            "an answer that is not complete.",
            "the end of every command.",
            "run again: it begins with a look at what is there.",
        ),
    )
}

/// No command of a batch was started.
#[must_use]
pub fn exec(error: &ExecError) -> Failure {
    let next = "run again.";
    match error {
        ExecError::Denied(place, reason) => fail(
            "denied",
            "denied",
            "the policy forbids a command that this provider needs",
            told(
                format!("command {place} of the batch: {reason}."),
                "the commands that its descriptor lists.",
                "grant it, or do without the provider.",
            ),
        ),
        ExecError::Unreachable(text) => {
            fail("lost", "unreachable", "the host cannot be talked to", told(format!("{text}."), "an answer.", next))
        }
        ExecError::Busy(who) => fail(
            "busy",
            "busy",
            "another run holds this host",
            told(format!("{who}."), "a host that nobody else changes.", "wait for the other run, then run again."),
        ),
        ExecError::Stopped(why) => {
            fail("timed-out", "stopped", "the run was stopped", told(format!("{why}."), "time to finish.", next))
        }
        ExecError::Other(text) => fail(
            "other",
            "exec",
            "the host could not run the commands",
            told(format!("{text}."), "a batch that runs.", next),
        ),
    }
}

/// A pause ended early. `None` when it did not.
#[must_use]
pub fn pause(end: PauseEnd, waiting_for: &str) -> Option<Failure> {
    let (kind, summary) = match end {
        PauseEnd::Elapsed => return None,
        PauseEnd::Deadline => ("timed-out", "the time for this host was up while waiting"),
        PauseEnd::Cancelled => ("cancelled", "the run was cancelled while waiting"),
    };
    let wanted = "time to see how it ends.";
    Some(fail(
        kind,
        kind,
        summary,
        told(format!("still waiting for {waiting_for}."), wanted, "run again, with more time."),
    ))
}
