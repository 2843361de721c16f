//! The one model of a host: its system, `tailscale` and `tailscaled`, `systemctl`, the install script, and the control
//! servers that it talks to.
//!
//! Stand-in programs on test hosts and tests in one process read the same model, or fakes drift apart. A [`Machine`] and
//! the [`World`] around it are plain data that serialises; [`Machine::exec`] runs one command on them. There is no clock
//! and no randomness inside: time is passed in, so a run can be repeated. How things behave was recorded from the real
//! client, daemon and servers (`tests/fixtures`, and the tests beside this crate hold the model against them).
//! Not for: a shell, files, or anything that the provider does not run.
//!
//! ```
//! use tailscale_model::{Call, Machine, World};
//!
//! let mut world = World::of("example.ts.net");
//! world.saas().add_key("tskey-auth-good", "example.ts.net", &["tag:web"]);
//! let mut host = Machine::installed("app-1", "1.102.3");
//! let join = "tailscale up --auth-key=file:/dev/stdin --hostname=app-1 --accept-routes=false --timeout=60s";
//! let reply = host.exec(&mut world, &Call::root(join, 10_000).with_stdin("tskey-auth-good\n"));
//! assert_eq!(reply.status, 0);
//! assert!(host.status().contains("app-1.example.ts.net."));
//! ```

mod cli;
mod cut;
mod daemon;
mod document;
mod machine;
mod packages;
mod preset;
mod register;
mod release;
mod systemd;
mod up;
mod world;

use std::collections::BTreeMap;

pub use machine::{
    Active, Apt, Attempt, Daemon, Disk, Lock, Machine, Memory, Netmap, OtherRepository, Package, Prefs, Profile, Sudo,
    Unit, Which,
};
pub use packages::SCRIPT;
pub use preset::DEBIAN_12;
pub use release::Release;
pub use world::{AuthKey, Control, DEFAULT_CONTROL, Fault, Kind, Node, OTHER_DEFAULT_CONTROL, Reach, Tailnet, World};

/// One command, as the machine gets it.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What stands on standard input.
    pub stdin: Vec<u8>,
    /// The environment that matters.
    pub env: BTreeMap<String, String>,
    /// Run by root.
    pub root: bool,
    /// Now, in milliseconds since 1970. Must not go backwards from call to call.
    pub now_ms: u64,
}

impl Call {
    /// A command line of plain words, run by the login user.
    #[must_use]
    pub fn user(line: &str, now_ms: u64) -> Self {
        Self { argv: line.split_whitespace().map(str::to_owned).collect(), now_ms, ..Self::default() }
    }

    /// A command line of plain words, run by root.
    #[must_use]
    pub fn root(line: &str, now_ms: u64) -> Self {
        Self { root: true, ..Self::user(line, now_ms) }
    }

    /// The same with this on standard input.
    #[must_use]
    pub fn with_stdin(mut self, stdin: impl Into<Vec<u8>>) -> Self {
        self.stdin = stdin.into();
        self
    }
}

/// What came of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit status.
    pub status: u8,
    /// How long it takes, in milliseconds. [`Reply::FOREVER`]: it ends only when it is ended. What it does to the machine
    /// is done in any case, so a caller may end it early.
    pub takes_ms: u64,
}

impl Reply {
    /// It never ends by itself.
    pub const FOREVER: u64 = u64::MAX;

    /// It works and prints this.
    pub(crate) fn ok(stdout: impl Into<String>) -> Self {
        Self { stdout: stdout.into(), takes_ms: 8, ..Self::default() }
    }

    /// It fails with this status and text, without a line feed at the end.
    pub(crate) fn fail(status: u8, stderr: impl Into<String>) -> Self {
        Self { stderr: format!("{}\n", stderr.into()), status, takes_ms: 8, ..Self::default() }
    }

    pub(crate) fn after(mut self, ms: u64) -> Self {
        self.takes_ms = ms;
        self
    }
}

impl Machine {
    /// Runs one command. A program that is not there answers as `timeout` does for it: status 127.
    pub fn exec(&mut self, world: &mut World, call: &Call) -> Reply {
        let Some(program) = call.argv.first().map(String::as_str) else { return Reply::fail(127, "no command") };
        self.tick(world, call.now_ms);
        match program {
            "true" => Reply::ok(""),
            "id" => self.identity(call),
            "uname" => Reply::ok(format!("{}\n", self.kernel)),
            "cat" => self.cat(call),
            "curl" if self.curl => self.curl(world, call),
            "sh" | "apt-get" => self.install(world, call),
            "dpkg" if self.has_packages() => self.dpkg(call),
            "dpkg-query" if self.has_packages() => self.dpkg_query(call),
            "systemctl" if self.systemd || self.client.is_some() => self.systemctl(call),
            "tailscale" if self.client.is_some() => self.tailscale(world, call),
            other => Reply::fail(127, format!("timeout: failed to run command '{other}': No such file or directory")),
        }
    }

    /// What `sudo -n` answers before it runs anything, if it does not run it.
    ///
    /// # Errors
    /// Its answer, when the login user may not become root.
    pub fn sudo(&self) -> Result<(), Reply> {
        match self.sudo {
            Sudo::Root | Sudo::Free => Ok(()),
            // With `-n` it says the same to both: who it is comes before what that one may do.
            Sudo::Password | Sudo::NotAllowed => Err(Reply::fail(1, "sudo: a password is required")),
            Sudo::Terminal => Err(Reply::fail(1, "sudo: sorry, you must have a tty to run sudo")),
            Sudo::Missing => Err(Reply::fail(127, "env: 'sudo': No such file or directory")),
        }
    }

    /// What `tailscale status --json --peers=false` would print now, for tests.
    #[must_use]
    pub fn status(&self) -> String {
        self.release().map(|release| self.status_document(release)).unwrap_or_default()
    }

    fn identity(&self, call: &Call) -> Reply {
        let root = call.root || self.sudo == Sudo::Root;
        match (call.argv.get(1).map(String::as_str), root) {
            (Some("-u"), true) => Reply::ok("0\n"),
            (Some("-u"), false) => Reply::ok("1000\n"),
            (_, true) => Reply::ok("uid=0(root) gid=0(root) groups=0(root)\n"),
            (_, false) => Reply::ok("uid=1000(admin) gid=1000(admin) groups=1000(admin)\n"),
        }
    }

    fn cat(&self, call: &Call) -> Reply {
        match (call.argv.get(1).map(String::as_str), &self.os_release) {
            (Some("/etc/os-release"), Some(text)) => Reply::ok(text.clone()),
            (path, _) => Reply::fail(1, format!("cat: {}: No such file or directory", path.unwrap_or("-"))),
        }
    }
}
