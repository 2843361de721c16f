//! Joining, and re-authenticating a member for its tags: the key on standard input, every other flag as it was, the proof
//! afterwards, and nothing left behind when it fails.
//!
//! What `up` exits with proves little: some releases exit 0 with a key that is refused, and an error may be an earlier
//! key's. So the daemon is asked for some seconds before a failure is believed. A daemon keeps trying a key after a failure
//! and would join later by itself: it is restarted. Not for: when a join is due ([`crate::decide`]).

use crate::act::{AUTH_KEY, Hands, logout, reason, restart_daemon, root, run};
use crate::decide::Act;
use crate::failure;
use crate::failure::join::Aftermath;
use crate::observe::{JOIN_MS, SETTLE_MS, Seen, until};
use crate::port::{Chunk, Command, Failure, Output};
use crate::prefs::{self, Prefs};
use crate::probe::{Client, Daemon, Status};
use crate::state::{Gap, Link, State, Wanted};
use crate::version::Version;

/// What the descriptor calls the secret of an OAuth client, and what is added to it: such a secret makes keys for machines
/// that vanish and wait for approval, unless it is told otherwise. Of two attributes the first counts, so that those
/// that an operator has put behind the secret stay as they are.
const OAUTH: [(&str, &str); 2] = [
    ("tailscale-oauth", "?ephemeral=false&preauthorized=true\n"),
    ("tailscale-oauth-with-attributes", "&ephemeral=false&preauthorized=true\n"),
];
/// Longer than `--timeout`.
const UP_MS: u32 = 70_000;

/// Joins, or re-authenticates.
///
/// # Errors
/// When the machine is no member with the wanted tags afterwards.
pub fn perform(act: Act, seen: &Seen, wanted: &Wanted<'_>, hands: Hands<'_>) -> Result<Seen, Failure> {
    let Some(secret) = hands.given.get(AUTH_KEY) else {
        return Err(failure::secret_missing(&wanted.config.auth_key_env));
    };
    let oauth = OAUTH.iter().find(|(kind, _)| secret.kind.as_deref() == Some(kind)).map(|(_, attributes)| *attributes);
    if oauth.is_some() && wanted.tags.is_empty() {
        return Err(failure::join::oauth_needs_tags(wanted));
    }
    let (Daemon::Answers(status, prefs), Client::Release(release, _)) = (&seen.facts.daemon, &seen.facts.client) else {
        return Err(failure::unreadable("a daemon that does not answer, where one was about to join"));
    };
    if let (Act::Rejoin, false) = (act, wanted.disruptive) {
        return Err(failure::member::not_allowed(&status.tags(), wanted));
    }
    let tags = if oauth.is_some() { &wanted.tags } else { &prefs.advertise_tags };
    let mut up = command(flags(status, prefs, *release, tags, wanted)?);
    up.argv.insert(2, "--auth-key=file:/dev/stdin".to_owned());
    up.stdin = vec![Chunk::Secret(AUTH_KEY), Chunk::Bytes(oauth.unwrap_or("\n").as_bytes().to_vec())];
    if act == Act::Rejoin {
        up.argv.push("--force-reauth".to_owned());
    }

    let (outputs, facts) = run(act, vec![up], hands)?;
    let Some(up) = outputs.first() else { return Err(failure::lost("joining")) };
    let after = Seen { state: State::of(&facts, wanted), facts };
    let after = until(after, &JOIN_MS, "the tailnet", hands.look, wanted, |seen| is_decided(seen, up));
    match after {
        Ok(after) => judge(act, seen, after, up, wanted, hands),
        // Out of time: the key must not stay behind all the same.
        Err(ended) => Err(restore(act, seen, None, wanted, hands, ended)),
    }
}

/// Whether waiting on would change nothing.
fn is_decided(seen: &Seen, up: &Output) -> bool {
    match &seen.state {
        State::Member(Link::Online, Gap::None) => !has_login_error(seen),
        State::Member(Link::Unapproved, _) | State::Foreign(_) => true,
        // Refused before anything was done: there is nothing to wait for.
        State::Fresh => !up.succeeded(),
        _ => false,
    }
}

