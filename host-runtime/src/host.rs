//! One machine of a network: look, plan, consent, apply.
//!
//! The order is a chain of types, so that the wrong one does not compile: a [`Plan`] borrows its [`Host`]; what is
//! disruptive must be consented to before it is [`Consented`]; only that can be applied, once. The brief's names,
//! [`Host::ensure_installed`] and [`Host::ensure_joined`], are this chain for one goal.
//! Not for: many hosts ([`crate::fleet`]), connecting ([`crate::ssh`]).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::call::{Reach, Record};
use crate::contract::{Assessment, Diagnostic, Fact, Goal, Level, Node, Outcome, Request, Step};
use crate::event::{Event, Tell};
use crate::failure::{Changed, Failed, Kind};
use crate::network::Network;
use crate::secrets::{Secrets, Vault};
use crate::session::Session;
use crate::sudo::SudoPassword;
use crate::transport::Transport;
use crate::until::{Until, Wake};
use crate::words;

/// How long a machine is waited for that another run holds: as long as a package is waited for at most.
const HELD: Duration = Duration::from_secs(300);
/// How often it is asked for again. The other run may have been quicker than this one, and be gone.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What `allow` must hold for a step that interrupts something that works.
pub const DISRUPTIVE: &str = "disruptive";

/// A machine that is connected, of a network.
pub struct Host {
    network: Network,
    name: String,
    session: Session,
    /// The steps that were told to begin: planned anew, they are not told again.
    told: BTreeSet<String>,
    tell: Arc<dyn Tell + Send + Sync>,
}

impl Network {
    /// A machine to work on, over a transport that is connected to it.
    pub fn on(&self, name: &str, transport: Box<dyn Transport>, tell: Arc<dyn Tell + Send + Sync>) -> Host {
        let told = BTreeSet::new();
        Host { network: self.clone(), name: name.to_owned(), session: Session::new(transport), told, tell }
    }
}

impl Host {
    /// With a password for `sudo`, used where that asks for one.
    #[must_use]
    pub fn sudo(mut self, password: SudoPassword) -> Self {
        self.session = self.session.sudo(&self.name, password);
        self
    }

    /// The logical name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Looks at the machine and plans what would reach the goal. Changes nothing (C7): one connection, one round of
    /// commands on a machine that is right.
    ///
    /// # Errors
    /// When nothing could be found out. A goal that cannot be reached from here is a plan that is
    /// [blocked](Plan::blocked).
    pub fn plan(&mut self, goal: &Goal, allow: &[String], until: &Until) -> Result<Plan<'_>, Failed> {
        let request =
            Request { config: self.network.config_text().to_owned(), goal: goal.clone(), allow: allow.to_vec() };
        let network = self.network.clone();
        let provider = network.provider();
        let (said, record) = self.call(None, until, |reach| provider.loaded().plan(&request, reach, until));
        let assessment = record.judge(provider.id(), said)?;
        let assessment = words::check_assessment(provider.id(), provider.descriptor(), assessment)?;
        self.tell.tell(Event::Planned {
            host: self.name.clone(),
            steps: assessment.steps.clone(),
            facts: assessment.facts.clone(),
            node: assessment.node.clone(),
        });
        let blocked = assessment.blocked.clone().map(|failure| words::failed_by_provider(provider.id(), failure));
        Ok(Plan { host: self, request, assessment, blocked })
    }

    /// After success the client is installed and its daemon answers (C3). A second run changes nothing.
    ///
    /// # Errors
    /// When that could not be reached; the failure says what was changed.
    pub fn ensure_installed(&mut self, secrets: &Secrets, until: &Until) -> Result<Ensured, Failed> {
        self.ensure(&Goal::Installed, &[], secrets, until)
    }

    /// After success the machine is a member of the configured network with at least these tags (C4). A second run
    /// changes nothing and reads no secret.
    ///
    /// # Errors
    /// When that could not be reached; the failure says what was changed.
    pub fn ensure_joined(&mut self, tags: &[String], secrets: &Secrets, until: &Until) -> Result<Ensured, Failed> {
        self.ensure(&Goal::Joined(tags.to_vec()), &[], secrets, until)
    }

    /// After success the machine is no member (C6). A second run changes nothing.
    ///
    /// # Errors
    /// When that could not be reached; the failure says what was changed.
    pub fn leave(&mut self, secrets: &Secrets, until: &Until) -> Result<Ensured, Failed> {
        self.ensure(&Goal::Absent, &[], secrets, until)
    }

    /// Plans, and applies what the plan says, if anything. `allow` is what the operator allows beyond the plain goal. While
    /// another run holds the machine it waits, five minutes at most, and plans anew then.
    ///
    /// # Errors
    /// When the goal could not be reached; the failure says what was changed.
    pub fn ensure(
        &mut self,
        goal: &Goal,
        allow: &[String],
        secrets: &Secrets,
        until: &Until,
    ) -> Result<Ensured, Failed> {
        let mut patience = Patience::new(until);
        loop {
            let (steps, ended) = self.once(goal, allow, secrets, until).map_err(|failed| patience.failed(failed))?;
            match ended {
                Ok(ensured) => return Ok(patience.ensured(ensured)),
                Err(failed) if patience.again(&failed, &steps, &self.name, self.tell.as_ref()) => {}
                Err(failed) => return Err(patience.failed(failed)),
            }
        }
    }

    /// Plans and applies once: the steps, and what came of them.
    fn once(
        &mut self,
        goal: &Goal,
        allow: &[String],
        secrets: &Secrets,
        until: &Until,
    ) -> Result<(Vec<Step>, Result<Ensured, Failed>), Failed> {
        let plan = self.plan(goal, allow, until)?;
        if plan.holds() {
            return Ok((Vec::new(), Ok(Ensured::Held(plan.outcome()))));
        }
        let plan = plan.consent()?;
        let vault = Arc::new(plan.open(secrets)?);
        Ok((plan.steps().to_vec(), plan.apply(&vault, until)))
    }

    /// Lends the session to one call of the guest and takes it back.
    fn call<T>(
        &mut self,
        act: Option<(Vec<Step>, Arc<Vault>)>,
        until: &Until,
        call: impl FnOnce(&mut Reach<'_>) -> T,
    ) -> (T, Record) {
        let provider = self.network.provider();
        let once = StepsOnce { tell: self.tell.as_ref(), told: Mutex::new(&mut self.told) };
        let mut reach =
            Reach::new(&self.name, &mut self.session, provider.policy(), self.network.config(), act, until, &once);
        let said = call(&mut reach);
        (said, reach.into_record())
    }
}

