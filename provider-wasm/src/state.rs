//! What the facts of a machine add up to: one [`State`] of a short list, against what is wanted of it.
//!
//! The status alone does not tell: a half-done log-out and a failed join that goes on show in the preferences only. What
//! no case of the list covers is [`State::Unreadable`], never a guess. Not for: what to do about it ([`crate::decide`]).

use crate::config::{Config, same_control};
use crate::package::Half;
use crate::port::{Goal, Request};
use crate::prefs::Prefs;
use crate::probe::{Client, Daemon, Facts, Os, Status, Unit};
use crate::text;
use crate::version::Version;

/// What is wanted of a machine, and what is allowed on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The config.
    pub config: &'a Config,
    /// The logical host name.
    pub host: String,
    /// The goal.
    pub goal: Aim,
    /// The wanted tags, sorted, each once.
    pub tags: Vec<String>,
    /// A step that interrupts something that works is allowed.
    pub disruptive: bool,
    /// The other tailnet that may be left, by its name.
    pub from: Option<String>,
    /// The session that looks and acts comes over a tailnet, from this address.
    pub over_tailnet: Option<String>,
}

/// The goals that this provider knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
    /// The client is there and its daemon answers.
    Installed,
    /// Installed, and a member.
    Joined,
    /// Logged out.
    Absent,
}

/// What a machine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its operating system is not supported, or cannot be told.
    Unsupported(String),
    /// It answers what nobody can read.
    Unreadable(String),
    /// Tailscale is not installed.
    NoClient,
    /// Its installation was begun and not finished. Behind it stands what the host is apart from that.
    HalfInstalled(Vec<Half>, Box<State>),
    /// The installed release will not do.
    Unusable(Unusable),
    /// The daemon does not answer.
    DaemonDown(Down, String),
    /// The daemon answers and would not after a reboot. Behind it stands what the daemon says.
    NotAtBoot(Box<State>),
    /// It will be something else in a moment. Behind it stands what to take it for if it does not.
    Settling(Box<State>),
    /// The daemon runs, and what it will say is not known yet. Only predicted, never observed.
    Unseen,
    /// Never logged in, or logged out.
    Fresh,
    /// A join failed or waits for a person, and goes on: the machine will join by itself.
    JoinPending(Pending),
    /// A log-out was begun and not finished: the tailnet still counts the machine in.
    HalfLoggedOut(Tie),
    /// It is a member of a tailnet, and the daemon does not know of which.
    Unproved(Doubt),
    /// It is in another tailnet, or on another control server.
    Foreign(Foreign),
    /// It is in the configured tailnet.
    Member(Link, Gap),
}

/// Why an installed release will not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// Older than wanted: found, wanted.
    TooOld(String, Version),
    /// What it prints as its version is none.
    NoVersion(String),
}

/// How a daemon is down, by what systemd says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Down {
    /// Not started.
    Stopped,
    /// Started, and ended with an error.
    Failed,
    /// Forbidden to start.
    Masked,
    /// Running, and yet it does not answer.
    Mute,
    /// systemd does not know it.
    NoUnit,
    /// systemd itself cannot be asked.
    NoSystemd,
}

/// What is known of a join that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// With the configured control server; the last error, if any.
    Ours(Option<String>),
    /// With another one.
    Elsewhere(String),
}

/// To which tailnet a half-logged-out machine belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// The configured one.
    Ours,
    /// One on the configured control server.
    Unknown,
}

/// Why a membership cannot be proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The control server has not answered since the daemon started; the last error, if any.
    NoAnswer(Option<String>),
    /// The daemon tries a key that is refused: until it forgets that key it says nothing of the tailnet.
    RefusedKey(String),
}

/// Where a machine is that is not where it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The tailnet's DNS name, while the daemon knows it.
    pub suffix: Option<String>,
    /// The control server.
    pub control: String,
    /// The control server is another than the config's: the same name there is another tailnet.
    pub other_server: bool,
    /// Its name there, while the daemon knows it.
    pub fqdn: String,
    /// Its tags there.
    pub tags: Vec<String>,
    /// Whether it is connected there.
    pub online: bool,
}

impl Foreign {
    /// What to call it: the tailnet if known, else the control server.
    #[must_use]
    pub fn name(&self) -> &str {
        self.suffix.as_deref().unwrap_or(&self.control)
    }
}

/// How a member is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Running, and connected to the control server.
    Online,
    /// Running, and not connected to the control server.
    Offline,
    /// Has not found a relay yet.
    Connecting,
    /// Running and cut off, since the daemon tries a key that is refused.
    RefusedKey(String),
    /// Brought down.
    Stopped,
    /// Its key has expired, or its log-in was ended by the control server.
    Expired,
    /// Waits for an admin's approval.
    Unapproved,
}

