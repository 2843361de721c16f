//! One JSON document: what a template or a program of one's own reads.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Member;

/// The version of the document: raised when a field changes its meaning or goes, not when one is added.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    environment: &'a str,
    hosts: BTreeMap<&'a str, Host<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Host<'a> {
    fqdn: &'a str,
    addresses: Vec<String>,
    tags: &'a [String],
    roles: &'a [String],
    online: bool,
    key_expiry: Option<&'a str>,
    id: &'a str,
}

pub(super) fn write(environment: &str, members: &[Member<'_>]) -> String {
    let hosts = members.iter().map(|member| (member.name(), host(member))).collect();
    // Strings, numbers and lists of them: there is nothing in it that JSON cannot say.
    serde_json::to_string_pretty(&Document { schema: SCHEMA, environment, hosts }).unwrap_or_default()
}

fn host<'a>(member: &'a Member<'_>) -> Host<'a> {
    Host {
        fqdn: member.fqdn,
        addresses: member.addresses.iter().map(ToString::to_string).collect(),
        tags: &member.node.tags,
        roles: &member.spec.roles,
        online: member.node.online,
        key_expiry: member.node.key_expiry.as_deref(),
        id: &member.node.id,
    }
}
