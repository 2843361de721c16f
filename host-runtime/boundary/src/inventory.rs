//! Host lists that other programs wrote: what they hold, and everything that is wrong with them at once.
//!
//! | module | reads |
//! |---|---|
//! | `terraform` | `terraform output -json`, a bare `stagecraft_hosts` list, `{"hosts": […]}` |
//! | `ansible` | `ansible-inventory --list` |
//!
//! What can be lived with (an address that is not known yet, a missing port) is told and the host is kept; what would
//! make a wrong command line or a wrong name is a fault. Not for: reading files and running programs, and what the
//! project's own file says of the same hosts.

mod ansible;
mod terraform;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::known_hosts::Pin;
use crate::text::one_line;

/// Who wrote a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Terraform, or OpenTofu.
    Terraform,
    /// Ansible.
    Ansible,
}

/// A host of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its logical name, a DNS label.
    pub name: String,
    /// Where it is reached from everywhere.
    pub address: Option<String>,
    /// Where it is reached from inside its own network.
    pub private_address: Option<String>,
    /// Its SSH port.
    pub port: Option<u16>,
    /// Its SSH user.
    pub user: Option<String>,
    /// The keys that its SSH server may show.
    pub host_keys: Vec<Pin>,
    /// Its roles, sorted.
    pub roles: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// The hosts, sorted by name.
    pub hosts: Vec<Listed>,
    /// What is to be said about them; a fault among it means that the list must not be used.
    pub remarks: Vec<Remark>,
}

/// Something about a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// How grave.
    pub weight: Weight,
    /// Stable, kebab-case.
    pub code: &'static str,
    /// One line.
    pub summary: String,
    /// What was found and wanted, and what to do next, in lines.
    pub detail: Option<String>,
}

/// How grave a remark is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The list must not be used.
    Fault,
    /// Worth a look.
    Warning,
    /// Good to know.
    Note,
}

impl List {
    /// Whether it must not be used.
    #[must_use]
    pub fn is_faulty(&self) -> bool {
        self.remarks.iter().any(|one| one.weight == Weight::Fault)
    }

    fn say(&mut self, weight: Weight, code: &'static str, summary: impl Into<String>, detail: Option<String>) {
        self.remarks.push(Remark { weight, code, summary: one_line(summary.into()), detail });
    }

    fn fault(&mut self, code: &'static str, summary: impl Into<String>, detail: impl Into<String>) {
        let detail = crate::text::printable(detail.into());
        self.say(Weight::Fault, code, summary, (!detail.is_empty()).then_some(detail));
    }
}

/// Reads a list. Without a format it is told by what the list looks like.
#[must_use]
pub fn read(text: &[u8], format: Option<Format>) -> List {
    let mut list = List::default();
    let value: Value = match serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)) {
        Ok(value) => value,
        Err(error) => {
            not_json(&mut list, text, &error);
            return list;
        }
    };
    match (format, recognise(&value)) {
        (Some(named), Some(found)) if named != found => {
            let name = |format| if format == Format::Terraform { "Terraform" } else { "Ansible" };
            let summary = format!("this is a list of {}'s, not of {}'s", name(found), name(named));
            list.fault("wrong-inventory", summary, "do: name it as what it is");
            return list;
        }
        _ => {}
    }
    match format.or_else(|| recognise(&value)) {
        Some(Format::Terraform) => terraform::read(&value, &mut list),
        Some(Format::Ansible) => ansible::read(&value, &mut list),
        None => list.fault("unknown-inventory", "this is no list of hosts that is known", wanted(&value)),
    }
    list.hosts.sort_by(|a, b| a.name.cmp(&b.name));
    twice(&mut list);
    list.remarks.sort_by_key(|one| one.weight);
    list
}

