//! The whole state machine on one page: what a goal asks for in a state, and what an act is hoped to make of it.
//!
//! A plan runs [`decide`] on predictions, an apply runs it on observations, so what an apply has reached is what the next
//! plan finds nothing to do about. Every state stands here by every goal, without a wildcard; the table is printed in
//! `docs/tailscale-states.md`. Not for: how an act is done ([`crate::act`]).

use crate::config::Method;
use crate::failure;
use crate::note;
use crate::port::{Diagnostic, Failure};
use crate::state::{Aim, Doubt, Down, Gap, Link, Pending, State, Unusable, Wanted};

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The goal holds, and this is good to know.
    Hold(Vec<Diagnostic>),
    /// This is to be done.
    Do(Act),
    /// The machine is about to change by itself.
    LookAgain,
    /// The goal cannot be reached from here.
    Stop(Failure),
}

/// What can be done to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Install by the official script.
    Install,
    /// Start the daemon, now and at boot.
    StartDaemon,
    /// Restart the daemon.
    RestartDaemon,
    /// Bring a stopped member back, without a key.
    Resume,
    /// Join with the key.
    Join,
    /// Re-authenticate a running member, for its tags.
    Rejoin,
    /// Log out.
    Logout,
}

/// What to do for the goal in this state.
#[must_use]
pub fn decide(state: &State, wanted: &Wanted<'_>) -> Next {
    use Act::{Install, Join, Logout, Rejoin, RestartDaemon, Resume, StartDaemon};
    use Aim::{Absent, Installed, Joined};
    use Next::{Do, Hold, LookAgain, Stop};

    let hold = || Hold(Vec::new());
    match (state, wanted.goal) {
        // What no goal can be reached from.
        (State::Unsupported(found), Installed | Joined | Absent) => Stop(failure::unsupported_os(found)),
        (State::Unreadable(found), Installed | Joined | Absent) => Stop(failure::unreadable(found)),
        (State::Unusable(Unusable::TooOld(found, oldest)), Installed | Joined | Absent) => {
            Stop(failure::too_old(found, *oldest))
        }
        (State::Unusable(Unusable::NoVersion(found)), Installed | Joined | Absent) => Stop(failure::no_version(found)),

        // The client and its daemon.
        (State::NoClient, Absent) => hold(),
        (State::NoClient, Installed | Joined) if wanted.config.method == Method::Auto => Do(Install),
        (State::NoClient, Installed) => Hold(vec![note::install_skipped()]),
        (State::NoClient, Joined) => Stop(failure::client_missing()),
        (State::HalfInstalled(_, behind), Absent) => decide(behind, wanted),
        (State::HalfInstalled(..), Installed | Joined) if wanted.config.method == Method::Auto => Do(Install),
        (State::HalfInstalled(half, _), Installed | Joined) => Stop(failure::install::half(half)),
        (State::DaemonDown(Down::Stopped | Down::Failed | Down::Masked, _), Installed | Joined | Absent) => {
            Do(StartDaemon)
        }
        (State::DaemonDown(Down::Mute, _), Installed | Joined | Absent) => Do(RestartDaemon),
        (State::DaemonDown(how @ (Down::NoUnit | Down::NoSystemd), why), Installed | Joined | Absent) => {
            Stop(failure::daemon_down(*how, why))
        }
        (State::NotAtBoot(_), Installed | Joined) => Do(StartDaemon),
        (State::NotAtBoot(behind), Absent) => decide(behind, wanted),
        (State::Settling(then), Installed) if !matches!(**then, State::DaemonDown(..)) => decide(then, wanted),
        (State::Settling(_), Installed | Joined | Absent) => LookAgain,

        // An answering daemon is all that `installed` asks for.
        (State::Unseen | State::Fresh | State::JoinPending(_) | State::HalfLoggedOut(_), Installed) => hold(),
        (State::Unproved(_) | State::Foreign(_) | State::Member(..), Installed) => hold(),

        // No member yet, or no longer.
        (State::Fresh, Absent) => hold(),
        (State::Unseen, Absent) => Do(Logout),
        (State::Unseen | State::Fresh, Joined) => Do(Join),
        (State::JoinPending(Pending::Ours(_)), Joined | Absent) => Do(RestartDaemon),
        (State::JoinPending(Pending::Elsewhere(control)), Joined | Absent) => {
            Stop(failure::member::pending_elsewhere(control, wanted))
        }
        (State::HalfLoggedOut(_), Joined) => Do(Join),
        (State::HalfLoggedOut(_), Absent) => Do(Logout),

        // A member of who knows what, or of another tailnet: nothing is changed on a guess.
        (State::Unproved(Doubt::RefusedKey(_)), Joined | Absent) => Do(RestartDaemon),
        (State::Unproved(Doubt::NoAnswer(error)), Joined | Absent) => {
            Stop(failure::member::unproved(error.as_deref(), wanted))
        }
        (State::Foreign(foreign), Joined) => Stop(failure::member::network_mismatch(foreign, wanted)),
        (State::Foreign(foreign), Absent) if foreign.suffix.is_none() || foreign.suffix != wanted.from => {
            Stop(failure::member::network_mismatch(foreign, wanted))
        }

        // A member that is to leave, unless that would cut the very session that asks for it.
        (State::Foreign(_) | State::Member(..), Absent) => match &wanted.over_tailnet {
            Some(client) => Stop(failure::member::over_tailnet(client, "log this host out")),
            None => Do(Logout),
        },

        // A member that is to stay.
        (State::Member(_, Gap::Name(given)), Joined) => Stop(failure::member::name_conflict(given, wanted)),
        (State::Member(Link::Unapproved, Gap::None | Gap::Tags(_)), Joined) => {
            Stop(failure::member::approval_needed(wanted))
        }
        (State::Member(_, Gap::Tags(found)), Joined) if !wanted.config.is_saas() => {
            Stop(failure::member::tags_on_server_only(found, wanted))
        }
        (State::Member(Link::RefusedKey(_), Gap::None | Gap::Tags(_)), Joined) => Do(RestartDaemon),
        (State::Member(Link::Stopped, Gap::None | Gap::Tags(_)), Joined) => Do(Resume),
        (State::Member(Link::Expired, Gap::None | Gap::Tags(_)), Joined) => Do(Join),
        (State::Member(Link::Online, Gap::None), Joined) => hold(),
        (State::Member(Link::Offline, Gap::None), Joined) => Hold(vec![note::offline()]),
        (State::Member(Link::Connecting, Gap::None), Joined) => Hold(vec![note::connecting()]),
        (State::Member(Link::Online | Link::Offline | Link::Connecting, Gap::Tags(_)), Joined) => {
            match &wanted.over_tailnet {
                Some(client) => Stop(failure::member::over_tailnet(client, "re-authenticate this host")),
                None => Do(Rejoin),
            }
        }
    }
}

