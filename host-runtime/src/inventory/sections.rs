//! The sections of a `stagecraft.yml` that are ours, read strictly; the rest of the file in silence.
//!
//! Not for: the provider's own config ([`super::config`]), and what a file on disk can do wrong ([`super::load`]).

use boundary::known_hosts::Pin;

use super::finding::{Finding, Place, child, nearest};
use super::yaml::{Entry, Node, Scalar, ScalarKind, Value};

/// Our sections at the top of the file.
const TOP: [&str; 2] = ["network", "infra"];
const NETWORK: [&str; 2] = ["provider", "providers"];
const INFRA: [&str; 2] = ["hosts", "bootstrap"];
const BOOTSTRAP: [&str; 2] = ["ssh_user", "ssh"];
const SSH: [&str; 4] = ["user", "port", "privateKeyPath", "knownHostsFile"];
const HOST: [&str; 6] = ["address", "port", "user", "host_key", "roles", "tags"];

/// What stands in our sections, as far as it can be read.
#[derive(Default)]
pub(super) struct Sections<'y> {
    pub(super) provider: Option<(String, Place)>,
    /// The provider's own config.
    pub(super) config: Option<&'y Entry>,
    pub(super) ssh: Ssh,
    /// Names of environments under `infra.hosts` and `environments`, sorted.
    pub(super) environments: Vec<String>,
    /// Where `infra.hosts` stands.
    pub(super) hosts_place: Option<Place>,
    /// Of the chosen environment, in the order of the file.
    pub(super) hosts: Vec<RawHost>,
}

/// `infra.bootstrap`.
#[derive(Default)]
pub(super) struct Ssh {
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) private_key: Option<String>,
    pub(super) known_hosts: Option<String>,
}

/// One entry under `infra.hosts.<environment>`.
pub(super) struct RawHost {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) pointer: String,
    pub(super) address: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) host_keys: Vec<Pin>,
    pub(super) roles: Vec<(String, Place)>,
    pub(super) tags: Vec<(String, Place)>,
}

/// Reads what is ours, and says all that is wrong with it.
pub(super) fn read<'y>(root: &'y Node, environment: &str, findings: &mut Vec<Finding>) -> Sections<'y> {
    let mut reader = Reader { findings };
    let mut sections = Sections::default();
    let Value::Map(top) = &root.value else {
        let summary = format!("the file is {}, not a mapping with keys such as `network` and `infra`", root.what());
        reader.say(Finding::error("not-a-mapping", "", root.place, summary));
        return sections;
    };
    reader.near(top, "", &TOP);
    reader.network(root, &mut sections);
    reader.infra(root, environment, &mut sections);
    sections
}

struct Reader<'f> {
    findings: &'f mut Vec<Finding>,
}

