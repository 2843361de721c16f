//! The component's glue: the contract's WIT types to [`crate::port`] and back, and nothing else.

use std::collections::BTreeMap;

use crate::act::Hands;
use crate::bindings::exports::stagecraft::network::provider as wit;
use crate::bindings::stagecraft::network::exec_remote::{self as exec, Actor, Observer};
use crate::bindings::stagecraft::network::secrets::{Secret, Vault};
use crate::bindings::stagecraft::network::{events, types};
use crate::port;
use crate::provider;

struct Component;

crate::bindings::export!(Component with_types_in crate::bindings);

impl wit::Guest for Component {
    fn describe() -> wit::Descriptor {
        let own = provider::describe();
        wit::Descriptor {
            id: own.id,
            display_name: own.display_name,
            description: own.description,
            version: own.version,
            config_schema: provider::CONFIG_SCHEMA.to_owned(),
            secrets: own.secrets.into_iter().map(slot).collect(),
            commands: own.commands.into_iter().map(request).collect(),
        }
    }

    fn validate(config: String) -> Vec<types::Diagnostic> {
        provider::validate(&config).into_iter().map(diagnostic).collect()
    }

    fn node_fqdn(config: String, host: String) -> Result<String, types::Failure> {
        provider::node_fqdn(&config, &host).map_err(failure)
    }

    fn plan(req: wit::Request, look: &Observer) -> Result<wit::Assessment, types::Failure> {
        let found = provider::plan(&asked(req), &Look(look)).map_err(failure)?;
        Ok(wit::Assessment {
            facts: found.facts.into_iter().map(fact).collect(),
            node: found.node.map(node),
            steps: found.steps.into_iter().map(step).collect(),
            blocked: found.blocked.map(failure),
            notes: found.notes.into_iter().map(diagnostic).collect(),
            private: Vec::new(),
        })
    }

    fn apply(
        req: wit::Request,
        steps: Vec<wit::Step>,
        _private: Vec<u8>,
        look: &Observer,
        act: &Actor,
        given: &Vault,
    ) -> Result<wit::Outcome, types::Failure> {
        let steps: Vec<port::Step> = steps.into_iter().map(shown).collect();
        let given = Given(given);
        let hands = Hands { look: &Look(look), act: &Act(act, &given), given: &given, log: &Events };
        let done = provider::apply(&asked(req), &steps, hands).map_err(failure)?;
        Ok(wit::Outcome {
            facts: done.facts.into_iter().map(fact).collect(),
            node: done.node.map(node),
            notes: done.notes.into_iter().map(diagnostic).collect(),
        })
    }
}

/// The machine, to look at.
struct Look<'a>(&'a Observer);

impl port::Observer for Look<'_> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn connection(&self) -> Option<String> {
        self.0.connection()
    }

    fn probe(&self, commands: Vec<port::Command>) -> Result<Vec<port::Output>, port::ExecError> {
        // A probe carries no secrets, so there is nothing to look up for its commands.
        let none = BTreeMap::new();
        let commands: Vec<exec::Command<'_>> = commands.into_iter().map(|each| command(each, &none)).collect();
        self.0.probe(&commands).map(|all| all.into_iter().map(output).collect()).map_err(exec_error)
    }

    fn pause(&self, ms: u32) -> port::PauseEnd {
        match self.0.pause(ms) {
            exec::PauseEnd::Elapsed => port::PauseEnd::Elapsed,
            exec::PauseEnd::Deadline => port::PauseEnd::Deadline,
            exec::PauseEnd::Cancelled => port::PauseEnd::Cancelled,
        }
    }
}

/// The machine, to change, with the secrets that its commands may carry.
struct Act<'a>(&'a Actor, &'a Given<'a>);

impl port::Actor for Act<'_> {
    fn run(&self, step: &str, commands: Vec<port::Command>) -> Result<Vec<port::Output>, port::ExecError> {
        let slots = commands.iter().flat_map(|each| &each.stdin).filter_map(|chunk| match chunk {
            port::Chunk::Secret(slot) => Some(*slot),
            port::Chunk::Bytes(_) | port::Chunk::StdoutOf(_) => None,
        });
        let secrets: BTreeMap<&str, Secret> = slots.filter_map(|slot| Some((slot, self.1.0.get(slot)?))).collect();
        let commands: Vec<exec::Command<'_>> = commands.into_iter().map(|each| command(each, &secrets)).collect();
        self.0.run(step, &commands).map(|all| all.into_iter().map(output).collect()).map_err(exec_error)
    }
}

/// The secrets of this call.
struct Given<'a>(&'a Vault);

impl port::Vault for Given<'_> {
    fn get(&self, slot: &str) -> Option<port::Secret> {
        self.0.get(slot).map(|secret| port::Secret { kind: secret.kind() })
    }
}

/// The log.
struct Events;

impl port::Log for Events {
    fn info(&self, message: &str) {
        events::log(events::Level::Info, message);
    }
}

fn slot(own: provider::SecretSlot) -> wit::SecretSlot {
    wit::SecretSlot {
        slot: own.slot,
        env_config_path: own.env_config_path,
        kinds: own.kinds.into_iter().map(|kind| wit::SecretKind { name: kind.name, prefix: kind.prefix }).collect(),
    }
}

