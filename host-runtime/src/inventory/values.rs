//! Reads single values strictly, and says what is wrong with them and where.
//!
//! Not for: which keys there are ([`super::keys`]), and what they mean together ([`super::sections`]).

use std::collections::BTreeMap;
use std::time::Duration;

use boundary::inventory::{is_address, is_user};
use boundary::known_hosts::Pin;

use super::finding::{Finding, child, nearest};
use super::hosts::{Spot, Word};
use super::keys;
use super::yaml::{Entry, Node, Scalar, ScalarKind, Value};

const TEXT: &str = "text";
const HOST_KEY: &str = "wanted: a key such as `ssh-ed25519 AAAA…`, or its fingerprint `SHA256:…`\n\
                        do: on the machine's console: cat /etc/ssh/ssh_host_ed25519_key.pub";

pub(super) struct Reader<'f> {
    pub(super) findings: &'f mut Vec<Finding>,
}

impl Reader<'_> {
    pub(super) fn say(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// A strict section: every key that is not of the table is an error.
    pub(super) fn known<'y>(
        &mut self,
        entries: impl Iterator<Item = &'y Entry>,
        pointer: &str,
        name: &str,
        path: &str,
    ) {
        let known = keys::below(path);
        for entry in entries.filter(|entry| !known.contains(&entry.key.as_str())) {
            let hint = match nearest(&entry.key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known.join(", ")),
            };
            let summary = format!("unknown key `{}` in {name}", entry.key);
            let at = child(pointer, &entry.key);
            self.say(Finding::error("unknown-key", &at, entry.place, summary).detail(hint));
        }
    }

    /// A section that is Stagecraft's: a key that is nearly ours is noted.
    pub(super) fn near(&mut self, entries: &[Entry], pointer: &str, path: &str) {
        let (known, ours) = (keys::below(path), keys::ours_below(path));
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let near = ours.iter().find(|one| strsim::osa_distance(one, &entry.key) == 1);
            if let Some(near) = near.filter(|near| !entries.iter().any(|other| other.key == **near)) {
                let summary = format!("`{}` is not read here: did you mean `{near}`?", entry.key);
                self.say(Finding::note("near-key", &child(pointer, &entry.key), entry.place, summary));
            }
        }
    }

    fn wrong(&mut self, node: &Node, pointer: &str, wanted: &str) {
        let name = pointer[1..].replace('/', ".").replace("~1", "/").replace("~0", "~");
        let summary = format!("`{name}` must be {wanted}, and is {}", node.what());
        let finding = Finding::error("wrong-type", pointer, node.place, summary);
        self.say(match &node.value {
            Value::Scalar(Scalar { kind: ScalarKind::Null, .. }) => {
                finding.detail("do: give it a value, or remove the key")
            }
            Value::Scalar(scalar) if scalar.kind != ScalarKind::Text && wanted.starts_with(TEXT) => finding.detail(
                format!("do: put it in quotes: \"{}\"; without them YAML reads it as {}", scalar.text, node.what()),
            ),
            _ => finding,
        });
    }

    pub(super) fn map<'y>(&mut self, entry: &'y Entry, pointer: &str, holds: &str) -> Option<&'y [Entry]> {
        self.map_of(&entry.value, pointer, holds)
    }

    pub(super) fn map_of<'y>(&mut self, node: &'y Node, pointer: &str, holds: &str) -> Option<&'y [Entry]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.wrong(node, pointer, &format!("a mapping with {holds}"));
                None
            }
        }
    }

    pub(super) fn list<'y>(&mut self, entry: &'y Entry, pointer: &str, of: &str) -> Option<&'y [Node]> {
        match &entry.value.value {
            Value::List(items) => Some(items),
            _ => {
                self.wrong(&entry.value, pointer, &format!("a list of {of}"));
                None
            }
        }
    }

    fn text_of(&mut self, node: &Node, pointer: &str) -> Option<String> {
        match &node.value {
            Value::Scalar(Scalar { kind: ScalarKind::Text, text }) => Some(text.clone()),
            _ => {
                self.wrong(node, pointer, TEXT);
                None
            }
        }
    }

    pub(super) fn text(&mut self, entry: &Entry, pointer: &str) -> Option<String> {
        self.text_of(&entry.value, pointer)
    }

    pub(super) fn texts(&mut self, entry: &Entry, pointer: &str) -> Vec<Word> {
        let mut words = Vec::new();
        for (index, item) in self.list(entry, pointer, TEXT).unwrap_or_default().iter().enumerate() {
            let at = child(pointer, &index.to_string());
            if let Some(text) = self.text_of(item, &at) {
                words.push(Word { text, at: Spot::of(&at, item.place) });
            }
        }
        words
    }

    /// Text, or a list of it.
    pub(super) fn one_or_more(&mut self, entry: &Entry, pointer: &str) -> Vec<Word> {
        match &entry.value.value {
            Value::List(_) => self.texts(entry, pointer),
            Value::Scalar(Scalar { kind: ScalarKind::Text, text }) => {
                vec![Word { text: text.clone(), at: Spot::of(pointer, entry.value.place) }]
            }
            _ => {
                self.wrong(&entry.value, pointer, "text or a list of text");
                Vec::new()
            }
        }
    }

    pub(super) fn word(&mut self, entry: &Entry, pointer: &str, known: &[&'static str]) -> Option<&'static str> {
        let text = self.text(entry, pointer)?;
        let found = known.iter().copied().find(|one| *one == text);
        if found.is_none() {
            let name = pointer.rsplit('/').next().unwrap_or_default();
            let summary = format!("`{text}` is no `{name}`");
            let hint = match nearest(&text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known.join(", ")),
            };
            self.say(Finding::error("unknown-word", pointer, entry.value.place, summary).detail(hint));
        }
        found
    }

    pub(super) fn port(&mut self, entry: &Entry, pointer: &str) -> Option<u16> {
        if let Value::Scalar(Scalar { kind: ScalarKind::Int, text }) = &entry.value.value {
            match text.parse::<u16>() {
                Ok(port) if port > 0 => return Some(port),
                _ => {
                    let summary = format!("{text} is no port: 1 to 65535");
                    self.say(Finding::error("bad-port", pointer, entry.value.place, summary));
                }
            }
        } else {
            self.wrong(&entry.value, pointer, "a whole number from 1 to 65535");
        }
        None
    }

    /// Addresses and users reach `ssh -G` and a ProxyCommand, which is a line for a shell on this machine.
    pub(super) fn address(&mut self, entry: &Entry, pointer: &str) -> Option<String> {
        let address = self.text(entry, pointer)?;
        if is_address(&address) {
            return Some(address);
        }
        let summary = format!("`{address}` is no host name or address");
        let finding = Finding::error("bad-address", pointer, entry.value.place, summary);
        self.say(
            finding.detail("wanted: a host name, an IPv4 or an IPv6 address; user and port have keys of their own"),
        );
        None
    }

    pub(super) fn user(&mut self, entry: &Entry, pointer: &str) -> Option<String> {
        let user = self.text(entry, pointer)?;
        if is_user(&user) {
            return Some(user);
        }
        self.say(Finding::error("bad-user", pointer, entry.value.place, format!("`{user}` is no user name")));
        None
    }

    /// What `ssh -J` takes.
    pub(super) fn jump(&mut self, entry: &Entry, pointer: &str) -> Option<String> {
        let jump = self.text(entry, pointer)?;
        let hop = |hop: &str| {
            let hop = hop.trim();
            let harmless = |c: char| c.is_alphanumeric() || ".-_:@%+[]/".contains(c);
            !hop.is_empty() && !hop.starts_with('-') && !hop.contains("@-") && hop.chars().all(harmless)
        };
        if jump.split(',').all(hop) {
            return Some(jump);
        }
        let summary = format!("`{jump}` names no jump host");
        let finding = Finding::error("bad-jump", pointer, entry.value.place, summary);
        self.say(finding.detail("wanted: [user@]host[:port], several with commas, or none"));
        None
    }

    pub(super) fn path(&mut self, entry: &Entry, pointer: &str) -> Option<String> {
        let path = self.text(entry, pointer)?;
        if path.is_empty() || path.contains('\0') {
            self.say(Finding::error("bad-path", pointer, entry.value.place, "this is no path of a file"));
            return None;
        }
        if path.starts_with('~') && path != "~" && !path.starts_with("~/") {
            let summary = "only `~/` is expanded, not another user's home";
            self.say(Finding::error("bad-path", pointer, entry.value.place, summary));
            return None;
        }
        Some(path)
    }

    pub(super) fn time(&mut self, entry: &Entry, pointer: &str) -> Option<Duration> {
        let Value::Scalar(Scalar { kind: ScalarKind::Text | ScalarKind::Int, text }) = &entry.value.value else {
            self.wrong(&entry.value, pointer, "a time such as 30s or 2m");
            return None;
        };
        let time = time(text);
        if time.is_none() {
            let summary = format!("`{text}` is no time");
            let finding = Finding::error("bad-time", pointer, entry.value.place, summary);
            self.say(finding.detail("wanted: a time from 1s to 24h, such as 90s, 15m or 1h"));
        }
        time
    }

    /// One key, or a list of them: a machine has one of each type.
    pub(super) fn host_keys(&mut self, entry: &Entry, pointer: &str) -> Vec<Pin> {
        let mut pins = Vec::new();
        for Word { text, at } in self.one_or_more(entry, pointer) {
            match Pin::parse(&text) {
                Some(pin) => pins.push(pin),
                None => {
                    let finding = Finding::error("bad-host-key", &at.pointer, at.place, "this is no host key");
                    self.say(finding.detail(HOST_KEY));
                }
            }
        }
        pins
    }

    /// Any scalar is a label's value.
    pub(super) fn labels(&mut self, entry: &Entry, pointer: &str) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for label in self.map(entry, pointer, "one text a label").unwrap_or_default() {
            match &label.value.value {
                Value::Scalar(scalar) if !label.value.is_null() => {
                    labels.insert(label.key.clone(), scalar.text.clone());
                }
                _ => self.wrong(&label.value, &child(pointer, &label.key), TEXT),
            }
        }
        labels
    }
}

/// Seconds, or a number with `s`, `m` or `h`; at most a day.
#[must_use]
pub fn time(text: &str) -> Option<Duration> {
    let cut = text.len() - usize::from(text.ends_with(['s', 'm', 'h']));
    let (number, unit) = text.split_at(cut);
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        _ => 1,
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds)) {
        Some(seconds @ 1..=86_400) => Some(Duration::from_secs(seconds)),
        _ => None,
    }
}
