//! Ansible: what `ansible-inventory --list` prints. Groups are roles; the variables that say where a host is are read.
//!
//! Not for: Ansible's own inventory files, and any variable that means nothing here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Fields, List, Listed, Weight, host_label, some, what};

/// Groups that every inventory has and that say nothing.
const NO_ROLES: [&str; 2] = ["all", "ungrouped"];

pub(super) fn read(value: &Value, list: &mut List) {
    let Value::Object(top) = value else {
        list.fault("wrong-type", "an inventory of Ansible is an object", super::wanted(value));
        return;
    };
    let empty = Map::new();
    let variables = match top.get("_meta").and_then(|meta| meta.get("hostvars")) {
        Some(Value::Object(variables)) => variables,
        None => {
            let detail = "do: write it with `ansible-inventory --list`, which adds `_meta`".to_owned();
            let summary = "there is no `_meta.hostvars`: addresses, ports and users are not known";
            list.say(Weight::Warning, "no-variables", summary, Some(detail));
            &empty
        }
        Some(other) => {
            list.fault("wrong-type", format!("`_meta.hostvars` is {}, not an object", what(other)), "");
            return;
        }
    };
    let members = members(top, list);
    let names: BTreeSet<&str> =
        variables.keys().map(String::as_str).chain(members.values().flatten().copied()).collect();
    if names.is_empty() {
        list.say(Weight::Warning, "no-hosts", "the inventory of Ansible has no hosts", None);
    }
    let (mut local, mut own_keys, mut own_ways) = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        let own = variables.get(name).and_then(Value::as_object).unwrap_or(&empty);
        let connection = own.get("ansible_connection").and_then(Value::as_str).unwrap_or("ssh");
        if !["ssh", "smart", "paramiko", "paramiko_ssh"].contains(&connection) {
            local.push(name.to_owned());
            continue;
        }
        let roles = members.iter().filter(|(group, hosts)| !NO_ROLES.contains(group) && hosts.contains(name));
        let roles = roles.map(|(group, _)| (*group).to_owned()).collect();
        if own.contains_key("ansible_ssh_private_key_file") {
            own_keys.push(name.to_owned());
        }
        if ["ansible_ssh_common_args", "ansible_ssh_extra_args"].iter().any(|key| own.contains_key(*key)) {
            own_ways.push(name.to_owned());
        }
        if let Some(host) = host(name, own, roles, list) {
            list.hosts.push(host);
        }
    }
    let mut note = |hosts: &[String], code, rest: &str| {
        if !hosts.is_empty() {
            list.say(Weight::Note, code, format!("{}: {rest}", some(hosts)), None);
        }
    };
    note(&local, "not-ssh", "not reached over SSH (ansible_connection), so left out");
    note(&own_keys, "not-taken", "ansible_ssh_private_key_file is not taken over: name the key in ssh_config");
    note(&own_ways, "not-taken", "ansible_ssh_common_args are not taken over: write them in ssh_config");
}

/// The hosts of each group, with those of the groups below it.
fn members<'v>(top: &'v Map<String, Value>, list: &mut List) -> BTreeMap<&'v str, BTreeSet<&'v str>> {
    let mut direct: BTreeMap<&str, (BTreeSet<&str>, Vec<&str>)> = BTreeMap::new();
    for (group, value) in top.iter().filter(|(group, _)| *group != "_meta") {
        let mut words = |key: &str| -> Vec<&'v str> {
            match value.get(key) {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
                Some(other) => {
                    let summary = format!("`{key}` of group `{group}` is {}, not a list", what(other));
                    list.fault("wrong-type", summary, "wanted: what `ansible-inventory --list` prints");
                    Vec::new()
                }
            }
        };
        let hosts = words("hosts").into_iter().collect();
        let children = words("children");
        direct.insert(group, (hosts, children));
    }
    let mut all = BTreeMap::new();
    for group in direct.keys() {
        // Groups may form rings.
        let (mut seen, mut open, mut hosts) = (BTreeSet::new(), vec![*group], BTreeSet::new());
        while let Some(next) = open.pop() {
            if let Some((own, children)) = direct.get(next).filter(|_| seen.insert(next)) {
                hosts.extend(own.iter().copied());
                open.extend(children.iter().copied());
            }
        }
        all.insert(*group, hosts);
    }
    all
}

fn host(listed: &str, own: &Map<String, Value>, roles: Vec<String>, list: &mut List) -> Option<Listed> {
    // `web-1.example.net` is a host `web-1` that is reached under that name.
    let (name, full) = match listed.split_once('.') {
        Some((label, _)) if listed.parse::<std::net::IpAddr>().is_err() => (label, Some(listed)),
        _ => (listed, None),
    };
    if let Err(why) = host_label(name) {
        let detail = "wanted: a DNS label, or a DNS name that begins with one: a-z, 0-9 and -\ndo: name the host so in \
                      Ansible, with its address in ansible_host";
        list.fault("bad-host-name", format!("`{listed}` cannot name a host: {why}"), detail);
        return None;
    }
    let mut fields = Fields { list, host: format!("host `{name}`") };
    let address = fields.address(own, &["ansible_host", "ansible_ssh_host"]);
    let full = full.map(str::to_owned).filter(|full| super::is_address(full));
    Some(Listed {
        address: address.or(full),
        private_address: None,
        port: fields.port(own, &["ansible_port", "ansible_ssh_port"]),
        user: fields.user(own, &["ansible_user", "ansible_ssh_user"]),
        host_keys: fields.host_keys(own, "host_key"),
        roles,
        labels: fields.labels(own, "labels"),
        name: name.to_owned(),
    })
}
