//! What is so on a machine, as facts by topic: what a person reads of one host, and a program of many.
//!
//! In an order that never changes. Beside what was found stand the preferences that a run keeps, and what a run will never
//! do here, so that nobody has to know this provider to know what to expect of it.
//! Not for: anything that decides ([`crate::state`], [`crate::decide`]); the member itself ([`crate::report::node`]).

use crate::config::DEFAULT_CONTROL;
use crate::observe::Seen;
use crate::package;
use crate::port::Fact;
use crate::probe::{Client, Daemon, Os, Status, Unit};
use crate::state::{Aim, Doubt, Down, Foreign, Gap, Link, Pending, State, Unusable, Wanted};
use crate::version::Version;
use crate::{prefs, report, text};

/// All of them.
#[must_use]
pub fn facts(seen: &Seen, wanted: &Wanted<'_>) -> Vec<Fact> {
    let mut told = Told(Vec::new());
    match &seen.facts.os {
        Os::Supported(os) | Os::Unsupported(os) => told.tell("machine", "os", os.clone()),
    }
    if let Err(why) = &seen.facts.root {
        told.tell("machine", "root", format!("not to be had: {why}"));
    }
    client(&mut told, seen, wanted);
    if let Daemon::Answers(status, prefs) = &seen.facts.daemon {
        let ours = wanted.config.tailnet_domain.as_str();
        told.tell("network", "network", status.suffix().unwrap_or_default());
        told.wanted(ours, wanted.goal == Aim::Joined && status.suffix().is_some_and(|suffix| suffix != ours));
        if prefs.has_profile || !prefs.control_url.is_empty() {
            let control = if prefs.control_url.is_empty() { DEFAULT_CONTROL } else { &prefs.control_url };
            told.tell("network", "control", text::shown(control));
            let here = crate::config::same_control(control, wanted.config.control());
            told.wanted(wanted.config.control(), wanted.goal == Aim::Joined && !here);
        }
        told.tell("network", "health", text::shown(&status.troubles().join("; ")));
    }
    told.tell("state", "state", report::name(&seen.state));
    told.remark(meaning(&seen.state, wanted));
    let kept = settings(seen);
    if wanted.goal == Aim::Joined {
        never(&mut told, seen, wanted, &kept);
    }
    told.0.extend(kept);
    told.0.sort_by_key(|fact| TOPICS.iter().position(|topic| *topic == fact.topic));
    told.0
}

/// The topics in their order.
const TOPICS: [&str; 6] = ["machine", "client", "network", "state", "setting", "never"];

struct Told(Vec<Fact>);

impl Told {
    /// One more, unless there is nothing to tell.
    fn tell(&mut self, topic: &'static str, name: &str, value: String) {
        if !value.is_empty() {
            self.0.push(Fact { topic, name: name.to_owned(), value, wanted: None, remark: None });
        }
    }

    /// What was wanted in the place of the last one.
    fn wanted(&mut self, what: &str, differs: bool) {
        if let (true, Some(last)) = (differs, self.0.last_mut()) {
            last.wanted = Some(what.to_owned());
        }
    }

    /// What the last one means.
    fn remark(&mut self, what: Option<String>) {
        if let Some(last) = self.0.last_mut() {
            last.remark = what;
        }
    }
}

fn client(told: &mut Told, seen: &Seen, wanted: &Wanted<'_>) {
    let version = match &seen.facts.client {
        Client::Absent => return,
        Client::Release(_, version) | Client::Unreadable(version) => version,
    };
    told.tell("client", "version", version.clone());
    if let State::Unusable(Unusable::TooOld(_, oldest)) = &seen.state {
        told.wanted(&format!("{oldest} or later"), true);
    } else if matches!(seen.facts.client, Client::Release(release, _) if release < Version::RECOMMENDED) {
        told.remark(Some(format!("{} or later is recommended", Version::RECOMMENDED)));
    }
    if let Daemon::Answers(status, _) = &seen.facts.daemon {
        // A package that was upgraded under a daemon that nobody restarted.
        let running = status.version.split('-').next().unwrap_or_default();
        if !version.starts_with(running) {
            told.tell("client", "daemon-version", running.to_owned());
            told.remark(Some(format!("the daemon was not restarted since {version} was installed")));
        }
    }
    if let Ok(unit) = &seen.facts.unit {
        told.tell("client", "source", source(unit));
        told.tell("client", "daemon", format!("{} ({}), {}", unit.active, unit.sub, unit.file));
        told.wanted(
            "active, enabled",
            wanted.goal != Aim::Absent && (unit.active != "active" || unit.is_off_at_boot()),
        );
    }
}

