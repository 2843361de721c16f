//! The preferences of a daemon, and the flags of `tailscale up` that keep them.
//!
//! `up` sets back in silence what its flags do not name on a fresh machine, and refuses to run on one that has logged in.
//! So the flags are rebuilt from the preferences, each only where it differs from the release's default: an older client
//! does not know every flag, and an unknown one ends it before it does anything. Not for: the key, the name, or anything
//! that this provider wants itself ([`crate::act`]).

use serde::{Deserialize, Deserializer};

use crate::probe::Status;
use crate::version::Version;

const EXIT_ROUTES: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// `tailscale debug prefs`, as far as it is needed. An absent preference has its default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the preferences are what they are")]
pub struct Prefs {
    /// The control server. Empty for Tailscale's own.
    #[serde(rename = "ControlURL")]
    pub control_url: String,
    /// Whether it wants to be up.
    pub want_running: bool,
    /// Whether it is, or is to be, logged out.
    pub logged_out: bool,
    /// The name that it asks for.
    pub hostname: String,
    /// The tags that it asks for. Not those that it has.
    #[serde(deserialize_with = "or_empty")]
    pub advertise_tags: Vec<String>,
    /// There is a profile, which is exactly when there is a node key.
    #[serde(rename = "Config", deserialize_with = "is_there")]
    pub has_profile: bool,
    route_all: bool,
    #[serde(rename = "CorpDNS")]
    corp_dns: bool,
    #[serde(rename = "RunSSH")]
    run_ssh: bool,
    shields_up: bool,
    #[serde(rename = "ExitNodeID")]
    exit_node_id: String,
    #[serde(rename = "ExitNodeIP")]
    exit_node_ip: String,
    #[serde(rename = "ExitNodeAllowLANAccess")]
    exit_node_allow_lan_access: bool,
    operator_user: String,
    #[serde(deserialize_with = "or_empty")]
    advertise_routes: Vec<String>,
    app_connector: AppConnector,
    #[serde(rename = "NoSNAT")]
    no_snat: bool,
    no_stateful_filtering: Option<bool>,
    netfilter_mode: u8,
    posture_checking: bool,
}

/// The preference of an app connector.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AppConnector {
    advertise: bool,
}

impl Default for Prefs {
    fn default() -> Self {
        Self {
            control_url: String::new(),
            want_running: false,
            logged_out: false,
            hostname: String::new(),
            advertise_tags: Vec::new(),
            has_profile: false,
            route_all: false,
            corp_dns: true,
            run_ssh: false,
            shields_up: false,
            exit_node_id: String::new(),
            exit_node_ip: String::new(),
            exit_node_allow_lan_access: false,
            operator_user: String::new(),
            advertise_routes: Vec::new(),
            app_connector: AppConnector::default(),
            no_snat: false,
            no_stateful_filtering: None,
            netfilter_mode: 2,
            posture_checking: false,
        }
    }
}

/// A list that Go prints as null when it is empty.
fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Whether there is anything but null.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<serde::de::IgnoredAny>::deserialize(deserializer)?.is_some())
}

/// The flags that keep what an operator has set, in an order that never changes, without name, tags and control server.
///
/// # Errors
/// The flag that cannot be rebuilt, when a preference cannot be expressed by what is known of it.
pub fn kept(prefs: &Prefs, status: &Status, release: Version) -> Result<Vec<String>, &'static str> {
    let mut flags = Vec::new();
    let mut keep = |when: bool, flag: &str| {
        if when {
            flags.push(flag.to_owned());
        }
    };
    // Always said: its default changed with 1.84, and before that a fresh machine has it on without anybody's doing.
    let nobody_set_it = !prefs.has_profile && release < Version::new(1, 84, 0);
    let accepts = prefs.route_all && !nobody_set_it;
    keep(accepts, "--accept-routes=true");
    keep(!accepts, "--accept-routes=false");
    keep(!prefs.corp_dns, "--accept-dns=false");
    let exit_routes = EXIT_ROUTES.iter().all(|route| prefs.advertise_routes.iter().any(|own| own == route));
    keep(exit_routes, "--advertise-exit-node");
    keep(prefs.app_connector.advertise, "--advertise-connector");
    let routes: Vec<&str> = prefs
        .advertise_routes
        .iter()
        .map(String::as_str)
        .filter(|route| !(exit_routes && EXIT_ROUTES.contains(route)))
        .collect();
    keep(!routes.is_empty(), &format!("--advertise-routes={}", routes.join(",")));
    if let Some(exit_node) = exit_node(prefs, status)? {
        keep(true, &format!("--exit-node={exit_node}"));
    }
    keep(prefs.exit_node_allow_lan_access, "--exit-node-allow-lan-access");
    keep(prefs.netfilter_mode == 0, "--netfilter-mode=off");
    keep(prefs.netfilter_mode == 1, "--netfilter-mode=nodivert");
    keep(!prefs.operator_user.is_empty(), &format!("--operator={}", prefs.operator_user));
    let posture = if release < Version::new(1, 84, 0) { "--posture-checking" } else { "--report-posture" };
    keep(prefs.posture_checking, posture);
    keep(prefs.shields_up, "--shields-up");
    keep(prefs.no_snat, "--snat-subnet-routes=false");
    // Only where it is on already: on a tailnet that forbids it, `up` with it leaves the daemon without a control client.
    keep(prefs.run_ssh, "--ssh");
    keep(prefs.no_stateful_filtering == Some(false), "--stateful-filtering");
    Ok(flags)
}

/// The value of `--exit-node`: an address. Where the preference holds a node's id, its address stands in the status.
fn exit_node(prefs: &Prefs, status: &Status) -> Result<Option<String>, &'static str> {
    if !prefs.exit_node_ip.is_empty() {
        return Ok(Some(prefs.exit_node_ip.clone()));
    }
    if prefs.exit_node_id.is_empty() {
        return Ok(None);
    }
    if prefs.exit_node_id.starts_with("auto:") {
        return Ok(Some(prefs.exit_node_id.clone()));
    }
    let address = status.exit_node_status.as_ref().and_then(|node| node.addresses.as_ref()?.first());
    match address {
        Some(prefix) => Ok(Some(prefix.split('/').next().unwrap_or(prefix).to_owned())),
        None => Err("--exit-node"),
    }
}
