//! What a lab is made of, each made once for a machine and kept in the [`cache`](crate::cache): a root of Debian, the
//! servers, each release of the client, its packages, a root with that client in it.
//!
//! Not for: what a lab does with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cache::entry;
use crate::program::{find, run};
use crate::{Os, Release};

/// What is in every host beside what Debian calls required.
const PACKAGES: &str = "systemd,systemd-sysv,libpam-systemd,dbus,openssh-server,sudo,curl,ca-certificates,iproute2,iptables,nftables,\
                        gnupg,procps,iputils-ping,kmod,fish,zsh,tcsh,less";
const PREPARE: &str = include_str!("prepare-base.sh");

/// The root of a Debian release, ready to be the lowest layer of hosts, with `more` packages in it: their names, with commas
/// between.
///
/// # Errors
/// When it cannot be made: `mmdebstrap` says why.
pub fn base(os: Os, more: &str) -> Result<PathBuf> {
    let suite = os.suite();
    let mut from = vec![PACKAGES.as_bytes(), PREPARE.as_bytes()];
    from.extend((!more.is_empty()).then_some(more.as_bytes()));
    let made = entry(&format!("base-{suite}"), &from, |dir| {
        let root = dir.join("root");
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=apt", "--dpkgopt=force-unsafe-io"]);
        command.arg(format!("--include={PACKAGES},{more}").trim_end_matches(','));
        for useless in ["man", "doc", "locale", "info"] {
            command.arg(format!("--dpkgopt=path-exclude=/usr/share/{useless}/*"));
        }
        run(command.arg(suite).arg(&root).arg(mirror()?))?;
        let script = root.join("tmp/prepare");
        fs::write(&script, PREPARE)?;
        run(Command::new("chroot").arg(&root).args(["/usr/bin/env", "-i", "/bin/sh", "/tmp/prepare"]))?;
        Ok(fs::remove_file(script)?)
    })?;
    Ok(made.join("root"))
}

/// Where this machine gets its own packages from: nobody else's choice is made for it.
fn mirror() -> Result<String> {
    let all = run(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]))?;
    let first = all.lines().find(|line| !line.contains("security")).map(str::to_owned);
    first.context("apt on this machine knows no package mirror, so no root of Debian can be made")
}

/// The program that plays everything around the hosts, built from the Go module of this crate.
///
/// # Errors
/// When there is no Go, or it does not build.
pub fn servers() -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
    let mut names: Vec<_> =
        fs::read_dir(&source)?.flatten().map(|file| file.path()).filter(|path| path.is_file()).collect();
    names.sort();
    let mut parts = vec![go_version()?.into_bytes()];
    for path in &names {
        parts.push(fs::read(path).with_context(|| path.display().to_string())?);
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let made = entry("servers", &parts, |dir| {
        run(go()?
            .current_dir(&source)
            .args(["build", "-mod=readonly", "-trimpath", "-o"])
            .arg(dir.join("servers"))
            .arg("."))
        .map(drop)
    })?;
    Ok(made.join("servers"))
}

/// A folder with `tailscale` and `tailscaled` of that release, stamped with its version as the official build does.
///
/// # Errors
/// When it does not build, or the module is not the one that was looked at when this was written.
pub fn client(release: Release) -> Result<PathBuf> {
    let version = release.version();
    entry(&format!("client-{version}"), &[go_version()?.as_bytes(), release.sum().as_bytes()], |dir| {
        module(release)?;
        let stamp = format!(
            "-s -w -X tailscale.com/version.shortStamp={version} -X tailscale.com/version.longStamp={version}-tlab"
        );
        let mut command = go()?;
        command.env("GOBIN", dir).current_dir(dir).args(["install", "-trimpath", "-ldflags", &stamp]);
        run(command.args(["tailscale", "tailscaled"].map(|name| format!("tailscale.com/cmd/{name}@v{version}"))))
            .map(drop)
    })
}

/// The folder of the client's module, where Go keeps it.
fn module(release: Release) -> Result<PathBuf> {
    let said = run(go()?.current_dir("/").args([
        "mod",
        "download",
        "-json",
        &format!("tailscale.com@v{}", release.version()),
    ]))?;
    let said: serde_json::Value = serde_json::from_str(&said)?;
    let sum = said["Sum"].as_str().unwrap_or_default();
    ensure!(sum == release.sum(), "tailscale.com {} is {sum}, and was {} before", release.version(), release.sum());
    Ok(PathBuf::from(said["Dir"].as_str().context("go did not say where the module is")?))
}

/// The web sites of a release, by host name: the install script and a signed repository with its packages.
///
/// # Errors
/// When they cannot be made.
pub fn sites(release: Release) -> Result<PathBuf> {
    let (client, version) = (client(release)?, release.version());
    // Of the servers, what makes them: else every edit of another one would make them anew.
    let from = [client.as_os_str().as_encoded_bytes(), include_bytes!("../go/pack.go")];
    entry(&format!("sites-{version}"), &from, |dir| {
        let mut command = Command::new(servers()?);
        command.args(["pack", "-version", version, "-bin"]).arg(&client).arg("-module").arg(module(release)?);
        // The script is not part of a release: what the site serves today installs all of them.
        command.arg("-site").arg(module(Release::NEWEST)?).arg("-out").arg(dir);
        run(&mut command).map(drop)
    })
}

/// A layer over such a [`base`] in which the package of that release is installed.
///
/// # Errors
/// When it cannot be made.
pub fn installed(os: Os, more: &str, release: Release) -> Result<PathBuf> {
    let (base, sites) = (base(os, more)?, sites(release)?);
    let from = [&base, &sites].map(|path| path.as_os_str().as_encoded_bytes());
    let made = entry(&format!("installed-{}-{}", os.suite(), release.version()), &from, |dir| {
        for name in ["layer", "work", "root"] {
            fs::create_dir(dir.join(name))?;
        }
        fs::set_permissions(dir.join("layer"), fs::Permissions::from_mode(0o755))?;
        let deb = fs::read_dir(sites.join("build"))?.flatten().map(|file| file.path()).find(|path| {
            path.extension().is_some_and(|kind| kind == "deb")
                && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tailscale_"))
        });
        let deb = deb.context("there is no package in the repository")?;
        let script = "mount -t overlay overlay -o \"lowerdir=$1,upperdir=$2/layer,workdir=$2/work\" \"$2/root\" && cp \"$3\" \"$2/root/tmp/it.deb\" \
                      && chroot \"$2/root\" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg -i /tmp/it.deb && rm \"$2/root/tmp/it.deb\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "--", "sh", "-c", script, "sh"]);
        run(command.arg(&base).arg(dir).arg(deb))?;
        fs::remove_dir(dir.join("root"))?;
        Ok(fs::remove_dir_all(dir.join("work"))?)
    })?;
    Ok(made.join("layer"))
}

fn go() -> Result<Command> {
    let Some(program) = find("go") else { bail!("there is no Go on this machine") };
    let mut command = Command::new(program);
    // What is built must run in any root; the flags of this machine's builds are not ours.
    command.env("CGO_ENABLED", "0").env("GOWORK", "off").env("GOFLAGS", "-buildvcs=false");
    Ok(command)
}

fn go_version() -> Result<String> {
    run(go()?.arg("version"))
}
