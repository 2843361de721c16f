//! The five functions of the contract over plain types, and what the provider says of itself.
//!
//! Not for: WIT, which is [`crate`]'s own business.

use serde::Deserialize;

use crate::act::Hands;
use crate::config::{Config, is_tag};
use crate::port::{Assessment, Diagnostic, Failure, Goal, Observer, Outcome, Request, Step};
use crate::state::{Aim, Wanted};
use crate::{converge, failure};

/// What the provider says of itself, without its config's schema. Stands in the component's custom section too.
pub const DESCRIPTOR: &str = include_str!("../descriptor.json");
/// JSON Schema of the provider's config.
pub const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

/// One kind of a secret's value, told by its prefix.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecretKind {
    /// Its name.
    pub name: String,
    /// What its values begin with; `*` in it stands for any characters, or none.
    pub prefix: String,
}

/// A secret that the provider asks for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SecretSlot {
    /// Its name.
    pub slot: String,
    /// JSON Pointer to where the name of its environment variable stands.
    pub env_config_path: String,
    /// The kinds of value that are told apart.
    pub kinds: Vec<SecretKind>,
}

/// What may stand on a command's standard input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StdinRule {
    /// Nothing.
    None,
    /// Any bytes.
    Any,
    /// Bytes and the secret of this slot.
    Secret(String),
    /// The output of a command of exactly this shape.
    OutputOf(Vec<String>),
}

/// A command shape that the provider asks for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CommandRequest {
    /// Words in the grant grammar.
    pub argv: Vec<String>,
    /// Names of environment variables.
    pub env: Vec<String>,
    /// What may stand on standard input.
    pub stdin: StdinRule,
    /// Whether it changes the machine.
    pub mutates: bool,
    /// Whether it is to be run by root.
    pub as_root: bool,
    /// Why.
    pub reason: String,
}

/// What the provider says of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Descriptor {
    /// The key under `network.provider`.
    pub id: String,
    /// For people.
    pub display_name: String,
    /// One sentence.
    pub description: String,
    /// Semantic version.
    pub version: String,
    /// The secrets that it may ask for.
    pub secrets: Vec<SecretSlot>,
    /// The commands that it may ask for.
    pub commands: Vec<CommandRequest>,
}

/// What the provider says of itself.
///
/// # Panics
/// Never: a test parses the embedded text.
#[must_use]
pub fn describe() -> Descriptor {
    #[expect(clippy::expect_used, reason = "the text is part of this crate, and a test parses it")]
    serde_json::from_str(DESCRIPTOR).expect("descriptor.json is valid")
}

/// All findings of a config.
#[must_use]
pub fn validate(config: &str) -> Vec<Diagnostic> {
    Config::parse(config).err().unwrap_or_default()
}

/// The name under which a host is found in the tailnet. Pure: no clock, no network, no randomness.
///
/// # Errors
/// When the config is not valid, or the host's name is not a DNS label.
pub fn node_fqdn(config: &str, host: &str) -> Result<String, Failure> {
    Config::parse(config).map_err(failure::config)?.fqdn(host)
}

/// What would be done, and what was found. Changes nothing.
///
/// # Errors
/// When nothing could be found out.
pub fn plan(request: &Request, look: &dyn Observer) -> Result<Assessment, Failure> {
    let config = Config::parse(&request.config).map_err(failure::config)?;
    converge::plan(look, &wanted(request, &config, look)?)
}

/// Does what was shown.
///
/// # Errors
/// When the goal was not reached.
pub fn apply(request: &Request, steps: &[Step], hands: Hands<'_>) -> Result<Outcome, Failure> {
    let config = Config::parse(&request.config).map_err(failure::config)?;
    converge::apply(steps, &wanted(request, &config, hands.look)?, hands)
}

/// What a request wants of this host, once it makes sense.
fn wanted<'a>(request: &Request, config: &'a Config, look: &dyn Observer) -> Result<Wanted<'a>, Failure> {
    let host = look.name();
    let goal = || match &request.goal {
        Goal::Other(name) => format!("the goal {name:?}"),
        Goal::Installed | Goal::Joined(_) | Goal::Absent => "the goal".to_owned(),
    };
    let wanted = Wanted::of(request, config, host, look.connection().as_deref());
    let wanted = wanted.ok_or_else(|| failure::not_known(&goal()))?;
    if request.allow.iter().any(|word| word == "uninstall") {
        // Left unsaid, an operator would take the host for clean.
        return Err(failure::not_known("how to uninstall"));
    }
    if wanted.goal == Aim::Joined {
        config.fqdn(&wanted.host)?;
    }
    match wanted.tags.iter().find(|tag| !is_tag(tag)) {
        Some(tag) => Err(failure::host_tag(tag)),
        None => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_is_read_and_names_a_slot_that_the_config_has() {
        let own = describe();
        assert_eq!((own.id.as_str(), own.display_name.as_str()), ("tailscale", "Tailscale"));
        assert_eq!(own.version, env!("CARGO_PKG_VERSION"));
        let schema: serde_json::Value = serde_json::from_str(CONFIG_SCHEMA).unwrap();
        for slot in &own.secrets {
            let property = slot.env_config_path.replacen('/', "/properties/", 1);
            assert!(schema.pointer(&property).is_some(), "{property}");
            assert!(slot.kinds.len() <= 8);
        }
        assert_eq!(own.secrets.iter().map(|slot| slot.slot.as_str()).collect::<Vec<_>>(), [crate::act::AUTH_KEY]);
        for command in &own.commands {
            assert!(!command.reason.is_empty() && command.reason.ends_with(['.', '?']), "{command:?}");
        }
    }

    #[test]
    fn validating_and_naming_need_nothing_but_the_config() {
        assert_eq!(validate(r#"{"auth_key_env":"K","tailnet_domain":"example.ts.net"}"#), []);
        assert_eq!(validate("{}").len(), 2);
        let config = r#"{"auth_key_env":"K","tailnet_domain":"example.ts.net"}"#;
        assert_eq!(node_fqdn(config, "app-1").unwrap(), "app-1.example.ts.net");
        assert_eq!(node_fqdn(config, "App 1").unwrap_err().kind, "config-invalid");
        assert_eq!(node_fqdn("{}", "app-1").unwrap_err().diagnostics.len(), 2);
    }
}
