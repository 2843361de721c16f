//! One host's way through a run: connect, plan, and where something is to be done, consent, secrets, apply.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::approved::moved_meanwhile;
use super::crew::{Seat, Turn, Work};
use super::dial::{Connect, Route, dial};
use super::starts::Starts;
use super::turns::Permission;
use crate::approval;
use crate::artifact::Digest;
use crate::contract::Goal;
use crate::event::HostResult;
use crate::failure::Failed;
use crate::network::Network;
use crate::secrets::Secrets;
use crate::sudo::SudoPassword;

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
    /// The password for `sudo`, where the operator gives one.
    pub sudo: Option<SudoPassword>,
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
    task: Arc<Task>,
    act: Act,
    starts: Starts,
    /// Only these members, with the digests of the plans that were approved for them.
    only: Option<(Vec<usize>, BTreeMap<String, Digest>)>,
}

impl Work for Visit {
    fn on(&self, seat: &Seat<'_>) -> Turn {
        self.host(seat).unwrap_or_else(|failed| Turn::Done(HostResult::Failed(failed)))
    }
}

impl Visit {
    pub(super) fn new(task: Arc<Task>, act: Act, starts: Starts) -> Self {
        Self { task, act, starts, only: None }
    }

    /// Only the members at these places, and only what was approved for them.
    pub(super) fn only(self, places: Vec<usize>, approved: BTreeMap<String, Digest>) -> Self {
        Self { only: Some((places, approved)), ..self }
    }

    /// The place of a seat's host among the members.
    fn place(&self, seat: &Seat<'_>) -> usize {
        self.only.as_ref().map_or(seat.host(), |(places, _)| places[seat.host()])
    }

    fn host(&self, seat: &Seat<'_>) -> Result<Turn, Failed> {
        let route = self.task.connect.route(self.place(seat), seat.until())?;
        self.along(route.as_ref(), seat).map_err(|failed| failed.of_user(route.user()))
    }

    fn along(&self, route: &dyn Route, seat: &Seat<'_>) -> Result<Turn, Failed> {
        let Task { network, members, allow, secrets, sudo, .. } = &*self.task;
        let member = &members[self.place(seat)];
        let transport = dial(route, seat.host(), &self.starts, seat.until())?;
        let mut host = network.on(&member.name, transport, seat.tell());
        if let Some(password) = sudo {
            host = host.sudo(password.clone());
        }
        let plan = host.plan(&member.goal, allow, seat.until())?;
        if plan.holds() {
            return Ok(Turn::Done(HostResult::Holds(plan.outcome())));
        }
        if let Some(blocked) = plan.blocked() {
            return Err(blocked.clone());
        }
        let steps = plan.steps().to_vec();
        if self.act == Act::Look {
            return Ok(Turn::Done(HostResult::WouldChange { steps, outcome: plan.outcome() }));
        }
        if let Some((_, approved)) = &self.only
            && approved.get(&member.name)
                != Some(&approval::of_host(&network.provider().reference(), &member.name, &steps))
        {
            return Err(moved_meanwhile());
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
