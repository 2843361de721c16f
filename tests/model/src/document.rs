//! The documents that `tailscale status --json` and `tailscale debug prefs` print, field by field as each release has them.
//!
//! Tests hold them against the recordings. Not for: deciding what the state is ([`crate::daemon`]).

use serde::Serialize;
use serde_json::{Value, json};

use crate::daemon::Backend;
use crate::machine::{Machine, Netmap};
use crate::release::Release;

const NO_KEY: &str = "nodekey:0000000000000000000000000000000000000000000000000000000000000000";
const NO_TIME: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    version: String,
    #[serde(rename = "TUN")]
    tun: bool,
    backend_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    have_node_key: Option<bool>,
    #[serde(rename = "AuthURL")]
    auth_url: String,
    #[serde(rename = "TailscaleIPs")]
    tailscale_ips: Value,
    #[serde(rename = "Self")]
    own: Value,
    health: Option<Vec<String>>,
    #[serde(rename = "MagicDNSSuffix")]
    suffix: String,
    current_tailnet: Value,
    cert_domains: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_records: Option<Value>,
    peer: Value,
    user: Value,
    client_version: Value,
}

impl Machine {
    /// `tailscale status --json --peers=false`: two blanks a level, no line feed at the end.
    pub(crate) fn status_document(&self, release: Release) -> String {
        let daemon = &self.daemon;
        let backend = daemon.backend();
        let netmap = daemon.memory.netmap.as_ref();
        let old = !release.newest_fields();
        let user = netmap.map(|map| if map.headscale { 1 } else { 123 });
        let status = Status {
            version: self.client.clone().unwrap_or_default(),
            tun: true,
            backend_state: backend.name(),
            have_node_key: (release.says_node_key() && daemon.profile.is_some()).then_some(true),
            auth_url: daemon.memory.auth_url.clone(),
            tailscale_ips: netmap.map_or(Value::Null, addresses),
            own: self.own(release, backend),
            health: self.health(release, backend),
            suffix: netmap.map(|map| map.suffix.clone()).unwrap_or_default(),
            current_tailnet: netmap.map_or(
                Value::Null,
                |map| json!({"Name": map.org, "MagicDNSSuffix": map.suffix, "MagicDNSEnabled": true}),
            ),
            cert_domains: netmap
                .filter(|map| !map.headscale)
                .map_or(Value::Null, |map| json!([format!("{}.{}", map.hostname, map.suffix)])),
            extra_records: (!old).then_some(Value::Null),
            peer: Value::Null,
            user: match (user, netmap) {
                (Some(id), Some(map)) if !map.headscale => json!({id.to_string(): {
                    "ID": id,
                    "LoginName": format!("user-{id}@{}", map.org),
                    "DisplayName": format!("User {id}"),
                    "ProfilePicURL": "https://tailscale.com/static/images/marketing/team-carney.jpg",
                }}),
                _ => Value::Null,
            },
            client_version: Value::Null,
        };
        serde_json::to_string_pretty(&status).unwrap_or_default()
    }

