//! Who is measured, and how each is called for the same answer.
//!
//! All have the same hosts, the same key, strict host keys, the same number of hosts at a time and an empty home. All but
//! the Python tools send the product's own script. Not for: the order in which they run ([`crate::noop`]).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::ground::Yard;
use crate::measure;

/// Hosts at a time: the product's default.
pub const AT_A_TIME: usize = 32;

/// Where programs stand.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The product.
    pub product: PathBuf,
    /// `bare-ssh2`.
    pub bare: PathBuf,
    /// The folder with `pyinfra` and `ansible-playbook`; without it they are left out.
    pub python: Option<PathBuf>,
    /// Where the product keeps compiled code.
    pub cache: PathBuf,
    /// Hosts at a time.
    pub at_a_time: usize,
}

/// One of those who are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// `stagecraft-net up`.
    Product,
    /// [`bare-ssh2`](../../bin/bare-ssh2.rs), which waits as the product does.
    Bare,
    /// The same in libssh2's own blocking mode.
    BareBlocking,
    /// `xargs -P ssh`, with the algorithms that `ssh` prefers.
    Xargs,
    /// `xargs -P ssh`, with a key exchange that costs less.
    XargsCurve,
    /// pyinfra.
    Pyinfra,
    /// ansible-core.
    Ansible,
}

impl Peer {
    /// All of them, the product first.
    pub const ALL: [Self; 7] =
        [Self::Product, Self::Bare, Self::BareBlocking, Self::Xargs, Self::XargsCurve, Self::Pyinfra, Self::Ansible];

    /// Those for which the tools are there.
    #[must_use]
    pub fn with(tools: &Tools) -> Vec<Self> {
        Self::ALL.into_iter().filter(|peer| !peer.is_python() || tools.python.is_some()).collect()
    }

    /// Whether it is one of the Python tools.
    #[must_use]
    pub fn is_python(self) -> bool {
        matches!(self, Self::Pyinfra | Self::Ansible)
    }

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Product => "stagecraft-net up",
            Self::Bare => "bare ssh2 client",
            Self::BareBlocking => "bare ssh2 client, blocking",
            Self::Xargs => "xargs -P ssh",
            Self::XargsCurve => "xargs -P ssh, curve25519",
            Self::Pyinfra => "pyinfra",
            Self::Ansible => "ansible-core",
        }
    }

    /// The command that brings its answer for all hosts of a yard.
    ///
    /// # Errors
    /// When a file that it needs cannot be written, or its tools are not there.
    pub fn command(self, tools: &Tools, yard: &Yard) -> Result<Command> {
        let at_a_time = tools.at_a_time.to_string();
        let python = |name: &str| Ok::<_, anyhow::Error>(tools.python.as_ref().context("no Python tools")?.join(name));
        let mut command = match self {
            Self::Product => {
                let mut command = Command::new(&tools.product);
                command.args(["up", "--jobs", &at_a_time]).env("XDG_CACHE_HOME", &tools.cache);
                command
            }
            Self::Bare | Self::BareBlocking => {
                let mut command = Command::new(&tools.bare);
                command.arg(yard.dir()).arg(&at_a_time);
                if self == Self::BareBlocking {
                    command.arg("--blocking");
                }
                command
            }
            Self::Xargs | Self::XargsCurve => {
                let mut command = Command::new("xargs");
                let ask = ask(yard, if self == Self::Xargs { "" } else { "-o KexAlgorithms=curve25519-sha256" })?;
                command.args(["-a", "hosts", "-P", &at_a_time, "-I", "{}"]).arg(ask).arg("{}");
                command
            }
            Self::Pyinfra => {
                let mut command = Command::new(python("pyinfra")?);
                command.args(["inventory.py", "deploy.py", "--yes", "--parallel", &at_a_time]);
                command
            }
            Self::Ansible => {
                let mut command = Command::new(python("ansible-playbook")?);
                command.args(["-i", "inventory.ini", "playbook.yml"]);
                command.env("ANSIBLE_CONFIG", yard.dir().join("ansible.cfg"));
                command
            }
        };
        let kept: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        command.env_clear().current_dir(yard.dir());
        command.envs(kept.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command
            .env("HOME", yard.dir())
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        Ok(command)
    }

    /// Whether the run before this brought an answer of every host of the yard.
    ///
    /// # Errors
    /// When it did not.
    pub fn check(self, yard: &Yard) -> Result<()> {
        let (out, err) = measure::said(yard.dir())?;
        let hosts = yard.names().len();
        match self {
            // Its exit status says that all hosts hold the goal; that nothing was changed, its last line.
            Self::Product => ensure!(err.contains("nothing was changed"), "{err}"),
            Self::Bare | Self::BareBlocking => ensure!(out.trim() == hosts.to_string(), "{out}{err}"),
            Self::Xargs | Self::XargsCurve => {
                for name in yard.names() {
                    let answer = std::fs::read(yard.dir().join(format!("answer-{name}")))?;
                    ensure!(answer.ends_with(b" end\n"), "{name}: not a whole answer");
                }
            }
            Self::Pyinfra => {
                // With no operation to run it says nothing of a host but that it is connected and ready.
                let text = out + &err;
                for name in yard.names() {
                    ensure!(text.matches(&format!("[{name}] ")).count() >= 2, "{text}");
                }
                ensure!(!text.contains("error"), "{text}");
            }
            Self::Ansible => {
                ensure!(out.matches("failed=0").count() == hosts, "{out}{err}");
                ensure!(
                    out.matches("unreachable=0").count() == hosts && out.matches("ok=4").count() == hosts,
                    "{out}{err}"
                );
            }
        }
        Ok(())
    }

    /// Ends what a run leaves behind: the connections that `ssh` keeps for Ansible.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn tidy(self, yard: &Yard) -> Result<()> {
        if self != Self::Ansible {
            return Ok(());
        }
        end_connections(yard.dir())
    }
}

/// Ends the connections that `ssh` keeps for Ansible, by their sockets in this directory.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn end_connections(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cm-")) {
            let mut end = Command::new("ssh");
            end.args(["-F", "none", "-O", "exit", "-S"]).arg(&path).arg("anybody");
            end.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        }
    }
    Ok(())
}

/// A script that asks one host with `ssh`.
fn ask(yard: &Yard, options: &str) -> Result<PathBuf> {
    let line = std::fs::read_to_string(yard.dir().join("line"))?.replace('\'', r"'\''");
    let path = yard.dir().join(if options.is_empty() { "ask" } else { "ask-curve" });
    if !path.is_file() {
        let here = yard.dir().display();
        let script = format!(
            "#!/bin/sh\nexec ssh -F {here}/ssh_config {options} \"$1\" '{line}' <{here}/script >{here}/answer-\"$1\"\n"
        );
        std::fs::write(&path, script)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(path)
}
