//! One host: what is installed, who may do what, and the daemon with its state on disk and in memory.
//!
//! Plain data that serialises, so that a stand-in program can load it, act and store it. Not for: behaviour, which stands
//! beside each program ([`crate::daemon`], [`crate::up`], [`crate::systemd`], [`crate::packages`]).

use serde::{Deserialize, Serialize};

use crate::release::Release;

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Machine {
    /// The machine key: by it a control server knows the machine again.
    pub id: String,
    /// The operating system's host name.
    pub hostname: String,
    /// What `uname -s` prints.
    pub kernel: String,
    /// `/etc/os-release`, if there is one.
    pub os_release: Option<String>,
    /// What the login user may do.
    pub sudo: Sudo,
    /// Whether systemd runs.
    pub systemd: bool,
    /// Whether `curl` is installed.
    pub curl: bool,
    /// The release of the installed client and daemon.
    pub client: Option<String>,
    /// `tailscaled.service`.
    pub unit: Unit,
    /// What stands in the way of a package.
    pub apt: Apt,
    /// The daemon.
    pub daemon: Daemon,
    /// How long the daemon takes to its first answer, in milliseconds.
    pub boot_ms: u64,
    /// How long after a log-in the control server's map comes: until then the machine is not online, and has no tags.
    #[serde(default)]
    pub map_ms: u64,
}

/// What the login user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sudo {
    /// It is root.
    Root,
    /// `sudo -n` works.
    Free,
    /// sudo wants a password.
    Password,
    /// sudo does not know the user.
    NotAllowed,
    /// sudo wants a terminal.
    Terminal,
    /// There is no sudo.
    Missing,
}

/// `tailscaled.service` as systemd sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Unit {
    /// The unit file is there.
    pub present: bool,
    /// Starts at boot.
    pub enabled: bool,
    /// Cannot be started.
    pub masked: bool,
    /// What systemd did with it last.
    pub active: Active,
    /// Why the daemon ends as soon as it is started, if it does: `/dev/net/tun` is missing.
    #[serde(default)]
    pub broken: bool,
    /// The process is there and its socket does not answer.
    #[serde(default)]
    pub hung: bool,
}

/// What systemd did with a unit last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Active {
    /// Not started.
    Inactive,
    /// Runs.
    Running,
    /// Was started and ended.
    Failed,
}

/// What stands in the way of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Apt {
    /// A lock that another process holds.
    #[serde(default)]
    pub lock: Option<Lock>,
    /// Free space.
    #[serde(default)]
    pub disk: Disk,
    /// The state of a repository that is not Tailscale's.
    #[serde(default)]
    pub other_repository: OtherRepository,
    /// The package's scripts do not start the daemon (`policy-rc.d`).
    #[serde(default)]
    pub starts_nothing: bool,
    /// The package `tailscale`.
    #[serde(default)]
    pub tailscale: Package,
    /// The package `tailscale-archive-keyring`.
    #[serde(default)]
    pub keyring: Package,
    /// `dpkg` was killed at its work: `apt-get` does nothing before that is mended.
    #[serde(default)]
    pub interrupted: bool,
}

/// How `dpkg` has a package.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Package {
    /// Not at all.
    #[default]
    Absent,
    /// It was being unpacked when that was cut off.
    HalfInstalled,
    /// Unpacked, and not set up.
    Unpacked,
    /// It was being set up when that was cut off.
    HalfConfigured,
    /// In order.
    Installed,
}

/// A lock that another process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    /// Which one.
    pub which: Which,
    /// Until when, in the clock of the calls.
    pub until_ms: u64,
}

/// The locks of apt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// `/var/lib/dpkg/lock-frontend`.
    Dpkg,
    /// `/var/lib/apt/lists/lock`.
    Lists,
}

/// Free space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// Enough.
    #[default]
    Enough,
    /// Not for the download.
    NoDownload,
    /// Not for unpacking; the package is left half-configured.
    NoUnpack,
}

/// The state of a repository that is not Tailscale's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OtherRepository {
    /// In order.
    #[default]
    Fine,
    /// Not signed: nothing can be installed.
    Unsigned,
    /// Its host does not resolve: a warning.
    Unresolvable,
}

