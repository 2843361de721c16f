//! `sudo` on a throw-away host: how an ordinary process comes to look like root's, where the model says that it may.
//!
//! What it says itself was taken from sudo 1.9.13 with `LC_ALL=C`. Root here is the root of a user namespace, in
//! which the one who logged in is uid 0: `id -u` says 0, files appear as root's, and the machine outside is safe. Where
//! the system grants no user namespace, only the stand-ins believe in it. With `-S` it reads a password
//! from its input as the real one does.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use rustix::fs::Access;
use tailscale_model::{Machine, Sudo};

use super::Manner;

/// Where Debian's sudo looks for programs, and what it gives to those that it runs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Set by every `sudo` for what it runs.
const MARK: &str = "SUDO_UID";

/// Whether what runs us is root, or is to be taken for it.
pub(super) fn is_root(machine: &Machine) -> bool {
    rustix::process::geteuid().is_root() || std::env::var_os(MARK).is_some() || machine.sudo == Sudo::Root
}

/// The password where the model's `sudo` asks for one.
pub const PASSWORD: &str = "correct-horse";
/// Another password of this host alone, where there is this file: for who looks for it on the whole machine, on which other
/// tests run too.
pub const OWN_PASSWORD: &str = "lab/sudo-password";
/// A line for each attempt: `right` or `wrong`.
pub const ATTEMPTS: &str = "lab/sudo-attempts";

/// Runs the rest of the words as root, or refuses; comes back only in the latter case.
pub(super) fn run(words: &[String], machine: &Machine, manner: &Manner) -> Result<u8> {
    let (mut asks, mut rest) = (false, words);
    loop {
        match rest {
            [word, more @ ..] if word == "-n" || word == "-k" => rest = more,
            [word, more @ ..] if word == "-S" => (asks, rest) = (true, more),
            [word, _, more @ ..] if word == "-p" => rest = more,
            [word, more @ ..] if word == "--" => {
                rest = more;
                break;
            }
            _ => break,
        }
    }
    let Some(program) = rest.first().filter(|word| !word.starts_with('-')) else {
        eprintln!(
            "usage: sudo -n [-k] [--] command, or sudo -S -k -p '' -- command (the stand-in knows no other words)"
        );
        return Ok(1);
    };
    if let Err(refusal) = machine.sudo() {
        if !asks || machine.sudo != Sudo::Password {
            eprint!("{}", refusal.stderr);
            return Ok(refusal.status);
        }
        if !takes_password()? {
            return Ok(1);
        }
    }
    if !is_there(program) {
        eprintln!("sudo: {program}: command not found");
        return Ok(1);
    }
    let uid = rustix::process::getuid().as_raw();
    let mut command = if uid == 0 || !manner.namespaces {
        Command::new(program)
    } else {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--"]).arg(program);
        command
    };
    command.args(&rest[1..]).env_clear();
    command.env("PATH", PATH);
    // The part of the environment that sudo checks and keeps.
    for (name, value) in std::env::vars_os() {
        let kept = name.to_str().is_some_and(|name| name.starts_with("LC_") || matches!(name, "LANG" | "TERM" | "TZ"));
        if kept {
            command.env(name, value);
        }
    }
    for (name, value) in [("HOME", "/root"), ("LOGNAME", "root"), ("USER", "root"), ("SHELL", "/bin/bash")] {
        command.env(name, value);
    }
    command.env("SUDO_USER", "deploy").env("SUDO_COMMAND", rest.join(" ")).env(MARK, uid.to_string());
    Err(command.exec().into())
}

/// Three attempts, a line each, read byte by byte as sudo does, so that the rest is left for the command.
fn takes_password() -> Result<bool> {
    let password = std::fs::read(Path::new("/run").join(OWN_PASSWORD)).unwrap_or_else(|_| PASSWORD.into());
    for attempt in 0..3 {
        let mut line = Vec::new();
        let mut byte = [0];
        let ended = loop {
            match rustix::io::read(std::io::stdin().as_fd(), &mut byte)? {
                0 => break true,
                _ if byte[0] == b'\n' => break false,
                _ => line.push(byte[0]),
            }
        };
        if ended && line.is_empty() {
            eprintln!("\nsudo: no password was provided");
            if attempt > 0 {
                eprintln!("sudo: {attempt} incorrect password attempt");
            }
            return Ok(false);
        }
        let right = line == password;
        let mut attempts = OpenOptions::new().create(true).append(true).open(Path::new("/run").join(ATTEMPTS))?;
        writeln!(attempts, "{}", if right { "right" } else { "wrong" })?;
        if right {
            return Ok(true);
        }
        if attempt < 2 {
            eprintln!("Sorry, try again.");
        }
    }
    eprintln!("sudo: 3 incorrect password attempts");
    Ok(false)
}

/// `id` where no user namespace can be had: the machine's own, but for the question whether this is root.
pub(super) fn id(words: &[String], machine: &Machine) -> Result<u8> {
    if is_root(machine) && words == ["-u"] {
        println!("0");
        return Ok(0);
    }
    Err(Command::new("/usr/bin/id").args(words).exec().into())
}

/// Whether there is such a program. Asked by `access`, which `proot` answers rightly where it fails at newer calls.
fn is_there(program: &str) -> bool {
    let executable = |path: &Path| rustix::fs::access(path, Access::EXEC_OK).is_ok();
    program.contains('/') && executable(Path::new(program))
        || PATH.split(':').any(|dir| executable(&Path::new(dir).join(program)))
}
