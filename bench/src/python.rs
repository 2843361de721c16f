//! pyinfra and ansible-core: installed into a cache, and told to do what the product does on a host that is right.
//!
//! Both are from the Python index, in the newest versions that run on Python 3.11. They ask the host the same things: is
//! the daemon active, which version is the client, is it in the right network with the right tags. Not for: the
//! Ansible *role* for the same job, which asks for more ([`crate::role`]).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::ground::{Place, TAG, TAILNET};

/// What is installed.
pub const PACKAGES: [&str; 2] = ["pyinfra==3.10.0", "ansible-core==2.19.14"];

/// Installs what is not there yet, and says where its programs stand. It needs `python3` with `venv`.
///
/// # Errors
/// When it cannot be installed.
pub fn install(cache: &Path) -> Result<PathBuf> {
    if let Some(bin) = installed(cache) {
        return Ok(bin);
    }
    let home = home(cache);
    let bin = home.join("bin");
    eprintln!("bench: installing {} into {}", PACKAGES.join(" and "), home.display());
    quietly(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    quietly(Command::new(bin.join("pip")).args(["install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES))?;
    std::fs::write(home.join(DONE), "")?;
    Ok(bin)
}

/// Where the programs stand, if they were installed before.
#[must_use]
pub fn installed(cache: &Path) -> Option<PathBuf> {
    let home = home(cache);
    home.join(DONE).is_file().then(|| home.join("bin"))
}

fn home(cache: &Path) -> PathBuf {
    cache.join(format!("bench-{}", PACKAGES.join("-").replace("==", "-")))
}

/// Written last, so that half an installation is none.
const DONE: &str = "done";

fn quietly(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| program.clone())?;
    ensure!(output.status.success(), "{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Writes what both of them read, beside what the others read.
///
/// # Errors
/// When files cannot be written.
pub fn write(dir: &Path, places: &[Place]) -> Result<()> {
    let here = dir.display();
    let pyinfra: String = places
        .iter()
        .map(|Place { name, port, user, .. }| {
            format!("    (\"{name}\", {{\"ssh_port\": {port}, \"ssh_user\": \"{user}\"}}),\n")
        })
        .collect();
    fs::write(
        dir.join("inventory.py"),
        format!(
            "bench = ([\n{pyinfra}], {{\n    \"ssh_hostname\": \"127.0.0.1\",\n    \"ssh_key\": \"{here}/id_ed25519\",\n    \
             \"ssh_known_hosts_file\": \"{here}/known_hosts\",\n    \"ssh_strict_host_key_checking\": \"yes\",\n    \
             \"ssh_allow_agent\": False,\n    \"ssh_look_for_keys\": False,\n}})\n"
        ),
    )?;
    fs::write(dir.join("deploy.py"), deploy())?;

    let ansible: String = places
        .iter()
        .map(|Place { name, port, user, .. }| {
            format!("{name} ansible_host=127.0.0.1 ansible_port={port} ansible_user={user}\n")
        })
        .collect();
    fs::write(
        dir.join("inventory.ini"),
        format!("{ansible}\n[all:vars]\nansible_python_interpreter=/usr/bin/python3\n"),
    )?;
    fs::write(dir.join("playbook.yml"), playbook())?;
    fs::write(dir.join("ansible.cfg"), tuned(dir))?;
    Ok(())
}

/// Ansible tuned as its documentation says: many forks, pipelining, one connection a host that is kept for the run. `dir` has
/// an `ssh_config`.
#[must_use]
pub fn tuned(dir: &Path) -> String {
    let (here, forks) = (dir.display(), crate::peers::AT_A_TIME);
    format!(
        "[defaults]\nforks = {forks}\nhost_key_checking = True\nlocal_tmp = {here}/.ansible/tmp\nnocows = True\n\
         [ssh_connection]\npipelining = True\nssh_args = -F {here}/ssh_config -o ControlMaster=auto -o ControlPersist=30s\n\
         control_path = {here}/cm-%%C\n"
    )
}

fn deploy() -> String {
    format!(
        "import json\n\nfrom pyinfra import host\nfrom pyinfra.api import DeployError\n\
         from pyinfra.facts.server import Command, LinuxDistribution\n\n\
         host.get_fact(LinuxDistribution)\n\
         active = host.get_fact(Command, \"systemctl is-active tailscaled\")\n\
         version = host.get_fact(Command, \"tailscale version\")\n\
         status = json.loads(host.get_fact(Command, \"tailscale status --json --peers=false\"))\n\
         right = (\n    active == \"active\"\n    and version\n    and status[\"BackendState\"] == \"Running\"\n    \
         and status[\"CurrentTailnet\"][\"MagicDNSSuffix\"] == \"{TAILNET}\"\n    \
         and \"{TAG}\" in status[\"Self\"][\"Tags\"]\n)\n\
         if not right:\n    raise DeployError(\"this host is not right\")\n"
    )
}

fn playbook() -> String {
    format!(
        "- hosts: all\n  gather_facts: true\n  tasks:\n    - name: daemon\n      \
         ansible.builtin.command: systemctl is-active tailscaled\n      changed_when: false\n    \
         - name: status\n      ansible.builtin.command: tailscale status --json --peers=false\n      \
         changed_when: false\n      register: status\n    \
         - name: right\n      vars:\n        found: \"{{{{ status.stdout | from_json }}}}\"\n      \
         ansible.builtin.assert:\n        that:\n          - found.BackendState == 'Running'\n          \
         - found.CurrentTailnet.MagicDNSSuffix == '{TAILNET}'\n          - \"'{TAG}' in found.Self.Tags\"\n"
    )
}