/// Tells on what it hears, but not twice that a step begins: a machine that was held is planned for anew.
struct StepsOnce<'a> {
    tell: &'a dyn Tell,
    told: Mutex<&'a mut BTreeSet<String>>,
}

impl Tell for StepsOnce<'_> {
    fn tell(&self, event: Event) {
        match &event {
            Event::Step { id, .. } if !self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone()) => {}
            _ => self.tell.tell(event),
        }
    }
}

/// What a machine would need to reach a goal. Borrows its host; nothing has been changed.
#[must_use]
pub struct Plan<'h> {
    host: &'h mut Host,
    request: Request,
    assessment: Assessment,
    blocked: Option<Failed>,
}

impl<'h> Plan<'h> {
    /// Whether the goal holds already: nothing to do, nothing in the way.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.assessment.steps.is_empty() && self.blocked.is_none()
    }

    /// What would be done, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.assessment.steps
    }

    /// What was found.
    #[must_use]
    pub fn facts(&self) -> &[Fact] {
        &self.assessment.facts
    }

    /// The member that the machine is now, of whatever network.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.assessment.node.as_ref()
    }

    /// Good to know.
    #[must_use]
    pub fn notes(&self) -> &[Diagnostic] {
        &self.assessment.notes
    }

    /// Why the goal cannot be reached from here.
    #[must_use]
    pub fn blocked(&self) -> Option<&Failed> {
        self.blocked.as_ref()
    }

    /// What holds now, if nothing is done.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome {
            facts: self.assessment.facts.clone(),
            node: self.assessment.node.clone(),
            notes: self.assessment.notes.clone(),
        }
    }

    /// Makes the plan one that may be applied: not blocked, and nothing disruptive that the operator did not allow (J4).
    ///
    /// # Errors
    /// The reason why it is blocked, or [`Kind::DisruptionRefused`] with the steps that would interrupt.
    pub fn consent(self) -> Result<Consented<'h>, Failed> {
        if let Some(failed) = self.blocked {
            return Err(failed);
        }
        let disruptive: Vec<&str> =
            self.assessment.steps.iter().filter(|step| step.disruptive).map(|step| step.title.as_str()).collect();
        if !disruptive.is_empty() && !self.request.allow.iter().any(|allowed| allowed == DISRUPTIVE) {
            return Err(Failed::host(
                Kind::DisruptionRefused,
                format!("a step would interrupt what works: {}", disruptive.join("; ")),
                Some(
                    "wanted: the consent of the operator\nmeans: nothing was begun on this host, also not its other steps\n\
                     do: {run up @hosts --allow disruptive}"
                        .to_owned(),
                ),
            ));
        }
        Ok(Consented { host: self.host, request: self.request, assessment: self.assessment })
    }
}

/// A plan that may be applied, once.
#[must_use]
pub struct Consented<'h> {
    host: &'h mut Host,
    request: Request,
    assessment: Assessment,
}

