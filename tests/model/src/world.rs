//! What is outside of the host: control servers with their tailnets and keys, and the package host.
//!
//! The refusal texts are those that were recorded, or that threads of the real service quote. Not for: what the machine
//! itself knows ([`crate::machine`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Tailscale's own control server.
pub const DEFAULT_CONTROL: &str = "https://controlplane.tailscale.com";
/// Another name of the same server.
pub const OTHER_DEFAULT_CONTROL: &str = "https://login.tailscale.com";

/// Everything outside of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct World {
    /// Control servers by their URL.
    pub servers: BTreeMap<String, Control>,
    /// The release that the install script brings.
    pub release: String,
    /// What is wrong with the way to the install script and its packages.
    #[serde(default)]
    pub fault: Option<Fault>,
}

/// Whose software the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The real service, as far as it is known.
    Saas,
    /// Headscale 0.29 and later.
    Headscale,
}

/// How a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// As it should.
    Up,
    /// Nothing listens.
    Refused,
    /// Packets are dropped.
    Blackhole,
    /// Its name does not resolve.
    NoName,
    /// With this status to every registration.
    Http(u16),
    /// Without TLS, where TLS was asked for.
    NoTls,
}

/// One control server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Control {
    /// Whose software.
    pub kind: Kind,
    /// How it answers.
    pub reach: Reach,
    /// Its tailnets by their DNS suffix. Headscale has one.
    pub tailnets: BTreeMap<String, Tailnet>,
    /// Its keys by their text.
    pub keys: BTreeMap<String, AuthKey>,
    /// The number of the next node.
    pub next_node: u32,
    /// How many node keys were given out.
    pub node_keys: u64,
}

/// One tailnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tailnet {
    /// `CurrentTailnet.Name`: an organisation, never to be compared.
    pub org: String,
    /// Its machines by their number.
    pub nodes: BTreeMap<u32, Node>,
    /// Tag → the tags whose owners may give it.
    #[serde(default)]
    pub tag_owners: BTreeMap<String, BTreeSet<String>>,
    /// Whether an admin approves each new machine.
    #[serde(default)]
    pub device_approval: bool,
    /// Whether it has a relay region: without one a node stays `Starting`.
    pub relays: bool,
    /// Whether machines may run Tailscale SSH.
    pub ssh: bool,
}

/// One machine as a server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Node {
    /// Whose: [`crate::machine::Machine::id`].
    pub machine: String,
    /// The key it logged in with last.
    pub node_key: String,
    /// The name it asked for.
    pub hostname: String,
    /// The name it got: the first label of its DNS name.
    pub label: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// When its key expires, in milliseconds since 1970.
    pub expiry_ms: Option<u64>,
    /// Its key has expired, or was made to.
    pub expired: bool,
    /// An admin approved it, or nobody needs to.
    pub authorized: bool,
    /// It vanishes when it goes offline.
    pub ephemeral: bool,
    /// It was logged out. Headscale does not let a tagged one come back.
    pub logged_out: bool,
}

/// One key that machines join with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AuthKey {
    /// The suffix of the tailnet that it leads into.
    pub tailnet: String,
    /// The tags that it gives.
    #[serde(default)]
    pub tags: Vec<String>,
    /// May be used more than once.
    #[serde(default)]
    pub reusable: bool,
    /// Was used.
    #[serde(default)]
    pub used: bool,
    /// Was good once.
    #[serde(default)]
    pub expired: bool,
    /// Machines that join with it need no approval.
    #[serde(default)]
    pub preapproved: bool,
    /// An OAuth client's secret: the client mints a key with it, and must name tags.
    #[serde(default)]
    pub oauth: bool,
    /// Machines that join with it vanish when they go offline.
    #[serde(default)]
    pub ephemeral: bool,
}

/// What is wrong on the way to the install script and its packages. One at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The script's host does not resolve.
    ScriptNoName,
    /// The script: 404.
    ScriptMissing,
    /// The script: 503.
    Script503,
    /// The script's server closes the connection.
    ScriptClosed,
    /// The script is cut short.
    ScriptCut,
    /// The package host does not resolve.
    PackagesNoName,
    /// The package host: 503.
    Packages503,
    /// The script cannot tell whether this distribution is supported, and says that it is not.
    Unsupported,
    /// The signing key: 503.
    Keyring503,
    /// The repository's index: 503.
    Index503,
    /// The package: 503.
    Package503,
    /// The package is cut short.
    PackageCut,
}

