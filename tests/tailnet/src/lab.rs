//! One lab: a network of its own, the web around it, and what is needed to take all of it down again.
//!
//! Not for: what a host is ([`crate::host`]), how it all goes ([`crate::traces`]).

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::control::Control;
use crate::host::{Host, Spec};
use crate::interrupt;
use crate::made;
use crate::order::order;
use crate::program::{grouped, in_namespace, ip, run};
use crate::traces::{LABS, alone, down, group, prefix, raise_inotify, started, sweep};

const GATEWAY: &str = "10.77.0.1";
/// The link address of the gateway.
const GATEWAY_MAC: &str = "02:00:0a:4d:00:01";
const WEB: &str = "10.77.0.2";

/// A network in which hosts, control servers and the web live, reachable from nowhere else.
#[derive(Debug)]
pub struct Lab {
    name: String,
    owned: bool,
    dir: PathBuf,
    hosts: AtomicU32,
    controls: AtomicU32,
    servers: Mutex<Vec<Child>>,
    boots: Mutex<Vec<Duration>>,
}

static SHARED: OnceLock<Mutex<Option<&'static Lab>>> = OnceLock::new();

impl Lab {
    /// The lab of this process, made when it is first asked for. [`Lab::end_shared`] ends it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn shared() -> Result<&'static Lab> {
        let mut shared = lock(SHARED.get_or_init(Mutex::default));
        if let Some(lab) = *shared {
            return Ok(lab);
        }
        sweep()?;
        let lab: &'static Lab = Box::leak(Box::new(Lab::start(&format!("t{}", std::process::id()), true)?));
        *shared = Some(lab);
        Ok(lab)
    }

    /// Ends the lab of this process, with all that is in it.
    ///
    /// # Errors
    /// When something of it cannot be ended or removed.
    pub fn end_shared() -> Result<()> {
        match lock(SHARED.get_or_init(Mutex::default)).take() {
            Some(lab) => {
                let mut boots = std::mem::take(&mut *lock(&lab.boots));
                boots.sort_unstable();
                if let (Some(median), Some(slowest)) = (boots.get(boots.len() / 2), boots.last()) {
                    eprintln!("lab: {} hosts, booted in {median:.1?} (median) to {slowest:.1?}", boots.len());
                }
                lab.end()
            }
            None => Ok(()),
        }
    }

    /// Makes a lab that ends when it is dropped, or when this process is told to end.
    ///
    /// # Errors
    /// When there is one of that name, or it cannot be made.
    pub fn scratch(name: &str) -> Result<Lab> {
        sweep()?;
        Lab::start(name, true)
    }

    /// Makes a lab that outlives this process. [`crate::traces::down`] ends it.
    ///
    /// # Errors
    /// When there is one of that name, or it cannot be made.
    pub fn keep(name: &str) -> Result<Lab> {
        sweep()?;
        Lab::start(name, false)
    }

    /// The lab of that name that is up.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(name: &str) -> Result<Lab> {
        let dir = Path::new(LABS).join(name);
        ensure!(dir.join("web.sock").exists(), "there is no lab {name}: cargo xtask lab up");
        let number =
            |file: &str| fs::read_to_string(dir.join(file)).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let (hosts, controls) = (AtomicU32::new(number("hosts")), AtomicU32::new(number("controls")));
        Ok(Lab {
            name: name.to_owned(),
            owned: false,
            dir,
            hosts,
            controls,
            servers: Mutex::default(),
            boots: Mutex::default(),
        })
    }

    fn start(name: &str, owned: bool) -> Result<Lab> {
        ensure!(
            !name.is_empty() && name.len() <= 12 && name.bytes().all(|b| b.is_ascii_alphanumeric()),
            "a lab's name is up to 12 letters and digits"
        );
        let servers = made::servers()?;
        let dir = Path::new(LABS).join(name);
        {
            let _alone = alone()?;
            ensure!(!dir.exists(), "there is a lab {name} already: cargo xtask lab down");
            // It has its owner from the first moment on at which it is seen, or nobody would sweep it.
            let new = Path::new(LABS).join(format!(".{name}"));
            fs::create_dir_all(&new)?;
            if owned {
                fs::write(
                    new.join("owner"),
                    format!("{} {}", std::process::id(), started(std::process::id()).unwrap_or_default()),
                )?;
            }
            fs::rename(&new, &dir)?;
            raise_inotify()?;
        }
        if owned {
            interrupt::end_on_signal(name);
        }
        let lab = Lab {
            name: name.to_owned(),
            owned,
            dir,
            hosts: AtomicU32::new(0),
            controls: AtomicU32::new(0),
            servers: Mutex::default(),
            boots: Mutex::default(),
        };
        let network = lab.network();
        let servers_group = lab.group("servers")?;
        fs::create_dir_all(&servers_group)?;
        let ip = |line: &str| ip(&servers_group, line);
        ip(&format!("netns add {network}"))?;
        ip(&format!("-n {network} link set lo up"))?;
        // With an address of its own: else it takes the lowest of its ports', and each host that comes or goes can cut the
        // others off from the gateway, until each has asked again who that is: up to a minute.
        ip(&format!("-n {network} link add br0 address {GATEWAY_MAC} type bridge"))?;
        for address in [GATEWAY, WEB] {
            ip(&format!("-n {network} addr add {address}/16 dev br0"))?;
        }
        ip(&format!("-n {network} link set br0 up"))?;
        // What goes to the world beyond is refused at once, and not swallowed: a client that tries its maker's relays one after
        // the other, because a name did not resolve, is not kept from its own server for half a minute.
        let refuse = "cd /proc/sys/net/ipv4 && echo 1 >ip_forward && echo 0 >icmp_ratelimit";
        run(grouped(&servers_group, "ip").args(["netns", "exec", &network, "sh", "-c", refuse]))?;
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"]).arg(lab.key()))?;
        let dir = lab.dir.display().to_string();
        let words = ["web", "-address", WEB, "-resolver", GATEWAY, "-dir", &dir];
        let web = lab.serve("web", &servers, &words, &lab.dir.join("web.sock"))?;
        lock(&lab.servers).push(web);
        Ok(lab)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where a project that is kept with it stands.
    #[must_use]
    pub fn project_dir(&self) -> PathBuf {
        self.dir.join("project")
    }

    /// Its folder, which goes with it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The network namespace that sees all hosts and servers.
    #[must_use]
    pub fn network(&self) -> String {
        format!("{}net", self.prefix())
    }

    /// The key that every user of every host lets in.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.dir.join("id_ed25519")
    }

    /// A command that runs in the lab's network, from which alone the hosts can be reached. The first argument to add is
    /// the program.
    #[must_use]
    pub fn command(&self) -> Command {
        in_namespace(&self.network())
    }

    /// Boots a host and waits until its sshd lets people in.
    ///
    /// # Errors
    /// When it does not come up: with the end of its console.
    pub fn host(&self, name: &str, spec: &Spec) -> Result<Host> {
        let number = self.next("hosts", &self.hosts)?;
        let host = Host::new(self, number, name, spec)?;
        let begin = Instant::now();
        host.boot()?;
        lock(&self.boots).push(begin.elapsed());
        Ok(host)
    }

    /// Boots several hosts at once, each as in [`Lab::host`].
    ///
    /// # Errors
    /// When one does not come up.
    pub fn hosts(&self, names: &[&str], spec: &Spec) -> Result<Vec<Host>> {
        std::thread::scope(|scope| {
            let booting: Vec<_> = names.iter().map(|name| scope.spawn(|| self.host(name, spec))).collect();
            booting.into_iter().map(|one| one.join().unwrap_or_else(|_| bail!("a boot panicked"))).collect()
        })
    }

    /// Starts a control server with one tailnet of that suffix.
    ///
    /// # Errors
    /// When it does not start.
    pub fn control(&self, domain: &str) -> Result<Control> {
        let number = self.next("controls", &self.controls)?;
        Control::start(self, number, domain)
    }

    /// Makes a name known to all hosts.
    pub(crate) fn name_for_all(&self, name: &str, address: &str) -> Result<()> {
        order(&self.dir.join("web.sock"), "name", json!({"name": name, "address": address})).map(drop)
    }

    fn next(&self, file: &str, counter: &AtomicU32) -> Result<u32> {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        ensure!(number < 60_000, "this lab has had too many {file}");
        // Only one that is kept is looked at by another process.
        if !self.owned {
            fs::write(self.dir.join(file), number.to_string())?;
        }
        Ok(number)
    }

    /// What the names of its network namespaces begin with.
    pub(crate) fn prefix(&self) -> String {
        prefix(&self.name)
    }

    /// The control group for processes of that part.
    pub(crate) fn group(&self, part: &str) -> Result<PathBuf> {
        Ok(group(&self.name)?.join(part))
    }

    /// Starts a server in the lab's network and waits for its socket.
    pub(crate) fn serve(&self, name: &str, program: &Path, words: &[&str], socket: &Path) -> Result<Child> {
        let mut inner = self.command();
        inner.arg(program).args(words);
        let log = self.dir.join(format!("{name}.log"));
        let mut child = spawn_in(&self.group("servers")?, &inner, &log)?;
        let end = Instant::now() + Duration::from_secs(20);
        // The file is there a moment before anybody listens.
        while UnixStream::connect(socket).is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("{name} ended with {status}:\n{}", tail(&log));
            }
            ensure!(Instant::now() < end, "{name} did not come up within 20 s:\n{}", tail(&log));
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(child)
    }

    /// Whether it ends with this process.
    pub(crate) fn is_owned(&self) -> bool {
        self.owned
    }

    fn end(&self) -> Result<()> {
        let ended = down(&self.name);
        for mut child in lock(&self.servers).drain(..) {
            let _ = child.wait();
        }
        ended
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.owned
            && let Err(error) = self.end()
        {
            eprintln!("lab: {error:#}");
        }
    }
}

/// Starts a command in a control group, away from the terminal's own signals, with its outputs in a file.
pub(crate) fn spawn_in(group: &Path, inner: &Command, log: &Path) -> Result<Child> {
    let _adding = interrupt::adding();
    fs::create_dir_all(group).with_context(|| group.display().to_string())?;
    let log = File::create(log)?;
    let mut command = grouped(group, inner.get_program());
    command.args(inner.get_args());
    command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().context("sh did not start")
}

/// The last lines of a file, for an error.
pub(crate) fn tail(file: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
