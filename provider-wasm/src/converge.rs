//! Runs the table: on predictions for a plan, on observations for an apply, until it says that the goal holds.
//!
//! An apply stops when it needs an act that was not shown, or the same act twice. Not for: the table ([`crate::decide`]).

use crate::act::{self, AUTH_KEY, Hands};
use crate::decide::{Act, Next, decide, predict};
use crate::facts::facts;
use crate::observe::{Seen, observe};
use crate::port::{Assessment, Diagnostic, Failure, Observer, Outcome, Step};
use crate::state::{State, Wanted};
use crate::{failure, report};

/// What would be done, and what was found.
///
/// # Errors
/// When nothing could be found out.
pub fn plan(look: &dyn Observer, wanted: &Wanted<'_>) -> Result<Assessment, Failure> {
    let seen = observe(look, wanted)?;
    let (steps, end) = walk(&seen, wanted);
    let (steps, blocked, notes) = match end {
        Ok(notes) => (steps, None, notes),
        Err(blocked) => (Vec::new(), Some(blocked), Vec::new()),
    };
    Ok(Assessment {
        facts: facts(&seen, wanted),
        node: report::node(&seen),
        steps,
        blocked,
        notes: [report::notes(&seen, wanted), notes].concat(),
    })
}

/// The steps from what was seen to the goal, as far as they can be predicted, and what holds there or stands in the way.
fn walk(seen: &Seen, wanted: &Wanted<'_>) -> (Vec<Step>, Result<Vec<Diagnostic>, Failure>) {
    let mut state = seen.state.clone();
    let mut steps: Vec<Step> = Vec::new();
    loop {
        let act = match next(seen, &state, wanted) {
            // What is good to know about a state that is only hoped for is not worth telling.
            Next::Hold(notes) => return (steps.clone(), Ok(if steps.is_empty() { notes } else { Vec::new() })),
            Next::Stop(blocked) => return (steps, Err(blocked)),
            Next::LookAgain => return (steps, Err(failure::unreadable("a host that does not come to rest"))),
            Next::Do(act) => act,
        };
        if steps.iter().any(|step| step.id == act.id()) {
            return (steps, Err(failure::no_effect(&act.title(wanted), "it would be needed twice")));
        }
        steps.push(act::step(act, &state, &seen.facts, wanted));
        state = predict(&state, act);
    }
}

/// The table, and the one thing that every act needs.
fn next(seen: &Seen, state: &State, wanted: &Wanted<'_>) -> Next {
    match (decide(state, wanted), &seen.facts.root) {
        (Next::Do(_), Err(why)) => Next::Stop(failure::privilege(why)),
        (next, _) => next,
    }
}

/// Does what was shown.
///
/// # Errors
/// When the goal was not reached.
pub fn apply(steps: &[Step], wanted: &Wanted<'_>, hands: Hands<'_>) -> Result<Outcome, Failure> {
    // Before anything is done: a run that cannot end well should not begin.
    let needs_key = steps.iter().any(|step| step.secrets.iter().any(|slot| slot == AUTH_KEY));
    if needs_key && hands.given.get(AUTH_KEY).is_none() {
        return Err(failure::secret_missing(&wanted.config.auth_key_env));
    }
    let mut done: Vec<Act> = Vec::new();
    reach(steps, wanted, hands, &mut done).map_err(|failed| {
        let done: Vec<&str> = done.iter().map(|act| act.done()).collect();
        if done.is_empty() { failed } else { failed.changed_before(&done.join(", ")) }
    })
}

fn reach(steps: &[Step], wanted: &Wanted<'_>, hands: Hands<'_>, done: &mut Vec<Act>) -> Result<Outcome, Failure> {
    let mut seen = observe(hands.look, wanted)?;
    let mut left = steps;
    loop {
        let act = match next(&seen, &seen.state, wanted) {
            Next::Hold(notes) => {
                return Ok(Outcome {
                    facts: facts(&seen, wanted),
                    node: report::node(&seen),
                    notes: [report::notes(&seen, wanted), notes].concat(),
                });
            }
            Next::Stop(stopped) => return Err(stopped),
            Next::LookAgain => return Err(failure::unreadable("a host that does not come to rest")),
            Next::Do(act) => act,
        };
        if done.contains(&act) {
            let why = format!("the host is still as before: {}", report::name(&seen.state));
            return Err(failure::no_effect(&act.title(wanted), &why));
        }
        // A step that is not needed after all is left out; none is taken that was not shown, or out of its order.
        match left.iter().position(|step| step.id == act.id()) {
            Some(place) => left = left.get(place + 1..).unwrap_or_default(),
            None => {
                let shown = |act: Act| steps.iter().any(|step| step.id == act.id());
                return Err(match &seen.state {
                    // One that ends again and again is something else at every look.
                    State::DaemonDown(how, why) if shown(Act::StartDaemon) || shown(Act::RestartDaemon) => {
                        failure::daemon_down(*how, why)
                    }
                    _ => failure::not_shown(&act.title(wanted), !done.is_empty()),
                });
            }
        }
        seen = act::perform(act, &seen, wanted, hands)?;
        done.push(act);
    }
}
