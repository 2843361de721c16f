//! A provider, and a network: a provider with a config that it found valid.
//!
//! A [`Network`] exists only with a valid config, so [`Network::node_fqdn`] needs no call order: what the brief asks as
//! "requires config to be set first" does not compile here (C5). Not for: talking to machines ([`crate::host`]), nor
//! finding providers ([`crate::registry`]).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::artifact::Artifact;
use crate::contract::{Descriptor, Diagnostic, Severity};
use crate::engine::Loaded;
use crate::event::ProviderRef;
use crate::failure::{Failed, Kind};
use crate::policy::{Policy, PolicyError};
use crate::until::{Cancel, Until};

/// What a call that touches no machine may take: validating a config, composing a name.
const PURE_CALL: Duration = Duration::from_secs(10);

/// A loaded provider with what its operator granted it.
pub struct Provider {
    artifact: Artifact,
    descriptor: Descriptor,
    loaded: Loaded,
    policy: Arc<Policy>,
}

impl Provider {
    /// A provider with the grants that an operator wrote for exactly this artifact.
    ///
    /// # Errors
    /// When the grants do not parse, or the descriptor breaks the contract.
    pub fn new(artifact: Artifact, loaded: Loaded, grants: &str) -> Result<Self, ProviderError> {
        let descriptor = loaded.descriptor().clone();
        let mut slots = BTreeSet::new();
        for slot in &descriptor.secrets {
            if !slots.insert(&slot.slot) {
                return Err(ProviderError::Slot { id: descriptor.id.clone(), slot: slot.slot.clone() });
            }
        }
        let policy = Policy::new(&descriptor, grants)?;
        Ok(Self { artifact, descriptor, loaded, policy: Arc::new(policy) })
    }

    /// Its id: the key under `network.provider` (C1).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.descriptor.id
    }

    /// What it says of itself.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Its bytes, digest and sections.
    #[must_use]
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// What it may do.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Its id, version and digest, as events carry them.
    #[must_use]
    pub fn reference(&self) -> ProviderRef {
        ProviderRef::of(&self.descriptor, self.artifact.digest())
    }

    pub(crate) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// A network of this provider, with the config that stands under `network.providers.<id>`.
    ///
    /// # Errors
    /// With every finding of the provider about the config, not the first only (F8).
    pub fn configure(self: &Arc<Self>, config: &Value) -> Result<Network, InvalidConfig> {
        let text = config.to_string();
        let invalid = |findings| InvalidConfig { provider: self.id().to_owned(), findings };
        let findings = pure()
            .map_err(no_descriptor)
            .and_then(|until| self.loaded.validate(&text, &until).map_err(|error| error.failed()))
            .map_err(|failed| invalid(failed.diagnostics))?;
        let findings: Vec<_> = findings.into_iter().map(crate::words::clean_diagnostic).collect();
        let (errors, notes) = findings.into_iter().partition::<Vec<_>, _>(|one| one.severity == Severity::Error);
        if errors.is_empty() {
            for slot in &self.descriptor.secrets {
                // Whoever is started later, by anything of this process, has no use for it (K1).
                config
                    .pointer(&slot.env_config_path)
                    .and_then(Value::as_str)
                    .into_iter()
                    .for_each(crate::secrets::withhold);
            }
            Ok(Network(Arc::new(Inner { provider: Arc::clone(self), config: config.clone(), text, notes })))
        } else {
            Err(invalid(errors.into_iter().chain(notes).collect()))
        }
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("id", &self.id()).field("digest", &self.artifact.digest()).finish()
    }
}

/// The limits of a call that touches no machine.
fn pure() -> std::io::Result<Until> {
    Ok(Until::after(PURE_CALL, &Cancel::new()?))
}

/// This machine has nothing left to wait on.
pub(crate) fn no_descriptor(error: std::io::Error) -> Failed {
    Failed::host(
        Kind::Other,
        format!("this machine has no descriptor left: {error}"),
        "do: end other programs, or raise the limit (`ulimit -n`), or use fewer --jobs".to_owned(),
    )
}

/// A provider with a valid config. Cheap to clone; shared by the hosts of a run.
#[derive(Clone)]
pub struct Network(Arc<Inner>);

struct Inner {
    provider: Arc<Provider>,
    config: Value,
    text: String,
    notes: Vec<Diagnostic>,
}

impl Network {
    /// The provider.
    #[must_use]
    pub fn provider(&self) -> &Arc<Provider> {
        &self.0.provider
    }

    /// The config.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.0.config
    }

    /// The config as the provider gets it.
    pub(crate) fn config_text(&self) -> &str {
        &self.0.text
    }

    /// Warnings and notes about the config.
    #[must_use]
    pub fn notes(&self) -> &[Diagnostic] {
        &self.0.notes
    }

    /// The name that the host of this logical name has in the network (C5). Pure: no network, no clock, no randomness.
    ///
    /// # Errors
    /// When the name cannot be one in this network.
    pub fn node_fqdn(&self, host: &str) -> Result<String, Failed> {
        let until = pure().map_err(no_descriptor)?;
        match self.provider().loaded().node_fqdn(self.config_text(), host, &until) {
            Ok(Ok(name)) => Ok(boundary::text::one_line(&name)),
            Ok(Err(failure)) => Err(crate::words::failed_by_provider(self.provider().id(), failure)),
            Err(error) => Err(error.failed()),
        }
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Network").field(self.provider()).finish()
    }
}

/// A config that the provider found wrong, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{provider} provider: {}", self.findings.iter().map(|one| one.summary.as_str()).collect::<Vec<_>>().join("; "))]
pub struct InvalidConfig {
    /// The provider.
    pub provider: String,
    /// Every finding, errors first, each with its place in the config.
    pub findings: Vec<Diagnostic>,
}

/// Why an artifact with its grants is not a provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The grants or the descriptor's requests do not parse.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The descriptor declares a slot twice.
    #[error("the descriptor of provider `{id}` declares the secret slot `{slot}` twice")]
    Slot {
        /// The provider.
        id: String,
        /// The slot.
        slot: String,
    },
}