/// What a registration asks for.
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    pub(crate) machine: &'a str,
    /// The node key that the machine has, if any.
    pub(crate) node_key: Option<&'a str>,
    /// Whether a new node key is asked for.
    pub(crate) new_key: bool,
    pub(crate) auth_key: Option<&'a str>,
    pub(crate) request_tags: &'a [String],
    pub(crate) hostname: &'a str,
    pub(crate) now_ms: u64,
}

/// How a registration ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Registered {
    /// In: tailnet, node number, node key.
    In(String, u32, String),
    /// The server says no, in this text.
    Refused(String),
    /// No answer that the client can use: the text for its health, if it gets one.
    Trouble(Option<String>),
    /// A person has to log in.
    NeedsPerson,
}

impl World {
    /// A world with the real service's one tailnet of this suffix, without keys.
    #[must_use]
    pub fn of(suffix: &str) -> Self {
        let control = Control::new(Kind::Saas, suffix);
        Self {
            servers: BTreeMap::from([(DEFAULT_CONTROL.to_owned(), control)]),
            release: "1.102.3".to_owned(),
            fault: None,
        }
    }

    /// The server that a client with this `ControlURL` talks to.
    #[must_use]
    pub fn server(&self, control_url: &str) -> Option<&Control> {
        self.servers.get(canonical(control_url))
    }

    /// As [`World::server`], to be changed.
    pub fn server_mut(&mut self, control_url: &str) -> Option<&mut Control> {
        self.servers.get_mut(canonical(control_url))
    }

    /// Tailscale's own control server.
    ///
    /// # Panics
    /// When this world has none.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test's world without the server that it asks for is the test's mistake")]
    pub fn saas(&mut self) -> &mut Control {
        self.servers.get_mut(DEFAULT_CONTROL).expect("this world has the default control server")
    }
}

/// The URL under which a server stands in the table.
#[must_use]
pub(crate) fn canonical(control_url: &str) -> &str {
    match control_url.trim_end_matches('/') {
        "" | OTHER_DEFAULT_CONTROL => DEFAULT_CONTROL,
        url => url,
    }
}

impl Control {
    /// A server with one tailnet.
    #[must_use]
    pub fn new(kind: Kind, suffix: &str) -> Self {
        Self {
            kind,
            reach: Reach::Up,
            tailnets: BTreeMap::from([(suffix.to_owned(), Tailnet::new())]),
            keys: BTreeMap::new(),
            next_node: 1,
            node_keys: 0,
        }
    }

