//! A control machine with its project file and its hosts: what a whole-system test, or the demo, begins with.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use lab::site::{Site, Spec};
//! use tailscale_model::{Machine, World};
//!
//! let mut world = World::of("example.ts.net");
//! world.saas().add_key("tskey-auth-good", "example.ts.net", &["tag:server"]);
//! let mut site = Site::new(&world)?;
//! site.host("app-1", Spec::of(Machine::bare("app-1")))?;
//! let ran = site.cli(["up"]).env("TS_AUTHKEY", "tskey-auth-good").run()?;
//! assert_eq!(ran.code, Some(0), "{}", ran.stderr);
//! assert_eq!(site["app-1"].sshd().connections(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Every host is a real `sshd` on loopback in a [`Room`] of its own, and the stand-in program over the model. What is
//! made here is removed, and what runs is ended, when the site is dropped. Not for: what the hosts do; the model says.

use std::fs;
use std::ops::Index;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tailscale_model::{Machine, Sudo, World};
use tempfile::TempDir;

use crate::product::{Cli, stand_in};
use crate::room::{Login, Room, View};
use crate::shared::Shared;
use crate::sshd::{self, KeyType, Sshd};
use crate::stand_in::trap::Trap;
use crate::stand_in::{ITSELF, Manner, NAMES, link};

/// What a new host is like.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The machine at first.
    pub machine: Machine,
    /// How fast time goes by there: 1 as in the world, 0 not at all.
    pub pace: f64,
    /// Its roles in the project file.
    pub roles: Vec<String>,
    /// Its own tags in the project file.
    pub tags: Vec<String>,
    /// Its `sshd`.
    pub sshd: sshd::Options,
    /// A world of its own instead of the site's: what its programs do waits for no other host.
    pub world: Option<World>,
}

impl Spec {
    /// This machine, on which nothing takes time. `root` logs in where the model says so, else `deploy`.
    #[must_use]
    pub fn of(machine: Machine) -> Self {
        Self { machine, pace: 0.0, roles: Vec::new(), tags: Vec::new(), sshd: sshd::Options::default(), world: None }
    }
}

/// One throw-away host.
#[derive(Debug)]
pub struct Host {
    name: String,
    dir: PathBuf,
    roles: Vec<String>,
    tags: Vec<String>,
    login: Login,
    machine: Shared<Machine>,
    trap: Shared<Trap>,
    sshd: Sshd,
}

impl Host {
    /// Its logical name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who logs in.
    #[must_use]
    pub fn login(&self) -> Login {
        self.login
    }

    /// Its `sshd`, which counts connections and execs.
    #[must_use]
    pub fn sshd(&self) -> &Sshd {
        &self.sshd
    }

    /// The machine as it is now; [`Shared::update`] changes it behind everybody's back.
    #[must_use]
    pub fn machine(&self) -> &Shared<Machine> {
        &self.machine
    }

    /// The trap for the programs that are played there.
    #[must_use]
    pub fn trap(&self) -> &Shared<Trap> {
        &self.trap
    }

