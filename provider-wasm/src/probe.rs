//! The one batch that looks at a machine, and its answer as [`Facts`].
//!
//! Everything is asked in one round trip: a host that is right costs nothing more. A plan, an apply and the looks behind
//! every change use the same batch. Not for: what the facts add up to ([`crate::state`]).

use serde::Deserialize;

use crate::package::{self, Half, PACKAGES};
use crate::port::{Command, Condition, Ending, ExecError, Failure, Observer, Output};
use crate::prefs::Prefs;
use crate::version::Version;
use crate::{failure, text};

/// Looks may be slow where a daemon is down (5 s) or only just starting.
const LOOK_MS: u32 = 15_000;

/// The distributions whose `ID` the official install script knows as Debian's or Ubuntu's kin. It never reads `ID_LIKE`.
const SUPPORTED: [&str; 20] = [
    "Deepin",
    "debian",
    "elementary",
    "galliumos",
    "industrial-os",
    "kaisen",
    "kali",
    "linuxmint",
    "mendel",
    "neon",
    "osmc",
    "parrot",
    "pika",
    "pop",
    "pureos",
    "raspbian",
    "sparky",
    "tuxedo",
    "ubuntu",
    "zorin",
];

/// What was found on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The operating system.
    pub os: Os,
    /// Whether root is to be had, or why not.
    pub root: Result<(), String>,
    /// The client.
    pub client: Client,
    /// The daemon's unit, or why it could not be asked for.
    pub unit: Result<Unit, String>,
    /// What the daemon says.
    pub daemon: Daemon,
    /// What the package manager has begun and not finished.
    pub half: Vec<Half>,
}

/// The operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Os {
    /// One that the install script knows, by its own full name.
    Supported(String),
    /// Another one, or one that cannot be told.
    Unsupported(String),
}

/// The client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Client {
    /// Not on the PATH.
    Absent,
    /// Of this release; the text is the version as it was printed.
    Release(Version, String),
    /// There, but what it printed is no version.
    Unreadable(String),
}

/// `tailscaled.service` as systemd sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// `loaded`, `masked`, `not-found` …
    pub load: String,
    /// `active`, `inactive`, `failed` …
    pub active: String,
    /// `running`, `dead` …
    pub sub: String,
    /// `enabled`, `disabled`, `masked` …
    pub file: String,
    /// The unit's file: a package's or somebody's own.
    pub path: String,
}

/// What the daemon says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a call")]
pub enum Daemon {
    /// Nothing, and the client says why.
    Down(String),
    /// Nothing in time.
    Silent,
    /// One of two answers: it has just come, or is just going.
    Changing,
    /// Something that cannot be read.
    Unreadable(String),
    /// Its status and its preferences.
    Answers(Status, Prefs),
}

/// `tailscale status --json`, as far as it is needed. What a release leaves out reads as empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Status {
    /// The daemon's own release.
    pub version: String,
    /// `Running`, `NeedsLogin` …
    pub backend_state: String,
    /// There is a node key. Releases before 1.66 do not say.
    pub have_node_key: bool,
    /// Where somebody was asked to log in.
    #[serde(rename = "AuthURL")]
    pub auth_url: String,
    /// This machine.
    #[serde(rename = "Self")]
    pub own: Own,
    /// What troubles the daemon: texts for people, in random order; null where there is none on old releases.
    pub health: Option<Vec<String>>,
    /// The tailnet, while the daemon knows it.
    pub current_tailnet: Option<Tailnet>,
    /// The exit node in use.
    pub exit_node_status: Option<ExitNode>,
}

/// The machine itself in the status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Own {
    /// The tailnet's stable name for it.
    #[serde(rename = "ID")]
    pub id: String,
    /// The name that the control server gave, with a dot at the end.
    #[serde(rename = "DNSName")]
    pub dns_name: String,
    /// The tags that the control server granted; not those that were asked for.
    pub tags: Option<Vec<String>>,
    /// Its connection to the control server is open.
    pub online: bool,
    /// Its addresses.
    #[serde(rename = "TailscaleIPs")]
    pub addresses: Option<Vec<String>>,
    /// When its key expires, RFC 3339; absent for never.
    pub key_expiry: Option<String>,
}

