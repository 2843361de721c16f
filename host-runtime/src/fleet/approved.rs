//! A run that may do one plan and nothing else.
//!
//! Every host is looked at first. Only when that comes to the plan that was approved are the hosts of it visited again,
//! and each of them is looked at once more: what moved in between is not done either. Hosts that are right are not
//! visited twice. A host that could not be looked at counts as failed for both parts of the run. Not for: what the digest
//! is over ([`crate::approval`]).

use std::sync::Arc;

use super::dial::cancelled;
use super::members;
use super::starts::Starts;
use super::turns::too_many;
use super::visit::{Act, Task, Visit};
use super::{Limits, crew};
use crate::approval::{Approval, PlanDigest};
use crate::event::{Event, HostResult, Tell};
use crate::failure::{Failed, Kind};
use crate::until::Cancel;

/// Does the task if that is exactly what was approved, and else changes nothing: every host that would be changed fails
/// with [`Kind::NotApproved`] then. Otherwise as [`super::run`].
///
/// # Errors
/// When the system has no thread or descriptor left to begin with.
pub fn run_approved(
    task: Task,
    approval: &Approval,
    limits: &Limits,
    cancel: &Cancel,
    tell: Arc<dyn Tell + Send + Sync>,
) -> std::io::Result<Vec<HostResult>> {
    members::heard(tell, |tell| run_heard(task, approval, limits, cancel, tell))
}

fn run_heard(
    task: Task,
    approval: &Approval,
    limits: &Limits,
    cancel: &Cancel,
    tell: Arc<dyn Tell + Send + Sync>,
) -> std::io::Result<Vec<HostResult>> {
    let names: Vec<String> = task.members.iter().map(|member| member.name.clone()).collect();
    let provider = task.network.provider().reference();
    let task = Arc::new(task);
    let look = Visit::new(Arc::clone(&task), Act::Look, Starts::new(limits.starts));
    let mut results = crew::run(names.clone(), Box::new(look), limits, cancel, Arc::new(Half(Arc::clone(&tell))))?;

    let now = PlanDigest::of_look(&provider, names.iter().map(String::as_str).zip(&results));
    let places: Vec<usize> = (0..names.len()).filter(|&place| would_change(&results[place])).collect();
    let failures = results.iter().filter(|result| counts(result)).count();
    let most = limits.max_fail.unwrap_or(usize::MAX);
    let stopped = if cancel.is_cancelled() {
        // What was not looked at is no other plan.
        Some(cancelled())
    } else if failures > most {
        // The same: those behind it were not looked at.
        Some(too_many(failures, most))
    } else {
        let failed = |host: &str| names.iter().zip(&results).any(|(name, result)| name == host && counts(result));
        (now.digest != approval.digest).then(|| refused(&now, approval, failed))
    };
    if let Some(failed) = stopped {
        for place in places {
            results[place] = HostResult::Failed(failed.clone());
            tell.tell(Event::Done { host: names[place].clone(), result: results[place].clone(), millis: 0 });
        }
        return Ok(results);
    }
    let chosen = places.iter().map(|&place| names[place].clone()).collect();
    let visit = Visit::new(task, Act::Reach, Starts::new(limits.starts)).only(places.clone(), now.hosts);
    let rest = Limits { failed: failures, ..limits.clone() };
    for (place, result) in places.into_iter().zip(crew::run(chosen, Box::new(visit), &rest, cancel, tell)?) {
        results[place] = result;
    }
    Ok(results)
}

fn would_change(result: &HostResult) -> bool {
    matches!(result, HostResult::WouldChange { .. })
}

fn counts(result: &HostResult) -> bool {
    matches!(result, HostResult::Failed(failed) if failed.kind != Kind::Skipped)
}

/// The plan is another one.
fn refused(now: &PlanDigest, approval: &Approval, failed: impl Fn(&str) -> bool) -> Failed {
    let moved = match now.moved(approval, failed) {
        Some(moved) => format!("moved since: {moved}"),
        None => "what was approved was not planned on this machine, so it is not known here what moved".to_owned(),
    };
    not_approved(
        "the plan is not the one that was approved",
        format!("found: {}\nwanted: {}\nmeans: {moved}", now.digest, approval.digest),
    )
}

/// A host's own plan is another one than a moment ago.
pub(super) fn moved_meanwhile() -> Failed {
    not_approved(
        "the host is not as it was when its plan was approved",
        "means: it moved between the look at all hosts and its own turn".to_owned(),
    )
}

fn not_approved(summary: &str, detail: String) -> Failed {
    let detail = format!("{detail}\ndo: look at the plan of the same hosts, and approve that one:  {{run plan}}");
    Failed::host(Kind::NotApproved, summary, detail)
}

/// Hears the look of a run that goes on: a host that is to be changed is not done yet.
struct Half(Arc<dyn Tell + Send + Sync>);

impl Tell for Half {
    fn tell(&self, event: Event) {
        match event {
            Event::Done { result, .. } if would_change(&result) => {}
            event => self.0.tell(event),
        }
    }
}
