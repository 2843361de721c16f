//! A host of the model behind the provider's own traits, as the exec layer would show it: conditions, time limits, root by
//! `sudo -n`, scrubbed outputs. Every batch is held against the descriptor and the built-in grants: what runs here is allowed.

pub(crate) mod grant;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use boundary::command::Mode;
use tailscale_model::{Call, Machine, Reply, World};
use tailscale_provider::act::Hands;
use tailscale_provider::port::{
    Actor, Assessment, Chunk, Command, Condition, Ending, ExecError, Failure, Goal, Log, Observer, Outcome, Output,
    PauseEnd, Request, Secret, Step, Vault,
};
use tailscale_provider::provider;

/// The configured tailnet.
pub(crate) const TAILNET: &str = "example.ts.net";
/// A config that asks for nothing special.
pub(crate) const CONFIG: &str = r#"{"auth_key_env":"TS_KEY","tailnet_domain":"example.ts.net"}"#;
/// When every test begins.
pub(crate) const START: u64 = 1_795_417_446_000;

/// One batch that was sent.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// The step of a changing batch.
    pub(crate) step: Option<String>,
    /// Its commands.
    pub(crate) commands: Vec<Command>,
}

/// A host, and everything around it.
pub(crate) struct Host {
    pub(crate) machine: RefCell<Machine>,
    pub(crate) world: RefCell<World>,
    pub(crate) now: Cell<u64>,
    pub(crate) name: String,
    pub(crate) config: String,
    pub(crate) allow: Vec<String>,
    pub(crate) key: Option<String>,
    pub(crate) connection: Option<String>,
    /// When the call's time is up.
    pub(crate) deadline: Cell<Option<u64>>,
    pub(crate) batches: RefCell<Vec<Batch>>,
    pub(crate) logged: RefCell<Vec<String>>,
    /// Every output, before anything was scrubbed.
    pub(crate) outputs: RefCell<String>,
    /// What a command line answers in the place of running.
    pub(crate) canned: RefCell<BTreeMap<String, Output>>,
    /// What `tailscale version` answers to the first look.
    pub(crate) absent_at_first: RefCell<Option<Output>>,
    /// The changing batch of this number is cut: nothing of it is seen, though it is done.
    pub(crate) cut: Cell<Option<usize>>,
    /// What every batch answers in the place of running.
    pub(crate) refuses: RefCell<Option<ExecError>>,
    /// From when on no batch that may change something is answered within the time of the call.
    pub(crate) silent_from: Cell<Option<u64>>,
}

impl Host {
    /// A machine in a world, configured as usual.
    pub(crate) fn new(machine: Machine, world: World) -> Self {
        Self {
            machine: RefCell::new(machine),
            world: RefCell::new(world),
            now: Cell::new(START),
            name: "app-1".to_owned(),
            config: CONFIG.to_owned(),
            allow: Vec::new(),
            key: Some("tskey-auth-good".to_owned()),
            connection: Some("192.0.2.7 50122 192.0.2.9 22".to_owned()),
            deadline: Cell::new(None),
            batches: RefCell::default(),
            logged: RefCell::default(),
            outputs: RefCell::default(),
            canned: RefCell::default(),
            absent_at_first: RefCell::default(),
            cut: Cell::new(None),
            refuses: RefCell::new(None),
            silent_from: Cell::new(None),
        }
    }

    /// A machine that `of` makes in a world with a good key of the tailnet that carries `tag:web`.
    pub(crate) fn with(of: impl FnOnce(&mut World) -> Machine) -> Self {
        let mut world = World::of(TAILNET);
        world.saas().add_key("tskey-auth-good", TAILNET, &["tag:web"]);
        let machine = of(&mut world);
        Self::new(machine, world)
    }

    pub(crate) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    pub(crate) fn allowing(mut self, word: &str) -> Self {
        self.allow.push(word.to_owned());
        self
    }

    pub(crate) fn config(mut self, config: &str) -> Self {
        self.config = config.to_owned();
        self
    }

