//! From a file, its lists and the command line to an [`Inventory`], or to everything that is wrong.
//!
//! Files are read first and commands last: a command of `infra.inventory` runs only when nothing else is wrong.
//! Not for: how any part of it is read.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::check;
use super::config::{Config, From as Origin, Layer};
use super::finding::{Finding, Invalid, Place, child, nearest};
use super::hosts::{Origin as HostOrigin, RawHost, Spot, Word, together};
use super::sections::{self, Environment, Sections, Ssh};
use super::source::{self, Missing, SourceFailed};
use super::yaml::{self, Entry, Node, Scalar, ScalarKind, Value};
use super::{FullNames, HostSpec, Inventory, Refusal, resolve};
use crate::contract::Severity;
use crate::until::{Cancel, Until};

/// What is to be read: a file, for one environment, and what the command line adds to it.
#[derive(Debug)]
pub struct Reading {
    file: PathBuf,
    environment: String,
    from: From,
    /// The provider and some of its keys, where no file names a network.
    otherwise: Option<(String, Vec<Setting>)>,
    settings: Vec<Setting>,
    lists: Vec<(String, Vec<u8>)>,
    hosts: Vec<Named>,
    cancel: Option<Cancel>,
}

#[derive(Debug)]
enum From {
    Disk,
    Text(String),
    /// There is no file.
    Nothing,
}

/// A key of the provider's config, set on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    /// With dots, such as `install.method`.
    key: String,
    value: String,
    /// The option that set it; none for what holds where nobody says it.
    option: Option<String>,
}

/// A host that was named on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Its logical name, a DNS label.
    pub name: String,
    /// Where it is reached; a harmless host name or address.
    pub address: String,
    /// Its SSH port.
    pub port: Option<u16>,
    /// Its SSH user.
    pub user: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// Why there is no inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The file is right, and a command that it names failed.
    #[error(transparent)]
    Source(#[from] SourceFailed),
}

/// Reads a file for one environment. `configure` is given the provider's id and its config, and says what it found; it
/// may be asked more than once, with other default tags, since only the provider knows what a tag may look like, and for
/// other environments, whose hosts may claim the same names.
///
/// # Errors
/// With everything that is wrong with the file, whether we found it or the provider; or with what an inventory's command
/// said last.
pub fn load<N: FullNames>(
    file: &Path,
    environment: &str,
    configure: impl FnMut(&str, &serde_json::Value) -> Result<N, Refusal>,
) -> Result<(Inventory, N), LoadError> {
    Reading::new(file, environment).load(configure)
}

/// As [`load`], from text. `file` names it in messages, and relative paths in it are relative to its folder.
///
/// # Errors
/// As [`load`].
pub fn parse<N: FullNames>(
    text: &str,
    file: &Path,
    environment: &str,
    configure: impl FnMut(&str, &serde_json::Value) -> Result<N, Refusal>,
) -> Result<(Inventory, N), LoadError> {
    Reading::new(file, environment).text(text).load(configure)
}

/// Every host that is known, and what is wrong with the lists that were read.
struct Gathered {
    hosts: Vec<RawHost>,
    findings: Vec<Finding>,
}

impl Reading {
    /// This file, for this environment.
    #[must_use]
    pub fn new(file: &Path, environment: &str) -> Self {
        Self {
            file: file.to_owned(),
            environment: environment.to_owned(),
            from: From::Disk,
            otherwise: None,
            settings: Vec::new(),
            lists: Vec::new(),
            hosts: Vec::new(),
            cancel: None,
        }
    }

