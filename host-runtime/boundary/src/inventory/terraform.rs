//! Terraform: an output `stagecraft_hosts` whose value is a list of hosts.
//!
//! Not for: any other output, and Terraform's own resources.

use serde_json::{Map, Value};

use super::{Fields, List, Listed, Weight, host_label, some, what};

/// The output that Stagecraft's contract names.
const OUTPUT: &str = "stagecraft_hosts";

pub(super) fn read(value: &Value, list: &mut List) {
    let Some(items) = items(value, list) else { return };
    if items.is_empty() {
        list.say(Weight::Warning, "no-hosts", format!("`{OUTPUT}` is an empty list"), None);
    }
    let (mut lost, mut portless) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let Value::Object(map) = item else {
            let wanted = "wanted: an object with host_id, public_ip, private_ip, ssh_port, roles and labels";
            list.fault(
                "wrong-type",
                format!("host {} of the list is {}, not an object", index + 1, what(item)),
                wanted,
            );
            continue;
        };
        let Some(host) = host(index, map, list) else { continue };
        if host.address.is_none() && host.private_address.is_none() {
            lost.push(host.name.clone());
        }
        if host.port.is_none() {
            portless.push(host.name.clone());
        }
        list.hosts.push(host);
    }
    // What is wrong is told; what is missing because of it is not.
    if list.is_faulty() {
        return;
    }
    if !lost.is_empty() {
        let detail = "means: the machine is not made yet, or has no public address\ndo: run `terraform apply`, or give \
                      it an address in the project's file; until then its name is looked up as an alias of ssh_config";
        let verb = if lost.len() == 1 { "has" } else { "have" };
        list.say(Weight::Warning, "no-address", format!("{} {verb} no address", some(&lost)), Some(detail.to_owned()));
    }
    if !portless.is_empty() {
        let verb = if portless.len() == 1 { "has" } else { "have" };
        let summary = format!("{} {verb} no ssh_port: the project's, ssh_config's or 22 is used", some(&portless));
        list.say(Weight::Note, "no-port", summary, None);
    }
}

/// The list, in each of the shapes that it comes in.
fn items<'v>(value: &'v Value, list: &mut List) -> Option<&'v [Value]> {
    let found = match value {
        Value::Array(items) => return Some(items),
        Value::Object(map) => {
            match map.get(OUTPUT).or_else(|| map.get("hosts").filter(|_| !map.contains_key(OUTPUT))) {
                // Of `terraform output -json`.
                Some(Value::Object(output)) if output.contains_key("value") => output.get("value"),
                Some(bare) => Some(bare),
                None => None,
            }
        }
        _ => None,
    };
    match found {
        Some(Value::Array(items)) => Some(items),
        Some(other) => {
            let summary = format!("`{OUTPUT}` is {}, not a list of hosts", what(other));
            list.fault("wrong-type", summary, "wanted: a list of objects with host_id, public_ip, private_ip, …");
            None
        }
        None => {
            let detail = format!(
                "found: {}\ndo: add an output \"{OUTPUT}\" whose value is a list of {{ host_id, public_ip, private_ip, \
                 ssh_port, roles, labels }}, and run `terraform apply`",
                what(value)
            );
            list.fault("no-output", format!("there is no output `{OUTPUT}`"), detail);
            None
        }
    }
}

fn host(index: usize, map: &Map<String, Value>, list: &mut List) -> Option<Listed> {
    let mut fields = Fields { list, host: format!("host {} of the list", index + 1) };
    let Some(name) = fields.text(map, &["host_id"]).map(str::to_owned) else {
        fields.fault("no-name", "it has no host_id".to_owned(), "wanted: host_id, the name that the host keeps");
        return None;
    };
    if let Err(why) = host_label(&name) {
        let wanted = "wanted: a DNS label: 1 to 63 of a-z, 0-9 and -, with no - at either end";
        fields.list.fault("bad-host-name", format!("`{name}` cannot name a host: {why}"), wanted);
        return None;
    }
    fields.host = format!("host `{name}`");
    Some(Listed {
        address: fields.address(map, &["public_ip"]),
        private_address: fields.address(map, &["private_ip"]),
        port: fields.port(map, &["ssh_port"]),
        user: fields.user(map, &["ssh_user"]),
        host_keys: fields.host_keys(map, "host_key"),
        roles: fields.texts(map, "roles"),
        labels: fields.labels(map, "labels"),
        name,
    })
}
