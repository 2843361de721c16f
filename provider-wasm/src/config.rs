//! The map under `network.providers.tailscale`, checked as a whole: all findings at once, each with its JSON Pointer.
//!
//! `config.schema.json` says the same to machines; a test holds the two together. A value that looks like a key is never
//! repeated. Not for: tags by role, which the host runtime joins before the provider is asked.

use serde_json::{Map, Value};

use crate::failure;
use crate::port::Diagnostic;
use crate::version::Version;

/// The control server of a config that names none.
pub const DEFAULT_CONTROL: &str = "https://controlplane.tailscale.com";

/// How the client comes onto a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// By the official install script.
    #[default]
    Auto,
    /// Never.
    Skip,
}

/// A config without findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the environment variable that holds the auth key, on the machine that runs the tool.
    pub auth_key_env: String,
    /// The tailnet's DNS name, lower case, no trailing dot.
    pub tailnet_domain: String,
    /// How the client comes onto a host.
    pub method: Method,
    /// The oldest release that will do, if the operator asks for one.
    pub min_version: Option<Version>,
    /// URL of another control server, as it was written.
    pub login_server: Option<String>,
}

impl Config {
    /// Reads and checks a config.
    ///
    /// # Errors
    /// All findings, in the order of the document's keys, missing ones last.
    pub fn parse(json: &str) -> Result<Self, Vec<Diagnostic>> {
        let value: Value = match serde_json::from_str(json) {
            Ok(value) => value,
            // serde_json's text names line and column and repeats none of the values.
            Err(error) => return Err(vec![failure::finding("not-json", "", format!("it is not JSON: {error}"), None)]),
        };
        let Value::Object(map) = value else {
            return Err(vec![failure::finding(
                "wrong-type",
                "",
                format!("it is {}, not a map of keys", type_name(&value)),
                Some("wanted: the keys of this provider, under `network.providers.tailscale`".to_owned()),
            )]);
        };
        Reader { findings: Vec::new() }.read(&map)
    }

    /// The control server that hosts should talk to.
    #[must_use]
    pub fn control(&self) -> &str {
        self.login_server.as_deref().unwrap_or(DEFAULT_CONTROL)
    }

    /// Whether hosts should be on Tailscale's own control server.
    #[must_use]
    pub fn is_saas(&self) -> bool {
        same_control(self.control(), DEFAULT_CONTROL)
    }

    /// The oldest release that will do: never older than [`Version::FLOOR`].
    #[must_use]
    pub fn oldest(&self) -> Version {
        self.min_version.map_or(Version::FLOOR, |asked| asked.max(Version::FLOOR))
    }

    /// `{host}.{tailnet_domain}`: pure.
    ///
    /// # Errors
    /// When the host's name is not one lower-case DNS label, or both together are too long for a DNS name.
    pub fn fqdn(&self, host: &str) -> Result<String, crate::port::Failure> {
        if !is_label(host) || host.len() + 1 + self.tailnet_domain.len() > 253 {
            return Err(failure::host_name(host, &self.tailnet_domain));
        }
        Ok(format!("{host}.{}", self.tailnet_domain))
    }
}

/// Whether two control URLs mean the same server: empty is the default, Tailscale's own server has two names, and a
/// trailing slash says nothing.
#[must_use]
pub fn same_control(one: &str, other: &str) -> bool {
    fn canonical(url: &str) -> String {
        let url = url.trim_end_matches('/').to_ascii_lowercase();
        match url.as_str() {
            "" | "https://login.tailscale.com" => DEFAULT_CONTROL.to_owned(),
            _ => url,
        }
    }
    canonical(one) == canonical(other)
}

/// One lower-case DNS label: what control servers keep as it is when they make a machine's name of it.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(inner)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

/// `tag:`, a letter, then letters, digits and dashes; lower case.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    text.strip_prefix("tag:").is_some_and(|name| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    })
}

