//! The sections of a `stagecraft.yml` that are ours, read strictly; the rest of the file in silence.
//!
//! Not for: the provider's own config ([`super::config`]), lists of hosts in other files ([`super::source`]), and what a
//! file on disk can do wrong ([`super::load`]).

use std::collections::BTreeMap;

use boundary::inventory::{Format, host_label};

use super::finding::{Finding, Place, child};
use super::hosts::{Origin, RawHost, Spot};
use super::keys::{self, FORMAT, SUDO};
use super::source::{Kind, Source, Template};
use super::values::Reader;
use super::yaml::{Entry, Node, Value};

/// What stands in our sections, as far as it can be read.
#[derive(Default)]
pub(super) struct Sections<'y> {
    pub(super) provider: Option<(String, Place)>,
    /// The provider's own config.
    pub(super) config: Option<&'y Entry>,
    pub(super) ssh: Ssh,
    /// By name: those under `environments`, `infra.hosts` and the cloud's hosts.
    pub(super) environments: BTreeMap<String, Environment<'y>>,
    /// Where the names of environments stand.
    pub(super) environments_at: Option<Spot>,
    /// `infra.inventory`, in the order of the file.
    pub(super) sources: Vec<Source>,
}

/// What the file says of one environment.
#[derive(Default)]
pub(super) struct Environment<'y> {
    pub(super) name: String,
    /// `environments.<env>.network`.
    pub(super) network: Option<&'y Entry>,
    /// The cloud's hosts.
    pub(super) cloud: Vec<RawHost>,
    /// `infra.hosts.<env>`.
    pub(super) hosts: Vec<RawHost>,
}

/// `infra.bootstrap`.
#[derive(Default)]
pub(super) struct Ssh {
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) private_key: Option<String>,
    pub(super) known_hosts: Option<String>,
    pub(super) config: Option<String>,
    pub(super) jump: Option<String>,
    pub(super) ask_sudo: bool,
}

/// Reads what is ours, and says all that is wrong with it. `network_is_given`: the command line says which.
pub(super) fn read<'y>(root: &'y Node, network_is_given: bool, findings: &mut Vec<Finding>) -> Sections<'y> {
    let mut reader = Reader { findings };
    let mut sections = Sections::default();
    let Value::Map(top) = &root.value else {
        let summary = format!("the file is {}, not a mapping with keys such as `network` and `infra`", root.what());
        reader.say(Finding::error("not-a-mapping", "", root.place, summary));
        return sections;
    };
    reader.near(top, "", "");
    environments(&mut reader, root, &mut sections);
    network(&mut reader, root, network_is_given, &mut sections);
    cloud(&mut reader, root, &mut sections);
    infra(&mut reader, root, &mut sections);
    sections
}

fn network<'y>(reader: &mut Reader<'_>, root: &'y Node, is_given: bool, sections: &mut Sections<'y>) {
    let Some(network) = root.get("network") else {
        if !is_given {
            let finding = Finding::error("missing-key", "/network", Place::START, "the section `network` is missing");
            reader.say(finding.detail(
                "wanted: network.provider, and its config under network.providers\ndo: `stagecraft-net init -c \
                 example.yml` writes an example to take it from",
            ));
        }
        return;
    };
    let Some(entries) = reader.map(network, "/network", "keys `provider` and `providers`") else { return };
    let id = network.value.get("provider").and_then(|entry| match reader.text(entry, "/network/provider") {
        Some(id) if !id.is_empty() => Some((id, entry.value.place)),
        Some(_) => {
            let summary = "`network.provider` is empty: it names the provider";
            reader.say(Finding::error("empty", "/network/provider", entry.value.place, summary));
            None
        }
        None => None,
    });
    // The specification of Stagecraft shows the config right under `network`; its code reads `network.providers`.
    let ours = keys::below("network");
    let misplaced = id.as_ref().map(|(id, _)| id.as_str()).filter(|id| !ours.contains(id));
    for entry in entries.iter().filter(|entry| Some(entry.key.as_str()) == misplaced) {
        let summary = format!("the config of provider `{}` stands outside of `network.providers`", entry.key);
        let finding = Finding::error("unknown-key", &child("/network", &entry.key), entry.place, summary);
        reader.say(finding.detail(format!("do: move it to network.providers.{}", entry.key)));
    }
    let others = entries.iter().filter(|entry| Some(entry.key.as_str()) != misplaced);
    reader.known(others, "/network", "network", "network");
    if network.value.get("provider").is_none() {
        let summary = "`network.provider` is missing: it names the provider";
        reader.say(Finding::error("missing-key", "/network/provider", network.place, summary));
    }
    let providers = network.value.get("providers");
    let among = providers.and_then(|entry| reader.map(entry, "/network/providers", "one key a provider"));
    if let Some((id, place)) = &id {
        sections.config = providers.and_then(|entry| entry.value.get(id));
        let elsewhere = is_given || sections.environments.values().any(|one| one.network.is_some());
        if sections.config.is_none()
            && !elsewhere
            && (providers.is_none() || among.is_some())
            && misplaced.is_none_or(|id| network.value.get(id).is_none())
        {
            let pointer = child("/network/providers", id);
            let finding = Finding::error("missing-key", &pointer, *place, format!("provider `{id}` has no config"));
            let there: Vec<&str> = among.unwrap_or_default().iter().map(|entry| entry.key.as_str()).collect();
            let found = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
            reader
                .say(finding.detail(format!("found: configs of: {found}\ndo: write it under network.providers.{id}")));
        }
    }
    sections.provider = id;
}