    fn request(&self, goal: Goal) -> Request {
        Request { config: self.config.clone(), goal, allow: self.allow.clone() }
    }

    pub(crate) fn plan(&self, goal: Goal) -> Result<Assessment, Failure> {
        provider::plan(&self.request(goal), self)
    }

    pub(crate) fn apply(&self, goal: Goal, steps: &[Step]) -> Result<Outcome, Failure> {
        provider::apply(&self.request(goal), steps, Hands { look: self, act: self, given: self, log: self })
    }

    /// Plans, and does what was planned.
    pub(crate) fn reach(&self, goal: Goal) -> Result<Outcome, Failure> {
        let plan = self.plan(goal.clone())?;
        match plan.blocked {
            Some(blocked) => Err(blocked),
            None => self.apply(goal, &plan.steps),
        }
    }

    /// The command lines that could change something, in order.
    pub(crate) fn changes(&self) -> Vec<String> {
        let batches = self.batches.borrow();
        let own = batches.iter().filter(|batch| batch.step.is_some()).flat_map(|batch| &batch.commands);
        own.filter(|command| command.runs != Condition::Always).map(|command| command.argv.join(" ")).collect()
    }

    pub(crate) fn probes(&self) -> usize {
        self.batches.borrow().iter().filter(|batch| batch.step.is_none()).count()
    }

    /// The machine and the world as text, to compare.
    pub(crate) fn snapshot(&self) -> String {
        format!("{:#?}\n{:#?}", self.machine.borrow(), self.world.borrow())
    }

    /// Runs a command on the machine as an operator would, by root.
    pub(crate) fn operator(&self, line: &str) -> Reply {
        self.now.set(self.now.get() + 5_000);
        self.machine.borrow_mut().exec(&mut self.world.borrow_mut(), &Call::root(line, self.now.get()))
    }

    fn one(&self, command: &Command, before: &[Output]) -> (Output, u64) {
        let mut stdin = Vec::new();
        for chunk in &command.stdin {
            match chunk {
                Chunk::Bytes(bytes) => stdin.extend(bytes),
                Chunk::Secret(slot) => {
                    assert_eq!(*slot, "auth-key");
                    stdin.extend(self.key.as_deref().unwrap_or_default().as_bytes());
                }
                Chunk::StdoutOf(place) => {
                    let from = before.get(*place as usize).expect("an earlier command");
                    if !from.succeeded() {
                        return (Output { ending: Ending::Skipped, stdout: String::new(), stderr: String::new() }, 0);
                    }
                    stdin.extend(from.stdout.as_bytes());
                }
            }
        }
        if command.argv == ["tailscale", "version"]
            && let Some(absent) = self.absent_at_first.take()
        {
            return (absent, 0);
        }
        if let Some(canned) = self.canned.borrow().get(&command.argv.join(" ")) {
            return (canned.clone(), 0);
        }
        let mut machine = self.machine.borrow_mut();
        let reply = match machine.sudo() {
            Err(refused) if command.as_root => refused,
            _ => machine.exec(
                &mut self.world.borrow_mut(),
                &Call {
                    argv: command.argv.clone(),
                    stdin,
                    env: command.env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
                    root: command.as_root,
                    now_ms: self.now.get(),
                },
            ),
        };
        let limit = u64::from(command.timeout_ms);
        let ending = if reply.takes_ms > limit { Ending::TimedOut } else { Ending::Exited(reply.status) };
        self.outputs.borrow_mut().push_str(&format!("{}{}", reply.stdout, reply.stderr));
        let scrub = |text: String| match self.key.as_deref() {
            Some(key) if !key.is_empty() => text.replace(key, "[secret]"),
            _ => text,
        };
        let output = if ending == Ending::TimedOut {
            Output { ending, stdout: String::new(), stderr: String::new() }
        } else {
            Output { ending, stdout: scrub(reply.stdout), stderr: scrub(reply.stderr) }
        };
        (output, reply.takes_ms.min(limit))
    }