/// Whether a value must not be repeated, since it may be a key. Old Headscale keys are 48 hex digits.
fn looks_like_key(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("tskey-")
        || lower.contains("hskey-")
        || (text.len() == 48 && text.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_domain(text: &str) -> bool {
    // A host's label and a dot must fit in front of it.
    text.len() <= 189 && text.contains('.') && text.split('.').all(is_label)
}

fn is_env_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    !authority.is_empty()
        && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b".:[]-".contains(&b))
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~/-".contains(&b))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// A value as a message may show it: quoted, short, and never a key.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if looks_like_key(text) => "a text that looks like a key".to_owned(),
        Value::String(text) if text.chars().count() <= 80 => format!("{text:?}"),
        Value::String(text) => format!("{:?}…", text.chars().take(80).collect::<String>()),
        Value::Number(number) => number.to_string(),
        other => type_name(other).to_owned(),
    }
}

const KEYS: [&str; 6] = ["auth_key_env", "default_tags", "install", "login_server", "role_tags", "tailnet_domain"];
const INSTALL_KEYS: [&str; 2] = ["method", "min_version"];

/// Walks the document once and keeps every finding.
struct Reader {
    findings: Vec<Diagnostic>,
}

impl Reader {
    fn read(mut self, map: &Map<String, Value>) -> Result<Config, Vec<Diagnostic>> {
        self.unknown_keys("", map, &KEYS);
        let auth_key_env = self.required(map, "auth_key_env", "the name of an environment variable", Self::env_name);
        let tailnet_domain = self.required(map, "tailnet_domain", "the tailnet's DNS name", Self::domain);
        if let Some(tags) = map.get("default_tags") {
            self.tags("/default_tags", tags);
        }
        match map.get("role_tags") {
            Some(Value::Object(roles)) => {
                for (role, tags) in roles {
                    self.tags(&format!("/role_tags/{}", escaped(role)), tags);
                }
            }
            Some(other) => self.wrong_type("/role_tags", other, "a map of roles to lists of tags"),
            None => {}
        }
        let (method, min_version) = self.install(map.get("install"));
        let login_server = map.get("login_server").and_then(|value| self.login_server(value));
        match (auth_key_env, tailnet_domain) {
            (Some(auth_key_env), Some(tailnet_domain)) if self.findings.is_empty() => {
                Ok(Config { auth_key_env, tailnet_domain, method, min_version, login_server })
            }
            _ => Err(self.findings),
        }
    }

    fn add(&mut self, code: &'static str, pointer: &str, reason: String, detail: impl Into<Option<String>>) {
        self.findings.push(failure::finding(code, pointer, reason, detail.into()));
    }

    fn wrong_type(&mut self, pointer: &str, value: &Value, wanted: &str) {
        let name = named(pointer);
        self.add("wrong-type", pointer, format!("{name} is {}", type_name(value)), format!("wanted: {wanted}"));
    }

