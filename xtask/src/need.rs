//! What a machine must have before a command can do its work, and how it is brought.
//!
//! Everything is judged by looking (is the file there, does pkg-config answer), so that a second run costs nothing and
//! a machine that has it from elsewhere than Debian is left alone. Not for: crates, which cargo brings.

use std::path::Path;

use crate::tool::{Done, Stop, answer, cargo, command, find, run, run_quietly, say, succeeds};

/// One thing that must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A toolchain that is new enough for the workspace.
    Rustc,
    /// The standard library for the guest's target.
    WasmTarget,
    /// A component of the toolchain.
    Component(&'static str),
    /// A nightly toolchain, which the sanitizers of cargo-fuzz want.
    Nightly,
    /// A program that any of these names stands for, and the Debian package that has it.
    Program(&'static [&'static str], &'static str),
    /// What pkg-config knows under this name, and the Debian package that has it.
    Library(&'static str, &'static str),
    /// A way to give a throw-away host its own view of the file system: a mount namespace, or `proot` where none is
    /// granted.
    View,
    /// Python with what makes a place to install packages into.
    PythonVenv,
    /// A subcommand of cargo, built from source when it is missing.
    Cargo(&'static str),
}

/// What compiles the product.
pub(crate) const BUILD: &[Need] = &[
    Need::Rustc,
    Need::WasmTarget,
    Need::Program(&["cc", "gcc", "clang"], "build-essential"),
    Need::Program(&["pkg-config"], "pkg-config"),
    Need::Library("openssl", "libssl-dev"),
];

/// What a throw-away host is made of.
pub(crate) const HOSTS: &[Need] = &[
    Need::Program(&["sshd"], "openssh-server"),
    Need::Program(&["ssh"], "openssh-client"),
    Need::Program(&["unshare"], "util-linux"),
    Need::View,
];

/// The login shells that the tests log into.
pub(crate) const SHELLS: &[Need] = &[
    Need::Program(&["bash"], "bash"),
    Need::Program(&["dash"], "dash"),
    Need::Program(&["zsh"], "zsh"),
    Need::Program(&["fish"], "fish"),
    Need::Program(&["tcsh"], "tcsh"),
    Need::Program(&["busybox"], "busybox"),
];

/// What the lab of real hosts is made with, beside Go.
pub(crate) const LAB: &[Need] = &[
    Need::Program(&["ip"], "iproute2"),
    Need::Program(&["systemd-nspawn"], "systemd-container"),
    Need::Program(&["mmdebstrap"], "mmdebstrap"),
    // It asks gpg which keyring knows the mirror's key.
    Need::Program(&["gpg"], "gpg"),
    Need::Program(&["nsenter"], "util-linux"),
    Need::Program(&["ssh-keygen"], "openssh-client"),
];

/// The oldest Go whose `go` command reads the lab's module: from then on it may fetch a newer one by itself.
const OLDEST_GO: (u32, u32) = (1, 21);
/// The Go that the lab's module asks for.
const WANTED_GO: (u32, u32) = (1, 26);

/// What the Python tools are installed with, which the benchmark stands beside.
pub(crate) const PYTHON: &[Need] = &[Need::PythonVenv];

/// What builds OpenSSL from source.
pub(crate) const VENDORED: &[Need] = &[Need::Program(&["perl"], "perl"), Need::Program(&["make"], "make")];

/// What judges the style.
pub(crate) const LINTERS: &[Need] = &[Need::Component("rustfmt"), Need::Component("clippy")];

/// The oldest toolchain that compiles the workspace: `rust-version` in Cargo.toml.
const OLDEST: (u32, u32) = (1, 95);
const TARGET: &str = "wasm32-wasip2";

/// Brings what is missing of `needs`, one line each.
///
/// # Errors
/// When something is missing and cannot be brought: what to run instead.
pub(crate) fn bring(needs: &[&[Need]]) -> Done {
    let mut packages = Vec::new();
    for need in needs.iter().copied().flatten() {
        match need {
            Need::Program(_, package) | Need::Library(_, package) if !need.is_met() => packages.push(*package),
            Need::View if !need.is_met() => packages.push("proot"),
            Need::PythonVenv if !need.is_met() => packages.push("python3-venv"),
            Need::Rustc => rustc_is_new_enough()?,
            Need::WasmTarget if !need.is_met() => rustup(&["target", "add", TARGET])?,
            Need::Component(name) if !need.is_met() => rustup(&["component", "add", name])?,
            Need::Nightly if !need.is_met() => rustup(&["toolchain", "install", "nightly", "--profile", "minimal"])?,
            Need::Cargo(name) if !need.is_met() => {
                say(format!("building {name}, which takes some minutes: cargo install --locked {name}"));
                run(command("cargo").args(["install", "--locked", name]))?;
            }
            _ => {}
        }
    }
    if packages.is_empty() {
        return Ok(());
    }
    packages.sort_unstable();
    packages.dedup();
    install(&packages)?;
    // pkg-config may have come only now, so that what it was to be asked for is judged again.
    let still: Vec<&str> =
        needs.iter().copied().flatten().filter(|need| !need.is_met()).map(|need| need.name()).collect();
    if still.is_empty() {
        Ok(())
    } else {
        Err(Stop(format!("{} installed, and still there is no {}", packages.join(" "), still.join(", no "))))
    }
}

/// Why no lab of real hosts can be made here, after what can be brought was brought; `None` where one can be.
pub(crate) fn no_lab() -> Option<String> {
    if !is_root() {
        return Some("they need root".to_owned());
    }
    if let Err(stop) = go_is_new_enough().and_then(|()| bring(&[LAB])) {
        return Some(stop.0);
    }
    None
}

/// Looks for Go, and installs Debian's when that one would do.
fn go_is_new_enough() -> Done {
    if find_go().is_none()
        && let Some(candidate) =
            answer(command("apt-cache").args(["policy", "golang-go"])).and_then(|text| candidate(&text))
        && candidate >= WANTED_GO
    {
        install(&["golang-go"])?;
    }
    let wanted = format!("Go {}.{}", WANTED_GO.0, WANTED_GO.1);
    let Some(go) = find_go() else { return Err(Stop(format!("they need {wanted} or later, and there is no `go`"))) };
    let go = go.to_string_lossy();
    let found = answer(command(&go).args(["env", "GOVERSION"])).unwrap_or_default();
    let fetches = answer(command(&go).args(["env", "GOTOOLCHAIN"])).is_some_and(|choice| choice != "local");
    match go_version(found.trim_start_matches("go")) {
        Some(version) if version >= WANTED_GO || fetches && version >= OLDEST_GO => Ok(()),
        _ => Err(Stop(format!("they need {wanted} or later, and `go` is {found}"))),
    }
}

fn find_go() -> Option<std::path::PathBuf> {
    find("go").or_else(|| Some(std::path::PathBuf::from("/usr/local/go/bin/go")).filter(|file| file.is_file()))
}

/// Major and minor of the version that apt would install.
fn candidate(policy: &str) -> Option<(u32, u32)> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    go_version(version.split_once(':').map_or(version, |(_, rest)| rest))
}