/// The tailnet in the status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Tailnet {
    /// Its DNS name: the one thing that proves it.
    #[serde(rename = "MagicDNSSuffix")]
    pub suffix: String,
}

/// The exit node in the status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExitNode {
    /// Its addresses, as prefixes.
    #[serde(rename = "TailscaleIPs")]
    pub addresses: Option<Vec<String>>,
}

impl Status {
    /// The health texts in an order that does not change from call to call.
    #[must_use]
    pub fn troubles(&self) -> Vec<&str> {
        let mut told: Vec<&str> = self.health.iter().flatten().map(String::as_str).collect();
        told.sort_unstable();
        told.dedup();
        told
    }

    /// Why the last log-in failed, if one did: `… last login error was: X`, or `… last login error=X` on old releases.
    #[must_use]
    pub fn login_error(&self) -> Option<&str> {
        self.troubles().into_iter().find_map(|text| {
            let (_, rest) = text.split_once("last login error")?;
            rest.strip_prefix(" was: ").or_else(|| rest.strip_prefix('='))
        })
    }

    /// The tailnet's DNS name in lower case, while the daemon knows it.
    #[must_use]
    pub fn suffix(&self) -> Option<String> {
        let suffix = &self.current_tailnet.as_ref()?.suffix;
        (!suffix.is_empty()).then(|| suffix.trim_matches('.').to_ascii_lowercase())
    }

    /// The granted tags, sorted.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        let mut tags = self.own.tags.clone().unwrap_or_default();
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// The name that resolves, in lower case and without the dot at its end.
    #[must_use]
    pub fn fqdn(&self) -> String {
        self.own.dns_name.trim_end_matches('.').to_ascii_lowercase()
    }
}

/// The batch.
#[must_use]
pub fn commands() -> Vec<Command> {
    let look = |words: &[&str]| Command {
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
        timeout_ms: LOOK_MS,
        // So that the same commands can stand behind a change, whatever became of it.
        runs: Condition::Always,
        ..Command::default()
    };
    vec![
        look(&["cat", "/etc/os-release"]),
        look(&["uname", "-s"]),
        Command { as_root: true, ..look(&["true"]) },
        look(&["tailscale", "version"]),
        look(&["tailscale", "status", "--json", "--peers=false"]),
        look(&["tailscale", "debug", "prefs"]),
        look(&[
            "systemctl",
            "show",
            "tailscaled.service",
            "--no-pager",
            "-p",
            "LoadState,ActiveState,SubState,UnitFileState,FragmentPath",
        ]),
        look(&["dpkg-query", "-s", PACKAGES[0], PACKAGES[1]]),
    ]
}

/// Looks at a machine, once.
///
/// # Errors
/// When nothing could be found out: the batch did not run, or its answer is not complete.
pub fn look(observer: &dyn Observer) -> Result<Facts, Failure> {
    let outputs = observer.probe(commands()).map_err(|error: ExecError| failure::exec(&error))?;
    read(&outputs)
}

/// Reads the answer to [`commands`].
///
/// # Errors
/// When a part of it is missing: a machine is not judged by half an answer.
pub fn read(outputs: &[Output]) -> Result<Facts, Failure> {
    let [os_release, uname, root, version, status, prefs, unit, packages] = outputs else {
        return Err(failure::lost("looking at the machine"));
    };
    if outputs.iter().any(|output| matches!(output.ending, Ending::Unknown | Ending::Skipped)) {
        return Err(failure::lost("looking at the machine"));
    }
    Ok(Facts {
        os: read_os(os_release, uname),
        root: if root.succeeded() { Ok(()) } else { Err(no_root(root)) },
        client: read_client(version),
        unit: read_unit(unit),
        daemon: read_daemon(status, prefs),
        half: package::read(packages),
    })
}

