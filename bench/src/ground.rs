//! The hosts that are measured against, and a directory from which each peer reaches some of them.
//!
//! Every host is a stand-in behind a real `sshd` and is right, so that there is nothing to do. Its programs take the time
//! that the real ones take, and each host has a world of its own, so that none waits for another. Not for: hosts that are
//! wrong; those are the tests'.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::site::{Site, Spec};
use stagecraft_net::engine::{Engine, Options, user_dir};
use stagecraft_net::event::Event;
use stagecraft_net::registry::Registry;
use stagecraft_net::secrets::Secrets;
use stagecraft_net::transport::{Ended, ExecError, Flow, Stream, Transport};
use stagecraft_net::until::{Cancel, Until};
use tailscale_model::{Machine, World};

/// The network that all hosts are in.
pub const TAILNET: &str = "example.ts.net";
/// The tag that all hosts have.
pub const TAG: &str = "tag:server";
const RELEASE: &str = "1.102.3";

/// What the product sends to a host that it only looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// The line for the login shell.
    pub line: String,
    /// All of standard input.
    pub input: Vec<u8>,
}

/// How to reach a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Its port on loopback.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// Its host key: type and base64.
    pub host_key: String,
}

/// Hosts that are right, and the script that finds it out.
#[derive(Debug)]
pub struct Ground {
    site: Site,
    script: Script,
    places: Vec<Place>,
}

impl Ground {
    /// Starts so many hosts.
    ///
    /// # Errors
    /// When one does not start, or the product does not load.
    pub fn new(hosts: usize) -> Result<Self> {
        let mut site = Site::new(&World::of(TAILNET))?;
        for n in 1..=hosts {
            let name = format!("app-{n}");
            let mut world = World::of(TAILNET);
            let machine = Machine::joined(&mut world, &name, RELEASE, TAILNET, &[TAG]);
            let mut spec = Spec { pace: 1.0, world: Some(world), ..Spec::of(machine) };
            // The stand-ins are in `/usr/local/sbin`, which no login's `PATH` has; the real ones are in `/usr/bin`.
            spec.sshd.env.push(("PATH".to_owned(), boundary::script::SEARCH_PATH.to_owned()));
            let host = site.host(&name, spec)?;
            let calls = calls(&host.run_dir());
            fs::write(&calls, "")?;
            fs::set_permissions(&calls, fs::Permissions::from_mode(0o666))?;
        }
        let places = site.hosts().iter().map(place).collect::<Result<_>>()?;
        Ok(Self { script: script()?, places, site })
    }

    /// The hosts' places.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The connections and execs that each host has seen.
    #[must_use]
    pub fn seen(&self) -> Vec<(usize, usize)> {
        self.site.hosts().iter().map(|host| (host.sshd().connections(), host.sshd().execs())).collect()
    }

    /// What was called on each host since the last time, one command a line.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn take_calls(&self) -> Result<Vec<String>> {
        let take = |host: &lab::site::Host| {
            let path = calls(&host.run_dir());
            let text = fs::read_to_string(&path)?;
            fs::write(&path, "")?;
            Ok(text)
        };
        self.site.hosts().iter().map(take).collect()
    }

    /// A directory from which the first `hosts` of them are reached.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn yard(&self, hosts: usize) -> Result<Yard> {
        let places = self.places.get(..hosts).context("so many hosts were not started")?;
        Yard::new(&self.site.dir().join(format!("n{hosts}")), places, &self.site.key(), &self.script)
    }

    /// A directory from which the first host is reached by another way.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn yard_by(&self, way: SocketAddr) -> Result<Yard> {
        let place = self.places.first().context("no host was started")?;
        let place = Place { port: way.port(), ..place.clone() };
        Yard::new(&self.site.dir().join(format!("by{}", way.port())), &[place], &self.site.key(), &self.script)
    }

    /// The address of the first host.
    ///
    /// # Errors
    /// When there is none.
    pub fn first(&self) -> Result<SocketAddr> {
        Ok(self.site.hosts().first().context("no host was started")?.sshd().address())
    }
}

/// Where a stand-in writes down how it was called, when the file is there.
fn calls(run: &Path) -> PathBuf {
    run.join("lab/calls")
}

