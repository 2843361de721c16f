//! `stagecraft.yml`: the network that is wanted, and the hosts that should be in it.
//!
//! It is Stagecraft's own file. The sections that are ours (`network`, `infra.hosts`, `infra.bootstrap.ssh`) are read
//! strictly, the rest in silence, and everything that is wrong comes at once, each finding with its line and column,
//! before any connection is made (F7, F8). What stands under `network.providers.<id>` goes to the provider as it is; its
//! findings come back with their place. Not for: connecting to hosts, nor knowing any provider.
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
//! # Ok::<(), inventory::Invalid>(())
//! ```

mod config;
mod finding;
mod sections;
mod yaml;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use boundary::known_hosts::Pin;

use crate::contract::{Diagnostic, Severity};
use config::{Config, tag_index};
pub use finding::{Finding, Invalid, Place};
use finding::{child, nearest};
use sections::{RawHost, Sections};

/// A host as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostSpec {
    /// Its logical name, a DNS label.
    pub name: String,
    /// Where it is reached; none makes its name an alias of the ssh_config.
    pub address: Option<String>,
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
    /// Its roles, in the order of the file.
    pub roles: Vec<String>,
    /// The sorted union of the default tags, those of its roles, and its own.
    pub tags: Vec<String>,
    /// Where it stands in the file.
    pub place: Place,
}

/// A file that is right, for one environment.
pub struct Inventory {
    file: PathBuf,
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
    /// The file, as it was named.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
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
                None => format!("infra.hosts.{} has {} hosts", self.environment, self.hosts.len()),
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

    /// Where a part of the provider's config stands, by its JSON Pointer within that config.
    #[must_use]
    pub fn locate(&self, config_path: &str) -> Place {
        self.config.locate(config_path)
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

/// Reads a file for one environment. `configure` is given the provider's id and its config, and says what it found; it
/// may be asked twice, the second time with other default tags, since only the provider knows what a tag may look like.
///
/// # Errors
/// With everything that is wrong with the file, whether we found it or the provider.
pub fn load<N>(
    file: &Path,
    environment: &str,
    configure: impl FnMut(&str, &serde_json::Value) -> Result<N, Refusal>,
) -> Result<(Inventory, N), Invalid> {
    let unreadable = |code: &str, summary: String, detail: &str| {
        let finding = Finding { place: None, ..Finding::error(code, "", Place::START, summary).detail(detail) };
        Invalid::one(file, finding)
    };
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            unreadable("unreadable", format!("the file cannot be read: {error}"), "do: name it with -c/--config")
        })?;
    if bytes.len() > yaml::MAX_BYTES {
        let summary = format!("the file has more than {} MiB", yaml::MAX_BYTES >> 20);
        return Err(unreadable("too-large", summary, "do: name the right file with -c/--config"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, file, environment, configure),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let read = String::from_utf8_lossy(&error.as_bytes()[..at]).into_owned();
            let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let last = read.rsplit('\n').next().unwrap_or_default();
            let place =
                Place { line: number(read.matches('\n').count() + 1), column: number(last.chars().count() + 1) };
            Err(Invalid::one(file, Finding::error("not-utf8", "", place, "the file is not UTF-8 text")))
        }
    }
}

/// As [`load`], from text. `file` names it in messages, and relative paths in it are relative to its folder.
///
/// # Errors
/// As [`load`].
pub fn parse<N>(
    text: &str,
    file: &Path,
    environment: &str,
    mut configure: impl FnMut(&str, &serde_json::Value) -> Result<N, Refusal>,
) -> Result<(Inventory, N), Invalid> {
    let invalid = |mut findings: Vec<Finding>| {
        findings.sort_by(Finding::order);
        Invalid { file: file.to_owned(), findings }
    };
    let root = yaml::parse(text).map_err(invalid)?;
    let mut findings = Vec::new();
    let mut sections = sections::read(&root, environment, &mut findings);
    check_environment(&sections, environment, &mut findings);
    check_twins(&sections.hosts, &mut findings);

    let config = sections.provider.as_ref().zip(sections.config).map(|((id, place), entry)| {
        let base = child("/network/providers", id);
        (id.clone(), *place, Config::new(&entry.value, entry.place, base, &mut findings))
    });
    let mut network = None;
    if let Some((id, place, config)) = &config {
        check_roles(&sections.hosts, config, &mut findings);
        match configure(id, &config.json) {
            Ok(made) => {
                network = Some(made);
                check_tags(&sections.hosts, config, &mut findings, |json| configure(id, json).err());
            }
            Err(Refusal::Findings(said)) => findings.extend(config.findings(&said)),
            Err(Refusal::UnknownProvider(known)) => {
                let hint = match nearest(id, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known: {}", known.join(", ")),
                };
                let summary = format!("there is no network provider `{id}`");
                findings.push(Finding::error("unknown-provider", "/network/provider", *place, summary).detail(hint));
            }
        }
    }
    findings.sort_by(Finding::order);
    match (config, network) {
        (Some((provider, _, config)), Some(network)) if findings.iter().all(|one| one.severity != Severity::Error) => {
            let hosts = finish_hosts(&mut sections, &config, file);
            let (file, environment) = (file.to_owned(), environment.to_owned());
            Ok((Inventory { file, environment, provider, config, hosts, notes: findings }, network))
        }
        _ => Err(Invalid { file: file.to_owned(), findings }),
    }
}

