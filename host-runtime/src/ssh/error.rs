//! Why there is no connection: one type, and its words for people.

use std::net::SocketAddr;

use boundary::known_hosts::{HostKey, KnownKey};
use boundary::text;

use super::login::{Outcome, Refusal};
use super::trust::HostKeyError;
use crate::failure::{Failed, Kind};

/// How far a connection came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Looking up the name and opening the connection, or starting a proxy.
    Opening,
    /// Waiting for the server to say that it speaks SSH.
    Greeting,
    /// Exchanging keys.
    KeyExchange,
    /// Judging the host key.
    HostKey,
    /// Logging in.
    Login,
}

impl Stage {
    fn doing(self) -> &'static str {
        match self {
            Stage::Opening => "opening the connection",
            Stage::Greeting => "waiting for the server's first line",
            Stage::KeyExchange => "exchanging keys",
            Stage::HostKey => "judging the host key",
            Stage::Login => "logging in",
        }
    }
}

/// Why there is no connection. `to` is `user@host:port` everywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.headline())]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no address.
    Name {
        /// Where to.
        to: String,
        /// What the resolver says.
        reason: String,
        /// It says to try again.
        temporary: bool,
    },
    /// No address could be connected to.
    Address {
        /// Where to.
        to: String,
        /// Every address with its reason.
        tried: Vec<(SocketAddr, String)>,
    },
    /// The jump host or the `ProxyCommand` failed.
    Proxy {
        /// Where to.
        to: String,
        /// The jump host, or the command.
        what: String,
        /// How it ended, and the last that it said.
        reason: String,
    },
    /// Something answers, and no SSH session came of it.
    Handshake {
        /// Where to.
        to: String,
        /// How far it came.
        stage: Stage,
        /// What went wrong.
        reason: String,
        /// What the server said instead of SSH, if it did.
        said: Option<String>,
        /// Trying again can help.
        passing: bool,
    },
    /// The server's key is not trusted.
    HostKey {
        /// Where to.
        to: String,
        /// Why.
        error: Box<HostKeyError>,
    },
    /// Nobody was let in.
    Authentication {
        /// Where to.
        to: String,
        /// What was tried.
        refusal: Box<Refusal>,
    },
    /// The connection ended while logging in, before any key was refused.
    LostAtLogin {
        /// Where to.
        to: String,
        /// What is known.
        reason: String,
    },
    /// The deadline passed.
    Deadline {
        /// Where to.
        to: String,
        /// How far it came.
        stage: Stage,
    },
    /// The run was cancelled.
    Cancelled {
        /// Where to.
        to: String,
        /// How far it came.
        stage: Stage,
    },
    /// This machine refused something: no descriptor left, no memory.
    System {
        /// Where to.
        to: String,
        /// What it said.
        reason: String,
    },
}