/// Why root is not to be had, as somebody would see it who tries the same by hand.
fn no_root(root: &Output) -> String {
    let why = text::why(root);
    let why = why.strip_prefix("sudo: ").unwrap_or(&why);
    match root.ending {
        Ending::Exited(status) => format!("`sudo -n true` exit {status}: \"{why}\""),
        Ending::TimedOut | Ending::Skipped | Ending::Unknown => format!("`sudo -n true`: {why}"),
    }
}

fn read_os(os_release: &Output, uname: &Output) -> Os {
    let kernel = uname.stdout.trim();
    if !uname.succeeded() || kernel.is_empty() {
        return Os::Unsupported(format!("a system that does not say what it is (uname: {})", text::why(uname)));
    }
    if kernel != "Linux" {
        return Os::Unsupported(text::shown(kernel));
    }
    if !os_release.succeeded() {
        return Os::Unsupported(format!("a Linux that does not say which ({})", text::why(os_release)));
    }
    let value = |name: &str| {
        let line = os_release.stdout.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
        let line = line.trim();
        let bare = ['"', '\''].into_iter().find_map(|quote| line.strip_prefix(quote)?.strip_suffix(quote));
        Some(bare.unwrap_or(line).to_owned())
    };
    let full = value("PRETTY_NAME").or_else(|| value("NAME")).filter(|name| !name.is_empty());
    match value("ID").filter(|id| !id.is_empty()) {
        None => Os::Unsupported("a Linux without an ID in /etc/os-release".to_owned()),
        Some(id) if SUPPORTED.contains(&id.as_str()) => Os::Supported(text::shown(&full.unwrap_or(id))),
        Some(id) => {
            let kin = value("ID_LIKE").map(|kin| format!(", ID_LIKE={kin}")).unwrap_or_default();
            let full = full.map(|full| format!("{full} ")).unwrap_or_default();
            Os::Unsupported(text::shown(&format!("{full}(ID={id}{kin})")))
        }
    }
}

fn read_client(version: &Output) -> Client {
    match version.ending {
        Ending::Exited(127) => Client::Absent,
        Ending::Exited(0) => {
            let line = version.stdout.lines().next().unwrap_or_default().trim();
            match Version::of_release(line) {
                Some(release) => Client::Release(release, text::shown(line)),
                None => Client::Unreadable(text::shown(line)),
            }
        }
        Ending::Exited(_) | Ending::TimedOut | Ending::Skipped | Ending::Unknown => {
            Client::Unreadable(text::why(version))
        }
    }
}

fn read_unit(output: &Output) -> Result<Unit, String> {
    if !output.succeeded() {
        return Err(text::why(output));
    }
    let value = |name: &str| {
        let line = output.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        text::shown(line.unwrap_or_default().trim())
    };
    Ok(Unit {
        load: value("LoadState"),
        active: value("ActiveState"),
        sub: value("SubState"),
        file: value("UnitFileState"),
        path: value("FragmentPath"),
    })
}

fn read_daemon(status: &Output, prefs: &Output) -> Daemon {
    match status.ending {
        Ending::TimedOut => return Daemon::Silent,
        // With --json, 0 means no more than that the daemon answered.
        Ending::Exited(0) => {}
        Ending::Exited(_) | Ending::Skipped | Ending::Unknown => return Daemon::Down(text::why(status)),
    }
    let status: Status = match serde_json::from_str(&status.stdout) {
        Ok(status) => status,
        Err(error) => {
            return Daemon::Unreadable(format!("the status is not what `tailscale status --json` prints: {error}"));
        }
    };
    // It answered one of two questions that were asked at the same moment.
    if !prefs.succeeded() && prefs.stderr.contains("ailed to connect to local ") {
        return Daemon::Changing;
    }
    if prefs.ending == Ending::TimedOut {
        return Daemon::Silent;
    }
    if !prefs.succeeded() {
        return Daemon::Unreadable(format!("`tailscale debug prefs` failed: {}", text::why(prefs)));
    }
    match serde_json::from_str(&prefs.stdout) {
        Ok(prefs) => Daemon::Answers(status, prefs),
        Err(error) => {
            Daemon::Unreadable(format!("the preferences are not what `tailscale debug prefs` prints: {error}"))
        }
    }
}