    /// Adds a key that is good for many machines and gives these tags.
    pub fn add_key(&mut self, text: &str, tailnet: &str, tags: &[&str]) -> &mut AuthKey {
        self.tailnets.entry(tailnet.to_owned()).or_default();
        let key = AuthKey {
            tailnet: tailnet.to_owned(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            reusable: true,
            used: false,
            expired: false,
            preapproved: true,
            oauth: text.starts_with("tskey-client-"),
            ephemeral: false,
        };
        self.keys.entry(text.to_owned()).insert_entry(key).into_mut()
    }

    /// The tailnet and number of the machine that logged in with this node key.
    #[must_use]
    pub fn find(&self, node_key: &str) -> Option<(&str, u32, &Node)> {
        self.tailnets.iter().find_map(|(suffix, tailnet)| {
            tailnet
                .nodes
                .iter()
                .find(|(_, node)| node.node_key == node_key)
                .map(|(id, node)| (suffix.as_str(), *id, node))
        })
    }

    /// As [`Control::find`], to be changed.
    pub fn find_mut(&mut self, node_key: &str) -> Option<&mut Node> {
        self.tailnets.values_mut().flat_map(|tailnet| tailnet.nodes.values_mut()).find(|node| node.node_key == node_key)
    }

    /// Answers a registration.
    pub(crate) fn register(&mut self, url: &str, ask: &Registration<'_>) -> Registered {
        let capability = 142;
        match self.reach {
            Reach::Up => {}
            Reach::Refused => {
                return Registered::Trouble(Some(format!(
                    "fetch control key: Get \"{url}/key?v={capability}\": dial tcp {}: connect: connection refused",
                    authority(url)
                )));
            }
            Reach::Blackhole | Reach::NoName => return Registered::Trouble(None),
            Reach::Http(status) => {
                return Registered::Trouble(Some(format!("register request: http {status}: made to fail")));
            }
            Reach::NoTls => {
                return Registered::Trouble(Some(format!(
                    "fetch control key: Get \"{url}/key?v={capability}\": http: server gave HTTP response to HTTPS client"
                )));
            }
        }
        match self.kind {
            Kind::Saas => self.register_saas(ask),
            Kind::Headscale => self.register_headscale(ask),
        }
    }

    fn register_saas(&mut self, ask: &Registration<'_>) -> Registered {
        let valid = ask.node_key.and_then(|key| self.find(key)).filter(|(_, _, node)| !node.expired);
        let known = valid.map(|(suffix, id, node)| (suffix.to_owned(), id, node.node_key.clone()));
        let key = ask.auth_key.map(|text| self.keys.get(text).cloned());
        let key = match (known, key) {
            // Still valid, no new one asked for: a good key is ignored, none is needed.
            (Some((suffix, id, node_key)), None) if !ask.new_key => return Registered::In(suffix, id, node_key),
            (Some((suffix, id, node_key)), Some(Some(key))) if !ask.new_key && refusal(&key).is_none() => {
                return Registered::In(suffix, id, node_key);
            }
            (_, None) => return Registered::NeedsPerson,
            (_, Some(None)) => return Registered::Refused("invalid key: API key does not exist".to_owned()),
            (_, Some(Some(key))) => key,
        };
        if let Some(text) = refusal(&key) {
            return Registered::Refused(text.to_owned());
        }
        let refused: Vec<&str> = ask
            .request_tags
            .iter()
            .filter(|tag| !key.tags.contains(tag) && !self.owned(&key.tailnet, tag, &key.tags))
            .map(String::as_str)
            .collect();
        if !refused.is_empty() {
            return Registered::Refused(format!("requested tags [{}] are invalid or not permitted", refused.join(" ")));
        }
        let tags = if ask.request_tags.is_empty() { key.tags.clone() } else { ask.request_tags.to_vec() };
        self.admit(ask, &key, tags)
    }

    fn register_headscale(&mut self, ask: &Registration<'_>) -> Registered {
        let known =
            ask.node_key.and_then(|key| self.find(key)).map(|(suffix, id, node)| (suffix.to_owned(), id, node.clone()));
        let Some(text) = ask.auth_key else {
            return match known {
                Some((suffix, id, node)) if !node.expired && !ask.new_key => Registered::In(suffix, id, node.node_key),
                _ => Registered::NeedsPerson,
            };
        };
        let Some(key) = self.keys.get(text).cloned() else {
            return Registered::Refused("invalid pre auth key".to_owned());
        };
        if let Some((suffix, id, node)) = known.filter(|(_, _, node)| !node.expired && !ask.new_key) {
            return Registered::In(suffix, id, node.node_key);
        }
        if key.expired {
            return Registered::Refused("authkey expired".to_owned());
        }
        if key.used && !key.reusable {
            return Registered::Refused("authkey already used".to_owned());
        }
        let before = self.of_machine(&key.tailnet, ask.machine).map(|(_, node)| node.clone());
        match before {
            Some(node) if node.logged_out && !node.tags.is_empty() => Registered::Trouble(Some(format!(
                "weird: regen=true but server says NodeKeyExpired: {}",
                node.node_key
            ))),
            // Known: updated in place, its tags stay as they are.
            Some(node) => self.admit(ask, &key, node.tags),
            None if !ask.request_tags.is_empty() => Registered::Refused(format!(
                "handling register with auth key: creating new node: requested tags [{}] are invalid or not permitted",
                ask.request_tags.join(" ")
            )),
            None => {
                let tags = key.tags.clone();
                self.admit(ask, &key, tags)
            }
        }
    }

    /// Takes a machine in, or renews it.
    fn admit(&mut self, ask: &Registration<'_>, key: &AuthKey, tags: Vec<String>) -> Registered {
        let Some(tailnet) = self.tailnets.get_mut(&key.tailnet) else {
            return Registered::Refused("invalid key: API key does not exist".to_owned());
        };
        let before =
            tailnet.nodes.iter().find(|(_, node)| node.machine == ask.machine).map(|(id, node)| (*id, node.clone()));
        let id = before.as_ref().map_or(self.next_node, |(id, _)| *id);
        if before.is_none() {
            self.next_node += 1;
        }
        let label = match &before {
            Some((_, node)) if node.hostname == ask.hostname => node.label.clone(),
            _ => tailnet.free_label(ask.hostname, ask.machine),
        };
        self.node_keys += 1;
        let node_key = format!("nodekey:{:064x}", self.node_keys);
        let authorized = !tailnet.device_approval || key.preapproved || before.is_some_and(|(_, node)| node.authorized);
        let expiry_ms = tags.is_empty().then_some(ask.now_ms + 180 * 24 * 3_600_000);
        tailnet.nodes.insert(
            id,
            Node {
                machine: ask.machine.to_owned(),
                node_key: node_key.clone(),
                hostname: ask.hostname.to_owned(),
                label,
                tags,
                expiry_ms,
                expired: false,
                authorized,
                ephemeral: key.ephemeral,
                logged_out: false,
            },
        );
        if let Some(own) = ask.auth_key.and_then(|text| self.keys.get_mut(text)) {
            own.used = true;
        }
        Registered::In(key.tailnet.clone(), id, node_key)
    }

    /// What the server makes of a node that asks for other tags in mid-session: the real service logs it out, without a
    /// word, unless its current tags own the new ones; Headscale ignores it.
    pub(crate) fn request_tags(&mut self, node_key: &str, tags: &[String], now_ms: u64) {
        if self.kind == Kind::Headscale || self.reach != Reach::Up {
            return;
        }
        let Some((suffix, id, node)) = self.find(node_key) else { return };
        let (suffix, current) = (suffix.to_owned(), node.tags.clone());
        let same = current.iter().collect::<BTreeSet<_>>() == tags.iter().collect::<BTreeSet<_>>();
        if tags.is_empty() || same {
            return;
        }
        let allowed = tags.iter().all(|tag| current.contains(tag) || self.owned(&suffix, tag, &current));
        if let Some(node) = self.tailnets.get_mut(&suffix).and_then(|tailnet| tailnet.nodes.get_mut(&id)) {
            if allowed {
                node.tags = tags.to_vec();
            } else {
                node.expired = true;
                node.expiry_ms = Some(now_ms.saturating_sub(60_000));
            }
        }
    }

    fn owned(&self, suffix: &str, tag: &str, by: &[String]) -> bool {
        self.tailnets
            .get(suffix)
            .and_then(|tailnet| tailnet.tag_owners.get(tag))
            .is_some_and(|owners| by.iter().any(|tag| owners.contains(tag)))
    }

    fn of_machine(&self, suffix: &str, machine: &str) -> Option<(u32, &Node)> {
        let tailnet = self.tailnets.get(suffix)?;
        tailnet.nodes.iter().find(|(_, node)| node.machine == machine).map(|(id, node)| (*id, node))
    }
}

/// Why the real service does not take this key.
fn refusal(key: &AuthKey) -> Option<&'static str> {
    if key.expired {
        Some("invalid key: API key kEXPIRED11CNTRL not valid")
    } else if key.used && !key.reusable {
        Some("invalid key: API key kTESTUSED11CNTRL not valid")
    } else {
        None
    }
}

fn authority(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    if host.contains(':') { host.to_owned() } else { format!("{host}:443") }
}

impl Tailnet {
    /// An empty tailnet with relays, without approval.
    #[must_use]
    pub fn new() -> Self {
        Self {
            org: "fake-control.example.net".to_owned(),
            nodes: BTreeMap::new(),
            tag_owners: BTreeMap::new(),
            device_approval: false,
            relays: true,
            ssh: true,
        }
    }

    /// The name that a machine gets: what it asks for, with `-1`, `-2` … when another machine has it.
    fn free_label(&self, hostname: &str, machine: &str) -> String {
        let taken: BTreeSet<&str> =
            self.nodes.values().filter(|node| node.machine != machine).map(|node| node.label.as_str()).collect();
        (0..)
            .map(|n| if n == 0 { hostname.to_owned() } else { format!("{hostname}-{n}") })
            .find(|label| !taken.contains(label.as_str()))
            .unwrap_or_else(|| hostname.to_owned())
    }
}

impl Default for Tailnet {
    fn default() -> Self {
        Self::new()
    }
}