impl Consented<'_> {
    /// What will be done, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.assessment.steps
    }

    /// The secret slots that the steps name, sorted.
    #[must_use]
    pub fn slots(&self) -> Vec<String> {
        let mut slots: Vec<String> =
            self.assessment.steps.iter().flat_map(|step| step.secrets.iter().cloned()).collect();
        slots.sort();
        slots.dedup();
        slots
    }

    /// Reads the secrets that the steps name, and no other.
    ///
    /// # Errors
    /// [`Kind::SecretMissing`].
    pub fn open(&self, secrets: &Secrets) -> Result<Vault, Failed> {
        let network = &self.host.network;
        let provider = network.provider();
        secrets.open(provider.id(), &provider.descriptor().secrets, network.config(), &self.slots())
    }

    /// Takes the steps, in the order in which they were shown, and looks whether the goal holds then. Steps that are not
    /// needed any more are left out; if that is all of them, the goal was [held](Ensured::Held) already.
    ///
    /// # Errors
    /// When it does not; the failure says what was changed: nothing, some, or unknown.
    pub fn apply(self, vault: &Arc<Vault>, until: &Until) -> Result<Ensured, Failed> {
        let Self { host, request, assessment } = self;
        let network = host.network.clone();
        let provider = network.provider();
        let act = Some((assessment.steps.clone(), Arc::clone(vault)));
        let (said, record) = host.call(act, until, |reach| {
            provider.loaded().apply(&request, &assessment.steps, &assessment.private, reach, until)
        });
        let touched = record.touched();
        let outcome = words::clean_outcome(record.judge(provider.id(), said)?);
        Ok(if touched { Ensured::Changed { steps: assessment.steps, outcome } } else { Ensured::Held(outcome) })
    }
}

/// How a machine is waited for that another run holds, or held after it was looked at. What was planned on the older look
/// need not fit any more, so the machine is planned for anew; what this run has changed until then is kept in mind.
pub(crate) struct Patience {
    until: Until,
    /// When this try began.
    begun: Instant,
    /// How the machine was found held last.
    held: Option<Failed>,
    changed: Changed,
    steps: Vec<Step>,
}

impl Patience {
    /// Five minutes, or what is left for this machine.
    pub(crate) fn new(until: &Until) -> Self {
        let until = until.sooner(HELD);
        Self { until, begun: Instant::now(), held: None, changed: Changed::Nothing, steps: Vec::new() }
    }

    /// After an apply of `steps` that failed: whether to plan anew, once the other run has had a moment to end. What would be
    /// begun too late to end in time is not begun: cut off, nobody would know what it changed.
    pub(crate) fn again(&mut self, failed: &Failed, steps: &[Step], host: &str, tell: &dyn Tell) -> bool {
        if failed.kind != Kind::Busy {
            return false;
        }
        let waits = leaves_time(self.until.remaining(), self.begun.elapsed());
        if waits && self.held.is_none() {
            let then = if failed.provider.is_none() { "waiting for it" } else { "planning anew" };
            let message = format!("{}; {then}", boundary::text::one_line(failed.headline()));
            tell.tell(Event::Log { host: host.to_owned(), level: Level::Warn, message });
        }
        self.held = Some(failed.clone());
        if failed.changed != Changed::Nothing {
            self.changed = self.changed.max(failed.changed);
            self.steps = self.all(steps.to_vec());
        }
        let again = waits && matches!(self.until.sleep(LOOK_AGAIN), Ok(Wake::Ready));
        self.begun = Instant::now();
        again
    }

    /// The steps that were taken before, and these, each once.
    fn all(&self, mut steps: Vec<Step>) -> Vec<Step> {
        steps.retain(|step| self.steps.iter().all(|before| before.id != step.id));
        self.steps.iter().cloned().chain(steps).collect()
    }

    /// Whether something was changed before the machine was found held.
    pub(crate) fn has_changed(&self) -> bool {
        self.changed != Changed::Nothing
    }

    /// The failure with all that was changed. Where the time for the machine was spent with waiting, that is the failure.
    pub(crate) fn failed(&self, failed: Failed) -> Failed {
        let mut failed = match &self.held {
            Some(held) if failed.kind == Kind::TimedOut && failed.changed == Changed::Nothing => held.clone(),
            _ => failed,
        };
        failed.changed = failed.changed.max(self.changed);
        failed
    }

    /// What came of a goal that holds now, with all that was changed on the way.
    pub(crate) fn ensured(&self, now: Ensured) -> Ensured {
        match now {
            Ensured::Held(outcome) if self.has_changed() => Ensured::Changed { steps: self.steps.clone(), outcome },
            Ensured::Held(outcome) => Ensured::Held(outcome),
            Ensured::Changed { steps, outcome } => Ensured::Changed { steps: self.all(steps), outcome },
        }
    }
}

/// Whether what is `left` is enough to wait and then to try again, twice as slowly as the last try, which `took` this long.
fn leaves_time(left: Duration, took: Duration) -> bool {
    left > LOOK_AGAIN + took * 2
}

/// How a goal was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ensured {
    /// It held already; nothing was changed.
    Held(Outcome),
    /// It holds now.
    Changed {
        /// What was done.
        steps: Vec<Step>,
        /// What holds.
        outcome: Outcome,
    },
}

impl Ensured {
    /// What holds.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        match self {
            Self::Held(outcome) | Self::Changed { outcome, .. } => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_tried_again_that_would_be_cut_off_by_the_end_of_the_time() {
        let (long, took) = (Duration::from_secs(60), Duration::from_secs(1));
        assert!(leaves_time(long, took));
        assert!(!leaves_time(LOOK_AGAIN + took * 2, took), "it might take a little longer than the last one");
        assert!(!leaves_time(Duration::ZERO, Duration::ZERO));
    }
}
