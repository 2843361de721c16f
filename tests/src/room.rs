//! A throw-away host's own view of the file system: other programs first on PATH, another operating system, an own `/run`.
//!
//! The product sets PATH, working directory and environment of everything that it runs on a host, as it should. So the
//! stand-in programs cannot be slipped in by the environment; they stand where PATH leads, in `/usr/local/sbin` of a
//! private mount namespace, and the product is the one that is released. An ordinary user has such a namespace inside a
//! user namespace. Where the system grants neither (most containers), `proot` shows the same view by tracing.
//!
//! | seen in the room | is |
//! |---|---|
//! | `/usr/local/sbin` | the stand-in programs that the host has at the moment |
//! | `/etc/os-release`, `/etc/passwd`, `/etc/shadow` | the host's own |
//! | `/etc/hosts` | the host's own, where it knows names that nobody else does ([`Room::knows`]) |
//! | `/run`, `/dev/shm` | the host's own, empty at first |
//! | everything else | the machine's |
//!
//! Not for: a fence around hostile code. What runs in a room is the machine's own `sh`, `timeout` and `tar`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use rustix::process::{getegid, geteuid};

/// Who logs in, and what that person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Login {
    /// `root`, as most cloud images have it at first.
    #[default]
    Root,
    /// `deploy`, who becomes root through `sudo`, by the rules of the machine's model.
    Deploy,
}

impl Login {
    /// The name that the host knows.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Login::Root => "root",
            Login::Deploy => "deploy",
        }
    }
}

/// How the view is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A mount namespace, made by root.
    Mounts,
    /// A mount namespace inside a user namespace, made by an ordinary user.
    UserNamespace,
    /// `proot`, which needs no right at all.
    Proot,
}

