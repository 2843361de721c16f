//! How a join fails, told by what `tailscale up` printed and by what the daemon's health says afterwards.
//!
//! The real service's texts come from a closed server and Headscale's from several releases, so they are matched by their
//! parts and shown as they are.

use super::{fail, told};
use crate::port::{Diagnostic, Ending, Failure, Output, Severity};
use crate::state::{Wanted, is_transport};
use crate::text;

/// What the reason of a failed join was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A text of the control server, the client or the daemon.
    Said(String),
    /// None was given: it waited until its time was up. What a look at the control server gave, if one was taken.
    Silence(Option<Result<(), String>>),
}

/// The reason of a failed `up`, as far as it says one itself.
#[must_use]
pub fn said_by_up(up: &Output) -> Option<String> {
    let error = up.stderr.lines().find_map(|line| line.trim().strip_prefix("backend error: ")).map(text::shown);
    error.or_else(|| {
        let silent = up.stderr.contains("timeout waiting for Tailscale service")
            || up.stderr.trim().is_empty()
            || up.stderr.contains("context canceled")
            || up.ending == Ending::TimedOut;
        (!silent).then(|| text::shown(&up.stderr))
    })
}

/// A join failed for this reason.
#[must_use]
pub fn failed(reason: &Reason, wanted: &Wanted<'_>) -> Failure {
    let error = match reason {
        Reason::Said(error) => error.as_str(),
        Reason::Silence(look) => return silent(look.as_ref(), wanted),
    };
    let has = |signs: &[&str]| signs.iter().any(|sign| error.contains(sign));
    let variable = &wanted.config.auth_key_env;
    let tags = text::tags(&wanted.tags);
    if has(&["requested tags", "require --advertise-tags"]) {
        // A join leaves the tags that the host itself asks for as they are; a key that lacks those is refused, too.
        let own = !wanted.tags.iter().any(|tag| error.contains(tag.as_str()));
        let next = if own && error.contains("tag:") {
            "the host itself asks for the tags that are named there, by a preference of an earlier join: use a key that permits them too, change the tags in the admin console, or leave and join anew.".to_owned()
        } else {
            format!(
                "make a key in {variable} that carries these tags, or let its owner own them in the tailnet's policy (tagOwners)."
            )
        };
        return fail(
            "tags-not-permitted",
            "tags-not-permitted",
            format!("the auth key does not permit the tags {tags}"),
            told(format!("the control server says: {error}."), format!("a key that may give {tags}."), next),
        )
        .at("/auth_key_env");
    }
    if has(&["server says NodeKeyExpired"]) {
        return fail(
            "other",
            "cannot-return",
            "the control server does not let this host come back",
            told(
                format!("the control server says: {error}."),
                "a host that may join again.",
                "on Headscale a tagged machine cannot join again after a log-out: delete it there (`headscale nodes delete`), then run again.",
            ),
        );
    }
    if has(&[
        "invalid key",
        "invalid authkey",
        "invalid auth key",
        "invalid pre auth key",
        "failed to parse auth-key",
        "authkey expired",
        "authkey already used",
        "cannot be used for node auth",
        "API token invalid",
    ]) {
        return fail(
            "secret-invalid",
            "secret-invalid",
            "invalid or expired auth key",
            told(
                format!("the control server says: {error}."),
                format!("a key in {variable} that it accepts: known, not expired, not used up."),
                format!("make a new key in the admin console, put it into {variable}, and run again."),
            ),
        )
        .at("/auth_key_env");
    }
    if has(&["ccess denied"]) {
        return super::privilege(error);
    }
    if has(&["requires mentioning all"]) {
        return fail(
            "other",
            "flags-missing",
            "`tailscale up` wants a preference to be named that this provider does not know",
            told(
                format!("{error}."),
                "every preference that somebody set, kept.",
                "unset it on the host, or use a newer provider.",
            ),
        );
    }
    if is_transport(error) {
        return unreachable(error, wanted);
    }
    fail(
        "other",
        "join-failed",
        format!("the host could not join {}", wanted.config.tailnet_domain),
        told(format!("{error}."), "a member.", "see `tailscale status` and `journalctl -u tailscaled` on the host."),
    )
}

fn silent(look: Option<&Result<(), String>>, wanted: &Wanted<'_>) -> Failure {
    match look {
        Some(Err(error)) => unreachable(error, wanted),
        Some(Ok(())) => unreachable("it answers this host, and the join was not done in time", wanted),
        None => unreachable("no reason was given in time", wanted),
    }
}

fn unreachable(error: &str, wanted: &Wanted<'_>) -> Failure {
    let control = wanted.config.control();
    fail(
        "control-unreachable",
        "control-unreachable",
        format!("the control server {control} cannot be reached from the host"),
        told(
            format!("{error}."),
            format!("an answer of {control} to this host."),
            "let the host reach it (DNS, proxy, firewall, the server itself), then run again.",
        ),
    )
}

/// An OAuth client's secret gives no tags by itself. Nothing was changed.
#[must_use]
pub fn oauth_needs_tags(wanted: &Wanted<'_>) -> Failure {
    fail(
        "tags-not-permitted",
        "oauth-needs-tags",
        "an OAuth client secret needs at least one tag",
        told(
            format!("an OAuth client secret in {}, and no tag for this host.", wanted.config.auth_key_env),
            "a tag for every host that joins with it.",
            "give the host a tag (default_tags, role_tags, or its own), or use an auth key.",
        ),
    )
    .at("/default_tags")
}

/// The key led into another tailnet. The host was logged out of it again, or not.
#[must_use]
pub fn wrong_tailnet(actual: &str, undone: bool, wanted: &Wanted<'_>) -> Failure {
    let domain = &wanted.config.tailnet_domain;
    let next = if undone {
        format!(
            "the host was logged out of it again. Put a key of {domain} into {}, and run again.",
            wanted.config.auth_key_env
        )
    } else {
        format!(
            "the host could not be logged out of it again: leave it (--from {actual}), then join with a key of {domain}."
        )
    };
    fail(
        "network-mismatch",
        "key-of-another-tailnet",
        format!("host is in tailnet {}, expected {domain}", text::shown(actual)),
        told(
            format!("a key in {} that leads into {}.", wanted.config.auth_key_env, text::shown(actual)),
            format!("{domain}."),
            next,
        ),
    )
    .at("/auth_key_env")
}

/// What became of the host after a join that failed.
#[must_use]
pub fn aftermath(clean: Aftermath) -> Diagnostic {
    let (severity, code, summary) = match clean {
        Aftermath::Quiet => (
            Severity::Note,
            "nothing-left",
            "the daemon was restarted: it holds no key, and nothing joins later by itself",
        ),
        Aftermath::Restored => {
            (Severity::Note, "restored", "the host is back in the tailnet with the tags that it had")
        }
        Aftermath::StillTrying => (
            Severity::Warning,
            "still-trying",
            "the daemon may still try the key, and the host may join later by itself: `sudo systemctl restart tailscaled` ends that",
        ),
        Aftermath::NotRestored => (
            Severity::Warning,
            "not-restored",
            "the host is not back where it was: see `tailscale status` on it, then run again",
        ),
    };
    Diagnostic { severity, code, summary: summary.to_owned(), detail: None, config_path: None }
}

/// What became of the host after a join that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// Nothing goes on.
    Quiet,
    /// The old identity is back.
    Restored,
    /// The daemon could not be made to forget the key.
    StillTrying,
    /// The old identity is not back.
    NotRestored,
}