fn judge(
    act: Act,
    before: &Seen,
    after: Seen,
    up: &Output,
    wanted: &Wanted<'_>,
    hands: Hands<'_>,
) -> Result<Seen, Failure> {
    let works = !has_login_error(&after);
    let kind = hands.given.get(AUTH_KEY).and_then(|secret| secret.kind);
    match &after.state {
        State::Member(Link::Online, Gap::None) if works => Ok(after),
        // The name is judged by the table, as that of any member.
        State::Member(Link::Online, Gap::Name(_)) if works && up.succeeded() => Ok(after),
        State::Member(Link::Offline | Link::Connecting, Gap::None) if works && up.succeeded() && act == Act::Join => {
            Ok(after)
        }
        State::Member(Link::Online, Gap::Tags(found)) if works && up.succeeded() => {
            Err(failure::member::tags_not_given(found, wanted).changed("joined"))
        }
        State::Member(Link::Unapproved, _) => Err(failure::member::approval_needed(wanted).changed("joined")),
        State::Foreign(foreign) => {
            let undone = logout(act, wanted, hands).is_ok();
            Err(failure::join::wrong_tailnet(foreign.name(), undone, wanted))
        }
        _ => {
            let failed = failure::join::failed(&reason(up, &after, wanted, hands), kind.as_deref(), wanted);
            let failed = failed.changed(if act == Act::Join { "not joined" } else { "not re-authenticated" });
            Err(restore(act, before, Some(&after), wanted, hands, failed))
        }
    }
}

/// Leaves nothing behind after a join that failed: no key in the daemon's memory, and the old identity back if there was one.
fn restore(
    act: Act,
    before: &Seen,
    after: Option<&Seen>,
    wanted: &Wanted<'_>,
    hands: Hands<'_>,
    failed: Failure,
) -> Failure {
    if after.is_some_and(|after| after.state == State::Fresh && !has_login_error(after)) {
        return failed;
    }
    // The order matters: a machine that is restarted while it asks for tags that it may not have is logged out.
    if let Some(old_tags) = after.and_then(|after| tags_to_bring_back(before, after))
        && let (Daemon::Answers(status, prefs), Client::Release(release, _)) =
            (&before.facts.daemon, &before.facts.client)
        && let Ok(flags) = flags(status, prefs, *release, old_tags, wanted)
    {
        // Whether it worked shows after the restart.
        let _ = run(act, vec![command(with_tags(flags, old_tags))], hands);
    }
    let now = restart_daemon(act, wanted, hands).and_then(|now| match act {
        // A slow way to the control server is no lost identity: it is given as long again.
        Act::Rejoin => until(now, &SETTLE_MS, "the tailnet", hands.look, wanted, |now| is_back(before, now)),
        _ => Ok(now),
    });
    let aftermath = match (now, act) {
        (Err(_), _) => Aftermath::StillTrying,
        (Ok(now), _) if matches!(now.state, State::JoinPending(_)) || has_login_error(&now) => Aftermath::StillTrying,
        (Ok(now), Act::Rejoin) if is_back(before, &now) => Aftermath::Restored,
        (Ok(_), Act::Rejoin) => Aftermath::NotRestored,
        (Ok(_), _) => Aftermath::Quiet,
    };
    failure::join::after(failed, aftermath)
}

/// The tags that the machine asked for before, if it asks for others now.
fn tags_to_bring_back<'a>(before: &'a Seen, after: &Seen) -> Option<&'a [String]> {
    match (&before.facts.daemon, &after.facts.daemon) {
        (Daemon::Answers(_, old), Daemon::Answers(_, new)) if old.advertise_tags != new.advertise_tags => {
            Some(&old.advertise_tags)
        }
        _ => None,
    }
}

/// Whether a member is the member that it was.
fn is_back(before: &Seen, now: &Seen) -> bool {
    match (&before.facts.daemon, &now.facts.daemon) {
        (Daemon::Answers(old, _), Daemon::Answers(new, _)) => {
            matches!(now.state, State::Member(Link::Online | Link::Offline | Link::Connecting, _))
                && old.tags() == new.tags()
                && old.own.id == new.own.id
        }
        _ => false,
    }
}

fn has_login_error(seen: &Seen) -> bool {
    matches!(&seen.facts.daemon, Daemon::Answers(status, _) if status.login_error().is_some())
}

/// `tailscale up` with these flags: always bounded, never waiting for a person.
fn command(flags: Vec<String>) -> Command {
    let mut up = root(&["tailscale", "up", "--timeout=60s"], UP_MS);
    up.argv.extend(flags);
    up
}

/// The flags of a join without the key: what the config asks for, and what an operator has set.
fn flags(
    status: &Status,
    prefs: &Prefs,
    release: Version,
    tags: &[String],
    wanted: &Wanted<'_>,
) -> Result<Vec<String>, Failure> {
    let mut flags = Vec::new();
    if let Some(server) = &wanted.config.login_server {
        flags.push(format!("--login-server={server}"));
    }
    flags.push(format!("--hostname={}", wanted.host));
    flags.extend(prefs::kept(prefs, status, release).map_err(failure::cannot_keep)?);
    if !tags.is_empty() {
        flags.push(format!("--advertise-tags={}", tags.join(",")));
    }
    Ok(flags)
}

/// Says the tags also where there are none: a preference that is not named would be refused.
fn with_tags(mut flags: Vec<String>, tags: &[String]) -> Vec<String> {
    if tags.is_empty() {
        flags.push("--advertise-tags=".to_owned());
    }
    flags
}
