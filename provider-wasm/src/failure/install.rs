//! How the install script fails, told by what it printed.
//!
//! Its own messages are on standard output, its trace and apt's errors on standard error. One exit status stands for many
//! causes (100 is all of apt), and one message for two (*isn't supported* is also what a failed download reads like).

use super::{fail, told};
use crate::package::{self, Half};
use crate::port::{Ending, Failure, Output};
use crate::text;

const SCRIPT: &str = "https://tailscale.com/install.sh";
const PACKAGES: &str = "https://pkgs.tailscale.com/";

/// Whether the script gave up because another process holds a lock of apt or dpkg: worth waiting for.
#[must_use]
pub fn is_locked(run: &Output) -> bool {
    matches!(run.ending, Ending::Exited(2 | 100))
        && [
            "Could not get lock",
            "frontend lock was locked by another process",
            "Unable to lock directory",
            "Unable to acquire the dpkg frontend lock",
        ]
        .iter()
        .any(|sign| run.stderr.contains(sign))
}

/// Whether the script gave up because an earlier run of dpkg was cut off.
#[must_use]
pub fn is_interrupted(run: &Output) -> bool {
    run.ending == Ending::Exited(100) && run.stderr.contains("dpkg was interrupted")
}

/// An installation was begun by somebody and not finished, and nothing may be installed.
#[must_use]
pub fn half(half: &[Half]) -> Failure {
    fail(
        "install-failed",
        "install-half",
        "installation failed: it was begun and not finished, and install.method is skip",
        told(
            package::shown(half),
            "packages that are installed whole",
            "an earlier run of dpkg was cut off",
            "by hand, on the host:  sudo dpkg --configure -a\nor here:  set install.method to auto, then {run up @hosts}",
        ),
    )
    .at("/install/method")
}

/// What is known of one way in which the script fails.
struct Told<'a> {
    code: &'static str,
    error: &'a str,
    found: &'a str,
    wanted: &'a str,
    means: &'a str,
    next: &'a str,
}

/// What was begun earlier could not be finished.
#[must_use]
pub fn not_finished(half: &[Half], outputs: &[Output]) -> Failure {
    let nothing = Output { ending: Ending::Exited(0), stdout: String::new(), stderr: String::new() };
    let run = outputs.iter().find(|output| !output.succeeded()).unwrap_or(&nothing);
    let found = package::shown(half);
    Told {
        code: "install-half",
        error: &format!("it was begun earlier and could not be finished: {found}"),
        found: &found,
        wanted: "packages that are installed whole",
        means: "an earlier run of dpkg was cut off, and dpkg cannot finish it",
        next: "on the host:  sudo dpkg --configure -a && sudo apt-get install --reinstall tailscale",
    }
    .failed(run)
}

/// The script could not be downloaded.
#[must_use]
pub fn download(curl: &Output) -> Failure {
    if curl.ending == Ending::Exited(127) {
        let told = Told {
            code: "install-no-curl",
            error: "there is no curl on the host",
            found: "no `curl` on the PATH",
            wanted: "curl and ca-certificates, by which the install script is brought",
            means: "",
            next: "on the host:  sudo apt-get install curl ca-certificates",
        };
        return told.failed(curl);
    }
    let why = text::why(curl);
    if let Some(which) = text::clock_trouble(&why) {
        let told = Told {
            code: "install-clock",
            error: &format!("the install script could not be downloaded: {why}"),
            found: &why,
            wanted: SCRIPT,
            means: &format!("{which}; nothing was installed"),
            next: "the clock, on the host:  timedatectl\n  sudo timedatectl set-ntp true\n\
                   a proxy gives the certificate:  mend that proxy",
        };
        return told.failed(curl);
    }
    let told = Told {
        code: "install-download",
        error: &format!("the install script could not be downloaded: {why}"),
        found: &why,
        wanted: SCRIPT,
        means: "the host's way out is closed, or the site is down for it; nothing was installed",
        next: "online:  let the host reach tailscale.com and pkgs.tailscale.com (DNS, proxy, firewall)\n\
               offline:  install Tailscale by other means, and set install.method to skip",
    };
    told.failed(curl)
}

