//! What can be wrong between parts that are right one by one: environments, addresses, roles, tags, names.
//!
//! Not for: reading any of them.

use std::collections::BTreeMap;

use super::Refusal;
use super::config::{Config, tag_index};
use super::finding::{Finding, nearest};
use super::hosts::{Origin, RawHost, Word};
use super::sections::{Environment, Sections};

/// How many of the same are told one by one.
const MOST_TOLD: usize = 5;

/// The environment is one that the file knows, where it knows any.
pub(super) fn environment(sections: &Sections<'_>, environment: &str, findings: &mut Vec<Finding>) {
    let known: Vec<&str> = sections.environments.keys().map(String::as_str).collect();
    if known.is_empty() || known.contains(&environment) {
        return;
    }
    let hint = match nearest(environment, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?\nknown: {}", known.join(", ")),
        None => format!("known: {}\ndo: choose one with -e/--env", known.join(", ")),
    };
    let summary = format!("there is no environment `{environment}`");
    let (pointer, place) = sections.environments_at.as_ref().map_or(("", None), |at| (&*at.pointer, at.place));
    findings.push(Finding::error("unknown-environment", pointer, place, summary).detail(hint));
}

/// The environments that an entry of `infra.inventory` is for are known ones.
pub(super) fn source_environments(sections: &Sections<'_>, findings: &mut Vec<Finding>) {
    for source in &sections.sources {
        for name in source.environments.iter().flatten() {
            if sections.environments.is_empty() || sections.environments.contains_key(name) {
                continue;
            }
            let known = sections.environments.keys().map(String::as_str);
            let hint = match nearest(name, known.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known.collect::<Vec<_>>().join(", ")),
            };
            let summary = format!("this inventory is for an environment `{name}`, which there is not");
            findings.push(
                Finding::warning("unknown-environment", &source.at.pointer, source.at.place, summary).detail(hint),
            );
        }
    }
}

/// One machine can have one name only. A list that says the same address for all its hosts is one finding.
pub(super) fn twins(hosts: &[RawHost], findings: &mut Vec<Finding>) {
    let mut places: BTreeMap<(&str, Option<u16>), Vec<&RawHost>> = BTreeMap::new();
    for host in hosts {
        // Private networks of two places may use the same addresses.
        let Some(address) = host.address.as_deref() else { continue };
        places.entry((address, host.port)).or_default().push(host);
    }
    places.retain(|_, hosts| hosts.len() > 1);
    let Some(shared) = places.values().min_by_key(|hosts| &hosts[0].name) else { return };
    let (first, second) = (shared[0], shared[1]);
    let summary = match places.values().map(Vec::len).sum() {
        2 => format!("`{}` and `{}` have the same address and port", first.name, second.name),
        more => format!(
            "{more} hosts have an address and port that is another host's too, such as `{}` and `{}`",
            first.name, second.name
        ),
    };
    let mut detail: Vec<String> = places
        .iter()
        .take(MOST_TOLD)
        .map(|((address, port), hosts)| {
            let port = port.map_or_else(String::new, |port| format!(" port {port}"));
            format!("found: {address}{port}: {}", names(hosts))
        })
        .collect();
    if places.len() > MOST_TOLD {
        detail.push(format!("found: {} more addresses", places.len() - MOST_TOLD));
    }
    detail.push("means: one machine would be brought to what each of them wants".to_owned());
    findings
        .push(Finding::warning("same-address", &second.at.pointer, second.at.place, summary).detail(detail.join("\n")));
}

