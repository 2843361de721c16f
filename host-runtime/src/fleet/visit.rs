//! One host's way through a run: connect, plan, and where something is to be done, consent, secrets, apply.

use std::sync::Arc;

use super::crew::{Seat, Turn, Work};
use super::dial::{Connect, Route, dial};
use super::starts::Starts;
use super::turns::Permission;
use crate::contract::Goal;
use crate::event::HostResult;
use crate::failure::Failed;
use crate::network::Network;
use crate::secrets::Secrets;

/// What is to be done with many hosts.
pub struct Task {
    /// The network.
    pub network: Network,
    /// The hosts, in the order of their results.
    pub members: Vec<Member>,
    /// Whether anything may be changed.
    pub act: Act,
    /// What the operator allows beyond the plain goal, such as [`crate::host::DISRUPTIVE`].
    pub allow: Vec<String>,
    /// Where secrets come from. Not touched unless a plan that is carried out needs one.
    pub secrets: Secrets,
    /// How hosts are reached, by their place in `members`.
    pub connect: Box<dyn Connect>,
}

/// A host of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its logical name.
    pub name: String,
    /// What it should be.
    pub goal: Goal,
}

/// Whether anything may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Only look: what holds, and what would be done.
    Look,
    /// Do what the plan says.
    Reach,
}

/// The task, at work.
pub(super) struct Visit {
    pub(super) task: Task,
    pub(super) starts: Starts,
}

impl Work for Visit {
    fn on(&self, seat: &Seat<'_>) -> Turn {
        self.host(seat).unwrap_or_else(|failed| Turn::Done(HostResult::Failed(failed)))
    }
}

impl Visit {
    fn host(&self, seat: &Seat<'_>) -> Result<Turn, Failed> {
        let route = self.task.connect.route(seat.host(), seat.until())?;
        self.along(route.as_ref(), seat).map_err(|failed| failed.of_user(route.user()))
    }

    fn along(&self, route: &dyn Route, seat: &Seat<'_>) -> Result<Turn, Failed> {
        let Task { network, members, act, allow, secrets, .. } = &self.task;
        let member = &members[seat.host()];
        let transport = dial(route, seat.host(), &self.starts, seat.until())?;
        let mut host = network.on(&member.name, transport, seat.tell());
        let plan = host.plan(&member.goal, allow, seat.until())?;
        if plan.holds() {
            return Ok(Turn::Done(HostResult::Holds(plan.outcome())));
        }
        if let Some(blocked) = plan.blocked() {
            return Err(blocked.clone());
        }
        let steps = plan.steps().to_vec();
        if *act == Act::Look {
            return Ok(Turn::Done(HostResult::WouldChange { steps, outcome: plan.outcome() }));
        }
        let plan = plan.consent()?;
        if plan.slots().is_empty() {
            seat.needs_no_secret();
        } else {
            match seat.permission() {
                Permission::Go => {}
                Permission::Park => return Ok(Turn::Park),
                Permission::Skip(failed) => return Err(failed),
            }
        }
        let vault = Arc::new(plan.open(secrets)?);
        seat.changing();
        Ok(Turn::Done(HostResult::Changed { steps, outcome: plan.apply(&vault, seat.until())? }))
    }
}