/// What an act makes of a state, if it works. A state that it does not fit is left as it is.
#[must_use]
pub fn predict(state: &State, act: Act) -> State {
    match (act, state) {
        (Act::Install, State::NoClient) => State::Unseen,
        // Its scripts start the daemon, and enable it.
        (Act::Install, State::HalfInstalled(_, behind)) => match &**behind {
            State::NoClient | State::DaemonDown(..) => State::Unseen,
            State::NotAtBoot(behind) => State::clone(behind),
            behind => behind.clone(),
        },
        (Act::StartDaemon, State::NotAtBoot(behind)) => State::clone(behind),
        (Act::StartDaemon | Act::RestartDaemon, State::DaemonDown(..)) => State::Unseen,
        (Act::RestartDaemon, State::JoinPending(_)) => State::Fresh,
        (Act::RestartDaemon, State::Unproved(_)) => State::Member(Link::Online, Gap::None),
        (Act::RestartDaemon | Act::Resume, State::Member(_, gap)) => State::Member(Link::Online, gap.clone()),
        (Act::Join | Act::Rejoin, State::Unseen | State::Fresh | State::HalfLoggedOut(_) | State::Member(..)) => {
            State::Member(Link::Online, Gap::None)
        }
        (Act::Logout, State::Unseen | State::HalfLoggedOut(_) | State::Foreign(_) | State::Member(..)) => State::Fresh,
        (act, State::HalfInstalled(half, behind)) => State::HalfInstalled(half.clone(), Box::new(predict(behind, act))),
        (act, State::NotAtBoot(behind)) => State::NotAtBoot(Box::new(predict(behind, act))),
        // `decide` asks for nothing else, as a test shows over the whole table.
        (_, state) => state.clone(),
    }
}