    /// Instead of what the file holds.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.from = From::Text(text.to_owned());
        self
    }

    /// There is no file: what the command line says is all there is.
    #[must_use]
    pub fn without_file(mut self) -> Self {
        self.from = From::Nothing;
        self
    }

    /// Where the file names no network it is one of this provider, with these keys and values under what
    /// [`Reading::set`] says.
    #[must_use]
    pub fn otherwise(mut self, provider: &str, keys: &[(&str, &str)]) -> Self {
        let setting =
            |(key, value): &(&str, &str)| Setting { key: (*key).to_owned(), value: (*value).to_owned(), option: None };
        self.otherwise = Some((provider.to_owned(), keys.iter().map(setting).collect()));
        self
    }

    /// Sets a key of the provider's config, over what the file says. `option` is what the person wrote.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str, option: &str) -> Self {
        self.settings.push(Setting { key: key.to_owned(), value: value.to_owned(), option: Some(option.to_owned()) });
        self
    }

    /// One more list of hosts, which wins over all that the file says. `name` is what the person wrote.
    #[must_use]
    pub fn list(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self.lists.push((name.to_owned(), bytes));
        self
    }

    /// One more host.
    #[must_use]
    pub fn host(mut self, host: Named) -> Self {
        self.hosts.push(host);
        self
    }

    /// Ends a command that is running when it is cancelled.
    #[must_use]
    pub fn cancelled_by(mut self, cancel: &Cancel) -> Self {
        self.cancel = Some(cancel.clone());
        self
    }

    /// Reads it.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load<N: FullNames>(
        &self,
        configure: impl FnMut(&str, &serde_json::Value) -> Result<N, Refusal>,
    ) -> Result<(Inventory, N), LoadError> {
        self.load_ahead(|_, _| {}, configure)
    }

    /// As [`Reading::load`], and before the provider is asked anything, `ahead` is told of the hosts, and of every text that
    /// may mean something to the provider: for what takes its time and can begin meanwhile. Not where something was found wrong already, nor where a
    /// command has yet to name hosts.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load_ahead<N: FullNames>(
        &self,
        ahead: impl FnOnce(&[HostSpec], &[&str]),
        mut configure: impl FnMut(&str, &serde_json::Value) -> Result<N, Refusal>,
    ) -> Result<(Inventory, N), LoadError> {
        let root = match &self.from {
            From::Disk => yaml::read(&text_of(&self.file)?),
            From::Text(text) => yaml::read(text),
            From::Nothing => Ok((map(Vec::new()), Vec::new())),
        };
        let (root, mut findings) = root.map_err(|findings| self.invalid(findings))?;
        let mut sections = sections::read(&root, self.otherwise.is_some(), &mut findings);
        let otherwise = self.otherwise.as_ref().filter(|_| root.get("network").is_none());
        if let Some((provider, _)) = otherwise {
            sections.provider = Some((provider.clone(), Place::START));
        }
        check::environment(&sections, &self.environment, &mut findings);
        check::source_environments(&sections, &mut findings);

        let assumed = otherwise.iter().flat_map(|(_, keys)| keys);
        let settings: Vec<(Node, Option<&str>)> =
            assumed.chain(&self.settings).map(|one| (one.node(), one.option.as_deref())).collect();
        let config = sections.provider.as_ref().and_then(|(id, place)| {
            let own = sections.environments.get(&self.environment);
            let config = self.config(id, sections.config, own, &settings, &mut findings);
            if sections.config.is_none() && config.json.is_null() {
                // `sections` has told it, unless another environment has one.
                if findings.iter().all(|one| one.severity != Severity::Error) {
                    let summary = format!("provider `{id}` has no config in environment `{}`", self.environment);
                    let pointer = child("/network/providers", id);
                    let detail = format!(
                        "do: write it under network.providers.{id}, or under environments.{}.network",
                        self.environment
                    );
                    findings.push(Finding::error("missing-key", &pointer, *place, summary).detail(detail));
                }
                return None;
            }
            Some((id.clone(), *place, config))
        });
        let wrong = |all: &[Finding]| all.iter().any(|one| one.severity == Severity::Error);
        let commands = sections.sources.iter().any(|one| one.is_command() && one.is_for(&self.environment));
        let mut gathered = self.gather(&sections, false)?;
        if let Some((_, _, config)) = config.as_ref().filter(|_| !commands && !wrong(&findings)) {
            let mut texts = Vec::new();
            settings.iter().map(|(node, _)| node).chain([&root]).for_each(|node| node.texts(&mut texts));
            ahead(&finish(gathered.hosts.clone(), &sections.ssh, config, &self.file), &texts);
        }
        let mut network = match &config {
            Some((id, place, config)) => accepted(id, *place, config, configure(id, &config.json), &mut findings),
            None => None,
        };
        let mut judge = |gathered: &Gathered, network: &Option<N>| {
            let mut all = findings.clone();
            all.extend(gathered.findings.iter().cloned());
            check::twins(&gathered.hosts, &mut all);
            check::unreached(&gathered.hosts, &mut all);
            if let Some((id, _, config)) = &config {
                check::roles(&gathered.hosts, config, &mut all);
                check::tags(&gathered.hosts, config, &mut all, |json| configure(id, json).err());
                if let Some(network) = network {
                    let names = |other: &Environment<'_>, hosts: &[&str]| {
                        let theirs = self.config(id, sections.config, Some(other), &settings, &mut Vec::new());
                        let theirs = configure(id, &theirs.json).ok();
                        hosts.iter().map(|host| theirs.as_ref()?.full_name(host)).collect()
                    };
                    let mine = |host: &str| network.full_name(host);
                    check::claims(&self.environment, &gathered.hosts, &sections.environments, names, mine, &mut all);
                }
            }
            all.sort_by(Finding::order);
            all
        };

        let mut all = judge(&gathered, &network);
        if commands && network.is_some() && !wrong(&all) {
            gathered = self.gather(&sections, true)?;
            all = judge(&gathered, &network);
        }
        match (config, network.take()) {
            (Some((provider, _, config)), Some(network)) if !wrong(&all) => {
                let hosts = finish(gathered.hosts, &sections.ssh, &config, &self.file);
                let (file, environment) = (self.named(), self.environment.clone());
                Ok((Inventory { file, environment, provider, config, hosts, notes: all }, network))
            }
            _ => Err(self.invalid(all).into()),
        }
    }

    fn invalid(&self, mut findings: Vec<Finding>) -> Invalid {
        findings.sort_by(Finding::order);
        Invalid { file: self.named(), findings }
    }

    /// The file, where there is one.
    fn named(&self) -> Option<PathBuf> {
        (!matches!(self.from, From::Nothing)).then(|| self.file.clone())
    }

    /// The provider's config: what stands under the provider, the environment's over it, the command line's over both.
    fn config(
        &self,
        id: &str,
        base: Option<&Entry>,
        environment: Option<&Environment<'_>>,
        settings: &[(Node, Option<&str>)],
        findings: &mut Vec<Finding>,
    ) -> Config {
        let mut layers = Vec::new();
        if let Some(entry) = base {
            let from = Origin::File(child("/network/providers", id).into());
            layers.push(Layer { node: &entry.value, key: entry.place, from });
        }
        if let Some(entry) = environment.and_then(|environment| environment.network) {
            let above = child("/environments", environment.map_or("", |one| one.name.as_str()));
            layers.push(Layer {
                node: &entry.value,
                key: entry.place,
                from: Origin::File(child(&above, "network").into()),
            });
        }
        for (node, option) in settings {
            let from = option.map_or(Origin::Assumed, |option| Origin::Option(option.into()));
            layers.push(Layer { node, key: Place::START, from });
        }
        Config::new(&layers, findings)
    }

    /// The hosts of all sources that can be read now.
    fn gather(&self, sections: &Sections<'_>, commands: bool) -> Result<Gathered, SourceFailed> {
        let mut findings = Vec::new();
        let own = sections.environments.get(&self.environment);
        let mut sources: Vec<Vec<RawHost>> = vec![own.map(|one| one.cloud.clone()).unwrap_or_default()];
        let until = Until::after(std::time::Duration::MAX, &self.cancel()?);
        for source in sections.sources.iter().filter(|one| one.is_for(&self.environment)) {
            if source.is_command() && !commands {
                continue;
            }
            match source.fetch(&self.file, &self.environment, &until) {
                Ok(bytes) => {
                    let list = boundary::inventory::read(&bytes, source.format);
                    let name = source.name(&self.environment);
                    sources.push(source::hosts(list, &name, &source.at, &source.templates, &mut findings));
                }
                Err(Missing::File(why)) => {
                    let finding = Finding::error("unreadable", &source.at.pointer, source.at.place, why);
                    findings.push(finding.detail("do: write it, or take the entry away"));
                }
                Err(Missing::Command(failed)) => return Err(failed),
            }
        }
        sources.push(own.map(|one| one.hosts.clone()).unwrap_or_default());
        let at = Spot::option(Some("--hosts-from"));
        for (name, bytes) in &self.lists {
            let list = boundary::inventory::read(bytes, None);
            let hosts = source::hosts(list, name, &at, &[], &mut findings);
            sources.push(hosts);
        }
        sources.push(self.hosts.iter().map(Named::raw).collect());
        Ok(Gathered { hosts: together(sources), findings })
    }

    fn cancel(&self) -> Result<Cancel, SourceFailed> {
        self.cancel.clone().map_or_else(Cancel::new, Ok).map_err(|error| SourceFailed {
            file: self.file.clone(),
            place: None,
            summary: format!("this machine has no descriptor left: {error}"),
            detail: String::new(),
        })
    }
}