/// What a member lacks of what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// Nothing.
    None,
    /// Tags; these are there.
    Tags(Vec<String>),
    /// The name; this one was given.
    Name(String),
}

impl<'a> Wanted<'a> {
    /// What a request wants of this host; `None` for a goal that this provider does not know.
    #[must_use]
    pub fn of(request: &Request, config: &'a Config, host: String, connection: Option<&str>) -> Option<Self> {
        let (goal, mut tags) = match &request.goal {
            Goal::Installed => (Aim::Installed, Vec::new()),
            Goal::Joined(tags) => (Aim::Joined, tags.clone()),
            Goal::Absent => (Aim::Absent, Vec::new()),
            Goal::Other(_) => return None,
        };
        tags.sort_unstable();
        tags.dedup();
        let client = connection.and_then(|connection| connection.split(' ').next());
        Some(Self {
            config,
            host,
            goal,
            tags,
            disruptive: request.allow.iter().any(|word| word == "disruptive"),
            from: request
                .allow
                .iter()
                .find_map(|word| word.strip_prefix("from:"))
                .map(|domain| domain.trim_end_matches('.').to_ascii_lowercase()),
            over_tailnet: client.filter(|address| is_tailscale_address(address)).map(str::to_owned),
        })
    }
}

/// Whether an address is one that tailnets give out: 100.64.0.0/10 or `fd7a:115c:a1e0::/48`.
#[must_use]
pub fn is_tailscale_address(address: &str) -> bool {
    use std::net::IpAddr;
    match address.parse() {
        Ok(IpAddr::V4(v4)) => matches!(v4.octets(), [100, 64..=127, _, _]),
        Ok(IpAddr::V6(v6)) => match (v6.to_ipv4_mapped(), v6.segments()) {
            (Some(v4), _) => matches!(v4.octets(), [100, 64..=127, _, _]),
            (None, [0xfd7a, 0x115c, 0xa1e0, ..]) => true,
            (None, _) => false,
        },
        Err(_) => false,
    }
}

impl Unit {
    /// Whether it would not start by itself after a reboot. A unit that systemd does not know is no evidence.
    #[must_use]
    pub fn is_off_at_boot(&self) -> bool {
        let off = ["disabled", "enabled-runtime", "linked-runtime", "masked", "masked-runtime"];
        self.load == "masked" || off.contains(&self.file.as_str())
    }
}

impl State {
    /// What the facts add up to.
    #[must_use]
    pub fn of(facts: &Facts, wanted: &Wanted<'_>) -> Self {
        if let Os::Unsupported(found) = &facts.os {
            return State::Unsupported(found.clone());
        }
        let rest = State::apart_from_packages(facts, wanted);
        // Leaving is none of the package manager's business.
        if facts.half.is_empty() || wanted.goal == Aim::Absent {
            return rest;
        }
        match rest {
            State::Settling(then) => State::Settling(Box::new(State::HalfInstalled(facts.half.clone(), then))),
            rest => State::HalfInstalled(facts.half.clone(), Box::new(rest)),
        }
    }

    /// What they add up to, where the package manager has finished what it began.
    fn apart_from_packages(facts: &Facts, wanted: &Wanted<'_>) -> Self {
        match &facts.client {
            Client::Absent => return State::NoClient,
            // Leaving works with whatever release joined.
            Client::Unreadable(_) | Client::Release(..) if wanted.goal == Aim::Absent => {}
            Client::Unreadable(found) => return State::Unusable(Unusable::NoVersion(found.clone())),
            Client::Release(release, found) if *release < wanted.config.oldest() => {
                return State::Unusable(Unusable::TooOld(found.clone(), wanted.config.oldest()));
            }
            Client::Release(..) => {}
        }
        let said = match &facts.daemon {
            Daemon::Down(why) => return State::down(facts, why),
            Daemon::Silent | Daemon::Changing => {
                let down = State::down(facts, "it did not answer in time");
                return State::Settling(Box::new(down));
            }
            Daemon::Unreadable(why) => return State::Unreadable(why.clone()),
            Daemon::Answers(status, prefs) => State::said(status, prefs, wanted),
        };
        match &facts.unit {
            Ok(unit) if unit.is_off_at_boot() => match said {
                State::Settling(then) => State::Settling(Box::new(State::NotAtBoot(then))),
                said => State::NotAtBoot(Box::new(said)),
            },
            Ok(_) | Err(_) => said,
        }
    }

    fn down(facts: &Facts, why: &str) -> State {
        let how = match &facts.unit {
            Err(_) => Down::NoSystemd,
            Ok(unit) if unit.load == "masked" || unit.file.starts_with("masked") => Down::Masked,
            Ok(unit) if unit.load == "not-found" => Down::NoUnit,
            Ok(unit) => match unit.active.as_str() {
                // It has ended, and systemd waits before it starts it again.
                "activating" if unit.sub == "auto-restart" => Down::Failed,
                "active" | "activating" | "reloading" => Down::Mute,
                "failed" => Down::Failed,
                _ => Down::Stopped,
            },
        };
        State::DaemonDown(how, why.to_owned())
    }

