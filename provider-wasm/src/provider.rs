//! The five functions of the contract over plain types.

use serde::Deserialize;

use crate::config::Config;
use crate::failure;
use crate::port::{Actor, Assessment, Diagnostic, Failure, Log, Observer, Outcome, Request, Step, Vault};

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
    /// What its values begin with.
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
pub fn plan(request: &Request, look: &dyn Observer, log: &dyn Log) -> Result<Assessment, Failure> {
    let _ = (request, look, log);
    Err(failure::unfinished())
}

/// Does what was shown.
///
/// # Errors
/// When the goal was not reached.
pub fn apply(
    request: &Request,
    steps: &[Step],
    look: &dyn Observer,
    act: &dyn Actor,
    given: &dyn Vault,
    log: &dyn Log,
) -> Result<Outcome, Failure> {
    let _ = (request, steps, look, act, given, log);
    Err(failure::unfinished())
}
