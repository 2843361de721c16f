//! One host: Debian with systemd as process 1, sshd and sudo, in a network namespace and with an `/etc` of its own.
//!
//! Its disk is an overlay of the [`base`](crate::made::base): what it wrote stays when its process 1 is killed, so that
//! [`Host::power_cut`] and [`Host::boot`] are a power cut. The kernel is everybody's, so a page that was written and not
//! yet synced is not lost. Not for: who reaches it and how ([`crate::project`]).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;

use crate::interrupt;
use crate::lab::{Lab, lock, spawn_in, tail};
use crate::made;
use crate::order::order;
use crate::program::{grouped, in_namespace, ip, run};
use crate::road::Road;
use crate::traces::remove_group;
use crate::web::{Fault, Request};
use crate::{Control, Os, Release};

const UBUNTU: &str = "PRETTY_NAME=\"Ubuntu 24.04.3 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nVERSION=\"24.04.3 LTS (Noble Numbat)\"\n\
                      VERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME=noble\n";

/// What a new host is like. [`Spec::default`] is Debian 12 with nothing installed, on a perfect link.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// The distribution.
    pub os: Os,
    /// Debian packages beside what every host has, with commas between.
    pub packages: &'static str,
    /// The release of the client that the package repository has for this host.
    pub release: Release,
    /// Whether that release is installed already, with its daemon enabled.
    pub installed: bool,
    /// Whether there is no `sudo`.
    pub no_sudo: bool,
    /// The size of its disk; without one, that of the machine's.
    pub disk_mib: Option<u32>,
    /// The road to it. Without one it is as good as loopback.
    pub road: Option<Road>,
}

impl Spec {
    /// A host without the client, whose package repository has this release.
    #[must_use]
    pub fn bare(release: Release) -> Self {
        Self { release, ..Self::default() }
    }

    /// A host with this release installed and its daemon running, in no tailnet.
    #[must_use]
    pub fn installed(release: Release) -> Self {
        Self { release, installed: true, ..Self::default() }
    }
}

/// A host that is up, or off after a power cut. Dropping it ends it and removes its disk, unless its lab is kept.
#[derive(Debug)]
pub struct Host {
    name: String,
    lab_name: String,
    part: String,
    address: String,
    dir: PathBuf,
    namespace: String,
    group: PathBuf,
    servers: PathBuf,
    lowest: String,
    web: PathBuf,
    keep: bool,
    manner: Mutex<Manner>,
    running: Mutex<Option<Child>>,
    link: Mutex<Option<Child>>,
}

/// How the web and the resolver behave to it.
#[derive(Debug, Default)]
struct Manner {
    root: PathBuf,
    faults: Vec<Fault>,
    names: serde_json::Map<String, serde_json::Value>,
}

impl Host {
    pub(crate) fn new(lab: &Lab, number: u32, name: &str, spec: &Spec) -> Result<Self> {
        let part = format!("h{number}");
        let base = made::base(spec.os, spec.packages)?;
        let sites = made::sites(spec.release)?;
        let dir = lab.dir().join(&part);
        let lowest = if spec.installed {
            format!("{}:{}", made::installed(spec.os, spec.packages, spec.release)?.display(), base.display())
        } else {
            base.display().to_string()
        };
        let host = Self {
            name: name.to_owned(),
            lab_name: lab.name().to_owned(),
            address: format!("10.77.{}.{}", 16 + number / 250, number % 250 + 1),
            namespace: format!("{}{part}", lab.prefix()),
            group: lab.group(&part)?,
            servers: lab.group("servers")?,
            lowest,
            web: lab.dir().join("web.sock"),
            keep: !lab.is_owned(),
            manner: Mutex::new(Manner { root: sites, ..Manner::default() }),
            running: Mutex::default(),
            link: Mutex::default(),
            part,
            dir,
        };
        host.make_disk(lab, &base, spec)?;
        host.make_network(lab, spec)?;
        host.tell_web()?;
        Ok(host)
    }

    /// Its logical name, which is its host name too.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address in the lab's network.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its part of the lab: what `cargo xtask lab ssh` calls it.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }

