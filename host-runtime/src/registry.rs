//! The providers that this process knows, by id.
//!
//! Built once, then shared by many threads: registering takes `&mut`, everything else `&`. This file and
//! `host-runtime/builtin/` hold the table of built-in providers, the only place where the host names a product.
//! Not for: loading other people's artifacts from the command line; a library may [`Registry::register`] them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::artifact::{Artifact, ArtifactError};
use crate::engine::{Engine, LoadError};
use crate::network::{Provider, ProviderError};

/// A provider that is compiled into this library: its bytes, what the operator of this library grants it, and how people
/// speak of it on the command line.
struct Builtin {
    id: &'static str,
    bytes: &'static [u8],
    grants: &'static str,
    options: &'static [ConfigOption],
    assumed: &'static [(&'static str, &'static str)],
    example: &'static str,
}

/// The table of built-in providers. The first is the one of a command line that names none.
const BUILTIN: &[Builtin] = &[Builtin {
    id: "tailscale",
    bytes: include_bytes!(concat!(env!("OUT_DIR"), "/tailscale.wasm")),
    grants: include_str!("../builtin/tailscale.grants"),
    options: &[
        ConfigOption { name: "tailnet", key: "tailnet_domain", value: "DOMAIN", about: "The tailnet's DNS name" },
        ConfigOption {
            name: "auth-key-env",
            key: "auth_key_env",
            value: "NAME",
            about: "Name of the environment variable that holds the auth key, never the key itself",
        },
        ConfigOption {
            name: "login-server",
            key: "login_server",
            value: "URL",
            about: "Another control server, such as Headscale",
        },
    ],
    assumed: &[("auth_key_env", "TS_AUTHKEY")],
    example: include_str!("../builtin/tailscale.example.yml"),
}];

/// An option of the command line that sets a key of a built-in provider's config, in that product's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigOption {
    /// Without its dashes.
    pub name: &'static str,
    /// The key, with dots.
    pub key: &'static str,
    /// What stands for its value in a help text.
    pub value: &'static str,
    /// What it says, in a few words.
    pub about: &'static str,
}

/// The options of all built-in providers.
pub fn config_options() -> impl Iterator<Item = &'static ConfigOption> {
    BUILTIN.iter().flat_map(|builtin| builtin.options)
}

/// The id of the built-in provider that is meant where none is named.
#[must_use]
pub fn default_id() -> &'static str {
    BUILTIN[0].id
}

/// Keys and values that hold for a built-in provider where there is no project file to say them.
#[must_use]
pub fn assumed(id: &str) -> &'static [(&'static str, &'static str)] {
    BUILTIN.iter().find(|builtin| builtin.id == id).map_or(&[], |builtin| builtin.assumed)
}

/// A commented example of a built-in provider's config: what stands under `network.providers.<id>`, from column one.
#[must_use]
pub fn example(id: &str) -> &'static str {
    BUILTIN.iter().find(|builtin| builtin.id == id).map_or("{}\n", |builtin| builtin.example)
}

/// Providers by id.
#[derive(Debug, Default)]
pub struct Registry {
    providers: BTreeMap<String, Arc<Provider>>,
}

impl Registry {
    /// One with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One with the built-in providers, loaded into `engine`.
    ///
    /// # Errors
    /// When a built-in provider does not load, which a release never ships.
    pub fn builtin(engine: &Engine) -> Result<Self, BuiltinError> {
        let mut registry = Self::new();
        for builtin in BUILTIN {
            let artifact = Artifact::from_bytes(builtin.bytes, None)?;
            let loaded = engine.load(&artifact, crate::engine::Compile::InProcess)?;
            registry.register(Provider::new(artifact, loaded, builtin.grants)?)?;
        }
        Ok(registry)
    }

    /// Adds a provider under the id of its descriptor.
    ///
    /// # Errors
    /// When the id is empty, or taken.
    pub fn register(&mut self, provider: Provider) -> Result<(), RegisterError> {
        let id = provider.id().to_owned();
        if id.is_empty() {
            return Err(RegisterError::EmptyId { digest: provider.artifact().digest().to_string() });
        }
        if let Some(there) = self.providers.get(&id) {
            return Err(RegisterError::Duplicate {
                id,
                there: there.artifact().digest().to_string(),
                new: provider.artifact().digest().to_string(),
            });
        }
        self.providers.insert(id, Arc::new(provider));
        Ok(())
    }

    /// The provider of that id.
    ///
    /// # Errors
    /// When there is none; the error names the id and lists those that there are.
    pub fn get(&self, id: &str) -> Result<&Arc<Provider>, UnknownProvider> {
        self.providers.get(id).ok_or_else(|| UnknownProvider {
            id: boundary::text::one_line(id),
            known: self.ids().map(str::to_owned).collect(),
        })
    }

    /// Whether there is a provider of that id.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.providers.contains_key(id)
    }

    /// The ids, in lexicographic order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// The providers, in the order of their ids.
    pub fn list(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }
}

/// Why a provider was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Its descriptor has no id.
    #[error("a provider needs an id; the descriptor of {digest} has an empty one")]
    EmptyId {
        /// The artifact.
        digest: String,
    },
    /// There is one of that id.
    #[error("provider `{id}` is registered already, from {there}; {new} has the same id")]
    Duplicate {
        /// The id.
        id: String,
        /// The artifact that has it.
        there: String,
        /// The one that was refused.
        new: String,
    },
}

/// No provider has this id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown network provider `{id}`; known: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
pub struct UnknownProvider {
    /// What was asked for.
    pub id: String,
    /// What there is, in order.
    pub known: Vec<String>,
}

/// Why a built-in provider did not load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuiltinError {
    /// Its bytes are not an artifact.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// It does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its grants do not parse.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Two have one id.
    #[error(transparent)]
    Register(#[from] RegisterError),
}