    fn own(&self, release: Release, backend: Backend) -> Value {
        let netmap = self.daemon.memory.netmap.as_ref();
        let running = backend == Backend::Running;
        let mut own = serde_json::Map::new();
        let mut put = |key: &str, value: Value| {
            own.insert(key.to_owned(), value);
        };
        put(
            "ID",
            netmap.map_or(json!(""), |map| {
                if map.headscale { json!(map.id.to_string()) } else { json!(format!("TESTCTRL{:08x}", map.id)) }
            }),
        );
        if release.newest_fields() {
            put("NodeID", json!(netmap.map_or(0, |map| map.id)));
        }
        let key = self.daemon.profile.as_ref().filter(|_| netmap.is_some()).map_or(NO_KEY, |profile| &profile.node_key);
        put("PublicKey", json!(key));
        put("HostName", json!(netmap.map_or(&self.hostname, |map| &map.hostname)));
        put("DNSName", json!(netmap.map(|map| format!("{}.{}.", map.label, map.suffix)).unwrap_or_default()));
        put("OS", json!("linux"));
        put("UserID", json!(netmap.map_or(0, |map| if map.headscale { 1 } else { 123 })));
        put("TailscaleIPs", netmap.map_or(Value::Null, addresses));
        if let Some(map) = netmap {
            put("AllowedIPs", json!([format!("{}/32", v4(map)), format!("{}/128", v6(map))]));
            if !map.tags.is_empty() {
                put("Tags", json!(map.tags));
            }
        }
        put("Addrs", if netmap.is_some() { json!(["10.213.77.2:59606"]) } else { json!([]) });
        put("CurAddr", json!(""));
        put("Relay", json!(netmap.filter(|map| map.relays).map_or("", |map| if map.headscale { "t" } else { "test" })));
        if release.has_peer_relays() {
            put("PeerRelay", json!(""));
            put("TaildropTarget", json!(0));
            put("NoFileSharingReason", json!(""));
        }
        put("RxBytes", json!(0));
        put("TxBytes", json!(0));
        for time in ["Created", "LastWrite", "LastSeen", "LastHandshake"] {
            put(time, json!(NO_TIME));
        }
        // A node whose key expired, or that waits for approval, says that it is online.
        put("Online", json!(self.daemon.memory.online));
        for flag in ["ExitNode", "ExitNodeOption", "Active"] {
            put(flag, json!(false));
        }
        let api = running || matches!(backend, Backend::Starting | Backend::NeedsMachineAuth);
        put(
            "PeerAPIURL",
            netmap.filter(|_| api).map_or(Value::Null, |map| {
                json!([format!("http://{}:58436", v4(map)), format!("http://[{}]:58436", v6(map))])
            }),
        );
        if netmap.is_some() {
            let capabilities = ["funnel", "https", "https://tailscale.com/cap/file-sharing"];
            put("Capabilities", json!(capabilities));
            put("CapMap", json!({"funnel": null, "https": null, "https://tailscale.com/cap/file-sharing": null}));
        }
        put("InNetworkMap", json!(netmap.is_some()));
        put("InMagicSock", json!(false));
        put("InEngine", json!(false));
        if let Some(map) = netmap {
            if map.expired && map.headscale {
                put("Expired", json!(true));
            }
            if let Some(at) = map.expiry_ms {
                put("KeyExpiry", json!(rfc3339(at)));
            }
        }
        Value::Object(own)
    }

    fn health(&self, release: Release, backend: Backend) -> Option<Vec<String>> {
        let memory = &self.daemon.memory;
        let error = memory.attempt.as_ref().and_then(|attempt| attempt.error.clone());
        if release.old_health() {
            let told = match (error, backend) {
                (Some(error), _) => vec![format!("not logged in, last login error={error}")],
                (None, Backend::NeedsLogin) if memory.netmap.is_none() => {
                    vec!["state=NeedsLogin, wantRunning=false".to_owned()]
                }
                (None, Backend::Stopped) => vec!["state=Stopped, wantRunning=false".to_owned()],
                (None, _) => Vec::new(),
            };
            return (!told.is_empty()).then_some(told);
        }
        let starting = "Tailscale is starting. Please wait.".to_owned();
        let stopped = "Tailscale is stopped.".to_owned();
        let error = |error: String| format!("You are logged out. The last login error was: {error}");
        let refused = memory.attempt.as_ref().is_some_and(|attempt| attempt.refused);
        let told = match (backend, memory.attempt.as_ref().and_then(|attempt| attempt.error.clone())) {
            (Backend::Stopped, _) => vec![stopped],
            (Backend::NeedsLogin, Some(text)) if refused && memory.netmap.is_none() => vec![starting, error(text)],
            (_, Some(text)) => vec![error(text)],
            // Packets that vanish and names that do not resolve leave no trace, not even after a minute.
            (Backend::NeedsLogin, None) if memory.attempt.is_some() => Vec::new(),
            (Backend::NeedsLogin, None) if !memory.auth_url.is_empty() => vec![starting],
            (Backend::NeedsLogin, None) if memory.netmap.is_none() => vec![stopped],
            (Backend::NoState, None) => vec![starting],
            _ => Vec::new(),
        };
        Some(told)
    }

