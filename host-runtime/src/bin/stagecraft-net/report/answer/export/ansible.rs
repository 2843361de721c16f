//! An inventory for Ansible: hosts reached through the network, in groups by role (`role_app`) and by tag (`tag_web`).
//!
//! In JSON, which its YAML plugin reads too: `ansible -i tailnet.yml all -m ping`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Member;

pub(super) fn write(members: &[Member<'_>]) -> String {
    let mut hosts = Map::new();
    let mut groups: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for member in members {
        let spec = member.spec;
        let addresses: Vec<String> = member.addresses.iter().map(ToString::to_string).collect();
        let mut vars = Map::new();
        vars.insert("ansible_host".to_owned(), member.fqdn.into());
        for (name, value) in
            [("ansible_user", spec.user.clone().map(Value::from)), ("ansible_port", spec.port.map(Value::from))]
        {
            vars.extend(value.map(|value| (name.to_owned(), value)));
        }
        vars.insert("stagecraft_net_addresses".to_owned(), json!(addresses));
        vars.insert("stagecraft_net_tags".to_owned(), json!(member.node.tags));
        hosts.insert(spec.name.clone(), Value::Object(vars));
        for group in groups_of(member) {
            groups.entry(group).or_default().insert(&spec.name);
        }
    }
    let children: Map<String, Value> = groups
        .into_iter()
        .map(|(group, names)| {
            let names: Map<String, Value> = names.into_iter().map(|name| (name.to_owned(), json!({}))).collect();
            (group, json!({ "hosts": names }))
        })
        .collect();
    // Strings, numbers and maps of them: there is nothing in it that JSON cannot say.
    serde_json::to_string_pretty(&json!({ "all": { "hosts": hosts, "children": children } })).unwrap_or_default()
}

/// Why a host cannot be said in this format: Ansible expands templates in values.
pub(super) fn refused(member: &Member<'_>) -> Option<String> {
    let template = |text: &String| ["{{", "{%", "{#"].iter().any(|sign| text.contains(sign));
    let user = member.spec.user.iter().any(template).then_some("user");
    let tag = member.node.tags.iter().any(template).then_some("tags");
    user.or(tag).map(|what| format!("its {what} would be a template to Ansible"))
}

fn groups_of(member: &Member<'_>) -> Vec<String> {
    let name = |kind: &str, text: &str| {
        // What a group's name may hold; the rest becomes an underscore, as in Ansible's own inventories.
        let clean: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        format!("{kind}_{clean}")
    };
    let roles = member.spec.roles.iter().map(|role| name("role", role));
    let tags = member.node.tags.iter().map(|tag| name("tag", tag.strip_prefix("tag:").unwrap_or(tag)));
    roles.chain(tags).collect()
}
