//! Jump hosts: how `ssh` is started to pass them, and which keys it may find there.
//!
//! `ssh` hands what it is told to the last jump host of a chain only, and asks a person about the key of an earlier one.
//! So each jump host is passed by an `ssh -W` of its own, the earlier one as the later one's `ProxyCommand`, and each is
//! told the same: nobody is there to answer, nothing of this machine is lent, this is how strict it is. The project's
//! known hosts stand in front of those that `ssh_config` names for a jump host, and so does the project's key, where the
//! project names the jump host. Not for: running it ([`super::proxy`]), nor for what a jump host shows of itself
//! ([`super::learn`] looks at it as at any other host).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use super::name::Hop;
use super::target::{Endpoint, ResolveError, Resolver};
use super::trust::Trust;
use crate::until::Until;

/// The jump hosts in front of a host, in the order in which they are passed, and the host behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) jumps: Arc<[Jump]>,
    /// `host:port` of the host behind the last.
    pub(super) to: String,
}

/// One jump host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Jump {
    hop: Hop,
    /// The jump host as a host of its own, over those in front of it.
    pub(super) endpoint: Endpoint,
    /// What `ssh` is told besides what holds for all of them.
    options: Vec<String>,
}

/// The chains of a run: most hosts have the same.
#[derive(Debug, Default)]
pub(super) struct Chains(Mutex<BTreeMap<Key, Arc<[Jump]>>>);

/// The hops, whether the project names them, and what the project says for all hosts.
type Key = (String, bool, [Option<PathBuf>; 3]);

impl Resolver {
    /// The jump hosts `hops` of this host; `own` where the project names them, and not `ssh_config`.
    pub(super) fn jumps(
        &self,
        hops: Vec<Hop>,
        own: bool,
        endpoint: &Endpoint,
        until: &Until,
    ) -> Result<Arc<[Jump]>, ResolveError> {
        let Endpoint { config, known_hosts, identity, .. } = endpoint;
        let key = (text(&hops), own, [config, known_hosts, identity].map(Clone::clone));
        // The others wait for the first: its answer is theirs.
        let mut chains = self.chains.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = chains.get(&key) {
            return Ok(Arc::clone(known));
        }
        let mut jumps: Vec<Jump> = Vec::new();
        for (index, hop) in hops.iter().enumerate() {
            let endpoint = Endpoint {
                name: hop.host.clone(),
                port: hop.port,
                user: hop.user.clone(),
                identity: identity.clone().filter(|_| own),
                known_hosts: known_hosts.clone(),
                also_ssh_configs: true,
                config: config.clone(),
                // What ssh_config says of the first is as good as what it says of any host.
                jump: (index > 0).then(|| text(&hops[..index])),
                ..Endpoint::default()
            };
            let options = self.options(&endpoint, until)?;
            jumps.push(Jump { hop: hop.clone(), endpoint, options });
        }
        let jumps: Arc<[Jump]> = jumps.into();
        chains.insert(key, Arc::clone(&jumps));
        Ok(jumps)
    }

    /// What the project says, in front of what `ssh_config` says of the same.
    fn options(&self, jump: &Endpoint, until: &Until) -> Result<Vec<String>, ResolveError> {
        let (known_hosts, identity) = (jump.known_hosts.as_deref(), jump.identity.as_deref());
        if known_hosts.is_none() && identity.is_none() {
            return Ok(Vec::new());
        }
        // Without `ssh` none of this is ever used.
        let said = self.ask(jump, &jump.name, until)?;
        let own = |name: &str| said.as_ref().map(|said| said.dump.files(name)).unwrap_or_default();
        let ours = |file: &Path| quoted(&self.in_home(file).display().to_string().replace('%', "%%"));
        let mut options = Vec::new();
        if let Some(file) = known_hosts {
            let mut value = format!("UserKnownHostsFile={}", ours(file));
            for file in own("userknownhostsfile") {
                let _ = write!(value, " {}", quoted(&file));
            }
            options.push(value);
        }
        if let Some(file) = identity {
            options.push(format!("IdentityFile={}", ours(file)));
            let said = said.iter().flat_map(|said| said.dump.all("identityfile"));
            options.extend(said.map(|file| format!("IdentityFile={}", quoted(file))));
        }
        Ok(options)
    }
}

impl Chain {
    /// The program that passes all of them.
    pub(super) fn command(&self, trust: Trust) -> Command {
        let mut command = Command::new("ssh");
        if let Some((last, before)) = self.jumps.split_last() {
            command.args(last.words(before, trust)).args(["-W", &self.to, "--", &last.hop.host]);
        }
        command
    }

    /// What stands first on the way.
    pub(super) fn first(&self) -> String {
        self.jumps.first().map_or_else(String::new, |jump| jump.hop.to_string())
    }
}

impl Jump {
    /// What `ssh` is told to pass it, behind those `before` it.
    fn words(&self, before: &[Self], trust: Trust) -> Vec<String> {
        let mut words = Vec::new();
        let mut option = |text: String| words.extend(["-o".to_owned(), text]);
        option("BatchMode=yes".to_owned());
        option("ForwardAgent=no".to_owned());
        option(match trust {
            Trust::Strict => "StrictHostKeyChecking=yes".to_owned(),
            Trust::AcceptNew => "StrictHostKeyChecking=accept-new".to_owned(),
        });
        // Why it fails is worth hearing, whatever the person's own ssh is to say.
        option("LogLevel=INFO".to_owned());
        self.options.iter().cloned().for_each(&mut option);
        if let Some((last, before)) = before.split_last() {
            option(format!("ProxyCommand={}", last.line(before, trust)));
        }
        if let Some(file) = &self.endpoint.config {
            words.extend(["-F".to_owned(), file.display().to_string()]);
        }
        if let Some(user) = &self.hop.user {
            words.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = self.hop.port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        words
    }

    /// The same as a line for the shell that `ssh` gives a `ProxyCommand` to, after it has filled in its tokens.
    fn line(&self, before: &[Self], trust: Trust) -> String {
        let word = |word: String| format!("'{}'", word.replace('%', "%%").replace('\'', r"'\''"));
        let words: Vec<String> = self.words(before, trust).into_iter().map(word).collect();
        format!("ssh {} -W '[%h]:%p' -- {}", words.join(" "), word(self.hop.host.clone()))
    }
}

fn text(hops: &[Hop]) -> String {
    hops.iter().map(Hop::to_string).collect::<Vec<_>>().join(",")
}

/// One word of an option's value, as `ssh` reads it.
fn quoted(word: &str) -> String {
    if word.contains([' ', '\t', '"', '\'', '\\', '#']) {
        format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""))
    } else {
        word.to_owned()
    }
}