/// Major and minor of `1.26.8`, `1.26rc1` or `1.26~1`.
fn go_version(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

impl Need {
    /// Whether it is there, by looking.
    fn is_met(self) -> bool {
        match self {
            Need::Rustc => true,
            Need::WasmTarget => answer(command("rustc").args(["--print", "target-libdir", "--target", TARGET]))
                .is_some_and(|dir| Path::new(&dir).is_dir()),
            Need::Component("clippy") => succeeds(cargo().args(["clippy", "--version"])),
            Need::Component("rustfmt") => succeeds(cargo().args(["fmt", "--version"])),
            Need::Component(name) => answer(command("rustup").args(["component", "list", "--installed"]))
                .is_some_and(|list| list.lines().any(|line| line.starts_with(name))),
            Need::Nightly => succeeds(command("rustc").args(["+nightly", "--version"])),
            Need::Program(names, _) => names.iter().any(|name| find(name).is_some()),
            Need::Library(name, _) => succeeds(command("pkg-config").args(["--exists", name])),
            Need::View => {
                let try_mount = ["--mount", "--propagation=private", "--", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"];
                let in_user_namespace = ["--user", "--map-root-user"];
                let user = if is_root() { &[][..] } else { &in_user_namespace[..] };
                succeeds(command("unshare").args(user).args(try_mount)) || find("proot").is_some()
            }
            Need::PythonVenv => succeeds(command("python3").args(["-c", "import ensurepip, venv"])),
            Need::Cargo(name) => succeeds(cargo().args([name.trim_start_matches("cargo-"), "--version"])),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Need::Rustc => "rustc",
            Need::WasmTarget => TARGET,
            Need::Component(name) | Need::Library(name, _) | Need::Cargo(name) => name,
            Need::Nightly => "nightly toolchain",
            Need::View => "mount namespace or proot",
            Need::PythonVenv => "python3 with venv",
            Need::Program(names, _) => names[0],
        }
    }
}

fn rustc_is_new_enough() -> Done {
    let found = answer(command("rustc").arg("--version")).unwrap_or_default();
    match version(&found) {
        Some(version) if version >= OLDEST => Ok(()),
        Some(_) => Err(Stop(format!(
            "found {found}, and the workspace needs {}.{} or later: rustup update stable",
            OLDEST.0, OLDEST.1
        ))),
        None => Err(Stop(format!("`rustc --version` answered \"{found}\": install Rust with https://rustup.rs"))),
    }
}

/// Major and minor of `rustc 1.95.0 (…)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(' ').nth(1)?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn rustup(args: &[&str]) -> Done {
    let line = format!("rustup {}", args.join(" "));
    if find("rustup").is_none() {
        return Err(Stop(format!("this toolchain did not come from rustup, so bring this yourself: {line}")));
    }
    say(&line);
    run(command("rustup").args(args))
}

/// Installs Debian packages as root or through `sudo -n`, or says the one line to run.
fn install(packages: &[&str]) -> Done {
    let list = packages.join(" ");
    if find("apt-get").is_none() {
        return Err(Stop(format!(
            "this is not Debian or a child of it, so install by your own package manager what Debian calls: {list}"
        )));
    }
    let root = is_root();
    if !root && !succeeds(command("sudo").args(["-n", "true"])) {
        return Err(Stop(format!(
            "missing: {list}. Run this, then the same command again:\n  sudo apt-get install -y {list}"
        )));
    }
    let sshd_is_new = packages.contains(&"openssh-server");
    if sshd_is_new {
        keep_sshd_quiet(root);
    }
    say(format!("apt-get install {list}"));
    if !lists_are_there() {
        run_quietly(&mut apt(root, &["update", "-qq"]))?;
    }
    let mut install = vec!["install", "-qq", "-y", "--no-install-recommends"];
    install.extend(packages);
    if run_quietly(&mut apt(root, &install)).is_ok() {
        return Ok(());
    }
    // Lists of last month name files that the mirrors no longer have.
    say("apt-get update, then once more");
    run_quietly(&mut apt(root, &["update", "-qq"]))?;
    run_quietly(&mut apt(root, &install))
}

fn is_root() -> bool {
    answer(command("id").arg("-u")).is_some_and(|id| id == "0")
}

fn apt(root: bool, args: &[&str]) -> std::process::Command {
    let mut words = vec!["env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l", "apt-get"];
    words.extend(["-o", "DPkg::Lock::Timeout=120"]);
    words.extend(args);
    as_root(root, &words)
}

fn as_root(root: bool, words: &[&str]) -> std::process::Command {
    let mut command = command(if root { words[0] } else { "sudo" });
    if root {
        command.args(&words[1..]);
    } else {
        command.args(["-n", "--"]).args(words);
    }
    command
}

/// Whether `apt-get update` ever ran here: a fresh container has no lists.
fn lists_are_there() -> bool {
    std::fs::read_dir("/var/lib/apt/lists")
        .is_ok_and(|dir| dir.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages")))
}

/// Debian starts a server as soon as its package is installed. The tests start their own on loopback, so a machine that
/// was no SSH server must not become one on port 22 by running them.
fn keep_sshd_quiet(root: bool) {
    if !Path::new("/run/systemd/system").is_dir() {
        return;
    }
    let units = ["systemctl", "mask", "ssh.service", "ssh.socket"];
    if run_quietly(&mut as_root(root, &units)).is_ok() {
        say(
            "ssh.service is masked, so that this machine does not become an SSH server: sudo systemctl unmask ssh.service ssh.socket",
        );
    } else {
        say("Debian will start an SSH server on port 22: sudo systemctl disable --now ssh.service");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_as_numbers_and_a_beta_counts_as_its_release() {
        assert_eq!(version("rustc 1.95.0 (59807616e 2026-04-14)"), Some((1, 95)));
        assert_eq!(version("rustc 1.100.0-nightly (abc 2027-01-01)"), Some((1, 100)));
        assert!(version("rustc 1.100.0") >= Some(OLDEST));
        assert!(version("rustc 1.85.1") < Some(OLDEST));
        assert_eq!(version("command not found"), None);
    }

    #[test]
    fn go_is_judged_by_what_it_is_or_what_apt_would_bring() {
        assert_eq!(go_version("1.26.8"), Some((1, 26)));
        assert_eq!(go_version("1.27rc1"), Some((1, 27)));
        assert_eq!(go_version("(none)"), None);
        let policy =
            |version: &str| format!("golang-go:\n  Installed: (none)\n  Candidate: {version}\n  Version table:\n");
        assert_eq!(candidate(&policy("2:1.19~1")), Some((1, 19)));
        assert_eq!(candidate(&policy("(none)")), None);
    }

    #[test]
    fn a_program_is_found_where_only_roots_path_leads() {
        assert!(Need::Program(&["no-such-program-anywhere", "sh"], "dash").is_met());
        assert!(!Need::Program(&["no-such-program-anywhere"], "nothing").is_met());
        assert!(find("chroot").is_some(), "coreutils keep it in /usr/sbin");
    }
}
