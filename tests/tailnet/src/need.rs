//! What a machine must have for a lab, by looking. `cargo xtask` brings what can be brought.

use std::fs;
use std::process::Command;

use crate::program::{find, run};

/// Programs, and the Debian package that has each.
const PROGRAMS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("systemd-nspawn", "systemd-container"),
    ("mmdebstrap", "mmdebstrap"),
    ("gpg", "gpg"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("dpkg-deb", "dpkg"),
    ("go", "golang, 1.26 or later"),
];

/// What is missing, one phrase each. None: a lab can be made.
#[must_use]
pub fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root".to_owned());
    }
    for (program, package) in PROGRAMS {
        if find(program).is_none() {
            missing.push(format!("{program} ({package})"));
        }
    }
    let has =
        |file: &str, word: &str| fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|w| w == word));
    if !has("/proc/mounts", "cgroup2") {
        missing.push("a cgroup2 file system".to_owned());
    }
    if !has("/proc/filesystems", "overlay") {
        missing.push("overlayfs in the kernel (modprobe overlay)".to_owned());
    }
    if !fs::exists("/dev/net/tun").unwrap_or(false) {
        missing.push("/dev/net/tun (modprobe tun)".to_owned());
    }
    if !has_line("/etc/os-release", "ID=debian") {
        missing.push("Debian (the roots of its hosts come from its own mirror)".to_owned());
    }
    if missing.is_empty()
        && let Err(error) =
            run(Command::new("unshare").args(["--mount", "--net", "--propagation=private", "--", "sh", "-ec", TRIAL]))
    {
        let text = format!("{error:#}");
        let reason = text.lines().last().unwrap_or_default();
        missing.push(format!("way to make a host: {reason}"));
    }
    missing
}

fn has_line(file: &str, line: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.lines().any(|there| there.trim() == line))
}

/// What every host needs: a mount over the place where its disk will be, a control group. It leaves nothing.
const TRIAL: &str = r#"
dir=/var/lib/stagecraft-net-lab.trial.$$
trap 'rm -rf $dir' EXIT
mkdir -p $dir/low $dir/up $dir/work $dir/root
mount -t overlay overlay -o lowerdir=$dir/low,upperdir=$dir/up,workdir=$dir/work $dir/root
umount $dir/root
group=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)/stagecraft-net-lab.trial.$$
mkdir $group
rmdir $group
"#;
