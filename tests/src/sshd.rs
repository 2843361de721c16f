//! A real `sshd` for one test or one demo host: as whoever runs it, on a free loopback port, in a directory of its own.
//!
//! Everything it needs (host keys, a client key, `known_hosts`, an `ssh_config`, its log) is made anew and removed with
//! it; the developer's own `~/.ssh` and agent are never read. Its log is the witness of how many connections and execs
//! there were. Not for: what happens on the host behind it.
//!
//! Debian packages: openssh-server, openssh-client; for the login shells of `tests/whole/ssh/shells.rs` also dash, zsh,
//! fish, tcsh (which is csh too). As root, `sshd` wants `/run/sshd`; it is made when it is not there.
//!
//! **Login shells.** `sshd` runs a line as `SHELL -c LINE`, with the shell of the password database, which a test must
//! not change. So [`Options::login_shell`] lets `sshd` force the command `exec SHELL -c "$SSH_ORIGINAL_COMMAND"`: the
//! same words, the same environment, the same descriptors, as root and as an ordinary user. The start-up files are those
//! of the host's own home ([`Sshd::home`]).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use stagecraft_net::ssh::Endpoint;
use tempfile::TempDir;

use crate::processes;
use crate::room::Room;

/// Where Debian puts it; it is on no ordinary user's PATH. `sshd` must be called by an absolute path.
const SSHD: &str = "/usr/sbin/sshd";
/// Marks everything that runs behind an [`Sshd`], so that a daemon that was left there is found again.
const MARK: &str = "LAB_SSHD";
/// How long anything here may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A type of key, by the name that `ssh-keygen -t` has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// Ed25519.
    Ed25519,
    /// ECDSA on the curve P-256.
    Ecdsa,
    /// RSA, 2048 bits: half a second to make.
    Rsa,
}

impl KeyType {
    /// The name for `ssh-keygen -t`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            KeyType::Ed25519 => "ed25519",
            KeyType::Ecdsa => "ecdsa",
            KeyType::Rsa => "rsa",
        }
    }
}

/// How an [`Sshd`] differs from a plain one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The types of its host keys; none stands for Ed25519 alone.
    pub host_keys: Vec<KeyType>,
    /// Public keys that may log in besides the rig's own, one line each.
    pub authorized: Vec<String>,
    /// `SetEnv`: the environment of every command. `PATH` puts stand-in programs in front.
    pub env: Vec<(String, String)>,
    /// Runs this instead of what the client asks for.
    pub force_command: Option<String>,
    /// The login shell that runs every line; see the module's page.
    pub login_shell: Option<PathBuf>,
    /// The text that is shown before the log-in.
    pub banner: Option<String>,
    /// `MaxStartups`.
    pub max_startups: Option<String>,
    /// Further lines of `sshd_config`. They come first, so they win.
    pub config: Vec<String>,
    /// Runs it, and all behind it, with another view of the file system, as the one who logs in there.
    pub room: Option<Arc<Room>>,
}

/// A running `sshd`. Dropping it ends it and everything that runs behind it.
#[derive(Debug)]
pub struct Sshd {
    dir: TempDir,
    child: Child,
    port: u16,
    user: String,
}

impl Sshd {
    /// A plain one: an Ed25519 host key, an Ed25519 client key, nothing forced.
    ///
    /// # Errors
    /// When `sshd` or `ssh-keygen` is not installed, or `sshd` does not start.
    pub fn start() -> Result<Self> {
        Self::with(&Options::default())
    }