    /// What is in its `/run` and `/dev/shm` that the rig has not put there.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn volatile(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for dir in [self.dir.join("run"), self.dir.join("shm")] {
            for entry in fs::read_dir(dir)? {
                let path = entry?.path();
                if !path.ends_with("lab") && !path.ends_with("sshd") && !path.ends_with("systemd") {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Makes it another machine, on which nothing has happened yet, behind the same `sshd`.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn reset(&self, machine: &Machine) -> Result<()> {
        self.sshd.end_all_behind();
        self.clear_volatile()?;
        self.machine.update(|now| now.clone_from(machine))?;
        self.trap.update(|trap| *trap = Trap::default())?;
        link(&self.dir.join("bin"), machine);
        Ok(())
    }

    fn clear_volatile(&self) -> Result<()> {
        for path in self.volatile()? {
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
        Ok(())
    }

    /// The power goes: every process of the host ends at once, `/run` and `/dev/shm` are empty, and the machine boots.
    /// Its `sshd` is there again, as after a boot.
    ///
    /// # Errors
    /// When files cannot be removed.
    pub fn power_cut(&self) -> Result<()> {
        self.sshd.end_all_behind();
        self.clear_volatile()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        self.machine.update(|machine| machine.power_cut(u64::try_from(now).unwrap_or(u64::MAX)))?;
        Ok(())
    }

    /// Its `/run`, seen from here.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }
}

/// A directory with a project file, a client key, `known_hosts`, and the hosts that they speak of.
#[derive(Debug)]
pub struct Site {
    // First the hosts, so that their servers end before their files go.
    hosts: Vec<Host>,
    world: Shared<World>,
    provider: String,
    public_key: String,
    dir: TempDir,
}

impl Site {
    /// One without hosts, in this world.
    ///
    /// # Errors
    /// When files cannot be written or `ssh-keygen` is not installed.
    pub fn new(world: &World) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("lab-site-").tempdir()?;
        // Another user, `deploy`, must get through to the world, which all hosts change.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))?;
        let around = dir.path().join("world");
        fs::create_dir(&around)?;
        fs::set_permissions(&around, fs::Permissions::from_mode(0o777))?;
        let public_key = sshd::keygen(&dir.path().join("id_ed25519"), KeyType::Ed25519, "")?;
        let site = Self {
            hosts: Vec::new(),
            world: Shared::create(&around.join("world.json"), world)?,
            provider: DEFAULT_PROVIDER.to_owned(),
            public_key,
            dir,
        };
        site.write()?;
        Ok(site)
    }

    /// Starts a host and adds it to the project file and to `known_hosts`.
    ///
    /// # Errors
    /// When there is one of that name, or it does not start.
    pub fn host(&mut self, name: &str, spec: Spec) -> Result<&Host> {
        ensure!(self.hosts.iter().all(|host| host.name != name), "there is a host {name} already");
        let dir = self.dir.path().join("hosts").join(name);
        fs::create_dir_all(&dir)?;
        let login = if spec.machine.sudo == Sudo::Root { Login::Root } else { Login::Deploy };
        let room = Room::new(&dir, login, spec.machine.os_release.as_deref(), NAMES)?;

        let bin = dir.join("bin");
        room.hand_over(&bin)?;
        provide(stand_in(), &bin.join(ITSELF))?;
        link(&bin, &spec.machine);
        let namespaces = room.view() != View::Proot;
        if !namespaces {
            std::os::unix::fs::symlink(ITSELF, bin.join("id"))?;
        }
        let own = dir.join("run/lab");
        let machine = Shared::create(&own.join("machine.json"), &spec.machine)?;
        let trap = Shared::create(&own.join("trap.json"), &Trap::default())?;
        Shared::create(&own.join("manner.json"), &Manner { pace: spec.pace, namespaces })?;
        match &spec.world {
            None => std::os::unix::fs::symlink(self.dir.path().join("world"), own.join("world"))?,
            Some(world) => {
                fs::create_dir(own.join("world"))?;
                Shared::create(&own.join("world/world.json"), world)?;
            }
        }
        if spec.machine.systemd {
            fs::create_dir_all(dir.join("run/systemd/system"))?;
        }
        room.hand_over(&dir.join("run"))?;

        let mut options = spec.sshd;
        options.authorized.push(self.public_key.clone());
        if options.force_command.is_none() {
            options.login_shell = room.login_shell(options.login_shell)?;
        }
        options.room = Some(Arc::new(room));
        let sshd = Sshd::with(&options).with_context(|| format!("host {name}"))?;
        let host = Host { name: name.to_owned(), dir, roles: spec.roles, tags: spec.tags, login, machine, trap, sshd };
        self.hosts.push(host);
        self.write()?;
        self.get(name).context("it was added just now")
    }

    /// The host of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == name)
    }

    /// All hosts, in the order in which they were added.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// What is around all machines: control servers, keys, repositories.
    #[must_use]
    pub fn world(&self) -> &Shared<World> {
        &self.world
    }

    /// The directory of the control machine.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The project file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.dir().join("stagecraft.yml")
    }