/// Some names of many.
fn names(hosts: &[&RawHost]) -> String {
    let told: Vec<&str> = hosts.iter().take(MOST_TOLD).map(|host| host.name.as_str()).collect();
    match hosts.len() - told.len() {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

/// Names that the cloud's section has, and nothing else knows.
pub(super) fn unreached(hosts: &[RawHost], findings: &mut Vec<Finding>) {
    if !hosts.iter().any(|host| host.origin == Origin::List) {
        return;
    }
    let alone: Vec<&RawHost> = hosts.iter().filter(|host| host.origin == Origin::Cloud).collect();
    let Some(first) = alone.first() else { return };
    let summary = match alone.len() {
        1 => format!("no inventory knows `{}`: its name is looked up as an alias of ssh_config", first.name),
        more => format!("no inventory knows {more} hosts: their names are looked up as aliases of ssh_config"),
    };
    let mut note = Finding::note("no-address", &first.at.pointer, first.at.place, summary);
    if alone.len() > 1 {
        note = note.detail(format!("found: {}", names(&alone)));
    }
    findings.push(note);
}

/// Roles that have no tags, where others have: an error where a person wrote the role down for us, a note where it is
/// another program's word.
pub(super) fn roles(hosts: &[RawHost], config: &Config, findings: &mut Vec<Finding>) {
    let mut noted: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for host in hosts {
        for role in host.roles.iter().flatten() {
            let Some(hint) = config.unknown_role(&role.text) else { continue };
            if role.at.pointer.starts_with("/infra/hosts/") {
                let summary = format!("role `{}` of host `{}` is not one of `role_tags`", role.text, host.name);
                let detail = format!("{hint}\ndo: a role without tags of its own stands there as `{}: []`", role.text);
                findings.push(Finding::error("unknown-role", &role.at.pointer, role.at.place, summary).detail(detail));
            } else {
                noted.entry((&role.at.pointer, &role.text)).or_default().push(&host.name);
            }
        }
    }
    for ((pointer, role), named) in noted {
        let place = hosts.iter().flat_map(|host| host.roles.iter().flatten()).find(|word| word.at.pointer == pointer);
        let who = if let [only] = named[..] { format!("host `{only}`") } else { format!("{} hosts", named.len()) };
        let summary = format!("role `{role}` of {who} is not one of `role_tags`, so it brings no tags");
        let detail = config.unknown_role(role).unwrap_or_default();
        let at = place.map(|word| &word.at);
        let note = Finding::note("unknown-role", pointer, at.and_then(|at| at.place), summary).detail(detail);
        findings.push(note.behind(at.and_then(|at| at.option)));
    }
}

/// Asks the provider about the tags that stand at the hosts: it knows the grammar, we do not.
pub(super) fn tags(
    hosts: &[RawHost],
    config: &Config,
    findings: &mut Vec<Finding>,
    mut refused: impl FnMut(&serde_json::Value) -> Option<Refusal>,
) {
    let spots: Vec<(&RawHost, &Word)> = hosts
        .iter()
        .flat_map(|host| host.tags.iter().flatten().chain(&host.label_tags).map(move |tag| (host, tag)))
        .collect();
    let mut tags: Vec<&str> = spots.iter().map(|(_, tag)| tag.text.as_str()).collect();
    tags.sort_unstable();
    tags.dedup();
    if tags.is_empty() {
        return;
    }
    let Some(Refusal::Findings(said)) = config.with_tags(&tags).and_then(|json| refused(&json)) else { return };
    for (one, wrong) in said.iter().filter_map(|one| Some((one, *tags.get(tag_index(one)?)?))) {
        let mut told: Vec<&str> = Vec::new();
        for (host, tag) in spots.iter().filter(|(_, tag)| tag.text == wrong) {
            // One template, or one option, makes the same tag for many hosts.
            let ours = tag.at.pointer.starts_with("/infra/hosts/");
            if !ours && told.contains(&tag.at.pointer.as_str()) {
                continue;
            }
            told.push(&tag.at.pointer);
            let from = (!ours && tag.at.option.is_none())
                .then(|| format!("found: made of the labels of host `{}`", host.name));
            let list =
                tag.at.option.map_or_else(|| format!("`tags` of host `{}`", host.name), |option| format!("`{option}`"));
            let detail: Vec<String> = from.into_iter().chain(one.detail.clone()).collect();
            findings.push(Finding {
                severity: one.severity,
                code: one.code.clone(),
                // The provider was asked about a list of default tags.
                summary: one.summary.replace("`default_tags`", &list),
                detail: (!detail.is_empty()).then(|| detail.join("\n")),
                pointer: tag.at.pointer.clone(),
                place: tag.at.place,
                option: tag.at.option.map(str::to_owned),
            });
        }
    }
}

/// Two environments whose hosts would have one name in one network. `names` gives the name of a host in an environment.
pub(super) fn claims(
    own: &str,
    hosts: &[RawHost],
    others: &BTreeMap<String, Environment<'_>>,
    mut names: impl FnMut(&Environment<'_>, &[&str]) -> Vec<Option<String>>,
    mine: impl Fn(&str) -> Option<String>,
    findings: &mut Vec<Finding>,
) {
    let known: BTreeMap<&str, &RawHost> = hosts.iter().map(|host| (host.name.as_str(), host)).collect();
    for (name, other) in others.iter().filter(|(name, _)| *name != own) {
        let same = |theirs: &&RawHost| {
            known.get(theirs.name.as_str()).is_some_and(|ours| {
                // The same machine, listed twice.
                ours.address.is_none() || (&ours.address, ours.port) != (&theirs.address, theirs.port)
            })
        };
        let theirs: Vec<&RawHost> = other.cloud.iter().chain(&other.hosts).filter(same).collect();
        let mut shared: Vec<&str> = theirs.iter().map(|host| host.name.as_str()).collect();
        shared.sort_unstable();
        shared.dedup();
        if shared.is_empty() {
            continue;
        }
        let claimed: Vec<&str> = shared
            .iter()
            .zip(names(other, &shared))
            .filter(|(host, theirs)| theirs.is_some() && mine(host) == *theirs)
            .map(|(host, _)| *host)
            .collect();
        let Some(host) = claimed.first().and_then(|first| known.get(first)) else { continue };
        let full = mine(&host.name).unwrap_or_default();
        let what = match claimed.len() {
            1 => format!("`{full}` is"),
            more => format!("{more} names, such as `{full}`, are"),
        };
        let summary = format!("{what} claimed by environment `{name}` too: two machines cannot have one name");
        let detail = format!(
            "found: {}\nmeans: the network gives the second machine another name, and it is not found under its own\n\
             do: name the hosts of one environment differently, or give it a network of its own under \
             environments.{name}.network",
            claimed.join(", ")
        );
        findings.push(Finding::warning("claimed-twice", &host.at.pointer, host.at.place, summary).detail(detail));
    }
}
