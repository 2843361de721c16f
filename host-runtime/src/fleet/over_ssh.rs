//! Hosts of an inventory, reached over SSH.

use super::dial::{Connect, Refused, Route};
use crate::failure::Failed;
use crate::inventory::HostSpec;
use crate::ssh::{Endpoint, Passphrases, Resolver, Target, Trust, connect};
use crate::transport::Transport;
use crate::until::Until;

/// Reaches the hosts of an inventory over SSH, as an operator's own `ssh` would.
pub struct OverSsh {
    endpoints: Vec<Endpoint>,
    resolver: Resolver,
    trust: Trust,
    passphrases: Option<Passphrases>,
}

impl OverSsh {
    /// These hosts, in the order of the run.
    #[must_use]
    pub fn new(hosts: &[HostSpec], trust: Trust) -> Self {
        let endpoint = |host: &HostSpec| Endpoint {
            name: host.name.clone(),
            address: host.address.clone(),
            port: host.port,
            user: host.user.clone(),
            identity: host.private_key.clone(),
            known_hosts: host.known_hosts.clone(),
            also_ssh_configs: false,
            host_keys: host.host_keys.clone(),
            config: host.ssh_config.clone(),
            jump: host.jump.clone(),
            known_as: host.known_as.clone(),
        };
        Self { endpoints: hosts.iter().map(endpoint).collect(), resolver: Resolver::here(), trust, passphrases: None }
    }

    /// Asks a person for the passphrases of key files.
    #[must_use]
    pub fn ask_passphrases(mut self, ask: Passphrases) -> Self {
        self.passphrases = Some(ask);
        self
    }
}

impl OverSsh {
    /// Where and how the host at this place of the run is reached.
    ///
    /// # Errors
    /// When that cannot be known.
    pub fn target(&self, host: usize, until: &Until) -> Result<Target, Failed> {
        self.resolve(&self.endpoints[host], until)
    }

    /// The same, where keys are known by what `ssh_config` says, and not by the project's file.
    ///
    /// # Errors
    /// When that cannot be known.
    pub fn target_as_ssh_knows_it(&self, host: usize, until: &Until) -> Result<Target, Failed> {
        self.resolve(&Endpoint { known_hosts: None, ..self.endpoints[host].clone() }, until)
    }

    /// The same for a jump host in front of a host ([`Target::jumps`]).
    ///
    /// # Errors
    /// When that cannot be known.
    pub fn resolve(&self, jump: &Endpoint, until: &Until) -> Result<Target, Failed> {
        let target = self.resolver.resolve(jump, until).map_err(|error| error.failed())?;
        Ok(match &self.passphrases {
            Some(ask) => target.ask_passphrases(ask.clone()),
            None => target,
        })
    }
}

impl Connect for OverSsh {
    fn route(&self, host: usize, until: &Until) -> Result<Box<dyn Route>, Failed> {
        let target = self.target(host, until)?;
        Ok(Box::new(SshRoute { target, trust: self.trust }))
    }
}

struct SshRoute {
    target: Target,
    trust: Trust,
}

impl Route for SshRoute {
    fn gate(&self) -> &str {
        self.target.gate()
    }

    fn user(&self) -> Option<&str> {
        Some(self.target.user())
    }

    fn at(&self) -> String {
        self.target.place()
    }

    fn connect(&self, until: &Until) -> Result<Box<dyn Transport>, Refused> {
        match connect(&self.target, self.trust, until) {
            Ok(connection) => Ok(Box::new(connection)),
            Err(error) => Err(Refused { failed: error.failed(), again: error.before_authentication() }),
        }
    }
}