impl Named {
    fn raw(&self) -> RawHost {
        let tag = |text: &String| Word { text: text.clone(), at: Spot::option(Some("--tags")) };
        let tags = self.tags.iter().map(tag).collect();
        RawHost {
            address: Some(self.address.clone()),
            port: self.port,
            user: self.user.clone(),
            tags: Some(tags),
            ..RawHost::new(&self.name, Spot::option(None), HostOrigin::Words)
        }
    }
}

impl Setting {
    /// The value where its key says, with nothing around it.
    fn node(&self) -> Node {
        let scalar = |kind| node(Value::Scalar(Scalar { text: self.value.clone(), kind }));
        let value = match self.value.as_str() {
            "true" => scalar(ScalarKind::Bool(true)),
            "false" => scalar(ScalarKind::Bool(false)),
            text if text.starts_with(['[', '{']) => yaml::parse(text).unwrap_or_else(|_| scalar(ScalarKind::Text)),
            _ => scalar(ScalarKind::Text),
        };
        self.key
            .rsplit('.')
            .fold(value, |value, key| map(vec![Entry { key: key.to_owned(), place: Place::START, value }]))
    }
}

fn node(value: Value) -> Node {
    Node { place: Place::START, value }
}

fn map(entries: Vec<Entry>) -> Node {
    node(Value::Map(entries))
}

