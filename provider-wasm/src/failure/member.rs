//! How a machine is not the member that it should be: another tailnet, name or tags, no proof, no approval.

use super::{fail, told};
use crate::port::Failure;
use crate::state::{Aim, Foreign, Wanted};
use crate::text;

/// The machine is in another tailnet or on another control server. Nothing was changed.
#[must_use]
pub fn network_mismatch(foreign: &Foreign, wanted: &Wanted<'_>) -> Failure {
    let (domain, control) = (&wanted.config.tailnet_domain, wanted.config.control());
    // The same name on another server is another tailnet.
    let (actual, expected) = if foreign.other_server && foreign.suffix.as_ref() == Some(domain) {
        (format!("{domain} at {}", foreign.control), format!("{domain} at {control}"))
    } else {
        (foreign.name().to_owned(), domain.clone())
    };
    let next = match (&foreign.suffix, wanted.goal) {
        (Some(suffix), Aim::Absent) => {
            format!("it is left alone. To log it out of {suffix} all the same, name that tailnet: --from {suffix}.")
        }
        (Some(suffix), Aim::Installed | Aim::Joined) => format!(
            "if it should move, leave {suffix} first (--from {suffix}), then join; if not, mend tailnet_domain."
        ),
        (None, Aim::Installed | Aim::Joined | Aim::Absent) => {
            "it is left alone. If it should move, run `sudo tailscale logout` on it, then join.".to_owned()
        }
    };
    fail(
        "network-mismatch",
        "network-mismatch",
        format!("host is in tailnet {}, expected {expected}", text::shown(&actual)),
        told(
            format!("{} on the control server {}.", text::shown(foreign.name()), text::shown(&foreign.control)),
            format!("{domain} on the control server {control}."),
            next,
        ),
    )
    .at("/tailnet_domain")
}

/// A join with another control server goes on. Nothing was changed.
#[must_use]
pub fn pending_elsewhere(control: &str, wanted: &Wanted<'_>) -> Failure {
    let control = text::shown(control);
    fail(
        "network-mismatch",
        "pending-elsewhere",
        format!("host is in tailnet {control}, expected {}", wanted.config.tailnet_domain),
        told(
            format!("a join to the control server {control} that goes on; the host is no member yet."),
            format!("{} on the control server {}.", wanted.config.tailnet_domain, wanted.config.control()),
            "if nobody wants that join, end it with `sudo systemctl restart tailscaled` on the host, then run again.",
        ),
    )
    .at("/login_server")
}

/// The machine is a member of a tailnet, and of which cannot be proved. Nothing was changed.
#[must_use]
pub fn unproved(error: Option<&str>, wanted: &Wanted<'_>) -> Failure {
    let error = error.map(|error| format!(" Its last error: {error}.")).unwrap_or_default();
    fail(
        "network-unproved",
        "network-unproved",
        format!("cannot prove that the host is in tailnet {}", wanted.config.tailnet_domain),
        told(
            format!("a member that has not heard from its control server since its daemon started.{error}"),
            format!(
                "the tailnet's name, {}, as the daemon knows it from the control server.",
                wanted.config.tailnet_domain
            ),
            "let the host reach its control server, then run again. If it is stopped, `sudo tailscale up` without any flag brings it up. If its key has expired, `sudo tailscale logout` makes it a machine that can join.",
        ),
    )
}

/// The control server gave the machine another name than its host name.
#[must_use]
pub fn name_conflict(given: &str, wanted: &Wanted<'_>) -> Failure {
    let expected = format!("{}.{}", wanted.host, wanted.config.tailnet_domain);
    let given = if given.is_empty() { "no name".to_owned() } else { text::shown(given) };
    fail(
        "name-conflict",
        "name-conflict",
        format!("host is named {given}, expected {expected}"),
        told(
            format!("{given}, which the control server gave."),
            format!("{expected}: other hosts are told to find this one there."),
            format!(
                "if another machine has the name {}, remove or rename that one in the admin console, then rename this one. If this host asks for another name, run `sudo tailscale set --hostname={}` on it.",
                wanted.host, wanted.host
            ),
        ),
    )
}

/// Tags are missing and change on the control server only. Nothing was changed.
#[must_use]
pub fn tags_on_server_only(found: &[String], wanted: &Wanted<'_>) -> Failure {
    tags(
        found,
        wanted,
        "tags-on-server-only",
        "on this control server the tags of a machine that has joined change on the server only: `headscale nodes tag`.".to_owned(),
    )
}

/// Tags are missing after a join that worked.
#[must_use]
pub fn tags_not_given(found: &[String], wanted: &Wanted<'_>) -> Failure {
    tags(
        found,
        wanted,
        "tags-not-given",
        format!(
            "the key worked and does not carry the tags: make one that carries {}, put it into {}, and run again. The host is a member meanwhile.",
            text::tags(&wanted.tags),
            wanted.config.auth_key_env
        ),
    )
}

fn tags(found: &[String], wanted: &Wanted<'_>, code: &'static str, next: String) -> Failure {
    let (actual, expected) = (text::tags(found), text::tags(&wanted.tags));
    fail(
        "tag-mismatch",
        code,
        format!("host tags {actual} do not match expected {expected}"),
        told(format!("{actual}."), format!("{expected}."), next),
    )
}

/// The step would cut the session that asks for it. Nothing was changed.
#[must_use]
pub fn over_tailnet(client: &str, what: &str) -> Failure {
    fail(
        "disruption-refused",
        "over-tailnet",
        format!("refused to {what} over the tailnet itself"),
        told(
            format!("this SSH session comes from {client}, an address of a tailnet; the step would cut it."),
            "a session by another way.",
            "connect by the host's other address, then run again.",
        ),
    )
}

/// The step would interrupt something that works, and that was not allowed. Nothing was changed.
#[must_use]
pub fn not_allowed(found: &[String], wanted: &Wanted<'_>) -> Failure {
    fail(
        "disruption-refused",
        "not-allowed",
        "changing the tags of a running member was not allowed",
        told(
            format!("tags {}.", text::tags(found)),
            format!(
                "tags {}. That takes a re-authentication, which cuts the host's connections in the tailnet for some seconds.",
                text::tags(&wanted.tags)
            ),
            "allow it (--allow disruptive), or change the tags in the admin console, which interrupts nothing.",
        ),
    )
}

/// An admin must approve the machine.
#[must_use]
pub fn approval_needed(wanted: &Wanted<'_>) -> Failure {
    fail(
        "approval-needed",
        "approval-needed",
        "an admin must approve this host",
        told(
            format!("the host has joined {} and waits for approval.", wanted.config.tailnet_domain),
            "an approved member.",
            format!("approve {} in the admin console, then run again; or use a key that is pre-approved.", wanted.host),
        ),
    )
}

/// The log-out did not come to its end.
#[must_use]
pub fn half_logged_out(error: Option<&str>, control: &str) -> Failure {
    let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
    fail(
        "control-unreachable",
        "half-logged-out",
        format!("the control server {control} did not answer the log-out"),
        told(
            format!(
                "a log-out that was begun and not finished{error}: the host is down, and the tailnet still counts it in."
            ),
            "no node key on the host.",
            "let the host reach its control server, then run this again: it finishes the log-out.",
        ),
    )
}