    /// One with `options`.
    ///
    /// # Errors
    /// As [`Sshd::start`].
    pub fn with(options: &Options) -> Result<Self> {
        ensure!(Path::new(SSHD).exists(), "{SSHD} is not there: apt-get install openssh-server");
        let user = match &options.room {
            Some(room) => room.login().name().to_owned(),
            None => user()?,
        };
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").context("sshd wants /run/sshd when root runs it")?;
        }
        let dir = tempfile::Builder::new().prefix("lab-sshd-").tempdir()?;
        let root = dir.path();
        fs::create_dir(root.join("home"))?;
        let types = if options.host_keys.is_empty() { &[KeyType::Ed25519][..] } else { &options.host_keys };
        for key in types {
            keygen(&root.join(format!("host_{}", key.name())), *key, "")?;
        }
        let mut authorized = keygen(&root.join("client"), KeyType::Ed25519, "")?;
        for line in &options.authorized {
            authorized.push_str(line.trim_end());
            authorized.push('\n');
        }
        fs::write(root.join("authorized_keys"), authorized)?;

        for _ in 0..20 {
            let port = free_port()?;
            fs::write(root.join("sshd_config"), server_config(root, port, types, options)?)?;
            if let Some(room) = &options.room {
                room.hand_over(root)?;
            }
            if let Some(child) = listen(root, port, options.room.as_deref())? {
                let this = Self { port, user, child, dir };
                this.write_known_hosts(types)?;
                fs::write(this.client_config(), client_config(&this))?;
                return Ok(this);
            }
        }
        bail!("no free port after 20 tries");
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who logs in: whoever runs this, or the one of the room.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Its directory. Files put there are removed with it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The `HOME` of every command: empty at first.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.dir().join("home")
    }

    /// A client key that may log in; its public half stands beside it in `.pub`.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.dir().join("client")
    }

    /// A `known_hosts` file with all its host keys.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.dir().join("known_hosts")
    }

    /// An `ssh_config` (for `ssh -F`) with no agent, no default key, and the alias `lab` for this server.
    #[must_use]
    pub fn client_config(&self) -> PathBuf {
        self.dir().join("ssh_config")
    }

    /// The public half of its host key of that type, as one line without a host name: type, key, comment.
    ///
    /// # Errors
    /// When it has none of that type.
    pub fn host_key(&self, key: KeyType) -> Result<String> {
        let path = self.dir().join(format!("host_{}.pub", key.name()));
        Ok(fs::read_to_string(&path).with_context(|| path.display().to_string())?.trim_end().to_owned())
    }

    /// What a project's file would say to reach it: address, port, user, key and `known_hosts`.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Endpoint {
        Endpoint {
            name: name.to_owned(),
            address: Some(Ipv4Addr::LOCALHOST.to_string()),
            port: Some(self.port),
            user: Some(self.user.clone()),
            identity: Some(self.key()),
            known_hosts: Some(self.known_hosts()),
            config: Some(self.client_config()),
            ..Endpoint::default()
        }
    }

    /// Everything that it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir().join("log")).unwrap_or_default()
    }

    /// The TCP connections that it has accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.log().lines().filter(|line| line.starts_with("Connection from ")).count()
    }

    /// The commands that it has started.
    #[must_use]
    pub fn execs(&self) -> usize {
        self.log().lines().filter(|line| line.starts_with("Starting session: ")).count()
    }

    /// Waits until the log satisfies `wanted`: `sshd` may write after the client has its answer.
    ///
    /// # Errors
    /// When it does not within half a minute; the error holds the log.
    pub fn wait_log(&self, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if wanted(&log) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "sshd's log does not say what it should:\n{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends every session and whatever runs in them, as a machine that loses power would; the server goes on listening.
    pub fn kill_sessions(&self) {
        for pid in processes::descendants(self.child.id()) {
            processes::end_tree(pid);
        }
    }

    /// Cuts every connection, and nothing else: what runs behind them goes on and does not know.
    pub fn cut_links(&self) {
        for pid in processes::descendants(self.child.id()) {
            if processes::is_called(pid, "sshd") {
                processes::end(pid);
            }
        }
    }

    /// What runs behind it, also what its session has left behind. Where the host has no mount namespace of its own, by
    /// which such a process is known, only what is below it in the tree.
    #[must_use]
    pub fn behind(&self) -> Vec<u32> {
        let server = self.server();
        let mut found = processes::descendants(server);
        found.extend(processes::in_mounts_of(server));
        found.sort_unstable();
        found.dedup();
        found.retain(|pid| *pid != server && *pid != self.child.id());
        found
    }

    /// Whether it lives in a mount namespace of its own, so that [`Sshd::behind`] finds whatever was left there.
    #[must_use]
    pub fn has_own_mounts(&self) -> bool {
        !processes::in_mounts_of(self.server()).is_empty()
    }

    /// Ends all that runs behind it at once, until nothing is left; the server goes on listening.
    pub fn end_all_behind(&self) {
        loop {
            let behind = self.behind();
            if behind.is_empty() {
                return;
            }
            behind.into_iter().for_each(processes::end);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The listening process: what makes the room stands in front of it, where that does not become it.
    fn server(&self) -> u32 {
        let mut pid = self.child.id();
        while !processes::is_called(pid, "sshd") {
            match processes::descendants(pid).first() {
                Some(below) => pid = *below,
                None => break,
            }
        }
        pid
    }

    /// Leaves it running, with its files, when this process ends. [`Left::end`] ends it then.
    #[must_use = "nobody else ends it"]
    pub fn leave(self) -> Left {
        let left = Left { pid: self.child.id(), dir: self.dir().to_owned() };
        // Neither its own drop nor the directory's.
        std::mem::forget(self);
        left
    }

    fn write_known_hosts(&self, types: &[KeyType]) -> Result<()> {
        let mut lines = String::new();
        for key in types {
            lines.push_str(&format!("[127.0.0.1]:{} {}\n", self.port, self.host_key(*key)?));
        }
        fs::write(self.known_hosts(), lines)?;
        Ok(())
    }
}

/// An `sshd` that another process left running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    pid: u32,
    dir: PathBuf,
}

impl Left {
    /// Ends it and everything that runs behind it, and removes its files. A process that only has its number, since the
    /// server ended long ago, is let alone.
    pub fn end(&self) {
        let words = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let dir = self.dir.display().to_string();
        if String::from_utf8_lossy(&words).contains(&dir) {
            processes::end_tree(self.pid);
        }
        processes::end_marked(MARK, &dir);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        processes::end_tree(self.child.id());
        let _ = self.child.wait();
        processes::end_marked(MARK, &self.dir().display().to_string());
    }
}

/// Makes a key pair with `ssh-keygen` at `path` (and `path.pub`) and returns the public line.
///
/// # Errors
/// When `ssh-keygen` is not there or refuses.
pub fn keygen(path: &Path, key: KeyType, passphrase: &str) -> Result<String> {
    let comment = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", key.name(), "-N", passphrase, "-C", &comment, "-f"]).arg(path).stdin(Stdio::null());
    if key == KeyType::Rsa {
        command.args(["-b", "2048"]);
    }
    let output = command.output().context("ssh-keygen: apt-get install openssh-client")?;
    ensure!(output.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
    Ok(fs::read_to_string(path.with_extension("pub"))?)
}

/// The name of whoever runs this, as the password database has it.
fn user() -> Result<String> {
    let output = Command::new("id").arg("-un").output().context("id")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A port that was free a moment ago. Another process may take it first; then `sshd` says so and another is tried.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn server_config(root: &Path, port: u16, types: &[KeyType], options: &Options) -> Result<String> {
    let mut lines: Vec<String> = options.config.clone();
    let file = |name: &str| root.join(name).display().to_string();
    lines.extend(
        [
            &format!("Port {port}"),
            "ListenAddress 127.0.0.1",
            "PidFile none",
            "UsePAM no",
            // Its directories are of mode 0700, those above are the machine's own.
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin yes",
            "UseDNS no",
            "PrintMotd no",
            // The lowest level that tells of connections and commands.
            "LogLevel VERBOSE",
            &format!("AuthorizedKeysFile {}", file("authorized_keys")),
        ]
        .map(str::to_owned),
    );
    for key in types {
        lines.push(format!("HostKey {}", file(&format!("host_{}", key.name()))));
    }
    if let Some(text) = &options.banner {
        fs::write(root.join("banner"), text)?;
        lines.push(format!("Banner {}", file("banner")));
    }
    if let Some(limit) = &options.max_startups {
        lines.push(format!("MaxStartups {limit}"));
    }
    match (&options.force_command, &options.login_shell) {
        (Some(_), Some(_)) => bail!("a login shell is made with a forced command: one of them only"),
        (Some(command), None) => lines.push(format!("ForceCommand {command}")),
        (None, Some(shell)) => {
            let runner = root.join("login-shell");
            // With no command a login shell would be interactive; nothing here asks for that.
            fs::write(&runner, format!("#!/bin/sh\nexec '{}' -c \"$SSH_ORIGINAL_COMMAND\"\n", shell.display()))?;
            fs::set_permissions(&runner, fs::Permissions::from_mode(0o755))?;
            lines.push(format!("ForceCommand exec {}", runner.display()));
        }
        (None, None) => {}
    }
    // Only the first SetEnv counts, so all stand on one line.
    let mut env = vec![(MARK.to_owned(), root.display().to_string()), ("HOME".to_owned(), file("home"))];
    env.extend(options.env.iter().cloned());
    let words: Vec<String> = env
        .iter()
        .map(|(name, value)| {
            ensure!(!value.contains(['"', '\\', '\n']), "sshd_config cannot carry this value of {name}: {value:?}");
            Ok(format!("\"{name}={value}\""))
        })
        .collect::<Result<_>>()?;
    lines.push(format!("SetEnv {}", words.join(" ")));
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// Starts `sshd` and waits until it listens; `None` when somebody else has the port.
fn listen(root: &Path, port: u16, room: Option<&Room>) -> Result<Option<Child>> {
    let log = root.join("log");
    let _ = fs::remove_file(&log);
    let mut words = room.map(Room::prefix).unwrap_or_default();
    words.push(SSHD.into());
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .args(["-D", "-f"])
        .arg(root.join("sshd_config"))
        .arg("-E")
        .arg(&log)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context(SSHD)?;
    let ready = format!("Server listening on 127.0.0.1 port {port}.");
    let end = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(&log).unwrap_or_default();
        if text.contains(&ready) {
            return Ok(Some(child));
        }
        let exited = child.try_wait()?;
        if exited.is_some() && text.contains("Address already in use") {
            return Ok(None);
        }
        if exited.is_some() || Instant::now() > end {
            processes::end_tree(child.id());
            let output = child.wait_with_output()?;
            bail!("sshd did not start ({}):\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn client_config(sshd: &Sshd) -> String {
    format!(
        "Host lab\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n\
         Host *\n  IdentityAgent none\n  IdentityFile none\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  LogLevel ERROR\n",
        sshd.port,
        sshd.user,
        sshd.key().display(),
        sshd.known_hosts().display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ssh_program_logs_in_and_the_log_counts_it_and_nothing_is_left() {
        let sshd = Sshd::start().expect("sshd");
        let ssh = |line: &str| {
            let output = Command::new("ssh").arg("-F").arg(sshd.client_config()).args(["lab", line]).output();
            String::from_utf8(output.expect("ssh").stdout).expect("text")
        };
        assert_eq!(ssh("echo $HOME; setsid sleep 300 >/dev/null 2>&1 &"), format!("{}\n", sshd.home().display()));
        assert_eq!((sshd.connections(), sshd.execs()), (1, 1));
        ssh("true");
        assert_eq!((sshd.connections(), sshd.execs()), (2, 2));

        let mark = format!("{MARK}={}", sshd.dir().display());
        let left = || {
            let mut found = 0;
            for entry in fs::read_dir("/proc").expect("proc").flatten() {
                let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
                found += usize::from(String::from_utf8_lossy(&environ).contains(&mark));
            }
            found
        };
        assert_eq!(left(), 1, "the daemon that the first command left");
        let address = sshd.address();
        drop(sshd);
        let end = Instant::now() + PATIENCE;
        while left() > 0 {
            assert!(Instant::now() < end, "a process was left");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(std::net::TcpStream::connect(address).is_err());
    }
}
