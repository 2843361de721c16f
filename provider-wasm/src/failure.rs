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

/// What a person is told, a line a label, by the labels that the host's own failures have. What is empty is left out.
///
/// `next` may have several lines. One that begins `case:  ` (with two blanks) is for that case; one that begins with two
/// blanks goes on with the case before it. `{run …}` in it is a command line of the program that shows it, `@hosts` in
/// that the hosts that failed so, and `{user}` who is logged in on the host (see `diagnostic` in `wit/provider.wit`).
fn told(found: impl AsRef<str>, wanted: impl AsRef<str>, means: impl AsRef<str>, next: impl AsRef<str>) -> String {
    let lines =
        [("found", found.as_ref()), ("wanted", wanted.as_ref()), ("means", means.as_ref()), ("do", next.as_ref())];
    let told: Vec<String> = lines
        .iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(label, text)| format!("{label}: {}", text.trim_end_matches('.')))
        .collect();
    told.join("\n")
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

    /// The same failure, with what has become of the machine, behind what is told of that already. Whether anything was
    /// changed at all is the host's word; this says what it amounts to.
    #[must_use]
    pub fn changed(self, what: &str) -> Self {
        self.with_changed(|told| told.push(what.to_owned()))
    }

    /// As [`Failure::changed`], in front: what was done before this went wrong.
    #[must_use]
    pub fn changed_before(self, what: &str) -> Self {
        self.with_changed(|told| told.insert(0, what.to_owned()))
    }

    /// The same failure, and behind it what was found before, where something was.
    #[must_use]
    pub fn besides(mut self, before: Option<&Self>) -> Self {
        self.diagnostics.extend(before.into_iter().flat_map(|before| before.diagnostics.iter().cloned()));
        self
    }

    fn with_changed(mut self, add: impl FnOnce(&mut Vec<String>)) -> Self {
        const LABEL: &str = "changed: ";
        if let Some(first) = self.diagnostics.first_mut() {
            let detail = first.detail.take().unwrap_or_default();
            let mut told: Vec<String> =
                detail.lines().filter_map(|line| line.strip_prefix(LABEL)).map(str::to_owned).collect();
            add(&mut told);
            let rest = detail.lines().filter(|line| !line.starts_with(LABEL) && !line.is_empty());
            let lines: Vec<String> = rest.map(str::to_owned).chain([format!("{LABEL}{}", told.join(", "))]).collect();
            first.detail = Some(lines.join("\n"));
        }
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
    fail(
        "config-invalid",
        "host-name",
        format!("invalid config: the host name {host:?} is not a DNS label"),
        told(
            format!("{host:?}"),
            format!(
                "1 to 63 lower-case letters, digits and dashes, no dash first or last, and no more than 253 characters together with .{domain}"
            ),
            "the name in the file is the machine's name in the tailnet, so that others can find it there",
            "rename the host in stagecraft.yml",
        ),
    )
}

/// A tag that was given for this host is none.
#[must_use]
pub fn host_tag(tag: &str) -> Failure {
    let tag = text::shown(tag);
    fail(
        "config-invalid",
        "host-tag",
        format!("invalid config: the host has {tag:?}, which is no tag"),
        told(
            format!("{tag:?}"),
            "`tag:`, a lower-case letter, then lower-case letters, digits and dashes, such as tag:web",
            "",
            "mend the tags of this host in stagecraft.yml",
        ),
    )
}

/// The request holds something that this provider does not know.
#[must_use]
pub fn not_known(what: &str) -> Failure {
    fail(
        "other",
        "not-known",
        format!("this provider does not know {what}"),
        told(
            what,
            "installed, joined or absent; to allow: disruptive, or from:DOMAIN",
            "the program that runs this provider is newer than it",
            "use a release of the provider that knows it",
        ),
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
            found,
            "Debian, Ubuntu, or a derivative whose ID in /etc/os-release Tailscale's install script knows",
            "Tailscale may run there all the same; this provider was not seen to work on it, so it does not begin",
            "take this host out of stagecraft.yml, or give it a system that is supported",
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
            found,
            "an answer that this provider knows",
            "a release of Tailscale newer than this provider may need a newer provider",
            "log in and compare `tailscale status` and `tailscale debug prefs` with a host that works",
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
            "no `tailscale` on the PATH",
            "Tailscale, installed by somebody else: install.method is skip",
            "",
            "it is on its image:      build the host from an image that has it, or install it by hand\n\
             this tool may install:   set install.method to auto",
        ),
    )
    .at("/install/method")
}

/// The installed release is too old. Nothing is upgraded behind the operator's back.
#[must_use]
pub fn too_old(found: &str, oldest: Version) -> Failure {
    let why = if oldest == Version::FLOOR { ", the oldest release that this provider works with" } else { "" };
    fail(
        "install-failed",
        "too-old",
        format!("installation failed: Tailscale {found} is older than {oldest}"),
        told(
            format!("Tailscale {found}"),
            format!("{oldest} or later{why}; {} or later is recommended", Version::RECOMMENDED),
            "an upgrade restarts the daemon and cuts the host's connections in the tailnet, so it is yours to time",
            "on the host:  sudo apt-get update && sudo apt-get install --only-upgrade tailscale\n  {run up @hosts}",
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
            format!("{found:?}"),
            "a release such as 1.102.3 on the first line",
            "what is called `tailscale` there may be a wrapper, or a build of somebody's own",
            "see what it is, on the host:  type -a tailscale",
        ),
    )
}