/// The environment of this name.
fn of<'s, 'y>(sections: &'s mut Sections<'y>, name: &str) -> &'s mut Environment<'y> {
    let new = || Environment { name: name.to_owned(), ..Environment::default() };
    sections.environments.entry(name.to_owned()).or_insert_with(new)
}

/// `environments` is Stagecraft's, but for `network` in each.
fn environments<'y>(reader: &mut Reader<'_>, root: &'y Node, sections: &mut Sections<'y>) {
    let Some(environments) = root.get("environments") else { return };
    let Value::Map(entries) = &environments.value.value else { return };
    sections.environments_at = Some(Spot::of("/environments", environments.place));
    for entry in entries {
        let at = child("/environments", &entry.key);
        let environment = of(sections, &entry.key);
        if let Value::Map(keys) = &entry.value.value {
            reader.near(keys, &at, "environments.<env>");
        }
        environment.network = entry.value.get("network").filter(|network| !network.value.is_null());
        if let Some(network) = environment.network {
            reader.map(network, &child(&at, "network"), "keys of the provider's config");
        }
    }
}

/// The hosts that Stagecraft's cloud makes: names and roles. The section is Stagecraft's, so nothing in it is an error.
fn cloud(reader: &mut Reader<'_>, root: &Node, sections: &mut Sections<'_>) {
    let text = |node: &Node| match &node.value {
        Value::Scalar(scalar) if !node.is_null() => Some(scalar.text.clone()),
        _ => None,
    };
    let Some(cloud) = root.get("cloud") else { return };
    let Some(id) = cloud.value.get("provider").and_then(|entry| text(&entry.value)) else { return };
    let hosts = || cloud.value.get("providers")?.value.get(&id)?.value.get("hosts");
    let Some(Entry { value: Node { value: Value::Map(environments), .. }, .. }) = hosts() else { return };
    let above = child(&child("/cloud/providers", &id), "hosts");
    for environment in environments {
        let Value::Map(entries) = &environment.value.value else { continue };
        let at = child(&above, &environment.key);
        let mut named = Vec::new();
        for entry in entries {
            let pointer = child(&at, &entry.key);
            if let Err(why) = host_label(&entry.key) {
                let summary = format!("host `{}` is left out: it cannot name a host here, since {why}", entry.key);
                reader.say(Finding::note("bad-host-name", &pointer, entry.place, summary));
                continue;
            }
            let mut host = RawHost::new(&entry.key, Spot::of(&pointer, entry.place), Origin::Cloud);
            let role = entry.value.get("role").and_then(|role| Some((text(&role.value)?, role.value.place)));
            host.roles = role
                .map(|(text, place)| vec![super::hosts::Word { text, at: Spot::of(&child(&pointer, "role"), place) }]);
            named.push(host);
        }
        of(sections, &environment.key).cloud = named;
    }
}