impl ConnectError {
    /// What kind of failure.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            ConnectError::Name { .. }
            | ConnectError::Address { .. }
            | ConnectError::Proxy { .. }
            | ConnectError::Handshake { .. }
            | ConnectError::LostAtLogin { .. } => Kind::Unreachable,
            ConnectError::HostKey { .. } => Kind::HostKey,
            ConnectError::Authentication { .. } => Kind::Authentication,
            ConnectError::Deadline { .. } => Kind::TimedOut,
            ConnectError::Cancelled { .. } => Kind::Cancelled,
            ConnectError::System { .. } => Kind::Other,
        }
    }

    /// Whether it may be tried again: nobody has tried to log in yet, and another attempt can end differently.
    #[must_use]
    pub fn before_authentication(&self) -> bool {
        match self {
            ConnectError::Address { .. } | ConnectError::Proxy { .. } => true,
            ConnectError::Name { temporary, .. } => *temporary,
            ConnectError::Handshake { passing, .. } => *passing,
            _ => false,
        }
    }

    /// As a host's failure: what was found, what was wanted, what to do next.
    #[must_use]
    pub fn failed(&self) -> Failed {
        Failed::host(self.kind(), self.headline(), self.detail())
    }

    fn headline(&self) -> String {
        match self {
            ConnectError::Name { to, reason, .. } => format!("{to}: the name has no address: {reason}"),
            ConnectError::Address { to, tried } => match &tried[..] {
                [(_, reason)] => format!("{to}: {}", lower(reason)),
                _ => format!("{to}: none of its {} addresses could be connected to", tried.len()),
            },
            ConnectError::Proxy { to, what, .. } => format!("{to}: {what} did not reach it"),
            ConnectError::Handshake { to, stage, reason, .. } => format!("{to}: {reason} while {}", stage.doing()),
            ConnectError::HostKey { to, error } => format!(
                "{to}: {}",
                match &**error {
                    HostKeyError::Unknown { .. } => "the server's host key is not known",
                    HostKeyError::Changed { .. } => "the server's host key is not the one that is known",
                    HostKeyError::Revoked { .. } => "the server's host key is revoked",
                    HostKeyError::Malformed(_) => "the server's host key cannot be read",
                    HostKeyError::Unreadable { .. } => "the known host keys cannot be read",
                    HostKeyError::Unwritable { .. } => "the server's new host key cannot be remembered",
                }
            ),
            ConnectError::Authentication { to, .. } => format!("{to}: the server let nobody in"),
            ConnectError::LostAtLogin { to, reason } => format!("{to}: {reason} while logging in"),
            ConnectError::Deadline { to, stage } => format!("{to}: the deadline passed while {}", stage.doing()),
            ConnectError::Cancelled { to, stage } => format!("{to}: cancelled while {}", stage.doing()),
            ConnectError::System { to, reason } => format!("{to}: this machine refused: {reason}"),
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            ConnectError::Name { .. } => {
                "Give the host an address that resolves here, or one of ssh_config's aliases as its name.".to_owned()
            }
            ConnectError::Address { tried, .. } => {
                let tried: Vec<String> = tried.iter().map(|(at, reason)| format!("{at}: {}", lower(reason))).collect();
                format!(
                    "{}\nCheck that the machine is up, that sshd listens at this port, and that no firewall stands between.",
                    tried.join("\n")
                )
            }
            ConnectError::Proxy { reason, .. } => {
                format!("{reason}\nThe same way by hand: `ssh` to the host, with `-v` to see each step.")
            }
            ConnectError::Handshake { said, stage, reason, .. } => handshake(said.as_deref(), *stage, reason),
            ConnectError::HostKey { error, .. } => host_key(error),
            ConnectError::Authentication { refusal, to } => refused(refusal, to),
            ConnectError::LostAtLogin { .. } => {
                "sshd's log on the host says why; `fail2ban` and PerSourcePenalties do this too.".to_owned()
            }
            ConnectError::Deadline { .. } => "Allow more time, or find out what the machine is busy with.".to_owned(),
            ConnectError::Cancelled { .. } | ConnectError::System { .. } => return None,
        })
    }
}

/// What [`ConnectError::Handshake`] calls a negotiation that found nothing in common.
pub(super) const NOT_AGREED: &str = "the two sides did not agree on keys";

fn handshake(said: Option<&str>, stage: Stage, reason: &str) -> String {
    match said {
        Some(said) if said.contains("MaxStartups") || said.contains("Not allowed at this time") => {
            format!(
                "The server says: {said}\nIt takes no more connections for now; fewer at a time, or a moment later."
            )
        }
        Some(said) => format!("What answers there is no SSH server: {said}\nCheck the address and the port."),
        None if stage <= Stage::Greeting => {
            "Something listens there and says nothing. An sshd that is full (MaxStartups) or bans this address does so."
                .to_owned()
        }
        None if reason.contains(NOT_AGREED) => {
            "The server is too old, or allows too little, or does not speak SSH: Ed25519, ECDSA and RSA with SHA-2 host \
             keys, Diffie-Hellman with SHA-2, AES and ChaCha20 are offered to it. `ssh -vv` shows what it offers."
                .to_owned()
        }
        None => "Try again; `ssh -v` to the same host shows where it stops.".to_owned(),
    }
}