/// The uid of `deploy` where root runs the rig, and so must give up being root.
const DEPLOY: u32 = 2345;
/// Where the product's PATH leads, apart from `/usr/local/sbin`.
const PATH: &[&str] = &["/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A directory with what the room is made of.
#[derive(Debug)]
pub struct Room {
    dir: PathBuf,
    view: View,
    login: Login,
}

impl Room {
    /// Lays out the files of a room in `dir`. `programs` are the names that must not reach the machine's own programs.
    ///
    /// # Errors
    /// When this machine offers no way to make a view, with what to install; or when files cannot be written.
    pub fn new(dir: &Path, login: Login, os_release: Option<&str>, programs: &[&str]) -> Result<Self> {
        let room = Self { dir: dir.to_owned(), view: view()?, login };
        for name in ["bin", "etc", "run/sshd", "run/lab/home", "shm"] {
            fs::create_dir_all(dir.join(name))?;
        }
        // A view can put something in the place of a file, and not take it away: no file is an empty one.
        fs::write(dir.join("etc/os-release"), os_release.unwrap_or_default())?;
        fs::write(dir.join("etc/passwd"), room.passwd(&fs::read_to_string("/etc/passwd")?))?;
        // Neither a password nor locked, whatever the machine says of its own root.
        fs::write(dir.join("etc/shadow"), format!("{}:*:20000:0:99999:7:::\n", login.name()))?;
        fs::write(dir.join("covered"), covered(programs))?;
        room.hand_over(&dir.join("shm"))?;
        Ok(room)
    }

    /// Makes names known in the room that are not known outside of it, all of this machine's loopback.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn knows(&self, names: &[&str]) -> Result<()> {
        let text: String = ["localhost"].iter().chain(names).map(|name| format!("127.0.0.1 {name}\n")).collect();
        Ok(fs::write(self.dir.join("etc/hosts"), text)?)
    }

    /// Who logs in.
    #[must_use]
    pub fn login(&self) -> Login {
        self.login
    }

    /// How this room's view is made.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
    }

    /// The words in front of a program that make it, and all that it starts, live in the room as the one who logs in.
    #[must_use]
    pub fn prefix(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let mut say = |parts: &[&str]| words.extend(parts.iter().map(OsString::from));
        let dir = self.dir.display();
        let (uid, gid) = self.ids();
        let become_deploy = [&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups", "--"];
        let enter = ["/bin/sh", "-c", include_str!("room.sh"), "room", &dir.to_string()];
        match self.view {
            View::Mounts => {
                say(&["unshare", "--mount", "--propagation=private", "--"]);
                say(&enter);
            }
            View::UserNamespace => {
                say(&["unshare", "--user", "--map-root-user", "--mount", "--propagation=private", "--"]);
                say(&enter);
                // Back to an ordinary user: sshd wants more of a root than the one of this namespace.
                say(&["unshare", "--user", &format!("--map-user={uid}"), &format!("--map-group={gid}"), "--"]);
            }
            View::Proot => {}
        }
        if uid != geteuid().as_raw() {
            say(&["setpriv"]);
            say(&become_deploy);
        }
        if self.view == View::Proot {
            say(&["proot"]);
            for (inside, seen) in [
                ("bin", "/usr/local/sbin"),
                ("etc/passwd", "/etc/passwd"),
                ("etc/shadow", "/etc/shadow"),
                ("etc/os-release", "/etc/os-release"),
                ("run", "/run"),
                ("shm", "/dev/shm"),
            ] {
                say(&["-b", &format!("{dir}/{inside}:{seen}")]);
            }
            if self.dir.join("etc/hosts").exists() {
                say(&["-b", &format!("{dir}/etc/hosts:/etc/hosts")]);
            }
            for real in fs::read_to_string(self.dir.join("covered")).unwrap_or_default().lines() {
                say(&["-b", &format!("{dir}/bin/.stand-in:{real}")]);
            }
        }
        words
    }

    /// A login shell that gives an ordinary user's `root` the looks of one, and then is `shell`; just `shell` where
    /// nothing need be done.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn login_shell(&self, shell: Option<PathBuf>) -> Result<Option<PathBuf>> {
        // Root is root, and where there is no namespace to be root of, the stand-in for `id` says that it is.
        if self.login != Login::Root || self.view != View::UserNamespace {
            return Ok(shell);
        }
        let then = shell.as_deref().unwrap_or(Path::new("/bin/bash")).display();
        let path = self.dir.join("root-shell");
        fs::write(&path, format!("#!/bin/sh\nexec unshare --user --map-root-user -- '{then}' \"$@\"\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Some(path))
    }

    /// Gives `path` and all below it to the one who logs in, where that is another than who runs this. Links are given
    /// as links: what they lead to stays whose it is.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn hand_over(&self, path: &Path) -> Result<()> {
        let (uid, gid) = self.ids();
        if uid == geteuid().as_raw() {
            return Ok(());
        }
        lchown(path, Some(uid), Some(gid)).with_context(|| path.display().to_string())?;
        if path.symlink_metadata()?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.hand_over(&entry?.path())?;
            }
        }
        Ok(())
    }

    /// The ids that everything in the room runs under.
    fn ids(&self) -> (u32, u32) {
        if geteuid().is_root() && self.login == Login::Deploy {
            (DEPLOY, DEPLOY)
        } else {
            (geteuid().as_raw(), getegid().as_raw())
        }
    }

    /// The machine's own accounts, without those that would be taken for ours.
    fn passwd(&self, machine: &str) -> String {
        let (uid, gid) = self.ids();
        let name = self.login.name();
        let mut text = format!("{name}:*:{uid}:{gid}::/run/lab/home:/bin/bash\n");
        for line in machine.lines() {
            let mut fields = line.split(':');
            let (other, other_uid) = (fields.next(), fields.nth(1));
            if other != Some(name) && other_uid != Some(&uid.to_string()) {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

/// How a view can be made here, found out once.
///
/// # Errors
/// When there is no way.
fn view() -> Result<View> {
    static VIEW: OnceLock<Option<View>> = OnceLock::new();
    let found = VIEW.get_or_init(|| {
        // For trying the other ways on a machine that grants the best one.
        if std::env::var("LAB_VIEW").is_ok_and(|view| view == "proot") {
            return works(&["proot", "true"]).then_some(View::Proot);
        }
        let try_mount = ["--mount", "--propagation=private", "--", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"];
        if geteuid().is_root() && works(&[&["unshare"], &try_mount[..]].concat()) {
            Some(View::Mounts)
        } else if !geteuid().is_root() && works(&[&["unshare", "--user", "--map-root-user"], &try_mount[..]].concat()) {
            Some(View::UserNamespace)
        } else {
            works(&["proot", "true"]).then_some(View::Proot)
        }
    });
    match found {
        Some(view) => Ok(*view),
        None => bail!("this machine grants no mount namespace, and there is no proot: apt-get install proot"),
    }
}

fn works(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The machine's own programs of these names, wherever PATH would find them.
fn covered(programs: &[&str]) -> String {
    let mut found: Vec<PathBuf> = PATH
        .iter()
        .flat_map(|dir| programs.iter().map(move |name| Path::new(dir).join(name)))
        .filter(|path| path.is_file())
        .filter_map(|path| fs::canonicalize(path).ok())
        // A link to a program of many names must not take all of them away.
        .filter(|path| programs.iter().any(|name| path.ends_with(name)))
        .collect();
    found.sort();
    found.dedup();
    found.iter().map(|path| format!("{}\n", path.display())).collect()
}