/// The daemon's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Daemon {
    /// On disk: there is one once the machine has logged in, until it logs out.
    pub profile: Option<Profile>,
    /// The preferences that hold now. Of a machine that never logged in they live in memory only.
    pub prefs: Prefs,
    /// What a restart clears.
    pub memory: Memory,
}

/// What the daemon keeps on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Profile {
    /// The key of this log-in.
    pub node_key: String,
    /// Who logged in, as the control server says.
    pub user: u32,
}

/// What the daemon keeps in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Memory {
    /// When it was started.
    pub started_ms: u64,
    /// What the control server last said of this machine.
    pub netmap: Option<Netmap>,
    /// The connection to the control server is open.
    pub online: bool,
    /// A log-in that failed and goes on being tried.
    pub attempt: Option<Attempt>,
    /// Where a person was asked to log in.
    pub auth_url: String,
    /// The control client is gone for good (`--ssh` on a tailnet that does not allow it).
    pub no_control: bool,
    /// The next `up` reports this error of an earlier key, and its own key is tried a second later.
    pub stale_error: Option<String>,
    /// When the control server's map comes.
    #[serde(default)]
    pub map_at_ms: u64,
    /// Until when it is what its last map said, whatever the control server says now: it was brought up just now.
    #[serde(default)]
    pub old_map_until_ms: u64,
    /// The node key is on disk and no longer known here.
    #[serde(default)]
    pub lost_key: bool,
}

/// What a control server last said of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Netmap {
    /// The tailnet's DNS suffix.
    pub suffix: String,
    /// Its organisation.
    pub org: String,
    /// Whether it is Headscale's.
    pub headscale: bool,
    /// The node's number.
    pub id: u32,
    /// The name asked for.
    pub hostname: String,
    /// The name given.
    pub label: String,
    /// The tags.
    pub tags: Vec<String>,
    /// When the key expires.
    pub expiry_ms: Option<u64>,
    /// The key has expired.
    pub expired: bool,
    /// Approved.
    pub authorized: bool,
    /// There is a relay region.
    pub relays: bool,
}

/// A log-in that goes on being tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Attempt {
    /// The key.
    pub key: String,
    /// A new node key is asked for.
    pub new_key: bool,
    /// The last error, if the client learned of one.
    pub error: Option<String>,
    /// The server said no, where it did not just fail to answer.
    pub refused: bool,
    /// Not tried before this time.
    #[serde(default)]
    pub not_before_ms: u64,
}

/// The preferences, named as `tailscale debug prefs` names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "the real thing has as many")]
#[allow(missing_docs, reason = "the names are Tailscale's own")]
pub struct Prefs {
    pub control_url: String,
    pub route_all: bool,
    pub exit_node_id: String,
    pub exit_node_ip: String,
    pub exit_node_allow_lan_access: bool,
    pub corp_dns: bool,
    pub run_ssh: bool,
    pub want_running: bool,
    pub logged_out: bool,
    pub shields_up: bool,
    pub advertise_tags: Vec<String>,
    pub hostname: String,
    pub advertise_routes: Vec<String>,
    pub no_snat: bool,
    pub no_stateful_filtering: bool,
    pub netfilter_mode: u8,
    pub advertise_connector: bool,
    pub posture_checking: bool,
    pub operator_user: String,
}

impl Prefs {
    /// What a daemon has that never logged in.
    #[must_use]
    pub fn fresh(release: Release) -> Self {
        Self {
            control_url: String::new(),
            route_all: release.accepts_routes_when_fresh(),
            exit_node_id: String::new(),
            exit_node_ip: String::new(),
            exit_node_allow_lan_access: false,
            corp_dns: true,
            run_ssh: false,
            want_running: false,
            logged_out: true,
            shields_up: false,
            advertise_tags: Vec::new(),
            hostname: String::new(),
            advertise_routes: Vec::new(),
            no_snat: false,
            no_stateful_filtering: true,
            netfilter_mode: 2,
            advertise_connector: false,
            posture_checking: false,
            operator_user: String::new(),
        }
    }
}

impl Machine {
    /// The release that is installed, if any.
    #[must_use]
    pub fn release(&self) -> Option<Release> {
        self.client.as_deref().and_then(Release::parse)
    }
}