/// Who wrote it, by the keys that only one of them has.
fn recognise(value: &Value) -> Option<Format> {
    match value {
        Value::Array(_) => Some(Format::Terraform),
        Value::Object(map) if map.contains_key("stagecraft_hosts") => Some(Format::Terraform),
        Value::Object(map) if map.contains_key("_meta") => Some(Format::Ansible),
        Value::Object(map) if map.get("hosts").is_some_and(Value::is_array) => Some(Format::Terraform),
        Value::Object(map) if map.values().any(|one| one.get("hosts").is_some() || one.get("children").is_some()) => {
            Some(Format::Ansible)
        }
        // Outputs of Terraform, but not the one that is wanted: `terraform::read` says which there are.
        Value::Object(map) if !map.is_empty() && map.values().all(|one| one.get("sensitive").is_some()) => {
            Some(Format::Terraform)
        }
        _ => None,
    }
}

fn wanted(value: &Value) -> String {
    format!(
        "found: {}\nwanted: `terraform output -json` with an output `stagecraft_hosts`, that output alone, {{\"hosts\": \
         […]}}, or `ansible-inventory --list`",
        what(value)
    )
}

/// What a value is, for a sentence. Keys at most, never values.
fn what(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(map) if map.is_empty() => "an empty object".to_owned(),
        Value::Object(map) => {
            let mut keys: Vec<String> = map.keys().take(5).map(|key| one_line(key.as_str())).collect();
            if map.len() > 5 {
                keys.push(format!("{} more", map.len() - 5));
            }
            format!("an object with {}", keys.join(", "))
        }
    }
}

fn not_json(list: &mut List, text: &[u8], error: &serde_json::Error) {
    let (line, column) = (error.line(), error.column());
    if text.iter().all(u8::is_ascii_whitespace) {
        list.fault("empty-inventory", "the list of hosts is empty", "wanted: JSON");
    } else if error.is_eof() {
        let detail = format!(
            "found: {} bytes of JSON that end in the middle, in line {line}\ndo: write it again, whole: into another \
             file that is then renamed, so that nobody reads half of it",
            text.len()
        );
        list.fault("cut-inventory", "the list of hosts is cut short", detail);
    } else {
        // serde_json names what it expected and repeats nothing of the text.
        let reason = error.to_string();
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
        let detail = format!("found: line {line}, column {column}: {reason}\nwanted: JSON");
        list.fault("not-json", "the list of hosts is not JSON", detail);
    }
}

/// Two hosts of one name in one list are two machines that claim it.
fn twice(list: &mut List) {
    let names: BTreeSet<&str> =
        list.hosts.windows(2).filter(|pair| pair[0].name == pair[1].name).map(|pair| pair[1].name.as_str()).collect();
    let said: Vec<String> = names.into_iter().map(|name| format!("`{name}` is listed twice")).collect();
    for summary in said {
        list.fault("duplicate-host", summary, "wanted: a name of its own for each host");
    }
}

/// Whether text can be the logical name of a host: a DNS label in lower case. The sentence says why not.
///
/// # Errors
/// What is wrong with it.
pub fn host_label(name: &str) -> Result<(), String> {
    let wrong = name.chars().find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit() && *c != '-');
    if name.is_empty() {
        Err("it is empty".to_owned())
    } else if let Some(wrong) = wrong {
        Err(match wrong {
            _ if wrong.is_ascii_uppercase() => "it has upper case".to_owned(),
            _ => format!("it has `{wrong}`"),
        })
    } else if name.len() > 63 {
        Err(format!("it has {} characters", name.len()))
    } else if name.starts_with('-') || name.ends_with('-') {
        Err("it has a - at one end".to_owned())
    } else {
        Ok(())
    }
}

/// Whether text can be a host name or an address that reaches `ssh -G` and a `ProxyCommand`, which is a line for a shell
/// on this machine.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    !text.is_empty() && text.len() <= 255 && !text.starts_with('-') && text.chars().all(harmless)
}

