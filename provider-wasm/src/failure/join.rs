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

/// A join failed for this reason. `kind` is what kind of key was used, as the descriptor calls it.
#[must_use]
pub fn failed(reason: &Reason, kind: Option<&str>, wanted: &Wanted<'_>) -> Failure {
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
        let (means, next) = if own && error.contains("tag:") {
            (
                "the host itself asks for the tags that are named there, by a preference of an earlier join",
                "the tags are right:  use a key that permits them too\n\
                 they are old:  {run leave @hosts}\n  {run up @hosts}"
                    .to_owned(),
            )
        } else {
            (
                "a key gives only the tags that it was made with, an OAuth client only those that it owns in the policy",
                format!(
                    "make a reusable key with {}, or let its owner own them (tagOwners), then  {{run up --limit @failed}}",
                    text::with_tags(&wanted.tags)
                ),
            )
        };
        return fail(
            "tags-not-permitted",
            "tags-not-permitted",
            format!("the auth key does not permit the tags {tags}"),
            told(
                format!("control refused the key in ${variable}{}: \"{}\"", of_kind(kind), redacted(error)),
                format!("a key that may give {}", text::with_tags(&wanted.tags)),
                means,
                next,
            ),
        )
        .at("/auth_key_env");
    }
    if has(&["server says NodeKeyExpired"]) {
        return fail(
            "other",
            "cannot-return",
            "the control server does not let this host come back",
            told(
                format!("control says: \"{error}\""),
                "a host that may join again",
                "on Headscale a tagged machine cannot join again after a log-out",
                "on the server:  headscale nodes list\n  headscale nodes delete -i ID\nthen:  {run up @hosts}",
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
                format!("control refused the key in ${variable}{}: \"{}\"", of_kind(kind), redacted(error)),
                "",
                "expired (90 days at most), revoked, or single-use and already used",
                format!(
                    "make a reusable key{}, then  {{run up --limit @failed}}",
                    if wanted.tags.is_empty() {
                        String::new()
                    } else {
                        format!(" with {}", text::with_tags(&wanted.tags))
                    }
                ),
            ),
        );
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
                error,
                "every preference that somebody set, kept",
                "a release newer than this provider has a preference that an operator set on this host",
                "unset it on the host, or use a newer provider",
            ),
        );
    }
    if has(&["state store is unhealthy"]) {
        return fail(
            "daemon-down",
            "state-unwritable",
            "tailscaled cannot write its state",
            told(
                error,
                "a /var/lib/tailscale that can be written",
                "the disk is full or read-only",
                "on the host:  df -h /var/lib/tailscale; findmnt -T /var/lib/tailscale\n  make room, or mount it to be written\n\
                 then:  {run up @hosts}",
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
        told(
            error,
            "a member",
            "this provider does not know the reason that was given",
            "on the host:  tailscale status\n  sudo journalctl -u tailscaled -n 50",
        ),
    )
}

/// What kind of key it was, where its beginning tells.
fn of_kind(kind: Option<&str>) -> &'static str {
    match kind {
        Some("tailscale-auth") => " (kind tskey-auth)",
        Some("tailscale-oauth" | "tailscale-oauth-with-attributes") => " (kind tskey-client)",
        Some("headscale") => " (kind hskey)",
        _ => "",
    }
}

/// A text of the control server without the key's id, which it repeats: no secret, and nobody needs it.
fn redacted(error: &str) -> String {
    let is_id = |word: &str| {
        word.len() > 9 && word.starts_with('k') && word.ends_with("CNTRL") && word.chars().all(char::is_alphanumeric)
    };
    error.split(' ').map(|word| if is_id(word) { "<redacted>" } else { word }).collect::<Vec<_>>().join(" ")
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
    if let Some(which) = text::clock_trouble(error) {
        return fail(
            "control-unreachable",
            "clock",
            format!("the certificate of the control server {control} is not valid by the host's clock"),
            told(
                error,
                "a clock that is right, and a certificate that is valid now",
                format!("{which}; the key was not judged"),
                "the clock, on the host:  timedatectl\n  sudo timedatectl set-ntp true\n\
                 the certificate:  renew it on the server\nthen:  {run up @hosts}",
            ),
        );
    }
    fail(
        "control-unreachable",
        "control-unreachable",
        format!("the control server {control} cannot be reached from the host"),
        told(
            error,
            format!("an answer of {control} to this host"),
            "the key was not judged: this is about the host's way out, or the server itself",
            format!(
                "see why, on the host:  curl -sS -o /dev/null {control}/key?v=116\n\
                 mend:  let the host out (DNS, proxy, firewall), or the server itself\nthen:  {{run up @hosts}}"
            ),
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
            format!("an OAuth client secret in ${}, and no tag for this host", wanted.config.auth_key_env),
            "a tag for every host that joins with it",
            "what joins by an OAuth client belongs to its tags, not to a person",
            "give the host a tag (default_tags, role_tags, or its own), or use an auth key, then  {run up --limit @failed}",
        ),
    )
    .at("/default_tags")
}

/// The key led into another tailnet. The host was logged out of it again, or not.
#[must_use]
pub fn wrong_tailnet(actual: &str, undone: bool, wanted: &Wanted<'_>) -> Failure {
    let domain = &wanted.config.tailnet_domain;
    let variable = &wanted.config.auth_key_env;
    let (changed, first) = match (undone, text::is_domain(actual)) {
        (true, _) => ("joined that tailnet and logged out of it again", String::new()),
        (false, true) => ("joined that tailnet", format!("{{run leave @hosts --from {actual}}}\n")),
        (false, false) => ("joined that tailnet", "on the host, sudo tailscale logout\n".to_owned()),
    };
    fail(
        "network-mismatch",
        "key-of-another-tailnet",
        format!("host is in tailnet {}, expected {domain}", text::shown(actual)),
        told(
            format!("a key in ${variable} that leads into {}", text::shown(actual)),
            domain,
            "a key belongs to the tailnet in whose admin console it was made",
            format!("{first}put a key of {domain} into ${variable}, then  {{run up @hosts}}"),
        ),
    )
    .at("/tailnet_domain")
    .changed(changed)
}

/// The same failure of a join, with what became of the host afterwards.
#[must_use]
pub fn after(failure: Failure, end: Aftermath) -> Failure {
    let (severity, code, changed, told) = match end {
        Aftermath::Quiet => return failure.changed("daemon restarted so that the key is gone from its memory"),
        Aftermath::Restored => (
            Severity::Note,
            "restored",
            "put back as it was",
            "the host is back in the tailnet with the tags that it had",
        ),
        Aftermath::StillTrying => (
            Severity::Warning,
            "still-trying",
            "the daemon may still try the key",
            "the host may join later by itself: `sudo systemctl restart tailscaled` on it ends that",
        ),
        Aftermath::NotRestored => (
            Severity::Warning,
            "not-restored",
            "not put back",
            "the host is not back where it was: see `tailscale status` on it, then run again",
        ),
    };
    let summary = told.to_owned();
    failure.changed(changed).and(Diagnostic { severity, code, summary, detail: None, config_path: None })
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
