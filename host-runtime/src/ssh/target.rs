//! From what a project's file says of a host to all that a connection needs to know.
//!
//! When the `ssh` program is there it is asked (`ssh -G`), so that aliases, `Match`, `Include` and jump hosts work as
//! they do on the operator's own command line; what the project's file says wins over its answer. Without the program,
//! what the file says and OpenSSH's defaults are all there is. Not for: connecting, and judging host keys.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use boundary::known_hosts::Pin;
use boundary::text;
use zeroize::Zeroizing;

use super::ahead::Ahead;
use super::alike::{Alike, Asked, Said};
use super::config::{Dump, Tokens};
use super::jump::{Chain, Chains};
use super::name::{Hop, host_name, place, user_name};
use crate::failure::{Failed, Kind};
use crate::program::{self, Answer};
use crate::until::{Until, Wake};

/// How long `ssh -G` may take: `Match exec` runs programs, and canonical host names ask the name server.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much `ssh -G` may print, in bytes.
pub(super) const MOST: usize = 1 << 20;

/// What a project's file says of how to reach a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The logical name; without an address it is an alias of `ssh_config`.
    pub name: String,
    /// A host name or an IP address.
    pub address: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// Who logs in.
    pub user: Option<String>,
    /// A private key file, tried before any other key. `~/` is the home directory.
    pub identity: Option<PathBuf>,
    /// The file that knows the host's key, instead of those that `ssh_config` names. It stands in front of those that
    /// `ssh_config` names for the host's jump hosts.
    pub known_hosts: Option<PathBuf>,
    /// Whether the files that `ssh_config` names count too, behind `known_hosts`.
    pub also_ssh_configs: bool,
    /// The keys that the server may show. Where there is one, the files are only asked for revocations.
    pub host_keys: Vec<Pin>,
    /// Read instead of the user's and the system's `ssh_config`, as by `ssh -F`.
    pub config: Option<PathBuf>,
    /// The jump hosts, as for `ssh -J`, instead of those that `ssh_config` names; `none` is none.
    pub jump: Option<String>,
    /// The name under which the files know the host's key, where that is not the address; with the same port.
    pub known_as: Option<String>,
}

impl Endpoint {
    /// A host that `ssh_config` knows by this name, reached as `ssh NAME` would.
    #[must_use]
    pub fn alias(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Whether what it says may reach a command line.
    pub(super) fn is_harmless(&self) -> bool {
        host_name("address", self.address.as_ref().unwrap_or(&self.name)).is_ok()
            && self.user.as_deref().is_none_or(|user| user_name(user).is_ok())
    }
}

impl fmt::Display for Endpoint {
    /// `user@address:port`, as far as they are known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.address.as_ref().unwrap_or(&self.name).clone();
        write!(f, "{}", Hop { user: self.user.clone(), host, port: self.port })
    }
}

/// Asks a person for the passphrase of a key file; `None` when there is nobody to ask.
pub type Passphrases = Arc<dyn Fn(&Path) -> Option<Zeroizing<String>> + Send + Sync>;

/// Where and how to connect; made by [`resolve`].
#[derive(Clone)]
pub struct Target {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) key_alias: Option<String>,
    /// The name under which the files know its key, at its port.
    pub(super) known_as: Option<String>,
    /// The user's files; the first is where a new key is written.
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) global_known_hosts: Vec<PathBuf>,
    pub(super) hash_known_hosts: bool,
    /// The keys that the inventory names; no other is taken where there is one.
    pub(super) host_keys: Vec<Pin>,
    /// The key that the project's file names.
    pub(super) identity: Option<PathBuf>,
    /// The keys that `ssh_config` names.
    pub(super) identities: Vec<PathBuf>,
    pub(super) identities_only: bool,
    pub(super) agent: Option<PathBuf>,
    pub(super) family: Family,
    pub(super) address_limit: Option<Duration>,
    pub(super) route: Route,
    pub(super) gate: String,
    pub(super) passphrases: Option<Passphrases>,
}

/// Which addresses of a name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    V4,
    V6,
}

/// What carries the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Direct,
    /// Over jump hosts.
    Jump(Chain),
    /// A line for the user's shell.
    Command(String),
}

