//! Why there is no connection: one type, and its words for people.

use std::net::SocketAddr;

use boundary::known_hosts::{HostKey, KnownKey};
use boundary::text;

use super::dial::NO_ANSWER;
use super::login::{Outcome, Refusal};
use super::proxy::JumpKey;
use super::trust::HostKeyError;
use crate::failure::{Failed, Kind};

/// The code of the diagnostic for a host key that no file knows. Its detail lines `found` and `note` are the host's own.
pub const UNKNOWN_HOST_KEY: &str = "host-key-unknown";
const UNKNOWN_SUMMARY: &str = "the server's host key is not known";

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
    /// A jump host on the way shows a key that is not trusted.
    JumpHostKey {
        /// Where to.
        to: String,
        /// The jump host, as `known_hosts` names it.
        jump: String,
        /// Why.
        why: JumpKey,
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
            ConnectError::HostKey { .. } | ConnectError::JumpHostKey { .. } => Kind::HostKey,
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
            ConnectError::Address { .. } => true,
            // Each further attempt would be a failed log-in more.
            ConnectError::Proxy { reason, .. } => !lets_nobody_in(reason),
            ConnectError::Name { temporary, .. } => *temporary,
            ConnectError::Handshake { passing, .. } => *passing,
            _ => false,
        }
    }

    /// Whether nothing was reached there: another address of the same host may do.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        matches!(self, ConnectError::Name { .. } | ConnectError::Address { .. } | ConnectError::Proxy { .. })
    }

    /// Whether an address said nothing in its time: with more of it, it may.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, ConnectError::Address { tried, .. } if tried.iter().any(|(_, why)| why.starts_with(NO_ANSWER)))
    }

    /// As a host's failure: what was found, what was wanted, what to do next.
    #[must_use]
    pub fn failed(&self) -> Failed {
        let mut failed = Failed::host(self.kind(), self.headline(), self.detail());
        if let ConnectError::HostKey { error, .. } = self
            && matches!(**error, HostKeyError::Unknown { .. })
            && let Some(first) = failed.diagnostics.first_mut()
        {
            // Whose key it is stands in the details: the headline of many hosts is one.
            UNKNOWN_HOST_KEY.clone_into(&mut first.code);
            UNKNOWN_SUMMARY.clone_into(&mut first.summary);
        }
        failed
    }

    fn headline(&self) -> String {
        match self {
            ConnectError::Name { to, .. } => format!("{to}: the name has no address"),
            ConnectError::Address { to, tried } => match &tried[..] {
                [(_, reason)] => format!("{to}: {}", lower(reason)),
                _ => format!("{to}: none of its {} addresses could be connected to", tried.len()),
            },
            ConnectError::Proxy { to, what, .. } => format!("{to}: {what} did not reach it"),
            // All that are behind it are told at once.
            ConnectError::JumpHostKey { jump, why, .. } => format!(
                "the key of the jump host {jump} {}",
                match why {
                    JumpKey::Unknown => "is not known",
                    JumpKey::Changed => "is not the one that is known",
                    JumpKey::Revoked => "is revoked",
                }
            ),
            ConnectError::Handshake { to, stage, reason, .. } => format!("{to}: {reason} while {}", stage.doing()),
            ConnectError::HostKey { to, error } => format!(
                "{to}: {}",
                match &**error {
                    HostKeyError::Unknown { .. } => UNKNOWN_SUMMARY,
                    HostKeyError::Certificate { .. } => "the server's certificate does not prove that it is the host",
                    HostKeyError::NotPinned { .. } => "the server's host key is not the one that the inventory names",
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
            ConnectError::System { to, .. } => format!("{to}: this machine has nothing left for a connection"),
        }
    }

    fn detail(&self) -> String {
        match self {
            ConnectError::Name { reason, .. } => format!(
                "found: {}\nwanted: a name that this machine can look up\ndo: give the host an address that resolves here, or \
                 one of ssh_config's aliases as its name\nwhere only a bastion knows it:  {JUMP}",
                text::one_line(reason)
            ),
            ConnectError::Address { tried, .. } => {
                let tried: Vec<String> = tried.iter().map(|(at, reason)| format!("{at}: {}", lower(reason))).collect();
                format!(
                    "found: {}\nwanted: a server that takes connections there\ndo: check that the machine is up, that sshd \
                     listens at this port, and that no firewall stands between\nwhere a bastion does:  {JUMP}",
                    tried.join("\n")
                )
            }
            ConnectError::Proxy { what, reason, .. } => {
                let (what, said) = (text::one_line(what), text::one_line(reason));
                let next = if lets_nobody_in(reason) {
                    "name who logs in there, as in `jump: USER@BASTION`, and the key: privateKeyPath under \
                     infra.bootstrap.ssh, IdentityFile in ssh_config, or one of an agent"
                } else {
                    "go the same way by hand: `ssh -v` to the host shows each step"
                };
                format!("found: {said}\nwanted: a way through {what}\ndo: {next}")
            }
            ConnectError::JumpHostKey { why, .. } => match why {
                JumpKey::Unknown => {
                    "found: no file of known hosts has a line for it\nwanted: the line with its key\nmeans: nobody logs in at a \
                     machine that nobody knows\ndo: {run trust @hosts}"
                }
                JumpKey::Changed => {
                    "found: another key than its line has\nwanted: the key that is known\nmeans: it was set up anew, or somebody \
                     stands between\ndo: find out which; only then replace the line:  {run trust @hosts --replace}"
                }
                JumpKey::Revoked => {
                    "found: a line that revokes the key it shows\nwanted: a key that nobody has revoked\ndo: give it a new key, \
                     or go another way: `jump` in the project's file"
                }
            }
            .to_owned(),
            ConnectError::Handshake { said, stage, reason, .. } => handshake(said.as_deref(), *stage, reason),
            ConnectError::HostKey { error, to } => host_key(error, to),
            ConnectError::Authentication { refusal, to } => refused(refusal, to),
            ConnectError::LostAtLogin { reason, .. } => format!(
                "found: {}\nwanted: the server's answer to a key\nmeans: a server that bans this address, or is restarted, does \
                 so\ndo: look into sshd's log on the host; `fail2ban` and PerSourcePenalties write there too",
                text::one_line(reason)
            ),
            ConnectError::Deadline { stage, .. } => format!(
                "found: the time was up while {}\nwanted: a log-in within the time for one host (--timeout)\ndo: give more \
                 time with --timeout, or find out what the machine is busy with",
                stage.doing()
            ),
            ConnectError::System { reason, .. } => format!(
                "found: {}\nwanted: a free descriptor and memory on this machine\ndo: end other programs, or raise the limit \
                 (`ulimit -n`), or use fewer --jobs",
                text::one_line(reason)
            ),
            ConnectError::Cancelled { stage, .. } => format!(
                "found: the run was told to end while {}\nwanted: a log-in\nmeans: no command was sent\ndo: {{run up @hosts}}",
                stage.doing()
            ),
        }
    }
}

/// What [`ConnectError::Handshake`] calls a negotiation that found nothing in common.
pub(super) const NOT_AGREED: &str = "the two sides did not agree on keys";

/// What else to do where nothing is reached.
const JUMP: &str = "`jump: USER@BASTION` under infra.bootstrap.ssh";

/// Whether a jump host refused every key.
fn lets_nobody_in(reason: &str) -> bool {
    reason.contains("Permission denied (")
}

fn handshake(said: Option<&str>, stage: Stage, reason: &str) -> String {
    match said {
        Some(said) if said.contains("MaxStartups") || said.contains("Not allowed at this time") => {
            format!(
                "found: the server says: {said}\nwanted: a free place for one more connection\nmeans: it takes no more connections for now\ndo: run again in a moment, \
                 or with fewer --jobs"
            )
        }
        Some(said) => format!(
            "found: what answers there is no SSH server: {said}\nwanted: a line that begins with SSH-2.0\ndo: check the address and the port of the host"
        ),
        None if stage <= Stage::Greeting => "found: something listens there and says nothing\nwanted: a line that begins with SSH-2.0\nmeans: an sshd that is full \
             (MaxStartups) or bans this address does so\ndo: run again in a moment; look into sshd's log on the host"
            .to_owned(),
        None if reason.contains(NOT_AGREED) => {
            "found: nothing that both sides allow\nmeans: the server is too old, or allows too little, or does not speak \
             SSH\nwanted: a host key of Ed25519, ECDSA \
             or RSA with SHA-2, Diffie-Hellman with SHA-2, AES or ChaCha20\ndo: `ssh -vv` to the host shows what it offers"
                .to_owned()
        }
        None => format!(
            "found: {}\nwanted: a session\ndo: run again; `ssh -v` to the same host shows where it stops",
            text::one_line(reason)
        ),
    }
}

fn shown(key: &HostKey) -> String {
    format!("{} {}", key.key_type().short(), key.fingerprint())
}

fn known(keys: &[KnownKey]) -> String {
    let keys: Vec<String> = keys.iter().map(|known| format!("{} ({})", shown(&known.key), known.place)).collect();
    keys.join("\n")
}

/// The details of a key that is not trusted. Of one that is not known, the lines `found` and `note` are the host's own,
/// and all others the same for every host, so that many of them can be told at once.
fn host_key(error: &HostKeyError, to: &str) -> String {
    match error {
        HostKeyError::Unknown { shown: key, line, files, plain, authorities } => {
            let mut text = format!("found: {to} shows {}\n", shown(key));
            if !plain.is_empty() {
                text.push_str(&format!("found: known for the same name without the port:\n{}\n", known(plain)));
            }
            let paths: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            let first = paths.first().map_or("known_hosts", String::as_str);
            text.push_str(&format!("wanted: a key for the host in {}\n", paths.join(", ")));
            for place in authorities {
                text.push_str(&format!("wanted: or a certificate of the authority at {place}; it shows a plain key\n"));
            }
            text.push_str("do: {run trust @hosts}\n");
            let kind = key.key_type().short().to_lowercase();
            text.push_str(&format!(
                "note: on the machine's own console, `ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub` says what it is"
            ));
            if let Some(line) = line {
                text.push_str(&format!("\nnote: the line for {first}: {line}"));
            }
            text
        }
        HostKeyError::Changed { shown: key, known: keys } => format!(
            "found: {}\nwanted: {}\nmeans: the machine was set up anew, or somebody stands between\ndo: find out which; \
             only then replace the line:  {{run trust @hosts --replace}}",
            shown(key),
            known(keys)
        ),
        HostKeyError::Certificate { shown: key, why, place } => {
            let why = text::bounded(&text::one_line(why.to_string()), 300);
            format!(
                "found: a certificate for {}: {why}\nwanted: a certificate for this host by the authority at {place}, valid \
                 now\nmeans: sshd shows an old one, or one for another name, or this machine's clock is wrong\ndo: sign the \
                 host's key again (`ssh-keygen -s CA -h -n NAME …`), or trust the plain key:  {{run trust @hosts}}",
                shown(key)
            )
        }
        HostKeyError::NotPinned { shown: key, pinned } => {
            let wanted: Vec<String> =
                pinned.iter().map(|pin| pin.key().map_or_else(|| pin.fingerprint(), shown)).collect();
            let other = if pinned.iter().any(|pin| pin.key().is_some_and(|one| one.key_type() == key.key_type())) {
                "the machine was set up anew, or somebody stands between"
            } else {
                "the inventory names a key of another type, or the machine was set up anew, or somebody stands between"
            };
            format!(
                "found: {}\nwanted: {} (host_key in the inventory)\nmeans: {other}\ndo: find out which; only then change \
                 host_key",
                shown(key),
                wanted.join(" or ")
            )
        }
        HostKeyError::Revoked { shown: key, place } => format!(
            "found: {}\nwanted: a key that nobody has revoked\nmeans: revoked at {place}; whoever wrote that line knows why\ndo: give the machine a new host key",
            shown(key)
        ),
        HostKeyError::Malformed(reason) => {
            format!(
                "found: {reason}\nwanted: a host key of a known form\ndo: check that what answers there is an SSH server"
            )
        }
        HostKeyError::Unreadable { file, reason } => format!(
            "found: {}: {reason}\nwanted: to read it\nmeans: it may hold a revocation, so nothing is trusted without it\ndo: make it readable, \
             or name another file as `knownHostsFile`",
            file.display()
        ),
        HostKeyError::Unwritable { file, reason } => format!(
            "found: {}: {reason}\nwanted: to write the new key there\nmeans: a key that is accepted and forgotten would be accepted again from anybody\ndo: \
             make the file writable, or add the key by hand",
            file.display()
        ),
    }
}

fn refused(refusal: &Refusal, to: &str) -> String {
    let mut lines = Vec::new();
    for tried in &refusal.tried {
        let (key, outcome) = (text::one_line(&tried.key), text::one_line(tried.outcome.to_string()));
        lines.push(format!("found: {key}: {outcome}"));
    }
    if refusal.tried.is_empty() {
        lines.push("found: no key to try: no agent, and none of the key files is there".to_owned());
    }
    match (refusal.hung_up, refusal.left) {
        (true, 0) => lines.push("means: the server hung up after that: its MaxAuthTries, or a ban".to_owned()),
        (true, left) => lines
            .push(format!("means: the server hung up before {left} more could be tried: its MaxAuthTries, or a ban")),
        (false, 0) => {}
        (false, left) => lines.push(format!("means: {left} more were not tried, since servers hang up after six")),
    }
    lines.push(match &refusal.offered {
        Some(offered) => {
            let offered = text::bounded(&text::one_line(offered), 200);
            format!("wanted: one of the ways that the server offers: {offered}")
        }
        None => "wanted: a key that the server takes".to_owned(),
    });
    let any = |wanted: fn(&Outcome) -> bool| refusal.tried.iter().any(|tried| wanted(&tried.outcome));
    let user = to.split('@').next().unwrap_or_default();
    lines.push(if refusal.left > 0 {
        "do: name the right key: `privateKeyPath` in the project's file, or IdentityFile with IdentitiesOnly in ssh_config"
            .to_owned()
    } else if any(|outcome| matches!(outcome, Outcome::NotSigned(_))) {
        "do: unlock the agent, or confirm with a touch where the key asks for one".to_owned()
    } else if any(|outcome| *outcome == Outcome::Encrypted) {
        "do: give the key to an agent (`ssh-add`), or run this where somebody can type its passphrase".to_owned()
    } else {
        format!("do: put the public half of one of these keys into the authorized_keys of {user}, or name the right key")
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

#[cfg(test)]
mod tests;
