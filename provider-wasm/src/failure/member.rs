//! How a machine is not the member that it should be: another tailnet, name or tags, no proof, no approval.

use super::{fail, told};
use crate::port::Failure;
use crate::state::{Aim, Foreign, Wanted};
use crate::text;

/// The machine is in another tailnet or on another control server. Nothing was changed.
#[must_use]
pub fn network_mismatch(foreign: &Foreign, wanted: &Wanted<'_>) -> Failure {
    let (domain, control) = (&wanted.config.tailnet_domain, wanted.config.control());
    let theirs = text::shown(&foreign.control);
    // The same name on another server is another tailnet.
    let (actual, expected) = if foreign.other_server && foreign.suffix.as_ref() == Some(domain) {
        (format!("{domain} at {theirs}"), format!("{domain} at {control}"))
    } else {
        (text::shown(foreign.name()), domain.clone())
    };
    let mut found =
        foreign.suffix.as_deref().map(text::shown).unwrap_or_else(|| "a tailnet that is not told".to_owned());
    if !foreign.fqdn.is_empty() {
        let online = if foreign.online { "online" } else { "offline" };
        found += &format!(" as {}, {}, {online}", text::shown(&foreign.fqdn), text::with_tags(&foreign.tags));
    }
    let mut wish = domain.clone();
    if foreign.other_server {
        found += &format!(", on the control server {theirs}");
        wish += &format!(" on the control server {control}");
    }
    // What a machine says of itself goes into a command line only where it is a plain name.
    let name = foreign.suffix.as_deref().filter(|name| text::is_domain(name));
    let leave = match name {
        Some(name) => format!("{{run leave @hosts --from {name}}}"),
        None => "on the host, sudo tailscale logout".to_owned(),
    };
    let next = match wanted.goal {
        Aim::Absent => format!("it should leave that one too:  {leave}"),
        Aim::Installed | Aim::Joined => {
            let mend = match (name, foreign.other_server) {
                (Some(name), false) => format!("set tailnet_domain to {name}"),
                (_, false) => "mend tailnet_domain".to_owned(),
                (Some(name), true) => format!("set tailnet_domain to {name}, and login_server to the server's URL"),
                (None, true) => "mend login_server".to_owned(),
            };
            format!("the host belongs here:  {leave}\n  {{run up @hosts}}\nthe config is wrong:  {mend}")
        }
    };
    let summary = format!("host is in tailnet {actual}, expected {expected}");
    fail("network-mismatch", "network-mismatch", summary, told(found, wish, "", next)).at("/tailnet_domain")
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
            format!("a join to the control server {control} that goes on; the host is no member yet"),
            format!("{} on the control server {}", wanted.config.tailnet_domain, wanted.config.control()),
            "somebody began that join, and it ends only with the daemon: the host may become a member there by itself",
            "nobody wants that join:  on the host, sudo systemctl restart tailscaled\n  {run up @hosts}\n\
             the config is wrong:  mend login_server",
        ),
    )
    .at("/login_server")
}

/// The machine is a member of a tailnet, and of which cannot be proved. Nothing was changed.
#[must_use]
pub fn unproved(error: Option<&str>, wanted: &Wanted<'_>) -> Failure {
    let error = error.map(|error| format!("; its last error: {error}")).unwrap_or_default();
    fail(
        "network-unproved",
        "network-unproved",
        format!("cannot prove that the host is in tailnet {}", wanted.config.tailnet_domain),
        told(
            format!("a member that has not heard from its control server since its daemon started{error}"),
            wanted.config.tailnet_domain.clone(),
            "only the control server tells which tailnet this is; a host is never changed on a guess",
            format!(
                "it cannot get out:  let the host reach {} (DNS, proxy, firewall), then  {{run up @hosts}}\n\
                 it is stopped:  on the host, sudo tailscale up, without any flag\n\
                 its key has expired:  on the host, sudo tailscale logout, then  {{run up @hosts}}",
                wanted.config.control()
            ),
        ),
    )
    .at("/tailnet_domain")
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
            format!("{given}, which the control server gave"),
            format!("{expected}: other hosts are told to find this one there"),
            "the name is taken in the tailnet, often by an old machine that was never removed; or this host asks for another one",
            format!(
                "an old machine has it:  remove that one in the admin console, and rename this one there\n\
                 this host asks otherwise:  on the host, sudo tailscale set --hostname={}\nthen:  {{run up @hosts}}",
                wanted.host
            ),
        ),
    )
}

/// A stopped machine was brought up, and the control server says that its key has expired.
#[must_use]
pub fn expired_while_stopped(wanted: &Wanted<'_>) -> Failure {
    fail(
        "other",
        "expired-while-stopped",
        "the host's key has expired while it was stopped",
        told(
            "a host that was brought up, and whose key the control server takes no more",
            format!("a member of {}", wanted.config.tailnet_domain),
            "only the control server knew that, so what was shown needs no auth key; the next run joins with it",
            format!("put a key into ${}, then  {{run up @hosts}}", wanted.config.auth_key_env),
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
        "on this control server the tags of a machine that has joined change on the server only",
        format!("on the server:  headscale nodes list\n  headscale nodes tag -i ID -t {}", wanted.tags.join(",")),
    )
}

/// Tags are missing after a join that worked.
#[must_use]
pub fn tags_not_given(found: &[String], wanted: &Wanted<'_>) -> Failure {
    tags(
        found,
        wanted,
        "tags-not-given",
        "the key worked and does not carry the tags; the host is a member meanwhile, and has the rights of the tags that it got",
        format!(
            "make a reusable key with {}, put it into ${}, then  {{run up @hosts --allow disruptive}}",
            text::with_tags(&wanted.tags),
            wanted.config.auth_key_env
        ),
    )
}

fn tags(found: &[String], wanted: &Wanted<'_>, code: &'static str, means: &str, next: String) -> Failure {
    let (actual, expected) = (text::tags(found), text::tags(&wanted.tags));
    fail(
        "tag-mismatch",
        code,
        format!("host tags {actual} do not match expected {expected}"),
        told(text::with_tags(found), text::with_tags(&wanted.tags), means, next),
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
            format!("this SSH session comes from {client}, an address of a tailnet"),
            "a session by another way",
            "the step would cut this session before its end is seen",
            "connect by the host's other address (its `address` in stagecraft.yml), then run it again",
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
            text::with_tags(found),
            text::with_tags(&wanted.tags),
            "that takes a re-authentication, which cuts the host's connections in the tailnet for some seconds",
            "now:  {run up @hosts --allow disruptive}\n\
             without a cut:  change the tags in the admin console",
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
            format!("the host has joined {} and waits for approval", wanted.config.tailnet_domain),
            "an approved member",
            "the tailnet approves devices by hand, and the key is not pre-approved; the host talks to nobody until then",
            format!(
                "this host:  approve {} in the admin console (Machines), then  {{run status @hosts}}\n\
                 for good:  use a key that is pre-approved",
                wanted.host
            ),
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
            format!("a log-out that was begun and not finished{error}"),
            "no node key on the host",
            "the host is down, and the tailnet still counts it in",
            "let the host reach its control server, then  {run leave @hosts}\n  which finishes the log-out",
        ),
    )
    .changed("log-out begun")
}