/// Where the installation is from, by who wrote the unit. Nothing where that cannot be told.
fn source(unit: &Unit) -> String {
    let under = |folders: [&str; 2]| folders.iter().any(|folder| unit.path.starts_with(folder));
    if unit.load == "masked" || unit.path.is_empty() {
        String::new()
    } else if under(["/usr/lib/systemd/", "/lib/systemd/"]) {
        format!("a package ({})", unit.path)
    } else if under(["/etc/systemd/", "/run/systemd/"]) {
        format!("no package: set up by hand ({})", unit.path)
    } else {
        unit.path.clone()
    }
}

/// The preferences that differ from their defaults, by the names of their flags.
fn settings(seen: &Seen) -> Vec<Fact> {
    let (Daemon::Answers(status, prefs), Client::Release(release, _)) = (&seen.facts.daemon, &seen.facts.client) else {
        return Vec::new();
    };
    let fact = |name: &str, value: &str, remark: Option<String>| Fact {
        topic: "setting",
        name: name.trim_start_matches('-').to_owned(),
        value: text::shown(value),
        wanted: None,
        remark,
    };
    match prefs::kept(prefs, status, *release) {
        Ok(flags) => flags
            .iter()
            .filter(|flag| *flag != "--accept-routes=false")
            .map(|flag| match flag.split_once('=') {
                Some((name, value)) => fact(name, value, None),
                None => fact(flag, "on", None),
            })
            .collect(),
        Err(flag) => {
            vec![fact(
                flag,
                "set",
                Some("as it stands it cannot be kept: a join would stop before it begins".to_owned()),
            )]
        }
    }
}

/// What no run does here. Each completes the sentence *it will never …*.
fn never(told: &mut Told, seen: &Seen, wanted: &Wanted<'_>, kept: &[Fact]) {
    let mut tell = |name: &str, value: String| told.tell("never", name, value);
    tell(
        "move",
        match &seen.state {
            State::Foreign(foreign) => {
                format!("take it out of {} on the way into {}", foreign.name(), wanted.config.tailnet_domain)
            }
            _ => format!(
                "bring it into another tailnet than {} on {}",
                wanted.config.tailnet_domain,
                wanted.config.control()
            ),
        },
    );
    tell("replace", "upgrade, downgrade or remove a Tailscale that is there".to_owned());
    tell("key", "send an auth key to a member that works".to_owned());
    let extra: Vec<String> = match &seen.facts.daemon {
        Daemon::Answers(status, _) => extra_tags(status, wanted),
        Daemon::Down(_) | Daemon::Silent | Daemon::Changing | Daemon::Unreadable(_) => Vec::new(),
    };
    let stay = if extra.is_empty() { String::new() } else { format!(": {} stay", text::tags(&extra)) };
    tell("tags", format!("take a tag away{stay}"));
    let names: Vec<String> = kept.iter().map(|fact| format!("--{}", fact.name)).collect();
    let stay = if names.is_empty() { String::new() } else { format!(": {} stay", names.join(" ")) };
    tell("preferences", format!("change a preference that somebody set{stay}"));
    tell("interrupt", "interrupt what works, unless that is allowed (`disruptive`)".to_owned());
    if let Some(client) = &wanted.over_tailnet {
        tell(
            "session",
            format!(
                "log out or re-authenticate through a session that comes over the tailnet, as this one does (from {client})"
            ),
        );
    }
}

