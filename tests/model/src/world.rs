//! What is outside of the host: control servers with their tailnets and keys, and the package host.
//!
//! Not for: how a control server answers ([`crate::register`]), or what the machine itself knows ([`crate::machine`]).

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
    /// The clock of the host is behind: the certificate is not valid there yet.
    ClockBehind,
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
    /// The clock of the host is behind: the certificate of the script's server is not valid there yet.
    ScriptClockBehind,
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
    pub(crate) fn free_label(&self, hostname: &str, machine: &str) -> String {
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