/// How a host of a site is reached.
///
/// # Errors
/// When its host key cannot be read.
pub fn place(host: &lab::site::Host) -> Result<Place> {
    let key = host.sshd().host_key(lab::sshd::KeyType::Ed25519)?;
    Ok(Place {
        name: host.name().to_owned(),
        port: host.sshd().port(),
        user: host.login().name().to_owned(),
        host_key: key.split(' ').take(2).collect::<Vec<_>>().join(" "),
    })
}

/// What each peer needs to reach some hosts, in a directory that is its home too.
#[derive(Debug, Clone)]
pub struct Yard {
    dir: PathBuf,
    names: Vec<String>,
}

impl Yard {
    /// Writes one.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn new(dir: &Path, places: &[Place], key: &Path, script: &Script) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let here = dir.display();
        let lines = |line: &dyn Fn(&Place) -> String| places.iter().map(line).collect::<String>();
        fs::copy(key, dir.join("id_ed25519"))?;
        fs::write(dir.join("known_hosts"), lines(&|place| format!("[127.0.0.1]:{} {}\n", place.port, place.host_key)))?;
        fs::write(dir.join("hosts"), lines(&|place| format!("{}\n", place.name)))?;
        fs::write(
            dir.join("targets"),
            lines(&|place| {
                let key = place.host_key.split(' ').next_back().unwrap_or_default();
                format!("{} {} {key}\n", place.port, place.user)
            }),
        )?;
        fs::write(
            dir.join("ssh_config"),
            lines(&|Place { name, port, user, .. }| {
                format!("Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n")
            }) + &format!(
                "Host *\n  IdentityFile {here}/id_ed25519\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
                     UserKnownHostsFile {here}/known_hosts\n  GlobalKnownHostsFile /dev/null\n  BatchMode yes\n"
            ),
        )?;
        fs::write(
            dir.join("stagecraft.yml"),
            format!(
                "project:\n  name: bench\nnetwork:\n  provider: tailscale\n  providers:\n    tailscale:\n      \
                 auth_key_env: TS_AUTHKEY\n      tailnet_domain: {TAILNET}\n      default_tags: [\"{TAG}\"]\n\
                 infra:\n  bootstrap:\n    ssh:\n      privateKeyPath: {here}/id_ed25519\n      \
                 knownHostsFile: {here}/known_hosts\n  hosts:\n    dev:\n"
            ) + &lines(&|Place { name, port, user, .. }| {
                format!("      {name}: {{ address: 127.0.0.1, port: {port}, user: {user} }}\n")
            }),
        )?;
        fs::write(dir.join("line"), &script.line)?;
        fs::write(dir.join("script"), &script.input)?;
        crate::python::write(dir, places)?;
        Ok(Self { dir: dir.to_owned(), names: places.iter().map(|place| place.name.clone()).collect() })
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The hosts.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// The script that the product sends to find out that a host is right, taken from the product itself.
fn script() -> Result<Script> {
    let mut options = Options::default();
    options.cache = user_dir();
    let registry = Registry::builtin(&Engine::new(options)?)?;
    let network = registry.get("tailscale")?.configure(&serde_json::json!({
        "auth_key_env": "TS_AUTHKEY",
        "tailnet_domain": TAILNET,
        "default_tags": [TAG],
    }))?;
    let sent = Arc::new(Mutex::new(Script::default()));
    let until = Until::after(Duration::from_secs(60), &Cancel::new()?);
    let mut host = network.on("app-1", Box::new(Tap(Arc::clone(&sent))), Arc::new(|_: Event| {}));
    // It fails, since nobody answers.
    let _ = host.ensure_joined(&[TAG.to_owned()], &Secrets::from_env(), &until);
    let sent = sent.lock().map_err(|_| anyhow::anyhow!("the tap panicked"))?.clone();
    ensure!(!sent.line.is_empty() && !sent.input.is_empty(), "the product sent nothing");
    Ok(sent)
}

/// Keeps what is sent.
struct Tap(Arc<Mutex<Script>>);

impl Transport for Tap {
    fn exec(
        &mut self,
        line: &str,
        input: &[u8],
        _: &mut dyn FnMut(Stream, &[u8]) -> Flow,
        _: &Until,
    ) -> Result<Ended, ExecError> {
        if let Ok(mut sent) = self.0.lock() {
            *sent = Script { line: line.to_owned(), input: input.to_vec() };
        }
        Err(ExecError::Refused("only the script was wanted".to_owned()))
    }
}