    /// `tailscale debug prefs`: a tab a level, and a line feed at the end.
    pub(crate) fn prefs_document(&self, release: Release) -> String {
        let prefs = &self.daemon.prefs;
        let list = |items: &Vec<String>| if items.is_empty() { Value::Null } else { json!(items) };
        let mut own = serde_json::Map::new();
        let mut put = |key: &str, value: Value| {
            own.insert(key.to_owned(), value);
        };
        put("ControlURL", json!(prefs.control_url));
        put("RouteAll", json!(prefs.route_all));
        put("ExitNodeID", json!(prefs.exit_node_id));
        put("ExitNodeIP", json!(prefs.exit_node_ip));
        if release.filters_statefully() {
            put("InternalExitNodePrior", json!(""));
            put("NoStatefulFiltering", json!(prefs.no_stateful_filtering));
            put("DriveShares", Value::Null);
        } else {
            put("TailFSShares", Value::Null);
        }
        put("ExitNodeAllowLANAccess", json!(prefs.exit_node_allow_lan_access));
        put("CorpDNS", json!(prefs.corp_dns));
        put("RunSSH", json!(prefs.run_ssh));
        put("RunWebClient", json!(false));
        put("WantRunning", json!(prefs.want_running));
        put("LoggedOut", json!(prefs.logged_out));
        put("ShieldsUp", json!(prefs.shields_up));
        put("AdvertiseTags", list(&prefs.advertise_tags));
        put("Hostname", json!(prefs.hostname));
        put("NotepadURLs", json!(false));
        put("AdvertiseRoutes", list(&prefs.advertise_routes));
        if release.has_services() {
            put("AdvertiseServices", Value::Null);
        }
        if release.has_sync() {
            put("Sync", Value::Null);
        }
        put("NoSNAT", json!(prefs.no_snat));
        put("NetfilterMode", json!(prefs.netfilter_mode));
        if !prefs.operator_user.is_empty() {
            put("OperatorUser", json!(prefs.operator_user));
        }
        put("AutoUpdate", json!({"Check": true, "Apply": null}));
        put("AppConnector", json!({"Advertise": prefs.advertise_connector}));
        put("PostureChecking", json!(prefs.posture_checking));
        put("NetfilterKind", json!(""));
        if release.newest_fields() {
            put("RemoteConfig", json!(false));
        } else {
            put("AllowSingleHosts", json!(true));
        }
        put("Config", self.config());
        let mut text = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut writer = serde_json::Serializer::with_formatter(&mut text, tabs);
        if Value::Object(own).serialize(&mut writer).is_err() {
            return String::new();
        }
        text.push(b'\n');
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The profile, with its private keys zeroed.
    fn config(&self) -> Value {
        let Some(profile) = &self.daemon.profile else { return Value::Null };
        let private = format!("privkey:{}", "0".repeat(64));
        let node = self.daemon.memory.netmap.as_ref().map_or(1, |map| map.id);
        json!({
            "PrivateNodeKey": private,
            "OldPrivateNodeKey": private,
            "UserProfile": {
                "ID": profile.user,
                "LoginName": format!("user-{}@fake-control.example.net", profile.user),
                "DisplayName": format!("User {}", profile.user),
                "ProfilePicURL": "https://tailscale.com/static/images/marketing/team-carney.jpg",
            },
            "NetworkLockKey": format!("nlpriv:{}", "0".repeat(128)),
            "NodeID": format!("TESTCTRL{node:08x}"),
        })
    }
}

fn v4(map: &Netmap) -> String {
    format!("100.64.{}.{}", map.id / 256, map.id % 256)
}

fn v6(map: &Netmap) -> String {
    format!("fd7a:115c:a1e0::{:x}", map.id)
}

fn addresses(map: &Netmap) -> Value {
    json!([v4(map), v6(map)])
}

/// Milliseconds since 1970 as `2027-05-22T06:18:09Z`.
fn rfc3339(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days since 0000-03-01, in eras of 400 years: after that a year ends with its leap day.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    format!("{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", era * 400 + year, rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_417_446_000), "2026-11-23T07:04:06Z");
    }
}
