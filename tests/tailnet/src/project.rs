//! A control machine with its project file, in the lab's network: where a test of the product begins.
//!
//! Not for: stand-in hosts, which are [`lab::site`].

use std::ffi::OsStr;
use std::fs;
use std::ops::Index;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use lab::product::{Cli, Ran};
use tempfile::TempDir;

use crate::program::in_namespace;
use crate::{Control, Host, Lab};

/// A directory with a project file, an `ssh_config` and `known_hosts`, and the hosts that they speak of.
#[derive(Debug)]
pub struct Project {
    network: String,
    identity: PathBuf,
    hosts: Vec<Entry>,
    provider: String,
    key: Option<String>,
    dir: PathBuf,
    // Removes it, unless it goes with a lab that is kept.
    _ours: Option<TempDir>,
}

#[derive(Debug)]
struct Entry {
    host: Host,
    user: String,
    more: String,
}

impl Project {
    /// One without hosts, whose nodes join this tailnet under the server's own URL, with the tag `tag:server`. The key
    /// for that is made, and is in `TS_AUTHKEY` of every run.
    ///
    /// # Errors
    /// When files cannot be written or the server is gone.
    pub fn new(lab: &Lab, control: &Control) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("lab-project-").tempdir()?;
        Self::with(lab, control, dir.path().to_owned(), Some(dir))
    }

    /// As [`Project::new`], in the lab's own folder, where it stays as long as the lab is up.
    ///
    /// # Errors
    /// As [`Project::new`].
    pub fn of_lab(lab: &Lab, control: &Control) -> Result<Self> {
        fs::create_dir(lab.project_dir())?;
        Self::with(lab, control, lab.project_dir(), None)
    }

    fn with(lab: &Lab, control: &Control, dir: PathBuf, ours: Option<TempDir>) -> Result<Self> {
        let provider = format!(
            "auth_key_env: TS_AUTHKEY\ntailnet_domain: {}\nlogin_server: {}\ndefault_tags: [\"tag:server\"]\n",
            control.domain(),
            control.url()
        );
        let key = control.good_key(&["tag:server"])?;
        let (network, identity) = (lab.network(), lab.key());
        let project = Self { network, identity, hosts: Vec::new(), provider, key: Some(key), dir, _ours: ours };
        project.write()?;
        Ok(project)
    }

    /// Adds a host, into which `deploy` logs in, who may use sudo without a password.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn add(&mut self, host: Host) -> Result<&Host> {
        self.add_as(host, "deploy", "")
    }

    /// Adds a host into which this user logs in. `more` is added to its entry in the file: `roles: [app], tags: []`.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn add_as(&mut self, host: Host, user: &str, more: &str) -> Result<&Host> {
        self.hosts.push(Entry { host, user: user.to_owned(), more: more.to_owned() });
        self.write()?;
        self.hosts.last().map(|entry| &entry.host).context("it was added just now")
    }

    /// Another user logs into that host from now on.
    ///
    /// # Errors
    /// When files cannot be written, or there is no such host.
    pub fn log_in_as(&mut self, host: &str, user: &str) -> Result<()> {
        let entry = self.hosts.iter_mut().find(|entry| entry.host.name() == host);
        user.clone_into(&mut entry.with_context(|| format!("there is no host {host}"))?.user);
        self.write()
    }

    /// Takes a host out of the project file.
    pub fn take(&mut self, name: &str) -> Option<Host> {
        let at = self.hosts.iter().position(|entry| entry.host.name() == name)?;
        let host = self.hosts.remove(at).host;
        self.write().ok()?;
        Some(host)
    }

    /// The hosts, in the order in which they were added.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().map(|entry| &entry.host)
    }

    /// Puts these lines of YAML under `network.providers.tailscale`, instead of what stands there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn provider(&mut self, lines: &str) -> Result<()> {
        lines.clone_into(&mut self.provider);
        self.write()
    }

    /// What stands there now.
    #[must_use]
    pub fn provider_lines(&self) -> &str {
        &self.provider
    }

    /// The value of `TS_AUTHKEY` in every run from now on; `None` leaves it unset.
    pub fn key(&mut self, key: Option<&str>) {
        self.key = key.map(str::to_owned);
    }

    /// The directory of the control machine.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The project file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.dir().join("stagecraft.yml")
    }

    /// The product, run in this project's directory and the lab's network with these words.
    pub fn cli(&self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Cli {
        let network = format!("--net=/run/netns/{}", self.network);
        let cli = Cli::through(["nsenter", &network, "--"], self.dir()).args(words);
        match &self.key {
            Some(key) => cli.env("TS_AUTHKEY", key),
            None => cli,
        }
    }

    /// Runs the product to its end with the words of one line.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&self, line: &str) -> Result<Ran> {
        self.cli(line.split_whitespace()).run()
    }

    /// Runs a line in the login shell of a host's user, with the `ssh` program.
    ///
    /// # Errors
    /// When `ssh` does not start.
    pub fn ssh(&self, host: &str, line: &str) -> Result<Output> {
        let mut command = self.command();
        command.args(["ssh", "-o", "BatchMode=yes", "-F", "ssh_config", host, line]);
        Ok(command.stdin(Stdio::null()).output()?)
    }

    /// A command in the lab's network, in this project's directory. The first argument to add is the program.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = in_namespace(&self.network);
        command.current_dir(self.dir());
        command
    }

    fn write(&self) -> Result<()> {
        let (dir, key) = (self.dir().display(), self.identity.display());
        let provider: String = self.provider.lines().map(|line| format!("      {line}\n")).collect();
        let mut yaml = format!(
            "project:\n  name: lab\n\nnetwork:\n  provider: tailscale\n  providers:\n    tailscale:\n{provider}\n\
             infra:\n  bootstrap:\n    ssh:\n      privateKeyPath: {key}\n      knownHostsFile: {dir}/known_hosts\n"
        );
        if !self.hosts.is_empty() {
            yaml.push_str("  hosts:\n    dev:\n");
        }
        let (mut config, mut known) = (String::new(), String::new());
        for Entry { host, user, more } in &self.hosts {
            let (name, address) = (host.name(), host.address());
            let comma = if more.is_empty() { "" } else { ", " };
            yaml.push_str(&format!("      {name}: {{ address: {address}, user: {user}{comma}{more} }}\n"));
            config.push_str(&format!("Host {name}\n  HostName {address}\n  User {user}\n"));
            known.push_str(&host.known_hosts()?);
        }
        config.push_str(&format!(
            "Host *\n  IdentityFile {key}\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {dir}/known_hosts\n  \
             GlobalKnownHostsFile /dev/null\n"
        ));
        fs::write(self.file(), yaml)?;
        fs::write(self.dir().join("ssh_config"), config)?;
        Ok(fs::write(self.dir().join("known_hosts"), known)?)
    }
}

impl Index<&str> for Project {
    type Output = Host;

    /// # Panics
    /// When there is no such host.
    #[expect(clippy::expect_used, reason = "indexing panics by its nature")]
    fn index(&self, name: &str) -> &Host {
        self.hosts().find(|host| host.name() == name).expect("a host of that name")
    }
}