    fn pass(&self, ms: u64) -> PauseEnd {
        let then = self.now.get() + ms;
        match self.deadline.get() {
            Some(deadline) if then >= deadline => {
                self.now.set(deadline);
                PauseEnd::Deadline
            }
            _ => {
                self.now.set(then);
                PauseEnd::Elapsed
            }
        }
    }
}

impl Observer for Host {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn connection(&self) -> Option<String> {
        self.connection.clone()
    }

    fn probe(&self, commands: Vec<Command>) -> Result<Vec<Output>, ExecError> {
        grant::check(&commands, Mode::Probe, &self.config);
        self.batches.borrow_mut().push(Batch { step: None, commands: commands.clone() });
        if let Some(error) = self.refuses.borrow().clone() {
            return Err(error);
        }
        let answers: Vec<(Output, u64)> = commands.iter().map(|command| self.one(command, &[])).collect();
        // Side by side.
        self.now.set(self.now.get() + answers.iter().map(|(_, takes)| *takes).max().unwrap_or_default());
        Ok(answers.into_iter().map(|(output, _)| output).collect())
    }

    fn pause(&self, ms: u32) -> PauseEnd {
        self.pass(u64::from(ms))
    }
}

impl Actor for Host {
    fn run(&self, step: &str, commands: Vec<Command>) -> Result<Vec<Output>, ExecError> {
        grant::check(&commands, Mode::Run, &self.config);
        let number = self.batches.borrow().iter().filter(|batch| batch.step.is_some()).count();
        self.batches.borrow_mut().push(Batch { step: Some(step.to_owned()), commands: commands.clone() });
        if let Some(error) = self.refuses.borrow().clone() {
            return Err(error);
        }
        if self.silent_from.get().is_some_and(|from| self.now.get() >= from) {
            return Err(ExecError::Stopped("the deadline passed".to_owned()));
        }
        let mut outputs: Vec<Output> = Vec::new();
        let mut failed = false;
        for command in &commands {
            let runs = match command.runs {
                Condition::Ok => !failed,
                Condition::Failed => failed,
                Condition::Always => true,
            };
            if !runs {
                outputs.push(Output { ending: Ending::Skipped, stdout: String::new(), stderr: String::new() });
                continue;
            }
            let (output, takes) = self.one(command, &outputs);
            self.now.set(self.now.get() + takes);
            failed |= command.runs != Condition::Always && !output.succeeded();
            outputs.push(output);
        }
        if self.cut.get() == Some(number) {
            outputs.fill(Output { ending: Ending::Unknown, stdout: String::new(), stderr: String::new() });
        }
        Ok(outputs)
    }
}

impl Vault for Host {
    fn get(&self, slot: &str) -> Option<Secret> {
        assert_eq!(slot, "auth-key");
        let key = self.key.as_deref().filter(|key| !key.is_empty())?;
        let descriptor = provider::describe();
        let kinds = &descriptor.secrets.first().expect("one slot").kinds;
        let kind = kinds.iter().find(|kind| {
            let (head, inside) = kind.prefix.split_once('*').unwrap_or((&kind.prefix, ""));
            key.strip_prefix(head).is_some_and(|rest| rest.contains(inside))
        });
        Some(Secret { kind: kind.map(|kind| kind.name.clone()) })
    }
}

impl Log for Host {
    fn info(&self, message: &str) {
        self.logged.borrow_mut().push(message.to_owned());
    }
}

pub(crate) fn joined(tags: &[&str]) -> Goal {
    Goal::Joined(tags.iter().map(|tag| (*tag).to_owned()).collect())
}

/// The failure of a call that must fail, with what embedders match on.
pub(crate) fn failed<T: std::fmt::Debug>(result: Result<T, Failure>) -> (&'static str, &'static str, String) {
    let failure = result.expect_err("a failure");
    let first = failure.diagnostics.first().expect("a finding");
    (failure.kind, first.code, first.summary.clone())
}
