//! What is told of a machine: its state in a few words, the member that it is, and what is good to know.
//!
//! Not for: anything that decides ([`crate::state`], [`crate::decide`]); facts by name ([`crate::facts`]).

use crate::facts::extra_tags;
use crate::note;
use crate::observe::Seen;
use crate::port::{Diagnostic, Node};
use crate::probe::{Client, Daemon};
use crate::state::{Aim, Doubt, Down, Foreign, Gap, Link, Pending, State, Tie, Unusable, Wanted};
use crate::version::Version;

/// A state in a few words.
#[must_use]
pub fn name(state: &State) -> String {
    match state {
        State::Unsupported(_) => "unsupported system",
        State::Unreadable(_) => "unreadable",
        State::NoClient => "not installed",
        State::Unusable(Unusable::TooOld(..)) => "too old",
        State::Unusable(Unusable::NoVersion(_)) => "version unreadable",
        State::DaemonDown(Down::Stopped, _) => "daemon stopped",
        State::DaemonDown(Down::Failed, _) => "daemon failed",
        State::DaemonDown(Down::Masked, _) => "daemon masked",
        State::DaemonDown(Down::Mute, _) => "daemon does not answer",
        State::DaemonDown(Down::NoUnit, _) => "daemon unknown to systemd",
        State::DaemonDown(Down::NoSystemd, _) => "daemon down, no systemd",
        State::HalfInstalled(_, behind) => return format!("half installed, else {}", name(behind)),
        State::NotAtBoot(behind) => return format!("{}, daemon off at boot", name(behind)),
        State::Settling(then) => return format!("settling, else {}", name(then)),
        State::Unseen => "daemon started, not seen yet",
        State::Fresh => "logged out",
        State::JoinPending(Pending::Ours(_)) => "join pending",
        State::JoinPending(Pending::Elsewhere(_)) => "join pending elsewhere",
        State::HalfLoggedOut(Tie::Ours) => "half logged out",
        State::HalfLoggedOut(Tie::Unknown) => "half logged out, tailnet not known",
        State::Unproved(Doubt::NoAnswer(_)) => "member, tailnet not proved",
        State::Unproved(Doubt::RefusedKey(_)) => "member, tailnet not proved, refused key",
        State::Foreign(Foreign { other_server: false, .. }) => "in another tailnet",
        State::Foreign(Foreign { other_server: true, .. }) => "on another control server",
        State::Member(link, gap) => {
            let link = match link {
                Link::Online => "online",
                Link::Offline => "offline",
                Link::Connecting => "connecting",
                Link::RefusedKey(_) => "refused key",
                Link::Stopped => "stopped",
                Link::Expired => "expired",
                Link::Unapproved => "waiting for approval",
            };
            let gap = match gap {
                Gap::None => "",
                Gap::Tags(_) => ", tags missing",
                Gap::Name(_) => ", other name",
            };
            return format!("member, {link}{gap}");
        }
    }
    .to_owned()
}

/// The member that a machine is, of whatever tailnet.
#[must_use]
pub fn node(seen: &Seen) -> Option<Node> {
    let Daemon::Answers(status, _) = &seen.facts.daemon else { return None };
    status.suffix()?;
    Some(Node {
        id: status.own.id.clone(),
        fqdn: status.fqdn(),
        addresses: status.own.addresses.clone().unwrap_or_default(),
        tags: status.tags(),
        // A member whose key has expired, or that waits for approval, calls itself online too.
        online: status.own.online && status.backend_state == "Running",
        key_expiry: status.own.key_expiry.clone(),
    })
}

/// What is good to know, whatever the plan.
#[must_use]
pub fn notes(seen: &Seen, wanted: &Wanted<'_>) -> Vec<Diagnostic> {
    let mut notes = Vec::new();
    if wanted.goal == Aim::Absent {
        return notes;
    }
    let behind = match &seen.state {
        State::NotAtBoot(behind) => behind,
        state => state,
    };
    match &seen.facts.client {
        Client::Release(release, _) if (Version::FLOOR..Version::RECOMMENDED).contains(release) => {
            notes.push(note::old_release(*release));
        }
        Client::Release(..) | Client::Absent | Client::Unreadable(_) => {}
    }
    if let Daemon::Answers(status, _) = &seen.facts.daemon {
        match &seen.facts.unit {
            Err(why) => notes.push(note::boot_unknown(why)),
            Ok(unit) if unit.load == "not-found" => {
                notes.push(note::boot_unknown("systemd does not know tailscaled.service"))
            }
            Ok(_) => {}
        }
        let extra = extra_tags(status, wanted);
        // Where tags are missing too they are about to be replaced, the extra ones with them.
        let stays = matches!(behind, State::Member(_, Gap::None | Gap::Name(_)));
        if wanted.goal == Aim::Joined && stays && !extra.is_empty() {
            notes.push(note::extra_tags(&extra));
        }
    }
    if wanted.goal == Aim::Installed && matches!(behind, State::JoinPending(_)) {
        notes.push(note::join_pending());
    }
    notes
}