fn request(own: provider::CommandRequest) -> wit::CommandRequest {
    wit::CommandRequest {
        argv: own.argv,
        env: own.env,
        stdin: match own.stdin {
            provider::StdinRule::None => wit::StdinRule::None,
            provider::StdinRule::Any => wit::StdinRule::Any,
            provider::StdinRule::Secret(slot) => wit::StdinRule::Secret(slot),
            provider::StdinRule::OutputOf(argv) => wit::StdinRule::OutputOf(argv),
        },
        mutates: own.mutates,
        as_root: own.as_root,
        reason: own.reason,
    }
}

fn asked(req: wit::Request) -> port::Request {
    let goal = match req.goal {
        wit::Goal::Installed => port::Goal::Installed,
        wit::Goal::Joined(tags) => port::Goal::Joined(tags),
        wit::Goal::Absent => port::Goal::Absent,
        wit::Goal::Other(name) => port::Goal::Other(name),
    };
    port::Request { config: req.config, goal, allow: req.allow }
}

fn command<'a>(own: port::Command, secrets: &'a BTreeMap<&str, Secret>) -> exec::Command<'a> {
    let chunk = |chunk| match chunk {
        port::Chunk::Bytes(bytes) => exec::Chunk::Bytes(bytes),
        port::Chunk::StdoutOf(place) => exec::Chunk::StdoutOf(place),
        port::Chunk::Secret(slot) => match secrets.get(slot) {
            Some(secret) => exec::Chunk::Secret(secret),
            // The command then reads an empty input where a key was to be; `act` has asked the vault before.
            None => exec::Chunk::Bytes(Vec::new()),
        },
    };
    exec::Command {
        argv: own.argv,
        env: own
            .env
            .into_iter()
            .map(|(name, value)| exec::EnvVar { name: name.to_owned(), value: value.to_owned() })
            .collect(),
        stdin: own.stdin.into_iter().map(chunk).collect(),
        as_root: own.as_root,
        timeout_ms: own.timeout_ms,
        runs: match own.runs {
            port::Condition::Ok => exec::Condition::Ok,
            port::Condition::Failed => exec::Condition::Failed,
            port::Condition::Always => exec::Condition::Always,
        },
        accepted: own.accepted,
    }
}

fn output(seen: exec::Output) -> port::Output {
    port::Output {
        ending: match seen.ending {
            exec::Ending::Exited(status) => port::Ending::Exited(status),
            exec::Ending::TimedOut => port::Ending::TimedOut,
            exec::Ending::Skipped => port::Ending::Skipped,
            exec::Ending::Unknown => port::Ending::Unknown,
        },
        stdout: text(&seen.stdout),
        stderr: text(&seen.stderr),
    }
}

fn text(captured: &exec::Captured) -> String {
    let mut text = String::from_utf8_lossy(&captured.head).into_owned();
    if captured.cut {
        text.push_str("\n[…]\n");
    }
    text.push_str(&String::from_utf8_lossy(&captured.tail));
    text
}

fn exec_error(error: exec::ExecError) -> port::ExecError {
    match error {
        exec::ExecError::Denied(denial) => port::ExecError::Denied(denial.command, denial.reason),
        exec::ExecError::Unreachable(text) => port::ExecError::Unreachable(text),
        exec::ExecError::Busy(text) => port::ExecError::Busy(text),
        exec::ExecError::Stopped(text) => port::ExecError::Stopped(text),
        exec::ExecError::Other(text) => port::ExecError::Other(text),
    }
}

fn diagnostic(own: port::Diagnostic) -> types::Diagnostic {
    types::Diagnostic {
        severity: match own.severity {
            port::Severity::Error => types::Severity::Error,
            port::Severity::Warning => types::Severity::Warning,
            port::Severity::Note => types::Severity::Note,
        },
        code: own.code.to_owned(),
        summary: own.summary,
        detail: own.detail,
        config_path: own.config_path,
    }
}

fn failure(own: port::Failure) -> types::Failure {
    types::Failure { kind: own.kind.to_owned(), diagnostics: own.diagnostics.into_iter().map(diagnostic).collect() }
}

fn fact(own: port::Fact) -> wit::Fact {
    let port::Fact { topic, name, value, wanted, remark } = own;
    wit::Fact { topic: topic.to_owned(), name, value, wanted, remark }
}

fn node(own: port::Node) -> wit::Node {
    wit::Node {
        id: own.id,
        fqdn: own.fqdn,
        addresses: own.addresses,
        tags: own.tags,
        online: own.online,
        key_expiry: own.key_expiry,
    }
}

fn step(own: port::Step) -> wit::Step {
    wit::Step { id: own.id, title: own.title, detail: own.detail, secrets: own.secrets, disruptive: own.disruptive }
}

fn shown(step: wit::Step) -> port::Step {
    port::Step {
        id: step.id,
        title: step.title,
        detail: step.detail,
        secrets: step.secrets,
        disruptive: step.disruptive,
    }
}