    /// What a daemon's own answer adds up to.
    fn said(status: &Status, prefs: &Prefs, wanted: &Wanted<'_>) -> State {
        // A profile is there exactly when a node key is; releases before 1.66 have only the profile to tell by. Where the two
        // do not agree, they were not read at the same moment, and the machine has logged in or out between.
        let node_key = status.have_node_key || prefs.has_profile;
        let says_so = Version::of_release(&status.version).is_some_and(|daemon| daemon >= Version::new(1, 66, 0));
        if says_so && status.have_node_key != prefs.has_profile {
            return match State::of_daemon(node_key, status, prefs, wanted) {
                State::Settling(then) => State::Settling(then),
                then => State::Settling(Box::new(then)),
            };
        }
        State::of_daemon(node_key, status, prefs, wanted)
    }

    fn of_daemon(node_key: bool, status: &Status, prefs: &Prefs, wanted: &Wanted<'_>) -> State {
        let here = same_control(&prefs.control_url, wanted.config.control());
        let control = || if prefs.control_url.is_empty() { crate::config::DEFAULT_CONTROL } else { &prefs.control_url };
        let error = status.login_error().map(text::shown);
        if !node_key {
            return match status.backend_state.as_str() {
                // After a failed join these two preferences stay, also when `tailscale down` came later.
                "NeedsLogin" | "NoState" | "Starting" | "Stopped" if !prefs.logged_out || prefs.want_running => {
                    State::JoinPending(if here {
                        Pending::Ours(error)
                    } else {
                        Pending::Elsewhere(control().to_owned())
                    })
                }
                "NeedsLogin" | "Stopped" => State::Fresh,
                "NoState" | "Starting" => State::Settling(Box::new(State::Fresh)),
                other => State::Unreadable(format!("the daemon is in the state {other:?} and has no node key")),
            };
        }
        let suffix = status.suffix();
        let ours = suffix.as_deref() == Some(wanted.config.tailnet_domain.as_str());
        if !here || (suffix.is_some() && !ours) {
            return State::Foreign(Foreign {
                suffix,
                control: control().to_owned(),
                other_server: !here,
                fqdn: status.fqdn(),
                tags: status.tags(),
                online: status.own.online && status.backend_state == "Running",
            });
        }
        if prefs.logged_out {
            return State::HalfLoggedOut(if ours { Tie::Ours } else { Tie::Unknown });
        }
        let refused = error.clone().filter(|error| !is_transport(error));
        let Some(_) = suffix else {
            return match (status.backend_state.as_str(), refused) {
                (_, Some(error)) => State::Unproved(Doubt::RefusedKey(error)),
                ("NoState" | "Starting" | "Stopped", None) => {
                    State::Settling(Box::new(State::Unproved(Doubt::NoAnswer(error))))
                }
                ("NeedsLogin" | "NeedsMachineAuth" | "Running", None) => State::Unproved(Doubt::NoAnswer(error)),
                (other, None) => State::Unreadable(format!("the daemon is in the state {other:?}")),
            };
        };
        let gap = Gap::of(status, wanted);
        match status.backend_state.as_str() {
            "Running" if status.own.online => State::Member(Link::Online, gap),
            "Running" => State::Member(refused.map_or(Link::Offline, Link::RefusedKey), gap),
            "Stopped" => State::Member(Link::Stopped, gap),
            "NeedsLogin" => State::Member(Link::Expired, gap),
            "NeedsMachineAuth" => State::Member(Link::Unapproved, gap),
            "NoState" | "Starting" => State::Settling(Box::new(State::Member(Link::Connecting, gap))),
            other => State::Unreadable(format!("the daemon is in the state {other:?}")),
        }
    }
}

impl Gap {
    /// What a member lacks. The name comes first: no key and no tag mends it.
    fn of(status: &Status, wanted: &Wanted<'_>) -> Gap {
        let name = format!("{}.{}", wanted.host, wanted.config.tailnet_domain);
        let tags = status.tags();
        if status.fqdn() != name {
            Gap::Name(status.fqdn())
        } else if wanted.tags.iter().any(|tag| !tags.contains(tag)) {
            Gap::Tags(tags)
        } else {
            Gap::None
        }
    }
}

/// Whether a log-in failed because the control server could not be talked to, and not because it said no.
#[must_use]
pub fn is_transport(error: &str) -> bool {
    let signs = [
        "fetch control key",
        "register request",
        "dial tcp",
        "connection refused",
        "context deadline exceeded",
        "all connection attempts failed",
        "no such host",
    ];
    signs.iter().any(|sign| error.contains(sign))
}