    /// The client key that every host lets in.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.dir().join("id_ed25519")
    }

    /// The host keys of all hosts.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.dir().join("known_hosts")
    }

    /// Puts these lines of YAML under `network.providers.tailscale`, instead of what stands there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn provider(&mut self, lines: &str) -> Result<()> {
        lines.clone_into(&mut self.provider);
        self.write()
    }

    /// The product, run in this site's directory with these words. The project file there is the one it reads.
    pub fn cli(&self, words: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Cli {
        Cli::new(self.dir()).args(words)
    }

    /// The words that a person types to get onto that host.
    #[must_use]
    pub fn ssh_words(&self, host: &str) -> [String; 4] {
        ["ssh".to_owned(), "-F".to_owned(), self.dir().join("ssh_config").display().to_string(), host.to_owned()]
    }

    /// Runs a line in a host's login shell with the `ssh` program: what the product would be told there.
    ///
    /// # Errors
    /// When `ssh` does not start.
    pub fn ssh(&self, host: &str, line: &str) -> Result<std::process::Output> {
        ensure!(self.get(host).is_some(), "there is no host {host}");
        let words = self.ssh_words(host);
        Ok(Command::new(&words[0]).args(&words[1..]).arg(line).output()?)
    }

    /// Leaves all of it up, and its files, when this process ends. [`Left::end`] ends it then.
    #[must_use = "nobody else ends it"]
    pub fn leave(self) -> Left {
        Left { servers: self.hosts.into_iter().map(|host| host.sshd.leave()).collect(), dir: self.dir.keep() }
    }

    /// Writes the project file, `ssh_config` and `known_hosts` anew.
    fn write(&self) -> Result<()> {
        fs::write(self.file(), self.yaml())?;
        fs::write(self.dir().join("ssh_config"), self.ssh_config())?;
        let known: Vec<String> = self
            .hosts
            .iter()
            .map(|host| fs::read_to_string(host.sshd.known_hosts()))
            .collect::<std::io::Result<_>>()?;
        Ok(fs::write(self.known_hosts(), known.concat())?)
    }

    fn ssh_config(&self) -> String {
        let mut text = String::new();
        for host in &self.hosts {
            let (port, user) = (host.sshd.port(), host.login.name());
            text.push_str(&format!("Host {}\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n", host.name));
        }
        text.push_str(&format!(
            "Host *\n  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {}\n  \
             GlobalKnownHostsFile /dev/null\n",
            self.key().display(),
            self.known_hosts().display()
        ));
        text
    }

    fn yaml(&self) -> String {
        let dir = self.dir().display();
        let provider: String = self.provider.lines().map(|line| format!("      {line}\n")).collect();
        let mut text = format!(
            "project:\n  name: lab\n\nnetwork:\n  provider: tailscale\n  providers:\n    tailscale:\n{provider}\n\
             infra:\n  bootstrap:\n    ssh:\n      privateKeyPath: {dir}/id_ed25519\n      knownHostsFile: {dir}/known_hosts\n"
        );
        if !self.hosts.is_empty() {
            text.push_str("  hosts:\n    dev:\n");
        }
        for Host { name, roles, tags, login, sshd, .. } in &self.hosts {
            let mut fields = vec![
                "address: 127.0.0.1".to_owned(),
                format!("port: {}", sshd.port()),
                format!("user: {}", login.name()),
            ];
            for (key, values) in [("roles", roles), ("tags", tags)] {
                if !values.is_empty() {
                    // A comma, a colon before a blank or a bracket would need quotes; roles and tags hold none.
                    fields.push(format!(
                        "{key}: [{}]",
                        values.iter().map(|v| format!("\"{v}\"")).collect::<Vec<_>>().join(", ")
                    ));
                }
            }
            text.push_str(&format!("      {name}: {{ {} }}\n", fields.join(", ")));
        }
        text
    }
}

/// A site that another process left up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    servers: Vec<sshd::Left>,
    dir: PathBuf,
}

impl Left {
    /// Ends its servers and removes its files.
    pub fn end(&self) {
        self.servers.iter().for_each(sshd::Left::end);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Index<&str> for Site {
    type Output = Host;

    /// # Panics
    /// When there is no such host.
    #[expect(clippy::expect_used, reason = "indexing panics by its nature")]
    fn index(&self, name: &str) -> &Host {
        self.get(name).expect("a host of that name")
    }
}

const DEFAULT_PROVIDER: &str = "\
auth_key_env: TS_AUTHKEY
tailnet_domain: example.ts.net
default_tags: [\"tag:server\"]
";

/// The program at another place: one file under two names where that can be, else a copy. The copy is made by another
/// process, since a file that this one has open for writing could not be run while any thread of it starts a program.
fn provide(program: &Path, at: &Path) -> Result<()> {
    if fs::hard_link(program, at).is_ok() {
        return Ok(());
    }
    let status = Command::new("cp").arg(program).arg(at).status().context("cp")?;
    ensure!(status.success(), "cp {} {}: {status}", program.display(), at.display());
    Ok(())
}