    /// Its line of a `known_hosts` file.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn known_hosts(&self) -> Result<String> {
        let key = fs::read_to_string(self.upper().join("etc/ssh/ssh_host_ed25519_key.pub"))?;
        let mut words = key.split(' ');
        Ok(format!("{} {} {}\n", self.address, words.next().unwrap_or_default(), words.next().unwrap_or_default()))
    }

    /// Its root, seen from here: what is on its disk and in its `/run`.
    ///
    /// # Errors
    /// When it is off.
    pub fn root(&self) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}/root", self.init()?)))
    }

    /// The disk's own layer: what it has written, also while it is off.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.dir.join("disk/upper")
    }

    /// Boots it and waits until its sshd lets people in.
    ///
    /// # Errors
    /// When it is on already, or does not come up: with the end of its console.
    pub fn boot(&self) -> Result<()> {
        let mut running = lock(&self.running);
        ensure!(running.is_none(), "{} is on", self.name);
        let script = r#"mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/disk/upper,workdir=$2/disk/work" "$2/root" && shift 2 && exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "--", "sh", "-c", script, "sh", &self.lowest]).arg(&self.dir);
        command.args([
            "env",
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network",
            "SYSTEMD_NSPAWN_LOCK=0",
        ]);
        command.args([
            "systemd-nspawn",
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--capability=all",
            "--bind=/dev/net/tun",
        ]);
        command.args([
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=read-only",
            "--boot",
            "--directory",
        ]);
        command.arg(self.dir.join("root"));
        command.arg(format!("--machine={}", self.namespace)).arg(format!("--hostname={}", self.name));
        command.arg(format!("--network-namespace-path=/run/netns/{}", self.namespace));
        let console = self.console();
        let child = spawn_in(&self.group, &command, &console)?;
        fs::write(self.dir.join("pid"), child.id().to_string())?;
        let child = running.insert(child);
        let end = Instant::now() + Duration::from_secs(90);
        while !self.answers()? {
            let ended = child.try_wait()?;
            ensure!(
                ended.is_none() && Instant::now() < end,
                "{} did not boot{}:\n{}",
                self.name,
                ended.map_or(String::new(), |status| format!(", {status}")),
                tail(&console)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(running);
        // Until this file goes, only root may log in.
        let end = Instant::now() + Duration::from_secs(60);
        while self.root()?.join("run/nologin").exists() {
            ensure!(Instant::now() < end, "{} did not finish its boot:\n{}", self.name, tail(&self.console()));
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Cuts its power: kills its process 1, with which the kernel kills all others there.
    ///
    /// A member needs some seconds after the next boot until it is one again: its client has left itself as the resolver
    /// in `/etc/resolv.conf`, and asks that one first.
    ///
    /// # Errors
    /// When it is off already.
    pub fn power_cut(&self) -> Result<()> {
        let init = self.init()?;
        if let Some(pid) = i32::try_from(init).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::KILL)?;
        }
        self.wait_until_off()
    }

    /// Runs a command as root inside, not over SSH.
    ///
    /// # Errors
    /// When it is off, or the command does not start.
    pub fn inside<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Result<Output> {
        let mut command = self.command_inside()?;
        Ok(command.args(words).stdin(std::process::Stdio::null()).output()?)
    }

    /// Runs a line of shell as root inside, not over SSH, and gives its standard output.
    ///
    /// # Errors
    /// When it is off, or the line fails: with its standard error.
    pub fn sh(&self, line: &str) -> Result<String> {
        let output = self.inside(["sh", "-c", line])?;
        if !output.status.success() {
            bail!(
                "{}: `{line}` ended with {}:\n{}{}",
                self.name,
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A command that runs as root inside. The first argument to add is the program.
    ///
    /// # Errors
    /// When it is off.
    pub fn command_inside(&self) -> Result<Command> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.init()?));
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--"]);
        command.args([
            "env",
            "-i",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "LC_ALL=C",
        ]);
        Ok(command)
    }

    /// What `tailscale status --json` says there.
    ///
    /// # Errors
    /// When it is off, or there is no client whose daemon answers.
    pub fn tailscale_status(&self) -> Result<serde_json::Value> {
        let output = self.inside(["tailscale", "status", "--json"])?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{}: tailscale status: {}", self.name, String::from_utf8_lossy(&output.stderr)))
    }

    /// Puts these faults between it and the web, instead of what was there. None ends them.
    ///
    /// # Errors
    /// When a pattern is wrong.
    pub fn web_faults(&self, faults: &[Fault]) -> Result<()> {
        lock(&self.manner).faults = faults.to_vec();
        self.tell_web()
    }

    /// Gives a name, and all below it, another address for this host alone; `nxdomain`, `servfail` and `silence` are
    /// answers too. An empty name stands for all others.
    ///
    /// # Errors
    /// When the web is gone.
    pub fn name_is(&self, name: &str, address: &str) -> Result<()> {
        lock(&self.manner).names.insert(name.to_owned(), address.into());
        self.tell_web()
    }

    /// Makes this server the one that the client asks by default, under the names of the real service.
    ///
    /// # Errors
    /// When the web is gone.
    pub fn default_control(&self, control: &Control) -> Result<()> {
        for name in crate::control::ADDRESSES {
            lock(&self.manner).names.insert((*name).to_owned(), control.address().into());
        }
        self.tell_web()
    }

    /// Makes the repository have another release for this host from now on.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn serve(&self, release: Release) -> Result<()> {
        lock(&self.manner).root = made::sites(release)?;
        self.tell_web()
    }

    /// What this host has asked of the web.
    ///
    /// # Errors
    /// When the web is gone.
    pub fn web_requests(&self) -> Result<Vec<Request>> {
        Ok(Vec::deserialize(order(&self.web, "requests", json!({"address": self.address}))?)?)
    }

    /// The web is to it as if its clock were so many days behind, or ahead below 0: certificates are not valid yet, or no more.
    /// 0 ends that. Its clock is the machine's own, which nobody changes.
    ///
    /// # Errors
    /// When the web is gone.
    pub fn clock_behind(&self, days: i32) -> Result<()> {
        order(&self.web, "dates", json!({"address": self.address, "days": days})).map(drop)
    }

    /// Changes the road to it. Only a host that began with one has a road that can be changed.
    ///
    /// # Errors
    /// When it has none.
    pub fn road(&self, road: &Road) -> Result<()> {
        order(&self.dir.join("road.sock"), "road", serde_json::to_value(road)?).map(drop)
    }

    fn tell_web(&self) -> Result<()> {
        let manner = lock(&self.manner);
        let fields =
            json!({"address": self.address, "root": manner.root, "faults": manner.faults, "names": manner.names});
        order(&self.web, "manner", fields).map(drop)
    }

    fn console(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    /// Its process 1, by its id out here.
    fn init(&self) -> Result<u32> {
        let id = fs::read_to_string(self.dir.join("pid")).with_context(|| format!("{} was never on", self.name))?;
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        children
            .split_whitespace()
            .filter_map(|id| id.parse().ok())
            .find(|id: &u32| fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name.trim() == "systemd"))
            .with_context(|| format!("{} is off", self.name))
    }

    /// Whether its sshd greets. In the lab's control group, so that a knock does not outlive the lab, and bounded.
    fn answers(&self) -> Result<bool> {
        let knock = "exec 3<>/dev/tcp/$0/22 && read -t 5 -u 3 line && [[ $line == SSH-* ]]";
        let mut command = in_namespace(&self.namespace);
        command.args(["timeout", "10", "bash", "-c", knock, &self.address]);
        Ok(spawn_in(&self.group, &command, Path::new("/dev/null"))?.wait()?.success())
    }

    fn wait_until_off(&self) -> Result<()> {
        if let Some(mut child) = lock(&self.running).take() {
            child.wait()?;
        }
        remove_group(&format!("{}/{}", self.lab_name, self.part));
        Ok(())
    }

    fn make_disk(&self, lab: &Lab, base: &Path, spec: &Spec) -> Result<()> {
        let _adding = interrupt::adding();
        fs::create_dir_all(self.dir.join("root"))?;
        let disk = self.dir.join("disk");
        fs::create_dir(&disk)?;
        if let Some(size) = spec.disk_mib {
            let options = format!("size={size}m,mode=755");
            run(grouped(&self.servers, "mount").args(["-t", "tmpfs", "-o", &options, "lab-disk"]).arg(&disk))?;
        }
        let upper = self.upper();
        fs::create_dir_all(upper.join("etc/ssh"))?;
        fs::create_dir_all(upper.join("etc/ssl/certs"))?;
        fs::create_dir(disk.join("work"))?;
        let write = |path: &str, text: &[u8]| fs::write(upper.join(path), text).with_context(|| path.to_owned());
        let name = &self.name;
        write("etc/hostname", format!("{name}\n").as_bytes())?;
        write("etc/hosts", format!("127.0.0.1 localhost\n127.0.1.1 {name}\n").as_bytes())?;
        write("etc/resolv.conf", b"nameserver 10.77.0.1\noptions timeout:1 attempts:5\n")?;
        let id = fs::read_to_string("/proc/sys/kernel/random/uuid")?.replace('-', "");
        write("etc/machine-id", id.as_bytes())?;
        fs::copy(lab.dir().join("id_ed25519.pub"), upper.join("etc/ssh/lab_authorized_keys"))?;
        let mut trusted = fs::read(base.join("etc/ssl/certs/ca-certificates.crt"))?;
        trusted.extend(fs::read(lab.dir().join("ca.crt"))?);
        write("etc/ssl/certs/ca-certificates.crt", &trusted)?;
        let key = upper.join("etc/ssh/ssh_host_ed25519_key");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(key))?;
        if spec.os == Os::Ubuntu {
            write("etc/os-release", UBUNTU.as_bytes())?;
        }
        if spec.no_sudo {
            fs::create_dir_all(upper.join("usr/bin"))?;
            // What an overlay takes for a file that was removed.
            run(Command::new("mknod").arg(upper.join("usr/bin/sudo")).args(["c", "0", "0"]))?;
        }
        for dir in ["", "etc", "etc/ssh", "etc/ssl", "etc/ssl/certs", "usr", "usr/bin"] {
            let path = upper.join(dir);
            if path.is_dir() {
                fs::set_permissions(path, Permissions::from_mode(0o755))?;
            }
        }
        Ok(())
    }

    fn make_network(&self, lab: &Lab, spec: &Spec) -> Result<()> {
        let (own, all, part) = (&self.namespace, lab.network(), &self.part);
        let ip = |line: &str| ip(&self.servers, line);
        ip(&format!("netns add {own}"))?;
        ip(&format!("-n {own} link set lo up"))?;
        match &spec.road {
            None => ip(&format!("-n {all} link add {part} type veth peer name eth0 netns {own}"))?,
            Some(road) => {
                let (near, far) = (format!("{all},{part}"), format!("{own},eth0"));
                let (road, socket) = (serde_json::to_string(road)?, self.dir.join("road.sock"));
                let words =
                    ["link", "-near", &near, "-far", &far, "-road", &road, "-socket", &socket.to_string_lossy()];
                let road = lab.serve(&format!("road-{part}"), &made::servers()?, &words, &socket)?;
                *lock(&self.link) = Some(road);
            }
        }
        ip(&format!("-n {all} link set {part} master br0 up"))?;
        ip(&format!("-n {own} addr add {}/16 dev eth0", self.address))?;
        ip(&format!("-n {own} link set eth0 up"))?;
        ip(&format!("-n {own} route add default via 10.77.0.1"))
    }

    /// Ends it and removes all of it.
    fn end(&self) -> Result<()> {
        if self.init().is_ok() {
            self.power_cut()?;
        } else {
            self.wait_until_off()?;
        }
        if let Some(mut link) = lock(&self.link).take() {
            link.kill()?;
            link.wait()?;
        }
        ip(&self.servers, &format!("netns delete {}", self.namespace))?;
        let disk = self.dir.join("disk");
        if fs::read_to_string("/proc/mounts")?.lines().any(|line| line.split(' ').nth(1).map(Path::new) == Some(&*disk))
        {
            run(Command::new("umount").arg(&disk))?;
        }
        Ok(fs::remove_dir_all(&self.dir)?)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !self.keep
            && self.dir.exists()
            && let Err(error) = self.end()
        {
            eprintln!("lab: {} did not end: {error:#}", self.name);
        }
    }
}
