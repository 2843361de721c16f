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
use crate::contract::{Goal, Step};
use crate::event::HostResult;
use crate::failure::Failed;
use crate::host::{Ensured, Host, Patience};
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
        let name = &self.task.members[self.place(seat)].name;
        let transport = dial(route, seat.host(), &self.starts, seat.until())?;
        let mut host = self.task.network.on(name, transport, seat.tell());
        if let Some(password) = &self.task.sudo {
            host = host.sudo(password.clone());
        }
        let mut patience = Patience::new(seat.until());
        loop {
            let tried = self.once(&mut host, route, seat, &patience).map_err(|failed| patience.failed(failed))?;
            let (steps, failed) = match tried {
                Tried::Done(turn) => return Ok(turn),
                Tried::Applied(_, Ok(ensured)) => return Ok(Turn::Done(result(patience.ensured(ensured)))),
                Tried::Applied(steps, Err(failed)) => (steps, failed),
            };
            if !patience.again(&failed, &steps, name, seat.tell().as_ref()) {
                return Err(patience.failed(failed));
            }
        }
    }

    /// One plan, and what comes of it.
    fn once(&self, host: &mut Host, route: &dyn Route, seat: &Seat<'_>, patience: &Patience) -> Result<Tried, Failed> {
        let Task { network, members, allow, secrets, .. } = &*self.task;
        let member = &members[self.place(seat)];
        let plan = host.plan(&member.goal, allow, seat.until())?;
        if plan.holds() {
            return Ok(Tried::Done(Turn::Done(result(patience.ensured(Ensured::Held(plan.outcome()))))));
        }
        if let Some(blocked) = plan.blocked() {
            return Err(blocked.clone());
        }
        let steps = plan.steps().to_vec();
        if self.act == Act::Look {
            return Ok(Tried::Done(Turn::Done(HostResult::WouldChange {
                steps,
                at: route.at(),
                outcome: plan.outcome(),
            })));
        }
        if let Some((_, approved)) = &self.only
            && approved.get(&member.name)
                != Some(&approval::of_host(&network.provider().reference(), &member.name, &route.at(), &steps))
        {
            return Err(moved_meanwhile());
        }
        let plan = plan.consent()?;
        if plan.slots().is_empty() {
            seat.needs_no_secret();
        } else {
            match seat.permission() {
                Permission::Go => {}
                // One that has begun to change a machine ends it: parked, it would forget what it did.
                Permission::Park if patience.has_changed() => {}
                Permission::Park => return Ok(Tried::Done(Turn::Park)),
                Permission::Skip(failed) => return Err(failed),
            }
        }
        let vault = Arc::new(plan.open(secrets)?);
        seat.changing();
        Ok(Tried::Applied(steps, plan.apply(&vault, seat.until())))
    }
}

/// What came of one plan.
enum Tried {
    /// The visit is over, or goes on later.
    Done(Turn),
    /// These steps were to be taken.
    Applied(Vec<Step>, Result<Ensured, Failed>),
}

fn result(ensured: Ensured) -> HostResult {
    match ensured {
        Ensured::Held(outcome) => HostResult::Holds(outcome),
        Ensured::Changed { steps, outcome } => HostResult::Changed { steps, outcome },
    }
}