fn shown(key: &HostKey) -> String {
    format!("{} {}", key.key_type().short(), key.fingerprint())
}

fn known(keys: &[KnownKey]) -> String {
    let keys: Vec<String> = keys.iter().map(|known| format!("{} ({})", shown(&known.key), known.place)).collect();
    keys.join("\n        ")
}

fn host_key(error: &HostKeyError) -> String {
    match error {
        HostKeyError::Unknown { shown: key, line, files, plain, authorities } => {
            let mut text = format!("Found:  {}\n", shown(key));
            let paths: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            text.push_str(&format!("Looked in: {}\n", paths.join(", ")));
            if !plain.is_empty() {
                text.push_str(&format!("Known for the same name without the port:\n        {}\n", known(plain)));
            }
            for place in authorities {
                text.push_str(&format!(
                    "A certificate authority covers it ({place}); certificates are not supported.\n"
                ));
            }
            let kind = key.key_type().short().to_lowercase();
            text.push_str(&format!(
                "Compare with what the machine itself says: `ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub` on its console."
            ));
            if let (Some(line), Some(file)) = (line, paths.first()) {
                text.push_str(&format!(" When it is the same, add to {file}:\n{line}"));
            }
            text
        }
        HostKeyError::Changed { shown: key, known: keys } => format!(
            "Found:  {}\nWanted: {}\nThe machine was set up anew, or somebody stands between. Find out which; only then \
             replace the line.",
            shown(key),
            known(keys)
        ),
        HostKeyError::Revoked { shown: key, place } => {
            format!(
                "Found:  {}\nRevoked by {place}. Whoever wrote that line knows why; the machine needs a new key.",
                shown(key)
            )
        }
        HostKeyError::Malformed(reason) => format!("{reason}.\nCheck that what answers there is an SSH server."),
        HostKeyError::Unreadable { file, reason } => {
            format!("{}: {reason}\nIt may hold a revocation, so nothing is trusted without it.", file.display())
        }
        HostKeyError::Unwritable { file, reason } => format!(
            "{}: {reason}\nA key that is accepted and forgotten would be accepted again from anybody. Make the file \
             writable, or add the key by hand.",
            file.display()
        ),
    }
}

fn refused(refusal: &Refusal, to: &str) -> String {
    let mut lines = Vec::new();
    for tried in &refusal.tried {
        lines.push(format!("{}: {}", text::one_line(&tried.key), text::one_line(tried.outcome.to_string())));
    }
    if refusal.tried.is_empty() {
        lines.push("There is no key to try: no agent, and none of the key files is there.".to_owned());
    }
    match (refusal.hung_up, refusal.left) {
        (true, 0) => lines.push("The server hung up after that: its MaxAuthTries, or a ban.".to_owned()),
        (true, left) => {
            lines.push(format!("The server hung up before {left} more could be tried: its MaxAuthTries, or a ban."));
        }
        (false, 0) => {}
        (false, left) => lines.push(format!("{left} more were not tried: servers hang up after six.")),
    }
    if let Some(offered) = &refusal.offered {
        lines.push(format!("The server offers: {}", text::bounded(&text::one_line(offered), 200)));
    }
    let any = |wanted: fn(&Outcome) -> bool| refusal.tried.iter().any(|tried| wanted(&tried.outcome));
    let user = to.split('@').next().unwrap_or_default();
    lines.push(if refusal.left > 0 {
        "Name the right key: `privateKeyPath` in the project's file, or IdentityFile with IdentitiesOnly in ssh_config."
            .to_owned()
    } else if any(|outcome| matches!(outcome, Outcome::NotSigned(_))) {
        "Unlock the agent, or confirm with a touch where the key asks for one.".to_owned()
    } else if any(|outcome| *outcome == Outcome::Encrypted) {
        "Give the key to an agent (`ssh-add`), or run this where somebody can type its passphrase.".to_owned()
    } else {
        format!("Put the public half of one of these keys into the authorized_keys of {user}, or name the right key.")
    });
    lines.join("\n")
}

/// A reason in the middle of a sentence.
fn lower(reason: &str) -> String {
    let mut chars = reason.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