/// The daemon does not answer and could not be made to.
#[must_use]
pub fn daemon_down(how: Down, why: &str) -> Failure {
    const LOG: &str = "sudo journalctl -u tailscaled -n 50";
    let (state, means, next) = match how {
        Down::Stopped => ("is stopped", "", format!("see why, on the host:  {LOG}\n  sudo systemctl start tailscaled")),
        Down::Failed => (
            "fails when it is started",
            "in a container this often is a missing /dev/net/tun",
            format!("see why, on the host:  {LOG}"),
        ),
        Down::Masked => (
            "is masked",
            "somebody has forbidden it to start, and may have had a reason",
            "on the host:  sudo systemctl unmask tailscaled".to_owned(),
        ),
        Down::Mute => (
            "runs and does not answer",
            "it was restarted, and that did not help, or it is still starting",
            format!("see why, on the host:  {LOG}"),
        ),
        Down::NoUnit => (
            "is not known to systemd",
            "`tailscale` is there without its daemon: a half-removed package, or a copied program",
            "on the host:  sudo apt-get install --reinstall tailscale, or remove what is there".to_owned(),
        ),
        Down::NoSystemd => (
            "does not run, and systemd cannot be asked to start it",
            "this provider starts services by systemd only",
            "start tailscaled as this host starts its services".to_owned(),
        ),
    };
    fail(
        "daemon-down",
        "daemon-down",
        format!("tailscaled {state}"),
        told(why, "a daemon that answers, started now and at boot", means, format!("{next}\nthen:  {{run up @hosts}}")),
    )
}

/// Root was needed and is not to be had.
#[must_use]
pub fn privilege(why: &str) -> Failure {
    let has = |sign: &str| why.contains(sign);
    let rule = "a NOPASSWD rule for {user} in /etc/sudoers.d (batches run as one script: a rule for tailscale alone is not enough)";
    let (code, summary, next) = if has("password is required") {
        (
            "sudo-password",
            "sudo on the host asks for a password",
            format!("now:  {{run up --limit @failed --ask-sudo-password}}\nfor good:  {rule}"),
        )
    } else if has("not found") || has("No such file") {
        (
            "no-sudo",
            "sudo is not installed on the host, and the login is not root",
            "by sudo:  as root on the host, apt-get install sudo, and {rule}\nas root:  set the user to root (infra.bootstrap.ssh.user, or the host's own `user`)"
                .replace("{rule}", rule),
        )
    } else if has("tty") {
        (
            "sudo-terminal",
            "sudo on the host wants a terminal",
            "for good:  `Defaults:{user} !requiretty` in /etc/sudoers.d".to_owned(),
        )
    } else {
        ("no-root", "root is needed and cannot be had", format!("for good:  {rule}"))
    };
    fail("privilege", code, summary, told(format!("user {{user}}; {why}"), "", "", next))
}

/// A step needs the key, and the variable is unset or empty.
#[must_use]
pub fn secret_missing(variable: &str) -> Failure {
    fail(
        "secret-missing",
        "secret-missing",
        format!("auth key missing from environment variable {variable}"),
        told(
            format!("${variable} is unset or empty on the machine that runs this program"),
            "an auth key, since a step of the plan joins the tailnet",
            "a key is asked for only where a host has to join; hosts that are members never need one",
            format!(
                "make a reusable key in the admin console, then\n  read -rs {variable} && export {variable}\n  {{run up --limit @failed}}"
            ),
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
        told(
            why,
            "the state that the step leads to",
            "its commands were run, and a look afterwards found the host as it was",
            "look again:  {run status @hosts}\nthen:  {run up @hosts}",
        ),
    )
}

/// The machine needs a step that was not shown. Where nothing was `begun`, somebody else changes it: `busy`, so that the
/// host plans anew.
#[must_use]
pub fn not_shown(title: &str, begun: bool) -> Failure {
    fail(
        if begun { "other" } else { "busy" },
        "not-shown",
        format!("the host needs a step that was not shown: {title}"),
        told(
            "a host that is not as it was, or not as it was taken to be, when the plan was made",
            "only what was shown is done",
            "somebody or something else may be changing this host now",
            "{run plan @hosts}\n{run up @hosts}",
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
            format!("a preference that an operator set, and whose value for {flag} cannot be told from here"),
            "what was set by hand survives a join",
            "`tailscale up` sets back each preference that it is not told again",
            format!("on the host:  sudo tailscale set {flag}=\nthen:  {{run up @hosts}}\n  and set it again"),
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
            "an answer that is not complete",
            "the end of every command",
            "what was begun may have been finished on the host",
            "{run plan @hosts}\n{run up @hosts}",
        ),
    )
}

/// No command of a batch was started.
#[must_use]
pub fn exec(error: &ExecError) -> Failure {
    let again = "{run up @hosts}";
    match error {
        ExecError::Denied(place, reason) => fail(
            "denied",
            "denied",
            "the policy forbids a command that this provider needs",
            told(
                format!("command {place} of the batch: {reason}"),
                "the commands that its descriptor lists",
                "nothing of the batch was sent",
                "grant it, or do without the provider",
            ),
        ),
        ExecError::Unreachable(text) => {
            fail("lost", "unreachable", "the host cannot be talked to", told(text, "an answer", "", again))
        }
        ExecError::Busy(who) => fail(
            "busy",
            "busy",
            "another run holds this host",
            told(
                who,
                "a host that nobody else changes",
                "a run holds a host only while it changes it; the lock ends with the run",
                "when the other run is over:  {run up @hosts}",
            ),
        ),
        ExecError::Stopped(why) => {
            fail("timed-out", "stopped", "the run was stopped", told(why, "time to finish", "", again))
        }
        ExecError::Other(text) => {
            fail("other", "exec", "the host could not run the commands", told(text, "a batch that runs", "", again))
        }
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
    let detail = told(
        format!("still waiting for {waiting_for}"),
        "time to see how it ends",
        "",
        "{run up @hosts --timeout 30m}",
    );
    Some(fail(kind, kind, summary, detail))
}
