//! What the network says the hosts are, in the words of another program.
//!
//! A host stands in it when it is a member of the configured network under its own name, and its addresses can be read;
//! the others are told, and the run ends with 10. Everything in it came from a file or from another machine, so each
//! format escapes it, or refuses the host when it cannot: nothing broken is ever printed.

mod ansible;
mod compose;
mod env;
mod json;
mod ssh_config;

use std::net::IpAddr;

use stagecraft_net::contract::Node;
use stagecraft_net::event::HostResult;
use stagecraft_net::inventory::HostSpec;

use super::super::block::Block;
use super::super::group::{fold, gather};
use super::{Found, Paint, Rendered, Roll, Wish};

/// Which program reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON document
    Json,
    /// NAME=value lines, for a shell or `docker --env-file`
    Env,
    /// Hosts for ssh, under their names here, reached through the network
    SshConfig,
    /// An inventory, with groups by role and by tag
    Ansible,
    /// `extra_hosts` of services, since containers often cannot resolve names of the network
    Compose,
}

/// A member as the formats see it: every part was looked at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member<'a> {
    pub(super) spec: &'a HostSpec,
    pub(super) node: &'a Node,
    /// A DNS name in lower case.
    pub(super) fqdn: &'a str,
    /// At least one.
    pub(super) addresses: Vec<IpAddr>,
}

impl Member<'_> {
    pub(super) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(super) fn v4(&self) -> Option<IpAddr> {
        self.addresses.iter().copied().find(IpAddr::is_ipv4)
    }

    pub(super) fn v6(&self) -> Option<IpAddr> {
        self.addresses.iter().copied().find(IpAddr::is_ipv6)
    }
}

/// The member that a host is, or why it is none that can be told of.
pub(super) fn member<'a>(wish: &'a Wish, node: Option<&'a Node>) -> Result<Member<'a>, String> {
    let Some(node) = node else { return Err("it is no member".to_owned()) };
    match &wish.fqdn {
        Some(wanted) if *wanted == node.fqdn => {}
        Some(wanted) => return Err(format!("the network calls it {}, not {wanted}", node.fqdn)),
        None => return Err("it has no name in the network".to_owned()),
    }
    if !is_dns_name(&node.fqdn) {
        return Err(format!("{} is no DNS name", node.fqdn));
    }
    let addresses: Result<Vec<IpAddr>, _> =
        node.addresses.iter().map(|address| address.parse().map_err(|_| format!("{address} is no address"))).collect();
    match addresses? {
        addresses if addresses.is_empty() => Err("it has no address".to_owned()),
        addresses => Ok(Member { spec: &wish.spec, node, fqdn: &node.fqdn, addresses }),
    }
}

/// Whether every label is letters, digits and dashes: nothing that any format could take for anything else.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// The member that stands in the answer, or why the host does not.
fn entry<'a>(format: Format, wish: &'a Wish, node: Option<&'a Node>) -> Result<Member<'a>, String> {
    let member = member(wish, node)?;
    match format {
        Format::SshConfig => ssh_config::refused(&member),
        Format::Ansible => ansible::refused(&member),
        Format::Json | Format::Env | Format::Compose => None,
    }
    .map_or(Ok(member), Err)
}

/// Whether a host of the run is left out.
pub(super) fn is_partial(format: Format, wishes: &[Wish], results: &[HostResult]) -> bool {
    wishes.iter().zip(results).any(|(wish, result)| entry(format, wish, Found::of(result).node).is_err())
}

pub(super) fn render(roll: &Roll<'_>, format: Format, services: &[String], paint: Paint) -> Rendered {
    let mut left_out: Vec<(&str, String)> = Vec::new();
    let mut members = Vec::new();
    for one in &roll.entries {
        match (entry(format, one.wish, one.found.node), one.result) {
            // What failed has a block of its own.
            (_, Some(HostResult::Failed(_)) | None) => {}
            (Ok(member), Some(_)) => members.push(member),
            (Err(why), Some(_)) => left_out.push((one.name(), why)),
        }
    }
    let text = match format {
        Format::Json => json::write(roll.environment, &members),
        Format::Env => env::write(&members),
        Format::SshConfig => ssh_config::write(&members),
        Format::Ansible => ansible::write(&members),
        Format::Compose => compose::write(&members, services),
    };
    let blocks = gather(left_out)
        .into_iter()
        .map(|group| {
            let hosts = fold(&group.hosts, paint.all);
            let mut block = Block::new("warning", "left-out", &hosts, paint.color.1);
            block.lead(format!("not in what was printed: {}", group.what));
            block.line("do", format!("stagecraft-net up{}", roll.again));
            block
        })
        .collect();
    Rendered { out: text.lines().map(str::to_owned).collect(), blocks }
}

#[cfg(test)]
mod tests;
