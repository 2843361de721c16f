//! How the install script fails, told by what it printed.
//!
//! Its own messages are on standard output, its trace and apt's errors on standard error. One exit status stands for many
//! causes (100 is all of apt), and one message for two (*isn't supported* is also what a failed download reads like).

use super::{fail, told};
use crate::port::{Ending, Failure, Output};
use crate::text;

const SCRIPT: &str = "https://tailscale.com/install.sh";
const PACKAGES: &str = "https://pkgs.tailscale.com/";

/// Whether the script gave up because another process holds a lock of apt or dpkg: worth waiting for.
#[must_use]
pub fn is_locked(run: &Output) -> bool {
    run.ending == Ending::Exited(100)
        && ["Could not get lock", "Unable to lock directory", "Unable to acquire the dpkg frontend lock"]
            .iter()
            .any(|sign| run.stderr.contains(sign))
}

/// The script could not be downloaded.
#[must_use]
pub fn download(curl: &Output) -> Failure {
    let (code, error, next) = if curl.ending == Ending::Exited(127) {
        (
            "install-no-curl",
            "there is no curl on the host".to_owned(),
            "install curl and ca-certificates on the host, then run again.",
        )
    } else {
        (
            "install-download",
            format!("the install script could not be downloaded: {}", text::why(curl)),
            "let the host reach tailscale.com (DNS, proxy, firewall), then run again; or install Tailscale by other means and set install.method to skip.",
        )
    };
    failed(code, &error, &error, SCRIPT, next, curl)
}

/// The script ran, and Tailscale is not there. An exit status of 0 proves nothing.
#[must_use]
pub fn script(run: &Output) -> Failure {
    let all = format!("{}\n{}", run.stdout, run.stderr);
    let has = |sign: &str| all.contains(sign);
    let line = |sign: &str| all.lines().find(|line| line.contains(sign)).map(text::shown).unwrap_or_default();
    let repair = "repair the host's package sources (`sudo apt-get update` shows the error), then run again.";
    let again = "let the host reach pkgs.tailscale.com (DNS, proxy, firewall), then run again.";

    if has("needs to run commands as root") || has("a password is required") || has("you must have a tty") {
        return super::privilege(&text::why(run));
    }
    if has("Couldn't determine what kind of Linux") {
        return super::unsupported_os("a Linux that the install script does not know");
    }
    if is_locked(run) {
        let held = line("Could not get lock");
        return failed(
            "install-locked",
            &format!("the package manager is locked: {held}"),
            &held,
            "the lock of apt or dpkg, within the time that this run may wait.",
            "let the other package run finish (`ps` shows it), then run again.",
            run,
        );
    }
    if has("The installer cannot reach") {
        return failed(
            "install-network",
            &format!("{PACKAGES} cannot be reached: {}", line("curl: (")),
            "no way to the package host.",
            PACKAGES,
            again,
            run,
        );
    }
    if has("isn't supported by this script yet") {
        let said = line("isn't supported by this script yet");
        return failed(
            "install-not-supported",
            &format!("the install script says: {said}"),
            &format!("{said} It says the same when its download of the list of releases fails."),
            "a release that Tailscale packages are made for.",
            "see whether the host can reach pkgs.tailscale.com. If it can, its release is too new or too old for the script.",
            run,
        );
    }
    if has("don't have enough free space") || has("No space left on device") {
        let half = if has("No space left on device") {
            " The package is left half-installed: `sudo dpkg --configure -a`."
        } else {
            ""
        };
        return failed(
            "install-disk",
            "the disk is full",
            &format!("no room for the package.{half}"),
            "about 120 MB.",
            "make room on the host, then run again.",
            run,
        );
    }
    if has("is not signed") || has("NO_PUBKEY") {
        // The script does not notice that the key did not come: it goes on with an empty one.
        return if has("curl: (") {
            let error = format!("Tailscale's signing key could not be downloaded: {}", line("curl: ("));
            failed("install-key", &error, &error, PACKAGES, again, run)
        } else {
            let said = line("is not signed");
            failed(
                "install-repository",
                &format!("a package source of the host is broken: {said}"),
                &said,
                "package sources that apt accepts.",
                repair,
                run,
            )
        };
    }
    if has("Unable to locate package") {
        return failed(
            "install-index",
            "the index of Tailscale's packages could not be downloaded",
            &line("Failed to fetch"),
            PACKAGES,
            again,
            run,
        );
    }
    if has("E: Failed to fetch") {
        return failed(
            "install-package",
            "the package could not be downloaded",
            &line("E: Failed to fetch"),
            PACKAGES,
            again,
            run,
        );
    }
    if has("Syntax error") || has("parameter not set") {
        return failed(
            "install-script",
            &format!("the install script broke off: {}", text::why(run)),
            &text::why(run),
            SCRIPT,
            "run again; a host whose /etc/os-release lacks VERSION_CODENAME cannot be told by the script.",
            run,
        );
    }
    match run.ending {
        Ending::Exited(0) => failed(
            "install-nothing",
            "the install script ended well, and `tailscale` is not there",
            "an exit status of 0, and no client.",
            "`tailscale` on the PATH.",
            "see what the host runs in the place of a command (a forced command, a wrapper of sudo).",
            run,
        ),
        Ending::TimedOut => failed(
            "install-slow",
            "the install script did not end in time",
            "no end after 10 minutes.",
            "a package within 10 minutes.",
            "see what holds it up on the host, then run again.",
            run,
        ),
        Ending::Exited(_) | Ending::Skipped | Ending::Unknown => {
            failed("install-other", &text::why(run), &text::why(run), "an install script that ends well.", repair, run)
        }
    }
}

fn failed(code: &'static str, error: &str, found: &str, wanted: &str, next: &str, run: &Output) -> Failure {
    let mut found = found.trim_end_matches('.').to_owned();
    // Its last lines are what was found, too.
    for line in text::tail(run, 5) {
        found.push_str("\n  ");
        found.push_str(&line);
    }
    let detail = told(found, wanted, next);
    fail("install-failed", code, format!("installation failed: {error}"), detail)
}