impl Target {
    /// The logical name of the host.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who logs in.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The server or the jump host whose `MaxStartups` counts: connections with the same gate should not start all at
    /// once.
    #[must_use]
    pub fn gate(&self) -> &str {
        &self.gate
    }

    /// One address keeps us waiting no longer than this, unless `ssh_config` says otherwise.
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> Self {
        self.address_limit.get_or_insert(limit);
        self
    }

    /// The same host with less patience than it has, for one that is reached without anything in between: where it does not
    /// answer in that time, another way may.
    #[must_use]
    pub(crate) fn hasty(&self, limit: Duration) -> Option<Self> {
        let has_more = self.address_limit.is_none_or(|own| own > limit);
        (has_more && self.route == Route::Direct).then(|| Self { address_limit: Some(limit), ..self.clone() })
    }

    /// How long one address may keep us waiting, where that is bounded.
    #[cfg(test)]
    pub(crate) fn waits(&self) -> Option<Duration> {
        self.address_limit
    }

    /// The jump hosts on the way, in the order in which they are passed, each as a host of its own.
    pub fn jumps(&self) -> impl Iterator<Item = &Endpoint> {
        let chain = match &self.route {
            Route::Jump(chain) => Some(chain),
            _ => None,
        };
        chain.into_iter().flat_map(|chain| chain.jumps.iter().map(|jump| &jump.endpoint))
    }

    /// Gives a way to ask for the passphrase of an encrypted key file. Without one, such a key works only through an
    /// agent.
    #[must_use]
    pub fn ask_passphrases(mut self, ask: Passphrases) -> Self {
        self.passphrases = Some(ask);
        self
    }

    /// The name that `known_hosts` has for it, with its port. An alias stands for the host at any port.
    pub(super) fn known_name(&self) -> (String, u16) {
        match &self.key_alias {
            Some(alias) => (alias.clone(), 22),
            None => (self.known_as.as_ref().unwrap_or(&self.host).clone(), self.port),
        }
    }

    /// `host:port`, an IPv6 address in brackets.
    pub(crate) fn place(&self) -> String {
        place(&self.host, self.port)
    }
}

impl fmt::Display for Target {
    /// `user@host:port`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.place())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("to", &self.to_string())
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

/// Why a host's entry does not say where to connect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A name that must not reach a command line.
    #[error(
        "the {what} {found:?} cannot be a host name: it is empty, begins with `-`, or holds characters other than \
         letters, digits, `.`, `-`, `_` and `:`"
    )]
    HostName {
        /// Where it stands: `name`, `address`, `HostName` or `jump host`.
        what: &'static str,
        /// What stands there.
        found: String,
    },
    /// A user name that must not reach a command line.
    #[error("the user {found:?} cannot be a user name: it is empty, begins with `-`, or holds shell characters")]
    User {
        /// What stands there.
        found: String,
    },
    /// An alias and no `ssh`.
    #[error("host {name} has no address, and there is no `ssh` program to look it up as an alias of ssh_config")]
    NoSsh {
        /// The host.
        name: String,
    },
    /// Nobody to log in as.
    #[error("host {name} has no user, and it is not known who runs this (neither $USER nor $LOGNAME is set)")]
    NoUser {
        /// The host.
        name: String,
    },
    /// `ssh -G` failed.
    #[error("ssh_config could not be read for host {name}: {reason}")]
    Ssh {
        /// The host.
        name: String,
        /// What `ssh -G` said.
        reason: String,
    },
    /// The deadline passed while `ssh -G` ran.
    #[error("the deadline passed while `ssh -G` looked host {name} up")]
    Deadline {
        /// The host.
        name: String,
    },
    /// The run was cancelled while `ssh -G` ran.
    #[error("cancelled while `ssh -G` looked host {name} up")]
    Cancelled {
        /// The host.
        name: String,
    },
    /// Something that `ssh_config` asks for and that must not be passed over in silence.
    #[error("host {name}: ssh_config sets `{option}`, which is not supported")]
    Unsupported {
        /// The host.
        name: String,
        /// The option and its value.
        option: String,
    },
}

