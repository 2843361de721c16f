//! What the package manager says of the two packages that the install script brings.
//!
//! `dpkg` that is killed at its work leaves a package half done, and `apt-get`, and so the install script, does nothing for
//! anybody before that is mended (100, *dpkg was interrupted*). A client that is half there may even run. So it is asked
//! for in the same batch as everything else. Not for: how a half-done package is finished ([`crate::act`]).

use crate::port::{Ending, Output};

/// The packages that the install script brings.
pub const PACKAGES: [&str; 2] = ["tailscale", "tailscale-archive-keyring"];

/// A package whose installation was begun and not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Half {
    /// One of [`PACKAGES`].
    pub name: &'static str,
    /// How it is, in the words of `dpkg`: `half-installed`, `unpacked`, `half-configured`.
    pub how: &'static str,
}

impl Half {
    /// Whether its files are not all there: only unpacking it once more helps.
    #[must_use]
    pub fn lacks_files(&self) -> bool {
        self.how == "half-installed"
    }
}

/// Reads `dpkg-query -s`. A package that `dpkg` does not know, and a host without `dpkg`, have nothing half done.
#[must_use]
pub fn read(output: &Output) -> Vec<Half> {
    // 1 says that one of the two is not installed.
    if !matches!(output.ending, Ending::Exited(0 | 1)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut package = None;
    for line in output.stdout.lines() {
        if let Some(name) = line.strip_prefix("Package: ") {
            package = PACKAGES.into_iter().find(|known| *known == name.trim());
        } else if let (Some(name), Some(status)) = (package, line.strip_prefix("Status: ")) {
            let how = ["half-installed", "unpacked", "half-configured"];
            found.extend(
                how.into_iter().find(|how| status.split(' ').nth(2) == Some(how)).map(|how| Half { name, how }),
            );
            package = None;
        }
    }
    found
}

/// The packages in words: `tailscale (half-configured)`.
#[must_use]
pub fn shown(half: &[Half]) -> String {
    half.iter().map(|half| format!("{} ({})", half.name, half.how)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(ending: Ending, stdout: &str) -> Vec<Half> {
        read(&Output { ending, stdout: stdout.to_owned(), stderr: String::new() })
    }

    #[test]
    fn what_is_half_done_is_found_by_its_status_alone() {
        let text = "Package: tailscale\nStatus: install reinstreq half-installed\nPriority: extra\nDescription: x\n Status: install ok unpacked\n\n\
                    Package: tailscale-archive-keyring\nStatus: install ok unpacked\n";
        let half = said(Ending::Exited(0), text);
        assert_eq!(shown(&half), "tailscale (half-installed), tailscale-archive-keyring (unpacked)");
        assert!(half[0].lacks_files() && !half[1].lacks_files());
        for (status, how) in [("install ok half-configured", Some("half-configured")), ("install ok installed", None)] {
            let half = said(Ending::Exited(1), &format!("Package: tailscale\nStatus: {status}\n"));
            assert_eq!(half.first().map(|half| half.how), how);
        }
        for status in ["deinstall ok config-files", "install ok triggers-pending", "unknown ok not-installed", "x"] {
            assert_eq!(said(Ending::Exited(0), &format!("Package: tailscale\nStatus: {status}\n")), [], "{status}");
        }
    }

    #[test]
    fn a_host_without_dpkg_and_an_answer_that_is_none_have_nothing_half_done() {
        let text = "Package: tailscale\nStatus: install ok unpacked\n";
        assert_eq!(said(Ending::Exited(127), text), []);
        assert_eq!(said(Ending::TimedOut, text), []);
        assert_eq!(said(Ending::Exited(0), "Package: iptables\nStatus: install ok unpacked\n"), []);
        assert_eq!(said(Ending::Exited(0), "Status: install ok unpacked\n"), []);
    }
}
