//! `stagecraft.yml`: the network that is wanted, and the hosts that should be in it.
//!
//! It is Stagecraft's own file. The sections that are ours (`network`, `environments.<env>.network`, `infra.hosts`,
//! `infra.inventory`, `infra.bootstrap.ssh`) are read strictly, the rest in silence, and everything that is wrong comes
//! at once, each finding with its line and column, before any connection is made (F7, F8). What stands under
//! `network.providers.<id>` goes to the provider as it is; its findings come back with their place.
//!
//! | file | is for |
//! |---|---|
//! | `yaml`, `values`, `sections` | the file: text to tree, tree to values, values to our sections |
//! | `keys`, `describe` | the table of keys, and what is made of it: documentation, a schema |
//! | `config` | the provider's config, from its layers to JSON and back to a place |
//! | `source`, `hosts` | lists of hosts from elsewhere, and one host out of all that speak of it |
//! | `check` | what is wrong between parts that are right one by one |
//! | `select`, `via` | which hosts are meant, and which of their addresses |
//!
//! Not for: connecting to hosts, nor knowing any provider.
//!
//! ```
//! use stagecraft_net::inventory;
//!
//! let text = "
//! network:
//!   provider: demo
//!   providers:
//!     demo: {domain: example.net, default_tags: [fleet], role_tags: {app: [web]}}
//! infra:
//!   bootstrap: {ssh_user: deploy}
//!   hosts:
//!     dev:
//!       app-1: {address: 203.0.113.7, roles: [app]}
//! ";
//! // A real caller asks a registry; here every provider takes every config.
//! let (inventory, _) = inventory::parse(text, "stagecraft.yml".as_ref(), "dev", |_, _| Ok(()))?;
//! let host = &inventory.hosts()[0];
//! assert_eq!((host.name.as_str(), host.user.as_deref()), ("app-1", Some("deploy")));
//! assert_eq!(host.tags, ["fleet", "web"]);
//! # Ok::<(), inventory::LoadError>(())
//! ```

mod check;
mod config;
mod describe;
mod finding;
mod hosts;
mod keys;
mod reading;
mod sections;
pub mod select;
mod source;
mod values;
mod via;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boundary::known_hosts::Pin;

use crate::contract::Diagnostic;
use crate::network::Network;
use config::Config;
pub use describe::{reference, schema};
use finding::{COMMAND_LINE, nearest};
pub use finding::{Finding, Invalid, Place};
pub use reading::{LoadError, Named, Reading, load, parse};
pub use source::{SourceFailed, read_list};
pub use values::time;
pub use via::Via;

/// A host as the file has it, and the lists that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostSpec {
    /// Its logical name, a DNS label.
    pub name: String,
    /// Where it is reached: its public address, or else its private one; none makes its name an alias of the ssh_config.
    pub address: Option<String>,
    /// Where it is reached from inside its own network.
    pub private_address: Option<String>,
    /// The name under which the key of its server is known, where that is not the address.
    pub known_as: Option<String>,
    /// Its SSH port, or the one for all.
    pub port: Option<u16>,
    /// Its SSH user, or the one for all.
    pub user: Option<String>,
    /// The keys that its server may show, if the inventory says so; then no other is taken.
    pub host_keys: Vec<Pin>,
    /// The private key for all.
    pub private_key: Option<PathBuf>,
    /// The `known_hosts` file for all.
    pub known_hosts: Option<PathBuf>,
    /// The ssh_config for all, instead of the user's and the system's.
    pub ssh_config: Option<PathBuf>,
    /// The jump hosts for all, as for `ssh -J`.
    pub jump: Option<String>,
    /// Whether sudo's password is to be asked for.
    pub ask_sudo: bool,
    /// Its roles, in the order of the file.
    pub roles: Vec<String>,
    /// The sorted union of the default tags, those of its roles, and its own.
    pub tags: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where it stands in the file, or the list that has it; none for what the command line brought.
    pub place: Option<Place>,
}

/// What gives a host its name in the network, as [`Network`] does; `()` knows no names.
pub trait FullNames {
    /// The name of the host of this logical name.
    fn full_name(&self, host: &str) -> Option<String>;
}

impl FullNames for Network {
    fn full_name(&self, host: &str) -> Option<String> {
        self.node_fqdn(host).ok()
    }
}

impl FullNames for () {
    fn full_name(&self, _: &str) -> Option<String> {
        None
    }
}

/// A file that is right, for one environment.
pub struct Inventory {
    file: Option<PathBuf>,
    environment: String,
    provider: String,
    config: Config,
    hosts: Vec<HostSpec>,
    notes: Vec<Finding>,
}

/// Why a config was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such provider; these there are.
    UnknownProvider(Vec<String>),
    /// The provider found these.
    Findings(Vec<Diagnostic>),
}

impl Inventory {
    /// The file, as it was named; none where the command line says everything.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The environment.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// The id of the provider.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The hosts of the environment, sorted by name: the order of every result.
    #[must_use]
    pub fn hosts(&self) -> &[HostSpec] {
        &self.hosts
    }

    /// The host of this name.
    ///
    /// # Errors
    /// A sentence that names the nearest host that there is.
    pub fn host(&self, name: &str) -> Result<&HostSpec, String> {
        self.hosts.iter().find(|host| host.name == name).ok_or_else(|| {
            let hint = match nearest(name, self.hosts.iter().map(|host| host.name.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => match self.hosts.len() {
                    0 => "it has no hosts".to_owned(),
                    1 => format!("it has one host, `{}`", self.hosts[0].name),
                    many => format!("it has {many} hosts"),
                },
            };
            format!("no host `{name}` in environment `{}`: {hint}", self.environment)
        })
    }

    /// Warnings and notes about the file.
    #[must_use]
    pub fn notes(&self) -> &[Finding] {
        &self.notes
    }

    /// What the provider said of its config, as findings about the file.
    #[must_use]
    pub fn remarks(&self, said: &[Diagnostic]) -> Vec<Finding> {
        self.config.findings(said)
    }

    /// Where a part of the provider's config stands, by its JSON Pointer within that config: a place in the file, or the
    /// option of the command line that said it.
    ///
    /// # Errors
    /// The option, or that it is so by default.
    pub fn locate(&self, config_path: &str) -> Result<Place, &str> {
        self.config.locate(config_path)
    }

    /// The same for people: `stagecraft.yml:21:23`, or `--option`.
    #[must_use]
    pub fn whence(&self, config_path: &str) -> String {
        match (self.locate(config_path), &self.file) {
            (Ok(place), Some(file)) => format!("{}:{place}", file.display()),
            (Ok(_), None) => COMMAND_LINE.to_owned(),
            (Err(option), _) => option.to_owned(),
        }
    }
}

/// Without the config: a secret may stand in it by mistake.
impl std::fmt::Debug for Inventory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inventory")
            .field("file", &self.file)
            .field("environment", &self.environment)
            .field("provider", &self.provider)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// `~` is the home of this user; what is relative is relative to the folder of the file.
fn resolve(text: &str, file: &Path) -> PathBuf {
    match (text.strip_prefix('~'), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
        _ => file.parent().unwrap_or(Path::new("")).join(text),
    }
}

#[cfg(test)]
mod tests;
