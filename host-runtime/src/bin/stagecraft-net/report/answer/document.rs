//! All hosts as one JSON document, for a program that wants to know how they are and not how a run went.

use serde::Serialize;
use stagecraft_net::contract::Node;
use stagecraft_net::event::HostResult;

use super::Roll;
use super::roll::Entry;
use super::warning::{Warning, codes};

/// The version of the document: raised when a field changes its meaning or goes, not when one is added.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    schema: u32,
    environment: &'a str,
    hosts: Vec<Host<'a>>,
    oldest_client: Option<Version<'a>>,
    next_key_expiry: Option<Expiry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Version<'a> {
    version: &'a str,
    hosts: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Expiry<'a> {
    at: String,
    hosts: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Host<'a> {
    host: &'a str,
    /// `holds`, `would-change` or `failed`.
    result: &'static str,
    /// The kind of the failure.
    kind: Option<&'static str>,
    state: &'a str,
    version: Option<&'a str>,
    node: Option<&'a Node>,
    wanted_fqdn: Option<&'a str>,
    wanted_tags: &'a [String],
    missing_tags: Vec<&'a str>,
    extra_tags: Vec<&'a str>,
    warnings: Vec<&'a str>,
}

pub(super) fn render(roll: &Roll<'_>, warnings: &[Warning<'_>]) -> Vec<String> {
    let document = Document {
        schema: SCHEMA,
        environment: roll.environment,
        hosts: roll.entries.iter().map(|entry| host(entry, warnings)).collect(),
        oldest_client: roll.versions().into_iter().next().map(|(_, version, hosts)| Version { version, hosts }),
        next_key_expiry: roll.next_expiry().map(|(at, hosts)| Expiry { at: at.to_string(), hosts }),
    };
    // Strings, numbers and lists of them: there is nothing in it that JSON cannot say.
    serde_json::to_string_pretty(&document).into_iter().collect()
}

fn host<'a>(entry: &Entry<'a>, warnings: &[Warning<'a>]) -> Host<'a> {
    let tags = entry.tags();
    let member = entry.found.node.is_some();
    let (result, kind) = match entry.result {
        Some(HostResult::Holds(_)) => ("holds", None),
        Some(HostResult::WouldChange { .. } | HostResult::Changed { .. }) => ("would-change", None),
        Some(HostResult::Failed(failed)) => ("failed", Some(failed.kind.name())),
        _ => ("failed", None),
    };
    Host {
        host: entry.name(),
        result,
        kind,
        state: entry.state(),
        version: entry.version(),
        node: entry.found.node,
        wanted_fqdn: entry.wish.fqdn.as_deref(),
        wanted_tags: &entry.wish.spec.tags,
        missing_tags: if member { tags.missing } else { Vec::new() },
        extra_tags: tags.extra,
        warnings: codes(entry.name(), warnings, entry.result),
    }
}