fn infra<'y>(reader: &mut Reader<'_>, root: &'y Node, sections: &mut Sections<'y>) {
    let Some(infra) = root.get("infra").filter(|infra| !infra.value.is_null()) else { return };
    if let Some(entries) = reader.map(infra, "/infra", "keys such as `hosts` and `bootstrap`") {
        reader.near(entries, "/infra", "infra");
    }
    if let Some(bootstrap) = infra.value.get("bootstrap").filter(|entry| !entry.value.is_null()) {
        sections.ssh = ssh(reader, bootstrap);
    }
    if let Some(inventory) = infra.value.get("inventory").filter(|entry| !entry.value.is_null()) {
        let items = reader.list(inventory, "/infra/inventory", "mappings, one a source").unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            sections.sources.extend(source(reader, item, &child("/infra/inventory", &index.to_string())));
        }
    }
    if let Some(hosts) = infra.value.get("hosts").filter(|entry| !entry.value.is_null()) {
        let entries = reader.map(hosts, "/infra/hosts", "one key an environment").unwrap_or_default();
        sections.environments_at.get_or_insert_with(|| Spot::of("/infra/hosts", hosts.place));
        // Every environment is checked; only one is used.
        for entry in entries {
            let hosts = hosts_of(reader, entry);
            of(sections, &entry.key).hosts = hosts;
        }
    }
}

fn ssh(reader: &mut Reader<'_>, bootstrap: &Entry) -> Ssh {
    const AT: &str = "/infra/bootstrap";
    const SSH_AT: &str = "/infra/bootstrap/ssh";
    let Some(entries) = reader.map(bootstrap, AT, "keys such as `ssh_user` and `ssh`") else { return Ssh::default() };
    reader.near(entries, AT, "infra.bootstrap");
    let outer = bootstrap.value.get("ssh_user").and_then(|entry| reader.user(entry, &child(AT, "ssh_user")));
    let Some(ssh) = bootstrap.value.get("ssh").filter(|entry| !entry.value.is_null()) else {
        return Ssh { user: outer, ..Ssh::default() };
    };
    let Some(entries) = reader.map(ssh, SSH_AT, "keys such as `user` and `port`") else { return Ssh::default() };
    reader.known(entries.iter(), SSH_AT, "infra.bootstrap.ssh", "infra.bootstrap.ssh");
    let get = |key| ssh.value.get(key).map(|entry| (entry, child(SSH_AT, key)));
    let inner = get("user").and_then(|(entry, at)| Some((entry, reader.user(entry, &at)?)));
    if let (Some(outer), Some((entry, inner))) = (&outer, &inner)
        && outer != inner
    {
        let summary = "`infra.bootstrap.ssh.user` and `infra.bootstrap.ssh_user` are not the same user";
        let finding = Finding::error("contradiction", &child(SSH_AT, "user"), entry.value.place, summary);
        reader.say(finding.detail(format!("found: {inner} and {outer}\ndo: keep one of the two")));
    }
    Ssh {
        user: inner.map(|(_, user)| user).or(outer),
        port: get("port").and_then(|(entry, at)| reader.port(entry, &at)),
        private_key: get("privateKeyPath").and_then(|(entry, at)| reader.path(entry, &at)),
        known_hosts: get("knownHostsFile").and_then(|(entry, at)| reader.path(entry, &at)),
        config: get("config").and_then(|(entry, at)| reader.path(entry, &at)),
        jump: get("jump").and_then(|(entry, at)| reader.jump(entry, &at)),
        ask_sudo: get("sudo").and_then(|(entry, at)| reader.word(entry, &at, &SUDO)) == Some("ask"),
    }
}

