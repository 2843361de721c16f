//! How a control server answers a machine that logs in or asks for other tags.
//!
//! The refusal texts are those that were recorded, or that threads of the real service quote. Not for: what the daemon
//! makes of the answer ([`crate::daemon`]).

use std::collections::BTreeSet;

use crate::world::{AuthKey, Control, Kind, Node, Reach};

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

impl Control {
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
            Reach::ClockBehind => {
                return Registered::Trouble(Some(format!(
                    "fetch control key: Get \"{url}/key?v={capability}\": x509: certificate has expired or is not yet valid: \
                     current time 2026-11-23T14:17:19Z is before 2026-12-21T14:17:19Z"
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