impl Reader<'_> {
    fn say(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn network<'y>(&mut self, root: &'y Node, sections: &mut Sections<'y>) {
        let Some(network) = root.get("network") else {
            let finding = Finding::error("missing-key", "/network", Place::START, "the section `network` is missing");
            self.say(finding.detail("wanted: network.provider, and its config under network.providers"));
            return;
        };
        let Some(entries) = self.map(network, "/network", "keys `provider` and `providers`") else { return };
        let id = network.value.get("provider").and_then(|entry| match self.text(entry, "/network/provider") {
            Some(id) if !id.is_empty() => Some((id, entry.value.place)),
            Some(_) => {
                let summary = "`network.provider` is empty: it names the provider";
                self.say(Finding::error("empty", "/network/provider", entry.value.place, summary));
                None
            }
            None => None,
        });
        // The specification of Stagecraft shows the config right under `network`; its code reads `network.providers`.
        let misplaced = id.as_ref().map(|(id, _)| id.as_str()).filter(|id| !NETWORK.contains(id));
        for entry in entries.iter().filter(|entry| Some(entry.key.as_str()) == misplaced) {
            let summary = format!("the config of provider `{}` stands outside of `network.providers`", entry.key);
            let finding = Finding::error("unknown-key", &child("/network", &entry.key), entry.place, summary);
            self.say(finding.detail(format!("do: move it to network.providers.{}", entry.key)));
        }
        self.known(
            entries.iter().filter(|entry| Some(entry.key.as_str()) != misplaced),
            "/network",
            "network",
            &NETWORK,
        );
        if network.value.get("provider").is_none() {
            let summary = "`network.provider` is missing: it names the provider";
            self.say(Finding::error("missing-key", "/network/provider", network.place, summary));
        }
        let providers = network.value.get("providers");
        let among = providers.and_then(|entry| self.map(entry, "/network/providers", "one key a provider"));
        if let Some((id, place)) = &id {
            sections.config = providers.and_then(|entry| entry.value.get(id));
            if sections.config.is_none()
                && (providers.is_none() || among.is_some())
                && misplaced.is_none_or(|id| network.value.get(id).is_none())
            {
                let pointer = child("/network/providers", id);
                let finding = Finding::error("missing-key", &pointer, *place, format!("provider `{id}` has no config"));
                let there: Vec<&str> = among.unwrap_or_default().iter().map(|entry| entry.key.as_str()).collect();
                let found = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
                self.say(
                    finding.detail(format!("found: configs of: {found}\ndo: write it under network.providers.{id}")),
                );
            }
        }
        sections.provider = id;
    }

    fn infra(&mut self, root: &Node, environment: &str, sections: &mut Sections<'_>) {
        let mut environments = Vec::new();
        if let Some(Entry { value: Node { value: Value::Map(entries), .. }, .. }) = root.get("environments") {
            for entry in entries {
                environments.push(entry.key.clone());
                if let Some(network) = entry.value.get("network") {
                    self.later(network, &format!("environments.{}.network", entry.key), "network.providers.<id>");
                }
            }
        }
        if let Some(infra) = root.get("infra").filter(|infra| !infra.value.is_null()) {
            if let Some(entries) = self.map(infra, "/infra", "keys such as `hosts` and `bootstrap`") {
                self.near(entries, "/infra", &INFRA);
            }
            if let Some(inventory) = infra.value.get("inventory") {
                self.later(inventory, "infra.inventory", "infra.hosts.<environment>.<name>");
            }
            if let Some(bootstrap) = infra.value.get("bootstrap").filter(|entry| !entry.value.is_null()) {
                sections.ssh = self.bootstrap(bootstrap);
            }
            if let Some(hosts) = infra.value.get("hosts").filter(|entry| !entry.value.is_null()) {
                let entries = self.map(hosts, "/infra/hosts", "one key an environment").unwrap_or_default();
                sections.hosts_place = Some(hosts.place);
                environments.extend(entries.iter().map(|entry| entry.key.clone()));
                // Every environment is checked; only one is used.
                for entry in entries {
                    let hosts = self.hosts(entry);
                    if entry.key == environment {
                        sections.hosts = hosts;
                    }
                }
            }
        }
        environments.sort();
        environments.dedup();
        sections.environments = environments;
    }

    fn bootstrap(&mut self, bootstrap: &Entry) -> Ssh {
        const AT: &str = "/infra/bootstrap";
        const SSH_AT: &str = "/infra/bootstrap/ssh";
        let Some(entries) = self.map(bootstrap, AT, "keys such as `ssh_user` and `ssh`") else { return Ssh::default() };
        self.near(entries, AT, &BOOTSTRAP);
        let outer = bootstrap.value.get("ssh_user").and_then(|entry| self.user(entry, &child(AT, "ssh_user")));
        let Some(ssh) = bootstrap.value.get("ssh").filter(|entry| !entry.value.is_null()) else {
            return Ssh { user: outer, ..Ssh::default() };
        };
        let Some(entries) = self.map(ssh, SSH_AT, "keys such as `user` and `port`") else { return Ssh::default() };
        self.known(entries.iter(), SSH_AT, "infra.bootstrap.ssh", &SSH);
        let get = |key| ssh.value.get(key).map(|entry| (entry, child(SSH_AT, key)));
        let inner = get("user").and_then(|(entry, at)| Some((entry, self.user(entry, &at)?)));
        if let (Some(outer), Some((entry, inner))) = (&outer, &inner)
            && outer != inner
        {
            let summary = "`infra.bootstrap.ssh.user` and `infra.bootstrap.ssh_user` are not the same user";
            let finding = Finding::error("contradiction", &child(SSH_AT, "user"), entry.value.place, summary);
            self.say(finding.detail(format!("found: {inner} and {outer}\ndo: keep one of the two")));
        }
        Ssh {
            user: inner.map(|(_, user)| user).or(outer),
            port: get("port").and_then(|(entry, at)| self.port(entry, &at)),
            private_key: get("privateKeyPath").and_then(|(entry, at)| self.path(entry, &at)),
            known_hosts: get("knownHostsFile").and_then(|(entry, at)| self.path(entry, &at)),
        }
    }

    fn hosts(&mut self, environment: &Entry) -> Vec<RawHost> {
        let at = child("/infra/hosts", &environment.key);
        if environment.value.is_null() {
            return Vec::new();
        }
        let Some(entries) = self.map(environment, &at, "one key a host") else { return Vec::new() };
        entries.iter().filter_map(|entry| self.host(entry, child(&at, &entry.key))).collect()
    }

    fn host(&mut self, entry: &Entry, pointer: String) -> Option<RawHost> {
        let name = entry.key.clone();
        if let Err(why) = dns_label(&name) {
            let finding =
                Finding::error("bad-host-name", &pointer, entry.place, format!("`{name}` cannot name a host: {why}"));
            self.say(finding.detail("wanted: a DNS label: 1 to 63 of a-z, 0-9 and -, with no - at either end"));
        }
        let mut host = RawHost {
            name,
            place: entry.place,
            pointer,
            address: None,
            port: None,
            user: None,
            host_keys: Vec::new(),
            roles: Vec::new(),
            tags: Vec::new(),
        };
        // A name alone is an alias of the ssh_config.
        if entry.value.is_null() {
            return Some(host);
        }
        let entries = self.map(entry, &host.pointer, "keys such as `address`, `roles` and `tags`")?;
        self.known(entries.iter(), &host.pointer, "a host", &HOST);
        for key in entries {
            let at = child(&host.pointer, &key.key);
            match key.key.as_str() {
                "address" => host.address = self.address(key, &at),
                "port" => host.port = self.port(key, &at),
                "user" => host.user = self.user(key, &at),
                "host_key" => host.host_keys = self.host_keys(key, &at),
                "roles" => host.roles = self.texts(key, &at),
                "tags" => host.tags = self.texts(key, &at),
                _ => {}
            }
        }
        Some(host)
    }

    /// Keys that a later version reads: silence would look like consent.
    fn later(&mut self, entry: &Entry, name: &str, instead: &str) {
        let pointer = format!("/{}", name.replace('.', "/"));
        let finding =
            Finding::error("not-supported", &pointer, entry.place, format!("this version does not read `{name}`"));
        self.say(finding.detail(format!("do: write it under {instead}")));
    }

    /// A strict section: every key that is not known is an error.
    fn known<'y>(&mut self, entries: impl Iterator<Item = &'y Entry>, pointer: &str, name: &str, known: &[&str]) {
        for entry in entries.filter(|entry| !known.contains(&entry.key.as_str())) {
            let hint = match nearest(&entry.key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known.join(", ")),
            };
            let summary = format!("unknown key `{}` in {name}", entry.key);
            let at = child(pointer, &entry.key);
            self.say(Finding::error("unknown-key", &at, entry.place, summary).detail(hint));
        }
    }

    /// A section that is Stagecraft's: a key that is nearly ours is noted.
    fn near(&mut self, entries: &[Entry], pointer: &str, ours: &[&str]) {
        for entry in entries.iter().filter(|entry| !ours.contains(&entry.key.as_str())) {
            let near = ours.iter().find(|one| strsim::osa_distance(one, &entry.key) == 1);
            if let Some(near) = near.filter(|near| !entries.iter().any(|other| other.key == **near)) {
                let summary = format!("`{}` is not read here: did you mean `{near}`?", entry.key);
                self.say(Finding::note("near-key", &child(pointer, &entry.key), entry.place, summary));
            }
        }
    }

    fn wrong(&mut self, node: &Node, pointer: &str, wanted: &str) {
        let name = pointer[1..].replace('/', ".").replace("~1", "/").replace("~0", "~");
        let summary = format!("`{name}` must be {wanted}, and is {}", node.what());
        let finding = Finding::error("wrong-type", pointer, node.place, summary);
        self.say(match &node.value {
            Value::Scalar(Scalar { kind: ScalarKind::Null, .. }) => {
                finding.detail("do: give it a value, or remove the key")
            }
            Value::Scalar(scalar) if scalar.kind != ScalarKind::Text && wanted == TEXT => finding.detail(format!(
                "do: put it in quotes: \"{}\"; without them YAML reads it as {}",
                scalar.text,
                node.what()
            )),
            _ => finding,
        });
    }

    fn map<'y>(&mut self, entry: &'y Entry, pointer: &str, holds: &str) -> Option<&'y [Entry]> {
        match &entry.value.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.wrong(&entry.value, pointer, &format!("a mapping with {holds}"));
                None
            }
        }
    }

    fn text_of(&mut self, node: &Node, pointer: &str) -> Option<String> {
        match &node.value {
            Value::Scalar(Scalar { kind: ScalarKind::Text, text }) => Some(text.clone()),
            _ => {
                self.wrong(node, pointer, TEXT);
                None
            }
        }
    }

    fn text(&mut self, entry: &Entry, pointer: &str) -> Option<String> {
        self.text_of(&entry.value, pointer)
    }

    fn texts(&mut self, entry: &Entry, pointer: &str) -> Vec<(String, Place)> {
        let Value::List(items) = &entry.value.value else {
            self.wrong(&entry.value, pointer, "a list of text");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let text = self.text_of(item, &child(pointer, &index.to_string()));
            texts.extend(text.map(|text| (text, item.place)));
        }
        texts
    }

    fn port(&mut self, entry: &Entry, pointer: &str) -> Option<u16> {
        if let Value::Scalar(Scalar { kind: ScalarKind::Int, text }) = &entry.value.value {
            match text.parse::<u16>() {
                Ok(port) if port > 0 => return Some(port),
                _ => {
                    let summary = format!("{text} is no port: 1 to 65535");
                    self.say(Finding::error("bad-port", pointer, entry.value.place, summary));
                }
            }
        } else {
            self.wrong(&entry.value, pointer, "a whole number from 1 to 65535");
        }
        None
    }

    /// Addresses and users reach `ssh -G` and a ProxyCommand, which is a line for a shell on this machine.
    fn address(&mut self, entry: &Entry, pointer: &str) -> Option<String> {
        let address = self.text(entry, pointer)?;
        let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if address.is_empty() || address.starts_with('-') || !address.chars().all(harmless) {
            let finding = Finding::error(
                "bad-address",
                pointer,
                entry.value.place,
                format!("`{address}` is no host name or address"),
            );
            self.say(
                finding.detail("wanted: a host name, an IPv4 or an IPv6 address; user and port have keys of their own"),
            );
            return None;
        }
        Some(address)
    }

    fn user(&mut self, entry: &Entry, pointer: &str) -> Option<String> {
        let user = self.text(entry, pointer)?;
        let harmful = |c: char| c.is_control() || c.is_whitespace() || "'`\";&<>|(){}$*?!#~".contains(c);
        if user.is_empty() || user.starts_with('-') || user.ends_with('\\') || user.chars().any(harmful) {
            let summary = format!("`{user}` is no user name");
            self.say(Finding::error("bad-user", pointer, entry.value.place, summary));
            return None;
        }
        Some(user)
    }

    /// One key, or a list of them: a machine has one of each type.
    fn host_keys(&mut self, entry: &Entry, pointer: &str) -> Vec<Pin> {
        let texts = match &entry.value.value {
            Value::List(_) => self.texts(entry, pointer),
            _ => self.text(entry, pointer).map(|text| (text, entry.value.place)).into_iter().collect(),
        };
        let mut pins = Vec::new();
        for (text, place) in texts {
            match Pin::parse(&text) {
                Some(pin) => pins.push(pin),
                None => {
                    let finding = Finding::error("bad-host-key", pointer, place, "this is no host key");
                    self.say(finding.detail(HOST_KEY));
                }
            }
        }
        pins
    }

    fn path(&mut self, entry: &Entry, pointer: &str) -> Option<String> {
        let path = self.text(entry, pointer)?;
        if path.is_empty() || path.contains('\0') {
            self.say(Finding::error("bad-path", pointer, entry.value.place, "this is no path of a file"));
            return None;
        }
        if path.starts_with('~') && path != "~" && !path.starts_with("~/") {
            let summary = "only `~/` is expanded, not another user's home";
            self.say(Finding::error("bad-path", pointer, entry.value.place, summary));
            return None;
        }
        Some(path)
    }
}

const TEXT: &str = "text";
const HOST_KEY: &str = "wanted: a key such as `ssh-ed25519 AAAA…`, or its fingerprint `SHA256:…`\n\
                        do: on the machine's console: cat /etc/ssh/ssh_host_ed25519_key.pub";

/// Whether the name can stand in a DNS name, in lower case (J7).
fn dns_label(name: &str) -> Result<(), String> {
    let wrong = name.chars().find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit() && *c != '-');
    if name.is_empty() {
        Err("it is empty".to_owned())
    } else if let Some(wrong) = wrong {
        Err(format!(
            "it has {}",
            if wrong.is_ascii_uppercase() { "upper case".to_owned() } else { format!("`{wrong}`") }
        ))
    } else if name.len() > 63 {
        Err(format!("it has {} characters", name.len()))
    } else if name.starts_with('-') || name.ends_with('-') {
        Err("it has a - at one end".to_owned())
    } else {
        Ok(())
    }
}
