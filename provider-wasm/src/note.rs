//! What is good to know about a host that is right.
//!
//! Not for: anything that stands in the way of a goal ([`crate::failure`]).

use crate::port::{Diagnostic, Severity};
use crate::text;
use crate::version::Version;

fn note(severity: Severity, code: &'static str, summary: String) -> Diagnostic {
    Diagnostic { severity, code, summary, detail: None, config_path: None }
}

/// Nothing was installed, as the config asks.
#[must_use]
pub fn install_skipped() -> Diagnostic {
    note(Severity::Note, "install-skipped", "Tailscale is not installed, and install.method is skip".to_owned())
}

/// The member is not connected to the control server.
#[must_use]
pub fn offline() -> Diagnostic {
    let summary =
        "the host is offline: it has no connection to the control server now, and keeps its place in the tailnet";
    // What a daemon says of a node that its server has forgotten is the same.
    let detail = "means: its way to the control server is cut, or the node was deleted in the admin console\n\
                  do: it was cut:  it comes back by itself\n\
                  it was deleted:  {run leave @hosts}\n  {run up @hosts}";
    Diagnostic { detail: Some(detail.to_owned()), ..note(Severity::Warning, "offline", summary.to_owned()) }
}

/// The member has not found a relay.
#[must_use]
pub fn connecting() -> Diagnostic {
    note(Severity::Warning, "connecting", "the host is a member and has not found a relay yet".to_owned())
}

/// The member has tags that were not asked for.
#[must_use]
pub fn extra_tags(tags: &[String]) -> Diagnostic {
    let summary = format!("the host has more tags than asked for: {}; they are left as they are", text::tags(tags));
    note(Severity::Note, "extra-tags", summary)
}

/// The release works, and a later one is better.
#[must_use]
pub fn old_release(found: Version) -> Diagnostic {
    let summary = format!("Tailscale {found} works; {} or later is recommended", Version::RECOMMENDED);
    note(Severity::Note, "old-release", summary)
}

/// Nobody can tell whether the daemon starts at boot.
#[must_use]
pub fn boot_unknown(why: &str) -> Diagnostic {
    let summary = format!("whether the daemon starts at boot cannot be told: {}", text::shown(why));
    note(Severity::Warning, "boot-unknown", summary)
}

/// A join was begun by somebody and goes on.
#[must_use]
pub fn join_pending() -> Diagnostic {
    let summary = "a join that was begun earlier goes on: the host may become a member by itself";
    note(Severity::Warning, "join-pending", summary.to_owned())
}