/// The script ran, and Tailscale is not there. An exit status of 0 proves nothing.
#[must_use]
pub fn script(run: &Output) -> Failure {
    let all = format!("{}\n{}", run.stdout, run.stderr);
    let has = |sign: &str| all.contains(sign);
    let line = |sign: &str| all.lines().find(|line| line.contains(sign)).map(text::shown).unwrap_or_default();
    let repair = "see why, on the host:  sudo apt-get update\nmend:  the package source that it names";
    let reach = "let the host reach pkgs.tailscale.com (DNS, proxy, firewall)";
    let partly = "the script may have added Tailscale's package source; another run goes on from there";

    if has("needs to run commands as root") || has("a password is required") || has("you must have a tty") {
        return super::privilege(&text::why(run));
    }
    if has("Couldn't determine what kind of Linux") {
        return super::unsupported_os("a Linux that the install script does not know");
    }
    let why = text::why(run);
    let clock = all.lines().map(text::shown).find_map(|line| {
        let which = text::clock_trouble(&line)?;
        Some((line, which))
    });
    if is_interrupted(run) {
        Told {
            code: "install-interrupted",
            error: "an earlier run of dpkg was cut off and cannot be finished",
            found: &line("dpkg was interrupted"),
            wanted: "a package manager that has finished what it began",
            means: "this run has told dpkg to finish it, and it did not",
            next: "see what is in the way, on the host:  sudo dpkg --configure -a",
        }
        .failed(run)
    } else if is_locked(run) {
        let held = line("Could not get lock");
        Told {
            code: "install-locked",
            error: &format!("the package manager is locked: {held}"),
            found: &held,
            wanted: "the lock of apt or dpkg, within the time that this run may wait",
            means: "another package run, often unattended-upgrades after a boot; this run waited for it",
            next: "see who, on the host:  ps -ef | grep -e apt -e dpkg\n  and let it finish",
        }
        .failed(run)
    } else if let Some((said, which)) = clock {
        // Before all that it may also look like: to a clock that is wrong, a good signature is none.
        Told {
            code: "install-clock",
            error: &format!("by the host's clock a package source cannot be used: {said}"),
            found: &said,
            wanted: "a clock that is right, and package sources that are valid now",
            means: &format!("{which}; {partly}"),
            next: "the clock, on the host:  timedatectl\n  sudo timedatectl set-ntp true\n\
                   the clock is right:  mend the package source that it names, or take it away",
        }
        .failed(run)
    } else if has("The installer cannot reach") {
        Told {
            code: "install-network",
            error: &format!("{PACKAGES} cannot be reached: {}", line("curl: (")),
            found: "no way to the package host",
            wanted: PACKAGES,
            means: "the script itself came, so it is this one site",
            next: reach,
        }
        .failed(run)
    } else if has("isn't supported by this script yet") {
        let said = line("isn't supported by this script yet");
        Told {
            code: "install-not-supported",
            error: &format!("the install script says: {said}"),
            found: &said,
            wanted: "a release that Tailscale packages are made for",
            means: "the script says the same when its download of the list of releases fails",
            next: "see why, on the host:  curl -fsS https://pkgs.tailscale.com/ > /dev/null\nthat works:  the release is too new or too old for the script: install Tailscale by other means, with install.method skip\nthat fails:  let the host reach pkgs.tailscale.com (DNS, proxy, firewall)",
        }
        .failed(run)
    } else if has("don't have enough free space") || has("No space left on device") {
        let half = if has("No space left on device") { "the package is left half-installed" } else { "" };
        Told {
            code: "install-disk",
            error: "the disk is full",
            found: "no room for the package",
            wanted: "about 120 MB",
            means: half,
            next: if half.is_empty() {
                "see what is full, on the host:  df -h"
            } else {
                "see what is full, on the host:  df -h\nwhen there is room:  sudo dpkg --configure -a"
            },
        }
        .failed(run)
    } else if (has("is not signed") || has("NO_PUBKEY")) && has("curl: (") {
        // The script does not notice that the key did not come: it goes on with an empty one.
        let error = format!("Tailscale's signing key could not be downloaded: {}", line("curl: ("));
        Told { code: "install-key", error: &error, found: &error, wanted: PACKAGES, means: partly, next: reach }
            .failed(run)
    } else if has("is not signed") || has("NO_PUBKEY") {
        let said = line("is not signed");
        Told {
            code: "install-repository",
            error: &format!("a package source of the host is broken: {said}"),
            found: &said,
            wanted: "package sources that apt accepts",
            means: "it is the host's own source, not Tailscale's: apt would fail for any package",
            next: repair,
        }
        .failed(run)
    } else if has("Unable to locate package") {
        Told {
            code: "install-index",
            error: "the index of Tailscale's packages could not be downloaded",
            found: &line("Failed to fetch"),
            wanted: PACKAGES,
            means: partly,
            next: reach,
        }
        .failed(run)
    } else if has("E: Failed to fetch") {
        Told {
            code: "install-package",
            error: "the package could not be downloaded",
            found: &line("E: Failed to fetch"),
            wanted: PACKAGES,
            means: partly,
            next: reach,
        }
        .failed(run)
    } else if has("Syntax error") || has("parameter not set") {
        Told {
            code: "install-script",
            error: &format!("the install script broke off: {why}"),
            found: &why,
            wanted: SCRIPT,
            means: "the download was cut short or is not the script; or /etc/os-release lacks VERSION_CODENAME",
            next: "see what comes, on the host:  curl -fsSL https://tailscale.com/install.sh | head -n 3",
        }
        .failed(run)
    } else {
        ended(run, &why)
    }
}

/// As [`script`], where nothing that it printed is known.
fn ended(run: &Output, why: &str) -> Failure {
    match run.ending {
        Ending::Exited(0) => Told {
            code: "install-nothing",
            error: "the install script ended well, and `tailscale` is not there",
            found: "an exit status of 0, and no client",
            wanted: "`tailscale` on the PATH",
            means: "something runs in the place of the script: a forced command, a wrapper of sudo",
            next: "see what runs, on the host:  sudo -n sh -c 'echo it is sh'",
        },
        Ending::TimedOut => Told {
            code: "install-slow",
            error: "the install script did not end in time",
            found: "no end after 10 minutes",
            wanted: "a package within 10 minutes",
            means: "what the script had begun was ended with it",
            next: "see what holds it up, on the host:  sudo dpkg --configure -a",
        },
        Ending::Exited(_) | Ending::Skipped | Ending::Unknown => Told {
            code: "install-other",
            error: why,
            found: why,
            wanted: "an install script that ends well",
            means: "the lines above are the last that it printed",
            next: "see whether package sources work, on the host:  sudo apt-get update",
        },
    }
    .failed(run)
}

impl Told<'_> {
    fn failed(&self, run: &Output) -> Failure {
        let mut found = self.found.trim_end_matches('.').to_owned();
        // Its last lines are what was found, too; none is said twice.
        for line in text::tail(run, 5) {
            if found.lines().all(|known| known.trim().trim_end_matches('.') != line.trim().trim_end_matches('.')) {
                found.push_str("\n  ");
                found.push_str(&line);
            }
        }
        let next = format!("{}\nthen:  {{run up @hosts}}", self.next);
        let detail = told(found, self.wanted, self.means, next);
        fail("install-failed", self.code, format!("installation failed: {}", self.error), detail)
    }
}