/// What the provider says of its config: a network, or findings.
fn accepted<N>(
    id: &str,
    place: Place,
    config: &Config,
    said: Result<N, Refusal>,
    findings: &mut Vec<Finding>,
) -> Option<N> {
    match said {
        Ok(network) => return Some(network),
        Err(Refusal::Findings(said)) => findings.extend(config.findings(&said)),
        Err(Refusal::UnknownProvider(known)) => {
            let hint = match nearest(id, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known.join(", ")),
            };
            let summary = format!("there is no network provider `{id}`");
            findings.push(Finding::error("unknown-provider", "/network/provider", place, summary).detail(hint));
        }
    }
    None
}

/// The file's text.
fn text_of(file: &Path) -> Result<String, Invalid> {
    let unreadable = |code: &str, summary: String, detail: &str| {
        Invalid::one(file, Finding::error(code, "", None, summary).detail(detail))
    };
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let write = if missing { ", or write one with `stagecraft-net init`" } else { "" };
            let detail = format!("do: name it with -c/--config{write}");
            unreadable("unreadable", format!("the file cannot be read: {error}"), &detail)
        })?;
    if bytes.len() > yaml::MAX_BYTES {
        let summary = format!("the file has more than {} MiB", yaml::MAX_BYTES >> 20);
        return Err(unreadable("too-large", summary, "do: name the right file with -c/--config"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let read = String::from_utf8_lossy(&error.as_bytes()[..at]).into_owned();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let last = read.rsplit('\n').next().unwrap_or_default();
        let place = Place { line: number(read.matches('\n').count() + 1), column: number(last.chars().count() + 1) };
        Invalid::one(file, Finding::error("not-utf8", "", place, "the file is not UTF-8 text"))
    })
}

fn finish(raw: Vec<RawHost>, ssh: &Ssh, config: &Config, file: &Path) -> Vec<HostSpec> {
    let path = |text: &Option<String>| text.as_ref().map(|text| resolve(text, file));
    let (private_key, known_hosts, ssh_config) = (path(&ssh.private_key), path(&ssh.known_hosts), path(&ssh.config));
    let words = |list: Vec<Word>| list.into_iter().map(|word| word.text).collect::<Vec<_>>();
    let finish = |raw: RawHost| {
        let (roles, mut own) = (words(raw.roles.unwrap_or_default()), words(raw.tags.unwrap_or_default()));
        own.extend(words(raw.label_tags));
        HostSpec {
            tags: config.tags(&roles, &own),
            name: raw.name,
            address: raw.address.or_else(|| raw.private_address.clone()),
            private_address: raw.private_address,
            known_as: None,
            port: raw.port.or(ssh.port),
            user: raw.user.or_else(|| ssh.user.clone()),
            host_keys: raw.host_keys,
            private_key: private_key.clone(),
            known_hosts: known_hosts.clone(),
            ssh_config: ssh_config.clone(),
            jump: ssh.jump.clone(),
            ask_sudo: ssh.ask_sudo,
            roles,
            labels: raw.labels,
            place: raw.at.place,
        }
    };
    raw.into_iter().map(finish).collect()
}