/// Where a user is named.
const USER: &str = "the host's entry, or under `infra.bootstrap.ssh`";

impl ResolveError {
    /// As a host's failure.
    #[must_use]
    pub fn failed(&self) -> Failed {
        let (found, wanted, next) = match self {
            ResolveError::HostName { what, found } => (
                format!("{} as {what}", text::one_line(found)),
                "a name, an address, or an alias of ssh_config",
                "correct the host's entry, or its HostName in ssh_config".to_owned(),
            ),
            ResolveError::User { found } => (text::one_line(found), "a user of the host", format!("correct {USER}")),
            ResolveError::NoUser { .. } => {
                ("no user anywhere".to_owned(), "a user of the host", format!("name the user in {USER}"))
            }
            ResolveError::NoSsh { .. } => (
                "neither an address nor `ssh`".to_owned(),
                "one of them",
                "give the host an address, or install the OpenSSH client".to_owned(),
            ),
            ResolveError::Ssh { name, reason } => {
                (text::one_line(reason), "an ssh_config that can be read", format!("`ssh -G {name}` shows it"))
            }
            ResolveError::Unsupported { option, .. } => {
                (text::one_line(option), "an ssh_config without it", "take the option away for this host".to_owned())
            }
            ResolveError::Deadline { .. } => (
                "`ssh -G` had not ended".to_owned(),
                "an answer within the time for one host (--timeout)",
                "give more time with --timeout, or find out what `Match exec` in ssh_config waits for".to_owned(),
            ),
            ResolveError::Cancelled { .. } => {
                ("the run was told to end while `ssh -G` ran".to_owned(), "its answer", "{run up @hosts}".to_owned())
            }
        };
        let kind = match self {
            ResolveError::Deadline { .. } => Kind::TimedOut,
            ResolveError::Cancelled { .. } => Kind::Cancelled,
            _ => Kind::Unreachable,
        };
        Failed::host(kind, self.to_string(), format!("found: {found}\nwanted: {wanted}\ndo: {next}"))
    }
}

/// Finds out where and how to connect.
///
/// # Errors
/// See [`ResolveError`]. Nothing is sent over the network, except what the user's own `ssh_config` asks for.
pub fn resolve(endpoint: &Endpoint, until: &Until) -> Result<Target, ResolveError> {
    Resolver::here().resolve(endpoint, until)
}

/// Finds out where and how to connect to the hosts of a run: as [`resolve`], and `ssh` is asked once for hosts that
/// `ssh_config` does not tell apart. What this machine adds is looked at once, so that tests can say it.
pub(crate) struct Resolver {
    ssh: &'static str,
    home: Option<PathBuf>,
    user: Option<String>,
    agent: Option<PathBuf>,
    alike: Alike,
    pub(super) ahead: Ahead,
    pub(super) chains: Chains,
}