    fn unknown_keys(&mut self, at: &str, map: &Map<String, Value>, known: &[&str]) {
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let detail = match nearest(key, known) {
                Some(near) => format!("wanted: {}\ndo: write `{near}`, if that is what is meant", known.join(", ")),
                None => format!("wanted: {}", known.join(", ")),
            };
            // A key that somebody wrote in the place of a name is not repeated, in the pointer neither.
            let pointer = if looks_like_key(key) { at.to_owned() } else { format!("{at}/{}", escaped(key)) };
            let reason = format!("unknown key {}", shown(&Value::String(key.clone())));
            self.add("unknown-key", &pointer, reason, detail);
        }
    }

    fn required(
        &mut self,
        map: &Map<String, Value>,
        key: &str,
        wanted: &str,
        check: fn(&mut Self, &Value) -> Option<String>,
    ) -> Option<String> {
        match map.get(key) {
            Some(value) => check(self, value),
            None => {
                self.add("missing-key", "", format!("`{key}` is missing"), format!("wanted: {wanted}"));
                None
            }
        }
    }

    fn env_name(&mut self, value: &Value) -> Option<String> {
        const AT: &str = "/auth_key_env";
        match value {
            Value::String(text) if looks_like_key(text) => {
                self.add(
                    "key-in-config",
                    AT,
                    "`auth_key_env` holds what looks like an auth key, not the name of an environment variable".to_owned(),
                    "wanted: the name of a variable, such as TAILSCALE_AUTH_KEY\ndo: take the key out of there, revoke it if anybody else could read it, put a key into that variable and its name here".to_owned(),
                );
                None
            }
            Value::String(text) if is_env_name(text) => Some(text.clone()),
            Value::String(_) => {
                self.add(
                    "bad-value",
                    AT,
                    format!("`auth_key_env` is {}, which is no name of an environment variable", shown(value)),
                    "wanted: letters, digits and underscores, no digit first, such as TAILSCALE_AUTH_KEY".to_owned(),
                );
                None
            }
            other => {
                self.wrong_type(AT, other, "the name of an environment variable");
                None
            }
        }
    }

    fn domain(&mut self, value: &Value) -> Option<String> {
        const AT: &str = "/tailnet_domain";
        let Value::String(text) = value else {
            self.wrong_type(AT, value, "the tailnet's DNS name");
            return None;
        };
        if is_domain(text) {
            return Some(text.clone());
        }
        let why = if text.ends_with('.') {
            "ends with a dot"
        } else if text.bytes().any(|b| b.is_ascii_uppercase()) {
            "is not in lower case"
        } else if !text.contains('.') {
            "has no dot"
        } else {
            "is not a DNS name"
        };
        self.add(
            "bad-value",
            AT,
            format!("`tailnet_domain` is {}, which {why}", shown(value)),
            "wanted: the tailnet's DNS name as the admin console's DNS page shows it, such as example.ts.net"
                .to_owned(),
        );
        None
    }

    fn tags(&mut self, pointer: &str, value: &Value) {
        let Value::Array(tags) = value else { return self.wrong_type(pointer, value, "a list of tags") };
        for (place, tag) in tags.iter().enumerate() {
            let at = format!("{pointer}/{place}");
            match tag {
                Value::String(text) if is_tag(text) => {}
                Value::String(_) => self.add(
                    "bad-value",
                    &at,
                    format!("{} holds {}, which is no tag", named(pointer), shown(tag)),
                    "wanted: `tag:`, a lower-case letter, then lower-case letters, digits and dashes, such as tag:web"
                        .to_owned(),
                ),
                other => self.wrong_type(&at, other, "a tag, such as tag:web"),
            }
        }
    }

    fn install(&mut self, value: Option<&Value>) -> (Method, Option<Version>) {
        let map = match value {
            None => return (Method::Auto, None),
            Some(Value::Object(map)) => map,
            Some(other) => {
                self.wrong_type("/install", other, "a map with `method` and `min_version`");
                return (Method::Auto, None);
            }
        };
        self.unknown_keys("/install", map, &INSTALL_KEYS);
        let method = match map.get("method") {
            None => Method::Auto,
            Some(Value::String(text)) if text == "auto" => Method::Auto,
            Some(Value::String(text)) if text == "skip" => Method::Skip,
            Some(other) => {
                let reason = format!("`install.method` is {}", shown(other));
                self.add("bad-value", "/install/method", reason, "wanted: auto or skip".to_owned());
                Method::Auto
            }
        };
        let min_version = match map.get("min_version") {
            None => None,
            Some(Value::String(text)) if Version::exact(text).is_some() => Version::exact(text),
            Some(other) => {
                self.add(
                    "bad-value",
                    "/install/min_version",
                    format!("`install.min_version` is {}, which is no release", shown(other)),
                    "wanted: three numbers in quotes, such as \"1.90.0\".".to_owned(),
                );
                None
            }
        };
        (method, min_version)
    }

    fn login_server(&mut self, value: &Value) -> Option<String> {
        const AT: &str = "/login_server";
        match value {
            Value::String(text) if is_url(text) => Some(text.clone()),
            Value::String(_) => {
                self.add(
                    "bad-value",
                    AT,
                    format!("`login_server` is {}, which is not the URL of a control server", shown(value)),
                    "wanted: http:// or https://, a host, a port if need be, and no user, query or fragment, such as https://headscale.example.com".to_owned(),
                );
                None
            }
            other => {
                self.wrong_type(AT, other, "the URL of a control server");
                None
            }
        }
    }
}

/// A key as a token of a JSON Pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A pointer as people write the key: `` `install.method` ``.
fn named(pointer: &str) -> String {
    format!("`{}`", pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~"))
}

/// The known key that is at most two edits away, the nearest first.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    known.iter().map(|name| (edits(key, name), *name)).filter(|(edits, _)| *edits <= 2).min().map(|(_, name)| name)
}

/// Levenshtein's distance.
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests;