/// Whether text can be a user name, for the same reason.
#[must_use]
pub fn is_user(text: &str) -> bool {
    let harmless = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+');
    !text.is_empty() && text.len() <= 255 && !text.starts_with('-') && text.chars().all(harmless)
}

/// Reads the fields of one host, and remembers what is missing from how many.
struct Fields<'l> {
    list: &'l mut List,
    /// For the beginning of a sentence.
    host: String,
}

impl Fields<'_> {
    fn fault(&mut self, code: &'static str, what: String, detail: &str) {
        let summary = format!("{}: {what}", self.host);
        self.list.fault(code, summary, detail);
    }

    /// Text, where there is some; null and an empty text are none.
    fn text<'v>(&mut self, map: &'v Map<String, Value>, keys: &[&str]) -> Option<&'v str> {
        let (key, value) = keys.iter().find_map(|key| Some((key, map.get(*key).filter(|value| !value.is_null())?)))?;
        match value {
            Value::String(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
            other => {
                self.fault("wrong-type", format!("`{key}` is {}, not text", what(other)), "");
                None
            }
        }
    }

    fn address(&mut self, map: &Map<String, Value>, keys: &[&str]) -> Option<String> {
        let address = self.text(map, keys)?;
        if is_address(address) {
            return Some(address.to_owned());
        }
        self.fault("bad-address", format!("`{address}` is no host name or address"), "");
        None
    }

    fn user(&mut self, map: &Map<String, Value>, keys: &[&str]) -> Option<String> {
        let user = self.text(map, keys)?;
        if is_user(user) {
            return Some(user.to_owned());
        }
        self.fault("bad-user", format!("`{user}` is no user name"), "");
        None
    }

    /// A number, or one that was written as text.
    fn port(&mut self, map: &Map<String, Value>, keys: &[&str]) -> Option<u16> {
        let value = keys.iter().find_map(|key| map.get(*key).filter(|value| !value.is_null()))?;
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let port = number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
        if port.is_none() {
            self.fault("bad-port", "its port is no whole number from 1 to 65535".to_owned(), "");
        }
        port
    }

    fn texts(&mut self, map: &Map<String, Value>, key: &str) -> Vec<String> {
        let mut texts = match map.get(key) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
                items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(other) => {
                self.fault("wrong-type", format!("`{key}` is {}, not a list of text", what(other)), "");
                return Vec::new();
            }
        };
        texts.retain(|text| !text.is_empty());
        texts.sort();
        texts.dedup();
        texts
    }

    fn host_keys(&mut self, map: &Map<String, Value>, key: &str) -> Vec<Pin> {
        let texts = self.texts(map, key);
        let pins: Vec<Pin> = texts.iter().filter_map(|text| Pin::parse(text)).collect();
        if pins.len() < texts.len() {
            self.fault("bad-host-key", format!("`{key}` is no key of an SSH server"), HOST_KEY);
        }
        pins
    }

    /// A mapping of plain values; one that holds more is passed over, since no label is like that.
    fn labels(&mut self, map: &Map<String, Value>, key: &str) -> BTreeMap<String, String> {
        let labels = map.get(key).and_then(Value::as_object).into_iter().flatten();
        let plain = |(key, value): (&String, &Value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            };
            Some((one_line(key.as_str()), one_line(text)))
        };
        labels.filter_map(plain).collect()
    }
}

/// How a host key is written.
const HOST_KEY: &str = "wanted: a key such as `ssh-ed25519 AAAA…`, or its fingerprint `SHA256:…`";

/// The names of some hosts, a few of them written out.
fn some(hosts: &[String]) -> String {
    match hosts {
        [only] => format!("`{only}`"),
        [first, second, third] => format!("`{first}`, `{second}` and `{third}`"),
        [first, second] => format!("`{first}` and `{second}`"),
        [first, .., last] => format!("{} hosts, `{first}` … `{last}`,", hosts.len()),
        [] => "no host".to_owned(),
    }
}

#[cfg(test)]
mod tests;
