//! A real `ssh-agent` for one test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// A running agent with no keys at first. Dropping it ends it.
#[derive(Debug)]
pub struct Agent {
    dir: TempDir,
    child: Child,
}

impl Agent {
    /// Starts one.
    ///
    /// # Errors
    /// When there is no `ssh-agent`, or it does not come up.
    pub fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("lab-agent-").tempdir()?;
        let mut child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(dir.path().join("socket"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("ssh-agent: apt-get install openssh-client")?;
        let end = Instant::now() + Duration::from_secs(30);
        while !dir.path().join("socket").exists() {
            if child.try_wait()?.is_some() || Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                bail!("ssh-agent did not start");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(Self { dir, child })
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Gives it a key; `passphrase` opens an encrypted one.
    ///
    /// # Errors
    /// When `ssh-add` refuses.
    pub fn add(&self, key: &Path, passphrase: &str) -> Result<()> {
        // ssh-add asks a program when it has no terminal.
        let ask = self.dir.path().join("ask");
        std::fs::write(&ask, format!("#!/bin/sh\necho '{passphrase}'\n"))?;
        std::fs::set_permissions(&ask, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let output = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", self.socket())
            .env("SSH_ASKPASS", &ask)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::null())
            .output()
            .context("ssh-add")?;
        ensure!(output.status.success(), "ssh-add: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