impl Resolver {
    /// For this machine, as it is now.
    pub(crate) fn here() -> Self {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            ssh: "ssh",
            home: var("HOME").map(PathBuf::from),
            user: var("USER").or_else(|| var("LOGNAME")).and_then(|name| name.into_string().ok()),
            agent: var("SSH_AUTH_SOCK").map(PathBuf::from),
            alike: Alike::default(),
            ahead: Ahead::default(),
            chains: Chains::default(),
        }
    }

    /// See [`resolve`].
    pub(crate) fn resolve(&self, endpoint: &Endpoint, until: &Until) -> Result<Target, ResolveError> {
        let name = &endpoint.name;
        let asked = match &endpoint.address {
            Some(address) => host_name("address", address)?,
            None => host_name("name", name)?,
        };
        if let Some(user) = &endpoint.user {
            user_name(user)?;
        }
        let (dump, ssh_is_here) = match self.dump(endpoint, asked, until)? {
            Some(dump) => (dump, true),
            None if endpoint.address.is_none() => return Err(ResolveError::NoSsh { name: name.clone() }),
            None => (Arc::default(), false),
        };
        if dump.is_yes("proxyusefdpass") {
            return Err(ResolveError::Unsupported { name: name.clone(), option: "ProxyUseFdpass yes".to_owned() });
        }
        if let Some(file) = dump.get("revokedhostkeys") {
            return Err(ResolveError::Unsupported { name: name.clone(), option: format!("RevokedHostKeys {file}") });
        }

        let host = match &endpoint.address {
            Some(address) => address.clone(),
            None => dump.get("hostname").unwrap_or(asked).to_owned(),
        };
        host_name("HostName", &host)?;
        let port = endpoint.port.or_else(|| dump.get("port")?.parse().ok()).unwrap_or(22);
        let user = endpoint.user.as_deref().or(dump.get("user")).or(self.user.as_deref());
        let user = user.ok_or_else(|| ResolveError::NoUser { name: name.clone() })?.to_owned();
        user_name(&user)?;
        let key_alias = dump.get("hostkeyalias").map(str::to_owned);
        let tokens = Tokens {
            home: self.home.as_deref(),
            name: asked,
            host: &host,
            key_alias: key_alias.as_deref().unwrap_or(&host),
            port,
            user: &user,
            local_user: self.user.as_deref().unwrap_or(&user),
        };

        let files = |option: &str, defaults: &[&str]| -> Vec<PathBuf> {
            let named = if ssh_is_here { dump.files(option) } else { defaults.iter().map(|&f| f.to_owned()).collect() };
            named.iter().map(|file| tokens.path(file)).collect()
        };
        let mut known_hosts: Vec<PathBuf> = endpoint.known_hosts.iter().map(|file| self.in_home(file)).collect();
        let mut global_known_hosts = Vec::new();
        if known_hosts.is_empty() || endpoint.also_ssh_configs {
            known_hosts.extend(files("userknownhostsfile", &["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]));
            let system = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];
            global_known_hosts = files("globalknownhostsfile", &system);
        }
        let identities = if ssh_is_here {
            dump.all("identityfile").map(|file| tokens.path(file)).collect()
        } else {
            ["~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519"].map(|file| tokens.path(file)).to_vec()
        };
        let agent = match dump.raw("identityagent") {
            None | Some("SSH_AUTH_SOCK") => self.agent.clone(),
            Some("none") => None,
            Some(value) => match value.strip_prefix('$') {
                Some(variable) => std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from),
                None => Some(tokens.path(value)),
            },
        };
        let (route, gate) = self.route(&dump, &tokens, endpoint, until)?;

        Ok(Target {
            name: name.clone(),
            known_hosts,
            global_known_hosts,
            hash_known_hosts: dump.is_yes("hashknownhosts"),
            host_keys: endpoint.host_keys.clone(),
            identity: endpoint.identity.as_deref().map(|file| self.in_home(file)),
            identities,
            identities_only: dump.is_yes("identitiesonly"),
            agent,
            family: match dump.get("addressfamily") {
                Some("inet") => Family::V4,
                Some("inet6") => Family::V6,
                _ => Family::Any,
            },
            address_limit: dump.get("connecttimeout").and_then(|s| s.parse().ok()).map(Duration::from_secs),
            route,
            gate,
            passphrases: None,
            key_alias,
            known_as: endpoint.known_as.clone(),
            host,
            port,
            user,
        })
    }

    /// What `ssh -G` says of `asked`, or of a host like it; `None` when there is no such program.
    fn dump(&self, endpoint: &Endpoint, asked: &str, until: &Until) -> Result<Option<Arc<Dump>>, ResolveError> {
        let ask = || self.ask(endpoint, asked, until);
        if endpoint.address.is_none() {
            return Ok(ask()?.map(|said| Arc::new(said.dump)));
        }
        if let Some(dump) = self.heard(endpoint, until) {
            return Ok(Some(dump));
        }
        self.alike(endpoint, asked, ask)
    }

    /// What is known of a host like this, or what `ask` brings.
    pub(super) fn alike(
        &self,
        endpoint: &Endpoint,
        address: &str,
        ask: impl FnOnce() -> Result<Option<Said>, ResolveError>,
    ) -> Result<Option<Arc<Dump>>, ResolveError> {
        let (port, user) = (endpoint.port.is_some(), endpoint.user.is_some());
        self.alike.answer(Asked { config: endpoint.config.as_deref(), address, port, user }, ask)
    }

    /// What carries the bytes to the host, and whose `MaxStartups` counts.
    fn route(
        &self,
        dump: &Dump,
        tokens: &Tokens<'_>,
        endpoint: &Endpoint,
        until: &Until,
    ) -> Result<(Route, String), ResolveError> {
        let direct = || (Route::Direct, place(tokens.host, tokens.port));
        let own = endpoint.jump.as_deref();
        if let Some(chain) = own.or(dump.get("proxyjump")).filter(|chain| *chain != "none") {
            let mut hops =
                chain.split(',').map(|hop| Hop::parse(&tokens.expand(hop))).collect::<Result<Vec<_>, _>>()?;
            // The jump hosts of a whole fleet may be members of it: such a one is behind those before it only.
            let itself = |hop: &Hop| {
                [tokens.name, tokens.host, &endpoint.name].contains(&&*hop.host)
                    && hop.port.is_none_or(|port| port == tokens.port)
            };
            if own.is_some()
                && let Some(place) = hops.iter().position(itself)
            {
                hops.truncate(place);
            }
            if hops.is_empty() {
                return Ok(direct());
            }
            let jumps = self.jumps(hops, own.is_some(), endpoint, until)?;
            let chain = Chain { jumps, to: place(tokens.host, tokens.port) };
            let first = chain.first();
            return Ok((Route::Jump(chain), first));
        }
        // Whoever names jump hosts, or none, wants no other way.
        Ok(match dump.get("proxycommand").filter(|_| own.is_none()) {
            // The template is the same for every host behind the same proxy.
            Some(template) => (Route::Command(tokens.expand(template)), template.to_owned()),
            None => direct(),
        })
    }

    /// `~` is the home of this user.
    pub(super) fn in_home(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.to_owned(),
        }
    }

    pub(super) fn ask(&self, endpoint: &Endpoint, asked: &str, until: &Until) -> Result<Option<Said>, ResolveError> {
        self.read(&endpoint.name, |limit| program::ask(&mut self.question(endpoint, asked), MOST, limit), until)
    }

    /// The question, put to `ssh`.
    pub(super) fn question(&self, endpoint: &Endpoint, asked: &str) -> Command {
        let mut command = Command::new(self.ssh);
        // With `-v` it says which files it reads.
        command.args(["-G", "-v"]);
        if let Some(file) = &endpoint.config {
            command.arg("-F").arg(file);
        }
        if let Some(port) = endpoint.port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(user) = &endpoint.user {
            command.args(["-l", user]);
        }
        command.args(["--", asked]);
        command
    }

    /// What `ssh` says of the host of this name, by `answer`, which is given a limit to wait.
    pub(super) fn read(
        &self,
        name: &str,
        answer: impl FnOnce(&Until) -> std::io::Result<Answer>,
        until: &Until,
    ) -> Result<Option<Said>, ResolveError> {
        let failed = |reason| ResolveError::Ssh { name: name.to_owned(), reason };
        match answer(&until.sooner(PATIENCE)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(match until.over() {
                Some(Wake::Cancelled) => ResolveError::Cancelled { name: name.to_owned() },
                Some(_) => ResolveError::Deadline { name: name.to_owned() },
                None => failed(format!("`ssh -G` did not answer in {} s", PATIENCE.as_secs())),
            }),
            Err(error) => Err(failed(format!("`ssh -G`: {error}"))),
            Ok(Answer { status, stdout, stderr }) if status.success() => Ok(Some(Said {
                dump: Dump::parse(&String::from_utf8_lossy(&stdout)),
                log: String::from_utf8_lossy(&stderr).into_owned(),
            })),
            Ok(Answer { status, stderr, .. }) => {
                let said = String::from_utf8_lossy(&stderr);
                let words: Vec<&str> = said.lines().map(str::trim).filter(|line| !is_chatter(line)).collect();
                Err(failed(format!("`ssh -G` ended with {status}: {}", words.join(" "))))
            }
        }
    }
}

/// Whether this line of `ssh -v` is there for `-v` only.
fn is_chatter(line: &str) -> bool {
    line.is_empty() || line.starts_with("debug1: ") || line.starts_with("OpenSSH_")
}

#[cfg(test)]
pub(super) mod tests;