fn check_environment(sections: &Sections<'_>, environment: &str, findings: &mut Vec<Finding>) {
    if sections.environments.iter().any(|known| known == environment) || sections.environments.is_empty() {
        return;
    }
    let hint = match nearest(environment, sections.environments.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?\nknown: {}", sections.environments.join(", ")),
        None => format!("known: {}\ndo: choose one with -e/--env", sections.environments.join(", ")),
    };
    let summary = format!("there is no environment `{environment}`");
    let place = sections.hosts_place.unwrap_or(Place::START);
    findings.push(Finding::error("unknown-environment", "/infra/hosts", place, summary).detail(hint));
}

/// One machine can have one name only.
fn check_twins(hosts: &[RawHost], findings: &mut Vec<Finding>) {
    let mut first: BTreeMap<(&str, Option<u16>), &RawHost> = BTreeMap::new();
    for host in hosts {
        let Some(address) = host.address.as_deref() else { continue };
        if let Some(twin) = first.insert((address, host.port), host) {
            let summary = format!("`{}` and `{}` have the same address and port", twin.name, host.name);
            findings.push(Finding::warning("same-address", &host.pointer, host.place, summary));
        }
    }
}

fn check_roles(hosts: &[RawHost], config: &Config, findings: &mut Vec<Finding>) {
    for host in hosts {
        for (index, (role, place)) in host.roles.iter().enumerate() {
            if let Some(hint) = config.unknown_role(role) {
                let pointer = child(&child(&host.pointer, "roles"), &index.to_string());
                let summary = format!("role `{role}` of host `{}` is not one of `role_tags`", host.name);
                let detail = format!("{hint}\ndo: a role without tags of its own stands there as `{role}: []`");
                findings.push(Finding::error("unknown-role", &pointer, *place, summary).detail(detail));
            }
        }
    }
}

/// Asks the provider about the tags that stand at the hosts: it knows the grammar, we do not.
fn check_tags(
    hosts: &[RawHost],
    config: &Config,
    findings: &mut Vec<Finding>,
    mut refused: impl FnMut(&serde_json::Value) -> Option<Refusal>,
) {
    let spots: Vec<(&RawHost, usize, &str, Place)> = hosts
        .iter()
        .flat_map(|host| host.tags.iter().enumerate().map(move |(n, (tag, place))| (host, n, tag.as_str(), *place)))
        .collect();
    let mut tags: Vec<&str> = spots.iter().map(|(_, _, tag, _)| *tag).collect();
    tags.sort_unstable();
    tags.dedup();
    if tags.is_empty() {
        return;
    }
    let Some(Refusal::Findings(said)) = config.with_tags(&tags).and_then(|json| refused(&json)) else { return };
    for (one, wrong) in said.iter().filter_map(|one| Some((one, *tags.get(tag_index(one)?)?))) {
        for (host, index, _, place) in spots.iter().filter(|(_, _, tag, _)| *tag == wrong) {
            findings.push(Finding {
                severity: one.severity,
                code: one.code.clone(),
                summary: one.summary.clone(),
                detail: one.detail.clone(),
                pointer: child(&child(&host.pointer, "tags"), &index.to_string()),
                place: Some(*place),
            });
        }
    }
}

fn finish_hosts(sections: &mut Sections<'_>, config: &Config, file: &Path) -> Vec<HostSpec> {
    let path = |text: &String| resolve(text, file);
    let (private_key, known_hosts) =
        (sections.ssh.private_key.as_ref().map(path), sections.ssh.known_hosts.as_ref().map(path));
    let words = |list: Vec<(String, Place)>| list.into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    let finish = |raw: RawHost| {
        let (roles, own) = (words(raw.roles), words(raw.tags));
        HostSpec {
            tags: config.tags(&roles, &own),
            name: raw.name,
            address: raw.address,
            port: raw.port.or(sections.ssh.port),
            user: raw.user.or_else(|| sections.ssh.user.clone()),
            host_keys: raw.host_keys,
            private_key: private_key.clone(),
            known_hosts: known_hosts.clone(),
            roles,
            place: raw.place,
        }
    };
    let mut hosts: Vec<HostSpec> = std::mem::take(&mut sections.hosts).into_iter().map(finish).collect();
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    hosts
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