/// The tags that a member has and nobody asked for.
#[must_use]
pub fn extra_tags(status: &Status, wanted: &Wanted<'_>) -> Vec<String> {
    status.tags().into_iter().filter(|tag| !wanted.tags.contains(tag)).collect()
}

/// What a state means, and so why a run does what it does. Nothing of a member that is right.
fn meaning(state: &State, wanted: &Wanted<'_>) -> Option<String> {
    let domain = &wanted.config.tailnet_domain;
    let why = match state {
        State::Unsupported(_) => "the official install script does not know this system".to_owned(),
        State::Unreadable(found) => found.clone(),
        State::NoClient => "there is no `tailscale` on the PATH".to_owned(),
        State::Unusable(Unusable::TooOld(..)) => "what must hold was not seen to hold with this release".to_owned(),
        State::Unusable(Unusable::NoVersion(_)) => "`tailscale version` prints none".to_owned(),
        State::DaemonDown(Down::Mute, why) => format!("systemd counts it as running, and it does not answer: {why}"),
        State::DaemonDown(_, why) => why.clone(),
        State::HalfInstalled(half, behind) => {
            let behind = meaning(behind, wanted).map(|why| format!("; {why}")).unwrap_or_default();
            format!("its installation was begun and not finished: {}{behind}", package::shown(half))
        }
        State::NotAtBoot(behind) => {
            let behind = meaning(behind, wanted).map(|why| format!("; {why}")).unwrap_or_default();
            format!("a reboot would take it out of the tailnet{behind}")
        }
        State::Settling(_) => "it has not come to rest".to_owned(),
        State::Unseen => "nobody knows yet what it holds".to_owned(),
        State::Fresh => "it has no node key: never joined, or logged out".to_owned(),
        State::JoinPending(Pending::Ours(error)) => {
            let error = error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            format!("an earlier join has not ended{error}: the host would join by itself later")
        }
        State::JoinPending(Pending::Elsewhere(control)) => {
            format!("an earlier join on {control} has not ended: the host would join there by itself later")
        }
        State::HalfLoggedOut(_) => "an earlier log-out was cut off: the tailnet still counts the host in".to_owned(),
        State::Unproved(Doubt::NoAnswer(_)) => {
            "the control server has not answered since the daemon started, so the daemon does not know its tailnet"
                .to_owned()
        }
        State::Unproved(Doubt::RefusedKey(error)) => format!("the daemon tries a key that is refused: {error}"),
        State::Foreign(Foreign { other_server: false, .. }) => format!("the file asks for {domain}"),
        State::Foreign(Foreign { other_server: true, .. }) => format!("the file asks for {}", wanted.config.control()),
        State::Member(Link::Online, Gap::None) => return None,
        State::Member(_, Gap::Name(given)) => {
            format!("control gave it the name {given}, so {}.{domain} is another host or none", wanted.host)
        }
        State::Member(Link::Offline, _) => {
            "its connection to the control server is lost; its place in the tailnet is kept".to_owned()
        }
        State::Member(Link::Connecting, _) => "it has not found a relay yet".to_owned(),
        State::Member(Link::RefusedKey(error), _) => format!("it is cut off by a key that is refused: {error}"),
        State::Member(Link::Stopped, _) => "somebody ran `tailscale down`; its place in the tailnet is kept".to_owned(),
        State::Member(Link::Expired, _) => "its key has expired, or the control server ended its log-in".to_owned(),
        State::Member(Link::Unapproved, _) => "an admin of the tailnet has to approve it".to_owned(),
        State::Member(Link::Online, Gap::Tags(found)) => {
            let missing: Vec<String> = wanted.tags.iter().filter(|tag| !found.contains(tag)).cloned().collect();
            format!("it lacks {}, and tags are given at a log-in only", text::tags(&missing))
        }
    };
    Some(text::shown(&why))
}