/// One entry of `infra.inventory`.
fn source(reader: &mut Reader<'_>, item: &Node, at: &str) -> Option<Source> {
    let entries = reader.map_of(item, at, "one of `terraform`, `ansible` and `command`")?;
    reader.known(entries.iter(), at, "an inventory", "infra.inventory.[]");
    let get = |key| item.get(key).map(|entry| (entry, child(at, key)));
    let named: Vec<&str> = ["terraform", "ansible", "command"].into_iter().filter(|key| get(key).is_some()).collect();
    let kind = match named[..] {
        [] => {
            let finding = Finding::error("missing-key", at, item.place, "this inventory does not say where it is");
            reader.say(finding.detail("wanted: one of terraform, ansible and command"));
            None
        }
        ["command"] => get("command").and_then(|(entry, at)| {
            let words = reader.texts(entry, &at);
            if words.first().is_none_or(|word| word.text.is_empty() || word.text.contains('\0')) {
                if matches!(&entry.value.value, Value::List(items) if items.len() == words.len()) {
                    let finding = Finding::error("empty", &at, entry.value.place, "the command has no program");
                    reader.say(finding.detail("wanted: a program and its words, such as [terraform, output, -json]"));
                }
                return None;
            }
            let words = words.into_iter().map(|word| word.text).collect();
            Some((Kind::Command(words), None, Spot::of(&at, entry.value.place)))
        }),
        [only] => get(only).and_then(|(entry, at)| {
            let format = if only == "terraform" { Format::Terraform } else { Format::Ansible };
            Some((Kind::File(reader.path(entry, &at)?), Some(format), Spot::of(&at, entry.value.place)))
        }),
        _ => {
            let summary = format!("this inventory has {}: which of them is meant?", named.join(" and "));
            let finding = Finding::error("contradiction", at, item.place, summary);
            reader.say(finding.detail("do: make an entry of each"));
            None
        }
    };
    let format = get("format").and_then(|(entry, at)| reader.word(entry, &at, &FORMAT));
    let timeout = get("timeout").and_then(|(entry, at)| reader.time(entry, &at));
    let environments = get("environments")
        .map(|(entry, at)| reader.one_or_more(entry, &at).into_iter().map(|word| word.text).collect::<Vec<_>>());
    let mut templates = Vec::new();
    for word in get("tags_from_labels").map(|(entry, at)| reader.one_or_more(entry, &at)).unwrap_or_default() {
        match Template::parse(&word.text) {
            Ok(parts) => templates.push((parts, word.at)),
            Err(why) => {
                let summary = format!("`{}` makes no tag: {why}", word.text);
                let finding = Finding::error("bad-template", &word.at.pointer, word.at.place, summary);
                reader.say(finding.detail("wanted: text in which {NAME} stands for the value of a label"));
            }
        }
    }
    for key in ["format", "timeout"].into_iter().filter(|_| kind.is_some() && named != ["command"]) {
        if let Some((entry, at)) = get(key) {
            let summary = format!("`{key}` goes with `command` only");
            reader.say(Finding::error("contradiction", &at, entry.place, summary));
        }
    }
    let (kind, implied, at) = kind?;
    let named = if format == Some("ansible") { Some(Format::Ansible) } else { format.map(|_| Format::Terraform) };
    Some(Source { kind, format: implied.or(named), timeout, environments, templates, at })
}

fn hosts_of(reader: &mut Reader<'_>, environment: &Entry) -> Vec<RawHost> {
    let at = child("/infra/hosts", &environment.key);
    if environment.value.is_null() {
        return Vec::new();
    }
    let Some(entries) = reader.map(environment, &at, "one key a host") else { return Vec::new() };
    entries.iter().filter_map(|entry| host(reader, entry, &child(&at, &entry.key))).collect()
}

fn host(reader: &mut Reader<'_>, entry: &Entry, pointer: &str) -> Option<RawHost> {
    let name = &entry.key;
    if let Err(why) = host_label(name) {
        let finding =
            Finding::error("bad-host-name", pointer, entry.place, format!("`{name}` cannot name a host: {why}"));
        reader.say(finding.detail("wanted: a DNS label: 1 to 63 of a-z, 0-9 and -, with no - at either end"));
    }
    let mut host = RawHost::new(name, Spot::of(pointer, entry.place), Origin::File);
    // A name alone is an alias of the ssh_config.
    if entry.value.is_null() {
        return Some(host);
    }
    let entries = reader.map(entry, pointer, "keys such as `address`, `roles` and `tags`")?;
    reader.known(entries.iter(), pointer, "a host", "infra.hosts.<env>.<name>");
    for key in entries {
        let at = child(pointer, &key.key);
        match key.key.as_str() {
            "address" => host.address = reader.address(key, &at),
            "private_address" => host.private_address = reader.address(key, &at),
            "port" => host.port = reader.port(key, &at),
            "user" => host.user = reader.user(key, &at),
            "host_key" => host.host_keys = reader.host_keys(key, &at),
            "roles" => host.roles = Some(reader.texts(key, &at)),
            "tags" => host.tags = Some(reader.texts(key, &at)),
            "labels" => host.labels = reader.labels(key, &at),
            _ => {}
        }
    }
    Some(host)
}
