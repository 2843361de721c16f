//! How a host fails to reach its goal: what kind, what is known, and what was changed.
//!
//! Every part of the runtime that can fail on a host says it with [`Failed`]; the screen and `--json` render it in one
//! place. What the connection did (unreachable, lost, timed out, denied, cancelled) is the host's own record and beats
//! whatever a provider says. Not for: failures that concern no host, such as a bad file; those have types of their own.

use serde::Serialize;

use crate::contract::{Diagnostic, Severity};

/// What kind of failure, as machines match on it. The names are those of `wit/provider.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// The provider's config is not valid.
    ConfigInvalid,
    /// The machine's operating system is not one that the provider supports, or cannot be told.
    UnsupportedOs,
    /// The client could not be installed, or the installed one will not do.
    InstallFailed,
    /// The daemon does not answer and could not be made to.
    DaemonDown,
    /// Root was needed and could not be had.
    Privilege,
    /// A secret that a step needs is not there.
    SecretMissing,
    /// The network refused the secret.
    SecretInvalid,
    /// The secret does not allow the wanted tags.
    TagsNotPermitted,
    /// A person must approve the machine.
    ApprovalNeeded,
    /// The network's control server could not be reached from the machine.
    ControlUnreachable,
    /// The machine is in another network.
    NetworkMismatch,
    /// Which network the machine is in cannot be proved.
    NetworkUnproved,
    /// The machine's tags are not the wanted ones.
    TagMismatch,
    /// The network gave the machine another name.
    NameConflict,
    /// The step would interrupt something that works, and that was not allowed.
    DisruptionRefused,
    /// Another run holds the machine.
    Busy,
    /// The policy forbids a command.
    Denied,
    /// The deadline passed.
    TimedOut,
    /// The connection ended before the answer was complete.
    Lost,
    /// The run was cancelled.
    Cancelled,
    /// No connection to the machine could be made.
    Unreachable,
    /// The server's host key is unknown, changed or revoked.
    HostKey,
    /// The server refused every way to log in.
    Authentication,
    /// The provider itself failed: it trapped, ran too long, or said what the contract forbids.
    Provider,
    /// The plan is another one than that which was approved.
    NotApproved,
    /// Not tried, since the first host of the run failed in a way that every other would.
    Skipped,
    /// A defect in the runtime itself.
    Internal,
    /// Anything else. It stays the last: [`Kind::ALL`] is as long as that.
    Other,
}

impl Kind {
    /// All of them, in the order of their declaration: first those that a provider may name.
    pub const ALL: [Self; Self::Other as usize + 1] = [
        Self::ConfigInvalid,
        Self::UnsupportedOs,
        Self::InstallFailed,
        Self::DaemonDown,
        Self::Privilege,
        Self::SecretMissing,
        Self::SecretInvalid,
        Self::TagsNotPermitted,
        Self::ApprovalNeeded,
        Self::ControlUnreachable,
        Self::NetworkMismatch,
        Self::NetworkUnproved,
        Self::TagMismatch,
        Self::NameConflict,
        Self::DisruptionRefused,
        Self::Busy,
        Self::Denied,
        Self::TimedOut,
        Self::Lost,
        Self::Cancelled,
        Self::Unreachable,
        Self::HostKey,
        Self::Authentication,
        Self::Provider,
        Self::NotApproved,
        Self::Skipped,
        Self::Internal,
        Self::Other,
    ];

    /// The kind that a provider names, if it is one that a provider may name.
    #[must_use]
    pub fn from_provider(name: &str) -> Self {
        let may = &Self::ALL[..=Self::Cancelled as usize];
        may.iter().copied().find(|kind| kind.name() == name).unwrap_or(Self::Other)
    }

    /// Its name, in kebab-case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::ConfigInvalid => "config-invalid",
            Kind::UnsupportedOs => "unsupported-os",
            Kind::InstallFailed => "install-failed",
            Kind::DaemonDown => "daemon-down",
            Kind::Privilege => "privilege",
            Kind::SecretMissing => "secret-missing",
            Kind::SecretInvalid => "secret-invalid",
            Kind::TagsNotPermitted => "tags-not-permitted",
            Kind::ApprovalNeeded => "approval-needed",
            Kind::ControlUnreachable => "control-unreachable",
            Kind::NetworkMismatch => "network-mismatch",
            Kind::NetworkUnproved => "network-unproved",
            Kind::TagMismatch => "tag-mismatch",
            Kind::NameConflict => "name-conflict",
            Kind::DisruptionRefused => "disruption-refused",
            Kind::Busy => "busy",
            Kind::Denied => "denied",
            Kind::TimedOut => "timed-out",
            Kind::Lost => "lost",
            Kind::Cancelled => "cancelled",
            Kind::Unreachable => "unreachable",
            Kind::HostKey => "host-key",
            Kind::Authentication => "authentication",
            Kind::Provider => "provider",
            Kind::NotApproved => "not-approved",
            Kind::Skipped => "skipped",
            Kind::Internal => "internal",
            Kind::Other => "other",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The code of the diagnostic for a host whose `sudo` refused the password; others are then [`Kind::Skipped`].
pub const WRONG_SUDO_PASSWORD: &str = "wrong-sudo-password";

/// The code of the diagnostic for a host that was not tried since more hosts had failed than may.
pub const TOO_MANY_FAILED: &str = "too-many-failed";

/// What a person can do about a provider that fails by itself.
pub(crate) const DEFECT_OF_THE_PROVIDER: &str = "means: a defect of the provider; it is not in your config and not on the \
     host\ndo: tell the provider's author, with this text; {run provider list} shows which one it is";

/// What a failed attempt has changed on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changed {
    /// No changing command was started.
    Nothing,
    /// At least one changing command ran, and how each one ended was seen.
    Some,
    /// A changing command was started and its end was not seen.
    Unknown,
}

/// A host that did not reach its goal, or could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[error("{}", self.headline())]
pub struct Failed {
    /// What kind.
    pub kind: Kind,
    /// The findings, the main one first: what was found, wanted, and what to do next.
    pub diagnostics: Vec<Diagnostic>,
    /// What was changed before it failed.
    pub changed: Changed,
    /// The provider whose words the diagnostics are; `None` for the host's own.
    pub provider: Option<String>,
}

impl Failed {
    /// A failure in the host's own words, with nothing changed.
    #[must_use]
    pub fn host(kind: Kind, summary: impl Into<String>, detail: impl Into<Option<String>>) -> Self {
        Self {
            kind,
            diagnostics: vec![Diagnostic {
                severity: Severity::Error,
                code: kind.name().to_owned(),
                summary: summary.into(),
                detail: detail.into(),
                config_path: None,
            }],
            changed: Changed::Nothing,
            provider: None,
        }
    }

    /// The same, with who logs in on the machine where a text leaves that open (`{user}`).
    #[must_use]
    pub fn of_user(mut self, user: Option<&str>) -> Self {
        for detail in self.diagnostics.iter_mut().filter_map(|one| one.detail.as_mut()) {
            *detail = detail.replace("{user}", user.unwrap_or("(not known)"));
        }
        self
    }

    /// The main finding on one line, with the prefix that embedders match on: `<id> provider: …` for a provider's.
    #[must_use]
    pub fn headline(&self) -> String {
        let summary = self.diagnostics.first().map_or(self.kind.name(), |first| first.summary.as_str());
        match &self.provider {
            Some(id) => format!("{id} provider: {summary}"),
            None => summary.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_go_both_ways_and_a_provider_cannot_name_the_hosts_own() {
        assert_eq!(Kind::from_provider("secret-invalid"), Kind::SecretInvalid);
        assert_eq!(Kind::from_provider("unreachable"), Kind::Other);
        assert_eq!(Kind::from_provider(""), Kind::Other);
        assert!(Kind::ALL.iter().enumerate().all(|(place, kind)| *kind as usize == place), "each once, in their order");
        assert_eq!(serde_json::to_value(Kind::TagsNotPermitted).unwrap(), Kind::TagsNotPermitted.name());
    }

    #[test]
    fn the_headline_has_the_prefix_only_for_a_providers_words() {
        let mut failed = Failed::host(Kind::Busy, "another run holds the machine", None);
        assert_eq!(failed.to_string(), "another run holds the machine");
        failed.provider = Some("demo".to_owned());
        assert_eq!(failed.to_string(), "demo provider: another run holds the machine");
    }
}
